"""What the recipes do to accuracy on texts: over sets and splits, on texts held out.

    python tools/text_table.py NAME=PATH [NAME=PATH …] [--splits N] [--recipes NAME …]
        [--few N …] [--length N] [--shared] [--write]

PATH is a folder with a folder of ``.txt`` for each class, or a table of texts and labels; each
split draws train, validation and test (70, 10, 20 %) by the content and the split's number.
Every cell is a ``tfedge run`` of its own; what comes of it goes into ``--results``, and cells that
stand there are not run again. ``--write`` puts the table into docs/texts.md: means over the splits.
``--shared`` says that other work runs beside it, which changes no accuracy: such cells have no
seconds.

``--few 10 50`` trains on as many texts of each class, another draw in each split. Beside them
stands one validation text of each class, which no head is fitted to: without any,
``data.split.val`` would take a fifth of those to train on.

Beside the recipes stand two baselines of scikit-learn's on the same splits: logistic regression on
words and pairs of words (TF-IDF), and on the features of the frozen encoder, as anyone would fit it
(``lr``: standardised, its penalty chosen by cross-validation).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import accuracy_results
import numpy as np
from accuracy_logistic import searched
from page import ROOT, cpu, plus_minus, put_into

RESULTS = ROOT / "docs" / "texts.jsonl"
BASELINE, REGRESSION = "tf-idf", "lr"
FEW = "frozen"  # the recipe of few texts
_WORDS: dict[str, Any] = {"backbone": {"name": "words"}, "data": {"length": 256}}
_MINILM = {"teacher": {"name": "minilm-l6"}}
RECIPES: dict[str, dict[str, Any]] = {
    "words": _WORDS,
    "words-frozen": {**_WORDS, "finetune": {"unfreeze": "none"}},
    "words-labels": {**_WORDS, "quantize": {"recipe": "qat", "teacher": 0, "hints": 0}},
    "words-float": {**_WORDS, "quantize": {"recipe": "qat"}},
    "words-minilm": {**_WORDS, "distill": _MINILM, "quantize": {"recipe": "qat"}},
    "frozen": {},
    "dynamic": {"quantize": {"recipe": "dynamic"}},
    "unfrozen": {"finetune": {"unfreeze": 2}, "quantize": {"recipe": "auto"}},
    "all": {"finetune": {"unfreeze": 6}, "quantize": {"recipe": "auto"}},
    "pruned": {"prune": {"sparsity": 0.5}, "quantize": {"recipe": "qat"}},
}
DEFAULT = ["words", "frozen", "dynamic", "unfrozen", "all", "pruned"]
TOLD = {
    BASELINE: "logistic regression on TF-IDF of words and pairs (scikit-learn)",
    REGRESSION: "logistic regression on MiniLM's features (scikit-learn)",
    "words": "word vectors (`words`, 256 pieces), ptq",
    "words-frozen": "word vectors, their table frozen",
    "words-labels": "word vectors, QAT on labels alone",
    "words-float": "word vectors, QAT, the float model teaches",
    "words-minilm": "word vectors, QAT, MiniLM teaches (`distill`)",
    "frozen": "MiniLM frozen, ptq",
    "dynamic": "MiniLM frozen, dynamic",
    "unfrozen": "MiniLM, its top 2 layers unfrozen, auto",
    "all": "MiniLM, all its layers unfrozen, auto",
    "pruned": "MiniLM, 50 % pruned, QAT",
}


class Text(NamedTuple):
    text: str
    label: str


def read(path: Path) -> list[Text]:
    """All different texts of a folder or a table."""
    if path.is_dir():
        found = [
            Text(file.read_text(encoding="utf-8"), file.parent.name)
            for file in sorted(path.glob("**/*.txt"))
        ]
    else:
        with path.open(encoding="utf-8", newline="") as file:
            found = [Text(row["text"], row["label"]) for row in csv.DictReader(file)]
    return list({one.text: one for one in found}.values())


def split_of(text: str, number: int) -> str:
    """By content: the same text is in the same split, whatever its file is called."""
    share = int(hashlib.sha256(f"{number} {text}".encode()).hexdigest()[:8], 16) / 2**32
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


class Parted(NamedTuple):
    """A text with its split."""

    text: str
    label: str
    split: str


def parted(texts: list[Text], number: int, few: int | None) -> list[Parted]:
    """The texts of a split's number; with ``few`` so many of each class to train on, one to
    validate, and the test texts."""
    every = [Parted(*one, split_of(one.text, number)) for one in texts]
    if few is None:
        return every
    drawn = sorted(
        (one for one in every if one.split == "train"),
        key=lambda one: hashlib.sha256(f"few {number} {one.text}".encode()).digest(),
    )
    classes = sorted({one.label for one in texts})
    chosen = [[one for one in drawn if one.label == name][:few] for name in classes]
    val = [one for one in every if one.split == "val"]
    chosen += [[one for one in val if one.label == name][:1] for name in classes]
    return [one for some in chosen for one in some] + [one for one in every if one.split == "test"]


def baseline(texts: list[Parted]) -> dict[str, Any]:
    """Top-1 on the test split; the penalty is chosen by five folds of the others."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline

    train = [one for one in texts if one.split != "test"]
    test = [one for one in texts if one.split == "test"]
    began = time.monotonic()
    learner = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegressionCV(Cs=8, cv=5, max_iter=400, scoring="neg_log_loss"),
    )
    learner.fit([one.text for one in train], [one.label for one in train])
    right = learner.predict([one.text for one in test])
    top1 = float(np.mean(right == np.asarray([one.label for one in test])))
    return {"float": top1, "n": len(test), "seconds": time.monotonic() - began}


def regression(texts: list[Parted], features: Features, seed: int) -> dict[str, Any]:
    """Top-1 on the test split of the regression on the frozen encoder's features."""
    said = features([one.text for one in texts]).astype(np.float64)
    labels = np.asarray([one.label for one in texts])
    test = np.asarray([one.split == "test" for one in texts])
    _, numbers = np.unique(labels, return_inverse=True)
    began = time.monotonic()
    found = searched(said[~test], numbers[~test], seed)
    top1 = float(np.mean(found.predict(said[test]) == numbers[test]))
    return {"float": top1, "n": int(test.sum()), "seconds": time.monotonic() - began}


class Features:
    """Of all texts of a set, computed when they are first asked for."""

    def __init__(self, texts: list[Text], length: int, cache: Path) -> None:
        self._texts, self._length, self._cache = texts, length, cache
        self._rows: dict[str, np.ndarray] = {}

    def __call__(self, texts: list[str]) -> np.ndarray:
        """float32 [texts, features]."""
        if not self._rows:
            every = [one.text for one in self._texts]
            self._rows = dict(zip(every, self._computed(every), strict=True))
        return np.stack([self._rows[text] for text in texts])

    def _computed(self, texts: list[str]) -> np.ndarray:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pipeline, given, target = (folder / one for one in ("cell.yaml", "in.json", "out.npy"))
            pipeline.write_text(json.dumps(_pipeline({}, self._length)), encoding="utf-8")
            given.write_text(json.dumps(texts), encoding="utf-8")
            called(ROOT / "tools" / "text_features.py", pipeline, self._cache, given, target)
            found: np.ndarray = np.load(target)
        return found


def _pipeline(recipe: dict[str, Any], length: int) -> dict[str, Any]:
    data = {"path": "texts.csv", "length": length, "on_conflict": "drop", "on_leak": "drop"}
    return {
        "name": "cell",
        "task": "text-classification",
        "quantize": {"recipe": "ptq"},
        "evaluate": {"robustness": 0},
        **recipe,
        "data": data | recipe.get("data", {}),
    }


def called(*words: object) -> None:
    subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def run(texts: list[Parted], recipe: str, length: int, cache: Path) -> dict[str, Any]:
    """One pipeline run, and what its run.json says."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label", "split"])
            writer.writerows(texts)
        content = _pipeline(RECIPES[recipe], length)
        (folder / "cell.yaml").write_text(json.dumps(content), encoding="utf-8")
        where = ("--run-dir", folder / "run", "--cache", cache)
        began = time.monotonic()
        called("-m", "tfedge", "run", folder / "cell.yaml", *where)
        found = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
    return {
        "float": found["metrics"]["float"]["top1"],
        "int8": found["metrics"]["int8"]["top1"],
        "agreement": found["metrics"]["agreement"],
        "n": found["metrics"]["n"],
        "bytes": found["model"]["bytes"],
        "deflated": found["model"]["deflated"],
        "sparsity": found["model"]["sparsity"],
        "seconds": time.monotonic() - began,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: means over the splits, and the standard error of int8 minus float."""
    lines = [
        "| set, pieces | recipe | splits | float | int8 | int8 − float | agreement | MB deflated | "
        "s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for of in dict.fromkeys((row["set"], row["length"], row["few"]) for row in rows):
        name, length, few = of
        what = f"{name}, {length}" + (f", {few} texts a class" if few else "")
        for recipe, told in TOLD.items():
            cells = [
                row
                for row in rows
                if (row["set"], row["length"], row["few"], row["recipe"]) == (*of, recipe)
            ]
            if cells:
                lines.append(f"| {what} | {told} | {len(cells)} | {_figures(cells)} |")
    return "\n".join(lines) + f"\n\n({cpu()}; accuracy on held-out texts, through LiteRT.)\n"


def _figures(cells: list[dict[str, Any]]) -> str:
    """The cells of a line, from ``float`` on."""

    def mean(key: str) -> float:
        return float(np.mean([cell[key] for cell in cells]))

    timed = [cell["seconds"] for cell in cells if cell["seconds"] is not None]
    seconds = f"{np.mean(timed):.0f}" if timed else "–"
    if "int8" not in cells[0]:
        return f"{mean('float'):.1%} | – | – | – | – | {seconds}"
    lost = [100 * (cell["int8"] - cell["float"]) for cell in cells]
    error = plus_minus(lost)
    return (
        f"{mean('float'):.1%} | {mean('int8'):.1%} | {np.mean(lost):+.1f}{error} | "
        f"{mean('agreement'):.1%} | {mean('deflated') / 1e6:.1f} | {seconds}"
    ).replace("-", "−")


class Cell(NamedTuple):
    """What is measured at once."""

    set: str
    length: int
    split: int
    recipe: str
    few: int | None


def cells(arguments: argparse.Namespace) -> Iterator[tuple[Cell, Path]]:
    """Each cell that is asked for and the path of its set, split by split."""
    for number in range(arguments.splits):
        for given in arguments.sets:
            name, _, path = given.partition("=")
            for recipe in (BASELINE, REGRESSION, *arguments.recipes):
                yield Cell(name, arguments.length, number, recipe, None), Path(path)
            for few in arguments.few:
                for recipe in (BASELINE, REGRESSION, FEW):
                    yield Cell(name, arguments.length, number, recipe, few), Path(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--recipes", nargs="*", default=DEFAULT, choices=RECIPES, metavar="NAME")
    parser.add_argument("--few", nargs="*", type=int, default=[], metavar="N", help="texts a class")
    parser.add_argument("--shared", action="store_true", help="other work runs beside it")
    parser.add_argument("--length", type=int, default=64, help="pieces of a text")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for runs; else thrown away")
    parser.add_argument("--write", action="store_true", help="put it into docs/texts.md")
    arguments = parser.parse_args()
    rows = [*accuracy_results.rows(arguments.results)]
    with tempfile.TemporaryDirectory() as folder:
        cache = (arguments.cache or Path(folder)).absolute()
        sets: dict[Path, tuple[list[Text], Features]] = {}
        for cell, path in cells(arguments):
            key = cell._asdict()
            if any(key.items() <= row.items() for row in rows):
                continue
            if path not in sets:
                every = read(path)
                sets[path] = every, Features(every, cell.length, cache)
            every, features = sets[path]
            texts = parted(every, cell.split, cell.few)
            learnt = [one for one in texts if not (cell.few and one.split == "val")]
            if cell.recipe == BASELINE:
                found = baseline(learnt)
            elif cell.recipe == REGRESSION:
                found = regression(learnt, features, cell.split)
            else:
                found = run(texts, cell.recipe, cell.length, cache)
            if arguments.shared:
                found["seconds"] = None
            rows.append({**key, **found})
            accuracy_results.append_row(arguments.results, rows[-1])
            print(key, found, flush=True)
    print(table(rows))
    if arguments.write:
        put_into(ROOT / "docs" / "texts.md", "text table", "tools/text_table.py", table(rows))


if __name__ == "__main__":
    main()
