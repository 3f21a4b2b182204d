"""Kills, full disks, flipped bits and runs at once: each ends with the bytes of an undisturbed run.

    python tools/cache_campaign.py                # all of it, with counts; some minutes
    python tools/cache_campaign.py kills --count 200
    python tools/cache_campaign.py kills --pipeline mine.yaml --count 50    # a real one, for hours

The pipeline is that of the engine's tests: the real command, cache and run directory over stages
of a few milliseconds, without TensorFlow. Parts of it: ``renames`` (killed before each operation
that changes names or opens a file to write), ``kills`` (at random moments), ``disk`` (full at each
size; needs root, for small disks of its own), ``flips`` (each bit of each file of a cache),
``together`` (two and three runs at once). Ends with 1 when something was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit")]

import core_fakes  # noqa: E402

from tfedge.core.cache import RECORD, StageCache  # noqa: E402

FILE = "fake.yaml"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_CHANGES = {
    *("os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir"),
    *("os.truncate", "os.chmod", "open"),
}
_RESULT = 8 * 1024  # bytes that run.json takes at most
_DOCUMENTED = {0, 2, 3, 4, 5, 6, 7, 8, 9, 130}


@dataclass
class Tally:
    """What was tried, how it ended, and what was wrong."""

    name: str
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def check(self, what: str, problems: Sequence[str]) -> None:
        self.wrong += [f"{what}: {problem}" for problem in problems]

    def line(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.ends.items()))
        return f"{self.name}: {self.ends.total()} tried: {ends}; {len(self.wrong)} wrong"


@dataclass(frozen=True)
class Ended:
    """A process of tfedge that has ended: minus the signal, or its exit code; what it said."""

    code: int
    said: str


def started(folder: Path, arguments: Sequence[str], before: Callable[[], object]) -> int:
    """A process that calls the command in ``folder``; its output goes to ``said.txt`` there."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.chdir(folder)
        said = os.open(f"said-{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(said, 1)
        os.dup2(said, 2)
        command = core_fakes.command()
        before()
        code = command(arguments)
        sys.stdout.flush()
    finally:
        os._exit(code)


def ended(folder: Path, process: int) -> Ended:
    _, status = os.waitpid(process, 0)
    said = folder / f"said-{process}.txt"
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    said.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), text)


def call(
    folder: Path, arguments: Sequence[str], before: Callable[[], object] = lambda: None
) -> Ended:
    return ended(folder, started(folder, arguments, before))


def run_arguments(run_dir: str = "run") -> list[str]:
    return ["run", FILE, "--cache", "cache", "--run-dir", run_dir]


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tfedge-campaign-") as name:
        yield core_fakes.prepare(Path(name))


def results(run: Path) -> dict[str, bytes]:
    """What stages have written that are the same on every run."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for name in core_fakes.ALL
        if name not in core_fakes.NEVER_CACHED
        for path in sorted((run / name).rglob("*"))
        if path.is_file() and path.name not in (RECORD, "log.txt")
    }


def undisturbed() -> dict[str, bytes]:
    with workplace() as folder:
        assert call(folder, run_arguments()).code == 0
        return results(folder / "run")


def resumed(folder: Path, expected: Mapping[str, bytes], run_dir: str = "run") -> list[str]:
    """What is wrong when the same command is given again."""
    end = call(folder, run_arguments(run_dir))
    if end.code:
        return [f"given again it ends with {end.code}: {end.said.strip()[-300:]}"]
    run, cache = folder / run_dir, StageCache(folder / "cache")
    wrong = []
    if results(run) != expected:
        wrong.append("other bytes")
    if json.loads((run / "run.json").read_text())["status"] != "ok":
        wrong.append("run.json does not say ok")
    left = [*cache.temporary.iterdir(), *run.glob(".*")]
    left += [*cache.folder.glob("locks/*"), *cache.folder.rglob("*.tmp")]
    if left:
        wrong.append(f"left over: {', '.join(path.name for path in left)}")
    if cache.damaged.exists():
        wrong.append("an entry is called damaged")
    return wrong


# ------------------------------------------------------------------ kills


def watch(folder: Path, act: Callable[[int], None]) -> Callable[[], None]:
    """Call ``act`` with its number before each operation below ``folder`` that changes names or
    opens a file to write."""
    number = 0

    def hook(event: str, given: tuple[Any, ...]) -> None:
        nonlocal number
        if event not in _CHANGES or (event == "open" and not _writes(given)):
            return
        # Of a tree that is removed, names are relative to an open folder.
        beside = event in ("os.remove", "os.rmdir") and given[1] != -1
        if beside or _is_below(given[0], folder):
            number += 1
            act(number)

    return lambda: sys.addaudithook(hook)


def _writes(given: tuple[Any, ...]) -> bool:
    return bool(given[2] & _WRITES)


def _is_below(path: Any, folder: Path) -> bool:
    if isinstance(path, int):
        return False
    name = os.fsdecode(path)
    return not name.startswith("/") or name.startswith(f"{folder}/")


def kill_at(wanted: int) -> Callable[[int], None]:
    def act(number: int) -> None:
        if number == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def renames(every: int) -> Tally:
    tally, expected = Tally("killed at an operation"), undisturbed()
    number = 1
    while True:
        with workplace() as folder:
            end = call(folder, run_arguments(), watch(folder, kill_at(number)))
            tally.ends["killed" if end.code == -signal.SIGKILL else f"ended with {end.code}"] += 1
            tally.check(f"operation {number}", resumed(folder, expected))
            if end.code != -signal.SIGKILL:
                return tally
        number += every


def kills(count: int, seed: int) -> Tally:
    tally, expected, chance = Tally("killed at random"), undisturbed(), random.Random(seed)
    with workplace() as folder:
        began = time.monotonic()
        call(folder, run_arguments())
        usual = time.monotonic() - began
    while tally.ends["killed"] < count and tally.ends.total() < 10 * count:
        with workplace() as folder:
            for _ in range(chance.choice((1, 1, 2, 3))):  # one kill, or several on the way
                process = started(folder, run_arguments(), lambda: None)
                time.sleep(chance.uniform(0, usual))
                os.kill(process, signal.SIGKILL)
                end = ended(folder, process)
                killed = end.code == -signal.SIGKILL
                tally.ends["killed" if killed else "done before"] += 1
            tally.check(f"kill {tally.ends.total()}", resumed(folder, expected))
    return tally


def real_kills(pipeline: Path, count: int, seed: int) -> Tally:
    """A pipeline of the user's: one cache is killed on until the run ends, then a fresh one."""
    tally, chance = Tally(f"{pipeline} killed at random"), random.Random(seed)
    shas: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="tfedge-campaign-") as name:
        work = Path(name)

        def start(cache: str) -> subprocess.Popen[bytes]:
            where = ["--cache", str(work / cache), "--run-dir", str(work / "run")]
            command = [sys.executable, "-m", "tfedge", "run", str(pipeline), *where]
            quiet = subprocess.DEVNULL
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            return subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)

        def whole(cache: str) -> float:
            began = time.monotonic()
            code = start(cache).wait()
            tally.check(cache, [f"ends with {code}"] if code else [])
            result = json.loads((work / "run" / "run.json").read_text())
            shas.add(result["model"]["sha256"])
            return time.monotonic() - began

        usual = whole("calm")
        while tally.ends["killed"] < count:
            cache = f"killed-{tally.ends.total()}"
            for _ in range(min(10, count - tally.ends["killed"])):
                process = start(cache)
                time.sleep(chance.uniform(0, usual))
                process.kill()
                killed = process.wait() == -signal.SIGKILL
                tally.ends["killed" if killed else "done before"] += 1
            whole(cache)
            shutil.rmtree(work / cache)
    tally.check("model.tflite", [f"{len(shas)} different ones"] if len(shas) > 1 else [])
    return tally


# ------------------------------------------------------------------ full disks


def disk(step: int) -> Tally:
    """A disk of each size, from ``step`` KiB on, for the cache, the run and temporary files."""
    tally, expected = Tally("full disk"), undisturbed()
    for place in ("cache", "run"):
        size = step
        while True:
            with workplace() as folder, mounted(folder / place, size) as grow:
                end = call(folder, run_arguments())
                tally.ends[f"{place} full" if end.code == 7 else f"ended with {end.code}"] += 1
                what = f"{place} of {size} KiB"
                tally.check(what, _told(folder, place, end) if end.code else [])
                grow()
                tally.check(what, resumed(folder, expected))
                if not end.code:
                    break
            size += step
    return tally


@contextmanager
def mounted(place: Path, size: int) -> Iterator[Callable[[], None]]:
    """A disk of that many KiB at a place; what is given makes it large."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place], check=True)
    try:
        yield lambda: _enlarge(place)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _enlarge(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)


def _told(folder: Path, place: str, end: Ended) -> list[str]:
    """What is wrong about how a full disk is told of."""
    wrong, run = [], folder / "run"
    line = next((line for line in end.said.splitlines() if "no space left" in line), "")
    if end.code != 7:
        wrong.append(f"ends with {end.code}: {end.said.strip()[-300:]}")
    elif f"{folder / place}" not in line:
        wrong.append(f"names another disk: {line or end.said.strip()[-300:]}")
    if "Traceback" in end.said or "internal error" in end.said:
        wrong.append("a traceback")
    there, left = (run / "run.json").exists(), os.statvfs(run if run.is_dir() else folder)
    if not there and left.f_bavail * left.f_frsize >= _RESULT:
        wrong.append("no run.json")
    elif there and json.loads((run / "run.json").read_text())["error"]["exit_code"] != 7:
        wrong.append("run.json tells another reason")
    return wrong


# ------------------------------------------------------------------ flipped bits


def flips(every: int, commands: int) -> Tally:
    """Every ``every``-th bit of each file of a cache; every ``commands``-th of these through the
    command, the others through the cache alone."""
    tally, expected = Tally("flipped bits"), undisturbed()
    with workplace() as folder:
        call(folder, run_arguments())
        shutil.copytree(folder / "cache", folder / "sound")
        sound = folder / "sound" / "stages"
        files = [path for path in sorted(sound.rglob("*")) if path.is_file()]
        bits = [(file, bit) for file in files for bit in range(8 * file.stat().st_size)][::every]
        for number, (file, bit) in enumerate(bits):
            name = file.relative_to(folder / "sound")
            with flipped(folder, name, bit):
                what = f"{name} bit {bit}"
                if number % commands == 0:
                    tally.check(what, _by_command(folder, expected, tally))
                else:
                    tally.check(what, _by_cache(folder, name.parts[1], tally))
    return tally


@contextmanager
def flipped(folder: Path, name: Path, bit: int) -> Iterator[None]:
    """The cache with a bit of one file changed; the sound one afterwards."""
    data = bytearray((folder / "sound" / name).read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    damaged = folder / "cache" / name
    damaged.unlink()
    damaged.write_bytes(bytes(data))
    try:
        yield
    finally:
        shutil.rmtree(folder / "cache")
        shutil.copytree(folder / "sound", folder / "cache")


def _by_command(folder: Path, expected: Mapping[str, bytes], tally: Tally) -> list[str]:
    check = call(folder, ["check", FILE, "--cache", "cache"])
    end = call(folder, run_arguments())
    tally.ends["through the command"] += 1
    wrong = [f"check ends with {check.code}: {check.said[-200:]}"] if check.code else []
    if end.code:
        wrong.append(f"run ends with {end.code}: {end.said[-200:]}")
    elif results(folder / "run") != expected:
        wrong.append("other bytes")
    if {check.code, end.code} - _DOCUMENTED:
        wrong.append("an internal error")
    return wrong


def _by_cache(folder: Path, key: str, tally: Tally) -> list[str]:
    cache = StageCache(folder / "cache")
    notes: list[str] = []
    cache.peek(key)
    found = cache.find(key, notes.append)
    if found is None:
        tally.ends["a miss, and told"] += 1
        gone = not (cache.folder / key).exists()
        return [] if gone and len(notes) == 1 else ["neither moved away nor told"]
    tally.ends["a hit all the same"] += 1
    sound = Path("sound") / "stages" / key
    same = all(
        found.file(name).read_bytes() == (folder / sound / name).read_bytes()
        for name in found.record["outputs"]
    )
    return [] if same and not notes else ["other bytes are a hit"]


# ------------------------------------------------------------------ runs at once


def together(rounds: int, seed: int) -> Tally:
    """Two and three runs on one cache: each stage is made once, the others wait and say so."""
    tally, expected, chance = Tally("runs at once"), undisturbed(), random.Random(seed)
    kept = [name for name in core_fakes.ALL if name not in core_fakes.NEVER_CACHED]
    for number in range(rounds):
        with workplace() as folder:
            slow = chance.choice(kept)

            def prepared(slow: str = slow) -> None:
                os.environ[f"FAKE_{slow.upper()}"] = "wait"

            names = [f"run{i}" for i in range(2 + number % 2)]
            running = []
            for name in names:
                running.append(started(folder, run_arguments(name), prepared))
                time.sleep(chance.uniform(0, 0.1))
            for name in names:
                core_fakes.wait_for(folder / name / "events.jsonl", "at it", "waiting for stage")
            (folder / "cache" / "go on").touch()
            ends = [ended(folder, process) for process in running]
            what = f"round {number}, slow {slow}"
            tally.ends[f"{len(names)} runs"] += 1
            tally.check(what, [end.said[-300:] for end in ends if end.code])
            made = Counter(core_fakes.calls(folder))
            tally.check(what, [f"{s} was made {made[s]} times" for s in kept if made[s] != 1])
            same = all(results(folder / name) == expected for name in names)
            tally.check(what, [] if same else ["other bytes"])
            waited = sum(f"waiting for stage {slow}" in end.said for end in ends)
            told = [] if waited == len(names) - 1 else [f"{waited} say that they wait"]
            tally.check(what, told)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parts = ("renames", "kills", "disk", "flips", "together")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}: all")
    parser.add_argument("--count", type=int, default=100, help="random kills, and rounds at once")
    parser.add_argument("--every", type=int, default=1, help="operation, and bit")
    parser.add_argument(
        "--commands", type=int, default=50, help="flips for one through the command"
    )
    parser.add_argument("--step", type=int, default=4, help="KiB from one disk to the next")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pipeline", type=Path, help="kill a run of this pipeline instead")
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(parts):
        parser.error(f"no such part: {', '.join(unknown)}")
    chosen = given.parts or parts
    ways: dict[str, Callable[[], Tally]] = {
        "renames": lambda: renames(given.every),
        "kills": lambda: (
            real_kills(given.pipeline, given.count, given.seed)
            if given.pipeline
            else kills(given.count, given.seed)
        ),
        "disk": lambda: disk(given.step),
        "flips": lambda: flips(given.every, given.commands),
        "together": lambda: together(max(2, given.count // 5), given.seed),
    }
    failed = False
    for part in chosen:
        began = time.monotonic()
        tally = ways[part]()
        failed |= bool(tally.wrong)
        print(f"{tally.line()} ({time.monotonic() - began:.0f} s)", flush=True)
        for line in tally.wrong[:20]:
            print(f"  {line}", flush=True)
    return int(failed)


class _Plain(argparse.RawDescriptionHelpFormatter):
    """The description as it stands above."""


if __name__ == "__main__":
    if "--inside" not in sys.argv and os.geteuid() == 0 and shutil.which("unshare"):
        # Disks that are mounted here are nobody else's.
        alone = ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv]
        raise SystemExit(subprocess.call([*alone, "--inside"]))
    raise SystemExit(main([word for word in sys.argv[1:] if word != "--inside"]))
