"""The cluster section: what it takes, which kernels it means, and when its stage runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tfedge.core import keys
from tfedge.core.plan import lines, plan, select
from tfedge.core.stages import STAGES, active
from tfedge.pipeline.load import load
from tfedge.pipeline.rules import check
from tfedge.pipeline.schema import Pipeline, pipeline_of
from tfedge.pipeline.unfreeze import block_name, lowest_trained, planned_clusters


def make(**sections: Any) -> Pipeline:
    return pipeline_of({"name": "a", "data": {"path": "sample:digits"}, **sections})


def said(**sections: Any) -> list[str]:
    return [problem.text for problem in check(make(**sections))]


@pytest.mark.parametrize("clusters", [1, 0, 257, 16.0, "16"])
def test_clusters_are_a_whole_number_that_a_byte_can_count(clusters: object) -> None:
    with pytest.raises(ValidationError, match="clusters"):
        make(cluster={"clusters": clusters})


@pytest.mark.parametrize("clusters", [2, 256])
def test_the_ends_of_what_is_allowed(clusters: int) -> None:
    assert said(cluster={"clusters": clusters}, quantize={}) == []


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"prune": {}, "cluster": {"clusters": 2}}, "cluster.clusters: one of the values is the z"),
        ({"cluster": {"layers": ("blok_*",)}}, "cluster.layers[0]: no kernel is called 'blok_*'"),
        ({"cluster": {"layers": ("*",), "also": ("head",)}}, "cluster.also: adds to the rule that"),
        ({"cluster": {"unfreeze": "none"}}, "cluster: chooses no kernel of the part that trains ("),
        ({"cluster": {"unfreeze": "block_99"}}, "cluster.unfreeze: no block 'block_99'"),
        ({"cluster": {"weight_decay": 0.1}}, "cluster.weight_decay: only the optimizer adamw deca"),
        (
            {"cluster": {"layers": ("block_1_expand",), "unfreeze": "block_13"}},
            "chooses no kernel of the part that trains (from block_13 up): set cluster.unfreeze",
        ),
    ],
)
def test_each_mistake_is_one_problem(sections: dict[str, Any], expected: str) -> None:
    (problem,) = said(**sections)
    assert expected in problem


def test_the_head_alone_can_be_clustered() -> None:
    assert said(cluster={"unfreeze": "none", "also": ("head",)}) == []


def test_the_stage_stands_between_pruning_and_quantization() -> None:
    names = [row.name for row in active(make(prune={}, cluster={}, quantize={}))]
    assert names[3:6] == ["prune", "cluster", "quantize"]
    assert "cluster" not in [row.name for row in active(make(prune={}, quantize={}))]
    read = {row.name: row.inputs for row in STAGES}
    assert "prune/model.npz" in read["cluster"]
    assert "cluster/model.npz" in read["quantize"] and "cluster/clusters.json" in read["convert"]


def test_auto_follows_what_was_made_before() -> None:
    pruned = {"unfreeze": "block_3"}
    assert block_name(make(prune=pruned, cluster={}), "cluster") == "block_3"
    assert block_name(make(cluster=pruned, quantize={}), "quantize") == "block_3"
    both = make(prune={"unfreeze": "block_7"}, cluster={"unfreeze": "block_5"}, quantize={})
    assert block_name(both, "quantize") == "block_5"  # the lower of both
    none = make(cluster={"unfreeze": "none", "also": ("head",)}, quantize={})
    assert block_name(none, "quantize") is None
    assert block_name(make(cluster={}), "cluster") == block_name(make(quantize={}), "quantize")
    assert lowest_trained(make(cluster={"unfreeze": "block_2"})) == 2


def test_first_depthwise_and_head_are_left_alone_unless_named() -> None:
    everywhere = planned_clusters(make(cluster={"unfreeze": "all"}))
    assert {kernel.kind for kernel in everywhere} == {"conv"}
    deep = planned_clusters(make(cluster={"unfreeze": "all", "also": ("depthwise", "first")}))
    assert len(deep) - len(everywhere) == 17 + 1
    chosen = planned_clusters(make(cluster={"unfreeze": "all", "layers": ("block_1_*",)}))
    assert [k.layer.removeprefix("block_1_") for k in chosen] == ["expand", "depthwise", "project"]
    assert planned_clusters(make(quantize={})) == []


def test_a_key_hangs_on_the_section() -> None:
    def key(name: str, **sections: Any) -> str:
        row = next(row for row in STAGES if row.name == name)
        return keys.key_of(keys.material(row, keys.settings(make(**sections)), {}))

    assert key("cluster", cluster={}) != key("cluster", cluster={"clusters": 8})
    assert key("cluster", cluster={}) != key("cluster", cluster={"unfreeze": "block_3"})
    assert key("finetune", cluster={}) != key("finetune", cluster={"unfreeze": "block_3"})


def test_the_plan_says_what_will_be_clustered(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("name: a\ndata: {path: sample:digits}\ncluster: {clusters: 8}\n", "utf-8")
    loaded = load(path)
    text = "\n".join(lines(loaded, plan(loaded, select(loaded.pipeline), tmp_path), tmp_path))
    assert "cluster from block_13 up, 5 of 18 blocks" in text
    assert re.search(r"clusters: 8 values in each of 9 kernels that train, 1,632,256 of 2,1", text)
