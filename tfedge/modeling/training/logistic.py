"""A head that has converged: multinomial logistic regression on the features of a frozen base.

scikit-learn's, by L-BFGS on standardised features, with the L2 penalty that answers best on folds
that it was not fitted to. Its log loss decides, not its accuracy: among penalties of the same
accuracy it tells the one whose scores mean something, and no image of the validation split is
needed for it. Standardisation is folded into kernel and bias, so that what comes out is an ordinary
dense layer.

A penalty does two things: it says which way the weights point, and how sure the scores are. Of few
examples a strong one points better, but is far too unsure, so that log loss asks for a weak one. A
head that is *scaled* keeps the two apart: on the folds each strength gets the factor for its logits
that scores need (temperature scaling, Guo et al. 2017), and the log loss after it is compared. What
the folds of few examples say of that is mostly chance; so ``USUAL`` stands unless another one is
better by more than two standard errors, a variant of the one-standard-error rule of Breiman et al.
1984. Each of its features counts as moving at least as much as they do on average, since 8 bits are
as coarse for one as for another; and it is fitted to rows of the same length, as what a text is
about lies in the direction of its features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tfedge.files import mapped
from tfedge.modeling.training.rows import Rows, moments, portions

GRID = 10.0 ** np.arange(-4, 1.01, 0.5)  # inverse strengths of the penalty that are tried
FOLDS = 5
_LOOK = 4000  # images that choose the penalty, at most: its strength is per image
USUAL = 0.01  # the strength where no class has two images to try others on, and see above
_ERRORS = 2.0  # standard errors that another one must be better by
_SCALES = (1e-2, 1e4)  # factors of logits, from and to
_HALVINGS = 40  # of what lies between these
# Of the mean spread, that a feature is taken to have at least. One that hardly moves in these
# images would get a weight that others' steps in 8 bits are lost beside, and that noise plays on.
_FLOOR, _SCALED_FLOOR = 0.3, 1.0
_TINY = 1e-12


@dataclass(frozen=True)
class Fitted:
    """``kernel`` [F, classes] and ``bias`` [classes] float32 of a dense layer on raw features;
    ``c`` is the inverse strength chosen, ``trials`` what each one gave on the folds left out, of a
    scaled head after its ``scale``."""

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
    scaled: bool = False,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    scratch: Path | None = None,
) -> Fitted:
    """Fit the head.

    Args:
        features: [n, F] float32, raw, gathered a portion at a time. Every class has at least one
            row.
        labels: [n] int.
        weights: [n], of each row in the loss; None: all count the same.
        groups: [n] int, rows of one image (its views), which are never on both sides of a fold; an
            image's views share its weight.
        scaled: choose the penalty apart from how sure the scores are (see above).
        report: called with (folds done, folds).
        scratch: folder for the standardised features where they are too many to be held, 8 bytes
            each; None: the system's folder for temporary files.
    """
    count = len(labels)
    groups = np.arange(count) if groups is None else groups
    each = np.ones(count) if weights is None else weights.astype(np.float64)
    each = each * (len(np.unique(groups)) / count)
    floor = _SCALED_FLOOR if scaled else _FLOOR
    features = _OneLength(features) if scaled else features
    held = _held_out(features, labels, classes, each, groups, floor, seed, report)
    trials, chosen = (_scaled if scaled else _plain)(held, labels, each, groups)
    strength, scale = (chosen["C"], chosen.get("scale", 1.0)) if chosen else (USUAL, 1.0)
    mean, spread = _moments(features, floor)
    model = _regression(strength, 1000, tolerance=1e-6)
    if scaled and trials:  # under a strong penalty logits grow with what is fitted to: the same
        each = each * (1 - 1 / FOLDS)
    model.fit(_standardised(features, mean, spread, scratch), labels, each)
    coefficients, bias = _dense(model, classes)
    kernel = coefficients / spread[:, None]
    bias = bias - mean @ kernel
    return Fitted(
        (scale * kernel).astype(np.float32), (scale * bias).astype(np.float32), strength, trials
    )


class _OneLength:
    """Rows [n, F] brought to their mean length."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        lengths = [np.linalg.norm(rows[at], axis=1) for at in portions(len(rows))]
        self._length = float(np.concatenate(lengths).mean())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        found = self._rows[rows].astype(np.float64)
        lengths = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), _TINY)
        even: np.ndarray = found * (self._length / lengths)
        return even


def _standardised(
    features: Rows, mean: np.ndarray, spread: np.ndarray, scratch: Path | None
) -> np.ndarray:
    """float64 [n, F], the one copy of all features that there is; a large one lies on disk."""
    parts = ((features[at] - mean) / spread for at in portions(len(features)))
    return mapped.scratch(parts, (len(features), len(mean)), np.float64, scratch)


class _Held(NamedTuple):
    """A fold that was left out: its rows, and the log scores [len(GRID), rows, classes] that each
    strength gives them."""

    rows: np.ndarray
    scores: np.ndarray


def _held_out(
    features: Rows,
    labels: np.ndarray,
    classes: int,
    weights: np.ndarray,
    groups: np.ndarray,
    floor: float,
    seed: int,
    report: Callable[[int, int], None],
) -> Iterator[_Held]:
    """Each fold in turn; none if no class can be divided."""
    fold = folds(labels, groups, seed)
    if fold.max() < 1:
        return
    for number in range(fold.max() + 1):
        report(number, int(fold.max()) + 1)
        held = np.flatnonzero(fold == number)
        rest = np.flatnonzero((fold != number) & (fold != _NOT_USED))
        inner, outer = _rotated(features[rest], features[held], floor)
        model = _regression(1.0, 100, warm_start=True)
        scores = []
        for strength in GRID:
            model.set_params(C=strength).fit(inner, labels[rest], weights[rest])
            scores.append(_log_scores(model, outer, classes))
        yield _Held(held, np.stack(scores))
    report(int(fold.max()) + 1, int(fold.max()) + 1)


_Trials = list[dict[str, float]]


def _plain(
    folds: Iterator[_Held], labels: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> tuple[_Trials, dict[str, float] | None]:
    """Each strength on the folds left out, and the one with the least log loss; None: no folds."""
    sums = np.zeros((len(GRID), 2))
    total = 0.0
    for held, scores in folds:
        for row, said in enumerate(scores):
            loss = -said[np.arange(len(held)), labels[held]]
            right = said.argmax(1) == labels[held]
            sums[row] += weights[held] @ loss, weights[held] @ right
        total += weights[held].sum()
    trials = [
        {"C": float(c), "log_loss": float(loss / total), "accuracy": float(right / total)}
        for c, (loss, right) in zip(GRID, sums, strict=True)
        if total
    ]
    return trials, min(trials, key=lambda row: row["log_loss"], default=None)


def _scaled(
    folds: Iterator[_Held], labels: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> tuple[_Trials, dict[str, float] | None]:
    """The same after each strength's own scale, and the one nearest to ``USUAL`` of those that the
    best one is not better than by more than two standard errors."""
    every = list(folds)
    if not every:
        return [], None
    rows = np.concatenate([held.rows for held in every])
    present = np.unique(labels)
    wanted, share = np.searchsorted(present, labels[rows]), weights[rows] / weights[rows].sum()
    _, group = np.unique(groups[rows], return_inverse=True)
    targets = _less_sure(wanted, len(present), int(group.max()) + 1)
    trials, losses = [], []
    for row, c in enumerate(GRID):
        scores = np.concatenate([held.scores[row] for held in every])[:, present]
        scale = _scale(scores, targets, share)
        said = _log_softmax(scale * scores)
        losses.append(-(targets * said).sum(1))
        loss, right = -said[np.arange(len(rows)), wanted], said.argmax(1) == wanted
        figures = {"log_loss": float(share @ loss), "accuracy": float(share @ right)}
        trials.append({"C": float(c), **figures, "scale": scale})
    means = np.array([share @ loss for loss in losses])
    best = int(means.argmin())

    def as_good(row: int) -> bool:
        behind = losses[row] - losses[best]
        off = np.bincount(group, share * (behind - share @ behind))  # an image's views go together
        return bool(means[row] - means[best] <= _ERRORS * np.sqrt(np.square(off).sum()))

    among = [row for row in range(len(GRID)) if as_good(row)]
    return trials, trials[min(among, key=lambda row: abs(np.log(GRID[row] / USUAL)))]


def _less_sure(wanted: np.ndarray, classes: int, images: int) -> np.ndarray:
    """Targets [n, classes] as if one image more had been answered wrongly: where folds are all
    right, no finite scale would be the best (so Platt 1999)."""
    wrong = 1 / (images + 1)
    targets = np.full((len(wanted), classes), wrong / max(classes - 1, 1))
    targets[np.arange(len(wanted)), wanted] = 1 - wrong
    return targets


def _scale(scores: np.ndarray, targets: np.ndarray, share: np.ndarray) -> float:
    """The factor for log scores [n, classes] that makes their cross-entropy against the targets
    least. It is convex in the factor: its slope is halved upon."""
    wanted = (targets * scores).sum(1)
    low, high = np.log(_SCALES)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        said = np.exp(_log_softmax(np.exp(middle) * scores))
        if share @ ((said * scores).sum(1) - wanted) > 0:
            high = middle
        else:
            low = middle
    return float(np.exp((low + high) / 2))


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


def _moments(features: Rows, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of each feature, float64 [F]; the spread ``floor`` of its mean at least."""
    mean, spread = moments(features)
    return mean, np.maximum(spread, max(floor * float(spread.mean()), _TINY))


def _rotated(fitted: np.ndarray, held: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Both standardised; in the space that the fitted rows span, where that is smaller.

    The regression with an L2 penalty is the same there: weights across it could only cost.
    """
    mean, spread = _moments(fitted, floor)
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
    return _log_softmax(features @ kernel + bias)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(1, keepdims=True)
    found: np.ndarray = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return found
