"""The scripts of tfedge.devices.scripts in every shell that a device may have."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from boards import eventually, require, running
from worlds import MAKERS, World, make

from tfedge.devices.device import Busy
from tfedge.errors import DeviceError

NAP = "while :; do sleep 1; done"


@pytest.fixture(params=MAKERS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return make(request.param, tmp_path)


def test_a_command_s_own_code_and_words_come_through(world: World) -> None:
    with world.held() as shell:
        done = shell.run(["sh", "-c", "echo out; echo err >&2; exit 255"], timeout=20)
        assert (done.returncode, done.stdout, done.stderr) == (255, "out\n", "err\n")
        done = shell.run(["sh", "-c", "printf no-newline; printf neither >&2"], timeout=20)
        assert (done.returncode, done.stdout, done.stderr) == (0, "no-newline", "neither")
        assert shell.run(["sh", "-c", "kill -KILL $$"], timeout=20).returncode == 128 + 9
        done = shell.run(["no such program"], timeout=20)
        assert (done.returncode, done.stderr) == (127, "no such program: not found\n")


HOSTILE = [
    "; touch pwned",
    "$(touch pwned)",
    "`touch pwned`",
    "a'b\"c",
    "-rf",
    "--help",
    "new\nline",
    "tab\tand  blanks ",
    "*",
    "~",
    "back\\slash\\n",
    "!!",
    "%s%n",
    "ünï",
    "",
    "& exit 3 #",
]


def test_arguments_arrive_as_they_are(world: World) -> None:
    with world.held() as shell:
        done = shell.run(["sh", "-c", 'printf "%s\\1" "$@"', "sh", *HOSTILE], timeout=20)
        assert done.stdout.split("\1")[:-1] == HOSTILE
    assert not list(world.folder.rglob("pwned"))


def test_stdin_is_open_and_empty_while_the_command_runs(world: World) -> None:
    waits = "read -t 1 x; [ $? -gt 128 ] && echo open || echo closed"
    with world.held() as shell:
        done = shell.run(["/bin/bash", "-c", waits], timeout=20)
        assert done.stdout == "open\n"


def test_after_a_timeout_nothing_is_left(world: World) -> None:
    mark = f"tfedge-nap-{os.getpid()}-{world.folder.name}"
    tree = f"sh -c '{NAP}' {mark} & sh -c '{NAP}' {mark} & wait"
    if not (world.bin / "setsid").exists():
        tree = NAP  # only the command itself is reached; --attached is for what it starts
    with world.held() as shell:
        with pytest.raises(
            DeviceError, match=r"no answer within 0.5 s.*it was ended there"
        ) as caught:
            shell.run(["sh", "-c", tree, mark], timeout=0.5)
        assert "--timeout" in caught.value.hint
        assert eventually(lambda: not running(mark))


def test_a_stopped_command_ends_too(world: World) -> None:
    mark = f"tfedge-stop-{os.getpid()}-{world.folder.name}"
    with world.held() as shell:
        with pytest.raises(DeviceError, match="it was ended there"):
            shell.run(["sh", "-c", "kill -STOP $$", mark], timeout=0.5)
        assert eventually(lambda: not running(mark))


def test_a_file_is_sent_once_and_again_when_the_device_has_another(
    world: World, tmp_path: Path
) -> None:
    model = tmp_path / "; touch pwned $(x) 'q' \"d\".tflite"
    model.write_bytes(bytes(range(256)) * 999)
    with world.held() as shell:
        there = Path(shell.push(model))
        assert there.read_bytes() == model.read_bytes()
        assert there.parent.name == hashlib.sha256(model.read_bytes()).hexdigest()
        assert re.fullmatch(r"[\w.]+\.tflite", there.name)
        first = there.stat().st_ino
        assert shell.push(model) == str(there)
        assert there.stat().st_ino == first  # not sent again
        damaged = bytearray(model.read_bytes())
        damaged[1000] ^= 1  # the same size
        there.write_bytes(damaged)
        assert shell.push(model) == str(there)
        assert there.read_bytes() == model.read_bytes()
    assert not list(world.folder.rglob("pwned"))
    assert not list(world.folder.rglob(".part"))


def test_what_is_damaged_on_the_way_is_noticed_and_goes(tmp_path: Path) -> None:
    world = make("dash", tmp_path)
    (world.bin / "real-tar").symlink_to(require("tar", "tar"))
    (world.bin / "tar").unlink()
    flip = 'real-tar "$@" && printf X | dd of="$4/model.tflite" bs=1 seek=5 conv=notrunc'
    (world.bin / "dd").symlink_to(require("dd", "coreutils"))
    (world.bin / "tar").write_text(f"#!/bin/sh\n{flip} 2>/dev/null\n")
    (world.bin / "tar").chmod(0o755)
    model = tmp_path / "model.tflite"
    model.write_bytes(b"a model of the same size")
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    said = f"damaged on the way: .*expected SHA-256 {digest}"
    with world.held() as shell, pytest.raises(DeviceError, match=said):
        shell.push(model)
    assert [p.name for p in (world.folder / "home/work space").iterdir()] == ["lock"]
    (world.bin / "cat").unlink()
    (world.bin / "cat").symlink_to(require("rev", "util-linux"))
    with world.held() as shell, pytest.raises(DeviceError, match="damaged on the way"):
        shell.pull(str(model), tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_folder_keeps_its_names(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "golden pairs"
    names = ["000.input.bin", "daisy flower/it's $(one).jpg", "-x/;y", "new\nline"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 9)
    with world.held() as shell:
        there = Path(shell.push(folder))
        assert there.name == "golden_pairs"
        for name in names:
            assert (there / name).read_bytes() == name.encode() * 9
        (there / "000.input.bin").unlink()
        assert Path(shell.push(folder)) == there
        assert (there / "000.input.bin").is_file()


def test_a_file_comes_back_whole_or_not_at_all(world: World, tmp_path: Path) -> None:
    source, target = tmp_path / "a 'b'.json", tmp_path / "here.json"
    source.write_bytes(b"\0\r\n\xff" * 1000)
    with world.held() as shell:
        shell.pull(str(source), target)
        assert target.read_bytes() == source.read_bytes()
        target.unlink()
        with pytest.raises(DeviceError, match=r"gone.json can't be fetched: no such file"):
            shell.pull("/gone.json", target)
    assert not target.exists()


def test_what_an_earlier_bench_left_half_sent_goes(world: World) -> None:
    part = world.folder / "home/work space/0123/.part"
    part.mkdir(parents=True)
    (part / "model").write_text("half")
    old, new = part.parent.parent / "old", part.parent.parent / "new"
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    with world.held():
        assert not part.exists()
        assert not old.exists() and new.exists()


def test_one_at_a_time_and_free_again_when_the_first_is_killed(world: World) -> None:
    holder = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from worlds import World
        with World(Path({str(world.bin)!r}), Path({str(world.folder)!r})).held():
            print("held", flush=True)
            time.sleep(600)
        """
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    first = subprocess.Popen(
        [sys.executable, "-c", holder],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with (
            pytest.raises(Busy, match=r"world: busy: a bench of .+@.+ is running") as caught,
            world.held(),
        ):
            pass
        assert "wait" in caught.value.hint and "kill " in caught.value.hint
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
        first.stdout.close()  # type: ignore[union-attr]

    def free() -> bool:
        try:
            with world.held():
                return True
        except Busy:
            return False

    assert eventually(free)


def test_the_lock_is_no_obstacle_within_one_process(world: World) -> None:
    with world.held() as shell, world.held() as again:
        assert shell.run(["true"], timeout=20).returncode == 0
        assert again.run(["true"], timeout=20).returncode == 0


@pytest.mark.parametrize("login", ["fish", "tcsh"])
def test_a_login_shell_that_is_no_posix_shell(login: str, tmp_path: Path) -> None:
    world = replace(make("dash", tmp_path), login=login)
    (world.bin / login).symlink_to(require(login, login))
    model = tmp_path / 'it\'s a "model"; exit.tflite'
    model.write_bytes(b"content")
    with world.held() as shell:
        assert Path(shell.push(model)).read_bytes() == b"content"
        plain = [
            word for word in HOSTILE if not set(word) & set("\n!")
        ]  # csh expands these in quotes
        done = shell.run(["sh", "-c", 'printf "%s\\1" "$@"', "sh", *plain], timeout=20)
        assert done.stdout.split("\1")[:-1] == plain
        with pytest.raises(DeviceError, match="it was ended there"):
            shell.run(["sleep", "600"], timeout=0.5)


def test_what_a_login_script_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    world = make("dash", tmp_path)
    noisy = world.bin / "noisy"
    noisy.write_text('#!/bin/sh\necho "Welcome!"; printf "you have mail" >&2; exec /bin/sh "$@"\n')
    noisy.chmod(0o755)
    source = tmp_path / "file"
    source.write_bytes(b"content")
    with replace(world, login="noisy").held() as shell:
        done = shell.run(["sh", "-c", "echo out; echo err >&2"], timeout=20)
        assert (done.stdout, done.stderr) == ("out\n", "err\n")
        shell.pull(shell.push(source), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"content"


def test_a_missing_tool_is_named(world: World) -> None:
    (world.bin / "flock").unlink()
    with pytest.raises(DeviceError, match="'flock' is missing there") as caught, world.held():
        pass
    assert "util-linux" in caught.value.hint
