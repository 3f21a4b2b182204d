"""The options of an op (strides, padding, axes …) as plain values, whatever the kind of op."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

Value = int | float | bool | tuple[int, ...]

# Values of ``fused_activation_function`` and ``padding``.
ACTIVATIONS: dict[int, str] = {
    code: name for name, code in vars(schema.ActivationFunctionType).items() if name.isupper()
}
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """What SAME pads before and after a side of ``size``."""
    most = max(0, (-(-size // stride) - 1) * stride + window - size)
    return most // 2, most - most // 2


_MAX_VECTOR = 1024  # entries of one vector among the options; a new shape has at most a few
_KINDS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOptions).items() if not name.startswith("_")
}
_KINDS_2: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOptions2).items() if not name.startswith("_")
}
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # dilationWFactor: three


def tables(op: Any) -> list[str]:
    """The schema's names of the tables of options that a schema ``Operator`` carries."""
    found = [
        kinds.get(code, f"options of the unknown type {code}")
        for kinds, code in (
            (_KINDS, op.BuiltinOptionsType()),
            (_KINDS_2, op.BuiltinOptions2Type()),
        )
    ]
    return [name for name in found if name != "NONE"]


def read(op: Any) -> Mapping[str, Value]:
    """The builtin options of a schema ``Operator``; names as in the schema (``stride_w``).

    Empty for an op without options; a vector that the file lacks is left out. What the flatbuffer
    accessors raise on a broken file goes through; a ValueError says that a vector has more entries
    than any real one.
    """
    found: dict[str, Value] = {}
    for kinds, code, table in (
        (_KINDS, op.BuiltinOptionsType(), op.BuiltinOptions()),
        (_KINDS_2, op.BuiltinOptions2Type(), op.BuiltinOptions2()),
    ):
        name = kinds.get(code, "NONE")
        if name != "NONE" and table is not None:
            found |= _values(getattr(schema, f"{name}T").InitFromBuf(table.Bytes, table.Pos))
    return found


def _values(table: Any) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for field, value in vars(table).items():
        if isinstance(value, np.ndarray) and len(value) > _MAX_VECTOR:
            raise ValueError(f"{field} has {len(value)} entries")
        plain = tuple(value.tolist()) if isinstance(value, np.ndarray) else value
        if isinstance(plain, (int, float, tuple)):
            found[_WORDS.sub("_", field).lower()] = plain
    return found
