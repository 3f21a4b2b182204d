"""Layers above 8 bits: which tensors of the file they change, and that they help."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from test_modeling_quantization import SIZE, images, net

from tfedge.errors import InvariantBroken, StageError, UnsupportedModel
from tfedge.modeling import invariants
from tfedge.modeling.compression import mixed, quantization
from tfedge.modeling.compression.sensitivity import Mixtures, switched
from tfedge.modeling.compression.units import Graph
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.export import freeze
from tfedge.tasks.image_classification.work import Classification
from tfedge.tflite import barriers
from tfedge.tflite.model import WEIGHTED, Model
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

ALL = ("first", "depth", "point", "add", "pool", "dense")
LEVEL = 1 / 256  # of the scores in the file


def ranged(model: keras.Model) -> keras.Model:
    return quantization.ranged(model, [images(12)], preserve_zeros=False)


def frozen(model: keras.Model):
    def scores(pixels):
        return tf.nn.softmax(model(pixels, training=False))

    return freeze(scores, (SIZE, SIZE, 3), tf.float32)


@pytest.fixture(scope="module")
def concrete():
    return frozen(ranged(net()))


@pytest.fixture(scope="module")
def mixtures(concrete) -> Mixtures:
    return Mixtures(Graph.of(concrete), images(24).astype(np.uint8), Classification())


def ops(model: Model) -> dict[str, tuple[str, str, str]]:
    """Types of what each op reads, of its kernel and of what it makes, by the layer's name."""
    found = {}
    for op in model.ops:
        read_, made = ([model.tensors[i] for i in ids if i >= 0] for ids in (op.inputs, op.outputs))
        constants = [t for t in read_ if t.is_const]
        scopes = re.findall(r"quant_([^/;]+)", ";".join(t.name for t in (*made, *constants)))
        if op.name not in ("QUANTIZE", "DEQUANTIZE") and scopes:
            layer = re.sub("_(bn|relu)$", "", scopes[0])
            kernel = "".join(t.dtype for t in constants if op.name in WEIGHTED and len(t.shape) > 1)
            types = {t.dtype for t in read_ if not t.is_const}
            found[layer] = ("/".join(types), kernel, made[0].dtype)
    return found


INT8 = {
    "pixel_offset": ("int8", "", "int8"),
    **dict.fromkeys(("first", "depth", "point", "dense"), ("int8", "int8", "int8")),
    **dict.fromkeys(("add", "pool"), ("int8", "", "int8")),
}


@pytest.mark.parametrize("precision", ["float", "int16"])
@pytest.mark.parametrize("names", [("point",), ("dense",), ("add",), ("first", "depth"), ALL])
def test_exactly_the_named_layers_are_above_8_bits(concrete, mixtures, precision, names):
    kept = Graph.of(concrete).kept(dict.fromkeys(names, precision))
    content = mixed.convert(concrete, kept, output_type=tf.uint8)
    model = read(content)
    kernel, tensor = ("float32", "float32") if precision == "float" else ("int8", "int16")
    wanted = {
        name: (tensor, types[1] and kernel, tensor) if name in names else types
        for name, types in INT8.items()
    }
    assert ops(model) == wanted
    assert [t.dtype for t in (*model.inputs, *model.outputs)] == ["uint8", "uint8"]
    assert not any(op.custom for op in model.ops)
    # Two layers in a row have nothing between them that some other layer does not need.
    between = [op.name for op in model.ops if op.name in ("QUANTIZE", "DEQUANTIZE")]
    if names == ALL:  # in: pixels to int8 and on; out: scores to int8 and to uint8
        assert len(between) == (4 if precision == "float" else 5)
    scores = predict(content, images(24).astype(np.uint8))
    # Ops of 8 bits round once more than fake-quant nodes do, and scores come in steps.
    assert np.abs(scores - mixtures.outcome(kept).scores).max() < 3 * LEVEL


def test_without_any_the_file_is_the_converters_own(concrete):
    assert mixed.convert(concrete, {}, output_type=tf.uint8) == mixed.convert(
        concrete, {"of another part": "float"}, output_type=tf.uint8
    )


def test_16_bit_ops_have_64_bit_biases_and_old_versions(concrete):
    model = read(mixed.convert(concrete, {"first": "int16", "depth": "int16"}))
    wide = {op.name: op for op in model.ops if model.tensors[op.outputs[0]].dtype == "int16"}
    for name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        assert model.tensors[wide[name].inputs[2]].dtype == "int64"
        assert wide[name].version == 3  # what tflite-runtime 2.14 has, too
    biases = [t.dtype for t in model.tensors if t.is_const and "int" in t.dtype and t.quantization]
    assert set(biases) == {"int8", "int32", "int64"}  # 8-bit ops keep theirs


def test_names_and_patterns_choose_ops(concrete):
    graph = Graph.of(concrete)
    assert graph.kept({"first_bn": "float"}) == {"first": "float"}  # one op on the device
    assert graph.kept({"*_relu": "float", "dense": "int16"}) == {
        "first": "float",
        "depth": "float",
        "dense": "int16",
    }
    with pytest.raises(StageError, match="no layer is called 'pont'") as caught:
        graph.kept({"pont": "float"})
    assert caught.value.hint == "did you mean point?"
    with pytest.raises(StageError, match="first is to be float and int16"):
        graph.kept({"first": "float", "first_*": "int16"})
    with pytest.raises(UnsupportedModel, match="pixel_offset") as caught:
        graph.kept({"*": "int16"})
    assert "keep it in float" in caught.value.hint


def test_a_file_with_something_else_in_float_is_refused(concrete):
    kept = {"point": "float", "add": "float"}
    model = read(mixed.convert(concrete, kept, output_type=tf.uint8))
    layers = {"point": "float", "point_bn": "float"}
    with pytest.raises(InvariantBroken, match=r"ADD .*quant_add.* is float32, not int8"):
        invariants.mixed(model, layers, ["point"], quantization.PREFIX)
    plain = read(mixed.convert(concrete, {}))
    with pytest.raises(InvariantBroken, match="gone is nowhere"):
        invariants.mixed(plain, {"gone": "float"}, ["gone"], quantization.PREFIX)
    with pytest.raises(InvariantBroken, match=r"CONV_2D .* is int8, not float"):
        invariants.mixed(plain, {"point": "float"}, ["point"], quantization.PREFIX)


def test_barriers_change_no_value():
    graph = Graph.of(frozen(ranged(net())))
    definition = mixed.fence(graph, {"point": "float", "dense": "int16"})
    names = [node.name for node in definition.node if node.op == barriers.OP]
    assert len(names) == 3  # behind point, before and behind dense
    assert {node.attr["num_bits"].i for node in definition.node if node.name[:5] == "wide_"} == {16}


def test_kept_layers_train_in_float_and_others_do_not():
    model = net()
    kernel = model.get_layer("point").kernel.numpy()
    wrapped = ranged(model)
    graph = Graph.of(frozen(wrapped))
    mixed.train_in_float(wrapped, graph, {"point": "float", "add": "float"})
    layer, inputs = wrapped.get_layer("quant_point"), np.ones((1, 8, 8, 8), np.float32)
    float_answer = tf.nn.conv2d(inputs, kernel, 1, "VALID")
    np.testing.assert_allclose(layer(inputs, training=True), float_answer, rtol=1e-5)
    assert np.abs(layer(inputs, training=False) - float_answer).max() > 1e-4  # for the converter
    # Nothing is lost between two kept layers; what goes on to an 8-bit one is rounded.
    for name, rounds in (("point_bn", False), ("add", True), ("first_relu", True)):
        layer = wrapped.get_layer(f"quant_{name}")
        inputs = np.random.default_rng(1).normal(size=(1, 8, 8, 8)).astype(np.float32)
        given = [inputs, inputs] if name == "add" else inputs
        found = layer(given, training=True).numpy()
        assert (len(np.unique(found)) <= 256) == rounds, name


@pytest.mark.parametrize("precision", ["float", "int16"])
def test_a_frozen_part_gives_what_the_layer_above_it_reads(precision):
    lower, _ = network.cut(ranged(net()), "add", quantization.PREFIX)
    part = freeze(lambda x: lower(x, training=False), (SIZE, SIZE, 3), tf.float32)
    kept, dtypes, levels = {"add": precision}, [], []
    for output, rounded in (("int8", tf.int8), (precision, None)):
        content = mixed.convert(part, kept, output_type=rounded, output=output)
        dtypes.append(read(content).outputs[0].dtype)
        levels.append(len(np.unique(predict(content, images(6).astype(np.uint8)))))
    assert dtypes == ["int8", "float32"]
    assert levels[0] <= 256 < levels[1]


# ------------------------------------------------------------------------------------ the debugger


def odd_net() -> keras.Model:
    """A net that 8 bits ruin in one place: beside a huge weight the dense layer's others are 0.

    The channel that meets the huge one says nothing, so that in float it does no harm.
    """
    model = net()
    for name in ("first_bn", "point_bn"):
        norm = model.get_layer(name)
        gamma, beta, mean, variance = norm.get_weights()
        gamma[-1], beta[-1] = 1e-6, 0
        norm.set_weights([gamma, beta, mean, variance])
    pooled = keras.Model(model.input, model.get_layer("pool").output)(images(24)).numpy()
    labels = np.eye(3)[np.arange(24) % 3]  # colours, which these means tell apart
    kernel, *_ = np.linalg.lstsq(np.c_[pooled[:, :-1], np.ones(24)], 8 * labels, rcond=1e-3)
    huge = np.full((1, 3), 400 * np.abs(kernel).max())
    model.get_layer("dense").set_weights([np.r_[kernel[:-1], huge], kernel[-1]])
    return model


@pytest.fixture(scope="module")
def odd():
    concrete = frozen(ranged(odd_net()))
    return concrete, Mixtures(Graph.of(concrete), images(24).astype(np.uint8), Classification())


def quiet(done: int, total: int) -> None:
    return


def test_the_bad_layer_is_the_most_harmful_and_keeping_it_heals(odd):
    concrete, mixtures = odd
    harms = mixtures.harms(quiet)
    assert harms[0].unit == "dense" and len(harms) == 7
    assert harms[0].divergence > 20 * harms[1].divergence
    assert harms[0].agreement < 0.9 < harms[1].agreement
    assert harms[0].error > 3  # steps of its scale; rounding alone is 0.29
    proposed = mixtures.propose(harms, 0.02, {}, quiet)
    assert proposed.kept == {"dense": "float"} and proposed.agreement == 1

    found = predict(mixed.convert(concrete, proposed.kept), images(24).astype(np.uint8))
    ruined = predict(mixed.convert(concrete, {}), images(24).astype(np.uint8))
    float_answers = mixtures.reference.argmax(1)
    assert (found.argmax(1) == float_answers).all()
    assert (ruined.argmax(1) != float_answers).mean() > 0.1


def test_the_switched_graph_says_what_the_file_says(odd):
    concrete, mixtures = odd
    for kept in ({}, {"dense": "float"}, {"first": "float", "depth": "float"}):
        found = predict(mixed.convert(concrete, kept), images(24).astype(np.uint8))
        # 8-bit ops round once more than fake-quant nodes do, and the scores' own steps.
        assert np.abs(found - mixtures.outcome(kept).scores).max() < 0.05, kept


def test_a_mixture_with_all_in_float_is_the_float_net(odd):
    _, mixtures = odd
    said = tf.nn.softmax(odd_net()(images(24), training=False)).numpy()
    np.testing.assert_allclose(mixtures.reference, said, atol=1e-5)
    everything = dict.fromkeys(mixtures.graph.units, "float")
    outcome = mixtures.outcome(everything)
    # What remains: the logits, which the softmax reads in 8 bits.
    assert outcome.agreement == 1 and outcome.divergence < 1e-3


def test_nothing_is_proposed_where_nothing_is_wrong_or_nothing_helps(odd):
    _, mixtures = odd
    harms = mixtures.harms(quiet)
    assert mixtures.propose(harms, 1.0, {}, quiet).kept == {}
    kept = {"dense": "int16"}  # stays as the user wants it, though float kernels would be needed
    found = mixtures.propose(harms, 1.0, kept, quiet)
    assert found.kept == kept
    assert mixtures.propose(harms, -1.0, {}, quiet) is None


def test_a_net_that_reshapes_to_one_image_takes_several_at_a_time():
    """Squeezed channels, [1, 1, 1, 4]: one by one EfficientNetB0 took four times as long."""
    pixels = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(pixels)
    scale = keras.layers.Reshape((1, 1, 4))(keras.layers.GlobalAveragePooling2D()(x))
    x = keras.layers.Multiply()([x, keras.layers.Conv2D(4, 1, activation="sigmoid")(scale)])
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
    concrete = freeze(lambda x: model(x, training=False), (SIZE, SIZE, 3), tf.float32)
    definition = switched(SimpleNamespace(definition=concrete.definition), [])

    @tf.function(autograph=False)
    def several(given):
        return tf.graph_util.import_graph_def(definition, {"input:0": given}, ["Identity:0"])[0]

    given = images(5)
    one_by_one = np.concatenate([model(given[n : n + 1]).numpy() for n in range(5)])
    np.testing.assert_allclose(several(tf.constant(given)).numpy(), one_by_one, rtol=1e-5)
