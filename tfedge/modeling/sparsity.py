"""Magnitude pruning with TF-MOT: how many zeros each layer carries, the wrappers, the result.

TF-MOT decides *which* weights of a layer go (the smallest) and when (its schedules); how many of
each layer is decided here, over all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tfedge.config.schema import Prune
from tfedge.errors import InvariantBroken, StageError
from tfedge.modeling.env import keras, tf
from tfedge.modeling.tfmot import tfmot

Kernels = Mapping[str, np.ndarray]  # layer → kernel

UPDATES = 8  # mask updates of a polynomial schedule; each sorts every pruned kernel
RAMP = 0.6  # share of the steps after which the target is reached; the rest recovers


def lamp_scores(kernel: np.ndarray) -> np.ndarray:
    """LAMP score of each weight, float64 [size], in the kernel's flat order.

    A weight's square over the sum of squares of the weights of its layer that are not smaller (Lee
    et al. 2021, "Layer-adaptive sparsity for the magnitude-based pruning"): scores of different
    layers can be compared.
    """
    squares = np.square(kernel.ravel().astype(np.float64))
    order = np.argsort(squares, kind="stable")
    sums = np.cumsum(squares[order][::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = squares[order] / np.maximum(sums, np.finfo(np.float64).tiny)
    return scores


def lamp(kernels: Kernels, zeros: int, most: float) -> dict[str, int]:
    """How many weights of each layer go, ``zeros`` in all: those with the lowest LAMP scores.

    No layer gives more than its share ``most``; what it can't carry goes to the others.
    """
    open_layers = {name: np.sort(lamp_scores(kernel)) for name, kernel in kernels.items()}
    counts: dict[str, int] = {}
    while open_layers:
        left = max(0, zeros - sum(counts.values()))  # scores may tie, as those of zeros do
        pool = np.sort(np.concatenate(list(open_layers.values())))
        threshold = pool[left - 1] if left else -1.0
        found = {n: int(np.searchsorted(s, threshold, "right")) for n, s in open_layers.items()}
        full = {n: math.floor(most * len(open_layers[n])) for n in found}
        over = [name for name in found if found[name] > full[name]]
        if not over:
            counts |= found
            break
        for name in over:
            counts[name] = full[name]
            del open_layers[name]
    return {name: counts[name] for name in kernels}


def uniform(kernels: Kernels, zeros: int) -> dict[str, int]:
    """The same share of every layer, ``zeros`` in all."""
    total = sum(kernel.size for kernel in kernels.values())
    return {name: math.ceil(kernel.size * zeros / total) for name, kernel in kernels.items()}


def allocate(prune: Prune, kernels: Kernels, zeros: int, most: float) -> dict[str, int]:
    """Zeros by layer, by the pipeline's rule. Raises StageError if they can't be carried."""
    room = sum(math.floor(most * kernel.size) for kernel in kernels.values())
    if zeros > room:
        raise StageError(
            f"prune.sparsity {prune.sparsity:g} needs {zeros:,} zeros, and the part that trains "
            f"can carry {room:,} ({most:.0%} of each layer)",
            "lower prune.sparsity, or train more of the net (prune.unfreeze: all)",
        )
    return lamp(kernels, zeros, most) if prune.allocation == "lamp" else uniform(kernels, zeros)


class Pruner:
    """A model with TF-MOT's pruning wrappers round the layers that get zeros.

    ``model`` shares its layers with the one given, so that stripping is leaving the wrappers off.
    """

    def __init__(self, model: Any, counts: Mapping[str, int], prune: Prune, steps: int) -> None:
        self._counts = {name: count for name, count in counts.items() if count}
        schedules = {
            layer.name: self._schedule(prune, self._counts[layer.name] / _kernel(layer).size, steps)
            for layer in model.layers
            if layer.name in self._counts
        }

        def wrap(layer: Any) -> Any:
            if layer.name not in schedules:
                return layer
            if hasattr(layer, "depthwise_kernel"):
                # TF-MOT's registry knows the layer with nothing in it to prune.
                layer.get_prunable_weights = lambda: [layer.depthwise_kernel]
            return tfmot.sparsity.keras.prune_low_magnitude(
                layer, pruning_schedule=schedules[layer.name]
            )

        self.model = keras.models.clone_model(model, clone_function=wrap)
        self._wrappers = [layer for layer in self.model.layers if hasattr(layer, "pruning_vars")]
        for wrapper in self._wrappers:
            wrapper.pruning_obj._update_mask = partial(_update_mask, wrapper.pruning_obj)

    @staticmethod
    def _schedule(prune: Prune, share: float, steps: int) -> Any:
        # TF-MOT's default updates masks every 100 steps: a fine-tune of 44 pruned nothing.
        end = max(1, math.floor(steps * RAMP))
        every = max(1, end // UPDATES)
        if prune.pruning_schedule == "constant":
            return tfmot.sparsity.keras.ConstantSparsity(share, 1, steps, every)
        # The last update must fall on the step that the schedule ends with.
        return tfmot.sparsity.keras.PolynomialDecay(0.0, share, 0, end // every * every, 3, every)

    def before_step(self, step: int) -> None:
        """What TF-MOT's UpdatePruningStep does at the first batch; wrappers count from there."""
        if step == 0:
            for wrapper in self._wrappers:
                wrapper.pruning_step.assign(0)

    def finish(self) -> dict[str, int]:
        """Set to zero what the masks say, and give the zeros by layer.

        Raises InvariantBroken if a layer did not reach its target.
        """
        reached = {}
        for wrapper in self._wrappers:
            wrapper.pruning_obj.weight_mask_op()
            name = wrapper.layer.name
            reached[name] = int(np.count_nonzero(_kernel(wrapper.layer) == 0))
            # One weight of slack: TF-MOT rounds the count in float32.
            if reached[name] < self._counts[name] - 1:
                raise InvariantBroken(
                    f"zeros in {name}", f"{self._counts[name]:,}", f"{reached[name]:,}"
                )
        return reached


def keep_zeros(kernels: Iterable[Any]) -> Callable[[int], None]:
    """Before a step of training: sets to zero what is zero now in these variables."""
    masked = [(kernel, tf.constant(kernel.numpy() != 0, kernel.dtype)) for kernel in kernels]

    def before_step(step: int) -> None:
        for kernel, mask in masked:
            kernel.assign(kernel * mask)

    return before_step


def _update_mask(pruning: Any, weights: Any) -> tuple[Any, Any]:
    """TF-MOT's threshold and mask, with as many weights kept as the schedule says.

    TF-MOT keeps every weight that is as large as the smallest one to keep: of a kernel whose
    weights are all of one size none would go, and zeros that outnumber the target could grow back.
    Of equal ones the first are kept.
    """
    share = pruning._pruning_schedule(pruning._step_fn())[1]
    size = tf.reshape(tf.abs(weights), [-1])
    keep = tf.cast(tf.maximum(tf.round(size.shape[0] * (1 - share)), 1), tf.int32)
    largest = tf.math.top_k(size, k=size.shape[0])  # of equal ones the first comes first
    kept = largest.indices[:keep, None]
    mask = tf.scatter_nd(kept, tf.ones([keep], weights.dtype), size.shape)
    return largest.values[keep - 1], tf.reshape(mask, weights.shape)


def _kernel(layer: Any) -> np.ndarray:
    name = "depthwise_kernel" if hasattr(layer, "depthwise_kernel") else "kernel"
    return getattr(layer, name).numpy()
