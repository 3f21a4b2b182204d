"""One undisturbed run of the tiny pipeline, which the tests look at and compare with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import shapes

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Workplace:
    """A folder with images and a pipeline, a cache of its own, and tfedge as a command."""

    folder: Path
    cache: Path

    @property
    def file(self) -> Path:
        return self.folder / "tiny.yaml"

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT), "TFEDGE_CACHE": str(self.cache)}

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "tfedge", *map(str, arguments)]

    def tfedge(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=1200,  # a busy machine took nine minutes for ResNet50
        )

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """tfedge in the background, to be disturbed."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def run_dir(self) -> Path:
        return self.folder / "runs" / "latest"

    def result(self) -> dict[str, Any]:
        return json.loads((self.run_dir / "run.json").read_text(encoding="utf-8"))

    def how(self) -> dict[str, str]:
        """Where each stage's result is from: hit, miss or none."""
        return {stage["name"]: stage["cache"] for stage in self.result()["stages"]}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.folder(tmp_path_factory.mktemp("photos") / "shapes")


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    """An empty one."""
    folder = tmp_path / "work place"  # with a space, as people's folders have
    folder.mkdir()
    return Workplace(folder, tmp_path / "cache")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Workplace:
    """The tiny pipeline, run once from start to end."""
    root = tmp_path_factory.mktemp("finished")
    done = Workplace(root, root / "cache")
    shapes.pipeline(done.file, photos)
    ran = done.tfedge("run", done.file)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (root / "stdout.txt").write_text(ran.stdout, encoding="utf-8")
    (root / "stderr.txt").write_text(ran.stderr, encoding="utf-8")
    (root / "first.json").write_text(json.dumps(done.result()), encoding="utf-8")
    (root / "first").symlink_to(done.run_dir.resolve())  # whatever tests run after it
    return done
