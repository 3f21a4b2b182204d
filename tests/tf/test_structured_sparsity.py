"""Zeros in groups and blocks, from the mask to the int8 file; and the file for XNNPACK."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny

from tfedge.catalog.backbones import layers
from tfedge.core import outputs
from tfedge.errors import InvariantBroken
from tfedge.modeling.compression import structure
from tfedge.modeling.compression.allocation import allocate
from tfedge.modeling.compression.damage import scan
from tfedge.modeling.compression.sparsity import Pruner
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import float_pixels
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import Spec
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.unfreeze import MAX_SHARE, prunable
from tfedge.stages import convert
from tfedge.tflite.compact import compact
from tfedge.tflite.model import Model
from tfedge.tflite.runtime import predict
from tfedge.tflite.xnnpack import is_sparse, obstacles

TWO_FOUR = Prune(sparsity_m_by_n=(2, 4))
BLOCKS = Prune(block_size=(2, 4), pruning_schedule="constant", sparsity=0.5)


def net() -> keras.Model:
    fresh(1)
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, name="wide")(x)
    x = keras.layers.Conv2D(16, 1, name="point")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


def kernels(model: keras.Model, *names: str) -> dict[str, np.ndarray]:
    return {name: model.get_layer(name).kernel.numpy() for name in names}


def pruned(model: keras.Model, settings: Prune, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """The kernels after one step that makes the masks."""
    pruner = Pruner(model, counts, settings, 1)
    pruner.before_step(0)
    pruner.model(np.ones((1, 8, 8, 3), np.float32), training=True)
    pruner.finish()
    return kernels(model, *counts)


@pytest.mark.parametrize("alike", [False, True])
def test_of_each_four_input_channels_the_two_smallest_go(alike):
    model = net()
    if alike:  # of equal weights two go all the same
        for layer in ("wide", "point", "head"):
            kernel = model.get_layer(layer).kernel
            kernel.assign(np.full(kernel.shape, -0.5, np.float32))
    before = kernels(model, "wide", "point", "head")
    counts = allocate(TWO_FOUR, before, 0, 0.9)
    assert counts == {"wide": 54, "point": 32, "head": 24}
    after = pruned(model, TWO_FOUR, counts)
    for name, kernel in after.items():
        window = kernel.reshape(-1, *kernel.shape[-2:])
        size = np.abs(before[name].reshape(window.shape))
        for at, group, output in np.ndindex(
            len(window), -(-window.shape[1] // 4), kernel.shape[-1]
        ):
            held = window[at, 4 * group : 4 * group + 4, output]
            had = size[at, 4 * group : 4 * group + 4, output]
            assert np.count_nonzero(held) == min(2, len(held))
            assert had[held != 0].min() >= had[held == 0].max(initial=0)


@pytest.mark.parametrize("pooling", ["AVG", "MAX"])
def test_whole_blocks_go_the_smallest_first(pooling):
    model = net()
    settings = BLOCKS.model_copy(update={"block_pooling_type": pooling})
    before = kernels(model, "point")["point"][0, 0]
    counts = allocate(settings, {"point": before[None, None]}, 41, 0.9)
    assert counts == {"point": 48}  # six whole blocks of eight
    after = pruned(model, settings, counts)["point"][0, 0]
    sizes, gone = {}, set()
    for row, column in np.ndindex(3, 4):
        block = np.s_[2 * row : 2 * row + 2, 4 * column : 4 * column + 4]
        sizes[row, column] = getattr(
            np.abs(before[block]), {"AVG": "mean", "MAX": "max"}[pooling]
        )()
        assert np.count_nonzero(after[block]) in (0, 8)
        gone |= {(row, column)} if not after[block].any() else set()
    assert gone == set(sorted(sizes, key=sizes.__getitem__)[:6])


@pytest.mark.parametrize("allocation", ["uniform", "global", "sensitivity"])
def test_blocks_are_shared_out_by_every_rule(allocation):
    rng = np.random.default_rng(1)
    given = {name: rng.normal(size=(1, 1, 8, 16)) * by for name, by in (("a", 1), ("b", 3))}
    settings = BLOCKS.model_copy(update={"allocation": allocation})
    counts = allocate(settings, given, 128, 0.9, lambda name, share: share * (name == "a"))
    assert sum(counts.values()) == 128 and not any(count % 8 for count in counts.values())
    a, b = counts["a"], counts["b"]
    assert {"uniform": a == b, "global": a > 2 * b, "sensitivity": b == 14 * 8}[allocation]


def test_the_scan_takes_whole_blocks_where_pruning_will():
    kernel = np.random.default_rng(1).normal(size=(1, 1, 6, 16)).astype(np.float32)
    gone = structure.thinned(kernel, BLOCKS, 0.5) == 0
    sizes = structure.pooled(kernel, BLOCKS)
    whole = structure.cells(gone, BLOCKS.block_size).all((1, 3))
    assert gone.sum() == 8 * whole.sum() == 48
    assert sizes[whole].max() < sizes[~whole].min()
    loose = structure.thinned(kernel, Prune(), 0.5)
    assert np.abs(kernel[loose == 0]).max() < np.abs(kernel[loose != 0]).min()
    assert (loose == 0).sum() == 48 and np.array_equal(loose[loose != 0], kernel[loose != 0])

    fresh(1)
    inputs = keras.Input((1, 1, 6))
    layer = keras.layers.Conv2D(16, 1, use_bias=False, name="point")
    model = keras.Model(inputs, keras.layers.Flatten(name="pool")(layer(inputs)))
    layer.kernel.assign(kernel)
    pixels = np.random.default_rng(2).normal(size=(9, 1, 1, 6)).astype(np.float32)
    want = pixels.reshape(9, 6) @ kernel[0, 0]
    moved = want - pixels.reshape(9, 6) @ structure.thinned(kernel, BLOCKS, 0.5)[0, 0]
    damage = scan(model, "pool", pixels, BLOCKS)("point", 0.5)
    assert damage == pytest.approx(np.square(moved).mean() / np.square(want).mean(), rel=1e-4)


def test_what_lacks_the_structure_stops_the_run():
    kernel = np.ones((1, 1, 8, 4), np.float32)
    kernel[0, 0, ::2] = 0
    structure.check_zeros("now", {"a": kernel}, TWO_FOUR, {"a": 16})
    kernel[0, 0, :2, 1] = kernel[0, 0, 1::-1, 1]  # the same in another place of its group
    structure.check_zeros("now", {"a": kernel}, TWO_FOUR, {"a": 16})
    kernel[0, 0, [0, 4], 3] = [0, 1]
    with pytest.raises(InvariantBroken, match=r"a now: expected 2:4 zeros, got 1 groups without"):
        structure.check_zeros("now", {"a": kernel}, TWO_FOUR, {"a": 16})
    kernel[:] = 1
    kernel[0, 0, :2] = 0
    structure.check_zeros("now", {"a": kernel}, BLOCKS, {"a": 8})
    with pytest.raises(InvariantBroken, match="expected blocks of 2×4 zeros, got 1 blocks without"):
        structure.check_zeros("now", {"a": kernel}, BLOCKS, {"a": 16})


# -------------------------------------------------------------------- the stages, and their files


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> tiny.Run:
    """33 pixels a side: 32k+1, where the net pads evenly."""
    settings = {"epochs": 1, "batch_size": 26, "unfreeze": "block_16"}
    run = tiny.begin(
        tmp_path_factory.mktemp("structured"),
        data={"image_size": 33},
        finetune={"head": "sgd", "epochs": 2, "batch_size": 8, "learning_rate": 0.01},
        prune=settings,
        quantize=settings | {"representative": 8},
        evaluate={"robustness": 0},
    )
    return run("finetune")


def stored(model: Model, name: str) -> np.ndarray:
    """The kernel of a file, int8 [outputs, inputs]."""
    (kernel,) = [k for k in model.kernels() if f"{name}/" in k.tensor]
    (tensor,) = [t for t in model.tensors if t.name == kernel.tensor and t.is_const]
    values = tensor.values()
    return values.reshape(len(values), -1)


def test_groups_survive_8_bit_training(base, tmp_path):
    groups = {"sparsity_m_by_n": (2, 4), "also": ("head",)}
    run = base.again(tmp_path, prune=groups)("prune", "quantize", "convert")
    report = run.json("prune/sparsity.json")
    trained = [row for row in report["layers"] if not row["frozen"]]
    assert {row["name"] for row in trained} >= {"block_16_expand", "Conv_1", "logits"}
    model = run.tflite()
    for row in trained:
        kernel = stored(model, row["name"])
        assert ((kernel.reshape(len(kernel), -1, 4) == 0).sum(2) >= 2).all(), row["name"]
        assert row["zeros"] >= row["size"] / 2
    assert report["structure"]["sparsity_m_by_n"] == [2, 4]
    assert report["reached"] == pytest.approx(sum(r["zeros"] for r in trained) / report["total"])


def test_blocks_are_in_the_file_and_are_looked_for(base, tmp_path):
    blocks = {"block_size": (2, 4), "sparsity": 0.2, "also": ("head",)}
    run = base.again(tmp_path / "run", prune=blocks, quantize={"recipe": "ptq"})
    run("prune", "quantize", "convert")
    model, zeros = run.tflite(), 0
    for row in run.json("prune/sparsity.json")["layers"]:
        if row["name"] == "logits":  # three classes are no multiple of four
            assert (row["target"], row["zeros"], row["frozen"]) == (0, 0, False)
        elif not row["frozen"]:
            kernel = stored(model, row["name"]).T  # [inputs, outputs]
            cells = kernel.reshape(len(kernel) // 2, 2, -1, 4)
            whole = int((~cells.any((1, 3))).sum())
            assert 8 * whole >= row["target"]
            zeros += row["target"]
    assert zeros >= 0.2 * run.json("prune/sparsity.json")["total"]

    arrays = run.arrays("prune/model.npz")
    kernel = arrays["Conv_1/kernel"]
    zero, other = np.argwhere(kernel == 0)[0], np.argwhere(kernel != 0)[0]
    kernel[(*zero,)], kernel[(*other,)] = kernel[(*other,)], 0  # as many zeros, one block less
    moved = run.again(tmp_path / "moved", quantize=None, but=("quantize", "convert"))
    moved.files |= pruned_files(run, tmp_path / "by hand", arrays)
    with pytest.raises(InvariantBroken, match=r"Conv_1 in the \.tflite: expected blocks of 2×4"):
        moved("convert")


def pruned_files(run: tiny.Run, folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Path]:
    """What prune writes of a network with these weights."""
    folder.mkdir(exist_ok=True)
    network.save_weights(folder / "model.npz", arrays)
    base = outputs.read(run.files["backbone/base.json"], ImageBase)
    spec = Spec.of(base, len(tiny.CLASSES))
    content = float_pixels(network.load(spec, arrays), spec.size, serve=tf.nn.softmax)
    (folder / "float.tflite").write_bytes(compact(content, scope=network.NAME))
    return {f"prune/{name}": folder / name for name in ("model.npz", "float.tflite")}


@pytest.fixture(scope="module")
def sparse(base, tmp_path_factory) -> tiny.Run:
    """Pruned by hand, all 34 kernels to 80 %: training them all takes a minute."""
    folder = tmp_path_factory.mktemp("xnnpack")
    run = base.again(folder / "run", prune={"recipe": "xnnpack", "sparsity": 0.8}, quantize=None)
    settings, arrays, rows = run.pipeline.prune, base.arrays("finetune/model.npz"), []
    for kernel in prunable(settings, layers(tiny.NAME, tiny.ALPHA)):
        values = arrays[f"{kernel.layer}/kernel"]
        gone, power = math.ceil(0.8 * values.size), np.square(values).sum()
        values.ravel()[np.argsort(np.abs(values), axis=None)[:gone]] = 0
        values *= np.sqrt(power / np.square(values).sum())  # or nothing would come through
        counts = {"size": values.size, "zeros": gone, "target": gone}
        rows.append({"name": kernel.layer, **counts, "frozen": False})
    total, zeros = (sum(row[key] for row in rows) for key in ("size", "zeros"))
    report = {"target": 0.8, "reached": zeros / total, "total": total, "zeros": zeros}
    text = json.dumps({**report, "recipe": "xnnpack", "layers": rows})
    (folder / "sparsity.json").write_text(text)
    run.files |= pruned_files(base, folder, arrays)
    run.files["prune/sparsity.json"] = folder / "sparsity.json"
    return run("convert", "evaluate")


@pytest.mark.parametrize("rule", ["lamp", "global", "sensitivity"])
def test_no_1x1_kernel_gets_less_than_xnnpack_asks_for(rule):
    rng = np.random.default_rng(1)
    given = {f"k{i}": rng.normal(size=(1, 1, 8, 10 + i)) ** (1 + 2 * i) * 4**i for i in range(4)}
    total = sum(kernel.size for kernel in given.values())

    def damage(name, share):
        return share**2 * 4.0 ** int(name[1:])

    for wanted in (0.7, 0.75, 0.85):
        settings = Prune(recipe="xnnpack", sparsity=wanted, allocation=rule)
        counts = allocate(settings, given, math.ceil(wanted * total), MAX_SHARE, damage)
        assert min(counts[n] / k.size for n, k in given.items()) >= 0.7
        assert wanted * total <= sum(counts.values()) <= wanted * total + 2 * len(given)
    free = Prune(sparsity=0.75, allocation=rule)
    free = allocate(free, given, math.ceil(0.75 * total), MAX_SHARE, damage)
    assert min(free[n] / k.size for n, k in given.items()) < 0.7  # or this would show nothing


def constants(model: Model) -> list[np.ndarray]:
    """The kernels of a file in order, written out."""
    named = {tensor.name: tensor for tensor in model.tensors if tensor.is_const}
    return [named[kernel.tensor].whole() for kernel in model.kernels()]


def test_the_file_is_one_that_xnnpack_runs_sparse(sparse):
    model = sparse.tflite()
    assert is_sparse(model) and obstacles(model) == []
    points = [k for k in model.kernels() if k.op == "CONV_2D" and k.shape[1:3] == (1, 1)]
    assert len(points) == 34 and min(k.zeros / k.size for k in points) >= 0.8
    others = [k for k in model.kernels() if k not in points]
    assert {k.op for k in others} == {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert len(sparse.read("convert/model.tflite")) < 0.5 * len(sparse.read("convert/float.tflite"))
    assert sparse.json("convert/model.json")["recipe"] == "float"
    assert sparse.json("evaluate/metrics.json")["shipped"] == "float"


def test_the_sparse_file_computes_what_the_dense_one_does(sparse, tmp_path):
    plain = json.loads(sparse.read("prune/sparsity.json"))
    assert plain.pop("recipe") == "xnnpack"
    (tmp_path / "sparsity.json").write_text(json.dumps(plain))
    dense = sparse.again(tmp_path / "dense", but=("convert", "evaluate"))
    dense.files["prune/sparsity.json"] = tmp_path / "sparsity.json"
    dense("convert")
    assert not is_sparse(dense.tflite())
    pixels = np.stack([tiny.image(i % 3, i, 33) for i in range(6)])
    one, other = (predict(run.files["convert/model.tflite"], pixels) for run in (sparse, dense))
    # XNNPACK's sparse kernels, on a machine that has them, add in another order: logits of some
    # tens differ by float32's rounding, scores by as much of themselves.
    np.testing.assert_allclose(one, other, rtol=1e-3)
    assert (np.ptp(one, axis=0) / one.mean(0)).max() > 0.03  # it tells the images apart
    pairs = zip(constants(sparse.tflite()), constants(dense.tflite()), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_what_xnnpack_would_run_dense_stops_the_run_and_the_same_bytes_come_again(
    sparse, monkeypatch, tmp_path
):
    real, seen = convert.xnnpack.with_explicit_padding, []
    monkeypatch.setattr(
        convert.xnnpack, "with_explicit_padding", lambda content: seen.append(content) or content
    )
    run = sparse.again(tmp_path, but=("convert", "evaluate"))
    with pytest.raises(
        InvariantBroken, match="sparse kernels: expected no obstacle, got 2 CONV_2D"
    ):
        run("convert")
    assert real(seen[0]) == sparse.read("convert/model.tflite")
