"""Layer normalisation of pieces some of whose numbers are stored divided; see
``compression/outliers.py`` for why.

In float all of it computes what it would without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfedge.modeling.nets.env import keras, tf

BY = 8  # a power of two, so that float loses nothing


@dataclass(frozen=True)
class Division:
    """Of what a normalisation reads, [B, 1, S, H]: which of the H ``numbers`` are stored divided,
    and how far the others reach, but for a few."""

    numbers: tuple[int, ...]
    reach: float


Divisions = Mapping[str, Division]  # by the name of the normalisation


class _Numbers(keras.layers.Layer):  # type: ignore[misc]
    """``numbers``: which of pieces [B, 1, S, H] are divided."""

    def __init__(self, numbers: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.numbers = list(numbers)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "numbers": self.numbers}

    def row(self, hidden: int, divided: float) -> np.ndarray:
        """1 for each number, and ``divided`` for those that are: float32 [H]."""
        found = np.ones(hidden, np.float32)
        found[self.numbers] = divided
        return found


@keras.utils.register_keras_serializable("tfedge")
class Divided(_Numbers):
    """Of pieces [B, 1, S, H], or of what all H have in common [B, 1, S, 1], what is stored."""

    def __init__(self, numbers: Sequence[int], hidden: int, **kwargs: Any) -> None:
        super().__init__(numbers, **kwargs)
        self.hidden = hidden

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden": self.hidden}

    def constant(self, inputs: Any) -> np.ndarray:
        """float32 [1, 1, 1, H]."""
        return self.row(self.hidden, 1 / BY).reshape(1, 1, 1, -1)

    def call(self, inputs: Any) -> Any:
        return self.applied(inputs, self.constant(inputs))

    def applied(self, inputs: Any, constant: Any) -> Any:
        return inputs * constant


@keras.utils.register_keras_serializable("tfedge")
class MeanOfDivided(_Numbers):
    """The mean [B, 1, S, 1] of the numbers of each piece before they were divided."""

    def constant(self, inputs: Any) -> np.ndarray:
        """A kernel, float32 [1, 1, H, 1]."""
        hidden = inputs.shape[-1]
        return self.row(hidden, BY).reshape(1, 1, -1, 1) / hidden

    def call(self, inputs: Any) -> Any:
        return self.applied(inputs, self.constant(inputs))

    def applied(self, inputs: Any, constant: Any) -> Any:
        return tf.nn.conv2d(inputs, constant, 1, "VALID")


@keras.utils.register_keras_serializable("tfedge")
class LeftOut(MeanOfDivided):
    """What the squares of the divided numbers lack, as numbers [B, 1, S, n] whose squares it is."""

    def constant(self, inputs: Any) -> np.ndarray:
        """A kernel, float32 [1, 1, H, n]."""
        found = np.zeros((1, 1, inputs.shape[-1], len(self.numbers)), np.float32)
        found[0, 0, self.numbers, range(len(self.numbers))] = math.sqrt(BY**2 - 1)
        return found
