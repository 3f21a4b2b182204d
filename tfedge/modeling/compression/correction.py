"""A network with 8-bit ranges, corrected against its float twin: biases, and the rounding of small
kernels.

Both walk over the same images from the pixels up, op by op. Rounding a kernel shifts the mean of
each of its outputs; the bias takes that back (Nagel et al. 2019, "Data-free quantization through
weight equalization and bias correction", section 4.2; measured on images, as their appendix D
does), with everything below rounded and corrected already. Kernels of few weights an output are
rounded by least squares first (``rounding``). Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfedge.modeling.compression import rounding
from tfedge.modeling.compression.equalization import is_convolution
from tfedge.modeling.compression.observation import largest_result
from tfedge.modeling.compression.quantization import PREFIX
from tfedge.modeling.compression.quantize_configs import neighbours
from tfedge.modeling.compression.quantize_layers import LEVELS
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import kernel_of, offset_of, sources

IMAGES = 48  # that biases are corrected on, at most …
_BYTES = 2**30  # … fewer if _COPIES of the largest result would not fit
_COPIES = 5  # what an op reads and gives, in both networks, and a result on the way
_AT_ONCE = 16  # images that a layer computes together

_L = keras.layers
# A result, or what an op with several inputs reads: float32 [n, …], one a portion of images.
Values = list[Any]


@dataclass(frozen=True)
class Op:
    """Layers of the float network that one op of the device computes, in their order."""

    layers: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Under which its result is known: the last layer's."""
        return str(self.layers[-1].name)

    @property
    def sources(self) -> list[str]:
        """The layers whose results it reads."""
        return [layer.name for layer in sources(self.layers[0])]

    @property
    def bias_at(self) -> int | None:
        """The layer that adds a bias a channel, by its position: the last that does."""
        found = [i for i, layer in enumerate(self.layers) if offset_of(layer) is not None]
        return found[-1] if found else None


def ops(model: Any) -> Iterator[Op]:
    """The ops of a flat network, each behind what it reads."""
    inside: set[str] = set()
    for layer in model.layers:
        if isinstance(layer, _L.InputLayer) or layer.name in inside:
            continue
        found = [layer]
        if is_convolution(layer):
            for kinds in ((_L.BatchNormalization,), (_L.ReLU,)):
                behind = neighbours(found[-1])[1]
                if isinstance(behind, kinds):
                    found.append(behind)
        inside |= {one.name for one in found}
        yield Op(tuple(found))


def images_for(model: Any) -> int:
    """How many images the walk over a network has room for, ``IMAGES`` at most."""
    return int(np.clip(_BYTES // (_COPIES * largest_result(model)), 2, IMAGES))


def correct(
    model: Any,
    wrapped: Any,
    images: np.ndarray,
    *,
    clustered: Collection[str] = (),
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Correct a wrapped network in place; ``model`` is its float twin, which does not change.

    Args:
        images: pixels uint8 [N, S, S, 3].
        clustered: layers whose kernels are not rounded anew.
        report: called with (ops done, ops).
    """
    walk = _Walk(wrapped, images, np.random.default_rng(seed), frozenset(clustered))
    every = list(ops(model))
    left = dict.fromkeys(walk.plain, 0)
    for op in every:
        for source in op.sources:
            left[source] = left.get(source, 0) + 1
    for number, op in enumerate(every):
        report(number, len(every))
        walk.step(op)
        for source in op.sources:
            left[source] -= 1
            if not left[source]:
                walk.forget(source)
    report(len(every), len(every))


class _Walk:
    """``plain`` and ``rounded``: results that are still to be read, of the float and of the
    wrapped network, by layer."""

    def __init__(
        self,
        wrapped: Any,
        images: np.ndarray,
        rng: np.random.Generator,
        clustered: frozenset[str],
    ) -> None:
        self._layers = {layer.name.removeprefix(PREFIX): layer for layer in wrapped.layers}
        self._rng, self._clustered, self._side = rng, clustered, images.shape[1]
        (pixels,) = (la.name for la in wrapped.layers if isinstance(la, _L.InputLayer))
        portions = [images[at : at + _AT_ONCE] for at in range(0, len(images), _AT_ONCE)]
        self.plain: dict[str, Values] = {
            pixels: [tf.constant(portion, tf.float32) for portion in portions]
        }
        self.rounded = dict(self.plain)

    def forget(self, name: str) -> None:
        del self.plain[name], self.rounded[name]

    def step(self, op: Op) -> None:
        """Compute an op in both networks, correcting it on the way."""
        plain, rounded = (self._read(op, values) for values in (self.plain, self.rounded))
        twins = tuple(self._layers[layer.name] for layer in op.layers)
        convolves = is_convolution(op.layers[0])
        if convolves and self._is_rounded(op.layers[0], rounded):
            self._round(op.layers[0], twins[0], rounded)
        at = op.bias_at
        if not convolves or at is None:
            self.plain[op.name] = _run(op.layers, plain)
            self.rounded[op.name] = _run(twins, rounded)
            return
        middle = _run(op.layers[: at + 1], plain)
        wanted = _mean(middle)
        self.plain[op.name] = _run(op.layers[at + 1 :], middle)
        # The kernel need not be applied again once the batch norm behind it has another offset.
        below = _run(twins[:at], rounded)
        offset_of(twins[at].layer).assign_add(wanted - _mean(_run(twins[at : at + 1], below)))
        self.rounded[op.name] = _run(twins[at:], below)

    @staticmethod
    def _read(op: Op, values: dict[str, Values]) -> Values:
        found = [values[name] for name in op.sources]
        return found[0] if len(found) == 1 else [list(parts) for parts in zip(*found, strict=True)]

    def _is_rounded(self, layer: Any, inputs: Values) -> bool:
        """Whether a kernel is small, and is applied at the resolution where the harm lies."""
        if layer.name in self._clustered or inputs[0].shape.rank != 4:
            return False
        if getattr(layer, "groups", 1) != 1 or getattr(layer, "depth_multiplier", 1) != 1:
            return False
        taps = rounding.rows_of(layer, kernel_of(layer).numpy()).shape[1]
        fine = 2 * layer.get_output_at(0).shape[1] >= self._side
        return taps <= rounding.MOST_TAPS and set(layer.dilation_rate) == {1} and fine

    def _round(self, layer: Any, twin: Any, inputs: Values) -> None:
        """Round a kernel by least squares on what it reads in the wrapped network."""
        ((weight, _, variables),) = twin._weight_vars
        kernel = weight.numpy()
        rows = rounding.rows_of(layer, kernel)
        taken = rounding.samples(layer, inputs, self._rng)
        step = np.broadcast_to(variables["max_var"].numpy(), len(rows)) / LEVELS
        chosen = rounding.round_rows(rows, step, rounding.covariance(taken))
        kernel = rounding.kernel_from(layer, chosen * step[:, None], kernel.shape)
        weight.assign(kernel.astype(np.float32))


def _run(layers: tuple[Any, ...], values: Values) -> Values:
    """What layers, one behind the other, give; without layers the values themselves."""
    found = []
    for value in values:
        for layer in layers:
            value = layer(value, training=False)
        found.append(value)
    return found


def _mean(values: Values) -> np.ndarray:
    """The mean of each channel over all portions."""
    axes = list(range(values[0].shape.rank - 1))
    sums = [tf.reduce_mean(value, axes).numpy() * len(value) for value in values]
    found: np.ndarray = np.sum(sums, axis=0) / sum(len(value) for value in values)
    return found
