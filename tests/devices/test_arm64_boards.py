"""``tfedge bench`` on an ARM at the other end of a real sshd, and of a real adbd."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from adbd import SERIAL, start
from arm64 import MODEL, PAIRS, ROOT, arm64_root, arm_board, need_namespaces, write_golden
from boards import eventually, running
from from_debian import Unavailable

SETTINGS = ("--runs=2", "--warmup=1", "--processes=1")


@dataclass(frozen=True)
class Arm:
    """An aarch64 machine that tfedge reaches by an address, with this folder before its PATH."""

    address: str
    path: Path

    def tfedge(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        path = f"{self.path}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "tfedge", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
        )


@pytest.fixture(scope="module", params=["ssh", "adb"])
def arm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arm]:
    root, folder = arm64_root(), tmp_path_factory.mktemp(request.param)
    need_namespaces(root)
    if request.param == "ssh":
        with arm_board(folder / "board", root) as board:
            yield Arm(board.address, board.path)
        return
    try:
        with start(folder, arm64=root) as phone:
            yield Arm(f"adb:{SERIAL}", phone.adb.parent)
    except Unavailable as error:
        pytest.skip(f"no adbd: {error}")


@pytest.fixture
def inventory(arm: Arm, tmp_path: Path) -> Path:
    """One ARM under two names, with an interpreter each; and this machine."""
    file = tmp_path / "devices.yaml"
    old = f"{{address: '{arm.address}', python: /opt/tflite-runtime/bin/python3}}"
    file.write_text(f"devices:\n  here: local\n  new: '{arm.address}'\n  old: {old}\n")
    return file


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden(tmp_path_factory.mktemp("golden") / "pairs")


def shape(value: Any) -> Any:
    """The keys of a JSON document, all the way down; of a list, its first entry's."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


def test_bench_does_its_whole_job(arm: Arm, inventory: Path, golden: Path, tmp_path: Path) -> None:
    model = tmp_path / 'it\'s "digits" $(touch pwned); exit.tflite'
    shutil.copy(MODEL, model)
    names = ("here", "new", "old")
    places = [f"--device={name}" for name in names]
    options = ("--devices", inventory, "--golden", golden, "--json", "out.json")
    ran = arm.tfedge("bench", model, *places, *options, *SETTINGS, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert all(name in ran.stdout for name in names)

    document = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert document["schema"] == "tfedge.bench/1"
    results = {result["device"]: result for result in document["results"]}
    assert list(results) == list(names)
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    for result in results.values():
        assert shape(result) == shape(results["here"])
        assert result["sha256"] == digest and result["model"] == model.stem
        assert len(result["processes"][0]["samples_ns"]) == 2
        assert result["golden"]["top1_agree"] == result["golden"]["pairs"] == PAIRS
    assert results["here"]["golden"]["identical"] == PAIRS
    assert results["new"]["golden"]["identical"] == PAIRS
    assert results["new"]["runtime"] == "LiteRT"
    assert results["old"]["runtime"] == "tflite-runtime"
    for name in ("new", "old"):
        host = results[name]["host"]
        assert (host["machine"], host["cpu"], host["python"]) == ("aarch64", "Cortex-A72", "3.11.2")

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [model.name, inventory.name, "out.json"]
    )
    assert eventually(lambda: not running(f"tfedge-bench/{digest}"))  # nothing was left there


def test_devices_tells_what_is_there(arm: Arm, inventory: Path, tmp_path: Path) -> None:
    ran = arm.tfedge("devices", "new", "old", "--devices", inventory, "--json", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    new, old = json.loads(ran.stdout)["devices"]
    assert (new["machine"], new["python"], new["runtimes"][0][:10]) == (
        "aarch64",
        "3.11.2",
        "LiteRT 2.3",
    )
    assert old["runtimes"] == ["tflite-runtime 2.14.0"] and old["numpy"].startswith("1.")
