"""Distinct values of kernels: of the whole, and of the output channel that has most."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfedge.tflite.distinct import distinct
from tfedge.tflite.model import Model
from tfedge.tflite.reader import read

FILE = Path(__file__).parent / "data" / "color_int8.tflite"


def with_values(model: Model, name: str, values: np.ndarray) -> Model:
    """The model with other values of the same shape in a kernel."""
    (graph,) = model.graphs
    raw = values.astype(np.int8).reshape(-1).view(np.uint8)
    tensors = tuple(replace(t, data=raw) if t.name == name else t for t in graph.tensors)
    return replace(model, graphs=(replace(graph, tensors=tensors),))


@pytest.mark.parametrize(
    ("op", "axis"), [("CONV_2D", 0), ("DEPTHWISE_CONV_2D", 3), ("FULLY_CONNECTED", 0)]
)
def test_values_are_counted_along_output_channels(op: str, axis: int) -> None:
    model = read(FILE)
    kernel = next(k for k in model.kernels() if k.op == op)
    channels = kernel.shape[axis]
    # Channel c holds c and c + 1 in turns.
    values = np.indices(kernel.shape)[axis] + np.indices(kernel.shape).sum(0) % 2
    found = distinct(with_values(model, kernel.tensor, values), kernel)
    assert found.channel == min(2, kernel.size // channels)
    assert found.kernel == len(np.unique(values))
    assert found.kernel > found.channel


def test_one_value_is_one_value() -> None:
    model = read(FILE)
    for kernel in model.kernels():
        found = distinct(with_values(model, kernel.tensor, np.zeros(kernel.shape)), kernel)
        assert found == (1, 1)
