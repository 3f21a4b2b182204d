"""Files as torch.save writes them, without torch: what it pickles stands in here by name."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tfedge.modeling.nets.weights import unpickle

NAMES = (
    "torch.FloatStorage",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
)


class Stored:
    """What stands for a torch storage while a test file is written."""

    def __init__(self, array, count=None):
        self.array = array
        self.count = array.size if count is None else count


class Tensor:
    def __init__(self, stored, offset, shape, strides):
        self.arguments = (stored, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


def tensor(array):
    array = np.ascontiguousarray(array, np.float32)
    strides = tuple(s // array.itemsize for s in array.strides)
    return Tensor(Stored(array.ravel()), 0, array.shape, strides)


@contextmanager
def torch_names() -> Iterator[None]:
    """Names that pickle can write as torch's; there is no torch here."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("torch", "torch._utils"):
            patch.setitem(sys.modules, module, types.ModuleType(module))
        for name in NAMES:
            module, _, last = name.rpartition(".")
            setattr(sys.modules[module], last, type(last, (), {"__module__": module}))
        yield


def pickler(stored: dict[str, Stored]):
    """Pickle as torch does; the storages come into ``stored``."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, Stored):
                return None
            key = next((k for k, v in stored.items() if v is thing), str(len(stored)))
            stored[key] = thing
            # The last element went with the legacy format.
            return ("storage", sys.modules["torch"].FloatStorage, key, "cpu", thing.count, None)

    return Pickler


def zipped(state, *, little=True, folder="archive", kind=zipfile.ZIP_STORED, **more):
    """A file as torch.save writes it since 1.6."""
    stored: dict[str, Stored] = {}
    pickled, file = io.BytesIO(), io.BytesIO()
    pickler(stored)(pickled, 2).dump(state)
    members = {"data.pkl": pickled.getvalue(), "byteorder": b"little" if little else b"big"}
    members |= {f"data/{key}": one.array.astype("<f4").tobytes() for key, one in stored.items()}
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in {**members, "version": b"3\n", **more}.items():
            if content is not None:
                archive.writestr(f"{folder}/{name}", content)
    return file.getvalue()


def legacy(state, *, magic=unpickle.MAGIC, protocol=unpickle.PROTOCOL, little=True):
    """A file as torch.save wrote it before 1.6."""
    stored: dict[str, Stored] = {}
    file = io.BytesIO()
    for value in (magic, protocol, {"little_endian": little, "type_sizes": {"int": 4}}):
        pickle.dump(value, file, 2)
    pickler(stored)(file, 2).dump(state)
    pickle.dump(list(stored), file, 2)
    for thing in stored.values():
        file.write(struct.pack("<q", thing.count) + thing.array.astype("<f4").tobytes())
    return file.getvalue()
