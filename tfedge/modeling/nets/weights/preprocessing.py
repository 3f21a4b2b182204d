"""What a saved model does with pixels before its first weight, read from its config as text.

Keras writes it as Rescaling and Normalization layers, or, where a model was made with
``preprocess_input``, as bare arithmetic. All of that is one scale and one offset a channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfedge.catalog.backbones import Triple

Config = Mapping[str, Any]
Norm = tuple[Triple, Triple]  # mean, std: RGB, 0–255 units

# Layers that leave the values of pixels as they are once a model is trained.
_HARMLESS = (
    *("InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "Identity"),
    *("Resizing", "CenterCrop", "ZeroPadding2D", "Cropping2D", "ActivityRegularization", "Cast"),
)
_ADD = ("add", "math.add", "__operators__.add")
_SUBTRACT = ("subtract", "math.subtract")
_MULTIPLY = ("multiply", "math.multiply")
_DIVIDE = ("truediv", "truedivide", "divide", "math.truediv", "math.divide")
_HAVE_WEIGHTS = ("Conv", "Depthwise", "Separable", "Dense", "BatchNorm", "LayerNorm")


class UnknownLayer(Exception):
    """One that changes pixels in a way that is not known. ``name`` and ``kind`` say which."""

    def __init__(self, layer: Config) -> None:
        self.name, self.kind = str(_config(layer).get("name")), str(layer.get("class_name"))
        super().__init__(f"{self.name} ({self.kind})")


class _Affine(NamedTuple):
    scale: np.ndarray  # [3], or of one number
    offset: np.ndarray


def of_model(config: Config, arrays: Mapping[str, np.ndarray]) -> Norm | None:
    """(mean, std) of what stands before a model's first weight; None where nothing does.

    ``config`` is the model's, as its file has it, ``arrays`` its weights by ``layer/weight``.
    Raises UnknownLayer.
    """
    scale, offset, found = np.ones(3), np.zeros(3), False
    for layer in _flat(config.get("layers", ())):
        if _has_weights(layer, arrays):
            break
        if layer["class_name"] in _HARMLESS or str(layer["class_name"]).startswith("Random"):
            continue
        step = _step(layer, arrays)
        scale, offset, found = scale * step.scale, offset * step.scale + step.offset, True
        if not (np.isfinite(scale).all() and np.isfinite(offset).all() and (scale > 0).all()):
            raise UnknownLayer(layer)
    return (_triple(-offset / scale), _triple(1 / scale)) if found else None


def _flat(layers: Sequence[Config]) -> Iterator[Config]:
    """The layers in their order, those of nested models in the place of these."""
    for layer in layers:
        inner = _config(layer).get("layers")
        if isinstance(inner, list):
            yield from _flat(inner)
        else:
            yield layer


def _has_weights(layer: Config, arrays: Mapping[str, np.ndarray]) -> bool:
    kind = str(layer["class_name"])
    if kind == "Normalization":
        return False
    return kind.startswith(_HAVE_WEIGHTS) or any(key.startswith(_own(layer)) for key in arrays)


def _own(layer: Config) -> str:
    """What the names of a layer's weights begin with."""
    return f"{_config(layer).get('name')}".replace("/", "_") + "/"


def _step(layer: Config, arrays: Mapping[str, np.ndarray]) -> _Affine:
    try:
        if layer["class_name"] == "Rescaling":
            config = _config(layer)
            return _Affine(_numbers(config["scale"]), _numbers(config.get("offset", 0.0)))
        if layer["class_name"] == "Normalization":
            return _normalization(layer, arrays)
        return _arithmetic(layer)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise UnknownLayer(layer) from None


def _normalization(layer: Config, arrays: Mapping[str, np.ndarray]) -> _Affine:
    """Its statistics stand in the config where they were given, else among the weights."""
    config = _config(layer)
    given = [config.get("mean"), config.get("variance")]
    if any(value is None for value in given):
        own = {key.removeprefix(_own(layer)): v for key, v in arrays.items()}
        given = [own.get(name, own.get(str(i))) for i, name in enumerate(("mean", "variance"))]
    mean, deviation = _numbers(given[0]), np.sqrt(_numbers(given[1]))
    deviation = np.maximum(deviation, 1e-7)  # as Keras does
    if config.get("invert"):
        return _Affine(deviation, mean)
    return _Affine(1 / deviation, -mean / deviation)


def _arithmetic(layer: Config) -> _Affine:
    """An operation on pixels and a constant behind them: Keras 2 calls its layers TFOpLambda and
    has the function in the config, Keras 3 calls them after the function."""
    name, (constant,) = _operation(layer)
    value, one, zero = _numbers(constant), np.ones(1), np.zeros(1)
    if name in _ADD:
        return _Affine(one, value)
    if name in _SUBTRACT:
        return _Affine(one, -value)
    if name in _MULTIPLY:
        return _Affine(value, zero)
    if name in _DIVIDE:
        return _Affine(1 / value, zero)
    raise ValueError(name)


def _operation(layer: Config) -> tuple[str, list[Any]]:
    """The function's name, and what it gets beside the pixels that come first."""
    node = layer["inbound_nodes"][0]
    if layer["class_name"] == "TFOpLambda":
        first = node[0] if isinstance(node[0], list) else node
        given = {key: value for key, value in first[3].items() if key != "name"}
        return _config(layer)["function"], list(given.values())
    if str(layer.get("module", "")).endswith("layers"):
        raise ValueError("a layer, not an operation")
    pixels, *others = node["args"]
    if not isinstance(pixels, Mapping):
        raise ValueError("the constant stands first")
    return str(layer["class_name"]).lower(), [*others, *node.get("kwargs", {}).values()]


def _numbers(value: Any) -> np.ndarray:
    """One number, or three. A constant may be wrapped: ``{"config": {"value": …}}``."""
    if isinstance(value, Mapping):
        value = value["config"]["value"]
    found = np.asarray(value, np.float64).ravel()
    if found.size not in (1, 3):
        raise ValueError(f"{found.size} numbers")
    return found


def _config(layer: Config) -> Config:
    found: Config = layer.get("config") or {}
    return found


def _triple(values: np.ndarray) -> Triple:
    red, green, blue = (float(value) + 0.0 for value in np.broadcast_to(values, 3))
    return red, green, blue
