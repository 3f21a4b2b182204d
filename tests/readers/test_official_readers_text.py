"""The Android drop of a text classifier, read and run by what its users have: tflite-support and
MediaPipe; and what MediaPipe's tokenizer makes of texts."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from read_by import read_by
from text_cases import NASTY, REVIEWS, VOCABULARY, of_pieces, reviews
from text_helpers import CLASSES, LENGTH, PIECES, WORDS_FLOAT, WORDS_INT8, facts_of, text_drop
from tflite_helpers import one_op

from tfedge.cli import main
from tfedge.data.sources import data_root
from tfedge.inputs.text.mediapipe import MediaPipeWordPiece
from tfedge.pipeline.schema import pipeline_of
from tfedge.portable.wordpiece import WordPiece
from tfedge.tasks.text_classification.work import TextClassification
from tfedge.tflite import metadata
from tfedge.tflite.front import with_unread_input
from tfedge.tflite.runtime import LiteRT, predict
from tfedge.tflite.signature import signed

ABOUT = {"author": "A. Üthor", "licence": "CC-BY-4.0", "description": "Weather, money or sport?"}
FILES = {
    "labels.txt": "".join(f"{name}\n" for name in CLASSES),
    "vocab.txt": "".join(f"{piece}\n" for piece in PIECES),
}
LEAST = 0.95  # of ASCII texts: MediaPipe has another version of the kernels in it, which round

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[WORDS_INT8, WORDS_FLOAT], ids=["int8", "float"])
def shipped(request: pytest.FixtureRequest) -> Path:
    """The model that goes into the drop."""
    return request.param


@pytest.fixture(scope="module")
def drop(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_drop(tmp_path_factory.mktemp("drop"), shipped=shipped, **ABOUT)


def model_of(drop: Path) -> Path:
    return drop / "assets" / "words.tflite"


def check_metadata(found: dict[str, Any], version: str) -> None:
    """Field by field, as the schema's own JSON writes it."""
    (graph,) = found.pop("subgraph_metadata")
    assert found == {
        "name": "words",
        "description": ABOUT["description"],
        "version": version,
        "author": "A. Üthor",
        "license": "CC-BY-4.0",
        "min_parser_version": "1.1.0",
    }
    inputs, (scores,) = graph.pop("input_tensor_metadata"), graph.pop("output_tensor_metadata")
    assert [entry["name"] for entry in inputs] == ["ids", "mask", "segment_ids"]
    assert {e["content"]["content_properties_type"] for e in inputs} == {"FeatureProperties"}
    (unit,) = graph.pop("input_process_units")
    assert graph == {}
    assert unit["options_type"] == "BertTokenizerOptions"
    (vocabulary,) = unit["options"]["vocab_file"]
    assert (vocabulary["name"], vocabulary["type"]) == ("vocab.txt", "VOCABULARY")
    assert scores["name"] == "probability"
    (labels,) = scores["associated_files"]
    assert (labels["name"], labels["type"]) == ("labels.txt", "TENSOR_AXIS_LABELS")


def test_tflite_support_reads_it_field_by_field(
    drop: Path, shipped: Path, tflite_support: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(with_unread_input(shipped.read_bytes(), "segment_ids"))
    found = read_by(tflite_support, "reader_tflite_support.py", model_of(drop), plain)
    assert found["files"] == FILES
    assert found["rewritten"] == found["metadata"], "the official writer changes nothing in it"
    check_metadata(found["metadata"], facts_of(drop)["run_key"][:12])


def ascii_texts() -> list[str]:
    """Words of the vocabulary with others, signs and upper case; and what people wrote, if here."""
    rng = random.Random(11)
    parts = [*PIECES[4:25], "it's", "e-mail", "U.S.", "$9.99", "(yes)", "Rain", "BANK,", "x" * 90]
    made = [" ".join(rng.choices(parts, k=rng.randrange(1, 30))) for _ in range(300)]
    wrote = [text for text in reviews() if text.isascii()][::20] if REVIEWS.is_dir() else []
    return made + wrote


def ours(model: Path, pieces: tuple[str, ...], texts: list[str]) -> np.ndarray:
    """Scores [texts, classes] by LiteRT and our tokenizer."""
    runtime, tokenizer, found = LiteRT(model), WordPiece(of_pieces(pieces)), []
    for text in texts:
        one = tokenizer.encode(text, LENGTH)
        (stored,) = runtime.invoke(*(np.asarray([p], np.int32) for p in (one.ids, one.mask)))
        found.append(runtime.outputs()[0].real(stored)[0])
    return np.asarray(found)


def test_mediapipe_reads_it_and_answers_as_litert(
    drop: Path, shipped: Path, mediapipe: Path, tmp_path: Path
) -> None:
    """LiteRT runs the measured file, MediaPipe that of the drop."""
    texts, file = ascii_texts(), tmp_path / "texts.json"
    file.write_text(json.dumps(texts), "utf-8")
    found = read_by(mediapipe, "reader_mediapipe_text.py", model_of(drop), file)
    assert found["files"] == FILES
    check_metadata(found["metadata"], facts_of(drop)["run_key"][:12])
    assert [name for name, _ in found["answers"][0]] == list(CLASSES)
    theirs = np.asarray([[score for _, score in answer] for answer in found["answers"]])
    expected = ours(shipped, PIECES, texts)
    same = theirs.argmax(1) == expected.argmax(1)
    assert same.mean() >= LEAST
    assert len(set(expected.argmax(1).tolist())) == len(CLASSES), "else equal answers say little"
    # A quantum of 1/256, where the kernels round otherwise, may go either way.
    assert np.quantile(np.abs(theirs - expected).max(1), 0.95) <= 2.01 / 256


BBC = Path(os.environ.get("TFEDGE_BBC") or REVIEWS.parent / "bbc")  # BBC News, a folder a class
RUNS: dict[str, dict[str, Any]] = {
    "sample": {
        "data": {"path": "sample:messages", "length": 32, "split": {"val": 0.2, "test": 0.3}},
        "backbone": {"layers": 2, "vocabulary": "seen"},
        "quantize": {"recipe": "ptq", "representative": 16},
    },
    "bbc": {
        "data": {"path": str(BBC), "length": 128, "on_conflict": "drop", "on_leak": "drop"},
        "quantize": {"recipe": "ptq"},
    },
}


@pytest.mark.train
@pytest.mark.parametrize("name", RUNS)
def test_mediapipe_answers_as_litert_of_an_encoder(
    name: str, mediapipe: Path, tmp_path: Path
) -> None:
    """Of a whole run, on its test texts as far as they are ASCII."""
    if name == "bbc" and not BBC.is_dir():
        pytest.skip("no BBC News on this machine (TFEDGE_BBC)")
    content = {"name": "words", "task": "text-classification", **RUNS[name]}
    content["package"] = {"targets": ["android"]}
    file, run, cache = tmp_path / "words.yaml", tmp_path / "run", tmp_path / "cache"
    file.write_text(json.dumps(content))  # JSON is YAML
    assert main(["run", str(file), "--run-dir", str(run), "--cache", str(cache)]) == 0
    drop, data = run / "drops" / "android", pipeline_of(content).data
    index = run / "data" / "index.json"
    task = TextClassification()
    examples = task.examples(index, data, data_root(data, cache), cache)
    rows = [row for row in examples.rows_of("test") if examples.texts.text(row).isascii()]
    texts = [examples.texts.text(row) for row in rows]
    assert len(texts) > 100
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    paths = model_of(drop), tmp_path / "texts.json"
    found = read_by(mediapipe, "reader_mediapipe_text.py", *paths)["answers"]
    theirs = [max(answer, key=lambda row: row[1])[0] for answer in found]
    scores = predict(run / "convert" / "model.tflite", examples.inputs(rows))
    ours = [examples.classes[best] for best in scores.argmax(1)]
    same = [one == other for one, other in zip(ours, theirs, strict=True)]
    print(f"MediaPipe's answer is LiteRT's to {sum(same)} of {len(same)} texts")
    assert np.mean(same) >= LEAST
    assert len(set(ours)) > 2


def probe(vocabulary: list[str], length: int) -> bytes:
    """A model whose scores are the ids that it is given."""

    def called(model: Any) -> None:
        model.subgraphs[0].tensors[0].name = "ids"

    ids, out = ((1, length), "int32", None), ((1, length), "float32", None)
    plain = signed(one_op("CAST", [ids], [out], schema.CastOptionsT(), called))
    model = with_unread_input(with_unread_input(plain, "mask"), "segment_ids")
    feature = {"content": {"content_properties": {"FeatureProperties": {}}}}
    labels = [{"name": "labels.txt", "type": 2}]
    unit = {"BertTokenizerOptions": {"vocab_file": [{"name": "vocab.txt", "type": 5}]}}
    graph = {
        "input_tensor_metadata": [{"name": n, **feature} for n in ("ids", "mask", "segment_ids")],
        "output_tensor_metadata": [{"name": "probability", **feature, "associated_files": labels}],
        "input_process_units": [{"options": unit}],
    }
    files = {
        "vocab.txt": "".join(f"{piece}\n" for piece in vocabulary).encode(),
        "labels.txt": "".join(f"{place}\n" for place in range(length)).encode(),
    }
    return metadata.embed(model, {"subgraph_metadata": [graph]}, files)


def test_our_mediapipe_tokenizer_is_mediapipes(mediapipe: Path, tmp_path: Path) -> None:
    """By which the package stage counts what MediaPipe reads otherwise."""
    length, file, texts = 64, tmp_path / "probe.tflite", tmp_path / "texts.json"
    file.write_bytes(probe(VOCABULARY, length))
    asked = [text for text in NASTY if "\0" not in text]  # Python's binding ends a text there
    asked += ["naïve café", "CAFÉ", "a\u00a0film", "Привет мир", "good\u200bfilm", "日本語 film"]
    if REVIEWS.is_dir():
        asked += [text for text in reviews() if not text.isascii()][:400]
    texts.write_text(json.dumps(asked), "utf-8")
    found = read_by(mediapipe, "reader_mediapipe_text.py", file, texts)
    tokenizer = MediaPipeWordPiece(of_pieces(VOCABULARY))
    wrong = {}
    for text, answer in zip(asked, found["answers"], strict=True):
        theirs = [round(score) for _, score in answer]
        if tokenizer.encode(text, length).ids != theirs:
            wrong[ascii(text)] = theirs
    assert wrong == {}
