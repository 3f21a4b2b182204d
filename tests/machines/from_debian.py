"""What the builders share that make something out of Debian's packages, once, in a folder."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

APT = """\
APT::Sandbox::User "";
Dir::State::lists "{work}/lists";
Dir::Cache "{work}/cache";
Acquire::Languages "none";
Acquire::Retries "2";
"""
TIMEOUT = 600  # seconds for one command: a slow mirror, not a dead one


class Unavailable(RuntimeError):
    """This machine can't provide it; the message says why in one line."""


def run(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """What a command that must succeed printed on stdout. Unavailable when it does not."""
    words = [*map(str, command)]
    plain = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=os.environ | plain | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{words[0]}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["(it printed nothing)"]
        reasons = [line for line in lines if line.lower().startswith(("e:", "error"))] or lines
        name = " ".join(words[:3])
        raise Unavailable(f"{name} … ended with {done.returncode}: {reasons[-1].strip()}")
    return done.stdout


def need_debian(what: str) -> None:
    """Unavailable unless this is x86-64 Linux with the programs to fetch and unpack packages."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Unavailable(f"{what} needs x86-64 Linux, not {platform.platform()}")
    if missing := [name for name in ("apt-get", "dpkg-deb", "tar") if not shutil.which(name)]:
        raise Unavailable(f"{what} is made of Debian packages; not found: {missing}")


def private_apt(work: Path, settings: str = "") -> dict[str, str]:
    """The environment in which apt keeps its lists and downloads below ``work`` and takes these
    further settings (``{work}`` in them is that folder). Its sources are this machine's."""
    for part in ("lists/partial", "cache/archives/partial"):
        (work / part).mkdir(parents=True)
    conf = work / "apt.conf"
    conf.write_text((APT + settings).replace("{work}", str(work)), encoding="utf-8")
    return {"APT_CONFIG": str(conf)}


def made_once(folder: Path, recipe: str, make: Callable[[Path], Path]) -> Path:
    """The folder's part for this recipe; unless it is there, what ``make`` builds becomes it.

    ``make`` gets an empty folder to work in and returns what to keep of it: complete, or the part
    does not exist. Another process may build the same at the same time.
    """
    place = folder.resolve() / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as name:
        new = make(Path(name))
        try:
            new.rename(place)
        except OSError:
            if not place.exists():  # else the other process was quicker
                raise
    return place


def cache_folder(name: str) -> Path:
    """``$TFEDGE_<NAME>_CACHE``, else a folder beside other programs' caches."""
    if named := os.environ.get(f"TFEDGE_{name.upper()}_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / f"tfedge-{name}"


def command(about: str | None, make: Callable[[Path | None], Path]) -> int:
    """The tool as a command: prints where it is; its exit code."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="the cache to keep it in")
    try:
        print(make(parser.parse_args().folder))
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0
