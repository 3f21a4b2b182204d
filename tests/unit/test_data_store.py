from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tfedge.errors import ArtifactError
from tfedge.files import store as module
from tfedge.files.store import MissingRecords, RecordStore, shared

SHAPE = (3, 5)


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def record(number: int) -> np.ndarray:
    return np.random.default_rng(number).standard_normal(SHAPE).astype(np.float32)


def opened(folder: Path) -> RecordStore:
    return RecordStore(folder, np.float32, SHAPE)


def filled(folder: Path, numbers: range) -> RecordStore:
    store = opened(folder)
    store.put([key(n) for n in numbers], np.stack([record(n) for n in numbers]))
    return store


def check(store: RecordStore, numbers: range) -> None:
    got = store.get([key(n) for n in numbers])
    np.testing.assert_array_equal(got, np.stack([record(n) for n in numbers]))


def test_what_was_put_is_found_again_in_any_order(tmp_path: Path) -> None:
    filled(tmp_path, range(4))
    store = opened(tmp_path)
    np.testing.assert_array_equal(store.get([key(3), key(1)])[0], record(3))
    rows = store.rows([key(2), key(0), key(2)])
    np.testing.assert_array_equal(store.memmap[rows][2], record(2))
    assert key(1) in store and key(9) not in store
    assert store.missing([key(9), key(1), key(8), key(9)]) == [key(9), key(8)]
    assert store.get([]).shape == (0, *SHAPE)
    assert isinstance(store.memmap, np.memmap) and not store.memmap.flags.writeable


def test_empty_store(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.memmap.shape == (0, *SHAPE) and len(store) == 0
    with pytest.raises(MissingRecords) as caught:
        store.get([key(0)])
    assert caught.value.keys == [key(0)]


def test_a_second_put_of_a_key_adds_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path, range(3))
    store.put([key(1), key(7), key(7)], np.stack([record(5), record(7), record(8)]))
    assert len(store) == 4 and len(store.memmap) == 4
    np.testing.assert_array_equal(store.get([key(1), key(7)]), [record(1), record(7)])


@pytest.mark.parametrize("cut", range(1, 61, 7))
@pytest.mark.parametrize("name", ["data.bin", "keys.bin"])
def test_a_torn_tail_is_not_seen_and_then_cut_off(tmp_path: Path, name: str, cut: int) -> None:
    filled(tmp_path, range(3))
    torn = tmp_path / name
    os.truncate(torn, torn.stat().st_size - cut)
    store = opened(tmp_path)
    lost = [n for n in range(3) if key(n) not in store]
    assert lost == ([2] if cut <= (36 if name == "keys.bin" else 60) else [1, 2])
    check(store, range(min(lost)))
    store.put([key(n) for n in (*lost, 3)], np.stack([record(n) for n in (*lost, 3)]))
    check(opened(tmp_path), range(4))


def test_garbage_behind_the_last_record_is_cut_off(tmp_path: Path) -> None:
    filled(tmp_path, range(2))
    with (tmp_path / "data.bin").open("ab") as file:
        file.write(b"x" * 100)  # more than a record, without a key
    store = opened(tmp_path)
    assert len(store) == 2
    store.put([key(2)], record(2)[None])
    check(opened(tmp_path), range(3))


def test_a_bad_record_counts_as_missing_until_it_is_put_again(tmp_path: Path) -> None:
    filled(tmp_path, range(3))
    with (tmp_path / "data.bin").open("r+b") as file:
        file.seek(60 + 11)
        byte = file.read(1)
        file.seek(60 + 11)
        file.write(bytes([byte[0] ^ 1]))
    store = opened(tmp_path)
    for read in (store.get, store.rows):
        with pytest.raises(MissingRecords) as caught:
            read([key(0), key(1), key(2)])
        assert caught.value.keys == [key(1)]
    assert store.missing([key(0), key(1)]) == [key(1)]
    store.put([key(1)], record(1)[None])
    check(store, range(3))
    check(opened(tmp_path), range(3))


def test_two_stores_on_one_folder_see_each_other(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    one.put([key(0)], record(0)[None])
    other.put([key(0), key(1)], np.stack([record(9), record(1)]))
    check(one, range(2))
    assert len(one.memmap) == 2
    check(other, range(2))


def test_threads_that_put_and_get_at_once(tmp_path: Path) -> None:
    store = opened(tmp_path)

    def work(start: int) -> None:
        for n in range(start, start + 20):
            store.put([key(n)], record(n)[None])
            np.testing.assert_array_equal(store.get([key(n)])[0], record(n))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(0, 40, 10)))  # raises what a thread raised
    check(opened(tmp_path), range(50))
    assert len(store.memmap) == 50


WRITER = """
import sys; from pathlib import Path; import numpy as np
sys.path.insert(0, sys.argv[3])
from test_data_store import key, record, opened
store, start = opened(Path(sys.argv[1])), int(sys.argv[2])
for n in range(start, start + 5000, 5):
    store.put([key(i) for i in range(n, n + 5)], np.stack([record(i) for i in range(n, n + 5)]))
    print(n, flush=True)
"""


def writer(folder: Path, start: int) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", WRITER, str(folder), str(start), here]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_two_processes_killed_while_they_write_leave_only_good_records(tmp_path: Path) -> None:
    running = [writer(tmp_path, 0), writer(tmp_path, 100)]
    last = 0
    for process in running:
        assert process.stdout
        for _ in range(15):
            last = max(last, int(process.stdout.readline()))
    for process in running:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    store = opened(tmp_path)
    assert len(store) >= 75
    there = [n for n in range(6000) if key(n) in store]
    np.testing.assert_array_equal(
        store.get([key(n) for n in there]), np.stack([record(n) for n in there])
    )
    store.put([key(9999)], record(9999)[None])
    assert (tmp_path / "keys.bin").stat().st_size == 36 * (len(there) + 1)
    assert (tmp_path / "data.bin").stat().st_size == 60 * (len(there) + 1)


@pytest.mark.parametrize("full", ["data.bin", "keys.bin"])
def test_a_full_disk_says_what_to_do_and_tears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    store = filled(tmp_path, range(3))
    real = module._write_end

    def no_space(path: Path, content: bytes) -> None:
        if path.name == full:
            real(path, bytes(content)[:50])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(module, "_write_end", no_space)
    with pytest.raises(ArtifactError) as caught:
        store.put([key(n) for n in range(3, 7)], np.stack([record(n) for n in range(3, 7)]))
    assert caught.value.exit_code == 7
    assert "no space left" in caught.value.message and "TFEDGE_CACHE" in caught.value.hint
    kept = 4 if full == "keys.bin" else 3  # one whole key was written, its record is good
    assert (tmp_path / "keys.bin").stat().st_size == 36 * kept
    assert (tmp_path / "data.bin").stat().st_size == 60 * kept
    monkeypatch.undo()
    store.put([key(n) for n in range(3, 7)], np.stack([record(n) for n in range(3, 7)]))
    check(opened(tmp_path), range(7))


def test_records_of_another_kind_are_refused(tmp_path: Path) -> None:
    filled(tmp_path, range(2))
    with pytest.raises(ArtifactError, match="holds other records"):
        RecordStore(tmp_path, np.uint8, SHAPE)
    with pytest.raises(ValueError, match="expected float32"):
        opened(tmp_path).put([key(5)], record(5)[None].astype(np.float64))


class Checks:
    """Counts the records whose bytes are checked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = zlib.crc32

        def crc32(data: memoryview) -> int:
            self.count += 1
            return real(data)

        monkeypatch.setattr(module.zlib, "crc32", crc32)


def test_a_process_checks_a_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, range(4))
    checks = Checks(monkeypatch)
    keys = [key(n) for n in range(4)]
    for _ in range(3):  # as each stage opens it
        store = shared(tmp_path, np.float32, SHAPE)
        store.get(keys[:1])
        assert checks.count in (1, 4), "only what is read is checked"
        store.rows(keys)
        store.get(keys[::-1])
    assert checks.count == 4
    opened(tmp_path).get(keys)
    assert checks.count == 8, "another process checks for itself"


def test_what_a_process_has_written_itself_is_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = Checks(monkeypatch)
    store = shared(tmp_path, np.float32, SHAPE)
    store.put([key(0), key(1)], np.stack([record(0), record(1)]))
    written = checks.count
    other = opened(tmp_path)
    other.put([key(2)], record(2)[None])
    check(shared(tmp_path, np.float32, SHAPE), range(3))
    assert checks.count == written + 2, "the other's record: written, and checked here"


def test_a_shared_store_sees_records_that_were_written_over(tmp_path: Path) -> None:
    filled(tmp_path, range(3))
    check(shared(tmp_path, np.float32, SHAPE), range(3))
    flip(tmp_path / "data.bin", 8 * 60 + 3)
    os.utime(tmp_path / "data.bin", ns=(0, 12345))  # a clock may be too coarse to tell
    store = shared(tmp_path, np.float32, SHAPE)
    with pytest.raises(MissingRecords) as caught:
        store.get([key(0), key(1)])
    assert caught.value.keys == [key(1)]


def test_a_shared_store_sees_another_folder_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    filled(folder, range(3))
    before = shared(folder, np.float32, SHAPE)
    check(before, range(3))
    shutil.rmtree(folder)
    filled(folder, range(5, 9))
    after = shared(folder, np.float32, SHAPE)
    check(after, range(5, 9))
    assert after.missing([key(0), key(5)]) == [key(0)]
    with pytest.raises(ArtifactError, match="holds other records"):
        shared(folder, np.uint8, SHAPE)


def test_a_process_keeps_few_stores_open(tmp_path: Path) -> None:
    first = shared(tmp_path / "0", np.float32, SHAPE)
    assert shared(tmp_path / "0", np.float32, SHAPE) is first
    for number in range(1, 10):
        shared(tmp_path / str(number), np.float32, SHAPE)
    assert shared(tmp_path / "0", np.float32, SHAPE) is not first


def test_an_emptied_folder_is_filled_again(tmp_path: Path) -> None:
    store = filled(tmp_path, range(3))
    for name in ("data.bin", "keys.bin"):
        (tmp_path / name).unlink()
    store.put([key(5)], record(5)[None])
    np.testing.assert_array_equal(store.get([key(5)])[0], record(5))
    assert store.missing([key(0), key(5)]) == [key(0)]


def test_an_unwritable_place_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError) as caught:
        opened(tmp_path / "file" / "store")
    assert "TFEDGE_CACHE" in caught.value.hint


def bits_of(path: Path) -> range:
    """Some of them: each byte has one of these at least."""
    return range(0, 8 * path.stat().st_size, 7)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["meta.json", "keys.bin", "data.bin"])
def test_a_flipped_bit_is_found_and_made_good(tmp_path: Path, name: str) -> None:
    sound, damaged = tmp_path / "sound", tmp_path / "damaged"
    filled(sound, range(2))
    keys, records = [key(0), key(1)], np.stack([record(0), record(1)])
    for bit in bits_of(sound / name):
        shutil.copytree(sound, damaged)
        flip(damaged / name, bit)
        store = opened(damaged)
        with pytest.raises(MissingRecords) as caught:
            store.get(keys)
        absent = caught.value.keys
        store.put(absent, records[[keys.index(one) for one in absent]])
        check(opened(damaged), range(2))
        shutil.rmtree(damaged)


@pytest.mark.parametrize(
    "text", ["", "[1]", "7", "{", "[" * 100_000, '{"dtype": "<f4", "shape": [3, 5]}', "\udc80"]
)
def test_a_store_that_does_not_say_what_it_holds_begins_anew(tmp_path: Path, text: str) -> None:
    reader = filled(tmp_path, range(3))
    mapped = reader.memmap
    (tmp_path / "meta.json").write_text(text, errors="surrogateescape")
    store = opened(tmp_path)
    assert len(store) == 0
    np.testing.assert_array_equal(mapped[2], record(2))  # who reads it meanwhile still can
    store.put([key(1)], record(1)[None])
    check(opened(tmp_path), range(1, 2))
    check(reader, range(3))


def test_what_several_lack_is_computed_by_one(tmp_path: Path) -> None:
    computed: list[int] = []
    notes: list[str] = []

    def run(_: int) -> None:
        store = opened(tmp_path)  # as another process has it
        if not store.missing([key(0)]):
            return
        with store.alone("features", notes.append):
            if store.missing([key(0)]):
                time.sleep(0.8)
                computed.append(0)
                store.put([key(0)], record(0)[None])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, range(3)))
    assert computed == [0]
    waiting = f"waiting for features, which another run is at: process {os.getpid()} on "
    assert len(notes) == 2 and all(note.startswith(waiting) for note in notes)
