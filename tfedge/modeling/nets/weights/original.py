"""Weights of a net as Keras Applications has it, for the net as it is written down here.

Keras' names, its order of layers and its own preprocessing are the original's; ``rewrite`` says
what each of its weights is called here. The original is built to carry them over and then dropped.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

import numpy as np

from tfedge.catalog.backbones import BACKBONES, Triple
from tfedge.modeling.nets import backbone as nets
from tfedge.modeling.nets import rewrite
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.weights import files

Norm = tuple[Triple, Triple]

# What Keras divides by once more behind the Normalization of EfficientNet's ImageNet weights, whose
# variance holds standard deviations (tensorflow/tensorflow#49930).
_DEVIATIONS = (0.229, 0.224, 0.225)


class ConvertedWeights(NamedTuple):
    """Weights under the names of the rewritten net, and what the file has beside them."""

    weights: nets.Weights
    ignored: list[str]  # layers of the file that are none of the net's
    norm: Norm  # (mean, std) of the pixels, RGB, 0-255 units


def config(name: str, alpha: float, size: int) -> dict[str, Any]:
    """The original's config, which names its layers in their order."""
    return nets.as_keras_has_it(name, alpha, size).get_config()


def convert(name: str, alpha: float, size: int, path: str, found: files.Arrays) -> ConvertedWeights:
    """What a file saved from Keras' net holds: its arrays by name, else by their position.

    ``found`` is as ``files.read`` gives it, ``path`` what messages call the file. Raises
    ArtifactError when it holds another net.
    """
    statistics, others = _statistics(found)
    net = nets.as_keras_has_it(name, alpha, size)
    variables = rewrite.variables_of(net)
    shapes = {key: tuple(variable.shape) for key, variable in variables.items()}
    chosen, ignored = files.select(others, shapes)
    if not files.fits(chosen, shapes) and (placed := files.in_order(others, shapes)):
        chosen, ignored = placed
    weights = files.check(path, chosen, shapes)
    keras.backend.batch_set_value([(variables[key], weights[key]) for key in variables])
    return ConvertedWeights(rewrite.rewritten_weights(net), ignored, norm(name, statistics))


def _statistics(found: files.Arrays) -> tuple[list[np.ndarray], files.Arrays]:
    """Mean, variance and count of a Normalization layer on the pixels ([] if there is none), and
    what else there is."""
    layers = {key.partition("/")[0] for key in found}
    for layer in sorted(la for la in layers if re.fullmatch(r"normalization(_\d+)?", la)):
        keys = [key for key in found if key.startswith(f"{layer}/")]
        if [found[key].shape for key in keys] == [(3,), (3,), ()]:
            others = {key: array for key, array in found.items() if key not in keys}
            return [found[key] for key in keys], others
    return [], found


def norm_of(net: Any, name: str) -> Norm:
    """What the weights that a net of Keras' now has want of the pixels."""
    layers = [la for la in net.layers if isinstance(la, keras.layers.Normalization) and la.weights]
    return norm(name, [np.asarray(v.numpy()) for layer in layers for v in layer.weights])


def norm(name: str, statistics: list[np.ndarray]) -> Norm:
    """(mean, std), RGB, 0-255 units, that weights want of the pixels.

    ``statistics`` are the mean and variance of the Normalization layer they were saved with, in
    units of 1; without, the catalogue says it. EfficientNet made without weights has 0 and 1 there.
    """
    known = BACKBONES[name].norm
    if not statistics:
        return known
    mean, variance = (array.astype(np.float64) for array in statistics[:2])
    std = np.sqrt(variance)
    if np.allclose(variance, _DEVIATIONS, rtol=1e-4):
        std = std * np.sqrt(_DEVIATIONS)
    return as_known(name, (rgb(mean * 255), rgb(std * 255)))


def as_known(name: str, given: Norm) -> Norm:
    """The catalogue's own figures where they are meant: those of a file are float32."""
    known = BACKBONES[name].norm
    same = all(
        math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-5)
        for one, other in zip(given, known, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    return known if same else given


def rgb(values: np.ndarray) -> Triple:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
