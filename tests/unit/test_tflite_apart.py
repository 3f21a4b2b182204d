"""A model in a process of its own: it answers as it does here, and whatever it dies of is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from color_helpers import pixels
from tflite_helpers import DATA, one_op

from tfedge.errors import ArtifactError
from tfedge.tflite import apart
from tfedge.tflite.apart import answers
from tfedge.tflite.runtime import LiteRT

MODEL = DATA / "color_int8.tflite"


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{label}.bin" for label in range(3)]
    for label, path in enumerate(paths):
        path.write_bytes(pixels(label, 5).tobytes())
    return paths


def failure(model: Path, inputs: list[Path], seconds: float = 60.0) -> str:
    with pytest.raises(ArtifactError) as caught:
        answers(model, inputs, seconds)
    return caught.value.message


def test_it_answers_as_it_does_here(inputs: list[Path]) -> None:
    found, here = answers(MODEL, inputs), LiteRT(MODEL)
    assert found.runtime == f"LiteRT {here.version}"
    assert found.ports.ports == here.outputs()
    for path, output in zip(inputs, found.outputs, strict=True):
        shown = np.fromfile(path, np.uint8).reshape(1, 32, 32, 3)
        assert np.array_equal(output, here.invoke(shown)[0].ravel())
    assert [int(output.argmax()) for output in found.outputs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed on it (SIGSEGV)"),
        ("import os; os.abort()", "crashed on it (SIGABRT)"),
        ("import time; time.sleep(60)", "gave no answer in 2 s"),
        ("raise SystemExit(3)", "ended with 3 on it"),
        ("pass", "ended with 0 on it"),
    ],
)
def test_what_it_dies_of_is_said(
    program: str, said: str, inputs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "_START", program)
    assert said in failure(MODEL, inputs, 2.0)


def test_an_interpreter_that_fails_while_it_runs(tmp_path: Path) -> None:
    part = ((4,), "int32", None)
    (tmp_path / "m.tflite").write_bytes(one_op("FLOOR_DIV", [part, ((4,), "int32", 0)], [part]))
    (tmp_path / "in").write_bytes(bytes(16))
    said = failure(tmp_path / "m.tflite", [tmp_path / "in"])
    assert "can't run it" in said and "Division by 0" in said


def test_a_model_that_is_not_sound_and_one_that_takes_something_else(
    tmp_path: Path, inputs: list[Path]
) -> None:
    (tmp_path / "m.tflite").write_bytes(MODEL.read_bytes()[:900])
    assert "broken .tflite" in failure(tmp_path / "m.tflite", inputs)
    inputs[0].write_bytes(bytes(5))
    assert "cannot reshape" in failure(MODEL, inputs)


def test_nothing_is_imported_from_the_current_folder(
    tmp_path: Path, inputs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be that of a hostile drop."""
    for name in ("numpy", "json", "tfedge", "ai_edge_litert"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    assert answers(MODEL, inputs).outputs
