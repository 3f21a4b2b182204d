"""quantize.keep and quantize.debug: what is refused before anything runs, and what they re-run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfedge.core.keys import key_of, material, settings
from tfedge.core.plan import lines, plan, select
from tfedge.core.stages import active, stage
from tfedge.pipeline.load import load
from tfedge.pipeline.rules import check, notes
from tfedge.pipeline.schema import Pipeline, pipeline_of


def make(quantize: dict[str, Any], **sections: Any) -> Pipeline:
    data = {"path": "sample:digits"}
    return pipeline_of({"name": "a", "data": data, "quantize": quantize, **sections})


def said(keep: dict[str, str], **sections: Any) -> list[str]:
    return [problem.text for problem in check(make({"keep": keep}, **sections))]


@pytest.mark.parametrize(
    "keep",
    [
        {"logits": "float"},
        {"block_16_*": "int16", "logits": "float"},
        {"block_2_add": "float", "pixel_offset": "float", "pool": "float"},
        {"block_16_expand_relu": "float"},  # no kernel: the catalogue does not have it
        {"block_1[56]_*": "float", "block_15_expand": "float"},
    ],
)
def test_layers_of_the_net_are_fine(keep: dict[str, str]) -> None:
    assert said(keep) == []


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ({"logit": "float"}, "no layer is called 'logit', did you mean logits?"),
        ({"blok_16_*": "float"}, "no layer is called 'blok_16_*', did you mean "),
        ({"block_16_projct": "float"}, "did you mean block_16_project?"),
        (
            {"block_16_*": "int16", "block_16_expand": "float"},
            "block_16_expand is to be int16 by 'block_16_*' and float by 'block_16_expand': say",
        ),
    ],
)
def test_what_can_not_be_is_said(keep: dict[str, str], expected: str) -> None:
    (text,) = said(keep)
    assert text.startswith("quantize.keep: ") and expected in text


def test_names_are_those_of_the_backbone() -> None:
    net = {"name": "MobileNetV3Small", "weights": "none"}
    assert said({"expanded_conv_*": "float"}, backbone=net) == []
    assert len(said({"block_16_*": "float"}, backbone=net)) == 1
    (text,) = said({"logit": "float"}, backbone={"name": "NoSuchNet"})
    assert text.startswith("backbone.name")  # and no guess at its layers


@pytest.mark.parametrize(
    "key", [{"keep": {"logits": "float"}}, {"debug": True}, {"xnnpack_input": True}]
)
def test_nothing_is_kept_where_nothing_is_quantized(key: dict[str, Any]) -> None:
    (text,) = [p.text for p in check(make({"recipe": "none", **key}))]
    assert text.endswith("nothing is quantized: choose recipe qat or ptq")


def test_an_edge_tpu_takes_no_such_layer() -> None:
    coral = {"package": {"targets": ("linux", "coral")}}
    (note,) = [n for n in notes(make({"keep": {"logits": "float"}}, **coral)) if "keep" in n]
    assert "an Edge TPU takes 8-bit ops only" in note and "run on the CPU" in note
    assert not any("keep" in n for n in notes(make({}, **coral)))
    assert not any("keep" in n for n in notes(make({"keep": {"logits": "float"}}, package={})))


def test_int16_is_called_slow_before_anything_runs() -> None:
    (note,) = [
        n for n in notes(make({"keep": {"logits": "float", "pool": "int16"}})) if "keep" in n
    ]
    assert "no fast 16-bit kernels" in note and "42 ms instead of 2" in note
    assert "in float" in note and "quantize.correct" in note
    assert not any("keep" in n for n in notes(make({"keep": {"logits": "float"}})))


def test_the_plan_shows_the_note(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("name: a\ndata: {path: x}\nquantize: {keep: {logits: int16}}\n")
    loaded = load(file)
    shown = lines(loaded, plan(loaded, select(loaded.pipeline), tmp_path), tmp_path)
    assert any(line.startswith("note: quantize.keep: int16 is slow") for line in shown)


def key(name: str, quantize: dict[str, Any]) -> str:
    return key_of(material(stage(name), settings(make(quantize)), {}))


def test_debug_is_a_stage_of_its_own_and_no_reason_to_quantize_again() -> None:
    def names(**quantize: Any) -> list[str]:
        return [row.name for row in active(make(quantize))]

    assert names(debug=True) == [*names(debug=False), "debug"]
    assert "debug" not in names(debug=True, recipe="none")
    for name in ("quantize", "convert", "package"):
        assert key(name, {"debug": True}) == key(name, {}) == key(name, {"debug": False})
    for name in ("quantize", "package"):
        assert key(name, {"keep": {"logits": "float"}}) != key(name, {})
    assert key("debug", {"debug": True}) != key("debug", {})
    assert key("quantize", {"keep": {"logits": "float"}}) != key(
        "quantize", {"keep": {"logits": "int16"}}
    )


def test_debug_is_automatic_where_something_is_evaluated_and_comes_behind_it() -> None:
    evaluated = [row.name for row in active(make({}, evaluate={}))]
    assert evaluated[-2:] == ["evaluate", "debug"]
    assert "debug" not in [row.name for row in active(make({}))]
    assert "debug" not in [row.name for row in active(make({"debug": False}, evaluate={}))]
    assert "debug" not in [row.name for row in active(make({"recipe": "none"}, evaluate={}))]
    assert check(make({"recipe": "none"})) == []  # auto asks for nothing
