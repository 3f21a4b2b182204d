"""What m by n, blocks and XNNPACK's recipe ask of the rest of a pipeline, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from tfedge.errors import ConfigError
from tfedge.pipeline.load import load
from tfedge.pipeline.rules import check, notes
from tfedge.pipeline.schema import Pipeline, Prune, pipeline_of
from tfedge.pipeline.structure import supports_structure, zeros_m_by_n
from tfedge.pipeline.unfreeze import block_name, blocks_of, planned_sparsity


def make(prune: dict[str, Any], size: int = 225, **sections: Any) -> Pipeline:
    data = {"path": "sample:digits", "image_size": size}
    return pipeline_of({"name": "a", "data": data, "prune": prune, **sections})


def said(prune: dict[str, Any], size: int = 225, **sections: Any) -> list[str]:
    return [problem.text for problem in check(make(prune, size, **sections))]


def net(name: str, alpha: float = 1.0) -> dict[str, Any]:
    return {"name": name, "weights": "none", "alpha": alpha}


TWO_FOUR = {"sparsity_m_by_n": (2, 4)}


@pytest.mark.parametrize(
    ("shape", "m", "n", "zeros"),
    [
        ((1, 1, 8, 5), 2, 4, 20),  # two whole groups for each output
        ((3, 3, 6, 2), 2, 4, 36),  # what is left, two channels, counts as filled up
        ((3, 3, 7, 1), 2, 4, 27),  # of three left one is zero
        ((1, 1, 2, 9), 2, 4, 0),
        ((10, 3), 1, 5, 6),
    ],
)
def test_zeros_of_m_by_n_by_hand(shape, m, n, zeros):
    assert zeros_m_by_n(Prune(sparsity_m_by_n=(m, n)), shape) == zeros


def test_which_shapes_carry_what():
    blocks, groups = Prune(block_size=(2, 4)), Prune(**TWO_FOUR)
    assert supports_structure(blocks, (1, 1, 6, 8), "conv") and supports_structure(
        blocks, (6, 8), "dense"
    )
    assert not supports_structure(blocks, (1, 1, 5, 8), "conv") and not supports_structure(
        blocks, (6, 6), "dense"
    )
    assert not supports_structure(blocks, (3, 3, 8, 8), "conv")
    assert supports_structure(groups, (3, 3, 8, 8), "conv") and not supports_structure(
        groups, (1, 1, 2, 8), "conv"
    )
    for kind in ("depthwise", "scale"):
        assert not supports_structure(groups, (3, 3, 8, 1), kind) and not supports_structure(
            blocks, (1, 1, 8, 4), kind
        )
        assert supports_structure(Prune(), (3, 3, 8, 1), kind)


def test_two_of_four_with_the_other_defaults_trains_the_whole_net():
    pipeline = make(TWO_FOUR, quantize={}, evaluate={}, benchmark={}, package={})
    assert check(pipeline) == []
    assert block_name(pipeline, "prune") == blocks_of(pipeline)[0].name
    assert {row.share for row in planned_sparsity(pipeline)} == {0.5}


@pytest.mark.parametrize(
    ("prune", "expected"),
    [
        (TWO_FOUR | {"sparsity": 0.35}, "2 zeros in 4 make 0.38 of all 2,124,672 prunable weight"),
        (TWO_FOUR | {"sparsity": 0.35}, "trained from block_13 up, not 0.35: write 0.38"),
        (TWO_FOUR | {"unfreeze": "block_16"}, "make 0.2 of all"),
        (TWO_FOUR | {"unfreeze": "block_16"}, "write 0.2, or prune.unfreeze: all"),
        (TWO_FOUR | {"unfreeze": "none"}, "in the head only, not 0.5: train more of it"),
        ({"sparsity_m_by_n": (4, 4)}, "4 zeros in 4 weights are too many: at most 90%, as 2 of 4"),
        (TWO_FOUR | {"block_size": (1, 4)}, "prune.block_size: is one structure, prune.sparsity_"),
        ({"block_pooling_type": "MAX"}, "there are no blocks to pool: set prune.block_size"),
        ({"block_size": (7, 5)}, "no kernel of MobileNetV2 can carry blocks of 7×5"),
        ({"block_size": (1, 4), "also": ("depthwise",)}, "prune.also: a depthwise kernel has one"),
        (
            {"block_size": (1, 4), "layers": ("Conv_1", "block_1_*")},
            "prune.layers[1]: block_1_depthwise (3×3×96×1): blocks of 1×4 need 1×1 convolutions",
        ),
    ],
)
def test_each_rule_says_what_to_write_instead(prune, expected):
    assert [text for text in said(prune) if expected in text], said(prune)


def test_what_is_written_instead_is_right():
    for sparsity in (0.38, 0.5):
        assert said(TWO_FOUR | {"sparsity": sparsity}) == []
    assert said(TWO_FOUR | {"sparsity": 0.2, "unfreeze": "block_16"}) == []
    assert said(TWO_FOUR | {"sparsity": 0.49}, 224, backbone=net("EfficientNetB0")) == []


def test_layers_without_room_stay_dense_and_are_named():
    pipeline = make({"block_size": (1, 4)}, 224, backbone=net("DenseNet121"))
    (note,) = [line for line in notes(pipeline) if line.startswith("prune: ")]
    assert note.startswith("prune: conv2_block1_2_conv (3×3×128×32), conv2_block2_2_conv ")
    assert "and 55 more: blocks of 1×4 need 1×1 convolutions" in note
    assert note.endswith("these layers stay dense")
    assert not any("_2_conv" in row.layer for row in planned_sparsity(pipeline))
    assert not any(line.startswith("prune: ") for line in notes(make({"block_size": (1, 4)})))


XNNPACK = {"recipe": "xnnpack", "sparsity": 0.8}


def test_xnnpack_of_a_float_pipeline_is_fine_and_trains_all():
    for backbone in ({}, {"backbone": net("EfficientNetLite0")}):
        pipeline = make(XNNPACK, quantize={"recipe": "none"}, evaluate={}, benchmark={}, **backbone)
        assert check(pipeline) == []
        assert block_name(pipeline, "prune") == "stem"
        kernels = {k.layer: k.shape for b in blocks_of(pipeline) for k in b.kernels}
        pruned = {row.layer for row in planned_sparsity(pipeline)}
        assert pruned == {name for name, shape in kernels.items() if shape[:2] == (1, 1)}


@pytest.mark.parametrize(
    ("prune", "sections", "expected"),
    [
        ({}, {"quantize": {}}, "prune.recipe: xnnpack: XNNPACK has sparse kernels for float mode"),
        ({}, {"quantize": {}}, "leave out the quantize section, or use prune.recipe: magnitude"),
        ({"sparsity": 0.69}, {}, "prune.sparsity: 0.69: prune.recipe xnnpack needs 0.7 or more"),
        ({"also": ("head",)}, {}, "prune.also: prune.recipe xnnpack prunes the 1×1 convolutions"),
        ({"layers": ("Conv_1",)}, {}, "prune.layers: prune.recipe xnnpack prunes the 1×1 convol"),
        ({"unfreeze": "block_1"}, {}, "prune.unfreeze: what lies below block_1 would stay dense"),
        ({}, {"size": 224}, "data.image_size: 224: on sides other than 32k+1"),
        ({}, {"size": 224}, "225 is the nearest"),
        ({}, {"backbone": net("MobileNet")}, "backbone.name: XNNPACK's sparse kernels can't run "),
        ({}, {"backbone": net("EfficientNetB0")}, "for MobileNetV2 and EfficientNet-Lite"),
    ],
)
def test_what_xnnpack_asks_for(prune, sections, expected):
    found = said(XNNPACK | prune, **sections)
    assert [text for text in found if expected in text], found


def test_a_pair_of_another_length_is_told(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("name: a\ndata: {path: sample:digits}\nprune: {block_size: [1, 2, 4]}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert "prune.block_size: must be a list of 2, each a whole number of at least 1" in problem
