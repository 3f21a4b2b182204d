"""Fetching one file over HTTP: resumed where it broke off, unread until its digest is right."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path

import requests
import urllib3

from tfedge.core.artifact import disk_error
from tfedge.core.context import Progress
from tfedge.data.files import locked
from tfedge.errors import ArtifactError

TRIES = 4
BACKOFF = 0.5  # seconds before the second try, doubled for each one after
TIMEOUT = (10, 30)  # seconds to connect, and without a byte
_BLOCK = 1 << 18
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError)


class _Restart(Exception):
    """What lies there can't be continued."""


def download(url: str, sha256: str, target: Path, progress: Progress) -> Path:
    """Brings ``url`` to ``target``. Its SHA-256 is ``sha256``, or there is no ``target``.

    Bytes go to ``target.part``, which a later try or run continues (HTTP Range; a server without it
    starts over). A continued file with a wrong digest is fetched once more from the start: it may
    have changed between the two. Raises ArtifactError: wrong digest (the file is removed), an
    answer that is none, no connection after ``TRIES`` tries (the part is kept), no space.
    """
    part = target.with_name(f"{target.name}.part")
    with locked(target.with_name(f"{target.name}.lock")):
        if target.is_file() and _digest(target) == sha256:
            return target
        if not part.is_file() or _digest(part) != sha256:
            continued = _fetch(url, part, progress)
            if continued and _digest(part) != sha256:
                part.unlink()
                _fetch(url, part, progress)
        got = _digest(part)
        if got != sha256:
            part.unlink()
            raise ArtifactError(
                url,
                "not the file that the pipeline pins",
                "the server has another version, or something in between changed it: if you trust "
                "it, set the new digest",
                f"sha256 {sha256}",
                f"sha256 {got}",
            )
        part.replace(target)
    return target


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise disk_error(error, path) from error
    return digest.hexdigest()


def _fetch(url: str, part: Path, progress: Progress) -> bool:
    """Fills ``part`` to its end. True when it was pieced together from several answers."""
    continued = False
    for attempt in range(1, TRIES + 1):
        try:
            continued |= _continue(url, part, progress)
            return continued
        except _Restart:
            part.unlink(missing_ok=True)
        except _BROKEN as error:
            if attempt == TRIES:
                raise ArtifactError(
                    url,
                    f"not reached, or cut off, {TRIES} times: {_reason(error)}",
                    "run again, it goes on where it stopped; without a network put the data on "
                    "disk and set data.path",
                ) from error
            progress.note(f"{url}: {_reason(error)}; trying again")
            time.sleep(BACKOFF * 2 ** (attempt - 1))
    raise ArtifactError(url, "the server answers each range with another one", "try again later")


def _reason(error: BaseException) -> str:
    """The innermost cause, in its own words."""
    text = str(error)
    found = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(timed out|IncompleteRead\([^)]*\))", text)
    return (found.group(1) or found.group(2)) if found else text.splitlines()[0][:200]


def _continue(url: str, part: Path, progress: Progress) -> bool:
    """One request for what is missing behind ``part``. True when the answer was just that."""
    have = part.stat().st_size if part.exists() else 0
    # identity: the digest is that of the file as it lies on the server, and so are the ranges
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == 416:
            raise _Restart
        if answer.status_code in (429, 500, 502, 503, 504):
            raise requests.HTTPError(f"HTTP {answer.status_code} {answer.reason}")
        if answer.status_code not in (200, 206):
            raise ArtifactError(
                url, f"HTTP {answer.status_code} {answer.reason}", "check data.download.url"
            )
        if answer.status_code == 206:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise _Restart
        else:
            have = 0
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        _append(part, have, answer.raw.stream(_BLOCK, decode_content=False), total, progress)
        return have > 0


def _append(
    part: Path, have: int, blocks: Iterator[bytes], total: int | None, progress: Progress
) -> None:
    """Writes the blocks from byte ``have`` on; ``total`` is the size the file must end with."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("r+b" if have else "wb")
    except OSError as error:
        raise disk_error(error, part) from error
    with file:
        file.seek(have)
        for block in blocks:
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise disk_error(error, part) from error
            have += len(block)
            progress.update("download", have, max(total or 0, have), "bytes")
    if total is not None and have < total:  # urllib3 1.26 does not notice
        raise requests.ConnectionError(f"cut off after {have} of {total} bytes")
