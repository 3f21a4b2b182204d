"""The reader of torch pickles: what it reads, and all that it must refuse without running it."""

from __future__ import annotations

import collections
import io
import os
import pickle
import random
import struct
import sys
import types

import numpy as np
import pytest

from tfedge.errors import ArtifactError
from tfedge.modeling.nets.weights import unpickle


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


@pytest.fixture(autouse=True)
def torch(monkeypatch):
    """Names that pickle can write as torch's; there is no torch here."""

    def fake(module, name):
        thing = type(name, (), {"__module__": module})
        monkeypatch.setitem(sys.modules, module, sys.modules.get(module, types.ModuleType(module)))
        monkeypatch.setattr(sys.modules[module], name, thing, raising=False)
        return thing

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    fake("torch", "FloatStorage")
    fake("torch._utils", "_rebuild_tensor_v2")
    fake("torch._utils", "_rebuild_parameter")


def saved(state, *, magic=unpickle.MAGIC, protocol=unpickle.PROTOCOL, little=True):
    """A file as torch.save wrote it before 1.6."""
    stored: dict[str, Stored] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, Stored):
                return None
            key = next((k for k, v in stored.items() if v is thing), str(len(stored)))
            stored[key] = thing
            return ("storage", sys.modules["torch"].FloatStorage, key, "cpu", thing.count, None)

    file = io.BytesIO()
    for value in (magic, protocol, {"little_endian": little, "type_sizes": {"int": 4}}):
        pickle.dump(value, file, 2)
    Pickler(file, 2).dump(state)
    pickle.dump(list(stored), file, 2)
    for thing in stored.values():
        file.write(struct.pack("<q", thing.count) + thing.array.astype("<f4").tobytes())
    return file.getvalue()


def load(data):
    return unpickle.load(data, "weights.pt")


def refused(data, match):
    with pytest.raises(ArtifactError, match=match) as caught:
        load(data)
    assert "no code of it was run" in caught.value.message
    assert caught.value.hint


GOOD = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "a.bias": np.arange(3, dtype=np.float32),
    "steps": np.float32(7).reshape(()),
}


def test_reads_a_state_dict():
    state = collections.OrderedDict((k, tensor(v)) for k, v in GOOD.items())
    state._metadata = collections.OrderedDict(version=1)
    read = load(saved(state))
    assert list(read) == list(GOOD)
    for name, array in GOOD.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == np.float32 and read[name].flags.c_contiguous


def test_honours_strides_and_offsets():
    plain = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    last = Stored(np.concatenate([[-1, -1], plain.transpose(0, 2, 3, 1).ravel()]))
    read = load(saved({"x": Tensor(last, 2, plain.shape, (60, 1, 15, 3))}))
    np.testing.assert_array_equal(read["x"], plain)


def test_the_strides_of_a_side_of_one_do_not_matter():
    stored = Stored(np.arange(6, dtype=np.float32))
    read = load(saved({"x": Tensor(stored, 0, (2, 3, 1, 1), (3, 1, 999, 999))}))
    np.testing.assert_array_equal(read["x"][:, :, 0, 0], [[0, 1, 2], [3, 4, 5]])


def test_two_tensors_may_share_a_storage():
    stored = Stored(np.arange(4, dtype=np.float32))
    read = load(saved({"x": Tensor(stored, 0, (2,), (1,)), "y": Tensor(stored, 2, (2,), (1,))}))
    assert read["x"].tolist() == [0, 1] and read["y"].tolist() == [2, 3]


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["state", "value", "key", "sizes", "magic", "metadata"])
def test_code_in_a_pickle_is_named_and_does_not_run(tmp_path, where):
    trace = tmp_path / "ran"
    evil = Evil(os.system, f"touch {trace}")
    state = collections.OrderedDict(x=tensor(np.zeros(3)))
    if where == "metadata":
        state._metadata = evil
    data = {
        "state": lambda: saved(evil),
        "value": lambda: saved({"x": evil}),
        "key": lambda: saved({evil: 1}),
        "sizes": lambda: saved({"x": Tensor(Stored(np.zeros(3)), 0, evil, (1,))}),
        "magic": lambda: saved(state, magic=evil),
        "metadata": lambda: saved(state),
    }[where]()
    refused(data, r"asks for (posix|nt)\.system")
    assert not trace.exists()
    if where == "state":  # the file does what it says when it is really unpickled
        pickle.loads(pickle.dumps(evil, 2))
        assert trace.exists()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "STACK_GLOBAL"),
        (b"(S'true'\nios\nsystem\n.", "instruction"),
        (b"\x80\x02cbuiltins\neval\nU\x011\x85R.", "builtins.eval"),
        (b"\x80\x02ccollections\nOrderedDict\n)\x81.", "NEWOBJ"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.", "dict"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
        (b"\x80\x02ccollections\nOrderedDict\n]\x85R.", "calls collections.OrderedDict"),
        (b"\x82\x01.", "EXT1"),
        (b"not a pickle at all", "."),
        (b"", "."),
        (b"\x80\x02.", "."),
        (b"\x80\x02h\x07.", "."),
        (b"\x80\x02K\x01e.", "."),
        (b"PK\x03\x04rest of a zip", "."),
    ],
)
def test_other_instructions_and_files_are_refused(data, why):
    refused(data, why)


def test_a_memo_index_of_two_billion_takes_no_memory():
    refused(b"\x80\x02]r\xff\xff\xff\x7f.", "no torch file")


def test_nested_tuples_are_no_dictionary_keys():
    doubled = b"K\x01" + b"q\x00h\x00\x86" * 200  # hashing it would take 2 to the 200 steps
    refused(b"\x80\x02}" + doubled + b"K\x01s.", "str was due, not a tuple")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (lambda s: Tensor(s, 0, (5,), (1,)), "more elements"),
        (lambda s: Tensor(s, 1, (4,), (1,)), "beyond its storage"),
        (lambda s: Tensor(s, 0, (2, 2), (3, 1)), "beyond its storage"),
        (lambda s: Tensor(s, 2**70, (1,), (1,)), "beyond its storage"),
        (lambda s: Tensor(s, 0, (2**40,), (0,)), "more elements"),
        (lambda s: Tensor(s, -1, (4,), (1,)), "shape and strides"),
        (lambda s: Tensor(s, 0, (-4,), (1,)), "shape and strides"),
        (lambda s: Tensor(s, 0, (4,), (-1,)), "shape and strides"),
        (lambda s: Tensor(s, 0, (4,), (1, 1)), "shape and strides"),
        (lambda s: Tensor(s, 0, (1,) * 9, (1,) * 9), "shape and strides"),
        (lambda s: Tensor(s, 0, ("4",), (1,)), "int was due, not a str"),
        (lambda s: Tensor("s", 0, (4,), (1,)), "Storage was due, not a str"),
        (lambda s: [s], "Tensor was due, not a list"),
    ],
)
def test_a_tensor_that_is_none_is_refused(bad, why):
    refused(saved({"x": bad(Stored(np.arange(4, dtype=np.float32)))}), why)


def test_a_storage_shorter_or_longer_than_it_says_is_refused():
    stored = Stored(np.arange(4, dtype=np.float32), count=2**50)
    refused(saved({"x": Tensor(stored, 0, (4,), (1,))}), "middle of a storage")


def test_other_formats_are_named():
    refused(saved({}, magic=1), "no torch file")
    refused(saved({}, protocol=1002), "protocol")
    refused(saved({}, little=False), "big-endian")


def test_a_file_cut_off_anywhere_is_refused():
    whole = saved({k: tensor(v) for k, v in GOOD.items()})
    for length in range(len(whole)):
        with pytest.raises(ArtifactError):
            load(whole[:length])


def test_damaged_files_never_end_in_a_traceback():
    whole = bytearray(saved({k: tensor(v) for k, v in GOOD.items()}))
    rng = random.Random(1)
    refusals = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            load(bytes(damaged))
        except ArtifactError:
            refusals += 1
    assert refusals > 1500
