"""What object detection says of images and of a model's outputs, with numpy alone.

Outputs are float [N, A, 4 + classes]: for each anchor how a box differs from it, then a score for
each class. Targets are [N] of ``Truth``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tfedge.core.outputs import Base, Evaluation
from tfedge.data.audit import Findings
from tfedge.data.schema import Data
from tfedge.data.sources import scan
from tfedge.files.progress import Progress
from tfedge.inputs.images.anchors import anchors
from tfedge.inputs.images.annotations.audit import looked_at
from tfedge.inputs.images.annotations.index import BoxIndex
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import BOXED, BoxData
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.pipeline.schema import Finetune, Pipeline
from tfedge.portable import boxes as portable
from tfedge.tasks import photos
from tfedge.tasks.audited import audited
from tfedge.tasks.blocks import Block, Part, cell
from tfedge.tasks.drop import Asked, Card, Check, Chosen, Content, Differing, Parts, Told
from tfedge.tasks.object_detection import android, card, drop, files, metrics, reader, report
from tfedge.tasks.object_detection import golden as pairs
from tfedge.tasks.object_detection.examples import BoxedImages
from tfedge.tasks.task import Ask, Examples

_CONFIDENT = 0.3  # scores of boxes by which two models are compared
_TINY = 1e-7


class ObjectDetection:
    """What is where on an image."""

    kind = BOXED
    noise = "noise"
    chooses = True

    def scan(self, pipeline: Pipeline, cache: Path, progress: Progress, out: Path) -> None:
        """Leaves every image decoded in the pixel store."""
        settings = cast(BoxData, pipeline.data)
        found = scan(settings, cache, progress)
        contents = photos.contents(found, settings, cache, progress)
        labels = {entry.path: entry.label for entry in found.listing.entries}
        bad = {**contents.bad, **looked_at(found, labels, set(contents.bad))}
        contents = contents._replace(bad=bad)
        skip = settings.on_bad_image == "skip"
        plain, findings = audited(found, contents, settings, skip, progress)
        index = BoxIndex.of(plain, labels)
        for text in findings.remark(report.remarks(index, settings.image_size, settings.fit)):
            progress.note(text)
        index.save(out / "index.json")
        findings.save(out / "audit.json")

    def examples(self, index: Path, data: Data, root: Path, cache: Path) -> BoxedImages:
        settings = cast(BoxData, data)
        size, fit, levels = settings.image_size, settings.fit, settings.range
        return BoxedImages(DecodedImages(BoxIndex.load(index), root, cache, size, fit, levels))

    def problem(self, outputs: np.ndarray, examples: Examples) -> tuple[str, str] | None:
        images = cast(BoxedImages, examples)
        return metrics.problem_of(outputs, len(anchors(images.images.size)), len(images.classes))

    def settings(self, evaluate: Any, examples: Examples) -> dict[str, Any]:
        return {"overlap": portable.OVERLAP, "least_score": metrics.LEAST}

    def chosen(
        self, outputs: np.ndarray, targets: np.ndarray, examples: Examples
    ) -> dict[str, Any]:
        """For each class the score with the best F1."""
        found = metrics.best_thresholds(outputs, targets, len(cast(BoxedImages, examples).classes))
        return {files.CHOSEN: [round(float(value), 4) for value in found]}

    def measure(
        self,
        outputs: np.ndarray,
        targets: np.ndarray,
        examples: Examples,
        evaluate: Any,
        chosen: Mapping[str, Any],
    ) -> metrics.DetectorMetrics:
        classes = cast(BoxedImages, examples).classes
        return metrics.measure(outputs, targets, classes, np.asarray(chosen[files.CHOSEN]))

    def primary(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """mAP at an IoU of 0.5."""
        return metrics.average(outputs, targets)

    def quality(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """The best F1 of each image."""
        return metrics.quality(outputs, targets)

    def same(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """How much of the boxes of each image both have."""
        return metrics.alike(outputs, others, _CONFIDENT)

    def divergence(self, reference: np.ndarray, outputs: np.ndarray) -> float:
        """Kullback–Leibler divergence of all scores from the reference's, each of its own, plus how
        little the boxes overlap, weighted by the reference's best score; mean over images."""
        if np.array_equal(reference, outputs):
            return 0.0
        p, q = (
            np.clip(one[..., 4:].astype(np.float64), _TINY, 1 - _TINY)
            for one in (reference, outputs)
        )
        scores = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum((1, 2))
        grid = metrics.anchors_of(reference.shape[1])
        apart = []
        for one, other in zip(reference, outputs, strict=True):
            at = np.flatnonzero(one[:, 4:].max(1) > _CONFIDENT)
            boxes = [portable.decoded(values[at, :4], grid[at]) for values in (one, other)]
            overlap = np.diagonal(portable.iou(*boxes)) if len(at) else np.zeros(0)
            apart.append(float(((1 - overlap) * one[at, 4:].max(1)).sum()))
        return (
            float(scores.mean() + np.mean(apart)) if not np.array_equal(reference, outputs) else 0.0
        )

    def corruptions(
        self, examples: Examples
    ) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
        return CORRUPTIONS

    def worst(
        self, outputs: np.ndarray, examples: Examples, rows: Sequence[int], count: int, ask: Ask
    ) -> list[dict[str, Any]]:
        """The images with the lowest F1."""
        images = cast(BoxedImages, examples)
        return report.worst(outputs, images, rows, count)

    def warnings(self, evaluation: Evaluation) -> list[str]:
        return report.warnings(evaluation)

    def proposals(self, examples: Examples, finetune: Finetune) -> list[str]:
        return []

    def answers(self, evaluation: Evaluation, examples: Examples | None) -> list[Part]:
        return report.answers(evaluation, cast("BoxedImages | None", examples))

    def split_digest(self, index: Path, split: str) -> str:
        return BoxIndex.load(index).split_digest(split)

    def data(self, index: Path, audit: Path | None, examples: Examples | None) -> list[Block]:
        """How many boxes there are, of what, and what the audit found."""
        findings = None if audit is None else Findings.load(audit)
        images = cast("BoxedImages | None", examples)
        return report.data(BoxIndex.load(index), findings, images)

    def net_text(self, base: Base) -> str:
        net = ImageBase.of(base)
        return f"{cell(net.name)}, alpha {net.alpha:g}, {net.image_size} pixels a side"

    def contract(self, model: bytes, examples: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
        """uint8 [1, S, S, 3] RGB in, boxes [1, A, 4] and scores [1, A, classes] out."""
        return drop.contract(model, cast(BoxedImages, examples))

    def reader(
        self, facts: Mapping[str, Any], file: Callable[[str], bytes]
    ) -> reader.DetectorReader:
        return reader.DetectorReader(facts, file)

    def recognises(self, metadata: Mapping[str, Any]) -> bool:
        return reader.recognises(metadata)

    def alone(self, model: bytes, told: Told) -> dict[str, Any]:
        """None: what makes boxes lies beside it."""
        raise reader.by_itself()

    def drop_facts(self, examples: Examples) -> dict[str, Any]:
        return drop.facts(cast(BoxedImages, examples))

    def beside(self, examples: Examples) -> dict[str, bytes]:
        return drop.beside(cast(BoxedImages, examples))

    def synthetic(
        self, examples: Examples, given: Mapping[str, Any], asked: Asked, count: int
    ) -> Chosen:
        return pairs.synthetic(given["shape"][1], cast(BoxedImages, examples).classes, asked, count)

    def public(
        self,
        files: Sequence[Path],
        examples: Examples,
        given: Mapping[str, Any],
        asked: Asked,
        count: int,
    ) -> Chosen:
        size, fit = given["shape"][1], given["fit"]
        return pairs.public(files, size, fit, cast(BoxedImages, examples).classes, asked, count)

    def held_out(self, examples: Examples, rows: Sequence[int], count: int) -> Chosen:
        return pairs.held_out(cast(BoxedImages, examples), rows, count)

    def difference(self, expected: np.ndarray, got: np.ndarray) -> str:
        """Anchor by anchor."""
        return pairs.difference(expected, got)

    def agreement(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> Differing:
        """Of what the model gives, and of the boxes that are made of it."""
        rule, boxes = files.golden_boxes(facts, file)
        return lambda number, expected, got: rule.difference(expected, got, boxes[number])

    def for_target(self, target: str, content: Content, examples: Examples) -> Content:
        """For Android with the anchors among an app's assets; for others the same."""
        return android.fitting(content) if target == "android" else content

    def parts(self, target: str, content: Content, told: Mapping[str, str]) -> Parts:
        return drop.parts(target, content, told)

    def card(self, content: Content) -> Card:
        return card.card(content)

    def check_drop(self, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
        return drop.check(folder, manifest)
