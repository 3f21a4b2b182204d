"""What all drops of a detector have among their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tfedge.errors import DropError
from tfedge.files.files import shown
from tfedge.tasks.drop import Content

ANCHORS = "anchors.bin"  # float32, little-endian, cx cy w h of each
THRESHOLDS = "thresholds.txt"
BOXES, SCORES = "boxes", "scores"  # the model's outputs
CUSTOM = "DETECTOR_METADATA"  # in TFLite metadata, by which MediaPipe finds anchors and coder


def thresholds(content: Content) -> list[float]:
    """The scores from which boxes count, in the order of the classes. DropError without any."""
    chosen = content.metrics.chosen if content.metrics is not None else None
    if not chosen or "thresholds" not in chosen:
        what = "the scores from which boxes count are not known"
        raise DropError(what, "evaluate chooses them: add an evaluate section")
    return [float(value) for value in chosen["thresholds"]]


def threshold_lines(content: Content) -> bytes:
    """thresholds.txt: of each class the score from which a box counts, and its name."""
    rows = zip(thresholds(content), content.facts["classes"], strict=True)
    return "".join(f"{value:.4f}\t{name}\n" for value, name in rows).encode()


def listed(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """The bytes of the drop's file of that name, which lies where its anchors do. ValueError for
    one that the manifest does not list, and which may be any."""
    anchors = str(manifest["output"]["anchors"])
    place = PurePosixPath(anchors).with_name(name).as_posix()
    for one in (anchors, place):
        if one not in manifest["files"]:
            raise ValueError(f"{shown(one)} is not among files")
    return (folder / place).read_bytes()


def text_of(folder: Path, manifest: Mapping[str, Any], name: str) -> list[str]:
    """The lines of such a file. ValueError."""
    return listed(folder, manifest, name).decode("utf-8").splitlines()
