"""A run that goes on from another keeps that one's classes first, at their numbers there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data_helpers import Said, class_folders

from tfedge.core import keys, plan
from tfedge.core.slice import context_of
from tfedge.core.stages import stage as row
from tfedge.data.audit import Findings
from tfedge.data.index import Index, Row
from tfedge.data.kind import IMAGES
from tfedge.data.labels import after
from tfedge.data.sources import source_digest
from tfedge.errors import ConfigError
from tfedge.pipeline.load import Loaded, load
from tfedge.stages import data as stage
from tfedge.tasks.classification import report


def earlier_run(folder: Path, *classes: str, index: str | None = None) -> Path:
    """The directory of a run that came to finetune."""
    for name in ("finetune/model.npz", "backbone/base.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    (folder / "data").mkdir()
    rows = tuple(Row(f"{name}.png", n, "train", "0" * 64) for n, name in enumerate(classes))
    Index(classes, rows, "folders").save(folder / "data" / "index.json")
    if index is not None:
        (folder / "data" / "index.json").write_text(index)
    return folder


def pipeline(tmp: Path, run: Path | str, *overrides: str, **classes: int) -> Loaded:
    """A pipeline over photos of these classes, which goes on from that run."""
    if classes:
        class_folders(tmp / "photos", {name.strip("_"): n for name, n in classes.items()})
    file = tmp / "p.yaml"
    file.write_text("data: {path: photos, image_size: 32}\nname: test\n")
    return load(file, [f"backbone.weights={run}", "backbone.alpha=0.35", *overrides])


def data_stage(loaded: Loaded, tmp: Path) -> tuple[Index, Findings, Said]:
    """What the stage makes of it."""
    out, said = tmp / "out", Said()
    out.mkdir(exist_ok=True)
    root = tmp / "photos"
    stage.run(context_of(row("data"), loaded.pipeline, {}, out, tmp / "cache", root, said))
    return Index.load(out / "index.json"), Findings.load(out / "audit.json"), said


def key(loaded: Loaded, tmp: Path) -> str:
    source = source_digest(loaded.pipeline.data, tmp / "cache")
    assert source is not None
    return keys.key_of(keys.material(row("data"), keys.settings(loaded.pipeline), {}, source))


def planned(loaded: Loaded, tmp: Path) -> list[str]:
    steps = plan.plan(loaded, plan.select(loaded.pipeline), tmp / "cache")
    return [
        line
        for line in plan.lines(loaded, steps, tmp / "cache")
        if "the order" in line or "classes: " in line
    ]


def test_old_classes_come_first_and_new_ones_after_them() -> None:
    assert after(("dog", "cat"), ["ant", "cat", "dog", "zebra"])[0] == (
        "dog",
        "cat",
        "ant",
        "zebra",
    )
    assert after(("10", "9"), ["9", "10", "11", "2"])[0] == ("10", "9", "2", "11")
    assert after(("b", "a"), ["x", "a"]) == (
        ("a", "x"),
        "classes: 1 as in the earlier run, 1 new after them (x)",
        "classes of the earlier run without examples: b; those behind them move up, and have other "
        "numbers than there",
    )
    assert after(("b",), ["c", "a"])[1].startswith("classes: none of the earlier run, 2 new")


def test_the_index_has_the_order_of_the_run_that_it_goes_on_from(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run", "dog", "cat")
    loaded = pipeline(tmp_path, run, ant=12, cat=12, dog=12)
    index, audit, said = data_stage(loaded, tmp_path)
    assert index.classes == ("dog", "cat", "ant")
    assert {r.path.split("/")[0]: r.label for r in index.rows} == {"dog": 0, "cat": 1, "ant": 2}
    line = "classes: 2 as in the earlier run, 1 new after them (ant)"
    assert line in said.notes and line in stage.warnings(tmp_path / "out")
    assert "Classes: 2 as in the earlier run, 1 new after them (ant)." in str(
        report.data(index, audit, IMAGES)
    )
    (told,) = planned(loaded, tmp_path)
    assert told.startswith(f"classes: those of {run} first, in their order there (dog, cat; 2 in ")


def test_classes_that_the_pipeline_gives_stand_as_they_are_given(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run", "dog", "cat")
    loaded = pipeline(tmp_path, run, "data.classes=[cat, ant, dog]", ant=12, cat=12, dog=12)
    assert data_stage(loaded, tmp_path)[0].classes == ("cat", "ant", "dog")
    assert loaded.pipeline.data.earlier == () and planned(loaded, tmp_path) == []


def test_an_old_class_without_images_is_told_with_what_that_moves(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run", "dog", "bird", "cat")
    index, audit, _ = data_stage(pipeline(tmp_path, run, cat=12, dog=12), tmp_path)
    assert index.classes == ("dog", "cat")
    assert audit.warnings[:1] == [
        "classes of the earlier run without examples: bird; those behind them move up, and have "
        "other numbers than there"
    ]


def test_an_old_class_that_was_the_last_moves_nothing(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run", "dog", "cat", "bird")
    _, audit, _ = data_stage(pipeline(tmp_path, run, cat=12, dog=12), tmp_path)
    assert audit.warnings[:1] == ["classes of the earlier run without examples: bird"]


def test_the_order_is_part_of_the_key(tmp_path: Path) -> None:
    runs = [earlier_run(tmp_path / "-".join(names), *names) for names in (("b", "a"), ("a", "b"))]
    first = key(pipeline(tmp_path, runs[0], a=12, b=12), tmp_path)
    second = key(pipeline(tmp_path, runs[1]), tmp_path)
    assert first != second
    assert first == key(pipeline(tmp_path, runs[0]), tmp_path)
    again = runs[0] / "data" / "index.json"
    again.write_bytes((runs[1] / "data" / "index.json").read_bytes())
    assert key(pipeline(tmp_path, runs[0]), tmp_path) == second  # the run was made again


def test_a_run_whose_folder_lacks_the_index_is_told(tmp_path: Path) -> None:
    run = earlier_run(tmp_path / "run", "b", "a")
    (run / "data" / "index.json").unlink()
    loaded = pipeline(tmp_path, run, a=12, b=12)
    (told,) = planned(loaded, tmp_path)
    assert told.startswith(f"note: {run} has no data/index.json, which would tell the order")
    assert data_stage(loaded, tmp_path)[0].classes == ("a", "b")


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"classes": [1, 2]}), "{" * 5000])
def test_a_damaged_index_is_a_mistake_with_its_place(tmp_path: Path, text: str) -> None:
    run = earlier_run(tmp_path / "run", "b", "a", index=text)
    with pytest.raises(ConfigError) as caught:
        pipeline(tmp_path, run, a=1, b=1)
    (problem,) = caught.value.problems
    assert "backbone.weights: " in problem and "data/index.json" in problem
