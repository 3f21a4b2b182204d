"""What is computed of scores [images, classes]: the same for every file, whoever made it."""

from __future__ import annotations

import numpy as np

STEP = 1 / 256  # of the scores of an 8-bit softmax, tfedge's and everybody else's
BINS = 15


def top1(scores: np.ndarray, labels: np.ndarray) -> float:
    return float((scores.argmax(1) == labels).mean())


def divergence(exact: np.ndarray, given: np.ndarray, least: float = STEP / 2) -> float:
    """Mean Kullback-Leibler divergence KL(exact ‖ given) in nats.

    8-bit scores are multiples of 1/256: a 0 there says "less than half a step", not "never". So
    half a step is the least that either is taken for (and each image's scores then sum to 1
    again). With a smaller ``least`` those zeros outweigh everything else.
    """
    p, q = (_floored(scores, least) for scores in (exact, given))
    return float((p * np.log(p / q)).sum(1).mean())


def _floored(scores: np.ndarray, least: float) -> np.ndarray:
    high = np.maximum(scores.astype(np.float64), least)
    return high / high.sum(1, keepdims=True)


def calibration_error(scores: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): how far the highest score is from the share of
    right answers, over ``BINS`` equal bins of that score."""
    sure, right = scores.max(1), scores.argmax(1) == labels
    bins = np.clip((sure * BINS).astype(int), 0, BINS - 1)
    gaps = [abs((right[bins == b] - sure[bins == b]).sum()) for b in np.unique(bins)]
    return float(sum(gaps) / len(labels))
