"""What a text classifier's head learns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tfedge.modeling.texts import TextExamples, TextHead
from tfedge.modeling.training.classes import Classes
from tfedge.tasks.text_classification.examples import LabelledTexts


class TextClassifierHead(TextHead):
    """Softmax scores of the classes."""

    def objective_of(self, examples: TextExamples) -> Classes:
        return Classes(examples, len(cast(LabelledTexts, examples).classes), scaled=True)

    @property
    def units(self) -> tuple[str, ...]:
        """The classes."""
        return cast(LabelledTexts, self.samples.examples).classes

    def keeps_order(self, units: Sequence[str]) -> str:
        return f"; data.classes: [{', '.join(units)}] keeps them"
