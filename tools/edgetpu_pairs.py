"""Hold the Edge TPU prediction against what Google's compiler did: one row for each pair.

``python tools/edgetpu_pairs.py FOLDER…`` looks for NAME.tflite beside NAME_edgetpu.tflite. An op
of the model was left to the CPU when the compiled file still has it: an op of that name that makes
a tensor of the same name. Ends with 1 when a prediction differs. Files compiled with ``-a`` have
more than one subgraph; they are held against what is predicted for ``-a``.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfedge.edgetpu import edgetpu
from tfedge.edgetpu.edgetpu_rules import SUBGRAPH
from tfedge.tflite.model import Model
from tfedge.tflite.reader import read


@dataclass(frozen=True)
class Pair:
    name: str
    ops: int
    real: Counter[str]  # mapped ops by name
    predicted: Counter[str]
    differing: tuple[str, ...]  # "64 RESIZE_BILINEAR is on the CPU, predicted: tpu"
    subgraphs: int

    @property
    def equal(self) -> bool:
        return self.real == self.predicted and not self.differing


def compare(name: str, model: Model, compiled: Model) -> Pair:
    outside = [op for op in compiled.ops if op.name != edgetpu.CUSTOM_OP]
    subgraphs = len(compiled.ops) - len(outside)
    makers = {model.tensors[t].name: op for op in model.ops for t in op.outputs}
    left = {
        maker.index
        for op in outside
        for t in op.outputs
        if (maker := makers.get(compiled.tensors[t].name)) and maker.name == op.name
    }
    real = Counter(op.name for op in model.ops) - Counter(op.name for op in outside)
    mapped = {
        op.index
        for op in edgetpu.predict(model).ops
        if op.target == edgetpu.TPU or (subgraphs > 1 and op.status == SUBGRAPH)
    }
    predicted = Counter(model.ops[index].name for index in mapped)
    wrong = sorted((left & mapped) | (set(range(len(model.ops))) - left - mapped))
    # some versions of the compiler rename tensors: then only the counts can be compared
    found = len(left) == len(outside)
    differing = tuple(
        f"{i} {model.ops[i].name} is on the {'CPU' if i in left else 'Edge TPU'}"
        for i in wrong
        if found
    )
    return Pair(name, len(model.ops), real, predicted, differing, subgraphs)


def pairs(folder: Path) -> Iterator[Pair]:
    for path in sorted(folder.rglob("*_edgetpu.tflite")):
        plain = path.with_name(path.name.replace("_edgetpu.tflite", ".tflite"))
        if plain.is_file():
            yield compare(plain.stem, read(plain), read(path))


def main(folders: list[str]) -> int:
    rows = [pair for folder in folders for pair in pairs(Path(folder))]
    print("| model | ops | mapped | predicted | subgraphs | differing |")
    print("|---|---:|---:|---:|---:|---|")
    for pair in rows:
        differing = "; ".join(pair.differing) or str(dict(pair.real - pair.predicted) or "")
        cells = (pair.name, pair.ops, pair.real.total(), pair.predicted.total(), pair.subgraphs)
        print(f"| {' | '.join(map(str, cells))} | {differing} |")
    equal = sum(pair.equal for pair in rows)
    print(f"\n{equal} of {len(rows)} pairs as predicted")
    return 0 if rows and equal == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
