"""What each tensor that 8 bits will store reaches, channel by channel, over images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfedge.modeling.compression.quantize_configs import configs_of, is_share, same_scale
from tfedge.modeling.compression.quantize_layers import SHARE
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.training.folding import folded_norms

Ranges = dict[str, tuple[float, float]]  # layer → smallest and largest value it gives

_AT_ONCE = 8  # images whose activations are in memory together, at most …
_BYTES = 2**29  # … fewer if _COPIES of the largest result would not fit
_COPIES = 5  # measured: what lives beside it, and what convolutions need meanwhile


@dataclass
class Channels:
    """Of one layer's result: lowest and highest value [batches, C], mean [C]."""

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray

    def scale(self, factors: np.ndarray) -> None:
        """The result is multiplied by positive ``factors`` [C]."""
        for values in (self.low, self.high, self.mean):
            values *= factors

    def shift(self, offsets: np.ndarray) -> None:
        """``offsets`` [C] are taken from the result."""
        for values in (self.low, self.high, self.mean):
            values -= offsets


Observation = dict[str, Channels]


def observe(model: Any, batches: Iterable[np.ndarray]) -> Observation:
    """Each quantized result of a flat network, by layer, over batches of pixels [B, S, S, 3], uint8
    or float32."""
    configs = configs_of(model, preserve_zeros=False)
    named = [
        layer
        for layer in model.layers
        if layer.name in configs
        and (
            configs[layer.name].get_output_quantizers(layer)
            or configs[layer.name].get_activations_and_quantizers(layer)
        )
    ]
    outputs = keras.Model(model.input, [layer.get_output_at(0) for layer in named])

    @tf.function(autograph=False, reduce_retracing=True)
    def look(pixels: Any) -> Any:
        return [_of_channels(values) for values in tf.nest.flatten(outputs(pixels, training=False))]

    count = at_once(model, _AT_ONCE, _COPIES)
    with folded_norms(model, training=False):
        found = [_batch(look, batch, count) for batch in batches]
    return {
        layer.name: Channels(
            np.stack([batch[index][0] for batch in found]),
            np.stack([batch[index][1] for batch in found]),
            np.mean([batch[index][2] for batch in found], axis=0),
        )
        for index, layer in enumerate(named)
    }


def _of_channels(values: Any) -> tuple[Any, Any, Any]:
    axes = list(range(values.shape.rank - 1))
    return (
        tf.reduce_min(values, axes),
        tf.reduce_max(values, axes),
        tf.reduce_mean(values, axes),
    )


def at_once(model: Any, most: int, copies: int) -> int:
    """How many images a network computes together, ``most`` at most: fewer where so many copies of
    their largest result would take more than half a gigabyte."""
    return int(np.clip(_BYTES // (copies * largest_result(model)), 1, most))


def largest_result(model: Any) -> int:
    """Bytes of the largest float32 result of one image in a flat network."""
    return max(
        4 * int(np.prod(tensor.shape[1:]))
        for layer in model.layers
        for tensor in tf.nest.flatten(layer.get_output_at(0))
    )


def _batch(
    look: Any, batch: np.ndarray, count: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Extremes and means of a batch, of which ``count`` images are computed at a time."""
    portions = [batch[first : first + count] for first in range(0, len(batch), count)]
    parts = [look(portion.astype(np.float32)) for portion in portions]
    shares = [len(portion) / len(batch) for portion in portions]
    return [
        (
            np.min([part[index][0] for part in parts], axis=0),
            np.max([part[index][1] for part in parts], axis=0),
            np.tensordot(shares, [part[index][2] for part in parts], 1),
        )
        for index in range(len(parts[0]))
    ]


def ranges_of(model: Any, seen: Mapping[str, Channels], more: int = 0) -> Ranges:
    """The range of each quantized result.

    Mean over the batches of each batch's extremes, which is what a moving average would settle on,
    and which a single odd image can't stretch. The last ``more`` batches are of images of another
    kind: the range is as wide as either kind needs.
    """
    ranges = {name: _range(found, more) for name, found in seen.items()}
    ranges |= dict.fromkeys(shares(model), SHARE)
    for group in same_scale(model):
        lows, highs = zip(*(ranges[name] for name in group), strict=True)
        ranges |= dict.fromkeys(group, (min(lows), max(highs)))
    return ranges


def _range(found: Channels, more: int) -> tuple[float, float]:
    lows, highs = found.low.min(1), found.high.max(1)
    first = len(lows) - more
    low, high = lows[:first].mean(), highs[:first].mean()
    if more:
        low, high = min(low, lows[first:].mean()), max(high, highs[first:].mean())
    return float(low), float(high)


def shares(model: Any) -> set[str]:
    """The layers whose range is that of a share, from 0 to 1."""
    return {layer.name for layer in model.layers if is_share(layer)}
