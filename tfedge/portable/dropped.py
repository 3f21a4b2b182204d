"""The drop that a script lies in: what its manifest says, its model, its golden pairs.

Part of the scripts in drops of classifiers, of which each adds what its examples are.
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
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Sequence

import numpy as np

from tfedge.portable.golden import difference

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


class Output:
    """An output of the model: ``name`` where there are several, ``shape`` with the batch of one."""

    def __init__(self, facts: dict) -> None:
        self.name = str(facts.get("name", ""))
        self.shape = [int(side) for side in facts["shape"]]
        self.scale = None if facts["scale"] is None else float(facts["scale"])
        self.zero_point = int(facts["zero_point"])

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Stored values as float32."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class Drop:
    """What MANIFEST.json says of this folder, as far as every script needs it."""

    def __init__(self) -> None:
        path = HERE / MANIFEST
        try:
            facts = json.loads(content(path, MOST_MANIFEST).decode("utf-8"))
            self.files = dict(facts["files"])
            self.model = str(facts["model"])
            self.shape = [int(side) for side in facts["input"]["shape"]]
            self.gives = [int(side) for side in facts["output"]["shape"]]
            self.dtype = np.dtype(facts["output"]["dtype"])
            # Of several outputs, which stand side by side in the order of their names, each.
            self.outputs = [Output(part) for part in facts["output"].get("parts") or ()]
            self.outputs = self.outputs or [Output(facts["output"])]
            self.classes = [str(name) for name in facts["classes"]]
            self.pairs = [(str(pair["input"]), str(pair["output"])) for pair in facts["golden"]]
            self.compiled = str(facts["coral"]["file"]) if DELEGATE else ""
            self.read(facts)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {str(error)[:200]}"
            raise Failed(f"{path} does not say what a drop says ({what})") from error
        if not self.fits() or not self.classes:
            raise Failed(f"{path} does not say what a drop says ({self.what} in, classes out)")
        if len(self.pairs) > MOST_PAIRS:
            raise Failed(f"{path}: {len(self.pairs)} golden pairs, more than {MOST_PAIRS}")

    what = ""  # goes in
    takes = "uint8"  # the model, of an input

    def differing(self, number: int, expected: np.ndarray, got: np.ndarray) -> str:
        """How real outputs of a golden pair, by its number, differ by the golden rule."""
        return difference(expected, got)

    def read(self, facts: dict) -> None:
        """What only this kind of drop says. LookupError, TypeError, ValueError."""

    def fits(self) -> bool:
        """Whether ``shape`` is that of an example, and of a batch of one."""
        raise NotImplementedError

    def ports(self) -> list:
        """The inputs of the model, described, in the order of their names."""
        return [described(self.shape, self.takes)]

    def taken(self) -> list:
        """The outputs of the model, likewise: a score for each class."""
        return [described([1, len(self.classes)], self.dtype)]

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


def described(shape: Sequence[int], dtype: Any) -> str:
    """An input or an output in words."""
    return f"{np.dtype(dtype)} {[int(side) for side in shape]}"


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
        # Of several the order is the converter's: they are told apart by name.
        inputs = sorted(self.interpreter.get_input_details(), key=lambda port: port.get("name", ""))
        outputs = sorted(
            self.interpreter.get_output_details(), key=lambda port: port.get("name", "")
        )
        found = [described(port["shape"], port["dtype"]) for port in (*inputs, *outputs)]
        told = [*drop.ports(), *drop.taken()]
        if found != told:
            raise Failed(f"the model has {', '.join(found)}, {MANIFEST} says {', '.join(told)}")
        self.inputs = [port["index"] for port in inputs]
        self.outputs = [port["index"] for port in outputs]

    def run(self, example: np.ndarray) -> np.ndarray:
        """An example, or of a model of several inputs its parts, to what the model gives, as it
        stores it: scores [classes], or several outputs side by side along their last axis."""
        parts = [example] if len(self.inputs) == 1 else list(example)
        try:
            for index, part in zip(self.inputs, parts):
                self.interpreter.set_tensor(index, part[None])
            self.interpreter.invoke()
            found = [self.interpreter.get_tensor(index)[0] for index in self.outputs]
            return found[0] if len(found) == 1 else np.concatenate(found, -1)
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def real(self, stored: np.ndarray) -> np.ndarray:
        """What stored outputs mean, float32, of the same shape."""
        outputs = self.drop.outputs
        if len(outputs) == 1:
            return outputs[0].real(stored)
        ends = np.cumsum([output.shape[-1] for output in outputs])
        parts = np.split(stored, ends[:-1], -1)
        return np.concatenate([one.real(part) for one, part in zip(outputs, parts)], -1)

    def _failed(self, error: Exception) -> Failed:
        return Failed(f"{self.runtime} can't run the model: {' '.join(str(error).split())}")


def same_input(number: int, example: Any) -> str:
    """Nothing to be said against the input of a golden pair."""
    return ""


def check(model: Model, differs: Callable[[int, Any], str] = same_input) -> int:
    """Replay the golden pairs. 1 when an answer differs by more than machines may.

    ``differs``: what is wrong with the input of a pair, by its number, before the model gets it.
    """
    failed = 0
    same = 0
    largest = 0.0
    drop = model.drop
    gives = drop.gives[1:]
    size = int(np.prod(gives)) * drop.dtype.itemsize
    for number, (given, taken) in enumerate(drop.pairs):
        shape = drop.shape[1:]
        data = drop.file(given, int(np.prod(shape)) * np.dtype(drop.takes).itemsize)
        example = np.frombuffer(data, drop.takes).reshape(shape)
        expected = model.real(np.frombuffer(drop.file(taken, size), drop.dtype).reshape(gives))
        got = model.real(model.run(example))
        told = differs(number, example) or drop.differing(number, expected, got)
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


def ranking(parser: argparse.ArgumentParser) -> None:
    """What scripts that name classes understand."""
    help = "how many classes to print"
    parser.add_argument("--top", type=number(1, 10**6), default=3, metavar="N", help=help)


def options(parser: argparse.ArgumentParser) -> None:
    """What every script understands."""
    add = parser.add_argument
    add(
        "--threads",
        type=number(1, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of the interpreter",
    )
    add("--check", action="store_true", help="replay the golden pairs")
    add("--in-process", action="store_true", help=argparse.SUPPRESS)  # see check_apart
    if DELEGATE:
        add("--cpu", action="store_true", help="without the Edge TPU, far slower")


def best(model: Model, example: np.ndarray, top: int) -> list:
    """The ``top`` classes for an example: [(name, score)], the best first."""
    scores = model.real(model.run(example))
    order = np.argsort(-scores, kind="stable")[:top]
    return [(model.drop.classes[i], scores[i]) for i in order]


def ended(arguments: Callable[[], argparse.Namespace], run: Callable[[Any], int]) -> int:
    """What the command line asks for; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a label that the terminal's encoding lacks is written as \u…
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    args = arguments()
    try:
        if np is None:
            raise Failed(f"numpy is not installed: {INSTALL}")
        code = check_apart(args) if args.check and not args.in_process else run(args)
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
