"""``tfedge cache``: what is there, what goes, and what a running process holds."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from core_fakes import ALL, NEVER_CACHED, calls, entries, go, prepare, shell, wait_for

from tfedge import cli
from tfedge.core.cache import StageCache, remove_killed, was_killed
from tfedge.core.cleaning import LEFTOVER, RUN, STAGE, clean, contents
from tfedge.files.files import try_lock
from tfedge.files.text import size_text

KEPT = [name for name in ALL if name not in NEVER_CACHED]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def cache_of(folder: Path) -> Path:
    return folder / "cache"


def names(folder: Path, kind: str = STAGE) -> list[str]:
    return sorted(item.name for item in contents(cache_of(folder)) if item.kind == kind)


def aged(folder: Path, stage: str, days: float) -> None:
    (item,) = (item for item in contents(cache_of(folder)) if item.name == stage)
    os.utime(item.paths[0], (time.time() - days * 86_400,) * 2)


def test_it_tells_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(folder)
    assert names(folder) == sorted(KEPT)
    assert cli.main(["cache", "--cache", str(cache_of(folder))]) == 0
    said = capsys.readouterr().out
    assert all(f"stage {name}" in said for name in KEPT)


def test_what_is_old_goes_and_is_made_again(folder: Path) -> None:
    go(folder)
    calls(folder)
    aged(folder, "convert", 40)
    before = entries(folder)
    tried = clean(cache_of(folder), older_than=30 * 86_400, dry_run=True)
    assert [item.name for item in tried.gone] == ["convert"] and entries(folder) == before
    assert [item.name for item in clean(cache_of(folder), older_than=30 * 86_400).gone] == [
        "convert"
    ]
    assert names(folder) == sorted(set(KEPT) - {"convert"})
    go(folder)
    assert calls(folder) == ["convert", *NEVER_CACHED]


def test_a_hit_is_a_use(folder: Path) -> None:
    go(folder)
    aged(folder, "convert", 40)
    go(folder)
    assert clean(cache_of(folder), older_than=30 * 86_400).gone == []


def test_what_was_used_longest_ago_goes_first(folder: Path) -> None:
    go(folder)
    for days, name in enumerate(reversed(KEPT), 1):
        aged(folder, name, days)
    sizes = {item.name: item.size for item in contents(cache_of(folder))}
    left = sum(sizes.values()) - sizes[KEPT[0]] - 1
    assert [item.name for item in clean(cache_of(folder), max_size=left).gone] == KEPT[:2]
    assert clean(cache_of(folder), max_size=0).held == []
    assert contents(cache_of(folder)) == []


def test_what_runs_share_is_not_freed(folder: Path) -> None:
    _, path = go(folder)
    done = clean(cache_of(folder), max_size=0, dry_run=True)
    shared = {item.name: item.size - item.freed for item in done.gone}
    assert shared["convert"] >= (path / "convert" / "model.tflite").stat().st_size
    shutil.rmtree(path.parent)
    assert clean(cache_of(folder), max_size=0).freed == sum(item.size for item in done.gone)


def test_what_a_running_process_holds_stays(folder: Path) -> None:
    store = cache_of(folder) / "store" / "features-1" / "data.bin"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"x" * 100)
    process = shell(folder, FAKE_CONVERT="hang")
    try:
        wait_for(folder / "runs" / "latest" / "events.jsonl", "hanging")
        live = list(StageCache(cache_of(folder)).temporary.iterdir())
        done = clean(cache_of(folder), max_size=0)
        assert [item.kind for item in done.held] == ["store"] and store.is_file()
        assert all(path.exists() for path in live)
        with StageCache(cache_of(folder)).alone("a" * 64, "x", print):
            (cache_of(folder) / "stages" / ("a" * 64)).mkdir()
            (cache_of(folder) / "stages" / ("a" * 64) / "file").write_bytes(b"x")
            held = clean(cache_of(folder), max_size=0).held
            assert [item.paths[0].name for item in held if item.kind == STAGE] == ["a" * 64]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    done = clean(cache_of(folder))
    assert {item.kind for item in done.gone} == {LEFTOVER} and not any(map(Path.exists, live))
    assert [item.kind for item in clean(cache_of(folder), max_size=0).gone] == ["store", STAGE]


def test_what_is_not_ours_stays(folder: Path) -> None:
    mine = folder / "cache" / "photos" / "cat.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"x")
    go(folder)
    clean(cache_of(folder), max_size=0)
    assert mine.is_file()


def test_a_download_goes_with_its_list(folder: Path) -> None:
    downloads = cache_of(folder) / "downloads"
    (downloads / "abc").mkdir(parents=True)
    (downloads / "abc" / "1.png").write_bytes(b"x" * 10)
    for name in ("abc.files.json", "abc.lock", "abc.archive.part"):
        (downloads / name).write_bytes(b"x")
    (item,) = contents(cache_of(folder))
    assert (item.kind, item.name, item.size) == ("downloads", "abc", 13)
    clean(cache_of(folder), max_size=0)
    assert list(downloads.iterdir()) == []


@pytest.mark.parametrize("wrong", [["--max-size", "5X"], ["--older-than", "-3d"], ["--older", "x"]])
def test_a_wrong_amount(folder: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "--cache", str(cache_of(folder)), "clean", *wrong]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_listing_writes_nothing_and_cleaning_takes_the_lock(folder: Path) -> None:
    """A run's folder has no lock for a moment after it was made: a cleaner that does not lock it
    would take it from under the run."""
    go(folder)
    temporary = StageCache(cache_of(folder)).temporary
    bare, held = temporary / "1-bare", temporary / "2-held"
    bare.mkdir()
    held.mkdir()
    lock = try_lock(held.with_suffix(".lock"))
    assert next(item.paths for item in contents(cache_of(folder))) == (bare,)
    assert not bare.with_suffix(".lock").exists()
    assert was_killed(bare) and not was_killed(held)
    assert [item.name for item in clean(cache_of(folder)).gone] == ["a killed run's"]
    assert sorted(temporary.iterdir()) == [held, held.with_suffix(".lock")]
    assert not remove_killed(held)
    assert lock is not None
    os.close(lock)
    assert remove_killed(held) and list(temporary.iterdir()) == []


def test_sizes_as_people_read_them() -> None:
    assert [size_text(n) for n in (12, 123_456, 5_000_000_000)] == ["0.0 kB", "0.12 MB", "5.00 GB"]


# ------------------------------------------------------------------ tfedge clean


def run_aged(folder: Path, name: str, days: float) -> Path:
    """A run of the fake pipeline whose files are that old."""
    _, path = go(folder)
    kept: Path = path.rename(path.parent / name)
    for file in kept.rglob("*"):
        if file.is_file() and not file.is_symlink():
            os.utime(file, (time.time() - days * 86_400,) * 2)
    return kept


def clean_command(folder: Path, *arguments: str) -> int:
    runs = ["--runs", str(folder / "runs"), "--cache", str(cache_of(folder))]
    return cli.main(["clean", *runs, *arguments])


def test_old_runs_go_but_for_the_one_that_latest_names(folder: Path) -> None:
    old, newest = run_aged(folder, "old", 40), run_aged(folder, "newest", 35)
    fresh = run_aged(folder, "fresh", 1)
    point(folder, newest.name)
    told = clean(cache_of(folder), runs=folder / "runs", older_than=30 * 86_400, dry_run=True)
    assert [item.name for item in told.gone if item.kind == RUN] == ["old"] and old.is_dir()
    clean(cache_of(folder), runs=folder / "runs", older_than=30 * 86_400)
    assert not old.exists() and newest.is_dir() and fresh.is_dir()
    clean(cache_of(folder), runs=folder / "runs", older_than=30 * 86_400, latest=True)
    assert not newest.exists() and fresh.is_dir()
    assert not (folder / "runs" / "latest").is_symlink()  # it would lead to nothing
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["fresh"]


def test_a_run_without_a_lock_goes_with_the_link_that_names_it(folder: Path) -> None:
    copied = run_aged(folder, "copied", 40)
    (copied / "lock").unlink()
    point(folder, copied.name)
    clean(cache_of(folder), runs=folder / "runs", older_than=30 * 86_400, latest=True)
    assert not copied.exists() and not (folder / "runs" / "latest").is_symlink()


def point(folder: Path, name: str) -> None:
    link = folder / "runs" / "latest"
    link.unlink(missing_ok=True)
    link.symlink_to(name)


def test_files_that_a_run_and_the_cache_share_are_freed_with_the_last_name(folder: Path) -> None:
    run = run_aged(folder, "old", 40)
    point(folder, "elsewhere")
    (run / "convert" / "big").write_bytes(b"x" * 10_000)
    options = {"runs": folder / "runs", "dry_run": True}
    both = clean(cache_of(folder), max_size=0, **options)  # type: ignore[arg-type]
    assert {item.kind for item in both.gone} == {RUN, STAGE}
    alone = [sum(item.freed for item in both.gone if item.kind == kind) for kind in (RUN, STAGE)]
    assert both.freed > sum(alone) and alone[0] >= 10_000
    inodes = {
        (stat.st_dev, stat.st_ino): stat.st_size
        for item in both.gone
        for path in item.paths
        for file in path.rglob("*")
        if not (file.is_dir() and not file.is_symlink())
        for stat in [file.lstat()]
    }
    assert both.freed == sum(inodes.values())
    left = sum(inodes.values()) - 1  # a byte too much: what is oldest goes, and that is enough
    assert [item.name for item in clean(cache_of(folder), max_size=left, **options).gone] == [  # type: ignore[arg-type]
        "old"
    ]


def test_a_run_at_work_stays(folder: Path) -> None:
    process = shell(folder, FAKE_CONVERT="hang")
    try:
        wait_for(folder / "runs" / "latest" / "events.jsonl", "hanging")
        runs = folder / "runs"
        for dry_run in (True, False):
            done = clean(cache_of(folder), runs=runs, max_size=0, latest=True, dry_run=dry_run)
            assert RUN in {item.kind for item in done.held}
        assert (runs / "latest" / "events.jsonl").is_file()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


class Interrupted(io.StringIO):
    """Somebody who answers with Ctrl-C."""

    def readline(self, *_: object) -> str:  # type: ignore[override]
        raise KeyboardInterrupt


def test_it_says_what_goes_and_asks(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = run_aged(folder, "old", 40)
    point(folder, "elsewhere")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert clean_command(folder, "--older-than", "30d") == 0
    said = capsys.readouterr().out
    assert f"  {old}\n" in said and "would free" in said and "Free it? [y/N]" in said
    assert said.endswith("nothing was freed\n") and old.is_dir()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert clean_command(folder, "--older-than", "30d") == 2
    assert "nobody answers: give --yes" in capsys.readouterr().err and old.is_dir()
    assert clean_command(folder, "--older-than", "30d", "--dry-run") == 0 and old.is_dir()
    monkeypatch.setattr("sys.stdin", Interrupted())
    assert clean_command(folder, "--older-than", "30d") == 130 and old.is_dir()
    assert "nobody answers" not in capsys.readouterr().err
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert clean_command(folder, "--older-than", "30d") == 0
    assert "\nfreed " in capsys.readouterr().out and not old.exists()
    assert clean_command(folder, "--older-than", "30d") == 0  # nothing is left to ask about
    assert capsys.readouterr().out == "would free 0.0 kB\n"


def test_json_says_bytes_and_paths(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = run_aged(folder, "old", 40)
    point(folder, "elsewhere")
    assert clean_command(folder, "--json") == 2
    capsys.readouterr()
    assert clean_command(folder, "--older-than", "30d", "--json", "--yes") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "tfedge.clean/1" and found["freed"] > 0 and found["held"] == []
    (run,) = (item for item in found["gone"] if item["kind"] == "run")
    assert (run["name"], run["paths"]) == ("old", [str(old)]) and not old.exists()


def test_what_is_no_run_stays(folder: Path) -> None:
    mine = folder / "runs" / "notes"
    mine.mkdir(parents=True)
    (mine / "a.txt").write_text("x")
    (folder / "runs" / "b.txt").write_text("x")
    clean(cache_of(folder), runs=folder / "runs", max_size=0, latest=True)
    assert (mine / "a.txt").is_file() and (folder / "runs" / "b.txt").is_file()
