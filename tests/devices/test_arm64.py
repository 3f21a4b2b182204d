"""The device script on an ARM: emulated, but the real aarch64 builds of both runtimes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import arm64_root as builder
import numpy as np
import pytest
from arm64 import MODEL, PAIRS, SCRIPT, arm64_root, digits, write_golden
from from_debian import Unavailable

from tfedge.tflite.runtime import predict


@pytest.fixture(scope="module")
def root() -> Path:
    return arm64_root()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden(tmp_path_factory.mktemp("golden") / "pairs")


def bench(root: Path, site: str, *arguments: object) -> dict[str, Any]:
    """The script's JSON, from a Python of the root."""
    python = root / "opt" / site / "bin/python3"
    ran = subprocess.run(
        [*map(str, (python, SCRIPT, MODEL, *arguments)), "--runs=2", "--warmup=1", "--json=-"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def test_the_model_s_answers_mean_something() -> None:
    images, shown = digits()
    answers = predict(MODEL, images, raw=True)
    assert answers.shape == (PAIRS, 10)
    assert (answers.argmax(1) == shown).mean() > 0.85
    assert set(answers.argmax(1)) == set(range(10))
    assert len(np.unique(answers)) > 100  # many values that a machine could get wrong
    assert MODEL.stat().st_size <= 60_000


def test_litert_on_arm_computes_what_it_computes_here(root: Path, golden: Path) -> None:
    """Bit for bit: within LiteRT 2.3, int8 arithmetic is the same on both."""
    report = bench(root, "litert", "--golden", golden, "--exact")
    assert report["device"]["machine"] == "aarch64"
    assert report["device"]["cpu"] == "Cortex-A72"
    [result] = report["results"]
    assert result["runtime"] == "LiteRT" and result["runtime_version"].startswith("2.3")
    expected = {"pairs": PAIRS, "identical": PAIRS, "max_difference": 0, "top1_agree": PAIRS}
    expected |= {"failed": 0, "failure": None}
    assert result["golden"] == expected


def test_tflite_runtime_on_arm_sees_the_same_digits(root: Path, golden: Path) -> None:
    """Runtimes round differently, so some values are a step apart; what is seen is the same."""
    report = bench(root, "tflite-runtime", "--golden", golden)
    assert report["device"]["numpy"].startswith("1.")
    [result] = report["results"]
    assert (result["runtime"], result["runtime_version"]) == ("tflite-runtime", "2.14.0")
    assert result["golden"]["top1_agree"] == result["golden"]["pairs"] == PAIRS
    assert result["golden"]["max_difference"] <= 4


@pytest.mark.parametrize("site", ["litert", "tflite-runtime"])
def test_the_script_starts_itself_for_each_turn(root: Path, site: str) -> None:
    report = bench(root, site, "--processes=2")
    [result] = report["results"]
    assert [len(process["samples_ns"]) for process in result["processes"]] == [2, 2]


def test_a_root_is_built_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # nothing to build one with
    assert builder.build(root.parent) == root


def test_what_can_t_be_had_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = tmp_path / "bin/apt-get"
    apt.parent.mkdir()
    apt.write_text(
        '#!/bin/sh\nif [ $1 = download ]; then echo "E: no such package" >&2; exit 100; fi'
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    with pytest.raises(Unavailable, match=r"ended with 100: E: no such package") as caught:
        builder.build(tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []  # nothing half-built stays
