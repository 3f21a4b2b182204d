"""Families that TF-MOT refuses as they come, from images to int8, through the command line.

Small and quick, from random weights: whether all of the chain takes them, not how good they get.
That is what tools/support_table.py asks, for every family.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e import shapes
from tests.e2e.conftest import ROOT, Workplace
from tfedge.tflite.reader import read

pytestmark = pytest.mark.slow

# The pipelines of pipelines/, from random weights and in a minute.
BRIEF = {
    "backbone.weights": "none",
    "data.image_size": 32,
    "prune.steps": 0,
    "quantize.steps": 0,
    "finetune.unfreeze_epochs": 1,
    "prune.epochs": 1,
    "quantize.epochs": 1,
    "quantize.representative": 16,
    "quantize.debug": "false",
    "evaluate.robustness": 0,
    "evaluate.gates.max_accuracy_drop": 1.0,
    "benchmark.runs": 10,
    "benchmark.processes": 1,
    "benchmark.profile": "false",
}


def holds(work: Workplace) -> None:
    """Half of the prunable weights zero in a file that is 8 bits from pixels to scores."""
    result = work.result()
    model = read(work.run_dir / result["model"]["path"])
    assert model.float_tensors() == []
    # XNNPACK has no 8-bit kernel for these.
    assert not {"HARD_SWISH", "RELU", "RELU6"} & {op.name for op in model.ops}
    assert model.inputs[0].dtype == model.outputs[0].dtype == "uint8"
    named = json.loads((work.run_dir / "prune" / "sparsity.json").read_text(encoding="utf-8"))
    kernels = model.kernels()
    assert sum(k.zeros for k in kernels) >= named["zeros"] >= 0.5 * named["total"] > 1e5
    assert sum(k.size for k in kernels) >= named["total"]


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3", "resnet50", "vgg16"])
def test_a_pipeline_of_its_own(workplace: Workplace, photos: Path, name: str) -> None:
    changed = {**BRIEF, "data.path": photos}
    sets = [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
    ran = workplace.tfedge("run", ROOT / "pipelines" / f"{name}.yaml", *sets)
    assert ran.returncode == 0, ran.stderr
    holds(workplace)


@pytest.mark.parametrize("name", ["DenseNet121", "RegNetX002"])
def test_a_family(workplace: Workplace, photos: Path, name: str) -> None:
    shapes.pipeline(
        workplace.file,
        photos,
        backbone={"name": name, "weights": "none"},
        finetune={"unfreeze": 2, "unfreeze_epochs": 1},
        quantize={**shapes.BRIEF, "debug": False},
        evaluate={"robustness": 0},
        benchmark=None,
    )
    ran = workplace.tfedge("run", workplace.file)
    assert ran.returncode == 0, ran.stderr
    holds(workplace)
