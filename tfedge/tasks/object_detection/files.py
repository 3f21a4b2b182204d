"""What all drops of a detector have among their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfedge.errors import DropError
from tfedge.files.files import shown
from tfedge.portable.boxes import (
    ANCHORS,
    THRESHOLDS,
    GoldenBoxes,
    boxes_file,
    boxes_of,
    same_boxes,
    thresholds_of,
)
from tfedge.tasks.contract import taken_ports
from tfedge.tasks.drop import GOLDEN, Content, golden_file

CHOSEN = "thresholds"  # their key in what ``evaluate`` chose
BOXES, SCORES = "boxes", "scores"  # the model's outputs
CUSTOM = "DETECTOR_METADATA"  # in TFLite metadata, by which MediaPipe finds anchors and coder


def thresholds(content: Content) -> list[float]:
    """The scores from which boxes count, in the order of the classes. DropError without any."""
    chosen = content.metrics.chosen if content.metrics is not None else None
    if not chosen or CHOSEN not in chosen:
        what = "the scores from which boxes count are not known"
        raise DropError(what, "evaluate chooses them: add an evaluate section")
    return [float(value) for value in chosen[CHOSEN]]


def threshold_lines(content: Content) -> bytes:
    """thresholds.txt: of each class the score from which a box counts, and its name."""
    rows = zip(thresholds(content), content.facts["classes"], strict=True)
    return "".join(f"{value:.4f}\t{name}\n" for value, name in rows).encode()


def beside_anchors(anchors: str, name: str) -> str:
    """The path of a drop's file of that name: it lies where its anchors do."""
    return PurePosixPath(anchors).with_name(name).as_posix()


def listed(folder: Path, manifest: Mapping[str, Any], name: str) -> bytes:
    """The bytes of the drop's file of that name, which lies where its anchors do. ValueError for
    one that the manifest does not list, and which may be any."""
    anchors = str(manifest["output"]["anchors"])
    place = beside_anchors(anchors, name)
    for one in (anchors, place):
        if one not in manifest["files"]:
            raise ValueError(f"{shown(one)} is not among files")
    return (folder / place).read_bytes()


def text_of(folder: Path, manifest: Mapping[str, Any], name: str) -> list[str]:
    """The lines of such a file. ValueError."""
    return listed(folder, manifest, name).decode("utf-8").splitlines()


def golden_files(content: Content) -> dict[str, bytes]:
    """The boxes of each golden pair, and once more what makes boxes of outputs: the folder of the
    pairs is brought to devices by itself."""
    grid, lines = content.beside[ANCHORS], threshold_lines(content)
    rule, ports = _rule(grid, lines), taken_ports(content.taken)
    files = {f"{GOLDEN}/{ANCHORS}": grid, f"{GOLDEN}/{THRESHOLDS}": lines}
    for number, pair in enumerate(content.golden):
        found = rule.found(ports.real(pair.output))
        files[golden_file(number, "boxes.bin")] = found.astype("<f4").tobytes()
    return files


def _rule(grid: bytes, lines: bytes) -> GoldenBoxes:
    anchors = np.frombuffer(grid, "<f4").reshape(-1, 4)
    return GoldenBoxes(anchors, thresholds_of(lines.decode("utf-8")))


def golden_boxes(
    facts: Mapping[str, Any], file: Callable[[str], bytes]
) -> tuple[GoldenBoxes, list[np.ndarray]]:
    """The golden rule of a drop, and of each pair its boxes. LookupError, TypeError, ValueError or
    OSError for a drop of another kind."""
    anchors = str(facts["output"]["anchors"])
    rule = _rule(file(anchors), file(beside_anchors(anchors, THRESHOLDS)))
    return rule, [boxes_of(file(boxes_file(pair["output"]))) for pair in facts["golden"]]


def golden_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with the boxes of the golden pairs: they are those of the pairs' outputs."""
    problems = [
        f"{GOLDEN}/{name} is another than {name}"
        for name in (ANCHORS, THRESHOLDS)
        if (folder / GOLDEN / name).read_bytes() != listed(folder, manifest, name)
    ]
    rule, boxes = golden_boxes(manifest, lambda name: (folder / name).read_bytes())
    ports = taken_ports(manifest["output"])
    for pair, told in zip(manifest["golden"], boxes, strict=True):
        stored = np.frombuffer((folder / pair["output"]).read_bytes(), ports.dtype)
        output = ports.real(stored.reshape(ports.shape[1:]))
        if not same_boxes(told, rule.found(output)):
            problems.append(f"{boxes_file(pair['output'])}: not the boxes of {pair['output']}")
    return problems
