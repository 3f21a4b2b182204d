"""A real sshd on loopback, used as a board: what works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from boards import Board, children, comm, eventually, running
from box_data_helpers import WRITERS
from detector_helpers import detector, painted, scenes

from tfedge import bench, evaluate
from tfedge.devices.address import open_device
from tfedge.errors import DeviceError


def sessions(board: Board) -> list[int]:
    """Connections that its sshd serves."""
    return [process for process in children(board.daemon) if comm(process).startswith("sshd")]


def test_a_bench_s_work_over_one_connection(board: Board, tmp_path: Path) -> None:
    model = tmp_path / "a 'model' $(touch pwned); touch pwned\n.tflite"
    model.write_bytes(bytes(range(256)) * 5000)
    log = board.folder / "sshd.log"
    with board.device() as device:
        there = device.push(model)
        assert there.startswith(f"{board.home}/.cache/tfedge-bench/")
        assert Path(there).read_bytes() == model.read_bytes()
        done = device.run(
            ["sh", "-c", 'wc -c <"$1"; echo err >&2; exit 255', "-", there], timeout=20
        )
        assert (done.returncode, done.stdout, done.stderr) == (255, "1280000\n", "err\n")
        device.pull(there, tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == model.read_bytes()
        assert device.push(model) == there
    assert log.read_text().count("Accepted publickey") == 1
    assert eventually(lambda: not sessions(board))
    assert not running(f"{board.config}")  # no ssh is left here, either
    assert not list(board.home.rglob("pwned")) and not Path("pwned").exists()


def test_a_script_on_its_interpreter(board: Board, tmp_path: Path) -> None:
    """The shape of a benchmark: pushed script, interpreter in the home folder, stdin watched."""
    (board.home / "venv bin").mkdir()
    (board.home / "venv bin/python").symlink_to(sys.executable)
    script = tmp_path / "script.py"
    script.write_text(
        "import json, os, sys, threading\n"
        "def leave():\n"
        "    sys.stdin.read()\n"
        "    os._exit(9)\n"
        "threading.Thread(target=leave, daemon=True).start()\n"
        "threading.Event().wait(1)\n"
        "print(json.dumps(sys.argv[1:]))\n"
    )
    with board.device(python=("~/venv bin/python",)) as device:
        assert device.python == (f"{board.home}/venv bin/python",)
        done = device.run([*device.python, device.push(script), "--attached", "ü 'x'"], timeout=60)
    assert done.stdout == '["--attached", "\\u00fc \'x\'"]\n', done
    assert done.returncode == 0


def test_the_user_s_configuration_counts(board: Board) -> None:
    with board.config.open("a") as config:
        config.write(
            f"Host Pi4\n  HostName 127.0.0.1\n  Port {board.port}\n  User {board.user}\n"
            "  RemoteCommand tmux\n  RequestTTY yes\n  ControlMaster auto\n  ControlPersist yes\n"
            f"  LocalForward 127.0.0.1:{board.port} 127.0.0.1:1\n  ExitOnForwardFailure yes\n"
            "  LogLevel QUIET\n"
        )
    from tfedge.devices.ssh import SshDevice

    with SshDevice("Pi4", config=board.config) as device:
        assert device.name == "ssh://Pi4"
        assert device.run(["echo", "here"], timeout=20).stdout == "here\n"
    assert eventually(lambda: not sessions(board))  # whatever ControlPersist says


def test_by_address(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(board.path), prepend=":")
    with open_device(board.address, python=["python3.9"]) as device:
        assert device.name == board.address and device.python == ("python3.9",)
        assert device.run(["true"], timeout=20).returncode == 0


def test_a_small_board_without_sftp(board: Board, tmp_path: Path) -> None:
    assert "Subsystem" not in (board.folder / "sshd_config").read_text()
    (tmp_path / "model.tflite").write_bytes(b"model")
    with board.device() as device:
        assert Path(device.push(tmp_path / "model.tflite")).read_bytes() == b"model"


def test_a_long_folder_for_temporary_files(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with board.device() as device:
        assert device.run(["true"], timeout=20).returncode == 0


def test_what_can_t_be_read_here_is_said_before_anything_is_sent(
    board: Board, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with board.device() as device:
        with pytest.raises(DeviceError, match=r"gone\.tflite: can't be read: No such file"):
            device.push(tmp_path / "gone.tflite")
        with pytest.raises(DeviceError, match="an empty folder"):
            device.push(tmp_path / "empty")
        assert {p.name for p in (board.home / ".cache/tfedge-bench").iterdir()} == {"lock"}


def test_outside_the_with_block_is_a_bug(board: Board) -> None:
    device = board.device()
    with pytest.raises(RuntimeError, match="outside its with block"):
        device.run(["true"], timeout=20)


def test_the_boxes_that_a_board_finds_are_counted_there(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images and what is on them go there once, in folders of names that say nothing."""
    monkeypatch.setattr("box_data_helpers.NAMES", ("red", "green"))
    root = painted(WRITERS["voc"](tmp_path / "scenes", scenes()), scenes())
    model = detector(tmp_path / "run") / "convert" / "model.tflite"
    monkeypatch.setenv("PATH", f"{board.path}:{os.environ['PATH']}")
    devices = tmp_path / "devices.yaml"
    devices.write_text(
        f"devices:\n  pi: {{address: '{board.address}', python: '{sys.executable}'}}\n"
    )
    options = {"runs": 2, "warmup": 0, "processes": 2, "devices_file": devices}
    cache = tmp_path / "cache"
    found = bench(model, devices="pi", accuracy=root, cache=cache, **options)  # type: ignore[arg-type]
    (result,) = found.results
    assert result.device == "pi" and result.accuracy is not None
    here = evaluate(model, root, cache=cache)
    assert result.accuracy["map50"] == pytest.approx(here["map50"]) == 1.0
    assert result.accuracy["map"] == pytest.approx(here["map"]) and result.accuracy["n"] == 4
