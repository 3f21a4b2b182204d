"""What image classification says of a model's scores, with numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tfedge.core.outputs import Base, Evaluation
from tfedge.data.audit import Findings
from tfedge.data.index import Index
from tfedge.data.kind import IMAGES
from tfedge.data.schema import Data
from tfedge.data.sources import scan
from tfedge.files.progress import Progress
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import ImageData
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks import photos, pictures
from tfedge.tasks.audited import audited
from tfedge.tasks.blocks import Block, cell
from tfedge.tasks.classification.scores import ScoredClasses, classes_of
from tfedge.tasks.drop import Asked, Card, Check, Chosen, Content, Parts, Told
from tfedge.tasks.image_classification import card, drop, reader
from tfedge.tasks.image_classification import golden as pairs
from tfedge.tasks.image_classification.examples import LabelledImages
from tfedge.tasks.task import Examples


class Classification(ScoredClasses):
    """Which class an image is of."""

    kind = IMAGES
    noise = "noise"

    def scan(self, pipeline: Pipeline, cache: Path, progress: Progress, out: Path) -> None:
        """Leaves every image decoded in the pixel store."""
        settings = cast(ImageData, pipeline.data)
        found = scan(settings, cache, progress)
        contents = photos.contents(found, settings, cache, progress)
        skip = settings.on_bad_image == "skip"
        index, findings = audited(found, contents, settings, skip, progress)
        index.save(out / "index.json")
        findings.save(out / "audit.json")

    def examples(self, index: Path, data: Data, root: Path, cache: Path) -> LabelledImages:
        settings = cast(ImageData, data)
        size, fit, levels = settings.image_size, settings.fit, settings.range
        return LabelledImages(DecodedImages(Index.load(index), root, cache, size, fit, levels))

    def corruptions(
        self, examples: Examples
    ) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
        return CORRUPTIONS

    def shown_worst(self, evaluation: Evaluation, examples: Examples) -> list[Block]:
        captions = [f"{row['true']}, answered {row['predicted']}" for row in evaluation.worst]
        return pictures.worst(evaluation.worst, _images(examples), captions)

    def shown_data(self, audit: Findings | None, examples: Examples) -> list[Block]:
        found = _images(examples)
        complaints = pictures.findings(audit, found, self.kind) if audit is not None else []
        return [*complaints, *pictures.samples(found, self.kind)]

    def net_text(self, base: Base) -> str:
        net = ImageBase.of(base)
        return f"{cell(net.name)}, alpha {net.alpha:g}, {net.image_size} pixels a side"

    def contract(self, model: bytes, examples: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
        """uint8 [1, S, S, 3] RGB in, scores [1, classes] out."""
        return drop.contract(model, cast(LabelledImages, examples))

    def reader(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> reader.ImageReader:
        return reader.ImageReader(facts)

    def recognises(self, metadata: Mapping[str, Any]) -> bool:
        return reader.recognises(metadata)

    def alone(self, model: bytes, told: Told) -> dict[str, Any]:
        return reader.alone(model, told)

    def drop_facts(self, examples: Examples) -> dict[str, Any]:
        return drop.facts(cast(LabelledImages, examples))

    def synthetic(
        self, examples: Examples, given: Mapping[str, Any], asked: Asked, count: int
    ) -> Chosen:
        return pairs.synthetic(given["shape"][1], classes_of(examples), asked, count)

    def public(
        self,
        files: Sequence[Path],
        examples: Examples,
        given: Mapping[str, Any],
        asked: Asked,
        count: int,
    ) -> Chosen:
        size, fit = given["shape"][1], given["fit"]
        return pairs.public(files, size, fit, classes_of(examples), asked, count)

    def held_out(self, examples: Examples, rows: Sequence[int], count: int) -> Chosen:
        return pairs.held_out(cast(LabelledImages, examples), rows, count)

    def parts(self, target: str, content: Content, told: Mapping[str, str]) -> Parts:
        return drop.parts(target, content, told)

    def card(self, content: Content) -> Card:
        return card.card(content)

    def check_drop(self, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
        return drop.check(folder, manifest)


def _images(examples: Examples) -> DecodedImages:
    return cast(LabelledImages, examples).images
