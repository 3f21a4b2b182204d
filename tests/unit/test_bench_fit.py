"""How ``tfedge bench`` knows the way in which images become square for a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from color_helpers import INT8, make_run
from test_bench_results import result

from tfedge.benchmark.compare import differences
from tfedge.benchmark.fit import fit_of
from tfedge.benchmark.result import Result, merge
from tfedge.errors import ArtifactError
from tfedge.stages import package


def test_of_a_drop_and_of_a_run_directory(tmp_path: Path) -> None:
    data = {"path": "sample:digits", "image_size": 32, "fit": "pad"}
    run = make_run(tmp_path, evaluate=None, benchmark=None, data=data)
    package.run(run.context("package"))
    run_dir = run.folder
    (run_dir / "resolved.json").write_text(run.pipeline.model_dump_json())
    drop = run_dir / "package" / "drops" / "linux"
    (run_dir / "convert").mkdir(exist_ok=True)
    (run_dir / "convert" / "model.tflite").write_bytes(INT8.read_bytes())
    assert fit_of(drop / "color.tflite") == "pad"
    assert fit_of(run_dir / "convert" / "model.tflite") == "pad"
    assert fit_of(INT8) is None
    (run_dir / "resolved.json").write_text('{"data": {"fit": "squash"}}')
    with pytest.raises(ArtifactError, match=r"data\.fit is 'squash'"):
        fit_of(run_dir / "convert" / "model.tflite")
    (drop / "MANIFEST.json").write_text("{")
    with pytest.raises(ArtifactError, match="no JSON"):
        fit_of(drop / "color.tflite")


def test_a_result_says_it_only_where_images_are_fed() -> None:
    plain, padded = result([[100] * 10]), result([[100] * 10], input="pictures", fit="pad")
    assert "fit" not in plain.to_json()
    data = json.loads(json.dumps(padded.to_json()))
    assert (data["fit"], Result.from_json(data)) == ("pad", padded)
    assert Result.from_json(data).fit == "pad"
    other = result([[100] * 10], input="pictures", fit="crop")
    assert differences(padded, other) == ["fit"]
    assert merge([result([[100] * 10], fit="pad"), plain]).fit == "pad", "accuracy is found once"


def test_a_result_says_which_levels_of_16_bits_were_spread() -> None:
    plain = result([[100] * 10], input="pictures", fit="pad")
    spread = result([[100] * 10], input="pictures", fit="pad", levels=(0, 1023))
    assert "levels" not in plain.to_json()
    data = json.loads(json.dumps(spread.to_json()))
    assert (data["levels"], Result.from_json(data).levels) == ([0, 1023], (0, 1023))
    assert differences(plain, spread) == ["levels"]
    assert merge([plain, spread]).levels == (0, 1023)
