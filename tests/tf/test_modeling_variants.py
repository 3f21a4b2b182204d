"""Other ways through the chain: nothing frozen, blocks unfrozen, ptq, no quantization at all."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from tfedge.catalog.backbones import layers
from tfedge.core import outputs
from tfedge.data.index import Index
from tfedge.errors import (
    ArtifactError,
    InvariantBroken,
    MissingDependency,
    StageError,
    UnsupportedModel,
)
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import freeze, load_graph, save_graph
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.layers import kernel_of, unwrapped
from tfedge.modeling.nets.network import HEAD, Spec
from tfedge.modeling.training import loop
from tfedge.modeling.vision import VisionHead
from tfedge.stages import convert, finetune
from tfedge.stages.heads import head_of
from tfedge.tflite.model import Quantization
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

NAME, ALPHA = "MobileNet", 0.25
BLOCKS = layers(NAME, ALPHA)
FIRST = "block_12"  # that finetune opens
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> tiny.Run:
    return tiny.chain(tmp_path_factory.getbasetemp() / "chain")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tiny.Run:
    """Finetune opens the top blocks; pruning and QAT train the whole net, fed by tf.data."""
    settings = {"epochs": 1, "batch_size": 13, "learning_rate": 1e-4, "unfreeze": "all"}
    opened = {"unfreeze": FIRST, "unfreeze_epochs": 2, "unfreeze_learning_rate": 1e-4}
    named = {"layers": ("conv_pw_1?",), "allocation": "uniform", "pruning_schedule": "constant"}
    run = tiny.begin(
        tmp_path_factory.mktemp("whole"),
        NAME,
        ALPHA,
        data={"augment": {"views": 1}},
        finetune={"epochs": 4, "batch_size": 8, "learning_rate": 0.01, **opened},
        prune={**settings, **named, "sparsity": 0.4},
        quantize={**settings, "representative": 8, "hints": 0},
    )
    return run("finetune", "prune", "quantize", "convert")


def pixels_of(run: tiny.Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    index = Index.load(run.files["data/index.json"])
    rows = index.rows_of(split)
    images = head_of(run.context("finetune")).samples.source.images
    return images.pixels(rows), np.array(index.labels_of(rows))


def kernels(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.split("/")[0]: value for key, value in arrays.items() if "kernel" in key}


def test_finetune_trains_the_blocks_it_was_told_to(whole):
    spec = Spec.of(outputs.read(whole.files["backbone/base.json"], ImageBase), 3)
    before = network.fold(spec, whole.arrays("backbone/base.npz"))
    after = whole.arrays("finetune/model.npz")
    names = [block.name for block in BLOCKS]
    below = {k.layer for b in BLOCKS[: names.index(FIRST)] for k in b.kernels}
    changed = {key for key, value in before.items() if (value != after[key]).any()}
    wanted = {layer for layer in kernels(before) if layer not in below}
    assert {"conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13"} == wanted
    assert {key.split("/")[0] for key in changed} == wanted
    assert not any(key.split("/")[1] in NORM for key in changed)


def test_the_history_of_the_blocks_is_kept_and_chooses_the_weights(whole):
    history = whole.json("finetune/history.json")
    assert len(history["head"]) == 4 and len(history["blocks"]) == 3  # and the state before
    best = min(history["blocks"], key=lambda row: row["val_loss"])
    assert history["best_epoch"] == best["epoch"]
    index = Index.load(whole.files["data/index.json"])
    context = whole.context("finetune")
    images = DecodedImages(index, context.data_root, whole.cache, tiny.SIZE, "crop")
    rows = index.rows_of("val")
    scores = predict(whole.read("finetune/float.tflite"), images.pixels(rows))
    right = scores[range(len(rows)), index.labels_of(rows)]
    assert -np.log(right).mean() == pytest.approx(best["val_loss"], abs=1e-3)


def test_a_whole_net_is_pruned_on_pixels(whole):
    before, after = whole.arrays("finetune/model.npz"), whole.arrays("prune/model.npz")
    report = whole.json("prune/sparsity.json")
    named = [f"conv_pw_{number}" for number in range(10, 14)]
    assert [layer["name"] for layer in report["layers"]] == named
    assert report["reached"] >= 0.4
    for layer in report["layers"]:  # uniform: the same share of each
        assert layer["zeros"] == layer["target"] == int(np.ceil(0.4 * layer["size"]))
        assert not layer["frozen"]
    for name, kernel in kernels(after).items():
        assert (np.count_nonzero(kernel == 0) > 0) == (name in named)
        assert (kernel != kernels(before)[name]).any()  # all of the net trains
    for key in before:
        if key.split("/")[1] in NORM:
            np.testing.assert_array_equal(before[key], after[key])


def test_a_whole_net_is_quantized_on_pixels(whole):
    facts, model = whole.json("convert/model.json"), whole.tflite()
    assert facts["recipe"] == "qat" and model.float_tensors() == []
    assert facts["sparsity"] >= 0.4
    assert np.isfinite(
        [row["loss"] for row in whole.json("quantize/quantize.json")["history"]]
    ).all()
    for layer in facts["layers"]:
        assert layer["prunable"] == layer["name"].startswith("conv_pw_1") or layer["size"] < 6000
    (taken,) = model.inputs
    assert taken.quantization.zero_points == (0,)
    assert taken.quantization.scales == pytest.approx((1.0,), abs=1e-6)


def test_the_same_stage_again_in_one_process_gives_the_same_bytes(whole, tmp_path):
    run = whole.again(tmp_path, but=("prune", "quantize", "convert"))("prune")
    for file in ("prune/model.npz", "prune/sparsity.json", "prune/history.json"):
        assert run.read(file) == whole.read(file), file


def test_nothing_frozen_keeps_no_activations(whole):
    """Pixels and pooled features are stored; nothing in between would serve anybody."""
    shapes = [
        json.loads((path / "meta.json").read_text())["shape"]
        for path in (whole.cache / "store").iterdir()
        if path.name.startswith("features-")
    ]
    assert [256] in shapes
    assert all(len(shape) == 1 or shape[0] <= 2 for shape in shapes)


def test_the_float_file_is_shipped_when_nothing_is_quantized(whole, tmp_path):
    run = whole.again(tmp_path, but=("convert", "quantize"), quantize=None)("convert")
    facts = run.json("convert/model.json")
    assert facts["recipe"] == "float" and facts["float_tensors"] > 0
    assert facts["input"]["dtype"] == "uint8" and facts["output"]["dtype"] == "float32"
    assert facts["sparsity"] >= 0.4  # pruned all the same
    assert run.read("convert/model.tflite") != run.read("convert/float.tflite")
    assert run.read("convert/model.tflite") == run.read("prune/float.tflite")
    assert run.read("convert/float.tflite") == run.read("finetune/float.tflite")


# ------------------------------------------------------------------ ptq and none


class Asked:
    """Which images a stage looks at."""

    def __init__(self, monkeypatch) -> None:
        self.rows: set[int] = set()
        pixel, pixels = DecodedImages.pixel, DecodedImages.pixels

        def one(images, row):
            self.rows.add(int(row))
            return pixel(images, row)

        def several(images, rows, progress=None):
            self.rows |= {int(row) for row in rows}
            return pixels(images, rows, progress)

        monkeypatch.setattr(DecodedImages, "pixel", one)
        monkeypatch.setattr(DecodedImages, "pixels", several)


def test_ptq_is_calibrated_with_training_images(chain, tmp_path, monkeypatch):
    asked = Asked(monkeypatch)
    later = ("prune", "quantize", "convert", "evaluate")
    recipe = {"recipe": "ptq", "representative": 12}
    run = chain.again(tmp_path, but=later, prune=None, quantize=recipe)("quantize", "convert")
    index = Index.load(run.files["data/index.json"])
    facts = run.json("quantize/quantize.json")
    assert facts["recipe"] == "ptq" and "history" not in facts
    assert asked.rows == set(facts["representative"]) and len(asked.rows) == 12
    assert {index.rows[row].split for row in asked.rows} == {"train"}
    assert sorted(index.labels_of(asked.rows)) == [0] * 4 + [1] * 4 + [2] * 4

    model = run.json("convert/model.json")
    assert model["recipe"] == "ptq" and model["sparsity"] is None
    assert model["input"]["dtype"] == model["output"]["dtype"] == "uint8"
    assert run.tflite().float_tensors() == []
    run("evaluate")
    metrics = run.json("evaluate/metrics.json")
    assert metrics["agreement"] >= 0.8 and metrics["int8"]["top1"] >= 0.8
    again = run.again(tmp_path / "again", but=("convert", "evaluate"))("convert")
    assert again.read("convert/model.tflite") == run.read("convert/model.tflite")


def test_without_pruning_and_quantization_the_float_file_is_what_finetune_made(chain, tmp_path):
    later = ("prune", "quantize", "convert", "evaluate")
    for name, quantize in (("out", None), ("none", {"recipe": "none"})):
        run = chain.again(tmp_path / name, but=later, prune=None, quantize=quantize)("convert")
        facts = run.json("convert/model.json")
        assert facts["recipe"] == "float" and facts["sparsity"] is None
        assert facts["input"] == {"dtype": "uint8", "shape": [1, 32, 32, 3]}
        assert run.read("convert/model.tflite") == run.read("finetune/float.tflite")


# ------------------------------------------------------------------ what stops a run


def test_layers_that_no_kernel_bears_are_refused(chain, tmp_path):
    but = ("prune", "quantize", "convert", "evaluate")
    run = chain.again(tmp_path, but=but, prune={"layers": ("nothing_*",), "also": ()})
    with pytest.raises(UnsupportedModel, match=r"prune finds no kernel: nothing_\*"):
        run("prune")
    assert list((tmp_path / "prune").iterdir()) == []


def test_a_sparsity_that_the_open_part_can_not_carry_is_refused(chain, tmp_path):
    but = ("prune", "quantize", "convert", "evaluate")
    run = chain.again(tmp_path, but=but, prune={"sparsity": 0.5, "unfreeze": "block_16"})
    with pytest.raises(StageError, match=r"prune.sparsity 0\.5 needs [\d,]+ zeros"):
        run("prune")
    assert list((tmp_path / "prune").iterdir()) == []


ONE_STEP = {"epochs": 1, "batch_size": 64}


def test_a_last_step_of_pruning_that_leaves_no_numbers_is_refused(chain, tmp_path):
    later = ("prune", "quantize", "convert", "evaluate")
    run = chain.again(tmp_path, but=later, prune={"learning_rate": 1e38, **ONE_STEP})
    with pytest.raises(StageError, match=r"^prune: the loss is (nan|inf) in epoch 1$") as caught:
        run("prune")
    assert caught.value.hint == "lower prune.learning_rate"
    assert not (tmp_path / "prune" / "model.npz").exists()


def test_pruning_that_blows_up_keeps_its_best_epoch_with_all_zeros(chain, tmp_path, monkeypatch):
    """What was asked for is a pruned model: neither the dense one nor the last state is given."""
    train, models = loop.train, []

    def cut_off(model, batches, settings, *, watch, **more):
        def watched(done):
            found = watch(done)
            kernels = {la.name: kernel_of(la).numpy() for la in whole_of(model)}
            models.append(kernels if found else None)
            if len(models) == 4:
                raise loop.BlownUp("prune", "the loss is nan in epoch 5", [])
            return found

        return train(model, batches, settings, watch=watched, **more)

    def whole_of(model):
        return [unwrapped(la) for la in model.layers if hasattr(unwrapped(la), "kernel")]

    monkeypatch.setattr(loop, "train", cut_off)
    later = ("prune", "quantize", "convert", "evaluate")
    run = chain.again(tmp_path, but=later, prune={"epochs": 5})("prune")
    found = run.json("prune/sparsity.json")
    assert found["reached"] >= 0.29 and found["trained"]["state"] == "earlier"
    assert found["trained"]["stopped"] == "the loss is nan in epoch 5"
    assert found["trained"]["epoch"] == 4 and models[:3] == [None] * 3
    (line,) = [text for text in run.progress.lines if text.startswith("warning: pruning: ")]
    assert "the state of epoch 4 goes on" in line and "lower prune.learning_rate" in line


def test_what_pruning_cost_is_told(chain):
    trained = chain.json("prune/sparsity.json")["trained"]
    assert (trained["state"], trained["split"], trained["n"]) == ("trained", "val", 15)
    pixels, labels = pixels_of(chain, "val")
    for file, key in (("finetune", "before"), ("prune", "top1")):
        scores = predict(chain.read(f"{file}/float.tflite"), pixels)
        assert trained[key] == pytest.approx((scores.argmax(-1) == labels).mean())
    (line,) = [text for text in chain.progress.lines if text.startswith("pruning: on the val")]
    assert f"top-1 {trained['before']:.1%} before, {trained['top1']:.1%} after" in line
    rows = chain.json("prune/history.json")
    assert [set(row) >= {"val_loss", "val_accuracy"} for row in rows] == [False] * 2 + [True] * 2


def test_training_in_8_bits_that_blows_up_leaves_the_calibrated_state(chain, tmp_path):
    later, graphs = ("quantize", "convert", "evaluate"), set()
    for name, rate in (("infinite as float32", 1e39), ("far too large", 1e5)):
        settings = {"learning_rate": rate, **ONE_STEP}
        run = chain.again(tmp_path / name, but=later, quantize=settings)("quantize")
        assert run.json("quantize/quantize.json")["trained"]["state"] == "calibrated"
        (line,) = [text for text in run.progress.lines if "8-bit training " in text]
        assert line.startswith("warning: ") and "the state before it is kept" in line
        assert line.endswith("lower quantize.learning_rate")
        graphs.add(run.read("quantize/graph.pb"))
    assert len(graphs) == 1  # whatever training made of it


def test_a_run_goes_on_from_an_earlier_one_head_and_all(chain, tmp_path):
    later = ("backbone", "finetune", "prune", "quantize", "convert", "evaluate")
    still = {"epochs": 1, "learning_rate": 1e-9, "batch_size": 8}
    earlier = {"weights": str(chain.folder)}
    run = chain.again(tmp_path, but=later, backbone=earlier, finetune=still)
    run("backbone", "finetune")
    first, *_ = run.json("finetune/history.json")["head"]
    assert first["epoch"] == 0
    assert first["val_loss"] == pytest.approx(chain.json("finetune/history.json")["val"]["loss"])
    pixels, _ = pixels_of(run, "val")
    ours, theirs = (predict(r.read("finetune/float.tflite"), pixels) for r in (run, chain))
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    base = run.json("backbone/base.json")
    assert (base["weights"]["source"], base["weights"]["detail"]) == ("run", chain.folder.name)
    assert "head of the earlier run: has blue, green, red" in run.progress.lines


def test_a_run_of_another_net_is_refused_with_the_way_out(chain, tmp_path):
    other = {"weights": str(chain.folder), "alpha": 0.5}
    run = chain.again(tmp_path, but=("backbone",), backbone=other)
    with pytest.raises(ArtifactError, match="an earlier run of another backbone") as caught:
        run("backbone")
    assert caught.value.hint == f"set backbone.name: MobileNetV2, backbone.alpha: {tiny.ALPHA:g}"


def test_the_model_of_a_run_is_a_weights_file_that_knows_its_pixels(chain, tmp_path):
    """Its first kernel is divided by the standard deviation; who reads it must know that."""
    base = chain.json("backbone/base.json")
    for file, std in (("finetune/model.npz", [1.0] * 3), ("backbone/base.npz", base["std"])):
        weights = {"weights": str(chain.files[file])}
        folder = tmp_path / file.split("/")[0]
        run = chain.again(folder, but=("backbone",), backbone=weights)("backbone")
        found = run.json("backbone/base.json")
        assert (found["mean"], found["std"]) == (base["mean"], std)
        key = "Conv1/kernel"
        np.testing.assert_allclose(
            run.arrays("backbone/base.npz")[key] / found["std"][0],
            chain.arrays("backbone/base.npz")[key] / base["std"][0],
            rtol=1e-6,
        )


def test_new_units_of_a_head_stand_beside_the_old_ones_under_their_names():
    fresh(1)
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    untrained = layer.kernel.numpy()
    arrays = {"logits/kernel": np.float32([[1, 2], [3, 4]]), "logits/bias": np.float32([5, 6])}
    earlier = network.EarlierHead.of(arrays | {network.UNITS: np.array(["owl", "cat"])})
    assert earlier.put_into(layer, ("cat", "dog", "owl")) == ["cat", "owl"]
    np.testing.assert_array_equal(layer.kernel[:, 0], [2, 4])
    np.testing.assert_array_equal(layer.kernel[:, 1], untrained[:, 1])
    np.testing.assert_array_equal(layer.kernel[:, 2], [1, 3])
    np.testing.assert_array_equal(layer.bias, [6, 0, 5])
    assert network.EarlierHead.of(arrays) is None


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (("owl", "cat", "dog"), None),
        (("cat", "owl"), "; keeps: owl cat"),
        (("cat",), ""),  # it has moved up, and no order of the classes can help that
        (("dog",), None),
    ],
)
def test_outputs_that_have_other_numbers_than_in_the_earlier_run_are_told(
    chain, monkeypatch, units, told
):
    earlier = network.EarlierHead(np.zeros((2, 2), "f"), np.zeros(2, "f"), ("owl", "cat"))
    monkeypatch.setattr(network, "earlier_head", lambda path: earlier)
    layer, notes = keras.layers.Dense(len(units), name=network.HEAD), tiny.Notes()
    layer.build((None, 2))
    head = SimpleNamespace(
        units=units,
        samples=SimpleNamespace(views=0),
        keeps_order=lambda order: f"; keeps: {' '.join(order)}",
    )
    pipeline = SimpleNamespace(finetune=chain.pipeline.finetune)
    inputs = {"backbone/base.npz": chain.files["backbone/base.npz"]}
    context = SimpleNamespace(inputs=inputs, pipeline=pipeline, progress=notes)
    model = SimpleNamespace(layers=[layer], get_layer=lambda name: layer)
    finetune._go_on(context, head, model)
    warnings = [line for line in notes.lines if line.startswith("warning")]
    said = f"warning: outputs have other numbers than in the earlier run{told}"
    assert warnings == ([] if told is None else [said])


def test_how_epochs_went_stands_in_a_text_file(chain):
    for stage, first in (("finetune", "head"), ("prune", "prune"), ("quantize", "qat")):
        lines = chain.read(f"{stage}/training.log").decode().splitlines()
        assert re.match(rf"{first}, epoch 1: loss [\d.]+, learning_rate [\d.e-]+", lines[0])
    assert len(lines) == 4
    assert "val_loss" in chain.read("finetune/training.log").decode()


def test_a_file_that_litert_can_not_run_is_not_shipped(chain, tmp_path, monkeypatch):
    class Broken:
        def __init__(self, content):
            raise ArtifactError("<bytes>", "LiteRT can't load it: no registration for PAD")

    monkeypatch.setattr(convert, "LiteRT", Broken)
    run = chain.again(tmp_path, but=("convert", "evaluate"))
    with pytest.raises(StageError, match=r"LiteRT can't run the file that was made.*PAD"):
        run("convert")
    assert list((tmp_path / "convert").iterdir()) == []


def test_tensorboard_that_is_missing_is_told_before_any_work(chain, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune, "find_spec", lambda name: None)
    later = ("finetune", "prune", "quantize", "convert", "evaluate")
    run = chain.again(tmp_path, tmp_path / "cache", but=later, finetune={"tensorboard": True})
    with pytest.raises(MissingDependency, match="TensorBoard is not installed") as caught:
        run("finetune")
    assert "pip install tensorboard" in caught.value.hint
    assert not (tmp_path / "cache").exists()  # no image was decoded, no feature computed


def test_a_file_with_fewer_zeros_than_pruning_left_is_not_shipped(chain, tmp_path):
    report = chain.json("prune/sparsity.json")
    layer = next(la for la in report["layers"] if la["name"] == HEAD)
    layer["zeros"] = layer["size"]
    run = chain.again(tmp_path, but=("convert", "evaluate"))
    run.files["prune/sparsity.json"] = tmp_path / "sparsity.json"
    run.files["prune/sparsity.json"].write_text(json.dumps(report))
    with pytest.raises(InvariantBroken, match=f"zeros of {HEAD} in the .tflite"):
        run("convert")
    assert not (tmp_path / "convert" / "model.json").exists()


def test_an_int8_file_with_float_left_in_it_is_not_shipped(chain, tmp_path):
    run = chain.again(tmp_path, but=("convert", "evaluate"))
    graph = tiny.computing(load_graph(run.files["quantize/graph.pb"]))
    size = (tiny.SIZE, tiny.SIZE, 3)
    odd = freeze(lambda pixels: tf.nn.softmax(tf.sin(graph(pixels))), size, tf.float32)
    run.files["quantize/graph.pb"] = tmp_path / "odd.pb"
    save_graph(odd, tmp_path / "odd.pb")
    with pytest.raises(InvariantBroken, match="no float tensor in the int8 model") as caught:
        run("convert")
    assert " SIN" in caught.value.got and "recipe: ptq" in caught.value.hint
    assert list((tmp_path / "convert").iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"dtype": "int8"}, "int8, scale (1.0,)"),
        ({"quantization": None}, "uint8, scale None"),
        ({"quantization": Quantization((0.93,), (0,), None)}, "uint8, scale (0.93,)"),
        ({"quantization": Quantization((1.0,), (3,), None)}, "uint8, scale (1.0,)"),
        ({"shape_signature": (-1, 32, 32, 3)}, "pixels"),
    ],
)
def test_a_file_that_does_not_take_raw_pixels_is_not_shipped(changed, got):
    model = read(tiny.MODELS / "color_int8.tflite")
    VisionHead.check_input(model)
    (taken,), (graph,) = model.inputs, model.graphs
    tensors = tuple(replace(t, **changed) if t is taken else t for t in graph.tensors)
    with pytest.raises(InvariantBroken) as caught:
        VisionHead.check_input(replace(model, graphs=(replace(graph, tensors=tensors),)))
    assert got in caught.value.got


def test_the_head_alone_can_carry_zeros(chain, tmp_path):
    but = ("prune", "quantize", "convert", "evaluate")
    prune = {"unfreeze": "none", "sparsity": 0.001, "epochs": 1}
    run = chain.again(tmp_path, but=but, prune=prune)("prune")
    before, after = run.arrays("finetune/model.npz"), run.arrays("prune/model.npz")
    changed = {key for key, value in before.items() if (value != after[key]).any()}
    assert changed == {f"{HEAD}/kernel", f"{HEAD}/bias"}
    report = run.json("prune/sparsity.json")
    assert [layer["name"] for layer in report["layers"] if layer["zeros"]] == [HEAD]
    assert report["reached"] >= 0.001
    assert read(run.files["finetune/float.tflite"]).inputs[0].dtype == "uint8"
