"""The fitted head: scikit-learn's own answers, honest folds, and the same bytes each time."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tfedge.modeling.training import logistic
from tfedge.modeling.training.logistic import FOLDS, GRID, USUAL, fit, folds

ALWAYS, NOT_USED = -1, -2


def made(
    sizes: tuple[int, ...], width: int, seed: int = 0, apart: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Features as a backbone's are, positive and of different spread, and the labels: classes that
    overlap."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = apart * rng.normal(size=(len(sizes), width)) / np.sqrt(width) * 3
    mixing = rng.normal(size=(width, width)) / np.sqrt(width)
    values = (centres[labels] + rng.normal(size=(len(labels), width))) @ mixing
    values = np.abs(values + 2) * np.exp(0.2 * rng.normal(size=width))
    return values.astype(np.float32), labels


def scores_of(found: logistic.Fitted, features: np.ndarray) -> np.ndarray:
    logits = features.astype(np.float64) @ found.kernel + found.bias
    logits -= logits.max(1, keepdims=True)
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


class AtLeastTheMean(StandardScaler):
    """No feature is taken to move less than they do on average."""

    def fit(self, *given):
        super().fit(*given)
        self.scale_ = np.maximum(self.scale_, self.scale_.mean())
        return self


def reference(features, labels, c: float, weights=None, tol: float = 1e-8, scaler=StandardScaler):
    """scikit-learn's own, at its optimum."""
    model = make_pipeline(scaler(), LogisticRegression(C=c, max_iter=5000, tol=tol))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return model.fit(
            features.astype(np.float64), labels, logisticregression__sample_weight=weights
        )


# ------------------------------------------------------------------ what comes out


@pytest.mark.parametrize(
    ("sizes", "width"),
    [((60, 40, 50), 20), ((30, 25, 20, 15), 200), ((45, 55), 12), ((25, 30), 150)],
    ids=["F<n", "F>n", "two classes", "two classes, F>n"],
)
def test_it_is_scikit_learn_at_the_strength_chosen(sizes, width):
    features, labels = made(sizes, width)
    fresh, _ = made(sizes, width, seed=1)
    found = fit(features, labels, len(sizes))
    assert (found.kernel.dtype, found.kernel.shape) == (np.float32, (width, len(sizes)))
    assert (found.bias.dtype, found.bias.shape) == (np.float32, (len(sizes),))
    wanted = reference(features, labels, found.c)
    for values in (features, fresh):  # two optimisers' last steps, where the penalty is weak
        np.testing.assert_allclose(
            scores_of(found, values), wanted.predict_proba(values), atol=3e-3
        )


@pytest.mark.parametrize(("sizes", "width"), [((60, 40, 50), 20), ((30, 25, 20, 15), 200)])
def test_it_has_converged(sizes, width):
    """Nothing is left to gain of what is made small: log loss and penalty."""
    features, labels = made(sizes, width)
    found = fit(features, labels, len(sizes))
    best = reference(features, labels, found.c, tol=1e-8)

    def cost(scores: np.ndarray, coefficients: np.ndarray) -> float:
        loss = -np.log(scores[np.arange(len(labels)), labels]).sum()
        return loss + np.square(coefficients).sum() / (2 * found.c)

    scale = features.std(0, dtype=np.float64)[:, None]
    own = cost(scores_of(found, features), found.kernel * scale)
    least = cost(best.predict_proba(features), best[-1].coef_)
    assert own == pytest.approx(least, rel=1e-5)  # the kernel is float32
    assert own < 0.8 * len(labels) * np.log(len(sizes))  # of a head that says nothing


def test_the_strength_is_the_one_of_the_least_log_loss_on_images_left_out():
    features, labels = made((60, 40, 50), 100)
    found = fit(features, labels, 3)
    assert [row["C"] for row in found.trials] == pytest.approx(GRID)
    losses = [row["log_loss"] for row in found.trials]
    assert found.c == GRID[np.argmin(losses)] and GRID[0] < found.c < GRID[-1]
    # The same by hand, where nothing is rotated and no fit begins with another's result.
    fold = folds(labels, np.arange(len(labels)), 0)
    for row in (found.trials[0], found.trials[int(np.argmin(losses))]):
        said = np.empty((len(labels), 3))
        for number in range(FOLDS):
            rest, held = fold != number, fold == number
            said[held] = reference(features[rest], labels[rest], row["C"], tol=1e-6).predict_proba(
                features[held]
            )
        own = said[np.arange(len(labels)), labels]
        assert row["log_loss"] == pytest.approx(-np.log(own).mean(), abs=2e-3)
        assert row["accuracy"] == pytest.approx((said.argmax(1) == labels).mean(), abs=0.01)


def test_noise_is_given_a_strong_penalty():
    """Labels that features say nothing of: in the log loss of held-out images it shows, on the
    images fitted it does not."""
    features, _ = made((60, 40, 50), 100)
    labels = np.random.default_rng(5).integers(0, 3, 150)
    assert fit(features, labels, 3).c == GRID[0]
    assert reference(features, labels, 1.0).score(features, labels) > 0.95


def test_a_class_of_one_image_is_learnt():
    features, labels = made((30, 30, 1), 40)
    found = fit(features, labels, 3)
    assert np.isfinite(found.kernel).all() and len(found.trials) == len(GRID)
    np.testing.assert_allclose(
        scores_of(found, features),
        reference(features, labels, found.c).predict_proba(features),
        atol=1e-3,
    )


def test_with_one_image_a_class_nothing_is_tried_and_all_are_told_apart():
    features, labels = made((1, 1, 1), 16, apart=3)
    found = fit(features, labels, 3)
    assert found.trials == [] and found.c == 0.01
    np.testing.assert_array_equal(scores_of(found, features).argmax(1), labels)


@pytest.mark.parametrize("present", [(0, 2, 3), (1, 3)])
def test_a_class_without_images_is_never_the_answer(present):
    features, labels = made((40,) * len(present), 12)
    found = fit(features, np.array(present)[labels], 5)
    assert found.kernel.shape == (12, 5) and np.isfinite(found.bias).all()
    scores = scores_of(found, features)
    absent = [c for c in range(5) if c not in present]
    assert scores[:, absent].max() < 0.01
    np.testing.assert_allclose(
        scores[:, list(present)],
        reference(features, labels, found.c).predict_proba(features),
        atol=2e-3,
    )


# ------------------------------------------------------------------ features that hardly move


def test_features_that_hardly_move_are_not_blown_up():
    features, labels = made((40, 30, 30), 20)
    rng = np.random.default_rng(2)
    dead = np.zeros((100, 1), np.float32)
    constant = np.full((100, 1), 3.7, np.float32)
    # One that says the class in its last bits, as the rounding of a dead channel might.
    nearly = (1 + 1e-6 * labels[:, None] + 1e-7 * rng.normal(size=(100, 1))).astype(np.float32)
    more = np.concatenate([features, dead, constant, nearly], axis=1)
    found = fit(more, labels, 3)
    assert np.isfinite(found.kernel).all() and np.isfinite(found.bias).all()
    plain = fit(features, labels, 3)
    np.testing.assert_allclose(scores_of(found, more), scores_of(plain, features), atol=0.01)
    # On the device such a channel is a little elsewhere: a step of 8 bits at most.
    for column in (20, 21, 22):
        moved = more.copy()
        moved[:, column] += 0.01
        off = np.abs(scores_of(found, moved) - scores_of(found, more)).max()
        assert off < 0.05, column


def test_a_rare_feature_takes_no_precision_from_the_others():
    """One that a few images of one class have, and a little only: with the weight that its own
    spread asks for, the others' weights are lost between two of the kernel's 255 steps."""
    features, labels = made((60, 60, 60), 20, apart=0.7)
    rare = np.zeros((180, 1), np.float32)
    rare[np.flatnonzero(labels == 1)[:6]] = 0.004
    found = fit(np.concatenate([features, rare], axis=1), labels, 3)
    step = np.abs(found.kernel).max(0) / 127
    rounded = dataclasses.replace(found, kernel=np.rint(found.kernel / step) * step)
    inputs = np.concatenate([features, 0 * rare], axis=1)
    off = np.abs(scores_of(rounded, inputs) - scores_of(found, inputs))
    assert off.max() < 0.05


# ------------------------------------------------------------------ what rows count for


def test_weights_count():
    features, labels = made((60, 40, 50), 10, apart=0.5)
    weights = np.array([0.2, 3.0, 1.0])[labels]
    found = fit(features, labels, 3, weights=weights)
    wanted = reference(features, labels, found.c, weights).predict_proba(features)
    np.testing.assert_allclose(scores_of(found, features), wanted, atol=1e-3)
    plain = scores_of(fit(features, labels, 3), features)
    assert (scores_of(found, features)[:, 1].mean()) > plain[:, 1].mean() + 0.1


def test_views_share_the_weight_of_their_image():
    features, labels = made((30, 20, 25), 12)
    found = fit(features, labels, 3)
    thrice = fit(np.tile(features, (3, 1)), np.tile(labels, 3), 3, groups=np.tile(np.arange(75), 3))
    assert thrice.c == found.c
    np.testing.assert_allclose(
        [row["log_loss"] for row in thrice.trials],
        [row["log_loss"] for row in found.trials],
        rtol=1e-2,
    )
    np.testing.assert_allclose(thrice.kernel, found.kernel, atol=1e-2 * np.abs(found.kernel).max())
    np.testing.assert_allclose(thrice.bias, found.bias, atol=1e-2 * np.abs(found.bias).max())


# ------------------------------------------------------------------ scaled


def log_loss(found: logistic.Fitted, features: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(scores_of(found, features)[np.arange(len(labels)), labels]).mean())


def accuracy(found: logistic.Fitted, features: np.ndarray, labels: np.ndarray) -> float:
    return float((scores_of(found, features).argmax(1) == labels).mean())


def of_one_length(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features * (lengths.mean() / lengths)


def few_of(
    sizes: tuple[int, ...], width: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The first so many of each class to learn from, and all others."""
    features, labels = made((300,) * len(sizes), width, seed, apart=1.5)
    own = np.concatenate([np.flatnonzero(labels == kind)[:size] for kind, size in enumerate(sizes)])
    others = np.setdiff1d(np.arange(len(labels)), own)
    return features[own], labels[own], features[others], labels[others]


@pytest.mark.parametrize("sizes", [(30, 25, 20), (45, 55)])
def test_a_scaled_head_is_scikit_learn_at_its_strength_times_its_scale(sizes):
    features, labels = made(sizes, 30)
    found = fit(features, labels, len(sizes), scaled=True)
    (chosen,) = (row for row in found.trials if row["C"] == found.c)
    # As in a fold, to four fifths of what there is.
    wanted = reference(of_one_length(features), labels, 0.8 * found.c, scaler=AtLeastTheMean)
    logits = np.log(wanted.predict_proba(features))
    np.testing.assert_allclose(
        scores_of(found, features),
        np.exp(logistic._log_softmax(chosen["scale"] * logits)),
        atol=3e-3,
    )


def test_a_scale_is_the_one_of_the_least_log_loss_on_images_left_out():
    """By hand: of scores that no fit has seen."""
    features, labels = made((60, 40, 50), 100)
    found = fit(features, labels, 3, scaled=True)
    fold, features = folds(labels, np.arange(len(labels)), 0), of_one_length(features)
    at = int(np.argmin(np.abs(GRID - USUAL)))
    said = np.empty((len(labels), 3))
    for number in range(FOLDS):
        rest, held = fold != number, fold == number
        model = reference(features[rest], labels[rest], USUAL, scaler=AtLeastTheMean)
        said[held] = np.log(model.predict_proba(features[held]))
    own = np.arange(len(labels)), labels
    scales = np.geomspace(0.1, 100, 300)
    losses = [-logistic._log_softmax(scale * said)[own].mean() for scale in scales]
    assert found.trials[at]["log_loss"] == pytest.approx(min(losses), abs=2e-3)
    assert found.trials[at]["log_loss"] < losses[int(np.argmin(np.abs(scales - 1)))] - 0.05
    # One image more, answered wrongly, of a hundred and fifty makes scores a little less sure.
    best = scales[np.argmin(losses)]
    assert 0.8 * best < found.trials[at]["scale"] < best


def test_few_examples_keep_the_usual_strength_and_answer_better_for_it():
    """Ten of a class, more features than examples: over draws, answers and log loss on others."""
    figures = []
    for seed in range(12):
        features, labels, others, truth = few_of((10, 10, 10, 10), 200, seed)
        plain, scaled = (fit(features, labels, 4, scaled=way) for way in (False, True))
        figures.append(
            [
                accuracy(scaled, others, truth) - accuracy(plain, others, truth),
                log_loss(scaled, others, truth) - log_loss(plain, others, truth),
                scaled.c == pytest.approx(USUAL),
                plain.c == pytest.approx(USUAL),
            ]
        )
    better, loss, usual, by_chance = np.mean(figures, 0)
    assert better > 0 and loss < 0
    assert usual >= 0.75 > by_chance


def test_a_strength_that_is_clearly_better_is_taken():
    """What tells the classes apart is small beside what does not: a strong penalty never gets at
    it."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat([0, 1], 400))
    signal, common = np.linalg.qr(rng.normal(size=(12, 2)))[0].T
    values = 100 + (labels - 0.5)[:, None] * signal + rng.normal(size=(800, 1)) * 30 * common
    values += 0.1 * rng.normal(size=values.shape)
    found = fit(values.astype(np.float32), labels, 2, scaled=True)
    assert found.c > 10 * USUAL
    assert accuracy(found, values, labels) > 0.95


def test_folds_that_are_all_right_ask_for_no_endless_scale():
    labels = np.repeat([0, 1, 2], 10)
    features = np.eye(3)[labels] + 0.01 * np.random.default_rng(0).normal(size=(30, 3))
    features = features.astype(np.float32)
    found = fit(features, labels, 3, scaled=True)
    (chosen,) = (row for row in found.trials if row["C"] == found.c)
    assert chosen["accuracy"] == pytest.approx(1)
    own = scores_of(found, features)[np.arange(30), labels]
    assert own.mean() == pytest.approx(30 / 31, abs=0.01)  # as if one of 31 were wrong
    assert chosen["log_loss"] < 0.1


def test_scaled_views_of_an_image_are_one_in_what_is_chance():
    features, labels = made((30, 20, 25), 60)
    found = fit(features, labels, 3, scaled=True)
    tiled = np.tile(features, (9, 1)), np.tile(labels, 9)
    nine = fit(*tiled, 3, groups=np.tile(np.arange(75), 9), scaled=True)
    assert nine.c == found.c
    np.testing.assert_allclose(
        [row["scale"] for row in nine.trials], [row["scale"] for row in found.trials], rtol=0.05
    )


def test_a_scaled_head_of_one_image_a_class_and_of_absent_ones():
    features, labels = made((1, 1, 1), 16, apart=3)
    found = fit(features, labels, 3, scaled=True)
    assert found.trials == [] and found.c == USUAL
    np.testing.assert_array_equal(scores_of(found, features).argmax(1), labels)
    features, labels = made((40, 40), 12)
    found = fit(features, np.array([1, 3])[labels], 5, scaled=True)
    assert scores_of(found, features)[:, [0, 2, 4]].max() < 0.01
    (chosen,) = (row for row in found.trials if row["C"] == found.c)
    two = fit(features, labels, 2, scaled=True)
    (alone,) = (row for row in two.trials if row["C"] == two.c)
    assert chosen["scale"] == pytest.approx(alone["scale"], rel=0.01)


# ------------------------------------------------------------------ folds


def test_groups_are_never_divided_and_classes_spread():
    labels = np.repeat([0, 1, 2], (23, 10, 7))
    groups = np.random.default_rng(1).permutation(40) * 7  # any numbers, in any order
    rows = np.concatenate([np.arange(40), np.arange(40)])
    fold = folds(labels[rows], groups[rows], 3)
    np.testing.assert_array_equal(fold[:40], fold[40:])
    assert set(fold) == set(range(FOLDS))
    for label in range(3):
        counts = np.bincount(fold[:40][labels == label], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1, label


def test_what_is_left_out_is_left_out_for_all_views(monkeypatch):
    """A view of an image that was fitted to would answer for it."""
    features, labels = made((30, 20, 25), 12)
    groups = np.tile(np.arange(75), 2)
    seen, rotated = [], logistic._rotated

    def spy(fitted, held, floor):
        seen.append((fitted, held))
        return rotated(fitted, held, floor)

    monkeypatch.setattr(logistic, "_rotated", spy)
    fit(np.tile(features, (2, 1)), np.tile(labels, 2), 3, groups=groups)
    assert len(seen) == FOLDS and sum(len(held) for _, held in seen) == 150
    for fitted, held in seen:
        rows = {row.tobytes() for row in fitted}
        assert not any(row.tobytes() in rows for row in held)


def test_an_only_image_is_always_fitted_to():
    labels = np.array([0] * 12 + [1] + [2, 2])
    fold = folds(labels, np.arange(15), 0)
    assert fold[12] == ALWAYS and set(fold[13:]) == {0, 1}
    assert (folds(np.arange(4), np.arange(4), 0) == ALWAYS).all()


def test_at_most_4000_images_are_looked_at_and_two_of_each_class():
    sizes = (9000, 2997, 2, 1)
    labels = np.repeat(np.arange(4), sizes)
    fold = folds(labels, np.arange(12_000), 0)
    looked = fold >= 0
    assert 3990 <= looked.sum() <= 4005
    counts = np.bincount(labels[looked], minlength=4)
    assert counts[0] == pytest.approx(3000, abs=3) and counts[1] == pytest.approx(1000, abs=3)
    assert counts[2] == 2 and counts[3] == 0 and fold[-1] == ALWAYS
    assert set(fold[~looked][:-1]) == {NOT_USED}
    sizes = [(looked & (fold == number)).sum() for number in range(FOLDS)]
    assert max(sizes) - min(sizes) <= 4


def test_rows_not_looked_at_are_in_no_trial_but_in_the_fit(monkeypatch):
    monkeypatch.setattr(logistic, "_LOOK", 30)
    features, labels = made((40, 40), 6)
    seen, rotated = [], logistic._rotated

    def spy(fitted, held, floor):
        seen.append(len(fitted) + len(held))
        return rotated(fitted, held, floor)

    monkeypatch.setattr(logistic, "_rotated", spy)
    found = fit(features, labels, 2)
    assert seen == [30] * FOLDS
    wanted = reference(features, labels, found.c).predict_proba(features)
    np.testing.assert_allclose(scores_of(found, features), wanted, atol=1e-3)


def test_which_images_go_where_is_chance_by_the_seed():
    labels = np.repeat([0, 1], 50)
    one, other = (folds(labels, np.arange(100), seed) for seed in (1, 2))
    assert 10 < (one == other).sum() < 40  # a fifth by chance
    np.testing.assert_array_equal(one, folds(labels, np.arange(100), 1))


# ------------------------------------------------------------------ again


@pytest.mark.parametrize("width", [20, 400])
def test_same_seed_same_bytes_on_any_number_of_threads(width):
    features, labels = made((60, 40, 50), width)
    found = []
    for threads in (1, 2, 2):
        with threadpool_limits(limits=threads):
            fitted = fit(features, labels, 3, seed=4)
        found.append((fitted.kernel.tobytes(), fitted.bias.tobytes(), fitted.trials))
    assert found[0] == found[1] == found[2]


def test_it_reports_each_fold():
    features, labels = made((20, 20), 5)
    told = []
    fit(features, labels, 2, report=lambda *at: told.append(at))
    assert told == [(n, FOLDS) for n in range(FOLDS + 1)]
