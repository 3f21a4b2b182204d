"""``tfedge cache``: what is there, what goes, and what a running process holds."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from core_fakes import ALL, NEVER_CACHED, calls, entries, go, prepare, shell, wait_for

from tfedge import cli
from tfedge.core.cache import StageCache, remove_killed, was_killed
from tfedge.core.cleaning import LEFTOVER, STAGE, clean, contents
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
