"""Equalised and centred networks compute the same, and have channels of more equal reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_nets import BODIES, built, conv, depthwise, images, normed, said

from tfedge.modeling.compression.calibration import Batches
from tfedge.modeling.compression.equalization import MARGIN, centre, equalise
from tfedge.modeling.compression.observation import Channels, observe
from tfedge.modeling.nets.backbone import weights_of
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.layers import HardSwish
from tfedge.modeling.nets.network import HEAD, POOL

L = keras.layers
SEEN = images(24)


def observed(model: Any) -> dict[str, Channels]:
    return observe(model, Batches(SEEN))


def reach(found: Channels) -> np.ndarray:
    return np.maximum(found.high.max(0), -found.low.min(0))


def evenness(found: Channels) -> float:
    """Mean of the channels' reach over the largest: the share of the levels that one uses."""
    return float((reach(found) / reach(found).max()).mean())


def assert_unmoved(model: Any, layer: str, before: np.ndarray, exact: float = 2e-5) -> None:
    """Scaling up and down rounds each number a few times more: some 1e-7 of it, which sums over a
    kernel's weights, and where positive and negative ones cancel, is more of what is left."""
    after = said(model, layer, SEEN)
    np.testing.assert_allclose(after, before, rtol=0, atol=exact * np.abs(before).max())


@pytest.fixture(scope="module", params=BODIES)
def equalised(request):
    """Name, net, what it said and saw before, what ``seen`` became, the scaled results."""
    model = built(BODIES[request.param])
    before = {name: said(model, name, SEEN) for name in (POOL, HEAD)}
    seen, saw = observed(model), observed(model)
    done = equalise(model, seen)
    return request.param, model, before, saw, seen, done


# ------------------------------------------------------------------ equalised


def test_the_same_is_computed(equalised):
    _, model, before, *_ = equalised
    assert_unmoved(model, HEAD, before[HEAD])
    assert before[HEAD].std() > 0.1 and len({*before[HEAD].argmax(1)}) > 1  # says something


def test_the_features_before_the_head_are_the_same(equalised):
    _, model, before, *_ = equalised
    assert_unmoved(model, POOL, before[POOL])
    assert np.ptp(before[POOL].max(0) / before[POOL].max()) > 0.5  # they would have been scaled


def test_channels_reach_more_equally_far(equalised):
    name, model, _, saw, _, done = equalised
    now = observed(model)
    expected = {
        "mobile": {"first_relu", "depth_relu", "project_bn", "a_add", "b_add", "b_depth_relu"},
        "plain": {"one_relu", "two_relu"},
        "residual": {"stem_relu", "a_one_relu", "a_two_bn", "a_out", "b_one_relu"},
    }[name]
    assert expected <= set(done)
    gained = [evenness(now[layer]) - evenness(saw[layer]) for layer in done]
    assert np.mean([evenness(saw[layer]) for layer in done]) < 0.55
    assert np.mean(gained) > 0.12 and min(gained) > -0.02
    # Where depthwise kernels alone read a result, it is made as even as the rectifier lets it be.
    if name == "mobile":
        for layer in ("first_relu", "a_expand_relu", "b_expand_relu"):
            assert evenness(now[layer]) > 0.85, layer


def test_what_was_seen_is_what_is_seen_now(equalised):
    _, model, _, saw, seen, done = equalised
    now = observed(model)
    assert now.keys() == seen.keys() == saw.keys()
    for name, found in now.items():
        for kind in ("low", "high", "mean"):
            values, wanted = getattr(seen[name], kind), getattr(found, kind)
            top = 2e-5 * reach(found).max()
            np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=top, err_msg=name)
        assert np.allclose(saw[name].high, found.high, 1e-4) == (name not in done), name


def test_no_value_seen_comes_near_the_end_of_a_relu6(equalised):
    name, model, _, saw, _, done = equalised
    if name != "mobile":
        return
    now = observed(model)
    rectified = [layer for layer in done if layer.endswith("_relu")]
    assert len(rectified) >= 5
    for layer in rectified:
        before, after = reach(saw[layer]), reach(now[layer])
        cut = before * MARGIN >= 6
        np.testing.assert_allclose(after[cut], before[cut], rtol=1e-4)
        assert (after[~cut] <= 6 / MARGIN * 1.0001).all()
        assert (after >= before * 0.9999).all(), "channels are scaled up only"


def test_channels_that_are_cut_off_are_left_alone():
    """Values beyond 6, which a larger scale would cut off earlier."""

    def body(x: Any) -> Any:
        x = normed(x, "first", conv(8, 3, 2))
        return normed(normed(x, "depth", depthwise()), "last", conv(8))

    model = built(body)
    norm = model.get_layer("first_bn")
    sizes = np.array([20, 4, 1, 1, 1, 1, 1, 1], np.float32)
    norm.gamma.assign(norm.gamma * sizes)
    norm.beta.assign(norm.beta * sizes)
    before, saw = said(model, HEAD, SEEN), reach(observed(model)["first_relu"])
    assert (saw == 6).any() and (saw < 3).any()
    assert "first_relu" in equalise(model, observed(model))
    assert_unmoved(model, HEAD, before)
    now = reach(observed(model)["first_relu"])
    np.testing.assert_array_equal(now[saw == 6], 6)
    assert (now[saw * MARGIN < 6] <= 6 / MARGIN * 1.0001).all() and now[saw < 3].min() > saw[
        saw < 3
    ].min() * 2


def test_a_channel_that_says_nothing_is_not_blown_up():
    def body(x: Any) -> Any:
        return normed(normed(x, "first", conv(8, 3, 2)), "depth", depthwise(), relu=False)

    model = built(body)
    norm = model.get_layer("first_bn")
    still = np.arange(8) == 2
    norm.gamma.assign(np.where(still, 1e-7, norm.gamma.numpy()))
    norm.beta.assign(np.where(still, 1e-7, norm.beta.numpy()))
    before = norm.gamma.numpy()
    equalise(model, observed(model))
    largest = (norm.gamma.numpy() / before).max()
    assert np.isfinite(largest) and largest < 1000


# ------------------------------------------------------------------ centred


@pytest.fixture(scope="module")
def centred():
    model = built(BODIES["mobile"])
    seen = observed(model)
    equalise(model, seen)
    before = {name: said(model, name, SEEN) for name in (POOL, HEAD)}
    saw = observed(model)
    return model, before, saw, seen, centre(model, seen)


def test_linear_results_have_no_mean_and_the_same_is_computed(centred):
    model, before, saw, _, done = centred
    assert set(done) == {"project_bn", "a_project_bn", "b_project_bn", "a_add", "b_add"}
    now = observed(model)
    for name in done:
        top = reach(now[name]).max()
        assert np.abs(now[name].mean).max() < 1e-4 * top, name
        assert np.abs(saw[name].mean).max() > 0.1 * reach(saw[name]).max(), name
    for name in (POOL, HEAD):
        assert_unmoved(model, name, before[name])


def test_a_range_is_narrower_without_a_mean(centred):
    model, _, saw, _, _ = centred
    now = observed(model)
    for name in ("project_bn", "a_add", "b_add"):
        widths = [f.high.max() - min(0, f.low.min()) for f in (saw[name], now[name])]
        assert widths[1] < widths[0] * 1.001, name


def test_what_was_seen_is_what_a_centred_net_gives(centred):
    model, _, _, seen, _ = centred
    now = observed(model)
    for name, found in now.items():
        for kind in ("low", "high", "mean"):
            wanted = getattr(found, kind)
            scale = reach(found).max()
            np.testing.assert_allclose(getattr(seen[name], kind), wanted, atol=5e-5 * scale)


def test_a_bias_takes_a_mean_and_padding_takes_none():
    """Readers with a bias and no batch norm; a 3×3 one sees zeros at the border."""

    def body(side: int):
        def made(x: Any) -> Any:
            x = normed(x, "first", conv(8, 3, 2), relu=False)
            return L.ReLU(name="end")(L.Conv2D(8, side, padding="same", name="reader")(x))

        return made

    model = built(body(1))
    before, saw = said(model, HEAD, SEEN), observed(model)
    assert centre(model, saw) == ["first_bn"]
    assert_unmoved(model, HEAD, before)
    assert np.abs(saw["first_bn"].mean).max() < 1e-6
    model = built(body(3))
    weights = weights_of(model)
    assert centre(model, observed(model)) == []
    assert_equal(weights_of(model), weights)


def test_a_sum_that_is_rectified_keeps_its_mean():
    def body(x: Any) -> Any:
        both = [normed(x, name, conv(8, 3, 2), relu=False) for name in ("first", "more")]
        return normed(L.ReLU(name="cut")(L.Add(name="add")(both)), "last", conv(8))

    model = built(body)
    before, weights, seen = said(model, HEAD, SEEN), weights_of(model), observed(model)
    assert centre(model, seen) == []
    assert_equal(weights_of(model), weights)
    assert {"first_bn", "more_bn", "cut"} <= set(equalise(model, seen))
    assert_unmoved(model, HEAD, before)


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray], but: str = "") -> None:
    assert one.keys() == other.keys()
    for key, value in one.items():
        if not but or not key.startswith(but):
            np.testing.assert_array_equal(value, other[key], err_msg=key)


# ------------------------------------------------------------------ left alone


def times(x: Any) -> Any:
    x = normed(x, "first", conv(8, 3, 2), None)
    gate = L.Activation("sigmoid", name="gate")(L.Conv2D(8, 1, name="squeeze")(x))
    return normed(L.Multiply(name="odd")([x, gate]), "last", conv(8))


def product(x: Any) -> Any:
    """A result of the square of what its channels would be scaled by."""
    one = normed(x, "first", conv(8, 3, 2), relu=False)
    other = normed(x, "more", conv(8, 3, 2), relu=False)
    return normed(L.Multiply(name="odd")([one, other]), "last", conv(8))


def joined(x: Any) -> Any:
    x = normed(x, "first", conv(8, 3, 2), None)
    more = normed(x, "more", conv(4, 3), None)
    return normed(L.Concatenate(name="odd")([x, more]), "last", conv(8))


def swished(x: Any) -> Any:
    x = normed(x, "first", conv(8, 3, 2), relu=False)
    return normed(HardSwish(name="odd")(x), "last", conv(8))


def grouped(x: Any) -> Any:
    return normed(normed(x, "first", conv(8, 3, 2), None), "last", conv(8, 3, groups=2))


@pytest.mark.parametrize("body", [times, product, joined, swished, grouped])
def test_what_can_not_be_scaled_is_left_alone(body):
    model = built(body)
    before, weights, seen = said(model, HEAD, SEEN), weights_of(model), observed(model)
    done = equalise(model, seen)
    assert not {"first_relu", "first_bn", "odd", "more_relu", "more_bn"} & set(done)
    assert_equal(weights_of(model), weights)
    assert not {"first_bn", "odd"} & set(centre(model, seen))
    assert_unmoved(model, HEAD, before)


def test_what_a_clustered_kernel_reads_is_left_alone():
    model = built(BODIES["mobile"])
    before, weights, seen = said(model, HEAD, SEEN), weights_of(model), observed(model)
    done = equalise(model, seen, ["a_expand", "depth"])
    # a_expand reads the linear results, which all that is added up is one group with.
    assert not {"first_relu", "project_bn", "a_add", "b_add"} & set(done)
    assert {"depth_relu", "a_expand_relu"} <= set(done)
    after = weights_of(model)
    for key in ("a_expand/kernel", "depth/depthwise_kernel", "first_bn/gamma", "a_project_bn/beta"):
        np.testing.assert_array_equal(after[key], weights[key], err_msg=key)
    centre(model, seen)
    after = weights_of(model)
    np.testing.assert_array_equal(after["a_expand/kernel"], weights["a_expand/kernel"])
    assert_unmoved(model, HEAD, before)


def test_a_clustered_kernel_with_a_bias_of_its_own_is_not_scaled_either():
    model = built(BODIES["plain"])
    weights = weights_of(model)
    assert equalise(model, observed(model), ["one"]) == ["two_relu"]
    np.testing.assert_array_equal(weights_of(model)["one/kernel"], weights["one/kernel"])
