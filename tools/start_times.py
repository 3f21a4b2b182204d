"""How fast the commands answer that need no TensorFlow: wall seconds, the best and the median.

    python tools/start_times.py [--runs 10]

Each run is a fresh process. The goals: ``--help`` under 0.3 s, ``schema``, ``check`` and
``--dry-run`` under half a second, on an idle machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "pipelines" / "mobilenet.yaml"
COMMANDS = {
    "--help": ["--help"],
    "schema": ["schema"],
    "check": ["check", FILE],
    "--dry-run": ["run", FILE, "--dry-run"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="processes for each command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as cache:
        for name, arguments in COMMANDS.items():
            seconds = []
            for _ in range(runs):
                began = time.monotonic()
                subprocess.run(
                    [sys.executable, "-m", "tfedge", *map(str, arguments)],
                    cwd=ROOT,
                    env={"TFEDGE_CACHE": cache},
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                seconds.append(time.monotonic() - began)
            print(f"{name:10} best {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
