"""Make the drops in models/: run their pipelines, take the drops out, and write models/README.md.

    python tools/release_models.py [NAME ...]

Each comes from one command anyone can run again; the same machine makes the same ``.tflite``. What
was measured is in each drop's CARD.md and MANIFEST.json. NAME: only these.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tfedge.drops.export import export

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"


@dataclass(frozen=True)
class Release:
    """A folder of models/, and what makes it."""

    name: str
    pipeline: str
    overrides: tuple[str, ...] = ()

    def command(self) -> list[str]:
        sets = [word for item in (f"name={self.name}", *self.overrides) for word in ("--set", item)]
        return ["tfedge", "run", self.pipeline, *sets]


RELEASES = (
    Release("digits-mobilenetv2", "pipelines/mobilenet.yaml"),
    Release("digits-efficientnet-lite0", "pipelines/efficientnet_lite0.yaml"),
)

_HEAD = """\
# Released models

Small int8 classifiers of handwritten digits, each made by one command of this repository, each a
complete drop for Linux boards: the model, its labels, an example, golden pairs, a card. On a board:

    scp -r models/digits-mobilenetv2 pi@raspberrypi.local: && ssh pi@raspberrypi.local
    cd digits-mobilenetv2 && pip install -r requirements.txt
    python classify.py --check        # does this board compute what was shipped?
    python classify.py photo.jpg
    python bench_tflite.py digits-mobilenetv2.tflite --threads 1,2,4

`tfedge verify models/digits-mobilenetv2` checks one here, `--device` there, too. This file and the
drops are written by `python tools/release_models.py`.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    unknown = set(names) - {release.name for release in RELEASES}
    if unknown:
        parser.error(f"no such release: {', '.join(sorted(unknown))}")
    for release in RELEASES:
        if not names or release.name in names:
            make(release)
    (MODELS / "README.md").write_text(_HEAD + table(), encoding="utf-8")


def make(release: Release) -> None:
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name) / "run"
        command = [sys.executable, "-m", *release.command(), "--run-dir", str(run_dir)]
        subprocess.run(command, cwd=ROOT, check=True)
        for path, _ in export(run_dir, Path(name) / "out", targets=["linux"]):
            target = MODELS / release.name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(path, target)


def table() -> str:
    lines = [
        "| model | input | top-1 float | top-1 int8 | zeros | bytes | SHA-256 | made by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for release in RELEASES:
        path = MODELS / release.name / "MANIFEST.json"
        if not path.exists():
            continue
        facts = json.loads(path.read_text(encoding="utf-8"))
        entry, metrics = facts["files"][facts["model"]], facts["metrics"]
        shape = "×".join(str(side) for side in facts["input"]["shape"][1:])
        cells = [
            f"[{release.name}]({release.name}/CARD.md)",
            f"{facts['input']['dtype']} {shape}",
            f"{metrics['float']['top1']:.1%}",
            f"{metrics['int8']['top1']:.1%} of {metrics['n']} {metrics['split']} images",
            f"{facts['sparsity']:.1%}",
            f"{entry['bytes']:,}",
            f"`{entry['sha256'][:12]}…`",
            f"`{' '.join(release.command())}`",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
