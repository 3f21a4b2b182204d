"""Changed pictures, and the tf.data pipelines that hand them out."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from tfedge.config.schema import Augment
from tfedge.data.augment import augment
from tfedge.data.index import Index, Row
from tfedge.data.pictures import Pictures
from tfedge.data.pipeline import Stream, Views, pixels
from tfedge.modeling.env import tf
from tfedge.modeling.training import Wanted

OFF = Augment(flip=False, crop=0.0, rotate=0.0, zoom=0.0, brightness=0.0, contrast=0.0)
SIZE = tiny.SIZE


def only(**settings) -> Augment:
    return OFF.model_copy(update=settings)


def changed(image: np.ndarray, settings: Augment, count: int = 40) -> list[np.ndarray]:
    """An image under ``count`` seeds."""
    run = tf.function(lambda seed: augment(tf.constant(image), seed, settings))
    return [run(tf.constant([seed, 7], tf.int32)).numpy() for seed in range(count)]


def noise(size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (size, size, 3)).astype(np.uint8)


def ramps(size: int = SIZE) -> np.ndarray:
    """The place of each pixel, at half a step: column in red, row in green."""
    places = 100 + 2 * np.arange(size)
    red, green = np.meshgrid(places, places)
    return np.stack([red, green, np.full_like(red, 100)], -1).astype(np.uint8)


@pytest.mark.parametrize("size", [32, 33])
def test_settings_of_nothing_give_the_picture_back(size):
    for found in changed(noise(size), OFF, 10):
        np.testing.assert_array_equal(found, noise(size))


@pytest.mark.parametrize("size", [32, 33])
def test_a_flip_mirrors_half_of_the_views(size):
    image = noise(size)
    mirrored = 0
    for found in changed(image, only(flip=True)):
        flipped = (found == image[:, ::-1]).all()
        assert flipped or (found == image).all()
        mirrored += flipped
    assert 10 <= mirrored <= 30


@pytest.mark.parametrize("size", [32, 45])
def test_a_changed_picture_is_a_picture(size):
    found = changed(noise(size), Augment(rotate=180, zoom=0.9, brightness=0.3, contrast=0.9))
    assert all(image.dtype == np.uint8 and image.shape == (size, size, 3) for image in found)
    assert len({image.tobytes() for image in found}) == len(found)


def test_the_same_seed_gives_the_same_picture():
    first, second = (changed(noise(), Augment(), 5) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_brightness_shifts_and_contrast_stretches():
    image = (noise() // 4 + 96).astype(np.uint8)  # far from black and white
    shifts = [found.astype(int) - image for found in changed(image, only(brightness=0.1))]
    assert all(np.ptp(shift) <= 1 for shift in shifts)
    means = [shift.mean() for shift in shifts]
    assert min(means) < -10 and max(means) > 10 and np.abs(means).max() <= 25.5
    gains = []
    for found in changed(image, only(contrast=0.3)):
        np.testing.assert_allclose(found.mean((0, 1)), image.mean((0, 1)), atol=0.5)
        gains.append(found.std() / image.std())
    assert 0.69 < min(gains) < 0.85 and 1.15 < max(gains) < 1.31


def window(found: np.ndarray) -> tuple[float, float, float]:
    """How wide a part of ``ramps`` is seen, and where its middle is off, in pixels: (x, y)."""
    x, y = (found[..., channel].astype(float) / 2 - 50 for channel in (0, 1))
    middle = (SIZE - 1) / 2
    return float(np.ptp(x)) + 1, float(x.mean()) - middle, float(y.mean()) - middle


def test_a_crop_shows_a_part_from_anywhere_inside():
    seen = np.array([window(found) for found in changed(ramps(), only(crop=0.5), 200)])
    width, x, y = seen.T
    assert width.min() >= SIZE / 2 - 1 and width.max() <= SIZE
    room = (SIZE - width) / 2  # what is cut away on one side, were the part in the middle
    assert (np.abs(x) <= room + 0.5).all() and (np.abs(y) <= room + 0.5).all()
    assert np.ptp(x) > 8 and np.ptp(y) > 8
    # Not only along the diagonals: how far across says nothing of how far down.
    across, down = np.abs(x) / room.clip(1), np.abs(y) / room.clip(1)
    assert abs(np.corrcoef(across, down)[0, 1]) < 0.3


def test_zoom_goes_both_ways_about_the_middle():
    image = ramps()
    spread = []
    for found in changed(image, only(zoom=0.3)):
        _, x, y = window(found)
        assert abs(x) < 0.5 and abs(y) < 0.5
        inner = found[12:20, 12:20, 0].astype(float)
        spread.append(np.diff(inner, axis=1).mean() / 2)
    assert 0.69 < min(spread) < 0.85 and 1.15 < max(spread) < 1.31


@pytest.mark.parametrize("flip", [False, True])
def test_a_rotation_turns_about_the_middle_as_far_as_allowed(flip):
    angles, mirrored = [], 0
    for found in changed(ramps(), only(rotate=20.0, flip=flip)):
        inner = found[12:20, 12:20].astype(float)
        np.testing.assert_allclose(inner.mean((0, 1))[:2], 2 * 15.5 + 100, atol=1)
        # How column (red) and row (green) of what is seen change to the right and downwards.
        red, green = (
            np.array([np.diff(inner[..., channel], axis=axis).mean() for axis in (1, 0)]) / 2
            for channel in (0, 1)
        )
        np.testing.assert_allclose([red @ red, green @ green, red @ green], [1, 1, 0], atol=0.15)
        mirrored += np.linalg.det([red, green]) < 0
        angles.append(np.degrees(np.arctan2(-green[0], green[1])))
    assert -21 < min(angles) < -10 and 10 < max(angles) < 21
    assert 10 <= mirrored <= 30 if flip else mirrored == 0


# ------------------------------------------------------------------ pipelines


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Pictures:
    folder = tmp_path_factory.mktemp("samples")
    root = tiny.pictures(folder / "pictures")
    rows = []
    for path in sorted(root.rglob("*.png")):
        split, name, _ = path.relative_to(root).parts
        label = tiny.CLASSES.index(name)
        rows.append(Row(path.relative_to(root).as_posix(), label, split, tiny.sha256(path)))
    index = Index(tiny.CLASSES, tuple(rows), "folders")
    return Pictures(index, root, folder / "cache", SIZE, "crop")


def test_items_come_in_their_order_and_view_0_is_the_picture(samples):
    items = [(3, 0), (0, 0), (3, 0), (5, 1), (1, 0)]
    found = list(pixels(samples, items, Augment(), seed=1).as_numpy_iterator())
    for (row, view), image in zip(items, found, strict=True):
        assert (image == samples.pixel(row)).all() == (view == 0)
    for image, again in zip(found, Views(samples, items, Augment(), 1), strict=True):
        np.testing.assert_array_equal(image, again)


def test_a_view_follows_from_its_picture_number_and_seed_alone(samples):
    items = [(row, view) for view in (1, 2) for row in range(6)]
    together = dict(zip(items, Views(samples, items, Augment(), 1), strict=True))
    few = [(4, 2), (0, 1)]
    for item, image in zip(few, Views(samples, few, Augment(), 1), strict=True):
        np.testing.assert_array_equal(image, together[item])
    assert len({image.tobytes() for image in together.values()}) == len(items)
    (other,) = Views(samples, [(4, 2)], Augment(), 2)
    assert (other != together[4, 2]).any()


def stream(samples, settings, seed=1, rows=range(10)) -> Stream:
    rows = list(rows)
    scores = np.arange(len(rows), dtype=np.float32)[:, None]
    return Stream(samples, rows, settings, Wanted(scores), scores[:, 0] + 0.5, 4, seed)


def test_a_stream_gives_every_picture_each_epoch_as_pixels(samples):
    batches = stream(samples, None, rows=range(20, 30))
    assert (batches.steps, batches.size) == (3, 4)
    seen = []
    for images, (scores,), weights in batches.epoch(1):
        assert images.dtype == tf.float32 and images.shape == (4, SIZE, SIZE, 3)
        for image, number, weight in zip(images.numpy(), scores[:, 0], weights, strict=True):
            np.testing.assert_array_equal(image, samples.pixel(20 + int(number)))
            assert weight == number + 0.5
            seen.append(int(number))
    assert sorted(seen[:10]) == list(range(10)) and seen[10:] == seen[:2]


def test_a_stream_changes_pictures_anew_each_epoch(samples):
    def images(batches, epoch):
        found = {}
        for images, (scores,), _ in batches.epoch(epoch):
            found |= zip(scores[:, 0].astype(int), images.numpy(), strict=True)
        return found

    first = images(stream(samples, Augment()), 1)
    again = images(stream(samples, Augment()), 1)
    second = images(stream(samples, Augment()), 2)
    for row in range(10):
        np.testing.assert_array_equal(first[row], again[row])
        assert (first[row] != second[row]).any()
        assert (first[row] != samples.pixel(row)).any()
