"""Few values in each kernel, made on a small net, kept by 8-bit training, found in the .tflite."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny

from tfedge.catalog.backbones import layers
from tfedge.data.index import Index
from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.files.progress import NoProgress
from tfedge.modeling.compression.clustering import Clusterer, kmeans
from tfedge.modeling.compression.mixed import _NotInTraining
from tfedge.modeling.compression.quantize_clusters import ClusterPreserving
from tfedge.modeling.compression.quantize_layers import DepthwiseQuantizer
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.network import HEAD
from tfedge.modeling.training import classes, loop, schedules
from tfedge.pipeline.schema import Cluster, Training
from tfedge.pipeline.unfreeze import first_trained, prunable
from tfedge.stages.heads import head_of
from tfedge.tflite.model import Model
from tfedge.tflite.runtime import predict

BLOCKS = layers(tiny.NAME, tiny.ALPHA)
LATER = ("quantize", "convert", "evaluate")

# ------------------------------------------------------------------ k-means


def weights(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(3, 3, 8, 16)).astype(np.float32)


def nearest(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.abs(values.ravel()[:, None] - centroids).argmin(1)


def test_each_centroid_is_the_mean_of_what_is_nearest_to_it():
    values, start = weights(), np.array([0.5, -2.0, 3.0, 0.4, -0.1], np.float32)
    found = kmeans(values, start)
    assert (np.argsort(found) == np.argsort(start)).all()  # in the same order
    chosen = nearest(values, found)
    means = [values.ravel()[chosen == i].mean() for i in range(5)]
    np.testing.assert_allclose(found, means, atol=1e-5)  # sums of float32 in another order
    assert error(values, found) < 0.5 * error(values, start)


def error(values: np.ndarray, centroids: np.ndarray) -> float:
    return float(np.square(values.ravel() - centroids[nearest(values, centroids)]).mean())


def test_the_centroid_of_zeros_stays_and_one_that_nobody_is_near_to_stays():
    start = np.array([-1.0, 0.0, 1.0, 50.0], np.float32)
    found = kmeans(weights() + 0.1, start, fixed=1)
    assert found[1] == 0 and found[3] == 50 and found[0] != -1


def test_the_search_finds_what_comparing_all_finds():
    values, centroids = weights(), np.random.default_rng(2).normal(size=16).astype(np.float32)
    wrapper = Clusterer(net(), ["point"], Cluster(clusters=16))._wrappers[0]
    algorithm = wrapper.clustering_algorithms["kernel"]
    found = algorithm.get_pulling_indices(tf.constant(values), tf.constant(centroids))
    assert found.shape == values.shape and found.dtype == tf.int64
    np.testing.assert_array_equal(found.numpy().ravel(), nearest(values, centroids))


# ------------------------------------------------------------------ a small net


def net() -> keras.Model:
    fresh(1)
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="first")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depth")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(32, 1, name="point")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x))
    kernel = model.get_layer("first").kernel
    pruned = np.random.default_rng(1).random(kernel.shape) < 0.5
    kernel.assign(np.where(pruned, 0, kernel))
    return model


class Noise:
    """Three batches of four noisy images."""

    steps, size = 3, 4

    def epoch(self, number: int):
        rng = np.random.default_rng(number)
        for _ in range(self.steps):
            labels = classes.one_hot(rng.integers(0, 3, 4), 3)
            images = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
            yield images, (labels,), np.ones(4, np.float32)


def learn(model: keras.Model, settings: Training) -> None:
    loop.train(
        model,
        Noise(),
        settings,
        loss=classes.cross_entropy,
        steps=Noise.steps,
        learning_rate=0.01,
        what="cluster",
        progress=NoProgress(),
    )


@pytest.mark.parametrize("init", ["kmeans++", "linear", "density"])
def test_a_kernel_has_as_many_values_as_asked_for_and_its_zeros(init):
    model, settings = net(), Cluster(clusters=10, init=init)
    variable, zeros = model.get_layer("first").kernel, model.get_layer("first").kernel.numpy() == 0
    names = [weight.name for weight in model.weights]
    clusterer = Clusterer(model, ["first", "depth"], settings)
    assert clusterer.layers == ["first", "depth"]
    start = model.get_layer("norm").gamma.numpy()
    learn(clusterer.model, settings)
    clusterer.finish()
    first, depth = model.get_layer("first"), model.get_layer("depth")
    assert first.kernel is variable
    assert sorted(names) == sorted(weight.name for weight in model.weights)
    assert (
        3 <= len(np.unique(first.kernel)) <= 10
        and 3 <= len(np.unique(depth.depthwise_kernel)) <= 10
    )
    assert (first.kernel.numpy()[zeros] == 0).all()
    assert len(np.unique(model.get_layer("point").kernel)) == 8 * 32  # not asked for
    assert (model.get_layer("norm").gamma.numpy() != start).all()  # and all of it trains


def test_training_moves_the_values():
    found = []
    for rate in (0.0, 0.01):
        model = net()
        clusterer = Clusterer(model, ["point"], Cluster(clusters=4))
        if rate:
            learn(clusterer.model, Cluster())
        clusterer.finish()
        found.append(np.unique(model.get_layer("point").kernel))
    assert len(found[0]) == len(found[1]) == 4
    assert (found[0] != found[1]).all()


def test_a_kernel_that_is_not_larger_is_left_as_it_is():
    model = net()
    before = model.get_layer("depth").depthwise_kernel.numpy()
    clusterer = Clusterer(model, ["depth"], Cluster(clusters=72))
    clusterer.finish()
    assert clusterer.layers == []
    np.testing.assert_array_equal(model.get_layer("depth").depthwise_kernel.numpy(), before)


def test_a_kernel_with_fewer_weights_than_values_left_is_clustered_all_the_same():
    model = net()
    kernel = model.get_layer("point").kernel
    kernel.assign(np.where(np.arange(256).reshape(kernel.shape) < 5, kernel, 0))
    clusterer = Clusterer(model, ["point"], Cluster(clusters=16))
    clusterer.finish()
    assert np.count_nonzero(kernel) <= 5 and len(np.unique(kernel)) <= 6


def test_more_values_than_asked_for_stop_the_run(monkeypatch):
    clusterer = Clusterer(net(), ["point"], Cluster(clusters=16))
    clusterer._clusters = 4
    with pytest.raises(InvariantBroken, match="values in point: expected at most 4, got 16"):
        clusterer.finish()


# ------------------------------------------------------------------ 8-bit training


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_equal_weights_stay_equal_and_zeros_zero_whatever_the_optimizer(optimizer):
    decay = {"weight_decay": 0.1} if optimizer == "adamw" else {}
    rng = np.random.default_rng(3)
    cluster = rng.integers(0, 5, (3, 3, 8, 1))
    start = np.array([-0.4, -0.1, 0.0, 0.2, 0.5], np.float32)
    kernel = tf.Variable(start[cluster])
    rule = schedules.optimizer(Training(optimizer=optimizer, **decay), [kernel])
    quantizer = ClusterPreserving(DepthwiseQuantizer(), kernel.numpy())
    factors = rng.normal(size=(3, 3, 8, 1)).astype(np.float32)
    for step in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(quantizer.as_one(kernel) * factors)
        (gradient,) = tape.gradient(loss, [kernel])
        if step == 0:  # of a cluster: the sum over its weights
            sums = np.array([factors[cluster == i].sum() for i in range(5)]) * (start != 0)
            np.testing.assert_allclose(gradient, sums[cluster], rtol=1e-5)
        rule.apply_gradients([(gradient, kernel)])
    values = [np.unique(kernel.numpy()[cluster == i]) for i in range(5)]
    assert [len(value) for value in values] == [1] * 5
    moved = np.concatenate(values)
    assert moved[2] == 0 and (moved[start != 0] != start[start != 0]).all()


def test_all_channels_have_the_range_of_the_kernel():
    kernel = np.array([0.1, -0.4, 0.2, 0.3], np.float32).reshape(1, 1, 4, 1)
    quantizer = ClusterPreserving(DepthwiseQuantizer(), kernel)
    layer = keras.layers.Layer()
    variables = quantizer.build(kernel.shape, "kernel", layer)
    stored = quantizer(tf.Variable(kernel), True, variables).numpy()
    np.testing.assert_allclose(variables["max_var"], np.full(4, 0.4), rtol=1e-6)
    np.testing.assert_allclose(variables["min_var"], np.full(4, -0.4), rtol=1e-6)
    np.testing.assert_allclose(stored, kernel, atol=0.4 / 254 + 1e-6)  # half a step of 127
    np.testing.assert_array_equal(quantizer(tf.Variable(kernel), False, variables), stored)


def test_a_clustered_layer_that_is_kept_in_float_keeps_its_clusters():
    """``quantize.keep``: no rounding while it trains, and the same gradient for equal weights."""
    kernel = tf.Variable(np.array([0.1, 0.4, 0.1, 0.0], np.float32).reshape(1, 1, 4, 1))
    quantizer = _NotInTraining(ClusterPreserving(DepthwiseQuantizer(), kernel.numpy()))
    with tf.GradientTape() as tape:
        stored = quantizer(kernel, True, {})
        loss = tf.reduce_sum(stored * np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 4, 1))
    np.testing.assert_array_equal(stored, kernel)
    np.testing.assert_array_equal(tf.reshape(tape.gradient(loss, kernel), [-1]), [4, 2, 4, 0])


# ------------------------------------------------------------------ the chain


@pytest.fixture(scope="session")
def chain(tmp_path_factory) -> tiny.Run:
    return tiny.chain(tmp_path_factory.getbasetemp() / "chain")


@pytest.fixture(scope="module")
def run(chain, tmp_path_factory) -> tiny.Run:
    """Pruned, clustered, quantized (PCQAT)."""
    settings = {"epochs": 1, "batch_size": 8, "clusters": 12, "also": ("depthwise",)}
    folder = tmp_path_factory.mktemp("clustered")
    run = chain.again(folder, but=LATER, cluster=settings, quantize={"epochs": 1})
    return run("cluster", "quantize", "convert")


def rows(run: tiny.Run) -> dict[str, dict]:
    return {layer["name"]: layer for layer in run.json("cluster/clusters.json")["layers"]}


def kernels(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.split("/")[0]: value for key, value in arrays.items() if "kernel" in key}


def in_file(model: Model, layer: str) -> tuple[np.ndarray, int]:
    """A layer's kernel in the file, int8, and the axis of its output channels."""
    names = [k for k in model.kernels() if f"/{layer}/" in f"/{k.tensor}".replace("quant_", "")]
    (kernel,) = names
    tensor = next(tensor for tensor in model.tensors if tensor.name == kernel.tensor)
    return tensor.values(), 3 if kernel.op == "DEPTHWISE_CONV_2D" else 0


def test_what_trains_is_clustered_and_what_is_frozen_is_not_touched(run):
    before, after = run.arrays("prune/model.npz"), run.arrays("cluster/model.npz")
    found, report = kernels(after), rows(run)
    names = [kernel.layer for kernel in prunable(run.pipeline.cluster, BLOCKS)]
    assert list(report) == names
    open_ = {k.layer for b in BLOCKS[first_trained(run.pipeline, "cluster") :] for k in b.kernels}
    clustered = {name for name, layer in report.items() if not layer["frozen"]}
    assert clustered == open_ and len(clustered) > 5
    for name, layer in report.items():
        assert layer["distinct"] == len(np.unique(found[name]))
        assert layer["zeros"] == np.count_nonzero(found[name] == 0)
        assert layer["distinct"] <= 12 or layer["frozen"]
    below = {layer for layer in kernels(before) if layer not in open_} - {HEAD}
    for key, value in before.items():
        if key.split("/")[0].removesuffix("_BN") in below or "bn_Conv1" in key:
            assert value.tobytes() == after[key].tobytes(), key


def test_every_zero_of_pruning_is_still_there_also_where_nothing_was_clustered(run):
    before, after = (kernels(run.arrays(f"{stage}/model.npz")) for stage in ("prune", "cluster"))
    assert np.count_nonzero(before[HEAD] == 0) > 100 and HEAD not in rows(run)
    for name, kernel in before.items():
        assert (after[name][kernel == 0] == 0).all(), name


def test_the_file_has_no_more_values_than_asked_for(run):
    """In the kernel as a whole: all channels have one range, and batch norm's factors, positive in
    this net, are in the scales."""
    model, before = run.tflite(), kernels(run.arrays("cluster/model.npz"))
    described = {layer["name"]: layer for layer in run.json("convert/model.json")["layers"]}
    for name, layer in rows(run).items():
        values, channels = in_file(model, name)
        found = described[name]
        each = [len(np.unique(c)) for c in np.moveaxis(values, channels, 0)]
        assert (found["distinct"], found["distinct_channel"]) == (len(np.unique(values)), max(each))
        assert layer["frozen"] or found["distinct"] <= layer["distinct"] <= 12
        assert found["zeros"] >= np.count_nonzero(before[name] == 0)


def test_the_file_has_the_zeros_of_pruning_and_still_answers(run, chain):
    facts = run.json("convert/model.json")
    assert facts["sparsity"] >= chain.json("prune/sparsity.json")["reached"] >= 0.3
    assert facts["float_tensors"] == 0
    # The same bytes, but fewer of them once deflated.
    assert facts["bytes"] <= chain.json("convert/model.json")["bytes"] * 1.01
    assert facts["deflated"] < 0.85 * chain.json("convert/model.json")["deflated"]
    index = Index.load(run.files["data/index.json"])
    val = index.rows_of("val")
    pixels = head_of(run.context("cluster")).samples.source.images.pixels(val)
    said = predict(run.read("convert/model.tflite"), pixels)
    assert (said.argmax(-1) == index.labels_of(val)).mean() >= 0.8


def test_the_same_bytes_again(run, chain, tmp_path):
    again = run.again(tmp_path, but=("cluster", *LATER))("cluster", "quantize", "convert")
    files = ("cluster/model.npz", "cluster/float.tflite", "cluster/clusters.json")
    for file in (*files, "quantize/graph.pb"):
        assert again.read(file) == run.read(file), file
    assert again.read("convert/model.tflite") == run.read("convert/model.tflite")


def test_without_a_quantize_section_the_clustered_float_file_ships(run, tmp_path):
    plain = run.again(tmp_path, but=LATER, quantize=None)("convert")
    assert plain.read("convert/model.tflite") == run.read("cluster/float.tflite")
    assert plain.read("convert/model.tflite") != run.read("prune/float.tflite")


def test_calibration_alone_keeps_the_values_of_each_channel(run, tmp_path):
    quantize = {"recipe": "ptq", "representative": 6}
    ptq = run.again(tmp_path, but=LATER, quantize=quantize)("quantize", "convert")
    model, before = ptq.tflite(), kernels(run.arrays("cluster/model.npz"))
    for name, layer in rows(run).items():
        values, channels = in_file(model, name)
        each = [len(np.unique(channel)) for channel in np.moveaxis(values, channels, 0)]
        assert layer["frozen"] or max(each) <= 12
        assert np.count_nonzero(values == 0) >= np.count_nonzero(before[name] == 0)


def test_a_file_with_more_values_than_clustering_left_is_not_shipped(run, tmp_path):
    report = run.json("cluster/clusters.json")
    next(layer for layer in report["layers"] if layer["name"] == "Conv_1")["distinct"] = 3
    again = run.again(tmp_path, but=("convert",))
    again.files["cluster/clusters.json"] = tmp_path / "clusters.json"
    again.files["cluster/clusters.json"].write_text(json.dumps(report))
    what = r"distinct values of Conv_1 in the .tflite: expected at most 3 in each channel, got \d+"
    with pytest.raises(InvariantBroken, match=what):
        again("convert")
    assert not (tmp_path / "convert" / "model.json").exists()


def test_kernels_that_do_not_train_can_not_be_clustered(run, tmp_path):
    settings = {"layers": ("block_1_expand",), "also": ()}
    again = run.again(tmp_path, but=("cluster", *LATER), cluster=settings)
    with pytest.raises(UnsupportedModel, match="cluster finds no kernel that trains: block_1_expa"):
        again("cluster")
    assert list((tmp_path / "cluster").iterdir()) == []
