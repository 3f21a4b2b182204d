"""From a float network to one with 8-bit ranges, corrected where that brings it nearer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from tfedge.core.outputs import Correction, Distance
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.modeling.compression import correction, equalization, quantization
from tfedge.modeling.compression.observation import at_once, observe, ranges_of
from tfedge.modeling.nets import network
from tfedge.modeling.nets.backbone import weights_of
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.network import OFFSET, Spec
from tfedge.modeling.training.folding import folded_norms
from tfedge.tasks.task import Work

NOISY = 64  # of the images, once more with noise: what a camera in the field gives has some
CHECKED = 32  # training images that say which state is nearer to float
_BATCH = 32  # images whose extremes are taken together
_AT_ONCE, _COPIES = 16, 2  # images that answer together, if their results fit into memory


@dataclass(frozen=True)
class Calibrated:
    """The network with its ranges, and what correcting it brought."""

    wrapped: Any
    correction: Correction


def calibrate(
    spec: Spec,
    model: Any,
    images: np.ndarray,
    checked: np.ndarray,
    *,
    work: Work,
    served: Callable[[np.ndarray], np.ndarray],
    preserve_zeros: bool = False,
    clustered: Collection[str] = (),
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Calibrated:
    """Wrap a network for 8 bits with ranges and corrections from training images.

    Ranges take in some of the images with noise as well. Without these, noise drives many values
    beyond the ranges of the first layers, and an 8-bit network is harmed by it where the float one
    is not.

    Two states are compared with the float network on other training images: ranges alone, and
    equalised, centred, rounded and corrected. The nearer one, by divergence, stays.

    Args:
        model: the float network; equalised in place, and no more needed afterwards.
        images: uint8 [N, S, S, 3] that ranges and corrections are taken from.
        checked: uint8 [M, S, S, 3], others, that the states are compared on.
        work, served: say how far outputs are apart, once served.
        preserve_zeros, clustered: see ``quantization.wrap``.
        report: called with (ops corrected, ops).

    Raises UnsupportedModel for layers that have no 8-bit form.
    """
    twin = _float_copy(spec, model)
    variables = list(twin.weights)

    def outputs(network: Any) -> np.ndarray:
        return served(_outputs(network, checked))

    def distance(network: Any) -> Distance:
        found = outputs(network)
        alike = float(work.same(wanted, found).mean())
        return Distance(kl=work.divergence(wanted, found), agreement=alike)

    wanted = outputs(model)
    noisy = Batches(with_noise(images[:NOISY]))
    seen = observe(model, chain(Batches(images), noisy))
    plain = ranges_of(model, seen, len(noisy))
    equalization.equalise(model, seen, clustered)
    equalization.centre(model, seen)
    wrapped = quantization.wrap(twin, preserve_zeros=preserve_zeros, clustered=clustered)
    quantization.set_ranges(wrapped, plain)
    network.inference_norm(wrapped)
    before = distance(wrapped)
    kept = [variable.numpy() for variable in wrapped.weights]

    values = [variable.numpy() for variable in model.weights]
    keras.backend.batch_set_value(list(zip(variables, values, strict=True)))
    quantization.set_ranges(wrapped, ranges_of(model, seen, len(noisy)))
    room = correction.images_for(model)
    correction.correct(model, wrapped, images[:room], clustered=clustered, seed=seed, report=report)
    after = distance(wrapped)
    better = after.kl <= before.kl
    if not better:
        keras.backend.batch_set_value(list(zip(wrapped.weights, kept, strict=True)))
    state: Literal["corrected", "plain"] = "corrected" if better else "plain"
    brought = Correction(state=state, n=len(checked), plain=before, corrected=after)
    return Calibrated(wrapped, brought)


class Batches:
    """Images in whole batches of 32, of all of them where they are fewer, as they are stored."""

    def __init__(self, images: np.ndarray) -> None:
        size = min(_BATCH, len(images))
        self._images, self._size = images, size
        self._starts = range(0, len(images) - size + 1, size)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._images[at : at + self._size] for at in self._starts)


def with_noise(images: np.ndarray) -> np.ndarray:
    """Each image uint8 [S, S, 3] with noise of its own, the same every time."""
    return np.stack([CORRUPTIONS["noise"](image, number) for number, image in enumerate(images)])


def _float_copy(spec: Spec, model: Any) -> Any:
    """The same network once more: a wrapped one can't compute in float again."""
    twin = network.load(spec, weights_of(model))
    twin.get_layer(OFFSET).mean = model.get_layer(OFFSET).mean
    return twin


def _outputs(model: Any, images: np.ndarray) -> np.ndarray:
    """[N, …], computed layer by layer: building a function takes longer."""
    count = at_once(model, _AT_ONCE, _COPIES)
    starts = range(0, len(images), count)
    portions = (images[at : at + count].astype(np.float32) for at in starts)
    with folded_norms(model, training=False):
        return np.concatenate([model(portion, training=False).numpy() for portion in portions])
