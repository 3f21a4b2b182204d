"""Run the README's first command as a newcomer would, and put what it printed into the README.

    python tools/front_door.py [--write]

A fresh virtual environment, an empty cache, a copy of the checkout's committed files: installs,
runs ``pipelines/mobilenet.yaml``, runs it again, and prints the times. ``--write`` replaces the
text between the README's ``front door`` markers.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from page import ROOT, cpu, put_into_readme

PIPELINE = "pipelines/mobilenet.yaml"
WHAT = ".[train]"  # to install


def timed(*command: object, cwd: Path, environment: dict[str, str]) -> tuple[float, str]:
    """Seconds that a command took, and its standard output. Exits when it fails."""
    began = time.monotonic()
    ran = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True
    )
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {ran.returncode}")
    return time.monotonic() - began, ran.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        subprocess.run(["git", "clone", "-q", ROOT, work / "tfedge"], check=True)
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        bin_folder = work / "venv" / "bin"
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "TFEDGE_CACHE": str(work / "cache"),
        }
        place = {"cwd": work / "tfedge", "environment": environment}
        install, _ = timed(bin_folder / "pip", "install", "-q", WHAT, **place)
        run, shown = timed(bin_folder / "tfedge", "run", PIPELINE, **place)
        again, _ = timed(bin_folder / "tfedge", "run", PIPELINE, **place)
        latest = work / "tfedge" / "runs" / "latest" / "run.json"
        result = json.loads(latest.read_text(encoding="utf-8"))
    litert = result["versions"]["ai-edge-litert"]
    cores = len(os.sched_getaffinity(0))
    text = (
        f"```\n{shown[shown.index(result['pipeline'] + ': ok') :].strip()}\n```\n\n"
        f"({cpu()}, {cores} cores, Python {platform.python_version()}, LiteRT {litert}; installing "
        f"took {install:.0f} s, the run {run:.0f} s, the same run again {again:.1f} s.)\n"
    )
    print(text)
    if arguments.write:
        put_into_readme("front door", "tools/front_door.py", text)


if __name__ == "__main__":
    main()
