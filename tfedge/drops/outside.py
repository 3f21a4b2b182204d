"""What drops need and are made of beside what other stages made; see ``core.stages.Stage``."""

from __future__ import annotations

from pathlib import Path

from tfedge.drops import coral_compiler
from tfedge.drops.public import is_folder, public_digest, public_files
from tfedge.drops.templates import copied_digest
from tfedge.files.progress import Progress
from tfedge.pipeline.schema import Package


def needs(package: Package | None) -> None:
    """MissingDependency as of ``coral_compiler.needs``, DataError for a folder of golden inputs
    that is not there: better now than after the training."""
    coral_compiler.needs(package)
    if package is not None and is_folder(package.golden):
        public_files(Path(package.golden))


def digest(
    package: Package, cache: Path, hash_new: bool = True, progress: Progress | None = None
) -> str | None:
    """Of texts, scripts and the files of ``package.golden``. None: some of these are new, and with
    ``hash_new`` False they are not read."""
    if not is_folder(package.golden):
        return copied_digest()
    public = public_digest(Path(package.golden), cache, hash_new, progress)
    return None if public is None else f"{copied_digest()} {public}"
