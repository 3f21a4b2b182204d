"""How long a run is said to take, from the seconds that its stages took before."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from core_fakes import ALL, TABLE, go, prepare

from tfedge.core import plan
from tfedge.core.estimate import Estimate, estimate
from tfedge.pipeline.load import load

SECONDS = dict(zip(ALL, (1, 20, 10, 4, 6, 8, 2), strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def take(folder: Path, factor: float = 1.0) -> None:
    """What was made since the last time took so long as ``SECONDS`` says."""
    records = [*folder.glob("cache/stages/*/stage.json"), *folder.glob("runs/*/*/stage.json")]
    for file in records:
        record = json.loads(file.read_text())
        if "taken" not in record:
            record |= {"seconds": SECONDS[record["name"]] * factor, "taken": True}
            file.chmod(0o644)
            file.write_text(json.dumps(record))


def asked(folder: Path, *overrides: str, **selection: object) -> Estimate | None:
    loaded = load(folder / "fake.yaml", overrides)
    selected = plan.select(loaded.pipeline, stages=TABLE, **selection)
    steps = plan.plan(loaded, selected, folder / "cache")
    return estimate(loaded, selected, steps, folder / "cache", folder / "runs")


def test_without_earlier_runs_nothing_is_said(folder: Path) -> None:
    assert asked(folder) is None
    stream = io.StringIO()
    go(folder, stream=stream)
    assert "takes" not in stream.getvalue()


def test_what_the_cache_has_takes_no_time(folder: Path) -> None:
    go(folder)
    take(folder)
    assert asked(folder) == Estimate(8 + 2, 1)  # what is never cached
    assert asked(folder, stop="evaluate") is None  # nothing will run


def test_the_same_again_takes_as_long(folder: Path) -> None:
    go(folder)
    take(folder)
    after_data = sum(SECONDS.values()) - SECONDS["data"]
    assert asked(folder, start="finetune", force=True) == Estimate(after_data, 1)
    assert asked(folder, "name=b", start="finetune", force=True) == Estimate(after_data, 1)
    # How many examples there are is known when they have been looked at.
    assert asked(folder, "seed=2") == Estimate(sum(SECONDS.values()) - 20, 1, ("finetune",))


def test_the_middle_of_several_is_taken(folder: Path) -> None:
    for number, factor in enumerate((1, 30, 2)):
        go(folder, f"seed={number}")
        take(folder, factor)
    assert asked(folder, stop="data", force=True) == Estimate(2, 3)


def test_other_keys_take_other_times(folder: Path) -> None:
    go(folder)
    take(folder)
    found = asked(folder, "quantize.epochs=3")
    assert found == Estimate(4 + 6 + 8 + 2, 1, ("quantize",))
    assert asked(folder, "backbone.weights=none") is None  # all but one stage follow from it
    assert asked(folder, "finetune.epochs=77", stop="finetune") is None


def test_more_examples_take_longer(folder: Path) -> None:
    go(folder)
    take(folder)
    for name in "cdef":  # two become six
        (folder / "photos" / name).write_text(name)
    go(folder, stop="data")
    found = asked(folder)
    assert found is not None and found.seconds == pytest.approx(20 * 3 + 10 + 4 + 6 + 8 + 2)
    for name in "ghijklmnopq":  # more than four times as many: too far apart
        (folder / "photos" / name).write_text(name)
    go(folder, stop="data")
    assert asked(folder).unknown == ("finetune",)  # type: ignore[union-attr]


def test_results_that_are_damaged_do_not_count(folder: Path) -> None:
    go(folder)
    take(folder)
    for file in folder.glob("cache/stages/*/stage.json"):
        file.chmod(0o644)
        file.write_text('{"name": "data", "outputs": []}')
    for file in folder.glob("runs/*/*/stage.json"):
        file.write_text("[]")
    assert asked(folder, force=True) is None


def test_it_is_told_at_the_start_and_in_the_plan(folder: Path) -> None:
    go(folder)
    take(folder)
    stream = io.StringIO()
    go(folder, stream=stream, start="finetune", force=True)
    assert stream.getvalue().splitlines()[0] == "takes about 50 s, from 1 earlier run here"
    take(folder)
    stream = io.StringIO()
    go(folder, stream=stream, force=True)
    said = [line for line in stream.getvalue().splitlines() if "takes" in line]
    assert said == ["takes about 50 s, from 1 earlier run here"]  # once, after the first stage


@pytest.mark.parametrize(
    ("seconds", "runs", "said"),
    [
        (0.2, 1, "takes about 1 s, from 1 earlier run here"),
        (17.4, 3, "takes about 17 s, from 3 earlier runs here"),
        (63, 3, "takes about 1:05 min, from 3 earlier runs here"),
        (880, 3, "takes about 14:30 min, from 3 earlier runs here"),
        (7300, 3, "takes about 2:02 h, from 3 earlier runs here"),
    ],
)
def test_no_more_figures_than_it_can_know(seconds: float, runs: int, said: str) -> None:
    assert str(Estimate(seconds, runs)) == said


def test_what_is_not_known_is_named() -> None:
    told = str(Estimate(30, 1, ("finetune", "prune")))
    assert told == "takes 30 s or more, from 1 earlier run here; not known: finetune, prune"
