"""Time per op from LiteRT's own profiler.

The Python API has none, but the wheel's ``libLiteRt.so`` exports the C API, whose compiled model
can be built with profiling. It runs the interpreter's XNNPACK and reports every op inside the
delegate. This reads C structures and needs 65 MB for a buffer, so it runs in a process of its
own: the script itself, with ``--litert-profile``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

import numpy as np

# An op's index in the file or None, its type, a name, nanoseconds.
Row = Tuple[Optional[int], str, Optional[str], float]
# A kind, an op, a subgraph, a tag and microseconds, as the profiler reports them.
Event = Tuple[int, int, int, str, int]

# The wheels whose C structures are those below. Read with another layout they would be a
# segmentation fault, so another version is refused.
LITERT_VERSIONS = ("2.2.", "2.3.")
# LiteRtProfilerEventType
DEFAULT_EVENT = 1
OPERATOR_EVENT = 2
DELEGATE_OPERATOR_EVENT = 8
EVENT_FIELDS = [  # ProfiledEventData of litert_profiler_event.h: 104 bytes on x86-64 and aarch64
    ("tag", "u8"),  # char *
    ("kind", "i4"),
    ("padding", "i4"),
    ("start_us", "u8"),
    ("elapsed_us", "u8"),
    ("memory", "6u8"),
    ("op", "u8"),
    ("subgraph", "u8"),
    ("source", "i8"),  # and padding
]
XNNPACK_NAMES = {  # what it does not name as TensorFlow Lite does
    "Convolution": ("DEPTHWISE_CONV_2D",),
    "Fully Connected": ("CONV_2D",),  # of 1x1
    "Dynamic Fully Connected": ("FULLY_CONNECTED",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Global Average Pooling": ("MEAN",),
    "Sigmoid": ("LOGISTIC",),
    "Clamp": ("RELU", "RELU6"),
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST"),
    "Copy": ("CONCATENATION", "SPLIT", "RESHAPE"),
    "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    "Constant Pad": ("PAD", "PADV2"),
    "Square Root": ("SQRT",),
}
WARMUP_RUNS = 5


class ProfileError(Exception):
    """No profile of this model with this runtime; the message says why."""


def profile_in_process(script: str, path: str, threads: int, runs: int, xnnpack: bool) -> list[Row]:
    """``profile_events`` in a process of its own, which ends when this one does, since then its
    stdin ends. ``script``: the device script, which is this file where it runs on a device."""
    words = [sys.executable, script, "--litert-profile", "--attached"]
    words += [f"--threads={threads}", f"--runs={runs}"]
    words += [f"--delegate={'xnnpack' if xnnpack else 'none'}", "--", path]
    reading, writing = os.pipe()
    try:
        done = subprocess.run(words, stdin=reading, capture_output=True)
    finally:
        os.close(reading)
        os.close(writing)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        told = said[-1] if said and done.returncode > 0 else f"ended {done.returncode}"
        raise ProfileError(told)
    return [tuple(row) for row in json.loads(done.stdout.decode().splitlines()[-1])]


def print_profile(path: str, threads: int, runs: int, xnnpack: bool) -> int:
    """What that process does: the rows as JSON, in the last line on stdout."""
    try:
        rows = profile_events(path, threads, runs, xnnpack)
    except ProfileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n" + json.dumps(rows) + "\n")
    return 0


def profile_events(path: str, threads: int, runs: int, xnnpack: bool) -> list[Row]:
    """The ops in the order in which they run, with zeros as input; ProfileError says why not.

    The time is the mean of the middle half of the runs: robust like a median, but finer than the
    profiler's whole microseconds. XNNPACK splits, fuses and adds ops: an index that can't be told
    is None, the type then XNNPACK's own name.
    """
    lib, names = open_library(path)
    if {"WHILE", "IF"} & set(names):  # and with zeros as input a loop may never end
        raise ProfileError("control flow: the ops of its branches would count twice")
    events = run_profiled(CompiledModel(lib), path, threads, runs, xnnpack)
    invokes = sum(kind == DEFAULT_EVENT and tag == "Invoke" for kind, _, _, tag, _ in events)
    ops = [event for event in events if event[0] in (OPERATOR_EVENT, DELEGATE_OPERATOR_EVENT)]
    once = ops[: len(ops) // runs]
    # A full buffer (512 Ki events) drops what comes without a word.
    same = [event[:4] for event in ops] == [event[:4] for event in once * runs]
    if not ops or invokes != runs or not same:
        raise ProfileError("the runs did not report the same ops: too many runs?")
    times = np.array([event[4] for event in ops], float).reshape(runs, -1) * 1000
    middle = np.sort(times, axis=0)[runs // 4 : runs - runs // 4].mean(axis=0)
    rows: list[Row] = []
    for event, index, ns in zip(once, op_indices(once, names), middle):
        # XNNPACK cuts each time down to whole microseconds: half of one is lost on average.
        lost = 500 if event[0] == DELEGATE_OPERATOR_EVENT else 0
        op = event[3].split(" (")[0] if index is None else names[index]
        rows.append((index, op, event[3], float(ns) + lost))
    return rows


def open_library(path: str) -> tuple[Any, list[str]]:
    """LiteRT's C API, and the types of the model's ops in the file's order."""
    try:
        import ai_edge_litert
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        version = ai_edge_litert.__version__
        if not version.startswith(LITERT_VERSIONS) or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise ProfileError(f"known of LiteRT 2.2 and 2.3 on 64 bits; this is {version}")
        # _get_ops_details is private as well; without a delegate the ops are the file's.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        reader = Interpreter(path, experimental_op_resolver_type=plain)
        names = [op["op_name"] for op in reader._get_ops_details()]
        lib = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise ProfileError(str(error)) from error
    return lib, names


class CompiledModel:
    """Calls of LiteRT's C API. As a context manager it destroys what was created through it."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self.undo = contextlib.ExitStack()

    def __enter__(self) -> CompiledModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo.close()

    def call(self, name: str, *arguments: Any) -> None:
        """Every LiteRtStatus but 0 is an error."""
        status = getattr(self.lib, "LiteRt" + name)(*arguments)
        if status:
            raise ProfileError(f"LiteRt{name} gave status {status} for this model")

    def make(self, name: str, *arguments: Any, destroy: str = "") -> Any:
        """The new handle, which the function writes where its last parameter points to."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        if destroy:
            self.undo.callback(getattr(self.lib, "LiteRtDestroy" + destroy), handle)
        return handle


def run_profiled(
    api: CompiledModel, path: str, threads: int, runs: int, xnnpack: bool
) -> list[Event]:
    """What the profiler reports of so many runs."""
    kernels = "" if xnnpack else 'kernel_mode = "builtin"\n'
    xnnpack_text = f"num_threads = {threads}\n{kernels}".encode()
    texts = [  # options travel as TOML
        (b"runtime_options_string", ctypes.create_string_buffer(b"enable_profiling = true\n")),
        (b"xnnpack", ctypes.create_string_buffer(xnnpack_text)),
    ]
    keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # the texts are Python's
    # Two LiteRtEnvOption {tag, 2: an integer, value}: 24, register the CPU only (else it looks for
    # GPU and NPU libraries); 25, log errors only.
    quiet = (ctypes.c_int64 * 6)(24, 2, 1, 25, 2, 3)
    with api:
        environment = api.make("CreateEnvironment", 2, quiet, destroy="Environment")
        model = api.make("CreateModelFromFile", environment, os.fsencode(path), destroy="Model")
        options = api.make("CreateOptions", destroy="Options")
        api.call("SetOptionsHardwareAccelerators", options, 1)  # kLiteRtHwAcceleratorCpu
        for kind, text in texts:
            opaque = api.make("CreateOpaqueOptions", kind, text, keep)
            api.call("AddOpaqueOptions", options, opaque)
        compiled = api.make(
            "CreateCompiledModel", environment, model, options, destroy="CompiledModel"
        )
        profiler = api.make("CompiledModelGetProfiler", compiled)  # owned by the compiled model
        buffers = tensor_buffers(api, environment, model, compiled)
        for run in range(-WARMUP_RUNS, runs):
            if run == 0:
                api.call("StartProfiler", profiler)
            api.call("RunCompiledModel", compiled, ctypes.c_size_t(0), *buffers)
        api.call("StopProfiler", profiler)
        count = ctypes.c_int()
        api.call("GetNumProfilerEvents", profiler, ctypes.byref(count))
        found = np.zeros(count.value, np.dtype(EVENT_FIELDS))
        api.call("GetProfilerEvents", profiler, count, ctypes.c_void_p(found.ctypes.data))
        return [  # before the profiler goes, and the tags with it
            (
                int(event["kind"]),
                int(event["op"]),
                int(event["subgraph"]),
                ctypes.string_at(int(event["tag"])).decode(),
                int(event["elapsed_us"]),
            )
            for event in found
        ]


def tensor_buffers(api: CompiledModel, environment: Any, model: Any, compiled: Any) -> list[Any]:
    """Inputs and outputs as RunCompiledModel takes them: how many, and zeroed buffers for them."""
    first = ctypes.c_size_t(0)  # signature
    signature = api.make("GetModelSignature", model, first)
    buffers: list[Any] = []
    for side in ("Input", "Output"):
        ports = ctypes.c_size_t()
        api.call(f"GetNumSignature{side}s", signature, ctypes.byref(ports))
        handles = (ctypes.c_void_p * ports.value)()
        for i in range(ports.value):
            at = ctypes.c_size_t(i)
            tensor = api.make(f"GetSignature{side}TensorByIndex", signature, at)
            shape = ctypes.create_string_buffer(72)  # LiteRtRankedTensorType
            api.call("GetRankedTensorType", tensor, shape)
            needs = api.make(f"GetCompiledModel{side}BufferRequirements", compiled, first, at)
            buffer = api.make(
                "CreateManagedTensorBufferFromRequirements",
                environment,
                shape,
                needs,
                destroy="TensorBuffer",
            )
            api.call("ClearTensorBuffer", buffer)
            handles[i] = buffer.value
        buffers += [ports, handles]
    return buffers


def op_indices(events: Sequence[Event], names: Sequence[str]) -> list[int | None]:
    """The op's index in the file, or None, for each event of one run.

    LiteRT says it for its own kernels only. What XNNPACK runs between two of those is matched in
    order: an op whose type fits, past no more than three that don't.
    """
    stops: list[int | None] = [event[1] if event[0] == OPERATOR_EVENT else None for event in events]
    stops.append(len(names))
    found: list[int | None] = []
    at = 0
    for i, (kind, index, _, tag, _) in enumerate(events):
        match: int | None = index
        if kind != OPERATOR_EVENT:
            stop = next(stop for stop in stops[i:] if stop is not None)
            head = tag.split(" (")[0]
            match = next((k for k in range(at, stop) if fits_op(head, names[k])), None)
            # The DEQUANTIZE of float16 weights is folded away: those don't count.
            if match is not None and sum(n != "DEQUANTIZE" for n in names[at:match]) > 3:
                match = None
        found.append(match)
        at = at if match is None else match + 1
    return found


def fits_op(head: str, name: str) -> bool:
    """'Resize Bilinear' is RESIZE_BILINEAR, 'Subtract' SUB, 'Max Pooling' MAX_POOL_2D."""
    short = name.replace("_2D", "").replace("_", "")
    return head.replace(" ", "").upper().startswith(short) or name in XNNPACK_NAMES.get(head, ())
