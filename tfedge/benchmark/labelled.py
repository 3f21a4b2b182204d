"""What the device script found out about a classifier's answers, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def same_answers(golden: Mapping[str, Any]) -> str:
    """In how many golden pairs the answer is the same, of what ``--golden`` found."""
    return f"the same top-1 in {golden['top1_agree']}"


def accuracy_text(accuracy: Mapping[str, Any]) -> str:
    """What ``--accuracy`` found."""
    share = f"{100 * accuracy['top1']:.1f} %"
    return f"top-1 {share} of {accuracy['n']} images, {accuracy['classes']} classes"
