"""A corrected 8-bit network is nearer to its float twin, op by op and in its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import BODIES, built, conv, depthwise, images, normed, said

from tfedge.modeling.compression import correction, quantization
from tfedge.modeling.compression.calibration import Batches
from tfedge.modeling.compression.correction import correct, images_for, ops
from tfedge.modeling.compression.observation import observe, ranges_of
from tfedge.modeling.compression.quantization import PREFIX
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import kernel_of
from tfedge.modeling.nets.network import HEAD
from tfedge.tasks.image_classification.work import Classification

L = keras.layers
IMAGES, FRESH = images(24), images(24, 100)


def joined_body(x: Any) -> Any:
    """Ops of several inputs, and one that two others read."""
    x = normed(x, "first", conv(8, 3, 2))
    gate = L.Activation("sigmoid", name="gate")(L.Conv2D(8, 1, name="squeeze")(x))
    gated = L.Multiply(name="gated")([x, gate])
    more = normed(gated, "more", conv(4, 3))
    return normed(L.Concatenate(name="both")([gated, more]), "last", conv(8))


BODIES = BODIES | {"joined": joined_body}
PRUNED, CLUSTERED = ("first", "depth", "a_expand"), ("first", "a_depth", "a_expand")


def net(body: str) -> Any:
    return built(BODIES[body], uneven=40, even_features=True)


def changed(model: Any, layers: tuple[str, ...], how: Any) -> Any:
    for name in layers:
        kernel = kernel_of(model.get_layer(name))
        kernel.assign(how(kernel.numpy()).astype(np.float32))
    return model


def pruned(kernel: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(1).random(kernel.shape) < 0.4, 0, kernel)


def clustered(kernel: np.ndarray) -> np.ndarray:
    width = np.abs(kernel).max() / 3
    return np.rint(kernel / width) * width


def in_8_bits(model: Any, twin: Any, **more: Any) -> Any:
    ranges = ranges_of(model, observe(model, Batches(IMAGES)))
    wrapped = quantization.wrap(twin, **{"preserve_zeros": False, **more})
    quantization.set_ranges(wrapped, ranges)
    quantization.inference_norm(wrapped)
    return wrapped


def results(model: Any, images: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
    names = [layer.name for layer in model.layers if not isinstance(layer, L.InputLayer)]
    outputs = [model.get_layer(name).get_output_at(0) for name in names]
    found = keras.Model(model.input, outputs)(images.astype(np.float32), training=False)
    return {n.removeprefix(prefix): v.numpy() for n, v in zip(names, found, strict=True)}


def off(plain: dict[str, np.ndarray], wrapped: dict[str, np.ndarray], name: str) -> float:
    """How far each channel's mean is from float's, over its spread there: root mean square."""
    axes = tuple(range(plain[name].ndim - 1))
    apart = (wrapped[name].mean(axes) - plain[name].mean(axes)) / (plain[name].std(axes) + 1e-3)
    return float(np.sqrt(np.square(apart).mean()))


def scores(logits: np.ndarray) -> np.ndarray:
    return tf.nn.softmax(logits).numpy()


@pytest.fixture(scope="module", params=BODIES)
def corrected(request):
    """Body, float net, its state before, the wrapped net, what it gave before, by images."""
    model = net(request.param)
    wrapped = in_8_bits(model, net(request.param))
    weights = quantization.state(model)
    before = {name: results(wrapped, im, PREFIX) for name, im in sets().items()}
    kernels = quantization.kernels(wrapped)
    correct(model, wrapped, IMAGES)
    return request.param, model, weights, wrapped, before, kernels


def sets() -> dict[str, np.ndarray]:
    return {"seen": IMAGES, "fresh": FRESH}


# ------------------------------------------------------------------ what it is for


@pytest.mark.parametrize("which", ["seen", "fresh"])
def test_means_of_each_op_are_nearer_to_those_of_float(corrected, which):
    _, model, _, wrapped, before, _ = corrected
    images = sets()[which]
    plain, after = results(model, images), results(wrapped, images, PREFIX)
    biased = [op.layers[op.bias_at].name for op in ops(model) if op.bias_at is not None]
    assert len(biased) >= 4 and HEAD in biased
    was = np.array([off(plain, before[which], name) for name in biased])
    now = np.array([off(plain, after, name) for name in biased])
    assert now.mean() < (0.15 if which == "seen" else 0.4) * was.mean()
    if which == "seen":  # but for the rounding of the result itself
        assert now.max() < 0.01 and (now < was).all()
    results_of_ops = [op.name for op in ops(model) if op.name != "gate"]
    was, now = (
        np.mean([off(plain, found, name) for name in results_of_ops])
        for found in (before[which], after)
    )
    assert now < 0.6 * was


@pytest.mark.parametrize("which", ["seen", "fresh"])
def test_answers_are_nearer_to_those_of_float(corrected, which):
    _, model, _, wrapped, before, _ = corrected
    images = sets()[which]
    wanted = scores(said(model, HEAD, images))
    was = Classification().divergence(wanted, scores(before[which][HEAD]))
    now = Classification().divergence(wanted, scores(results(wrapped, images, PREFIX)[HEAD]))
    # Of answers that were right already to a ten-thousandth nothing is left to gain.
    assert now < max(0.4 * was, 5e-4), (was, now)


def test_the_float_net_stays_as_it_was(corrected):
    _, model, weights, *_ = corrected
    after = quantization.state(model)
    assert after.keys() == weights.keys()
    for key, value in weights.items():
        assert value.tobytes() == after[key].tobytes(), key


def test_small_kernels_are_rounded_by_least_squares(corrected):
    """Their weights stand on the steps; the op's result is nearer to float's than with each weight
    rounded to its nearest, but for the mean, which the bias has corrected."""
    body, model, _, wrapped, before, kernels = corrected
    after = quantization.kernels(wrapped)
    first = next(name for name in after if name not in (HEAD,))
    steps = (after[first] != kernels[first]).mean()
    assert steps > 0.5, "nothing was rounded"
    ((_, _, variables),) = wrapped.get_layer(PREFIX + first)._weight_vars
    step = variables["max_var"].numpy() / 127
    np.testing.assert_allclose(after[first] / step, np.rint(after[first] / step), atol=1e-3)
    plain = said(model, first, IMAGES)
    errors = [found[first] - plain for found in (before["seen"], results(wrapped, IMAGES, PREFIX))]
    if body == "plain":
        return  # its bias is of the convolution itself, and its result is rectified in the same op
    was, now = (np.mean(np.var(error, axis=(0, 1, 2))) for error in errors)
    assert now < was


# ------------------------------------------------------------------ what must not change


@pytest.mark.parametrize("preserve_zeros", [True, False])
def test_zeros_of_pruning_stay_zeros(preserve_zeros):
    model, twin = (changed(net("mobile"), PRUNED, pruned) for _ in range(2))
    wrapped = in_8_bits(model, twin, preserve_zeros=preserve_zeros)
    before = quantization.kernels(wrapped)
    correct(model, wrapped, IMAGES)
    after = quantization.kernels(wrapped)
    for name in PRUNED:
        zeros = before[name] == 0
        assert zeros.mean() > 0.3 and (after[name][zeros] == 0).all(), name
        assert (after[name] != before[name]).any(), name


def test_clustered_kernels_keep_their_values():
    model, twin = (changed(net("mobile"), CLUSTERED, clustered) for _ in range(2))
    wrapped = in_8_bits(model, twin, clustered=CLUSTERED)
    before, outputs = quantization.kernels(wrapped), results(wrapped, IMAGES, PREFIX)
    correct(model, wrapped, IMAGES, clustered=CLUSTERED)
    after = quantization.kernels(wrapped)
    for name in CLUSTERED:
        assert 2 < len(np.unique(before[name])) <= 7
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    assert (after["depth"] != before["depth"]).any()  # one that is not clustered
    plain, now = results(model, IMAGES), results(wrapped, IMAGES, PREFIX)
    assert off(plain, now, "first_bn") < 0.3 * off(plain, outputs, "first_bn")  # its bias is


def test_large_kernels_and_deep_ones_are_left_as_they_are():
    """Of many weights an output the errors average out; few pixels do not repeat an error."""

    def body(x: Any) -> Any:
        x = normed(x, "small", conv(8, 3, 2))
        x = normed(x, "large", conv(8, 3))
        return normed(normed(x, "halved", conv(8, 1, 2)), "deep", depthwise())

    model, twin = (built(body, uneven=40, even_features=True) for _ in range(2))
    wrapped = in_8_bits(model, twin)
    before, outputs = quantization.kernels(wrapped), results(wrapped, IMAGES, PREFIX)
    correct(model, wrapped, IMAGES)
    after = quantization.kernels(wrapped)
    moved = {name for name, kernel in after.items() if (kernel != before[name]).any()}
    assert moved == {"small"}
    plain, now = results(model, IMAGES), results(wrapped, IMAGES, PREFIX)
    for name in ("large_bn", "deep_bn", HEAD):  # biases are corrected
        assert off(plain, now, name) < 0.3 * off(plain, outputs, name) + 1e-3, name


def test_the_same_comes_out_again():
    states = []
    for _ in range(2):
        model = net("residual")
        wrapped = in_8_bits(model, net("residual"))
        correct(model, wrapped, IMAGES, seed=3)
        states.append(quantization.state(wrapped))
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        assert value.tobytes() == states[1][key].tobytes(), key


# ------------------------------------------------------------------ what it takes


def of_size(size: int, width: int) -> Any:
    pixels = keras.Input((size, size, 3))
    return keras.Model(pixels, L.MaxPooling2D()(L.Conv2D(width, 1)(pixels)))


def test_images_are_fewer_where_results_are_large():
    assert images_for(of_size(32, 16)) == correction.IMAGES == 48
    counts = [images_for(of_size(size, 32)) for size in (224, 320, 512)]
    assert 48 > counts[0] > counts[1] > counts[2] >= 2
    for size, count in zip((224, 320, 512), counts, strict=True):
        assert count * 5 * 4 * size * size * 32 <= 2**30
    assert images_for(of_size(1024, 256)) == 2


def test_results_that_nobody_reads_any_more_are_forgotten(monkeypatch):
    held, step = [], correction._Walk.step

    def spy(walk, op):
        step(walk, op)
        held.append(len(walk.plain))
        assert walk.plain.keys() == walk.rounded.keys()

    monkeypatch.setattr(correction._Walk, "step", spy)
    told: list[tuple[int, int]] = []
    model = net("mobile")
    wrapped = in_8_bits(model, net("mobile"))
    correct(model, wrapped, IMAGES, report=lambda *at: told.append(at))
    assert max(held) <= 4 and len(held) == len([*ops(model)]) == 15
    assert told == [(n, 15) for n in range(16)]


def test_many_images_are_computed_a_portion_at_a_time(monkeypatch):
    """With another portion nothing but rounding and the positions sampled is different."""
    found = []
    for portion in (5, 24):
        monkeypatch.setattr(correction, "_AT_ONCE", portion)
        model = net("plain")
        wrapped = in_8_bits(model, net("plain"))
        correct(model, wrapped, IMAGES, clustered=("one", "two", "three"))  # biases alone
        found.append(quantization.state(wrapped))
    for key, value in found[0].items():
        np.testing.assert_allclose(value, found[1][key], rtol=1e-3, atol=1e-4, err_msg=key)
