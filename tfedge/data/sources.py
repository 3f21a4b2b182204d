"""What ``data`` in the pipeline file stands for: a folder, a CSV, a built-in sample, a download.

Imports neither numpy nor Pillow: ``--dry-run`` asks here whether the examples are the same.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tfedge.config.spelling import closest
from tfedge.data.checks import check_classes, check_sound, check_there
from tfedge.data.digests import Digests
from tfedge.data.groups import grouped, is_expression
from tfedge.data.labels import ONE_LABEL, after, plain_name
from tfedge.data.listing import Listing, list_folder
from tfedge.data.rows import TABLE, is_table, kept_rows
from tfedge.data.samples import PREFIX, kept_sample, sample_root
from tfedge.data.schema import Data, Download, Whole
from tfedge.data.table import SUFFIXES, list_csv
from tfedge.errors import DataError
from tfedge.files.files import path_problem, shown
from tfedge.files.imports import imported
from tfedge.files.kept import KeptFolder
from tfedge.files.progress import NoProgress, Progress
from tfedge.redact import without_secrets

# What to do with files that are neither.
_ARCHIVE = "unpack it, and set data.path to the folder; or give its address as data.download"
_TABLE = "save the table as CSV, and set data.path to that"
_FILES = {
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), _ARCHIVE),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".parquet", ".feather", ".jsonl"), _TABLE),
    ".txt": "rename it to .csv if its lines are path,label",
    ".json": f"{ONE_LABEL}, in a folder for each class or a CSV of path and label; COCO's boxes "
    "are for object detection",
}
_LOOK_SECONDS = 0.2  # what a check has for the names of all files


@dataclass(frozen=True)
class Scan:
    """A listing with each file's SHA-256. By path: ``digests``, and in ``unreadable`` why not."""

    listing: Listing
    digests: Mapping[str, str]
    unreadable: Mapping[str, str]

    @property
    def files(self) -> dict[str, Path]:
        """By SHA-256, where a file with this content lies."""
        return {
            self.digests[entry.path]: self.listing.root / entry.path
            for entry in self.listing.entries
            if entry.path in self.digests
        }

    @property
    def digest(self) -> str:
        """SHA-256 over classes and, for each file, path, label, split and content."""
        listing = self.listing
        total = hashlib.sha256("\0".join((listing.split_from, *listing.classes)).encode())
        for entry in listing.entries:
            content = self.digests.get(entry.path) or f"!{self.unreadable[entry.path]}"
            line = "\0".join((entry.path, entry.label, entry.split or "", content))
            line += f"\0{entry.group}" if entry.group else ""
            total.update(b"\n" + line.encode())
        return total.hexdigest()


def data_root(data: Data, cache: Path) -> Path:
    """Where the examples lie, or will after a download. Paths in index.json are relative to it."""
    if data.download:
        return _unpacked(data.download, cache) / _folder(data.download)
    path = _path(data)
    if path.startswith(PREFIX):
        return sample_root(path, cache)
    if (rows := _rows(data, cache)) is not None:
        return rows.folder
    named_file = _is_csv(path) or (data.kind.listed and Path(path).is_file())
    return Path(path).parent if named_file else Path(path)


def source_digest(
    data: Data, cache: Path, hash_new: bool = True, progress: Progress | None = None
) -> str | None:
    """A digest of all examples with their labels and splits: the same as long as they are.

    With ``hash_new`` False nothing is fetched, written or read but names and stamps, and not for
    long: None when that is not enough to know. Raises DataError for a source that is not there,
    can't be understood or lacks examples, ArtifactError for a download that fails.
    """
    if hash_new:
        return scan(data, cache, progress or NoProgress()).digest
    ours = data.download or _path(data).startswith(PREFIX) or _rows(data, cache)
    if ours and not data_root(data, cache).is_dir():
        return None
    global _last
    listing = _list(data, cache, until=time.monotonic() + _LOOK_SECONDS)
    _last = data, cache, _counts(listing, data)
    check_classes(listing)
    if listing.partial:
        return None
    listing = _grouped(listing, data)
    digests = Digests(cache, listing.root)
    known: dict[str, str] = {}
    for entry in listing.entries:
        digest = digests.cached_digest(entry)
        if digest is None:
            return None
        known[entry.path] = digest
    return Scan(listing, known, {}).digest


def counted(data: Data, cache: Path) -> tuple[int, int] | None:
    """About how many examples train and how many are for validation or test, by the names of files
    alone; None where these are not there yet, are wrong, or too many for a short look."""
    if _last is not None and _last[:2] == (data, cache):  # whoever plans a run has just looked
        return _last[2]
    try:
        listing = _list(data, cache, until=time.monotonic() + _LOOK_SECONDS)
    except (DataError, OSError):
        return None
    return _counts(listing, data)


_last: tuple[Data, Path, tuple[int, int] | None] | None = None  # what was counted last


def _counts(listing: Listing, data: Data) -> tuple[int, int] | None:
    if listing.partial:
        return None
    given = [entry.split for entry in listing.entries]
    kept_back = data.split.val + data.split.test if data.split else 0.0
    train = given.count("train") + round(given.count(None) * (1 - kept_back))
    return train, len(given) - train


def scan(data: Data, cache: Path, progress: Progress) -> Scan:
    """Fetches or writes what is missing, lists the files, hashes what is new or has changed."""
    kept = _kept(data, cache, progress)
    if kept is None:
        return _scanned(data, cache, progress)
    kept.bring(progress)
    found = _scanned(data, cache, progress)
    if kept.hold_against(found.digests, found.listing.root, progress):
        return found
    return _scanned(data, cache, progress)


def listed_whole(data: Data, cache: Path, progress: Progress) -> Listing:
    """The files as they lie there, to judge a model by: nothing is split off them, and one class
    will do. DataError for a source that is not there, can't be understood or is empty."""
    kept = _kept(data, cache, progress)
    if kept is not None:
        kept.bring(progress)
    whole = data.model_copy(update={"split": Whole()})
    listing = _listed(whole, data_root(data, cache), cache, None)
    check_there(listing)
    return listing


def _scanned(data: Data, cache: Path, progress: Progress) -> Scan:
    listing = _grouped(_list(data, cache), data)
    digests, unreadable = Digests(cache, listing.root).of(
        listing.entries, progress, listing.kind.many
    )
    return Scan(listing, digests, _with_other_names(listing.root, unreadable))


def _with_other_names(root: Path, unreadable: Mapping[str, str]) -> dict[str, str]:
    """The reasons; of files that are not there with the name that probably was meant."""
    there: dict[Path, dict[str, str]] = {}
    told = {}
    for path, reason in unreadable.items():
        folder = (root / path).parent
        if folder not in there:
            names: list[str] = []
            with suppress(OSError):  # no such folder, or one that can't be listed
                names = [item.name for item in folder.iterdir()]
            there[folder] = {plain_name(name): name for name in names}
        other = there[folder].get(plain_name(Path(path).name), Path(path).name)
        if other != Path(path).name:
            reason += f", but {shown(other)}, whose name differs in case or Unicode form only"
        told[path] = reason
    return told


def _kept(data: Data, cache: Path, progress: Progress) -> KeptFolder | None:
    """What is tfedge's own below the cache: a sample, an unpacked download."""
    if data.download:
        return _kept_download(data.download, cache, progress)
    if _path(data).startswith(PREFIX):
        return kept_sample(_path(data), cache)
    return _rows(data, cache)


def _rows(data: Data, cache: Path) -> KeptFolder | None:
    """Where the examples of a table are unpacked to, whose rows hold them."""
    columns = data.row_columns
    if data.download or columns is None or not is_table(_path(data)):
        return None
    return kept_rows(Path(_path(data)), columns, cache)


def _path(data: Data) -> str:
    if data.path is None:
        raise DataError(["data: neither path nor download is given"], "set data.path")
    if problem := path_problem(data.path):
        raise DataError([f"data.path: {problem}"], "set data.path")
    return data.path


def _is_csv(path: str) -> bool:
    return path.lower().endswith(SUFFIXES) and not Path(path).is_dir()


def _list(data: Data, cache: Path, until: float | None = None) -> Listing:
    listing = _listed(data, data_root(data, cache), cache, until)
    check_sound(listing)
    return _going_on(listing, data.earlier)


def _going_on(listing: Listing, earlier: tuple[str, ...]) -> Listing:
    """With the classes of an earlier run first, as they stood there."""
    if not earlier or listing.partial:
        return listing
    classes, order, warning = after(earlier, listing.classes)
    warnings = (*listing.warnings, *([warning] if warning else []))
    return replace(listing, classes=classes, order=order, warnings=warnings)


def _listed(data: Data, root: Path, cache: Path, until: float | None) -> Listing:
    if data.kind.listed:
        if not root.is_dir():
            raise _missing(data, root, cache)
        found: Listing = imported(data.kind.listed)(data, root, until)
        return found
    classes = None if data.classes is None else tuple(map(str, data.classes))
    column = data.group if data.group and not is_expression(data.group) else None
    if (rows := _rows(data, cache)) is not None:
        group, table = "group" if column else None, rows.folder / TABLE
        return list_csv(table, data.split, None, classes, group, until, kind=data.kind)
    if data.path and _is_csv(data.path):
        if not Path(data.path).is_file():
            raise DataError([f"{data.path}: no such file{_near(Path(data.path))}"], "see data.path")
        named = data.csv, classes, column, until
        return list_csv(Path(data.path), data.split, *named, kind=data.kind)
    if data.csv is not None or column is not None:
        key = "csv" if data.csv is not None else f"group: {column}"
        raise DataError(
            [f"data.{key}: is for a CSV, and data.path is none"],
            "a folder's groups are found by a regular expression with one group in parentheses",
        )
    if not root.is_dir():
        raise _missing(data, root, cache)
    return list_folder(root, data.split, classes, until, kind=data.kind)


def _grouped(listing: Listing, data: Data) -> Listing:
    """With the groups that an expression finds."""
    if data.group is None or not is_expression(data.group):
        return listing
    entries, warnings = grouped(listing.entries, data.group)
    return replace(listing, entries=entries, warnings=(*listing.warnings, *warnings))


def _missing(data: Data, root: Path, cache: Path) -> DataError:
    if data.download:
        top = sorted(item.name for item in _unpacked(data.download, cache).iterdir())
        return DataError(
            [f"data.download.folder: no folder {data.download.folder!r} in the archive"],
            f"at its top there are: {', '.join(map(shown, top[:10]))}",
        )
    return missing(root, f"set data.path to a folder, a .csv file or {data.kind.sample}")


def missing(root: Path, way: str) -> DataError:
    """The error for what is no folder; ``way`` out of it where none is nearer."""
    if not root.exists():
        what, hint = f"no such folder{_near(root)}", ""
    else:
        what = "neither a folder nor a .csv file"
        hint = _FILES.get(root.suffix.lower(), "")
    return DataError([f"{root}: {what}"], hint or way)


def _near(path: Path) -> str:
    """``", did you mean x?"`` when a neighbour has nearly that name."""
    try:
        names = [
            item.name
            for item in path.parent.iterdir()
            if item.is_dir() or item.suffix.lower() in SUFFIXES
        ]
    except OSError:
        return ""
    near = closest(path.name, names)
    return f", did you mean {path.with_name(near)}?" if near else ""


def _unpacked(source: Download, cache: Path) -> Path:
    return cache / "downloads" / source.sha256


def _folder(source: Download) -> PurePosixPath:
    folder = PurePosixPath(source.folder)
    if folder.is_absolute() or ".." in folder.parts:
        raise DataError([f"data.download.folder: {source.folder!r} leads out of the archive"])
    return folder


def _kept_download(source: Download, cache: Path, progress: Progress) -> KeptFolder:
    """Where an archive is fetched and unpacked to, unless that has been done."""
    target = _unpacked(source, cache)
    _folder(source)

    def fill(folder: Path) -> None:
        from tfedge.files.archive import unpack
        from tfedge.files.budget import DATA
        from tfedge.files.download import download

        archive = target.with_name(f"{target.name}.archive")
        download(source.url, source.sha256, archive, progress, limits=DATA)
        progress.note(f"unpacking {source.url}")
        unpack(archive, folder, called=source.url)
        archive.unlink(missing_ok=True)

    return KeptFolder(target, fill, without_secrets(source.url))
