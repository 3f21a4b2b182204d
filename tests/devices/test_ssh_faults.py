"""A real sshd on loopback: what goes wrong, and that nothing of it stays."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boards import Board, children, eventually, free_port, kill, running, sshd

from tfedge.devices import shell
from tfedge.devices.device import Busy, patiently
from tfedge.errors import DeviceError

NAP = "while :; do sleep 1; done"


def refused(device: object) -> DeviceError:
    with pytest.raises(DeviceError) as caught, device:  # type: ignore[attr-defined]
        pass
    assert "\n" not in caught.value.message
    return caught.value


def test_unknown_host_key(board: Board) -> None:
    board.known_hosts.write_text("")
    error = refused(board.device())
    assert error.message.startswith("board: its host key is not known here")
    assert f"ssh -p {board.port} {board.user}@127.0.0.1 once" in error.hint
    assert "fingerprint" in error.hint
    assert board.known_hosts.read_text() == ""  # and it was not accepted behind the user's back


def test_changed_host_key(board: Board) -> None:
    other = (board.folder / "user_key.pub").read_text().split()
    board.known_hosts.write_text(f"[127.0.0.1]:{board.port} {other[0]} {other[1]}\n")
    error = refused(board.device())
    assert error.message.startswith("board: the host key has changed")
    assert f"{board.known_hosts}:1" in error.message
    assert f"ssh-keygen -R '[127.0.0.1]:{board.port}'" in error.hint


def test_connection_refused(board: Board) -> None:
    error = refused(board.device(port=free_port()))
    assert error.message.startswith("board: connection refused")
    assert "sshd" in error.hint


def test_no_such_host(board: Board) -> None:
    from tfedge.devices.ssh import SshDevice

    error = refused(SshDevice("no-such-board.invalid", config=board.config))
    assert error.message.startswith("ssh://no-such-board.invalid: no such host")


def test_key_not_authorised(tmp_path: Path) -> None:
    with sshd(tmp_path / "b", authorized=False) as board:
        error = refused(board.device())
    assert error.message.startswith("board: permission denied (publickey)")
    assert f"ssh-copy-id -p {board.port} {board.user}@127.0.0.1" in error.hint


def test_passwords_only(tmp_path: Path) -> None:
    """Nothing waits for a password where nobody can type one."""
    lines = ["PubkeyAuthentication no", "PasswordAuthentication yes"]
    with sshd(tmp_path / "b", lines=lines) as board:
        error = refused(board.device())
    assert error.message.startswith("board: permission denied (password)")
    assert "ssh-copy-id" in error.hint and "at a terminal" in error.hint


def test_an_account_without_a_shell(tmp_path: Path) -> None:
    with sshd(tmp_path / "b", force="echo 'not available' >&2; exit 1") as board:
        error = refused(board.device())
    assert "no command can be run there (1): not available" in error.message


def test_one_session_a_connection(tmp_path: Path) -> None:
    with sshd(tmp_path / "b", lines=["MaxSessions 1"]) as board, board.device() as device:
        with pytest.raises(DeviceError, match="one session a connection") as caught:
            device.run(["true"], timeout=20)
        assert "MaxSessions" in caught.value.hint


def test_a_broken_ssh_configuration(board: Board) -> None:
    board.config.write_text("Hots pi4\n")
    error = refused(board.device())
    assert "the ssh configuration can't be used" in error.message
    assert "Hots" in error.message or "line 1" in error.message or "bad config" in error.message


def test_no_home_folder_that_can_be_written(tmp_path: Path) -> None:
    with sshd(tmp_path / "b") as board:
        (board.home / ".cache").write_text("a file")
        error = refused(board.device())
    assert f"{board.home}/.cache/tfedge-bench can't be made or written there" in error.message


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_disk_full(board: Board, tiny: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.tflite"
    model.write_bytes(b"m" * 1_000_000)
    small = tmp_path / "small.tflite"
    small.write_bytes(b"s" * 100_000)
    with board.device(workspace=str(tiny / "work")) as device:
        with pytest.raises(
            DeviceError, match=r"disk full: no room for .*1,000,000 bytes"
        ) as caught:
            device.push(model)
        assert str(tiny / "work") in caught.value.hint
        assert [p.name for p in (tiny / "work").iterdir()] == ["lock"]  # nothing half-written
        assert Path(device.push(small)).read_bytes() == small.read_bytes()  # and room again


def test_a_disk_that_is_full_already(board: Board, tiny: Path, tmp_path: Path) -> None:
    """What is there can still be measured; nothing more can be sent."""
    model = tmp_path / "model.tflite"
    model.write_bytes(b"m" * 20_000)
    with board.device(workspace=str(tiny / "work")) as device:
        there = device.push(model)
        with (tiny / "rest").open("wb", buffering=0) as rest, pytest.raises(OSError):
            while True:
                rest.write(b"r" * 4096)
    with board.device(workspace=str(tiny / "work")) as device:
        assert device.push(model) == there
        model.write_bytes(b"n" * 20_000)
        with pytest.raises(DeviceError, match=r"disk full: .*20,000 bytes, 0 are free"):
            device.push(model)


def test_a_command_that_hangs_is_ended_there(board: Board) -> None:
    mark = f"tfedge-hang-{board.port}"
    tree = f"sh -c '{NAP}' {mark} & trap '' TERM HUP INT; {NAP}"
    with board.device() as device:
        with pytest.raises(DeviceError, match=r"no answer within 0.5 s.*it was ended there"):
            device.run(["sh", "-c", tree, mark], timeout=0.5)
        assert eventually(lambda: not running(mark))
        assert device.run(["true"], timeout=20).returncode == 0  # the device is still usable


def test_a_board_that_hangs(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "_GRACE", 0.5)
    frozen = []
    with board.device() as device:
        for process in children(board.daemon):
            frozen += [process, *children(process)]
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        with pytest.raises(DeviceError, match="none when it was told to end") as caught:
            device.run(["true"], timeout=0.5)
        assert "hangs" in caught.value.hint
    for process in frozen:
        os.kill(process, signal.SIGCONT)
    assert not running(f"{board.config}")


def in_background(function: Callable[[], None]) -> None:
    threading.Thread(target=function, daemon=True).start()


def test_the_connection_is_lost_in_the_middle(board: Board) -> None:
    mark = f"tfedge-lost-{board.port}"

    def cut() -> None:
        if eventually(lambda: running(mark + "-child")):
            board.cut()

    tree = f"sh -c '{NAP}' {mark}-child & trap '' TERM HUP INT; {NAP}"
    with board.device() as device:
        in_background(cut)
        with pytest.raises(DeviceError, match="board: the connection was lost") as caught:
            device.run(["sh", "-c", tree, mark], timeout=60)
        assert "again" in caught.value.hint
        assert eventually(lambda: not running(mark))
        with pytest.raises(DeviceError, match="the connection was lost"):
            device.run(["true"], timeout=20)  # no second connection behind our back, past the lock
    with board.device() as device:  # the lock went with the connection
        assert device.run(["true"], timeout=20).returncode == 0


def test_the_connection_is_lost_while_a_file_is_sent(tmp_path: Path) -> None:
    tools, started = tmp_path / "tools", tmp_path / "started"
    tools.mkdir()
    slow = f'touch {shlex.quote(str(started))}; sleep 1; PATH=/usr/bin:/bin; exec tar "$@"'
    (tools / "tar").write_text(f"#!/bin/sh\n{slow}\n")
    (tools / "tar").chmod(0o755)
    model = tmp_path / "model.tflite"
    model.write_bytes(os.urandom(4_000_000))
    path = f'SetEnv "PATH={tools}:/usr/bin:/bin"'
    with sshd(tmp_path / "b", lines=[path]) as board:
        work = tmp_path / "work"
        with board.device(workspace=str(work)) as device:
            in_background(lambda: board.cut() if eventually(started.exists) else None)
            with pytest.raises(DeviceError, match="the connection was lost"):
                device.push(model)
            assert eventually(lambda: not list(work.rglob("*model*")))
            assert eventually(lambda: [p.name for p in work.iterdir()] == ["lock"])
        with board.device(workspace=str(work)) as device:
            assert Path(device.push(model)).read_bytes() == model.read_bytes()


def other_process(board: Board, mark: str) -> subprocess.Popen[str]:
    """A tfedge of its own that holds the board and runs something on it."""
    code = (
        "import sys; from pathlib import Path; from tfedge.devices.ssh import SshDevice\n"
        f"with SshDevice('127.0.0.1', user={board.user!r}, port={board.port},"
        f" config=Path({str(board.config)!r})) as device:\n"
        "    print('held', flush=True)\n"
        f"    device.run(['sh', '-c', {NAP!r}, {mark!r}], timeout=600)\n"
    )
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    process.stdout.close()
    return process


def test_two_benches_at_once(board: Board) -> None:
    mark = f"tfedge-two-{board.port}"
    first = other_process(board, mark)
    try:
        assert eventually(lambda: running(mark))
        with pytest.raises(Busy, match=r"board: busy: a bench of .+@.+ is running") as caught:
            board.device().__enter__()
        way_out = caught.value.hint.rpartition(": ")[2].split()
        login = ["ssh", "-p", str(board.port), f"{board.user}@127.0.0.1"]
        assert way_out[:-1] == [*login, "kill"]
        with pytest.raises(Busy):
            patiently(board.device().__enter__, 1.5)
        assert running(mark)  # the first is not disturbed
        kill(int(way_out[-1]))  # the way out of the hint, here without the ssh
        patiently(board.device().__enter__, 20).__exit__()
    finally:
        kill(first.pid)
        first.wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_this_side_is_killed(board: Board, number: signal.Signals) -> None:
    mark = f"tfedge-killed-{board.port}"
    first = other_process(board, mark)
    assert eventually(lambda: running(f"{NAP}\0{mark}"))
    first.send_signal(number)
    first.wait()
    assert eventually(lambda: not running(mark))
    device = patiently(board.device().__enter__, 20)  # and it is free again
    try:
        assert device.run(["true"], timeout=20).returncode == 0
    finally:
        device.__exit__()
