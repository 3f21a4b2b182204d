"""Write the table of docs/training.md on how a run grows with its images.

    python tools/scale.py [--images 1000,10000,50000] [--size 96] [--work FOLDER] [--write]

Makes small images (coloured noise, ten classes, a fifth of them for validation), and runs one
pipeline (MobileNetV2 0.35, random weights, one changed view of each image, prune, QAT, evaluate) on
each number of them, in a fresh process with a cache of its own; then another one, whose head is
fitted, of which finetune is looked at. For each stage: seconds, the highest memory of the process,
and what the stage added to the cache, in kilobytes an image. Memory is the process's own
(``RssAnon``): pages of a mapped file the kernel takes back when it needs them.

Under the table stands every stage whose seconds grow faster than its images, or whose memory grows.
The folder of ``--work`` is kept, with the images; without it they are thrown away. 50,000 images
take 2 GB of disk. ``--write`` replaces the text between the page's ``scale`` markers; measure on a
machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from page import ROOT, cpu, put_into
from PIL import Image

sys.path.insert(0, str(ROOT))

PAGE = "docs/training.md"
FITTED_HEAD = "finetune, a fitted head"
CLASSES, VALIDATION = 10, 5  # classes; every fifth image is for validation
PIPELINE = """\
name: scale
data: {{path: "{images}", image_size: {size}, augment: {{views: 1}}}}
backbone: {{name: MobileNetV2, alpha: 0.35, weights: none}}
finetune: {{unfreeze: 0}}
prune: {{sparsity: 0.5, epochs: 1}}
quantize: {{recipe: qat, epochs: 1, debug: false}}
evaluate: {{robustness: 0}}
"""
FITTED = """\
name: scale
data: {{path: "{images}", image_size: {size}}}
backbone: {{name: MobileNetV2, alpha: 0.35, weights: none}}
finetune: {{unfreeze: 0, head: logistic}}
"""
_FASTER = 1.3  # times the seconds an image of the least images: what is said to grow
_MORE = 256.0  # MB more than with the least images
_LEAST = 1.0  # seconds: less says nothing of how a stage grows
_SAMPLED = 0.02  # seconds between two looks at the memory


@dataclass(frozen=True)
class Cost:
    """What a stage took."""

    seconds: float
    peak_mb: float
    cache_bytes: int


Costs = dict[str, Cost]  # by stage, in their order


def make_images(folder: Path, count: int, size: int) -> None:
    """JPEG files that are the same every time, each another one; left alone if they are there."""
    done = folder / "made"
    if done.exists():
        return
    for number in range(count):
        label, split = number % CLASSES, "val" if number // CLASSES % VALIDATION == 0 else "train"
        rng = np.random.RandomState(number)
        coarse = rng.randint(0, 128, (6, 6, 3)) + rng.randint(0, 32, 3)
        coarse[label % 6, :, label % 3] += 96
        image = Image.fromarray(coarse.astype(np.uint8)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        path = folder / "images" / split / f"class {label}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=85)
    done.touch()


class Memory:
    """The highest memory of this process since it was last asked, in MB."""

    def __init__(self) -> None:
        self._peak = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, self._now())
            time.sleep(_SAMPLED)

    @staticmethod
    def _now() -> float:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1000
        return 0.0

    def take(self) -> float:
        found, self._peak = max(self._peak, self._now()), 0.0
        return found


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def one(folder: Path) -> Costs:
    """Run the pipeline of a folder in this process."""
    from tfedge import run
    from tfedge.core.progress import RunProgress

    costs: Costs = {}
    memory, cache = Memory(), folder / "cache"

    class Watch(RunProgress):
        stage, before = "", 0

        def start(self, stage: str, number: int, total: int) -> None:
            memory.take()
            self.stage, self.before = stage, size_of(cache)

        def end(self, cached: str, seconds: float) -> None:
            added = size_of(cache) - self.before
            costs[self.stage] = Cost(round(seconds, 2), round(memory.take(), 1), added)

    run(folder / "scale.yaml", cache=cache, runs=folder / "runs", progress=Watch())
    return costs


def measured(work: Path, count: int, size: int) -> Costs:
    """What each stage takes on so many images, and ``finetune`` with a fitted head."""
    found = measured_of(PIPELINE, work, count, size)
    return {**found, FITTED_HEAD: measured_of(FITTED, work, count, size)["finetune"]}


def measured_of(pipeline: str, work: Path, count: int, size: int) -> Costs:
    """The same of a pipeline; a fresh process and a cache of its own."""
    folder = work / f"{count}-{size}"
    make_images(folder, count, size)
    text = pipeline.format(images=folder / "images", size=size)
    (folder / "scale.yaml").write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        (place / "scale.yaml").write_text(text, encoding="utf-8")
        command = [sys.executable, __file__, "--one", place]
        if code := subprocess.run(command, stdout=sys.stderr).returncode:
            sys.exit(f"{' '.join(map(str, command))} ended with {code}")
        found = json.loads((place / "costs.json").read_text(encoding="utf-8"))
    return {stage: Cost(**cost) for stage, cost in found.items()}


def table(found: Mapping[int, Costs]) -> str:
    """Markdown; a row a stage, three columns for each number of images."""
    counts = sorted(found)
    head = ["stage"]
    for count in counts:
        head += [f"{count:,} images: s", "MB", "cache, kB an image"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]
    stages = [stage for stage in found[counts[0]] if stage != FITTED_HEAD]
    summed = {stage: [stage] for stage in stages}
    for name, parts in {**summed, "all": stages, FITTED_HEAD: [FITTED_HEAD]}.items():
        row = [name]
        for count in counts:
            costs = [found[count][stage] for stage in parts]
            each = sum(cost.cache_bytes for cost in costs) / count / 1000
            row += [
                f"{sum(cost.seconds for cost in costs):,.1f}",
                f"{max(cost.peak_mb for cost in costs):,.0f}",
                f"{each:,.1f}",
            ]
        rows.append(row)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def growing(found: Mapping[int, Costs]) -> list[str]:
    """What grows faster than the images, between neighbouring numbers of them."""
    said, counts = [], sorted(found)
    for fewer, more in pairwise(counts):
        for stage, cost in found[more].items():
            before = found[fewer][stage]
            linear = max(before.seconds, _LEAST) * more / fewer
            if cost.seconds > _FASTER * linear:
                said.append(f"{stage}: {before.seconds:.1f} → {cost.seconds:.1f} s")
            if cost.peak_mb > before.peak_mb + _MORE:
                said.append(f"{stage}: {before.peak_mb:,.0f} → {cost.peak_mb:,.0f} MB")
    return said


def note(found: Mapping[int, Costs], size: int) -> str:
    """What the figures are of: must stand beside them."""
    grows = growing(found)
    said = f"Grows: {'; '.join(grows)}." if grows else "Nothing grows faster, memory is flat."
    return (
        f"\n({size} pixels a side, MobileNetV2 0.35, {CLASSES} classes, a changed view of each "
        "training image, one epoch of prune and of QAT; the last row is of a run without views. "
        f"{said} {cpu()}. `python tools/scale.py --write` makes it.)\n"
    )


def _counts(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=_counts, default=[1000, 10_000, 50_000], metavar="N,…")
    parser.add_argument("--size", type=int, default=96, help="pixels a side")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="kept, with the images")
    parser.add_argument("--write", action="store_true", help=f"put it into {PAGE}")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        costs = {stage: asdict(cost) for stage, cost in one(given.one).items()}
        (given.one / "costs.json").write_text(json.dumps(costs), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as name:
        work = (given.work or Path(name)).absolute()
        found = {count: measured(work, count, given.size) for count in given.images}
    text = table(found) + note(found, given.size)
    print(text)
    if given.write:
        put_into(ROOT / PAGE, "scale", "tools/scale.py", text)


if __name__ == "__main__":
    main()
