"""What a saved model does with pixels before its first weight."""

from __future__ import annotations

import numpy as np
import pytest

from tfedge.modeling.nets.weights.preprocessing import UnknownLayer, of_model

NONE: dict[str, np.ndarray] = {}
CONV = {"conv/kernel": np.ones((3, 3, 3, 8))}


def layer(kind, name="", **config):
    return {"class_name": kind, "config": {"name": name or kind.lower(), **config}}


def model(*layers, inner=()):
    nested = layer("Functional", "net", layers=[*inner, layer("Conv2D", "conv")])
    return {"layers": [layer("InputLayer"), *layers, nested]}


def keras2(function, **constants):
    found = layer("TFOpLambda", function.rpartition(".")[2], function=function)
    return found | {"inbound_nodes": [["input", 0, 0, constants | {"name": None}]]}


def keras3(kind, *constants):
    pixels = {"class_name": "__keras_tensor__", "config": {}}
    found = layer(kind) | {"module": "keras.src.ops.numpy"}
    return found | {"inbound_nodes": [{"args": [pixels, *constants], "kwargs": {}}]}


UNIT = ((127.5,) * 3, (127.5,) * 3)
COLOURS = {"mean": [10.0, 20.0, 30.0], "variance": [4.0, 9.0, 16.0]}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([layer("Rescaling", scale=1 / 255)], ((0,) * 3, (255,) * 3)),
        ([layer("Rescaling", scale=1 / 127.5, offset=-1)], UNIT),
        (
            [layer("Rescaling", scale=[0.5, 0.25, 0.1], offset=[1, 1, 1])],
            ((-2, -4, -10), (2, 4, 10)),
        ),
        ([layer("Normalization", **COLOURS)], ((10, 20, 30), (2, 3, 4))),
        ([layer("Normalization", mean=100.0, variance=25.0)], ((100,) * 3, (5,) * 3)),
        (
            [layer("RandomFlip"), layer("Dropout"), layer("Rescaling", scale=1.0)],
            ((0,) * 3, (1,) * 3),
        ),
        ([keras2("math.truediv", y=127.5), keras2("math.subtract", y=1.0)], UNIT),
        ([keras3("TrueDivide", 127.5), keras3("Subtract", 1.0)], UNIT),
        ([keras3("Multiply", 1 / 127.5), keras3("Add", -1.0)], UNIT),
        ([layer("Sequential", layers=[layer("Rescaling", scale=1 / 255)])], ((0,) * 3, (255,) * 3)),
    ],
)
def test_scale_and_offset_of_pixels(layers, expected):
    np.testing.assert_allclose(of_model(model(*layers), CONV), expected, rtol=1e-9)


def test_one_behind_another_and_inside_of_the_net_are_taken_together():
    inside = [layer("Rescaling", "inner", scale=2.0, offset=-1.0), layer("ZeroPadding2D")]
    found = of_model(model(layer("Rescaling", scale=1 / 255), inner=inside), CONV)
    np.testing.assert_allclose(found, ((127.5,) * 3, (127.5,) * 3))
    half = layer("Normalization", mean=[0.5] * 3, variance=[0.25] * 3)
    twice = of_model(model(layer("Rescaling", scale=1 / 255), half), CONV)
    np.testing.assert_allclose(twice, ((127.5,) * 3, (127.5,) * 3))


@pytest.mark.parametrize("keys", [("mean", "variance", "count"), ("0", "1", "2")])
def test_statistics_that_were_adapted_stand_among_the_weights(keys):
    values = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 9.0, 16.0]), np.array(7)]
    arrays = {f"normalization/{key}": value for key, value in zip(keys, values, strict=True)}
    found = of_model(model(layer("Normalization", mean=None, variance=None)), CONV | arrays)
    np.testing.assert_allclose(found, ((1, 2, 3), (2, 3, 4)))


@pytest.mark.parametrize("layers", [[], [layer("RandomFlip"), layer("Resizing")]])
def test_a_net_without_any_says_nothing(layers):
    assert of_model(model(*layers), CONV) is None
    assert of_model({}, NONE) is None


def test_what_stands_behind_the_first_weight_is_no_preprocessing():
    behind = {
        "layers": [layer("InputLayer"), layer("Conv2D", "conv"), layer("Rescaling", scale=9.0)]
    }
    assert of_model(behind, CONV) is None
    other = {"layers": [layer("InputLayer"), layer("Mine", "conv"), layer("Lambda")]}
    assert of_model(other, CONV) is None


@pytest.mark.parametrize(
    ("strange", "said"),
    [
        (layer("Lambda", "mine"), r"^mine \(Lambda\)$"),
        (keras2("__operators__.getitem", slice_spec=[]), "TFOpLambda"),
        (keras3("GetItem", [0]), "GetItem"),
        (layer("Normalization", "norm", mean=None, variance=None), r"^norm \(Normalization\)$"),
        (layer("Normalization", "norm", mean=[0] * 4, variance=[1] * 4), "norm"),
        (layer("Rescaling", "flip", scale=-1.0), "flip"),
        (layer("Rescaling", "zero", scale=0.0), "zero"),
        (layer("Rescaling", "none"), "none"),
        (layer("Rescaling", "words", scale="much"), "words"),
        (
            layer("Add", "merge") | {"module": "keras.layers", "inbound_nodes": [{"args": [[]]}]},
            "merge",
        ),
        ({"class_name": "Add", "config": {"name": "empty"}}, "empty"),
    ],
)
def test_what_can_not_be_read_is_named(strange, said):
    with pytest.raises(UnknownLayer, match=said):
        of_model(model(strange), CONV)
