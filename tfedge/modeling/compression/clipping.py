"""Ranges for a text encoder in 8 bits.

In what the feed-forward parts add, a few numbers of a few pieces ([CLS], [SEP], punctuation) are a
hundred times as large as all others. A range that holds them has steps that lose the rest; so they
are stored divided (see ``outliers``), and clipped where they are larger still. Where that can't be
done they are clipped alone, and training texts decide how much.

What rounding shifts does not go away in the mean over a text's pieces: the features of all texts
move by the same, as far as a fifth of what they differ by, and with them the logits. That goes into
the bias of the head, so that logits are on average what the float network gives (bias correction,
Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", here
from training texts).

The right side of a product of two activations has no zero point: XNNPACK has a fast int8 kernel for
such products only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from tfedge.core.outputs import Correction, Distance
from tfedge.modeling.compression import quantization
from tfedge.modeling.compression.calibration import Batches, Calibrated
from tfedge.modeling.compression.observation import Observation, Ranges, observe, ranges_of
from tfedge.modeling.compression.outliers import dense_before
from tfedge.modeling.nets.divided import BY, Divisions
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.network import HEAD
from tfedge.modeling.nets.transformer import (
    DIFFERENCE,
    KEY,
    LEFT_OUT,
    OUTER,
    REST,
    SQUARES,
    SUM,
    VALUE,
)
from tfedge.tasks.task import Work

LIMITS = (60.0, 40.0, 25.0)  # of what is clipped, of which one is chosen
SHORT = 32  # pieces of a text that is shown once more, cut: its marks weigh more then
CENTRED = 64  # texts, at most, that say how far 8 bits shift the logits
_OF_OUTLIERS = (OUTER, SUM, DIFFERENCE, LEFT_OUT)
_ROOM = 400.0  # what is not clipped adds to a sum of squares
_AT_ONCE = 16

# Of a network, of texts int32 [N, 2, S] and of the layers that are clustered: the same network
# with what ``outliers`` divides, and what that is.
Divide = Callable[[Any, np.ndarray, Collection[str]], tuple[Any, Divisions]]


def _as_it_is(model: Any, texts: np.ndarray, clustered: Collection[str]) -> tuple[Any, Divisions]:
    return model, {}


def calibrate(
    model: Any,
    texts: np.ndarray,
    checked: np.ndarray,
    *,
    work: Work,
    served: Callable[[np.ndarray], np.ndarray],
    divide: Divide = _as_it_is,
    preserve_zeros: bool = False,
    clustered: Collection[str] = (),
    whole: bool = True,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Calibrated:
    """Wrap an encoder for 8 bits with ranges, and a bias of its head, from training texts.

    States with and without clipping, where that is something else, are compared with the float
    network on other training texts, and on the same cut short; the nearest one, by divergence,
    stays. Then the logits are centred, where that brings it nearer still.

    Args:
        model: the float network, no more needed afterwards.
        texts: int32 [N, 2, S] that ranges are taken from.
        checked: int32 [M, 2, S], others, that the states are compared on.
        work, served: say how far outputs are apart, once served.
        divide: makes of the network one whose outliers are divided.
        preserve_zeros, clustered: see ``quantization.wrap``.
        whole: all of it will have 8 bits. Where layers are kept above, logits are shifted by less
            than what is seen here, and not centred.
        report: called with (states tried, states).
    """
    looked_at, centred = with_short(checked), texts[:CENTRED]
    say = _outputs(model)
    wanted, level = served(say(looked_at)), say(centred).mean(0)
    model, divisions = divide(model, texts, clustered)
    plain = ranges_from(model, texts)
    wrapped = quantization.wrap(model, preserve_zeros=preserve_zeros, clustered=clustered)

    say = _outputs(wrapped)  # built once: it reads the ranges of the moment
    head = wrapped.get_layer(quantization.PREFIX + HEAD).layer

    def distance() -> Distance:
        found = served(say(looked_at))
        alike = float(work.same(wanted, found).mean())
        return Distance(kl=work.divergence(wanted, found), agreement=alike)

    states = [within(plain, divisions)]
    for limit in LIMITS:
        ranges = within(clipped(plain, limit), divisions)
        if ranges not in states:  # what is divided needs no limit beside
            states.append(ranges)
    tried, found = len(states) + whole, []
    for number, ranges in enumerate(states):
        quantization.set_ranges(wrapped, ranges)
        found.append(distance())
        report(number + 1, tried)
    best = min(range(len(states)), key=lambda at: found[at].kl)
    quantization.set_ranges(wrapped, states[best])
    if whole:
        bias = head.bias.numpy()
        head.bias.assign(bias + level - say(centred).mean(0))
        found.append(distance())
        report(tried, tried)
        if found[-1].kl < found[best].kl:
            best = len(states)
        else:
            head.bias.assign(bias)
    other = best or min(range(1, len(found)), key=lambda at: found[at].kl, default=0)
    brought = Correction(
        state="corrected" if best else "plain",
        n=len(looked_at),
        plain=found[0],
        corrected=found[other],
    )
    return Calibrated(wrapped, brought)


def ranged(
    model: Any,
    texts: np.ndarray,
    *,
    divide: Divide = _as_it_is,
    preserve_zeros: bool,
    clustered: Collection[str] = (),
) -> Any:
    """An encoder wrapped for 8 bits (see ``quantization.wrap``) with the ranges of these texts,
    int32 [N, 2, S], and nothing clipped but what is divided."""
    model, divisions = divide(model, texts, clustered)
    ranges = within(ranges_from(model, texts), divisions)
    wrapped = quantization.wrap(model, preserve_zeros=preserve_zeros, clustered=clustered)
    quantization.set_ranges(wrapped, ranges)
    return wrapped


def ranges_from(model: Any, texts: np.ndarray) -> Ranges:
    """The range of each quantized result over texts [N, 2, S], as they are and cut short."""
    batches = Batches(texts)
    seen: Observation = observe(model, [*batches, *(shortened(batch) for batch in batches)])
    return symmetric(ranges_of(model, seen, len(batches)))


def with_short(texts: np.ndarray) -> np.ndarray:
    """Texts [N, 2, S], and behind them the same cut short: [2 N, 2, S]."""
    return np.concatenate([texts, shortened(texts)])


def shortened(texts: np.ndarray) -> np.ndarray:
    """Texts [N, 2, S] cut to ``SHORT`` pieces, the last of which ends them."""
    found = texts.copy()
    last = found[:, 1].sum(1) - 1  # where the mark stands that ends a text
    rows = np.flatnonzero(last >= SHORT)
    found[rows, 0, SHORT - 1] = texts[rows, 0, last[rows]]
    found[:, :, SHORT:] = 0
    return found


def symmetric(ranges: Ranges) -> Ranges:
    """Keys and values reach a step farther down than up, as int8 does: their zero point is 0."""
    found = dict(ranges)
    for name, (low, high) in ranges.items():
        if name.endswith((KEY, VALUE)):
            most = max(-low, high)
            found[name] = (-most * 128 / 127, most)
    return found


def clipped(ranges: Ranges, limit: float) -> Ranges:
    """What holds outliers reaches no farther than ``limit``, its sum of squares accordingly."""
    found = dict(ranges)
    for name, (low, high) in ranges.items():
        if name.endswith(_OF_OUTLIERS):
            found[name] = (max(low, -limit), min(high, limit))
        elif name.endswith(SQUARES):
            found[name] = (low, min(high, limit**2 + _ROOM))
    return found


def within(ranges: Ranges, divisions: Divisions) -> Ranges:
    """Where numbers are stored divided nothing reaches farther than the others do, divided or not:
    else it would be too small a part of its sum of squares, whose range ends there, too."""
    found = dict(ranges)

    def clip(name: str, most: float) -> None:
        low, high = found[name]
        found[name] = (max(low, -most), min(high, most))

    for name, division in divisions.items():
        reach = division.reach
        for suffix in (SUM, DIFFERENCE):
            clip(f"{name}{suffix}", reach)
        clip(dense_before(name), reach)
        clip(f"{name}{LEFT_OUT}", BY * reach)
        clip(f"{name}{LEFT_OUT}{SQUARES}", (BY * reach) ** 2)
        clip(f"{name}{SQUARES}", (BY * reach) ** 2 + found[f"{name}{REST}{SQUARES}"][1])
    return found


def _outputs(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Of texts what the model says, [N, …], before ``serve``, as it is at that moment."""
    run = tf.function(lambda x: model(x, training=False), autograph=False, reduce_retracing=True)

    def outputs(texts: np.ndarray) -> np.ndarray:
        parts = [texts[at : at + _AT_ONCE] for at in range(0, len(texts), _AT_ONCE)]
        return np.concatenate([run(tf.constant(part)).numpy() for part in parts])

    return outputs
