"""A cache that others use, too: damage in it, other users, other runs, links, a full disk."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from core_fakes import ALL, NEVER_CACHED, calls, go, how, prepare, run_json, shell, wait_for

from tfedge import cli
from tfedge.core import rundir
from tfedge.core.cache import DAMAGED_DAYS, RECORD, StageCache, Workspace
from tfedge.errors import ArtifactError
from tfedge.files.artifact import write_json
from tfedge.files.files import holder_of, is_inside, locked, try_lock
from tfedge.files.space import full_disk

KEPT = [name for name in ALL if name not in NEVER_CACHED]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed: root can be one")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def entry_of(folder: Path, run: Path, stage: str) -> Path:
    key = json.loads((run / stage / RECORD).read_text())["key"]
    return folder / "cache" / "stages" / key


def moved(folder: Path) -> list[Path]:
    return sorted((folder / "cache" / "stages" / "damaged").glob("*"))


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# ------------------------------------------------------------------ damaged records


def changed(change: Callable[[dict], Any]) -> Callable[[str], str]:
    """A damage: the record's text after a change to what it says."""

    def damage(text: str) -> str:
        record = json.loads(text)
        change(record)
        return json.dumps(record)

    return damage


def renamed_output(name: str) -> Callable[[str], str]:
    def change(record: dict) -> None:
        record["outputs"][name] = record["outputs"].pop("model.tflite")

    return changed(change)


DAMAGE = {
    "empty": lambda text: "",
    "no JSON": lambda text: text[:-9],
    "no text": lambda text: text.replace("e", "\udc80", 1),
    "deep": lambda text: "[" * 100_000,
    "a list": lambda text: "[1]",
    "a number": lambda text: "7",
    "no outputs": changed(lambda record: record.pop("outputs")),
    "empty outputs": changed(lambda record: record["outputs"].clear()),
    "outputs in a list": changed(lambda record: record.update(outputs=["model.tflite"])),
    "an output's size in words": changed(
        lambda record: record["outputs"]["model.tflite"].update(bytes="7")
    ),
    "an output without digest": changed(lambda record: record["outputs"].update({"x": {}})),
    "another key": changed(lambda record: record.update(key="0" * 64)),
    "other material": changed(lambda record: record["material"].update(version=99)),
    "material with NaN": changed(lambda record: record["material"].update(version=float("nan"))),
    "no seconds": changed(lambda record: record.update(seconds=None)),
    "other versions": changed(lambda record: record.update(versions={"numpy": 1})),
    "another name": changed(lambda record: record.update(name="../../evil")),
    "leads out": renamed_output("../../../evil"),
    "leads out deep inside": renamed_output("a/../../../evil"),
    "absolute": renamed_output("/tmp/evil"),
    "the record itself": renamed_output(RECORD),
    "two spellings": renamed_output("./model.tflite"),
    "no name": renamed_output(""),
    "too long": renamed_output("x" * 5000),
    "a NUL": renamed_output("a\0b"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_a_miss(
    folder: Path, damage: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    _, first = go(folder)
    calls(folder)
    entry = entry_of(folder, first, "convert")
    check = ["check", str(folder / "fake.yaml"), "--cache", str(folder / "cache")]
    code = cli.main(check)  # of the fakes' data, which no classes can be found in
    text = damage((entry / RECORD).read_text())
    (entry / RECORD).unlink()
    (entry / RECORD).write_text(text, errors="surrogateescape")
    before = {path for path in folder.rglob("*") if path.is_file()}
    assert cli.main(check) == code
    stream = io.StringIO()
    result, second = go(folder, stream=stream)
    assert how(result)["convert"] == "miss" and calls(folder) == ["convert", *NEVER_CACHED]
    assert "a damaged result is not used" in stream.getvalue()
    for name in ("model.tflite", "model.json"):
        assert (second / "convert" / name).read_bytes() == (first / "convert" / name).read_bytes()
    (away,) = moved(folder)
    assert (away / RECORD).exists()
    new = {path for path in folder.rglob("*") if path.is_file()} - before
    inside = (second, folder / "cache")
    assert all(any(path.is_relative_to(place) for place in inside) for path in new)
    assert not list(Path(tempfile.gettempdir()).glob("evil"))


@pytest.mark.parametrize("what", ["file", "link", "dangling", "folder"])
def test_something_else_in_the_place_of_an_entry(folder: Path, what: str) -> None:
    _, first = go(folder)
    entry = entry_of(folder, first, "convert")
    shutil.move(entry, folder / "elsewhere")
    if what == "file":
        entry.write_text("x")
    elif what == "folder":
        entry.mkdir()
    else:
        entry.symlink_to(folder / ("gone" if what == "dangling" else "fake.yaml"))
    result, _ = go(folder)
    assert how(result)["convert"] == "miss" and len(moved(folder)) == 1
    assert how(go(folder)[0])["convert"] == "hit"


def test_an_output_that_became_a_link_is_not_followed(folder: Path) -> None:
    _, first = go(folder)
    model = entry_of(folder, first, "convert") / "model.tflite"
    content = model.read_bytes()
    (folder / "mine").write_bytes(content)
    model.unlink()
    model.symlink_to(folder / "mine")
    result, second = go(folder)
    assert how(result)["convert"] == "miss"
    assert not (second / "convert" / "model.tflite").is_symlink()


def test_locks_of_killed_runs_go_and_no_others(folder: Path) -> None:
    cache = StageCache(folder / "cache")
    cache.locks.mkdir(parents=True)
    (cache.locks / f"{'a' * 64}.lock").write_text("process 1 on alpha\n")
    with cache.alone("b" * 64, "x", print):
        Workspace(cache).close()
        assert [path.name for path in cache.locks.iterdir()] == [f"{'b' * 64}.lock"]
        assert try_lock(cache.locks / f"{'b' * 64}.lock") is None


def test_what_was_damaged_long_ago_goes(folder: Path) -> None:
    cache = StageCache(folder / "cache")
    for name, days in (("old", DAMAGED_DAYS + 1), ("new", DAMAGED_DAYS - 1)):
        (cache.damaged / name).mkdir(parents=True)
        os.utime(cache.damaged / name, (time.time() - days * 86_400,) * 2)
    Workspace(cache).close()
    assert [path.name for path in cache.damaged.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        *[(name, True) for name in ("a", "logs/loss.txt", "..a", "a..", "…", "a b")],
        *[(name, False) for name in ("", ".", "..", "/", "/a", "a/..", "a//b", "a/", "./a", "a\0")],
    ],
)
def test_names_that_stay_inside(name: str, inside: bool) -> None:
    assert is_inside(name) == inside


# ------------------------------------------------------------------ run directories


BEGUN = [
    [],
    ["lock"],
    ["lock", "drops"],
    ["lock", "drops", ".pipeline.yaml.00ff00ff00ff.tmp"],
    ["lock", "drops", "pipeline.yaml"],
    ["lock", "drops", "pipeline.yaml", ".resolved.json.00ff00ff00ff.tmp"],
    ["lock", "run.json", "events.jsonl"],
    ["lock", "drops", "pipeline.yaml", "resolved.json", ".reserve", "events.jsonl", "data"],
]


@pytest.mark.parametrize("names", BEGUN, ids=lambda names: f"{len(names)} {names[-1:]}")
def test_a_run_directory_that_has_just_begun_can_be_used_again(
    folder: Path, names: list[str]
) -> None:
    place = folder / "here"
    place.mkdir()
    for name in names:
        if name == "drops":
            (place / name).symlink_to(Path("package") / "drops")
        elif name == "data":
            (place / name).mkdir()
        else:
            (place / name).write_text("half")
    result, _ = go(folder, run_dir=place)
    assert result["status"] == "ok"
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "names", [["lock", "thesis.txt"], ["run.json"], ["lock", ".thesis.tmp", "x"], ["pipeline.yaml"]]
)
def test_a_folder_of_something_else_is_refused(folder: Path, names: list[str]) -> None:
    place = folder / "mine"
    place.mkdir()
    for name in names:
        (place / name).write_text("mine")
    with pytest.raises(ArtifactError, match="is not empty, and no run directory"):
        rundir.reuse(place, ALL)
    assert {path.name: path.read_text() for path in place.iterdir()} == dict.fromkeys(names, "mine")


def test_a_stage_s_folder_that_is_a_link_is_not_written_through(folder: Path) -> None:
    place = folder / "here"
    go(folder, run_dir=place)
    shutil.rmtree(place / "convert")
    (folder / "mine").mkdir()
    (place / "convert").symlink_to(folder / "mine")
    go(folder, run_dir=place)
    assert list((folder / "mine").iterdir()) == []
    assert (place / "convert" / "model.tflite").is_file()


def test_a_copy_does_not_go_through_a_hard_link_into_the_cache(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the way to another disk, or where hard links are forbidden."""
    go(folder, "finetune.epochs=2", run_dir=folder / "here")
    calls(folder)
    monkeypatch.setattr(os, "link", _refused)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # which may fail
    go(folder, run_dir=folder / "here")
    monkeypatch.undo()
    calls(folder)
    result, _ = go(folder, "finetune.epochs=2")
    assert calls(folder) == NEVER_CACHED and moved(folder) == [], result


def _refused(*_: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_what_killed_runs_left_beside_latest_goes(folder: Path) -> None:
    runs = folder / "runs"
    runs.mkdir()
    for name, age in ((".latest-1", 600), (".latest-2", 0)):
        (runs / name).symlink_to("gone")
        os.utime(runs / name, (time.time() - age,) * 2, follow_symlinks=False)
    go(folder)
    assert sorted(path.name for path in runs.glob(".*")) == [".latest-2"]  # may be one that lives


# ------------------------------------------------------------------ locks


def test_a_lock_is_no_way_to_another_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ArtifactError, match="is a link, and no lock of tfedge's"):
        try_lock(tmp_path / "lock")
    with pytest.raises(ArtifactError, match="is a link"), locked(tmp_path / "lock"):
        pass
    (tmp_path / "new").symlink_to(tmp_path / "not there")
    with pytest.raises(ArtifactError, match="is a link"):
        try_lock(tmp_path / "new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "not there").exists()


def test_a_lock_is_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactError, match="no regular file"):
        try_lock(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArtifactError), locked(tmp_path / "folder"):
        pass


def test_a_run_directory_whose_lock_is_a_link_is_left_alone(folder: Path) -> None:
    place = folder / "here"
    place.mkdir()
    (folder / "thesis.txt").write_text("mine")
    (place / "lock").symlink_to(folder / "thesis.txt")
    with pytest.raises(ArtifactError, match="is a link"):
        go(folder, run_dir=place)
    assert (folder / "thesis.txt").read_text() == "mine"


def _hold(path: Path, held: Any, remove: bool) -> None:
    with locked(path, remove=remove):
        held.set()
        time.sleep(1.2)


@pytest.mark.parametrize("remove", [False, True])
def test_who_waits_says_for_whom(tmp_path: Path, remove: bool) -> None:
    path, held = tmp_path / "a" / "x.lock", multiprocessing.get_context("fork").Event()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(path, held, remove))
    other.start()
    assert held.wait(10)
    notes: list[str] = []
    began = time.monotonic()
    with locked(path, waiting="the thing", note=notes.append, remove=remove):
        assert time.monotonic() - began > 0.6  # it has waited
        assert f"process {os.getpid()} on " in holder_of(path)
    other.join()
    (note,) = notes
    host = os.uname().nodename
    assert note.startswith(f"waiting for the thing: process {other.pid} on {host} since 20")
    assert note.endswith(" UTC")
    assert path.exists() != remove and (remove or path.read_bytes() == b"")


def test_nothing_is_said_of_a_moment(tmp_path: Path) -> None:
    lock = try_lock(tmp_path / "x")
    assert lock is not None and try_lock(tmp_path / "x") is None
    os.close(lock)
    notes: list[str] = []
    with locked(tmp_path / "x", note=notes.append):
        pass
    assert notes == []


# ------------------------------------------------------------------ runs at once


def test_one_makes_it_and_the_others_wait_and_say_so(folder: Path) -> None:
    places = [folder / f"run{i}" for i in range(3)]
    runs = [shell(folder, "--run-dir", str(place), FAKE_FINETUNE="wait") for place in places]
    for place in places:
        wait_for(place / "events.jsonl", "at it", "waiting for stage finetune")
    (folder / "cache" / "go on").touch()
    said = [process.communicate(timeout=60)[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0, 0], said
    made = calls(folder)
    assert sorted(made) == sorted([*KEPT, *NEVER_CACHED * 3])  # each stage that is kept, once
    waited = [
        text for text in said if "waiting for stage finetune, which another run is at" in text
    ]
    assert len(waited) == 2
    assert all(any(f"process {one.pid} on " in text for one in runs) for text in waited)
    models = {(place / "convert" / "model.tflite").read_bytes() for place in places}
    assert len(models) == 1
    assert list((folder / "cache" / "stages" / "locks").iterdir()) == []


def test_a_stage_that_fails_is_tried_by_the_one_that_waited(folder: Path) -> None:
    first = shell(folder, "--run-dir", str(folder / "one"), FAKE_FINETUNE="hang")
    wait_for(folder / "one" / "events.jsonl", "hanging")
    second = shell(folder, "--run-dir", str(folder / "two"))
    wait_for(folder / "two" / "events.jsonl", "waiting for stage finetune")
    first.kill()
    first.communicate(timeout=30)
    said = second.communicate(timeout=30)
    assert second.returncode == 0, said
    assert calls(folder).count("finetune") == 2


def test_stopped_while_it_waits(folder: Path) -> None:
    first = shell(folder, "--run-dir", str(folder / "one"), FAKE_FINETUNE="hang")
    try:
        wait_for(folder / "one" / "events.jsonl", "hanging")
        second = shell(folder, "--run-dir", str(folder / "two"))
        wait_for(folder / "two" / "events.jsonl", "waiting for stage finetune")
        second.terminate()
        assert second.wait(30) == 130
        assert json.loads((folder / "two" / "run.json").read_text())["status"] == "interrupted"
    finally:
        first.kill()
        first.communicate(timeout=30)


# ------------------------------------------------------------------ other users


def modes(folder: Path) -> set[str]:
    """Of all folders and files of a cache."""
    found = (path for path in (folder, *folder.rglob("*")) if not path.is_symlink())
    return {f"{'d' if p.is_dir() else 'f'} {stat.S_IMODE(p.stat().st_mode):o}" for p in found}


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (0o022, {"d 755", "f 644", "f 444"}),
        (0o002, {"d 775", "f 664", "f 444"}),
        (0o077, {"d 700", "f 600", "f 400"}),
        (0o027, {"d 750", "f 640", "f 440"}),
    ],
)
def test_who_may_read_a_cache_and_a_run_is_said_by_the_umask(
    folder: Path, mask: int, expected: set[str]
) -> None:
    with umask(mask):
        _, run = go(folder)
    (folder / "cache" / "calls.txt").unlink()
    assert modes(folder / "cache") == expected
    assert modes(run) <= expected


def test_a_library_s_private_files_become_readable(folder: Path) -> None:
    cache = StageCache(folder / "cache")
    with umask(0o022):
        work = Workspace(cache)
        made = work.new("data")
        inner = Path(tempfile.mkdtemp(dir=made))
        handle, name = tempfile.mkstemp(dir=inner)
        os.close(handle)
        entry = cache.seal(made, {"key": "a" * 64, "outputs": {}})
        work.close()
    (file,) = entry.folder.rglob(Path(name).name)
    assert stat.S_IMODE(file.stat().st_mode) == 0o444
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o755


AS_NOBODY = """
import os, sys, tempfile
from pathlib import Path
import core_fakes
with tempfile.TemporaryDirectory() as folder:  # what root only can import, perhaps
    core_fakes.go(core_fakes.prepare(Path(folder)))
command = core_fakes.command()
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(65534); os.umask(0o002)
raise SystemExit(command(sys.argv[2:]))
"""


@ROOT_ONLY
def test_a_second_user_of_the_group_uses_the_same_cache() -> None:
    """And leaves it usable for the first."""
    group = 54321
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = prepare(Path(name))
        folder.chmod(0o755)
        for shared in (folder / "cache", folder / "runs"):
            shared.mkdir()
            os.chown(shared, 0, group)
            shared.chmod(0o2775)
        with umask(0o002):
            _, first = go(folder)
            calls(folder)
        model = first / "convert" / "model.tflite"

        def second(*more: str) -> subprocess.CompletedProcess[str]:
            arguments = ["run", "fake.yaml", "--cache", "cache", "--run-dir", "runs/theirs", *more]
            return subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(group), *arguments],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": f"{root}:{root}/tests/unit", "TMPDIR": "/tmp"},
                capture_output=True,
                text=True,
            )

        done = second()
        assert done.returncode == 0, done.stderr
        assert calls(folder) == NEVER_CACHED
        theirs = folder / "runs" / "theirs" / "convert" / "model.tflite"
        assert theirs.read_bytes() == model.read_bytes()
        done = second("--set", "finetune.epochs=9")  # what they make, the first can use
        assert done.returncode == 0, done.stderr
        calls(folder)
        with umask(0o002):
            go(folder, "finetune.epochs=9")
        assert calls(folder) == NEVER_CACHED
        damaged = entry_of(folder, first, "convert") / "model.json"
        damaged.unlink()
        done = second()  # and what is damaged is moved away and made again
        assert done.returncode == 0 and len(moved(folder)) == 1, done.stderr


@ROOT_ONLY
def test_a_cache_that_can_not_be_written_is_named() -> None:
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = prepare(Path(name))
        folder.chmod(0o755)
        with umask(0o022):
            go(folder)
        (folder / "runs").chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "65534", "run", "fake.yaml", "--cache", "cache"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": f"{root}:{root}/tests/unit", "TMPDIR": "/tmp"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 7, done.stderr
        assert f"{folder}/cache/" in done.stderr and "Permission denied" in done.stderr
        assert "--cache" in done.stderr


# ------------------------------------------------------------------ a full disk


def full(path: object = None, second: object = None) -> OSError:
    words = os.strerror(errno.ENOSPC)
    if path is None:
        return OSError(errno.ENOSPC, words)
    return OSError(errno.ENOSPC, words, path, None, second)


def raised_from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def test_the_full_disk_is_the_one_that_is_named(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("cache", "run", "temporary")]
    for place in places:
        place.mkdir()
    cases: list[tuple[BaseException, str]] = [
        (full("/a/b"), "/a/b"),
        (full("/from", "/to"), "/to"),
        (raised_from(RuntimeError("can't save"), full("/a/b")), "/a/b"),
        (RuntimeError(f"{places[1]}/data-0; No space left on device"), str(places[1])),
        (RuntimeError(f"{places[0]}/x/y: No space left on device"), str(places[0])),
    ]
    for error, expected in cases:
        assert full_disk(error, places).message == f"{expected}: no space left on this disk"


def test_where_nothing_is_named_the_disks_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("cache", "run")]
    for place in places:
        place.mkdir()
    opened = Path.open

    def quota(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.parent == places[1]:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(path))
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", quota)
    assert full_disk(full(), places).path == places[1]
    monkeypatch.undo()
    left = dict(zip(places, (1 << 20, 1 << 16), strict=True))
    monkeypatch.setattr("tfedge.files.space.free", left.__getitem__)
    assert full_disk(full(), places).path == places[1]
    left[places[0]] = left[places[1]] = 1 << 40  # a disk that none of these is on
    assert full_disk(full(), places).message.startswith(f"one of {places[0]}, {places[1]}: no spa")
    assert [path for place in places for path in place.iterdir()] == []


def test_run_json_is_written_although_the_disk_is_full(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The space that was kept for it is enough."""
    monkeypatch.setenv("FAKE_FINETUNE", "full")
    reserved: list[int] = []

    def write(path: Path, value: object) -> None:
        if path.name == "run.json":
            reserve = path.with_name(rundir.RESERVE)
            assert not reserve.exists()
            reserved.append(len(json.dumps(value)))
        write_json(path, value)

    monkeypatch.setattr(rundir, "write_json", write)
    with pytest.raises(ArtifactError, match="no space left"):
        go(folder)
    assert run_json(folder)["error"]["exit_code"] == 7
    assert reserved and reserved[0] < 64 * 1024


def test_no_lock_fails_because_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that only takes what is there needs no space in the cache."""

    def no_space(*_: object) -> int:
        raise full()

    monkeypatch.setattr(os, "write", no_space)
    with locked(tmp_path / "x"):
        assert try_lock(tmp_path / "x") is None
