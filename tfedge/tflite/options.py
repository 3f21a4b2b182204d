"""The options of an op (strides, padding, axes …) as plain values, whatever the kind of op."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from ai_edge_litert import schema_py_generated as schema

Value = int | float | bool | tuple[int, ...]

# Values of ``fused_activation_function`` and ``padding``.
ACTIVATIONS: dict[int, str] = {
    code: name for name, code in vars(schema.ActivationFunctionType).items() if name.isupper()
}
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID

_MAX_VECTOR = 1024  # entries of one vector among the options; a new shape has at most a few
_KINDS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOptions).items() if not name.startswith("_")
}


def read(op: Any) -> Mapping[str, Value]:
    """The builtin options of a schema ``Operator``; names as in the schema (``stride_w``).

    Empty for an op without options. What the flatbuffer accessors raise on a broken file goes
    through; a ValueError says that a vector has more entries than any real one.
    """
    name = _KINDS.get(op.BuiltinOptionsType(), "NONE")
    table = op.BuiltinOptions()
    if name == "NONE" or table is None:
        return {}
    plain, vectors = _fields(name)
    options = getattr(schema, name)()
    options.Init(table.Bytes, table.Pos)
    found: dict[str, Value] = {field: getattr(options, get)() for field, get in plain}
    for field, get in vectors:
        if getattr(options, f"{get}Length")() > _MAX_VECTOR:
            raise ValueError(f"{field} has {getattr(options, f'{get}Length')()} entries")
        values = getattr(options, f"{get}AsNumpy")()
        found[field] = () if isinstance(values, int) else tuple(values.tolist())
    return {
        field: value for field, value in found.items() if isinstance(value, (int, float, tuple))
    }


@cache
def _fields(kind: str) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """(name in the schema, accessor) of the single values and of the vectors of a kind."""
    names = [name for name in vars(getattr(schema, kind)) if name[0].isupper()]
    vectors = [name.removesuffix("AsNumpy") for name in names if name.endswith("AsNumpy")]
    extras = {f"{name}{end}" for name in names for end in ("Length", "AsNumpy", "IsNone")}
    plain = [
        name
        for name in names
        if name not in extras
        and name not in vectors
        and f"{name}Length" not in names  # a vector of tables or strings: none is needed here
        and not name.startswith(("GetRootAs", "Init"))
        and not name.endswith("BufferHasIdentifier")
    ]
    return _pairs(plain), _pairs(vectors)


def _pairs(names: list[str]) -> tuple[tuple[str, str], ...]:
    words = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"  # DilationWFactor: three words
    return tuple((re.sub(words, "_", name).lower(), name) for name in names)
