"""Keys and values that were removed: what means the same is let pass, the rest is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tfedge import cli
from tfedge.config.former import Removed
from tfedge.config.words import section_at
from tfedge.errors import ConfigError
from tfedge.pipeline.load import Loaded, load
from tfedge.pipeline.schema import REMOVED, RENAMED, schema_of

SMALL = "name: small\ndata: {path: sample:digits}\n"
SINCE, WHY = "2026-11-27", "nobody used it"
ROWS = {
    "prune.colour": Removed(SINCE, WHY, "leave it out", fixed="grey"),
    "prune.depth": Removed(SINCE, WHY, "leave it out", fixed=1.5),
    "quantize.wide": Removed(SINCE, WHY, "leave it out", fixed=True),
    "evaluate.noise": Removed(SINCE, WHY, "leave it out", fixed={"kind": "none", "share": 0.5}),
    "prune.allocation": Removed(SINCE, WHY, "use lamp", values=("dice",)),
    "prune.layers": Removed(SINCE, WHY, "name them one by one", values=("some*", "?")),
}


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if there had been these keys and values once."""
    with monkeypatch.context() as patch:
        for key in list(REMOVED):
            patch.delitem(REMOVED, key)
        for key, row in ROWS.items():
            patch.setitem(REMOVED, key, row)
        yield


def given(folder: Path, text: str, *overrides: str) -> Loaded:
    (folder / "p.yaml").write_text(SMALL + text, "utf-8")
    return load(folder / "p.yaml", overrides)


def refused(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        given(folder, text, *overrides)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "place", "key", "fixed"),
    [
        ("prune:\n  colour: grey\n", "4:3", "prune.colour", "grey"),
        ("prune: {depth: 1.5}\n", "3:9", "prune.depth", "1.5"),
        ("quantize: {wide: true}\n", "3:12", "quantize.wide", "true"),
        ("evaluate: {noise: {share: 0.5, kind: none}}\n", "3:12", "evaluate.noise", "{kind"),
        ("evaluate: {noise: {kind: none}}\n", "3:12", "evaluate.noise", "{kind"),
        ("evaluate:\n  noise:\n", "4:3", "evaluate.noise", "{kind: none, share: 0.5}"),
    ],
)
def test_what_is_fixed_today_is_let_pass_with_a_note(
    text: str, place: str, key: str, fixed: str, removed: None, tmp_path: Path
) -> None:
    found = given(tmp_path, text)
    (note,) = (note for note in found.notes if "was removed" in note)
    said = f"{tmp_path}/p.yaml:{place}: {key}: was removed on {SINCE}, it is always {fixed}"
    assert note.startswith(said) and note.endswith(": leave it out")
    section, name = key.split(".")
    assert name not in found.resolved()[section]
    plain = given(tmp_path, f"{section}:\n")
    assert plain.pipeline == found.pipeline and not any("removed" in n for n in plain.notes)


def test_a_resolved_pipeline_of_then_runs_as_it_did(removed: None, tmp_path: Path) -> None:
    resolved: dict[str, Any] = given(tmp_path, "prune:\nquantize:\n").resolved()
    resolved["prune"] |= {"colour": "grey", "depth": 1.5}
    resolved["quantize"]["wide"] = True
    (tmp_path / "resolved.json").write_text(json.dumps(resolved))
    found = load(tmp_path / "resolved.json")
    assert found.pipeline == given(tmp_path, "prune:\nquantize:\n").pipeline
    assert len([note for note in found.notes if "was removed" in note]) == 3


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("prune:\n  colour: red\n", "4:11", "prune.colour: {}, it is always grey, got 'red'"),
        ("prune: {colour: }\n", "3:16", "prune.colour: {}, it is always grey, got nothing"),
        ("prune: {colour: [grey]}\n", "3:17", "prune.colour: {}, it is always grey, got a list"),
        ("prune: {depth: 2}\n", "3:16", "prune.depth: {}, it is always 1.5, got 2"),
        ("quantize: {wide: 1}\n", "3:18", "quantize.wide: {}, it is always true, got 1"),
        (
            "evaluate: {noise: {kind: much}}\n",
            "3:19",
            "evaluate.noise: {}, it is always {{kind: none, share: 0.5}}, got a section",
        ),
        ("evaluate: {noise: {hue: 1}}\n", "3:19", "evaluate.noise: {}, it is always"),
    ],
)
def test_any_other_value_says_since_when_why_and_what_to_do(
    text: str, place: str, said: str, removed: None, tmp_path: Path
) -> None:
    (problem,) = refused(tmp_path, text)
    assert problem.startswith(f"p.yaml:{place}: {said.format(f'was removed on {SINCE} ({WHY})')}")
    assert problem.endswith(": leave it out")


def test_a_value_may_be_gone_while_its_key_is_there(removed: None, tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "prune:\n  allocation: dice\n")
    why = f"was removed on {SINCE} ({WHY})"
    assert problem == f"p.yaml:4:15: prune.allocation: dice {why}: use lamp"
    found = given(tmp_path, "prune: {allocation: uniform}\n")
    assert found.pipeline.prune is not None and found.pipeline.prune.allocation == "uniform"
    (problem,) = refused(tmp_path, "prune: {allocation: lmap}\n")
    assert "prune.allocation: must be " in problem and "removed" not in problem


def test_a_value_in_a_list_is_named_where_it_stands(removed: None, tmp_path: Path) -> None:
    problems = refused(tmp_path, 'prune: {layers: [block_16_*, "some*", "?"]}\n')
    why = f"was removed on {SINCE} ({WHY}): name them one by one"
    assert problems == [
        f"p.yaml:3:30: prune.layers[1]: some* {why}",
        f"p.yaml:3:39: prune.layers[2]: ? {why}",
    ]


def test_an_override_is_held_to_the_same_and_the_last_one_counts(
    removed: None, tmp_path: Path
) -> None:
    (problem,) = refused(tmp_path, "prune:\n", "prune.colour=red")
    assert problem.startswith("--set prune.colour=red: prune.colour: was removed on ")
    found = given(tmp_path, "prune: {colour: red}\n", "prune.colour=grey")
    assert "prune.colour: was removed" in found.notes[0]
    assert found.notes[0].startswith("--set prune.colour=grey: ")
    given(tmp_path, "prune: {colour: red}\n", "prune={sparsity: 0.5}")
    (problem,) = refused(tmp_path, "prune: {colour: grey}\n", "prune.colour.hue=3")
    assert problem.endswith("it is always grey, got a section: leave it out")


def test_it_is_one_of_all_problems(removed: None, tmp_path: Path) -> None:
    text = "prune: {colour: red, sparsity: 2, allocation: dice}\nquantize: {colour: grey}\n"
    problems = refused(tmp_path, text)
    assert [problem.split(": ")[1] for problem in problems] == [
        "prune.colour",
        "prune.sparsity",
        "prune.allocation",
        "quantize.colour",  # another key of that name is just unknown
    ]


def test_nothing_is_said_of_what_the_refused_value_would_have_done(
    removed: None, tmp_path: Path
) -> None:
    (problem,) = refused(tmp_path, 'prune: {sparsity: 0.95, layers: ["?"]}\n')
    assert "prune.layers[0]" in problem
    assert "more than 90%" in refused(tmp_path, "prune: {sparsity: 0.95}\n")[0]


def test_it_may_have_had_another_name_before(
    removed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(RENAMED, "prune.paint", "prune.colour")
    (problem,) = refused(tmp_path, "prune: {paint: red}\n")
    assert problem.startswith("p.yaml:3:16: prune.colour: was removed on ")
    assert len(given(tmp_path, "prune: {paint: grey}\n").notes) == 2


def test_what_is_no_section_or_no_plain_value_is_said_once(removed: None, tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, "prune: 3\n")
    assert "prune: must be a section" in problem
    (problem,) = refused(tmp_path, "prune: {colour: !red x}\n")
    assert "tag !red is not allowed" in problem


def test_tfedge_schema_says_that_a_key_is_gone(
    removed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["schema", "prune.colour"]) == 2
    said = f"prune.colour: was removed on {SINCE}, it is always grey: leave it out\n"
    assert capsys.readouterr() == ("", said)
    assert cli.main(["schema", "prune.allocation"]) == 0


def test_an_option_of_prune_that_lost(tmp_path: Path) -> None:
    """A resolved pipeline of then says the key with what is fixed now, too."""
    resolved = given(tmp_path, "prune:\nquantize:\n").resolved()
    file = tmp_path / "resolved.json"
    for norms in ("hold", "reestimate"):
        prune = resolved["prune"] | {"norms": norms}
        file.write_text(json.dumps(resolved | {"prune": prune}, indent=1))
        if norms == "hold":
            found = load(file)
            assert found.resolved() == resolved
            assert [note.split(": ")[1] for note in found.notes] == ["prune.norms"]
            continue
        with pytest.raises(ConfigError) as caught:
            load(file)
        (problem,) = caught.value.problems
        assert "prune.norms: " in problem and "was removed on 20" in problem


def test_no_key_is_there_and_removed() -> None:
    schema = schema_of("image-classification")
    for key, row in REMOVED.items():
        *above, name = key.split(".")
        section = section_at(tuple(above), schema)
        there = section is not None and name in section.model_fields
        assert there == bool(row.values), key
