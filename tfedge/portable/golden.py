"""Golden pairs: when a machine that replays them answers as the one that made them."""

from __future__ import annotations

from typing import Any

import numpy as np

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
