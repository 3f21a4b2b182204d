"""``tfedge doctor``: what is there, what is missing, what for, and what brings it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from tfedge import cli, doctor
from tfedge.catalog.libraries import LIGHT, TRAIN
from tfedge.catalog.weights import WHEELS
from tfedge.core import doctor as examined
from tfedge.core.doctor import Finding
from tfedge.files import processor

WHEEL = WHEELS["MobileNetV2", 1.0]
Have = dict[str, str | None]


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> Have:
    """Installed versions, to be changed; all that is needed is there."""
    real = examined.installed
    changed: Have = {}
    monkeypatch.setattr(examined, "installed", lambda name: changed.get(name, real(name)))
    return changed


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a server, or starts a program, fails the test."""

    def refuse(*words: object, **more: object) -> None:
        raise AssertionError(f"asked {words}")

    for name in ("get", "head", "post"):
        monkeypatch.setattr(requests, name, refuse)
    monkeypatch.setattr(subprocess, "run", refuse)
    monkeypatch.setattr(examined, "NVIDIA", Path("/nowhere"))
    monkeypatch.setattr(shutil, "which", lambda name: None)


def one(what: str, **options: object) -> Finding:
    (found,) = [finding for finding in doctor(**options) if finding.what == what]  # type: ignore[arg-type]
    return found


def test_a_machine_that_can_run_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    if any(examined.installed(name) is None for name in (*LIGHT, *TRAIN)):
        pytest.skip("this installation can't train")
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr()
    assert said.err == "" and not [found for found in doctor() if found.needed]
    assert said.out.startswith("ok         tfedge")
    for name in ("adb", "ssh", "edgetpu_compiler"):
        assert f"missing    {name} " in said.out  # and yet it can run


@pytest.mark.parametrize(
    ("library", "version", "said", "command"),
    [
        ("tensorflow", None, "not installed", "pip install 'tfedge[train]'"),
        ("tensorflow", "2.22.0", "2.22.0, not ==2.21.*", "pip install 'tfedge[train]'"),
        ("numpy", "3.0.1", "3.0.1, not >=1.26,<3", "pip install tfedge"),
    ],
)
def test_a_library_that_a_run_needs_ends_it_with_3(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    library: str,
    version: str | None,
    said: str,
    command: str,
) -> None:
    real = examined.installed
    monkeypatch.setattr(
        examined, "installed", lambda name: version if name == library else real(name)
    )
    found = one(library)
    assert (found.state, found.found, found.command) == ("missing", said, command)
    assert found.needed
    assert cli.main(["doctor", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["ok"] is False
    (told,) = re.findall("a run needs what is missing here: (.*?) hint:", " ".join(err.split()))
    assert library in told.split(", ")  # others, too, where this installation can't train


def test_a_library_that_one_task_needs_is_in_nobody_else_s_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = examined.installed
    monkeypatch.setattr(
        examined, "installed", lambda name: None if name == "pycocotools" else real(name)
    )
    found = one("pycocotools")
    assert (found.state, found.command) == ("missing", "pip install 'tfedge[detection]'")
    assert "object-detection" in found.enables and not found.needed


@pytest.mark.parametrize("name", ["adb", "ssh", "edgetpu_compiler"])
def test_programs(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    away = one(name)
    assert away.state == "missing" and away.enables and away.command and not away.needed
    monkeypatch.setattr(shutil, "which", lambda asked: "/usr/bin/x" if asked == name else None)
    assert (one(name).state, one(name).found) == ("ok", "/usr/bin/x")


def test_little_space_is_in_the_way_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examined, "free", lambda folder: examined.LEAST - 1)
    found = one("cache")
    assert (found.state, found.needed) == (
        "missing",
        True,
    ) and "tfedge cache clean" in found.command
    monkeypatch.setattr(examined, "free", lambda folder: examined.LEAST)
    assert one("cache").state == "ok"


def test_a_cache_that_can_t_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examined.os, "access", lambda place, mode: place != tmp_path)
    found = one("cache", cache=tmp_path / "a" / "b")
    assert (found.state, found.needed) == ("missing", True)
    assert found.found == f"{tmp_path} can't be written" and "--cache" in found.command


def test_a_gpu_without_and_with_its_libraries(
    monkeypatch: pytest.MonkeyPatch, have: Have, tmp_path: Path
) -> None:
    assert "NVIDIA's driver" in one("GPU").command
    monkeypatch.setattr(examined, "NVIDIA", tmp_path)
    monkeypatch.setattr(
        subprocess, "run", lambda *words, **more: SimpleNamespace(stdout="A100\nT4\n")
    )
    have["nvidia-cudnn-cu12"] = None
    found = one("GPU")
    assert found.state == "missing" and found.found.startswith("A100, T4, but no CUDA")
    assert found.command == "pip install 'tensorflow[and-cuda]'" and not found.needed
    have["nvidia-cudnn-cu12"] = "9.0"
    assert (one("GPU").state, one("GPU").found) == ("ok", "A100, T4")


def test_what_the_processor_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", file)
    file.write_text("flags : sse2 avx avx2 fma avx_vnni\n")
    assert one("processor").found.endswith("avx2, 8-bit products: avx_vnni")
    file.write_text("Features : fp asimd\n")
    assert one("processor").found.endswith("neon, no instructions for 8-bit products")


# ------------------------------------------------------------------ weights


def test_cached_weights_are_told_without_asking_anybody(tmp_path: Path) -> None:
    assert one("weights (package index)", cache=tmp_path).state == "not asked"
    WHEEL.path(tmp_path).parent.mkdir()
    WHEEL.path(tmp_path).touch()
    found = one("weights (package index)", cache=tmp_path)
    assert found.found.startswith("cached: MobileNetV2; not cached: EfficientNetLite0")
    assert "--network" in found.command
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "imagenet" / "x.h5").touch()
    assert one("weights (Keras)", cache=tmp_path).found == "1 files cached"


def index(offered: Callable[[str], str]) -> Callable[..., SimpleNamespace]:
    """pip, which knows these versions of a distribution."""

    def run(words: list[str], **more: object) -> SimpleNamespace:
        assert words[:5] == [sys.executable, "-m", "pip", "index", "versions"]
        name = words[5]
        return SimpleNamespace(stdout=f"{name} (9)\nAvailable versions: {offered(name)}\n  X: 1\n")

    return run


def test_with_the_network_weights_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def head(url: str, **more: object) -> SimpleNamespace:
        asked.append(url)
        return SimpleNamespace(ok=True)

    monkeypatch.setattr(requests, "head", head)
    versions = {wheel.distribution: wheel.version for wheel in WHEELS.values()}
    monkeypatch.setattr(
        subprocess, "run", index(lambda name: f"9.9, {versions.get(name, '0.1.0')}")
    )
    found = one("weights (package index)", cache=tmp_path, network=True)
    assert found.state == "ok" and "to be had: MobileNetV2" in found.found
    assert one("weights (Keras)", cache=tmp_path, network=True).state == "ok"
    assert set(asked) == {asked[0]} and "mobilenet_v2" in asked[0]


def test_weights_that_can_t_be_had_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def head(url: str, **more: object) -> SimpleNamespace:
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "head", head)
    monkeypatch.setattr(subprocess, "run", index(lambda name: f"1{WHEEL.version}, 0.1.0"))
    found = one("weights (package index)", cache=tmp_path, network=True)
    assert (found.state, found.needed) == ("missing", False)
    assert "can't be had: MobileNetV2" in found.found
    assert WHEEL.requirement in found.command and "EfficientNetLite0" not in found.command
    keras = one("weights (Keras)", cache=tmp_path, network=True)
    assert keras.state == "missing" and "can't be reached (ConnectionError)" in keras.found


def test_a_pip_that_fails_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(words: list[str], **more: object) -> None:
        raise subprocess.CalledProcessError(1, words)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(
        requests, "head", lambda url, **more: SimpleNamespace(ok=False, status_code=403)
    )
    assert one("weights (package index)", cache=tmp_path, network=True).state == "missing"
    assert "answers 403" in one("weights (Keras)", cache=tmp_path, network=True).found
