"""``tfedge bench`` and ``tfedge devices`` in a process of their own, on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT

MODELS = ROOT / "tests" / "unit" / "data"
QUICK = ("--runs=10", "--warmup=1", "--processes=2", "--runtime=litert")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder of its own: its lock is not that of another bench on this machine."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(home)}


def tfedge(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tfedge", *map(str, arguments)],
        cwd=home.parent,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_bench_measures_compares_and_replays(home: Path) -> None:
    shutil.copy(MODELS / "color_int8.tflite", home.parent / "a model's.tflite")
    places = ("--device=local", f"--device=local:{sys.executable}")
    models = ("a model's.tflite", MODELS / "color_float.tflite")
    ran = tfedge(home, "bench", *models, *places, *QUICK, "--compare", "--json=out.json")
    assert ran.returncode == 0, ran.stderr
    assert "color_float against a model's, local, LiteRT 2." in " ".join(ran.stdout.split())
    document = json.loads((home.parent / "out.json").read_text(encoding="utf-8"))
    assert document["schema"] == "tfedge.bench/1" and len(document["results"]) == 4
    assert len(document["comparisons"]) == 4


def test_a_released_drop_is_replayed(home: Path) -> None:
    drop = ROOT / "models" / "digits-mobilenetv2"
    model = drop / "digits-mobilenetv2.tflite"
    ran = tfedge(home, "bench", model, f"--golden={drop}", *QUICK, "--json=-")
    assert ran.returncode == 0, ran.stderr
    (result,) = json.loads(ran.stdout)["results"]
    assert result["golden"]["pairs"] == result["golden"]["top1_agree"] > 0


def test_devices_tells_of_this_machine(home: Path) -> None:
    ran = tfedge(home, "devices", "--json")
    assert ran.returncode == 0, ran.stderr
    (row,) = json.loads(ran.stdout)["devices"]
    assert row["ready"] and any(runtime.startswith("LiteRT 2.") for runtime in row["runtimes"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_bench_that_is_stopped_leaves_nothing_running(home: Path, number: int) -> None:
    model = home.parent / f"stopped-{number:d}.tflite"
    shutil.copy(MODELS / "color_int8.tflite", model)
    process = subprocess.Popen(
        [sys.executable, "-m", "tfedge", "bench", model, "--seconds=120", "--runtime=litert"],
        env=environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert eventually(lambda: len(running(model.name)) > 1), "the script was started"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert eventually(lambda: not running(model.name))
    if number != signal.SIGKILL:
        assert process.returncode == 130 and b"stopped before the end" in said


def running(name: str) -> list[str]:
    """Processes whose command line has this word."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if name in words:
            found.append(words)
    return found


def eventually(true: object, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.1)
    return False
