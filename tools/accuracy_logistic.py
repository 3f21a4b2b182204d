"""The baseline for a head: logistic regression on the same features, as anyone would fit it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from accuracy_scores import calibration_error, top1
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

GRID = [10.0 ** (half / 2) for half in range(-8, 3)]  # 10⁻⁴ to 10 in half decades
FOLDS = 5
FIXED = 0.01


def regression(c: float = 1.0) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))


def searched(features: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    """Fitted with the C that has the lowest log loss in cross-validation."""
    folds = min(FOLDS, int(np.bincount(labels).min()))
    inner = StratifiedKFold(folds, shuffle=True, random_state=seed)
    grid = {"logisticregression__C": GRID}
    return GridSearchCV(regression(), grid, scoring="neg_log_loss", cv=inner).fit(features, labels)


def baseline(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, Any]:
    """What is recorded of it, with C searched for, and with the fixed one beside it."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    with threadpool_limits(1):  # products as small as these do nothing but wait for their threads
        began = time.monotonic()
        found = searched(train, train_labels, seed)
        took = time.monotonic() - began
        fixed = regression(FIXED).fit(train, train_labels)
    scores = found.predict_proba(test)
    return {
        "top1": top1(scores, labels),
        "ece": calibration_error(scores, labels),
        "c": found.best_params_["logisticregression__C"],
        "top1_001": top1(fixed.predict_proba(test), labels),
        "seconds": {"fit": took},
    }
