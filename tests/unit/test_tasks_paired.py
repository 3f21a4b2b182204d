"""Two models on the same examples: counts by hand, exact p-values, intervals of a share."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from tfedge.core.outputs import Change, dump
from tfedge.tasks.paired import compared, mcnemar, wilson


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (3, 3, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (1, 9, 0.021484375), (9, 1, None)],
)
def test_mcnemar_is_the_exact_binomial_test(gained: int, lost: int, p: float | None) -> None:
    found = mcnemar(gained, lost)
    assert found == pytest.approx(mcnemar(lost, gained) if p is None else p)
    if gained + lost:
        assert found == pytest.approx(binomtest(lost, gained + lost).pvalue)


def test_many_examples_are_no_matter() -> None:
    assert mcnemar(2100, 1900) == pytest.approx(binomtest(1900, 4000).pvalue, rel=1e-9)
    assert 0 <= mcnemar(0, 5000) < 1e-300


def test_right_and_wrong_answers_by_hand() -> None:
    before = np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 1])
    after = np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    found = compared(before, after)
    assert dict(found) == {"gained": 1, "lost": 5, "p": pytest.approx(binomtest(5, 6).pvalue)}
    back = compared(after, before)
    assert (back.gained, back.lost, back.p) == (5, 1, found.p)
    json.dumps(dump(found), allow_nan=False)  # numbers of Python, not of numpy


def test_answers_that_are_more_or_less_good_count_by_which_is_better() -> None:
    """By how much is no matter, and equally good ones say nothing."""
    before = -np.array([0.5, 0.25, 3.0, 1.0, 2.0, 0.125])  # errors: less is better
    after = -np.array([0.5, 0.24, 90.0, 1.1, 2.1, 0.126])
    assert compared(before, after) == Change(gained=1, lost=4, p=12 / 32)
    assert compared(before, before) == Change(gained=0, lost=0, p=1.0)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (200, 200, 0.9812, 1.0),
        (90, 100, 0.8256, 0.9448),
    ],
)
def test_wilson_against_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("n", [1, 7, 1000])
def test_wilson_stays_between_none_and_all(n: int) -> None:
    for hits in (0, n):
        low, high = wilson(hits, n)
        assert 0 <= low <= high <= 1
        assert (low if hits == 0 else high) == pytest.approx(hits / n, abs=1e-12)
