"""devices.yaml: what it means, where it is looked for, and how it is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tfedge import cli
from tfedge.devices.inventory import Inventory, finder, locate, machine_of, open_inventory, read
from tfedge.devices.schema import BenchDevice
from tfedge.errors import ConfigError, DeviceError
from tfedge.pipeline.load import load

TEXT = """\
devices:
  pi4: ssh://pi@raspberrypi.local:2222
  old:
    address: local:venvs/rt/bin/python   # relative to this file
    timeout: 60
    delegate: none
  phone:
    address: adb:0A1B2C
    benchmark_model: {path: tools/benchmark_model}
"""
PIPELINE = "name: small\ndata: {path: sample:digits}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no configuration at home."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path / "here"


def written(path: Path, text: str = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path)
    return [line.replace(f"{path.parent}{os.sep}", "") for line in caught.value.problems]


def test_entries_short_and_long(tmp_path: Path) -> None:
    devices = read(written(tmp_path / "devices.yaml")).devices
    assert list(devices) == ["pi4", "old", "phone"]
    assert devices["pi4"] == BenchDevice(name="pi4", address="ssh://pi@raspberrypi.local:2222")
    assert devices["old"].address == f"local:{tmp_path}/venvs/rt/bin/python"
    assert (devices["old"].timeout, devices["old"].delegate) == (60, "none")
    tool = devices["phone"].benchmark_model
    assert tool is not None and tool.path == str(tmp_path / "tools" / "benchmark_model")


def test_the_home_folder_is_meant_by_a_tilde(here: Path) -> None:
    path = written(here / "devices.yaml", "devices: {rt: 'local:~/rt/bin/python'}\n")
    assert read(path).devices["rt"].address == f"local:{here.parent}/home/rt/bin/python"


def test_a_device_is_found_by_name_or_is_an_address(tmp_path: Path) -> None:
    inventory = read(written(tmp_path / "devices.yaml"))
    old = inventory.find(BenchDevice(name="old", optional=True, timeout=5), tmp_path / "elsewhere")
    assert old.address == f"local:{tmp_path}/venvs/rt/bin/python"
    assert (old.optional, old.timeout, old.delegate) == (True, 5, "none"), "its own words first"
    for address in ("local", "adb", "adb:X", "ssh://pi@other"):
        assert inventory.find(BenchDevice(name=address), tmp_path).address == address
    named = inventory.find(BenchDevice(name="pi4", address="ssh://pi@other"), tmp_path)
    assert (named.name, named.address) == ("pi4", "ssh://pi@other")
    relative = inventory.find(BenchDevice(name="local:rt/python"), tmp_path)
    assert (relative.name, relative.address) == ("local:rt/python", f"local:{tmp_path}/rt/python")
    with pytest.raises(DeviceError, match="'pi5' is not known, did you mean pi4"):
        inventory.find(BenchDevice(name="pi5"), tmp_path)


def test_every_problem_at_once_with_its_place(tmp_path: Path) -> None:
    text = """\
devices:
  pi4: ssh//pi@x
  local: ssh://pi@y
  "a b": ssh://pi@y
  nano: {adress: x, timeout: -1, runtime: litrt}
  p.x:
    address: adb
    benchmark_model: {url: http://x/y}
  both: {address: adb, benchmark_model: {}}
  many: 3
  pi4: adb
other: 1
"""
    said = problems(written(tmp_path / "d.yaml", text))
    begin = [
        "d.yaml:2:8: devices.pi4: 'ssh//pi@x' is not known",
        "d.yaml:3:3: devices.local: a name must be letters",
        "d.yaml:4:3: devices.a b: a name must be letters",
        "d.yaml:5:3: devices.nano.address: missing; must be text",
        "d.yaml:5:10: devices.nano.adress: unknown key, did you mean address?",
        "d.yaml:5:30: devices.nano.timeout: must be a number above 0, got -1",
        "d.yaml:5:43: devices.nano.runtime: must be auto, litert, tflite-runtime, pycoral or",
        "d.yaml:8:28: devices.p.x: benchmark_model.url: what is downloaded needs its sha256",
        "d.yaml:9:41: devices.both: benchmark_model: give either path or url",
        "d.yaml:10:9: devices.many: must be text, or a section (with address, python, ",
        "d.yaml:11:3: devices.pi4: given twice (first in line 2)",
        "d.yaml:12:1: other: unknown key (allowed: devices)",
    ]
    assert len(said) == len(begin)
    for line, start in zip(said, begin, strict=True):
        assert line.startswith(start), line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("- pi4", "must be sections (devices:), got a list"),
        ("devices:", "devices: must be names, each with text, or a section (with address"),
        ("device: {}", "device: unknown key, did you mean devices?"),
        ("devices: {a: !!python/name:os.system }", "a devices.yaml holds plain data only"),
    ],
)
def test_what_is_no_devices_file(tmp_path: Path, text: str, said: str) -> None:
    assert said in "\n".join(problems(written(tmp_path / "d.yaml", text)))


def test_where_it_is_looked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate() is None and open_inventory(None) == Inventory()
    at_home = written(here.parent / "home" / ".config" / "tfedge" / "devices.yaml")
    assert locate() == at_home
    monkeypatch.setenv("XDG_CONFIG_HOME", str(here.parent / "xdg"))
    assert locate() is None
    xdg = written(here.parent / "xdg" / "tfedge" / "devices.yaml")
    assert locate() == xdg
    written(here / "devices.yaml")
    assert locate() == Path("devices.yaml"), "the nearer one"
    given = written(here.parent / "given.yaml", "devices: {only: adb}\n")
    assert list(open_inventory(given).devices) == ["only"]
    with pytest.raises(ConfigError, match="no such file"):
        open_inventory(here / "gone.yaml")


def test_a_broken_file_breaks_only_who_needs_it(here: Path) -> None:
    written(here / "devices.yaml", "devices: 3\n")
    local, named = BenchDevice(name="local"), BenchDevice(name="pi4")
    assert finder(None)(local, here).address == "local"
    with pytest.raises(ConfigError, match="devices: must be names"):
        finder(None)(named, here)
    with pytest.raises(ConfigError, match="devices: must be names"):
        finder(Path("devices.yaml"))(local, here)  # asked for


def test_the_file_of_the_current_folder_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever wrote it says which programs are started, and where."""
    file = written(here / "devices.yaml")
    note = f"note: devices: as {file.absolute()} says, found in the current folder"

    def said(devices: str, *options: str) -> list[str]:
        path = written(here / "p.yaml", f"{PIPELINE}benchmark: {{devices: {devices}}}\n")
        assert cli.main(["check", str(path), *options]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if "devices: as" in line]

    assert said("[pi4]") == [note]
    assert said("[local]") == []  # which needs no file
    assert said("[pi4]", "--devices", "devices.yaml") == []  # asked for
    file.rename(written(here.parent / "home" / ".config" / "tfedge" / "devices.yaml"))
    assert said("[pi4]") == []  # the user's own


def test_one_machine_under_two_names() -> None:
    def at(address: str) -> tuple[object, ...]:
        return machine_of(BenchDevice(name="x", address=address))

    assert at("local") == at("local:/usr/bin/python3")
    assert at("ssh://pi@Board") == at("ssh://pi@board")
    assert len({at(a) for a in ("local", "adb", "adb:1", "adb:2", "ssh://a", "ssh://a:2")}) == 6


# ------------------------------------------------------------------ in a pipeline


def test_a_pipeline_knows_its_devices_and_needs_the_file_no_more(here: Path) -> None:
    written(here / "devices.yaml")
    text = PIPELINE + "benchmark: {devices: [local, {name: pi4, optional: true}]}\n"
    loaded = load(written(here / "p.yaml", text), [], finder(None))
    benchmark = loaded.pipeline.benchmark
    assert benchmark is not None and benchmark.devices[0] == "local"
    assert [d.address for d in benchmark.measured_on][1] == "ssh://pi@raspberrypi.local:2222"
    (here / "devices.yaml").unlink()
    again = written(here / "resolved.json", json.dumps(loaded.resolved()))
    assert load(again, [], finder(None)).pipeline == loaded.pipeline


def test_a_wrong_device_is_a_line_among_the_problems(here: Path) -> None:
    written(here / "devices.yaml")
    devices = "[loacl, pi5, {name: old, optinal: true}, {optional: true}]"
    path = written(here / "p.yaml", f"{PIPELINE}benchmark:\n  devices: {devices}\nseed: x\n")
    with pytest.raises(ConfigError) as caught:
        load(path, ["benchmark.devices=[pi5, pi4, pi4, 'x://y']"], finder(None))
    said = [line.replace(f"{here}{os.sep}", "").split(" (")[0] for line in caught.value.problems]
    where = "--set benchmark.devices=[pi5, pi4, pi4, 'x://y']: benchmark.devices"
    assert said == [
        "p.yaml:5:7: seed: must be a whole number of at least 0 and below 2147483648, got 'x'",
        f"{where}: something is named twice",
        f"{where}[0]: device 'pi5' is not known, did you mean pi4?",
        f"{where}[3]: device 'x://y' is not known",
    ]
    with pytest.raises(ConfigError) as caught:
        load(path, [], finder(None))
    said = [line.replace(f"{here}{os.sep}", "").split(" (")[0] for line in caught.value.problems]
    assert said[:2] == [
        "p.yaml:4:37: benchmark.devices[2].optinal: unknown key, did you mean optional?",
        "p.yaml:4:53: benchmark.devices[3].name: missing; must be text",
    ]


def test_problems_of_devices_yaml_come_with_those_of_the_pipeline(here: Path) -> None:
    written(here / "devices.yaml", "devices: {pi4: nowhere}\n")
    path = written(here / "p.yaml", PIPELINE + "benchmark: {devices: [pi4, pi3]}\nseed: x\n")
    with pytest.raises(ConfigError) as caught:
        load(path, [], finder(None))
    assert [line.split(": ")[1] for line in caught.value.problems] == ["seed", "devices.pi4"]


def test_the_first_device_of_a_latency_gate_is_not_optional(here: Path) -> None:
    text = PIPELINE + "evaluate: {gates: {max_latency: 3}}\n"
    for devices, fine in (
        ("[{name: adb, optional: true}, local]", False),
        ("[local, {name: adb, optional: true}]", True),
    ):
        path = written(here / "p.yaml", text + f"benchmark: {{devices: {devices}}}\n")
        if fine:
            load(path, [], finder(None))
        else:
            with pytest.raises(ConfigError, match=r"adb: evaluate\.gates\.max_latency holds on "):
                load(path, [], finder(None))


def test_check_says_it_all_without_connecting(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a device was opened")

    monkeypatch.setattr("tfedge.devices.address.open_device", never)
    path = written(here / "p.yaml", PIPELINE + "benchmark: {devices: [pi4, local]}\n")
    assert cli.main(["check", str(path)]) == 2
    assert "device 'pi4' is not known" in capsys.readouterr().err
    given = written(here / "my devices.yaml")
    assert cli.main(["check", str(path), "--devices", str(given)]) == 0
    assert cli.main(["run", str(path), "--devices", str(given), "--dry-run"]) == 0
    assert "pi4 (ssh://pi@raspberrypi.local:2222), local" in capsys.readouterr().out
