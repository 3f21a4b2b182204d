"""``tfedge report``, and what a report says to a review: the verdict, what was run, an appendix."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from color_helpers import Run as Made
from color_helpers import make_run
from test_report_texts import finished, sections

from tfedge import Run, cli, write_report
from tfedge.core.result import assemble, gather
from tfedge.errors import ArtifactError
from tfedge.files.artifact import write_json
from tfedge.tasks.table import task_of

Said = pytest.CaptureFixture[str]


def ended(tmp: Path, gates: dict[str, Any] | None = None, **options: Any) -> Made:
    """A run to its end with its run.json."""
    options = {"evaluate": {"gates": gates or {}}} | options
    run, result = finished(tmp, **options)
    names = ("data", "convert", "evaluate", "benchmark", "package")
    row = {"key": "ab" * 32, "cache": "miss", "seconds": 1.0}
    stages = [{"name": name, **row} for name in names]
    stages[0]["cache"] = "hit"
    found = assemble(
        gather(run.folder, names),
        pipeline="color",
        task=task_of("image-classification"),
        status="ok",
        seconds=12.3,
        stages=stages,
        entries={},
    )
    write_json(run.folder / "run.json", found | {"versions": result["versions"]})
    events = {"time": 1_700_000_000.0, "event": "start", "stage": "data"}
    (run.folder / "events.jsonl").write_text(json.dumps(events) + "\n")
    return run


def verdict(folder: Path) -> str:
    """The sentence that a report begins with."""
    path = folder / "again.md"
    write_report(folder, md=path)
    return path.read_text("utf-8").splitlines()[2]


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        ({}, "no gate was set.**"),
        ({"min_accuracy": 0.5}, "the only gate was passed.**"),
        ({"min_accuracy": 0.5, "max_size": 10**9}, "all 2 gates passed.**"),
        ({"min_accuracy": 0.99, "max_size": 10**9}, "gates missed: min_accuracy.**"),
    ],
)
def test_it_begins_with_what_8_bits_cost_and_the_gates(
    gates: dict[str, Any], said: str, tmp_path: Path
) -> None:
    found = verdict(ended(tmp_path, gates, mislabelled=2).folder)
    assert found.startswith("**8 bits change nothing in top-1: 83.3 % in float, 83.3 % in int8, ")
    assert "on 12 val examples (exact McNemar test: p 1, no more than chance); " in found
    assert found.endswith(said)


def test_a_loss_that_is_more_than_chance_is_told_as_such(tmp_path: Path) -> None:
    run = ended(tmp_path)
    file = run.folder / "evaluate" / "metrics.json"
    found = json.loads(file.read_text())
    found["int8"]["top1"] = 0.5
    found["phases"][-1] |= {"top1": 0.5, "gained": 0, "lost": 6, "p": 0.03125}
    write_json(file, found)
    said = verdict(run.folder)
    assert said.startswith("**8 bits cost 50.0 points of top-1: 100.0 % in float, 50.0 % in int8")
    assert "p 0.031, more than chance" in said
    found["phases"][-1] |= {"against": "pruned", "p_float": 0.5, "gained_float": 0, "lost_float": 1}
    found["phases"].insert(-1, found["phases"][0] | {"phase": "pruned"})
    write_json(file, found)
    said = verdict(run.folder)
    assert said.startswith("**8 bits, after pruned, cost") and "p 0.5, no more than chance" in said


def test_what_was_run_is_told_with_the_settings_that_are_no_defaults(tmp_path: Path) -> None:
    run = ended(tmp_path, {"min_accuracy": 0.5})
    write_report(run.folder, md=tmp_path / "r.md")
    found = sections((tmp_path / "r.md").read_text("utf-8"))
    told = found["What was run"]
    assert f"| command | `tfedge run {run.folder.resolve()}/resolved.json` |" in told
    assert "| began | 2023-11-14 22:13 UTC |" in told
    assert "| took | 12 s, 1 of 5 stages from the cache |" in told
    assert "| evaluate.gates.min_accuracy | 0.5 |" in told and "evaluate.top_k" not in told
    assert list(found)[-3:] == ["Appendix: layers", "Appendix: stages", "Appendix: versions"]
    assert not re.search("pruned layer|kernel in model", found["Sparsity"])


def test_long_tables_are_folded_in_markdown(tmp_path: Path) -> None:
    run = ended(tmp_path)
    file = run.folder / "convert" / "model.json"
    found = json.loads(file.read_text())
    found["layers"] = [found["layers"][0] | {"name": f"layer {n}"} for n in range(20)]
    write_json(file, found)
    write_report(run.folder, md=tmp_path / "r.md")
    lines = (tmp_path / "r.md").read_text("utf-8").splitlines()
    at = lines.index("<summary>Appendix: layers, kernel in model.tflite: 20 rows</summary>")
    assert (lines[at - 1], lines[at + 1]) == ("<details>", "") and lines[at + 2].startswith("| ")
    assert lines[at + 24 : at + 26] == ["", "</details>"]
    assert lines.count("<details>") == 1  # the short ones are not


def test_both_files_are_written_anew_or_the_one_that_is_named(tmp_path: Path, capsys: Said) -> None:
    run = ended(tmp_path)
    assert cli.main(["report", str(run.folder)]) == 0
    files = [run.folder / name for name in ("report.html", "report.md")]
    assert capsys.readouterr().out.split() == [str(file.resolve()) for file in files]
    page = files[0].read_bytes()
    for file in files:
        file.unlink()
    assert cli.main(["report", str(run.folder), "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_bytes() == page
    assert not any(file.exists() for file in files)


def test_a_run_that_failed_has_a_report_too(tmp_path: Path, capsys: Said) -> None:
    run = ended(tmp_path)
    result = json.loads((run.folder / "run.json").read_text())
    error = {"stage": "evaluate", "message": "no space left", "hint": "make some"}
    for name in ("evaluate", "benchmark", "package"):
        shutil.rmtree(run.folder / name)
    gone = {"metrics": {}, "benchmark": [], "drops": [], "error": error, "status": "failed"}
    write_json(run.folder / "run.json", result | gone | {"stages": result["stages"][:2]})
    assert cli.main(["report", str(run.folder), "--md", str(tmp_path / "r.md")]) == 0
    text = (tmp_path / "r.md").read_text("utf-8")
    assert "no space left" in text and "Way out: make some" in text and "## Sparsity" in text


def test_a_run_that_has_not_ended_is_a_message(tmp_path: Path, capsys: Said) -> None:
    run = make_run(tmp_path)
    assert cli.main(["report", str(run.folder)]) == 7
    assert "run.json: can't be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "key", "said"),
    [
        ("run.json", "seconds", "does not say what a run says"),
        ("convert/model.json", "deflated", "deflated: Field required"),
        ("evaluate/metrics.json", "worst", "worst: Field required"),
        ("finetune/history.json", "train", "train: Field required"),
    ],
)
def test_a_field_that_an_older_run_lacks_is_named(
    file: str, key: str, said: str, tmp_path: Path, capsys: Said
) -> None:
    run = ended(tmp_path)
    found = json.loads((run.folder / file).read_text())
    del found[key]
    write_json(run.folder / file, found)
    assert cli.main(["report", str(run.folder)]) == 7
    caught = capsys.readouterr().err
    assert f"{run.folder.resolve() / file}: " in caught and said in caught


def test_what_only_the_task_knows_of_a_row_may_be_missing_too(tmp_path: Path) -> None:
    run = ended(tmp_path, mislabelled=2)
    file = run.folder / "evaluate" / "metrics.json"
    found = json.loads(file.read_text())
    del found["worst"][0]["true"]
    write_json(file, found)
    with pytest.raises(ArtifactError, match="lack what this version tells: KeyError 'true'"):
        write_report(Run.read(run.folder))


def test_a_pipeline_of_another_version_leaves_the_rest(tmp_path: Path, capsys: Said) -> None:
    run = ended(tmp_path)
    (run.folder / "resolved.json").write_text(json.dumps({"name": "old", "fancy": {"key": 1}}))
    assert cli.main(["report", str(run.folder), "--md", str(tmp_path / "r.md")]) == 0
    assert "note: without settings, gates and examples: resolved.json" in capsys.readouterr().err
    text = (tmp_path / "r.md").read_text("utf-8")
    assert "its gates are not known.**" in text and "## Confusion" in text
