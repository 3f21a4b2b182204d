"""run.json and MANIFEST.json against their JSON schemas."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import Board, Lab
from color_helpers import Run, make_run
from core_fakes import go, prepare
from jsonschema import Draft202012Validator, ValidationError
from pydantic import BaseModel

from tests.schemas import SCHEMAS, check
from tfedge.core import outputs
from tfedge.core.result import assemble, gather
from tfedge.errors import DeviceError, GateFailed, StageError
from tfedge.stages import benchmark, evaluate, package
from tfedge.tasks.table import task_of


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    used = json.dumps(SCHEMAS[name])
    for definition in SCHEMAS[name]["$defs"]:
        assert f'"#/$defs/{definition}"' in used, f"{definition} is not used"


# ------------------------------------------------------------------ what is written


def finished(tmp: Path, **sections: Any) -> tuple[Run, dict[str, Any]]:
    """A run with a teacher, a device that was away and drops for all targets, and its run.json."""
    pi4 = {"name": "pi4", "address": "ssh://pi@board", "optional": True}
    settings = {"threads": [1], "runs": 10, "warmup": 1, "processes": 2, "devices": ["local", pi4]}
    package_for = {"targets": ["linux", "android", "coral"], "coral": {"compile": "defer"}}
    run = make_run(
        tmp,
        **(
            {"benchmark": settings, "package": package_for, "distill": {"teacher": "float"}}
            | sections
        ),
    )
    teacher = {
        "name": "the float model",
        "val_accuracy": 0.9,
        "val_loss": 0.25,
        "float": {"val_accuracy": 0.9, "val_loss": 0.25},
        "chose_weights_on": "val",
        "net": run.json("backbone/base.json"),
        "history": run.json("finetune/history.json"),
    }
    if run.pipeline.distill is not None:
        run.add("distill/distill.json", teacher)
    evaluate.run(run.context("evaluate"))
    run.inputs["evaluate/metrics.json"] = run.folder / "evaluate" / "metrics.json"
    if run.pipeline.benchmark is not None:
        lab = Lab(Board("local", 1_000_000), Board("pi4", away=DeviceError("pi4: asleep")))
        benchmark.run(run.context("benchmark"), lab.connect)
        run.inputs["benchmark/benchmark.json"] = run.folder / "benchmark" / "benchmark.json"
    package.run(run.context("package"))
    stages = {path.parent.name for path in run.folder.glob("*/*")} - {"finetune", "prune"}
    about = {"pipeline": "color", "status": "ok", "seconds": 1.0, "entries": {}}
    rows = [{"name": name, "key": "0" * 64, "cache": "miss", "seconds": 1.0} for name in stages]
    task = task_of(run.pipeline.task)
    return run, assemble(gather(run.folder, stages), stages=rows, task=task, **about)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    return finished(tmp_path_factory.mktemp("schemas"))


def manifest(run: Run, target: str) -> dict[str, Any]:
    return run.json(f"package/drops/{target}/MANIFEST.json")


def test_a_whole_run_and_its_drops_hold(whole: tuple[Run, dict[str, Any]]) -> None:
    run, result = whole
    check("run", result)
    assert result["distill"] and result["metrics"]["robustness"] and result["data"]
    assert [set(row) == {"device", "missing"} for row in result["benchmark"]] == [
        False,
        False,
        True,
    ]
    for target in ("linux", "android", "coral"):
        check("manifest", manifest(run, target))


def test_a_run_with_less_in_it_holds(tmp_path: Path) -> None:
    run, result = finished(tmp_path, distill=None, benchmark=None, evaluate={"robustness": 0})
    check("run", result)
    check("manifest", manifest(run, "linux"))
    run, result = finished(
        tmp_path / "float", recipe="float", distill=None, package={"targets": ["linux"]}
    )
    check("run", result)


def test_a_run_that_ends_early_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prepare(tmp_path)
    result, path = go(folder)
    check("run", result)
    check("run", json.loads((path / "run.json").read_text()))
    for number, (error, overrides) in enumerate(
        ((GateFailed, ["evaluate.gates.min_accuracy=0.99"]), (StageError, ["seed=5"]))
    ):
        if error is StageError:
            monkeypatch.setenv("FAKE_DATA", "bug")
        with pytest.raises(error):
            go(folder, *overrides, run_dir=folder / f"run{number}")
        found = json.loads((folder / f"run{number}" / "run.json").read_text())
        assert found["status"] == ("gate failed" if error is GateFailed else "failed")
        check("run", found)


# ------------------------------------------------------------------ what is refused


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The key of each value of a document, at any depth."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*path, key)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*path, key))


def changed(document: Any, path: tuple[str | int, ...], change: Any) -> Any:
    found = copy.deepcopy(document)
    inner = found
    for key in path[:-1]:
        inner = inner[key]
    change(inner, path[-1])
    return found


PHASE = ("metrics", "phases", 0)
ROBUST = ("metrics", "robustness")
MISSING: dict[str, tuple[tuple[str | int, ...], ...]] = {
    "run": (
        *(("stages", 0, key) for key in ("name", "key", "cache", "seconds")),
        *(("distill", key) for key in ("name", "float", "val_loss", "chose_weights_on")),
        *(("metrics", key) for key in ("split", "n", "shipped", "float", "agreement", "phases")),
        *((*PHASE, key) for key in ("phase", "agreement", "against", "p")),
        *((*ROBUST, key) for key in ("n", "models")),
        *((*ROBUST, "against_float", "noise", key) for key in ("gap", "p")),
        *(("model", key) for key in ("path", "recipe", "sha256", "bytes", "sparsity", "input")),
        *(("benchmark", 0, key) for key in ("sha256", "device", "threads", "golden", "summary")),
        *(("benchmark", 0, *keys) for keys in (("host", "cpu"), ("summary", "p99"))),
        ("benchmark", -1, "missing"),
        ("drops", 0, "manifest_sha256"),
        ("distill", "net", "weights", "licence"),
        ("versions", "python"),
        ("data", "counts"),
    ),
    "manifest": (
        *(("input", "shape"), ("output", "scale"), ("golden", 0, "output"), ("data", "source")),
        *(("backbone", "name"), ("backbone", "weights", "sha256")),
        *(("recipe", "prune"), ("recipe", "quantize"), ("recipe", "distill", "temperature")),
        *(("metrics", key) for key in ("n", "chose_weights", "int8", "warnings", "proposals")),
        *((*PHASE, key) for key in ("n", "gained", "lost")),
        *(("benchmark", 0, key) for key in ("median_ns", "mad_ns", "peak_bytes", "unstable")),
        *(("files", "labels.txt", key) for key in ("sha256", "bytes")),
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_key_is_refused(name: str, whole: tuple[Run, dict[str, Any]]) -> None:
    run, result = whole
    document = result if name == "run" else manifest(run, "linux")
    own = {"classes"}  # of the task
    for path in (*((key,) for key in document if key not in own), *MISSING[name]):
        with pytest.raises(ValidationError):
            check(name, changed(document, path, lambda inner, key: inner.pop(key)))
            pytest.fail(f"{path} may be missing")


@pytest.mark.parametrize("name", MISSING)
def test_another_type_is_refused(name: str, whole: tuple[Run, dict[str, Any]]) -> None:
    """A list of a list is none of any value's type, wherever the schema knows one."""
    run, result = whole
    document = result if name == "run" else manifest(run, "linux")
    free = (
        "metrics.float.",
        "metrics.int8.",
        "recipe.prune.",
        "recipe.quantize.",
    )
    own = ("top1", "top_k", "image_size", "classes", "meaning", "color", "fit", "layout")
    own += ("answer", "second", "margin", "alpha", "mean", "std")
    tried = 0
    for path in places(document):
        text = ".".join(key for key in path if isinstance(key, str))
        if text.startswith((*free, "input.range")) or text.split(".")[-1] in own:
            continue
        if any(key in own for key in path):
            continue
        tried += 1
        with pytest.raises(ValidationError):
            check(name, changed(document, path, lambda inner, key: inner.__setitem__(key, [[[]]])))
            pytest.fail(f"{path} may be of any type")
    assert tried > 80


def test_a_drop_from_when_one_share_stood_for_all_stages_still_fits(
    whole: tuple[Run, dict[str, Any]],
) -> None:
    taught = manifest(whole[0], "linux")
    taught["recipe"]["distill"]["alpha"] = 0.7
    check("manifest", taught)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("run", ("colour",), 1),
        ("run", ("model", "colour"), 1),
        ("run", ("stages", 0, "colour"), 1),
        ("run", ("benchmark", 0, "processes"), []),
        ("run", ("distill", "history"), {}),
        ("run", ("status",), "fine"),
        ("run", ("error",), {"stage": ""}),
        ("run", ("schema",), "tfedge.run/2"),
        ("run", ("model", "recipe"), "auto"),
        ("run", ("model", "sha256"), "abc"),
        ("run", ("metrics", "agreement"), 1.5),
        ("manifest", ("schema",), "tfedge.drop/2"),
        ("manifest", ("target",), "ios"),
        ("manifest", ("target",), "coral"),
        ("manifest", ("metrics", "worst"), []),
        ("manifest", ("files", "a.txt"), {"sha256": "0" * 64}),
        ("manifest", ("coral",), {}),
        ("manifest", ("data", "path"), "/home"),
    ],
)
def test_another_value_or_key_is_refused(
    name: str, path: tuple[str | int, ...], value: Any, whole: tuple[Run, dict[str, Any]]
) -> None:
    run, result = whole
    document = result if name == "run" else manifest(run, "linux")
    with pytest.raises(ValidationError):
        check(name, changed(document, path, lambda inner, key: inner.__setitem__(key, value)))


# ------------------------------------------------------------------ schema and types say the same

TYPES: list[tuple[str, type[BaseModel], set[str], set[str]]] = [
    # definition, type, keys of the type that are left out, keys that the schema adds
    ("model", outputs.ModelFile, {"layers"}, {"path"}),
    ("tensor", outputs.TensorType, set(), set()),
    ("distillation", outputs.Distillation, {"history"}, set()),
    ("judged", outputs.ValidationResult, set(), set()),
    ("base", outputs.Base, set(), set()),
    ("pretrained", outputs.Pretrained, set(), set()),
    ("phase", outputs.Phase, set(), set()),
    ("robustness", outputs.Robustness, set(), set()),
    ("drop", outputs.DropMade, set(), set()),
]


@pytest.mark.parametrize(
    ("schema", "name", "kind", "left_out", "added"),
    [
        *(("run", *row) for row in TYPES),
        ("run", "evaluation", outputs.Evaluation, {"worst", "warnings", "proposals"}, set()),
        *(("manifest", *row) for row in TYPES if row[0] in SCHEMAS["manifest"]["$defs"]),
        ("manifest", "evaluation", outputs.Evaluation, {"worst"}, set()),
    ],
)
def test_the_schema_has_the_keys_of_the_type(
    schema: str, name: str, kind: type[BaseModel], left_out: set[str], added: set[str]
) -> None:
    definition = SCHEMAS[schema]["$defs"][name]
    fields = {field.serialization_alias or key: field for key, field in kind.model_fields.items()}
    assert set(definition["properties"]) == fields.keys() - left_out | added
    needed = {key for key, field in fields.items() if field.is_required()}
    assert set(definition["required"]) == needed - left_out | added
    open_ended = kind.model_config["extra"] == "allow"
    assert open_ended == definition.get("additionalProperties", True)
