"""The numbers of the evaluation, by hand and on real .tflite files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from color_helpers import FLOAT, Run, make_run, pixels
from PIL import Image
from pydantic import ValidationError

from tfedge.core.gates import check
from tfedge.core.outputs import Evaluation, dump, read
from tfedge.core.result import StageResults
from tfedge.data.index import Index, Row
from tfedge.errors import DataError, GateFailed, InvariantBroken
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.pipeline.schema import Finetune
from tfedge.report.markup import render
from tfedge.report.robustness import robustness
from tfedge.stages import evaluate
from tfedge.tasks.classification import metrics
from tfedge.tasks.image_classification.examples import LabelledImages
from tfedge.tasks.streams import evaluation_split
from tfedge.tasks.table import task_of
from tfedge.tasks.work import work_of

LABELS = np.array([0, 0, 0, 1, 1, 2])
SCORES = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.6, 0.3, 0.1],
        [0.2, 0.7, 0.1],  # a cat taken for a dog, and sure of it
        [0.1, 0.9, 0.0],
        [0.5, 0.4, 0.1],  # a dog taken for a cat, barely
        [0.0, 0.1, 0.9],
    ]
)
CLASSES = ("cat", "dog", "owl")
CONFUSION = {"0": {"0": 2, "1": 2}, "1": {"1": 4}, "2": {"2": 4}}  # two images are mislabelled


def test_counts_by_hand() -> None:
    found = metrics.measure(SCORES, LABELS, CLASSES, top_k=2)
    assert found.n == 6
    assert found.top1 == pytest.approx(4 / 6)
    assert found.top_k == 1.0
    assert dump(found.confusion) == {"0": {"0": 2, "1": 1}, "1": {"0": 1, "1": 1}, "2": {"2": 1}}
    cat, dog, owl = found.per_class
    assert (cat.precision, cat.recall, cat.support) == pytest.approx((2 / 3, 2 / 3, 3))
    assert (dog.precision, dog.recall, dog.f1) == pytest.approx((0.5, 0.5, 0.5))
    assert (owl.name, owl.recall) == ("owl", 1.0)
    assert found.recall_macro == pytest.approx((2 / 3 + 0.5 + 1) / 3)
    assert found.f1_macro == pytest.approx((2 / 3 + 0.5 + 1) / 3)
    json.dumps(dump(found), allow_nan=False)


def test_classes_without_images_or_answers_are_undefined_not_zero() -> None:
    scores, labels = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0]]), np.array([0, 1])
    found = metrics.measure(scores, labels, CLASSES, top_k=1)
    _, dog, owl = found.per_class
    assert (dog.precision, dog.recall) == (None, 0.0)
    assert (owl.precision, owl.recall, owl.f1, owl.support) == (None, None, None, 0)
    assert found.recall_macro == 0.5, "the mean is over the two classes that have images"
    assert found.precision_macro == 0.25


def test_ties_go_to_the_first_class() -> None:
    scores = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]])
    found = metrics.measure(scores, np.array([1, 2]), CLASSES, top_k=2)
    assert found.top1 == 0.0
    assert found.top_k == 0.5


def test_the_confusion_of_many_classes_grows_with_the_images() -> None:
    count = 2000
    labels = np.repeat(np.arange(count), 2)[:50]
    scores = np.eye(count, dtype=np.float32)[(labels + np.arange(50) % 2) % count]
    found = metrics.measure(scores, labels, [f"c{i}" for i in range(count)], top_k=1)
    written = json.dumps(dump(found.confusion), indent=2)
    assert len(written) < 50 * 60, "a cell without images takes no space"
    assert found.confusion.examples(3, 4) == found.confusion.examples(3, 3) == 1
    assert found.confusion.examples(3, 5) == found.confusion.examples(1999, 0) == 0
    assert sorted(found.confusion.mistakes())[0] == (0, 1, 1)


def test_a_confusion_of_earlier_files_is_read() -> None:
    """They hold a row of all classes for each class."""
    now = metrics.measure(SCORES, LABELS, CLASSES, top_k=2)
    then = dump(now) | {"confusion": [[2, 1, 0], [1, 1, 0], [0, 0, 1]]}
    assert metrics.ClassifierMetrics.model_validate(then) == now
    without = dump(now) | {"confusion": [[0, 0], [0, 3]]}
    assert dump(metrics.ClassifierMetrics.model_validate(without).confusion) == {"1": {"1": 3}}
    for wrong in ("many", [[1, "x"]], [1, 2], {"a": {"b": 1}}):
        with pytest.raises(ValidationError):
            metrics.ClassifierMetrics.model_validate(then | {"confusion": wrong})


@pytest.mark.parametrize("top_k", [1, 2, 3, 7])
def test_top_k_is_what_a_stable_sort_says(top_k: int) -> None:
    rng = np.random.default_rng(top_k)
    scores = rng.integers(0, 4, (200, 7)).astype(np.float32) / 4  # many ties
    labels = rng.integers(0, 7, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    found = metrics.measure(scores, labels, "abcdefg", top_k)
    assert found.top_k == (order[:, :top_k] == labels[:, None]).any(axis=1).mean()
    assert found.top1 == (order[:, 0] == labels).mean()


def test_calibration_error_by_hand() -> None:
    # Bin 0.6–0.667: 0.65 sure, half right. Bin 0.933–1: 1.0 sure, all right.
    scores = np.array([[0.65, 0.35], [0.65, 0.35], [1.0, 0.0], [1.0, 0.0]])
    bins = metrics.reliability(scores, np.array([0, 1, 0, 0]))
    assert [b.n for b in bins] == [2, 2]
    assert bins[0].accuracy == 0.5
    assert metrics.calibration_error(bins) == pytest.approx(0.5 * 0.15)


def test_worst_is_the_surest_mistake() -> None:
    paths = [f"{i}.jpg" for i in range(6)]
    found = metrics.worst(SCORES, LABELS, paths, CLASSES, 10)
    assert [row["path"] for row in found] == ["2.jpg", "4.jpg"]
    assert found[0] == {
        "path": "2.jpg",
        "true": "cat",
        "predicted": "dog",
        "score": 0.7,
        "true_score": 0.2,
    }
    assert len(metrics.worst(SCORES, LABELS, paths, CLASSES, 1)) == 1
    assert metrics.worst(SCORES, LABELS, paths, CLASSES, 0) == []


def test_evaluation_split() -> None:
    def index(*splits: str) -> Index:
        return Index(("a", "b"), tuple(Row(f"{s}.png", 0, s, "00") for s in splits), "folders")

    assert evaluation_split(index("train", "val", "test")) == "test"
    assert evaluation_split(index("train", "val")) == "val"
    with pytest.raises(DataError, match="neither val nor test"):
        evaluation_split(index("train"))


def test_stage_on_val_says_that_it_chose_the_weights(tmp_path: Path) -> None:
    run = make_run(tmp_path, each=4, mislabelled=2)
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert (found["split"], found["n"], found["chose_weights"]) == ("val", 12, True)
    assert (found["shipped"], found["top_k"], found["agreement"]) == ("int8", 3, 1.0)
    for model in ("float", "int8"):
        assert found[model]["top1"] == pytest.approx(10 / 12)
        assert found[model]["confusion"] == CONFUSION
        assert found[model]["top_k"] == 1.0
    assert [row["path"] for row in found["worst"]] == ["val/red/00.png", "val/red/01.png"]
    assert {row["predicted"] for row in found["worst"]} == {"green"}
    assert len(found["warnings"]) == 1
    assert "also chose the weights" in found["warnings"][0]
    assert f"warning: {found['warnings'][0]}" in run.said.notes
    assert ("evaluate float, int8", 12, 12) in run.said.updates


def test_stage_on_test_is_honest(tmp_path: Path) -> None:
    run = make_run(tmp_path, split="test")
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert (found["split"], found["chose_weights"], found["warnings"]) == ("test", False, [])
    assert found["int8"]["top1"] == 1.0


def test_stage_says_what_is_left_on_harder_images(tmp_path: Path) -> None:
    run = make_run(tmp_path, each=4, evaluate={"robustness": 7})
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert found["robustness"]["n"] == 6, "every second of 12"
    assert list(found["robustness"]["top1"]) == ["none", *CORRUPTIONS]
    assert found["robustness"]["top1"]["none"] == 1.0
    assert ("evaluate with jpeg", 6, 6) in run.said.updates
    evaluation = read(run.folder / "evaluate" / "metrics.json", Evaluation)
    text = "\n".join(render(robustness(evaluation, task_of("image-classification"))))
    assert "on 6 of the examples" in text and "| as they are | 100.0 % | 100.0 % |" in text

    off = make_run(tmp_path / "off", evaluate={"robustness": 0})
    evaluate.run(off.context("evaluate"))
    assert "robustness" not in off.json("evaluate/metrics.json")


def test_harder_images_are_really_shown_to_the_model(tmp_path: Path, monkeypatch) -> None:
    """What leaves nothing of an image leaves nothing of the accuracy."""
    monkeypatch.setitem(CORRUPTIONS, "blur", lambda pixels, seed: np.zeros_like(pixels))
    run = make_run(tmp_path, each=4)
    evaluate.run(run.context("evaluate"))
    top1 = run.json("evaluate/metrics.json")["robustness"]["top1"]
    assert top1["blur"] == pytest.approx(1 / 3)
    assert top1["none"] == 1.0


def test_stage_without_quantization_has_only_the_shipped_float_model(tmp_path: Path) -> None:
    run = make_run(tmp_path, shipped=FLOAT, recipe="float", split="test")
    run.add("convert/float.tflite", b"is not even looked at")
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert found["shipped"] == "float"
    assert "int8" not in found
    assert "agreement" not in found
    assert found["float"]["top1"] == 1.0


def test_stage_warns_when_int8_and_float_disagree(tmp_path: Path, monkeypatch) -> None:
    run = make_run(tmp_path, split="test")
    real = evaluate.side_by_side

    def turned(pools, images, **options):
        scores = real(pools, images, **options)
        return scores | {"int8": scores["int8"][:, ::-1]}

    monkeypatch.setattr(evaluate, "side_by_side", turned)
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    assert found["agreement"] == pytest.approx(1 / 3)
    assert found["int8"]["top1"] == pytest.approx(1 / 3)
    assert "agree on 33.3% of the examples only" in found["warnings"][0]


def test_stage_names_classes_without_images(tmp_path: Path) -> None:
    run = make_run(tmp_path, split="test")
    path = run.inputs["data/index.json"]
    index = Index.load(path)
    Index(index.classes, tuple(r for r in index.rows if r.label != 2), "folders").save(path)
    evaluate.run(run.context("evaluate"))
    assert run.json("evaluate/metrics.json")["warnings"] == ["no test images of: blue"]


def test_scores_of_another_model_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=("red", "green", "blue", "grey"))
    with pytest.raises(InvariantBroken, match="4 finite scores an example, got \\[3\\]"):
        evaluate.run(run.context("evaluate"))
    assert not (run.folder / "evaluate" / "metrics.json").exists()


def test_same_metrics_byte_for_byte(tmp_path: Path) -> None:
    run = make_run(tmp_path, mislabelled=1)
    evaluate.run(run.context("evaluate"))
    first = (run.folder / "evaluate" / "metrics.json").read_bytes()
    evaluate.run(run.context("evaluate"))
    assert (run.folder / "evaluate" / "metrics.json").read_bytes() == first


def test_images_come_in_chunks(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tfedge.tasks.streams._CHUNK", 5)
    run = make_run(tmp_path, mislabelled=2)
    evaluate.run(run.context("evaluate"))
    assert run.json("evaluate/metrics.json")["int8"]["confusion"] == CONFUSION


# ------------------------------------------------------------------ classes that are never answered


def test_the_lowest_recall_and_whose_it_is() -> None:
    found = metrics.measure(SCORES, LABELS, CLASSES, top_k=2)
    assert (found.recall_min, found.recall_min_of) == (0.5, "dog")
    constant = metrics.measure(np.eye(3)[[0] * 6], LABELS, (*CLASSES,), top_k=1)
    assert (constant.recall_min, constant.recall_min_of) == (0.0, "dog")
    assert metrics.never_answered(constant) == ["dog", "owl"]
    assert metrics.never_answered(found) == []
    # A class without images has no recall, and nobody could have answered it rightly.
    none = metrics.measure(np.eye(4)[LABELS], LABELS, (*CLASSES, "yak"), top_k=1)
    assert (none.recall_min, metrics.never_answered(none)) == (1.0, [])


def constant(tmp_path: Path, **sections: object) -> Run:
    """A run whose images all look green: red and blue are never answered."""
    run = make_run(tmp_path, each=4, mislabelled=4, **sections)
    for number, path in enumerate(sorted((run.root / "val" / "blue").iterdir())):
        Image.fromarray(pixels(1, 900 + number)).save(path)
    index = Index.load(run.inputs["data/index.json"])
    rows = [
        row._replace(sha256=hashlib.sha256((run.root / row.path).read_bytes()).hexdigest())
        for row in index.rows
    ]
    replace(index, rows=tuple(rows)).save(run.inputs["data/index.json"])
    return run


def test_classes_that_are_never_answered_are_named(tmp_path: Path) -> None:
    run = constant(tmp_path)
    evaluate.run(run.context("evaluate"))
    found = run.json("evaluate/metrics.json")
    (line,) = [text for text in found["warnings"] if "never answers" in text]
    assert line.startswith("int8 never answers red, blue, not even for the 8 val images")
    assert "finetune.class_weights" in line and "evaluate.gates.min_recall" in line
    assert f"warning: {line}" in run.said.notes


@pytest.mark.parametrize(
    ("gates", "wanted"),
    [
        ({"min_recall": 0.1}, "gate failed: min_recall: limit 0.1, got 0 (red)"),
        ({"min_macro_recall": 0.5}, "gate failed: min_macro_recall: limit 0.5, got 0.3333"),
        ({"min_accuracy": 0.3, "min_macro_recall": 0.3}, None),
    ],
)
def test_a_gate_can_stop_a_constant_answer(
    tmp_path: Path, gates: dict[str, float], wanted: str | None
) -> None:
    run = constant(tmp_path, evaluate={"gates": gates, "robustness": 0})
    evaluate.run(run.context("evaluate"))
    left = read(run.folder / "evaluate" / "metrics.json", Evaluation)

    def held() -> None:
        check(run.pipeline, "evaluate", lambda: StageResults(metrics=left))

    if wanted is None:
        return held()
    with pytest.raises(GateFailed) as caught:
        held()
    assert caught.value.message == wanted


def test_sizes_of_classes_that_are_far_apart_propose_weights(tmp_path: Path) -> None:
    rows = [Row(f"{i}.png", 0 if i else 1, "train", "00") for i in range(12)]
    index = Index(("fine", "broken"), tuple(rows), "folders")
    examples = LabelledImages(DecodedImages(index, tmp_path, tmp_path, 32, "stretch"))
    work = work_of(task_of("image-classification"))
    (line,) = work.proposals(examples, Finetune())
    assert line.startswith("11 training images of fine and 1 of broken: finetune.class_weights")
    assert work.proposals(examples, Finetune(class_weights="balanced")) == []
    even = Index(("fine", "broken"), (*rows[:2], *rows[2:4]), "folders")
    assert not work.proposals(
        LabelledImages(DecodedImages(even, tmp_path, tmp_path, 32, "")), Finetune()
    )
