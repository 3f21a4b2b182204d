"""Batch norm inside the kernel while something trains: the same answers, the same gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import small_nets
from small_nets import conv, depthwise, images, normed

from tfedge.modeling.compression import calibration, quantization
from tfedge.modeling.compression.sparsity import Pruner
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.training.folding import folded_norms
from tfedge.pipeline.schema import Prune

_L = keras.layers
PAIRS = 6


def body(x: Any) -> Any:
    x = normed(x, "first", conv(8, 3, strides=2))
    before = normed(x, "narrow", conv(6), relu=False)
    x = normed(before, "expand", conv(12))
    x = normed(x, "middle", depthwise())
    x = _L.Add(name="add")([before, normed(x, "project", conv(6), relu=False)])
    return normed(x, "last", _L.Conv2D(10, 1))


def gradients(model: Any, inputs: np.ndarray, variables: Any) -> tuple[np.ndarray, list[Any]]:
    """The answers while training, and what a loss that looks at all of them wants changed."""
    target = np.random.default_rng(1).normal(size=(len(inputs), 3)).astype(np.float32)

    @tf.function(autograph=False)
    def step(values: Any) -> Any:
        with tf.GradientTape() as tape:
            said = model(values, training=True)
            loss = tf.reduce_mean(tf.square(said - target))
        return said, tape.gradient(loss, variables)

    said, found = step(tf.constant(inputs))
    return said.numpy(), [one.numpy() for one in found]


def both(model: Any, variables: Any) -> tuple[Any, Any, int]:
    """The same as the layers have it, and with norms folded; how many were."""
    inputs = images(8).astype(np.float32)
    plain = gradients(model, inputs, variables)
    with folded_norms(model) as count:
        folded = gradients(model, inputs, variables)
    return plain, folded, count


def assert_same(plain: Any, folded: Any) -> None:
    """Up to float rounding, for each variable at its own size."""
    np.testing.assert_allclose(folded[0], plain[0], atol=1e-4 * np.abs(plain[0]).max())
    for before, after in zip(plain[1], folded[1], strict=True):
        np.testing.assert_allclose(after, before, atol=1e-3 * np.abs(before).max())


def test_answers_and_gradients_are_the_same():
    model = small_nets.built(body)
    norms = [la for la in model.layers if isinstance(la, _L.BatchNormalization)]
    offsets = [variable for la in norms for variable in (la.gamma, la.beta)]
    plain, folded, count = both(model, [*model.trainable_variables, *offsets])
    assert count == PAIRS
    assert_same(plain, folded)


def test_it_is_fused_into_one_op_a_convolution():
    model = small_nets.built(body)
    run = tf.function(lambda values: model(values, training=True), autograph=False)
    with folded_norms(model):
        graph = run.get_concrete_function(tf.TensorSpec((4, 16, 16, 3))).graph
    kinds = {op.type for op in graph.get_operations()}
    assert "BiasAdd" in kinds and "FusedBatchNormV3" not in kinds


def test_the_same_under_tf_mots_wrappers_for_zeros():
    model = small_nets.built(body)
    sizes = {"expand": 24, "middle": 40, "last": 30}
    pruner = Pruner(model, sizes, Prune(), steps=10)
    pruner.before_step(0)
    for wrapper in pruner.model.layers:  # as in the middle of training; masks no longer change
        if hasattr(wrapper, "pruning_step"):
            wrapper.pruning_step.assign(1000)
    plain, folded, count = both(pruner.model, pruner.model.trainable_variables)
    assert count == PAIRS
    assert_same(plain, folded)


def test_the_same_in_8_bits():
    model = small_nets.built(body, uneven=2)
    seen = calibration.Batches(images(24))
    wrapped = quantization.ranged(model, seen, preserve_zeros=False)
    kernels = [weight for la in wrapped.layers for weight, *_ in getattr(la, "_weight_vars", ())]
    plain, folded, count = both(wrapped, kernels)
    assert count == PAIRS
    # A value between two of 255 steps may fall to either side, and goes on from there; and each
    # call moves the ranges by a thousandth. Pixels that are 0.01 brighter do as much.
    assert np.abs(folded[0] - plain[0]).max() < 0.06 * np.ptp(plain[0])
    for before, after in zip(plain[1], folded[1], strict=True):
        assert np.linalg.norm(after - before) < 0.2 * np.linalg.norm(before)


def test_nothing_of_it_is_left_afterwards():
    model = small_nets.built(body)
    inputs = images(8).astype(np.float32)
    before = model(inputs, training=False).numpy()
    with pytest.raises(KeyError), folded_norms(model):
        raise KeyError
    np.testing.assert_array_equal(model(inputs, training=False).numpy(), before)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_norm_that_could_learn_is_folded_where_nothing_does():
    model = small_nets.built(body)
    inputs = images(8).astype(np.float32)
    before = model(inputs, training=False).numpy()
    for layer in model.layers:
        layer.trainable = True
    with folded_norms(model, training=False) as count:
        assert count == PAIRS
        after = model(inputs, training=False).numpy()
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())


@pytest.mark.parametrize("case", ["learns", "two readers", "activation", "is an output"])
def test_what_can_not_be_folded_is_left_as_it_is(case):
    pixels = keras.Input((8, 8, 3))
    activation = "relu" if case == "activation" else None
    convolved = _L.Conv2D(4, 3, activation=activation, name="convolution")(pixels)
    norm = _L.BatchNormalization(trainable=case == "learns", name="norm")
    outputs = [norm(convolved)]
    if case == "two readers":
        outputs = [_L.Add()([outputs[0], _L.ReLU()(convolved)])]
    elif case == "is an output":
        outputs.append(convolved)
    with folded_norms(keras.Model(pixels, outputs)) as count:
        assert count == 0
