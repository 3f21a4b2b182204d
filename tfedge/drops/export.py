"""Take the drops of a finished run out of its directory, as folders or archives."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tfedge.drops import archive, manifest
from tfedge.drops.verify import verify
from tfedge.errors import DropError

_DROPS = "drops"  # in a run directory: a folder for each target
_UNFINISHED = re.compile(r"\..+-[a-z]+(?:\.zip)?\.([1-9][0-9]{0,6})\.tmp")


def export(
    run_dir: Path, out: Path, *, targets: Sequence[str] = (), archived: bool = False
) -> Iterator[tuple[Path, int]]:
    """Check each drop of the run and put it into ``out`` as ``NAME-TARGET`` or ``NAME-TARGET.zip``.

    Yields where it lies and its bytes. DropError when there is none, one does not hold, or a
    folder of that name is there and is no drop.
    """
    drops = run_dir / _DROPS
    with suppress(FileNotFoundError, NotADirectoryError):
        drops.stat()  # from Python 3.13 on glob finds nothing where nothing can be looked for
    found = {path.name: path for path in sorted(drops.glob("*")) if path.is_dir()}
    if not found:
        raise DropError(f"{run_dir}: no drops in it", "the pipeline needs a package section")
    unknown = [target for target in targets if target not in found]
    if unknown:
        what = f"{run_dir}: no drop for {', '.join(unknown)}"
        raise DropError(what, f"it has {', '.join(found)}")
    _sweep(out)
    for target in dict.fromkeys(targets) or found:
        folder = found[target]
        problems = [problem for check in verify(folder) for problem in check.problems]
        if problems:
            raise DropError(f"{folder}: {'; '.join(problems)}", "run the pipeline again")
        name = f"{manifest.load(folder)['name']}-{target}"
        if archived:
            path = out / f"{name}{archive.SUFFIX}"
            archive.pack(folder, path)
            yield path, path.stat().st_size
        else:
            yield out / name, _copy(folder, out / name)


def _sweep(out: Path) -> None:
    """Remove what processes that were killed here had not finished."""
    for left in out.glob(".*.tmp"):
        if (found := _UNFINISHED.fullmatch(left.name)) and not _lives(int(found[1])):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _copy(folder: Path, to: Path) -> int:
    """The drop in ``to``, in place of a drop that was there, and its bytes."""
    if to.exists() and not (to / manifest.NAME).is_file():
        raise DropError(f"{to}: is there already and is no drop", "remove it, or choose --out")
    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(folder, temporary)
        if to.exists():
            shutil.rmtree(to)
        temporary.replace(to)
    except (OSError, shutil.Error) as error:
        raise DropError(f"{to}: can't be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
