"""Interpreters and delegates, and a model that runs on them."""

from __future__ import annotations

import importlib
import platform
import sys
import time
from importlib.util import find_spec
from typing import Any, NamedTuple, Sequence

import numpy as np

from tfedge.benchmark.script.facts import state
from tfedge.benchmark.script.problem import Problem, ending
from tfedge.benchmark.script.shapes import resize
from tfedge.benchmark.script.statistics import summarise


class RuntimePackage(NamedTuple):
    """A package that has a TFLite interpreter."""

    name: str  # as results call it
    package: str  # what must be installed
    module: str  # where its Interpreter is


RUNTIMES = {  # by --runtime, in the order in which they are looked for
    "litert": RuntimePackage("LiteRT", "ai_edge_litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": RuntimePackage(
        "tflite-runtime", "tflite_runtime", "tflite_runtime.interpreter"
    ),
    "pycoral": RuntimePackage("pycoral", "pycoral", "tflite_runtime.interpreter"),
    "tensorflow": RuntimePackage("TensorFlow", "tensorflow", "tensorflow.lite.python.interpreter"),
}
PIP = "python3 -m pip install "
EDGETPU_LIBRARY = {"Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}  # elsewhere Linux's
BUCKETS = 12  # parts of --seconds, to see a drift
EMPTY_MODEL = bytes.fromhex(  # without ops: the wrong numpy shows only when a model is loaded
    "1800000054464c3300000e0010000c0000000800000004000e00000034000000080000000300000001000000"
    "100000000c00140010000c00080004000c000000100000000c000000080000000400000000000000"
)


class Runtime(NamedTuple):
    """An interpreter that works here."""

    name: str
    version: str | None
    module: Any


def open_runtime(wanted: str) -> Runtime:
    """The interpreter of that ``--runtime``; ``auto``: the first that is installed."""
    rows = [
        row for key, row in RUNTIMES.items() if wanted in (key, "auto") and find_spec(row.package)
    ]
    if not rows:
        hint = f"{PIP}ai-edge-litert (from Python 3.10 on) or {PIP}tflite-runtime 'numpy<2'"
        raise Problem(3, f"no TFLite interpreter ({wanted}) for {sys.executable}", hint)
    row = rows[0]
    numpy_version = None if np is None else np.__version__
    told = f"{row.name} does not work with numpy {numpy_version}: "
    with ending(3, (ImportError, AttributeError, SystemError), told, f"{PIP}'numpy<2'"):
        version = getattr(importlib.import_module(row.package), "__version__", None)
        module: Any = importlib.import_module(row.module)
        module.Interpreter(model_content=EMPTY_MODEL)
    return Runtime(row.name, version, module)


def interpreter_arguments(module: Any, threads: int, delegate: str) -> dict:
    """What an Interpreter takes for so many threads and ``--delegate``: ``xnnpack``, which is its
    own default, ``none``, ``edgetpu``, or ``PATH[,key=value]``."""
    path, *options = delegate.split(",")
    words: dict = {"num_threads": threads}
    hint = "is the library installed, the device plugged in, and may this user open it?"
    with ending(7, (OSError, ValueError, AttributeError), f"delegate {path}: ", hint):
        if path == "xnnpack":
            return words
        if path == "none":
            resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            return {**words, "experimental_op_resolver_type": resolver}
        if path == "edgetpu":
            path = EDGETPU_LIBRARY.get(platform.system(), "libedgetpu.so.1")
        given = dict(option.partition("=")[::2] for option in options)
        return {**words, "experimental_delegates": [module.load_delegate(path, given)]}


def settle(longest: float = 1.0, look: float = 0.01) -> bool:
    """Wait until no thread of this process computes, at most so many seconds; whether none does.

    numpy's OpenBLAS starts a thread a core when it is imported, and they spin for about 0.1 s
    before they sleep: long enough to take a core from the inferences of a small model.
    """
    end = time.monotonic() + longest
    while time.monotonic() < end:
        computed = time.process_time()
        time.sleep(look)
        if time.process_time() - computed < look / 4:  # the kernel may count in ticks of 4 ms
            return True
    return False


class Times(NamedTuple):
    """Nanoseconds of inferences: on the clock, and of the CPU, over all threads of the process."""

    wall: list
    cpu: list


class Model:
    """A model on an interpreter, run once on noise.

    ``shape`` is that of ``--shape``. Problem when an input is open and it does not say how large.
    """

    def __init__(self, path: str, module: Any, words: dict, shape: str = "") -> None:
        start = time.perf_counter_ns()
        self.interpreter = module.Interpreter(model_path=path, **words)
        resize(self.interpreter, shape)
        self.interpreter.allocate_tensors()
        self.load_ns = time.perf_counter_ns() - start
        self.inputs = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()
        self._fill_with_noise()
        self.first_ns = self.run(1).wall[0]

    @property
    def shapes(self) -> list:
        """Of the inputs, as they are timed."""
        return [[int(side) for side in port["shape"]] for port in self.inputs]

    def _fill_with_noise(self) -> None:
        """Pixels of every value; in floats from 0 to 1; in other integers 0 and 1, which are good
        as indices and as masks."""
        random = np.random.RandomState(1)
        for port in self.inputs:
            kind = port["dtype"]
            noise = random.randint(0, 256, port["shape"], np.uint8)
            if np.dtype(kind).kind == "f":
                noise = noise.astype(kind) / kind(256)
            elif kind not in (np.uint8, np.int8):
                noise = (noise & 1).astype(kind)
            self.interpreter.set_tensor(port["index"], noise.view(kind))

    def run(self, count: int, images: Sequence = ()) -> Times:
        """So many inferences, each with the next of the images, if there are any."""
        found = Times([], [])
        for number in range(count):
            self._time(found, number, images)
        return found

    def run_for(self, seconds: float, images: Sequence = ()) -> tuple[Times, dict]:
        """Inferences for so long, and how their medians drifted meanwhile."""
        found = Times([], [])
        buckets: list[dict] = []
        done = 0
        begin = time.perf_counter_ns()
        passed = 0.0
        while not buckets or passed < seconds:
            self._time(found, len(found.wall), images)
            passed = (time.perf_counter_ns() - begin) / 1e9
            if passed >= seconds * (len(buckets) + 1) / BUCKETS:
                part = summarise(found.wall[done:])
                done = len(found.wall)
                now = state()
                buckets.append(
                    {
                        "at_s": passed,
                        "n": part.n,
                        "median_ns": part.median,
                        "temperature_c": now["temperature_c"],
                        "frequency_hz": now["frequency_hz"],
                    }
                )
                passed = (time.perf_counter_ns() - begin) / 1e9
        ratio = buckets[-1]["median_ns"] / buckets[0]["median_ns"]
        return found, {"seconds": seconds, "ratio": ratio, "buckets": buckets}

    def _time(self, found: Times, number: int, images: Sequence) -> None:
        if images:
            self.interpreter.set_tensor(self.inputs[0]["index"], images[number % len(images)])
        invoke = self.interpreter.invoke
        computed = time.process_time_ns()
        start = time.perf_counter_ns()
        invoke()
        found.wall.append(time.perf_counter_ns() - start)
        found.cpu.append(time.process_time_ns() - computed)

    def answer(self, given: Any) -> Any:
        """The output, flat and as it is stored; several stand side by side along their last axis,
        in the order of their names. ``given`` are the values of the input; of several, which are
        alike, those of each behind the other's, likewise."""
        kinds = {(str(port["dtype"]), tuple(port["shape"])) for port in self.inputs}
        made = {(str(port["dtype"]), tuple(port["shape"][:-1])) for port in self.outputs}
        if len(kinds) != 1 or len(made) != 1:
            raise ValueError("answers are checked only of a model with alike inputs and outputs")
        ports = sorted(self.inputs, key=lambda port: port.get("name", ""))
        parts = given.reshape([len(ports), *list(ports[0]["shape"])])
        for port, part in zip(ports, parts):
            self.interpreter.set_tensor(port["index"], part)
        self.interpreter.invoke()
        found = [self.interpreter.get_tensor(port["index"]) for port in self.taken()]
        return (found[0] if len(found) == 1 else np.concatenate(found, -1)).ravel()

    def taken(self) -> list:
        """The outputs in the order of their names; that in the file is its converter's."""
        return sorted(self.outputs, key=lambda port: port.get("name", ""))

    def real(self, stored: Any) -> Any:
        """What ``answer`` means, with its scale where it is quantized; of several outputs [n, …],
        side by side."""
        ports = self.taken()
        if len(ports) == 1:
            return _real(stored, ports[0])
        widths = [int(port["shape"][-1]) for port in ports]
        parts = np.split(stored.reshape(-1, sum(widths)), np.cumsum(widths)[:-1], -1)
        return np.concatenate([_real(part, port) for part, port in zip(parts, ports)], -1)


def _real(stored: Any, port: dict) -> Any:
    """Stored values of an output, with its scale where it is quantized, else as they are."""
    scale, zero_point = port.get("quantization", (0.0, 0))
    if not scale:
        return stored
    return (stored.astype(np.float32) - zero_point) * np.float32(scale)
