"""Magnitude pruning with TF-MOT: the wrappers, their schedules and masks, the result.

TF-MOT decides *which* weights of a layer go (the smallest) and when (its schedules); how many of
each layer is decided in allocation.py, over all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tfedge.errors import InvariantBroken
from tfedge.modeling.compression.tfmot import tfmot
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.layers import kernel_of
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.structure import block_area

UPDATES = 8  # mask updates of a polynomial schedule; each sorts every pruned kernel
RAMP = 0.6  # share of the steps after which the target is reached; the rest recovers


class Pruner:
    """A model with TF-MOT's pruning wrappers round the layers that get zeros.

    ``model`` shares its layers with the one given, so that stripping is leaving the wrappers off.
    ``reached_at`` is the number of steps after which all zeros are there.
    """

    def __init__(self, model: Any, counts: Mapping[str, int], prune: Prune, steps: int) -> None:
        self._counts = {name: count for name, count in counts.items() if count}
        self._slack = block_area(prune)
        self.reached_at = 2 if prune.pruning_schedule == "constant" else _end(steps) + 1
        schedules = {
            layer.name: self._schedule(
                prune, self._counts[layer.name] / math.prod(kernel_of(layer).shape), steps
            )
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
                layer,
                pruning_schedule=schedules[layer.name],
                # TF-MOT makes these masks once, in the first step, whatever the schedule.
                sparsity_m_by_n=prune.sparsity_m_by_n,
            )

        self.model = keras.models.clone_model(model, clone_function=wrap)
        self._wrappers = [layer for layer in self.model.layers if hasattr(layer, "pruning_vars")]
        for wrapper in self._wrappers:
            update = _update_mask if self._slack == 1 else partial(_update_block_mask, prune)
            wrapper.pruning_obj._update_mask = partial(update, wrapper.pruning_obj)

    @staticmethod
    def _schedule(prune: Prune, share: float, steps: int) -> Any:
        # TF-MOT's default updates masks every 100 steps: a fine-tune of 44 pruned nothing.
        if prune.pruning_schedule == "constant":
            return tfmot.sparsity.keras.ConstantSparsity(share, 1, steps, _every(steps))
        return tfmot.sparsity.keras.PolynomialDecay(0.0, share, 0, _end(steps), 3, _every(steps))

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
            reached[name] = int(np.count_nonzero(kernel_of(wrapper.layer).numpy() == 0))
            # One weight or block of slack: TF-MOT rounds the count in float32.
            if reached[name] < self._counts[name] - self._slack:
                raise InvariantBroken(
                    f"zeros in {name}", f"{self._counts[name]:,}", f"{reached[name]:,}"
                )
        return reached


def _every(steps: int) -> int:
    """Steps between two updates of the masks."""
    return max(1, math.floor(steps * RAMP) // UPDATES)


def _end(steps: int) -> int:
    """The step that the polynomial schedule ends with, on which the last update must fall."""
    end = max(1, math.floor(steps * RAMP))
    return end // _every(steps) * _every(steps)


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
    keep = tf.maximum(tf.round(math.prod(weights.shape) * (1 - share)), 1)
    kind = weights.dtype
    found = tf.numpy_function(_largest, [tf.abs(weights), keep], [kind, kind], stateful=False)
    return tf.ensure_shape(found[0], ()), tf.ensure_shape(found[1], weights.shape)


def _largest(sizes: np.ndarray, count: float) -> tuple[np.ndarray, np.ndarray]:
    """The smallest of the ``count`` largest sizes, and where these are: 1.0 and 0.0, as shaped.

    By a partial sort: TF-MOT's full one of every kernel is felt in a short training.
    """
    flat = sizes.ravel()
    edge = len(flat) - int(count)
    threshold = np.partition(flat, edge)[edge]
    mask = flat > threshold
    mask[np.flatnonzero(flat == threshold)[: int(count) - np.count_nonzero(mask)]] = True
    return threshold, mask.reshape(sizes.shape).astype(sizes.dtype)


def _update_block_mask(prune: Prune, pruning: Any, weights: Any) -> tuple[Any, Any]:
    """``_update_mask`` of blocks: TF-MOT's own takes those of dense layers only."""
    (height, width), (inputs, outputs) = prune.block_size, weights.shape[-2:]
    size = tf.reshape(tf.abs(weights), [inputs // height, height, outputs // width, width])
    pool = tf.reduce_max if prune.block_pooling_type == "MAX" else tf.reduce_mean
    threshold, mask = _update_mask(pruning, pool(size, [1, 3]))
    mask = tf.repeat(tf.repeat(mask, height, 0), width, 1)
    return threshold, tf.reshape(mask, weights.shape)
