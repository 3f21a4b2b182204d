"""A head that has converged: multinomial logistic regression on the features of a frozen base.

scikit-learn's, by L-BFGS on standardised features, with the L2 penalty that answers best on folds
that it was not fitted to. Its log loss decides, not its accuracy: among penalties of the same
accuracy it tells the one whose scores mean something, and no image of the validation split is
needed for it. Standardisation is folded into kernel and bias, so that what comes out is an ordinary
dense layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tfedge.modeling.training.rows import Rows, moments, portions

GRID = 10.0 ** np.arange(-4, 1.01, 0.5)  # inverse strengths of the penalty that are tried
FOLDS = 5
_LOOK = 4000  # images that choose the penalty, at most: its strength is per image
_UNTRIED = 0.01  # where no class has two images to try it on
# Of the mean spread, that a feature is taken to have at least. One that hardly moves in these
# images would get a weight that others' steps in 8 bits are lost beside, and that noise plays on.
_FLOOR = 0.3
_TINY = 1e-12


@dataclass(frozen=True)
class Fitted:
    """``kernel`` [F, classes] and ``bias`` [classes] float32 of a dense layer on raw features;
    ``c`` is the inverse strength chosen, ``trials`` what each one gave on the folds left out."""

    kernel: np.ndarray
    bias: np.ndarray
    c: float
    trials: list[dict[str, float]]


@threadpool_limits.wrap(limits=1)  # small products: waiting for other threads costs more, and
def fit(  # the sums come out the same on any number of cores
    features: Rows,
    labels: np.ndarray,
    classes: int,
    *,
    weights: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Fitted:
    """Fit the head.

    Args:
        features: [n, F] float32, raw, gathered a portion at a time. Every class has at least one
            row.
        labels: [n] int.
        weights: [n], of each row in the loss; None: all count the same.
        groups: [n] int, rows of one image (its views), which are never on both sides of a fold; an
            image's views share its weight.
        report: called with (folds done, folds).
    """
    count = len(labels)
    groups = np.arange(count) if groups is None else groups
    each = np.ones(count) if weights is None else weights.astype(np.float64)
    each = each * (len(np.unique(groups)) / count)
    trials = _trials(features, labels, classes, each, groups, seed, report)
    chosen = min(trials, key=lambda row: row["log_loss"])["C"] if trials else _UNTRIED
    mean, spread = _moments(features)
    model = _regression(chosen, 1000, tolerance=1e-6)
    model.fit(_standardised(features, mean, spread), labels, each)
    coefficients, bias = _dense(model, classes)
    kernel = coefficients / spread[:, None]
    return Fitted(
        kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32), chosen, trials
    )


def _standardised(features: Rows, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """float64 [n, F], the one copy of all features that there is."""
    found = np.empty((len(features), len(mean)))
    for at in portions(len(features)):
        np.divide(features[at] - mean, spread, out=found[at[0] : at[-1] + 1])
    return found


def _trials(
    features: Rows,
    labels: np.ndarray,
    classes: int,
    weights: np.ndarray,
    groups: np.ndarray,
    seed: int,
    report: Callable[[int, int], None],
) -> list[dict[str, float]]:
    """Each strength of the grid on the folds left out; empty if no class can be divided."""
    fold = folds(labels, groups, seed)
    if fold.max() < 1:
        return []
    sums = np.zeros((len(GRID), 2))
    total = 0.0
    for number in range(fold.max() + 1):
        report(number, int(fold.max()) + 1)
        held = np.flatnonzero(fold == number)
        rest = np.flatnonzero((fold != number) & (fold != _NOT_USED))
        inner, outer = _rotated(features[rest], features[held])
        model = _regression(1.0, 100, warm_start=True)
        for row, strength in enumerate(GRID):
            model.set_params(C=strength).fit(inner, labels[rest], weights[rest])
            scores = _log_scores(model, outer, classes)
            loss = -scores[np.arange(len(held)), labels[held]]
            right = scores.argmax(1) == labels[held]
            sums[row] += weights[held] @ loss, weights[held] @ right
        total += weights[held].sum()
    report(int(fold.max()) + 1, int(fold.max()) + 1)
    return [
        {"C": float(c), "log_loss": float(loss / total), "accuracy": float(right / total)}
        for c, (loss, right) in zip(GRID, sums, strict=True)
    ]


_ALWAYS, _NOT_USED = -1, -2  # in every fit, in none


def folds(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """The fold [n] of each row: groups spread evenly over FOLDS within their class.

    A class of one image is −1, in every fit; rows beyond the 4,000 images that are looked at −2.
    """
    rng = np.random.default_rng(seed)
    names, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = rng.permutation(len(names))
    kinds = labels[first]
    rank = np.empty(len(names), np.int64)
    sizes = np.bincount(kinds)
    for kind in np.flatnonzero(sizes):
        mine = order[kinds[order] == kind]
        rank[mine] = np.arange(len(mine))
    # Of each class its share of what is looked at, two images at least.
    allowed = np.maximum(2, np.ceil(sizes * _LOOK / len(names)))[kinds]
    fold = np.where(rank < allowed, rank % FOLDS, _NOT_USED)
    fold[sizes[kinds] < 2] = _ALWAYS
    return fold[inverse.ravel()]


def _moments(features: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of each feature, float64 [F]."""
    mean, spread = moments(features)
    return mean, np.maximum(spread, max(_FLOOR * float(spread.mean()), _TINY))


def _rotated(fitted: np.ndarray, held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both standardised; in the space that the fitted rows span, where that is smaller.

    The regression with an L2 penalty is the same there: weights across it could only cost.
    """
    mean, spread = _moments(fitted)
    fitted, held = (fitted - mean) / spread, (held - mean) / spread
    if len(fitted) >= fitted.shape[1]:
        return fitted, held
    values, vectors = np.linalg.eigh(fitted @ fitted.T)
    keep = values > 1e-8 * max(values[-1], _TINY)
    lengths, vectors = np.sqrt(values[keep]), vectors[:, keep]
    return vectors * lengths, held @ (fitted.T @ (vectors / lengths))


def _regression(
    strength: float, iterations: int, *, tolerance: float = 1e-3, warm_start: bool = False
) -> Any:
    return _Quiet(C=strength, max_iter=iterations, tol=tolerance, warm_start=warm_start)


class _Quiet(LogisticRegression):  # type: ignore[misc]
    """The regression without its advice to iterate on: a weak penalty is stopped early."""

    def fit(self, *arguments: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return super().fit(*arguments)


def _dense(model: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [F, classes] and bias [classes] of all classes, also of two and of absent ones.

    scikit-learn has one column for two classes: its halves, with both signs, give the same scores.
    """
    weights, bias = model.coef_, model.intercept_
    if len(weights) == 1:
        weights = np.concatenate([-weights / 2, weights / 2])
        bias = np.concatenate([-bias / 2, bias / 2])
    kernel, offset = np.zeros((weights.shape[1], classes)), np.full(classes, bias.min() - 10.0)
    kernel[:, model.classes_], offset[model.classes_] = weights.T, bias
    return kernel, offset


def _log_scores(model: Any, features: np.ndarray, classes: int) -> np.ndarray:
    """Log of the softmax scores [n, classes]."""
    kernel, bias = _dense(model, classes)
    logits = features @ kernel + bias
    logits -= logits.max(1, keepdims=True)
    found: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return found
