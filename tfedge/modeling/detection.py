"""Detectors, as stages train and convert them: a backbone of the catalogue with neck and head."""

from __future__ import annotations

from typing import Any, cast

from tfedge.catalog.backbones import BACKBONES, net
from tfedge.catalog.strides import tapped
from tfedge.core.outputs import Base
from tfedge.errors import UnsupportedModel
from tfedge.inputs.images.anchors import anchors
from tfedge.inputs.images.schema import BoxData
from tfedge.modeling.head import Lesson, TeacherOutputs
from tfedge.modeling.nets import detector
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import Spec
from tfedge.modeling.training import whole_head
from tfedge.modeling.training.boxes import BoxedExamples, Boxes, BoxSource
from tfedge.modeling.training.part import Samples
from tfedge.modeling.vision import VisionHead
from tfedge.pipeline.schema import Distill, Net, Transfer
from tfedge.tasks.task import Material


class DetectorHead(VisionHead):
    """A network uint8 [1, S, S, 3] → ``boxes`` [1, A, 4] and ``scores`` [1, A, classes]."""

    untrained = detector.PREFIX
    # Biases that are all equal, as before training, get one channel's scale for all from the
    # converter: such a file finds nothing, without an error.
    compared = 16

    def __init__(self, material: Material, base: Base) -> None:
        examples = cast(BoxedExamples, material.examples)
        augment = cast(BoxData, material.data).augment if material.views else None
        source = BoxSource(
            examples.images, augment, material.seed, material.cache, material.progress
        )
        objective = Boxes(source, examples, material.work)
        self.samples = Samples(source, material.examples, objective)
        self.work, self.material = material.work, material
        self.spec = Spec.of(ImageBase.of(base), objective.units)
        self.blocks = tapped(self.spec.name, self.spec.alpha)
        native = BACKBONES[self.spec.name].native_size
        self.macs = net(self.spec.name, self.spec.alpha).macs * (self.spec.size / native) ** 2
        model = self.build()
        _check_grid(model, self.spec)
        self.kernels = detector.kernels(model)

    @property
    def units(self) -> tuple[str, ...]:
        """The classes."""
        return cast(BoxedExamples, self.samples.examples).classes

    def build(self) -> Any:
        return detector.build(self.spec)

    def learn(self, model: Any, settings: Transfer, lesson: Lesson) -> whole_head.Learned:
        """In epochs, which nothing chooses by; see ``whole_head.learn``."""
        return whole_head.learn(
            self.samples,
            self.blocks,
            model,
            settings,
            random=lesson.random,
            first=lesson.first,
            metric=self.material.task.primary,
            record=lesson.record,
            headed=lesson.headed,
        )

    @classmethod
    def taught(cls, given: Material, teacher: Net, settings: Distill) -> TeacherOutputs:
        raise UnsupportedModel("a teacher, of a detector", [], "leave distill out")


def _check_grid(model: Any, spec: Spec) -> None:
    """UnsupportedModel for a net whose feature maps are not as large as their anchors' grids: some
    pad images of 32k + 1 pixels as if they had one less."""
    got, wanted = model.outputs[0].shape[1], len(anchors(spec.size))
    if got != wanted:
        what = f"{spec.name} at {spec.size} pixels, whose maps have {got} cells and not {wanted}"
        remedy = f"set data.image_size: {spec.size // 32 * 32}"
        raise UnsupportedModel(what, [], remedy)
