"""Of two 8-bit states the one nearer to float stays, and it is the one that the file is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import BODIES, SIZE, built, images

from tfedge.modeling.compression import calibration, correction, observation, quantization
from tfedge.modeling.compression.calibration import Batches, calibrate, with_noise
from tfedge.modeling.compression.observation import observe, ranges_of
from tfedge.modeling.compression.quantization import PREFIX
from tfedge.modeling.nets import network
from tfedge.modeling.nets.backbone import assign, weights_of
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.export import freeze, to_tflite
from tfedge.modeling.nets.layers import kernel_of
from tfedge.modeling.nets.network import OFFSET
from tfedge.modeling.training import classes
from tfedge.tasks.image_classification.work import Classification
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

L = keras.layers
OFFSET_IN_8_BITS = f"{PREFIX}{OFFSET}"
JUDGED: dict[str, Any] = {
    "work": Classification(),
    "served": lambda logits: classes.softened(logits, 1.0),
}
IMAGES, CHECKED, FRESH = images(24), images(18, 100), images(24, 200)


def net() -> Any:
    return built(BODIES["mobile"], uneven=40, even_features=True)


def load(spec: Any, weights: dict[str, np.ndarray]) -> Any:
    model = net()
    assign(model, weights)
    return model


@pytest.fixture(scope="module", autouse=True)
def small_nets_are_loaded():
    """In place of the backbone that a spec names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration.network, "load", load)
        yield


def calibrated(model: Any = None, **more: Any) -> calibration.Calibrated:
    return calibrate(None, model or net(), IMAGES, CHECKED, **JUDGED, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done():
    return calibrated()


def scores(model: Any, images: np.ndarray) -> np.ndarray:
    return tf.nn.softmax(model(images.astype(np.float32), training=False)).numpy()


def kl(wanted: np.ndarray, got: np.ndarray) -> float:
    return float((wanted * np.log(wanted / got)).sum(1).mean())


def plainly() -> Any:
    """8 bits with ranges alone, as without corrections."""
    model, noisy = net(), Batches(with_noise(IMAGES))
    ranges = ranges_of(model, observe(model, [*Batches(IMAGES), *noisy]), len(noisy))
    wrapped = quantization.wrap(model, preserve_zeros=False)
    quantization.set_ranges(wrapped, ranges)
    network.inference_norm(wrapped)
    return wrapped


# ------------------------------------------------------------------ the corrected state


def test_the_corrected_state_stays_where_it_is_nearer(done):
    facts = done.correction
    assert (facts.state, facts.n) == ("corrected", 18)
    assert facts.corrected.kl < 0.5 * facts.plain.kl
    assert facts.corrected.agreement >= facts.plain.agreement


def test_the_figures_are_those_of_the_states(done):
    facts, wanted = done.correction, scores(net(), CHECKED)
    for name, model in (("corrected", done.wrapped), ("plain", plainly())):
        got = scores(model, CHECKED)
        assert getattr(facts, name).kl == pytest.approx(kl(wanted, got), rel=0.02), name
        same = (got.argmax(1) == wanted.argmax(1)).mean()
        assert getattr(facts, name).agreement == pytest.approx(same), name


def test_images_that_nobody_has_looked_at_are_nearer_too(done):
    wanted = scores(net(), FRESH)
    now, was = (kl(wanted, scores(model, FRESH)) for model in (done.wrapped, plainly()))
    assert now < 0.6 * was


def test_ranges_are_those_of_the_equalised_net(done):
    """Channels of about the same size have a range that is used: with the ranges from before,
    scaled values would be cut off."""
    names = [layer.name for layer in done.wrapped.layers if layer.name.endswith("_relu")]
    for name in names:
        layer = done.wrapped.get_layer(name)
        part = keras.Model(done.wrapped.input, layer.get_output_at(0))
        reach = part(IMAGES.astype(np.float32), training=False).numpy().max()
        high = next(v.numpy() for v in layer.weights if v.name.split("/")[-1][:-2].endswith("_max"))
        assert 0.9 < reach / high < 1.1, name
    assert len(names) == 7


def test_noise_is_within_the_ranges_too():
    """What a camera adds to a calm scene must not be cut off: half of the range it would be."""
    calm = np.stack([np.full((SIZE, SIZE, 3), 40 + 5 * n, np.uint8) for n in range(32)])
    wrapped = calibrate(None, net(), calm, calm[:8], **JUDGED).wrapped  # type: ignore[arg-type]
    alone = quantization.ranged(net(), Batches(calm), preserve_zeros=False)
    float_net, noisy = net(), with_noise(calm)
    wanted = scores(float_net, noisy)
    assert kl(wanted, scores(wrapped, noisy)) < 0.5 * kl(wanted, scores(alone, noisy))


def given(model: Any, layer: str) -> np.ndarray:
    part = keras.Model(model.input, model.get_layer(f"{PREFIX}{layer}").get_output_at(0))
    values = part(IMAGES.astype(np.float32), training=False).numpy()
    return values.reshape(-1, values.shape[-1])


def test_it_is_the_equalised_and_centred_net(done):
    evenness = []
    for model in (plainly(), done.wrapped):
        reach = given(model, "first_relu").max(0)
        evenness.append((reach / reach.max()).mean())
    assert evenness[0] < 0.6 and evenness[1] > 0.85
    mean, spread = (f(given(done.wrapped, "a_add"), 0) for f in (np.mean, np.std))
    assert np.abs(mean).max() < 0.1 * spread.max()


def test_the_file_says_what_the_wrapped_net_says(done):
    concrete = freeze(
        lambda x: tf.nn.softmax(done.wrapped(x, training=False)), (SIZE, SIZE, 3), tf.float32
    )
    content = to_tflite(concrete, int8=True, input_type=tf.uint8, output_type=tf.uint8)
    assert read(content).float_tensors() == []
    found, said = predict(content, FRESH), scores(done.wrapped, FRESH)
    assert np.abs(found - said).max() < 0.15  # a few steps of the logits, whose range is wide
    assert np.abs(found - said).mean() < 0.02
    assert (found.argmax(1) == said.argmax(1)).mean() > 0.9
    wanted = scores(net(), FRESH)
    assert np.abs(found - wanted).max() < 0.2 and np.abs(found - wanted).mean() < 0.04


def test_ops_are_reported_and_the_same_comes_out_again(done):
    told: list[tuple[int, int]] = []
    again = calibrated(report=lambda *at: told.append(at))
    assert told[0][0] == 0 and told[-1][0] == told[-1][1] == len(told) - 1
    assert again.correction == done.correction
    state = quantization.state(again.wrapped)
    for key, value in quantization.state(done.wrapped).items():
        assert value.tobytes() == state[key].tobytes(), key


def test_corrections_are_from_the_images_that_calibrate_as_many_as_there_is_room_for(monkeypatch):
    """The others are to judge them."""
    taken = []
    monkeypatch.setattr(correction, "images_for", lambda model: 7)
    monkeypatch.setattr(correction, "correct", lambda *args, **more: taken.append(args[2]))
    calibrated()
    np.testing.assert_array_equal(taken, [IMAGES[:7]])


# ------------------------------------------------------------------ the plain one


def test_corrections_that_make_it_worse_are_taken_back(monkeypatch):
    correct = correction.correct

    def wreck(model, wrapped, images, **more):
        correct(model, wrapped, images, **more)
        for layer in wrapped.layers:
            inner = getattr(layer, "layer", None)
            if isinstance(inner, L.BatchNormalization):
                inner.beta.assign_add(tf.reverse(inner.beta, [0]))
                inner.moving_mean.assign_add(tf.ones_like(inner.beta))

    monkeypatch.setattr(correction, "correct", wreck)
    found = calibrated()
    assert found.correction.state == "plain"
    assert found.correction.corrected.kl > 3 * found.correction.plain.kl
    state, wanted = quantization.state(found.wrapped), quantization.state(plainly())
    assert state.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(state[key], value, err_msg=key)


# ------------------------------------------------------------------ what must not change


def test_zeros_and_clusters_survive():
    model = net()
    kernels = {name: kernel_of(model.get_layer(name)) for name in ("first", "a_expand", "b_depth")}
    zeros = np.random.default_rng(1).random(kernels["first"].shape) < 0.5
    kernels["first"].assign(np.where(zeros, 0, kernels["first"]))
    width = np.abs(kernels["a_expand"]).max() / 3
    kernels["a_expand"].assign(np.rint(kernels["a_expand"] / width) * width)
    before = weights_of(model)
    found = calibrated(model, preserve_zeros=True, clustered=["a_expand"])
    after = quantization.kernels(found.wrapped)
    assert (after["first"][zeros] == 0).all() and (after["first"] != 0).any()
    np.testing.assert_array_equal(after["a_expand"], before["a_expand/kernel"])
    assert found.correction.state == "corrected"


def test_the_offset_of_the_pixels_is_the_given_nets():
    """A whole number instead of a half, which is in no weight."""
    model = net()
    model.get_layer(OFFSET).mean = (100.0,) * 3
    wanted = scores(model, CHECKED)
    found = calibrated(model)
    assert found.wrapped.get_layer(OFFSET_IN_8_BITS).mean == (100.0,) * 3
    got = scores(found.wrapped, CHECKED)
    assert kl(wanted, got) == pytest.approx(found.correction.corrected.kl, rel=0.02)
    assert kl(wanted, got) < 0.5 * kl(wanted, scores(net(), CHECKED))


@pytest.mark.parametrize(("size", "together"), [(224, 8), (449, 5), (1024, 1), (2048, 1)])
def test_fewer_images_are_observed_together_where_they_are_large(size, together):
    """Memory follows the pixels of one image, not of a batch."""
    inputs = keras.Input((size, size, 3))
    model = keras.Model(inputs, L.Conv2D(96, 3, 2, "same", use_bias=False)(inputs))
    assert observation.largest_result(model) == 4 * 96 * (-(-size // 2)) ** 2
    assert observation.at_once(model, 8, 5) == together


def test_what_is_observed_does_not_depend_on_how_many_are_together(monkeypatch):
    whole = observe(net(), Batches(IMAGES))
    monkeypatch.setattr(observation, "at_once", lambda *_: 5)
    parts = observe(net(), Batches(IMAGES))
    assert whole.keys() == parts.keys() and whole
    for name, found in whole.items():
        np.testing.assert_allclose(parts[name].low, found.low, atol=1e-5)
        np.testing.assert_allclose(parts[name].high, found.high, atol=1e-5)
        np.testing.assert_allclose(parts[name].mean, found.mean, atol=1e-5)


def test_batches_are_no_copies():
    pixels = images(70)
    made = Batches(pixels)
    assert len(made) == 2 and all(np.shares_memory(one, pixels) for one in made)


def test_batches_are_whole():
    assert [b.shape for b in Batches(images(70))] == [(32, SIZE, SIZE, 3)] * 2
    (one,) = Batches(IMAGES)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, IMAGES)
