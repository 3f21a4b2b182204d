"""What an image classifier's head learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tfedge.modeling.training.classes import Classes
from tfedge.modeling.vision import ImageExamples, VisionHead
from tfedge.tasks.image_classification.examples import LabelledImages


class ClassifierHead(VisionHead):
    """Softmax scores of the classes."""

    def objective_of(self, examples: ImageExamples) -> Classes:
        return Classes(examples, len(cast(LabelledImages, examples).classes))

    @property
    def units(self) -> tuple[str, ...]:
        """The classes."""
        return cast(LabelledImages, self.samples.examples).classes

    def keeps_order(self, units: Sequence[str]) -> str:
        return f"; data.classes: [{', '.join(units)}] keeps them"
