"""Write ``tfedge/catalog/layers.json`` from the real nets, or ``--check`` it against them.

For every backbone and alpha of the catalogue: its blocks, the layer each ends with, its kernels.
A block is only written if the net can be cut behind it, that is, if exactly one tensor passes from
the layers up to there to those that follow.
"""

from __future__ import annotations

import argparse
import json
import re
import sys

from tfedge.catalog.backbones import BACKBONES, LAYERS_FILE, Backbone, key
from tfedge.modeling.backbone import bare
from tfedge.modeling.env import keras


def block_of(row: Backbone, layer: str) -> str:
    """The block a layer belongs to, by the row's patterns."""
    for pattern, block in row.blocks:
        if found := re.match(pattern, layer):
            return found.expand(block)
    sys.exit(f"{row.name}: no pattern of its row matches the layer {layer}")


def kernel(layer, first: bool) -> list | None:
    """[layer, shape, kind] of a layer's kernel, None if it has none."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [layer.name, list(layer.depthwise_kernel.shape), "depthwise"]
    if isinstance(layer, keras.layers.Conv2D):
        return [layer.name, list(layer.kernel.shape), "first" if first else "conv"]
    return None


def crossing(model, below: set[str]) -> set[str]:
    """Names of the layers in ``below`` whose result a layer outside of it takes."""
    return {
        parent.layer.name
        for layer in model.layers
        if layer.name not in below
        for node in layer.inbound_nodes
        for parent in node.parent_nodes
        if parent.layer.name in below
    }


def describe(row: Backbone, alpha: float) -> list:
    """[[block, output, [[layer, shape, kind] …]] …] of one net, from the pixels up."""
    keras.backend.clear_session()
    model = bare(row.name, alpha, 64)
    blocks: dict[str, list] = {}
    for layer in model.layers[1:]:
        blocks.setdefault(block_of(row, layer.name), []).append(layer)
    below = {model.layers[0].name}
    described, first = [], True
    for name, members in blocks.items():
        below |= {layer.name for layer in members}
        outputs = crossing(model, below) or {model.layers[-1].name}
        if len(outputs) != 1 or outputs & {model.layers[0].name}:
            sys.exit(f"{row.name}: no cut behind {name}: {sorted(outputs)} pass; widen its pattern")
        kernels = []
        for layer in members:
            if found := kernel(layer, first):
                kernels.append(found)
                first = False
        described.append([name, outputs.pop(), kernels])
    return described


def text(nets: dict[str, list]) -> str:
    """One net a line, so that a diff shows which net changed."""
    rows = (f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in nets.items())
    return "{\n" + ",\n".join(rows) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if it differs")
    check = parser.parse_args().check
    nets = {key(r.name, a): describe(r, a) for r in BACKBONES.values() for a in r.alphas}
    if not check:
        LAYERS_FILE.write_text(text(nets), encoding="utf-8")
        print(f"wrote {len(nets)} nets")
        return
    written = json.loads(LAYERS_FILE.read_text(encoding="utf-8"))
    wrong = [k for k in sorted(nets.keys() | written.keys()) if nets.get(k) != written.get(k)]
    sys.exit(f"layers.json is not what the nets are: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
