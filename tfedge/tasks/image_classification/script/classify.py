#!/usr/bin/env python3
"""Name what is on a photo, with the model in this folder.

    python classify.py photo.jpg [FOLDER ...] [--top 3] [--threads 1]
    python classify.py --watch FOLDER   a line of JSON for every image that is put there
    python classify.py --check          replay the golden pairs of this folder

Needs numpy, Pillow and one interpreter: ai-edge-litert, tflite-runtime or tensorflow.
Runs on Python 3.7 and newer. Ends with 0 when all went well, with 1 when a golden pair differs,
with 2 when something can't be used: the drop, the interpreter, or at least one of the photos.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import os
import platform
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path, PurePosixPath
from typing import Any, Iterator, Sequence

import numpy as np

from tfedge.portable.golden import difference
from tfedge.portable.images import BadImage, decode, read

HERE = Path(__file__).resolve().parent
DELEGATE = ""  # edgetpu, or nothing: the CPU
EDGETPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
INTERPRETERS = {  # by the name of what is installed: where its Interpreter is
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
INSTALL = "python3 -m pip install -r requirements.txt"
MANIFEST = "MANIFEST.json"
MOST_MANIFEST = 32 * 2**20  # bytes
MOST_PAIRS = 1000
MOST_THREADS = max(64, os.cpu_count() or 1)
CHECK_SECONDS = 900  # for all golden pairs, on the slowest board


class Failed(Exception):
    """What the user reads instead of a traceback."""


class Drop:
    """What MANIFEST.json says of this folder, as far as it is needed here."""

    def __init__(self) -> None:
        path = HERE / MANIFEST
        try:
            facts = json.loads(content(path, MOST_MANIFEST).decode("utf-8"))
            self.files = dict(facts["files"])
            self.model = str(facts["model"])
            self.shape = [int(side) for side in facts["input"]["shape"]]
            self.fit = str(facts["input"]["fit"])
            self.levels = [int(level) for level in facts["input"].get("levels") or ()]
            self.dtype = np.dtype(facts["output"]["dtype"])
            scale = facts["output"]["scale"]
            self.scale = None if scale is None else float(scale)
            self.zero_point = int(facts["output"]["zero_point"])
            self.classes = [str(name) for name in facts["classes"]]
            self.pairs = [(str(pair["input"]), str(pair["output"])) for pair in facts["golden"]]
            self.compiled = str(facts["coral"]["file"]) if DELEGATE else ""
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {str(error)[:200]}"
            raise Failed(f"{path} does not say what a drop says ({what})") from error
        if len(self.shape) != 4 or not self.classes:
            raise Failed(f"{path} does not say what a drop says (images in, classes out)")
        if len(self.pairs) > MOST_PAIRS:
            raise Failed(f"{path}: {len(self.pairs)} golden pairs, more than {MOST_PAIRS}")

    def place(self, name: str) -> Path:
        """Where a file of this folder lies: a listed one, inside, and no link out of it."""
        path = PurePosixPath(name)
        if name not in self.files or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise Failed(f"{MANIFEST} names {shown(name)}, which is no file that it lists")
        place = HERE / name
        if HERE not in place.resolve().parents:
            raise Failed(f"{shown(name)} leads out of {HERE}")
        return place

    def file(self, name: str, size: int) -> bytes:
        """The bytes of a listed file, which must be so many."""
        place = self.place(name)
        data = content(place, size)
        if len(data) != size:
            raise Failed(f"{place}: {len(data)} bytes, not {size}")
        return data

    def model_file(self) -> bytes:
        """The model's bytes: of the digest that is listed."""
        place = self.place(self.model)
        data = content(place)
        entry = self.files[self.model]
        if not isinstance(entry, dict) or hashlib.sha256(data).hexdigest() != entry.get("sha256"):
            raise Failed(f"{self.model} is not the file that {MANIFEST} names")
        return data

    def compiled_file(self) -> bytes:
        """The model for the Edge TPU. It is listed, or was compiled after the drop was made."""
        name = self.compiled
        if "/" in name or "\\" in name or not (HERE / name).is_file():
            raise Failed(f"{shown(name)} is not there: run compile.sh first, or use --cpu")
        data = content(HERE / name)
        entry = self.files.get(name)
        if entry is not None and hashlib.sha256(data).hexdigest() != entry.get("sha256"):
            raise Failed(f"{name} is not the file that {MANIFEST} names")
        if b"edgetpu-custom-op" not in data:
            raise Failed(f"{name} is not compiled for the Edge TPU: run compile.sh")
        return data


def content(path: Path, most: int = 2**31) -> bytes:
    """The bytes of a regular file, up to ``most``; a pipe or a device would never end."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise Failed(f"{path}: not a file")
        if state.st_size > most:
            raise Failed(f"{path}: {state.st_size} bytes, more than {most}")
        return path.read_bytes()
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error


def shown(text: str) -> str:
    """The text without what could control a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def interpreter_module() -> tuple[Any, str]:
    """The first interpreter that is installed, and its name."""
    told = ""
    for name, module in INTERPRETERS.items():
        try:
            return importlib.import_module(module), name
        except (ImportError, AttributeError, SystemError) as error:
            missing = isinstance(error, ModuleNotFoundError) and str(error.name) in module
            told = told or ("" if missing else f" ({name}: {str(error)[:200]})")
    raise Failed(f"no interpreter{told}: {INSTALL}")


def edgetpu(module: Any) -> Any:
    """The Edge TPU's delegate, of libedgetpu, which Coral's packages install."""
    library = EDGETPU.get(platform.system(), EDGETPU["Linux"])
    try:
        ctypes.CDLL(library)  # load_delegate leaves a traceback behind where there is none
        return module.load_delegate(library)
    except OSError as error:
        raise Failed(f"{library} can't be loaded ({error}): install libedgetpu1-std") from error
    except ValueError as error:
        raise Failed("no Edge TPU found: plug it in, or use --cpu") from error


class Model:
    """The model of this folder, ready to run."""

    def __init__(self, drop: Drop, threads: int, delegate: bool) -> None:
        module, self.runtime = interpreter_module()
        data = drop.compiled_file() if delegate else drop.model_file()
        delegates = [edgetpu(module)] if delegate else []
        self.drop = drop
        try:
            self.interpreter = module.Interpreter(
                model_content=data, num_threads=threads, experimental_delegates=delegates
            )
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error
        inputs = self.interpreter.get_input_details()
        outputs = self.interpreter.get_output_details()
        found = [described(port["shape"], port["dtype"]) for port in (*inputs, *outputs)]
        told = [described(drop.shape, np.uint8), described([1, len(drop.classes)], drop.dtype)]
        if found != told:
            raise Failed(f"the model has {', '.join(found)}, {MANIFEST} says {', '.join(told)}")
        self.input, self.output = inputs[0]["index"], outputs[0]["index"]

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [size, size, 3] to the scores as the model gives them, [classes]."""
        try:
            self.interpreter.set_tensor(self.input, pixels[None])
            self.interpreter.invoke()
            return self.interpreter.get_tensor(self.output)[0]
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Scores in [0, 1], float32 [classes]."""
        if not self.drop.scale:
            return stored
        return (stored.astype(np.float32) - self.drop.zero_point) * np.float32(self.drop.scale)

    def _failed(self, error: Exception) -> Failed:
        return Failed(f"{self.runtime} can't run the model: {' '.join(str(error).split())}")


def pixels_of(drop: Drop, path: Path) -> np.ndarray:
    """An image as the model was trained on: uint8 [size, size, 3]. BadImage for what is none."""
    return decode(read(path), drop.shape[1], drop.fit, drop.levels)


def described(shape: Sequence[int], dtype: Any) -> str:
    """An input or an output in words."""
    return f"{np.dtype(dtype)} {[int(side) for side in shape]}"


def answers(model: Model, path: Path, top: int) -> list:
    """The ``top`` classes for an image: [(name, score)], the best first."""
    if not path.is_file():
        raise Failed(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        pixels = pixels_of(model.drop, path)
    except BadImage as error:
        raise Failed(f"{path}: {error.reason}") from error
    except ImportError as error:
        raise Failed(f"Pillow can't be imported ({error}): {INSTALL}") from error
    scores = model.real(model.run(pixels))
    best = np.argsort(-scores, kind="stable")[:top]
    return [(model.drop.classes[i], scores[i]) for i in best]


def photos(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are named; of a folder all that lie below it, hidden ones left out."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
        seen = [file for file in found if not is_hidden(file.relative_to(path))]
        if not seen:
            raise Failed(f"{path}: no files in it")
        yield from seen


def is_hidden(path: Path) -> bool:
    """Whether the file or a folder that it is in begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def classify(model: Model, paths: Sequence[Path], top: int) -> int:
    """Print the best classes for each image, and go on past those that can't be read: 2 then."""
    code = 0
    for path in photos(paths):
        try:
            found = answers(model, path, top)
        except Failed as error:
            complain(error)
            code = 2
            continue
        print(shown(str(path)))
        for name, score in found:
            print(f"  {100 * score:5.1f} %  {shown(name)}")
    return code


def watch(model: Model, folder: Path, top: int) -> int:
    """Answer for every image in the folder, and for each that comes, until stopped."""
    if not folder.is_dir():
        raise Failed(f"{folder}: no such folder")
    only_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    seen: set = set()
    last: dict = {}
    while True:
        for path in sorted(folder.iterdir()):
            try:
                facts = path.stat()
            except OSError:
                continue  # it has gone again
            state = (path.name, facts.st_mtime_ns, facts.st_size)
            if path.name.startswith(".") or not path.is_file() or state in seen:
                continue
            if last.get(path.name) != state:
                last[path.name] = state  # perhaps it is still being written: look again
                continue
            seen.add(state)
            line: dict = {"file": path.name}
            try:
                found = answers(model, path, top)
                line["scores"] = {name: round(float(score), 4) for name, score in found}
            except Failed as error:
                line["error"] = str(error)
            print(json.dumps(line, ensure_ascii=only_ascii), flush=True)
        time.sleep(0.5)


def check(model: Model) -> int:
    """Replay the golden pairs. 1 when an answer differs by more than machines may."""
    failed = 0
    same = 0
    largest = 0.0
    drop = model.drop
    size = len(drop.classes) * drop.dtype.itemsize
    for given, taken in drop.pairs:
        shape = drop.shape[1:]
        pixels = np.frombuffer(drop.file(given, int(np.prod(shape))), np.uint8).reshape(shape)
        expected = model.real(np.frombuffer(drop.file(taken, size), drop.dtype))
        got = model.real(model.run(pixels))
        told = difference(expected, got)
        if told:
            failed += 1
            print(f"{shown(taken)}: {told}")
        largest = max(largest, float(np.abs(got - expected).max()))
        same += int((got == expected).all())
    count = len(drop.pairs)
    print(
        f"{count} golden pairs with {model.runtime} on {platform.machine()}: {same} identical, "
        f"largest difference {largest:.4f}, {failed} failed"
    )
    return 1 if failed or not count else 0


def check_apart(args: argparse.Namespace) -> int:
    """The same in a process of its own: an interpreter that crashes on a model takes its process
    with it."""
    words = [f"--threads={args.threads}", *(["--cpu"] if DELEGATE and args.cpu else [])]
    script = str(Path(__file__).resolve())
    command = [sys.executable, script, "--check", "--in-process", *words]
    try:
        code = subprocess.run(command, timeout=CHECK_SECONDS).returncode
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer in {CHECK_SECONDS} s: ended") from error
    if 0 <= code < 256:
        return code
    names = {number.value: number.name for number in signal.Signals}
    raise Failed(f"the interpreter crashed on the model ({names.get(-code, code)})")


def complain(error: Exception) -> None:
    """One line on stderr."""
    line = f"{Path(__file__).name}: {shown(' '.join(str(error).split()))}"
    print(line, file=sys.stderr, flush=True)


def number(least: int, most: int) -> Any:
    """Reads a whole number in these bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: a number from {least} to {most}")
        return value

    return read


def arguments() -> argparse.Namespace:
    """The command line. Wrong usage ends the program with 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO", help="an image, or a folder of images")
    add("--top", type=number(1, 10**6), default=3, metavar="N", help="how many classes to print")
    add(
        "--threads",
        type=number(1, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of the interpreter",
    )
    add("--watch", type=Path, metavar="FOLDER", help="answer for what comes there")
    add("--check", action="store_true", help="replay the golden pairs")
    add("--in-process", action="store_true", help=argparse.SUPPRESS)  # see check_apart
    if DELEGATE:
        add("--cpu", action="store_true", help="without the Edge TPU, far slower")
    args = parser.parse_args()
    if not args.photos and not args.check and args.watch is None:
        parser.error("name a photo, a folder, --watch or --check")
    return args


def run(args: argparse.Namespace) -> int:
    """What the command line asks for; the exit code."""
    if np is None:
        raise Failed(f"numpy is not installed: {INSTALL}")
    if args.check and not args.in_process:
        return check_apart(args)
    model = Model(Drop(), args.threads, bool(DELEGATE) and not args.cpu)
    if args.check:
        return check(model)
    if args.watch is not None:
        return watch(model, args.watch, args.top)
    return classify(model, args.photos, args.top)


def main() -> int:
    """Run by the command line; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a label that the terminal's encoding lacks is written as \u…
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    args = arguments()
    try:
        code = run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    except (Failed, OSError) as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
