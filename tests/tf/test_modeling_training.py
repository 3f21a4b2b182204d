"""The training loop and what goes into it, on nets of a handful of weights."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from tfedge.errors import StageError
from tfedge.files.progress import NoProgress
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.training import classes, loop
from tfedge.modeling.training.loop import LearningTargets, Memory, Noise
from tfedge.modeling.training.schedules import Rate, optimizer
from tfedge.pipeline.schema import Training

STEPS = 100


def rates(schedule: str, steps: int = STEPS, **settings) -> np.ndarray:
    rate = Rate(Training(schedule=schedule, **settings), 0.5, steps)
    return np.array([rate.at(step) for step in range(steps)])


def test_warm_up_rises_linearly_to_the_highest_rate():
    for schedule in ("cosine", "exponential", "plateau", "constant"):
        found = rates(schedule, warmup=0.1)
        np.testing.assert_allclose(found[:10], 0.5 * np.arange(1, 11) / 10)
        assert found[10] == found.max() == 0.5


def test_each_schedule_decays_as_it_says():
    cosine = rates("cosine")
    assert cosine[0] == 0.5 and cosine[50] == pytest.approx(0.25) and 0 < cosine[-1] < 0.5e-3
    assert (np.diff(cosine) < 0).all()
    exponential = rates("exponential")
    assert exponential[0] == 0.5 and exponential[-1] == pytest.approx(0.005, rel=0.05)
    np.testing.assert_allclose(exponential[1:] / exponential[:-1], 0.01 ** (1 / STEPS))
    assert (rates("constant") == 0.5).all()


def test_decay_begins_where_the_warm_up_ends():
    assert rates("cosine", warmup=0.5)[75] == pytest.approx(0.25)
    assert rates("cosine", steps=1)[0] == 0.5  # a run of one step trains at the full rate
    assert rates("cosine", steps=1, warmup=0.9)[0] == 0.5


@pytest.mark.parametrize(("schedule", "halved"), [("plateau", True), ("constant", False)])
def test_a_plateau_of_two_epochs_halves_the_rate(schedule, halved):
    rate = Rate(Training(schedule=schedule), 0.5, STEPS)
    seen = []
    for loss in (1.0, 0.9, 0.95, 0.9, 0.8, 0.81, 0.82, 0.83, 0.84):
        rate.epoch_ended(loss)
        seen.append(rate.at(STEPS - 1))
    assert seen == ([0.5] * 3 + [0.25] * 3 + [0.125] * 2 + [0.0625] if halved else [0.5] * 9)


def test_optimizers_are_what_their_names_say():
    legacy = keras.optimizers.legacy
    assert type(optimizer(Training(), [])) is legacy.Adam
    sgd = optimizer(Training(optimizer="sgd"), [])
    assert type(sgd) is legacy.SGD and sgd.get_config()["momentum"] == 0.9
    assert sgd.get_config()["nesterov"]
    for decay in (0.0, 0.1):
        weight = tf.Variable([2.0])
        rule = optimizer(Training(optimizer="adamw", weight_decay=decay), [weight])
        assert type(rule) is keras.optimizers.AdamW
        rule.learning_rate.assign(0.5)
        rule.apply_gradients([(tf.zeros(1), weight)])
        assert weight.numpy() == pytest.approx(2.0 * (1 - 0.5 * decay))


def test_label_smoothing_keeps_the_sum():
    hard = classes.one_hot([2, 0], 4)
    np.testing.assert_array_equal(hard, [[0, 0, 1, 0], [1, 0, 0, 0]])
    smooth = classes.one_hot([2, 0], 4, 0.2)
    assert smooth.dtype == np.float32
    np.testing.assert_allclose(smooth.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(smooth[0], [0.05, 0.05, 0.85, 0.05], rtol=1e-6)


def test_balanced_weights_make_every_class_count_the_same():
    labels = [0, 0, 0, 0, 0, 0, 2, 2, 3]  # of class 1 there is none
    weights = classes.class_weights(Training(class_weights="balanced"), labels, 4)
    sums = [weights[np.equal(labels, label)].sum() for label in (0, 2, 3)]
    np.testing.assert_allclose(sums, 9 / 4)
    none = classes.class_weights(Training(), labels, 4)
    assert none.dtype == weights.dtype == np.float32 and (none == 1).all()


def test_mixed_targets_give_the_mix_of_both_losses():
    rng = np.random.default_rng(1)
    hard = classes.one_hot(rng.integers(0, 5, 7), 5)
    logits = rng.normal(0, 4, (7, 5)).astype(np.float32) + 1000  # as large as they come
    said = rng.normal(size=(7, 5)).astype(np.float32)
    soft = tf.nn.softmax(logits).numpy()
    mixed = classes.mix(hard, logits, 0.7)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed.sum(-1), 1, rtol=1e-5)
    ones = np.ones(7, np.float32)
    both = [float(classes.cross_entropy(said, (t,), ones)) for t in (hard, soft)]
    found = float(classes.cross_entropy(said, (mixed,), ones))
    assert found == pytest.approx(0.3 * both[0] + 0.7 * both[1], rel=1e-5)
    np.testing.assert_array_equal(classes.mix(hard, logits, 0.0), hard)


def test_cross_entropy_is_weighted_by_image():
    said = np.log([[0.5, 0.5], [0.25, 0.75]]).astype(np.float32)
    hard = classes.one_hot([0, 0], 2)
    loss = classes.cross_entropy(said, (hard,), np.array([1, 3], np.float32))
    assert float(loss) == pytest.approx((math.log(2) + 3 * math.log(4)) / 2)


def test_hints_add_the_distance_from_the_features_of_the_teacher():
    said = np.zeros((2, 2), np.float32)
    hard = classes.one_hot([0, 1], 2)
    teacher = np.array([[1, 2, 3], [1, 0, 0]], np.float32)
    features = teacher + np.array([[1, 1, 1], [0, 0, 3]], np.float32)
    weights = np.array([1, 2], np.float32)
    plain = float(classes.cross_entropy(said, (hard,), weights))
    far = (1 * 1 + 3 * 2) / 2  # mean squares 1 and 3, weights 1 and 2
    for scale in (1.0, 0.25):  # what the model says may be of any size, what is wanted is of one
        loss = loop.hinted(0.5, scale, classes.cross_entropy)
        found = float(loss((features / scale, said), (hard, teacher), weights))
        assert found == pytest.approx(plain + 0.5 * far)


# ------------------------------------------------------------------ batches


def memory(
    count: int = 10, size: int = 4, seed: int = 1, views: int = 2, noise: Noise | None = None
) -> Memory:
    """Inputs are the numbers of the items; images have ``views`` items each."""
    items = count * views
    scores = np.arange(items, dtype=np.float32)[:, None]
    return Memory(
        lambda numbers: numbers.astype(np.float32)[:, None],
        lambda rng: rng.integers(0, views, count) * count + np.arange(count),
        LearningTargets(scores),
        np.arange(items, dtype=np.float32) + 0.5,
        size,
        seed,
        noise,
    )


def epoch(batches: Memory, number: int) -> np.ndarray:
    """The items of an epoch, [steps, size]."""
    found = []
    for inputs, (scores,), weights in batches.epoch(number):
        np.testing.assert_array_equal(inputs, scores)
        np.testing.assert_array_equal(inputs[:, 0] + 0.5, weights)
        found.append(inputs[:, 0].astype(int))
    return np.array(found)


def test_an_epoch_holds_an_item_of_each_image_in_whole_batches():
    batches = memory()
    assert (batches.steps, batches.size) == (3, 4)
    found = epoch(batches, 1)
    assert found.shape == (3, 4)
    assert sorted(found.ravel()[:10] % 10) == list(range(10))
    np.testing.assert_array_equal(found.ravel()[10:], found.ravel()[:2])  # filled up
    assert (found >= 10).any() and (found < 10).any()  # both views are seen


def test_epochs_follow_from_the_seed_and_their_number():
    np.testing.assert_array_equal(epoch(memory(), 3), epoch(memory(), 3))
    assert (epoch(memory(), 3) != epoch(memory(), 4)).any()
    assert (epoch(memory(seed=2), 3) != epoch(memory(), 3)).any()


def test_a_batch_is_never_larger_than_the_images_there_are():
    batches = memory(count=3, size=32)
    assert (batches.steps, batches.size) == (1, 3)


def test_wanted_features_come_as_float32():
    scores, features = np.eye(3, dtype=np.float32), np.ones((3, 2), np.float16)
    picked = LearningTargets(scores, features)[np.array([2, 0])]
    assert [array.dtype for array in picked] == [np.float32, np.float32]
    np.testing.assert_array_equal(picked[0], scores[[2, 0]])
    assert len(LearningTargets(scores)[np.array([1])]) == 1


# ------------------------------------------------------------------ the loop


class Points:
    """Two clouds in the plane that a line divides, in batches of 8."""

    steps, size = 4, 8

    def __init__(self, wrong: bool = False) -> None:
        rng = np.random.default_rng(1)
        self.labels = rng.integers(0, 2, 32)
        self.points = (rng.normal(0, 0.3, (32, 2)) + self.labels[:, None]).astype(np.float32)
        self.weights = np.ones(32, np.float32)
        self.points[20] *= np.nan if wrong else 1

    def epoch(self, number: int):
        hard = classes.one_hot(self.labels, 2)
        for rows in np.random.default_rng(number).permutation(32).reshape(4, 8):
            yield self.points[rows], (hard[rows],), self.weights[rows]


def line() -> keras.Model:
    fresh(1)
    return keras.Sequential([keras.layers.Dense(2, input_shape=(2,), name="line")])


def train(model, batches, epochs=6, rate=0.1, settings=None, progress=None, **more):
    settings = settings or Training(schedule="constant")
    return loop.train(
        model,
        batches,
        settings,
        loss=classes.cross_entropy,
        steps=epochs * batches.steps,
        learning_rate=rate,
        what="line",
        progress=progress or NoProgress(),
        **more,
    ).rows


def test_it_learns_and_says_how():
    model, points, steps, recorded = line(), Points(), [], []
    history = train(
        model,
        points,
        settings=Training(schedule="cosine", warmup=0.25),
        before_step=steps.append,
        record=lambda number, row: recorded.append((number, row)),
    )
    assert steps == list(range(24))
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert recorded == list(enumerate(history, start=1))
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[0]["learning_rate"] == pytest.approx(0.1 * 4 / 6)
    assert (model(points.points).numpy().argmax(-1) == points.labels).mean() > 0.9


class Heard(NoProgress):
    def __init__(self) -> None:
        self.losses: list[tuple[str, float]] = []
        self.epochs: list[tuple[str, int, int, dict[str, float]]] = []

    def loss(self, what, value):
        self.losses.append((what, value))

    def epoch(self, what, number, total, figures):
        self.epochs.append((what, number, total, dict(figures)))


def test_who_watches_hears_of_every_step_and_epoch():
    heard = Heard()
    rows = train(line(), Points(), progress=heard, validate=lambda: {"val_loss": 0.5})
    assert [(what, number, total) for what, number, total, _ in heard.epochs] == [
        ("line", number, 6) for number in range(1, 7)
    ]
    figures = [{key: row[key] for key in row if key != "epoch"} for row in rows]
    assert [found for *_, found in heard.epochs] == figures
    steps = len(heard.losses) // 6
    means = np.array([value for _, value in heard.losses]).reshape(6, steps).mean(1)
    np.testing.assert_allclose(means, [row["loss"] for row in rows], rtol=1e-6)  # float32 sums


def test_the_same_seed_gives_the_same_bits():
    runs = []
    for _ in range(2):
        model = line()
        train(model, Points())
        runs.append(model.get_weights())
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_images_of_no_weight_teach_nothing():
    model, points = line(), Points()
    points.weights[:] = 0
    before = model.get_weights()
    train(model, points)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_not_trainable_does_not_move():
    model = line()
    model.add(keras.layers.Dense(2, name="fixed"))
    model.get_layer("fixed").trainable = False
    before = model.get_layer("fixed").get_weights()
    train(model, Points())
    for one, other in zip(before, model.get_layer("fixed").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def validated(losses, **more):
    """Train while validation says ``losses``; the history, each epoch's weights, the last."""
    model, seen, said = line(), [], iter(losses)

    def validate():
        seen.append(model.get_weights()[0])
        return {"val_loss": next(said), "val_accuracy": 0.5}

    history = train(model, Points(), epochs=len(losses), validate=validate, **more)
    return history, seen, model.get_weights()[0]


def test_the_weights_of_the_best_epoch_are_put_back():
    history, seen, last = validated([3.0, 1.0, 2.0, 1.0])
    assert len(history) == 4 and history[1]["val_accuracy"] == 0.5
    np.testing.assert_array_equal(last, seen[1])  # of two equal ones the earlier
    assert (last != seen[3]).any()


def test_training_stops_when_nothing_gets_better():
    history, seen, last = validated([3.0, 1.0, 2.0, 2.0, 0.5, 0.4], patience=2)
    assert [row["val_loss"] for row in history] == [3.0, 1.0, 2.0, 2.0]
    np.testing.assert_array_equal(last, seen[1])
    history, _, _ = validated([3.0, 1.0, 2.0, 0.5, 2.0, 0.4], patience=2)
    assert len(history) == 6


def test_a_plateau_of_the_validation_loss_lowers_the_rate():
    settings = Training(schedule="plateau")
    history, _, _ = validated([1.0] * 6, settings=settings)
    found = [row["learning_rate"] for row in history]
    np.testing.assert_allclose(found, [0.1, 0.1, 0.1, 0.05, 0.05, 0.025])


def test_a_loss_that_is_no_number_stops_it():
    with pytest.raises(StageError, match=r"line: the loss is nan in epoch 1") as caught:
        train(line(), Points(wrong=True))
    assert caught.value.hint == "lower the learning rate"


class One(Points):
    """A single step of all images: the first is the last."""

    steps, size = 1, 32

    def epoch(self, number: int):
        yield self.points, (classes.one_hot(self.labels, 2),), self.weights


def test_what_the_last_step_did_is_looked_at():
    assert math.isfinite(train(line(), One(), epochs=1)[0]["loss"])
    with pytest.raises(StageError, match=r"line: the loss is (nan|inf) in epoch 1") as caught:
        train(line(), One(), epochs=1, rate=1e38)
    assert caught.value.hint == "lower the learning rate"


class Clipped(keras.layers.Dense):
    """As in 8 bits: whatever the kernel has become, it computes with numbers."""

    def call(self, inputs):
        return inputs @ tf.clip_by_value(self.kernel, -3.0, 3.0)


def test_a_weight_that_no_loss_shows_is_looked_at():
    fresh(1)
    model = keras.Sequential([Clipped(2, input_shape=(2,), use_bias=False, name="line")])
    with pytest.raises(StageError, match=r"largest weight of line/kernel:0 is inf in epoch 1"):
        train(model, One(), epochs=1, rate=1e39)  # infinite as float32


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_no_number_at_first_stops_it(loss):
    with pytest.raises(StageError, match=f"line: the validation loss is {loss} in epoch 1") as e:
        validated([loss, 1.0])
    assert e.value.hint == "lower the learning rate"


@pytest.mark.parametrize(
    ("losses", "rate", "why"),
    [
        ([1.0, math.nan], 0.1, "the validation loss is nan in epoch 2"),
        ([1.0, math.inf, 0.5], 0.1, "the validation loss is inf in epoch 2"),
        # The loss of training rises, too.
        (
            [1.0, 0.5, 101.0, 0.1],
            -0.1,
            "the validation loss is 101 in epoch 3, from 1 at the start",
        ),
        # It falls: batch norm whose statistics are learnt is behind, and catches up.
        ([1.0, 0.5, 101.0, 0.1], 0.1, None),
    ],
)
def test_a_validation_loss_that_blows_up_leaves_the_best_epoch(losses, rate, why):
    model, seen, said = line(), [], iter(losses)

    def validate():
        seen.append(model.get_weights()[0])
        return {"val_loss": next(said)}

    course = loop.train(
        model,
        Points(),
        Training(schedule="constant"),
        loss=classes.cross_entropy,
        steps=len(losses) * 4,
        learning_rate=rate,
        what="line",
        progress=NoProgress(),
        validate=validate,
    )
    assert (course.stopped or "").startswith(why or "") and bool(course.stopped) == bool(why)
    figures = [loss for loss in losses[: len(seen)] if math.isfinite(loss)]
    assert [row["val_loss"] for row in course.rows] == figures
    best = int(np.argmin(losses[: len(seen) - (why is not None)]))
    np.testing.assert_array_equal(model.get_weights()[0], seen[best])


def test_the_state_before_goes_on_from_a_loss_that_is_no_number():
    model = line()
    before = model.get_weights()
    course = loop.train(
        model,
        One(),
        Training(schedule="constant"),
        loss=classes.cross_entropy,
        steps=3,
        learning_rate=1e38,
        what="line",
        progress=NoProgress(),
        validate=lambda: {"val_loss": 1.0},
        from_start=True,
    )
    assert re.fullmatch(r"the loss is (nan|inf) in epoch 2", course.stopped)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_training_loss_a_hundred_times_the_first_stops_it():
    wanted = r"line: the loss is [\d.e+]+ in epoch \d, from [\d.]+ at the start"
    with pytest.raises(loop.BlownUp, match=wanted) as caught:
        train(line(), Points(), epochs=4, rate=1e4)
    assert len(caught.value.rows) < 4 and caught.value.rows[-1]["loss"] > 100


def test_of_a_tiny_loss_a_hundred_times_is_no_harm():
    history, _, _ = validated([1e-6, 1e-3, 5.0])
    assert len(history) == 3


def test_a_watcher_gives_figures_and_chooses_nothing():
    settings, model = Training(schedule="plateau"), line()
    watched = []

    def watch(done):
        watched.append(done)
        return {"val_loss": float(done)}

    history = train(model, Points(), epochs=5, settings=settings, watch=watch)
    assert watched == [4, 8, 12, 16, 20]
    assert [row["val_loss"] for row in history] == [4.0, 8.0, 12.0, 16.0, 20.0]
    np.testing.assert_allclose([row["learning_rate"] for row in history], 0.1)
    plain = line()
    train(plain, Points(), epochs=5, settings=settings)
    np.testing.assert_array_equal(model.get_weights()[0], plain.get_weights()[0])


# ------------------------------------------------------------------ noise


def noisy(count: int, can: int, share: float = 0.25) -> Noise:
    """The last ``can`` examples can be shown with noise: example n is −n there, 0 is −0.5."""
    places = np.full(count, -1)
    places[count - can :] = np.arange(can)

    def gather(at: np.ndarray) -> np.ndarray:
        return -np.maximum(at + count - can, 0.5).astype(np.float32)[:, None]

    return Noise(gather, places, share, seed=1)


def test_some_examples_are_shown_with_noise_and_teach_the_same():
    plain, batches = memory(400, 40), memory(400, 40, noise=noisy(400, 400))
    found, shown = [], 0
    for (inputs, (scores,), _), (clean, _, _) in zip(batches.epoch(2), plain.epoch(2), strict=True):
        np.testing.assert_array_equal(scores, clean)  # the order and what is taught are the same
        with_noise = inputs[:, 0] < 0
        np.testing.assert_array_equal(inputs[~with_noise], clean[~with_noise])
        examples = np.maximum(clean[with_noise, 0] % 400, 0.5)  # either view of an example
        np.testing.assert_array_equal(-inputs[with_noise, 0], examples)
        found.append(inputs)
        shown += with_noise.sum()
    assert 60 < shown < 140  # a quarter of 400, give or take four standard deviations
    again = [inputs for inputs, _, _ in batches.epoch(2)]
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize(
    ("can", "share", "chance"),
    [(400, 0.25, 0.25), (200, 0.25, 0.5), (40, 0.25, 0.5), (40, 0.9, 0.9), (0, 0.25, 0.0)],
)
def test_of_few_that_can_be_half_are_shown_or_the_share(can: int, share: float, chance: float):
    choice, everything = noisy(400, can, share), np.arange(400)
    shown = np.mean([choice.shown(everything, number) for number in range(100)], axis=0)
    assert (shown[: 400 - can] == 0).all()
    if can:
        # 100 · can draws: four standard deviations
        spread = 4 * (chance * (1 - chance) / (100 * can)) ** 0.5
        assert shown[400 - can :].mean() == pytest.approx(chance, abs=spread)
