"""The same images and boxes give the same model, to the byte, whatever the format was."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from box_data_helpers import WRITERS, pictures

from tfedge.cli import main

pytest.importorskip("defusedxml")
pytest.importorskip("pycocotools")


def made(name: str, folder: Path) -> tuple[bytes, str, str]:
    """index.json, and the SHA-256 of the float and the int8 file, of a run with a cache of its own:
    nothing of another run's is taken."""
    data = WRITERS[name](folder / "set", pictures())
    content = {
        "name": "tiny",
        "task": "object-detection",
        "data": {"path": str(data), "image_size": 64, "split": {"val": 0.2, "test": 0.2}},
        "backbone": {"name": "MobileNet", "alpha": 0.25, "weights": "none"},
        "finetune": {"epochs": 1},
        "quantize": {"recipe": "ptq", "representative": 8},
    }
    file, run = folder / "tiny.yaml", folder / "run"
    file.write_text(json.dumps(content), encoding="utf-8")
    options = ["--run-dir", str(run), "--cache", str(folder / "cache"), "--to", "convert"]
    assert main(["run", str(file), *options]) == 0
    files = [run / "convert" / name for name in ("float.tflite", "model.tflite")]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    index = json.loads((run / "data" / "index.json").read_text("utf-8"))
    assert len(index["rows"]) == 20 and sum(index["counts"]["train"].values()) > 10
    return (run / "data" / "index.json").read_bytes(), *digests


def test_each_format_gives_the_same_index_and_the_same_files(tmp_path: Path) -> None:
    found = {}
    for name in WRITERS:
        (tmp_path / name).mkdir()
        found[name] = made(name, tmp_path / name)
    assert set(found) == {"voc", "coco", "yolo", "csv"} and len(set(found.values())) == 1
    _, plain, int8 = found["voc"]
    assert plain != int8
