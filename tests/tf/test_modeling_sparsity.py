"""How many zeros a layer gets, and that it gets them, whatever the number of steps."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from tfedge.errors import InvariantBroken, StageError
from tfedge.files.progress import NoProgress
from tfedge.modeling.compression import sparsity
from tfedge.modeling.compression.allocation import (
    allocate,
    by_score,
    by_sensitivity,
    lamp_scores,
    magnitudes,
    uniform,
)
from tfedge.modeling.compression.damage import scan
from tfedge.modeling.compression.sparsity import Pruner
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.training import classes, loop
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.unfreeze import MAX_SHARE

lamp = partial(by_score, score=lamp_scores)


def random_kernels(seed: int = 1, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = dict(zip(shapes, (1.0, 0.1, 5.0), strict=False))
    return {n: (rng.normal(size=s) * scale[n]).astype(np.float32) for n, s in shapes.items()}


def kernels() -> dict[str, np.ndarray]:
    return random_kernels(a=(3, 3, 4, 8), b=(40, 10), c=(7, 7))


def test_lamp_scores_of_four_weights():
    # squares 0 1 4 9; those that are not smaller sum up to 14 14 13 9
    scores = lamp_scores(np.array([[1, -2], [3, 0]], np.float32))
    np.testing.assert_allclose(scores, [1 / 14, 4 / 13, 1, 0])


def test_lamp_scores_are_those_of_the_definition():
    kernel = random_kernels(a=(5, 6))["a"]
    squares = kernel.ravel().astype(np.float64) ** 2
    by_definition = [u / squares[squares >= u].sum() for u in squares]
    np.testing.assert_allclose(lamp_scores(kernel), by_definition)
    assert lamp_scores(kernel).max() == 1  # the largest weight of any layer goes last


def test_a_kernel_of_zeros_has_no_score():
    assert (lamp_scores(np.zeros((2, 2), np.float32)) == 0).all()


@pytest.mark.parametrize("zeros", [0, 1, 100, 369, 600])
def test_lamp_takes_the_lowest_scores_of_all_layers(zeros):
    given = kernels()
    counts = lamp(given, zeros, most=1.0)
    assert sum(counts.values()) == zeros and list(counts) == list(given)
    pooled = [(score, name) for name, kernel in given.items() for score in lamp_scores(kernel)]
    lowest = [name for _, name in sorted(pooled)[:zeros]]
    assert counts == {name: lowest.count(name) for name in given}


@pytest.mark.parametrize("zeros", [200, 500, 600, 650])
def test_no_layer_carries_more_than_its_cap(zeros):
    given = kernels()
    free, capped = lamp(given, zeros, most=1.0), lamp(given, zeros, most=0.9)
    room = {name: math.floor(0.9 * kernel.size) for name, kernel in given.items()}
    assert sum(capped.values()) == zeros
    assert all(capped[name] <= room[name] for name in given)
    for name in given:  # what one can't carry goes to the others
        assert capped[name] == room[name] if free[name] > room[name] else capped[name] >= free[name]


def test_the_cap_is_felt():
    given = random_kernels(a=(20, 20), b=(20, 20)) | {"thin": np.full((10, 10), 1e-6, np.float32)}
    given["thin"][0, 0] = 1.0  # all but one of its weights are worth nothing
    assert lamp(given, 300, most=1.0)["thin"] == 99
    counts = lamp(given, 300, most=0.9)
    assert counts["thin"] == 90 and sum(counts.values()) == 300


def test_zeros_that_are_there_already_are_enough():
    given = random_kernels(a=(10, 10), b=(10, 10))
    given["a"][:] = 0  # a dead layer, above its cap
    assert lamp(given, 50, most=0.9) == {"a": 90, "b": 0}


def test_uniform_gives_each_layer_the_same_share():
    given = kernels()
    total = sum(kernel.size for kernel in given.values())
    for zeros in (1, 300, 600):
        counts = uniform(given, zeros)
        assert zeros <= sum(counts.values()) < zeros + len(given)
        for name, kernel in given.items():
            assert 0 <= counts[name] - kernel.size * zeros / total < 1


def test_the_rule_is_the_one_that_was_asked_for():
    given = kernels()
    assert allocate(Prune(), given, 300, MAX_SHARE) == lamp(given, 300, MAX_SHARE)
    chosen = Prune(allocation="uniform")
    assert allocate(chosen, given, 300, MAX_SHARE) == uniform(given, 300) != lamp(given, 300, 1.0)


def test_global_takes_the_smallest_of_all_layers():
    given = kernels()
    counts = allocate(Prune(allocation="global"), given, 300, 1.0)
    pooled = np.concatenate([magnitudes(kernel) for kernel in given.values()])
    threshold = np.sort(pooled)[299]
    assert counts == {n: int((abs(k) <= threshold).sum()) for n, k in given.items()}
    assert counts["b"] / 400 > 0.6 > counts["a"] / 288, "its weights are a tenth as large"


def test_sensitivity_takes_where_it_does_the_least_damage():
    given = random_kernels(a=(10, 10), b=(10, 10), c=(10, 10))
    slopes = {"a": 1.0, "b": 5.0, "c": 0.0}
    damage = {name: lambda share, by=by: by * share for name, by in slopes.items()}
    counts = by_sensitivity(given, 130, 0.9, lambda name, share: damage[name](share))
    assert counts == {"a": 40, "b": 0, "c": 90}
    # a grows slowly at first and then steeply: b is the cheaper one from there on
    damage["a"] = lambda share: share if share <= 0.4 else 20 * share
    counts = by_sensitivity(given, 160, 0.9, lambda name, share: damage[name](share))
    assert counts == {"a": 40, "b": 30, "c": 90}


def test_sensitivity_takes_no_piece_before_the_one_below_it():
    """Damage that grows the most at first: its hull is a line, as if it grew evenly."""
    given = random_kernels(a=(10, 10), b=(10, 10))

    def damage(name, share):
        return (0.9 if share else 0.0) if name == "a" else 2.0 * share

    counts = by_sensitivity(given, 100, 0.9, damage)
    assert counts == {"a": 90, "b": 10}


def test_the_scan_finds_the_layer_that_says_nothing():
    fresh(1)
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(6, 1, name="loud")(inputs)
    y = keras.layers.Conv2D(6, 1, name="silent")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Add()([x, y]))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    silent = model.get_layer("silent").kernel
    silent.assign(silent * 0.01)
    before = [w.numpy() for w in model.weights]
    damage = scan(model, "pool", np.random.default_rng(1).random((8, 4, 4, 3), np.float32), Prune())
    assert damage("silent", 0.9) < 0.001 < damage("loud", 0.4) < damage("loud", 0.9)
    assert damage("loud", 0.0) == 0
    for was, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(was, weight.numpy())


@pytest.mark.parametrize("allocation", ["lamp", "uniform", "global"])
def test_more_zeros_than_there_is_room_for_are_refused(allocation):
    given = kernels()
    room = sum(math.floor(0.9 * kernel.size) for kernel in given.values())
    prune = Prune(sparsity=0.95, allocation=allocation)
    assert sum(allocate(prune, given, room, 0.9).values()) >= room
    with pytest.raises(StageError, match=rf"0\.95 needs {room + 1} zeros, .* carry {room} \(90%"):
        allocate(prune, given, room + 1, 0.9)


# ------------------------------------------------------------------ pruning


@pytest.mark.parametrize("kind", ["polynomial", "constant"])
def test_every_schedule_reaches_its_target_early_enough_to_recover(kind):
    for steps in (*range(1, 50), 100, 999):
        schedule = Pruner._schedule(Prune(pruning_schedule=kind), 0.7, steps)
        updates, shares = (part.numpy() for part in schedule(tf.range(1, steps + 1)))
        reached = 1 + np.flatnonzero(updates & (np.abs(shares - 0.7) < 1e-6))
        assert len(reached) and reached[0] <= max(1, steps * sparsity.RAMP)
        assert kind == "constant" or updates.sum() < 2 * sparsity.UPDATES  # each sorts all weights


def net() -> keras.Model:
    fresh(1)
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="frozen")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depth")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(16, 1, name="point")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


COUNTS = {"depth": 31, "point": 77, "head": 0}


class Noise:
    """Batches of four noisy images."""

    size = 4

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def epoch(self, number: int):
        rng = np.random.default_rng(number)
        for _ in range(self.steps):
            labels = classes.one_hot(rng.integers(0, 3, 4), 3)
            images = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
            yield images, (labels,), np.ones(4, np.float32)


def zeros_of(model: keras.Model) -> dict[str, int]:
    layers = {"depth": "depthwise_kernel", "point": "kernel", "head": "kernel", "frozen": "kernel"}
    found = {n: getattr(model.get_layer(n), w).numpy() for n, w in layers.items()}
    return {name: int(np.count_nonzero(kernel == 0)) for name, kernel in found.items()}


@pytest.mark.parametrize("kind", ["polynomial", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 44])
def test_the_target_is_reached_in_any_number_of_steps(kind, steps):
    model = net()
    prune = Prune(pruning_schedule=kind)
    fixed = model.get_layer("frozen")
    fixed.trainable = False
    before = fixed.get_weights()
    pruner = Pruner(model, COUNTS, prune, steps)
    loop.train(
        pruner.model,
        Noise(steps),
        prune,
        loss=classes.cross_entropy,
        steps=steps,
        learning_rate=0.01,
        what="prune",
        progress=NoProgress(),
        before_step=pruner.before_step,
    )
    assert pruner.finish() == {"depth": 31, "point": 77}
    # The zeros are in the layers of the model that was given.
    assert zeros_of(model) == {"depth": 31, "point": 77, "head": 0, "frozen": 0}
    for one, other in zip(before, fixed.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not any(isinstance(layer, keras.layers.Wrapper) for layer in model.layers)


def test_the_smallest_weights_go():
    model = net()
    kernel = model.get_layer("point").kernel
    size = np.abs(kernel.numpy())
    pruner = Pruner(model, {"point": 77}, Prune(pruning_schedule="constant"), 1)
    pruner.before_step(0)
    pruner.model(np.ones((1, 8, 8, 3), np.float32), training=True)
    pruner.finish()
    np.testing.assert_array_equal(kernel.numpy() == 0, size < np.sort(size.ravel())[77])


def test_a_layer_that_does_not_reach_its_target_stops_the_run():
    pruner = Pruner(net(), {"point": 77}, Prune(pruning_schedule="constant"), 1)
    with pytest.raises(InvariantBroken, match=r"zeros in point: expected 77, got 0"):
        pruner.finish()  # no step was made, so no mask


def once(model: keras.Model, counts: dict[str, int]) -> Pruner:
    """A pruner whose masks have been made."""
    pruner = Pruner(model, counts, Prune(pruning_schedule="constant"), 1)
    pruner.before_step(0)
    pruner.model(np.ones((1, 8, 8, 3), np.float32), training=True)
    return pruner


@pytest.mark.parametrize("smaller", [0, 30, 100])
def test_of_weights_of_the_same_size_as_many_go_as_of_others(smaller):
    found = []
    for _ in range(2):
        model = net()
        kernel = model.get_layer("point").kernel
        values = np.full(kernel.shape, 0.5, np.float32)
        values.flat[::2] = -0.5
        values.flat[:smaller] *= 0.1
        kernel.assign(values)
        assert once(model, {"point": 77}).finish() == {"point": 77}
        gone = kernel.numpy() == 0
        # Those that are smaller than the others go first.
        assert gone.ravel()[:smaller].sum() == min(smaller, 77)
        np.testing.assert_array_equal(kernel.numpy()[~gone], values[~gone])
        found.append(gone)
    np.testing.assert_array_equal(*found)


def test_more_zeros_than_asked_for_do_not_grow_back():
    model = net()
    kernel = model.get_layer("point").kernel
    kernel.assign(np.where(np.arange(128).reshape(kernel.shape) < 100, 0, kernel.numpy()))
    pruner = once(model, {"point": 77})
    kernel.assign_add(tf.fill(kernel.shape, 0.1))  # a step of training
    assert pruner.finish() == {"point": 77}


def test_only_layers_with_zeros_to_come_are_wrapped():
    wrapped = Pruner(net(), COUNTS, Prune(), 4).model
    masks = [la for la in wrapped.layers if hasattr(la, "pruning_vars")]
    assert [layer.layer.name for layer in masks] == ["depth", "point"]
