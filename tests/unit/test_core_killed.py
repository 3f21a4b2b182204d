"""Runs that are killed, told to stop, or meet another run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from core_fakes import (
    ALL,
    NEVER_CACHED,
    calls,
    entries,
    go,
    prepare,
    run_json,
    shell,
    unsealed,
    wait_for,
)

from tfedge.errors import ArtifactError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


@pytest.mark.parametrize("stage", ["data", "finetune", "convert", "benchmark"])
def test_killed_in_a_stage_and_run_again_ends_with_the_same_bytes(
    folder: Path, stage: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    killed = shell(folder, **{f"FAKE_{stage.upper()}": "kill"})
    killed.communicate(timeout=30)
    assert killed.returncode == -signal.SIGKILL
    before = calls(folder)
    assert before == ALL[: ALL.index(stage) + 1]
    assert stage not in entries(folder)
    _, path = go(folder)
    done = [name for name in before[:-1] if name not in NEVER_CACHED]
    assert calls(folder) == [name for name in ALL if name not in done]
    assert unsealed(folder) == []  # what the killed run left is gone

    _, undisturbed = go(prepare(tmp_path_factory.mktemp("calm")))
    for name in ("convert/model.tflite", "convert/model.json", "finetune/model.npz"):
        assert (path / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.parametrize(
    ("number", "way"),
    [(signal.SIGINT, "hang"), (signal.SIGINT, "swallow"), (signal.SIGTERM, "hang")],
)
def test_told_to_stop_it_ends_cleanly(folder: Path, number: int, way: str) -> None:
    process = shell(folder, FAKE_CONVERT=way)
    wait_for(folder / "runs" / "latest" / "events.jsonl", "hanging")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said and "stopped" in said
    assert unsealed(folder) == []
    assert entries(folder) == ["data", "finetune", "quantize"]
    stopped = run_json(folder)
    assert stopped["status"] == "interrupted"
    assert stopped["error"]["exit_code"] == 130 and stopped["error"]["stage"] == "convert"
    calls(folder)
    go(folder)
    assert calls(folder)[0] == "convert"


def test_two_runs_can_not_be_in_one_directory(folder: Path) -> None:
    place = folder / "here"
    process = shell(folder, "--run-dir", str(place), FAKE_FINETUNE="hang")
    try:
        wait_for(place / "events.jsonl", "hanging")
        with pytest.raises(ArtifactError, match=f"another run is in .*process {process.pid}"):
            go(folder, run_dir=place)
        # It has its folder in the cache still: a second run elsewhere did not clean it away.
        go(folder, "finetune.epochs=9")  # or it would wait for what the first one makes
        assert len(unsealed(folder)) == 2  # its folder and its lock
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_run_directory_is_used_again_without_its_old_results(folder: Path) -> None:
    place = folder / "here"
    go(folder, run_dir=place)
    result, _ = go(folder, run_dir=place, stop="data")
    assert result["metrics"] == {}
    assert not (place / "evaluate").exists() and not (place / "package").exists()


def test_a_folder_that_is_no_run_directory_is_left_alone(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("mine")
    (folder / "mine" / "lock").write_text("mine, too")
    with pytest.raises(ArtifactError, match="is not empty, and no run directory"):
        go(folder, run_dir=folder / "mine")
    assert sorted(p.name for p in (folder / "mine").iterdir()) == ["lock", "thesis.txt"]


def test_a_folder_called_latest_is_no_traceback(folder: Path) -> None:
    (folder / "runs" / "latest").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="is a folder, but must be the link"):
        go(folder)


def test_two_runs_in_one_second_have_two_directories(folder: Path) -> None:
    assert len({go(folder)[1] for _ in range(3)}) == 3


def test_two_runs_at_once_share_one_cache(folder: Path) -> None:
    both = [shell(folder, "--force") for _ in range(2)]
    for process in both:
        said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert entries(folder) == sorted(name for name in ALL if name not in NEVER_CACHED)
    assert unsealed(folder) == []
    calls(folder)
    go(folder)
    assert calls(folder) == NEVER_CACHED
