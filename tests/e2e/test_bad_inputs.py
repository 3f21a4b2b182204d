"""A page of bad inputs: each has its message and its exit code, and loses nothing."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e import shapes
from tests.e2e.conftest import Workplace
from tfedge.core.accelerator import NVIDIA

Spoil = Callable[[Workplace, Path], None]


def change(workplace: Workplace, key: str, value: object) -> None:
    raw = yaml.safe_load(workplace.file.read_text(encoding="utf-8"))
    *sections, last = key.split(".")
    place = raw
    for section in sections:
        place = place.setdefault(section, {})
    place[last] = value
    workplace.file.write_text(yaml.safe_dump(raw), encoding="utf-8")


def wrong_key(workplace: Workplace, photos: Path) -> None:
    change(workplace, "data.image_sise", 64)


def wrong_type(workplace: Workplace, photos: Path) -> None:
    change(workplace, "finetune.epochs", "ten")


def missing_folder(workplace: Workplace, photos: Path) -> None:
    shutil.rmtree(photos)


def one_class(workplace: Workplace, photos: Path) -> None:
    for label in shapes.CLASSES[1:]:
        shutil.rmtree(photos / label)


def truncated(workplace: Workplace, photos: Path) -> None:
    whole = photos / "disc" / "cut.jpg"
    shapes.draw("disc", 77).save(whole, quality=95)
    whole.write_bytes(whole.read_bytes()[:-200])


def text_as_jpg(workplace: Workplace, photos: Path) -> None:
    (photos / "ring" / "notes.jpg").write_text("not an image")


def bomb(workplace: Workplace, photos: Path) -> None:
    """A PNG of a few hundred bytes that says it is 50,000 pixels a side."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    png = b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")
    (photos / "square" / "bomb.png").write_bytes(png)


def climbing_label(workplace: Workplace, photos: Path) -> None:
    table = photos / "table.csv"
    table.write_text("path,label\ndisc/000.png,disc\nring/000.png,../x\n")
    change(workplace, "data.path", str(table))


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("touch pwned",)


def pickle_with_code(workplace: Workplace, photos: Path) -> None:
    file = workplace.folder / "weights.npz"
    file.write_bytes(pickle.dumps(Evil()))
    change(workplace, "backbone.weights", str(file))


def no_gpu(workplace: Workplace, photos: Path) -> None:
    if NVIDIA.exists():
        pytest.skip("this machine has a GPU")
    change(workplace, "runtime.device", "gpu")


CASES = [
    (wrong_key, 2, ["tiny.yaml:", "data.image_sise", "did you mean image_size"]),
    (wrong_type, 2, ["tiny.yaml:", "finetune.epochs", "'ten'"]),
    (missing_folder, 4, ["shapes"]),
    (one_class, 4, ["disc"]),
    (truncated, 4, ["disc/cut.jpg", "truncated"]),
    (text_as_jpg, 4, ["ring/notes.jpg", "not an image"]),
    (bomb, 4, ["square/bomb.png", "50000"]),
    (climbing_label, 4, ["table.csv:3", "../x"]),
    (pickle_with_code, 7, ["weights.npz"]),
    (no_gpu, 3, ["runtime.device: gpu", "no GPU", "runtime.device: cpu"]),
]


@pytest.mark.parametrize(("spoil", "code", "words"), CASES, ids=[c[0].__name__ for c in CASES])
def test_bad_input(
    workplace: Workplace, tmp_path: Path, spoil: Spoil, code: int, words: list[str]
) -> None:
    photos = shapes.folder(tmp_path / "shapes", 8)
    shapes.pipeline(workplace.file, photos)
    spoil(workplace, photos)
    ran = workplace.tfedge("run", workplace.file)
    assert ran.returncode == code, ran.stderr
    said = ran.stderr.replace(",", "").replace("×", "x")
    for word in words:
        assert word in said
    # A wrong key or value says what is allowed in its own line.
    assert "hint:" in ran.stderr or code == 2
    assert "Traceback" not in ran.stderr + ran.stdout
    assert not (workplace.folder / "pwned").exists()
    # Nothing is left that a later run could take for a result.
    assert not any((workplace.cache / "stages").glob("*/model.npz"))


def test_no_disk_space(workplace: Workplace, photos: Path) -> None:
    """The cache on a disk of 400 kB, which the features of the images do not fit on."""
    workplace.cache.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(workplace.cache)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        shapes.pipeline(workplace.file, photos)
        ran = workplace.tfedge("run", workplace.file)
        assert ran.returncode == 7, ran.stderr
        assert "no space left" in ran.stderr.lower() and "hint:" in ran.stderr
        assert "Traceback" not in ran.stderr
        assert workplace.result()["status"] == "failed"
    finally:
        subprocess.run(["umount", str(workplace.cache)], check=True)
