"""The mean of word vectors: what it computes, and its 8-bit file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfedge.core.outputs import Pretrained
from tfedge.modeling.compression import clipping, quantization
from tfedge.modeling.compression.mixed import convert
from tfedge.modeling.nets import words
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import frozen, to_tflite
from tfedge.modeling.nets.network import HEAD, POOL
from tfedge.modeling.nets.text_base import EncoderBase, TextBase, WordsBase
from tfedge.modeling.texts import TextHead
from tfedge.tasks.text_classification.work import TextClassification
from tfedge.tflite.compact import compact
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import BuiltinLiteRT, LiteRT, predict

WIDE, PIECES, LENGTH, CLASSES = 8, 60, 40, 3


def base_of(**more: Any) -> WordsBase:
    weights = Pretrained(source="none", detail="", sha256="", licence="")
    given = {"embedding": WIDE, "pieces": PIECES, "length": LENGTH, **more}
    return WordsBase(name="words", weights=weights, net="words", **given)


def texts(count: int, seed: int = 0) -> np.ndarray:
    """int32 [count, 2, LENGTH], of every length from the two marks alone, of few words each."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 2, LENGTH), np.int32)
    for number in range(count):
        size = 2 + number % (LENGTH - 1)
        few = rng.integers(4, PIECES, 3)
        found[number, 0, :size] = [2, *rng.choice(few, size - 2), 3]
        found[number, 1, :size] = 1
    return found


def built() -> Any:
    fresh(1)
    model = words.build(base_of(), CLASSES)
    rng = np.random.default_rng(5)
    model.get_layer(words.TABLE).table.assign(rng.normal(0, 0.1, (PIECES, WIDE)))
    model.get_layer(HEAD).kernel.assign(rng.normal(0, 8.0, (WIDE, CLASSES)))
    model.get_layer(HEAD).bias.assign(rng.normal(0, 0.3, CLASSES))
    return model


def graph(model: Any) -> Any:
    specs = [tf.TensorSpec((1, LENGTH), tf.int32, name) for name in ("ids", "mask")]
    return frozen(
        lambda ids, mask: tf.nn.softmax(model(tf.stack([ids, mask], 1), training=False)), *specs
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def mean_of(text: np.ndarray, table: np.ndarray) -> np.ndarray:
    """In float64 and numpy: the pieces between the marks, repeated until the text is full."""
    ids, count = text[0], int(text[1].sum())
    inner = ids[1 : count - 1] if count > 2 else ids[1:2]
    return table[np.resize(inner, LENGTH - 2)].astype(np.float64).mean(0)


# ------------------------------------------------------------------ float


def test_the_float_file_is_the_mean_of_repeated_vectors() -> None:
    model, shown = built(), texts(80)
    table = model.get_layer(words.TABLE).table.numpy()
    kernel, bias = (variable.numpy() for variable in model.get_layer(HEAD).weights)
    pooled = np.stack([mean_of(text, table) for text in shown])
    part = keras.Model(model.input, model.get_layer(POOL).output)
    np.testing.assert_allclose(part(shown).numpy(), pooled, atol=1e-6)  # float32
    content = compact(to_tflite(graph(model)), scope="tfedge")
    np.testing.assert_allclose(predict(content, shown), softmax(pooled @ kernel + bias), atol=1e-5)


def test_marks_and_padding_say_nothing() -> None:
    model, shown = built(), texts(80)
    shown = shown[shown[:, 1].sum(1) > 2]
    other = shown.copy()
    other[:, 0, 0] = 50
    other[:, 0][shown[:, 1] == 0] = 51
    last = shown[:, 1].sum(1) - 1
    other[np.arange(len(other)), 0, last] = 52
    np.testing.assert_array_equal(model(other).numpy(), model(shown).numpy())


def test_a_mask_that_is_none_reads_no_id_outside_of_the_text() -> None:
    content = compact(to_tflite(graph(built())), scope="tfedge")
    for value in (0, 2, 10**6, -1):
        given = texts(3)
        given[:, 1] = value
        assert np.isfinite(predict(content, given)).all()


def test_a_table_becomes_its_principal_components() -> None:
    rng = np.random.default_rng(3)
    table = (rng.normal(0, 1, (500, 20)) @ rng.normal(0, 1, (20, 20)) + 7).astype(np.float32)
    found = words.projected(table, 6)
    assert (found.shape, found.dtype) == ((500, 6), np.float32)
    assert float(found.std()) == pytest.approx(words.SPREAD, rel=1e-3)
    centred = table - table.mean(0)
    left, sizes, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    wanted = left[:, :6] * sizes[:6]
    alike = [abs(np.corrcoef(found[:, n], wanted[:, n])[0, 1]) for n in range(6)]
    np.testing.assert_allclose(alike, 1, atol=1e-6)
    ratios = found.std(0) / found.std(0)[0]
    np.testing.assert_allclose(ratios, wanted.std(0) / wanted.std(0)[0], rtol=1e-4)
    np.testing.assert_allclose(words.projected(-table, 6), -found, atol=1e-5)  # signs are fixed


def test_what_base_json_says_is_read_as_what_it_is() -> None:
    found = TextBase.of(base_of())
    assert isinstance(found, WordsBase) and not isinstance(found, EncoderBase)


# ------------------------------------------------------------------ 8 bits


@pytest.fixture(scope="module")
def int8() -> tuple[bytes, np.ndarray]:
    """The file, and the float network's answers to ``texts(120, 9)``."""
    model = built()
    wanted = softmax(model(texts(120, 9)).numpy())
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
    # The table, a byte a number, and little else: its ops and names.
    assert PIECES * WIDE < len(int8[0]) < PIECES * WIDE + 8_000


def test_it_answers_as_the_float_network(int8: tuple[bytes, np.ndarray]) -> None:
    content, wanted = int8
    got = predict(content, texts(120, 9))
    # Three roundings: the table's, the mean's and the scores' own step of 1/256.
    assert np.abs(got - wanted).mean() < 0.01
    assert (got.argmax(1) == wanted.argmax(1)).mean() > 0.97


def test_other_kernels_answer_alike(int8: tuple[bytes, np.ndarray]) -> None:
    ours, others = (predict(int8[0], texts(40, 9), load=one) for one in (LiteRT, BuiltinLiteRT))
    assert np.abs(ours - others).mean() < 0.01
