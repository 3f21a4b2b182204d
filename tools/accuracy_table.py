"""What the recipes do to accuracy: over several sets, backbones and splits, on images held out.

    python tools/accuracy_table.py [--photos DIR] [--sets NAME …] [--backbones NAME …] [--splits 5]
        [--columns NAME …] [--results FILE] [--write] [--cache DIR] [--limit-minutes M]
        [--aeq-python PYTHON] [--shared]

A cell is a set, a backbone, a split and a column: a float model (``head``, ``unfrozen``), an int8
one that tfedge makes of it, the same float model through Google's ai-edge-quantizer (``aeq``), or
the baseline of the head, scikit-learn's logistic regression on the same features (``lr``). tfedge
runs as its users run it, with its defaults but for what the column says; the split is its seed. A
column that this tfedge does not know is left out, and named.

Everything is taken from the files that ship, by one piece of code for all columns: top-1 on the
test images, and on up to 300 of them with noise and low contrast; for int8 also the share of the
same answers as the float model's and the divergence from it. Nothing is chosen on test images.

A measured cell is a line of the results file at once, and is not measured again; the tool may be
stopped at any time, and goes on where it was. What failed is named in the end, and tried again the
next time. Accuracy is the same whatever else runs, seconds are not: with ``--shared`` a cell has
none. ``--write`` puts the table of what is there into docs/training.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import accuracy_run
from accuracy_columns import COLUMNS
from accuracy_measure import Place, measured
from accuracy_report import report
from accuracy_results import EPOCH, Key, append, load, missing
from accuracy_run import Failed
from accuracy_sets import SETS, SIZES, folder_of
from page import ROOT, cpu, put_into

PHOTOS = ROOT.parent / "shared" / "photos"
RESULTS = ROOT / "docs" / "accuracy.jsonl"


def keys(
    sets: Sequence[str], backbones: Sequence[str], splits: int, columns: Sequence[str]
) -> list[Key]:
    """All cells, one split of everything after the other: what is stopped early is still even."""
    return [
        Key(name, backbone, split, column)
        for split in range(1, splits + 1)
        for name in sets
        for backbone in backbones
        for column in columns
    ]


class Bench:
    """What cells share: folders, and an environment that is made when it is first needed."""

    def __init__(
        self, photos: Path, work: Path, cache: Path, aeq: Path | None, shared: bool = False
    ) -> None:
        self.photos, self.work, self.cache, self._aeq = photos, work, cache, aeq
        self.shared = shared
        self._refused: dict[tuple[str, str], str] = {}

    def place(self, key: Key, work: Path) -> Place:
        images = folder_of(key.set, key.split, self.photos, self.cache / f"pictures-{EPOCH}")
        aeq = self._python() if COLUMNS[key.column].maker == "aeq" else None
        return Place(key, images, work, self.cache, aeq)

    def _python(self) -> Path:
        if self._aeq is None:
            self._aeq = accuracy_run.aeq_python(self.cache)
        return self._aeq

    def refused(self, place: Place) -> bool:
        """Whether this tfedge does not know the column for this backbone; said once."""
        asked = place.key.column, place.key.backbone
        if asked not in self._refused:
            self._refused[asked] = why = accuracy_run.refused(place.pipeline(), place.work)
            if why:
                print(f"{' of '.join(asked)} is left out: {why}", file=sys.stderr)
        return bool(self._refused[asked])

    def measure(self, key: Key, results: Path) -> bool:
        """Measure a cell and keep it. False when the column is left out."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            place = self.place(key, Path(folder))
            if self.refused(place):
                return False
            began = time.monotonic()
            found = measured(place)
            took = time.monotonic() - began
        if self.shared:
            found["seconds"] = {}
        facts = {
            "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
            "commit": accuracy_run.commit(),
            "cpu": f"{cpu()}, {len(os.sched_getaffinity(0))} cores",
            **({} if self.shared else {"whole_seconds": took}),
        }
        append(results, key, found | facts)
        print(f"{' '.join(map(str, key))}: {found['top1']:.1%} in {took:.0f} s", flush=True)
        return True


def measure_all(bench: Bench, todo: Sequence[Key], results: Path, minutes: float | None) -> bool:
    """Measure the cells until the time is up. False when some failed."""
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    failed = []
    for number, key in enumerate(todo):
        if ends is not None and time.monotonic() >= ends:
            print(f"stopped after {minutes:g} minutes; {len(todo) - number} cells are left")
            break
        try:
            bench.measure(key, results)
        except Failed as error:
            failed.append(key)
            print(f"{' '.join(map(str, key))} failed: {error}", file=sys.stderr, flush=True)
    for key in failed:
        print(f"not measured: {' '.join(map(str, key))}", file=sys.stderr)
    return not failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=PHOTOS, metavar="DIR")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=[*SETS], metavar="NAME")
    parser.add_argument("--backbones", nargs="*", choices=SIZES, default=[*SIZES], metavar="NAME")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--columns", nargs="*", choices=COLUMNS, default=[*COLUMNS], metavar="NAME")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="for runs; else thrown away")
    parser.add_argument("--limit-minutes", type=float, metavar="M", help="no cell starts later")
    parser.add_argument("--aeq-python", type=Path, metavar="PYTHON", help="has ai-edge-quantizer")
    parser.add_argument("--shared", action="store_true", help="other work runs beside: no seconds")
    parser.add_argument("--write", action="store_true", help="put it into docs/training.md")
    arguments = parser.parse_args()
    results = arguments.results.absolute()
    wanted = keys(arguments.sets, arguments.backbones, arguments.splits, arguments.columns)
    with tempfile.TemporaryDirectory() as folder:
        cache = (arguments.cache or Path(folder) / "cache").absolute()
        aeq = arguments.aeq_python.absolute() if arguments.aeq_python else None
        bench = Bench(arguments.photos.absolute(), Path(folder), cache, aeq, arguments.shared)
        fine = measure_all(bench, missing(wanted, load(results)), results, arguments.limit_minutes)
    text = report(load(results))
    print(text)
    if arguments.write:
        put_into(ROOT / "docs" / "training.md", "accuracy", "tools/accuracy_table.py", text)
    if not fine:
        sys.exit(1)


if __name__ == "__main__":
    main()
