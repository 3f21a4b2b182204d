"""A stage can read what its row declares; anything else raises, and changes no key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from color_helpers import make_run

from tfedge.core import keys
from tfedge.core.slice import UndeclaredRead, context_of, sliced
from tfedge.core.stages import STAGES, Stage, stage
from tfedge.pipeline.schema import Pipeline, pipeline_of
from tfedge.pipeline.unfreeze import blocks_of
from tfedge.stages import package


def make(**sections: Any) -> Pipeline:
    return pipeline_of(name="test", data={"path": "x", "image_size": 64}, **sections)


def part(*config: str, without: tuple[str, ...] = (), unkeyed: tuple[str, ...] = (), **sections):
    row = Stage("reader", "", config=config, without=without, unkeyed=unkeyed)
    return sliced(make(**sections), row)


def test_what_is_declared_is_what_the_pipeline_says() -> None:
    pipeline = make(prune={"sparsity": 0.7})
    row = Stage("reader", "", config=("seed", "data.image_size", "prune"))
    found = sliced(pipeline, row)
    assert (found.seed, found.data.image_size) == (pipeline.seed, 64)
    assert found.prune is pipeline.prune  # all of it


@pytest.mark.parametrize(
    "read",
    [
        lambda p: p.evaluate,
        lambda p: p.data.fit,
        lambda p: p.data.model_dump(),
        lambda p: p.model_dump(),
        lambda p: p.quantize.debug,
        lambda p: getattr(p, "evaluate", None),  # not even so
        lambda p: hasattr(p, "evaluate"),
    ],
)
def test_any_other_read_raises(read) -> None:
    found = part("data.image_size", "quantize", without=("quantize.debug",), quantize={})
    with pytest.raises(UndeclaredRead, match="stage reader reads "):
        read(found)


def test_a_section_that_is_not_there_is_none() -> None:
    assert part("distill.temperature").distill is None
    assert part("quantize", without=("quantize.debug",)).quantize is None


def test_a_section_with_a_hole_says_the_rest() -> None:
    found = part("quantize", without=("quantize.debug",), quantize={"recipe": "ptq"})
    assert found.quantize is not None and found.quantize.recipe == "ptq"


def test_what_is_read_but_no_reason_to_run_is_in_no_key() -> None:
    row = Stage("reader", "", config=("finetune",), unkeyed=("finetune.tensorboard",))

    def key(on: bool) -> str:
        pipeline = make(finetune={"tensorboard": on})
        assert sliced(pipeline, row).finetune.tensorboard is on
        return keys.key_of(keys.material(row, keys.settings(pipeline), {}))

    assert key(True) == key(False)


def test_what_can_not_be_read_is_in_no_key() -> None:
    """And the rest is: a hole leaves nothing else out."""
    row = Stage("reader", "", config=("quantize",), without=("quantize.debug",))

    def key(**quantize: Any) -> str:
        pipeline = make(quantize=quantize)
        return keys.key_of(keys.material(row, keys.settings(pipeline), {}))

    assert key(debug=True) == key(debug=False) == key() != key(steps=7)


@pytest.mark.parametrize("row", STAGES, ids=lambda row: row.name)
def test_a_context_says_what_its_key_hashes(row: Stage, tmp_path: Path) -> None:
    pipeline = make(prune={}, quantize={}, evaluate={}, benchmark={}, package={})
    found = context_of(row, pipeline, {}, tmp_path, tmp_path, tmp_path)
    assert found.config == keys.material(row, keys.settings(pipeline), {})["config"]
    json.dumps(found.config)


def test_a_context_knows_the_lowest_block_that_trains(tmp_path: Path) -> None:
    pipeline = make(finetune={"unfreeze": 2}, prune={})
    rest = {}, tmp_path, tmp_path, tmp_path
    found = context_of(stage("finetune"), pipeline, *rest)
    blocks = len(blocks_of(pipeline))
    assert found.first_trained("finetune") == blocks - 2
    assert found.first_trained("lowest") == context_of(
        stage("prune"), pipeline, *rest
    ).first_trained("prune")
    with pytest.raises(KeyError):
        found.first_trained("prune")


def test_a_gate_is_no_part_of_what_a_drop_was_made_from(tmp_path: Path) -> None:
    """A cached drop carried the run key of another pipeline: of one that has another gate."""

    def run_key(name: str, **changes: Any) -> str:
        run = make_run(tmp_path / name)
        run.pipeline = run.pipeline.model_copy(update=changes)
        package.run(run.context("package"))
        manifest = run.folder / "package" / "drops" / "linux" / "MANIFEST.json"
        return json.loads(manifest.read_text("utf-8"))["run_key"]

    plain = make(evaluate={}).evaluate
    strict = make(evaluate={"gates": {"max_size": 9_999_999}}).evaluate
    assert run_key("plain", evaluate=plain) == run_key("strict", evaluate=strict)
    assert run_key("seed", seed=7) != run_key("again")
