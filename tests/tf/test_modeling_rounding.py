"""Rounding by least squares: against every other way to round, and what a kernel is applied to."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tfedge.modeling.compression import rounding
from tfedge.modeling.compression.rounding import (
    covariance,
    kernel_from,
    round_rows,
    rows_of,
    samples,
)
from tfedge.modeling.nets.env import keras, tf

L = keras.layers


def correlated(taps: int, seed: int, apart: float = 0.3) -> np.ndarray:
    """The covariance of neighbouring pixels: alike, and the more so the nearer they are."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(2000, 1))
    smooth = np.cumsum(rng.normal(size=(2000, taps)), axis=1) * apart
    return covariance((shared + smooth + 0.1 * rng.normal(size=(2000, taps))).astype(np.float32))


def cost(chosen: np.ndarray, rows: np.ndarray, step: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    error = chosen * step[:, None] - rows
    each = np.broadcast_to(inputs, (len(rows), *inputs.shape[-2:]))
    return np.einsum("oi,oij,oj->o", error, each, error)


def nearest(rows: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(rows / step[:, None]), -127, 127)


def some(outputs: int, taps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose largest weight is 127 steps, as a kernel's is, and the steps."""
    rows = np.random.default_rng(seed).normal(size=(outputs, taps)) * 0.05
    return rows, np.abs(rows).max(1) / 127


# ------------------------------------------------------------------ round_rows


@pytest.mark.parametrize("taps", [2, 9, 27, 64, 150])
def test_it_is_never_worse_than_rounding_to_the_nearest(taps):
    rows, step = some(40, taps, taps)
    inputs = correlated(taps, taps)
    before = cost(nearest(rows, step), rows, step, inputs)
    chosen = round_rows(rows, step, inputs)
    after = cost(chosen, rows, step, inputs)
    assert (after <= before * (1 + 1e-9)).all()
    assert taps in (2, 150) or after.sum() < 0.5 * before.sum()
    np.testing.assert_array_equal(chosen, np.rint(chosen))


@pytest.mark.parametrize("taps", [4, 5, 6])
@pytest.mark.parametrize("apart", [0.05, 0.3])
def test_it_is_nearly_the_best_of_all(taps, apart):
    """Of all 2^taps roundings up and down. A weight at a time is not always enough."""
    rows, step = some(30, taps, taps)
    inputs = correlated(taps, 7, apart)
    floor = np.floor(rows / step[:, None])
    best = np.full(30, np.inf)
    for up in product((0, 1), repeat=taps):
        best = np.minimum(best, cost(floor + np.array(up), rows, step, inputs))
    found = cost(round_rows(rows, step, inputs), rows, step, inputs)
    plain = cost(nearest(rows, step), rows, step, inputs)
    assert plain.sum() > 2 * best.sum()
    closed = (plain - found).sum() / (plain - best).sum()
    assert closed > (0.97 if apart < 0.1 else 0.85)
    assert np.median(found / best) < (1.03 if apart < 0.1 else 1.1)


def test_every_channel_has_a_covariance_of_its_own():
    """Of a depthwise kernel; with another channel's it would be worse."""
    rows, step = some(6, 9, 1)
    inputs = np.stack([correlated(9, seed, 0.1 + seed / 4) for seed in range(6)])
    chosen = round_rows(rows, step, inputs)
    for channel in range(6):
        alone = round_rows(rows[[channel]], step[[channel]], inputs[[channel]])
        np.testing.assert_array_equal(chosen[[channel]], alone)
    other = round_rows(rows, step, inputs[::-1])
    assert cost(chosen, rows, step, inputs).sum() < cost(other, rows, step, inputs).sum()


def test_where_inputs_have_nothing_in_common_it_is_the_nearest():
    rows, step = some(10, 16, 3)
    np.testing.assert_array_equal(round_rows(rows, step, np.eye(16)), nearest(rows, step))


def test_zeros_stay_zeros_and_weights_within_127_and_near_their_own():
    rows, step = some(30, 27, 4)
    rows[np.random.default_rng(1).random(rows.shape) < 0.4] = 0
    inputs = correlated(27, 2)
    chosen = round_rows(rows, step, inputs)
    assert (chosen[rows == 0] == 0).all() and (rows == 0).sum() > 80
    moved = chosen != nearest(rows, step)
    assert moved.sum() > 20
    assert np.abs(chosen).max() <= 127
    assert np.abs(chosen * step[:, None] - rows).max() <= 2.0001 * step.max()
    assert (np.abs(chosen - rows / step[:, None]) <= 2.0001).all()


def test_a_weight_at_the_end_of_its_steps_goes_no_further():
    """Though it alone could make up for what the others have lost."""
    rows = np.array([[127.0, 0.4, 0.4, 0.4], [-127.0, -0.4, -0.4, -0.4]]) / 100
    chosen = round_rows(rows, np.array([0.01, 0.01]), np.ones((4, 4)) + 1e-3 * np.eye(4))
    np.testing.assert_array_equal(chosen[:, 0], [127, -127])
    assert np.abs(chosen[:, 1:].sum(1)).min() >= 1  # the others do


def test_a_step_that_is_too_small_for_a_weight_leaves_it_at_127():
    rows = np.array([[1.0, 0.3, -0.9]])
    chosen = round_rows(rows, np.array([0.005]), correlated(3, 1))
    assert np.abs(chosen).max() == 127 and abs(chosen[0, 1]) <= 62


def test_the_same_comes_out_again():
    rows, step = some(10, 27, 5)
    one, other = (round_rows(rows, step, correlated(27, 2)) for _ in range(2))
    np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------ what a kernel reads


def layer_of(kind: str, side: int, strides: int, padding: str, channels: int, outputs: int = 4):
    if kind == "depthwise":
        layer = L.DepthwiseConv2D(side, strides, padding, use_bias=False)
    else:
        layer = L.Conv2D(outputs, side, strides, padding, use_bias=False)
    layer.build((None, None, None, channels))
    return layer


@pytest.mark.parametrize("kind", ["conv", "depthwise"])
@pytest.mark.parametrize(
    ("size", "side", "strides", "padding"),
    [
        ((8, 8), 3, 2, "same"),  # padding below and to the right alone
        ((9, 7), 3, 2, "same"),
        ((7, 10), 3, 1, "same"),
        ((8, 9), 2, 2, "same"),
        ((9, 9), 5, 3, "same"),
        ((9, 8), 3, 2, "valid"),
        ((8, 8), 3, 1, "valid"),
        ((6, 7), 1, 2, "same"),
    ],
)
def test_samples_are_what_a_convolution_sees(kind, size, side, strides, padding):
    """Each sample times a kernel is a result of the convolution with that kernel, at one position;
    and all positions are there, equally often."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, *size, 3)).astype(np.float32)
    layer = layer_of(kind, side, strides, padding, 3)
    kernel = (layer.depthwise_kernel if kind == "depthwise" else layer.kernel).numpy()
    if kind == "depthwise":
        convolve = tf.nn.depthwise_conv2d(
            values, kernel, [1, strides, strides, 1], padding.upper()
        ).numpy()
    else:
        convolve = tf.nn.conv2d(values, kernel, strides, padding.upper()).numpy()
    np.testing.assert_allclose(convolve, layer(values), atol=1e-6)
    rows = rows_of(layer, kernel)
    np.testing.assert_array_equal(kernel_from(layer, rows, kernel.shape), kernel)
    taken = samples(layer, [tf.constant(values)], np.random.default_rng(2))
    if kind == "depthwise":
        assert taken.shape[0] == 3 and taken.shape[2] == side * side
        given = np.einsum("cpt,ct->pc", taken, rows)
    else:
        assert taken.shape[1] == side * side * 3
        given = taken @ rows.T
    wanted = convolve.reshape(-1, convolve.shape[-1])
    apart = np.abs(given[:, None] - wanted[None]).max(-1)  # of each sample from each position
    assert (apart.min(1) < 1e-5).all()
    counts = np.bincount(apart.argmin(1), minlength=len(wanted))
    expected = len(given) / len(wanted)
    assert counts.min() > 0.5 * expected and counts.max() < 2 * expected


def test_all_portions_give_their_share():
    layer = layer_of("conv", 3, 1, "same", 2)
    portions = [tf.fill((4, 6, 6, 2), float(number)) for number in (1, 2, 3)]
    taken = samples(layer, portions, np.random.default_rng(0))
    numbers, counts = np.unique(taken[:, 8], return_counts=True)  # the middle is never padding
    np.testing.assert_array_equal(numbers, [1, 2, 3])
    assert len(set(counts)) == 1
    whole = samples(layer, [tf.zeros((4, 6, 6, 2))], np.random.default_rng(0))
    assert 3 * counts[0] == pytest.approx(len(whole), abs=3)


def test_samples_of_wide_results_fit_in_memory(monkeypatch):
    monkeypatch.setattr(rounding, "_BYTES", 2**20)
    values = tf.zeros((2, 4, 4, 64))
    taken = samples(layer_of("depthwise", 3, 1, "same", 64), [values], np.random.default_rng(0))
    assert taken.nbytes <= 2**20 and taken.shape[1] >= 256


# ------------------------------------------------------------------ covariance


def test_covariance():
    rng = np.random.default_rng(3)
    taken = (rng.normal(size=(500, 5)) @ rng.normal(size=(5, 5)) + 7).astype(np.float32)
    wanted = np.cov(taken.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(covariance(taken), wanted, atol=3e-4 * np.trace(wanted))
    both = covariance(np.stack([taken, 2 * taken]))
    np.testing.assert_allclose(both[0], covariance(taken), rtol=1e-6)
    np.testing.assert_allclose(both[1], 4 * covariance(taken), rtol=1e-4)


def test_directions_never_seen_still_count():
    """An input that was always the same costs a little: its weight stays where it is nearest."""
    rng = np.random.default_rng(3)
    taken = rng.normal(size=(500, 3)).astype(np.float32)
    taken[:, 1] = 4
    found = covariance(taken)
    assert 0 < found[1, 1] < 1e-3 * found[0, 0]
    assert np.linalg.eigvalsh(found).min() > 0
    assert np.linalg.eigvalsh(covariance(np.zeros((9, 3), np.float32))).min() > 0
    rows, step = some(20, 3, 1)
    chosen = round_rows(rows, step, found)
    np.testing.assert_array_equal(chosen[:, 1], nearest(rows, step)[:, 1])
