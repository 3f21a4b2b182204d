"""Convolutions of several groups: RegNet's, and those of nets that users bring."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from tfedge.modeling.nets import env
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import freeze, load_graph, save_graph

GROUPS, CHANNELS, FILTERS, SIZE = 3, 6, 12, 9


@pytest.fixture(params=["of the whole", "of each group"])
def grouped(request, monkeypatch):
    """A layer, built, with both ways that its gradients are computed."""
    if request.param == "of each group":
        monkeypatch.setattr(env, "ONEDNN", False)
    elif not env.ONEDNN:
        pytest.skip("TensorFlow without oneDNN has no gradients of grouped convolutions")
    fresh(1)
    layer = keras.layers.Conv2D(FILTERS, 3, 2, "same", groups=GROUPS, bias_initializer="ones")
    layer.build((None, SIZE, SIZE, CHANNELS))
    return layer


def apart(inputs, kernel):
    """The same with a convolution for each group."""
    parts = zip(tf.split(inputs, GROUPS, -1), tf.split(kernel, GROUPS, -1), strict=True)
    return tf.concat([tf.nn.conv2d(i, k, 2, "SAME") for i, k in parts], -1) + 1.0


def test_values_and_gradients_are_those_of_one_convolution_for_each_group(grouped):
    inputs = tf.constant(np.random.default_rng(1).normal(size=(4, SIZE, SIZE, CHANNELS)), "float32")
    kernel, found = grouped.kernel, []
    for function in (tf.function(grouped), lambda inputs: apart(inputs, kernel)):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(inputs)
            loss = tf.reduce_sum(tf.sin(outputs))
        found.append([outputs, *tape.gradient(loss, [inputs, kernel])])
    for ours, theirs in zip(*found, strict=True):
        # float32 sums of up to 100 products, in another order
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_graph_that_was_written_down_runs_when_it_is_read_again(grouped, tmp_path):
    """Not so with what Keras has XLA compile: "failed to find function in function library"."""
    pixels = np.random.default_rng(2).normal(size=(1, SIZE, SIZE, CHANNELS)).astype(np.float32)
    save_graph(freeze(grouped, pixels.shape[1:], tf.float32), tmp_path / "graph.pb")
    again = tiny.computing(load_graph(tmp_path / "graph.pb"))(tf.constant(pixels))
    np.testing.assert_array_equal(again, grouped(pixels))
    kinds = {node.op for node in load_graph(tmp_path / "graph.pb").definition.node}
    assert "Conv2D" in kinds and not any("Call" in kind for kind in kinds)
