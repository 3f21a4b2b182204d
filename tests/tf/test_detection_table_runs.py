"""tools/detection_table.py on the smallest net: its figures are those of the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import detection_table  # noqa: E402

from tfedge.pipeline.load import load  # noqa: E402

pytest.importorskip("pycocotools")

TINY = (
    *("backbone.name=MobileNet", "backbone.alpha=0.25", "backbone.weights=none"),
    *("data.image_size=64", "data.augment.views=1", "finetune.epochs=1"),
    *("finetune.unfreeze=0.3", "finetune.unfreeze_epochs=1", "quantize.recipe=ptq"),
    *("benchmark.runs=10", "benchmark.profile=false", "package=null"),
    "evaluate.robustness=0",
)


def test_a_tiny_net_of_the_scenes(tmp_path: Path) -> None:
    found = detection_table.run(detection_table.Cell("mobilenetv2", 1, TINY), tmp_path, tmp_path)
    shares = ("head", "float_map50", "float_map", "int8_map50", "int8_map")
    assert all(0 <= found[key] <= 1 for key in shares)
    assert (found["n"], found["float_tensors"], found["custom_ops"]) == (80, 0, 0)
    assert found["mapped"] == found["ops"] > 30 and found["subgraphs"] == 1
    assert found["ms"].keys() == {"float", "int8"} and min(found["ms"].values()) > 0
    row = {"name": "mobilenetv2", "seed": 1, "set": [], **found}
    assert f"| 80 | {found['bytes']:,} | – | 0 | 0 |" in detection_table.table([row])


def test_every_cell_is_a_pipeline(tmp_path: Path) -> None:
    """The keys that a cell changes are there."""
    for changes in detection_table.SCENES.values():
        load(detection_table.DETECT, [f"{k}={json.dumps(v)}" for k, v in changes.items()])
    blood = detection_table.BLOOD
    file = tmp_path / "bccd.yaml"
    file.write_text(json.dumps({**blood, "data": {"path": str(tmp_path), **blood["data"]}}))
    found = load(file).pipeline
    assert found.prune is not None and found.prune.sparsity == 0.5
