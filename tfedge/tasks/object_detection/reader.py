"""Images that a shipped detector is asked about, as it was trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.benchmark.script.answers import GRID, TRUTH
from tfedge.errors import ConfigError, InvariantBroken, UnsupportedModel
from tfedge.files.artifact import read_json, write_atomic, write_json
from tfedge.files.files import shown
from tfedge.inputs.images.annotations.index import Truth, seen_on
from tfedge.inputs.images.annotations.model import Labelled, classes_in
from tfedge.portable.boxes import THRESHOLDS, detections, thresholds_of
from tfedge.portable.drawing import canvas, draw_boxes, in_pixels
from tfedge.portable.images import BadImage
from tfedge.tasks.blocks import Block
from tfedge.tasks.classification.answers import check_known, graph_of
from tfedge.tasks.drop import Answer, Drawing, Unreadable
from tfedge.tasks.object_detection.files import CHOSEN, CUSTOM, beside_anchors
from tfedge.tasks.object_detection.metrics import LEAST, DetectorMetrics, measure, problem_of
from tfedge.tasks.object_detection.report import class_table
from tfedge.tasks.photos import PhotoReader


class DetectorReader(PhotoReader):
    """By a contract. LookupError, TypeError and ValueError for one that says something else."""

    def __init__(self, facts: Mapping[str, Any], file: Callable[[str], bytes]) -> None:
        super().__init__(facts["input"])
        self._classes = [str(name) for name in facts["classes"]]
        taken = facts["output"]
        self._shape = int(taken["shape"][1]), len(self._classes)
        self._fit = str(facts["input"]["fit"])
        self._least = _thresholds(facts, file)
        if self._least is not None and len(self._least) != len(self._classes):
            raise ValueError(f"{len(self._least)} thresholds for {len(self._classes)} classes")
        self._anchors = np.frombuffer(file(taken["anchors"]), "<f4").reshape(self._shape[0], 4)

    def answer(self, output: np.ndarray, top: int) -> Answer:
        """The ``top`` boxes with the highest scores, whatever these are; sides are shares of what
        the model sees of the image."""
        self._check(output)
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

    def drawing(self) -> Drawing:
        """Boxes at or above the thresholds of their classes, as the drop's script draws them. Of a
        contract without thresholds ConfigError."""
        if self._least is None:
            what = "--draw: from which scores boxes count is known of what evaluate has measured"
            raise ConfigError([what], "give the drop, or a run with evaluate and no file in it")
        return Drawing(".png", partial(self._drawn, self._least))

    def _drawn(self, least: np.ndarray, content: bytes, output: np.ndarray) -> bytes:
        self._check(output)
        boxes = detections(output[:, :4], output[:, 4:], self._anchors, least)
        try:
            image = canvas(content, self.levels)
        except BadImage as error:
            raise Unreadable(error.reason) from error
        draw_boxes(image, in_pixels(boxes, image.size, self._fit), boxes, self._classes)
        file = BytesIO()
        image.save(file, "PNG")
        return file.getvalue()

    def _check(self, output: np.ndarray) -> None:
        if problem := problem_of(output[None], *self._shape):
            raise InvariantBroken("boxes and scores of the model", *problem)

    def truth(self, labels: Sequence[str]) -> np.ndarray:
        """[N] of ``Truth``; boxes that don't count may be of any class."""
        check_known((name for label in labels for name in classes_in(label)), self._classes)
        found = np.empty(len(labels), object)
        for place, label in enumerate(labels):
            found[place] = seen_on(Labelled.of(label), self._classes, self._fit)
        return found

    def measure(self, outputs: np.ndarray, targets: np.ndarray, evaluate: Any) -> DetectorMetrics:
        """Precision and recall at the scores from which the drop's script counts a box; without
        them where the contract tells none, as that of a run without ``evaluate``."""
        if problem := problem_of(outputs, *self._shape):
            raise InvariantBroken("boxes and scores of the model", *problem)
        return measure(outputs, targets, self._classes, self._least)

    def laid_out(self, files: Sequence[Path], labels: Sequence[str], folder: Path) -> None:
        """``TRUTH``, which two detectors of the same classes and fit share, and the anchors."""
        rows = [
            {"file": file.name, "boxes": _row(seen)}
            for file, seen in zip(files, self.truth(labels), strict=True)
        ]
        told = {"classes": self._classes, "fit": self._fit, "least": LEAST, "images": rows}
        if (folder / TRUTH).exists() and read_json(folder / TRUTH) != told:
            what = "--accuracy: the models tell other classes apart, or fit images otherwise"
            raise ConfigError([what], "measure them one by one")
        write_json(folder / TRUTH, told)
        anchors = self._anchors.astype("<f4").tobytes()
        write_atomic(folder / GRID.format(len(self._anchors)), anchors)

    def told(self, metrics: DetectorMetrics) -> list[Block]:
        """A line a class."""
        return [class_table(metrics, "class")]


def _row(seen: Truth) -> list[list[float]]:
    """x1 y1 x2 y2, class and 1 for what does not count, of each box."""
    sides, labels, ignored = (part.tolist() for part in seen)
    return [[*s, n, int(i)] for s, n, i in zip(sides, labels, ignored, strict=True)]


def _thresholds(facts: Mapping[str, Any], file: Callable[[str], bytes]) -> np.ndarray | None:
    """Of a drop by its file, of a run by what ``evaluate`` chose."""
    if "chosen" in facts:
        found = (facts["chosen"] or {}).get(CHOSEN)
        return None if found is None else np.asarray(found, np.float64)
    lines = file(beside_anchors(str(facts["output"]["anchors"]), THRESHOLDS))
    return thresholds_of(lines.decode("utf-8")).astype(np.float64).round(4)  # the file's digits


def recognises(metadata: Mapping[str, Any]) -> bool:
    """Whether TFLite metadata tell MediaPipe how boxes are made."""
    custom = graph_of(metadata).get("custom_metadata", ())
    return any(entry.get("name") == CUSTOM for entry in custom)


def by_itself() -> UnsupportedModel:
    """Why a detector is not asked that lies in no drop and no run."""
    what = "a detector's boxes differ from anchors, which lie beside the file"
    return UnsupportedModel("it can't be asked by itself", [what], "name its drop or its run")
