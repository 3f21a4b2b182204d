"""Changed images, and the tf.data pipelines that hand them out."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from tfedge.data.index import Index, Row
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import Augment
from tfedge.modeling.nets.env import tf
from tfedge.modeling.training.augment import augment
from tfedge.modeling.training.loop import LearningTargets
from tfedge.modeling.training.stream import Stream, Views, pixels

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
def test_settings_of_nothing_give_the_image_back(size):
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
def test_a_changed_image_is_an_image(size):
    found = changed(noise(size), Augment(rotate=180, zoom=0.9, brightness=0.3, contrast=0.9))
    assert all(image.dtype == np.uint8 and image.shape == (size, size, 3) for image in found)
    assert len({image.tobytes() for image in found}) == len(found)


def test_the_same_seed_gives_the_same_image():
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


# ------------------------------------------------------------------ as a camera harms its images


def before_corruptions(image, seed, settings: Augment):
    """What ``augment`` did before it knew noise, blur and JPEG."""
    size = tf.cast(tf.shape(image)[0], tf.float32)
    flip, zoom, angle, crop, left, top, bright, contrast = tf.unstack(
        tf.random.stateless_uniform([8], seed, -1.0, 1.0)
    )
    angle *= settings.rotate * np.pi / 180
    cut = settings.crop * tf.abs(crop)
    scale = (1 - cut) * (1 + settings.zoom * zoom)
    room = cut * size / 2
    mirror = tf.where(flip > 0, -1.0, 1.0) if settings.flip else 1.0
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    center = (size - 1) / 2
    a, b, c, d = mirror * cos, -sin, mirror * sin, cos
    shift_x = center - (a + b) * center + room * left
    shift_y = center - (c + d) * center + room * top
    pixels = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(image, tf.float32)[None],
        transforms=tf.stack([a, b, shift_x, c, d, shift_y, 0.0, 0.0])[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )[0]
    mean = tf.reduce_mean(pixels, axis=[0, 1], keepdims=True)
    pixels = (pixels - mean) * (1 + settings.contrast * contrast) + mean
    pixels += settings.brightness * bright * 255
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)


@pytest.mark.parametrize("settings", [Augment(), Augment(rotate=90.0, crop=0.5, flip=False)])
def test_views_without_corruptions_are_what_they_were_bit_for_bit(settings):
    image = tf.constant(noise())
    old = tf.function(lambda seed: before_corruptions(image, seed, settings))
    for seed, found in enumerate(changed(noise(), settings, 20)):
        np.testing.assert_array_equal(found, old(tf.constant([seed, 7], tf.int32)).numpy())


def grey(size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), 128, np.uint8)


def test_noise_is_of_every_strength_up_to_the_one_given():
    off = np.stack([found.astype(float) - 128 for found in changed(grey(), only(noise=0.1), 60)])
    spread = off.std((1, 2, 3)) / 255
    assert spread.max() <= 0.105 and spread.min() < 0.02 and 0.03 < spread.mean() < 0.07
    assert abs(off.mean()) < 0.5  # no bias
    strong = off[spread.argmax()]
    assert abs(np.corrcoef(strong[..., 0].ravel(), strong[..., 1].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(strong[:-1].ravel(), strong[1:].ravel())[0, 1]) < 0.1


def test_blur_is_a_gaussian_of_every_width_up_to_the_one_given():
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, SIZE // 2 :] = 255  # an edge, whose slope is the density of the Gaussian
    widths = []
    for found in changed(image, only(blur=2.0), 60):
        rows = found[..., 1].astype(float)
        assert (rows == rows[0]).all()
        slope = np.diff(rows[0]) / 255
        assert slope.sum() == pytest.approx(1) and (slope >= 0).all()
        places = np.arange(len(slope)) - (SIZE // 2 - 1)
        assert (slope * places).sum() == pytest.approx(0, abs=0.02)
        widths.append(np.sqrt((slope * places**2).sum()))
    assert min(widths) < 0.4 and 1.5 < max(widths) < 2.05
    turned = changed(np.swapaxes(image, 0, 1), only(blur=2.0), 5)
    for one, other in zip(changed(image, only(blur=2.0), 5), turned, strict=True):
        np.testing.assert_array_equal(one, np.swapaxes(other, 0, 1))
    flat = changed(grey(), only(blur=2.0), 5)
    assert all((found == 128).all() for found in flat)  # the borders do not darken


def test_jpeg_loses_more_the_lower_its_quality_may_be():
    plain = np.repeat(noise()[..., :1], 3, axis=2)  # grey: JPEG halves colours at any quality

    def lost(quality):
        found = changed(plain, only(jpeg=quality), 40)
        assert all(image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8 for image in found)
        return np.array([np.abs(image - plain.astype(float)).mean() for image in found])

    coarse, fine = lost(10), lost(90)
    assert fine.max() < coarse.max() / 1.5 and np.ptp(coarse) > 3 * np.ptp(fine)


def test_corrupted_views_follow_from_their_seed_and_move_nothing_else():
    settings = Augment(noise=0.05, blur=1.0, jpeg=50)
    first, again = changed(noise(), settings, 5), changed(noise(), settings, 5)
    np.testing.assert_array_equal(first, again)
    assert len({image.tobytes() for image in first}) == 5
    # Blur of nothing to speak of: the flips, turns and crops are those of the same seeds without.
    for one, other in zip(
        changed(noise(), Augment(blur=1e-6), 5), changed(noise(), Augment(), 5), strict=True
    ):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------ pipelines


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> DecodedImages:
    folder = tmp_path_factory.mktemp("samples")
    root = tiny.images(folder / "pictures")
    rows = []
    for path in sorted(root.rglob("*.png")):
        split, name, _ = path.relative_to(root).parts
        label = tiny.CLASSES.index(name)
        rows.append(Row(path.relative_to(root).as_posix(), label, split, tiny.sha256(path)))
    index = Index(tiny.CLASSES, tuple(rows), "folders")
    return DecodedImages(index, root, folder / "cache", SIZE, "crop")


def test_items_come_in_their_order_and_view_0_is_the_image(samples):
    items = [(3, 0), (0, 0), (3, 0), (5, 1), (1, 0)]
    found = list(pixels(samples, items, Augment(), seed=1).as_numpy_iterator())
    for (row, view), image in zip(items, found, strict=True):
        assert (image == samples.pixel(row)).all() == (view == 0)
    for image, again in zip(found, Views(samples, items, Augment(), 1), strict=True):
        np.testing.assert_array_equal(image, again)


def test_a_view_follows_from_its_image_number_and_seed_alone(samples):
    items = [(row, view) for view in (1, 2) for row in range(6)]
    together = dict(zip(items, Views(samples, items, Augment(), 1), strict=True))
    few = [(4, 2), (0, 1)]
    for item, image in zip(few, Views(samples, few, Augment(), 1), strict=True):
        np.testing.assert_array_equal(image, together[item])
    assert len({image.tobytes() for image in together.values()}) == len(items)
    (other,) = Views(samples, [(4, 2)], Augment(), 2)
    assert (other != together[4, 2]).any()


def test_corruptions_reach_the_views_that_every_phase_trains_on(samples):
    settings = Augment(noise=0.08, blur=1.0, jpeg=25)
    items = [(row, view) for row in range(4) for view in (0, 1)]
    found = list(Views(samples, items, settings, 1))
    plain = list(Views(samples, items, Augment(), 1))
    for (row, view), image, without in zip(items, found, plain, strict=True):
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert (image == samples.pixel(row)).all() == (view == 0)
        assert (image == without).all() == (view == 0)


def stream(samples, settings, seed=1, rows=range(10)) -> Stream:
    rows = list(rows)
    scores = np.arange(len(rows), dtype=np.float32)[:, None]
    return Stream(samples, rows, settings, LearningTargets(scores), scores[:, 0] + 0.5, 4, seed)


def test_a_stream_gives_every_image_each_epoch_as_pixels(samples):
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


def test_a_stream_changes_images_anew_each_epoch(samples):
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
