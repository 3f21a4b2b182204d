"""A real ARM in the tests: the arm64 root, what it must compute, and boards that are this root."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from arm64_root import build, entered
from boards import Board, sshd
from from_debian import Unavailable
from sklearn.datasets import load_digits

from tfedge.tflite.runtime import predict

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools/bench_tflite.py"
MODEL = ROOT / "tests/unit/data/digits_int8.tflite"
TRAINED_ON = 1200  # digits, the first ones: tests/unit/make_test_models.py
PAIRS = 120
# Read before a test is given a cache of its own: the root is built once, not once for each test.
_CACHE = Path(os.environ["TFEDGE_CACHE"]) / "arm64" if "TFEDGE_CACHE" in os.environ else None


def arm64_root() -> Path:
    """The root; a visible skip where this machine can't provide it."""
    found = _built()
    if isinstance(found, Unavailable):
        pytest.skip(f"no arm64 root: {found}")
    return found


@functools.cache
def _built() -> Path | Unavailable:
    try:
        return build(_CACHE)
    except Unavailable as error:
        return error


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images that the model has not seen, uint8 [120, 8, 8, 1], and the digits that they show."""
    found = load_digits()
    part = slice(TRAINED_ON, TRAINED_ON + PAIRS)
    return (found.images[part, ..., None] * 15).astype(np.uint8), found.target[part]


def write_golden(folder: Path) -> Path:
    """Golden pairs: the images, and what LiteRT on this machine answers to them."""
    folder.mkdir()
    images, _ = digits()
    for number, (given, answer) in enumerate(
        zip(images, predict(MODEL, images, raw=True), strict=True)
    ):
        (folder / f"{number:03}.input.bin").write_bytes(given.tobytes())
        (folder / f"{number:03}.output.bin").write_bytes(answer.tobytes())
    return folder


def need_namespaces(root: Path) -> None:
    """A visible skip where the root can't be entered: not the root user, or a strict container."""
    if os.geteuid():
        pytest.skip("to enter the arm64 root (chroot, mounts) needs the root user")
    tried = subprocess.run(entered(root, ["true"]), capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"the arm64 root can't be entered here: {tried.stderr.strip()}")


@contextmanager
def arm_board(folder: Path, root: Path) -> Iterator[Board]:
    """A real sshd whose sessions land in the arm64 root: an aarch64 machine over ssh."""
    need_namespaces(root)
    lines = ["ChrootDirectory /srv", "SetEnv HOME=/root"]
    with sshd(folder, lines=lines, enter=lambda argv: entered(root, argv)) as board:
        yield board
