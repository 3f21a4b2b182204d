"""Parts of a network with several inputs or outputs, fed and read as if they had one of each.

Where a network is cut, several tensors may pass: in a record store, and on the way to the part
above, those of an example stand one behind the other in one flat row. Several outputs stand side by
side along their last axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tfedge.modeling.nets.env import tf


def run(model: Any, given: Any, *, training: bool) -> Any:
    """What a part gives for a batch [B, …]: one tensor [B, …].

    ``given``: what its input takes; of several inputs their values [B, F], packed."""
    if len(model.inputs) > 1:
        given = unpacked(given, shapes_of(model.inputs))
    return side_by_side(model(given, training=training))


def side_by_side(outputs: Any) -> Any:
    """One tensor of a model's outputs."""
    parts = tf.nest.flatten(outputs)
    return parts[0] if len(parts) == 1 else tf.concat(parts, -1)


def shapes_of(tensors: Sequence[Any]) -> list[tuple[int, ...]]:
    """Of what tensors [B, …] are for one example."""
    return [tuple(tensor.shape[1:]) for tensor in tensors]


def packed_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Of what tensors of these shapes are together, packed; of one its own."""
    return shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)


def unpacked(rows: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Of packed rows [B, F] a tensor [B, *shape] for each shape."""
    parts = tf.split(rows, [math.prod(shape) for shape in shapes], -1)
    return [tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, shapes, strict=True)]
