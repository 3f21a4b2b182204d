"""``tfedge schema``: the keys of a pipeline as a person and as an editor reads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tfedge import cli
from tfedge.config.keys import Key, flow, keys
from tfedge.devices.schema import Devices
from tfedge.pipeline.schema import RENAMED, schema_of
from tfedge.tasks.table import TASKS

SCHEMA = schema_of("image-classification")
PIPELINES = Path(__file__).parents[2] / "pipelines"
EDITOR = "# yaml-language-server: $schema="


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["schema", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def every_key() -> list[Key]:
    return [key for root in (*map(schema_of, TASKS), Devices) for key in keys(root)]


# ------------------------------------------------------------------ the descriptions


@pytest.mark.parametrize("key", every_key(), ids=lambda key: key.path)
def test_every_key_has_a_short_description(key: Key) -> None:
    assert re.fullmatch(r"[A-Z`\[].*\.", key.description), "a sentence"
    assert len(key.description) <= 200
    assert key.description.count("`") % 2 == 0
    assert "  " not in key.description


def test_keys_that_descriptions_name_exist() -> None:
    paths = {key.path for key in keys(SCHEMA)}
    sections = "|".join(path for path in paths if "." not in path)
    for key in every_key():
        for name in re.findall(rf"`((?:{sections})\.\w+)`", key.description):
            assert name in paths or f"{name}[]" in paths, key.path


# ------------------------------------------------------------------ for people


def test_all_keys_with_type_default_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys)
    assert re.search(r"^  sparsity: 0\.5 +a number above 0 and below 1$", text, re.M)
    assert re.search(r"^    max_size: null +a whole number of at least 1$", text, re.M)
    assert re.search(r"^name: +required; a name of letters", text, re.M)
    assert re.search(r"^prune: +a section; off unless it is there$", text, re.M)
    found = [line.split(":")[0].strip() for line in text.splitlines() if re.match(r" *\w+:", line)]
    assert [key.name for key in keys(SCHEMA)] == [n for n in found if n in names()]
    words = " ".join(text.split())
    for key in keys(SCHEMA):
        assert key.description in words, key.path
    assert all(len(line) <= 100 for line in text.splitlines() if "required" not in line)


def names() -> set[str]:
    return {key.name for key in keys(SCHEMA)}


def test_a_section_or_a_key_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "prune")
    assert text.startswith("prune: ") and "\n  sparsity: 0.5" in text and "clusters" not in text
    text = said(capsys, "prune.sparsity")
    assert text.startswith("prune.sparsity: 0.5") and text.count(":") == 1
    for path in ("benchmark.devices.timeout", "benchmark.devices[].timeout"):
        assert said(capsys, path).startswith("benchmark.devices[].timeout: 1800.0")
    gates = said(capsys, "evaluate.gates")
    assert "\n  min_accuracy: null" in gates and "robustness" not in gates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune.sparsty"], "no key 'prune.sparsty', did you mean prune.sparsity?"),
        (["quantise"], "no key 'quantise', did you mean quantize?"),
        (["sparsity"], "no key 'sparsity', did you mean prune.sparsity?"),
        (["clusters"], "no key 'clusters', did you mean cluster?"),
        (
            ["hints"],
            "no key 'hints', did you mean prune.hints or cluster.hints or quantize.hints?",
        ),
        (["benchmark.device"], "no key 'benchmark.device', did you mean benchmark.devices?"),
        (["xyzzy"], "no key 'xyzzy' (tfedge schema lists all)"),
        (["", "--json"], "no key '' (tfedge schema lists all)"),
        (["prune.sparsty", "--json"], "no key 'prune.sparsty', did you mean prune.sparsity?"),
        (
            ["--task", "image-clasification"],
            "no task 'image-clasification', did you mean image-classification? "
            "(allowed: image-classification, text-classification, object-detection)",
        ),
    ],
)
def test_what_there_is_none_of(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["schema", *arguments]) == 2
    assert capsys.readouterr() == ("", f"{message}\n")


def test_an_old_name_leads_to_todays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RENAMED, "prune.density", "prune.sparsity")
    assert cli.main(["schema", "prune.density"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("prune.sparsity: 0.5")
    assert err == "note: prune.density is called prune.sparsity today\n"


def test_a_key_that_several_sections_say_today_leads_to_theirs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["schema", "distill.alpha"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("prune.teacher: 0.7")
    each = "prune.teacher, cluster.teacher, quantize.teacher"
    assert err == f"note: distill.alpha is said by each section today: {each}\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1e-4, "0.0001"),
        ("", '""'),
        ((), "[]"),
        (("a", 1), "[a, 1]"),
        ({}, "{}"),
        ({"a": "b"}, "{a: b}"),
    ],
)
def test_values_as_yaml(value: object, text: str) -> None:
    assert flow(value) == text


# ------------------------------------------------------------------ for editors


def resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The section that a property is or may be."""
    for option in (part, *part.get("anyOf", ())):
        if "$ref" in option:
            return schema["$defs"][option["$ref"].rpartition("/")[2]]
    raise AssertionError(part)


def test_json_schema_of_a_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(said(capsys, "--json", "--task", "image-classification"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["required"] == ["name", "data"] and not schema["additionalProperties"]
    assert list(schema["properties"]) == list(SCHEMA.model_fields)
    prune = resolved(schema, schema["properties"]["prune"])
    sparsity = prune["properties"]["sparsity"]
    assert (sparsity["default"], sparsity["exclusiveMaximum"]) == (0.5, 1)
    assert (
        sparsity["description"]
        == SCHEMA.model_fields["prune"].annotation.__args__[0].model_fields["sparsity"].description
    )
    assert "top_k" in resolved(schema, schema["properties"]["evaluate"])["properties"]
    for name in ("backbone", "benchmark"):  # a section with nothing behind it has its defaults
        assert {"type": "null"} in schema["properties"][name]["anyOf"]
    assert "title" not in sparsity and "title" not in prune


def test_json_schema_of_files_of_every_task(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "--json")
    assert text == (PIPELINES / "tfedge.schema.json").read_text("utf-8"), "tools/template.py"
    schema = json.loads(text)
    assert schema["properties"]["task"]["enum"] == list(TASKS)
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    for file in PIPELINES.glob("*.yaml"):
        assert file.read_text("utf-8").startswith(f"{EDITOR}tfedge.schema.json\n"), file.name
        assert list(check.iter_errors(yaml.safe_load(file.read_text("utf-8")))) == [], file.name


@pytest.mark.parametrize(
    ("task", "data", "is_right"),
    [
        (None, {"image_size": 97}, True),
        (None, {"length": 64}, False),
        ("image-classification", {"unlabelled": "empty"}, False),
        ("text-classification", {"length": 64}, True),
        ("text-classification", {"image_size": 97}, False),
        ("object-detection", {"unlabelled": "empty"}, True),
        ("object-detection", {"unlabelled": "emtpy"}, False),
        ("objects", {}, False),
    ],
)
def test_what_an_editor_says_of_a_key_depends_on_the_task(
    task: str | None, data: dict[str, object], is_right: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Draft202012Validator(json.loads(said(capsys, "--json")))
    named = {} if task is None else {"task": task}
    assert check.is_valid({"name": "a", "data": {"path": "b", **data}, **named}) == is_right
    assert not check.is_valid({"data": {"path": "b", **data}, **named}), "a pipeline has a name"


def test_json_schema_of_a_part_refers_to_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    key = json.loads(said(capsys, "--json", "prune.sparsity"))
    assert key["default"] == 0.5 and "$defs" not in key
    gates = json.loads(said(capsys, "--json", "evaluate.gates"))
    assert list(gates["$defs"]) == ["Gates"]
    devices = json.loads(said(capsys, "--json", "benchmark.devices"))
    assert set(devices["$defs"]) == {"BenchDevice", "Tool"}
