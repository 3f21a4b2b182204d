"""What is sent to a device: names, digests, frames, messages. No device needed."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tfedge.devices.payload import pack, safe_name
from tfedge.devices.scripts import unframed
from tfedge.devices.shell import shown
from tfedge.devices.ssh_faults import Target, connect_fault
from tfedge.errors import DeviceError


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("model_int8-2.1.tflite", "model_int8-2.1.tflite"),
        ("my model.tflite", "my_model.tflite"),
        ("; touch pwned.tflite", "_touch_pwned.tflite"),
        ("$(reboot)`x`'\"\\\n.tflite", "_reboot_x_.tflite"),
        ("-rf.tflite", "rf.tflite"),
        (".part", "part"),
        ("..", "file"),
        ("", "file"),
        ("модель.tflite", "_.tflite"),
    ],
)
def test_names_that_nothing_takes_for_anything_else(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_ending() -> None:
    short = safe_name("m" * 300 + ".tflite")
    assert len(short) == 100 and short.endswith("m.tflite")


def test_a_file_is_its_digest(tmp_path: Path) -> None:
    model = tmp_path / "a b.tflite"
    model.write_bytes(b"model")
    payload = pack(model)
    assert payload.digest == hashlib.sha256(b"model").hexdigest()
    assert payload.files == {"a_b.tflite": (model, payload.digest)} and payload.size == 5


def test_a_folder_is_all_its_names_and_digests(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "daisy").mkdir(parents=True)
    (folder / "daisy/1.jpg").write_bytes(b"one")
    (folder / "2.jpg").write_bytes(b"two")
    first = pack(folder)
    assert set(first.files) == {"photos/daisy/1.jpg", "photos/2.jpg"} and first.size == 6
    with io.BytesIO() as file:
        first.write_tar(file)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            assert {m.name for m in tar} == set(first.files)
            assert {(m.mode, m.uid, m.uname, m.mtime) for m in tar} == {(0o755, 0, "", 0)}
    (folder / "2.jpg").rename(folder / "3.jpg")
    renamed = pack(folder).digest
    (folder / "3.jpg").write_bytes(b"owt")
    assert len({first.digest, renamed, pack(folder).digest}) == 3


def frame(stdout: bytes, stderr: bytes, code: int) -> tuple[bytes, bytes]:
    out, err = b"tfedge-begin\n" + stdout, b"tfedge-begin\n" + stderr
    return out, err + b"\ntfedge-ended %d\n" % code


def test_the_frame_is_taken_off() -> None:
    out, err = frame(b"\0\xff\n", b"no newline", 7)
    assert unframed(b"motd\n" + out, b"banner\n" + err + b"later") == (7, b"\0\xff\n", "no newline")


def test_only_the_last_end_counts() -> None:
    out, err = frame(b"", b"a\ntfedge-ended 0\nb", 3)
    assert unframed(out, err) == (3, b"", "a\ntfedge-ended 0\nb")


def test_windows_line_ends_of_a_client() -> None:
    out, err = (part.replace(b"\n", b"\r\n") for part in frame(b"", b"", 3))
    assert unframed(out, err) == (3, b"", "")


def test_a_command_that_did_not_end_by_itself_has_no_code() -> None:
    out, err = frame(b"half", b"", 0)
    assert unframed(out, err.rpartition(b"\ntfedge-ended")[0] + b"client: lost") == (
        None,
        b"",
        "client: lost",
    )


def test_a_command_in_a_message_is_short_and_on_one_line() -> None:
    assert shown(["python3", "a b", "x\ny"]) == "python3 'a b' 'x y'"
    assert len(shown(["x"] * 500)) == 160


PI = Target("pi4", "Board", 2222, ("ssh", "-p", "2222", "pi@Board"))
CHANGED = """\
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Offending ED25519 key in /home/me/.ssh/known_hosts:7
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        (
            CHANGED,
            "the host key has changed (/home/me/.ssh/known_hosts:7)",
            "ssh-keygen -R '[Board]:2222'",
        ),
        ("Host key verification failed.", "not known here", "ssh -p 2222 pi@Board once"),
        (
            "pi@Board: Permission denied (publickey,password).",
            "permission denied (publickey,password)",
            "ssh-copy-id -p 2222 pi@Board",
        ),
        ("ssh: connect to host: Connection refused", "connection refused", "sshd"),
        ("ssh: Could not resolve hostname x", "no such host", "check the name"),
        ("ssh: connect to host Board: No route to host", "does not answer", "switched on"),
        ("Connection timed out during banner exchange", "does not answer", "switched on"),
        ("Unable to negotiate: no matching host key type", "no algorithm", "ssh -v -p 2222"),
        ("something new", "no connection: something new", "does ssh -p 2222 pi@Board work?"),
        ("", "no connection: it gave no reason", "does ssh"),
    ],
)
def test_what_ssh_says_and_the_way_out(stderr: str, message: str, hint: str) -> None:
    error = connect_fault(PI, 255, stderr)
    assert error.message.startswith("pi4: ") and message in error.message
    assert "\n" not in error.message
    assert hint in error.hint


def test_an_account_without_a_shell_is_not_a_connection_that_failed() -> None:
    error = connect_fault(PI, 1, "This account is currently not available.")
    assert error.message.startswith("pi4: logged in, but no command can be run there (1)")


def test_nothing_at_that_path(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"gone\.tflite: can't be read: No such file"):
        pack(tmp_path / "gone.tflite")
