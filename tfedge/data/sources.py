"""What ``data`` in the pipeline file stands for: a folder, a CSV, a built-in sample, a download.

Imports neither numpy nor Pillow: ``--dry-run`` asks here whether the images are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tfedge.config.spelling import closest
from tfedge.data.digests import Digests
from tfedge.data.listing import Listing, list_folder
from tfedge.data.samples import PREFIX, kept_sample, sample_root
from tfedge.data.schema import Data, Download
from tfedge.data.table import list_csv
from tfedge.errors import DataError
from tfedge.files.files import shown
from tfedge.files.kept import KeptFolder
from tfedge.files.progress import Progress, Silent


@dataclass(frozen=True)
class Scan:
    """A listing with each file's SHA-256. By path: ``digests``, and in ``unreadable`` why not."""

    listing: Listing
    digests: Mapping[str, str]
    unreadable: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over classes and, for each file, path, label, split and content."""
        listing = self.listing
        total = hashlib.sha256("\0".join((listing.split_from, *listing.classes)).encode())
        for entry in listing.entries:
            content = self.digests.get(entry.path) or f"!{self.unreadable[entry.path]}"
            line = "\0".join((entry.path, entry.label, entry.split or "", content))
            total.update(b"\n" + line.encode())
        return total.hexdigest()


def data_root(data: Data, cache: Path) -> Path:
    """Where the images lie, or will after a download. Paths in index.json are relative to it."""
    if data.download:
        return _unpacked(data.download, cache) / _folder(data.download)
    path = _path(data)
    if path.startswith(PREFIX):
        return sample_root(path, cache)
    return Path(path).parent if _is_csv(path) else Path(path)


def source_digest(
    data: Data, cache: Path, hash_new: bool = True, progress: Progress | None = None
) -> str | None:
    """A digest of all images with their labels and splits: the same as long as they are.

    With ``hash_new`` False nothing is fetched, written or read but names and stamps: None when that
    is not enough to know. Raises DataError for a source that is not there or can't be understood,
    ArtifactError for a download that fails.
    """
    if hash_new:
        return scan(data, cache, progress or Silent()).digest
    if not data_root(data, cache).is_dir() and (data.download or _path(data).startswith(PREFIX)):
        return None
    listing = _list(data, cache)
    digests = Digests(cache, listing.root)
    known: dict[str, str] = {}
    for entry in listing.entries:
        digest = digests.known(entry)
        if digest is None:
            return None
        known[entry.path] = digest
    return Scan(listing, known, {}).digest


def scan(data: Data, cache: Path, progress: Progress) -> Scan:
    """Fetches or writes what is missing, lists the images, hashes what is new or has changed."""
    kept = _kept(data, cache, progress)
    if kept is None:
        return _scanned(data, cache, progress)
    kept.bring(progress)
    found = _scanned(data, cache, progress)
    if kept.hold_against(found.digests, found.listing.root, progress):
        return found
    return _scanned(data, cache, progress)


def _scanned(data: Data, cache: Path, progress: Progress) -> Scan:
    listing = _list(data, cache)
    digests, unreadable = Digests(cache, listing.root).of(listing.entries, progress)
    return Scan(listing, digests, unreadable)


def _kept(data: Data, cache: Path, progress: Progress) -> KeptFolder | None:
    """What is tfedge's own below the cache: a sample, an unpacked download."""
    if data.download:
        return _kept_download(data.download, cache, progress)
    return kept_sample(_path(data), cache) if _path(data).startswith(PREFIX) else None


def _path(data: Data) -> str:
    if data.path is None:
        raise DataError(["data: neither path nor download is given"], "set data.path")
    return data.path


def _is_csv(path: str) -> bool:
    return path.lower().endswith(".csv") and not Path(path).is_dir()


def _list(data: Data, cache: Path) -> Listing:
    root = data_root(data, cache)
    if data.path and _is_csv(data.path):
        if not Path(data.path).is_file():
            raise DataError([f"{data.path}: no such file{_near(Path(data.path))}"], "see data.path")
        return list_csv(Path(data.path), data.split)
    if not root.is_dir():
        raise _missing(data, root, cache)
    return list_folder(root, data.split)


def _missing(data: Data, root: Path, cache: Path) -> DataError:
    if data.download:
        top = sorted(item.name for item in _unpacked(data.download, cache).iterdir())
        return DataError(
            [f"data.download.folder: no folder {data.download.folder!r} in the archive"],
            f"at its top there are: {', '.join(map(shown, top[:10]))}",
        )
    what = "neither a folder nor a .csv file" if root.exists() else f"no such folder{_near(root)}"
    return DataError([f"{root}: {what}"], "set data.path to a folder, a .csv file or sample:digits")


def _near(path: Path) -> str:
    """``", did you mean x?"`` when a neighbour has nearly that name."""
    try:
        names = [item.name for item in path.parent.iterdir()]
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
        from tfedge.files.download import download

        archive = target.with_name(f"{target.name}.archive")
        download(source.url, source.sha256, archive, progress)
        progress.note(f"unpacking {source.url}")
        unpack(archive, folder, called=source.url)
        archive.unlink(missing_ok=True)

    return KeptFolder(target, fill, source.url)
