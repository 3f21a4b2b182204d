"""The device script run as a user runs it, and a runtime that does as it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "bench_tflite.py"

# One input, uint8 [1, 4], which is the output as well. {body} is what an inference does.
RUNTIME = """
import ctypes, os, time
import numpy as np

class Interpreter:
    def __init__(self, model_path=None, model_content=None, num_threads=1, **words):
        os.write(1, b"chatter of a runtime\\n")
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=0, shape=np.array([1, 4]), dtype=np.uint8)]
    get_output_details = get_input_details
    def set_tensor(self, index, value): self.value = value
    def get_tensor(self, index): return self.value
    def invoke(self):
        {body}
"""


def run(
    *arguments: object,
    python: str | None = None,
    script: Path = SCRIPT,
    cwd: Path | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own; without its own time-out it gets a minute."""
    return subprocess.run(
        [python or sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def document(*arguments: object, **environment: str) -> dict[str, Any]:
    """What it prints as JSON; it must succeed."""
    done = run(*arguments, "--json=-", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fake_runtime(folder: Path, body: str = "pass", text: str = "") -> str:
    """A tflite-runtime, and the PYTHONPATH that leads to it."""
    package = folder / "tflite_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '9.9.9'\n")
    (package / "interpreter.py").write_text(text or RUNTIME.format(body=body))
    return str(folder)
