"""Numbers of an encoder's pieces that are far larger than all others, for 8 bits.

What the feed-forward parts of a BERT add holds, in the same one to four numbers of marks and
punctuation, a hundred times what it holds elsewhere (Bondarenko et al. 2021, "Understanding and
Overcoming the Challenges of Efficient Transformer Quantization"). One step for all of a tensor is
then too coarse for what texts differ by.

So these numbers are stored divided by eight, which the dense layer before them has in its kernel,
and the normalisation behind them takes into account: in its mean, its difference, its sum of
squares and its gamma. What is still far outside of what the others reach is clipped, in all of
these alike.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from tfedge.modeling.nets.backbone import Weights
from tfedge.modeling.nets.divided import BY, Division, Divisions
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.transformer import ATTENDED, ATTENTION, NORM, OUTER, SUM

_LOOKED_AT = 2048  # pieces that say which numbers these are: they are the same in all texts
_REACH = 4.0  # times as far as half of the numbers reach, nearly all do
_LARGE = 1.5  # times as far again reaches what is divided …
_MOST = 4  # … of one normalisation the largest ones


def found(model: Any, inputs: np.ndarray, clustered: Collection[str] = ()) -> Divisions:
    """What is to be divided in an encoder, by what it gives for the first of texts int32 [N, 2, S].

    ``clustered``: dense layers whose kernels have few values, which stay as they are.
    """
    names = [
        name
        for name in (la.name.removesuffix(SUM) for la in model.layers if la.name.endswith(SUM))
        if dense_before(name) not in clustered
    ]
    if not names:
        return {}
    sums = keras.Model(model.input, [model.get_layer(f"{name}{SUM}").output for name in names])
    few = inputs[: max(1, _LOOKED_AT // inputs.shape[2])]
    seen = tf.nest.flatten(sums(tf.constant(few), training=False))  # eagerly: used once
    divisions = {}
    for name, values in zip(names, seen, strict=True):
        sizes = np.abs(values.numpy()).max((0, 1, 2))
        reach = _REACH * float(np.median(sizes))
        largest = np.argsort(-sizes, kind="stable")[:_MOST]
        numbers = tuple(int(at) for at in largest if sizes[at] > _LARGE * reach > 0)
        if numbers:
            divisions[name] = Division(numbers, reach)
    return divisions


def divided(weights: Weights, divisions: Divisions) -> Weights:
    """The weights of an encoder for the network that has these ``divisions``."""
    result = dict(weights)
    for name, division in divisions.items():
        dense, numbers = dense_before(name), list(division.numbers)
        for key in (f"{dense}/kernel", f"{dense}/bias"):
            result[key] = result[key].copy()
            result[key][..., numbers] /= BY
        key = f"{name}{NORM}/depthwise_kernel"
        result[key] = result[key].copy()
        result[key][:, :, numbers] *= BY
    return result


def dense_before(name: str) -> str:
    """The dense layer whose result a normalisation reads, after the addition."""
    if name.endswith(ATTENTION):
        return f"{name.removesuffix(ATTENTION)}{ATTENDED}"
    return f"{name}{OUTER}"
