"""Nets of Keras Applications, written down again: the same numbers, in layers TF-MOT can train."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from tfedge.catalog.backbones import BACKBONES, layers
from tfedge.errors import UnsupportedModel
from tfedge.modeling.compression import quantization
from tfedge.modeling.compression.observation import observe, ranges_of
from tfedge.modeling.nets import backbone, network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import freeze, to_tflite
from tfedge.modeling.nets.rewrite import rewritten
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

SIZE = 96
TRAINED = (
    *("MobileNetV3Small", "EfficientNetB0", "ResNet50V2", "DenseNet121", "RegNetX002"),
    "ConvNeXtTiny",
)


def pixels(count: int) -> np.ndarray:
    return np.stack([tiny.image(n % 3, n, SIZE) for n in range(count)]).astype(np.float32)


def test_names_do_not_count_up_with_the_nets_before():
    fresh(1)
    names = [[la.name for la in backbone.bare("MobileNetV3Small", 1.0, 32).layers] for _ in "ab"]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda x: keras.layers.PReLU(name="odd")(x), "odd (PReLU)"),
        (lambda x: tf.math.exp(x), "exp"),
        (lambda x: x + 2.0, "__operators__.add"),
    ],
)
def test_what_has_no_rule_is_named(layer, said):
    fresh(1)
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layer(keras.layers.Conv2D(2, 1)(inputs)))
    with pytest.raises(UnsupportedModel) as caught:
        rewritten(model, keras.Input((8, 8, 3)))
    assert said in str(caught.value)


def kinds(model) -> set[tuple]:
    """The layers of a model, those that TF-MOT and the converter treat alike once."""
    facts = ("strides", "kernel_size", "groups")
    return {
        (type(layer).__name__, *(str(getattr(layer, fact, None)) for fact in facts))
        for layer in model.layers
    }


def beginning(name: str, taken, whole):
    """What a net's first blocks give that have layers of all of its kinds: the rest repeats them,
    and the converter takes minutes for it."""
    net = keras.Model(taken, whole)
    for block in layers(name, 1.0):
        given = network.output_of(net, block.output)
        if kinds(keras.Model(taken, given)) == kinds(net):
            return given
    raise AssertionError(name)


def classifier(name: str):
    """A net's beginning with a head, its layers saying something."""
    fresh(1)
    taken = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = network.PixelOffset(BACKBONES[name].norm[0], name=network.OFFSET)(taken)
    x = beginning(name, taken, backbone.build_base(name, 1.0, x))
    x = keras.layers.GlobalAveragePooling2D(name=network.POOL)(x)
    model = keras.Model(taken, keras.layers.Dense(3, name=network.HEAD)(x))
    first = next(la for la in model.layers if isinstance(la, keras.layers.Conv2D))
    first.kernel.assign(first.kernel / np.float32(60))
    tiny.lively(model, pixels(24))
    # What all images have in common would fill the range of the scores.
    model.get_layer(network.HEAD).bias.assign(-model(pixels(24)).numpy().mean(0))
    return model


@pytest.mark.parametrize("name", TRAINED)
def test_in_8_bits_all_of_it(name):
    """Wrapped, ranges set, converted: no float tensor, and the file says what the net said."""
    model, given = classifier(name), pixels(24)
    said = model(given, training=False).numpy()
    ranges = ranges_of(model, observe(model, [given[:12], given[12:]]))
    wrapped = quantization.wrap(model, preserve_zeros=False)
    quantization.set_ranges(wrapped, ranges)
    network.inference_norm(wrapped)
    simulated = wrapped(given, training=False).numpy()
    concrete = freeze(lambda x: wrapped(x, training=False), (SIZE, SIZE, 3), tf.float32)
    content = to_tflite(concrete, int8=True, input_type=tf.uint8, output_type=tf.uint8)
    model = read(content)
    assert model.float_tensors() == []
    got = predict(content, given.astype(np.uint8))

    def alike(a, b):
        return np.corrcoef((a - a.mean(0)).ravel(), (b - b.mean(0)).ravel())[0, 1]

    # Random nets and dozens of layers of rounding give 0.84 to 0.99; two norms that shared a scale
    # gave 0.15.
    assert alike(got, simulated) > 0.7, alike(got, simulated)
    assert alike(simulated, said) > 0.7, alike(simulated, said)
    joins = [op for op in model.ops if op.name == "CONCATENATION"]
    for op in joins:
        scales = {model.tensors[i].quantization.scales for i in (*op.inputs, *op.outputs)}
        assert len(scales) == 1, "a concatenation copies bytes"
    assert [op.name for op in model.ops].count("QUANTIZE") <= 2, "nothing is brought to a scale"
