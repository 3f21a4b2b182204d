"""Run a model from elsewhere in a process of its own: interpreters trust a file, and one that was
made to do harm, or was damaged where no reader looks, takes the process with it.

``answers`` starts the process, whose program is ``main``.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfedge.errors import ArtifactError, UnsupportedModel
from tfedge.tflite.runtime import LiteRT, Port, SideBySide, by_name, runtime_version

SECONDS = 120.0  # for all answers together
# Isolated: nothing is imported from the current folder, which may be that of a hostile drop.
_START = f"import sys; sys.path[:] = sys.argv[1:]; from {__name__} import main; main()"
_TOLD = 500  # characters of an interpreter's reason


@dataclass(frozen=True)
class Answers:
    """What a model made of each input, as it stores it; ``ports`` are its outputs."""

    runtime: str  # "LiteRT 2.3.0"
    ports: SideBySide
    outputs: tuple[np.ndarray, ...]


def answers(model: Path, inputs: Sequence[Path], seconds: float = SECONDS) -> Answers:
    """Run a model over files that hold an input each, raw; its outputs stand side by side.

    ArtifactError when it can't be loaded or run, when its process dies, or gives no answer in time.
    """
    asked = json.dumps({"model": str(model), "inputs": list(map(str, inputs))})
    called = f"LiteRT {runtime_version()}"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _START, *filter(None, sys.path)],
            input=asked.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        what = f"{called} gave no answer in {seconds:.0f} s, and was ended"
        raise ArtifactError(model, what) from error
    head, _, rest = done.stdout.partition(b"\n")
    if done.returncode < 0:
        what = f"{called} crashed on it ({_signal(-done.returncode)}), in a process of its own"
        raise ArtifactError(model, what)
    if done.returncode or not head:
        raise ArtifactError(model, f"{called} ended with {done.returncode} on it")
    told = json.loads(head)
    if "error" in told:
        raise ArtifactError(model, f"{called} can't run it: {told['error']}")
    return _answers(called, told, rest)


def _answers(called: str, told: dict, rest: bytes) -> Answers:
    ports = SideBySide(tuple(_port(one) for one in told["outputs"]))
    size = len(rest) // told["count"] if told["count"] else 0
    parts = [rest[i * size : (i + 1) * size] for i in range(told["count"])]
    found = [np.frombuffer(part, ports.dtype).reshape(ports.shape[1:]) for part in parts]
    return Answers(called, ports, tuple(found))


def _port(told: dict) -> Port:
    dtype, shape = np.dtype(told["dtype"]), tuple(told["shape"])
    return Port(told["name"], dtype, shape, told["scale"], told["zero_point"])


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _bound() -> None:
    """No core file, no more memory than the machine has, and the first to go when it runs out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, ValueError):  # there are systems without either
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (whole, whole))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _run(model: str, inputs: Sequence[str]) -> tuple[dict, list[bytes]]:
    runtime = LiteRT(model)
    given, taken = runtime.inputs(), runtime.outputs()
    if not given or not taken:
        raise ValueError(f"it has {len(given)} inputs and {len(taken)} outputs")
    ports = SideBySide.of(taken)
    places = [taken.index(port) for port in ports.ports]
    outputs = []
    for path in inputs:
        shown = _parts(np.fromfile(path, given[0].dtype), given)
        made = runtime.invoke(*shown)
        stored = ports.joined([made[place] for place in places])
        outputs.append(np.ascontiguousarray(stored).tobytes())
    told = [
        {
            "name": port.name,
            "dtype": port.dtype.str,
            "shape": list(port.shape),
            "scale": port.scale,
            "zero_point": port.zero_point,
        }
        for port in ports.ports
    ]
    return {"outputs": told, "count": len(outputs)}, outputs


def _parts(values: np.ndarray, ports: Sequence[Port]) -> list[np.ndarray]:
    """What each input gets of one example: in a file they stand in the order of their names."""
    if len({(port.dtype, port.shape) for port in ports}) > 1:
        raise ValueError("its inputs differ in type or shape")
    rows = values.reshape(len(ports), *ports[0].shape)
    return by_name(rows, ports)


def main() -> None:
    """The program of the process: what to do comes as JSON, what was found goes out as JSON and
    the raw outputs behind it."""
    out = os.dup(1)
    os.dup2(2, 1)  # whatever else prints
    _bound()
    asked = json.load(sys.stdin)
    try:
        told, outputs = _run(asked["model"], asked["inputs"])
    except ArtifactError as error:
        told, outputs = {"error": error.message.removeprefix(f"{error.path}: ")}, []
    except UnsupportedModel as error:
        told, outputs = {"error": error.message}, []
    except (RuntimeError, ValueError, TypeError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        told, outputs = {"error": reason[:_TOLD]}, []
    with os.fdopen(out, "wb") as file:
        file.write(json.dumps(told).encode() + b"\n")
        file.writelines(outputs)
