"""Bringing a file into the cache, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfedge.files.artifact import disk_error
from tfedge.files.files import locked


@contextmanager
def incoming(target: Path) -> Iterator[Path]:
    """An empty folder beside ``target``, on the same disk, to move a finished file from.

    Under a lock, so that two runs do not fetch the same file, and what a killed one left is
    removed. Raises ArtifactError when the disk refuses.
    """
    folder = target.with_name(f".{target.name}.incoming")
    with locked(target.with_name(f".{target.name}.lock")):
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
        except OSError as error:
            raise disk_error(error, target) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
