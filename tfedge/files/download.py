"""Fetching one file over HTTP: resumed where it broke off, unread until its digest is right."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import requests
import urllib3

from tfedge.errors import ArtifactError
from tfedge.files.artifact import disk_errors, file_digest
from tfedge.files.budget import Limits
from tfedge.files.files import locked
from tfedge.files.progress import Progress
from tfedge.redact import HIDDEN, without_secrets

TRIES = 4
BACKOFF = 0.5  # seconds before the second try, doubled for each one after
TIMEOUT = (10, 30)  # seconds to connect, and without a byte
_BLOCK = 1 << 18
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError)


OFFLINE = "without a network put the data on disk and set data.path"
CHANGED = (
    "the server has another version, or something in between changed it: if you trust it, set the "
    "new digest"
)


class NotFetched(ArtifactError):
    """The server can't be reached, or has no such file."""


class _Restart(Exception):
    """What lies there can't be continued."""


class _TooMuch(Exception):
    """More bytes than the limit, announced or sent."""


class _TooSlow(Exception):
    """The time is over."""


def download(
    url: str,
    digest: str,
    target: Path,
    progress: Progress,
    *,
    limits: Limits,
    offline: str = OFFLINE,
    changed: str = CHANGED,
) -> Path:
    """Bring ``url`` to ``target``. It has the digest, or there is no ``target``.

    Bytes go to ``target.part``, which a later try or run continues (HTTP Range; a server without it
    starts over). A continued file with a wrong digest is fetched once more from the start: it may
    have changed between the two.

    Args:
        digest: SHA-256 in hex, or MD5 where its publisher gives no other; "" where he gives none:
            then what lies at ``target`` is taken as it is, and no earlier run's part is continued.
        limits: How many bytes it may have, whatever the server says, and how many seconds it may
            take.
        offline, changed: the way out when it can't be fetched, and when it is another file.

    Raises ArtifactError: wrong digest or too large (the file is removed), no space, too slow;
    NotFetched: no such file, or no connection after ``TRIES`` tries (the part is kept).
    """
    part = target.with_name(f"{target.name}.part")
    lock = target.with_name(f"{target.name}.lock")
    waiting = f"{without_secrets(url)}, which another run fetches"
    with locked(lock, waiting=waiting, note=progress.note):
        if target.is_file() and is_right(target, digest):
            return target
        if not digest:
            part.unlink(missing_ok=True)
        if not digest or not part.is_file() or not is_right(part, digest):
            fetch = partial(_fetch, url, part, progress, limits, offline)
            if fetch() and not is_right(part, digest):
                part.unlink()
                fetch()
        if not is_right(part, digest):
            kind = kind_of(digest)
            got = digest_of(part, kind)
            part.unlink()
            what = "not the file that is pinned"
            raise ArtifactError(url, what, changed, f"{kind} {digest}", f"{kind} {got}")
        part.replace(target)
    return target


def is_right(path: Path, digest: str) -> bool:
    """Whether a file has an SHA-256 or MD5; any file has none."""
    return not digest or digest_of(path, kind_of(digest)) == digest


def kind_of(digest: str) -> str:
    """What a digest in hex is: ``md5``, or ``sha256``."""
    return "md5" if len(digest) == 32 else "sha256"


def digest_of(path: Path, kind: str) -> str:
    """``file_digest``; ArtifactError when the file can't be read."""
    with disk_errors(path):
        return file_digest(path, kind)


def _fetch(url: str, part: Path, progress: Progress, limits: Limits, offline: str) -> bool:
    """Fills ``part`` to its end. True when it was pieced together from several answers."""
    if HIDDEN in url:
        what = f"{HIDDEN} stands where a password or token was, which a run does not keep"
        raise NotFetched(url, what, f"give the whole address, as by --set; {offline}")
    continued = False
    end = time.monotonic() + limits.seconds
    for attempt in range(1, TRIES + 1):
        try:
            continued |= _continue(url, part, progress, limits.size, end)
            return continued
        except _Restart:
            part.unlink(missing_ok=True)
        except _TooMuch as error:
            part.unlink(missing_ok=True)
            what = f"{error}, more than {limits.size:,} bytes: refused"
            raise ArtifactError(url, what, "check the address") from error
        except _TooSlow as error:
            what = f"not here after {limits.seconds:,.0f} seconds"
            hint = f"run again, it goes on where it stopped; {offline}"
            raise ArtifactError(url, what, hint) from error
        except _BROKEN as error:
            if attempt == TRIES:
                raise NotFetched(
                    url,
                    f"not reached, or cut off, {TRIES} times: {_reason(error)}",
                    f"run again, it goes on where it stopped; {offline}",
                ) from error
            progress.note(without_secrets(f"{url}: {_reason(error)}; trying again"))
            time.sleep(BACKOFF * 2 ** (attempt - 1))
    raise NotFetched(url, "the server answers each range with another one", "try again later")


def _reason(error: BaseException) -> str:
    """The innermost cause, in its own words."""
    text = str(error)
    found = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(timed out|IncompleteRead\([^)]*\))", text)
    return (found.group(1) or found.group(2)) if found else text.splitlines()[0][:200]


def _continue(url: str, part: Path, progress: Progress, most: int, end: float) -> bool:
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
            what = f"HTTP {answer.status_code} {answer.reason}"
            raise NotFetched(url, what, "check the address")
        if answer.status_code == 206:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                raise _Restart
        else:
            have = 0
        total = _total(answer.headers.get("Content-Length", ""), have)
        if max(have, total or 0) > most:
            raise _TooMuch(f"announces {max(have, total or 0):,} bytes")
        blocks = answer.raw.stream(_BLOCK, decode_content=False)
        _append(part, have, _bounded(blocks, most - have, end), total, progress)
        return have > 0


def _total(length: str, have: int) -> int | None:
    """The size that the file will have, by a Content-Length. None: it does not say."""
    return have + int(length) if re.fullmatch("[0-9]{1,18}", length) else None


def _bounded(blocks: Iterator[bytes], left: int, end: float) -> Iterator[bytes]:
    """The blocks, until they are more than ``left`` bytes or it is later than ``end``."""
    for block in blocks:
        left -= len(block)
        if left < 0:
            raise _TooMuch("sends too much")
        if time.monotonic() > end:
            raise _TooSlow
        yield block


def _append(
    part: Path, have: int, blocks: Iterator[bytes], total: int | None, progress: Progress
) -> None:
    """Writes the blocks from byte ``have`` on; ``total`` is the size the file must end with."""
    with disk_errors(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("r+b" if have else "wb")
    with file:
        file.seek(have)
        for block in blocks:
            with disk_errors(part):
                file.write(block)
                file.flush()
            have += len(block)
            progress.update("download", have, max(total or 0, have), "bytes")
    if total is not None and have < total:  # urllib3 1.26 does not notice
        raise requests.ConnectionError(f"cut off after {have} of {total} bytes")
