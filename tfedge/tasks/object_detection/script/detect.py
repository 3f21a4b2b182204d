#!/usr/bin/env python3
"""Find things on photos, with the model in this folder.

    python detect.py photo.jpg [FOLDER ...] [--least 0.5] [--threads 1]
                                  a line of JSON for each: classes, scores, boxes in pixels
    python detect.py photo.jpg --draw OUT    and the photos with their boxes, into a folder
    python detect.py --check                 replay the golden pairs of this folder

Needs numpy, Pillow and one interpreter: ai-edge-litert, tflite-runtime or tensorflow.
Runs on Python 3.7 and newer. Ends with 0 when all went well, with 1 when a golden pair differs,
with 2 when something can't be used: the drop, the interpreter, or at least one of the photos.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from tfedge.portable.boxes import (
    MOST,
    THRESHOLDS,
    GoldenBoxes,
    boxes_file,
    boxes_of,
    detections,
    thresholds_of,
)
from tfedge.portable.drawing import canvas, draw_boxes, in_pixels
from tfedge.portable.dropped import (
    DELEGATE,
    INSTALL,
    Drop,
    Failed,
    Model,
    check,
    complain,
    content,
    described,
    ended,
    options,
)
from tfedge.portable.images import BadImage, decode, read

MOST_TEXT = 2**20  # bytes


class DetectorDrop(Drop):
    """One whose model takes images and gives boxes and scores."""

    what = "images"

    def differing(self, number: int, expected: np.ndarray, got: np.ndarray) -> str:
        """By the rule of outputs and of the boxes that are made of them."""
        place = self.place(boxes_file(self.pairs[number][1]))
        try:
            boxes = boxes_of(content(place, 24 * MOST))
        except ValueError as error:
            raise Failed(f"{place}: {error}") from error
        return GoldenBoxes(self.anchors(), self.least()).difference(expected, got, boxes)

    def read(self, facts: dict) -> None:
        self.fit = str(facts["input"]["fit"])
        self.levels = [int(level) for level in facts["input"].get("levels") or ()]
        self.anchors_file = str(facts["output"]["anchors"])
        self.boxes, self.scores = self.outputs

    def fits(self) -> bool:
        names = [output.name for output in self.outputs]
        return len(self.shape) == 4 and names == ["boxes", "scores"] and len(self.gives) == 3

    def taken(self) -> list:
        return [described(output.shape, self.dtype) for output in self.outputs]

    def anchors(self) -> np.ndarray:
        """float32 [anchors, 4], cx cy w h of each."""
        count = self.gives[1]
        return np.frombuffer(self.file(self.anchors_file, 16 * count), "<f4").reshape(count, 4)

    def least(self) -> np.ndarray:
        """float32 [classes], the scores from which boxes count, as they were chosen."""
        path = self.place(THRESHOLDS)
        try:
            found = thresholds_of(path.read_bytes()[:MOST_TEXT].decode("utf-8"))
        except (OSError, ValueError) as error:
            raise Failed(f"{path}: {error}") from error
        if len(found) != len(self.classes):
            raise Failed(f"{path}: {len(found)} scores for {len(self.classes)} classes")
        return found

    def stored(self, scores: np.ndarray) -> np.ndarray:
        """The least stored scores that mean at least these."""
        if not self.scores.scale:
            return scores
        return np.ceil(scores / np.float32(self.scores.scale) + self.scores.zero_point)


class Detector:
    """The model with all that makes boxes of what it gives."""

    def __init__(self, model: Model, drop: DetectorDrop, least: Any) -> None:
        self.model, self.drop = model, drop
        self.anchors = self.drop.anchors()
        chosen = self.drop.least()
        self.least = self.drop.stored(chosen if least is None else np.full_like(chosen, least))

    def boxes(self, pixels: np.ndarray) -> np.ndarray:
        """[n, 6] of x1 y1 x2 y2 in shares of the model's input, score, number of the class.

        Scores are compared as they are stored, and what does not pass is never decoded."""
        stored, drop = self.model.run(pixels), self.drop
        deltas, scores = stored[:, :4], stored[:, 4:]
        return detections(
            deltas, scores, self.anchors, self.least, drop.boxes.real, drop.scores.real
        )


def photos(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are named; of a folder all that lie below it, hidden ones left out."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
        seen = [
            file
            for file in found
            if not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        if not seen:
            raise Failed(f"{path}: no files in it")
        yield from seen


def found_on(detector: Detector, path: Path, draw: Any) -> dict:
    """What is on a photo, ready for JSON. Failed for what is none."""
    if not path.is_file():
        raise Failed(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    drop = detector.drop
    try:
        data = read(path)
        image = canvas(data, drop.levels)
        boxes = detector.boxes(decode(data, drop.shape[1], drop.fit, drop.levels))
    except BadImage as error:
        raise Failed(f"{path}: {error.reason}") from error
    except ImportError as error:
        raise Failed(f"Pillow can't be imported ({error}): {INSTALL}") from error
    places = in_pixels(boxes, image.size, drop.fit)
    rows = []
    for place, row in zip(places.tolist(), boxes.tolist()):
        box = [round(side, 1) for side in place]
        rows.append({"class": drop.classes[int(row[5])], "score": round(row[4], 4), "box": box})
    if draw is not None:
        draw_boxes(image, places, boxes, drop.classes)
        saved(image, draw / (path.stem + ".png"))
    return {"file": str(path), "boxes": rows}


def saved(image: Any, path: Path) -> None:
    """Write an image, and the folder that it is in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error


def detect(detector: Detector, paths: Sequence[Path], draw: Any) -> int:
    """A line for each image, and go on past those that can't be read: 2 then."""
    code = 0
    only_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    for path in photos(paths):
        try:
            found = found_on(detector, path, draw)
        except Failed as error:
            complain(error)
            code = 2
            continue
        print(json.dumps(found, ensure_ascii=only_ascii), flush=True)
    return code


def share(text: str) -> float:
    """Reads a score from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a score above 0, up to 1")
    return value


def arguments() -> argparse.Namespace:
    """The command line. Wrong usage ends the program with 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO", help="an image, or a folder of images")
    add("--least", type=share, metavar="SCORE", help="of all classes, instead of the chosen ones")
    add("--draw", type=Path, metavar="FOLDER", help="write the photos with their boxes there")
    options(parser)
    args = parser.parse_args()
    if not args.photos and not args.check:
        parser.error("name a photo, a folder, or --check")
    return args


def run(args: argparse.Namespace) -> int:
    """What the command line asks for; the exit code."""
    drop = DetectorDrop()
    model = Model(drop, args.threads, bool(DELEGATE) and not args.cpu)
    if args.check:
        return check(model)
    return detect(Detector(model, drop, args.least), args.photos, args.draw)


def main() -> int:
    """Run by the command line; the exit code."""
    return ended(arguments, run)


if __name__ == "__main__":
    sys.exit(main())
