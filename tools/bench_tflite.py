#!/usr/bin/env python3
"""Measure .tflite models on the device this runs on. One file: copy it there and run it.

    python3 bench_tflite.py model.tflite [more.tflite ...] --threads 1,2,4 --json result.json

It needs Python 3.7 or newer, numpy, a TFLite interpreter (ai-edge-litert, tflite-runtime, pycoral
or tensorflow), and Pillow where images are fed.

Exit codes: 0 measured; 1 a bug; 2 wrong usage; 3 numpy, an interpreter or Pillow is missing; 4 the
runtime can't load or run the model; 5 golden pairs differ; 6 images, labels or golden files can't
be used; 7 the delegate can't be used; 130 Ctrl-C; 143 stdin ended (--attached); ended by SIGALRM,
in a shell 142: --timeout.

Its sources are tfedge/benchmark/script/ and tfedge/portable/, which tools/build_device_script.py
puts together; nothing is packed, and it writes no file but that of --json.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import hashlib
import importlib
import json
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from contextlib import nullcontext
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence, Tuple

try:
    import numpy as np
except ImportError:
    np = None


# ---- tfedge/portable/golden.py ----
# Golden pairs: when a machine that replays them answers as the one that made them.

# Runtimes and processors round differently: up to 36 steps of 1/256 were measured between them.
TOLERANCE = 40 / 256


def difference(expected: Any, got: Any) -> str:
    """How scores [classes] differ from the expected ones by more than machines may; "" if not.

    Each score is at most ``TOLERANCE`` off, and the answer is the same one, unless the two best
    expected scores are closer to each other than that: these may change places.
    """
    expected = np.asarray(expected, np.float64).ravel()
    got = np.asarray(got, np.float64).ravel()
    if expected.shape != got.shape:
        return f"{expected.size} scores to compare {got.size} with"
    if not np.isfinite(got).all():
        return "scores are no numbers"
    off = float(np.abs(got - expected).max())
    if off > TOLERANCE:
        return f"scores differ by {off:.3f}"
    order = np.argsort(-expected, kind="stable")
    margin = expected[order[0]] - expected[order[1]] if len(order) > 1 else np.inf
    if got.argmax() != order[0] and margin > TOLERANCE:
        return f"another answer: class {got.argmax()}, not {order[0]}"
    return ""


# ---- tfedge/portable/boxes.py ----
# Detection: from what a model gives for each anchor to boxes, and the golden rule for them.
#
# A *box* is x1 y1 x2 y2, 0 to 1 from the left and the top of the model's input. An *anchor* is cx
# cy w h, likewise. A model gives for each anchor ty tx th tw, how its box differs from it (by the
# coder of SSD, Liu et al. 2016, with the factors 10 10 5 5), and a score for each class.

CODER = (10.0, 10.0, 5.0, 5.0)  # of ty tx th tw
OVERLAP = 0.5  # IoU above which the lower of two boxes of one class goes
MOST = 100  # boxes of an image
CANDIDATES = 400  # boxes of a class that are compared
SAME_BOX = 0.9  # IoU of a box on two machines, at least
_MOVES = 1 - SAME_BOX  # so much the IoU of two boxes differs between machines
SURE = 2 * TOLERANCE  # score of a box that two machines place alike
ANCHORS = "anchors.bin"  # float32, little-endian: cx cy w h of each
THRESHOLDS = "thresholds.txt"  # of each class, a line: the score from which boxes count, its name
_WIDE = 20.0  # of th and tw, before exp: a factor of 55


def decoded(deltas: Any, anchors: Any) -> Any:
    """Boxes [n, 4] of deltas [n, 4] and anchors [n, 4], inside of the image."""
    deltas = np.asarray(deltas, np.float32)
    cy = deltas[:, 0] / CODER[0] * anchors[:, 3] + anchors[:, 1]
    cx = deltas[:, 1] / CODER[1] * anchors[:, 2] + anchors[:, 0]
    h = np.exp(np.clip(deltas[:, 2], -_WIDE, _WIDE) / CODER[2]) * anchors[:, 3]
    w = np.exp(np.clip(deltas[:, 3], -_WIDE, _WIDE) / CODER[3]) * anchors[:, 2]
    found = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 1)
    return np.clip(found, 0, 1)


def iou(first: Any, second: Any) -> Any:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4]."""
    # a side at a time: sides as the last of three axes take numpy six times as long
    left, top, right, bottom = first.T[:, :, None]
    others_left, others_top, others_right, others_bottom = second.T[:, None]
    wide = _length(np.maximum(left, others_left), np.minimum(right, others_right))
    high = _length(np.maximum(top, others_top), np.minimum(bottom, others_bottom))
    shared = wide * high
    area = _length(left, right) * _length(top, bottom)
    others_area = _length(others_left, others_right) * _length(others_top, others_bottom)
    return shared / (area + others_area - shared + 1e-9)


def _length(low: Any, high: Any) -> Any:
    return np.clip(high - low, 0, None)


def suppressed(boxes: Any, scores: Any) -> list:
    """Positions of the boxes of one class that stay, the best first: none overlaps a better one."""
    order = np.argsort(-scores, kind="stable")[:CANDIDATES]
    overlaps = iou(boxes[order], boxes[order]) > OVERLAP
    gone = np.zeros(len(order), bool)
    kept = []
    for place in range(len(order)):
        if not gone[place]:
            kept.append(int(order[place]))
            gone |= overlaps[place]
        if len(kept) == MOST:
            break
    return kept


def as_given(stored: Any) -> Any:
    """Values that are real already."""
    return stored


def detections(
    deltas: Any,
    scores: Any,
    anchors: Any,
    least: Any,
    real_deltas: Callable[[Any], Any] = as_given,
    real_scores: Callable[[Any], Any] = as_given,
) -> Any:
    """What a model has found in an image: float32 [n, 6] of x1 y1 x2 y2, score and the number of
    the class, the best first, ``MOST`` at most.

    ``deltas`` [A, 4] and ``scores`` [A, classes] may be as the model stores them: ``real_deltas``
    and ``real_scores`` say what they mean. ``least`` [classes] are the lowest scores that count,
    stored likewise. Few anchors pass, and only these are decoded.
    """
    at, numbers = np.nonzero(scores >= least)
    found = np.zeros((0, 6), np.float32)
    if not len(at):
        return found
    boxes = decoded(real_deltas(deltas[at]), anchors[at])
    values = real_scores(scores[at, numbers])
    parts = []
    for number in np.unique(numbers):
        mine = np.flatnonzero(numbers == number)
        parts.append(mine[suppressed(boxes[mine], values[mine])])
    kept = np.concatenate(parts)
    kept = kept[np.argsort(-values[kept], kind="stable")][:MOST]
    rows = [boxes[kept], values[kept, None], numbers[kept, None]]
    return np.concatenate(rows, 1).astype(np.float32)


def thresholds_of(text: str) -> Any:
    """float32 [classes], of what THRESHOLDS holds. ValueError."""
    return np.array([float(line.split("\t")[0]) for line in text.splitlines()], np.float32)


def boxes_file(output: str) -> str:
    """The file of a golden pair's boxes, by that of its output: 000.output.bin, 000.boxes.bin."""
    return output.replace(".output.bin", ".boxes.bin")


def boxes_of(content: bytes) -> Any:
    """float32 [n, 6] of the bytes of such a file, as ``detections`` gives them. ValueError."""
    return np.frombuffer(content, "<f4").reshape(-1, 6)


def scores_difference(expected: Any, got: Any) -> str:
    """How outputs [A, 4 + classes] are none, or have a score that is more than ``TOLERANCE`` off
    the expected one; "" if neither."""
    expected = np.asarray(expected, np.float64)
    got = np.asarray(got, np.float64)
    if expected.shape != got.shape or expected.ndim != 2 or expected.shape[1] < 5:
        return f"outputs {list(expected.shape)} to compare {list(got.shape)} with"
    if not np.isfinite(got).all():
        return "outputs are no numbers"
    off = float(np.abs(got[:, 4:] - expected[:, 4:]).max())
    return f"scores differ by {off:.3f}" if off > TOLERANCE else ""


class GoldenBoxes:
    """The golden rule of a drop: of what its model gives, and of the boxes that are made of it.

    ``anchors`` [A, 4]; ``least`` [classes] are the scores from which boxes count.
    """

    def __init__(self, anchors: Any, least: Any) -> None:
        self.anchors = anchors
        self.least = least

    def found(self, outputs: Any) -> Any:
        """The boxes of real outputs [A, 4 + classes]."""
        return detections(outputs[:, :4], outputs[:, 4:], self.anchors, self.least)

    def difference(self, expected: Any, got: Any, boxes: Any) -> str:
        """How outputs [A, 4 + classes] or their boxes differ from the expected ones by more than
        machines may; "" if they do not. ``boxes`` [n, 6] are those of the expected outputs, as the
        drop has them.

        From the expected outputs the same boxes are made here. Each score that was got is at most
        ``TOLERANCE`` off. A box whose score is above ``SURE``, and by more than ``TOLERANCE`` above
        the one from which boxes of its class count, is found again: of the same class, with an IoU
        of at least ``SAME_BOX`` and a score at most ``TOLERANCE`` off; and no other such box is
        found. But where two boxes of the expected outputs are so near that one may suppress the
        other, scores that are closer than that decide which stays, and an IoU around ``OVERLAP``
        whether both do.
        """
        told = scores_difference(expected, got)
        if told:
            return told
        if not same_boxes(boxes, self.found(expected)):
            return "the expected outputs have other boxes here"
        found = self.found(got)
        lost, new = unmatched(boxes, found), unmatched(found, boxes)
        again, given = unmatched(boxes, lost), [box for box in new if self._given(box, expected)]
        for box in lost:
            places = [one for one in given if box[4] - one[4] <= TOLERANCE]
            if self._counts(box) and not _near(box, places) and not _halfway(box, again):
                return _lost(box, new)
        for box in new:
            known = any(box is one for one in given)
            if self._counts(box) and not (known and (_near(box, lost) or _halfway(box, again))):
                return f"a new box: {_told(box)}"
        return ""

    def _counts(self, box: Any) -> bool:
        """Whether a box is there on every machine."""
        return bool(box[4] > max(SURE, self.least[int(box[5])] + TOLERANCE))

    def _given(self, box: Any, outputs: Any) -> bool:
        """Whether a box is one of those that outputs have before suppression."""
        off = np.abs(outputs[:, 4 + int(box[5])] - box[4])
        near = np.flatnonzero(off <= TOLERANCE)
        there = decoded(outputs[near, :4], self.anchors[near])
        return bool((iou(box[None, :4], there) >= SAME_BOX).any())


def same_boxes(expected: Any, got: Any) -> bool:
    """Whether boxes [n, 6] are equal, but for the last bits of ``exp``, in which processors
    differ."""
    return expected.shape == got.shape and bool(np.allclose(expected, got, rtol=0, atol=1e-4))


def unmatched(boxes: Any, others: Any) -> list:
    """Those boxes, rows of 6, that are not among others by more than machines may differ."""
    return [box for box in boxes if not any(_same(box, one) for one in others)]


def _overlap(one: Any, other: Any) -> float:
    return float(iou(one[None, :4], other[None, :4])[0, 0])


def _same(one: Any, other: Any) -> bool:
    return bool(
        one[5] == other[5]
        and abs(one[4] - other[4]) <= TOLERANCE
        and _overlap(one, other) >= SAME_BOX
    )


def _overlaps_with(box: Any, others: Any) -> Any:
    """IoU [n] of a box with others, 0 for those of other classes."""
    others = np.asarray(others).reshape(-1, 6)
    return iou(box[None, :4], others[:, :4])[0] * (others[:, 5] == box[5])


def _near(box: Any, others: Any) -> bool:
    """Whether it and one of the others may suppress each other."""
    return bool((_overlaps_with(box, others) > OVERLAP - _MOVES).any())


def _halfway(box: Any, others: Any) -> bool:
    """Whether it and one of the others suppress each other on some machines alone."""
    return bool((np.abs(_overlaps_with(box, others) - OVERLAP) <= _MOVES).any())


def _told(box: Any) -> str:
    return f"class {int(box[5])}, score {box[4]:.2f}"


def _lost(box: Any, new: Any) -> str:
    """What became of an expected box."""
    near = max(new, key=lambda one: _overlap(one, box), default=None)
    if near is None or _overlap(near, box) <= OVERLAP:
        return f"a box is lost: {_told(box)}"
    if near[5] != box[5]:
        return f"a box has another class: {_told(near)}, not {_told(box)}"
    if _overlap(near, box) < SAME_BOX:
        return f"a box is elsewhere: {_told(box)}, IoU {_overlap(near, box):.2f}"
    return f"a box has another score: {_told(near)}, not {_told(box)}"


# ---- tfedge/portable/precision.py ----
# Mean average precision of boxes, as COCO has it: what a board can compute without pycocotools.
#
# Lin et al. 2014, "Microsoft COCO: Common Objects in Context": all areas, 101 recalls, IoU 0.5 to
# 0.95. A *truth* of an image is boxes [n, 4], numbers of their classes int [n], and bool [n] which
# of them don't count: neither to be found nor wrong where something is found there.

# As numpy's linspace has them, without numpy: a board is looked at before it is there.
OVERLAPS = [*(0.5 + n * ((0.95 - 0.5) / 9) for n in range(9)), 0.95]
_RECALLS = [*(n * (1.0 / 100) for n in range(100)), 1.0]


def average_precisions(found: Sequence[Any], truth: Sequence[Any], classes: int) -> Any:
    """float [classes, 10], of each class at each of ``OVERLAPS``; NaN where there is none of it.

    ``found`` has for each image float [n, 6], as ``portable.boxes.detections`` gives it."""
    return np.array([_of_class(found, truth, number) for number in range(classes)])


def mean_average(precisions: Any) -> tuple:
    """At an IoU of 0.5, and the mean over all, of the classes that there are; 0 without one."""
    there = precisions[~np.isnan(precisions[:, 0])]
    return (float(there[:, 0].mean()), float(there.mean())) if len(there) else (0.0, 0.0)


def _of_class(found: Sequence[Any], truth: Sequence[Any], number: int) -> Any:
    scores, right, ignored, support = [], [], [], 0
    for boxes, (places, labels, flags) in zip(found, truth):
        mine = boxes[boxes[:, 5] == number]
        mine = mine[np.argsort(-mine[:, 4], kind="stable")]
        own = labels == number
        order = np.argsort(flags[own], kind="stable")  # those that count come first
        hits = _matched(mine[:, :4], places[own][order], flags[own][order])
        scores.append(mine[:, 4])
        right.append(hits[0])
        ignored.append(hits[1])
        support += int((own & ~flags).sum())
    if not support:
        return np.full(len(OVERLAPS), np.nan)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit, ignore = (np.concatenate(parts, 1)[:, order] for parts in (right, ignored))
    return np.array([_area(*pair, support) for pair in zip(hit & ~ignore, ~hit & ~ignore)])


def _matched(boxes: Any, places: Any, flags: Any) -> tuple:
    """bool [10, n] which boxes, the best first, are of a place of their own, and bool [10, n] which
    of them don't count since the place doesn't."""
    overlaps = _overlaps(boxes, places, flags)
    hit, ignored = (np.zeros((len(OVERLAPS), len(boxes)), bool) for _ in range(2))
    for at, least in enumerate(OVERLAPS):
        taken = np.zeros(len(places), bool)
        for box in range(len(boxes)):
            best, of = min(least, 1 - 1e-10), -1
            for place in range(len(places)):
                if taken[place] and not flags[place]:
                    continue
                if of > -1 and not flags[of] and flags[place]:
                    break  # it is of one that counts
                if overlaps[box, place] >= best:
                    best, of = overlaps[box, place], place
            if of > -1:
                hit[at, box], ignored[at, box], taken[of] = True, flags[of], True
    return hit, ignored


def _overlaps(boxes: Any, places: Any, flags: Any) -> Any:
    """IoU [n, m]; with a place that doesn't count the share of the box that lies there."""
    boxes, places = boxes.astype(np.float64), places.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], places[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], places[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    own, other = ((one[:, 2:] - one[:, :2]).prod(1) for one in (boxes, places))
    whole = np.where(flags[None], own[:, None], own[:, None] + other[None] - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _area(right: Any, wrong: Any, support: int) -> float:
    """Mean precision at 101 recalls, each the best at that recall or more."""
    hits, misses = np.cumsum(right), np.cumsum(wrong)
    recall = hits / support
    precision = hits / (hits + misses + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, "left")
    return float(np.append(best, 0.0)[at].mean())


# ---- tfedge/portable/levels.py ----
# PNG images of 16 bits a channel: their levels, and which of them become black and white.
#
# The decoder takes the upper 8 bits. A camera of 10, 12 or 14 bits in 16 leaves next to nothing up
# there, and neither does a thermal one whose image is a few hundred levels in the middle; then
# ``levels``, (black, white), says what is spread over 0 to 255.

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow's mode of each colour type, and how it reads the lower byte of each of its channels.
_MODES = {2: ("RGB", "RGB;16L"), 6: ("RGBA", "RGBA;16L")}
_GREY, _GREY_ALPHA = 0, 4


def is_deep(data: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel."""
    return data.startswith(_SIGNATURE) and len(data) > 33 and data[24] == 16


def deep_levels(data: bytes) -> Any:
    """The levels of such a file: uint16 [height, width, channels], transparency the last of 2 or 4.

    Pillow's errors for damaged files.
    """
    kind = data[25]
    if kind == _GREY:
        return np.asarray(_opened(data)).astype(np.uint16)[:, :, None]
    if kind == _GREY_ALPHA:  # its four bytes a pixel are read as four channels of 8 bits
        bytes_of = np.asarray(_opened(data, "RGBA", "RGBA")).astype(np.uint16)
        return bytes_of[:, :, ::2] << 8 | bytes_of[:, :, 1::2]
    mode, lower = _MODES[kind]
    upper = np.asarray(_opened(data)).astype(np.uint16)
    return upper << 8 | np.asarray(_opened(data, mode, lower)).astype(np.uint16)


def in_eight_bits(data: bytes, levels: Sequence[int] | None) -> bytes:
    """Such a file as a PNG of 8 bits: black and everything below to 0, white and above to 255.

    None: the upper 8 bits. The EXIF block stays.
    """
    from PIL import Image

    deep = deep_levels(data)
    alpha = deep.shape[2] in (2, 4)
    spread = spread_levels(deep, levels)
    if alpha:  # transparency has the whole range
        spread[:, :, -1] = deep[:, :, -1] >> 8
    file = BytesIO()
    image = Image.fromarray(spread[:, :, 0] if spread.shape[2] == 1 else spread)
    image.save(file, "PNG", compress_level=0, exif=_opened(data).getexif())
    return file.getvalue()


def spread_levels(deep: Any, levels: Sequence[int] | None) -> Any:
    """uint16 to uint8, as ``in_eight_bits``."""
    if levels is None:
        return (deep >> 8).astype(np.uint8)
    black, white = levels
    scaled = (deep.astype(np.int64) - black) * 255 + (white - black) // 2
    return np.clip(scaled // (white - black), 0, 255).astype(np.uint8)


def _opened(data: bytes, mode: str = "", raw: str = "") -> Any:
    """The image; with ``raw`` its bytes are read another way than Pillow would."""
    from PIL.PngImagePlugin import PngImageFile

    image: Any = PngImageFile(BytesIO(data))
    if raw:
        codec, box, offset, _ = image.tile[0]
        image.tile = [(codec, box, offset, raw)]
        if hasattr(image, "_mode"):
            image._mode = mode
        else:  # before Pillow 10.1
            image.mode = mode
    return image


# ---- tfedge/portable/images.py ----
# An image file to square RGB pixels. Everything that trains or runs a model sees these.
#
# What happens, in this order:
#
# 1. JPEG, PNG, BMP, WebP or GIF (first frame), told by the first bytes, never by the name;
# 2. more than 100 megapixels are refused from the header, before a pixel is decoded;
# 3. a JPEG whose shorter side is 4 × ``size`` or more is decoded at 1/2, 1/4 or 1/8, never below
#    2 × ``size``: ``image.draft(None, (2 * size, 2 * size))``, which leaves all others alone;
# 4. the EXIF orientation is obeyed;
# 5. grey, palette, CMYK (Adobe's inverted kind, as Pillow reads it) become RGB, 16 bits become
#    their upper 8, or what ``levels`` makes of them; transparency is laid on **white**; ICC
#    profiles are not applied;
# 6. ``crop``: the largest centred square, resized; ``stretch``: resized, the aspect lost; ``pad``:
#    resized to fit, centred on black. Resizing is Pillow's BILINEAR, which averages when it
#    shrinks.
#
# Pillow is imported when an image is decoded: the device script also runs where there is none, and
# what it measures of memory must not hold a library that it did not need.

VERSION = 1  # rises when an image would give other pixels: stored pixels go by it

PIXEL_LIMIT = 100_000_000
BYTE_LIMIT = 512 * 2**20  # of the file
_TOO_BIG = f"more than {PIXEL_LIMIT // 1_000_000} megapixels, refused before decoding"
_BIG = 24_000_000  # pixels; above it one at a time, so that many cores don't fill the RAM

_TRANSPOSE = {  # by EXIF orientation
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_PLAIN = {"RGB", "L", "1", "P", "CMYK", "YCbCr", "LA", "PA", "RGBA", "RGBX"}
# What Pillow raises on damaged files, as its own `Image.open` and `verify` expect it.
_DAMAGE = (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, TypeError)
# It warns of junk in EXIF blocks, of which only the orientation matters here.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
_one_big = threading.Lock()


class BadImage(ValueError):
    """A file that is no image we can read. ``reason`` says why, without the file's name."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason


def decode(
    source: Path | bytes, size: int, fit: str, levels: Sequence[int] | None = None
) -> np.ndarray:
    """The image as uint8 [size, size, 3] RGB; ``fit``: crop, stretch or pad; ``levels``: of 16 bits
    a channel those that become black and white.

    Raises BadImage for whatever is no good image.
    """
    from PIL import Image

    name = "" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read(source)
        image = _open(data, size)
        big = image.width * image.height > _BIG
        with _one_big if big else nullcontext():
            if levels and is_deep(data):
                image = _open(in_eight_bits(data, levels), size)
            return np.array(_square(_rgb(_upright(image)), size, fit))
    except BadImage as error:
        raise BadImage(error.reason, name) from error
    except Image.DecompressionBombError as error:  # a frame bigger than the header said
        raise BadImage(_TOO_BIG, name) from error
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}", name) from error


def upright(data: bytes) -> Any:
    """The whole image of a file's bytes as Pillow has it, RGB, as it is seen. BadImage."""
    try:
        return _rgb(_upright(_open(data, PIXEL_LIMIT)))
    except BadImage:
        raise
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}") from error


def read(path: Path) -> bytes:
    """The file's bytes. Raises BadImage when it is too big for an image, or can't be read."""
    try:
        if path.stat().st_size > BYTE_LIMIT:
            raise BadImage(f"bigger than {BYTE_LIMIT // 2**20} MB")
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f"can't be read: {error.strerror}") from error


def _open(data: bytes, size: int) -> Any:
    """The header only. The plugins are called directly: no other format is ever tried."""
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    file = BytesIO(data)
    image: Any
    if not data:
        raise BadImage("empty file")
    if data.startswith(b"\xff\xd8\xff"):
        image = JpegImageFile(file)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        image = PngImageFile(file)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        image = GifImageFile(file)
    elif data.startswith(b"BM"):
        image = BmpImageFile(file)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        image = WebPImageFile(file)
    else:
        raise BadImage("not an image (JPEG, PNG, BMP, WebP and GIF are read)")
    width, height = image.size
    if width * height > PIXEL_LIMIT:
        raise BadImage(f"{width}×{height} pixels: {_TOO_BIG}")
    image.draft(None, (2 * size, 2 * size))  # JPEG: the smallest scale that leaves that much
    return image


def _upright(image: Any) -> Any:
    name = _TRANSPOSE.get(image.getexif().get(0x0112, 1))
    return image if name is None else image.transpose(_constant("Transpose", name))


def _constant(kind: str, name: str) -> Any:
    """``Image.Transpose.ROTATE_90``; before Pillow 9.1 the constants stand in the module itself."""
    from PIL import Image

    module: Any = Image
    return getattr(getattr(module, kind, module), name)


def _rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):  # 16-bit grey PNG
        levels = np.asarray(image).clip(0, 65535)
        return Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode not in _PLAIN:
        raise BadImage(f"pixels of kind {image.mode} can't be turned into RGB")
    if _is_transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _is_transparent(image: Any) -> bool:
    """Pillow's ``has_transparency_data``, which came with 10.1."""
    palette = getattr(image.palette, "mode", "") if image.mode == "P" else ""
    return (
        image.mode in ("LA", "PA", "RGBA") or palette.endswith("A") or "transparency" in image.info
    )


def _square(image: Any, size: int, fit: str) -> Any:
    from PIL import Image

    bilinear = _constant("Resampling", "BILINEAR")
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    elif fit == "pad":
        scale = size / max(width, height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = Image.new("RGB", (size, size), "black")
        left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
        canvas.paste(image.resize(inner, bilinear), (left, top))
        return canvas
    return image.resize((size, size), bilinear)


# ---- tfedge/benchmark/script/problem.py ----
# How the script ends when something is wrong: an exit code, what is wrong, and the way out.


class Problem(Exception):
    """Ends the script with ``code``, a line that says what is wrong, and perhaps a hint."""

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error: {' '.join(self.message.split())}"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return printable("\n".join(lines))


@contextlib.contextmanager
def ending(code: int, kinds: tuple, what: str = "", hint: str = "") -> Iterator[None]:
    """Turn exceptions of these kinds into a Problem; ``what`` stands before their message."""
    try:
        yield
    except kinds as error:
        told: BaseException = error
        if isinstance(error, SystemError) and error.__cause__:
            told = error.__cause__  # a C extension that failed; the cause says at what
        raise Problem(code, f"{what}{told}", hint) from error


def printable(text: str) -> str:
    """The text without what could control a terminal: anyone may have named a file."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


# ---- tfedge/benchmark/script/facts.py ----
# What a device is, and how it feels: all that can be read of it without installing anything.

ROOT = Path("/")  # of proc and sys; tests put their own there
CORTEX = {  # "CPU part" of ARM's own cores: the Cortex-…
    "c07": "A7",
    "d03": "A53",
    "d04": "A35",
    "d05": "A55",
    "d07": "A57",
    "d08": "A72",
    "d09": "A73",
    "d0a": "A75",
    "d0b": "A76",
    "d0d": "A77",
    "d41": "A78",
}


def read_text(name: str | Path, pattern: str = r"(.*\S)") -> str | None:
    """What the pattern's group finds in a file of proc or sys; None: not known here."""
    try:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(pattern, text.replace("\0", ""), re.M)
    return found.group(1) if found and found.group(1) else None


def read_number(name: str | Path, pattern: str, unit: float = 1) -> float | None:
    """The number that the pattern finds, times the unit: an int if that is one."""
    text = read_text(name, pattern)
    return None if text is None else type(unit)(round(float(text) * unit, 3))


def state() -> dict:
    """How the device feels now: temperature, clock, throttling, load. None: not known here."""
    return {
        "temperature_c": temperature(),
        "frequency_hz": frequency(),
        "throttled": throttled(),
        "load": read_number("proc/loadavg", r"([\d.]+)", 1.0),  # of the last minute
    }


def temperature() -> float | None:
    """Degrees Celsius of the hottest sensor of the CPU; where none is known, of the hottest."""
    every = []
    cpu = []
    for zone in ROOT.glob("sys/class/thermal/thermal_zone*"):
        degrees = read_number(zone / "temp", r"^(\d{4,6})$", 1e-3)
        if degrees:
            every.append(degrees)
            if re.search("cpu|soc|pkg|core|bcm", read_text(zone / "type") or "", re.I):
                cpu.append(degrees)
    return max(cpu or every, default=None)


def frequency() -> float | None:
    """Hertz of the fastest core, at this moment."""
    kilohertz = ROOT.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    return max((read_number(file, r"(\d+)", 1000) or 0 for file in kilohertz), default=0) or None


def throttled() -> bool | None:
    """Whether heat or power holds the CPU back."""
    if shutil.which("vcgencmd"):  # Raspberry Pi
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
            said = subprocess.check_output(["vcgencmd", "get_throttled"], timeout=5)
            return bool(int(said.split(b"=")[1], 16) & 15)  # the bits above: since the boot
    devices = ROOT.glob("sys/class/thermal/cooling_device*")
    cpu = [one for one in devices if re.search("cpu|proc", read_text(one / "type") or "", re.I)]
    if not cpu:
        return None
    return any(read_number(one / "cur_state", r"(\d+)") for one in cpu)


def device() -> dict:
    """What the device is. None: not known here."""
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return {
        "board": read_text("proc/device-tree/model") or read_text("sys/class/dmi/id/product_name"),
        "cpu": cpu_name() or platform.processor() or None,
        "machine": platform.machine() or None,
        "cores": len(usable(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": None if np is None else np.__version__,
        "governor": read_text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": read_number("proc/meminfo", r"^MemTotal:\s*(\d+)", 1024),
    }


def cpu_name() -> str | None:
    """The processor, by its cores where they are ARM's own."""
    info = read_text("proc/cpuinfo", r"(?s)(.*)") or ""
    parts = dict.fromkeys(re.findall(r"^CPU part\s*: 0x(\w+)", info, re.M))
    cores = [f"Cortex-{CORTEX[part]}" for part in parts if part in CORTEX]
    if cores:
        return " + ".join(cores)
    said = dict(re.findall(r"^(model name|Hardware|Model)\s*: (.*\S)", info, re.M))
    return said.get("model name") or said.get("Hardware") or said.get("Model")


# ---- tfedge/benchmark/script/shapes.py ----
# How large a model's inputs are when it is timed, and how much of it a delegate takes.

SHAPE = re.compile(r"(?:(?P<name>.+)=)?(?P<sides>[1-9]\d*(?:x[1-9]\d*)*)")
HOW = "1x224x224x3, or NAME=1x224x224x3 for each of several inputs, with commas between them"


class Port(NamedTuple):
    """An input of a model. A side of -1 is open."""

    name: str
    shape: list[int]


def resize(interpreter: Any, text: str) -> bool:
    """Give the open inputs of an interpreter the sizes of ``--shape``; whether there were any.

    Before its tensors are allocated. Problem as of ``sized``.
    """
    details = interpreter.get_input_details()
    ports = [Port(one.get("name", ""), open_shape(one)) for one in details]
    for detail, port, sides in zip(details, ports, sized(ports, text)):
        if -1 in port.shape:
            interpreter.resize_tensor_input(detail["index"], sides)
    return any(-1 in port.shape for port in ports)


def open_shape(port: dict) -> list[int]:
    """The shape of an interpreter's input, -1 where the file leaves a side open."""
    shape = [int(side) for side in port["shape"]]
    told = port.get("shape_signature")
    signature = shape if told is None or len(told) != len(shape) else [int(side) for side in told]
    return [-1 if given < 1 or side < 1 else side for side, given in zip(shape, signature)]


def sized(ports: Sequence[Port], text: str) -> list[list[int]]:
    """The shapes in which a model with these inputs is timed, by ``--shape``.

    Problem names the input that is open and has no size, or can't have the one that is given.
    """
    given = parsed(text)
    if None in given and len(ports) != 1:
        names = ", ".join(port.name for port in ports)
        raise Problem(2, f"--shape {text}: of which input? NAME=SHAPE, with NAME of {names}")
    unknown = [name for name in given if name not in (None, *(port.name for port in ports))]
    if unknown:
        names = ", ".join(port.name for port in ports)
        raise Problem(2, f"--shape: no input is called {unknown[0]}; there are: {names}")
    return [_size(port, given.get(port.name, given.get(None, []))) for port in ports]


def parsed(text: str) -> dict[Any, list[int]]:
    """Sides by input; by None where no input is named. Problem when it is none of ``HOW``."""
    found: dict[Any, list[int]] = {}
    for part in text.split(",") if text else []:
        match = SHAPE.fullmatch(part.strip())
        if not match or match["name"] in found:
            raise Problem(2, f"--shape {text}: not {HOW}")
        found[match["name"]] = [int(side) for side in match["sides"].split("x")]
    return found


def _size(port: Port, sides: list[int]) -> list[int]:
    if not sides:
        if -1 not in port.shape:
            return port.shape
        proposal = written(_proposal(port.shape))
        raise Problem(
            2,
            f"the input {port.name} is open: {written(port.shape)}; it is timed in one shape only",
            f"say which with --shape, such as --shape {proposal}",
        )
    fits = len(sides) == len(port.shape)
    if not fits or any(side not in (-1, given) for side, given in zip(port.shape, sides)):
        raise Problem(
            2, f"--shape {written(sides)}: the input {port.name} is {written(port.shape)}"
        )
    return sides


def _proposal(shape: Sequence[int]) -> list[int]:
    """A usual one: images of 224 pixels, one at a time."""
    image = len(shape) == 4 and shape[3] in (1, 3, 4)
    usual = [1, 224, 224, 3] if image else [1] * len(shape)
    return [given if side < 0 else side for side, given in zip(shape, usual)]


def written(shape: Sequence[int]) -> str:
    """1x?x?x3."""
    return "x".join("?" if side < 0 else str(side) for side in shape)


def delegated(interpreter: Any) -> Any:
    """How many of a model's nodes a delegate has taken, as "31 of 65 nodes"; None: not known here.

    A delegate's node has the inputs and outputs of those that it took: they are the ones that lead
    from these to those.
    """
    if not hasattr(interpreter, "_get_ops_details"):
        return None
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if not node["op_name"].startswith("DELEGATE")]
    makers = {int(tensor): node for node in own for tensor in node["outputs"]}
    taken = set()
    for delegate in nodes:
        if not delegate["op_name"].startswith("DELEGATE"):
            continue
        known = {int(tensor) for tensor in delegate["inputs"]}
        left = [int(tensor) for tensor in delegate["outputs"]]
        while left:
            tensor = left.pop()
            node = makers.get(tensor)
            if tensor not in known and node is not None and node["index"] not in taken:
                taken.add(node["index"])
                left += [int(tensor) for tensor in node["inputs"]]
    return f"{len(taken)} of {len(own)} nodes"


# ---- tfedge/benchmark/script/statistics.py ----
# What follows from samples: their summary, and why they should perhaps not be trusted.

UNSTABLE = 0.10  # of the median, where pyperf warns, too
FAR = 0.20  # of the median: from there to the 90th percentile
BUSY = 0.05  # of the time on the clock: by so much may the CPU's part from it
CLOCKS = 10_000  # nanoseconds a sample: what reading the clocks may take, and more
ONCE = ("profile", "accuracy", "golden")  # found by one process of a model and number of threads


class Summary(NamedTuple):
    """Of samples in nanoseconds. MAD is not scaled to sigma."""

    n: int
    median: float
    mad: float
    mean: float
    low: float
    high: float
    p90: float | None  # None where fewer than five samples lie beyond it
    p99: float | None  # None where fewer than ten do


def summarise(samples: Sequence[int]) -> Summary:
    """The summary of samples in nanoseconds. ValueError when there are none."""
    if not samples:
        raise ValueError("no samples")
    values = np.asarray(samples, np.float64)
    median = np.median(values)
    return Summary(
        n=len(values),
        median=float(median),
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        low=float(values.min()),
        high=float(values.max()),
        p90=float(np.percentile(values, 90)) if len(values) >= 50 else None,
        p99=float(np.percentile(values, 99)) if len(values) >= 1000 else None,
    )


def unstable(processes: Sequence[Sequence[int]]) -> list[str]:
    """Why the samples of these processes should not be trusted; empty when they are steady.

    After pyperf: do they scatter within processes (1.4826 MAD, which one slow sample does not
    move), and do processes differ?
    """
    each = [summarise(samples) for samples in processes if samples]
    if not each:
        return ["no samples"]
    pooled = summarise([sample for samples in processes for sample in samples])
    within = max(1.4826 * one.mad / one.median for one in each)
    medians = [one.median for one in each]
    between = (max(medians) - min(medians)) / pooled.median
    reasons = []
    if pooled.n < 10:
        reasons.append(f"only {pooled.n} sample{'s' if pooled.n > 1 else ''}")
    if within > UNSTABLE:
        reasons.append(f"samples scatter by {within:.0%} of the median within a process")
    if pooled.p90 is not None and pooled.p90 > (1 + FAR) * pooled.median:
        far = pooled.p90 / pooled.median - 1
        reasons.append(f"one in ten inferences takes {far:.0%} longer than the median, or more")
    if between > UNSTABLE:
        reasons.append(f"medians of {len(each)} processes differ by {between:.0%}")
    return reasons


def disturbed(processes: Sequence[dict], drift: dict | None) -> list[str]:
    """What the device did meanwhile, told by its states before and after each process."""
    found = []
    for process in processes:
        states = [process["before"] or {}, process["after"] or {}]
        for key, share in (("temperature_c", 0.2), ("frequency_hz", 0.05)):
            low, high = sorted(one.get(key) or 0 for one in states)
            if 0 < low < high / (1 + share):
                found.append(f"{key} moved between {low:,.0f} and {high:,.0f}")
        if any(one.get("throttled") for one in states):
            found.append("the CPU was throttled (heat or power)")
    if drift and abs(drift["ratio"] - 1) > UNSTABLE:
        found.append(f"the last samples took {drift['ratio']:.2f} times as long as the first")
    return list(dict.fromkeys(found))


def busy(processes: Sequence[dict], threads: int, delegate: str) -> list[str]:
    """What the CPU time of the samples says beside their time on the clock.

    One thread that is not kept waiting computes all the time. Several compute at most so many times
    as long, and how much less depends on the model; and what the others did last, a kernel that
    counts in ticks may add later. There a sample counts as kept waiting if it was slow and its
    threads computed less at once than in the best quarter. With a delegate that is no CPU the CPU
    waits, and nothing can be said.
    """
    known = [one for one in processes if one.get("cpu_ns")]
    if not known or delegate not in ("xnnpack", "none"):
        return []
    lost = []
    for process in known:
        wall = np.asarray(process["samples_ns"], np.float64)
        cpu = np.asarray(process["cpu_ns"], np.float64)
        if cpu.sum() > (1 + BUSY) * threads * wall.sum() + CLOCKS * len(wall):
            more = cpu.sum() / wall.sum()
            return [f"it took the CPU time of {more:.1f} threads, and was given {threads}"]
        waited = 1 - cpu.sum() / wall.sum()
        lost.append(waited if threads == 1 else max(waited, _kept_waiting(wall, cpu)))
    if max(lost) > BUSY:
        return [f"the machine was busy: for {max(lost):.0%} of the time it did not compute this"]
    return []


def _kept_waiting(wall: np.ndarray, cpu: np.ndarray) -> float:
    """The share of the time that samples of several threads took longer for not computing."""
    at_once = cpu / np.maximum(wall, 1)
    usual = np.percentile(wall, 25)
    slow = (wall > (1 + UNSTABLE) * usual) & (at_once < (1 - BUSY) * np.percentile(at_once, 75))
    return float((wall - usual)[slow].sum() / wall.sum())


def joined(results: Sequence[dict]) -> dict:
    """Turns of one model with the same settings as one result, with all that follows from it."""
    processes = [process for result in results for process in result["processes"]]
    samples = [process["samples_ns"] for process in processes]
    summary = summarise([sample for process in samples for sample in process])
    drifts = [result["drift"] for result in results if result["drift"]]
    drift = max(drifts, key=lambda one: one["ratio"], default=None)
    peaks = sorted(one["peak_bytes"] for one in processes if one["peak_bytes"] is not None)
    found = {key: next((one[key] for one in results if one[key]), None) for key in ONCE}
    return {
        **results[0],
        **found,
        "processes": processes,
        "summary": summary._asdict(),
        "drift": drift,
        "unstable": [
            *unstable(samples),
            *busy(processes, results[0]["threads"], results[0]["delegate"]),
            *disturbed(processes, drift),
        ],
        "per_second": 1e9 / summary.mean,
        "peak_bytes": peaks[len(peaks) // 2] if peaks else None,
    }


# ---- tfedge/benchmark/script/runtime.py ----
# Interpreters and delegates, and a model that runs on them.


class RuntimePackage(NamedTuple):
    """A package that has a TFLite interpreter."""

    name: str  # as results call it
    package: str  # what must be installed
    module: str  # where its Interpreter is


RUNTIMES = {  # by --runtime, in the order in which they are looked for
    "litert": RuntimePackage("LiteRT", "ai_edge_litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": RuntimePackage(
        "tflite-runtime", "tflite_runtime", "tflite_runtime.interpreter"
    ),
    "pycoral": RuntimePackage("pycoral", "pycoral", "tflite_runtime.interpreter"),
    "tensorflow": RuntimePackage("TensorFlow", "tensorflow", "tensorflow.lite.python.interpreter"),
}
PIP = "python3 -m pip install "
EDGETPU_LIBRARY = {"Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}  # elsewhere Linux's
BUCKETS = 12  # parts of --seconds, to see a drift
EMPTY_MODEL = bytes.fromhex(  # without ops: the wrong numpy shows only when a model is loaded
    "1800000054464c3300000e0010000c0000000800000004000e00000034000000080000000300000001000000"
    "100000000c00140010000c00080004000c000000100000000c000000080000000400000000000000"
)


class Runtime(NamedTuple):
    """An interpreter that works here."""

    name: str
    version: str | None
    module: Any


def open_runtime(wanted: str) -> Runtime:
    """The interpreter of that ``--runtime``; ``auto``: the first that is installed."""
    rows = [
        row for key, row in RUNTIMES.items() if wanted in (key, "auto") and find_spec(row.package)
    ]
    if not rows:
        hint = f"{PIP}ai-edge-litert (from Python 3.10 on) or {PIP}tflite-runtime 'numpy<2'"
        raise Problem(3, f"no TFLite interpreter ({wanted}) for {sys.executable}", hint)
    row = rows[0]
    numpy_version = None if np is None else np.__version__
    told = f"{row.name} does not work with numpy {numpy_version}: "
    with ending(3, (ImportError, AttributeError, SystemError), told, f"{PIP}'numpy<2'"):
        version = getattr(importlib.import_module(row.package), "__version__", None)
        module: Any = importlib.import_module(row.module)
        module.Interpreter(model_content=EMPTY_MODEL)
    return Runtime(row.name, version, module)


def interpreter_arguments(module: Any, threads: int, delegate: str) -> dict:
    """What an Interpreter takes for so many threads and ``--delegate``: ``xnnpack``, which is its
    own default, ``none``, ``edgetpu``, or ``PATH[,key=value]``."""
    path, *options = delegate.split(",")
    words: dict = {"num_threads": threads}
    hint = "is the library installed, the device plugged in, and may this user open it?"
    with ending(7, (OSError, ValueError, AttributeError), f"delegate {path}: ", hint):
        if path == "xnnpack":
            return words
        if path == "none":
            resolver = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            return {**words, "experimental_op_resolver_type": resolver}
        if path == "edgetpu":
            path = EDGETPU_LIBRARY.get(platform.system(), "libedgetpu.so.1")
        given = dict(option.partition("=")[::2] for option in options)
        return {**words, "experimental_delegates": [module.load_delegate(path, given)]}


def settle(longest: float = 1.0, look: float = 0.01) -> bool:
    """Wait until no thread of this process computes, at most so many seconds; whether none does.

    numpy's OpenBLAS starts a thread a core when it is imported, and they spin for about 0.1 s
    before they sleep: long enough to take a core from the inferences of a small model.
    """
    end = time.monotonic() + longest
    while time.monotonic() < end:
        computed = time.process_time()
        time.sleep(look)
        if time.process_time() - computed < look / 4:  # the kernel may count in ticks of 4 ms
            return True
    return False


class Times(NamedTuple):
    """Nanoseconds of inferences: on the clock, and of the CPU, over all threads of the process."""

    wall: list
    cpu: list


class Model:
    """A model on an interpreter, run once on noise.

    ``shape`` is that of ``--shape``. Problem when an input is open and it does not say how large.
    """

    def __init__(self, path: str, module: Any, words: dict, shape: str = "") -> None:
        start = time.perf_counter_ns()
        self.interpreter = module.Interpreter(model_path=path, **words)
        resize(self.interpreter, shape)
        self.interpreter.allocate_tensors()
        self.load_ns = time.perf_counter_ns() - start
        self.inputs = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()
        self._fill_with_noise()
        self.first_ns = self.run(1).wall[0]

    @property
    def shapes(self) -> list:
        """Of the inputs, as they are timed."""
        return [[int(side) for side in port["shape"]] for port in self.inputs]

    def _fill_with_noise(self) -> None:
        """Pixels of every value; in floats from 0 to 1; in other integers 0 and 1, which are good
        as indices and as masks."""
        random = np.random.RandomState(1)
        for port in self.inputs:
            kind = port["dtype"]
            noise = random.randint(0, 256, port["shape"], np.uint8)
            if np.dtype(kind).kind == "f":
                noise = noise.astype(kind) / kind(256)
            elif kind not in (np.uint8, np.int8):
                noise = (noise & 1).astype(kind)
            self.interpreter.set_tensor(port["index"], noise.view(kind))

    def run(self, count: int, images: Sequence = ()) -> Times:
        """So many inferences, each with the next of the images, if there are any."""
        found = Times([], [])
        for number in range(count):
            self._time(found, number, images)
        return found

    def run_for(self, seconds: float, images: Sequence = ()) -> tuple[Times, dict]:
        """Inferences for so long, and how their medians drifted meanwhile."""
        found = Times([], [])
        buckets: list[dict] = []
        done = 0
        begin = time.perf_counter_ns()
        passed = 0.0
        while not buckets or passed < seconds:
            self._time(found, len(found.wall), images)
            passed = (time.perf_counter_ns() - begin) / 1e9
            if passed >= seconds * (len(buckets) + 1) / BUCKETS:
                part = summarise(found.wall[done:])
                done = len(found.wall)
                now = state()
                buckets.append(
                    {
                        "at_s": passed,
                        "n": part.n,
                        "median_ns": part.median,
                        "temperature_c": now["temperature_c"],
                        "frequency_hz": now["frequency_hz"],
                    }
                )
                passed = (time.perf_counter_ns() - begin) / 1e9
        ratio = buckets[-1]["median_ns"] / buckets[0]["median_ns"]
        return found, {"seconds": seconds, "ratio": ratio, "buckets": buckets}

    def _time(self, found: Times, number: int, images: Sequence) -> None:
        if images:
            self.interpreter.set_tensor(self.inputs[0]["index"], images[number % len(images)])
        invoke = self.interpreter.invoke
        computed = time.process_time_ns()
        start = time.perf_counter_ns()
        invoke()
        found.wall.append(time.perf_counter_ns() - start)
        found.cpu.append(time.process_time_ns() - computed)

    def answer(self, given: Any) -> Any:
        """The output, flat and as it is stored; several stand side by side along their last axis,
        in the order of their names. ``given`` are the values of the input; of several, which are
        alike, those of each behind the other's, likewise."""
        kinds = {(str(port["dtype"]), tuple(port["shape"])) for port in self.inputs}
        made = {(str(port["dtype"]), tuple(port["shape"][:-1])) for port in self.outputs}
        if len(kinds) != 1 or len(made) != 1:
            raise ValueError("answers are checked only of a model with alike inputs and outputs")
        ports = sorted(self.inputs, key=lambda port: port.get("name", ""))
        parts = given.reshape([len(ports), *list(ports[0]["shape"])])
        for port, part in zip(ports, parts):
            self.interpreter.set_tensor(port["index"], part)
        self.interpreter.invoke()
        found = [self.interpreter.get_tensor(port["index"]) for port in self.taken()]
        return (found[0] if len(found) == 1 else np.concatenate(found, -1)).ravel()

    def taken(self) -> list:
        """The outputs in the order of their names; that in the file is its converter's."""
        return sorted(self.outputs, key=lambda port: port.get("name", ""))

    def real(self, stored: Any) -> Any:
        """What ``answer`` means, with its scale where it is quantized; of several outputs [n, …],
        side by side."""
        ports = self.taken()
        if len(ports) == 1:
            return _real(stored, ports[0])
        widths = [int(port["shape"][-1]) for port in ports]
        parts = np.split(stored.reshape(-1, sum(widths)), np.cumsum(widths)[:-1], -1)
        return np.concatenate([_real(part, port) for part, port in zip(parts, ports)], -1)


def _real(stored: Any, port: dict) -> Any:
    """Stored values of an output, with its scale where it is quantized, else as they are."""
    scale, zero_point = port.get("quantization", (0.0, 0))
    if not scale:
        return stored
    return (stored.astype(np.float32) - zero_point) * np.float32(scale)


# ---- tfedge/benchmark/script/image_inputs.py ----
# Images as a model's input.

Levels = Tuple[int, int]  # of 16 bits a channel: what becomes black, what white
FITS = ("crop", "stretch", "pad")
MOST_IMAGES = 100  # kept in memory for --pictures


def manifest_fit(model: str) -> str | None:
    """How an image becomes square for this model, by the MANIFEST.json beside it that names it.

    None without one; ValueError when there is such a file and it doesn't say.
    """
    for file, given in _manifest_input(model, "--fit"):
        fit = given.get("fit")
        if fit not in FITS:
            raise ValueError(f"{file}: input.fit is {fit!r}, not {', '.join(FITS)}: give --fit")
        return str(fit)
    return None


def manifest_levels(model: str) -> Levels | None:
    """Which levels of images of 16 bits become black and white, by the same file.

    None where it says none; ValueError as above.
    """
    for file, given in _manifest_input(model, "--levels"):
        try:
            return checked_levels(given["levels"]) if "levels" in given else None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file}: input.levels: {error}: give --levels") from error
    return None


def checked_levels(given: Any) -> Levels:
    """Two levels of 16 bits, the darker one first. TypeError or ValueError for anything else."""
    black, white = (int(level) for level in given)
    if not 0 <= black < white <= 65535:
        raise ValueError(f"black below white, 0 to 65535, got {black},{white}")
    return black, white


def _manifest_input(model: str, option: str) -> Iterator[tuple[Path, dict]]:
    """The nearest MANIFEST.json that names the model, and what it says of the input."""
    path = Path(model).absolute()
    for folder in (path.parent, path.parent.parent):  # the latter: of a drop with assets/
        file = folder / "MANIFEST.json"
        if not file.is_file():
            continue
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}: no JSON ({error}): give {option}") from error
        if path.relative_to(folder).as_posix() in models_of(manifest):
            given = manifest.get("input")
            yield file, given if isinstance(given, dict) else {}
            return


def models_of(manifest: Any) -> set:
    """The files that a manifest names, and what is compiled after a drop was made."""
    if not isinstance(manifest, dict):
        return set()
    coral = manifest.get("coral")
    names = {manifest.get("model"), *(manifest.get("files") or ())}
    return names | {coral.get("file")} if isinstance(coral, dict) else names


def image_input(model: Model, path: Path, fit: str, levels: Levels | None = None) -> Any:
    """An image as the model takes it, decoded as in training. ValueError names the file."""
    shape = [int(side) for side in model.inputs[0]["shape"]]
    kind = model.inputs[0]["dtype"]
    if len(model.inputs) != 1 or len(shape) != 4 or shape != [1, shape[1], shape[1], 3]:
        raise ValueError(
            f"images are fed to one square RGB input, [1, size, size, 3]; this model takes {shape}"
        )
    if kind not in (np.uint8, np.int8):
        raise ValueError(f"images are 8 bits a value, the model takes {np.dtype(kind).name}")
    pixels = decode(path, shape[1], fit, levels)[None]
    return pixels if kind == np.uint8 else (pixels ^ 128).view(np.int8)  # int8: 128 less


def image_inputs(model: Model, folder: str, fit: str, levels: Levels | None = None) -> list:
    """The first images of a folder, decoded. OSError or ValueError, with the file's name."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    if not files:
        raise ValueError(f"{folder}: no images")
    return [image_input(model, path, fit, levels) for path in files[:MOST_IMAGES]]


# ---- tfedge/benchmark/script/answers.py ----
# What a model answers on this device: are the golden pairs still what was shipped, how many images
# of a folder are named rightly, and which boxes are found?

TRUTH = "truth.json"  # in a folder of images with boxes: classes, least score, and a row an image
GRID = "anchors-{}.bin"  # likewise: of a model with so many


def replay_pairs(model: Model, folder: str) -> dict:
    """How the answers differ from those of ``NNN.input.bin`` and ``NNN.output.bin`` in a folder.

    ``failed`` counts the pairs that differ by more than machines may. ``max_difference`` is in the
    output's own numbers, and equal highest scores are all top-1; None for a model of several
    outputs. A detector's pairs have their boxes beside them, ``NNN.boxes.bin``, and what makes
    boxes of outputs. OSError or ValueError for files that are none of these.
    """
    identical = agree = 0
    failures = []
    differences = []
    inputs = sorted(Path(folder).glob("*.input.bin"))
    if not inputs:
        raise ValueError(f"{folder}: no golden pairs (NNN.input.bin, NNN.output.bin)")
    for path in inputs:
        given = np.fromfile(str(path), model.inputs[0]["dtype"])
        got = model.answer(given)
        output = path.with_name(path.name.replace(".input.bin", ".output.bin"))
        want = np.fromfile(str(output), got.dtype)
        if got.shape != want.shape:
            raise ValueError(f"{output}: {want.size} values to compare {got.size} with")
        identical += got.tobytes() == want.tobytes()
        agree += bool(want[got.argmax()] == want.max() or got[want.argmax()] == got.max())
        differences.append(float(np.abs(got.astype(float) - want.astype(float)).max()))
        told = differing(model, output, model.real(want), model.real(got))
        if told:
            failures.append(f"{output.name}: {told}")
    return {
        "pairs": len(inputs),
        "identical": identical,
        "failed": len(failures),
        "failure": failures[0] if failures else None,  # the first
        "top1_agree": agree if len(model.outputs) == 1 else None,
        "max_difference": max(differences) if np.isfinite(differences).all() else None,
    }


def differing(model: Model, output: Path, want: Any, got: Any) -> str:
    """How real answers differ by the golden rule: of scores, or of boxes and scores."""
    if [str(port.get("name", "")) for port in model.taken()] != ["boxes", "scores"]:
        return difference(*as_scores(want.ravel(), got.ravel()))
    anchors = np.fromfile(str(output.with_name(ANCHORS)), "<f4").reshape(len(want), 4)
    least = thresholds_of(output.with_name(THRESHOLDS).read_text(encoding="utf-8"))
    if len(least) != want.shape[1] - 4:
        raise ValueError(f"{THRESHOLDS}: {len(least)} scores for {want.shape[1] - 4} classes")
    boxes = boxes_of(output.with_name(boxes_file(output.name)).read_bytes())
    return GoldenBoxes(anchors, least).difference(want, got, boxes)


def as_scores(want: Any, got: Any) -> tuple[Any, Any]:
    """Both as the rule takes them, from 0 to 1: logits, which go beyond, through a softmax."""
    if want.min() >= -0.01 and want.max() <= 1.01:
        return want, got
    return softmax(want), softmax(got)


def softmax(values: Any) -> Any:
    """Scores that add up to 1."""
    with np.errstate(invalid="ignore"):  # what is no number stays none
        powers = np.exp(values.astype(np.float64) - values.max())
        return powers / powers.sum()


def accuracy_of(
    model: Model, folder: str, labels: str, fit: str, levels: Levels | None = None
) -> dict:
    """Top-1 on FOLDER/class/image; the order of the classes is that of a file, or alphabetic. Of
    images with boxes, which ``TRUTH`` lists, mean average precision."""
    if (Path(folder) / TRUTH).is_file():
        return precision_of(model, Path(folder), fit, levels)
    files = sorted(path for path in Path(folder).glob("*/*") if path.is_file())
    found = {path.parent.name for path in files}
    classes = sorted(found)
    if labels:
        classes = Path(labels).read_text(encoding="utf-8").strip().splitlines()
    unknown = sorted(found - set(classes))
    scores = int(np.prod(model.outputs[0]["shape"]))
    if not files or unknown or len(classes) != scores:
        raise ValueError(
            f"{folder}: {len(files)} images of {len(classes)} classes, the model has {scores}; "
            f"folders that are no class: {', '.join(unknown) or '-'}"
        )
    right = 0
    for path in files:
        answer = model.answer(image_input(model, path, fit, levels))
        right += int(answer.argmax() == classes.index(path.parent.name))
    return {"top1": right / len(files), "n": len(files), "classes": len(classes)}


def precision_of(model: Model, folder: Path, fit: str, levels: Levels | None) -> dict:
    """Mean average precision on the images of a folder that ``tfedge bench`` has laid out: what is
    on each in ``TRUTH``, as the model sees it, and the anchors in ``GRID``."""
    told = json.loads((folder / TRUTH).read_text(encoding="utf-8"))
    count, classes = int(model.taken()[0]["shape"][1]), len(told["classes"])
    widths = [int(port["shape"][-1]) for port in model.taken()]
    file = folder / GRID.format(count)
    if widths != [4, classes] or not file.is_file():
        raise ValueError(f"{folder}: it is for {classes} classes, the model gives {widths}")
    anchors = np.fromfile(str(file), "<f4").reshape(count, 4)
    found, truth = [], []
    for row in told["images"]:
        given = image_input(model, folder / row["file"], fit, levels)
        real = model.real(model.answer(given)).reshape(count, 4 + classes)
        found.append(detections(real[:, :4], real[:, 4:], anchors, told["least"]))
        boxes = np.array(row["boxes"], np.float64).reshape(-1, 6)
        truth.append((boxes[:, :4], boxes[:, 4].astype(int), boxes[:, 5] > 0))
    map50, average = mean_average(average_precisions(found, truth, classes))
    boxes_in_all = sum(int((~ignored).sum()) for _, _, ignored in truth)
    sizes = {"n": len(found), "boxes": boxes_in_all, "classes": classes}
    return {"map50": map50, "map": average, **sizes}


def told_pairs(golden: dict) -> str:
    """In words, in how many golden pairs the answer is the same."""
    same = golden["top1_agree"]
    return f"{golden['failed']} differ" if same is None else f"the same top-1 in {same}"


def told_accuracy(accuracy: dict) -> str:
    """In words, what ``accuracy_of`` found."""
    if "map50" in accuracy:
        parts = "mAP@.5 {:.1f} %, mAP@.5:.95 {:.1f} %".format(
            100 * accuracy["map50"], 100 * accuracy["map"]
        )
        return f"{parts} of {accuracy['boxes']} boxes on {accuracy['n']} images"
    share = f"{100 * accuracy['top1']:.1f} %"
    return f"top-1 {share} of {accuracy['n']} images, {accuracy['classes']} classes"


# ---- tfedge/benchmark/script/litert_profiler.py ----
# Time per op from LiteRT's own profiler.
#
# The Python API has none, but the wheel's ``libLiteRt.so`` exports the C API, whose compiled model
# can be built with profiling. It runs the interpreter's XNNPACK and reports every op inside the
# delegate. This reads C structures and needs 65 MB for a buffer, so it runs in a process of its
# own: the script itself, with ``--litert-profile``.

# An op's index in the file or None, its type, a name, nanoseconds.
Row = Tuple[Optional[int], str, Optional[str], float]
# A kind, an op, a subgraph, a tag and microseconds, as the profiler reports them.
Event = Tuple[int, int, int, str, int]

# The wheels whose C structures are those below. Read with another layout they would be a
# segmentation fault, so another version is refused.
LITERT_VERSIONS = ("2.2.", "2.3.")
# LiteRtProfilerEventType
DEFAULT_EVENT = 1
OPERATOR_EVENT = 2
DELEGATE_OPERATOR_EVENT = 8
EVENT_FIELDS = [  # ProfiledEventData of litert_profiler_event.h: 104 bytes on x86-64 and aarch64
    ("tag", "u8"),  # char *
    ("kind", "i4"),
    ("padding", "i4"),
    ("start_us", "u8"),
    ("elapsed_us", "u8"),
    ("memory", "6u8"),
    ("op", "u8"),
    ("subgraph", "u8"),
    ("source", "i8"),  # and padding
]
XNNPACK_NAMES = {  # what it does not name as TensorFlow Lite does
    "Convolution": ("DEPTHWISE_CONV_2D",),
    "Fully Connected": ("CONV_2D",),  # of 1x1
    "Dynamic Fully Connected": ("FULLY_CONNECTED",),
    "Batch Matrix Multiply": ("BATCH_MATMUL",),
    "Deconvolution": ("TRANSPOSE_CONV",),
    "Global Average Pooling": ("MEAN",),
    "Sigmoid": ("LOGISTIC",),
    "Clamp": ("RELU", "RELU6"),
    "Convert": ("QUANTIZE", "DEQUANTIZE", "CAST"),
    "Copy": ("CONCATENATION", "SPLIT", "RESHAPE"),
    "Static Reshape": ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    "Constant Pad": ("PAD", "PADV2"),
    "Square Root": ("SQRT",),
}
WARMUP_RUNS = 5


class ProfileError(Exception):
    """No profile of this model with this runtime; the message says why."""


def profile_in_process(script: str, path: str, threads: int, runs: int, xnnpack: bool) -> list[Row]:
    """``profile_events`` in a process of its own, which ends when this one does, since then its
    stdin ends. ``script``: the device script, which is this file where it runs on a device."""
    words = [sys.executable, script, "--litert-profile", "--attached"]
    words += [f"--threads={threads}", f"--runs={runs}"]
    words += [f"--delegate={'xnnpack' if xnnpack else 'none'}", "--", path]
    reading, writing = os.pipe()
    try:
        done = subprocess.run(words, stdin=reading, capture_output=True)
    finally:
        os.close(reading)
        os.close(writing)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        told = said[-1] if said and done.returncode > 0 else f"ended {done.returncode}"
        raise ProfileError(told)
    return [tuple(row) for row in json.loads(done.stdout.decode().splitlines()[-1])]


def print_profile(path: str, threads: int, runs: int, xnnpack: bool) -> int:
    """What that process does: the rows as JSON, in the last line on stdout."""
    try:
        rows = profile_events(path, threads, runs, xnnpack)
    except ProfileError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("\n" + json.dumps(rows) + "\n")
    return 0


def profile_events(path: str, threads: int, runs: int, xnnpack: bool) -> list[Row]:
    """The ops in the order in which they run, with zeros as input; ProfileError says why not.

    The time is the mean of the middle half of the runs: robust like a median, but finer than the
    profiler's whole microseconds. XNNPACK splits, fuses and adds ops: an index that can't be told
    is None, the type then XNNPACK's own name.
    """
    lib, names = open_library(path)
    if {"WHILE", "IF"} & set(names):  # and with zeros as input a loop may never end
        raise ProfileError("control flow: the ops of its branches would count twice")
    events = run_profiled(CompiledModel(lib), path, threads, runs, xnnpack)
    invokes = sum(kind == DEFAULT_EVENT and tag == "Invoke" for kind, _, _, tag, _ in events)
    ops = [event for event in events if event[0] in (OPERATOR_EVENT, DELEGATE_OPERATOR_EVENT)]
    once = ops[: len(ops) // runs]
    # A full buffer (512 Ki events) drops what comes without a word.
    same = [event[:4] for event in ops] == [event[:4] for event in once * runs]
    if not ops or invokes != runs or not same:
        raise ProfileError("the runs did not report the same ops: too many runs?")
    times = np.array([event[4] for event in ops], float).reshape(runs, -1) * 1000
    middle = np.sort(times, axis=0)[runs // 4 : runs - runs // 4].mean(axis=0)
    rows: list[Row] = []
    for event, index, ns in zip(once, op_indices(once, names), middle):
        # XNNPACK cuts each time down to whole microseconds: half of one is lost on average.
        lost = 500 if event[0] == DELEGATE_OPERATOR_EVENT else 0
        op = event[3].split(" (")[0] if index is None else names[index]
        rows.append((index, op, event[3], float(ns) + lost))
    return rows


def open_library(path: str) -> tuple[Any, list[str]]:
    """LiteRT's C API, and the types of the model's ops in the file's order."""
    try:
        import ai_edge_litert
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        version = ai_edge_litert.__version__
        if not version.startswith(LITERT_VERSIONS) or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise ProfileError(f"known of LiteRT 2.2 and 2.3 on 64 bits; this is {version}")
        # _get_ops_details is private as well; without a delegate the ops are the file's.
        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        reader = Interpreter(path, experimental_op_resolver_type=plain)
        names = [op["op_name"] for op in reader._get_ops_details()]
        lib = ctypes.CDLL(str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")))
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise ProfileError(str(error)) from error
    return lib, names


class CompiledModel:
    """Calls of LiteRT's C API. As a context manager it destroys what was created through it."""

    def __init__(self, lib: Any) -> None:
        self.lib = lib
        self.undo = contextlib.ExitStack()

    def __enter__(self) -> CompiledModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.undo.close()

    def call(self, name: str, *arguments: Any) -> None:
        """Every LiteRtStatus but 0 is an error."""
        status = getattr(self.lib, "LiteRt" + name)(*arguments)
        if status:
            raise ProfileError(f"LiteRt{name} gave status {status} for this model")

    def make(self, name: str, *arguments: Any, destroy: str = "") -> Any:
        """The new handle, which the function writes where its last parameter points to."""
        handle = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(handle))
        if destroy:
            self.undo.callback(getattr(self.lib, "LiteRtDestroy" + destroy), handle)
        return handle


def run_profiled(
    api: CompiledModel, path: str, threads: int, runs: int, xnnpack: bool
) -> list[Event]:
    """What the profiler reports of so many runs."""
    kernels = "" if xnnpack else 'kernel_mode = "builtin"\n'
    xnnpack_text = f"num_threads = {threads}\n{kernels}".encode()
    texts = [  # options travel as TOML
        (b"runtime_options_string", ctypes.create_string_buffer(b"enable_profiling = true\n")),
        (b"xnnpack", ctypes.create_string_buffer(xnnpack_text)),
    ]
    keep = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # the texts are Python's
    # Two LiteRtEnvOption {tag, 2: an integer, value}: 24, register the CPU only (else it looks for
    # GPU and NPU libraries); 25, log errors only.
    quiet = (ctypes.c_int64 * 6)(24, 2, 1, 25, 2, 3)
    with api:
        environment = api.make("CreateEnvironment", 2, quiet, destroy="Environment")
        model = api.make("CreateModelFromFile", environment, os.fsencode(path), destroy="Model")
        options = api.make("CreateOptions", destroy="Options")
        api.call("SetOptionsHardwareAccelerators", options, 1)  # kLiteRtHwAcceleratorCpu
        for kind, text in texts:
            opaque = api.make("CreateOpaqueOptions", kind, text, keep)
            api.call("AddOpaqueOptions", options, opaque)
        compiled = api.make(
            "CreateCompiledModel", environment, model, options, destroy="CompiledModel"
        )
        profiler = api.make("CompiledModelGetProfiler", compiled)  # owned by the compiled model
        buffers = tensor_buffers(api, environment, model, compiled)
        for run in range(-WARMUP_RUNS, runs):
            if run == 0:
                api.call("StartProfiler", profiler)
            api.call("RunCompiledModel", compiled, ctypes.c_size_t(0), *buffers)
        api.call("StopProfiler", profiler)
        count = ctypes.c_int()
        api.call("GetNumProfilerEvents", profiler, ctypes.byref(count))
        found = np.zeros(count.value, np.dtype(EVENT_FIELDS))
        api.call("GetProfilerEvents", profiler, count, ctypes.c_void_p(found.ctypes.data))
        return [  # before the profiler goes, and the tags with it
            (
                int(event["kind"]),
                int(event["op"]),
                int(event["subgraph"]),
                ctypes.string_at(int(event["tag"])).decode(),
                int(event["elapsed_us"]),
            )
            for event in found
        ]


def tensor_buffers(api: CompiledModel, environment: Any, model: Any, compiled: Any) -> list[Any]:
    """Inputs and outputs as RunCompiledModel takes them: how many, and zeroed buffers for them."""
    first = ctypes.c_size_t(0)  # signature
    signature = api.make("GetModelSignature", model, first)
    buffers: list[Any] = []
    for side in ("Input", "Output"):
        ports = ctypes.c_size_t()
        api.call(f"GetNumSignature{side}s", signature, ctypes.byref(ports))
        handles = (ctypes.c_void_p * ports.value)()
        for i in range(ports.value):
            at = ctypes.c_size_t(i)
            tensor = api.make(f"GetSignature{side}TensorByIndex", signature, at)
            shape = ctypes.create_string_buffer(72)  # LiteRtRankedTensorType
            api.call("GetRankedTensorType", tensor, shape)
            needs = api.make(f"GetCompiledModel{side}BufferRequirements", compiled, first, at)
            buffer = api.make(
                "CreateManagedTensorBufferFromRequirements",
                environment,
                shape,
                needs,
                destroy="TensorBuffer",
            )
            api.call("ClearTensorBuffer", buffer)
            handles[i] = buffer.value
        buffers += [ports, handles]
    return buffers


def op_indices(events: Sequence[Event], names: Sequence[str]) -> list[int | None]:
    """The op's index in the file, or None, for each event of one run.

    LiteRT says it for its own kernels only. What XNNPACK runs between two of those is matched in
    order: an op whose type fits, past no more than three that don't.
    """
    stops: list[int | None] = [event[1] if event[0] == OPERATOR_EVENT else None for event in events]
    stops.append(len(names))
    found: list[int | None] = []
    at = 0
    for i, (kind, index, _, tag, _) in enumerate(events):
        match: int | None = index
        if kind != OPERATOR_EVENT:
            stop = next(stop for stop in stops[i:] if stop is not None)
            head = tag.split(" (")[0]
            match = next((k for k in range(at, stop) if fits_op(head, names[k])), None)
            # The DEQUANTIZE of float16 weights is folded away: those don't count.
            if match is not None and sum(n != "DEQUANTIZE" for n in names[at:match]) > 3:
                match = None
        found.append(match)
        at = at if match is None else match + 1
    return found


def fits_op(head: str, name: str) -> bool:
    """'Resize Bilinear' is RESIZE_BILINEAR, 'Subtract' SUB, 'Max Pooling' MAX_POOL_2D."""
    short = name.replace("_2D", "").replace("_", "")
    return head.replace(" ", "").upper().startswith(short) or name in XNNPACK_NAMES.get(head, ())


# ---- tfedge/benchmark/script/profile.py ----
# Time per op: by LiteRT's own profiler where it can be had, else by cutting the model.
#
# A model is cut after each op in turn and timed; the differences are the ops' times.

PASSES = 3  # over all cuts, so that a busy moment does not hit one of them alone
CUT_RUNS = 20  # inferences of a cut in each pass


def profile(path: str, module: Any, words: dict, runs: int, script: str, shape: str = "") -> dict:
    """Time per op of a model with an interpreter's module and its arguments; says how it was found
    and how far it can be trusted. ``method`` none: it can't be told, ``error`` says why."""
    reasons = []
    if shape:  # its compiled models take the shapes of the file
        reasons.append("LiteRT's profiler: takes no --shape")
    elif module.__name__.startswith("ai_edge_litert") and "experimental_delegates" not in words:
        xnnpack = "experimental_op_resolver_type" not in words
        try:
            rows = profile_in_process(script, path, words["num_threads"], runs, xnnpack)
            error = "whole microseconds an op, XNNPACK's rounded down and half of one added"
            return grouped("litert-profiler", error, rows)
        except ProfileError as refused:
            reasons.append(f"LiteRT's profiler: {refused}")
    try:
        rows, far = time_cuts(path, module, words, shape)
    except (ValueError, RuntimeError, OverflowError, AttributeError) as refused:
        return grouped("none", "; ".join([*reasons, f"cutting: {refused}"]), [])
    told = (
        f"an op +- {far / 1000:.1f} us, types better: differences of the cuts' shortest times; "
        "what is fused beyond a cut counts in full"
    )
    return grouped("graph-cut", "; ".join([told, *reasons]), rows)


def grouped(method: str, error: str, rows: Sequence[Row]) -> dict:
    """The JSON of a profile; types in the order of their time."""
    total = sum(row[3] for row in rows)
    types: dict = {}
    for _, op, _, ns in rows:
        one = types.setdefault(op, {"op": op, "count": 0, "ns": 0.0})
        one["count"] += 1
        one["ns"] += ns
    listed = sorted(types.values(), key=lambda one: -one["ns"])
    return {
        "method": method,
        "error": error,
        "types": [{**one, "share": one["ns"] / total} for one in listed],
        "ops": [dict(zip(("index", "op", "name", "ns"), row)) for row in rows],
    }


class Cut:
    """A model's file whose main subgraph can be cut after any of its ops.

    The flatbuffer is changed in place: the main subgraph's operators become fewer, and its outputs
    those of the last of them. What stands nowhere in a model raises ValueError or OverflowError.
    """

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        graphs = self.follow(self.number(0), 2) + 4  # Model.subgraphs
        graph = graphs + self.number(graphs)
        self.operators = self.follow(graph, 3)
        self.outputs = graph + self.number(self.vtable(graph) + 8, 2)  # SubGraph.outputs: the field
        self.ends = []
        first = self.operators + 4
        for at in range(first, first + 4 * self.number(self.operators), 4):
            self.ends.append(self.follow(at + self.number(at), 2))  # Operator.outputs

    def after(self, op: int) -> bytes:
        """The model up to that op, whose outputs are the model's."""
        self.put(self.operators, op + 1)
        self.put(self.outputs, self.ends[op] - self.outputs)
        return bytes(self.data)

    def output(self, op: int) -> int:
        """The index of the op's first output."""
        return self.number(self.ends[op] + 4)

    def number(self, at: int, size: int = 4) -> int:
        return int.from_bytes(self.data[at : at + size], "little")

    def put(self, at: int, value: int) -> None:
        self.data[at : at + 4] = value.to_bytes(4, "little")

    def vtable(self, table: int) -> int:
        """A table begins with how far before it its vtable lies."""
        return table - int.from_bytes(self.data[table : table + 4], "little", signed=True)

    def follow(self, table: int, slot: int) -> int:
        """Where the field of a table leads."""
        vtable = self.vtable(table)
        place = 4 + 2 * slot
        offset = self.number(vtable + place, 2) if place < self.number(vtable, 2) else 0
        if not offset:
            raise ValueError("an op without outputs")
        return table + offset + self.number(table + offset)


def time_cuts(path: str, module: Any, words: dict, shape: str = "") -> tuple[list[Row], float]:
    """A row for each op, and by how many nanoseconds a cut's time moves from pass to pass.

    The shortest time of each cut: what else the machine does only ever adds, and a difference of
    two medians would carry the noise of both. Still an op may come out below zero.
    """
    cut = Cut(Path(path).read_bytes())
    whole = zeroed_interpreter(module, words, shape, model_path=path)
    named = {tensor["index"]: tensor["name"] for tensor in whole.get_tensor_details()}
    ops = whole._get_ops_details()
    del whole
    times: list[list[int]] = [[] for _ in cut.ends]
    for _ in range(PASSES):
        for op, found in enumerate(times):
            part = zeroed_interpreter(module, words, shape, model_content=cut.after(op))
            found.append(min(timed(part.invoke) for _ in range(CUT_RUNS)))
    best = [min(found) for found in times]
    rows: list[Row] = []
    for op, ns in enumerate(best):
        before = best[op - 1] if op else 0
        rows.append((op, ops[op]["op_name"], named.get(cut.output(op)), ns - before))
    return rows, median(max(found) - min(found) for found in times)


def zeroed_interpreter(module: Any, words: dict, shape: str, **source: Any) -> Any:
    """An interpreter whose inputs are zeros."""
    interpreter = module.Interpreter(**source, **words)
    resize(interpreter, shape)
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], np.zeros(port["shape"], port["dtype"]))
    return interpreter


def timed(invoke: Any) -> int:
    """Nanoseconds of one call."""
    start = time.perf_counter_ns()
    invoke()
    return time.perf_counter_ns() - start


# ---- tfedge/benchmark/script/run.py ----

SCHEMA = "tfedge.bench/1"
SCRIPT_FILE = Path(__file__).absolute()


def measure(args: argparse.Namespace) -> dict:
    """One model, timed in this process: an entry of ``results``."""
    path = args.models[0]
    name, version, module = open_runtime(args.runtime)
    words = interpreter_arguments(module, args.threads[0], args.delegate)
    entry = {
        **identity(path),
        "runtime": name,
        "runtime_version": version,
        "delegate": args.delegate,
        "threads": args.threads[0],
        "input": "pictures" if args.pictures else "random",
        **dict.fromkeys(ONCE),
    }
    fit, levels = "", None
    if args.pictures or args.accuracy:
        with ending(6, (OSError, ValueError)):
            fit = args.fit or manifest_fit(path) or "crop"
            levels = levels_of(args.levels, path)
        entry["fit"] = fit
        if levels:
            entry["levels"] = levels
    gc.disable()
    settle()
    peak_is_known = forget_peak()
    told: dict = {"base_bytes": read_number("proc/self/status", r"^VmRSS:\s*(\d+)", 1024)}
    with ending(4, (ValueError, RuntimeError), f"{path}: {name} {version}: "):
        model = Model(path, module, words, args.shape)
    entry["shapes"] = model.shapes
    entry["delegated"] = None if args.delegate == "none" else delegated(model.interpreter)
    told["load_ns"] = model.load_ns
    told["first_ns"] = model.first_ns
    told["warmup_ns"] = model.run(args.warmup).wall
    peak = read_number("proc/self/status", r"^VmHWM:\s*(\d+)", 1024)
    told["peak_bytes"] = peak if peak_is_known else None
    with ending(3, (ImportError,), "", f"{PIP}pillow"), ending(6, (OSError, ValueError)):
        images = image_inputs(model, args.pictures, fit, levels) if args.pictures else []
        told["before"] = state()
        entry["drift"] = None
        if args.seconds:
            times, entry["drift"] = model.run_for(args.seconds, images)
        else:
            times = model.run(args.runs, images)
        told["samples_ns"], told["cpu_ns"] = times
        told["after"] = state()
        if args.golden:
            entry["golden"] = replay_pairs(model, args.golden)
        if args.accuracy:
            entry["accuracy"] = accuracy_of(model, args.accuracy, args.labels, fit, levels)
    if args.profile:
        entry["profile"] = profile(path, module, words, args.runs, str(SCRIPT_FILE), args.shape)
    return joined([{**entry, "processes": [told]}])


def levels_of(given: str | None, model: str) -> Levels | None:
    """Those of --levels, else of the model's drop. OSError or ValueError."""
    if given is None:
        return manifest_levels(model)
    return None if given == "none" else checked_levels(given.split(","))


def identity(path: str) -> dict:
    """Which file a result is of."""
    with ending(4, (OSError,)):
        data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"model": Path(path).stem, "sha256": digest, "bytes": len(data)}


def forget_peak() -> bool:
    """Let the peak of memory count from here on, without the imports; whether that worked."""
    with contextlib.suppress(OSError):
        return bool((ROOT / "proc/self/clear_refs").write_text("5"))
    return False


def command(python: Sequence[str], script: str, model: str, **options: Any) -> list[str]:
    """The arguments that run the script for one model. Options of None or False stay away."""
    words = []
    for key, value in options.items():
        if value is True:
            words.append(f"--{key}")
        elif value is not None and value is not False:
            words.append(f"--{key}={value}")
    return [*python, script, "--json=-", "--attached", *words, "--", model]


def turns(args: argparse.Namespace) -> list[dict]:
    """Every model with every number of threads in fresh processes, which take turns."""
    found: dict = {(model, count): [] for count in args.threads for model in args.models}
    left_out = ["models", "threads", "processes", "json", "facts", "attached", "litert_profile"]
    stdin, _ = os.pipe()  # --attached: closed by the end of this process, however it ends
    for turn in range(args.processes):
        given = {key: value for key, value in vars(args).items() if key not in left_out}
        # There and back: what gets slower or faster all the while does so to all of them alike.
        for (model, count), results in list(found.items())[:: -1 if turn % 2 else 1]:
            words = command([sys.executable], str(SCRIPT_FILE), model, threads=count, **given)
            done = subprocess.run(words, stdin=stdin, stdout=subprocess.PIPE)
            if done.returncode not in (0, 5):
                code = max(done.returncode, 0) or 4
                raise Problem(code, f"{model}: exit {done.returncode}")
            results += json.loads(done.stdout)["results"]
        left_out += ONCE
    return [joined(results) for results in found.values()]


def describe_host() -> dict:
    """What --facts tells beside the device: interpreters that are installed, Pillow, space here."""
    found = []
    for key, row in RUNTIMES.items():
        if find_spec(row.package):
            entry: dict = {"name": row.name, "version": None, "error": None}
            try:
                entry["version"] = open_runtime(key).version
            except Problem as problem:
                entry["error"] = problem.message
            found.append(entry)
    free = shutil.disk_usage(str(SCRIPT_FILE.parent)).free
    return {"runtimes": found, "pillow": bool(find_spec("PIL")), "free_bytes": free}


def table(report: dict) -> str:
    """For people: what the device is, a line for each result, then what must be said about it."""
    told = {key: value for key, value in report.items() if key not in ("device", "results")}
    facts = {**told, **report["device"]}
    lines = [", ".join(f"{key} {value}" for key, value in facts.items())]
    for result in report["results"]:
        lines.append(result_line(result))
        lines += [f"  unstable: {reason}" for reason in result["unstable"]]
        for key in (*ONCE, "drift"):
            if result[key]:
                fit = f" ({result['fit']})" if key == "accuracy" else ""
                lines.append(f"  {key}{fit}: {json.dumps(result[key])[:999]}")
    return printable("\n".join(lines))


def result_line(result: dict) -> str:
    """A result in one line."""
    summary = result["summary"]
    process = result["processes"][0]
    subject = "{model}, {runtime} {runtime_version}, {delegate}, {threads} threads".format(**result)
    shapes = ", ".join(written(shape) for shape in result["shapes"])
    told = [
        f"{summary['median'] / 1e6:9.3f} ± {summary['mad'] / 1e6:.3f} ms",
        *(f"{key} {summary[key] / 1e6:.3f}" for key in ("p90", "p99") if summary[key]),
        f"{result['per_second']:.1f}/s",
        f"load {process['load_ns'] / 1e6:.1f} ms",
        f"first {process['first_ns'] / 1e6:.1f} ms",
        f"peak {(result['peak_bytes'] or 0) / 1e6:.1f} MB",
    ]
    if result["input"] == "pictures":
        told.append(f"images by {result['fit']}")
    told.append(f"input {shapes}")
    if result["delegated"]:
        told.append(f"delegate takes {result['delegated']}")
    return f"{subject:50} {', '.join(told)}"


def parse_arguments() -> argparse.Namespace:
    """The command line. Wrong usage ends the program with 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="a .tflite file")
    add("--threads", type=thread_counts, default="1", metavar="N,N", help="such as 1,2,4")
    add("--runs", type=positive, default=50, metavar="N", help="timed inferences a process")
    add("--warmup", type=not_negative, default=10, metavar="N", help="untimed ones before them")
    add(
        "--processes",
        type=positive,
        default=1,
        metavar="N",
        help="fresh processes for each model and number of threads; they take turns",
    )
    add(
        "--seconds",
        type=not_negative_seconds,
        default=0.0,
        metavar="S",
        help="run so long instead of --runs, and show how the times drift",
    )
    add(
        "--runtime",
        choices=("auto", *RUNTIMES),
        default="auto",
        help="the interpreter; auto takes the first of these that is installed",
    )
    add(
        "--delegate",
        default="xnnpack",
        metavar="DELEGATE",
        help="xnnpack, none, edgetpu, or PATH[,key=value] of a library",
    )
    add(
        "--shape",
        default="",
        metavar="SHAPE",
        help="of inputs that the model leaves open: " + HOW,
    )
    add(
        "--golden",
        default="",
        metavar="FOLDER",
        help="replay its pairs NNN.input.bin and NNN.output.bin: 5 when an answer differs",
    )
    add("--exact", action="store_true", help="golden pairs must be the same to the bit")
    add("--profile", action="store_true", help="time for each op, and each kind of op")
    add("--pictures", default="", metavar="FOLDER", help="infer these images instead of noise")
    add(
        "--accuracy",
        default="",
        metavar="FOLDER",
        help="share of right answers on a folder with a folder of images for each class; or mean "
        "average precision on one that tfedge bench has laid out",
    )
    add(
        "--labels",
        default="",
        metavar="FILE",
        help="the classes for --accuracy, one a line, in the model's order; else alphabetic",
    )
    add(
        "--fit",
        choices=FITS,
        help="how an image becomes square; else as the MANIFEST.json beside the model says, or "
        "crop",
    )
    add(
        "--levels",
        type=two_levels,
        metavar="BLACK,WHITE",
        help="what of images of 16 bits becomes black and white; none: the upper 8 bits; else as "
        "that MANIFEST.json says",
    )
    add("--json", default="", metavar="FILE", help="write everything there; - for stdout")
    add(
        "--timeout",
        type=not_negative_seconds,
        default=0.0,
        metavar="S",
        help="end by SIGALRM after so many seconds",
    )
    add("--attached", action="store_true", help="end when stdin ends")
    add("--facts", action="store_true", help="no model: only what the device is and has")
    add("--litert-profile", action="store_true", help=argparse.SUPPRESS)  # see litert_profiler.py
    args = parser.parse_args()
    if bool(args.models) == args.facts:
        parser.error("name a model, or --facts alone")
    return args


def thread_counts(text: str) -> list[int]:
    """1,2,4 as numbers."""
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: numbers that start at 1, such as 1,2,4")
    return [int(count) for count in text.split(",")]


def two_levels(text: str) -> str:
    """0,4095 if these can be levels, or none."""
    try:
        return text if text == "none" else "{},{}".format(*checked_levels(text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers that start at 1")
    return int(text)


def not_negative(text: str) -> int:
    """A whole number from 0 on."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers, nothing is below 0")
    return int(text)


def not_negative_seconds(text: str) -> float:
    """Seconds from 0 on."""
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: seconds, nothing is below 0")
    return seconds


def end_with_stdin() -> None:
    """For a thread: the process ends when stdin does."""
    sys.stdin.buffer.raw.read()  # type: ignore[union-attr]  # the buffer's lock would hang the end
    os._exit(143)


def check_golden(results: Sequence[dict], exact: bool) -> None:
    """Problem 5 when golden pairs differ: by the rule, or with ``exact`` by a bit."""
    for result in results:
        found = result["golden"]
        if found and (found["failed"] or (exact and found["identical"] < found["pairs"])):
            raise Problem(5, f"{result['model']}: golden pairs differ: {json.dumps(found)}")


def main() -> int:
    """Run by the command line; the exit code."""
    args = parse_arguments()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.unraisablehook = lambda _: None  # of what a delegate that can't be loaded leaves behind
    if args.timeout:  # no handler: the signal kills, while C code runs, too
        signal.setitimer(signal.ITIMER_REAL, args.timeout)
    if args.attached:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    if args.litert_profile:
        xnnpack = args.delegate == "xnnpack"
        return print_profile(args.models[0], args.threads[0], args.runs, xnnpack)
    out: int | str = args.json or os.devnull
    if args.json == "-":
        out = os.dup(1)
        os.dup2(2, 1)  # whatever else prints
    try:
        report: dict = {"schema": SCHEMA, "device": device(), "results": []}
        if args.facts:
            report.update(describe_host())
        elif len(args.models) * len(args.threads) * args.processes == 1:
            report["results"] = [measure(args)]
        else:
            report["results"] = turns(args)
        print(table(report), flush=True)
        with ending(1, (OSError,)), open(out, "w") as file:  # noqa: PTH123 (or a descriptor)
            file.write(json.dumps(report) + "\n")
        check_golden(report["results"], args.exact)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return problem.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
