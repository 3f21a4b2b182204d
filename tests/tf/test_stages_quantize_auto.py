"""The fitted head, blocks that make it worse, and what quantize tries, trains and takes back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tiny

from tfedge.data.index import Index
from tfedge.files import mapped
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.network import HEAD
from tfedge.modeling.training import loop
from tfedge.stages import quantize
from tfedge.stages.heads import head_of
from tfedge.tflite.runtime import predict

TRAIN, VAL = sum(tiny.TRAIN), 3 * tiny.VAL
QUANTIZE = {"representative": 12, "epochs": 2, "batch_size": 8, "unfreeze": "block_15"}


@pytest.fixture(scope="module")
def head(tmp_path_factory) -> tiny.Run:
    """A fitted head on a frozen base."""
    run = tiny.begin(tmp_path_factory.mktemp("head"), quantize=QUANTIZE)
    return run("finetune")


def pixels_of(run: tiny.Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    index = Index.load(run.files["data/index.json"])
    rows = index.rows_of(split)
    images = head_of(run.context("finetune")).samples.source.images
    return images.pixels(rows), np.array(index.labels_of(rows))


def told(run: tiny.Run, begin: str) -> str:
    (line,) = (line for line in run.progress.lines if line.startswith(begin))
    return line


def fakes(run: tiny.Run) -> int:
    graph = tf.compat.v1.GraphDef.FromString(run.read("quantize/graph.pb"))
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return sum(node.op.startswith("FakeQuant") for node in nodes)


# ------------------------------------------------------------------ finetune


def test_a_fitted_head_is_found_without_validation_images(head):
    history = head.json("finetune/history.json")
    assert (history["head_kind"], history["chose_weights_on"]) == ("logistic", None)
    assert history["C"] in [row["C"] for row in history["head"]] and len(history["head"]) == 11
    assert not {"best_epoch", "blocks"} & set(history)
    assert told(head, "float model: ").startswith("float model: the head has converged (C = ")


def test_features_too_many_to_hold_lie_in_the_cache_and_give_the_same_head(
    head, tmp_path, monkeypatch
):
    folders, make = [], mapped.tempfile.TemporaryFile

    def kept(dir):
        folders.append(dir)
        return make(dir=dir)

    monkeypatch.setattr(mapped, "HELD", 0)
    monkeypatch.setattr(mapped.tempfile, "TemporaryFile", kept)
    before = {*head.cache.iterdir()}
    again = head.again(tmp_path, but=("finetune",))("finetune")
    assert folders == [head.cache], "on the disk that --cache names"
    assert {*head.cache.iterdir()} == before, "and gone again"
    for file in ("model.npz", "float.tflite", "features.npy"):
        assert again.read(f"finetune/{file}") == head.read(f"finetune/{file}")


def test_the_float_file_is_as_good_as_history_says(head):
    history = head.json("finetune/history.json")
    for split, count in (("train", TRAIN), ("val", VAL)):
        pixels, labels = pixels_of(head, split)
        scores = predict(head.read("finetune/float.tflite"), pixels)
        row = history[split]
        assert row["n"] == count
        assert row["top1"] == pytest.approx((scores.argmax(1) == labels).mean())
        loss = -np.log(scores[np.arange(count), labels]).mean()
        assert row["loss"] == pytest.approx(loss, abs=1e-3)
    assert history["train"]["top1"] > 0.9 and history["val"]["top1"] > 0.8


def test_there_is_a_head_file_only_where_blocks_train(head, blocks):
    assert "finetune/head.tflite" not in head.files
    assert blocks.read("finetune/head.tflite") == head.read("finetune/float.tflite")


@pytest.fixture(scope="module")
def blocks(head, tmp_path_factory) -> tiny.Run:
    """Blocks that training wrecks."""
    run = head.again(
        tmp_path_factory.mktemp("blocks"),
        but=("finetune",),
        finetune={
            "unfreeze": "block_16",
            "unfreeze_epochs": 2,
            "unfreeze_learning_rate": 0.3,
            "batch_size": 8,
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "BLOWN_UP", math.inf)  # it is to train to its end
        return run("finetune")


def test_blocks_that_get_worse_are_kept_as_they_were(head, blocks):
    history = blocks.json("finetune/history.json")
    first, *rows = history["blocks"]
    assert (first["epoch"], first["loss"]) == (0, None) and len(rows) == 2
    assert all(row["val_loss"] > first["val_loss"] for row in rows)
    assert (history["best_epoch"], history["chose_weights_on"]) == (0, "val")
    assert first["val_loss"] == pytest.approx(history["val"]["loss"], abs=1e-4)
    before, after = head.arrays("finetune/model.npz"), blocks.arrays("finetune/model.npz")
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.tobytes() == after[key].tobytes(), key
    assert blocks.read("finetune/float.tflite") == head.read("finetune/float.tflite")
    assert "made it worse on the validation examples" in told(blocks, "warning: float model: ")


def test_blocks_that_get_better_are_kept(head, tmp_path):
    settings = {"unfreeze": "block_16", "unfreeze_epochs": 3, "batch_size": 8}
    # A head that says little: there is something to learn.
    few = {"head": "sgd", "epochs": 1, "learning_rate": 1e-4, "unfreeze_learning_rate": 1e-3}
    run = head.again(tmp_path, but=("finetune",), finetune=settings | few)("finetune")
    history = run.json("finetune/history.json")
    best = min(history["blocks"], key=lambda row: row["val_loss"])
    assert history["best_epoch"] == best["epoch"] > 0
    assert history["head_kind"] == "sgd" and [row["epoch"] for row in history["head"]] == [1]
    assert history["val"]["loss"] == pytest.approx(best["val_loss"], abs=1e-3)
    assert f"epoch {best['epoch']} is best" in told(run, "float model: ")
    pixels, labels = pixels_of(run, "val")
    losses = []
    for file in ("head", "float"):
        scores = predict(run.read(f"finetune/{file}.tflite"), pixels)
        losses.append(-np.log(scores[np.arange(VAL), labels]).mean())
    assert losses[0] == pytest.approx(history["blocks"][0]["val_loss"], abs=1e-3)
    assert losses[1] < losses[0]


# ------------------------------------------------------------------ auto


@pytest.fixture(scope="module")
def calibrated(head, tmp_path_factory) -> tiny.Run:
    run = head.again(tmp_path_factory.mktemp("auto"), quantize={"recipe": "auto"})
    return run("quantize", "convert")


def test_auto_calibrates_where_that_costs_nothing(calibrated):
    facts = calibrated.json("quantize/quantize.json")
    assert (facts["recipe"], facts["ranges"]) == ("ptq", "graph")
    assert not {"history", "trained"} & set(facts)
    assert len(set(facts["representative"])) == 12
    correction = facts["correction"]
    assert (correction["state"] == "corrected") == (
        correction["corrected"]["kl"] <= correction["plain"]["kl"]
    )
    assert correction["n"] == TRAIN - 12
    assert calibrated.json("convert/model.json")["recipe"] == "ptq"


def test_the_file_is_8_bits_throughout(calibrated):
    model = calibrated.tflite()
    assert model.float_tensors() == []
    assert [t.dtype for t in (*model.inputs, *model.outputs)] == ["uint8", "uint8"]
    assert fakes(calibrated) > 50


def test_what_was_tried_is_what_the_file_answers(calibrated):
    (tried,) = calibrated.json("quantize/quantize.json")["tried"]
    rows = calibrated.json("quantize/quantize.json")["representative"]
    index = Index.load(calibrated.files["data/index.json"])
    others = [row for row in index.rows_of("train") if row not in rows]
    assert (tried["recipe"], tried["split"], tried["n"]) == ("ptq", "train", len(others))
    pixels = head_of(calibrated.context("finetune")).samples.source.images.pixels(others)
    labels = np.array(index.labels_of(others))
    files = ("finetune/float.tflite", "convert/model.tflite")
    plain, int8 = (predict(calibrated.read(file), pixels).argmax(1) for file in files)
    assert tried["before"] == pytest.approx((plain == labels).mean())
    assert tried["top1"] == pytest.approx((int8 == labels).mean())
    assert tried["agreement"] == pytest.approx((plain == int8).mean())
    assert tried["lost"] == ((plain == labels) & (int8 != labels)).sum()
    assert tried["significant"] is False
    assert told(calibrated, "auto: top-1 of ptq").endswith("nothing needs to train")


def wrong(content: bytes, pixels: np.ndarray, **more: Any) -> np.ndarray:
    """What a file would say of images whose classes 8 bits have mixed up."""
    return np.roll(predict(content, pixels, **more), 1, axis=1)


def test_auto_trains_where_calibration_costs_answers(head, calibrated, tmp_path, monkeypatch):
    monkeypatch.setattr(quantize, "predict", wrong)
    # Whether an answer more is lost than gained hangs on the processor's kernels.
    monkeypatch.setattr(quantize.Judge, "is_worse", lambda self, before, after: False)
    calm = {"steps": 4, "learning_rate": 1e-5, "noise": 0.0}  # so little that nothing is lost
    run = head.again(tmp_path, quantize=calm)
    facts = run("quantize").json("quantize/quantize.json")
    assert facts["recipe"] == "qat" and facts["ranges"] == "graph"
    (tried,) = facts["tried"]
    assert tried["significant"] is True and tried["top1"] < 0.2 < 0.9 < tried["before"]
    assert tried["lost"] > 10 and tried["p"] < 0.01
    assert told(run, "auto: top-1 of ptq").endswith("8-bit training follows")
    assert [row["epoch"] for row in facts["history"]] == [1, 2]
    trained = facts["trained"]
    assert (trained["state"], trained["split"], trained["n"]) == ("trained", "val", VAL)
    assert trained["significant"] is False
    assert run.read("quantize/graph.pb") != calibrated.read("quantize/graph.pb")


def test_training_that_loses_answers_is_taken_back(calibrated, tmp_path, monkeypatch):
    """All of it: kernels, offsets, and the ranges that moved with them."""
    monkeypatch.setattr(loop, "BLOWN_UP", math.inf)  # it is to train to its end
    monkeypatch.setattr(quantize, "predict", wrong)
    run = calibrated.again(
        tmp_path,
        but=("quantize", "convert"),
        quantize={"learning_rate": 1.0, "warmup": 0.0, "hints": 0.0},
    )
    facts = run("quantize").json("quantize/quantize.json")
    assert facts["recipe"] == "qat" and len(facts["history"]) == 2
    trained = facts["trained"]
    assert trained["state"] == "calibrated" and trained["significant"] is True
    assert trained["top1"] < trained["before"] - 0.3 and trained["p"] < 0.05
    line = told(run, "warning: 8-bit training lost answers on the validation examples: ")
    assert f"{trained['before']:.1%} before, {trained['top1']:.1%} after" in line
    assert "the state before it is kept; lower quantize.learning_rate" in line
    assert run.read("quantize/graph.pb") == calibrated.read("quantize/graph.pb")


# ------------------------------------------------------------------ without corrections


def test_without_corrections_ptq_leaves_ranges_to_the_converter(head, tmp_path):
    run = head.again(tmp_path, quantize={"recipe": "ptq", "correct": False})("quantize", "convert")
    facts = run.json("quantize/quantize.json")
    assert (facts["recipe"], facts["ranges"]) == ("ptq", "converter")
    assert not {"correction", "tried", "trained", "history"} & set(facts)
    assert fakes(run) == 0
    assert run.tflite().float_tensors() == []
    # The graph is the float network, bit for bit.
    kernel = head.arrays("finetune/model.npz")[f"{HEAD}/kernel"]
    graph = tf.compat.v1.GraphDef.FromString(run.read("quantize/graph.pb"))
    constants = [tf.make_ndarray(n.attr["value"].tensor) for n in graph.node if n.op == "Const"]
    assert any(c.shape == kernel.shape and (c == kernel).all() for c in constants)
    pixels, labels = pixels_of(run, "val")
    assert (predict(run.read("convert/model.tflite"), pixels).argmax(1) == labels).mean() > 0.7


def test_auto_without_corrections_has_its_ranges_in_the_graph(head, tmp_path):
    """What it tries, and what may train, needs them there."""
    run = head.again(tmp_path, quantize={"recipe": "auto", "correct": False})("quantize", "convert")
    facts = run.json("quantize/quantize.json")
    assert (facts["recipe"], facts["ranges"]) == ("ptq", "graph")
    assert "tried" in facts and "correction" not in facts
    assert run.tflite().float_tensors() == []
