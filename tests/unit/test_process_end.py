"""How a command's process ends where TensorFlow was used: at once, and with nothing lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, os, sys, types
from tfedge import cli

class Slow:
    def __del__(self):
        print("taken apart")

def main():
    print("a result")
    print("a message", file=sys.stderr)
    return {code}

if {used}:
    sys.modules["tensorflow"] = types.ModuleType("tensorflow")
kept = Slow()
atexit.register(print, "the end")
cli.main = main
cli.process()
"""


@pytest.mark.parametrize("code", [0, 6])
@pytest.mark.parametrize("used", [True, False])
def test_it_ends_with_its_code_and_all_that_it_said(code: int, used: bool) -> None:
    program = PROGRAM.format(code=code, used=used)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    taken_apart = [] if used else ["taken apart"]
    assert ended.stdout.splitlines() == ["a result", "the end", *taken_apart]
    assert (ended.returncode, ended.stderr) == (code, "a message\n")
