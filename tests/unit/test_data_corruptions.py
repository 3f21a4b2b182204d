"""Images made harder: by as much as the paper says, the same every time."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from tfedge.inputs.images.corruptions import CORRUPTIONS


def images() -> np.ndarray:
    """uint8 [4, 24, 24, 3]: smooth, with a sharp edge, not near the ends of the range."""
    rows, columns = np.mgrid[0:24, 0:24]
    base = 60 + 2 * rows + np.where(columns > 12, 80, 0)
    one = np.stack([base, base[::-1], np.full_like(base, 100)], axis=-1)
    return np.stack([one + shift for shift in range(4)]).astype(np.uint8)


def changed(name: str, seeds: tuple[int, ...] = (1, 2, 3, 4)) -> np.ndarray:
    pairs = zip(images(), seeds, strict=True)
    return np.stack([CORRUPTIONS[name](pixels, seed) for pixels, seed in pairs])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_changes_every_image_and_always_alike(name: str) -> None:
    found = changed(name)
    assert (found.dtype, found.shape) == (np.uint8, images().shape)
    assert (found != images()).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(found, changed(name))


def test_noise_has_its_width_and_no_bias() -> None:
    off = changed("noise").astype(float) - images()
    assert off.std() == pytest.approx(0.08 * 255, rel=0.05)  # of 6,912 values: 1 % is one sigma
    assert abs(off.mean()) < 1
    assert (changed("noise", (5, 6, 7, 8)) != changed("noise")).any()


def test_brightness_is_added_to_the_v_of_hsv() -> None:
    before, after = images()[0, 3, 3] / 255, changed("brightness")[0, 3, 3] / 255
    (h, s, v), (hue, saturation, value) = colorsys.rgb_to_hsv(*before), colorsys.rgb_to_hsv(*after)
    half = 0.5 / 255 / v  # rounding to a level
    assert (hue, saturation, value) == pytest.approx((h, s, v + 0.1), abs=4 * half)
    black = CORRUPTIONS["brightness"](np.zeros((4, 4, 3), np.uint8), 1)
    assert (black == round(25.5)).all()


def test_contrast_keeps_the_mean_and_blur_the_sum() -> None:
    before, less = images()[0].astype(float), changed("contrast")[0].astype(float)
    assert less.mean((0, 1)) == pytest.approx(before.mean((0, 1)), abs=0.5)
    assert less.std() < before.std()
    assert np.ptp(less[..., 0]) == pytest.approx(0.4 * np.ptp(before[..., 0]), abs=1)
    blurred = changed("blur")[0].astype(float)
    edge = slice(11, 15)
    assert np.abs(np.diff(blurred[:, edge, 0])).max() < np.abs(np.diff(before[:, edge, 0])).max()
    assert blurred.mean() == pytest.approx(before.mean(), abs=2)


@pytest.mark.parametrize("name", ["noise", "brightness", "contrast"])
def test_tables_and_shortcuts_give_the_pixels_of_the_formulas(name: str) -> None:
    """As figures of earlier versions were measured on, for every value a pixel may have."""
    image = np.random.default_rng(5).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    image[:2], image[2:4] = 0, 255
    value, mean = image.max(-1, keepdims=True) / 255, image.mean((0, 1), keepdims=True)
    factor = np.minimum(value + 0.1, 1.0) / np.maximum(value, 1e-9)
    wanted = {
        "noise": image + np.random.default_rng(7).normal(0.0, 0.08 * 255, image.shape),
        "brightness": np.where(value > 0, image * factor, 25.5),
        "contrast": (image - mean) * 0.4 + mean,
    }[name]
    found = CORRUPTIONS[name](image, 7)
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
    np.testing.assert_array_equal(found, np.clip(np.rint(wanted), 0, 255))
