"""A folder of files that tfedge has put into its cache, with a list of what is in it.

The list (``NAME.files.json`` beside the folder: size and SHA-256 of each file) is what a later run
holds the folder against: images that somebody has deleted or changed there would otherwise be
learnt from without a word.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from tfedge.errors import ArtifactError
from tfedge.files.artifact import canonical_json, disk_errors, read_json, sha256_file, write_atomic
from tfedge.files.files import locked, scratch_folder, shown
from tfedge.files.progress import Progress


@dataclass(frozen=True)
class KeptFolder:
    """A folder of the cache that ``fill`` makes when it is not there, or not what it was.

    ``fill`` is given the path of a folder that does not exist yet, and makes it; ``called`` is what
    messages call the folder.
    """

    folder: Path
    fill: Callable[[Path], object]
    called: str

    @property
    def list_file(self) -> Path:
        """The list of its files."""
        return self.folder.with_name(f"{self.folder.name}.files.json")

    def bring(self, progress: Progress) -> Path:
        """The folder, made or mended if need be: its files are there, and of the right size.

        Raises ArtifactError when the disk refuses, and whatever ``fill`` raises; then the folder is
        as it was.
        """
        if self.difference():
            with self._alone(progress):
                wrong = self.difference()
                if wrong:
                    self._make(progress, wrong)
        with suppress(OSError):  # another user's: when it was used last is not ours to write
            os.utime(self.list_file)
        return self.folder

    def hold_against(self, digests: Mapping[str, str], below: Path, progress: Progress) -> bool:
        """Whether files have the content they were made with; if not, the folder is made again.

        ``digests`` are SHA-256 by path relative to ``below``, the folder itself or one inside it.
        """
        wrong = self._changed(digests, below)
        if not wrong:
            return True
        with self._alone(progress):
            self._make(progress, wrong)
        return False

    def difference(self) -> str:
        """The first file that is not as the list says, by name and size; empty when all are."""
        if not self.folder.is_dir():
            return "not there"
        listed = self._listed()
        if listed is None:
            return f"{self.list_file.name} is missing or damaged"
        there = {
            path.relative_to(self.folder).as_posix(): path.stat().st_size
            for path in self.folder.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        for name, (size, _) in listed.items():
            if name not in there:
                return f"{shown(name)} is missing"
            if there[name] != size:
                return f"{shown(name)} has {there[name]} bytes, not {size}"
        more = min(there.keys() - listed.keys(), default="")
        return f"{shown(more)} does not belong there" if more else ""

    def _changed(self, digests: Mapping[str, str], below: Path) -> str:
        listed = self._listed() or {}
        prefix = below.relative_to(self.folder)
        for path, digest in digests.items():
            name = (prefix / path).as_posix()
            if listed.get(name, (0, ""))[1] != digest:
                return f"{shown(name)} is not what was written"
        return ""

    def _listed(self) -> dict[str, tuple[int, str]] | None:
        try:
            raw = read_json(self.list_file)
            return {str(name): (int(size), str(digest)) for name, (size, digest) in raw.items()}
        except (ArtifactError, AttributeError, TypeError, ValueError):
            return None

    def _alone(self, progress: Progress) -> AbstractContextManager[None]:
        lock = self.folder.with_name(f"{self.folder.name}.lock")
        return locked(lock, waiting=self.called, note=progress.note)

    def _make(self, progress: Progress, wrong: str) -> None:
        if self.folder.exists():
            progress.note(f"cache: {self.called}: {wrong}: made again")
        with scratch_folder(self.folder) as scratch:
            made = scratch / "made"
            self.fill(made)
            files = sorted(path for path in made.rglob("*") if path.is_file())
            listed = {
                path.relative_to(made).as_posix(): (path.stat().st_size, sha256_file(path))
                for path in files
            }
            with disk_errors(self.folder):
                shutil.rmtree(self.folder, ignore_errors=True)
                write_atomic(self.list_file, canonical_json(listed))
                made.rename(self.folder)
