from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from awkward_images import sixteen_bit_rgb
from data_helpers import encoded, noise
from PIL import Image, ImageFile

from tfedge.portable.images import BadImage, decode

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
Color = tuple[int, int, int]


def quarters(width: int = 64, height: int = 64) -> Image.Image:
    """Red, green / blue, white."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def corners(pixels: np.ndarray) -> list[Color]:
    size = len(pixels)
    places = [(size // 4, size // 4), (size // 4, -size // 4)]
    places += [(-size // 4, size // 4), (-size // 4, -size // 4)]
    return [tuple(round(int(v) / 255) * 255 for v in pixels[place]) for place in places]  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
def test_formats_give_rgb_of_the_size_asked_for(kind: str) -> None:
    pixels = decode(encoded(quarters(), kind), 32, "crop")
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert corners(pixels) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_counts(kind: str) -> None:
    more = [Image.new("RGB", (64, 64), (0, 0, 0))]
    data = encoded(quarters(), kind, save_all=True, append_images=more, duration=100)
    assert corners(decode(data, 32, "crop")) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(kind: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = quarters()
    stored = image.transpose(undo[orientation]) if orientation in undo else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(stored, kind, exif=exif), 32, "crop")
    assert corners(pixels) == [RED, GREEN, BLUE, WHITE]


def test_turned_photos_are_cropped_after_turning() -> None:
    image = Image.new("RGB", (60, 20), RED)
    image.paste(GREEN, (20, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert (decode(encoded(image, "PNG", exif=exif), 32, "crop") == GREEN).all()


def test_grey_and_one_bit() -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None].repeat(64, 0)
    grey = decode(encoded(Image.fromarray(ramp), "PNG"), 64, "crop")
    np.testing.assert_array_equal(grey, ramp[..., None].repeat(3, -1))
    bits = decode(encoded(Image.fromarray(ramp).point(lambda v: v > 127, "1"), "PNG"), 64, "crop")
    assert set(np.unique(bits)) == {0, 255}


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(256, 0)
    data = encoded(Image.fromarray(ramp), "PNG")
    assert Image.open(BytesIO(data)).mode.startswith("I")
    pixels = decode(data, 256, "crop")
    np.testing.assert_array_equal(pixels[0, :, 0], np.arange(256))


def test_sixteen_bit_rgb() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), dtype=np.uint16)
    np.testing.assert_array_equal(decode(sixteen_bit_rgb(values), 16, "crop"), values >> 8)


def test_cmyk_as_adobe_writes_it() -> None:
    data = encoded(quarters().convert("CMYK"), "JPEG", quality=95)
    assert Image.open(BytesIO(data)).mode == "CMYK"
    assert corners(decode(data, 32, "crop")) == [RED, GREEN, BLUE, WHITE]


def transparent(mode: str) -> Image.Image:
    """The left half seen, the right half transparent black."""
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 32, 64))
    if mode == "P":
        return image.convert("RGB").quantize(4)
    return image.convert(mode)


@pytest.mark.parametrize(("mode", "kind"), [("RGBA", "PNG"), ("RGBA", "WEBP"), ("LA", "PNG")])
def test_alpha_is_laid_on_white(mode: str, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(encoded(transparent(mode), kind, **options), 64, "crop")
    assert (pixels[:, 40:] == 255).all()
    assert (pixels[:, :24, 0] == (255 if mode == "RGBA" else pixels[0, 0, 0])).all()
    assert pixels[0, 0, 1] < 100


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palette_with_a_transparent_color(kind: str) -> None:
    image = transparent("P")
    index = image.getpixel((60, 5))
    pixels = decode(encoded(image, kind, transparency=index), 64, "crop")
    assert (pixels[:, 40:] == 255).all() and tuple(pixels[5, 5]) == RED


def test_half_transparent_is_mixed_with_white() -> None:
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 128))
    assert abs(int(decode(encoded(image, "PNG"), 32, "crop")[9, 9, 1]) - 127) <= 1


def test_crop_takes_the_centre_square() -> None:
    image = Image.new("RGB", (96, 32), BLUE)
    image.paste(RED, (32, 0, 64, 32))
    assert (decode(encoded(image, "PNG"), 32, "crop") == RED).all()


def test_stretch_keeps_everything() -> None:
    pixels = decode(encoded(quarters(128, 32), "PNG"), 64, "stretch")
    assert corners(pixels) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(("size", "bars"), [((64, 32), "top"), ((32, 64), "left")])
def test_pad_adds_black_bars(size: tuple[int, int], bars: str) -> None:
    pixels = decode(encoded(Image.new("RGB", size, WHITE), "PNG"), 32, "pad")
    if bars == "left":
        pixels = pixels.transpose(1, 0, 2)
    assert (pixels[:8] == 0).all() and (pixels[-8:] == 0).all() and (pixels[8:24] == 255).all()


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_tiny_and_thin_images(fit: str) -> None:
    for size in ((8, 8), (1, 1), (1, 300), (300, 1)):
        assert decode(encoded(Image.new("RGB", size, RED), "PNG"), 96, fit).shape == (96, 96, 3)  # type: ignore[arg-type]


def test_big_jpegs_are_decoded_small_first_without_changing_much() -> None:
    yy, xx = np.mgrid[0:800, 0:1000] / 150
    waves = np.stack([np.sin(xx), np.cos(yy), np.sin(xx + yy)], -1) * 120 + 128
    data = encoded(Image.fromarray(waves.astype(np.uint8)), "JPEG", quality=92)
    image = Image.open(BytesIO(data)).convert("RGB").crop((100, 0, 900, 800))
    full = np.asarray(image.resize((100, 100), Image.Resampling.BILINEAR), int)
    got = decode(data, 100, "crop").astype(int)
    assert np.abs(got - full).mean() < 1.0 and np.abs(got - full).max() <= 6


def test_big_jpegs_are_decoded_at_the_smallest_scale_that_leaves_twice_the_size() -> None:
    data = encoded(noise(1, 800, 800), "JPEG")
    half = Image.open(BytesIO(data))
    half.draft(None, (400, 400))
    assert half.size == (400, 400)
    expected = half.resize((200, 200), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(data, 200, "crop"), np.asarray(expected))


def test_jpegs_below_four_times_the_size_are_not_touched_by_draft() -> None:
    image = noise(1, 399, 399)
    data = encoded(image, "JPEG")
    expected = Image.open(BytesIO(data)).resize((100, 100), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode(data, 100, "crop"), np.asarray(expected))


def bomb() -> bytes:
    """The header of a 50,000 × 50,000 PNG."""
    data = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    data[16:24] = struct.pack(">II", 50_000, 50_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_a_bomb_is_refused_from_its_header() -> None:
    with pytest.raises(BadImage, match="50000×50000 pixels: more than 100 megapixels"):
        decode(bomb(), 32, "crop")


def test_a_webp_or_gif_bomb_is_refused() -> None:
    gif = bytearray(encoded(noise(0), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    with pytest.raises(BadImage, match="more than 100 megapixels"):
        decode(bytes(gif), 32, "crop")
    webp = bytearray(encoded(noise(0), "WEBP", save_all=True, append_images=[noise(1)]))
    assert webp[12:16] == b"VP8X"
    webp[24:30] = b"\xff\x3f\x00\xff\x3f\x00"
    with pytest.raises(BadImage):
        decode(bytes(webp), 32, "crop")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am a text", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (encoded(noise(0), "TIFF"), "not an image"),
        (encoded(noise(0), "PPM"), "not an image"),
        (encoded(noise(0), "ICO"), "not an image"),
        (b"\xff\xd8\xff" + b"\0" * 50, "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"BMW is a car", "damaged"),
        (b"GIF89a", "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "damaged"),
    ],
)
def test_no_image(data: bytes, reason: str) -> None:
    with pytest.raises(BadImage) as caught:
        decode(data, 32, "crop")
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_truncated_files_are_bad(kind: str, share: float) -> None:
    data = encoded(noise(2, 60, 60), kind)
    with pytest.raises(BadImage):
        decode(data[: int(len(data) * share)], 32, "crop")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_path_names_the_file_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "note.jpg"
    path.write_text("no image")
    with pytest.raises(BadImage, match=r"note\.jpg: not an image"):
        decode(path, 32, "crop")
    with pytest.raises(BadImage, match=r"gone\.jpg: can't be read"):
        decode(tmp_path / "gone.jpg", 32, "crop")


def test_damaged_exif_does_not_matter_and_says_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    data = bytearray(encoded(quarters(), "JPEG", exif=exif))
    at = data.index(b"Exif\0\0") + 6
    data[at + 8 : at + 10] = data[at + 8 : at + 10][::-1]  # 256 tags, where there is one
    (tmp_path / "x.jpg").write_bytes(data)
    code = (
        "from pathlib import Path; from tfedge.portable.images import decode\n"
        f"print(decode(Path({str(tmp_path / 'x.jpg')!r}), 32, 'crop')[8, 8])"
    )
    command = [sys.executable, "-W", "default", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[254   0   0]\n" and done.stderr == ""
