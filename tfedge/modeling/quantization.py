"""Quantization-aware training with TF-MOT: wrapping, ranges, and what must not move.

TF-MOT wraps every layer for 8 bits. Its ranges start at ±6 and follow the training batches by a
thousandth a step, so a short fine-tune would never find them, and the frozen part, which sees no
training at all, would keep ±6. Here every range is set from training pictures before anything
trains. What trains is a model cut out of the wrapped one: the frozen part is not in it, so nothing
in it can move.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
    default_8bit_prune_preserve_quantize_scheme as prune_preserve,
)
from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
    default_8bit_quantize_scheme as default_8bit,
)

from tfedge.errors import UnsupportedModel
from tfedge.modeling.env import keras, tf
from tfedge.modeling.network import OFFSET, PixelOffset

Ranges = dict[str, tuple[float, float]]  # layer → smallest and largest value it gives

PREFIX = "quant_"  # TF-MOT's, before the names of wrapped layers
PIXELS = (0.0, 255.0)  # scale 1, zero point 0 as uint8: a stored byte is a pixel
_QUANT = tfmot.quantization.keras
_REFUSED = re.compile(r"Layer ([^:\s]+):<class '(?:\w+\.)*(\w+)'> is not supported")


class FixedRange(_QUANT.quantizers.MovingAverageQuantizer):
    """8 bits over a range that training does not move."""

    def __init__(self) -> None:
        super().__init__(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)

    def __call__(self, inputs: Any, training: bool, weights: Any, **kwargs: Any) -> Any:
        return super().__call__(inputs, False, weights, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {}


class OffsetConfig(_QUANT.QuantizeConfig):
    """Quantizes what ``PixelOffset`` gives: pixels less a constant, so its range is known."""

    def get_weights_and_quantizers(self, layer: Any) -> list:
        return []

    def get_activations_and_quantizers(self, layer: Any) -> list:
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Any) -> None:
        return

    def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
        return

    def get_output_quantizers(self, layer: Any) -> list:
        return [FixedRange()]

    def get_config(self) -> dict[str, Any]:
        return {}


def wrap(model: Any, *, preserve_zeros: bool) -> Any:
    """A copy of a flat model with every layer wrapped for 8 bits.

    ``preserve_zeros``: zero weights stay zero (TF-MOT's prune-preserving scheme).
    Raises UnsupportedModel naming the first layer that TF-MOT does not know.
    """
    scheme = (
        prune_preserve.Default8BitPrunePreserveQuantizeScheme()
        if preserve_zeros
        else default_8bit.Default8BitQuantizeScheme()
    )
    def annotate(layer: Any) -> Any:
        if isinstance(layer, keras.layers.InputLayer):
            return layer
        if isinstance(layer, PixelOffset):
            return _QUANT.quantize_annotate_layer(layer, OffsetConfig())
        return _QUANT.quantize_annotate_layer(layer)

    scope = {cls.__name__: cls for cls in (PixelOffset, OffsetConfig, FixedRange)}
    # TF-MOT's prune-preserving scheme passes over layers that are not trainable.
    for layer in model.layers:
        layer.trainable = True
    with keras.utils.custom_object_scope(scope):
        annotated = keras.models.clone_model(model, clone_function=annotate)
        try:
            return _QUANT.quantize_apply(annotated, scheme)
        except (RuntimeError, ValueError) as error:
            found = _REFUSED.search(str(error))
            raise UnsupportedModel(
                "TF-MOT has no 8-bit training for a layer",
                [f"{found[1]} ({found[2]})" if found else str(error).splitlines()[0]],
                "use quantize.recipe: ptq, or another backbone",
            ) from error


def observe(model: Any, batches: Iterable[np.ndarray]) -> Ranges:
    """The range of each layer's output, over batches of float32 pixels [B, S, S, 3].

    Mean over the batches of each batch's extremes, which is what a moving average would settle on,
    and which a single odd picture can't stretch.
    """
    named = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    outputs = keras.Model(model.input, [layer.get_output_at(0) for layer in named])

    @tf.function
    def extremes(pixels: Any) -> Any:
        values = outputs(pixels, training=False)
        return tf.stack([[tf.reduce_min(v), tf.reduce_max(v)] for v in values])

    found = np.mean([extremes(batch).numpy() for batch in batches], axis=0)
    return {layer.name: (float(lo), float(hi)) for layer, (lo, hi) in zip(named, found, strict=True)}


def set_ranges(wrapped: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Give every quantizer of a wrapped model its range: activations as observed, kernels exactly.

    The picture and its offset have the ranges that pixels have, not those of some pictures.
    """
    offset = wrapped.get_layer(PREFIX + OFFSET).layer.mean
    ranges = {**ranges, OFFSET: (PIXELS[0] - max(offset), PIXELS[1] - min(offset))}
    for layer in wrapped.layers:
        name = layer.name.removeprefix(PREFIX)
        for variable in layer.weights:
            kind = variable.name.split("/")[-1].split(":")[0]
            if kind.startswith("quantize_layer_"):
                variable.assign(PIXELS[kind.endswith("_max")])
            elif kind in ("output_min", "post_activation_min"):
                variable.assign(min(0.0, ranges[name][0]))
            elif kind in ("output_max", "post_activation_max"):
                variable.assign(max(1e-6, ranges[name][1]))
        # Last-value quantizers take these anew in every training step; frozen layers see none.
        for weight, _, variables in getattr(layer, "_weight_vars", ()):
            size = np.abs(weight.numpy())
            per_channel = variables["max_var"].shape.rank > 0
            most = size.max(tuple(range(size.ndim - 1))) if per_channel else size.max()
            most = np.maximum(most, 1e-8)
            variables["min_var"].assign(-most)
            variables["max_var"].assign(most)


def kernels(wrapped: Any) -> dict[str, np.ndarray]:
    """The kernels of a wrapped model by the name of the layer inside."""
    return {
        layer.name.removeprefix(PREFIX): weight.numpy()
        for layer in wrapped.layers
        for weight, _, _ in getattr(layer, "_weight_vars", ())
    }


def state(model: Any) -> dict[str, np.ndarray]:
    """Every variable of a model, ranges included, by a name that tells them apart."""
    return {
        f"{layer.name}/{number}/{variable.name}": variable.numpy()
        for layer in model.layers
        for number, variable in enumerate(layer.weights)
    }
