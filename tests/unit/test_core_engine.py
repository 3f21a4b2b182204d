"""The engine over a table of fake stages: what runs, what is left behind, what the user is told."""

from __future__ import annotations

import io
import json
import os
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from core_fakes import (
    ALL,
    NEVER_CACHED,
    PIPELINE,
    TABLE,
    calls,
    entries,
    go,
    how,
    prepare,
    run_json,
    unsealed,
)

from tfedge.core.stages import Stage
from tfedge.errors import (
    ArtifactError,
    ConfigError,
    GateFailed,
    InvariantBroken,
    MissingDependency,
    StageError,
    UnsupportedModel,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


# ------------------------------------------------------------------ a run that goes well


def test_first_run_runs_all_and_second_only_what_is_never_cached(folder: Path) -> None:
    first, _ = go(folder)
    assert calls(folder) == ALL
    assert set(how(first).values()) == {"miss", "none"}
    second, path = go(folder)
    assert calls(folder) == NEVER_CACHED
    cached = [name for name, cache in how(second).items() if cache == "hit"]
    assert cached == [name for name in ALL if name not in NEVER_CACHED]
    assert [row["key"] for row in first["stages"]] == [row["key"] for row in second["stages"]]
    # What comes from the cache stands in the run directory as if it had been made there.
    assert (path / "convert" / "model.tflite").read_text().startswith("tflite of ")
    assert (path / "finetune" / "logs" / "loss.txt").read_text() == "0.5"
    assert json.loads((path / "convert" / "stage.json").read_text())["cache"] == "hit"


def test_run_json_says_all(folder: Path) -> None:
    result, path = go(folder)
    assert json.loads((path / "run.json").read_text()) == result
    assert (result["schema"], result["status"]) == ("tfedge.run/1", "ok")
    assert result["pipeline"] == "fake"
    figures = ("float", "int8", "agreement", "shipped")
    assert {key: result["metrics"][key] for key in figures} == {
        "float": {"top1": 0.90},
        "int8": {"top1": 0.87, "recall_macro": 0.86},
        "agreement": 0.97,
        "shipped": "int8",
    }
    assert result["model"]["path"] == "convert/model.tflite" and "layers" not in result["model"]
    assert not {"worst", "warnings", "proposals"} & result["metrics"].keys()
    assert result["benchmark"][0]["summary"]["median"] == 2.5e6
    assert "processes" not in result["benchmark"][0]  # raw samples stay in benchmark.json
    (drop,) = result["drops"]
    assert (drop["target"], drop["path"]) == ("linux", "drops/linux")
    assert result["data"] == {"digest": "d" * 64, "counts": {"train": {"a": 2}}}
    assert set(result["versions"]) == {"tfedge", "python", "numpy"}
    assert (path / "report.md").read_text() == "ok"
    assert "error" not in result


def test_run_directory_holds_what_the_run_was_given(folder: Path) -> None:
    _, path = go(folder, "seed=7")
    assert (path / "pipeline.yaml").read_text() == PIPELINE
    assert json.loads((path / "resolved.json").read_text())["seed"] == 7
    assert (folder / "runs" / "latest").resolve() == path
    events = [json.loads(line) for line in (path / "events.jsonl").read_text().splitlines()]
    named = [(e["event"], e["stage"]) for e in events if e["event"] in ("start", "end")]
    assert named == [(event, name) for name in ALL for event in ("start", "end")]
    assert events[-1]["event"] == "run end" and events[-1]["status"] == "ok"
    assert {"a decision"} == {e["text"] for e in events if e["event"] == "note"}


def test_noise_goes_to_the_log_and_progress_to_the_user(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    _, path = go(folder, stream=stream)
    log = (path / "finetune" / "log.txt").read_text()
    assert "noise from C" in log
    assert capfd.readouterr().err == ""
    lines = stream.getvalue().splitlines()
    assert re.fullmatch(r"\[1/7\] data +\d+\.\d s", lines[0])
    assert lines[1:3] == ["[2/7] finetune", "      a decision"]


def test_one_key_changed_runs_only_what_follows(folder: Path) -> None:
    go(folder)
    calls(folder)
    go(folder, "quantize.epochs=3")
    assert calls(folder) == ["quantize", "convert", "evaluate", *NEVER_CACHED]
    go(folder, "quantize.epochs=2")  # as at first: all is there still
    assert calls(folder) == NEVER_CACHED


def test_a_stage_that_writes_the_same_again_stops_the_wave(folder: Path) -> None:
    go(folder)
    calls(folder)
    (folder / "photos" / "a").write_text("other pixels, which the fake index does not hold")
    go(folder, "seed=2")
    assert calls(folder) == ["data", *NEVER_CACHED]


def test_what_a_probe_sees_is_part_of_the_key(folder: Path) -> None:
    go(folder)
    calls(folder)
    (folder / "photos" / "c").write_text("c")
    go(folder)
    assert calls(folder) == ALL


def test_a_stage_without_section_or_recipe_is_left_out(folder: Path) -> None:
    result, _ = go(folder, "quantize.recipe=none")
    assert "quantize" not in how(result)
    assert "quantize" not in calls(folder)


def test_library_versions_are_part_of_the_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(folder)
    calls(folder)
    monkeypatch.setattr("tfedge.core.keys.installed", lambda name: "99.0")
    result, _ = go(folder)
    assert how(result)["data"] == "hit" and how(result)["finetune"] == "miss"
    assert result["versions"]["numpy"] == "99.0"


def with_libraries(**libraries: str) -> tuple[Stage, ...]:
    return tuple(
        replace(stage, also=(*stage.also, libraries.get(stage.name, "pip"))) for stage in TABLE
    )


def test_what_is_not_installed_is_told_of_all_stages_before_the_first(folder: Path) -> None:
    table = with_libraries(quantize="no-such-thing", convert="nor-this", package="no-such-thing")
    with pytest.raises(MissingDependency, match="no-such-thing, nor-this are not") as caught:
        go(folder, table=table)
    assert caught.value.hint == "pip install 'tfedge[train]'"
    assert calls(folder) == [] and run_json(folder)["stages"] == []


def test_a_run_asks_for_nothing_that_only_other_stages_need(folder: Path) -> None:
    table = with_libraries(convert="no-such-thing")
    result, _ = go(folder, table=table, stop="quantize")
    assert list(how(result)) == ["data", "finetune", "quantize"]


def test_a_library_that_a_stage_fails_to_import_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CONVERT", "import")
    with pytest.raises(
        MissingDependency, match=r"h5py .* can't be imported: no libhdf5\.so"
    ) as caught:
        go(folder)
    assert caught.value.hint.startswith("pip install --force-reinstall --no-deps 'h5py>=")
    log = folder / "runs" / "latest" / "convert" / "log.txt"
    assert "no libhdf5.so" in log.read_text()


def test_an_import_of_ours_that_fails_is_no_library_s_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CONVERT", "own import")
    with pytest.raises(StageError, match=r"No module named 'tfedge\.nowhere'"):
        go(folder)


# ------------------------------------------------------------------ the cache


def test_a_damaged_entry_is_moved_away_and_made_again(folder: Path) -> None:
    _, first = go(folder)
    model = (first / "convert" / "model.tflite").read_bytes()
    calls(folder)
    entry = (
        folder / "cache" / "stages" / json.loads((first / "convert/stage.json").read_text())["key"]
    )
    damaged = entry / "model.tflite"
    damaged.chmod(0o644)
    damaged.unlink()  # the run directory has it as a hard link: don't write through it
    damaged.write_bytes(model[:-1] + b"!")
    stream = io.StringIO()
    result, second = go(folder, stream=stream)
    assert how(result)["convert"] == "miss"
    assert calls(folder) == ["convert", *NEVER_CACHED]
    assert (second / "convert" / "model.tflite").read_bytes() == model
    assert "model.tflite is not what was written" in stream.getvalue()
    assert len(list((folder / "cache" / "stages" / "damaged").iterdir())) == 1


@pytest.mark.parametrize("harm", ["record", "file"])
def test_an_entry_with_something_missing_is_a_miss(folder: Path, harm: str) -> None:
    _, first = go(folder)
    calls(folder)
    entry = (
        folder / "cache" / "stages" / json.loads((first / "convert/stage.json").read_text())["key"]
    )
    (entry / ("stage.json" if harm == "record" else "model.json")).unlink()
    result, _ = go(folder)
    assert how(result)["convert"] == "miss" and how(result)["quantize"] == "hit"


def test_sealed_files_are_read_only_and_shared_by_hard_link(folder: Path) -> None:
    _, path = go(folder)
    model = path / "convert" / "model.tflite"
    assert model.stat().st_mode & 0o222 == 0
    assert model.stat().st_nlink == 2


def test_without_hard_links_files_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    _, path = go(folder)
    assert (path / "convert" / "model.tflite").read_text().startswith("tflite of ")


def test_an_output_that_was_promised_and_is_missing_stops_the_run(folder: Path) -> None:
    table = tuple(
        replace(stage, outputs=("metrics.json", "plot.png")) if stage.name == "evaluate" else stage
        for stage in TABLE
    )
    with pytest.raises(InvariantBroken, match=r"expected metrics.json, plot.png, got metrics.json"):
        go(folder, table=table)
    assert "evaluate" not in entries(folder)


# ------------------------------------------------------------------ --from, --to, --force


def test_to_stops_after_a_stage(folder: Path) -> None:
    result, _ = go(folder, stop="convert")
    assert calls(folder) == ["data", "finetune", "quantize", "convert"]
    assert result["status"] == "ok" and result["metrics"] == {} and result["drops"] == []


def test_from_takes_what_comes_before_from_the_cache(folder: Path) -> None:
    go(folder, stop="convert")
    calls(folder)
    result, _ = go(folder, start="evaluate")
    assert calls(folder) == ["evaluate", *NEVER_CACHED]
    assert how(result)["data"] == "hit"


def test_from_runs_again_what_is_never_cached_if_it_is_needed(folder: Path) -> None:
    go(folder)
    calls(folder)
    go(folder, start="package")
    assert calls(folder) == ["benchmark", "package"]


def test_from_without_the_stages_before_is_an_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="--from: stage data is not in the cache"):
        go(folder, start="convert")
    assert calls(folder) == []


def test_force_runs_everything_and_keeps_the_cache_whole(folder: Path) -> None:
    go(folder)
    calls(folder)
    go(folder, force=True)
    assert calls(folder) == ALL
    go(folder)
    assert calls(folder) == NEVER_CACHED


def test_force_from_runs_from_there(folder: Path) -> None:
    go(folder)
    calls(folder)
    go(folder, force=True, start="convert")
    assert calls(folder) == ["convert", "evaluate", *NEVER_CACHED]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"start": "quantise"}, "--from quantise: this pipeline has no such stage, did you mean q"),
        ({"stop": "prune"}, "--to prune: this pipeline has no such stage"),
        ({"start": "evaluate", "stop": "convert"}, "convert comes before evaluate"),
    ],
)
def test_stages_that_can_not_be_selected(folder: Path, asked: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        go(folder, **asked)


# ------------------------------------------------------------------ what goes wrong


def test_a_refusal_reaches_the_user_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CONVERT", "refuse")
    with pytest.raises(UnsupportedModel, match="can't: conv_7"):
        go(folder)
    assert entries(folder) == ["data", "finetune", "quantize"]
    assert unsealed(folder) == []
    failed = run_json(folder)
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "type": "UnsupportedModel",
        "message": "can't: conv_7",
        "hint": "use another",
        "exit_code": 5,
        "stage": "convert",
    }
    assert [row["name"] for row in failed["stages"]] == ["data", "finetune", "quantize"]


def test_a_bug_in_a_stage_has_its_traceback_in_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CONVERT", "bug")
    with pytest.raises(StageError, match="stage convert failed: KeyError: 'conv_7'") as caught:
        go(folder)
    log = folder / "runs" / "latest" / "convert" / "log.txt"
    assert str(log.resolve()) in caught.value.hint
    assert "Traceback" in log.read_text() and "in _bug" in log.read_text()
    assert run_json(folder)["error"]["exit_code"] == 5
    monkeypatch.delenv("FAKE_CONVERT")
    calls(folder)
    assert go(folder)[0]["status"] == "ok"  # a failure is not cached
    assert calls(folder)[0] == "convert"


@pytest.mark.parametrize("said", ["full", "full in other words"])
def test_a_full_disk_is_one_line_with_a_way_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("FAKE_FINETUNE", said)
    with pytest.raises(ArtifactError, match="no space left") as caught:
        go(folder)
    assert "--cache" in caught.value.hint
    assert ("model.npz" in caught.value.message) == (said == "full")  # what the error itself names
    assert entries(folder) == ["data"] and unsealed(folder) == []
    assert run_json(folder)["error"]["exit_code"] == 7


def test_a_disk_that_fills_up_while_the_result_is_sealed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: object) -> None:
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr("tfedge.core.cache.write_json", full)
    with pytest.raises(ArtifactError, match="no space left"):
        go(folder)
    assert entries(folder) == [] and unsealed(folder) == []


@pytest.mark.parametrize("gate", [None, "evaluate.gates.min_accuracy=0.88"])
def test_a_report_is_told_where_its_examples_lie(folder: Path, gate: str | None) -> None:
    """When a gate has stopped the run, too."""
    with nullcontext() if gate is None else pytest.raises(GateFailed):
        go(folder, *([gate] if gate else []), report="core_fakes:origin_report")
    told = json.loads((folder / "runs" / "latest" / "origin.json").read_text())
    status = "ok" if gate is None else "gate failed"
    root, cache = Path(told[1]), Path(told[2])
    assert (told[0], root.name, cache, told[3]) == ("fake", "photos", folder / "cache", status)


def test_a_broken_report_is_a_failed_run(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="no ink"):
        go(folder, report="core_fakes:broken_report")
    assert run_json(folder)["status"] == "failed"
    assert run_json(folder)["error"]["exit_code"] == 1


@pytest.mark.parametrize(
    ("gate", "message", "ran"),
    [
        ("max_accuracy_drop: 0.02", "max_accuracy_drop: limit 0.02, got 0.03", "evaluate"),
        ("min_accuracy: 0.88", "min_accuracy: limit 0.88, got 0.87", "evaluate"),
        ("max_size: 99", "max_size: limit 99 bytes, got 100 bytes", "evaluate"),
        ("max_latency: 2.4", "max_latency: limit 2.4 ms, got 2.5 ms on 1 thread", "benchmark"),
    ],
)
def test_a_gate_stops_the_run_but_not_the_report(
    folder: Path, gate: str, message: str, ran: str
) -> None:
    with pytest.raises(GateFailed) as caught:
        go(folder, f"evaluate.gates={{{gate}}}")
    assert message in caught.value.message and caught.value.exit_code == 6
    assert calls(folder)[-1] == ran  # so package has not run
    failed = run_json(folder)
    assert failed["status"] == "gate failed" and failed["metrics"]["int8"]["top1"] == 0.87
    assert (folder / "runs" / "latest" / "report.md").read_text() == "gate failed"


def test_gates_hold_for_cached_results_too(folder: Path) -> None:
    go(folder)
    with pytest.raises(GateFailed, match=r"min_accuracy, max_size: limit 0\.9, 99 bytes"):
        go(folder, "evaluate.gates={min_accuracy: 0.9, max_size: 99}")


def test_gates_that_hold_say_nothing(folder: Path) -> None:
    gates = "{max_accuracy_drop: 0.03, min_accuracy: 0.87, max_size: 100, max_latency: 2.5}"
    assert go(folder, f"evaluate.gates={gates}")[0]["status"] == "ok"


def test_output_is_left_alone_where_nobody_asked_for_the_log(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _, path = go(folder, capture_output=False)
    said = capfd.readouterr()
    assert "noise of a library" in said.out and "noise from C" in said.err
    assert not (path / "finetune" / "log.txt").exists()


def test_an_error_knows_its_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateFailed) as failed:
        go(folder, "evaluate.gates.min_accuracy=0.95")
    assert failed.value.run_dir == (folder / "runs" / "latest").resolve()
    assert failed.value.stage == "evaluate"
    monkeypatch.setenv("FAKE_CONVERT", "bug")
    with pytest.raises(StageError) as broken:
        go(folder, capture_output=False, force=True)
    assert broken.value.run_dir is not None and broken.value.stage == "convert"
    log = broken.value.run_dir / "convert" / "log.txt"
    assert str(log) in broken.value.hint and "in _bug" in log.read_text()
