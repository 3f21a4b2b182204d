"""Golden pairs: inputs and what the shipped model made of them, to be replayed on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.drops.public import is_folder, public_files
from tfedge.errors import DropError
from tfedge.pipeline.schema import HELD_OUT, SYNTHETIC
from tfedge.tasks.drop import GOLDEN, Chosen, Pair, golden_file
from tfedge.tasks.streams import evaluation_split
from tfedge.tasks.task import Examples, Work
from tfedge.tflite.runtime import BuiltinLiteRT, Items, LiteRT, Loader, Pool, predict

COUNT = 8
PUBLIC = "public"  # in the manifest, for a folder, whose name is its owner's business
_SPARE = 2  # answers of other kernels hold though they were so many times as far off


def names(number: int) -> tuple[str, str]:
    """The files of a pair's input and output, relative to the drop."""
    return golden_file(number, "input.bin"), golden_file(number, "output.bin")


def entry(number: int, pair: Pair) -> dict[str, Any]:
    """The pair's line in the manifest."""
    given, taken = names(number)
    return {"input": given, "output": taken, **pair.facts}


def origin(source: str) -> str:
    """What the manifest says of ``package.golden``."""
    return PUBLIC if is_folder(source) else source


def chosen(
    source: str, work: Work, examples: Examples, given: Mapping[str, Any], model: bytes
) -> Chosen:
    """Up to ``COUNT`` inputs from where ``package.golden`` says. DropError when there is none."""
    if source == HELD_OUT:
        return work.held_out(examples, examples.rows_of(evaluation_split(examples)), COUNT)
    asked = Asked(model, work)
    if source == SYNTHETIC:
        found = work.synthetic(examples, given, asked, COUNT)
    else:
        found = work.public(public_files(Path(source)), examples, given, asked, COUNT)
    if not found.facts:
        tried = f"each of {found.tried.inputs} answers" if found.tried else "every answer"
        raise DropError(
            f"no golden pair can be made: with other kernels of the runtime, {tried} differs by "
            "more than machines may",
            "package.golden: held_out, or a folder of images that anybody may have",
        )
    return found


class Asked:
    """The model, loaded once, and once more for other kernels when these are first asked."""

    def __init__(self, model: bytes, work: Work) -> None:
        self._model, self._work = model, work
        self._pool = Pool(model)
        self._others: Pool | None = None

    def outputs(self, inputs: Items) -> np.ndarray:
        """Real-valued outputs [n, …]."""
        return self._pool.answers(inputs)

    def steady(self, inputs: np.ndarray) -> np.ndarray:
        """bool [n]: whether the runtime's own kernels answer as XNNPACK's, by the golden rule. They
        have to hold it with room to spare, since the processors of devices are others still."""
        if self._others is None:
            self._others = Pool(self._model, load=BuiltinLiteRT)
        ours, others = self.outputs(inputs), self._others.answers(inputs)
        told = [
            self._work.difference(want, want + _SPARE * (got - want))
            for want, got in zip(ours, others, strict=True)
        ]
        return np.asarray([not text for text in told], bool)


def make(
    model: bytes, inputs: np.ndarray, facts: Sequence[Mapping[str, Any]], load: Loader = LiteRT
) -> tuple[Pair, ...]:
    """Run the model over ``inputs`` [n, …], each as it takes it; ``facts`` are what the manifest
    says of each."""
    outputs = predict(model, inputs, raw=True, load=load)
    return tuple(Pair(*row) for row in zip(inputs, outputs, facts, strict=True))


def write(folder: Path, pairs: Sequence[Pair]) -> None:
    """Raw bytes in C order, no header: a device needs nothing to read them."""
    (folder / GOLDEN).mkdir(exist_ok=True)  # a task's files of the pairs may be there
    for number, pair in enumerate(pairs):
        for name, array in zip(names(number), (pair.input, pair.output), strict=True):
            (folder / name).write_bytes(np.ascontiguousarray(array).tobytes())
