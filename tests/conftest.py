"""What every test can use: a cache of its own, and tfedge as a command."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tfedge.files import garbage

ROOT = Path(__file__).resolve().parent.parent

garbage.begin()  # this process is ours, too; the collector would take a fifth of its time

# A shell starts what runs in its background with SIGINT ignored. Children would inherit that, and
# those that tests interrupt go on for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Groups(LoadScopeScheduling):
    """What shares costly fixtures goes to one of pytest-xdist's workers: a folder, or a file.

    Whatever measures latency does, too: one bench at a time is what a machine takes.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, test, *_ = nodeid.split("::")
        folder = file.split("/")[1]
        if folder in ("devices", "e2e") and not test.startswith("test_a_family["):
            return "benches"
        return folder if folder == "readers" else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Groups:
    return Groups(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("train") and find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")


@pytest.fixture(scope="session")
def own_place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Names of folders that nobody has used. Making thousands, and taking them away, takes long."""
    place, numbers = tmp_path_factory.mktemp("own"), itertools.count()
    return lambda kind: place / f"{kind}{next(numbers)}"


@pytest.fixture(autouse=True)
def own_cache(own_place: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is read from or left in the user's cache."""
    cache = own_place("cache")
    monkeypatch.setenv("TFEDGE_CACHE", str(cache))
    return cache


@pytest.fixture(autouse=True)
def own_lock(own_place: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bench that somebody runs on this machine does not stand in the way of the tests."""
    monkeypatch.setattr("tfedge.devices.local.WORKSPACE", own_place("lock"))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """``command("check", file)``: tfedge in a process of its own, in ``tmp_path``."""

    def run(
        *arguments: object, encoding_of_output: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tfedge", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            encoding=encoding_of_output,
            timeout=120,
        )

    return run
