"""What a frozen part says is computed once for each image, and is what the whole net says."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from tfedge.core.outputs import Pretrained
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.schema import Augment
from tfedge.modeling.nets import backbone, network
from tfedge.modeling.nets.env import fresh, keras
from tfedge.modeling.nets.export import float_pixels
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import HEAD, POOL, Spec
from tfedge.modeling.training import augment, classes, features
from tfedge.modeling.training.features import NOISY
from tfedge.modeling.training.images import ImageSource
from tfedge.modeling.training.loop import LearningTargets, Memory
from tfedge.modeling.training.part import Samples, TopPart, predictor
from tfedge.pipeline.schema import Finetune, Prune
from tfedge.stages.heads import head_class, material_of

SPEC = Spec("MobileNet", 0.25, tiny.SIZE, (120.0, 90.0, 60.0), (50.0, 60.0, 70.0), 3)
BASE = ImageBase(
    name=SPEC.name,
    alpha=SPEC.alpha,
    image_size=SPEC.size,
    mean=SPEC.mean,
    std=SPEC.std,
    weights=Pretrained(source="none", detail="", sha256="", licence=""),
)
LAYER = "conv_pw_11_relu"
DATA = {"image_size": tiny.SIZE, "augment": {"views": 1}}


def begun(folder: Path, cache: Path | None = None, seed: int = 1, **data) -> Samples:
    """The images of a run whose data stage is done."""
    root = tiny.images(folder / "pictures")
    sections = {"name": "t", "seed": seed, "data": {**DATA, "path": str(root), **data}}
    run = tiny.Run(folder / "run", cache or folder / "cache", sections)("data")
    context = run.context("finetune")
    return head_class(context)(material_of(context), BASE).samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    return begun(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def model():
    fresh(1)
    model = network.build(SPEC)
    pixels = np.stack([tiny.image(n % 3, n) for n in range(24)]).astype(np.float32)
    tiny.lively(model, pixels)
    return model


def said(model, layer: str, samples: Samples, items) -> np.ndarray:
    """What a layer of the whole net says in Keras."""
    pixels = np.stack(list(samples.source.inputs(items))).astype(np.float32)
    whole = keras.Model(model.input, network.output_of(model, layer))
    return whole(pixels, training=False).numpy()


def mean_part(calls: list[str]):
    """A part that gives the mean colour; ``calls`` counts how often it is converted."""
    inputs = keras.Input((tiny.SIZE, tiny.SIZE, 3))
    part = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))

    def convert() -> bytes:
        calls.append("convert")
        return float_pixels(part, tiny.SIZE)

    return convert


def compute(samples: Samples, items, calls: list[str], name: str = "a" * 64) -> np.ndarray:
    found = features.compute(
        samples.source, items, name=name, shapes=[(3,)], convert=mean_part(calls), what="mean"
    )
    return found(np.arange(len(found)))


class Counted:
    """Stands between a stage's images and the net: whose pixels were asked for."""

    def __init__(self, monkeypatch, samples: Samples) -> None:
        self.items: list[tuple[int, int]] = []
        whole = ImageSource.inputs

        def pixels(source, items):
            self.items += items
            return whole(source, items)

        monkeypatch.setattr(ImageSource, "inputs", pixels)


# ------------------------------------------------------------------ in two parts


@pytest.mark.parametrize("layer", [LAYER, ""])
def test_the_features_of_a_net_in_two_parts_are_those_of_the_whole(samples, model, layer):
    items = [*samples.items[:3], *samples.items[-3:], *samples.val_items()[:2]]
    top = TopPart(samples, model, layer)
    found = top.features(items, POOL, "features")
    wanted = said(model, POOL, samples, items)
    assert wanted.std(0).mean() > 0.01  # different images, different features
    np.testing.assert_allclose(found(np.arange(len(items))), wanted, atol=1e-4)
    np.testing.assert_array_equal(found(np.array([4, 1])), found(np.arange(len(items)))[[4, 1]])
    logits = said(model, HEAD, samples, items)
    said_above = predictor(top.model, top.inputs(items, "activations"), len(items))()
    np.testing.assert_allclose(said_above, logits, atol=1e-4)


def test_the_part_above_trains_on_what_the_part_below_says(samples, model):
    top = TopPart(samples, model, LAYER)
    wanted = LearningTargets(np.arange(len(samples.items), dtype=np.float32)[:, None])
    settings = Finetune(batch_size=8)
    batches = samples.batches(settings, wanted, top.activations(samples.items, "activations"))
    assert isinstance(batches, Memory) and (batches.steps, batches.size) == (4, 8)
    inputs, (numbers,), weights = next(iter(batches.epoch(1)))
    below = said(model, LAYER, samples, [samples.items[int(n)] for n in numbers[:, 0]])
    np.testing.assert_allclose(inputs, below, atol=1e-4)
    assert (weights == 1).all()


def test_an_image_with_noise_is_the_one_that_evaluate_would_show(samples):
    rows = samples.train_rows[:3]
    found = np.stack(list(samples.source.inputs([(row, NOISY) for row in rows])))
    clean, keys = samples.examples.inputs(rows), samples.examples.keys(rows)
    for image, plain, key in zip(found, clean, keys, strict=True):
        np.testing.assert_array_equal(image, CORRUPTIONS["noise"](plain, int(key[:15], 16)))
        assert 0.04 < (image / 255 - plain / 255).std() < 0.09  # 0.08, less what 0 and 255 cut off
    (row, *_) = rows
    assert len({samples.source.key((row, view)) for view in (0, 1, NOISY)}) == 3


def shown_with_noise(samples: Samples, inputs: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """bool [n]: which inputs are images with noise; the others are as they are."""
    rows = [samples.train_rows[int(n)] for n in numbers]
    views = {view: samples.source.inputs([(row, view) for row in rows]) for view in (0, NOISY)}
    alike = {
        view: (np.stack(list(images)) == inputs).all(axis=(1, 2, 3))
        for view, images in views.items()
    }
    assert (alike[0] ^ alike[NOISY]).all()
    return alike[NOISY]


def test_a_part_is_shown_some_images_with_noise(tmp_path):
    samples = begun(tmp_path, augment=None)
    wanted = LearningTargets(np.arange(len(samples.items), dtype=np.float32)[:, None])
    settings = Prune(batch_size=8, noise=0.5)
    noise = samples.noise(settings, samples.inputs_of)
    for gather in (samples.inputs_of(samples.items), None):  # None: straight from the pixels
        batches = samples.batches(settings, wanted, gather, noise)
        shown = np.concatenate(
            [
                shown_with_noise(samples, np.asarray(inputs), numbers[:, 0])
                for number in (1, 2)
                for inputs, (numbers,), _ in batches.epoch(number)
            ]
        )
        assert 0.2 < shown.mean() < 0.8  # half of 64: five standard deviations
    assert samples.noise(Prune(noise=0), samples.inputs_of) is None


# ------------------------------------------------------------------ once


def test_nothing_is_computed_twice(samples, monkeypatch):
    calls: list[str] = []
    counted = Counted(monkeypatch, samples)
    items = samples.items
    first = compute(samples, items, calls)
    assert calls == ["convert"] and counted.items == items
    pixels = np.stack(list(samples.source.inputs(items))).astype(np.float32)
    np.testing.assert_allclose(first, pixels.mean((1, 2)), rtol=1e-5)
    counted.items.clear()
    np.testing.assert_array_equal(compute(samples, items[::-1], calls), first[::-1])
    assert calls == ["convert"] and counted.items == []
    compute(samples, items, calls, name="b" * 64)  # another part
    assert calls == ["convert"] * 2 and counted.items == items


def test_runs_on_one_set_share_the_work(samples, monkeypatch):
    """Each with a store of its own, as another process has it."""
    monkeypatch.setattr(features, "_CHUNK", 4)
    monkeypatch.setattr(features, "shared", features.RecordStore)
    pixels, computed, begun = ImageSource.inputs, Counter(), threading.Barrier(2)

    def slowly(source, items):
        if not computed[threading.get_ident()]:
            begun.wait(60)  # each is at a chunk of its own
        computed[threading.get_ident()] += len(items)
        time.sleep(0.02)
        return pixels(source, items)

    monkeypatch.setattr(ImageSource, "inputs", slowly)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(compute, samples, samples.items, [], "e" * 64) for _ in range(2)]
        one, other = (job.result(120) for job in jobs)
    np.testing.assert_array_equal(one, other)
    assert sum(computed.values()) == len(samples.items), "nothing twice"
    assert min(computed.values()) >= 4 and len(computed) == 2, "nobody waits for all of it"
    folder = samples.source.cache / "store" / f"features-{'e' * 32}"
    assert not [*folder.glob("part-*")]


def test_damaged_records_are_computed_again_beside_new_ones(samples, monkeypatch):
    compute(samples, samples.items[:6], [], name="f" * 64)
    data = samples.source.cache / "store" / f"features-{'f' * 32}" / "data.bin"
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(content)
    monkeypatch.setattr(features, "shared", features.RecordStore)
    counted = Counted(monkeypatch, samples)
    found = compute(samples, samples.items[:8], [], name="f" * 64)
    assert counted.items == [*samples.items[6:8], samples.items[0]]
    wanted = [image.mean((0, 1)) for image in samples.source.inputs(samples.items[:8])]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_new_image_is_the_only_one_computed(tmp_path, monkeypatch):
    calls: list[str] = []
    before = begun(tmp_path / "1", tmp_path / "cache")
    first = compute(before, before.items, calls)
    root = tiny.images(tmp_path / "2" / "pictures")
    Image.fromarray(tiny.image(1, 77)).save(root / "train" / "green" / "00b.png")
    after = begun(tmp_path / "2", tmp_path / "cache")
    counted = Counted(monkeypatch, after)
    second = compute(after, after.items, calls)
    assert len(after.items) == len(before.items) + 2
    (row,) = [n for n, r in enumerate(after.examples.index.rows) if r.path == "train/green/00b.png"]
    assert counted.items == [(row, 0), (row, 1)] and len(calls) == 2
    known = [after.source.key(item) for item in after.items]
    order = [known.index(before.source.key(item)) for item in before.items]
    np.testing.assert_array_equal(second[order], first)


def test_a_view_is_computed_anew_when_the_changes_are_others(samples, tmp_path):
    row = samples.train_rows[0]
    keys = {samples.source.key((row, view)) for view in (0, 1, 2)}
    assert len(keys) == 3
    others = [
        begun(tmp_path / "1", seed=2),
        begun(tmp_path / "2", augment={"views": 1, "crop": 0.3}),
        begun(tmp_path / "3", fit="stretch"),
    ]
    same = begun(tmp_path / "4")
    assert same.source.key((row, 1)) == samples.source.key((row, 1))
    for other in others:
        assert other.source.key((row, 1)) != samples.source.key((row, 1))
    fits = [other.source.key((row, 0)) == samples.source.key((row, 0)) for other in others]
    assert fits == [True, True, False]  # the image itself is not changed by augmentation


def test_a_view_is_computed_anew_when_other_code_makes_it(samples, monkeypatch):
    row, calls = samples.train_rows[0], []
    compute(samples, [(row, 0), (row, 1)], calls, name="c" * 64)
    before = [samples.source.key((row, view)) for view in (0, 1)]
    counted = Counted(monkeypatch, samples)
    monkeypatch.setattr(augment, "VERSION", augment.VERSION + 1)
    after = [samples.source.key((row, view)) for view in (0, 1)]
    assert after[0] == before[0] and after[1] not in before
    compute(samples, [(row, 0), (row, 1)], calls, name="c" * 64)
    assert counted.items == [(row, 1)] and len(calls) == 2  # the image itself is as it was


def test_a_part_is_known_by_what_it_computes(model):
    def lower(layer="conv_pw_2_relu"):
        return network.cut(model, layer)[0]

    def part():
        start, end = (network.output_of(model, name) for name in (LAYER, POOL))
        return keras.Model(start, end)

    digest = features.digest
    assert digest(lower()) == digest(lower()) != digest(lower("conv_pw_1_bn"))
    assert digest(lower()) != digest(lower(), "int8")
    assert digest(part()) == digest(part())  # Keras counts the names of inputs up
    again = digest(lower()), digest(part())
    try:
        network.inference_norm(model)  # changes how it trains, not what it says
        assert (digest(lower()), digest(part())) == again
    finally:
        for layer in model.layers:
            layer.trainable = True
    kernel = model.get_layer("conv1").kernel
    before = kernel.numpy()
    kernel.assign(before + np.eye(3, dtype=np.float32)[:, :, None, None] * 1e-6)
    assert digest(lower()) != again[0]
    kernel.assign(before)
    other = network.build(replace(SPEC, mean=(1.0, 2.0, 3.0)))
    backbone.assign(other, backbone.weights_of(model))
    assert digest(network.cut(other, "conv_pw_2_relu")[0]) != again[0]


# ------------------------------------------------------------------ the images


def test_validation_images_are_never_changed(samples):
    items = samples.val_items()
    assert len(items) == 3 * tiny.VAL
    for (row, _), found in zip(items, samples.source.inputs(items), strict=True):
        assert samples.examples.index.rows[row].split == "val"
        image = Image.open(samples.source.images.root / samples.examples.index.rows[row].path)
        np.testing.assert_array_equal(found, np.asarray(image))


def test_items_are_the_training_images_and_their_views(samples):
    count = sum(tiny.TRAIN)
    assert len(samples.items) == len(samples.item_rows) == 2 * count
    for number, (row, view) in enumerate(samples.items):
        assert view == number // count and row == samples.train_rows[number % count]
        assert samples.examples.index.rows[row].split == "train"
        assert samples.item_rows[number] == row
    chosen = samples.choose(np.random.default_rng(1))
    np.testing.assert_array_equal(chosen % count, np.arange(count))
    assert set(chosen // count) == {0, 1}


def test_without_augmentation_there_are_no_views(tmp_path):
    samples = begun(tmp_path, augment=None)
    assert samples.items == [(row, 0) for row in samples.train_rows]
    chosen = samples.choose(np.random.default_rng(1))
    np.testing.assert_array_equal(chosen, np.arange(sum(tiny.TRAIN)))


def test_images_for_calibration_are_training_images_evenly_over_the_classes(samples):
    rows = samples.representative(9, seed=1)
    assert len(set(rows)) == 9 and set(rows) <= set(samples.train_rows)
    assert sorted(samples.examples.index.labels_of(rows)) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert rows == samples.representative(9, seed=1) != samples.representative(9, seed=2)
    assert sorted(samples.representative(999, seed=1)) == samples.train_rows


def test_the_key_of_an_image_is_stable(samples):
    """Whoever changes it throws every user's features away: it should be on purpose."""
    row = samples.train_rows[0]
    sha = samples.examples.index.rows[row].sha256
    wanted = hashlib.sha256(json.dumps([sha, tiny.SIZE, "crop", 0]).encode()).hexdigest()
    assert samples.source.key((row, 0)) == wanted
    assert samples.source.augment == Augment(views=1)


# ------------------------------------------------------------------ small things


def test_the_score_of_logits():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]])) + 500
    found = classes.score(logits, [0, 0, 1])
    assert found.primary == pytest.approx(2 / 3)
    assert found.loss == pytest.approx(-np.log([0.7, 0.1, 0.4]).mean())


def test_a_predictor_answers_for_all_positions_as_the_model_is_now():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(keras.layers.Dense(2)(inputs)))
    rows = np.random.default_rng(1).normal(size=(150, 3)).astype(np.float32)
    for count in (1, 64, 65, 150):
        answer = predictor(model, lambda at: rows[at], count)
        for _ in range(2):
            np.testing.assert_allclose(answer(), model(rows[:count]), rtol=1e-5)
            model.set_weights([2 * values for values in model.get_weights()])


def test_a_net_with_nothing_frozen_is_fed_with_pixels(samples, model):
    whole = TopPart(samples, model, "")
    assert whole.lower is None and whole.model is model
    items = samples.val_items()
    pixels = whole.inputs(items, "pixels")(np.array([3, 1]))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[1], samples.source.images.pixel(items[1][0]))
    part = TopPart(samples, model, LAYER)
    below = part.inputs(items, "activations")(np.array([3, 1]))
    wanted = said(model, LAYER, samples, [items[3], items[1]])
    np.testing.assert_allclose(below, wanted, atol=1e-4)
