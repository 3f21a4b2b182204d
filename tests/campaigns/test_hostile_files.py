"""A short form of tools/hostile_files.py: damaged files of every kind end in a message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "hostile_files.py"
FILES = {"h5": 5, "keras": 5, "manifest": 15, "model": 30}  # of those that take longest


@pytest.mark.parametrize("kinds", ["zip tar npz", "h5 keras pickle", "metadata associated model",
                                   "pipeline devices", "manifest", "run index"])  # fmt: skip
def test_damaged_files_end_in_a_message(kinds: str) -> None:
    for kind in kinds.split():
        command = [sys.executable, str(TOOL), kind, "--files", str(FILES.get(kind, 60))]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout.endswith("0 faults\n"), done.stdout
        assert " exit " in done.stdout
