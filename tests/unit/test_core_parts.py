"""The engine's parts by themselves: files, keys, progress, the process, the plan."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfedge.core import keys, progress
from tfedge.core.cache import StageCache, Workspace
from tfedge.core.plan import inputs_of, lines, plan, select
from tfedge.core.process import output_to
from tfedge.core.progress import Recorder, Reporter
from tfedge.core.stages import STAGES, Stage, active, of_task, stage
from tfedge.errors import ArtifactError, ConfigError
from tfedge.files.artifact import (
    canonical_json,
    disk_errors,
    read_json,
    sha256_file,
    sha256_json,
    write_atomic,
    write_json,
)
from tfedge.pipeline.load import load
from tfedge.pipeline.schema import Backbone, Pipeline, pipeline_of
from tfedge.tasks.table import task_of


def make(**sections: object) -> Pipeline:
    return pipeline_of({"name": "a", "data": {"path": "sample:digits"}, **sections})


# ------------------------------------------------------------------ files


def test_a_digest_is_pinned(tmp_path: Path) -> None:
    """Of a known value: a change of the way would make every cache worthless, silently."""
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f").startswith("ba7816bf8f01cfea")
    assert canonical_json({"b": [1, 1.0, None], "a": "ü"}) == '{"a":"ü","b":[1,1.0,null]}'.encode()
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"status": "ok"})
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"loss": float("inf")})
    with pytest.raises(TypeError):
        write_atomic(path, "no bytes")  # type: ignore[arg-type]
    assert read_json(path) == {"status": "ok"}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_json_of_ours_that_is_broken_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"half')
    for name in ("x.json", "none.json"):
        with pytest.raises(ArtifactError, match=f"{name}: can't be read as JSON"):
            read_json(tmp_path / name)


@pytest.mark.parametrize(
    ("number", "said"), [(28, "no space left"), (122, "no space left"), (13, "Permission denied")]
)
def test_what_the_disk_refuses(tmp_path: Path, number: int, said: str) -> None:
    with pytest.raises(ArtifactError, match=said) as caught, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "model.npz"))
    assert "model.npz" in caught.value.message and "--cache" in caught.value.hint


# ------------------------------------------------------------------ the workspace


def test_a_living_run_keeps_its_folder_and_a_dead_one_loses_it(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    mine = Workspace(cache)
    (mine.new("finetune") / "half.npz").write_bytes(b"half")
    code = (
        "import os, sys; from pathlib import Path; from tfedge.core.cache import *\n"
        "Workspace(StageCache(Path(sys.argv[1]))).new('prune'); os._exit(1)"
    )
    root = Path(keys.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env={"PYTHONPATH": str(root)}, check=False
    )
    assert len(list(cache.temporary.glob("*/prune-*"))) == 1
    other = Workspace(cache)
    assert list(cache.temporary.glob("*/prune-*")) == []
    assert len(list(cache.temporary.glob("*/finetune-*/half.npz"))) == 1
    other.close()
    mine.close()
    assert list(cache.temporary.iterdir()) == []


# ------------------------------------------------------------------ keys


def key(row: str, inputs: dict[str, str] | None = None, **sections: object) -> str:
    settings = keys.settings(make(**sections))
    return keys.key_of(keys.material(stage(row), settings, inputs or {}, ""))


def test_a_key_hangs_on_what_the_stage_reads_and_on_nothing_else() -> None:
    assert key("finetune") == key("finetune", name="b", evaluate={"top_k": 5})
    assert key("finetune") != key("finetune", finetune={"epochs": 11})
    assert key("finetune") != key("finetune", seed=2)
    assert key("finetune") != key("finetune", {"data/index.json": "0" * 64})
    assert key("backbone") == key("backbone", finetune={"epochs": 11})
    gates = {"gates": {"min_accuracy": 0.5}}
    assert key("evaluate", evaluate={}) == key("evaluate", evaluate=gates)
    assert key("quantize", quantize={}) == key("quantize", quantize={"epochs": 2})  # the default


def test_measuring_latency_again_makes_no_other_drop() -> None:
    measured = [{"benchmark/benchmark.json": digit * 64} for digit in "01"]
    assert key("package", measured[0]) == key("package", measured[1])
    models = [{"convert/model.tflite": digit * 64} for digit in "01"]
    assert key("package", models[0]) != key("package", models[1])


def test_a_key_hangs_on_the_blocks_that_train() -> None:
    """finetune caches activations at the lowest block that any stage trains."""
    assert key("finetune", prune={}) == key("finetune", prune={"epochs": 5}, quantize={})
    assert key("finetune", prune={}) != key("finetune", prune={"unfreeze": "block_3"})
    opened = {"finetune": {"unfreeze": "block_3"}}
    assert key("prune", prune={}) != key("prune", prune={}, **opened)
    assert key("quantize", quantize={}) != key("quantize", quantize={}, **opened)


def test_the_weights_file_is_read_and_the_wheel_is_pinned(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"abc")
    assert keys.weights_digest(Backbone(weights=str(path)), tmp_path, True).startswith("ba7816bf")
    assert len(keys.weights_digest(Backbone(), tmp_path, False)) == 64
    assert keys.weights_digest(Backbone(weights="none"), tmp_path, False) == ""
    with pytest.raises(ConfigError, match=r"backbone\.weights: .*can't be read"):
        keys.weights_digest(Backbone(weights=str(tmp_path / "gone.npz")), tmp_path, True)


def test_an_earlier_run_is_known_by_its_model(tmp_path: Path) -> None:
    for name in ("finetune/model.npz", "backbone/base.json", "run.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"abc")
    chosen = Backbone(weights=str(tmp_path))
    before = keys.weights_digest(chosen, tmp_path, True)
    (tmp_path / "run.json").write_bytes(b"of another day")
    assert keys.weights_digest(chosen, tmp_path, True) == before
    (tmp_path / "finetune" / "model.npz").write_bytes(b"def")
    assert keys.weights_digest(chosen, tmp_path, True) != before


def test_a_seed_makes_other_weights_only_where_these_are_random() -> None:
    seeds = [{"seed": seed, "backbone": {"weights": "none"}} for seed in (1, 2)]
    assert key("backbone", **seeds[0]) != key("backbone", **seeds[1])
    assert key("backbone", seed=1) == key("backbone", seed=2)
    assert key("finetune", seed=1) != key("finetune", seed=2)


DERIVED = (
    "measured_on",
    "first_recipe",
    "device",
    "changes_examples",
    "weights_seed",
    "first_labels",
    "net_trains",
)


def test_the_table_fits_together() -> None:
    """Each input is an output of an earlier stage, and each key of the config exists."""
    made: set[str] = set()
    made_of = make(prune={}, quantize={}, evaluate={}, benchmark={}, package={})
    settings, schema = keys.settings(made_of), type(made_of)
    for row in (of_task(row, task_of(made_of.task)) for row in STAGES):
        assert set(row.inputs) <= made, row.name
        made |= {f"{row.name}/{output}" for output in (*row.outputs, *row.optional_outputs)}
        for dotted in (*row.config, *row.without, *(k for k in row.unkeyed if "/" not in k)):
            section, _, name = dotted.partition(".")
            derived = section in DERIVED or name in settings["trains"]
            assert section in schema.model_fields or derived, dotted
            fields = schema.model_fields
            for part in dotted.split(".") if section in fields else ():
                assert part in fields, dotted
                kind = fields[part].annotation
                models = [m for m in (kind, *getattr(kind, "__args__", ())) if m]
                fields = next((m.model_fields for m in models if hasattr(m, "model_fields")), {})


def test_only_what_is_declared_optional_may_be_missing() -> None:
    maker = Stage("a", "", outputs=("always",), optional_outputs=("sometimes",))
    reader = Stage("b", "", inputs=("a/always", "a/sometimes", "c/of no stage that runs"))
    both, one = {"always": "1", "sometimes": "2"}, {"always": "1"}
    rows = (maker, reader)
    assert inputs_of(reader, {"a": both}, rows) == {"a/always": "1", "a/sometimes": "2"}
    assert inputs_of(reader, {"a": one}, rows) == {"a/always": "1"}
    with pytest.raises(KeyError):
        inputs_of(reader, {"a": {"sometimes": "2"}}, rows)


def test_stages_that_a_pipeline_runs() -> None:
    assert [row.name for row in active(make())] == ["data", "backbone", "finetune", "convert"]
    assert "quantize" in [row.name for row in active(make(quantize={"recipe": "ptq"}))]
    assert "quantize" not in [row.name for row in active(make(quantize={"recipe": "none"}))]


# ------------------------------------------------------------------ the plan


def test_the_plan_shows_stages_blocks_sparsity_and_gates(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "name: a\ndata: {path: none-yet}\nprune: {sparsity: 0.5}\nquantize:\n"
        "evaluate: {gates: {min_accuracy: 0.8}}\n"
    )
    loaded = load(tmp_path / "p.yaml")
    steps = plan(loaded, select(loaded.pipeline), tmp_path / "cache")
    assert [(s.stage.name, s.state) for s in steps] == [
        ("data", "miss"),
        ("backbone", "miss"),
        ("finetune", "waits"),
        ("prune", "waits"),
        ("quantize", "waits"),
        ("convert", "waits"),
        ("evaluate", "waits"),
        ("debug", "waits"),
    ]
    text = "\n".join(lines(loaded, steps, tmp_path / "cache"))
    assert "no such folder" in text
    assert "prune from block_13 up, 5 of 18 blocks" in text
    assert "50% of 2,124,672 prunable weights: 65% in the 9 layers that train" in text
    assert "gates: min_accuracy 0.8" in text
    assert not (tmp_path / "cache").exists()  # asking leaves nothing behind


# ------------------------------------------------------------------ progress


def test_plain_progress_is_a_few_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    reporter = Recorder(tmp_path / "events.jsonl", Reporter(stream))
    reporter.start("finetune", 3, 9)
    for done in range(0, 201, 10):
        reporter.update("features", done, 200, "images")
        now[0] += 1
    reporter.note("chosen")
    reporter.end("miss", 20.04)
    assert stream.getvalue().splitlines() == [
        "[3/9] finetune   features 50/200 images, 10/s, 15 s left",
        "[3/9] finetune   features 100/200 images, 10/s, 10 s left",
        "[3/9] finetune   features 150/200 images, 10/s, 5 s left",
        "[3/9] finetune   features 200/200 images, 10/s",
        "[3/9] finetune",
        "      chosen",
        "[3/9] finetune   20.0 s",
    ]
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert sum(event["event"] == "progress" for event in events) == 21  # one a second


def test_a_stage_that_is_silent_for_long_is_said_to_be_at_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "_SILENT_SECONDS", 0.3)
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.1)
    stream = io.StringIO()
    reporter = Recorder(tmp_path / "events.jsonl", Reporter(stream))
    reporter.start("quantize", 4, 9)
    with reporter.at_work(every=0.1):
        for done in range(8):  # says how far it is all the time
            reporter.update("correcting", done, 8)
            time.sleep(0.1)
        assert "at work" not in stream.getvalue()
        time.sleep(1)
    told = stream.getvalue()
    assert re.search(r"^\[4/9\] quantize   at work [12] s$", told, re.MULTILINE)
    assert '"what": "at work"' in (tmp_path / "events.jsonl").read_text()
    time.sleep(0.5)
    assert stream.getvalue() == told


def test_output_of_children_goes_to_the_log_and_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with output_to(tmp_path / "log.txt"):
        subprocess.run(["echo", "from a child"], check=True)
        os.write(2, b"from C\n")
    os.write(1, b"after\n")
    assert (tmp_path / "log.txt").read_text() == "from a child\nfrom C\n"
    assert capfd.readouterr() == ("after\n", "")


def test_a_log_on_a_full_disk_is_the_one_that_is_named() -> None:
    code = """
from pathlib import Path
from tfedge.core.process import output_to
from tfedge.errors import ArtifactError
from tfedge.files.streams import guarded
with guarded():
    try:
        with output_to(Path("/dev/full")):
            print("much")
    except ArtifactError as error:
        raise SystemExit(error.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "/dev/full: no space left on this disk\n"
