"""Building a backbone, and putting weights into it and taking them out, by layer name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfedge.catalog.backbones import BACKBONES
from tfedge.errors import UnsupportedModel
from tfedge.modeling.nets import efficientnet_lite
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.rewrite import rewritten

Weights = dict[str, np.ndarray]  # "layer/weight" -> float32


def build_base(name: str, alpha: float, inputs: Any) -> Any:
    """The layers of a backbone, without a top, on a tensor that is already normalised.

    ``inputs`` is a Keras tensor [None, S, S, 3] float32; the result is the feature map
    [None, s, s, channels]. The layers join the model that ``inputs`` belongs to (TF-MOT refuses
    nested models), under names that never change: those of ``catalog/nets``.
    """
    if name in efficientnet_lite.SCALES:
        return efficientnet_lite.build(name, inputs)
    if BACKBONES[name].rewritten:
        return rewritten(as_keras_has_it(name, alpha, inputs.shape[1]), inputs)
    constructor = getattr(keras.applications, name)
    options = _width(name, alpha)
    return constructor(input_tensor=inputs, include_top=False, weights=None, **options).output


def _width(name: str, alpha: float) -> dict[str, float]:
    return {"alpha": alpha} if len(BACKBONES[name].alphas) > 1 else {}


def as_keras_has_it(name: str, alpha: float, size: int) -> Any:
    """A net of Keras Applications, without top and, where Keras lets one choose, preprocessing.

    Its layers are named as if it were the first one ever made.
    """
    constructor = getattr(keras.applications, name)
    plain = "include_preprocessing" in inspect.signature(constructor).parameters
    options = {**_width(name, alpha), **({"include_preprocessing": False} if plain else {})}
    keras.backend.reset_uids()
    return constructor(include_top=False, weights=None, input_shape=(size, size, 3), **options)


def bare(name: str, alpha: float, size: int) -> Any:
    """A model of the backbone alone: normalised pixels [None, size, size, 3] to its feature map."""
    inputs = keras.Input((size, size, 3), name="input")
    return keras.Model(inputs, build_base(name, alpha, inputs), name=name)


def _key(layer: Any, variable: Any) -> str:
    return f"{layer.name}/{variable.name.rsplit('/', 1)[-1].split(':')[0]}"


def _variables(model: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        _key(layer, variable): variable
        for layer in model.layers
        if not (skip and layer.name.startswith(skip))
        for variable in layer.weights
    }


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    """``layer/weight`` of every weight of a flat model, with its shape."""
    return {key: tuple(variable.shape) for key, variable in _variables(model).items()}


def weights_of(model: Any) -> Weights:
    """Every weight of a flat model as float32, by ``layer/weight``, in the order of its layers."""
    variables = _variables(model)
    values = keras.backend.batch_get_value(list(variables.values()))
    return {k: np.asarray(v, np.float32) for k, v in zip(variables, values, strict=True)}


def assign(
    model: Any,
    weights: Mapping[str, np.ndarray],
    *,
    skip: tuple[str, ...] = (),
    partial: bool = False,
) -> None:
    """Set the weights of a flat model, by ``layer/weight``; nothing is set unless all fit.

    Every layer must get all of its weights, but those whose name starts with a prefix in ``skip``
    (a head that is still to be trained). ``partial``: the model is a part of the net that the
    weights belong to, so weights of other layers are no mistake. Raises UnsupportedModel naming
    the layers.
    """
    variables = _variables(model, skip)
    wrong = [f"{k} (missing)" for k in variables if k not in weights]
    wrong += [
        f"{k} (expected {tuple(v.shape)}, got {weights[k].shape})"
        for k, v in variables.items()
        if k in weights and tuple(v.shape) != weights[k].shape
    ]
    if not partial:
        wrong += [f"{k} (no such layer)" for k in weights if k not in variables]
    if wrong:
        more = [f"and {len(wrong) - 5} more"] if len(wrong) > 5 else []
        raise UnsupportedModel(
            f"the weights do not fit {model.name}",
            [*wrong[:5], *more],
            "weights and net must be the same backbone and alpha",
        )
    keras.backend.batch_set_value([(v, weights[k]) for k, v in variables.items()])
