"""Learning-rate decay, and the optimizers that a pipeline can name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tfedge.modeling.nets.env import keras
from tfedge.pipeline.schema import Training

FLOOR = 0.01  # exponential decay ends at this share of the highest rate
PLATEAU_PATIENCE = 2  # epochs without a better loss before the rate is halved


class Rate:
    """The learning rate at each step.

    It rises linearly over the warm-up, then decays: ``cosine`` to zero (Loshchilov & Hutter 2017),
    ``exponential`` to a hundredth, ``plateau`` by half whenever the validation loss (the training
    loss, where there is none) has not fallen for two epochs, ``constant`` not at all.
    """

    def __init__(self, training: Training, highest: float, steps: int) -> None:
        self._kind = training.schedule
        self._highest = highest
        self._steps = steps
        self._warmup = math.ceil(training.warmup * steps)
        self._factor = 1.0
        self._best = math.inf
        self._waited = 0

    def at(self, step: int) -> float:
        if step < self._warmup:
            return self._highest * (step + 1) / self._warmup
        done = (step - self._warmup) / max(1, self._steps - self._warmup)
        if self._kind == "cosine":
            return self._highest * 0.5 * (1 + math.cos(math.pi * done))
        if self._kind == "exponential":
            return self._highest * FLOOR**done
        return self._highest * self._factor

    def epoch_ended(self, loss: float) -> None:
        """Only ``plateau`` listens."""
        if loss < self._best:
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._kind == "plateau" and self._waited >= PLATEAU_PATIENCE:
            self._factor, self._waited = self._factor / 2, 0


def optimizer(training: Training, variables: Sequence[Any]) -> Any:
    """Adam, AdamW with ``weight_decay``, or SGD with Nesterov momentum 0.9, for these variables.

    Keras' legacy ones update a variable by one op of TensorFlow, which its newer ones do in a
    dozen: for the 70 variables of a part of MobileNetV2 3 ms a step instead of 16, and a second
    and a half less to trace. There is no legacy AdamW.
    """
    if training.optimizer == "adamw":
        rule = keras.optimizers.AdamW(weight_decay=training.weight_decay)
        rule.build(variables)
        return rule
    legacy = keras.optimizers.legacy
    sgd = training.optimizer == "sgd"
    rule = legacy.SGD(momentum=0.9, nesterov=True) if sgd else legacy.Adam()
    rule._create_all_weights(variables)  # else the first step makes them, and is traced twice
    return rule
