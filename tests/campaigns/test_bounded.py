"""Files that make much of little: refused with a message, in little memory and time.

Each is read by a process of its own, which tells by how much its peak memory grew.
"""

from __future__ import annotations

import bz2
import io
import json
import os
import re
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import flatbuffers
import h5py
import numpy as np
import pytest

from tfedge.tflite import metadata

DATA = Path(__file__).parents[1] / "unit" / "data"
MODEL = (DATA / "color_int8.tflite").read_bytes()
ENDLESS = DATA / "endless.h5"
GROWTH = 160 * 2**20  # bytes
SECONDS = 60  # of processor time, on a busy machine
READ = """
import json, resource, sys, time
from pathlib import Path
from tfedge.errors import TfedgeError
{imports}
path = Path(sys.argv[1])
peak = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, began = peak(), time.process_time()
try:
    {call}
    found = [0, ""]
except TfedgeError as error:
    found = [error.exit_code, error.message]
print(json.dumps([*found, peak() - before, time.process_time() - began]))
"""
CALLS = {
    "drop": ("from tfedge.drops.archive import unpack", "unpack(path, path.parent / 'to')"),
    "data": ("from tfedge.files.archive import unpack", "unpack(path, path.parent / 'to')"),
    "inspect": ("from tfedge.edgetpu.inspect import inspect", "inspect(path)"),
    "metadata": ("from tfedge.tflite import metadata", "metadata.read(path.read_bytes(), path)"),
    "associated": (
        "from tfedge.tflite import metadata",
        "metadata.associated(path.read_bytes(), path)",
    ),
    "weights": ("from tfedge.modeling.nets.weights import files", "files.read(path)"),
    "pipeline": ("from tfedge.pipeline.load import load", "load(path)"),
    "devices": ("from tfedge.devices.inventory import read", "read(path)"),
    "manifest": ("from tfedge.drops import manifest", "manifest.load(path.parent)"),
}


def read(what: str, path: Path) -> tuple[int, str]:
    """Exit code and message; the process stays within its bounds."""
    imports, call = CALLS[what]
    done = subprocess.run(
        [sys.executable, "-c", READ.format(imports=imports, call=call), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    code, message, growth, seconds = json.loads(done.stdout)
    assert growth < GROWTH, f"{growth / 2**20:.0f} MiB: {message}"
    assert seconds < SECONDS, message
    assert not list((path.parent / "to").glob("*"))
    return code, message


def zipped(method: int, *members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def bzip2_bomb() -> bytes:
    """60 kB that zipfile reads as one piece of 3 GB."""
    small = zipped(zipfile.ZIP_BZIP2, ("d/z", b"0"))
    stream = bz2.compress(bytes(45_000_000))
    return _member_replaced(small, stream * 70, 45_000_000 * 70)


def lzma_dictionary() -> bytes:
    """A dictionary of 4 GB."""
    made = bytearray(zipped(zipfile.ZIP_LZMA, ("d/z", bytes(1000))))
    at = made.index(b"\x05\0", 30) + 3
    made[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(made)


def _member_replaced(archive: bytes, content: bytes, size: int) -> bytes:
    """A zip of one member with other compressed bytes."""
    start = 30 + sum(struct.unpack_from("<HH", archive, 26))
    directory = archive.index(b"PK\1\2")
    local, central = bytearray(archive[:start]), bytearray(archive[directory:])
    sizes = struct.pack("<II", len(content), size & 0xFFFFFFFF)
    local[18:26], central[20:28] = sizes, sizes
    end = central.index(b"PK\5\6")
    central[end + 16 : end + 20] = struct.pack("<I", start + len(content))
    return bytes(local) + content + bytes(central)


def no_name() -> bytes:
    """A member that is called nothing."""
    made = zipped(0, ("x", b"content"))
    local, central = made.index(b"x"), made.rindex(b"x")
    cut = bytearray(made[:local] + made[local + 1 : central] + made[central + 1 :])
    directory, end = cut.index(b"PK\1\2"), cut.index(b"PK\5\6")
    cut[26:28] = cut[directory + 28 : directory + 30] = b"\0\0"
    cut[end + 12 : end + 20] = struct.pack("<II", end - directory, directory)
    return bytes(cut)


def many_entries() -> bytes:
    """A directory of 200,000 entries that share one name of no bytes and one place."""
    entry = bytearray(46)
    entry[:4] = b"PK\1\2"
    directory = bytes(entry) * 200_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, len(directory), 0, 0)
    return directory + end


ZIPS = {
    "bzip2": (bzip2_bomb, "unpacks to too much"),
    "deflate": (lambda: zipped(8, ("d/z", bytes(300_000_000))), "unpacks to too much"),
    "lzma": (lambda: zipped(14, ("d/z", bytes(300_000_000))), "unpacks to too much"),
    "lzma dictionary": (lzma_dictionary, "LZMA with a dictionary of 4,294,967,295 bytes"),
    "entries": (many_entries, "lists more than 10,000 entries"),
    "empty name": (no_name, "has no name: refused"),
    "dot": (lambda: zipped(0, (".", b"x")), "has no name: refused"),
    "long name": (lambda: zipped(0, ("d/" + "n" * 5000, b"x")), "too long"),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_zips(kind: str, tmp_path: Path) -> None:
    make, said = ZIPS[kind]
    path = tmp_path / "x.zip"
    path.write_bytes(make())
    assert path.stat().st_size < 10_000_000
    code, message = read("drop", path)
    assert code == 9 and said in message


def header(kind: bytes, size: int, name: str = "p") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def deflated(*pieces: bytes, zeros: int = 0) -> bytes:
    """A gzip of pieces and of zeros behind them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    done = [packer.compress(piece) for piece in pieces]
    done += [packer.compress(bytes(1 << 20)) for _ in range(zeros >> 20)]
    return b"".join(done) + packer.flush()


def sparse() -> bytes:
    """A GNU sparse file of old, whose list of holes does not end."""
    first = bytearray(header(tarfile.GNUTYPE_SPARSE, 0))
    more = bytearray(512)
    for place, block, count in ((386, first, 4), (0, more, 21)):
        for i in range(count):
            block[place + 24 * i : place + 24 * i + 24] = b"00000000001\0" * 2
    first[482] = more[504] = 1
    first[148:156] = b" " * 8
    first[148:156] = b"%06o\0 " % sum(first)
    return deflated(bytes(first), bytes(more) * 100_000)


TARS = {
    "pax": (lambda: deflated(header(tarfile.XHDTYPE, 2**30), zeros=2**30), "header of 1,073"),
    "global pax": (lambda: deflated(header(tarfile.XGLTYPE, 2**30), zeros=2**30), "header of 1,0"),
    "long name": (
        lambda: deflated(header(tarfile.GNUTYPE_LONGNAME, 2**30), zeros=2**30),
        "header of 1,073",
    ),
    "many headers": (
        lambda: deflated((header(tarfile.XHDTYPE, 512) + b"11 a=bbbbb\n".ljust(512, b"\0")) * 5000),
        "no zip or tar, or a damaged one|more than 1,048,576 bytes",
    ),
    "sparse": (sparse, "describes an entry with more than 1,048,576 bytes"),
    "file": (
        lambda: deflated(header(tarfile.REGTYPE, 2**30), zeros=2**30),
        "unpacks to too much",
    ),
    "links": (lambda: deflated(header(tarfile.SYMTYPE, 0)), "is a link: refused"),
}


@pytest.mark.parametrize("kind", TARS)
def test_tars(kind: str, tmp_path: Path) -> None:
    make, said = TARS[kind]
    path = tmp_path / "x.tgz"
    path.write_bytes(make())
    assert path.stat().st_size < 3_000_000
    code, message = read("data", path)
    assert code == 7 and re.search(said, message)


def shared(count: int) -> bytes:
    """Metadata in which each list names one and the same table, ``count`` times."""
    builder = flatbuffers.Builder(1024)

    def table(slots: int, *fields: tuple[int, int]) -> int:
        builder.StartObject(slots)
        for slot, offset in fields:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        return int(builder.EndObject())

    def vector(offset: int) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    inner = table(8, (4, vector(table(2))))
    graph = table(8, (2, vector(inner)))
    builder.Finish(table(8, (3, vector(graph))), metadata.IDENTIFIER)
    return bytes(builder.Output())


def test_metadata_that_shares_its_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(metadata._with_entry(MODEL, shared(2000)))
    code, message = read("metadata", path)
    assert code == 7 and "its metadata: unpacks to too much" in message


def appended(data: bytes) -> bytes:
    buffer = io.BytesIO(MODEL)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("labels.txt", data)
    return buffer.getvalue()


def encrypted() -> bytes:
    made = bytearray(appended(b"cat\n"))
    made[made.rindex(b"PK\1\2") + 8] |= 1
    made[made.rindex(b"PK\3\4") + 6] |= 1
    return bytes(made)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (encrypted, "entry labels.txt is encrypted: refused"),
        (lambda: MODEL + many_entries(), "lists more than 1,000 entries"),
    ],
    ids=["encrypted", "entries"],
)
def test_files_behind_a_model(make: Callable[[], bytes], said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(make())
    code, message = read("associated", path)
    assert code == 7 and said in message
    assert read("inspect", path)[0] == 0


@pytest.mark.parametrize(
    ("start", "said"),
    [(b"", "not a .tflite file"), (MODEL[:8], "has 4,294,967,296 bytes, more than 2,147,483,648")],
    ids=["zeros", "header"],
)
def test_a_file_of_4_gb_is_not_read(start: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(start)
    os.truncate(path, 2**32)
    code, message = read("inspect", path)
    assert code == 7 and said in message
    weights = path.rename(tmp_path / "x.npz")
    code, message = read("weights", weights)
    assert code == 7 and "is a pickle or another file" in message


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tflite")
    assert read("inspect", tmp_path / "x.tflite") == (7, f"{tmp_path / 'x.tflite'}: not a file")


def h5_of_nothing(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a/a/kernel:0", (1 << 29,), "f4", chunks=(1 << 20,))


def h5_of_texts(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("a/a/kernel:0", (100,), h5py.string_dtype())


def endless(path: Path) -> None:
    """A damaged file of which libhdf5 reads an attribute for ever."""
    path.write_bytes(ENDLESS.read_bytes())


def npz(path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(1, np.float32))
    head = buffer.getvalue()[:128].replace(b"(1,), } ", b"(9" + b"9" * 9 + b",), }")[:128]
    path.write_bytes(zipped(8, ("a.npy", head + bytes(300_000_000))))


def npz_damaged(path: Path) -> None:
    made = bytearray(zipped(14, ("a.npy", bytes(range(256)) * 40)))
    made[60:80] = b"\xff" * 20
    path.write_bytes(made)


WEIGHTS = {
    "nothing.h5": (h5_of_nothing, "unpacks to too much"),
    "endless.h5": (endless, "a damaged HDF5 file (reading it does not end)"),
    "texts.h5": (h5_of_texts, "holds no numbers"),
    "bomb.npz": (npz, "unpacks to too much"),
    "damaged.npz": (npz_damaged, "is damaged"),
    "bomb.keras": (
        lambda path: path.write_bytes(zipped(8, ("config.json", bytes(300_000_000)))),
        "unpacks to too much",
    ),
    "deep.keras": (
        lambda path: path.write_bytes(zipped(8, ("config.json", b'{"config":' + b"[" * 100_000))),
        "nested too deeply",
    ),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights(kind: str, tmp_path: Path) -> None:
    make, said = WEIGHTS[kind]
    make(tmp_path / kind)
    code, message = read("weights", tmp_path / kind)
    assert code == 7 and said in message


FULL = 65_000  # bytes, just below the limit


@pytest.mark.parametrize(
    "text",
    [
        "a: [" + "x, " * (FULL // 3) + "x]",
        "a: {" + ", ".join(f"k{i}: v" for i in range(FULL // 12)) + "}",
        "a: " + "[" * FULL,
        "a: [" + "[], " * (FULL // 4) + "]",
        "- " * (FULL // 2),
        "? " * (FULL // 2),
        "a: '" + "''" * (FULL // 2) + "'",
        'a: "' + "\\x41" * (FULL // 4) + '"',
        "a: &a [" + "&b x, *b, " * (FULL // 10) + "]",
        "a" * FULL + ": 1",
        "!<" + "a" * FULL + "> x",
        "a: " + "9" * FULL,
        "a: 0x" + "f" * FULL,
        "#" * FULL + "\na: 1",
        "a:" + " " * FULL + "1",
        "a: |\n" + " x\n" * (FULL // 3),
    ],
    ids=lambda text: text[:12],
)
@pytest.mark.parametrize("what", ["pipeline", "devices"])
def test_yaml(what: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    code, _ = read(what, tmp_path / "x.yaml")
    assert code == 2


def test_a_manifest_of_brackets(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.json").write_text('{"a":' + "[" * 200_000)
    code, message = read("manifest", tmp_path / "MANIFEST.json")
    assert code == 9 and "nested too deeply" in message
    (tmp_path / "MANIFEST.json").write_text('{"a":' + "[" * 100 + "]" * 100 + "}")
    assert read("manifest", tmp_path / "MANIFEST.json")[0] == 9


FETCH = """
from tfedge.files.download import download
from tfedge.files.budget import Limits
from tfedge.files.progress import NoProgress
"""


@contextmanager
def server(length: str, blocks: int) -> Iterator[str]:
    """Announces a length, and sends so many blocks of 1 MiB."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if length:
                self.send_header("Content-Length", length)
            self.end_headers()
            try:
                for _ in range(blocks):
                    self.wfile.write(bytes(1 << 20))
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/x"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("length", "blocks", "said"),
    [
        ("", 10_000, "sends too much, more than 5,000,000 bytes: refused"),
        ("9" * 15, 1, "announces 999,999,999,999,999 bytes, more than 5,000,000 bytes: refused"),
        ("9" * 5000, 10_000, "sends too much"),
        ("²", 10_000, "sends too much"),
        ("1000", 1, "not the file that is pinned"),
    ],
    ids=["endless", "announced", "digits", "no digit", "less"],
)
def test_downloads(
    length: str, blocks: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server(length, blocks) as url:
        call = (
            f"download({url!r}, '0' * 64, path, NoProgress(), "
            "limits=Limits(size=5_000_000, entries=1, seconds=60))"
        )
        monkeypatch.setitem(CALLS, "fetch", (FETCH, call))
        code, message = read("fetch", tmp_path / "to")
    assert code == 7 and said in message
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_a_slow_download_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server("", 10_000) as url:
        call = (
            f"download({url!r}, '0' * 64, path, NoProgress(), "
            "limits=Limits(size=2**40, entries=1, seconds=0.2))"
        )
        monkeypatch.setitem(CALLS, "fetch", (FETCH, call))
        code, message = read("fetch", tmp_path / "to")
    assert code == 7 and "not here after 0 seconds" in message
