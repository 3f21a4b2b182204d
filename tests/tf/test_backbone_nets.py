"""The nets: what the catalogue says of them, weights in and out, and TF-MOT taking them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot

from tfedge.catalog import backbones as catalog
from tfedge.errors import UnsupportedModel
from tfedge.modeling.nets import backbone
from tfedge.modeling.nets.env import fresh, keras

TOOL = Path(__file__).parents[2] / "tools" / "catalog_layers.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("catalog_layers", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small():
    fresh(1)
    return backbone.bare("MobileNetV2", 0.35, 32)


@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetLite0", "MobileNetV3Small"])
def test_the_catalogue_says_what_the_net_is(tool, name):
    file = catalog.NETS / f"{name}.json"
    assert json.loads(file.read_text("utf-8"))["1.0"] == tool.describe(catalog.BACKBONES[name], 1.0)


@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetLite0"])
def test_the_net_can_be_cut_behind_every_block(name):
    net = backbone.bare(name, 1.0, 32)
    for block in catalog.layers(name)[:-1]:
        boundary = net.get_layer(block.output).output
        below = keras.Model(net.input, boundary)
        above = keras.Model(boundary, net.output)  # fails unless it is the only way through
        assert len(below.layers) + len(above.layers) == len(net.layers) + 1


def test_blocks_are_what_can_be_cut_whatever_the_patterns_say(tool):
    """A pattern that would cut through a shortcut names a larger part; too wide, it fails."""
    blocks = ((r"Conv1|block_1_|block_2_expand", "stem"), (r"block_2_", "rest"), (r"Conv_1", "top"))
    row = catalog.Backbone("MobileNetV2", "", blocks)
    described = tool.describe(row, 0.35)["blocks"]
    assert [block[0] for block in described] == ["stem", "top"]
    assert described[0][1] == "block_16_project_BN"
    with pytest.raises(SystemExit, match="stem comes back at Conv_1"):
        tool.describe(
            catalog.Backbone("MobileNetV2", "", (("block_1_", "x"), ("Conv", "stem"))), 0.35
        )


# MobileNetV2 twice: names do not count up with the nets that were built before.
@pytest.mark.parametrize(
    "name", ["MobileNetV2", "MobileNetV2", "MobileNet", "EfficientNetLite0", "ResNet50", "VGG16"]
)
def test_layers_join_the_graph_they_are_put_on(name):
    alpha = catalog.BACKBONES[name].alphas[0]
    pixels = keras.Input((32, 32, 3), name="pixels")
    features = backbone.build_base(
        name, alpha, keras.layers.Rescaling(1 / 255, name="scale")(pixels)
    )
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="pool")(features))
    assert [layer.name for layer in model.layers[:2]] == ["pixels", "scale"]
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    shapes = backbone.shapes_of(model)
    for kernel in (k for b in catalog.layers(name, alpha) for k in b.kernels):
        weight = "depthwise_kernel" if kernel.kind == "depthwise" else "kernel"
        assert shapes[f"{kernel.layer}/{weight}"] == kernel.shape


def test_weights_go_in_and_out_by_name(small):
    weights = backbone.weights_of(small)
    assert list(weights) == list(backbone.shapes_of(small))
    other = {k: v + np.float32(0.5) for k, v in weights.items()}
    backbone.assign(small, dict(reversed(other.items())))
    for key, value in backbone.weights_of(small).items():
        np.testing.assert_array_equal(value, other[key])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"Conv1/kernel": None}, r"Conv1/kernel \(missing\)"),
        ({"bn_Conv1/beta": np.ones(3)}, r"bn_Conv1/beta \(expected \(16,\), got \(3,\)\)"),
        ({"Conv9/kernel": np.ones(3)}, r"Conv9/kernel \(no such layer\)"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(small, change, why):
    before = backbone.weights_of(small)
    weights = {k: v + 1 for k, v in before.items()} | change
    weights = {k: v for k, v in weights.items() if v is not None}
    with pytest.raises(UnsupportedModel, match=why):
        backbone.assign(small, weights)
    for key, value in backbone.weights_of(small).items():
        np.testing.assert_array_equal(value, before[key])


def test_a_head_can_be_skipped_and_a_part_takes_its_own(small):
    weights = {k: v + 1 for k, v in backbone.weights_of(small).items()}
    pooled = keras.layers.GlobalAveragePooling2D()(small.output)
    model = keras.Model(small.input, keras.layers.Dense(2, name="logits")(pooled))
    with pytest.raises(UnsupportedModel, match="logits/kernel"):
        backbone.assign(model, weights)
    backbone.assign(model, weights, skip=("logits",))
    part = keras.Model(small.input, small.get_layer("block_1_project_BN").output)
    with pytest.raises(UnsupportedModel, match="no such layer"):
        backbone.assign(part, weights)
    backbone.assign(part, weights, partial=True)


def test_tf_mot_fuses_efficientnet_lite():
    whole = backbone.bare("EfficientNetLite0", 1.0, 32)
    net = keras.Model(whole.input, whole.get_layer("block2b_add").output)  # every kind of block
    quantized = tfmot.quantization.keras.quantize_model(net)
    by_name = {layer.name: layer for layer in quantized.layers}
    kernels = [k.layer for b in catalog.layers("EfficientNetLite0")[:4] for k in b.kernels]
    assert len(kernels) == 9
    for name in kernels:
        wrapped = by_name[f"quant_{name}"]
        # No quantizer between convolution and batch norm: they are one op in the .tflite.
        assert wrapped.quantize_config.get_output_quantizers(wrapped.layer) == []
        assert "NoOp" in type(wrapped.layer.activation.activation).__name__
