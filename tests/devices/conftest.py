"""A real board for each test that asks for one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "machines"))  # arm64_root and get_adbd
sys.path.insert(2, str(Path(__file__).parents[1] / "unit"))  # color_helpers, script_helpers

import adbd
from boards import Board, sshd
from from_debian import Unavailable


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with sshd(tmp_path / "the board") as running:
        yield running


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[adbd.Phone]:
    """A real adbd, and an ``adb`` in front of PATH that reaches nothing else."""
    try:
        with adbd.start(tmp_path) as running:
            monkeypatch.setenv("PATH", f"{running.adb.parent}:{os.environ['PATH']}")
            monkeypatch.delenv("ANDROID_SERIAL", raising=False)
            yield running
    except Unavailable as error:
        pytest.skip(str(error))
