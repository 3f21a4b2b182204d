"""``tfedge devices`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfedge import cli
from tfedge.devices.health import Health
from tfedge.devices.remedies import Missing
from tfedge.devices.schema import BenchDevice


@pytest.fixture
def looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """An empty working directory; name, address and benchmark_model of what was examined. The
    device ``old`` lacks numpy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found: list[tuple[str, str, str]] = []

    def examine(device: BenchDevice, tool: Path | None = None) -> Health:
        found.append((device.name, device.address, tool.name if tool else ""))
        lacks = (Missing("numpy", "pip install numpy"),) if device.name == "old" else ()
        return Health(device.name, device.address, python="3.11.2", machine="x", missing=lacks)

    monkeypatch.setattr("tfedge.devices.health.examine", examine)
    return found


def test_all_of_the_file_or_those_that_are_named(
    looked_at: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tool").touch()
    text = "devices:\n  pi: ssh://pi\n  old: ssh://old\n"
    phone = "  phone: {address: adb, benchmark_model: {path: tool}}\n"
    (tmp_path / "devices.yaml").write_text(text + phone)
    assert cli.main(["devices"]) == 8
    pi, old, phone = ("pi", "ssh://pi", ""), ("old", "ssh://old", ""), ("phone", "adb", "tool")
    assert looked_at == [pi, old, phone]
    said = capsys.readouterr()
    assert "pi     ready" in said.out and "old    not ready" in said.out
    assert "missing: numpy\n        pip install numpy" in said.out
    assert said.err.splitlines()[-1] == "not ready: old"

    looked_at.clear()
    assert cli.main(["devices", "pi", "local", "--json"]) == 0
    assert looked_at == [pi, ("local", "local", "")]
    rows = json.loads(capsys.readouterr().out)
    assert rows["schema"] == "tfedge.devices/1"
    assert [(row["name"], row["ready"]) for row in rows["devices"]] == [
        ("pi", True),
        ("local", True),
    ]
    assert cli.main(["devices", "phne"]) == 8
    assert "did you mean phone?" in capsys.readouterr().err


def test_without_a_file_this_machine(looked_at: list, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["devices"]) == 0
    assert looked_at == [("local", "local", "")]
    assert "no devices.yaml" in capsys.readouterr().err


def test_a_tool_that_is_not_there_is_said(
    looked_at: list, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phone = "devices:\n  phone: {address: adb, benchmark_model: {path: gone}}\n"
    (tmp_path / "devices.yaml").write_text(phone)
    assert cli.main(["devices"]) == 7
    said = capsys.readouterr().err
    assert "gone: no such file" in said and "benchmark_model.path" in said
