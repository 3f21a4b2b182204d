"""The element types of a .tflite and the values of its constants."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.schema_py_generated import TensorType

# Type code of the schema -> its name: FLOAT32 = 0 is "float32".
NAMES: dict[int, str] = {
    code: name.lower() for name, code in vars(TensorType).items() if name.isupper()
}
FLOATS = frozenset(name for name in NAMES.values() if "float" in name or "complex" in name)

_PACKED_BITS = {"int4": 4, "uint4": 4, "int2": 2}  # several values a byte, lowest bits first
# Stored in a type of the same width; zero is zero in either, once the sign bit is gone.
_CARRIER = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
_OPAQUE = frozenset({"string", "resource", "variant"})


def storage_bits(dtype: str) -> int | None:
    """Bits of one element in the file; None for strings and handles, which have no fixed size."""
    if dtype in _OPAQUE:
        return None
    return _PACKED_BITS.get(dtype) or 8 * np.dtype(_CARRIER.get(dtype, dtype)).itemsize


def limits(dtype: str) -> tuple[int, int]:
    """The lowest and the highest whole number that a zero point of such a tensor can be."""
    name = dtype if dtype.startswith(("int", "uint")) else "int32"  # of floats it means nothing
    bits = int(name.lstrip("uint"))
    return (0, 2**bits - 1) if name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def decode(raw: np.ndarray, dtype: str, count: int) -> np.ndarray:
    """The ``count`` stored values of a constant, flat.

    ``raw`` is the tensor's uint8 buffer. Packed integers come out as int8 or uint8; bfloat16 and
    float8, which numpy does not know, as their bit pattern without the sign.
    """
    bits = _PACKED_BITS.get(dtype)
    if bits is None:
        values = np.frombuffer(raw, np.dtype(_CARRIER.get(dtype, dtype)).newbyteorder("<"))[:count]
        if dtype in _CARRIER:
            return values & (np.iinfo(values.dtype).max >> 1)
        return values
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = ((raw[:, None] >> shifts) & (2**bits - 1)).reshape(-1)[:count]
    if dtype.startswith("u"):
        return values
    return (values.astype(np.int8) ^ (1 << (bits - 1))) - np.int8(1 << (bits - 1))
