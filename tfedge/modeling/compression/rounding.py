"""Kernels rounded so that what they compute changes least, instead of each weight to its nearest.

Rounding to the nearest step is best for each weight alone. What matters is the layer's result: with
inputs of covariance G the error of one output is e G eᵀ, where e is the error of its weights, and
errors of weights whose inputs move together may cancel (Nagel et al. 2020, "Up or down? Adaptive
rounding for post-training quantization", equation 13, there solved by gradients; here by coordinate
descent, which is exact a weight at a time).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfedge.modeling.compression.equalization import is_depthwise
from tfedge.modeling.compression.quantize_layers import LEVELS

MOST_TAPS = 64  # weights of one output; with more, rounding errors average out by themselves
_SWEEPS = 8
_RIDGE = 1e-4  # of the mean variance of an input, against directions that were never seen
_FAR = 2.0  # steps that a weight may end from its own value
_BYTES = 2**26  # of sampled inputs in memory
_POSITIONS = 20_000  # of a kernel on the images that are looked at


def rows_of(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """A kernel as [outputs, taps], taps in the order (row, column, input)."""
    if is_depthwise(layer):
        return kernel[..., 0].reshape(-1, kernel.shape[2]).T
    return kernel.reshape(-1, kernel.shape[-1]).T


def kernel_from(layer: Any, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The kernel of ``shape`` that ``rows_of`` has taken apart."""
    return rows.T.reshape(shape)


def samples(layer: Any, portions: Sequence[Any], rng: np.random.Generator) -> np.ndarray:
    """What a kernel is multiplied with at random positions of ``portions``, each [N, H, W, C].

    [positions, taps], or for a depthwise kernel [C, positions, taps]; padding is zero.
    """
    share = 1 / len(portions)
    parts = [_samples(layer, np.asarray(memoryview(part)), rng, share) for part in portions]
    taken = np.concatenate(parts)
    return taken.transpose(2, 0, 1) if is_depthwise(layer) else taken.reshape(len(taken), -1)


def _samples(layer: Any, values: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """The same of one portion, [positions, taps, C]: its ``share`` of all positions."""
    (rows, columns), (down, right) = layer.kernel_size, layer.strides
    height, width, channels = values.shape[1:]
    count = min(_POSITIONS, max(256, _BYTES // (4 * rows * columns * channels)))
    count = int(count * share)
    images = rng.integers(0, len(values), count)
    same = layer.padding == "same"
    top, out_rows = _span(height, rows, down, same)
    left, out_columns = _span(width, columns, right, same)
    first = rng.integers(0, out_rows, count) * down - top
    second = rng.integers(0, out_columns, count) * right - left
    taken = np.empty((count, rows * columns, channels), np.float32)
    for tap in range(rows * columns):
        y, x = first + tap // columns, second + tap % columns
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        found = values[images, np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        taken[:, tap] = found * inside[:, None]
    return taken


def _span(size: int, kernel: int, stride: int, same: bool) -> tuple[int, int]:
    """Padding before the first row, and rows of the result, as TensorFlow has them."""
    if not same:
        return 0, (size - kernel) // stride + 1
    rows = -(-size // stride)
    return max((rows - 1) * stride + kernel - size, 0) // 2, rows


def covariance(taken: np.ndarray) -> np.ndarray:
    """Of sampled inputs, centred: a constant error of the result is the bias's to correct.

    [taps, taps], or [C, taps, taps].
    """
    centred = taken - taken.mean(-2, keepdims=True)
    found = np.swapaxes(centred, -1, -2).astype(np.float64) @ centred / taken.shape[-2]
    power = np.trace(found, axis1=-2, axis2=-1) / found.shape[-1]
    ridge = np.asarray(_RIDGE * power + 1e-12)[..., None, None]
    return found + ridge * np.eye(found.shape[-1])


def round_rows(rows: np.ndarray, step: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Integers q [outputs, taps] that make (q·step − row) G (q·step − row)ᵀ small.

    From rounding to the nearest, one tap at a time to the best integer given the others, until none
    moves. ``step`` [outputs]; ``inputs`` G from ``covariance``. A weight of zero stays zero.
    """
    taps = rows.shape[1]
    step = step[:, None]
    own = np.broadcast_to(np.diagonal(inputs, axis1=-2, axis2=-1), rows.shape)
    chosen = np.clip(np.rint(rows / step), -LEVELS, LEVELS)
    free = rows != 0
    error = chosen * step - rows
    slope = np.einsum("...j,...ij->...i", error, inputs)
    for _ in range(_SWEEPS):
        moved = False
        for tap in range(taps):
            best = np.rint(chosen[:, tap] - slope[:, tap] / (own[:, tap] * step[:, 0]))
            best = np.clip(best, -LEVELS, LEVELS)
            near = np.abs(best * step[:, 0] - rows[:, tap]) <= _FAR * step[:, 0]
            best = np.where(near & free[:, tap], best, chosen[:, tap])
            change = (best - chosen[:, tap]) * step[:, 0]
            if not change.any():
                continue
            moved = True
            chosen[:, tap] = best
            slope += change[:, None] * inputs[..., tap, :]
        if not moved:
            break
    return chosen
