"""Golden pairs and what the one rule says of them; whatever replays pairs is held to these."""

from __future__ import annotations

NAN = float("nan")

# Expected scores, got scores, and how they differ; steps of 1/256, as most models have them.
_STEPS: list[tuple[list[float], list[float], str]] = [
    ([154, 102], [154, 102], ""),
    ([154, 102], [123, 133], "another answer: class 1, not 0"),  # .60 .40 and .48 .52
    ([140, 116], [116, 140], ""),  # the best two are closer than machines may be apart
    ([230, 26], [179, 77], "scores differ by 0.199"),
    ([128, 128], [100, 156], ""),
    ([128, 128, 0], [110, 146, 0], ""),
    ([100, 40, 100], [90, 50, 110], ""),
    ([256, 0], [216, 40], ""),  # 40 steps
    ([256, 0], [215, 41], "scores differ by 0.160"),
    ([148, 108], [128, 129], ""),  # a margin of 40 steps
    ([149, 108], [128, 129], "another answer: class 1, not 0"),
    ([256], [230], ""),
    ([256], [200], "scores differ by 0.219"),
    ([154, 102], [NAN, 102], "scores are no numbers"),
    ([154, 102], [154], "2 scores to compare 1 with"),
]
CASES = [([e / 256 for e in want], [g / 256 for g in got], said) for want, got, said in _STEPS]
