"""GPT-2 as an encoder of texts: what it computes, and its file with weights of 8 bits."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_encoders
from safetensors.numpy import save
from small_encoders import graph

from tests.torch_files import tensor, torch_names, zipped
from tfedge.catalog.encoders import Encoder
from tfedge.cli import main
from tfedge.errors import ArtifactError
from tfedge.modeling import invariants
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.export import to_tflite
from tfedge.modeling.nets.network import POOL
from tfedge.modeling.nets.weights.encoder import converted, tensors
from tfedge.modeling.nets.weights.encoder_files import from_folder
from tfedge.portable.bpe import _CHARACTERS, ByteLevelBPE
from tfedge.portable.pieces import Vocabulary
from tfedge.tflite.compact import compact
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

LENGTH = 40
ROW = Encoder(
    name="mine",
    layers=3,
    hidden=16,
    heads=2,
    inner=48,
    vocabulary=60,
    positions=64,
    epsilon=1e-5,
    lower=False,
    embedding=16,
    style="gpt2",
)


def random_tensors(row: Encoder = ROW) -> dict[str, np.ndarray]:
    """As Hugging Face's GPT2Model names and shapes them (kernels [inputs, outputs])."""
    rng = np.random.default_rng(1)
    hidden = row.hidden
    found = {
        "wte.weight": rng.normal(0, 0.5, (row.vocabulary, hidden)),
        "wpe.weight": rng.normal(0, 0.5, (row.positions, hidden)),
    }

    def dense(name: str, inputs: int, outputs: int) -> None:
        found[f"{name}.weight"] = rng.normal(0, inputs**-0.5, (inputs, outputs))
        found[f"{name}.bias"] = rng.normal(0, 0.1, outputs)

    def norm(name: str) -> None:
        found[f"{name}.weight"] = rng.uniform(0.5, 1.5, hidden)
        found[f"{name}.bias"] = rng.normal(0, 0.2, hidden)

    for number in range(row.layers):
        layer = f"h.{number}"
        dense(f"{layer}.attn.c_attn", hidden, 3 * hidden)
        dense(f"{layer}.attn.c_proj", hidden, hidden)
        dense(f"{layer}.mlp.c_fc", hidden, row.inner)
        dense(f"{layer}.mlp.c_proj", row.inner, hidden)
        norm(f"{layer}.ln_1")
        norm(f"{layer}.ln_2")
    norm("ln_f")
    return {name: value.astype(np.float32) for name, value in found.items()}


def gpt2(given: dict[str, np.ndarray], ids: np.ndarray, depth: int) -> np.ndarray:
    """The hidden states [S, hidden] of one text without padding, as transformers' GPT2Model
    computes them, in float64 from its papers (Radford et al. 2018, 2019) and its names."""
    p = {name: value.astype(np.float64) for name, value in given.items()}

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ p[f"{name}.weight"] + p[f"{name}.bias"]

    def norm(name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + ROW.epsilon)
        return scaled * p[f"{name}.weight"] + p[f"{name}.bias"]

    x = p["wte.weight"][ids] + p["wpe.weight"][: len(ids)]
    size = x.shape[1] // ROW.heads
    for number in range(depth):
        layer = f"h.{number}"
        q, k, v = np.split(dense(f"{layer}.attn.c_attn", norm(f"{layer}.ln_1", x)), 3, -1)
        found = np.zeros_like(x)
        for head in range(ROW.heads):
            at = slice(head * size, (head + 1) * size)
            for place in range(len(ids)):  # each piece looks at itself and those before it
                scores = k[: place + 1, at] @ q[place, at] / np.sqrt(size)
                shares = np.exp(scores - scores.max())
                found[place, at] = shares / shares.sum() @ v[: place + 1, at]
        x = x + dense(f"{layer}.attn.c_proj", found)
        inner = dense(f"{layer}.mlp.c_fc", norm(f"{layer}.ln_2", x))
        tanh = np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3))
        x = x + dense(f"{layer}.mlp.c_proj", 0.5 * inner * (1 + tanh))
    return norm("ln_f", x)


def texts(count: int, seed: int = 0) -> np.ndarray:
    """int32 [count, 2, LENGTH], of every length from 1 on, padded with piece 0."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, 2, LENGTH), np.int32)
    for number in range(count):
        size = 1 + number % LENGTH
        found[number, 0, :size] = rng.integers(0, ROW.vocabulary, size)
        found[number, 1, :size] = 1
    return found


def built(depth: int = 3, pooling: str = "mean", row: Encoder = ROW) -> Any:
    return small_encoders.built(row, random_tensors(row), LENGTH, depth, pooling)


@pytest.mark.parametrize(("depth", "pooling"), [(3, "mean"), (3, "last"), (1, "mean")])
def test_features_are_those_of_gpt2(depth: int, pooling: str) -> None:
    model = built(depth, pooling)
    part = keras.Model(model.input, model.get_layer(POOL).output)
    shown = texts(LENGTH)
    for text, features in zip(shown, part(shown).numpy(), strict=True):
        states = gpt2(random_tensors(), text[0, : text[1].sum()], depth)
        wanted = states[-1] if pooling == "last" else states.mean(0)
        np.testing.assert_allclose(features, wanted, atol=1e-5)  # float32 against float64


def test_padding_changes_nothing() -> None:
    """Whichever piece stands there; and no score is so high that a later piece is seen."""
    model = built(pooling="last")
    for part in ("query", "key"):
        layer = model.get_layer(f"layer_0_{part}")
        layer.kernel.assign(30 * layer.kernel)  # scores in the thousands
    shown, other = texts(LENGTH), texts(LENGTH)
    other[:, 0] += 7 * (1 - other[:, 1])
    np.testing.assert_array_equal(model(shown).numpy(), model(other).numpy())


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_text_without_pieces_has_features_too(pooling: str) -> None:
    """None is ever asked about; but that a file answers at all is tried with zeros."""
    assert np.isfinite(built(pooling=pooling)(np.zeros((1, 2, LENGTH), np.int32))).all()


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_the_float_file_says_what_the_network_says(pooling: str) -> None:
    model, shown = built(pooling=pooling), texts(20)
    wanted = tf.nn.softmax(model(shown)).numpy()
    content = compact(to_tflite(graph(model)), scope="tfedge")
    np.testing.assert_allclose(predict(content, shown), wanted, atol=1e-5)


def test_weights_alone_in_8_bits() -> None:
    row = dataclasses.replace(ROW, hidden=256, inner=512, vocabulary=400, embedding=256)
    model, shown = built(row=row), texts(40)
    content = compact(to_tflite(graph(model), int8_weights=True), scope="tfedge")
    invariants.weights_int8(read(content))
    plain = compact(to_tflite(graph(model)), scope="tfedge")
    assert len(content) < 0.3 * len(plain)
    wanted = tf.nn.softmax(model(shown)).numpy()
    np.testing.assert_allclose(predict(content, shown), wanted, atol=0.03)  # 8 bits of weights


def test_weights_are_read_as_a_model_with_a_head_has_them(tmp_path: Path) -> None:
    """Under ``transformer.``, in a pickle, with the table once more as the head's kernel."""
    given = random_tensors()
    state = {f"transformer.{name}": tensor(value) for name, value in given.items()}
    state["lm_head.weight"] = state["transformer.wte.weight"]
    with torch_names():
        (tmp_path / "pytorch_model.bin").write_bytes(zipped(state))
    found = converted(tensors(from_folder(ROW, tmp_path)), ROW, 3, LENGTH)
    plain = converted(given, ROW, 3, LENGTH)
    assert found.keys() == plain.keys()
    assert all((found[name] == plain[name]).all() for name in plain)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("h.1.attn.c_attn.weight", (16, 47), r"expected \[16, 48\], got \[16, 47\]"),
        ("h.1.attn.c_attn.bias", (16,), r"expected \[48\], got \[16\]"),
        ("h.0.mlp.c_fc.weight", (48, 16), r"expected \[16, 48\], got \[48, 16\]"),
        ("ln_f.weight", (), r"expected \[16\], got \[\]"),
        ("wte.weight", (59, 16), r"expected \[60, 16\], got \[59, 16\]"),
        ("wpe.weight", (39, 16), "has 39 positions of the 40 that are read"),
        ("wpe.weight", (0, 16), r"expected \[any, 16\], got \[0, 16\]"),
    ],
)
def test_tensors_of_other_shapes_are_said(name: str, shape: tuple[int, ...], said: str) -> None:
    given = {**random_tensors(), name: np.zeros(shape, np.float32)}
    with pytest.raises(ArtifactError, match=said) as error:
        converted(given, ROW, 3, LENGTH)
    assert name in error.value.message


# ------------------------------------------------------------------ from a folder to a drop

MERGES = ("t h", "i n", "th e", "Ġ the", "a n", "an d", "Ġ and", "o r", "Ġ f", "Ġf or")


def folder_of(place: Path) -> Path:
    """A GPT-2 with random weights, as ``save_pretrained`` keeps it; its table has two rows more
    than there are pieces."""
    pieces = (*_CHARACTERS, *(merge.replace(" ", "") for merge in MERGES))
    row = dataclasses.replace(ROW, vocabulary=len(pieces) + 2)
    place.mkdir()
    for name, content in ByteLevelBPE.written(
        Vocabulary(ByteLevelBPE.name, pieces, merges=MERGES)
    ).items():
        (place / name).write_bytes(content)
    (place / "model.safetensors").write_bytes(save(random_tensors(row)))
    config = {"model_type": "gpt2", "n_embd": row.hidden, "n_layer": row.layers, "n_inner": 48}
    config |= {"n_head": row.heads, "n_positions": row.positions, "vocab_size": row.vocabulary}
    (place / "config.json").write_text(json.dumps(config))
    return place


def test_a_drop_makes_the_ids_and_scores_that_were_measured(tmp_path: Path) -> None:
    content = {
        "name": "mine",
        "task": "text-classification",
        "data": {"path": "sample:messages", "length": LENGTH},
        "backbone": {"weights": str(folder_of(tmp_path / "gpt2"))},
        "quantize": {"recipe": "dynamic"},
        "evaluate": {"robustness": 20},
        "package": {"targets": ["linux"]},
    }
    (tmp_path / "mine.yaml").write_text(json.dumps(content))  # JSON is YAML
    cache, run = ("--cache", str(tmp_path / "cache")), tmp_path / "run"
    assert main(["run", str(tmp_path / "mine.yaml"), "--run-dir", str(run), *cache]) == 0
    drop = run / "drops" / "linux"
    manifest = json.loads((drop / "MANIFEST.json").read_text("utf-8"))
    given = manifest["input"]
    assert given["tokenizer"] == "byte-level BPE"
    assert (given["vocabulary"], given["merges"]) == ("vocab.json", "merges.txt")
    assert {"vocab.json", "merges.txt"} <= manifest["files"].keys()
    assert "merges.txt`: which pairs are merged" in (drop / "README.md").read_text("utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "classify.py", "--check"],
        cwd=drop,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed" in done.stdout
    assert main(["verify", str(drop)]) == 0
    # Another order of merges gives other ids, which the golden pairs find out.
    (drop / "merges.txt").write_text("\n".join(("h e", *MERGES[:2])))
    assert main(["verify", str(drop)]) != 0
    metrics = json.loads((run / "evaluate" / "metrics.json").read_text("utf-8"))
    assert set(metrics["robustness"]["models"]["int8"]) == {"none", "short", "gaps"}
    assert not any("unfreeze" in text for text in metrics["proposals"])
    assert "quantize.recipe: ptq" not in (run / "report.md").read_text("utf-8")
