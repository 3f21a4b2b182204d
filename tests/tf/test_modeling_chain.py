"""The whole chain on a tiny net, once: what its files say of pruning, QAT and conversion."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from tfedge.catalog.backbones import layers
from tfedge.core import outputs
from tfedge.data.index import Index
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import float_pixels, load_graph
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import HEAD, Spec
from tfedge.modeling.training.augment import augment
from tfedge.pipeline.unfreeze import first_trained, prunable
from tfedge.stages import quantize
from tfedge.stages.heads import head_of
from tfedge.tflite.compact import compact
from tfedge.tflite.model import Kernel
from tfedge.tflite.runtime import predict

ROOT = Path(__file__).parents[2]
BLOCKS = layers(tiny.NAME, tiny.ALPHA)
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> tiny.Run:
    return tiny.chain(tmp_path_factory.getbasetemp() / "chain")


@pytest.fixture(scope="module")
def frozen(chain) -> set[str]:
    """The layers with weights below the part that pruning and QAT train."""
    below = BLOCKS[: first_trained(chain.pipeline, "prune")]
    net = network.build(spec(chain))
    lower, _ = network.cut(net, below[-1].output)
    found = {layer.name for layer in lower.layers if layer.weights}
    assert 10 < len(found) < len([la for la in net.layers if la.weights]) - 10
    return found


@pytest.fixture(scope="module")
def constants(chain) -> dict[str, list[np.ndarray]]:
    """The constants of the graph that QAT left, by the layer they are in."""
    graph = tf.compat.v1.GraphDef.FromString(chain.read("quantize/graph.pb"))
    found: dict[str, list[np.ndarray]] = {}
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    for node in nodes:
        if node.op == "Const":
            for part in node.name.split("/"):
                value = tf.make_ndarray(node.attr["value"].tensor)
                found.setdefault(part.removeprefix("quant_"), []).append(value)
    return found


def spec(run: tiny.Run) -> Spec:
    return Spec.of(outputs.read(run.files["backbone/base.json"], ImageBase), 3)


def of_layers(arrays: dict[str, np.ndarray], names) -> dict[str, np.ndarray]:
    return {key: value for key, value in arrays.items() if key.split("/")[0] in names}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys() and one
    for key, value in one.items():
        assert value.tobytes() == other[key].tobytes(), key


def pixels_of(run: tiny.Run, split: str) -> tuple[np.ndarray, list[int]]:
    index = Index.load(run.files["data/index.json"])
    rows = index.rows_of(split)
    images = head_of(run.context("finetune")).samples.source.images
    return images.pixels(rows), index.labels_of(rows)


def kernel_of(run: tiny.Run, layer: str) -> Kernel:
    """A layer's kernel in the shipped file, found by its name."""
    found = [k for k in run.tflite().kernels() if k.tensor == f"{layer}/kernel"]
    assert len(found) == 1, (layer, [k.tensor for k in run.tflite().kernels()])
    return found[0]


# ------------------------------------------------------------------ finetune


def test_the_base_stays_as_it_came_and_the_head_learns(chain):
    base, trained = chain.arrays("backbone/base.npz"), chain.arrays("finetune/model.npz")
    head = {f"{HEAD}/kernel", f"{HEAD}/bias"}
    assert trained.keys() == base.keys() | head
    folded = network.fold(spec(chain), base)
    assert_same(folded, {key: trained[key] for key in folded})
    assert np.abs(trained[f"{HEAD}/bias"]).max() > 0


def test_the_float_file_is_the_best_epoch_on_the_validation_images(chain):
    history = chain.json("finetune/history.json")
    best = min(history["head"], key=lambda row: row["val_loss"])
    assert history["best_epoch"] == best["epoch"] and history["chose_weights_on"] == "val"
    pixels, labels = pixels_of(chain, "val")
    scores = predict(chain.read("finetune/float.tflite"), pixels)
    assert (scores.argmax(-1) == labels).mean() == pytest.approx(best["val_accuracy"])
    assert -np.log(scores[range(len(labels)), labels]).mean() == pytest.approx(
        best["val_loss"], abs=1e-4
    )
    assert best["val_accuracy"] > 0.8


def test_the_teacher_says_what_the_float_file_says_of_every_item(chain):
    samples = head_of(chain.context("finetune")).samples
    scores = predict(chain.read("finetune/float.tflite"), samples.source.inputs(samples.items))
    teacher = chain.arrays("finetune/teacher.npz")
    np.testing.assert_allclose(tf.nn.softmax(teacher["logits"]), scores, atol=1e-4)
    features = np.load(chain.files["finetune/features.npy"])
    assert len(features) == len(samples.items) == 2 * sum(tiny.TRAIN)
    assert features.dtype == np.float16
    assert np.mean(np.square(features, dtype=np.float32)) == pytest.approx(1, abs=1e-3)


def test_views_are_what_augmentation_gives(chain):
    """Two views of an image differ, and its first is the image."""
    samples = head_of(chain.context("finetune")).samples
    row, count = samples.train_rows[0], sum(tiny.TRAIN)
    plain, view = samples.source.inputs([samples.items[0], samples.items[count]])
    np.testing.assert_array_equal(plain, samples.source.images.pixel(row))
    seed = [int(samples.examples.index.rows[row].sha256[:7], 16), 7919 + chain.pipeline.seed]
    settings = chain.pipeline.data.augment
    np.testing.assert_array_equal(view, augment(plain, tf.constant(seed, tf.int32), settings))


def test_each_part_was_computed_once_for_each_image(chain):
    """The float part below, the features above it, and the int8 part below: three stores, the
    validation images, which judge training, in each; below also the training images with noise."""
    with_val, noisy = 2 * sum(tiny.TRAIN) + 3 * tiny.VAL, sum(tiny.TRAIN)
    assert sorted(chain.computed) == [with_val, with_val + noisy, with_val + noisy]


def test_int8_activations_are_stored_as_such_and_train_to_the_same_bytes(
    chain, tmp_path, monkeypatch
):
    (folder,) = (chain.cache / "store").glob("features-*-int8")
    meta, records = json.loads((folder / "meta.json").read_text()), folder / "data.bin"
    assert meta["dtype"] == "|i1"
    assert records.stat().st_size == chain.computed[0] * np.prod(meta["shape"])
    (folder / "steps.json").write_text("{}")  # damaged: made again, and nothing else is
    before = records.stat()
    run = chain.again(tmp_path / "damaged", but=("quantize",))("quantize")
    assert run.read("quantize/graph.pb") == chain.read("quantize/graph.pb")
    assert json.loads((folder / "steps.json").read_text())["scale"] > 0
    assert records.stat() == before

    convert, compute = quantize.mixed.convert, quantize.compute
    monkeypatch.setattr(
        quantize.mixed, "convert", lambda *given, output_type, **more: convert(*given, **more)
    )
    monkeypatch.setattr(quantize, "compute", lambda *given, int8, **more: compute(*given, **more))
    run = chain.again(tmp_path / "floats", but=("quantize",))("quantize")
    assert run.read("quantize/graph.pb") == chain.read("quantize/graph.pb")


# ------------------------------------------------------------------ prune


def test_pruning_reaches_its_target_over_all_prunable_weights(chain):
    report, arrays = chain.json("prune/sparsity.json"), chain.arrays("prune/model.npz")
    names = [k.layer for k in prunable(chain.pipeline.prune, BLOCKS)] + [HEAD]
    assert [layer["name"] for layer in report["layers"]] == names
    assert any("depthwise" in name for name in names) and "Conv1" not in names
    zeros = size = 0
    for layer in report["layers"]:
        (kernel,) = (v for k, v in of_layers(arrays, {layer["name"]}).items() if "kernel" in k)
        assert layer["size"] == kernel.size
        assert layer["zeros"] == np.count_nonzero(kernel == 0)
        zeros, size = zeros + layer["zeros"], size + layer["size"]
    assert (report["zeros"], report["total"]) == (zeros, size)
    assert report["reached"] == zeros / size >= report["target"] == 0.3
    assert zeros == int(np.ceil(0.3 * size))


def test_each_layer_has_the_zeros_that_were_meant_for_it(chain, frozen):
    report = chain.json("prune/sparsity.json")["layers"]
    for layer in report:
        assert layer["zeros"] == layer["target"] <= 0.9 * layer["size"]
        assert layer["frozen"] == (layer["name"] in frozen)
        assert not (layer["frozen"] and layer["zeros"])
    pruned = {layer["name"] for layer in report if layer["zeros"]}
    assert {"block_16_depthwise", HEAD, "Conv_1"} <= pruned
    shares = [layer["zeros"] / layer["size"] for layer in report if not layer["frozen"]]
    assert max(shares) - min(shares) > 0.1  # LAMP: not the same everywhere


def test_pruning_leaves_what_is_frozen_and_batch_norm_alone(chain, frozen):
    before, after = chain.arrays("finetune/model.npz"), chain.arrays("prune/model.npz")
    assert before.keys() == after.keys()
    assert_same(of_layers(before, frozen), of_layers(after, frozen))
    norms = [key for key in before if key.split("/")[1] in NORM]
    assert len(norms) == 4 * 52
    assert_same({k: before[k] for k in norms}, {k: after[k] for k in norms})
    for key in before.keys() - norms - of_layers(before, frozen).keys():
        assert (before[key] != after[key]).any(), key


def test_the_pruned_network_is_a_file_that_answers_as_its_weights_do(chain):
    model = network.load(spec(chain), chain.arrays("prune/model.npz"))
    pixels, _ = pixels_of(chain, "val")
    wanted = tf.nn.softmax(model(tf.cast(np.stack(pixels), tf.float32), training=False)).numpy()
    np.testing.assert_allclose(predict(chain.read("prune/float.tflite"), pixels), wanted, atol=1e-3)
    made = float_pixels(model, tiny.SIZE, serve=tf.nn.softmax)
    assert chain.read("prune/float.tflite") == compact(made, scope=network.NAME)


def test_training_while_pruning_brings_the_loss_down(chain):
    for history in (
        chain.json("prune/history.json"),
        chain.json("quantize/quantize.json")["history"],
    ):
        assert [row["epoch"] for row in history] == [1, 2, 3, 4]
        assert history[-1]["loss"] < history[0]["loss"]


# ------------------------------------------------------------------ quantize


def test_qat_leaves_what_is_frozen_alone(chain, frozen, constants):
    arrays = of_layers(chain.arrays("prune/model.npz"), frozen)
    # The half step of the mean 127.5, which 8 bits don't have (network.whole_offset).
    arrays["bn_Conv1/moving_mean"] -= np.float32(0.5) * arrays["Conv1/kernel"].sum((0, 1, 2))
    for key, value in arrays.items():
        layer = key.split("/")[0]
        # 27 float32 products, summed in another order
        near = 1e-5 if key == "bn_Conv1/moving_mean" else 0
        assert any(
            value.shape == found.shape and np.allclose(value, found, rtol=0, atol=near)
            for found in constants[layer]
        ), key


def test_qat_trains_what_is_open_and_leaves_the_statistics_alone(chain, frozen, constants):
    arrays = chain.arrays("prune/model.npz")
    kernels = statistics = 0
    for key, value in arrays.items():
        layer, kind = key.split("/")
        if layer not in frozen and kind in ("moving_mean", "moving_variance"):
            assert any(np.array_equal(value, found) for found in constants[layer]), key
            statistics += 1
        elif layer not in frozen and "kernel" in kind:
            assert not any(np.array_equal(value, found) for found in constants[layer]), key
            kernels += 1
    assert statistics > 10 and kernels > 5


def test_zeros_are_where_they_were(chain, frozen, constants):
    arrays, checked = chain.arrays("prune/model.npz"), 0
    for layer in chain.json("prune/sparsity.json")["layers"]:
        (kernel,) = (v for k, v in of_layers(arrays, {layer["name"]}).items() if "kernel" in k)
        after = [v for v in constants[layer["name"]] if v.shape == kernel.shape]
        assert after and all((value[kernel == 0] == 0).all() for value in after), layer
        checked += layer["zeros"] > 0 and "depthwise" in layer["name"]
    assert checked >= 2


def test_calibration_saw_training_images_only(chain):
    facts = chain.json("quantize/quantize.json")
    index = Index.load(chain.files["data/index.json"])
    assert facts["recipe"] == "qat" and len(facts["representative"]) == 12
    assert {index.rows[row].split for row in facts["representative"]} == {"train"}


# ------------------------------------------------------------------ convert


def test_the_file_takes_raw_pixels_and_gives_bytes(chain):
    model, facts = chain.tflite(), chain.json("convert/model.json")
    (taken,), (given,) = model.inputs, model.outputs
    assert (taken.dtype, taken.shape) == ("uint8", (1, tiny.SIZE, tiny.SIZE, 3))
    assert taken.quantization.scales == pytest.approx((1.0,), abs=1e-6)
    assert taken.quantization.zero_points == (0,)
    assert (given.dtype, given.shape) == ("uint8", (1, 3))
    assert given.quantization.scales == (1 / 256,) and given.quantization.zero_points == (0,)
    assert facts["input"] == {"dtype": "uint8", "shape": [1, tiny.SIZE, tiny.SIZE, 3]}
    assert facts["output"] == {"dtype": "uint8", "shape": [1, 3]}


def test_no_tensor_is_float_or_of_open_shape(chain):
    model = chain.tflite()
    assert {tensor.dtype for tensor in model.tensors} <= {"uint8", "int8", "int32"}
    assert model.float_tensors() == [] and chain.json("convert/model.json")["float_tensors"] == 0
    assert not any(-1 in tensor.shape_signature for tensor in model.tensors)


def test_model_json_says_what_is_in_the_file(chain):
    content, facts = chain.read("convert/model.tflite"), chain.json("convert/model.json")
    assert facts["recipe"] == "qat"
    assert facts["bytes"] == len(content)
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    report = {layer["name"]: layer for layer in chain.json("prune/sparsity.json")["layers"]}
    zeros = 0
    for name, layer in report.items():  # counted without the stage
        kernel = kernel_of(chain, name)
        assert kernel.size == layer["size"] and kernel.zeros >= layer["zeros"]
        zeros += kernel.zeros
    assert facts["sparsity"] == zeros / sum(layer["size"] for layer in report.values()) >= 0.3
    assert len(facts["layers"]) == 53
    for layer in facts["layers"]:
        assert layer["prunable"] == (layer["name"] in report)


def test_every_depthwise_channel_has_a_scale(chain):
    model = chain.tflite()
    tensors = {tensor.name: tensor for tensor in model.tensors}
    depthwise = [tensors[k.tensor] for k in model.kernels() if k.op == "DEPTHWISE_CONV_2D"]
    assert len(depthwise) == 17
    for tensor in depthwise:
        assert tensor.quantization.axis == 3
        assert len(tensor.quantization.scales) == tensor.shape[3]
        assert len(set(tensor.quantization.scales)) > 1
        assert np.abs(tensor.values().astype(int)).max((0, 1, 2)).min() >= 126  # and fills it


def test_the_file_answers_as_the_net_that_was_trained(chain):
    pixels, labels = pixels_of(chain, "val")
    graph = tiny.computing(load_graph(chain.files["quantize/graph.pb"]))
    wanted = np.concatenate([graph(tf.cast(p[None], tf.float32)).numpy() for p in pixels])
    found = predict(chain.read("convert/model.tflite"), pixels)
    # Halves are rounded otherwise in each of 52 layers, and a random net forgives little: 0.11 and
    # 0.20 at most for two ways to train it, 0.03 on average.
    assert np.abs(found - wanted).max() < 0.3 and np.abs(found - wanted).mean() < 0.06
    assert (found.argmax(-1) == wanted.argmax(-1)).mean() > 0.9
    assert (found.argmax(-1) == labels).mean() >= 0.8


def test_the_shipped_file_is_measured(chain):
    metrics = chain.json("evaluate/metrics.json")
    pixels, labels = pixels_of(chain, "val")
    for name, file in (("float", "convert/float.tflite"), ("int8", "convert/model.tflite")):
        right = predict(chain.read(file), pixels).argmax(-1) == labels
        assert metrics[name]["top1"] == pytest.approx(right.mean())
    assert chain.read("convert/float.tflite") == chain.read("finetune/float.tflite")
    assert metrics["agreement"] >= 0.8


# ------------------------------------------------------------------ the same bytes


REPEATED = (
    "prune/model.npz",
    "prune/float.tflite",
    "prune/sparsity.json",
    "prune/history.json",
    "quantize/graph.pb",
    "quantize/quantize.json",
    "convert/model.tflite",
    "convert/model.json",
)


def test_converting_again_gives_the_same_bytes(chain, tmp_path):
    again = chain.again(tmp_path, but=("convert",))("convert")
    for file in REPEATED[-2:]:
        assert again.read(file) == chain.read(file)


def test_a_process_of_its_own_without_a_cache_gives_the_same_bytes(chain, tmp_path):
    """So do stages after others in one process, twice, or resumed after a kill."""
    before = chain.again(tmp_path / "before", but=("prune", "quantize", "convert", "evaluate"))
    stages = ("prune", "quantize", "convert")
    done = subprocess.run(
        [sys.executable, tiny.__file__, before.save(), tmp_path / "after", *stages],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for file in REPEATED:
        assert (tmp_path / "after" / file).read_bytes() == chain.read(file), file
    stores = [
        {p.name for p in (c / "store").iterdir()} for c in (tmp_path / "after/cache", chain.cache)
    ]
    assert stores[0] <= stores[1]  # parts go by the same names in every process
