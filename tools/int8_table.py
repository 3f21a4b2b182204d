"""int8 files of every family, of one float model each: by tfedge, TensorFlow, ai-edge-quantizer.

    python tools/int8_table.py [--write] [--data DIR] [--cache DIR] [--results FILE]
        [--aeq-python PYTHON] [--again] [--trained DIR] [NAME ...]

For the smallest member of each family (or each NAME) ``tfedge run`` makes a float model, a frozen
net with a head on top, and an int8 one of it by ptq. The same float model goes through TensorFlow's
converter as its guide writes it, and through Google's ai-edge-quantizer, with the same calibration
images. tfedge's file is there a second time, as ``quantize.xnnpack_input`` writes it: that changes
the latency alone.

At the net's native size all of them are timed on this machine by ``tfedge bench``, in processes
that take turns. What they answer is asked of nets that know something with ``--trained``: weights,
data and size are those of ``DIR/NAME-qat``, a run that ``tools/support_table.py --work DIR`` has
left, and the questions up to 200 of its test images, which no weight has seen. Without it weights
are random and the size is the native one; DIR of ``--data`` has a folder of images for each class,
else scikit-learn's digits serve.

What is told of a file: its latency as a share of the float model's, its bytes as a share, the share
of images it gives the float model's class, and its top-1. A net is a line of the results file and
is not measured again unless ``--again`` says so. A latency that tfedge calls unstable is marked;
``--write`` puts the table into docs/speed.md only when none is.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accuracy_results
import accuracy_run
import numpy as np
from accuracy_pictures import Photos, scores
from accuracy_run import Run
from accuracy_scores import divergence, top1
from page import ROOT, cpu, put_into

from tfedge.catalog.backbones import BACKBONES
from tfedge.catalog.support import SMALLEST
from tfedge.data.samples import sample_root
from tfedge.tasks.image_classification.work import Classification
from tfedge.tflite.kernels import with_float_input

PAGE = ROOT / "docs" / "speed.md"
RESULTS = ROOT / "docs" / "int8.jsonl"
DIGITS = "sample:digits"
FLOAT, BY_FLOAT = "float", "tfedge_by_float"
MAKERS = {"tfedge": "tfedge", "tflite": "TensorFlow", "aeq": "ai-edge-quantizer"}
TIMED_MAKERS = {"tfedge": "tfedge", BY_FLOAT: "tfedge with xnnpack_input", **MAKERS}
IMAGES = 200  # that a file is asked about, at most
TIMED = 12  # images a class where only time and bytes are asked for
SEED = 1


def pipeline(name: str, data: Mapping[str, Any], weights: str, seed: int) -> dict[str, Any]:
    """Features of a frozen net, a head on them, ptq."""
    return {
        "name": name,
        "seed": seed,
        "data": dict(data),
        "backbone": {"name": name, "weights": weights},
        "quantize": {"recipe": "ptq", "debug": False},
        "evaluate": {"robustness": 0},
    }


@dataclass(frozen=True)
class Made:
    """A float model and what became of it, in a folder of its own."""

    photos: Photos
    files: Mapping[str, Path | str]  # by maker; a text where a maker failed: its last words

    @classmethod
    def of(cls, content: Mapping[str, Any], work: Path, cache: Path, aeq: Path) -> Made:
        work.mkdir()
        made, data = accuracy_run.run(content, work, cache), content["data"]
        root = sample_root(DIGITS, cache) if data["path"] == DIGITS else Path(data["path"])
        photos = Photos.of(made.folder, root, cache, data["image_size"])
        return cls(photos, files(made, photos, work, aeq))

    @property
    def there(self) -> dict[str, Path]:
        return {maker: file for maker, file in self.files.items() if isinstance(file, Path)}

    @property
    def refused(self) -> dict[str, str]:
        return {maker: words for maker, words in self.files.items() if isinstance(words, str)}


def native(name: str, data: str, weights: str, work: Path, cache: Path, aeq: Path) -> Made:
    """The net at its native size."""
    section = {"path": data, "image_size": BACKBONES[name].native_size, "split": {"test": 0.3}}
    return Made.of(pipeline(name, section, weights, SEED), work, cache, aeq)


def knowing(name: str, trained: Path, work: Path, cache: Path, aeq: Path) -> Made:
    """The net with the weights, the data and the size of a run of tools/support_table.py."""
    run = trained / f"{name}-qat"
    told = json.loads((run / "resolved.json").read_text("utf-8"))
    return Made.of(pipeline(name, told["data"], str(run), told["seed"]), work, cache, aeq)


def few(cache: Path, work: Path) -> str:
    """A folder of some of the digits: what is timed needs no more."""
    chosen = work / "digits"
    for folder in sorted(path for path in sample_root(DIGITS, cache).iterdir() if path.is_dir()):
        (chosen / folder.name).mkdir(parents=True)
        for image in sorted(folder.iterdir())[:TIMED]:
            shutil.copy(image, chosen / folder.name)
    return str(chosen)


def files(made: Run, photos: Photos, work: Path, aeq: Path) -> dict[str, Path | str]:
    """The files to compare, by maker; a text where a maker failed: its last words."""
    pixels = work / "calibration.npy"
    np.save(pixels, photos.calibration(SEED))
    by_float = work / f"{BY_FLOAT}.tflite"
    by_float.write_bytes(with_float_input(made.shipped.read_bytes()))
    found: dict[str, Path | str] = {FLOAT: made.plain, "tfedge": made.shipped, BY_FLOAT: by_float}
    try:
        found["tflite"] = accuracy_run.reshaped("ptq", made, work / "tflite.tflite", pixels)
    except accuracy_run.Failed as error:
        found["tflite"] = str(error)
    try:
        plain = accuracy_run.reshaped("scores", made, work / "scores.tflite")
        accuracy_run.by_aeq(aeq, plain, pixels, work / "aeq.tflite")
        found["aeq"] = work / "aeq.tflite"
    except accuracy_run.Failed as error:
        found["aeq"] = str(error)
    return found


def latencies(named: Mapping[str, Path], work: Path, processes: int) -> dict[str, dict[str, Any]]:
    """Nanoseconds by ``tfedge bench``, and whether they are steady, by maker."""
    models = []
    for maker, file in named.items():  # bench tells models by the names of their files
        target = work / f"{maker}-timed.tflite"
        target.write_bytes(file.read_bytes())
        models.append(target)
    told = work / "bench.json"
    accuracy_run.tfedge("bench", *models, "--processes", processes, "--runs", 30, "--json", told)
    return {
        row["model"].removesuffix("-timed"): {
            "median_ns": row["summary"]["median"],
            "unstable": row["unstable"],
            "runtime": f"{row['runtime']} {row['runtime_version']}",
        }
        for row in json.loads(told.read_text("utf-8"))["results"]
    }


def answers(made: Made) -> tuple[int, dict[str, dict[str, float]]]:
    """How many test images were asked, and what the files say of them, by maker."""
    photos = made.photos
    chosen = slice(None, None, -(-len(photos.labels("test")) // IMAGES))
    pixels, labels = photos.pixels("test")[chosen], photos.labels("test")[chosen]
    exact = scores(made.there[FLOAT], pixels)
    found = {}
    for maker, file in made.there.items():
        said = scores(file, pixels)
        found[maker] = {
            "top1": top1(said, labels),
            "agreement": float(Classification().same(exact, said).mean()),
            "kl": divergence(exact, said),
        }
    return len(labels), found


def row_of(
    name: str, data: str, trained: Path | None, cache: Path, aeq: Path, processes: int
) -> dict[str, Any]:
    """Everything about one net."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        weights = str(trained / f"{name}-qat") if trained else "none"
        shown = few(cache, work) if trained else data
        timed = native(name, shown, weights, work / "native", cache, aeq)
        asked = knowing(name, trained, work / "knowing", cache, aeq) if trained else timed
        times = latencies(timed.there, work, processes)
        sizes = {maker: {"bytes": file.stat().st_size} for maker, file in timed.there.items()}
        n, said = answers(asked)
        both = sorted(timed.there.keys() & asked.there.keys())
        return {
            "name": name,
            "size": BACKBONES[name].native_size,
            "asked_size": asked.photos.images.size,
            "n": n,
            "weights": "trained" if trained else "random",
            "data": data if data == DIGITS else Path(data).name,
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "cpu": cpu(),
            "commit": accuracy_run.commit(),
            "processes": processes,
            "files": {maker: times[maker] | sizes[maker] | said[maker] for maker in both},
            "refused": timed.refused | asked.refused,
        }


def load(results: Path) -> dict[str, dict[str, Any]]:
    """Measured nets by name; the last one where a net is there twice."""
    return {row["name"]: row for row in accuracy_results.rows(results)}


def share(row: Mapping[str, Any]) -> str:
    """The latency of tfedge's int8 file as a share of its float model's."""
    return _latency(row["files"]["tfedge"], row["files"][FLOAT])


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: four figures a maker, tfedge's first."""
    figures = {
        "latency": (_latency, TIMED_MAKERS),
        "bytes": (_bytes, MAKERS),
        "same answer": (_agreement, MAKERS),
        "top-1": (_top1, MAKERS),
    }
    head = ["backbone", "pixels", "asked at", "float, ms"]
    for what, (_, makers) in figures.items():
        head += [f"{what}, {maker}" for maker in makers.values()]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name in BACKBONES:
        if name in rows:
            row = rows[name]
            plain = row["files"][FLOAT]
            line = [name, str(row["size"]), str(row["asked_size"])]
            line += [f"{plain['median_ns'] / 1e6:.1f}{_mark(plain)}"]
            for shown, makers in figures.values():
                line += [_cell(row, maker, shown) for maker in makers]
            lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(row: Mapping[str, Any], maker: str, shown: Any) -> str:
    if maker in row["files"]:
        return shown(row["files"][maker], row["files"][FLOAT])
    return "refused" if maker in row["refused"] else ""


def _mark(found: Mapping[str, Any]) -> str:
    return " (unstable)" * bool(found["unstable"])


def _latency(found: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    return f"{found['median_ns'] / plain['median_ns']:.2f}{_mark(found)}"


def _bytes(found: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    return f"{found['bytes'] / plain['bytes']:.3f}"


def _agreement(found: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    return f"{found['agreement']:.1%}"


def _top1(found: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    return f"{found['top1']:.1%}"


def note(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Where and how: what must stand beside every figure."""

    def every(key: str) -> str:
        return ", ".join(sorted({str(row[key]) for row in rows.values()}))

    runtimes = {found["runtime"] for row in rows.values() for found in row["files"].values()}
    return (
        f"\n({every('cpu')}; {', '.join(sorted(runtimes))}, 1 thread, XNNPACK; "
        f"{every('processes')} processes of 30 runs a file, in turns; {every('n')} test images of "
        f"{every('data')}, {every('weights')} weights; latency and bytes at the native size, "
        "answers at that of the training; "
        f"{every('date')}, commit {every('commit')}. Latency and bytes as a share of the float "
        "model's. `python tools/int8_table.py --write` makes it of [int8.jsonl](int8.jsonl), which "
        "it adds to.)\n"
    )


def unstable(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The latencies that are not to be published, each with the reasons."""
    return [
        f"{name}, {maker}: {'; '.join(found['unstable'])}"
        for name, row in rows.items()
        for maker, found in row["files"].items()
        if found["unstable"]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/speed.md")
    parser.add_argument("--data", type=Path, help="images in folders; else scikit-learn's digits")
    parser.add_argument("--trained", type=Path, metavar="DIR", help="with a run for each net")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "tfedge")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--aeq-python", type=Path, metavar="PYTHON", help="that has it")
    parser.add_argument("--processes", type=int, default=5, help="for each file")
    parser.add_argument("--again", action="store_true", help="measure what is there once more")
    parser.add_argument("names", nargs="*", metavar="NAME")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BACKBONES):
        parser.error(f"no such backbone: {', '.join(sorted(unknown))}")
    cache, results = given.cache.absolute(), given.results.absolute()
    data = str(given.data.absolute()) if given.data else DIGITS
    trained = given.trained.absolute() if given.trained else None
    aeq = given.aeq_python or accuracy_run.aeq_python(cache)
    failed = []
    for name in given.names or SMALLEST:
        if name in load(results) and not given.again:
            continue
        try:
            row = row_of(name, data, trained, cache, aeq, given.processes)
        except accuracy_run.Failed as error:
            failed.append(f"{name}: {error}")
            continue
        accuracy_results.append_row(results, row)
        print(table({name: row}), flush=True)
    rows = load(results)
    text = table(rows) + note(rows) if rows else ""
    print(text)
    if given.write and (doubtful := unstable(rows)):
        lines = [*doubtful, f"{PAGE.name} is left as it is: measure again on a quiet machine"]
        sys.exit("\n".join(lines))
    if given.write:
        put_into(PAGE, "int8", "tools/int8_table.py", text)
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
