"""What bench_tflite.py does beyond timing: pictures as input, accuracy, and time per op.

Packed into it by tools/pack_bench.py, and like it needs Python 3.7 or newer, numpy and an
interpreter; for pictures also Pillow.

Time per op comes from LiteRT's own profiler, where it can be had: the Python API has none, but the
wheel's ``libLiteRt.so`` exports the C API, whose compiled model can be built with profiling. It
runs the interpreter's XNNPACK and reports every op inside the delegate. For other runtimes the
model is cut after each op in turn, timed, and the differences are the ops' times.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Sequence

import numpy as np

# The wheels whose C structures are those below. Read with another layout they would be a
# segmentation fault, so another version is refused.
VERSIONS = ("2.2.", "2.3.")
# ProfiledEventData of litert/c/litert_profiler_event.h, 104 bytes on 64 bits (x86-64, aarch64):
# tag (char *), kind, padding, start us, elapsed us, memory, op, subgraph, source (and padding)
EVENT = np.dtype("u8,i4,i4,u8,u8,6u8,u8,u8,i8")
DEFAULT, OPERATOR, DELEGATE_OPERATOR = 1, 2, 8  # LiteRtProfilerEventType
# What XNNPACK does not name as TensorFlow Lite does ("Fully Connected" is also a 1x1 CONV_2D).
NAMES = (
    "Convolution=DEPTHWISE_CONV_2D;Fully Connected=CONV_2D;Dynamic Fully Connected=FULLY_CONNECTED;"
    "Batch Matrix Multiply=BATCH_MATMUL;Deconvolution=TRANSPOSE_CONV;Global Average Pooling=MEAN;"
    "Sigmoid=LOGISTIC;Clamp=RELU;Clamp=RELU6;Convert=QUANTIZE;Convert=DEQUANTIZE;Convert=CAST;"
    "Copy=CONCATENATION;Copy=SPLIT;Copy=RESHAPE;Static Reshape=RESHAPE;Static Reshape=SQUEEZE;"
    "Static Reshape=EXPAND_DIMS;Constant Pad=PAD;Constant Pad=PADV2;Square Root=SQRT;"
)
PASSES, CUT_RUNS = 3, 20  # over all cuts, so that a busy moment does not hit one alone; inferences
PICTURES = 100  # kept in memory at most
# As a whole, for a process of its own; the file is unpacked for the time of the import only.
SOURCE = Path(__file__).read_text(encoding="utf-8") if "__file__" in globals() else ""

Rows = Sequence[tuple]  # (index of the op in the file or None, its type, a name, nanoseconds)


class ProfileError(Exception):
    """No profile of this model with this runtime; the message says why."""


def pictures(model: Any, folder: str) -> list:
    """The first pictures of a folder as inputs. OSError or ValueError, with the file's name."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    if not files:
        raise ValueError(f"{folder}: no pictures")
    return [picture(model, path) for path in files[:PICTURES]]


def picture(model: Any, path: Path) -> Any:
    """A picture as the model takes it: RGB, upright, its largest centred part, bilinear."""
    from PIL import Image, ImageOps

    try:
        _, height, width, _ = map(int, model.inputs[0]["shape"])
        with Image.open(str(path)) as file:
            file.draft(None, (2 * width, 2 * height))  # JPEG: decoded smaller, as in training
            image = ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: no picture for this model: {error}") from error
    bilinear = getattr(Image, "Resampling", Image).BILINEAR  # elsewhere before Pillow 9.1
    scale = min(image.width / width, image.height / height)
    wide, high = round(width * scale), round(height * scale)
    left, top = (image.width - wide) // 2, (image.height - high) // 2
    image = image.crop((left, top, left + wide, top + high))
    pixels = np.asarray(image.resize((width, height), bilinear))[None]
    kind = model.inputs[0]["dtype"]
    if kind not in (np.uint8, np.int8):
        raise ValueError(f"pictures are 8 bits a value, the model takes {np.dtype(kind).name}")
    return pixels if kind == np.uint8 else (pixels ^ 128).view(np.int8)  # int8: 128 less


def accuracy(model: Any, folder: str, labels: str) -> dict:
    """Top-1 on FOLDER/class/picture; the order of the classes is that of a file, or alphabetic."""
    files = sorted(path for path in Path(folder).glob("*/*") if path.is_file())
    classes = sorted({path.parent.name for path in files})
    if labels:
        classes = Path(labels).read_text(encoding="utf-8").strip().splitlines()
    strange = sorted({path.parent.name for path in files} - set(classes))
    scores = int(np.prod(model.outputs[0]["shape"]))
    if not files or strange or len(classes) != scores:
        told = f"{len(files)} pictures of {len(classes)} classes, the model has {scores}"
        raise ValueError(
            f"{folder}: {told}; folders that are no class: {', '.join(strange) or '-'}"
        )
    right = 0
    for path in files:
        right += int(model.answer(picture(model, path)).argmax() == classes.index(path.parent.name))
    return {"top1": right / len(files), "n": len(files), "classes": len(classes)}


def profile(path: str, module: Any, words: dict, runs: int) -> dict:
    """Time per op of a model with an interpreter's module and its arguments; says how it was found
    and how far it can be trusted. ``method`` none: it can't be told, ``error`` says why."""
    reasons = []
    if module.__name__.startswith("ai_edge_litert") and "experimental_delegates" not in words:
        xnnpack = "experimental_op_resolver_type" not in words
        try:
            rows = in_a_process(path, words["num_threads"], runs, xnnpack)
            error = "whole microseconds an op, XNNPACK's rounded down and half of one added"
            return grouped("litert-profiler", error, rows)
        except ProfileError as refused:
            reasons.append(f"LiteRT's profiler: {refused}")
    try:
        rows, far = cuts(path, module, words)
    except (ValueError, RuntimeError, OverflowError, AttributeError) as refused:
        return grouped("none", "; ".join([*reasons, f"cutting: {refused}"]), [])
    told = f"an op +- {far / 1000:.1f} us, types better: differences of the cuts' shortest times; "
    told += "what is fused beyond a cut counts in full"
    return grouped("graph-cut", "; ".join([told, *reasons]), rows)


def grouped(method: str, error: str, rows: Rows) -> dict:
    """The JSON of a profile; types in the order of their time."""
    total = sum(row[3] for row in rows)
    types: dict = {}
    for _, op, _, ns in rows:
        one = types.setdefault(op, {"op": op, "count": 0, "ns": 0.0})
        one["count"] += 1
        one["ns"] += ns
    listed = sorted(types.values(), key=lambda one: -one["ns"])
    return {
        "method": method,
        "error": error,
        "types": [{**one, "share": one["ns"] / total} for one in listed],
        "ops": [dict(zip(("index", "op", "name", "ns"), row)) for row in rows],
    }


def cuts(path: str, module: Any, words: dict) -> tuple[Rows, float]:
    """A row for each op, and by how many nanoseconds a cut's time moves from pass to pass.

    The shortest time of each cut: what else the machine does only ever adds, and a difference of
    two medians would carry the noise of both. Still an op may come out below zero.

    The flatbuffer is changed in place: the main subgraph's operators become fewer, and its outputs
    those of the last of them. What stands nowhere in a model raises ValueError or OverflowError.
    """
    data = bytearray(Path(path).read_bytes())

    def number(at: int, size: int = 4) -> int:
        return int.from_bytes(data[at : at + size], "little")

    def put(at: int, value: int) -> None:
        data[at : at + 4] = value.to_bytes(4, "little")

    def follow(table: int, slot: int) -> int:
        """Where the field of a table leads; its first two bytes say where its vtable is."""
        vtable = table - int.from_bytes(data[table : table + 4], "little", signed=True)
        offset = number(vtable + 4 + 2 * slot, 2) if 4 + 2 * slot < number(vtable, 2) else 0
        if not offset:
            raise ValueError("an op without outputs")
        return table + offset + number(table + offset)

    whole = load(module, words, model_path=path)
    named = {tensor["index"]: tensor["name"] for tensor in whole.get_tensor_details()}
    ops = whole._get_ops_details()
    del whole
    graphs = follow(number(0), 2) + 4  # Model.subgraphs
    graph = graphs + number(graphs)
    operators = follow(graph, 3)
    vtable = graph - int.from_bytes(data[graph : graph + 4], "little", signed=True)
    outputs = graph + number(vtable + 8, 2)  # SubGraph.outputs: the field, to be led elsewhere
    ends = []
    for at in range(operators + 4, operators + 4 + 4 * number(operators), 4):
        ends.append(follow(at + number(at), 2))  # Operator.outputs
    times: list[list[int]] = [[] for _ in ends]
    for _ in range(PASSES):
        for k, end in enumerate(ends):
            put(operators, k + 1)
            put(outputs, end - outputs)
            part = load(module, words, model_content=bytes(data))
            times[k].append(min(timed(part.invoke) for _ in range(CUT_RUNS)))
    best = [min(one) for one in times]
    rows = [
        (k, ops[k]["op_name"], named.get(number(ends[k] + 4)), best[k] - (best[k - 1] if k else 0))
        for k in range(len(ends))
    ]
    return rows, statistics.median(max(one) - min(one) for one in times)


def load(module: Any, words: dict, **source: Any) -> Any:
    """An interpreter whose inputs are zeros."""
    interpreter = module.Interpreter(**source, **words)
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], np.zeros(port["shape"], port["dtype"]))
    return interpreter


def timed(invoke: Any) -> int:
    start = time.perf_counter_ns()
    invoke()
    return time.perf_counter_ns() - start


def in_a_process(path: str, threads: int, runs: int, xnnpack: bool) -> Rows:
    """``events`` in a process of its own: it needs 65 MB for its buffer, and it reads C structures.
    That process ends when this one does, since then its stdin ends."""
    words = [sys.executable, "-c", SOURCE, path]
    words += [str(threads), str(runs), str(int(xnnpack))]
    reading, writing = os.pipe()
    try:
        pipe = subprocess.PIPE
        done = subprocess.run(words, stdin=reading, stdout=pipe, stderr=pipe)
    finally:
        os.close(reading)
        os.close(writing)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise ProfileError(said[-1] if said and done.returncode > 0 else f"ended {done.returncode}")
    return [tuple(row) for row in json.loads(done.stdout.decode().splitlines()[-1])]


def events(model_path: str, threads: int, runs: int, xnnpack: bool, warmup: int = 5) -> Rows:
    """The ops in the order in which they run, with zeros as input; ProfileError says why not.

    The time is the mean of the middle half of the runs: robust like a median, but finer than the
    profiler's whole microseconds. XNNPACK splits, fuses and adds ops: an index that can't be told
    is None, the type then XNNPACK's own name.
    """
    try:
        import ai_edge_litert
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        version = ai_edge_litert.__version__
        if not version.startswith(VERSIONS) or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise ProfileError(f"known of LiteRT 2.2 and 2.3 on 64 bits; this is {version}")
        # _get_ops_details is private as well: op types in the file's order, no delegate applied.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        reader = Interpreter(model_path, experimental_op_resolver_type=plain)
        names = [op["op_name"] for op in reader._get_ops_details()]
        lib = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise ProfileError(str(error)) from error
    if {"WHILE", "IF"} & set(names):  # and with zeros as input a loop may never end
        raise ProfileError("control flow: the ops of its branches would count twice")

    def call(name: str, *arguments: Any) -> None:  # every LiteRtStatus but 0 is an error
        status = getattr(lib, "LiteRt" + name)(*arguments)
        if status:
            raise ProfileError(f"LiteRt{name} gave status {status} for this model")

    def make(name: str, *arguments: Any, undo: str = "") -> Any:
        handle = ctypes.c_void_p()  # the last parameter is where the new handle goes
        call(name, *arguments, ctypes.byref(handle))
        if undo:
            stack.callback(getattr(lib, "LiteRtDestroy" + undo), handle)
        return handle

    first = ctypes.c_size_t(0)  # signature
    keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # the texts are Python's
    kernels = "" if xnnpack else 'kernel_mode = "builtin"\n'
    texts = [  # options travel as TOML
        (b"runtime_options_string", ctypes.create_string_buffer(b"enable_profiling = true\n")),
        (b"xnnpack", ctypes.create_string_buffer(f"num_threads = {threads}\n{kernels}".encode())),
    ]
    # Two LiteRtEnvOption {tag, 2: an integer, value}: 24, register the CPU only (else it looks for
    # GPU and NPU libraries); 25, log errors only.
    quiet = (ctypes.c_int64 * 6)(24, 2, 1, 25, 2, 3)
    with contextlib.ExitStack() as stack:
        environment = make("CreateEnvironment", 2, quiet, undo="Environment")
        model = make("CreateModelFromFile", environment, os.fsencode(model_path), undo="Model")
        options = make("CreateOptions", undo="Options")
        call("SetOptionsHardwareAccelerators", options, 1)  # kLiteRtHwAcceleratorCpu
        for kind, text in texts:
            call("AddOpaqueOptions", options, make("CreateOpaqueOptions", kind, text, keep))
        compiled = make("CreateCompiledModel", environment, model, options, undo="CompiledModel")
        profiler = make("CompiledModelGetProfiler", compiled)  # owned by the compiled model
        signature = make("GetModelSignature", model, first)
        buffers: list = []
        for side in ("Input", "Output"):
            ports = ctypes.c_size_t()
            call(f"GetNumSignature{side}s", signature, ctypes.byref(ports))
            buffers += [ports, (ctypes.c_void_p * ports.value)()]
            for i in range(ports.value):
                at = ctypes.c_size_t(i)
                tensor = make(f"GetSignature{side}TensorByIndex", signature, at)
                shape = ctypes.create_string_buffer(72)  # LiteRtRankedTensorType
                call("GetRankedTensorType", tensor, shape)
                needs = make(f"GetCompiledModel{side}BufferRequirements", compiled, first, at)
                create = "CreateManagedTensorBufferFromRequirements"
                buffer = make(create, environment, shape, needs, undo="TensorBuffer")
                call("ClearTensorBuffer", buffer)
                buffers[-1][i] = buffer.value
        for run in range(-warmup, runs):
            if run == 0:
                call("StartProfiler", profiler)
            call("RunCompiledModel", compiled, first, *buffers)
        call("StopProfiler", profiler)
        count = ctypes.c_int()
        call("GetNumProfilerEvents", profiler, ctypes.byref(count))
        found = np.zeros(count.value, EVENT)
        call("GetProfilerEvents", profiler, count, ctypes.c_void_p(found.ctypes.data))
        # (kind, op, subgraph, tag, microseconds); the tags go with the profiler.
        rows = [(e[1], e[6], e[7], ctypes.string_at(int(e[0])).decode(), e[4]) for e in found]
    invokes = sum(row[0] == DEFAULT and row[3] == "Invoke" for row in rows)
    rows = [row for row in rows if row[0] in (OPERATOR, DELEGATE_OPERATOR)]
    once = rows[: len(rows) // runs]
    # A full buffer (512 Ki events) drops what comes without a word.
    if not rows or invokes != runs or [row[:4] for row in rows] != [row[:4] for row in once * runs]:
        raise ProfileError("the runs did not report the same ops: too many runs?")
    times = np.sort(np.array([row[4] for row in rows], float).reshape(runs, -1), axis=0) * 1000
    result = []
    middle = times[runs // 4 : runs - runs // 4].mean(axis=0)
    for row, index, ns in zip(once, indices(once, names), middle):
        # XNNPACK cuts each time down to whole microseconds: half of one is lost on average.
        lost = 500 if row[0] == DELEGATE_OPERATOR else 0
        op = row[3].split(" (")[0] if index is None else names[index]
        result.append((index, op, row[3], float(ns) + lost))
    return result


def indices(rows: Rows, names: Sequence[str]) -> list[int | None]:
    """The op's index in the file, or None, for each event of one run.

    LiteRT says it for its own kernels only. What XNNPACK runs between two of those is matched in
    order: an op whose type fits, past no more than three that don't.
    """
    stops = [int(row[1]) if row[0] == OPERATOR else None for row in rows] + [len(names)]
    found: list[int | None] = []
    at = 0
    for i, (kind, index, _, tag, _) in enumerate(rows):
        stop = next(stop for stop in stops[i:] if stop is not None)
        match = next((k for k in range(at, stop) if fits(tag.split(" (")[0], names[k])), None)
        # The DEQUANTIZE of float16 weights is folded away: those don't count.
        if match is not None and sum(n != "DEQUANTIZE" for n in names[at:match]) > 3:
            match = None
        match = int(index) if kind == OPERATOR else match
        found.append(match)
        at = at if match is None else match + 1
    return found


def fits(head: str, name: str) -> bool:
    """'Resize Bilinear' is RESIZE_BILINEAR, 'Subtract' SUB, 'Max Pooling' MAX_POOL_2D."""
    short = name.replace("_2D", "").replace("_", "")
    return head.replace(" ", "").upper().startswith(short) or f"{head}={name};" in NAMES


def end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(143)


def main(path: str, threads: str, runs: str, xnnpack: str) -> int:
    """For ``in_a_process``: the rows as JSON on stdout."""
    threading.Thread(target=end_with_stdin, daemon=True).start()
    try:
        rows = events(path, int(threads), int(runs), xnnpack == "1")
    except ProfileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n" + json.dumps(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
