"""Reading the tensors of a legacy torch pickle without torch, and without running its code.

A pickle is a program. This runs the few instructions that a dictionary of tensors needs on a
machine of its own: it knows two constructors (OrderedDict and torch's tensor), both replaced by
ours, and refuses any other global and any other instruction by name. Nothing is imported, called
or unpickled by Python's own ``pickle``.

The format (``torch.save`` before 1.6): pickles one after the other (magic number, protocol, facts
of the machine, the object, the keys of the storages), then each storage: its number of elements as
int64, and the elements, little-endian.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.errors import ArtifactError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001

_STORAGES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "<b1",
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_ALLOWED = {_DICT, _TENSOR, _PARAMETER, *_STORAGES}
_MAX_STEPS = 1_000_000  # the largest net known takes some 30,000


class _Refused(ValueError):
    """Why the file is not read."""


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass
class _Storage:
    dtype: np.dtype
    count: int
    data: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def array(self) -> np.ndarray:
        """A copy in C order; the strides (channels-last files have them) are honoured."""
        data = self.storage.data
        last = self.offset + sum(
            (n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if n > 1
        )
        if self.size and last >= data.size:
            raise _Refused("a tensor reaches beyond its storage")
        steps = tuple(s * data.itemsize for s in self.strides)
        view = np.lib.stride_tricks.as_strided(
            data[self.offset :], self.shape, steps, writeable=False
        )
        return np.array(view, order="C")


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """One pickle after the other, with the storages they share."""

    def __init__(self) -> None:
        self.storages: dict[str, _Storage] = {}
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        """The value of the pickle that begins here; the stream is left behind its end."""
        self.stack, self.memo = [], {}
        for step, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if step > _MAX_STEPS:
                raise _Refused("the pickle is longer than any net's")
            if opcode.name == "STOP":
                break
            self._step(opcode.name, argument)
        return self.stack.pop()

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "PROTO":
            return
        if name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            _expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark()
            self._set_items(items)
        elif name == "GLOBAL":
            if argument not in _ALLOWED:
                raise _Refused(f"it asks for {argument.replace(' ', '.')}, which is not a tensor")
            stack.append(_Global(argument))
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif name == "REDUCE":
            arguments = _expect(stack.pop(), tuple)
            stack.append(_construct(_expect(stack.pop(), _Global).name, arguments))
        elif name == "BUILD":  # the `_metadata` attribute of a state dict: not needed
            stack.pop()
            _expect(stack[-1], dict)
        else:
            raise _Refused(f"the pickle instruction {name} is not one of a tensor file")

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise _Refused("a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def _set_items(self, items: list[Any]) -> None:
        target = _expect(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_expect(key, str)] = value

    def _storage(self, persistent: Any) -> _Storage:
        kind, cls, key, _device, count, *_view = _expect(persistent, tuple)
        dtype = _STORAGES.get(_expect(cls, _Global).name)
        if kind != "storage" or dtype is None or _expect(count, int) < 0:
            raise _Refused("a storage is not described as one")
        return self.storages.setdefault(_expect(key, str), _Storage(np.dtype(dtype), count))


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _Refused(f"a {kind.__name__.strip('_')} was due, not a {type(value).__name__}")
    return value


def _construct(name: str, arguments: tuple) -> Any:
    if name == _DICT and not arguments:
        return {}
    if name == _PARAMETER:
        return _expect(arguments[0], _Tensor)
    if name == _TENSOR:
        storage, offset, shape, strides = arguments[:4]
        numbers = (offset, *_expect(shape, tuple), *_expect(strides, tuple))
        if (
            len(shape) != len(strides)
            or len(shape) > 8
            or any(_expect(n, int) < 0 for n in numbers)
        ):
            raise _Refused("a tensor's shape and strides do not fit together")
        return _Tensor(_expect(storage, _Storage), offset, shape, strides)
    raise _Refused(f"it calls {name.replace(' ', '.')}, which makes no tensor")


def _read_storages(stream: io.BytesIO, machine: _Machine, keys: list[Any]) -> None:
    for key in keys:
        storage = machine.storages[_expect(key, str)]
        count = int.from_bytes(stream.read(8), "little", signed=True)
        if count != storage.count:
            raise _Refused(f"storage {key} has {count} elements, {storage.count} announced")
        raw = stream.read(count * storage.dtype.itemsize)
        storage.data = np.frombuffer(raw, storage.dtype)
        if storage.data.size != count:
            raise _Refused("the file ends in the middle of a storage")
    if unread := machine.storages.keys() - set(keys):
        raise _Refused(f"storages without data: {', '.join(sorted(unread)[:3])}")


def _load(data: bytes) -> dict[str, np.ndarray]:
    stream, machine = io.BytesIO(data), _Machine()
    if machine.run(stream) != MAGIC:
        raise _Refused("it is no torch file of the legacy format")
    if machine.run(stream) != PROTOCOL:
        raise _Refused("its protocol is not 1001")
    if _expect(machine.run(stream), dict).get("little_endian") is not True:
        raise _Refused("it was written on a big-endian machine")
    tensors = _expect(machine.run(stream), dict)
    _read_storages(stream, machine, _expect(machine.run(stream), list))
    # Strides of 0 and shared storages would let a small file fill the memory.
    stored = sum(storage.count for storage in machine.storages.values())
    if sum(_expect(tensor, _Tensor).size for tensor in tensors.values()) > stored:
        raise _Refused("its tensors have more elements than the file")
    return {name: tensor.array() for name, tensor in tensors.items()}


def load(data: bytes, path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a legacy torch file by name, each a fresh array in C order.

    ``path`` is what error messages call the file. Raises ArtifactError for anything that is not a
    plain dictionary of tensors: another format, code in the pickle, a truncated file, a tensor
    that reaches beyond its storage.
    """
    try:
        return _load(data)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
        why = error if isinstance(error, _Refused) else f"it is damaged ({error})"
        raise ArtifactError(
            path,
            f"refused, and no code of it was run: {why}",
            "use weights from a source you trust, saved as .h5, .keras or .npz",
        ) from error
