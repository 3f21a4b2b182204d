"""What a number is worth: how far it is from the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tests.tasks.toy.drop import NumberDrop, NumberMetrics
from tfedge.core.outputs import Base, Evaluation
from tfedge.data.index import Index
from tfedge.data.schema import Data
from tfedge.files.progress import Progress
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import ImageData
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.pipeline.schema import Evaluate, Finetune, Pipeline
from tfedge.tasks.blocks import Block, Part, Table, Text
from tfedge.tasks.image_classification.examples import LabelledImages
from tfedge.tasks.image_classification.work import Classification
from tfedge.tasks.task import Ask, Examples


class NumberedImages(LabelledImages):
    """Targets float [n, 1]: what the folder's name says."""

    def at(self, size: int) -> NumberedImages:
        return NumberedImages(super().at(size).images)

    def targets(self, rows: Iterable[int]) -> np.ndarray:
        numbers = [float(self.classes[label]) for label in super().targets(rows)]
        return np.asarray(numbers, np.float32)[:, None]

    def representative(self, count: int, seed: int, split: str = "train") -> list[int]:
        return LabelledImages(self.images).representative(count, seed, split)


class Regression(NumberDrop):
    """Outputs and targets are float [N, 1]."""

    noise = "noise"
    chooses = False

    def scan(self, pipeline: Pipeline, cache: Path, progress: Progress, out: Path) -> None:
        Classification().scan(pipeline, cache, progress, out)

    def examples(self, index: Path, data: Data, root: Path, cache: Path) -> NumberedImages:
        images = cast(ImageData, data)
        decoded = DecodedImages(Index.load(index), root, cache, images.image_size, images.fit)
        return NumberedImages(decoded)

    def problem(self, outputs: np.ndarray, examples: Examples) -> tuple[str, str] | None:
        fine = outputs.shape[1:] == (1,) and np.isfinite(outputs).all()
        return None if fine else ("one finite number an image", str(outputs.shape[1:]))

    def settings(self, evaluate: Evaluate, examples: Examples) -> dict[str, Any]:
        return {}

    def chosen(self, outputs: np.ndarray, targets: np.ndarray, examples: Examples) -> None:
        """Nothing."""

    def measure(
        self,
        outputs: np.ndarray,
        targets: np.ndarray,
        examples: Examples,
        evaluate: Evaluate,
        chosen: Mapping[str, Any],
    ) -> NumberMetrics:
        return NumberMetrics(n=len(targets), mae=self.primary(outputs, targets))

    def primary(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        return float(np.abs(outputs - targets).mean())

    def quality(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return -np.abs(outputs - targets)[:, 0]

    def same(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.abs(outputs - others)[:, 0] < 0.5

    def divergence(self, reference: np.ndarray, outputs: np.ndarray) -> float:
        return float(np.square(reference - outputs).mean())

    def corruptions(
        self, examples: Examples
    ) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
        return CORRUPTIONS

    def worst(
        self, outputs: np.ndarray, examples: Examples, rows: Sequence[int], count: int, ask: Ask
    ) -> list[dict[str, Any]]:
        far = np.abs(outputs - examples.targets(rows))[:, 0]
        names = examples.names(rows)
        return [{"path": names[i], "far": float(far[i])} for i in np.argsort(-far)[:count]]

    def warnings(self, evaluation: Evaluation) -> list[str]:
        return []

    def proposals(self, examples: Examples, finetune: Finetune) -> list[str]:
        return []

    def answers(self, evaluation: Evaluation, examples: Examples | None) -> list[Part]:
        rows = [[row["path"], f"{row['far']:.2f}"] for row in evaluation.worst]
        return [Part("Farthest", [Table(["image", "by"], rows)])]

    def split_digest(self, index: Path, split: str) -> str:
        return Index.load(index).split_digest(split)

    def data(self, index: Path, audit: Path | None, examples: Examples | None) -> list[Block]:
        return [Text(f"{len(Index.load(index).rows)} images.")]

    def net_text(self, base: Base) -> str:
        return f"{base.name}, {ImageBase.of(base).image_size} pixels a side"
