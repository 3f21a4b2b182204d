"""What stages write and others read: nothing is lost on the way, and damage is named."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from tests.output_helpers import comparison, evaluation, history, phase
from tfedge.core import outputs
from tfedge.core.outputs import (
    Audit,
    Base,
    Change,
    Clusters,
    Correction,
    Debug,
    Distance,
    Distillation,
    DropsMade,
    Epochs,
    Evaluation,
    ExampleIndex,
    Figure,
    History,
    ModelFile,
    ModelMetrics,
    NoComparison,
    Quantized,
    Robustness,
    Side,
    Sparsity,
    TaskOutput,
    Trial,
    ValidationResult,
    dump,
    narrow,
    read,
    write,
)
from tfedge.errors import ArtifactError
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.tasks.classification.metrics import ClassifierMetrics, models_of
from tfedge.tasks.table import task_of
from tfedge.tasks.task import Metric

TOP1 = task_of("image-classification").primary
SHA = "ab" * 32
CHANGE = {"gained": 1, "lost": 9, "p": 0.02}
TRIAL = CHANGE | {"split": "train", "n": 30, "before": 0.9, "agreement": 0.7, "significant": True}
BASE = {
    "name": "MobileNet",
    "alpha": 0.25,
    "image_size": 64,
    "mean": [127.5, 127.5, 127.5],
    "std": [127.5, 127.5, 127.5],
    "weights": {"source": "none", "detail": "random", "sha256": "", "licence": None},
}
LAYER = {"name": "conv", "size": 32, "zeros": 16}
HISTORY = dump(history(TOP1, 0.9, 0.8))
MODEL = {
    "recipe": "qat",
    "sha256": SHA,
    "bytes": 10,
    "deflated": 9,
    "float_deflated": 30,
    "sparsity": None,
    "float_tensors": 0,
    "input": {"dtype": "uint8", "shape": [1, 64, 64, 3]},
    "output": {"dtype": "uint8", "shape": [1, 3]},
    "layers": [LAYER | {"op": "CONV_2D", "distinct": 9, "distinct_channel": 5, "prunable": True}],
}
ROBUSTNESS = {
    "n": 6,
    "models": {"float": {"noise": 0.9}, "int8": {"noise": 0.8}},
    "top1": {"noise": 0.8},
    "against_float": {"noise": CHANGE | {"gap": -0.1}},
}
VALUES = {"float": 0.9, "pruned": 0.8, "int8": 0.85}

# Each file as it was ever written: type, content.
FILES: list[tuple[type[BaseModel], Any]] = [
    (ExampleIndex, {"digest": SHA, "counts": {"train": {"a": 2}}}),
    (Audit, {"warnings": ["heavy imbalance"], "skipped": []}),
    (Base, BASE | {"layers": 3}),
    (Base, BASE),
    (History, HISTORY),
    (History, HISTORY | {"head_kind": "sgd", "blocks": [{"epoch": 0, "loss": None}]}),
    (Epochs, [{"epoch": 1, "loss": 0.5, "learning_rate": 0.001}]),
    (
        Distillation,
        {
            "float": {"val_accuracy": 0.9, "val_loss": 0.25},
            "chose_weights_on": None,
            "name": "MobileNet",
            "net": BASE,
            "val_accuracy": 0.95,
            "val_loss": 0.2,
            "history": HISTORY,
        },
    ),
    (
        Sparsity,
        {
            "target": 0.5,
            "reached": 0.5,
            "total": 32,
            "zeros": 16,
            "layers": [LAYER | {"target": 16, "frozen": False}],
            "structure": {
                "sparsity_m_by_n": None,
                "block_size": [1, 4],
                "block_pooling_type": "AVG",
            },
            "recipe": "xnnpack",
        },
    ),
    (Clusters, {"clusters": 16, "layers": [LAYER | {"distinct": 16, "frozen": True}]}),
    (Quantized, {"recipe": "ptq", "representative": [1, 2], "ranges": "converter"}),
    (
        Quantized,
        {
            "recipe": "qat",
            "representative": [1, 2],
            "ranges": "graph",
            "correction": {
                "state": "plain",
                "n": 32,
                "plain": {"kl": 0.1, "agreement": 1.0},
                "corrected": {"kl": 0.2, "agreement": 0.5},
            },
            "tried": [TRIAL | {"recipe": "ptq", "top1": 0.8}],
            "history": [{"epoch": 1}],
            "trained": TRIAL | {"state": "calibrated", "top1": 0.8},
            "kept": {"conv": "float"},
        },
    ),
    (ModelFile, MODEL | {"kept": {"conv": "int16"}}),
    (ModelFile, MODEL),
    (
        Evaluation,
        dump(evaluation(TOP1, VALUES, agreement=0.9, top_k=3)) | {"robustness": ROBUSTNESS},
    ),
    (Evaluation, dump(evaluation(TOP1, {"float": 0.9}, worst=[{"path": "a.png"}]))),
    (Debug, dump(comparison())),
    (Debug, {"needed": False, "why": "nothing was evaluated"}),
    (
        DropsMade,
        [
            {
                "target": "linux",
                "path": "drops/linux",
                "files": 9,
                "bytes": 9,
                "manifest_sha256": SHA,
            }
        ],
    ),
]


def content_of(tmp: Path, content: Any) -> Path:
    path = tmp / "stage" / "file.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("kind", "content"), FILES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_file_is_written_as_it_was_read(
    kind: type[BaseModel], content: Any, tmp_path: Path
) -> None:
    found = read(content_of(tmp_path, content), kind)
    write(tmp_path / "again.json", found)
    assert json.loads((tmp_path / "again.json").read_text()) == content
    assert read(tmp_path / "again.json", kind) == found


def test_the_rows_of_an_index_are_not_kept(tmp_path: Path) -> None:
    """They may be half a million, and the task alone knows what they say."""
    content = {"digest": SHA, "counts": {"train": {"a": 2}}, "rows": [["a.png", 0]]}
    found = read(content_of(tmp_path, content), ExampleIndex)
    assert found == ExampleIndex(digest=SHA, counts={"train": {"a": 2}})


def test_every_type_of_a_file_is_tried_here() -> None:
    """Such a type's docstring begins with the file's name."""
    kinds = dict(inspect.getmembers(outputs, inspect.isclass)).values()
    named = {kind for kind in kinds if re.match(r"\w+/\w+\.json", kind.__doc__ or "")}
    assert named == {kind for kind, _ in FILES} and len(named) > 10


TYPES = [
    kind
    for _, kind in inspect.getmembers(outputs, inspect.isclass)
    if issubclass(kind, BaseModel) and not issubclass(kind, RootModel) and kind is not BaseModel
]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_what_may_be_left_out_is_none_then(kind: type[BaseModel]) -> None:
    """So a key is either always there, if need be with null, or left out where it is None."""
    for name, field in kind.model_fields.items():
        assert field.is_required() or field.default is None, name


def test_null_stays_where_a_key_is_always_there() -> None:
    first = dump(phase("float", None, top1=0.5))
    assert {key for key, value in first.items() if value is None} == {
        *("agreement", "against", "gained", "lost", "p")
    }
    assert "p_float" not in first
    assert dump(comparison())["proposed"] is None
    assert "kept" not in dump(comparison())["float"] and dump(comparison())["now"]["kept"] == {}


@pytest.mark.parametrize(
    ("kind", "content", "named"),
    [
        (ModelFile, {k: v for k, v in MODEL.items() if k != "bytes"}, "bytes: Field required"),
        (ModelFile, MODEL | {"bytes": "many"}, "bytes: Input should be a valid integer"),
        (ModelFile, MODEL | {"colour": 1}, "colour: Extra inputs are not permitted"),
        (ModelFile, MODEL | {"layers": [{}]}, r"layers\.0\.name: Field required"),
        (ModelFile, MODEL | {"recipe": "auto"}, "recipe: Input should be"),
        (Epochs, {"epoch": 1}, "it: Input should be a valid list"),
        (Base, BASE | {"weights": {"source": "none"}}, r"weights\.detail: Field required"),
        (Evaluation, {"split": "val"}, "n: Field required"),
        (Debug, {"layers": []}, "recipe: Field required"),
        (Quantized, None, "it: "),
    ],
)
def test_damage_is_named_by_file_and_key(
    kind: type[BaseModel], content: Any, named: str, tmp_path: Path
) -> None:
    path = content_of(tmp_path, content)
    with pytest.raises(ArtifactError, match=rf"stage/file\.json: .*{named}") as caught:
        read(path, kind)
    assert caught.value.path == path and caught.value.hint == "run with --force"


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_what_is_no_json_is_named_by_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"model\.json: can't be read as JSON"):
        read(path, ModelFile)
    with pytest.raises(ArtifactError, match=r"gone\.json: can't be read"):
        read(tmp_path / "gone.json", ModelFile)


def test_what_is_not_a_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "a.json", Change(gained=0, lost=0, p=float("nan")))
    assert not (tmp_path / "a.json").exists()


def test_an_output_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Distance(kl=0.1, agreement=1.0).kl = 0.2  # type: ignore[misc]
    kinds = (Correction, Trial, Robustness, Side, NoComparison)
    assert all(kind.model_config["frozen"] for kind in kinds)


# ------------------------------------------------------------------ a task's own keys


def test_a_figure_is_found_under_its_name_and_so_is_its_interval() -> None:
    found = Figure(top1=0.5, top1_ci95=[0.25, 0.75])
    assert (found.value(TOP1), found.interval(TOP1)) == (0.5, (0.25, 0.75))
    other = Metric("mae", "mean absolute error", higher=False, share=False)
    assert found.interval(other) is None
    with pytest.raises(AttributeError):
        found.value(other)


def test_evaluation_tells_models_apart() -> None:
    found = evaluation(TOP1, VALUES)
    assert list(found.models) == ["float", "int8"]
    assert found.values(TOP1) == {"float": 0.9, "int8": 0.85}
    assert list(evaluation(TOP1, {"float": 0.9}).models) == ["float"]


def test_a_task_reads_its_own_type_of_metrics(tmp_path: Path) -> None:
    figures = dict.fromkeys(("precision_macro", "recall_macro", "f1_macro", "ece", "top_k"), 0.5)
    own = figures | {
        "n": 2,
        "top1": 0.5,
        "top1_ci95": [0.1, 0.9],
        "reliability": [{"from": 0.0, "to": 0.1, "n": 2, "confidence": 0.05, "accuracy": 0.5}],
        "per_class": [
            {"class": "a", "precision": None, "recall": 0.5, "f1": None, "support": 2},
        ],
        "confusion": {"0": {"0": 1, "1": 1}},
    }
    written = evaluation(TOP1, VALUES, int8=ClassifierMetrics(**own), float=ModelMetrics(**own))
    write(tmp_path / "metrics.json", written)
    read_again = read(tmp_path / "metrics.json", Evaluation)
    assert json.loads((tmp_path / "metrics.json").read_text())["int8"] == own
    for found in (written, read_again):
        plain, int8 = models_of(found).values()
        assert plain == int8 and int8.per_class[0].name == "a" and int8.reliability[0].high == 0.1
        assert found.values(TOP1) == {"float": 0.5, "int8": 0.5}
    broken = evaluation(TOP1, {"float": 0.9})
    with pytest.raises(ArtifactError, match=r"metrics\.json: float: .* n: Field required"):
        models_of(broken)


def test_a_base_of_images_says_how_large_they_are(tmp_path: Path) -> None:
    base = read(content_of(tmp_path, BASE), Base)
    assert ImageBase.of(base).image_size == 64 and dump(ImageBase.of(base)) == BASE
    assert narrow(ImageBase.of(base), ImageBase, "base.json") == ImageBase.of(base)
    without = Base.model_validate({k: v for k, v in BASE.items() if k != "image_size"})
    with pytest.raises(ArtifactError, match=r"base\.json: .* image_size: Field required"):
        ImageBase.of(without)
    assert isinstance(base, TaskOutput)


def test_a_type_of_a_task_stays_whole_inside_of_another() -> None:
    judged = ValidationResult(val_accuracy=0.9, val_loss=0.25)
    net = ImageBase.model_validate(BASE)
    about = {"name": "MobileNet", "plain": judged, "chose_weights_on": None, "net": net}
    assert dump(Distillation(**about, **dict(judged)))["net"] == BASE
