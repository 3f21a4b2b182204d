"""What the toy adds to a drop: a README, a line of its card, its golden rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.tasks.toy.texts import README
from tfedge.core.outputs import ModelMetrics, narrow
from tfedge.data.kind import IMAGES
from tfedge.errors import ConfigError
from tfedge.inputs.images.synthetic import drawn
from tfedge.portable.images import BadImage, decode
from tfedge.tasks.blocks import Block, Text
from tfedge.tasks.contract import ports, stored
from tfedge.tasks.drop import (
    Answer,
    Asked,
    Card,
    Check,
    Chosen,
    Content,
    Differing,
    Parts,
    Told,
    Unreadable,
)
from tfedge.tasks.task import Examples

TOLERANCE = 0.5


class NumberMetrics(ModelMetrics):
    n: int  # images
    mae: float


class NumberReader:
    kind = IMAGES
    largest = 10_000_000
    typed = None

    def __init__(self, size: int, unit: str) -> None:
        self.size, self.unit = size, unit

    def content(self, content: bytes, name: str) -> np.ndarray:
        try:
            return decode(content, self.size, "crop")
        except BadImage as error:
            raise Unreadable(error.reason) from error

    def answer(self, output: np.ndarray, top: int) -> Answer:
        number = float(output[0])
        return Answer({"number": number}, [f"{number:.1f} ({self.unit})"])

    def drawing(self) -> None:
        """A number is nowhere on an image."""

    def truth(self, labels: Sequence[str]) -> np.ndarray:
        return np.asarray([float(label) for label in labels], np.float32)[:, None]

    def measure(self, outputs: np.ndarray, targets: np.ndarray, evaluate: Any) -> NumberMetrics:
        return NumberMetrics(n=len(targets), mae=float(np.abs(outputs - targets).mean()))

    def laid_out(self, files: Sequence[Path], labels: Sequence[str], folder: Path) -> None:
        """Nothing."""

    def told(self, metrics: NumberMetrics) -> list[Block]:
        return [Text(f"Off by {metrics.mae:.2f}.")]


class NumberDrop:
    def contract(self, model: bytes, examples: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
        given, taken = ports(model)
        return {"dtype": given.dtype, "shape": list(given.shape)}, stored(taken)

    def reader(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> NumberReader:
        return NumberReader(int(facts["input"]["shape"][1]), str(facts["unit"]))

    def recognises(self, metadata: Mapping[str, Any]) -> bool:
        return False

    def alone(self, model: bytes, told: Told) -> dict[str, Any]:
        raise ConfigError(["a number of what?"])

    def beside(self, examples: Examples) -> dict[str, bytes]:
        return {}

    def drop_facts(self, examples: Examples) -> dict[str, Any]:
        return {"unit": "one"}

    def synthetic(
        self, examples: Examples, given: Mapping[str, Any], asked: Asked, count: int
    ) -> Chosen:
        images = np.stack([drawn(number)[:32, :32] for number in range(4 * count)])
        return self._chosen(images, asked, count)

    def public(
        self,
        files: Sequence[Path],
        examples: Examples,
        given: Mapping[str, Any],
        asked: Asked,
        count: int,
    ) -> Chosen:
        images = [decode(file, given["shape"][1], "crop") for file in files]
        return self._chosen(np.stack(images), asked, count)

    def held_out(self, examples: Examples, rows: Sequence[int], count: int) -> Chosen:
        chosen = list(rows[:count])
        numbers = examples.targets(chosen)[:, 0].tolist()
        facts = [{"number": number} for number in numbers]
        return Chosen(examples.inputs(chosen), facts, "some of the owner's digits")

    def _chosen(self, images: np.ndarray, asked: Asked, count: int) -> Chosen:
        """From the smallest number that it shows to the largest."""
        images = images[asked.steady(images)]
        numbers = asked.outputs(images)[:, 0]
        order = np.argsort(numbers)[:: -(-len(numbers) // count)]
        facts = [{"number": float(numbers[one])} for one in order]
        return Chosen(images[order], facts, f"{len(order)} images of nobody's")

    def difference(self, expected: np.ndarray, got: np.ndarray) -> str:
        off = float(np.abs(np.subtract(expected, got)).max())
        return f"off by {off:.3f}" if off > TOLERANCE else ""

    def agreement(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> Differing:
        return lambda number, expected, got: self.difference(expected, got)

    def for_target(self, target: str, content: Content, examples: Examples) -> Content:
        return content

    def parts(self, target: str, content: Content, told: Mapping[str, str]) -> Parts:
        return Parts({"README.md": README})

    def card(self, content: Content) -> Card:
        told, found = [], content.metrics
        if found is not None:
            own = narrow(found.models[found.shipped], NumberMetrics, "metrics.json")
            told = [Text(f"Off by {own.mae:.2f}.")]
        return Card(
            use="Says which number an image shows.",
            given="an image.",
            taken="a number.",
            data=[Text("Digits.")],
            metrics=told,
            limits=["It knows ten numbers."],
        )

    def check_drop(self, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
        return [Check("unit", manifest["unit"])]
