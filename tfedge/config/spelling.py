"""Finding the word that was meant."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, allowed: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The allowed word that looks most like ``word``, or None when none is near."""
    from difflib import get_close_matches  # only needed once something is wrong

    by_lower = {name.lower(): name for name in allowed}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """``", did you mean x? (allowed: x, y)"``, to be put behind what was wrong with ``word``."""
    names = list(allowed)
    near = closest(word, names)
    guess = f", did you mean {near}?" if near else ""
    return f"{guess} (allowed: {', '.join(names)})"
