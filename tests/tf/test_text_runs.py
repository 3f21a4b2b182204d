"""Whole runs of texts on a small encoder: word vectors, teachers, and what is done to encoders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tfedge.cli import main
from tfedge.data import messages
from tfedge.tflite.reader import read

LAYERS, INNER = 2, 32


def own_encoder(folder: Path, seed: int = 1) -> Path:
    """A small BERT of random numbers that knows the words of the sample, and two others. Its layers
    add little to its embeddings, or nobody could tell anything by what it says."""
    unpacked = folder.parent / "messages"
    messages.write(unpacked)
    found = [file.read_text("utf-8").lower() for file in unpacked.glob("**/*.txt")]
    known = sorted({word for text in found for word in re.findall(r"[a-z]+|[0-9]+", text)})
    letters = [chr(n) for n in range(33, 127) if not chr(n).isupper()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{one}" for one in letters)]
    pieces += [*(word for word in known if len(word) > 1), "zebra", "quartz"]
    rng = np.random.default_rng(seed)
    hidden, tensors = 32, {}

    def put(name: str, *shape: int, spread: float = 0.05) -> None:
        tensors[name] = rng.normal(0, spread, shape).astype(np.float32)

    for name, count in (("word", len(pieces)), ("position", 64), ("token_type", 2)):
        put(f"embeddings.{name}_embeddings.weight", count, hidden, spread=0.5)
    norms = ["embeddings.LayerNorm"]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            put(f"{layer}.attention.{part}.weight", hidden, hidden)
            put(f"{layer}.attention.{part}.bias", hidden)
        put(f"{layer}.intermediate.dense.weight", INNER, hidden)
        put(f"{layer}.intermediate.dense.bias", INNER)
        put(f"{layer}.output.dense.weight", hidden, INNER)
        put(f"{layer}.output.dense.bias", hidden)
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
    for name in norms:
        tensors[f"{name}.weight"] = np.ones(hidden, np.float32)
        tensors[f"{name}.bias"] = np.zeros(hidden, np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(pieces), encoding="utf-8")
    config = {
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": INNER,
        "vocab_size": len(pieces),
        "max_position_embeddings": 64,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_encoder(tmp_path_factory.mktemp("encoder") / "mine")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


class Done:
    """A finished run of the sample."""

    def __init__(self, folder: Path, cache: Path, **sections: Any) -> None:
        content = {
            "name": "w",
            "task": "text-classification",
            "data": {"path": "sample:messages", "length": 48, "split": {"val": 0.2, "test": 0.3}},
            "evaluate": {"robustness": 20},
            **sections,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "w.yaml").write_text(json.dumps(content), encoding="utf-8")
        self.folder = folder / "run"
        command = ["run", folder / "w.yaml", "--run-dir", self.folder, "--cache", cache]
        assert main([str(one) for one in command]) == 0

    def json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text("utf-8"))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / name) as found:
            return dict(found)

    @property
    def states(self) -> dict[str, str]:
        return {row["name"]: row["cache"] for row in self.json("run.json")["stages"]}


# ------------------------------------------------------------------ as tfedge init writes it


def test_a_drafted_pipeline_runs_as_it_is(encoder: Path, cache: Path, tmp_path: Path) -> None:
    """But for the encoder: the one that it names has 84 MB."""
    messages.write(tmp_path / "messages")
    files = sorted((tmp_path / "messages").glob("*/*.txt"))
    rows = [{"said": file.read_text("utf-8"), "topic": file.parent.name} for file in files]
    lines = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    made, run = tmp_path / "rows.yaml", tmp_path / "run"
    own = f"backbone.weights={encoder}"
    assert main(["init", str(tmp_path / "rows.jsonl"), "--set", own, "-o", str(made)]) == 0
    assert main(["run", str(made), "--run-dir", str(run), "--cache", str(cache)]) == 0
    result = json.loads((run / "run.json").read_text("utf-8"))
    # Four topics, an encoder of random weights: 0.87 of 89 texts here, 0.25 is chance.
    assert result["metrics"]["int8"]["top1"] > 0.7
    assert sorted(json.loads((run / "data/index.json").read_text("utf-8"))["classes"]) == sorted(
        {row["topic"] for row in rows}
    )
    assert main(["verify", str(run / "package" / "drops" / "linux")]) == 0


# ------------------------------------------------------------------ word vectors


def test_a_run_trains_the_table_and_ships_it(encoder: Path, cache: Path, tmp_path: Path) -> None:
    net = {"name": "words", "weights": str(encoder), "dimensions": 8, "vocabulary": "seen"}
    done = Done(
        tmp_path, cache, backbone=net, quantize={"recipe": "ptq"}, package={"targets": ["linux"]}
    )
    base, made = done.arrays("backbone/base.npz"), done.arrays("finetune/model.npz")
    kept = done.json("data/index.json")["kept"]
    start, table = base["words/table"][kept], made["words/table"]
    assert 100 < len(kept) < len(base["words/table"]) and start.shape == table.shape
    assert np.abs(table - start).max() > 0.01
    metrics = done.json("evaluate/metrics.json")
    assert [row["phase"] for row in metrics["phases"]] == ["head", "float", "int8"]
    # Its topics have words of their own, and so a random table tells them apart.
    assert metrics["int8"]["top1"] > 0.95
    model = read(done.folder / "convert" / "model.tflite")
    assert model.float_tensors() == []
    size = (done.folder / "convert" / "model.tflite").stat().st_size
    assert table.size < size < table.size + 8_000  # a byte a number, and its ops and names
    assert "words, 8 numbers for each of" in (done.folder / "report.md").read_text("utf-8")


def test_a_table_stays_where_nothing_unfreezes_it(
    encoder: Path, cache: Path, tmp_path: Path
) -> None:
    """The head alone trains in 8 bits, on what the frozen int8 table gives."""
    net = {"name": "words", "weights": str(encoder), "dimensions": 8}
    frozen = {"finetune": {"unfreeze": "none"}, "quantize": {"recipe": "qat", "unfreeze": "none"}}
    done = Done(tmp_path, cache, backbone=net, **frozen)
    before, after = done.arrays("backbone/base.npz"), done.arrays("finetune/model.npz")
    np.testing.assert_array_equal(after["words/table"], before["words/table"])
    found = done.json("evaluate/metrics.json")
    assert [row["phase"] for row in found["phases"]] == ["float", "int8"]
    assert done.json("quantize/quantize.json")["history"]
    assert found["int8"]["top1"] > 0.5  # of four classes, by eight random numbers a word


# ------------------------------------------------------------------ teachers


@pytest.mark.parametrize("student", ["words", "encoder"])
def test_an_encoder_teaches(student: str, encoder: Path, cache: Path, tmp_path: Path) -> None:
    """Words, or the first layer of the same encoder. What the teacher says is computed once."""
    words_too = {"name": "words", "dimensions": 8}
    net = {"weights": str(encoder), **(words_too if student == "words" else {"layers": 1})}
    teacher = {"name": "mine", "weights": str(encoder), "length": 32}
    sections = {
        "backbone": net,
        "distill": {"teacher": teacher},
        "quantize": {"recipe": "qat", "steps": 20, "epochs": 1, "teacher": 1.0, "hints": 0},
    }
    done = Done(tmp_path / "first", cache, **sections)
    facts = done.json("distill/distill.json")
    assert (facts["name"], facts["net"]["depth"], facts["net"]["length"]) == ("mine", LAYERS, 32)
    logits = done.arrays("distill/teacher.npz")["logits"]
    assert logits.shape == done.arrays("finetune/teacher.npz")["logits"].shape
    assert np.abs(logits - done.arrays("finetune/teacher.npz")["logits"]).max() > 0.1
    labels = [row[1] for row in done.json("data/index.json")["rows"] if row[2] == "train"]
    assert (logits.argmax(1) == labels).mean() > 0.8
    assert done.json("convert/model.json")["float_tensors"] == 0
    sections["quantize"]["teacher"] = 0.5
    again = Done(tmp_path / "again", cache, **sections)
    assert (again.states["distill"], again.states["quantize"]) == ("hit", "miss")


def test_a_teacher_of_another_vocabulary_reads_texts_by_its_own(
    encoder: Path, cache: Path, tmp_path: Path
) -> None:
    """The same encoder with its pieces in another order says the same of every text, whichever of
    the pieces the student keeps."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_bytes((encoder / "config.json").read_bytes())
    pieces = (encoder / "vocab.txt").read_text("utf-8").split("\n")
    order = [*range(4), *range(len(pieces) - 1, 3, -1)]
    (other / "vocab.txt").write_text("\n".join(pieces[n] for n in order), encoding="utf-8")
    tensors = load_file(encoder / "model.safetensors")
    table = "embeddings.word_embeddings.weight"
    save_file({**tensors, table: tensors[table][order]}, other / "model.safetensors")
    net = {"name": "words", "weights": str(encoder), "dimensions": 8}
    said = []
    for teacher, vocabulary in ((encoder, "full"), (other, "seen")):
        done = Done(
            tmp_path / vocabulary,
            cache,
            backbone={**net, "vocabulary": vocabulary},
            distill={"teacher": {"name": "any", "weights": str(teacher)}},
            quantize={"recipe": "qat", "steps": 5, "epochs": 1},
        )
        said.append(done.arrays("distill/teacher.npz")["logits"])
    np.testing.assert_allclose(said[0], said[1], atol=1e-3)  # of LiteRT's float32, and a fit on it
    assert np.abs(said[0]).max() > 1


# ------------------------------------------------------------------ what is done to an encoder


def test_layers_of_an_encoder_are_kept_above_8_bits(
    encoder: Path, cache: Path, tmp_path: Path
) -> None:
    """As ``debug`` proposes it; in the part that trains, in the frozen one, and both."""
    kept = {"layer_1_sum": "float", "padding": "float", "layer_0_in*": "float"}
    sections = {
        "backbone": {"weights": str(encoder)},
        "quantize": {"recipe": "qat", "steps": 10, "epochs": 1, "unfreeze": 1, "keep": kept},
    }
    done = Done(tmp_path, cache, **sections)
    model = read(done.folder / "convert" / "model.tflite")
    found = {kernel.tensor.removesuffix("/kernel"): kernel.dtype for kernel in model.kernels()}
    assert (found["layer_0_inner"], found["layer_0_outer"]) == ("float32", "int8")
    units = {"layer_1_sum", "padding", "layer_0_inner"}
    assert set(done.json("convert/model.json")["kept"]) == units
    assert done.json("evaluate/metrics.json")["agreement"] > 0.85


def test_what_debug_proposes_for_an_encoder_can_be_asked_for(
    encoder: Path, cache: Path, tmp_path: Path
) -> None:
    sections = {"backbone": {"weights": str(encoder)}, "evaluate": {"robustness": 0}}
    quantize = {"recipe": "ptq", "correct": False}
    done = Done(tmp_path / "asked", cache, **sections, quantize={**quantize, "debug": True})
    proposed = done.json("debug/debug.json")["proposed"]["kept"]
    assert proposed and set(proposed.values()) == {"float"}
    kept = Done(tmp_path / "kept", cache, **sections, quantize={**quantize, "keep": proposed})
    assert kept.json("convert/model.json")["kept"] == proposed
    before, after = (one.json("evaluate/metrics.json")["agreement"] for one in (done, kept))
    assert after > before


def test_kernels_of_an_encoder_are_clustered_and_stay_so_in_8_bits(
    encoder: Path, cache: Path, tmp_path: Path
) -> None:
    """With the zeros of pruning among their values; what is frozen keeps all of its own."""
    short = {"steps": 10, "epochs": 1}
    done = Done(
        tmp_path,
        cache,
        backbone={"weights": str(encoder)},
        prune={**short, "unfreeze": 1, "sparsity": 0.3},
        cluster={**short, "clusters": 8},
        quantize={**short, "recipe": "qat"},
    )
    layers = {row["name"]: row for row in done.json("convert/model.json")["layers"]}
    for name in ("query", "key", "value", "attended", "inner", "outer"):
        layer = layers[f"layer_1_{name}"]
        assert layer["distinct_channel"] <= 8 < layers[f"layer_0_{name}"]["distinct_channel"]
        assert layer["zeros"] > 0.4 * layer["size"]  # it carries those of the frozen one
    phases = [row["phase"] for row in done.json("evaluate/metrics.json")["phases"]]
    assert phases == ["float", "pruned", "clustered", "int8"]
