"""Time one model in this, fresh, process: ``python -m tfedge.bench.worker MODEL --threads 2``.

Prints one JSON object. Imports the standard library, numpy and LiteRT only, so that peak memory is
the runtime's and the model's. All times are nanoseconds of ``time.perf_counter_ns``.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

SEED = 1


def memory(field: str) -> int | None:
    """``VmHWM`` (peak) or ``VmRSS`` (now) of this process in bytes; None where there is no /proc.

    Not ``ru_maxrss``: a child inherits the peak of the process that started it, and resetting
    the peak does not lower that.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    lines = (line.split() for line in text.splitlines())
    return next(
        (int(words[1]) * 1024 for words in lines if words and words[0] == f"{field}:"), None
    )


def reset_peak() -> bool:
    """Set the peak to what is in use now, so that it leaves out the imports (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def random_input(detail: dict, rng: np.random.Generator) -> np.ndarray:
    """Pixels of every value for integers, values in [0, 1) for floats."""
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(
            max(limits.min, -128), min(limits.max, 255), shape, dtype, endpoint=True
        )
    return rng.random(shape).astype(dtype)


def timed(invoke: Callable[[], None], times: int) -> list[int]:
    samples = []
    for _ in range(times):
        start = time.perf_counter_ns()
        invoke()
        samples.append(time.perf_counter_ns() - start)
    return samples


def measure(model: Path, threads: int, runs: int, warmup: int) -> dict:
    """Load, first inference, ``warmup`` and ``runs`` further ones, peak memory in bytes."""
    was_reset = reset_peak()
    base = memory("VmRSS")
    start = time.perf_counter_ns()
    interpreter = Interpreter(model_path=str(model), num_threads=threads)
    interpreter.allocate_tensors()
    load_ns = time.perf_counter_ns() - start
    rng = np.random.default_rng(SEED)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], random_input(detail, rng))
    gc.collect()
    gc.disable()
    first_ns = timed(interpreter.invoke, 1)[0]
    warmup_ns = timed(interpreter.invoke, warmup)
    samples_ns = timed(interpreter.invoke, runs)
    return {
        "runtime": "LiteRT",
        "runtime_version": version("ai-edge-litert"),
        "threads": threads,
        "load_ns": load_ns,
        "first_ns": first_ns,
        "warmup_ns": warmup_ns,
        "samples_ns": samples_ns,
        "peak_bytes": memory("VmHWM") if was_reset else None,
        "base_bytes": base,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tfedge.bench.worker", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--warmup", type=int, default=10)
    args = parser.parse_args(argv)
    try:
        result = measure(args.model, args.threads, args.runs, args.warmup)
    except (ValueError, RuntimeError, OSError) as error:
        sys.stderr.write(f"{args.model}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
