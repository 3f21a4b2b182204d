"""Train, val and test by content hash: stratified, and stable when images are added.

Each image is put on a line from 0 to 1 by the first 52 bits of its file's SHA-256. With shares
val = v and test = t, [0, t) is test, [t, t + v) is val and the rest is train.

*Stable*: the place depends on the image alone. Adding or removing others moves none, renaming
moves none, copies of one file land together, every machine splits alike. (The idea is that of
TensorFlow's old ``retrain.py``, which hashes file names.)

*Stratified*: the same thresholds hold in each class, so that each class is split in the wanted
shares *in expectation*. What no method can have is exact shares as well: with an exact count a
class, a new image that belongs into val must push another one out. The price is sampling noise:
a class of n images has n·v ± sqrt(n·v·(1 − v)) in val: 40 ± 6 of 200, 2 ± 1.3 of 10.

Small classes are the one exception to "moves none": where a wanted split got no image of a class
at all, it takes the one nearest to its part of the line, from a split that can spare it, and says
so. That image goes back once a new one falls there by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from tfedge.data.schema import Split
from tfedge.errors import DataError

_NAMES = ("test", "val", "train")  # in the order of their parts of the line


class Reassignment(NamedTuple):
    """An image that was taken from one split for another that had none of its class."""

    label: str
    digest: str
    source: str
    target: str


def split_position(digest: str) -> float:
    """Where an image stands on the line, in [0, 1)."""
    return int(digest[:13], 16) / 16**13  # 52 bits: exact in a float, always below 1


def assign(
    digests: Mapping[str, Sequence[str]], shares: Split
) -> tuple[dict[str, dict[str, str]], list[Reassignment]]:
    """The split of each image, by class and digest, and those that had to be moved.

    ``digests`` has the SHA-256 of the images of each class, in any order; copies count once.
    Raises DataError that names every class with fewer different images than wanted splits.
    """
    if shares.val + shares.test >= 1:
        raise DataError([f"data.split: val {shares.val} and test {shares.test} leave no train"])
    wanted = _parts(shares)
    small = [
        f"class {label}: {len(set(digests[label]))} different image(s), "
        f"too few for {', '.join(wanted)}"
        for label in sorted(digests)
        if len(set(digests[label])) < len(wanted)
    ]
    if small:
        raise DataError(small, "add images to these classes, or take their folders away")
    splits: dict[str, dict[str, str]] = {}
    moved: list[Reassignment] = []
    for label in sorted(digests):
        split = splits[label] = {digest: _by_hash(digest, wanted) for digest in digests[label]}
        moved += _fill_empty(label, split, wanted)
    return splits, moved


def _parts(shares: Split) -> dict[str, tuple[float, float]]:
    """The part of the line of each wanted split, as (from, to)."""
    ends = [0.0, shares.test, shares.test + shares.val, 1.0]
    parts = dict(zip(_NAMES, pairwise(ends), strict=True))
    return {name: part for name, part in parts.items() if part[1] > part[0]}


def _by_hash(digest: str, wanted: Mapping[str, tuple[float, float]]) -> str:
    return next(
        name for name, (start, end) in wanted.items() if start <= split_position(digest) < end
    )


def _fill_empty(
    label: str, split: dict[str, str], wanted: Mapping[str, tuple[float, float]]
) -> list[Reassignment]:
    """Gives every wanted split an image. ``split`` has at least as many images as ``wanted``."""
    moved = []
    for name, (start, end) in wanted.items():
        held = list(split.values())
        if name in held:
            continue
        middle = (start + end) / 2
        _, chosen = min(
            (abs(split_position(digest) - middle), digest)
            for digest in split
            if held.count(split[digest]) > 1
        )
        moved.append(Reassignment(label, chosen, split[chosen], name))
        split[chosen] = name
    return moved
