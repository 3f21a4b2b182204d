"""What every family of backbones does in prune, QAT and int8: run it, and write the table.

    python tools/support_table.py [--all | --kept] [--write] [--work DIR] [--tflite-runtime PYTHON]
        [NAME ...]

For the smallest member of each family (``--all``: for every net of the catalogue; NAME: for these)
two pipelines run through ``tfedge run``: random weights, scikit-learn's handwritten digits, all of
the net trained, half of its prunable weights pruned, then quantization-aware training (QAT) and,
from the same pruned net, post-training quantization (PTQ), the float net as teacher throughout.
Both files are evaluated on the test digits, held against their Keras graph there, and run on
tflite-runtime 2.14, for which an environment is made unless ``--tflite-runtime`` names a Python
that has it. With ``--all`` members that are not the smallest train briefly: whether they convert is
what they are asked. ``--work`` keeps the runs, as ``DIR/NAME-qat`` and ``DIR/NAME-ptq``: trained
nets for ``tools/int8_table.py``.

Every row goes into ``tfedge/catalog/support.json`` as soon as it is known, with its date and the
versions, for ``tfedge backbones``; ``--write`` puts the families' table into README.md, with the
latencies of docs/int8.jsonl beside it. ``--kept`` runs nothing: the table is of what is there.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import int8_table
import numpy as np
from latency_table import with_tflite_runtime
from page import ROOT, cpu, put_into_readme

from tfedge.catalog.backbones import BACKBONES, net
from tfedge.catalog.support import FILE, SMALLEST, load
from tfedge.data.index import Index
from tfedge.data.samples import sample_root
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import load_graph
from tfedge.tasks.support import HEAD, cells_of, origin
from tfedge.tflite.runtime import predict

SAMPLE = "sample:digits"
LARGE = 64  # pixels a side of a cheap net; else the smallest that the net takes
CHEAP = 1e9  # multiply-accumulates at the native size
PIPELINE = """\
name: {name}
data: {{path: "sample:digits", image_size: {size}, split: {{val: {val}, test: {test}}}}}
backbone: {{name: {name}, weights: none}}
finetune:
  {{epochs: 1, batch_size: 64, unfreeze: all, unfreeze_epochs: {epochs},
  unfreeze_learning_rate: {rate}}}
prune:
  {{sparsity: 0.5, epochs: {prune_epochs}, batch_size: {batch}, learning_rate: {prune_rate},
  teacher: 0.7, hints: 1.0}}
quantize:
  {{recipe: {recipe}, epochs: {quantize_epochs}, batch_size: {batch},
  learning_rate: {quantize_rate}, teacher: 0.7, hints: 1.0, debug: false}}
evaluate: {{robustness: 0}}
"""


class Training(NamedTuple):
    """The highest learning rates, and epochs."""

    rate: float = 1e-3
    prune_rate: float = 2e-4
    quantize_rate: float = 1e-4
    epochs: int = 6
    prune_epochs: int = 2
    quantize_epochs: int = 2


LONGER = Training(prune_epochs=4, quantize_epochs=4)
OWN = {  # by family: those that end below their float net, or far from trained, otherwise
    "VGG": Training(1e-4, 1e-4, 5e-5, prune_epochs=4),  # without batch norm: smaller steps
    "Inception": LONGER,
    "Xception": LONGER,
    "RegNet": LONGER._replace(epochs=12),
}


def cheap(name: str) -> bool:
    """An image costs little."""
    return net(name).macs < CHEAP


def size_of(name: str) -> int:
    """Pixels a side."""
    return max(BACKBONES[name].min_size, LARGE if cheap(name) else 32)


def pipeline(name: str, recipe: str) -> str:
    """The YAML of one run."""
    plan = OWN.get(BACKBONES[name].family, Training())
    if not (thorough := name in SMALLEST):
        plan = plan._replace(epochs=1, prune_epochs=1, quantize_epochs=1)
    return PIPELINE.format(
        name=name,
        recipe=recipe,
        size=size_of(name),
        val=0.15 if thorough else 0.4,
        test=0.15 if thorough else 0.4,
        batch=16 if cheap(name) else 32,  # what a step of a large net costs hangs on its weights
        **plan._asdict(),
    )


def run(name: str, recipe: str, work: Path, cache: Path) -> dict[str, Any]:
    """One pipeline run: its run.json, or ``error``: the words that it ended with."""
    file, folder = work / f"{name}-{recipe}.yaml", work / f"{name}-{recipe}"
    file.write_text(pipeline(name, recipe), encoding="utf-8")
    command = [sys.executable, "-m", "tfedge", "run", file, "--run-dir", folder, "--cache", cache]
    ended = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        return {"error": " ".join(said[-3:]), "exit_code": ended.returncode}
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return found | {"folder": folder}


def test_pixels(folder: Path, cache: Path, size: int) -> np.ndarray:
    """The test images of a run, uint8 [n, size, size, 3]."""
    index = Index.load(folder / "data" / "index.json")
    images = DecodedImages(index, sample_root(SAMPLE, cache), cache, size, "crop")
    return images.pixels(index.rows_of("test"))


def like_keras(folder: Path, pixels: np.ndarray, answers: np.ndarray) -> float:
    """Share of the images to which the .tflite and its Keras graph give the same class."""
    graph = load_graph(folder / "quantize" / "graph.pb")
    (output,) = (spec.name for spec in graph.outputs)

    @tf.function
    def keras(given: Any) -> Any:
        fed = {"input:0": given}
        return tf.graph_util.import_graph_def(graph.definition, fed, [f"{output}:0"], name="")[0]

    said = [np.ravel(keras(tf.constant(p[None].astype(np.float32)))) for p in pixels]
    return float((np.stack(said).argmax(1) == answers.argmax(1)).mean())


def like_litert(
    model: Path, pixels: np.ndarray, answers: np.ndarray, python: Path
) -> tuple[float | None, str]:
    """Share of the images to which that Python's interpreter gives LiteRT's class; None, and its
    words, where the file does not run there."""
    with tempfile.TemporaryDirectory() as name:
        taken, given = Path(name) / "in.npy", Path(name) / "out.npy"
        np.save(taken, pixels)
        command = [python, ROOT / "tools" / "answers.py", model, taken, given]
        ended = subprocess.run([*map(str, command)], capture_output=True, text=True)
        if ended.returncode:
            return None, (ended.stderr.strip().splitlines() or [f"exit {ended.returncode}"])[-1]
        return float((np.load(given).argmax(1) == answers.argmax(1)).mean()), ""


def column(found: dict[str, Any], cache: Path, size: int, python: Path) -> dict[str, Any]:
    """What is told of one recipe."""
    if "error" in found:
        return {"ok": False, "error": found["error"]}
    model, metrics, folder = found["model"], found["metrics"], found["folder"]
    file, pixels = folder / "convert" / "model.tflite", test_pixels(folder, cache, size)
    answers = predict(file, pixels)
    elsewhere, why = like_litert(file, pixels, answers, python)
    return {
        "ok": True,
        "top1": metrics["int8"]["top1"],
        "float_top1": metrics["float"]["top1"],
        "like_float": metrics["agreement"],
        "like_keras": like_keras(folder, pixels, answers),
        "float_tensors": model["float_tensors"],
        "sparsity": model["sparsity"],
        "bytes": model["bytes"],
        "tflite_runtime": elsewhere,
        "tflite_runtime_said": why,
    }


def row_of(name: str, work: Path, cache: Path, python: Path) -> dict[str, Any]:
    """Everything about one net."""
    size = size_of(name)
    runs = {recipe: run(name, recipe, work, cache) for recipe in ("qat", "ptq")}
    columns = {recipe: column(found, cache, size, python) for recipe, found in runs.items()}
    versions = next((found["versions"] for found in runs.values() if "versions" in found), {})
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "versions": versions,
        "machine": f"{cpu()}, {len(os.sched_getaffinity(0))} cores",
        "image_size": size,
        "thorough": name in SMALLEST,
        "n": next((found["metrics"]["n"] for found in runs.values() if "metrics" in found), 0),
        **columns,
    }


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: what ``tfedge backbones`` shows, and the latency of tools/int8_table.py."""
    timed = int8_table.load(int8_table.RESULTS)
    head = [*HEAD, *["int8 : float latency"] * bool(timed)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, row in rows.items():
        share = int8_table.share(timed[name]) if name in timed else "–"
        lines.append([*cells_of(name, row), *[share] * bool(timed)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every net of the catalogue")
    which.add_argument("--kept", action="store_true", help="run nothing, show what is there")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--tflite-runtime", type=Path, metavar="PYTHON", help="that has it")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for runs; else thrown away")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the runs there")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    names = arguments.names or [*(BACKBONES if arguments.all else SMALLEST)]
    if unknown := set(names) - set(BACKBONES):
        parser.error(f"no such backbone: {', '.join(sorted(unknown))}")
    if arguments.kept and arguments.names:
        parser.error("--kept shows the smallest member of each family: it takes no names")
    if not arguments.kept:
        _measure(names, arguments)
    shown = {name: row for name, row in load().items() if name in SMALLEST}
    text = f"{table(shown)}\n{origin(shown)}\n"
    print(text)
    if arguments.write:
        put_into_readme("support", "tools/support_table.py", text)


def _measure(names: Sequence[str], arguments: argparse.Namespace) -> None:
    """Run the pipelines of these nets; a row is kept as soon as it is known."""
    with tempfile.TemporaryDirectory() as folder:
        work = (arguments.work or Path(folder)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        python = (arguments.tflite_runtime or with_tflite_runtime(work)).absolute()
        cache = (arguments.cache or work / "cache").absolute()
        for name in names:
            row = row_of(name, work, cache, python)
            rows = load() | {name: row}  # with what others have written in the meantime
            content = {key: rows[key] for key in BACKBONES if key in rows}
            FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            print(table({name: rows[name]}), flush=True)


if __name__ == "__main__":
    main()
