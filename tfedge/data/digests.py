"""SHA-256 of files, remembered by size, times and inode, so that no file is read twice for it.

One JSON file a data root in ``cache/stat``, which carries its own digest. It is a cache: when it is
damaged or lost, files are hashed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tfedge.data.listing import Entry, Stamp, stamp_of
from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json, sha256_file, write_text
from tfedge.files.parallel import in_order
from tfedge.files.progress import Progress

# File systems stamp with the kernel's tick (10 ms at most): a file that changed within the last
# tick could change again and keep its stamp.
_TICK = 0.02


class Digests:
    """The digests of the files below one root."""

    def __init__(self, cache: Path, root: Path) -> None:
        self.root = root
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self.path = cache / "stat" / f"{name}.json"
        self._known = self._load()

    def _load(self) -> dict[str, tuple[Stamp, str]]:
        try:
            raw = read_json(self.path)
            if raw["sha256"] != _sum(raw["files"]):
                return {}
            return {path: (tuple(stamp), digest) for path, (stamp, digest) in raw["files"].items()}
        except (ArtifactError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def cached_digest(self, entry: Entry) -> str | None:
        """The digest, if the file is as it was when it was hashed."""
        stamp, digest = self._known.get(entry.path, (None, ""))
        return digest if stamp is not None and stamp == entry.stamp else None

    def of(
        self, entries: Sequence[Entry], progress: Progress, unit: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """By path: the digests, and why the others can't be read. Hashes what is new."""
        found = {entry.path: digest for entry in entries if (digest := self.cached_digest(entry))}
        failed: dict[str, str] = {}
        new = [entry for entry in entries if entry.path not in found]
        if new:
            self._wait_a_tick(new)
            hashed = in_order(lambda entry: _sha256(self.root / entry.path), new, ahead=256)
            for done, (entry, (stamp, digest, reason)) in enumerate(hashed, 1):
                if reason:
                    failed[entry.path] = reason
                else:
                    found[entry.path] = digest
                if stamp:
                    self._known[entry.path] = (stamp, digest)
                if done % 64 == 0 or done == len(new):
                    progress.update("hash", done, len(new), unit)
            self._save(entries)
        return found, failed

    @staticmethod
    def _wait_a_tick(entries: Sequence[Entry]) -> None:
        newest = max(entry.stamp[2] if entry.stamp else 0 for entry in entries)
        if 0 <= time.time_ns() - newest < _TICK * 1e9:
            time.sleep(_TICK)

    def _save(self, entries: Sequence[Entry]) -> None:
        listed = {entry.path for entry in entries}
        files = {path: known for path, known in self._known.items() if path in listed}
        known = {"root": str(self.root), "files": files, "sha256": _sum(files)}
        write_text(self.path, json.dumps(known))


def _sum(files: object) -> str:
    """What tells a file of ours that a disk has damaged: a changed digest in it would be taken for
    that of an example."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> tuple[Stamp | None, str, str]:
    """(stamp, digest, reason it can't be read). No stamp when it changes while it is read."""
    try:
        if not path.is_file():
            return None, "", "no such file"
        before, digest, after = stamp_of(path.stat()), sha256_file(path), stamp_of(path.stat())
    except OSError as error:
        return None, "", f"can't be read: {error.strerror}"
    return (before if before == after else None), digest, ""
