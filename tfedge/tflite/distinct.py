"""How many distinct values a stored kernel has: what clustering is about, and what deflates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfedge.tflite.model import Kernel, Model

_CHANNEL = {"DEPTHWISE_CONV_2D": 3}  # [1, H, W, C]; the other kernels begin with output channels


class Distinct(NamedTuple):
    kernel: int  # in the kernel as a whole
    channel: int  # in the output channel that has most


def distinct(model: Model, kernel: Kernel) -> Distinct:
    """Of a kernel of ``model.kernels()``, in stored values.

    A sparse one stores no zeros; they count as one value all the same.
    """
    tensor = next(t for t in model.tensors if t.name == kernel.tensor and t.is_const)
    values = tensor.values()
    zero = int(tensor.sparse and values.size < tensor.size)
    whole = len(np.unique(values)) + zero
    if tensor.sparse or values.ndim < 2:
        return Distinct(whole, whole)
    channels = np.moveaxis(values, _CHANNEL.get(kernel.op, 0), 0)
    return Distinct(whole, max((len(np.unique(channel)) for channel in channels), default=0))
