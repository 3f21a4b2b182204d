"""What every test can use: a cache of its own, and tfedge as a command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares costly fixtures goes to one of pytest-xdist's workers: a folder, or a file.

    Whatever measures latency does, too: one bench at a time is what a machine takes. A test can
    name a group of its own.
    """
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        folder, *_ = item.path.relative_to(ROOT / "tests").parts
        group = {"devices": "benches", "e2e": "benches", "readers": folder}.get(folder)
        item.add_marker(pytest.mark.xdist_group(group or item.path.stem))


@pytest.fixture(scope="session")
def own_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pytest looks through all numbered folders to number the next: thousands would take long."""
    return tmp_path_factory.mktemp("own")


@pytest.fixture(autouse=True)
def own_cache(own_place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is read from or left in the user's cache."""
    cache = Path(tempfile.mkdtemp(dir=own_place))
    monkeypatch.setenv("TFEDGE_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def own_lock(own_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench that somebody runs on this machine does not stand in the way of the tests."""
    folder = Path(tempfile.mkdtemp(dir=own_place))
    monkeypatch.setattr("tfedge.devices.local.WORKSPACE", folder)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``command("check", file)``: tfedge in a process of its own, in ``tmp_path``."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tfedge", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
