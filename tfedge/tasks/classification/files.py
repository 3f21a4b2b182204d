"""What all drops of a classifier have among their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfedge.errors import DropError
from tfedge.tasks.drop import Check, Content

LABELS = "labels.txt"


def labels(content: Content) -> bytes:
    """labels.txt: the names of the classes, one a line, in the order of the scores."""
    return "".join(f"{name}\n" for name in content.facts["classes"]).encode("utf-8")


def class_facts(classes: Sequence[str]) -> dict[str, Any]:
    """The manifest's ``classes``. DropError for names that labels.txt, one a line, can't hold: a
    line break in one would shift all that follow."""
    broken = [name for name in classes if not name.strip() or len(name.splitlines()) != 1]
    if broken:
        raise DropError(f"class names that can't stand on one line: {', '.join(map(repr, broken))}")
    return {"classes": list(classes)}


def check_labels(folder: Path, manifest: Mapping[str, Any]) -> Check:
    """That labels.txt has the manifest's classes, one for each score."""
    (name,) = [name for name in manifest["files"] if Path(name).name == LABELS]
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    problems = []
    if lines != manifest["classes"]:
        problems.append(f"{name} and the manifest name different classes")
    if [1, len(lines)] != manifest["output"]["shape"]:
        problems.append(f"{len(lines)} labels for scores of shape {manifest['output']['shape']}")
    return Check("labels", f"{len(lines)} classes", tuple(problems))
