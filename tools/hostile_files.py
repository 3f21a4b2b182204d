"""Damage every kind of file that tfedge reads, a few thousand times, and count what it says of it.

    python tools/hostile_files.py                    # all kinds, 2,000 files each
    python tools/hostile_files.py zip tar --files 100

Each file ends in a reading or in an error of tfedge's own with its exit code. Anything else (an
internal error, a crash, a hang, memory that grows) is counted as a fault, and ends the tool with 1;
the file is kept in ``--keep``. The same seeds give the same files. Each kind has a process of its
own, with little memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import json
import pickle
import random
import resource
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import types
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfedge.errors import TfedgeError

ROOT = Path(__file__).resolve().parent.parent
CODES = {2, 3, 4, 5, 6, 7, 8, 9}
MEMORY = 600 * 2**20  # bytes that a process may grow by
SECONDS = 30  # of processor time for one file
HANGS = 120  # seconds, after which a process ends
_TOKENS = (
    *(b"[", b"]", b"{", b"}", b":", b", ", b"- ", b"? ", b"&a ", b"*a", b"!", b"|", b">", b"'"),
    *(b'"', b"\\", b"\\U", b"\\x00", b"\0", b"\xff", b"\r", b"\n", b"\t", b"#", b"%YAML 1.2\n"),
    *(b"---\n", b"<<: ", b"~", b"NaN", b"1e999", b"-1", b"0x" + b"f" * 5000, b"9" * 5000),
    *(b"null", b"true", b"[]", b"{}", b'""', b"[" * 2000, b'{"a":' * 2000, b"../", b"/dev/zero"),
    *(b"x" * 300, b"y" * 5000, "é\u2028".encode(), b"\xed\xa0\x80"),
)
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(seed: bytes, rng: random.Random, text: bool) -> bytes:
    """The file with one to six damages."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
        length = rng.choice((1, 2, 4, 8, 30, 200))
        match rng.randrange(7 if not text else 9):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[other : other + length]
            case 3:
                del data[at:]
            case 4:
                data[at : at + length] = data[other : other + length]
            case 5:
                data[at : at + 4] = struct.pack("<I", rng.choice(_NUMBERS))
            case 6:
                data[at : at + 2] = struct.pack("<H", rng.choice(_NUMBERS) & 0xFFFF)
            case _:
                data[at : at + rng.choice((0, 1, 8))] = rng.choice(_TOKENS)
    return bytes(data)


@dataclass(frozen=True)
class Kind:
    """Files of one kind: sound ones, and what reads a file in a folder of its own."""

    name: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    file: str
    text: bool = False


# ---------------------------------------------------------------------------------------- the seeds


def zips() -> list[bytes]:
    made = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("d/a.txt", b"text " * 100)
            archive.writestr("d/e/", b"")
            archive.writestr("d/é.bin", bytes(range(256)))
        made.append(buffer.getvalue())
    return made


def tars() -> list[bytes]:
    made = []
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
                for name in ("d/a.txt", "d/" + "long" * 40, "d/é"):
                    info = tarfile.TarInfo(name)
                    info.size = 700
                    info.pax_headers = {"comment": "c" * 20}
                    archive.addfile(info, io.BytesIO(b"x" * 700))
            made.append(buffer.getvalue())
    return made


def arrays() -> list[bytes]:
    import numpy as np

    made = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **{"a/kernel": np.ones((3, 4), np.float32), "a/bias": np.zeros(4)})
        made.append(buffer.getvalue())
    return made


def hdf5() -> list[bytes]:
    import h5py
    import numpy as np

    made = []
    for compression in (None, "gzip"):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.attrs["layer_names"] = [b"conv"]
            file.create_group("conv").attrs["weight_names"] = [b"conv/kernel:0"]
            file.create_dataset(
                "conv/conv/kernel:0", data=np.ones((3, 40), "f4"), compression=compression
            )
        made.append(buffer.getvalue())
    return made


def keras() -> list[bytes]:
    layer = {"class_name": "Conv2D", "config": {"name": "conv"}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [layer]}}))
        archive.writestr("model.weights.h5", hdf5()[0])
    return [buffer.getvalue()]


def pickles() -> list[bytes]:
    """A torch file of either format, written without torch."""
    from tfedge.modeling.nets.weights import unpickle

    def fake(module: str, name: str) -> Any:
        sys.modules.setdefault(module, types.ModuleType(module))
        made = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made)
        return made

    storage, rebuild = fake("torch", "FloatStorage"), fake("torch._utils", "_rebuild_tensor_v2")

    class Stored:
        pass

    class Tensor:
        def __reduce__(self) -> tuple[Any, ...]:
            return rebuild, (Stored(), 0, (2, 3), (3, 1), False, OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", storage, "0", "cpu", 6, None) if isinstance(value, Stored) else None

    file = io.BytesIO()
    facts = {"protocol_version": unpickle.PROTOCOL, "little_endian": True, "type_sizes": {}}
    state = OrderedDict([("a.weight", Tensor())])
    for value in (unpickle.MAGIC, unpickle.PROTOCOL, facts, state, ["0"]):
        Pickler(file, 2).dump(value)
    legacy = file.getvalue() + struct.pack("<q6f", 6, *range(6))
    file, pickled = io.BytesIO(), io.BytesIO()
    Pickler(pickled, 2).dump(state)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        archive.writestr("archive/data/0", struct.pack("<6f", *range(6)))
    return [legacy, file.getvalue()]


def with_metadata() -> list[bytes]:
    from tfedge.tflite import metadata

    content = {"content_properties": {"FeatureProperties": {}}}
    tensor = {"name": "image", "dimension_names": ["a", "b"], "content": content}
    tensor["process_units"] = [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}]
    labels = {"associated_files": [{"name": "labels.txt", "type": 2}]}
    graph = {"input_tensor_metadata": [tensor], "output_tensor_metadata": [labels]}
    said = {"name": "x", "subgraph_metadata": [graph]}
    return [metadata.write(said)]


def appended() -> list[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("labels.txt", b"cat\ndog\n")
        archive.writestr("more.txt", b"x" * 200)
    return [buffer.getvalue()]


def released() -> Path:
    """A drop that is in this repository."""
    return ROOT / "models" / "digits-mobilenetv2"


def tflite() -> bytes:
    return next(released().glob("*.tflite")).read_bytes()


# -------------------------------------------------------------------------------------- the readers


def _unpack(path: Path) -> None:
    from tfedge.files.archive import unpack

    unpack(path, path.parent / "to")


def _drop(path: Path) -> None:
    from tfedge.drops.archive import unpack

    unpack(path, path.parent / "to")


def _weights(path: Path) -> None:
    from tfedge.modeling.nets.weights import files

    files.read(path)


def _pickle(path: Path) -> None:
    from tfedge.modeling.nets.weights import unpickle

    unpickle.load(path.read_bytes(), path)


def _metadata(path: Path) -> None:
    from tfedge.tflite import metadata

    model = metadata._with_entry(tflite(), path.read_bytes())
    metadata.read(model, path)


def _associated(path: Path) -> None:
    from tfedge.tflite import metadata

    model = tflite() + path.read_bytes()
    metadata.associated(model, path)


def _inspect(path: Path) -> None:
    from tfedge.edgetpu.inspect import inspect
    from tfedge.report.inspect import text

    text(inspect(path).to_json())


def _pipeline(path: Path) -> None:
    from tfedge import api

    api.load(path)


def _devices(path: Path) -> None:
    from tfedge.devices.inventory import read

    read(path)


def _verify(path: Path) -> None:
    from tfedge.drops.verify import verify

    folder = path.parent / "drop"
    shutil.copytree(released(), folder)
    path.replace(folder / path.name)
    for check in verify(folder):
        str(check)


def _run(path: Path) -> None:
    from tfedge import api

    run = api.Run.read(path.parent)
    str((run.pipeline, run.status, run.seconds, run.stages, run.metrics, run.model, run.drops))


def _index(path: Path) -> None:
    from tfedge.data.index import Index

    Index.load(path)


PIPELINE = (ROOT / "pipelines" / "photos.yaml").read_bytes
DEVICES = b"""devices:
  pi4: ssh://pi@raspberrypi
  phone:
    address: adb:ABC
    timeout: 20
    benchmark_model: {path: bin/benchmark_model}
  here: {address: "local:/usr/bin/python3", delegate: none}
"""
RUN = {
    "schema": "tfedge.run/1",
    "status": "ok",
    "pipeline": "x",
    "task": "image-classification",
    "seconds": 1.5,
    "stages": [{"name": "data", "key": "0" * 64, "cache": "hit", "seconds": 0.1}],
    "distill": None,
    "metrics": {},
    "model": None,
    "benchmark": [],
    "drops": [],
    "versions": {"tfedge": "1"},
    "data": None,
}


def index() -> list[bytes]:
    from tfedge.data.index import Index, Row

    rows = Row("train/a/1.png", 0, "train", "0" * 64), Row("val/b/2.png", 1, "val", "1" * 64)
    with tempfile.TemporaryDirectory() as folder:
        Index(("a", "b"), rows, "folders").save(Path(folder) / "index.json")
        return [(Path(folder) / "index.json").read_bytes()]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("zip", zips, _drop, "x.zip"),
        Kind("tar", tars, _unpack, "x.tar"),
        Kind("npz", arrays, _weights, "x.npz"),
        Kind("h5", hdf5, _weights, "x.h5"),
        Kind("keras", keras, _weights, "x.keras"),
        Kind("pickle", pickles, _pickle, "x.pth"),
        Kind("metadata", with_metadata, _metadata, "x.bin"),
        Kind("associated", appended, _associated, "x.bin"),
        Kind("model", lambda: [tflite()], _inspect, "x.tflite"),
        Kind("pipeline", lambda: [PIPELINE()], _pipeline, "x.yaml", text=True),
        Kind("devices", lambda: [DEVICES], _devices, "x.yaml", text=True),
        Kind(
            "manifest",
            lambda: [(released() / "MANIFEST.json").read_bytes()],
            _verify,
            "MANIFEST.json",
            text=True,
        ),
        Kind("run", lambda: [json.dumps(RUN).encode()], _run, "run.json", text=True),
        Kind("index", index, _index, "index.json", text=True),
    )
}


# ------------------------------------------------------------------------------------- the campaign


def tried(kind: Kind, data: bytes, folder: Path) -> str:
    """What became of one file: ``read``, ``exit 7``, or a fault that begins with a ``!``."""
    folder.mkdir()
    began = time.process_time()
    faulthandler.dump_traceback_later(HANGS, exit=True)
    try:
        (folder / kind.file).write_bytes(data)
        kind.read(folder / kind.file)
        found = "read"
    except TfedgeError as error:
        found = f"exit {error.exit_code}" if error.exit_code in CODES else f"! {error!r}"
    except Exception as error:  # noqa: BLE001 (what the command line would call a bug)
        where = traceback.extract_tb(error.__traceback__)[-1]
        found = f"! {type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
    finally:
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(folder, ignore_errors=True)
    return found if time.process_time() - began < SECONDS else "! slow"


def one(name: str, count: int, seed: int, keep: Path | None) -> dict[str, Any]:
    """So many files of one kind, in this process."""
    kind, outcomes = KINDS[name], Counter[str]()
    seeds, rng = kind.seeds(), random.Random(f"{name} {seed}")
    with tempfile.TemporaryDirectory(prefix="tfedge-hostile-") as work:
        for sound in seeds:
            if (found := tried(kind, sound, Path(work) / "0")) != "read":
                outcomes[f"! the sound file: {found}"] += 1
        before = _peak()
        for number in range(count):
            data = damaged(rng.choice(seeds), rng, kind.text)
            found = tried(kind, data, Path(work) / "0")
            outcomes[found] += 1
            if found.startswith("!") and keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{seed}-{number}{Path(kind.file).suffix}").write_bytes(data)
    return {"outcomes": outcomes, "grown": _peak() - before}


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def apart(name: str, count: int, seed: int, keep: Path | None) -> dict[str, Any]:
    """The same in a process of its own, which may crash."""
    command = [sys.executable, __file__, name, "--files", str(count), "--seed", str(seed), "--here"]
    command += ["--keep", str(keep)] if keep else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        return {"outcomes": {f"! the process ended with {done.returncode}: {said}": 1}, "grown": 0}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if found["grown"] > MEMORY:
        found["outcomes"][f"! took {found['grown'] >> 20} MiB"] = 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--files", type=int, default=2000, help="of each kind (default: 2000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where files that show a fault are kept")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.kinds) - KINDS.keys():
        parser.error(f"no kind {', '.join(sorted(unknown))}")
    if given.here:
        print(json.dumps(one(given.kinds[0], given.files, given.seed, given.keep)))
        return 0
    faults = 0
    for name in given.kinds or KINDS:
        found = apart(name, given.files, given.seed, given.keep)
        counts = sorted(found["outcomes"].items())
        said = ", ".join(f"{count} {what}" for what, count in counts)
        print(f"{name:10}  +{found['grown'] >> 20:3} MiB  {said}", flush=True)
        faults += sum(count for what, count in counts if what.startswith("!"))
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
