"""The network itself: pixels in, normalisation inside, cut in two, and the files it becomes."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tiny

from tfedge.errors import StageError
from tfedge.modeling.compression.quantize_layers import QuantizedOffset
from tfedge.modeling.nets import backbone, network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import float_part, float_pixels, freeze, load_graph, save_graph
from tfedge.modeling.nets.export import to_tflite as convert
from tfedge.modeling.nets.network import HEAD, Spec
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

# float32 in another order of summation; a mean folded into the first bias, which is wrong along
# the borders, shows as 0.01 to 1
TOLERANCE = 1e-4
MEAN, STD = (120.0, 90.0, 60.0), (50.0, 60.0, 70.0)


class Case:
    """A network of one size, and the same computed the long way: normalise, backbone, head."""

    def __init__(self, size: int) -> None:
        fresh(1)
        self.spec = Spec(tiny.NAME, tiny.ALPHA, size, MEAN, STD, 3)
        self.pixels = np.stack([tiny.image(n % 3, n, size) for n in range(12)])
        self.pixels[0, :2] = 255  # borders that are far from the mean colour
        self.pixels[1, :, -2:] = 0
        bare = backbone.bare(tiny.NAME, tiny.ALPHA, size)
        normal = (self.pixels.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
        self.base = tiny.lively(bare, normal)
        self.maps = bare(normal, training=False).numpy()
        rng = np.random.default_rng(1)
        self.head = {
            f"{HEAD}/kernel": rng.normal(0, 0.03, (self.maps.shape[-1], 3)).astype(np.float32),
            f"{HEAD}/bias": np.array([0.1, 0.2, -0.3], np.float32),
        }
        self.logits = (
            self.maps.mean((1, 2)) @ self.head[f"{HEAD}/kernel"] + self.head[f"{HEAD}/bias"]
        )
        assert np.ptp(self.logits, axis=0).min() > 0.1  # different images, different answers
        self.model = network.load(self.spec, network.fold(self.spec, self.base) | self.head)


@cache
def made(size: int) -> Case:
    return Case(size)


@pytest.fixture(params=[32, 33])  # Keras pads even and odd sizes differently
def case(request) -> Case:
    return made(request.param)


@pytest.fixture
def small() -> Case:
    return made(32)


def test_pixels_in_gives_what_normalised_pixels_give_the_bare_backbone(case):
    found = case.model(case.pixels.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(found, case.logits, atol=TOLERANCE)


@pytest.mark.parametrize(("size", "softmax"), [(32, False), (33, True)])
def test_the_float_file_takes_bytes_and_gives_the_same(size, softmax):
    case = made(size)
    content = float_pixels(case.model, size, serve=tf.nn.softmax if softmax else None)
    (taken,), (given,) = (getattr(read(content), side) for side in ("inputs", "outputs"))
    assert (taken.dtype, taken.shape) == ("uint8", (1, size, size, 3))
    assert (given.dtype, given.shape) == ("float32", (1, 3))
    wanted = tf.nn.softmax(case.logits) if softmax else case.logits
    np.testing.assert_allclose(predict(content, case.pixels), wanted, atol=TOLERANCE)


def test_the_borders_too(small):
    """The first block's map, pixel by pixel: zero padding still means the mean colour."""
    between = small.spec.blocks[0].output
    lower, _ = network.cut(small.model, between)
    bare = backbone.bare(tiny.NAME, tiny.ALPHA, 32)
    backbone.assign(bare, small.base)
    normal = (small.pixels.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    wanted = keras.Model(bare.input, bare.get_layer(between).output)(normal).numpy()
    found = predict(float_pixels(lower, 32), small.pixels)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


@pytest.mark.parametrize("block", [0, 12])
def test_both_parts_after_a_cut_are_the_whole(small, block):
    layer = network.boundary(small.spec.blocks, block + 1)
    assert layer == small.spec.blocks[block].output
    lower, upper = network.cut(small.model, layer)
    between = predict(float_pixels(lower, 32), small.pixels)
    found = predict(float_part(upper), between)
    np.testing.assert_allclose(found, small.logits, atol=TOLERANCE)
    whole = {layer.name for layer in small.model.layers}
    parts = [{la.name for la in part.layers if "input" not in la.name} for part in (lower, upper)]
    assert parts[0] | parts[1] == whole and not parts[0] & parts[1]


def test_a_cut_shares_the_weights(small):
    lower, upper = network.cut(small.model, network.boundary(small.spec.blocks, 9))
    shared = {id(variable) for part in (lower, upper) for variable in part.weights}
    assert shared == {id(variable) for variable in small.model.weights}


def test_the_boundary_is_below_the_lowest_block_that_trains(small):
    names = [block.name for block in small.spec.blocks]
    assert network.boundary(small.spec.blocks, None) == "out_relu"  # only the head trains
    assert network.boundary(small.spec.blocks, names.index("block_13")) == "block_12_add"
    assert network.boundary(small.spec.blocks, 0) == ""  # all of it: nothing is frozen


def test_batch_norm_in_inference_mode_does_not_move():
    fresh(1)
    x = inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization(name="plain")(keras.layers.Dense(4)(x))
    model = keras.Model(inputs, x)
    noise = np.random.default_rng(1).normal(3, 2, (8, 4)).astype(np.float32)
    network.inference_norm(model)
    before = [variable.numpy() for variable in model.get_layer("plain").weights]
    still = model(noise, training=False).numpy()
    np.testing.assert_array_equal(model(noise, training=True), still)
    for one, other in zip(before, model.get_layer("plain").weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [variable.name.split("/")[0] for variable in model.trainable_variables] == ["dense"] * 2


def test_weights_files_are_the_same_bytes_for_the_same_arrays(tmp_path):
    arrays = {"b/kernel": np.ones((2, 3), np.float32), "a/bias": np.zeros(2, np.float32)}
    network.save_weights(tmp_path / "1.npz", arrays)
    network.save_weights(tmp_path / "2.npz", dict(reversed(arrays.items())))
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    found = network.load_weights(tmp_path / "1.npz")
    assert list(found) == ["a/bias", "b/kernel"]
    for key, value in arrays.items():
        np.testing.assert_array_equal(found[key], value)
    np.savez(tmp_path / "3.npz", code=np.array([print], object))
    with pytest.raises(ValueError, match="pickle"):
        network.load_weights(tmp_path / "3.npz")


# ------------------------------------------------------------------ conversion


def test_a_graph_comes_back_from_its_file(tmp_path):
    kernel = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    for name in ("1.pb", "2.pb"):
        concrete = freeze(lambda x: tf.nn.softmax(x @ kernel), (2,), tf.float32)
        save_graph(concrete, tmp_path / name)
    assert (tmp_path / "1.pb").read_bytes() == (tmp_path / "2.pb").read_bytes()
    point = tf.constant([[0.5, -0.5]])
    graph = load_graph(tmp_path / "1.pb")
    np.testing.assert_allclose(
        tiny.computing(graph)(point), tf.nn.softmax(point @ kernel), atol=1e-7
    )
    np.testing.assert_allclose(
        predict(convert(graph), point.numpy()), tf.nn.softmax(point @ kernel), atol=1e-6
    )


def test_what_the_converter_refuses_is_said_in_one_line():
    def odd(x):
        return tf.linalg.svd(tf.reshape(x, (2, 2)), compute_uv=False)

    with pytest.raises(StageError, match="the TFLite converter refuses the model: ") as caught:
        convert(freeze(odd, (4,), tf.float32))
    assert "Svd" in caught.value.message and "\n" not in caught.value.message
    assert "log" in caught.value.hint


def test_norms_of_a_random_net_are_told_what_comes():
    """What fades out in a deep net then reaches its end; momentum is what it was."""
    fresh(1)
    net = backbone.bare("MobileNetV3Small", 1.0, 32)
    given = np.random.default_rng(1).normal(size=(16, 32, 32, 3)).astype(np.float32)
    norms = [la for la in net.layers if isinstance(la, keras.layers.BatchNormalization)]
    momentum, shown = norms[0].momentum, keras.Model(net.input, [la.output for la in norms])

    def spreads():
        """The median over channels of what each norm gives, from the pixels up."""
        found = [values.numpy() for values in shown(given, training=False)]
        return [np.median(v.reshape(-1, v.shape[-1]).std(0)) for v in found]

    assert spreads()[-1] < 0.1
    network.estimate_norms(net, [given])
    assert {la.momentum for la in norms} == {momentum}
    # Not 1: epsilon counts where there is little variance, and Bessel's 15 / 16 where nothing but
    # the 16 images is left.
    assert spreads()[-1] > 0.6 and max(spreads()) < 1.05


# ------------------------------------------------------------------ the offset in 8 bits


def started(mean: tuple[float, ...], bias: bool) -> keras.Model:
    """Offset, a convolution without padding, a norm behind it if it has no bias, pool and head."""
    fresh(1)
    pixels = keras.Input((16, 16, 3))
    x = network.PixelOffset(mean, name=network.OFFSET)(pixels)
    x = keras.layers.Conv2D(4, 3, strides=2, use_bias=bias, name="first")(x)
    x = x if bias else keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name=network.POOL)(keras.layers.ReLU()(x))
    return keras.Model(pixels, keras.layers.Dense(2, name=network.HEAD)(x))


@pytest.mark.parametrize("bias", [True, False])
def test_half_a_pixel_is_not_lost_in_8_bits(bias):
    given = np.stack([tiny.image(n % 3, n, 16) for n in range(6)]).astype(np.float32)
    levels = np.tile(np.arange(256, dtype=np.float32)[:, None], 3).reshape(1, 16, 16, 3)
    model = started((127.5,) * 3, bias)
    said = model(given, training=False).numpy()
    lost = QuantizedOffset((127.5,) * 3)(levels).numpy() - (levels - 127.5)
    assert np.abs(lost).min() == 0.5, "without it every pixel is off by half a step"
    network.whole_offset(model)
    mean = model.get_layer(network.OFFSET).mean
    np.testing.assert_array_equal(QuantizedOffset(mean)(levels).numpy(), levels - 128)
    # float32 sums of 27 products of up to 128
    np.testing.assert_allclose(model(given, training=False), said, rtol=1e-4, atol=1e-3)


def test_means_that_differ_or_are_whole_stay():
    for mean in ((123.675, 116.28, 103.53), (127.0,) * 3):
        model = started(mean, bias=True)
        before = [weight.numpy() for weight in model.weights]
        network.whole_offset(model)
        assert model.get_layer(network.OFFSET).mean == mean
        for was, weight in zip(before, model.weights, strict=True):
            np.testing.assert_array_equal(was, weight.numpy())
