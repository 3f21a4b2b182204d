"""Write ``tfedge/catalog/nets/`` from the real nets, or ``--check`` it against them.

    python tools/catalog_layers.py [--check] [NAME ...]

For every backbone and alpha of the catalogue: parameters, MACs, and its blocks, each with the layer
it ends with, its kernels, the shape of what it gives and its MACs (both at the native size). A
block ends where the net can be cut, that is, where exactly one tensor passes from the layers up to
there to those that follow.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys

from tfedge.catalog.backbones import BACKBONES, NETS, Backbone
from tfedge.modeling.nets.backbone import bare
from tfedge.modeling.nets.env import keras


def block_of(row: Backbone, layers: list) -> str | None:
    """The block that neighbouring layers belong to: the first that fits one of the patterns."""
    for layer in layers:
        for pattern, block in row.blocks:
            if found := re.match(pattern, layer.name):
                return found.expand(block)
    return None


def kernel(layer, first: bool) -> list | None:
    """[layer, shape, kind] of a layer's kernel, None if it has none."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kind = "scale" if layer.kernel_size == (1, 1) else "depthwise"
        return [layer.name, list(layer.depthwise_kernel.shape), kind]
    if isinstance(layer, keras.layers.Conv2D):
        return [layer.name, list(layer.kernel.shape), "first" if first else "conv"]
    return None


def segments(model) -> list[tuple[str, list]]:
    """The smallest parts that the net can be cut into: (the one layer that passes, its layers)."""
    position = {layer.name: number for number, layer in enumerate(model.layers)}
    last = [0] * len(model.layers)  # the last layer that takes a layer's result
    for layer in model.layers:
        for parent in layer.inbound_nodes[0].parent_nodes if layer.inbound_nodes else ():
            number = position[parent.layer.name]
            last[number] = max(last[number], position[layer.name])
    last[-1] = len(last)
    found, members = [], []
    for number, layer in enumerate(model.layers):
        members.append(layer)
        passing = [i for i in range(number + 1) if last[i] > number]
        if len(passing) == 1 and number:
            found.append((model.layers[passing[0]].name, members))
            members = []
    return found


def macs(layers) -> int:
    """Multiply-accumulates of the convolutions among these layers for one image."""
    total = 0
    for layer in layers:
        if found := kernel(layer, False):
            _, height, width, _ = layer.output_shape
            total += math.prod(found[1]) * height * width
    return total


def describe(row: Backbone, alpha: float) -> dict:
    """A net's line in its file."""
    keras.backend.clear_session()
    model = bare(row.name, alpha, row.native_size)
    blocks: list[list] = []  # [block, output, [[layer, shape, kind] …], [H, W, C], MACs]
    first = True
    for output, members in segments(model):
        name = block_of(row, members) or (blocks[-1][0] if blocks else "stem")
        if not blocks or blocks[-1][0] != name:
            if name in [block[0] for block in blocks]:
                sys.exit(f"{row.name}: {name} comes back at {output}: its pattern is too wide")
            blocks.append([name, output, [], [], 0])
        blocks[-1][1] = output
        blocks[-1][3] = list(model.get_layer(output).output_shape[1:])
        blocks[-1][4] += macs(members)
        for layer in members:
            if found := kernel(layer, first):
                blocks[-1][2].append(found)
                first = False
    return {"parameters": model.count_params(), "macs": macs(model.layers), "blocks": blocks}


def text(row: Backbone) -> str:
    """A net's file: an alpha a line, so that a diff shows which one changed."""
    lines = (
        f"{json.dumps(str(float(alpha)))}:{json.dumps(describe(row, alpha), separators=(',', ':'))}"
        for alpha in row.alphas
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if it differs")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    given = parser.parse_args()
    wrong = []
    for name in given.names or BACKBONES:
        file, content = NETS / f"{name}.json", text(BACKBONES[name])
        if given.check:
            wrong += [name] if not file.is_file() or file.read_text("utf-8") != content else []
        else:
            file.write_text(content, encoding="utf-8")
            print(name, flush=True)
    sys.exit(f"not what the nets are: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
