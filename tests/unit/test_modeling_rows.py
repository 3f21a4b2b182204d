"""Rows gathered in portions say to the last bit what the whole array says."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tfedge.files import mapped
from tfedge.modeling.training import logistic, rows
from tfedge.modeling.training.rows import mean_square, moments, portions


class Gathered:
    """An array that tells how many rows of it were asked for at once, at most."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.most = values, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, at: np.ndarray) -> np.ndarray:
        self.most = max(self.most, len(at))
        return self.values[at]


def values(count: int, width: int) -> np.ndarray:
    return np.abs(np.random.default_rng(width).normal(1, 2, (count, width))).astype(np.float32)


def test_portions_are_all_numbers_in_their_order() -> None:
    for count in (0, 1, 4095, 4096, 4097, 10_000):
        found = [*portions(count)]
        assert all(0 < len(part) <= 4096 for part in found)
        np.testing.assert_array_equal(np.concatenate([np.arange(0), *found]), np.arange(count))


@pytest.mark.parametrize("count", [1, 300, 4097, 9001])
@pytest.mark.parametrize("width", [3, 1280])
def test_moments_are_numpys(count: int, width: int) -> None:
    whole = values(count, width)
    mean, spread = moments(Gathered(whole))
    np.testing.assert_array_equal(mean, whole.mean(0, dtype=np.float64))
    np.testing.assert_array_equal(spread, whole.std(0, dtype=np.float64))
    square = np.mean(np.square(whole), dtype=np.float64)
    assert mean_square(Gathered(whole)) == (square if width % 2 == 0 else pytest.approx(square))


@pytest.mark.parametrize("held", [mapped.HELD, 0])
def test_the_fitted_head_is_the_same_from_portions_and_from_disk(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.random.default_rng(1).integers(0, 3, 700)
    features = values(700, 12) + labels[:, None] * np.linspace(0, 1, 12, dtype=np.float32)
    whole = logistic.fit(features, labels, 3)
    monkeypatch.setattr(rows, "_PORTION", 64)
    monkeypatch.setattr(mapped, "HELD", held)
    parts = logistic.fit(Gathered(features), labels, 3, scratch=tmp_path)
    assert (whole.kernel == parts.kernel).all() and (whole.bias == parts.bias).all()
    assert whole.trials == parts.trials
    assert not [*tmp_path.iterdir()], "the file has no name"


@pytest.mark.parametrize(("limit", "copies"), [(mapped.HELD, 1.9), (1 << 20, 0.9)])
def test_one_copy_of_few_features_is_held_and_none_of_many(
    limit: int, copies: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, which the fit takes; beside it portions and the folds."""
    count, width = 20_000, 64
    stored = np.memmap(tmp_path / "features", np.float32, "w+", shape=(count, width))
    stored[:] = values(count, width)
    labels = np.arange(count) % 3
    monkeypatch.setattr(mapped, "HELD", limit)
    held: list[float] = []

    class Model:
        coef_, intercept_, classes_ = np.zeros((3, width)), np.zeros(3), np.arange(3)

        def set_params(self, C: float) -> Model:
            return self

        def fit(self, features: np.ndarray, *_: np.ndarray) -> None:
            held.append(tracemalloc.get_traced_memory()[1] / (count * width * 8))

    monkeypatch.setattr(logistic, "_regression", lambda *a, **k: Model())
    tracemalloc.start()
    try:
        gathered = Gathered(stored)
        logistic.fit(gathered, labels, 3, scratch=tmp_path)
    finally:
        tracemalloc.stop()
    assert gathered.most <= 4096, "never all at once"
    assert held[-1] < copies
