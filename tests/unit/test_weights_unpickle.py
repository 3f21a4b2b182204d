"""The reader of torch pickles: what it reads, and all that it must refuse without running it."""

from __future__ import annotations

import collections
import dataclasses
import io
import os
import pickle
import random
import zipfile

import numpy as np
import pytest

from tests.torch_files import Stored, Tensor, legacy, tensor, torch_names, zipped
from tfedge.errors import ArtifactError
from tfedge.modeling.nets.weights import unpickle


@pytest.fixture(autouse=True)
def torch():
    with torch_names():
        yield


@pytest.fixture(params=["legacy", "zip"])
def saved(request):
    """Either format of torch.save."""
    return {"legacy": legacy, "zip": zipped}[request.param]


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


def test_reads_a_state_dict(saved):
    state = collections.OrderedDict((k, tensor(v)) for k, v in GOOD.items())
    state._metadata = collections.OrderedDict(version=1)
    read = load(saved(state))
    assert list(read) == list(GOOD)
    for name, array in GOOD.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == np.float32 and read[name].flags.c_contiguous


def test_honours_strides_and_offsets(saved):
    plain = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    last = Stored(np.concatenate([[-1, -1], plain.transpose(0, 2, 3, 1).ravel()]))
    read = load(saved({"x": Tensor(last, 2, plain.shape, (60, 1, 15, 3))}))
    np.testing.assert_array_equal(read["x"], plain)


def test_the_strides_of_a_side_of_one_do_not_matter(saved):
    stored = Stored(np.arange(6, dtype=np.float32))
    read = load(saved({"x": Tensor(stored, 0, (2, 3, 1, 1), (3, 1, 999, 999))}))
    np.testing.assert_array_equal(read["x"][:, :, 0, 0], [[0, 1, 2], [3, 4, 5]])


def test_two_tensors_may_share_a_storage(saved):
    stored = Stored(np.arange(4, dtype=np.float32))
    read = load(saved({"x": Tensor(stored, 0, (2,), (1,)), "y": Tensor(stored, 2, (2,), (1,))}))
    assert read["x"].tolist() == [0, 1] and read["y"].tolist() == [2, 3]


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["state", "value", "key", "sizes", "magic", "metadata"])
def test_code_in_a_pickle_is_named_and_does_not_run(tmp_path, where, saved):
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
        "magic": lambda: legacy(state, magic=evil),
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
    if not data.startswith(b"PK"):
        refused(zipped({}, **{"data.pkl": data}), why)


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
def test_a_tensor_that_is_none_is_refused(bad, why, saved):
    refused(saved({"x": bad(Stored(np.arange(4, dtype=np.float32)))}), why)


def test_a_storage_shorter_or_longer_than_it_says_is_refused():
    array = np.arange(4, dtype=np.float32)
    long, short = ({"x": Tensor(Stored(array, n), 0, (3,), (1,))} for n in (2**50, 3))
    refused(legacy(long), "middle of a storage")
    refused(zipped(long), "storage 0 has 16 bytes, 4,503,599,627,370,496 announced")
    refused(zipped(short), "data/0 has more than 12 bytes")


def test_other_formats_are_named(saved):
    refused(legacy({}, magic=1), "no torch file")
    refused(legacy({}, protocol=1002), "protocol")
    refused(saved({}, little=False), "big-endian")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"data.pkl": None}, "without one data.pkl"),
        ({"data/0": None}, "holds no data/0"),
        ({"data.pkl": bytes(2**20 + 1)}, "more than 1,048,576 bytes"),
        ({"byteorder": b"littlest"}, "byteorder has more than 6 bytes"),
    ],
)
def test_a_zip_of_other_members_is_refused(more, why):
    refused(zipped({"x": tensor(np.zeros(3))}, **more), why)


def test_two_folders_or_a_name_twice_in_a_zip_are_refused():
    file = io.BytesIO(zipped({"x": tensor(np.zeros(3))}))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/0", bytes(12))
    refused(file.getvalue(), "names twice")
    file = io.BytesIO(zipped({"x": tensor(np.zeros(3))}))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    refused(file.getvalue(), "without one data.pkl")


def test_a_zip_that_unpacks_to_too_much_is_refused(monkeypatch):
    """No count that the pickle announces is believed."""
    monkeypatch.setattr(unpickle, "WEIGHTS", dataclasses.replace(unpickle.WEIGHTS, free=2**16))
    refused(zipped({"x": tensor(np.zeros(2**23))}, kind=zipfile.ZIP_DEFLATED), "a bomb")


def test_tied_weights_are_one_array(saved):
    tied = tensor(np.arange(4))
    read = load(saved({"x": tied, "y": tied}))
    assert read["x"] is read["y"] and read["x"].tolist() == [0, 1, 2, 3]


def test_a_file_cut_off_anywhere_is_refused(saved):
    whole = saved({k: tensor(v) for k, v in GOOD.items()})
    for length in range(len(whole)):
        with pytest.raises(ArtifactError):
            load(whole[:length])


def test_damaged_files_never_end_in_a_traceback(saved):
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
