"""``tfedge backbones``: what a person who chooses a net reads."""

from __future__ import annotations

import json

import pytest

from tfedge.catalog.backbones import BACKBONES
from tfedge.cli import main
from tfedge.report.table import WIDTH


def test_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(BACKBONES)
    assert max(map(len, lines)) <= WIDTH
    (b0,) = [line for line in lines if line.startswith("EfficientNetB0 ")]
    assert b0.split() == [
        *[
            "EfficientNetB0",
            "EfficientNet",
            "≥",
            "32,",
            "224",
            "4.0",
            "M",
            "0.38",
            "G",
            "file,",
            "none",
        ]
    ]
    (v2,) = [line for line in lines if line.startswith("MobileNetV2 ")]
    assert v2.endswith("imagenet, wheel") and "0.35–1.4" in v2


def test_one_with_its_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "DenseNet121"]) == 0
    out = capsys.readouterr().out
    assert "stem  conv2_block1  conv2_block2" in out and "(123.675, 116.28, 103.53)" in out
    assert max(map(len, out.splitlines())) <= WIDTH


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "MobileNetV3Small", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["alphas"]["1"]["parameters"] == 939_120 and found["weights"] == ["none"]
    assert found["blocks"][0] == "stem" and found["blocks"][-1] == "top"
    assert main(["backbones", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(BACKBONES)


def test_a_name_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "DenseNet12"]) == 2
    assert "did you mean DenseNet121?" in capsys.readouterr().err
