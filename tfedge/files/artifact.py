"""Digests, canonical JSON, and writing so that a file is whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfedge.errors import ArtifactError

_DEEPEST = 64  # lists and objects in each other
_ELSEWHERE = "make it readable and writable, or give another folder: --runs, --cache (TFEDGE_CACHE)"
FULL = {errno.ENOSPC, errno.EDQUOT}
_SHORT = re.compile(r"\d+ requested and \d+ written$")  # numpy's words for it
TEMPORARY = ".tmp"  # how the name of a file that is not whole yet ends


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return file_digest(path, "sha256")


def file_digest(path: Path, kind: str) -> str:
    """A digest of a file's bytes, by hashlib's name of it, in hex; a piece is read at a time."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with one spelling for one value: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is either whole or not there, and the folders to it: to a temporary name,
    then renamed. ArtifactError when the disk refuses.

    No fsync: what a power cut leaves behind is seen by its digest.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp, whose 0600 would hide results from others: the umask decides.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, atomically."""
    write_atomic(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, hint: str = "") -> Any:
    """Read a JSON file of ours; ArtifactError, with that hint, if it is not there or no JSON."""
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(path, f"can't be read as JSON: {error}", hint) from None


def parse_json(text: str | bytes) -> Any:
    """A document from elsewhere. ValueError: no JSON, or deeper than anything that is written for a
    program to read."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        if isinstance(error, (json.JSONDecodeError, UnicodeError)):
            raise
        raise ValueError("holds a number of too many digits") from None  # Python's limit
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _within(value: Any) -> list[Any]:
    """The lists and objects that a list or an object holds."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in inner if isinstance(item, (dict, list))]


def out_of_space(error: BaseException) -> bool:
    """Whether an error says that a disk, or the user's share of it, is full."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    text = str(error)  # libraries put it into their own words
    return os.strerror(errno.ENOSPC) in text or bool(_SHORT.search(text))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say in one line what the file system refused below ``path``: no space, no permission."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> ArtifactError:
    """A refused file operation as an ArtifactError with the way out."""
    # Of two files (copied, renamed, linked) the second is the one that needs space.
    full = out_of_space(error)
    said = (full and error.filename2) or error.filename
    where = Path(os.fsdecode(said)) if isinstance(said, (str, bytes, os.PathLike)) else path
    if full:
        return no_space(where)
    if error.errno == errno.ENAMETOOLONG:
        what = f"a path of {len(str(where)):,} characters is too long"
        return ArtifactError(f"{str(where)[:100]}…", what, "give a shorter one")
    return ArtifactError(where, f"the disk refuses: {error.strerror or error}", _ELSEWHERE)


def refused(error: BaseException) -> ArtifactError | None:
    """What the system refused, where nobody has put it into words: a path that is too long, a
    folder without permission. None for any other error."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.filename is None:
        return ArtifactError("a file", f"the system refuses: {error.strerror}", _ELSEWHERE)
    return disk_error(error, Path())


def no_space(where: Path | str) -> ArtifactError:
    """The disk that holds ``where`` is full."""
    hint = "free some space, or name another disk: --runs, --cache (TFEDGE_CACHE); then run again"
    return ArtifactError(where, "no space left on this disk", hint)
