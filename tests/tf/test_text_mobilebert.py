"""A MobileBERT: what it computes, and its file with weights of 8 bits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import small_encoders
from small_encoders import graph

from tfedge.catalog.encoders import Encoder
from tfedge.errors import ArtifactError
from tfedge.modeling import invariants
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.export import to_tflite
from tfedge.modeling.nets.network import POOL
from tfedge.modeling.nets.weights.encoder import converted
from tfedge.tflite.compact import compact
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

LENGTH = 40
ROW = Encoder(
    name="mine",
    layers=3,
    hidden=24,
    heads=2,
    inner=20,
    vocabulary=60,
    positions=64,
    epsilon=1e-12,
    lower=True,
    embedding=8,
    style="mobilebert",
    bottleneck=12,
    stacked=3,
)


def random_tensors(row: Encoder = ROW) -> dict[str, np.ndarray]:
    """As Hugging Face's MobileBertModel names and shapes them (kernels [outputs, inputs])."""
    rng = np.random.default_rng(1)
    hidden, inside = row.hidden, row.bottleneck
    found = {
        "embeddings.word_embeddings.weight": rng.normal(0, 0.5, (row.vocabulary, row.embedding)),
        "embeddings.position_embeddings.weight": rng.normal(0, 0.5, (row.positions, hidden)),
        "embeddings.token_type_embeddings.weight": rng.normal(0, 0.5, (2, hidden)),
    }

    def dense(name: str, outputs: int, inputs: int) -> None:
        found[f"{name}.weight"] = rng.normal(0, 0.5 * inputs**-0.5, (outputs, inputs))
        found[f"{name}.bias"] = rng.normal(0, 0.1, outputs)

    def norm(name: str, size: int) -> None:
        found[f"{name}.LayerNorm.weight"] = rng.uniform(0.4, 1.0, size)
        found[f"{name}.LayerNorm.bias"] = rng.normal(0, 0.1, size)

    dense("embeddings.embedding_transformation", hidden, 3 * row.embedding)
    norm("embeddings", hidden)
    for number in range(row.layers):
        layer = f"encoder.layer.{number}"
        for part in ("input", "attention"):
            dense(f"{layer}.bottleneck.{part}.dense", inside, hidden)
            norm(f"{layer}.bottleneck.{part}", inside)
        for part, inputs in (("query", inside), ("key", inside), ("value", hidden)):
            dense(f"{layer}.attention.self.{part}", inside, inputs)
        dense(f"{layer}.attention.output.dense", inside, inside)
        norm(f"{layer}.attention.output", inside)
        for part in (layer, *(f"{layer}.ffn.{place}" for place in range(row.stacked - 1))):
            dense(f"{part}.intermediate.dense", row.inner, inside)
            dense(f"{part}.output.dense", inside, row.inner)
            norm(f"{part}.output", inside)
        dense(f"{layer}.output.bottleneck.dense", hidden, inside)
        norm(f"{layer}.output.bottleneck", hidden)
    return {name: value.astype(np.float32) for name, value in found.items()}


def mobilebert(
    given: dict[str, np.ndarray], ids: np.ndarray, mask: np.ndarray, depth: int
) -> np.ndarray:
    """The last hidden state [S, hidden] of one text, as transformers' MobileBertModel computes it,
    in float64 from its paper (Sun et al. 2020) and its names."""
    p = {name: value.astype(np.float64) for name, value in given.items()}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        return x * p[f"{name}.LayerNorm.weight"] + p[f"{name}.LayerNorm.bias"]

    words = p["embeddings.word_embeddings.weight"][ids]
    around = np.pad(words, ((1, 1), (0, 0)))
    x = dense("embeddings.embedding_transformation", np.hstack([around[2:], words, around[:-2]]))
    x = x + p["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings", x + p["embeddings.token_type_embeddings.weight"][0])
    size = ROW.bottleneck // ROW.heads
    for number in range(depth):
        layer = f"encoder.layer.{number}"
        narrow, shared = (
            norm(f"{layer}.bottleneck.{part}", dense(f"{layer}.bottleneck.{part}.dense", x))
            for part in ("input", "attention")
        )
        q, k = (dense(f"{layer}.attention.self.{part}", shared) for part in ("query", "key"))
        v = dense(f"{layer}.attention.self.value", x)
        parts = []
        for head in range(ROW.heads):
            at = slice(head * size, (head + 1) * size)
            scores = q[:, at] @ k[:, at].T / np.sqrt(size) + np.where(mask, 0, -1e9)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            parts.append(shares / shares.sum(-1, keepdims=True) @ v[:, at])
        found = dense(f"{layer}.attention.output.dense", np.concatenate(parts, -1))
        found = norm(f"{layer}.attention.output", found + narrow)
        for part in (*(f"{layer}.ffn.{place}" for place in range(ROW.stacked - 1)), layer):
            inner = np.maximum(dense(f"{part}.intermediate.dense", found), 0)
            found = norm(f"{part}.output", dense(f"{part}.output.dense", inner) + found)
        wide = dense(f"{layer}.output.bottleneck.dense", found)
        x = norm(f"{layer}.output.bottleneck", wide + x)
    return x


def texts(count: int) -> np.ndarray:
    """int32 [count, 2, LENGTH], of every length, padded with piece 0."""
    rng = np.random.default_rng(0)
    found = np.zeros((count, 2, LENGTH), np.int32)
    for number in range(count):
        size = 2 + number % (LENGTH - 1)
        found[number, 0, :size] = rng.integers(1, ROW.vocabulary, size)
        found[number, 1, :size] = 1
    return found


def built(depth: int = 3, pooling: str = "mean", row: Encoder = ROW) -> Any:
    return small_encoders.built(row, random_tensors(row), LENGTH, depth, pooling)


@pytest.mark.parametrize(("depth", "pooling"), [(3, "mean"), (3, "cls"), (1, "mean")])
def test_features_are_those_of_mobilebert(depth: int, pooling: str) -> None:
    model, shown = built(depth, pooling), texts(LENGTH)
    found = keras.Model(model.input, model.get_layer(POOL).output)(shown).numpy()
    for text, features in zip(shown, found, strict=True):
        last = mobilebert(random_tensors(), text[0], text[1].astype(bool), depth)
        wanted = last[0] if pooling == "cls" else last[: text[1].sum()].mean(0)
        np.testing.assert_allclose(features, wanted, atol=1e-5)  # float32 against float64


def test_its_blocks_are_those_of_the_network() -> None:
    model = built()
    for block in ROW.blocks(3):
        assert model.get_layer(block.output).output.shape[1:] == (1, LENGTH, ROW.hidden)
        for kernel in block.kernels:
            layer = model.get_layer(kernel.layer)
            assert tuple(layer.weights[0].shape) == kernel.shape


def test_the_files_say_what_the_network_says() -> None:
    row = dataclasses.replace(ROW, hidden=256, inner=256, bottleneck=64, embedding=64)
    model, shown = built(row=row), texts(LENGTH)
    wanted = tf.nn.softmax(model(shown)).numpy()
    plain = compact(to_tflite(graph(model)), scope="tfedge")
    np.testing.assert_allclose(predict(plain, shown), wanted, atol=1e-5)
    content = compact(to_tflite(graph(model), int8_weights=True), scope="tfedge")
    invariants.weights_int8(read(content))
    assert len(content) < 0.4 * len(plain)
    np.testing.assert_allclose(predict(content, shown), wanted, atol=0.05)  # 8 bits of weights


def test_a_tensor_of_a_layer_with_fewer_parts_is_missed() -> None:
    given = random_tensors(dataclasses.replace(ROW, stacked=2))
    with pytest.raises(ArtifactError, match=r"holds no encoder.layer.0.ffn.1.intermediate.dense"):
        converted(given, ROW, 3, LENGTH)
    assert converted(given, dataclasses.replace(ROW, stacked=2), 3, LENGTH)
