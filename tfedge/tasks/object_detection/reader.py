"""Images that a shipped detector is asked about, as it was trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.files.files import shown
from tfedge.portable.boxes import detections
from tfedge.tasks.classification.answers import graph_of
from tfedge.tasks.drop import Answer
from tfedge.tasks.object_detection.files import CUSTOM
from tfedge.tasks.object_detection.metrics import LEAST, problem_of
from tfedge.tasks.photos import PhotoReader


class DetectorReader(PhotoReader):
    """By a contract. LookupError, TypeError and ValueError for one that says something else."""

    def __init__(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> None:
        super().__init__(facts["input"])
        self._classes = [str(name) for name in facts["classes"]]
        taken = facts["output"]
        self._shape = int(taken["shape"][1]), len(self._classes)
        self._anchors = np.frombuffer(file(taken["anchors"]), "<f4").reshape(self._shape[0], 4)

    def answer(self, output: np.ndarray, top: int) -> Answer:
        """The ``top`` boxes with the highest scores, whatever these are; sides are shares of what
        the model sees of the image."""
        if problem := problem_of(output[None], *self._shape):
            raise InvariantBroken("boxes and scores of the model", *problem)
        found = detections(output[:, :4], output[:, 4:], self._anchors, LEAST)[:top]
        rows = [
            (self._classes[int(row[5])], row[4], [round(side, 4) for side in row[:4]])
            for row in found.tolist()
        ]
        boxes = [{"class": name, "score": round(score, 4), "box": box} for name, score, box in rows]
        lines = [
            f"{100 * score:5.1f} %  {shown(name)}  {' '.join(f'{side:.3f}' for side in box)}"
            for name, score, box in rows
        ]
        return Answer({"boxes": boxes}, lines or ["nothing found"])


def recognises(metadata: Mapping[str, Any]) -> bool:
    """Whether TFLite metadata tell MediaPipe how boxes are made."""
    custom = graph_of(metadata).get("custom_metadata", ())
    return any(entry.get("name") == CUSTOM for entry in custom)


def by_itself() -> UnsupportedModel:
    """Why a detector is not asked that lies in no drop and no run."""
    what = "a detector's boxes differ from anchors, which lie beside the file"
    return UnsupportedModel("it can't be asked by itself", [what], "name its drop or its run")
