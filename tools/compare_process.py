"""For tools/compare_by_hand.py: one process timed from outside, and the machine it ran on.

Linux only: what others took of the CPU is worked out from /proc/stat.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tfedge
from tfedge.files.parallel import cores

LIBRARIES = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "numpy",
    "pillow",
)
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")

Facts = dict[str, Any]


def environment() -> dict[str, str]:
    """Both chains run this very tfedge, on the CPU."""
    here = str(Path(tfedge.__file__).resolve().parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CUDA_VISIBLE_DEVICES": "-1"}


def machine_busy() -> float:
    """CPU seconds that anybody has used since the machine was started."""
    first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def children() -> float:
    """CPU seconds of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(command: Sequence[object], log: Path) -> Facts:
    """Run a process to its end: its wall clock and CPU seconds, and what else the machine did."""
    load, cpu, busy = os.getloadavg(), children(), machine_busy()
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment(),
            cwd=log.parent,
            check=False,
        )
    seconds = time.perf_counter() - began
    if done.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
        raise SystemExit("\n".join([*said, f"failed with {done.returncode}; all it said: {log}"]))
    cpu = children() - cpu
    others = max(0.0, machine_busy() - busy - cpu) / (seconds * (os.cpu_count() or 1))
    return {
        "load_before": [round(value, 2) for value in load],
        "cpu_seconds": cpu,
        "others_cpu_share": others,
        "whole": seconds,
    }


def machine() -> Facts:
    given = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ]
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpu if "model name" in line), "")
    return {
        "cpu": model or platform.processor() or "unknown",
        "machine": platform.machine(),
        "cores": cores(),
        "system": platform.platform(),
        "TensorFlow threads": " ".join(given) or f"its default, one a core ({cores()})",
        "LiteRT threads": f"{cores()} (by hand in one interpreter, tfedge in one each)",
    }


def versions() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(tfedge.__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    own = f"{tfedge.__version__} {commit}".strip()
    found = {"tfedge": own, "python": platform.python_version()}
    return found | {name: version(name) for name in LIBRARIES}
