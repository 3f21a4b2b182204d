"""Reading the tensors of a torch file without torch, and without running its code.

A pickle is a program. Python's own unpickler runs it here with the few instructions that a
dictionary of tensors needs, and with constructors of ours (OrderedDict, torch's tensor and its
storages): any other instruction and any other global is refused by name before it does anything.
It is the unpickler written in Python, since the one in C sets aside memory for whatever index a
file names.

The legacy format (``torch.save`` before 1.6): pickles one after the other (magic number, protocol,
facts of the machine, the object, the keys of the storages), then each storage: its number of
elements as int64, and the elements, little-endian.

The format since: a zip with one folder, in it ``data.pkl``, a storage's elements in ``data/KEY``,
and in later versions ``byteorder``.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tfedge.errors import ArtifactError
from tfedge.files import zips
from tfedge.files.budget import WEIGHTS

Arrays = dict[str, np.ndarray]

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_ZIP = b"PK\x03\x04"
_PICKLE, _ORDER, _LITTLE = "data.pkl", "byteorder", b"little"

_STORAGES = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "<i1",
    "torch.ByteStorage": "<u1",
    "torch.BoolStorage": "<b1",
}
_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_GLOBALS = {_DICT, _TENSOR, _PARAMETER, *_STORAGES}
_ALLOWED = (
    *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2"),
    *("LONG1", "BINUNICODE", "SHORT_BINUNICODE", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE"),
    *("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT"),
    *("BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BINPERSID"),
)
_MAX_BYTES = 1 << 20  # of one pickle; the largest net known has some 60 kB
# What the unpickler raises when a pickle is damaged.
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, struct.error, AttributeError, LookupError),
    *(ValueError, TypeError, OverflowError, MemoryError),
)


class _Refused(ValueError):
    """Why the file is not read."""


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _Refused(f"a {kind.__name__.strip('_')} was due, not a {type(value).__name__}")
    return value


class _Dict(dict):
    """A dictionary that never hashes anything but strings."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_expect(key, str), value)


@dataclass
class _Storage:
    dtype: np.dtype
    count: int
    data: bytes = b""


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """A copy in C order; the strides (channels-last files have them) are honoured."""
        dtype = self.storage.dtype
        start, *steps = (n * dtype.itemsize for n in (self.offset, *self.strides))
        try:
            return np.ndarray(self.shape, dtype, self.storage.data, start, steps).copy(order="C")
        except (ValueError, TypeError, OverflowError) as error:
            raise _Refused("a tensor reaches beyond its storage") from error


@dataclass(frozen=True)
class _Global:
    """What stands for a class or function of torch's in the pickle."""

    name: str

    def __call__(self, *arguments: Any) -> _Dict | _Tensor:
        if self.name == _DICT and not arguments:
            return _Dict()
        if self.name == _PARAMETER:
            return _expect(arguments[0], _Tensor)
        if self.name == _TENSOR:
            return _tensor(*arguments[:4])
        raise _Refused(f"it calls {self.name}, which makes no tensor")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    numbers = (offset, *_expect(shape, tuple), *_expect(strides, tuple))
    fits = len(shape) == len(strides) <= 8
    if not fits or any(_expect(n, int) < 0 for n in numbers):
        raise _Refused("a tensor's shape and strides do not fit together")
    return _Tensor(_expect(storage, _Storage), offset, shape, strides)


def _refusal(name: str) -> Callable[[Any], None]:
    def refuse(_: Any) -> None:
        raise _Refused(f"the pickle instruction {name} is not one of a tensor file")

    return refuse


_python: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Unpickler(_python):
    """One pickle; ``storages`` are those it names, by key."""

    dispatch: ClassVar = {
        ord(op.code): _python.dispatch[ord(op.code)] if op.name in _ALLOWED else _refusal(op.name)
        for op in pickletools.opcodes
    }

    def __init__(self, file: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> _Global:
        if f"{module}.{name}" not in _GLOBALS:
            raise _Refused(f"it asks for {module}.{name}, which is not a tensor")
        return _Global(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, cls, key, _device, count, *_view = _expect(pid, tuple)
        dtype = _STORAGES.get(_expect(cls, _Global).name)
        if kind != "storage" or dtype is None or _expect(count, int) < 0:
            raise _Refused("a storage is not described as one")
        return self._storages.setdefault(_expect(key, str), _Storage(np.dtype(dtype), count))

    def _empty_dict(self) -> None:
        self.append(_Dict())

    def _build(self) -> None:  # the `_metadata` attribute of a state dict: not needed
        self.stack.pop()
        _expect(self.stack[-1], dict)

    dispatch[ord(pickle.EMPTY_DICT)] = _empty_dict
    dispatch[ord(pickle.BUILD)] = _build


def _read_storages(stream: io.BytesIO, storages: dict[str, _Storage], keys: list[Any]) -> None:
    for key in keys:
        storage = storages[_expect(key, str)]
        count = int.from_bytes(stream.read(8), "little", signed=True)
        if count != storage.count:
            raise _Refused(f"storage {key} has {count} elements, {storage.count} announced")
        storage.data = stream.read(count * storage.dtype.itemsize)
        if len(storage.data) != count * storage.dtype.itemsize:
            raise _Refused("the file ends in the middle of a storage")
    if unread := storages.keys() - set(keys):
        raise _Refused(f"storages without data: {', '.join(sorted(unread)[:3])}")


def _legacy(data: bytes) -> tuple[dict[str, _Tensor], dict[str, _Storage]]:
    stream, storages = io.BytesIO(data), dict[str, _Storage]()

    def unpickled() -> Any:
        begin = stream.tell()
        pickled = io.BytesIO(stream.read(_MAX_BYTES))
        value = _Unpickler(pickled, storages).load()
        stream.seek(begin + pickled.tell())
        return value

    if unpickled() != MAGIC:
        raise _Refused("it is no torch file of the legacy format")
    if unpickled() != PROTOCOL:
        raise _Refused("its protocol is not 1001")
    if _expect(unpickled(), dict).get("little_endian") is not True:
        raise _Refused("it was written on a big-endian machine")
    tensors = _expect(unpickled(), dict)
    _read_storages(stream, storages, _expect(unpickled(), list))
    return tensors, storages


def _zipped(data: bytes, called: str) -> tuple[dict[str, _Tensor], dict[str, _Storage]]:
    """ArtifactError for a zip that can't be read as one."""
    with zips.opened(data, WEIGHTS.budget(called, len(data))) as archive:
        infos = list(archive.infos())
        members = {info.filename: info for info in infos}
        pickles = [name for name in members if name.split("/")[1:] == [_PICKLE]]
        if len(pickles) != 1 or len(members) != len(infos):
            raise _Refused(f"it is no torch file: a zip without one {_PICKLE}, or with names twice")
        folder = pickles[0].removesuffix(_PICKLE)

        def read(name: str, most: int) -> bytes:
            if (member := members.get(folder + name)) is None:
                raise _Refused(f"it holds no {name}")
            found = bytearray()
            for piece in archive.pieces(member):
                found += piece
                if len(found) > most:
                    raise _Refused(f"{name} has more than {most:,} bytes")
            return bytes(found)

        order = folder + _ORDER
        if order in members and read(_ORDER, len(_LITTLE)) != _LITTLE:
            raise _Refused("it was written on a big-endian machine")
        storages: dict[str, _Storage] = {}
        pickled = io.BytesIO(read(_PICKLE, _MAX_BYTES))
        tensors = _expect(_Unpickler(pickled, storages).load(), dict)
        for key, storage in storages.items():
            size = storage.count * storage.dtype.itemsize
            storage.data = read(f"data/{key}", size)
            if len(storage.data) != size:
                raise _Refused(f"storage {key} has {len(storage.data):,} bytes, {size:,} announced")
    return tensors, storages


def _arrays(
    tensors: Mapping[str, _Tensor], storages: Mapping[str, _Storage]
) -> dict[str, np.ndarray]:
    """Tied weights are one tensor under several names: they share an array."""
    views = {
        name: (id(_expect(tensor, _Tensor).storage), tensor.offset, tensor.shape, tensor.strides)
        for name, tensor in tensors.items()
    }
    once = {views[name]: tensor for name, tensor in tensors.items()}
    # Strides of 0 and overlapping tensors would let a small file fill the memory.
    stored = sum(storage.count for storage in storages.values())
    if sum(math.prod(tensor.shape) for tensor in once.values()) > stored:
        raise _Refused("its tensors have more elements than the file")
    arrays = {view: tensor.array() for view, tensor in once.items()}
    return {name: arrays[view] for name, view in views.items()}


def load(data: bytes, path: str | Path, saved_as: str = ".h5, .keras or .npz") -> Arrays:
    """The tensors of a torch file by name, in C order; tied ones are the same array.

    ``path`` is what error messages call the file, ``saved_as`` what they offer instead. Raises
    ArtifactError for anything that is not a plain dictionary of tensors: another format, code in
    the pickle, a truncated file, a tensor that reaches beyond its storage.
    """
    try:
        found = _zipped(data, str(path)) if data.startswith(_ZIP) else _legacy(data)
        return _arrays(*found)
    except (*_DAMAGE, ArtifactError) as error:
        why = f"it is damaged ({error})"
        if isinstance(error, ArtifactError | _Refused):
            why = str(error).removeprefix(f"{path}: ")
        raise ArtifactError(
            path,
            f"refused, and no code of it was run: {why}",
            f"use weights from a source you trust, saved as {saved_as}",
        ) from error
