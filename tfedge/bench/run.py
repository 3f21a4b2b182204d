"""Measure models in fresh processes, taking turns."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tfedge
from tfedge.bench.result import Process, Result, this_host
from tfedge.errors import StageError

_TIMEOUT = 1800  # seconds for one process; far above any model that fits a device
_PACKAGE_ROOT = str(Path(tfedge.__file__).resolve().parent.parent)


def measure(
    models: Mapping[str, Path],
    *,
    threads: Sequence[int],
    runs: int,
    warmup: int,
    processes: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Latency of each model with each number of threads: a result for every pair.

    The models take turns, one fresh process at a time, so that a machine that slows down or is
    busy for a while does so to all of them alike. StageError when a process fails.
    """
    turns = [(name, n) for n in dict.fromkeys(threads) for name in models]
    found: dict[tuple[str, int], list[dict]] = {turn: [] for turn in turns}
    total = processes * len(turns)
    for i in range(total):
        name, n = turn = turns[i % len(turns)]
        if progress:
            progress(i, total)
        found[turn].append(_worker(models[name], n, runs, warmup))
    if progress:
        progress(total, total)
    host = this_host()
    return [
        Result(
            model=name,
            sha256=hashlib.sha256(models[name].read_bytes()).hexdigest(),
            bytes=models[name].stat().st_size,
            runtime=answers[0]["runtime"],
            runtime_version=answers[0]["runtime_version"],
            threads=n,
            host=host,
            processes=tuple(Process.from_json(answer) for answer in answers),
        )
        for (name, n), answers in found.items()
    ]


def _worker(model: Path, threads: int, runs: int, warmup: int) -> dict:
    command = [sys.executable, "-m", "tfedge.bench.worker", str(model)]
    command += ["--threads", str(threads), "--runs", str(runs), "--warmup", str(warmup)]
    path = os.pathsep.join(filter(None, [_PACKAGE_ROOT, os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            env=os.environ | {"PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired as error:
        raise StageError(f"benchmark of {model.name}: no answer in {_TIMEOUT} s") from error
    if done.returncode:
        tail = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StageError(f"benchmark of {model.name} ended with {done.returncode}: {tail[0]}")
    return json.loads(done.stdout)
