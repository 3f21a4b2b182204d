"""Run the README's first commands as a newcomer would, and put what they printed into the README.

    python tools/front_door.py [--write]

A fresh virtual environment, an empty cache, a copy of the checkout's committed files: installs,
runs each of ``PIPELINES``, runs it again, and prints the times. ``--write`` replaces the text
between the README's markers of that name.
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
from typing import Any

from page import ROOT, cpu, put_into_readme

PIPELINES = {
    "front door": "pipelines/mobilenet.yaml",
    "front door for texts": "pipelines/text.yaml",
}
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
        for markers, pipeline in PIPELINES.items():
            text = told(pipeline, install, work / "tfedge", bin_folder, place)
            print(text, flush=True)
            if arguments.write:
                put_into_readme(markers, "tools/front_door.py", text)


def told(
    pipeline: str, install: float, folder: Path, bin_folder: Path, place: dict[str, Any]
) -> str:
    """What a run says at its end, how long it took, and how long the same again."""
    run, shown = timed(bin_folder / "tfedge", "run", pipeline, **place)
    again, _ = timed(bin_folder / "tfedge", "run", pipeline, **place)
    result = json.loads((folder / "runs" / "latest" / "run.json").read_text(encoding="utf-8"))
    litert, cores = result["versions"]["ai-edge-litert"], len(os.sched_getaffinity(0))
    return (
        f"```\n{shown[shown.index(result['pipeline'] + ': ok') :].strip()}\n```\n\n"
        f"({cpu()}, {cores} cores, Python {platform.python_version()}, LiteRT {litert}; installing "
        f"took {install:.0f} s, the run {run:.0f} s, the same run again {again:.1f} s.)\n"
    )


if __name__ == "__main__":
    main()
