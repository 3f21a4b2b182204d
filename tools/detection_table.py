"""What object detection is worth: every figure that docs/detection.md quotes, measured again.

    python tools/detection_table.py [NAME …] [--bccd PATH] [--seeds 1 2 3] [--set KEY=VALUE …]
        [--shared] [--write]

``bccd`` is BCCD (364 photos of blood cells in Pascal VOC, with its lists) at 257 pixels, half of
the prunable weights zero, QAT; the others are ``pipelines/detect.yaml`` with one backbone each,
seed 1. Epochs are fixed beforehand. Every cell is a ``tfedge run``; what comes of it goes
into ``--results``, and cells that stand there are not run again. ``--write`` puts the tables into
docs/detection.md. ``--shared`` says that other work runs beside it, which changes no accuracy: such
cells have no seconds and no latency. ``--set`` changes keys of all cells, for a quick look, such as
``--set finetune.epochs=1``: these stand apart in the results, and are never written.

MobileNetV3Small starts from Keras' ImageNet weights where these are cached or can be fetched
(``mobilenetv3``), or from random numbers, longer (``mobilenetv3-random``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import accuracy_results
import numpy as np
from page import ROOT, cpu, plus_minus, put_into

from tfedge.edgetpu.edgetpu import predict
from tfedge.tflite.reader import read

RESULTS = ROOT / "docs" / "detection.jsonl"
PAGE = ROOT / "docs" / "detection.md"
DETECT = ROOT / "pipelines" / "detect.yaml"
BCCD = "bccd"
BLOOD: dict[str, Any] = {
    "name": "bccd",
    "task": "object-detection",
    "data": {"image_size": 257, "augment": {"views": 5, "flip_vertical": True}},
    "finetune": {"epochs": 40, "unfreeze": "block_6", "unfreeze_epochs": 20},
    "prune": {"sparsity": 0.5, "epochs": 10},
    "quantize": {"recipe": "qat", "epochs": 6},
    "evaluate": {"robustness": 0},
    "benchmark": {},
}
RANDOM = "mobilenetv3-random"
_V3 = {"backbone.name": "MobileNetV3Small", "data.image_size": 160}
_NO_GATE = {"evaluate.gates.min_map50": None, "evaluate.gates.max_map_drop": None}
SCENES: dict[str, dict[str, Any]] = {  # what each changes in detect.yaml
    "mobilenetv2": {},
    "efficientnet-lite0": {
        "backbone.name": "EfficientNetLite0",
        "data.image_size": 160,
        "finetune.unfreeze": 0.6,
    },
    "mobilenetv3": {**_V3, "backbone.weights": "imagenet", "finetune.unfreeze": 0.6},
    RANDOM: {
        **_V3,
        "backbone.weights": "none",
        "finetune.epochs": 1,
        "finetune.unfreeze": "all",
        "finetune.unfreeze_epochs": 60,
        "finetune.unfreeze_learning_rate": 0.003,
    },
}
TOLD = {
    BCCD: "BCCD, MobileNetV2, 257 pixels, 50 % zero, `qat`",
    "mobilenetv2": "scenes, MobileNetV2, 161 pixels, `qat`",
    "efficientnet-lite0": "scenes, EfficientNet-Lite0, 160 pixels, `qat`",
    "mobilenetv3": "scenes, MobileNetV3Small, 160 pixels, `qat`",
    RANDOM: "scenes, MobileNetV3Small from random weights, 160 pixels, `qat`",
}
_KEPT = 0.02  # of mAP@.5, which int8 may lose and a backbone still counts as supported


class Cell(NamedTuple):
    """What is measured at once."""

    name: str
    seed: int
    set: tuple[str, ...]

    @property
    def key(self) -> dict[str, Any]:
        """As it stands in the results."""
        return {"name": self.name, "seed": self.seed, "set": list(self.set)}


def cells(names: Sequence[str], seeds: Sequence[int], changed: Sequence[str]) -> Iterator[Cell]:
    """Scenes have one seed."""
    for name in names:
        for seed in seeds if name == BCCD else (1,):
            yield Cell(name, seed, tuple(changed))


def run(cell: Cell, bccd: Path, cache: Path) -> dict[str, Any]:
    """One pipeline run, and what it says."""
    with tempfile.TemporaryDirectory() as name:
        folder, file, words = Path(name), DETECT, [f"seed={cell.seed}"]
        if cell.name == BCCD:
            file = folder / "bccd.yaml"
            data = {"path": str(bccd.resolve()), **BLOOD["data"]}
            file.write_text(json.dumps({**BLOOD, "data": data}), encoding="utf-8")
        else:
            changes = {**_NO_GATE, **SCENES[cell.name]}
            words += [f"{key}={json.dumps(value)}" for key, value in changes.items()]
        words += cell.set
        command = [sys.executable, "-m", "tfedge", "run", file, "--cache", cache]
        command += ["--run-dir", folder / "run"]
        command += [part for word in words for part in ("--set", word)]
        began = time.monotonic()
        done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.DEVNULL)
        if done.returncode:  # it has said why
            sys.exit(f"{cell.name}, seed {cell.seed}: tfedge run ended with {done.returncode}")
        return {**figures(folder / "run"), "seconds": time.monotonic() - began, "cpu": cpu()}


def figures(run_dir: Path) -> dict[str, Any]:
    """What a finished run says of itself, and its file. ``head`` is the frozen base's mAP@.5."""
    found = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    metrics, model = found["metrics"], read(run_dir / "convert" / "model.tflite")
    phases = {row["phase"]: row["map50"] for row in metrics["phases"]}
    mapping = predict(model)
    times = {row["model"]: row for row in found["benchmark"] or () if row["threads"] == 1}
    return {
        "head": phases.get("head"),
        **{
            f"{name}_{key}": metrics[name][key]
            for name in ("float", "int8")
            for key in ("map50", "map")
        },
        "n": metrics["n"],
        "boxes": metrics["int8"]["boxes"],
        "bytes": found["model"]["bytes"],
        "sparsity": found["model"]["sparsity"],
        "float_tensors": len(model.float_tensors()),
        "custom_ops": sum(op.custom for op in model.ops),
        "ops": mapping.total,
        "mapped": mapping.mapped,
        "subgraphs": mapping.subgraphs,
        "ms": {name: row["summary"]["median"] / 1e6 for name, row in times.items()},
        "unstable": sorted(name for name, row in times.items() if row["unstable"]),
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a line for each cell, in per cent, and the mean and range of those with several
    seeds."""
    lines = [
        "| | seed | frozen, mAP@.5 | float, mAP@.5 | mAP@.5:.95 | int8, mAP@.5 | mAP@.5:.95 | "
        "int8 − float, mAP@.5 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shapes = [
        "| | test images | bytes | zeros | float tensors | custom ops | ops on the Edge TPU | "
        "float : int8, ms | s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, told in TOLD.items():
        mine = sorted((row for row in rows if row["name"] == name), key=lambda row: row["seed"])
        lines += [f"| {told} | {row['seed']} | {_accuracy([row])} |" for row in mine]
        if len(mine) > 1:
            lines.append(f"| mean of {len(mine)} seeds | | {_accuracy(mine)} |")
        shapes += [f"| {told}, seed {row['seed']} | {_file(row)} |" for row in mine]
    where = ", ".join(sorted({row["cpu"] for row in rows}))
    note = f"({where}; the .tflite files through LiteRT, on test images.)"
    return "\n".join([*lines, "", *shapes, "", note]) + "\n"


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = ("head", "float_map50", "float_map", "int8_map50", "int8_map")
    means = [[row[key] for row in rows] for key in keys]
    parts = ["–" if None in some else f"{np.mean(some):.1%}" for some in means]
    lost = [100 * (row["int8_map50"] - row["float_map50"]) for row in rows]
    error = plus_minus(lost)
    return " | ".join([*parts, f"{np.mean(lost):+.1f}{error}".replace("-", "−")]).replace("%", " %")


def _file(row: Mapping[str, Any]) -> str:
    sparse = "–" if row["sparsity"] is None else f"{row['sparsity']:.0%}".replace("%", " %")
    ms = row["ms"]
    timed = f"{ms['float']:.2f} : {ms['int8']:.2f}" if ms else "–"
    if ms and row["unstable"]:
        timed += " (unstable)"
    seconds = "–" if row["seconds"] is None else f"{row['seconds']:.0f}"
    parts = [row["n"], f"{row['bytes']:,}", sparse, row["float_tensors"], row["custom_ops"]]
    return " | ".join(map(str, [*parts, f"{row['mapped']} of {row['ops']}", timed, seconds]))


def doubts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What docs/detection.md says of all of them, and these do not hold."""
    found = []
    for row in rows:
        who = f"{row['name']}, seed {row['seed']}"
        if row["float_tensors"] or row["custom_ops"]:
            found.append(f"{who}: {row['float_tensors']} float tensors, {row['custom_ops']} custom")
        if row["mapped"] < row["ops"]:
            found.append(f"{who}: {row['ops'] - row['mapped']} ops are left to the CPU")
        lost = row["float_map50"] - row["int8_map50"]
        if lost > _KEPT:
            found.append(f"{who}: int8 loses {100 * lost:.1f} points of mAP@.5, more than 2")
        found += [f"{who}: the latency of {name} is unstable" for name in row["unstable"]]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [name for name in TOLD if name != "mobilenetv3"]
    parser.add_argument(
        "names", nargs="*", default=names, metavar="NAME", help=f"of {', '.join(TOLD)}"
    )
    parser.add_argument("--bccd", type=Path, metavar="PATH", help="BCCD's folder")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--shared", action="store_true", help="other work runs beside it")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for runs; else thrown away")
    parser.add_argument("--write", action="store_true", help="put it into docs/detection.md")
    given = parser.parse_args()
    if unknown := sorted({*given.names} - {*TOLD}):
        parser.error(f"no such cell: {', '.join(unknown)}; there are {', '.join(TOLD)}")
    if BCCD in given.names and given.bccd is None:
        parser.error("--bccd: where BCCD lies, or name other cells")
    if given.write and given.set:
        parser.error("--write: only what is measured without --set")
    rows = [*accuracy_results.rows(given.results)]
    asked = [*cells(given.names, given.seeds, given.set)]
    with tempfile.TemporaryDirectory() as folder:
        cache = (given.cache or Path(folder)).absolute()
        for cell in asked:
            if any(cell.key.items() <= row.items() for row in rows):
                continue
            found = run(cell, given.bccd, cache)
            if given.shared:
                found |= {"seconds": None, "ms": {}, "unstable": []}
            rows.append({**cell.key, **found})
            accuracy_results.append_row(given.results, rows[-1])
            print(cell.key, found, flush=True)
    keys = [cell.key for cell in asked]
    shown = [row for row in rows if any(key.items() <= row.items() for key in keys)]
    print(table(shown))
    if found := doubts(shown):
        print("\n".join(found))
    if given.write:
        if shaky := [f"{row['name']}, seed {row['seed']}" for row in shown if row["unstable"]]:
            sys.exit(f"not written, since latencies are unstable: {'; '.join(shaky)}")
        put_into(PAGE, "detection table", "tools/detection_table.py", table(shown))


if __name__ == "__main__":
    main()
