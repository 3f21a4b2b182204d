"""Does tools/bench_tflite.py measure what LiteRT's own benchmark measures?

    python tools/against_litert_benchmark.py MODEL [MODEL…] [--threads 1] [--rounds 15]

Every round runs one fresh process of each for every model, right after one another and in turns
first, so that whatever else the machine does meets both. Compared is the ratio of the two medians
of a round (ours / theirs): printed is its median over the rounds, with the interval that covers
the true median with 95 % probability.

LiteRT's benchmark is `litert-benchmark`, which comes with ai-edge-litert 2.2 and newer and so with
`pip install litert-cli`. Both run in the same interpreter, hence with the same LiteRT: this one if
it has it, else the one of the `litert-benchmark` on the PATH. XNNPACK on the CPU.

Exit codes: 0 they agree within --within percent · 1 they differ by more · 2 usage · 3 it can't be
told: the interval reaches over the limit (more rounds, a quieter machine) · 4 a process failed or
no litert-benchmark was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

OURS = Path(__file__).resolve().with_name("bench_tflite.py")
MODULE = "ai_edge_litert.tools.benchmark_litert_model"
# Their JSON rounds to 0.01 ms, which is 5 % of a model of 0.2 ms. The rounding alone is switched
# off, in the namespace of their module; what and how they measure stays theirs.
THEIRS = f"import {MODULE} as tool; tool.round = lambda value, digits: value; tool.main()"
VERSION = "import importlib.metadata as m; print(m.version('ai-edge-litert'))"
TIMEOUT_S = 900
RUNNABLE = "both tools must be able to run this model"
AGREE, DIFFER, UNCLEAR, FAILED = 0, 1, 3, 4


def fail(message: str, hint: str) -> NoReturn:
    print(f"{message}\nhint: {hint}", file=sys.stderr)
    sys.exit(FAILED)


def interpreter(named: str | None) -> str:
    """The Python that has litert-benchmark: the named one, this one, or that of the PATH."""
    install = "pip install litert-cli, then --python-of-litert-cli THAT_PYTHON"
    if named:
        return shutil.which(named) or named
    try:
        if importlib.util.find_spec(MODULE):
            return sys.executable
    except ModuleNotFoundError:
        pass
    if (script := shutil.which("litert-benchmark")) is None:
        fail("neither this Python nor the PATH has litert-benchmark", install)
    first = Path(script).read_bytes().split(b"\n", 1)[0].decode(errors="replace")
    python = first.removeprefix("#!").strip()
    if not Path(python).is_file():
        fail(f"{script}: can't tell its Python from {first!r}", install)
    return python


def output(words: Sequence[str], hint: str) -> str:
    """Standard output of a process that must end well."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        fail(f"{words[0]}: {error}", hint)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        fail(f"{' '.join(words)}\nended with {done.returncode}:\n{said}", hint)
    return done.stdout


def ours(python: str, model: Path, arguments: argparse.Namespace) -> float:
    """Milliseconds: the median of one process of bench_tflite.py."""
    words = [python, str(OURS), str(model), "--threads", str(arguments.threads)]
    words += ["--runs", str(arguments.runs), "--warmup", str(arguments.warmup)]
    words += ["--runtime", "litert", "--delegate", "xnnpack", "--json", "-"]
    (result,) = json.loads(output(words, RUNNABLE))["results"]
    return result["summary"]["median"] / 1e6


def theirs(python: str, model: Path, arguments: argparse.Namespace) -> float:
    """Milliseconds: the median of one process of litert-benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "result.json"
        words = [python, "-c", THEIRS, f"--model={model}", f"--num_threads={arguments.threads}"]
        words += [f"--num_runs={arguments.runs}", f"--warmup_runs={arguments.warmup}"]
        output([*words, f"--result_json={report}"], RUNNABLE)
        return json.loads(report.read_text(encoding="utf-8"))["latency"]["median_ms"]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Covers the median of what they were drawn from with at least 95 %; any distribution.

    Between the k-th smallest and the k-th largest: the median lies beyond one of them as often as
    fewer than k of n tosses of a coin show heads. Unbounded below six values.
    """
    n, k, tail = len(values), 0, 0.0
    while (tail := tail + math.comb(n, k) / 2**n) <= 0.025:
        k += 1
    ordered = sorted(values)
    return (ordered[k - 1], ordered[-k]) if k else (-math.inf, math.inf)


def verdict(ratios: Sequence[float], within: float) -> tuple[str, int]:
    """What the ratios say about "the same within so many percent", and its exit code."""
    low, high = interval(ratios)
    margin = within / 100
    if 1 - margin <= low and high <= 1 + margin:
        return f"agree within {within:g} %", AGREE
    if high < 1 - margin or 1 + margin < low:
        return f"DIFFER by more than {within:g} %", DIFFER
    return f"can't tell at {within:g} %: more rounds, or a quieter machine", UNCLEAR


def load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def main() -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL")
    parser.add_argument("--python-of-litert-cli", metavar="PYTHON", help="runs both tools")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=200, help="in each process")
    parser.add_argument("--warmup", type=int, default=20, help="in each process, not counted")
    parser.add_argument("--rounds", type=int, default=15, help="processes of each tool")
    parser.add_argument("--within", type=float, default=3.0, metavar="PERCENT")
    arguments = parser.parse_args()
    if min(arguments.threads, arguments.runs, arguments.rounds) < 1 or arguments.warmup < 0:
        parser.error("--threads, --runs and --rounds start at 1")
    if missing := [str(model) for model in arguments.models if not model.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    python = interpreter(arguments.python_of_litert_cli)
    version = output([python, "-c", VERSION], "needs a Python with ai-edge-litert 2.2 or newer")
    print(f"LiteRT {version.strip()}, {platform.machine()}, {os.cpu_count()} cores, load {load()}")
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, in each process of both tools")
    print(f"{arguments.warmup} warm-ups and {arguments.runs} runs")
    tools: list[Callable[[str, Path, argparse.Namespace], float]] = [ours, theirs]
    pairs = [(tool, model) for tool in tools for model in arguments.models]
    medians: dict[tuple[object, Path], list[float]] = {pair: [] for pair in pairs}
    for turn in range(arguments.rounds):
        for model in arguments.models:
            for tool in tools if turn % 2 == 0 else reversed(tools):
                medians[tool, model].append(tool(python, model, arguments))
    codes = []
    for model in arguments.models:
        mine, other = medians[ours, model], medians[theirs, model]
        ratios = [a / b for a, b in zip(mine, other, strict=True)]
        low, high = interval(ratios)
        said, code = verdict(ratios, arguments.within)
        codes.append(code)
        print(
            f"{model.name}: bench_tflite.py {statistics.median(mine):.4f} ms, litert-benchmark "
            f"{statistics.median(other):.4f} ms, ratio {statistics.median(ratios):.4f} "
            f"[{low:.4f}, {high:.4f}], rounds from {min(ratios):.3f} to {max(ratios):.3f}: {said}"
        )
    print(f"load afterwards {load()}")
    return next((code for code in (DIFFER, UNCLEAR) if code in codes), AGREE)


if __name__ == "__main__":
    sys.exit(main())
