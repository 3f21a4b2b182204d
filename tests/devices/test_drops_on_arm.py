"""Drops on ARM boards: what is shipped computes there what it computed here.

Emulated, but the real builds: LiteRT and tflite-runtime for aarch64, tflite-runtime for armv7l.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import armhf_root
import pip
import pytest
from arm64 import ROOT, arm64_root
from color_helpers import FLOAT, make_run
from from_debian import Unavailable

from tfedge.stages import package

RELEASED = sorted(path.parent for path in (ROOT / "models").glob("*/MANIFEST.json"))
# Read before a test is given a cache of its own: the root is built once, not once for each test.
_CACHE = Path(os.environ["TFEDGE_CACHE"]) / "armhf" if "TFEDGE_CACHE" in os.environ else None
# pip reads its interpreter's ELF header to tell which ARM this is; here that one is a script.
PIP = """
import os, sys
sys.executable = os.path.join(sys.base_prefix, "bin", "python3.11")
from pip._internal.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def armhf() -> Path:
    try:
        return armhf_root.build(_CACHE) / "opt/board/bin/python3"
    except Unavailable as error:
        pytest.skip(f"no armhf root: {error}")


@pytest.fixture(scope="module")
def aarch64() -> dict[str, Path]:
    root = arm64_root()
    return {site: root / "opt" / site / "bin/python3" for site in ("litert", "tflite-runtime")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A drop for each target, from one run; and a float one."""
    folder = tmp_path_factory.mktemp("drops")
    options = {"targets": ["linux", "coral", "android"], "coral": {"compile": "defer"}}
    run = make_run(folder / "int8", evaluate=None, benchmark=None, package=options)
    package.run(run.context("package"))
    drops = {target: run.folder / "package/drops" / target for target in options["targets"]}
    plain = make_run(folder / "float", evaluate=None, benchmark=None, shipped=FLOAT, recipe="float")
    package.run(plain.context("package"))
    return drops | {"float": plain.folder / "package/drops/linux"}


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def pip_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pip and none of its neighbours, which are for this machine's processor."""
    folder = tmp_path_factory.mktemp("pip")
    (folder / "pip").symlink_to(Path(pip.__file__).parent)
    return folder


def verified(drop: Path, *pythons: Path) -> list[dict]:
    places = [f"--device=local:{python}" for python in pythons]
    ran = run(sys.executable, "-m", "tfedge", "verify", drop, *places, "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)["checks"]


@pytest.mark.parametrize("name", ["linux", "coral", "android", "float"])
def test_a_drop_of_each_kind_verifies_on_aarch64(
    aarch64: dict[str, Path], made: dict[str, Path], name: str
) -> None:
    new, old = verified(made[name], *aarch64.values())[-2:]
    assert "aarch64" in new["found"] and "LiteRT 2." in new["found"]
    assert "tflite-runtime 2.14.0" in old["found"]
    if name != "float":
        assert "8 of 8 identical" in new["found"]


@pytest.mark.parametrize("drop", RELEASED, ids=lambda path: path.name)
def test_released_models_verify_on_aarch64(aarch64: dict[str, Path], drop: Path) -> None:
    new = verified(drop, *aarch64.values())[-2]
    assert "identical" in new["found"] and "LiteRT 2." in new["found"]


def test_requirements_resolve_on_aarch64(
    aarch64: dict[str, Path], pip_alone: Path, made: dict[str, Path]
) -> None:
    needs = ["-m", "pip", "install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "-r"]
    file = made["linux"] / "requirements.txt"
    ran = run(aarch64["litert"], *needs, file, PYTHONPATH=str(pip_alone))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = ran.stdout.strip().splitlines()[-1]
    assert told.startswith("Would install") and "ai-edge-litert-" in told and "pillow-" in told


@pytest.mark.parametrize("drop", RELEASED, ids=lambda path: path.name)
def test_the_readme_s_steps_on_armv7l(
    armhf: Path, pip_alone: Path, drop: Path, tmp_path: Path
) -> None:
    """Debian's numpy and Pillow, then ``pip install -r requirements.txt``, then ``--check``."""
    install = ["install", "--no-compile", "--prefix", tmp_path, "-r"]
    ran = run(armhf, "-c", PIP, *install, drop / "requirements.txt", PYTHONPATH=str(pip_alone))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Successfully installed tflite-runtime-2.14.0" in ran.stdout  # and nothing else
    (site,) = tmp_path.glob("lib/python*/site-packages")
    ran = run(armhf, drop / "classify.py", "--check", PYTHONPATH=str(site))
    assert ran.returncode == 0, ran.stdout + ran.stderr
