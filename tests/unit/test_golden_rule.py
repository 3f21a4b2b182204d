"""One golden rule, wherever pairs are replayed: here, by ``verify``, by ``classify.py --check``.

The device script is held to it in tests/devices, the Kotlin in tests/readers.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_cases import CASES

from tfedge.drops.verify import replay_here
from tfedge.portable.golden import TOLERANCE, difference
from tfedge.tasks.image_classification.script import EXAMPLE
from tfedge.tflite.apart import Answers
from tfedge.tflite.runtime import Port

ROOT = Path(__file__).resolve().parents[2]
PAIR = {"input": "golden/000.input.bin", "output": "golden/000.output.bin"}
SAME_SIZE = [case for case in CASES if len(case[0]) == len(case[1])]

# An ai-edge-litert whose every answer is what stands in the environment.
INTERPRETER = """
import json, os
import numpy as np

class Interpreter:
    def __init__(self, **words): pass
    def allocate_tensors(self): pass
    def get_input_details(self): return [dict(index=0, shape=[1, 1, 1, 3], dtype=np.uint8)]
    def get_output_details(self):
        return [dict(index=0, shape=self.get_tensor(0).shape, dtype=np.float32)]
    def set_tensor(self, index, value): pass
    def get_tensor(self, index): return np.array([json.loads(os.environ["GOT"])], np.float32)
    def invoke(self): pass
"""


@pytest.mark.parametrize(("expected", "got", "said"), CASES)
def test_the_rule(expected: list[float], got: list[float], said: str) -> None:
    assert difference(np.float32(expected), np.float32(got)) == said


def replayed(folder: Path, expected: list[float]) -> dict[str, Any]:
    """A drop with one pair; what its manifest says."""
    (folder / "golden").mkdir()
    (folder / PAIR["input"]).write_bytes(bytes(3))
    (folder / PAIR["output"]).write_bytes(np.float32(expected).tobytes())
    (folder / "m.tflite").write_bytes(b"m")
    files = {name: {} for name in PAIR.values()}
    return {
        "model": "m.tflite",
        "files": files | {"m.tflite": {"sha256": hashlib.sha256(b"m").hexdigest()}},
        "golden": [PAIR],
        "classes": [f"class {i}" for i in range(len(expected))],
        "input": {"shape": [1, 1, 1, 3], "fit": "crop"},
        "output": {
            **{"dtype": "float32", "shape": [1, len(expected)]},
            **{"scale": None, "zero_point": 0},
        },
    }


@pytest.mark.parametrize(("expected", "got", "said"), SAME_SIZE)
def test_verify_goes_by_it(
    expected: list[float], got: list[float], said: str, tmp_path: Path
) -> None:
    facts = replayed(tmp_path, expected)
    taken = Port("y", np.dtype(np.float32), (1, len(got)), 0.0, 0)
    found = Answers("fake 0", taken, (np.float32(got),))
    check = replay_here(tmp_path, facts, lambda model, inputs: found)
    assert check.problems == ((f"golden/000.output.bin: {said}",) if said else ())


def test_a_runtime_that_gives_another_type_than_the_file_says(tmp_path: Path) -> None:
    """The op's code was changed, and LiteRT gave int64 where the file has uint8: 3 bytes are no
    whole number of them."""
    facts = replayed(tmp_path, [])
    (tmp_path / PAIR["output"]).write_bytes(bytes(3))
    taken = Port("y", np.dtype(np.int64), (1, 3), 0.0, 0)
    found = Answers("fake 0", taken, (np.int64([1, 2, 3]),))
    check = replay_here(tmp_path, facts, lambda model, inputs: found)
    assert check.problems == ("golden/000.output.bin holds 3 bytes, the model gives 24 as int64",)


@pytest.mark.parametrize(("expected", "got", "said"), SAME_SIZE)
def test_classify_goes_by_it(
    expected: list[float], got: list[float], said: str, tmp_path: Path
) -> None:
    facts = replayed(tmp_path, expected)
    (tmp_path / "MANIFEST.json").write_text(json.dumps(facts))
    (tmp_path / "classify.py").write_bytes(EXAMPLE.text())
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    (tmp_path / "ai_edge_litert" / "interpreter.py").write_text(INTERPRETER)
    done = subprocess.run(
        [sys.executable, "-B", "classify.py", "--check"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"GOT": json.dumps(got)},
    )
    assert done.returncode == (1 if said else 0), done.stderr
    assert (f"golden/000.output.bin: {said}\n" in done.stdout) == bool(said), done.stdout


def test_the_tolerance_stands_in_one_place() -> None:
    assert TOLERANCE == 40 / 256
    places = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tfedge").rglob("*")
        if path.suffix in (".py", ".txt") and "40 / 256" in path.read_text("utf-8")
    ]
    assert places == ["tfedge/portable/golden.py"]
