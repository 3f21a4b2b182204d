from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from data_helpers import Said, class_folders, image, sha256

from tfedge.data.index import Index, Row
from tfedge.errors import ArtifactError
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.portable import images as decode_module
from tfedge.portable.images import decode


def made(tmp_path: Path, count: int = 150) -> DecodedImages:
    root = class_folders(tmp_path / "p", {"a": count})
    names = sorted(path.name for path in (root / "a").iterdir())
    rows = tuple(Row(f"a/{name}", 0, "train", sha256(root / "a" / name)) for name in names)
    return DecodedImages(Index(("a",), rows, "folders"), root, tmp_path / "cache", 32, "crop")


def test_pixels_are_what_decode_gives_in_the_order_asked_for(tmp_path: Path) -> None:
    images, said = made(tmp_path), Said()
    order = [7, 149, 7, 0]
    got = images.pixels(order, said)
    assert got.shape == (4, 32, 32, 3) and got.dtype == np.uint8
    for pixels, row in zip(got, order, strict=True):
        path = images.root / images.index.rows[row].path
        np.testing.assert_array_equal(pixels, decode(path, 32, "crop"))
    assert said.updates[-1] == ("decode", 3, 3, "images")
    np.testing.assert_array_equal(images.pixel(149), got[1])
    assert images.pixels([]).shape == (0, 32, 32, 3)


def test_each_image_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = made(tmp_path)
    calls: list[int] = []
    real = decode_module.decode
    monkeypatch.setattr(decode_module, "decode", lambda *args: (calls.append(1), real(*args))[1])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(images.pixel, [n % 30 for n in range(120)]))
    assert len(calls) == 30
    rows = images.memmap_rows(range(150))
    assert len(calls) == 150
    np.testing.assert_array_equal(images.store.memmap[rows], images.pixels(range(150)))
    again = DecodedImages(images.index, images.root, tmp_path / "cache", 32, "crop")
    again.pixels(range(150))
    assert len(calls) == 150


def test_two_runs_at_once_decode_each_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(tmp_path, 40)
    runs = [
        first,
        *(DecodedImages(first.index, first.root, first.cache, 32, "crop") for _ in range(2)),
    ]
    calls: list[int] = []
    real = decode_module.decode

    def slow(*args: object) -> object:
        calls.append(1)
        time.sleep(0.03)
        return real(*args)

    monkeypatch.setattr(decode_module, "decode", slow)
    notes = [Said() for _ in runs]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda run, said: run.pixels(range(40), said), runs, notes))
    assert len(calls) == 40
    told = [note for said in notes for note in said.notes]
    assert all(note.startswith("waiting for the decoded images, which another") for note in told)


def test_sizes_and_fits_do_not_mix(tmp_path: Path) -> None:
    one = made(tmp_path, 2)
    other = DecodedImages(one.index, one.root, tmp_path / "cache", 32, "pad")
    assert not np.array_equal(one.pixels([0]), other.pixels([0]))
    assert one.store.folder != other.store.folder


def test_a_changed_or_lost_file_is_not_used(tmp_path: Path) -> None:
    images = made(tmp_path, 3)
    image(images.root / "a" / "001.png", 77)
    (images.root / "a" / "002.png").unlink()
    images.pixel(0)
    with pytest.raises(ArtifactError, match=r"001\.png: changed since it was scanned"):
        images.pixel(1)
    with pytest.raises(ArtifactError, match=r"002\.png: can't be read: No such file"):
        images.pixels([0, 2])


def test_damaged_pixels_on_disk_are_decoded_again(tmp_path: Path) -> None:
    images = made(tmp_path, 5)
    good = images.pixels(range(5))
    data = images.store.folder / "data.bin"
    raw = bytearray(data.read_bytes())
    raw[3 * 32 * 32 * 3 + 100] ^= 0xFF
    data.write_bytes(raw)
    again = DecodedImages(images.index, images.root, tmp_path / "cache", 32, "crop")
    np.testing.assert_array_equal(again.pixels(range(5)), good)
    np.testing.assert_array_equal(again.store.memmap[again.memmap_rows(range(5))], good)
