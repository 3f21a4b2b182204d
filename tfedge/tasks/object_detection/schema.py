"""Object detection: its row and its keys. Imports neither numpy nor TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, cast

from pydantic import Field

from tfedge.catalog.backbones import Block
from tfedge.catalog.recipes import DYNAMIC
from tfedge.catalog.strides import STRIDES, tapped, taps
from tfedge.config.section import Count, Fraction, NotNegative, Positive, key
from tfedge.inputs.images.schema import BoxData
from tfedge.pipeline import nets
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.recipes import quantized_by
from tfedge.pipeline.schema import (
    GATES,
    Backbone,
    BatchSize,
    Evaluate,
    Finetune,
    LearningRate,
    Pipeline,
    Prune,
    Quantize,
)
from tfedge.pipeline.schema import Gates as CommonGates
from tfedge.tasks.task import Metric, Task

_SIZE = "data.image_size"

_BOOTSTRAP = "bootstrap over the images"
MAP50 = Metric("map50", "mAP@.5", interval=_BOOTSTRAP)
MAP = Metric("map", "mAP@.5:.95", interval=_BOOTSTRAP)
LEAST: Mapping[str, Metric] = {"min_map50": MAP50, "min_map": MAP}
MAY_LOSE: Mapping[str, Metric] = {"max_map_drop": MAP}


class DetectorNet(Backbone):
    """A backbone of which a detector reads the feature maps of three strides."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Up to the last one that is read; none for a net that has no such maps."""
        return tapped(self.name, self.alpha)

    pooled = False

    def passing(self, first: int) -> tuple[Block, ...]:
        """The neck reads maps of several blocks."""
        below = self.blocks[:first]
        return tuple(one for one in taps(self.name, self.alpha) if one in below[:-1]) + below[-1:]


class DetectorFinetune(Finetune):
    head: Literal["sgd"] = key(  # type: ignore[assignment]  # there is no regression for boxes
        "sgd", "Neck and head train in epochs."
    )
    epochs: Count = key(40, "Epochs of neck and head, while the base is frozen.")
    learning_rate: Positive = key(3e-3, "The highest learning rate of neck and head.")
    warmup: Fraction = key(0.05, "Share of all steps over which the learning rate rises from zero.")
    batch_size: BatchSize = 16
    unfreeze_epochs: Count = key(16, "Epochs of these blocks, with neck and head.")
    unfreeze_learning_rate: Positive = key(5e-4, "The highest learning rate of these blocks.")


_NO_TEACHER = "Share of a teacher in the loss; detectors learn from their boxes alone: 0."
_NO_HINTS = "Weight in the loss of a teacher's features; detectors have none: 0."


class DetectorPrune(Prune):
    teacher: Annotated[float, Field(ge=0.0, le=1.0)] = key(0.0, _NO_TEACHER)
    hints: NotNegative = key(0.0, _NO_HINTS)
    learning_rate: LearningRate = 5e-4


class DetectorQuantize(Quantize):
    teacher: Annotated[float, Field(ge=0.0, le=1.0)] = key(0.0, _NO_TEACHER)
    hints: NotNegative = key(0.0, _NO_HINTS)
    learning_rate: LearningRate = 2e-4
    correct: bool = key(False, "Not for detectors yet: ranges alone.")
    debug: bool | Literal["auto"] = key(False, "Not for detectors yet.")


class Gates(CommonGates):
    min_map50: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None, "Least mean average precision of the shipped file at an IoU of 0.5."
    )
    min_map: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None, "Least mean average precision of the shipped file over IoU 0.5 to 0.95."
    )
    max_map_drop: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None, "Most mean average precision over IoU 0.5 to 0.95 that int8 may lose against float."
    )


class DetectorEvaluate(Evaluate):
    gates: Gates = key(Gates(), GATES)


def image_size(pipeline: Pipeline) -> int:
    """Pixels a side."""
    return cast(BoxData, pipeline.data).image_size


def _rules(pipeline: Pipeline) -> Iterator[Problem]:
    size, levels = image_size(pipeline), cast(BoxData, pipeline.data).range
    if levels is not None and levels[0] >= levels[1]:
        yield Problem("data.range", f"black must be below white, got {list(levels)}")
    if size % 32 not in (0, 1):
        lower, upper = size // 32 * 32 + 1, (size // 32 + 1) * 32
        what = f"a detector takes 32k or 32k + 1 pixels a side, such as {lower} or {upper}"
        yield Problem(_SIZE, f"{what}, got {size}")
    chosen = cast(Backbone, pipeline.backbone)
    yield from nets.problems(chosen, "backbone", size, _SIZE)
    if chosen.known and not tapped(chosen.name, chosen.alpha):
        strides = ", ".join(map(str, STRIDES))
        what = f"{chosen.name} has no feature maps of the strides {strides} that a detector reads"
        yield Problem("backbone.name", what)
    if pipeline.package is not None and pipeline.evaluate is None:
        what = "a drop ships the score thresholds that evaluate chooses: add an evaluate section"
        yield Problem("package", what, ("evaluate",))
    if pipeline.package is not None and "android" in pipeline.package.targets:
        yield from _on_android(cast(BoxData, pipeline.data))
    yield from _not_yet(pipeline)


def _on_android(data: BoxData) -> Iterator[Problem]:
    if data.fit != "stretch":
        what = f"MediaPipe stretches an image, and an Android drop's model was asked by {data.fit}"
        yield Problem("data.fit", f"{what}: take stretch", ("package.targets",))


def _not_yet(pipeline: Pipeline) -> Iterator[Problem]:
    """What detectors can't do here so far; refused by name."""
    for section in ("distill", "cluster"):
        if getattr(pipeline, section) is not None:
            yield Problem(section, "is not for detectors yet: leave it out")
    quantize, prune, finetune = pipeline.quantize, pipeline.prune, pipeline.finetune
    if quantized_by(pipeline).float_activations:
        what = "is for text encoders: ptq calibrates ranges and ships int8 weights and activations"
        yield Problem("quantize.recipe", f"{DYNAMIC.name} {what}")
    if quantize is not None:
        for name in ("keep", "correct", "debug"):
            if getattr(quantize, name):
                yield Problem(f"quantize.{name}", "is not for detectors yet: leave it out")
    if prune is not None and prune.recipe == "xnnpack":
        yield Problem("prune.recipe", "xnnpack is not for detectors yet: magnitude prunes")
    if prune is not None and prune.allocation == "sensitivity":
        yield Problem("prune.allocation", "sensitivity is not for detectors yet: lamp, global …")
    for stage in ("prune", "quantize"):
        section = getattr(pipeline, stage)
        for name in ("teacher", "hints"):
            if section is not None and getattr(section, name):
                yield Problem(f"{stage}.{name}", "is not for detectors yet: leave it out, or say 0")
    for stage in ("finetune", "prune", "quantize"):
        section = getattr(pipeline, stage)
        if section is None:
            continue
        if section.label_smoothing:
            yield Problem(f"{stage}.label_smoothing", "is for classes of whole images: 0")
        if section.class_weights != "none":
            yield Problem(f"{stage}.class_weights", "is for classes of whole images: none")
    for name in ("dropout", "patience"):
        if getattr(finetune, name) != DetectorFinetune.model_fields[name].default:
            what = "is of heads that are chosen by validation examples: leave it out"
            yield Problem(f"finetune.{name}", what)
    if finetune.schedule == "plateau":
        yield Problem(
            "finetune.schedule", "plateau asks the validation loss, which none chooses by"
        )


def _notes(pipeline: Pipeline) -> list[str]:
    chosen = cast(Backbone, pipeline.backbone)
    return nets.notes(chosen, "backbone", image_size(pipeline), _SIZE)


TASK = Task(
    name="object-detection",
    data=BoxData,
    backbone=DetectorNet,
    evaluate=DetectorEvaluate,
    primary=MAP50,
    beside=(MAP,),
    least=LEAST,
    may_lose=MAY_LOSE,
    sections={
        "finetune": DetectorFinetune,
        "prune": DetectorPrune,
        "quantize": DetectorQuantize,
    },
    draft="tfedge.tasks.object_detection.draft:draft",
    work="tfedge.tasks.object_detection.work:ObjectDetection",
    texts="tfedge.tasks.object_detection.copied:texts",
    head="tfedge.modeling.detection:DetectorHead",
    rules=_rules,
    notes=_notes,
    inputs=(_SIZE, "data.fit", "data.range"),
    shape=(_SIZE,),
    views=("data.augment",),
    sample="sample:scenes",
    libs=("pillow", "pycocotools", "defusedxml"),
    harder="severity 1 of ImageNet-C; Hendrycks and Dietterich 2019",
    detail=("per_class",),
    drops=("linux", "android", "coral"),
)
