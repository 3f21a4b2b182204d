"""A text encoder: what a BERT computes, its 8-bit file, and its frozen features."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.torch_files import tensor, torch_names, zipped
from tfedge.catalog.encoders import ENCODERS, Encoder
from tfedge.core.outputs import Pretrained
from tfedge.data.index import Index, Row
from tfedge.errors import ArtifactError, InvariantBroken
from tfedge.files.progress import NoProgress
from tfedge.inputs.text.texts import EncodedTexts, Encoding
from tfedge.modeling import invariants
from tfedge.modeling.compression import clipping, outliers, quantization
from tfedge.modeling.compression.mixed import convert
from tfedge.modeling.compression.sensitivity import Mixtures
from tfedge.modeling.compression.units import Graph
from tfedge.modeling.nets import encoder
from tfedge.modeling.nets.backbone import assign, weights_of
from tfedge.modeling.nets.divided import Divisions
from tfedge.modeling.nets.encoder import EncoderSpec
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import float_part, frozen, to_tflite
from tfedge.modeling.nets.network import HEAD, POOL, cut
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.transformer import CHOSEN, NORM
from tfedge.modeling.nets.weights.encoder import converted, tensors
from tfedge.modeling.nets.weights.encoder_files import Files, from_folder
from tfedge.modeling.texts import TextHead
from tfedge.modeling.training.texts import TextSource
from tfedge.tasks.text_classification.work import TextClassification
from tfedge.tflite.compact import compact
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import BuiltinLiteRT, LiteRT, predict

HIDDEN, HEADS, INNER, PIECES, LENGTH, CLASSES = 16, 2, 32, 40, 40, 3
ROW = dataclasses.replace(
    ENCODERS["minilm-l6"],
    layers=2,
    hidden=HIDDEN,
    heads=HEADS,
    inner=INNER,
    vocabulary=PIECES,
    embedding=HIDDEN,
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def random_tensors(row: Encoder = ROW, seed: int = 1) -> dict[str, np.ndarray]:
    """As Hugging Face's BertModel names and shapes them (kernels [outputs, inputs])."""
    rng = np.random.default_rng(seed)
    found: dict[str, np.ndarray] = {}
    wide = row.embedding

    def dense(name: str, outputs: int, inputs: int) -> None:
        found[f"{name}.weight"] = rng.normal(0, inputs**-0.5, (outputs, inputs))
        found[f"{name}.bias"] = rng.normal(0, 0.1, outputs)

    def norm(name: str, size: int = row.hidden) -> None:
        found[f"{name}.weight"] = rng.uniform(0.5, 1.5, size)
        found[f"{name}.bias"] = rng.normal(0, 0.2, size)

    for name, count in (("word", row.vocabulary), ("position", 64), ("token_type", 2)):
        found[f"embeddings.{name}_embeddings.weight"] = rng.normal(0, 0.5, (count, wide))
    norm("embeddings.LayerNorm", wide)
    if wide != row.hidden:
        dense("embeddings_project", row.hidden, wide)
    for number in range(row.layers):
        layer = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            dense(f"{layer}.attention.{part}", row.hidden, row.hidden)
        norm(f"{layer}.attention.output.LayerNorm")
        dense(f"{layer}.intermediate.dense", row.inner, row.hidden)
        dense(f"{layer}.output.dense", row.hidden, row.inner)
        norm(f"{layer}.output.LayerNorm")
    return {name: value.astype(np.float32) for name, value in found.items()}


def bert(given: dict[str, np.ndarray], ids: np.ndarray, mask: np.ndarray, depth: int) -> np.ndarray:
    """The last hidden state [S, hidden] of one text, as transformers' BertModel computes it, in
    float64 from its paper (Devlin et al. 2019) and its names."""
    from math import erf

    p = {name: value.astype(np.float64) for name, value in given.items()}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + ROW.epsilon)
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = p["embeddings.word_embeddings.weight"][ids]
    x = x + p["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + p["embeddings.token_type_embeddings.weight"][0])
    x = dense("embeddings_project", x) if "embeddings_project.weight" in p else x
    size = HIDDEN // HEADS
    for number in range(depth):
        layer = f"encoder.layer.{number}"
        q, k, v = (dense(f"{layer}.attention.self.{n}", x) for n in ("query", "key", "value"))
        parts = []
        for head in range(HEADS):
            at = slice(head * size, (head + 1) * size)
            scores = q[:, at] @ k[:, at].T / np.sqrt(size) + np.where(mask, 0, -1e4)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            parts.append(shares / shares.sum(-1, keepdims=True) @ v[:, at])
        attended = dense(f"{layer}.attention.output.dense", np.concatenate(parts, -1))
        x = norm(f"{layer}.attention.output.LayerNorm", attended + x)
        inner = dense(f"{layer}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + np.vectorize(erf)(inner / np.sqrt(2)))
        x = norm(f"{layer}.output.LayerNorm", dense(f"{layer}.output.dense", inner) + x)
    return x


def texts(count: int, seed: int = 0) -> np.ndarray:
    """int32 [count, 2, LENGTH], of every length, marks and all."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 2, LENGTH), np.int32)
    for number in range(count):
        size = 3 + number % (LENGTH - 2)
        found[number, 0, :size] = [2, *rng.integers(4, PIECES, size - 2), 3]
        found[number, 1, :size] = 1
    return found


def base_of(depth: int = 2, pooling: str = "mean", row: Encoder = ROW) -> EncoderBase:
    weights = Pretrained(source="none", detail="", sha256="", licence="")
    return EncoderBase(
        name="minilm-l6",
        weights=weights,
        depth=depth,
        hidden=HIDDEN,
        embedding=row.embedding,
        heads=HEADS,
        inner=INNER,
        pieces=PIECES,
        epsilon=ROW.epsilon,
        length=LENGTH,
        pooling=pooling,
    )


def built(depth: int = 2, pooling: str = "mean", row: Encoder = ROW, tensors=None):
    """The network with random weights, head and all."""
    fresh(1)
    model = encoder.build(EncoderSpec(base_of(depth, pooling, row), CLASSES))
    given = random_tensors(row) if tensors is None else tensors
    assign(model, converted(given, row, depth, LENGTH), skip=(HEAD,))
    head = model.get_layer(HEAD)
    head.kernel.assign(np.random.default_rng(5).normal(0, 1.0, head.kernel.shape))
    return model


def graph(model):
    specs = [tf.TensorSpec((1, LENGTH), tf.int32, name) for name in ("ids", "mask")]
    return frozen(
        lambda ids, mask: tf.nn.softmax(model(tf.stack([ids, mask], 1), training=False)), *specs
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


# ------------------------------------------------------------------ float


@pytest.mark.parametrize(
    ("depth", "pooling", "embedding"),
    [(2, "mean", HIDDEN), (1, "mean", HIDDEN), (2, "cls", HIDDEN), (2, "mean", 8)],
)
def test_features_are_those_of_bert(depth: int, pooling: str, embedding: int) -> None:
    row = dataclasses.replace(ROW, embedding=embedding)
    model, given = built(depth, pooling, row), random_tensors(row)
    part = keras.Model(model.input, model.get_layer(POOL).output)
    shown = texts(12)
    found = part(shown).numpy()
    for text, features in zip(shown, found, strict=True):
        count = text[1].sum()
        last = bert(given, text[0], text[1].astype(bool), depth)
        wanted = last[0] if pooling == "cls" else last[:count].mean(0)
        # float32 against float64, and padding's share of attention: e^-16 for each piece
        np.testing.assert_allclose(features, wanted, atol=1e-5)


def test_the_float_file_says_what_the_network_says() -> None:
    model, shown = built(), texts(20)
    content = compact(to_tflite(graph(model)), scope="tfedge")
    np.testing.assert_allclose(predict(content, shown), softmax(model(shown).numpy()), atol=1e-5)


def test_inputs_are_told_apart_by_name_and_not_by_their_place() -> None:
    """A file of a converter that gives them in the other order answers the same."""
    model, shown = built(), texts(20)
    specs = [tf.TensorSpec((1, LENGTH), tf.int32, name) for name in ("mask", "ids")]
    turned = frozen(
        lambda mask, ids: tf.nn.softmax(model(tf.stack([ids, mask], 1), training=False)), *specs
    )
    content = to_tflite(turned)
    assert "mask" in read(content).inputs[0].name
    np.testing.assert_allclose(predict(content, shown), predict(to_tflite(graph(model)), shown))


DISTILBERT = {
    "embeddings.": "distilbert.embeddings.",
    "encoder.layer.": "distilbert.transformer.layer.",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}


def as_distilbert(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same under DistilBERT's names, without segments."""
    found = {}
    for name, value in given.items():
        for theirs, ours in DISTILBERT.items():
            name = name.replace(theirs, ours, 1)
        found[name] = value
    return {name: value for name, value in found.items() if "token_type" not in name}


def test_a_distilbert_is_a_bert_by_other_names() -> None:
    given = random_tensors()
    given["embeddings.token_type_embeddings.weight"][:] = 0  # it has none
    row = dataclasses.replace(ROW, style="distilbert")
    model, plain = built(row=row, tensors=as_distilbert(given)), built(tensors=given)
    np.testing.assert_array_equal(model(texts(9)).numpy(), plain(texts(9)).numpy())


def test_a_tensor_that_is_not_there_is_named() -> None:
    given = random_tensors()
    del given["encoder.layer.1.output.dense.bias"]
    with pytest.raises(ArtifactError, match=r"holds no encoder.layer.1.output.dense.bias"):
        converted(given, ROW, 2, LENGTH)
    converted(given, ROW, 1, LENGTH)  # nobody asks for it


def test_norms_as_tensorflow_calls_them_are_read() -> None:
    given = random_tensors()
    renamed = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    old = {}
    for name, value in given.items():
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        old[name] = value
    found, plain = (converted(one, ROW, 2, LENGTH) for one in (old, given))
    assert all((found[name] == plain[name]).all() for name in plain)


def torch_file(state: dict[str, Any]) -> bytes:
    with torch_names():
        return zipped(state)


def test_weights_of_a_pickle_are_those_of_safetensors(tmp_path: Path) -> None:
    """``pytorch_model.bin``; the other is taken where both are there."""
    given = random_tensors()
    (tmp_path / "pytorch_model.bin").write_bytes(
        torch_file({name: tensor(value) for name, value in given.items()})
    )
    found = tensors(from_folder(ROW, tmp_path))
    assert set(found) == set(given)
    for name, value in given.items():
        np.testing.assert_array_equal(found[name], value)
    (tmp_path / "model.safetensors").write_bytes(
        save({"other": given["embeddings.LayerNorm.bias"]})
    )
    assert set(tensors(from_folder(ROW, tmp_path))) == {"other"}


def test_code_in_a_pickle_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    evil = type("Evil", (), {"__reduce__": lambda _: (os.system, (f"touch {trace}",))})()
    (tmp_path / "pytorch_model.bin").write_bytes(torch_file({"x": evil}))
    with pytest.raises(
        ArtifactError, match=r"no code of it was run: it asks for \w+.system"
    ) as said:
        tensors(from_folder(ROW, tmp_path))
    assert "saved as model.safetensors" in said.value.hint and not trace.exists()


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    content = {"vocab.txt": "\n".join(SPECIAL).encode(), "model.safetensors": b"\x01" * 20}
    files = Files(ROW, content.__getitem__)
    with pytest.raises(ArtifactError, match="of another encoder"):
        files.vocabulary()
    with pytest.raises(ArtifactError, match="no weights"):
        tensors(files)
    content["model.safetensors"] = save(random_tensors())
    assert set(tensors(files)) == set(random_tensors())
    content["vocab.txt"] = b"[PAD]\n[CLS]"
    with pytest.raises(ArtifactError, match=r"lacks \[UNK\], \[SEP\]"):
        files.vocabulary()


# ------------------------------------------------------------------ 8 bits


@pytest.fixture(scope="module")
def int8() -> tuple[bytes, np.ndarray]:
    """The file, and the float network's answers to ``texts(60, 9)``."""
    model = built()
    wanted = softmax(model(texts(60, 9)).numpy())
    done = clipping.calibrate(
        model, texts(64, 2), texts(32, 3), work=TextClassification(), served=softmax
    )
    content = convert(graph(done.wrapped), {}, output_type=tf.uint8)
    return compact(content, scope="tfedge", prefix=quantization.PREFIX), wanted


def test_all_of_the_file_is_int8(int8: tuple[bytes, np.ndarray]) -> None:
    model = read(int8[0])
    assert model.float_tensors() == []
    TextHead.check_input(model)
    assert [(port.dtype, port.shape) for port in model.outputs] == [("uint8", (1, CLASSES))]


def test_it_answers_as_the_float_network(int8: tuple[bytes, np.ndarray]) -> None:
    content, wanted = int8
    got = predict(content, texts(60, 9))
    # A random net's answers lie close together; 8 bits in some sixty tensors behind each other.
    assert np.abs(got - wanted).mean() < 0.03
    assert (got.argmax(1) == wanted.argmax(1)).mean() > 0.9


def test_other_kernels_answer_alike(int8: tuple[bytes, np.ndarray]) -> None:
    content, shown = int8[0], texts(20, 9)
    ours, others = (predict(content, shown, load=load) for load in (LiteRT, BuiltinLiteRT))
    assert np.abs(ours - others).mean() < 0.03


def test_right_sides_of_products_have_no_zero_point(int8: tuple[bytes, np.ndarray]) -> None:
    """Keys and values: with one XNNPACK takes 7 ms a layer instead of half of one."""
    model = read(int8[0])
    products = [op for op in model.ops if op.name == "BATCH_MATMUL"]
    # Of each layer's two; sums of squares and the pool multiply what has its own range.
    heads = [op for op in products if model.tensors[op.inputs[1]].shape[1:2] == (HEADS,)]
    assert len(heads) == 2 * 2
    for op in heads:
        assert model.tensors[op.inputs[1]].quantization.zero_points == (0,)


WIDE = dataclasses.replace(ROW, hidden=384, inner=256, embedding=384)


def wide(divisions: Divisions | None = None) -> Any:
    """A network that is wide enough for a sum of squares to have steps in 8 bits."""
    fresh(1)
    sizes = {"hidden": 384, "inner": 256}
    base = base_of(row=WIDE).model_copy(update=sizes)
    return encoder.build(EncoderSpec(base, CLASSES, divisions or {}))


def with_outliers() -> Any:
    """The first feed-forward part adds some two hundred to one number of the first piece of each
    text, and to no other piece, as MiniLM's does."""
    model = wide()
    assign(model, converted(random_tensors(WIDE), WIDE, 2, LENGTH), skip=(HEAD,))
    head = model.get_layer(HEAD).kernel
    head.assign(np.random.default_rng(5).normal(0, 0.3, head.shape))
    norm, inner, outer = (
        model.get_layer(f"layer_0_{part}") for part in ("attention_norm", "inner", "outer")
    )
    first = keras.Model(model.input, norm.output)(texts(64, 2)).numpy()[:, 0, 0].mean(0)
    weights, bias, kernel = inner.kernel.numpy(), inner.bias.numpy(), outer.kernel.numpy()
    # 1 where a piece lies in the first one's direction, as far out: then 40 - 36, else below 0.
    weights[0, 0, :, 0], bias[0] = 40 * first / (first**2).sum(), -36.0
    kernel[0, 0, 0, 5] = 60.0
    inner.set_weights([weights, bias])
    outer.kernel.assign(kernel)
    return model


def test_outliers_are_clipped_where_that_is_nearer_to_float() -> None:
    work = TextClassification()
    found = clipping.calibrate(
        with_outliers(), texts(64, 2), texts(32, 3), work=work, served=softmax
    ).correction
    assert found.state == "corrected"
    assert found.corrected.kl < found.plain.kl


def divided(model: Any, *_: Any) -> tuple[Any, Divisions]:
    divisions = outliers.found(model, texts(16, 2))
    result = wide(divisions)
    assign(result, outliers.divided(weights_of(model), divisions))
    return result, divisions


def test_numbers_that_are_far_larger_than_all_others_are_divided() -> None:
    model = with_outliers()
    sums = keras.Model(model.input, model.get_layer("layer_0_sum").output)(texts(16, 2)).numpy()
    divisions = outliers.found(model, texts(16, 2))
    assert {one.numbers for one in divisions.values()} == {(5,)}  # the next ones have it from there
    division = divisions["layer_0"]
    others = np.abs(np.delete(sums, 5, -1)).max()
    assert 0.5 * others < division.reach < 2 * others < 0.2 * np.abs(sums[..., 5]).max()
    left = outliers.found(model, texts(16, 2), clustered=["layer_0_outer"])
    assert set(left) == set(divisions) - {"layer_0"}
    every = [layer.name for layer in model.layers]
    assert outliers.found(model, texts(16, 2), clustered=every) == {}
    assert outliers.found(built(), texts(16, 2)) == {}


def test_a_network_with_divided_numbers_computes_the_same() -> None:
    """The factors are powers of two; sums of squares are added in another order."""
    model = with_outliers()
    other, _ = divided(model)
    wanted = model(texts(40, 9)).numpy()
    np.testing.assert_allclose(other(texts(40, 9)).numpy(), wanted, atol=1e-4)
    assert "layer_0_left_out" in {layer.name for layer in other.layers}


def test_divided_numbers_bring_8_bits_nearer_to_float() -> None:
    def calibrated(**options: Any) -> clipping.Calibrated:
        given = {"work": TextClassification(), "served": softmax, **options}
        return clipping.calibrate(with_outliers(), texts(64, 2), texts(32, 3), **given)

    def nearest(done: clipping.Calibrated) -> float:
        return min(done.correction.plain.kl, done.correction.corrected.kl)

    found = calibrated(divide=divided)
    assert nearest(found) < 0.6 * nearest(calibrated())
    content = convert(graph(found.wrapped), {}, output_type=tf.uint8)
    assert read(content).float_tensors() == []
    shown = texts(60, 9)
    wanted = softmax(with_outliers()(shown).numpy())
    # As without outliers: see test_it_answers_as_the_float_network.
    assert np.abs(predict(content, shown) - wanted).mean() < 0.03


def shifted(whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """How far the mean logits of other texts are off in 8 bits, and how far the head's bias is.

    The last normalisation gives one number of fifty, which the head does not read, and eight that
    are always 0.05: less than half a step."""
    model = built()
    kernel = model.get_layer(HEAD).kernel
    kernel.assign(np.where(np.arange(HIDDEN)[:, None], kernel.numpy(), 0))
    norm = model.get_layer(f"layer_1{NORM}")
    gamma, beta = (weight.numpy() for weight in norm.weights)
    gamma[..., -8:, :], beta[-8:], beta[0] = 0, 0.05, 50
    norm.set_weights([gamma, beta])
    bias, wanted = model.get_layer(HEAD).bias.numpy(), model(texts(60, 9)).numpy()
    done = clipping.calibrate(
        model, texts(64, 2), texts(32, 3), work=TextClassification(), served=softmax, whole=whole
    )
    off = (done.wrapped(texts(60, 9)).numpy() - wanted).mean(0)
    return off, done.wrapped.get_layer(quantization.PREFIX + HEAD).layer.bias.numpy() - bias


def test_what_8_bits_shift_goes_into_the_bias_of_the_head() -> None:
    left, moved = shifted(whole=True)
    before, still = shifted(whole=False)
    assert not still.any()
    assert np.abs(left).max() < 0.3 * np.abs(before).max()
    # By this, and nothing else: logits are rounded, too.
    np.testing.assert_allclose(left, before + moved, atol=0.03)


def test_ranges_reach_no_farther_than_they_are_clipped() -> None:
    ranges = {"a_sum": (-300.0, 20.0), "a_key": (-1.0, 3.0), "a_squares": (0.0, 1e5), "b": (0, 99)}
    found = clipping.clipped(clipping.symmetric(ranges), 40.0)
    key = (-3 * 128 / 127, 3)  # int8 goes from -128 to 127
    assert found == {"a_sum": (-40, 20), "a_key": key, "a_squares": (0, 2000), "b": (0, 99)}


def test_a_text_that_is_cut_short_ends_with_its_mark() -> None:
    shown = texts(LENGTH)
    found = clipping.shortened(shown)
    lengths = np.minimum(shown[:, 1].sum(1), clipping.SHORT)
    assert (found[:, 1].sum(1) == lengths).all()
    assert all(text[0, count - 1] == 3 for text, count in zip(found, lengths, strict=True))


@pytest.mark.parametrize(
    ("kept", "wide"),
    [
        ({"layer_0_sum": "float"}, "float32"),
        ({"layer_1_*": "float"}, "float32"),
        ({"words": "float"}, "float32"),
        ({"layer_0_outer": "int16"}, "int16"),
    ],
)
def test_what_is_kept_above_8_bits_answers_as_its_graph(kept: dict[str, str], wide: str) -> None:
    """No layer but these is: ``convert`` would say so. Ids are no layer's precision."""
    wrapped = clipping.ranged(built(), texts(64, 2), preserve_zeros=False)
    made = graph(wrapped)
    units = Graph.of(made).kept(kept)
    content = convert(made, units, output_type=tf.uint8)
    assert wide in {tensor.dtype for tensor in read(content).tensors}
    shown, work = texts(40, 9), TextClassification()
    wanted = Mixtures(Graph.of(made), shown, work).outcome(units).scores
    # Ops of 8 bits round once more than fake-quant nodes do, sixty times behind each other.
    assert np.abs(predict(content, shown) - wanted).mean() < 0.02


def test_weights_alone_in_8_bits() -> None:
    """``dynamic``: nothing is calibrated, and no kernel or table of the file is float."""
    row = dataclasses.replace(ROW, hidden=256, heads=2, inner=512, vocabulary=400, embedding=256)
    base = base_of(row=row).model_copy(
        update={"hidden": 256, "inner": 512, "pieces": 400, "embedding": 256}
    )
    fresh(1)
    model = encoder.build(EncoderSpec(base, CLASSES))
    assign(model, converted(random_tensors(row), row, 2, LENGTH), skip=(HEAD,))
    shown, wanted = texts(40, 9), softmax(model(texts(40, 9)).numpy())
    content = compact(to_tflite(graph(model), int8_weights=True), scope="tfedge")
    file = read(content)
    invariants.weights_int8(file)
    assert file.outputs[0].dtype == "float32"
    plain = compact(to_tflite(graph(model)), scope="tfedge")
    assert len(content) < 0.3 * len(plain)
    np.testing.assert_allclose(predict(content, shown), wanted, atol=0.03)  # 8 bits of weights
    with pytest.raises(InvariantBroken, match="weights of 8 bits"):
        invariants.weights_int8(read(plain))


def test_a_file_of_other_inputs_is_refused() -> None:
    wrong = frozen(
        lambda ids: tf.cast(ids, tf.float32), tf.TensorSpec((1, LENGTH), tf.int32, "ids")
    )
    with pytest.raises(InvariantBroken, match="ids and mask in"):
        TextHead.check_input(read(to_tflite(wrong)))


# ------------------------------------------------------------------ frozen features


def test_texts_of_the_same_ids_are_computed_once(tmp_path: Path) -> None:
    """Whatever their files are called and however they are written."""
    pieces = (*SPECIAL, "good", "film", *(f"p{n}" for n in range(PIECES - 6)))
    rows = []
    for name, text in {"a": "good film", "b": "GOOD   film\n", "c": "film"}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")

        digest = hashlib.sha256(text.encode()).hexdigest()
        rows.append(Row(f"{name}.txt", 0, "train", digest))
    index = Index(("x", "y"), tuple(rows), "csv", pieces)
    encoding = Encoding(index.vocabulary, LENGTH, "utf-8")
    cache = tmp_path / "cache"
    source = TextSource(EncodedTexts(index, tmp_path, cache, encoding), 1, cache, NoProgress())
    one, other, third = (source.key((row, 0)) for row in range(3))
    assert one == other != third
    content = source.converted(keras.Model((model := built()).input, model.get_layer(POOL).output))
    features = predict(content, source.inputs([(0, 0), (1, 0), (2, 0)]))
    np.testing.assert_array_equal(features[0], features[1])
    assert features.shape == (3, HIDDEN)


# ------------------------------------------------------------------ the part that trains


@pytest.mark.parametrize("layer", ["embeddings_norm", "layer_0_norm"])
def test_a_part_on_pieces_and_mask_says_what_the_whole_says(layer: str) -> None:
    """In TensorFlow, and as a file: its converter has made 16 of PADDING * (1 - mask)."""
    model, shown = built(), texts(20)
    lower, upper = cut(model, layer)
    mask = shown[:, 1].astype(np.float32)[:, None, :, None]
    given = np.concatenate([lower(shown).numpy(), mask], -1)
    np.testing.assert_allclose(upper(given).numpy(), model(shown).numpy(), atol=1e-6)
    found = predict(float_part(upper), given)
    np.testing.assert_allclose(found, model(shown).numpy(), atol=1e-5)


def test_training_moves_no_range_that_was_chosen() -> None:
    """Keys and values would get a zero point, and clipped ranges be stretched by outliers."""
    model = built()
    wrapped = clipping.ranged(model, texts(32, 2), preserve_zeros=False)
    lower, upper = cut(wrapped, "layer_0_norm", quantization.PREFIX)
    mask = texts(32)[:, 1].astype(np.float32)[:, None, :, None]
    given = np.concatenate([lower(texts(32)).numpy(), mask], -1)

    def ranges() -> dict[str, float]:
        return {
            variable.name: float(variable.numpy())
            for layer in upper.layers
            for variable in layer.weights
            if variable.name.endswith(("min:0", "max:0")) and variable.shape == ()
        }

    before = ranges()
    for _ in range(3):
        upper(50 * given, training=True)
    after = ranges()
    moved = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert moved and not any(name.endswith(CHOSEN) for name in moved)
