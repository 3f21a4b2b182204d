"""Whether the 8-bit model is faster than the float one, and which ops hold it up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfedge.benchmark.compare import compare, differences
from tfedge.benchmark.result import Result

FLOAT, INT8 = "float", "int8"  # what the models of a run are called when they are measured
_NAMED = 3  # ops of a profile that are named


def pairs(results: Sequence[Result]) -> Iterator[tuple[Result, Result]]:
    """The float and the int8 model of a run, wherever both were measured in the same way."""
    for plain in results:
        for int8 in results:
            if (plain.model, int8.model) == (FLOAT, INT8) and not differences(plain, int8):
                yield plain, int8


def speedup(plain: Result, int8: Result) -> float:
    """How many times as fast the int8 model is, by medians."""
    return plain.summary.median / int8.summary.median


def is_slower(plain: Result, int8: Result) -> bool:
    """Whether int8 takes longer than float, beyond doubt: a difference that may be luck is none."""
    found = compare(plain, int8)
    return found.significant and found.ratio > 1


def causes(int8: Result) -> str:
    """Where its time goes, ``HARD_SWISH 58 %, CONV_2D 20 %``; empty without a profile."""
    kinds = sorted((int8.profile or {}).get("types", ()), key=lambda kind: -kind["share"])
    return ", ".join(f"{kind['op']} {kind['share']:.0%}" for kind in kinds[:_NAMED])
