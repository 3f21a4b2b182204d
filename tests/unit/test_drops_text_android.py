"""The Android drop of a text classifier: what lies in it, the input that was added to its model,
and what is refused.

That official readers understand it, and that the Kotlin compiles and computes what it should, is
shown in tests/readers.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_cases import of_pieces
from text_helpers import (
    CLASSES,
    LENGTH,
    PIECES,
    TEXTS,
    WORDS_FLOAT,
    WORDS_INT8,
    facts_of,
    make_text_run,
    text_drop,
)

from tests.schemas import check as check_schema
from tfedge.cli import main
from tfedge.drops import golden
from tfedge.drops.verify import verify
from tfedge.errors import DropError
from tfedge.portable.wordpiece import WordPiece
from tfedge.stages import package
from tfedge.tasks.text_classification import android
from tfedge.tasks.text_classification import drop as drop_of_texts
from tfedge.tflite import front, metadata
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

KOTLIN = {"Answer", "CompiledEngine", "Engine", "InterpreterEngine", "Labels", "LiteRt", "Model"}
KOTLIN |= {"Stored", "TextClassifier", "WordPiece"}
TESTS = {"Golden", "GoldenRule", "GoldenTest"}
VOCABULARY = "".join(f"{piece}\n" for piece in PIECES)


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"android": {"package": "com.shop.in.words"}, "author": "A. Üthor"}
    return text_drop(tmp_path_factory.mktemp("drop"), **options)


def problems_of(drop: Path) -> list[str]:
    return [problem for check in verify(drop) for problem in check.problems]


def test_files(drop: Path) -> None:
    found = {p.relative_to(drop).as_posix() for p in drop.rglob("*") if p.is_file()}
    expected = {"assets/words.tflite", "assets/labels.txt", "assets/vocab.txt", "README.md"}
    expected |= {"CARD.md", "MANIFEST.json", "proguard-rules.pro", "gradle/build.gradle.kts"}
    expected |= {f"kotlin/com/shop/in/words/{name}.kt" for name in KOTLIN}
    expected |= {f"androidTest/kotlin/com/shop/in/words/{n}.kt" for n in TESTS}
    expected |= {name for number in range(8) for name in golden.names(number)}
    expected |= {f"golden/{number:03d}.text.txt" for number in range(8)}
    assert found == expected
    assert (drop / "assets/labels.txt").read_text("utf-8").splitlines() == list(CLASSES)
    assert (drop / "assets/vocab.txt").read_text("utf-8") == VOCABULARY


def test_no_mark_is_left_and_all_kotlin_is_of_the_package(drop: Path) -> None:
    for path in drop.rglob("*"):
        if path.suffix in (".kt", ".kts", ".pro", ".md"):
            assert not re.findall(r"@[a-z_]+@", path.read_text("utf-8")), path
        if path.suffix == ".kt":
            assert path.read_text("utf-8").startswith("package com.shop.`in`.words\n"), path


def test_verify_and_the_schema_find_nothing_wrong(drop: Path) -> None:
    checks = verify(drop)
    assert [check.what for check in checks] == [
        *("files", "model", "labels", "vocabulary", "metadata", "measured file", "golden pairs")
    ]
    assert problems_of(drop) == []
    check_schema("manifest", facts_of(drop))


def test_the_measured_file_lies_in_it_and_a_third_input_is_read_by_no_op(drop: Path) -> None:
    model, facts, measured = (drop / "assets/words.tflite").read_bytes(), facts_of(drop), WORDS_INT8
    assert measured.read_bytes() in model
    assert facts["measured"] == {
        "bytes": measured.stat().st_size,
        "sha256": hashlib.sha256(measured.read_bytes()).hexdigest(),
    }
    found = read(model)
    given = {tensor.name: tensor for tensor in found.inputs}
    assert {(t.dtype, t.shape) for t in given.values()} == {("int32", (1, LENGTH))}
    added = given["serving_default_segment_ids:0"]
    assert not any(added.index in op.inputs for op in found.ops)
    assert found.ops == read(measured).ops
    assert [name for name, _ in found.signatures[0].inputs] == ["ids", "mask", "segment_ids"]
    assert facts["input"]["parts"] == ["ids", "mask", "segment_ids"]
    assert (facts["input"]["unread"], facts["input"]["shape"]) == (["segment_ids"], [1, 3, LENGTH])


@pytest.mark.parametrize("shipped", [WORDS_INT8, WORDS_FLOAT])
def test_answers_are_those_of_the_measured_file_whatever_the_third_input(
    tmp_path: Path, shipped: Path
) -> None:
    model = text_drop(tmp_path, shipped=shipped) / "assets/words.tflite"
    rng = np.random.default_rng(1)
    ids = rng.integers(0, len(PIECES), (40, 3, LENGTH)).astype(np.int32)
    ids[:, 1] = np.arange(LENGTH) < rng.integers(2, LENGTH, (40, 1))
    ours = predict(model, ids, raw=True)
    assert ours.tobytes() == predict(shipped, ids[:, :2], raw=True).tobytes()
    assert len(np.unique(ours, axis=0)) > 20, "else equal answers say little"


def test_golden_pairs_go_from_text_to_ids_to_scores(drop: Path) -> None:
    tokenizer, facts = WordPiece(of_pieces(PIECES)), facts_of(drop)
    for number, pair in enumerate(facts["golden"]):
        text = (drop / f"golden/{number:03d}.text.txt").read_text("utf-8")
        ids, mask, nothing = np.fromfile(drop / pair["input"], np.int32).reshape(3, LENGTH)
        one = tokenizer.encode(text, LENGTH)
        assert text == pair["text"] and ids.tolist() == one.ids and mask.tolist() == one.mask
        assert not nothing.any()


@pytest.mark.parametrize("wrong", [-1, len(PIECES)])
def test_ids_that_the_vocabulary_lacks_are_said(drop: Path, tmp_path: Path, wrong: int) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(drop, folder)
    facts = facts_of(folder)
    file = folder / facts["golden"][0]["input"]
    ids = np.fromfile(file, np.int32)
    ids[1] = wrong
    ids.tofile(file)
    (found,) = [one for one in drop_of_texts.check(folder, facts) if one.what == "vocabulary"]
    assert found.problems == (
        f"{facts['golden'][0]['input']} has ids that are not in {facts['input']['vocabulary']}",
    )


def test_metadata_says_how_to_call_the_model(drop: Path) -> None:
    model = (drop / "assets/words.tflite").read_bytes()
    found = metadata.read(model)
    assert found is not None and found["min_parser_version"] == "1.1.0"
    assert found["description"] == "Tells of which of 3 classes a text is."
    (graph,) = found["subgraph_metadata"]
    names = {index: name for name, index in read(model).signatures[0].inputs}
    by_tensor = [names[tensor.index] for tensor in read(model).inputs]
    assert [entry["name"] for entry in graph["input_tensor_metadata"]] == by_tensor
    assert metadata.associated(model) == {
        "labels.txt": "".join(f"{name}\n" for name in CLASSES).encode(),
        "vocab.txt": VOCABULARY.encode(),
    }


def test_card_readme_and_manifest_say_what_mediapipe_reads_otherwise(drop: Path) -> None:
    facts = facts_of(drop)["mediapipe"]
    assert {key: facts[key] for key in ("split", "texts", "other_ids", "unknown")} == {
        "split": "test",
        "texts": sum(map(len, TEXTS.values())),
        "other_ids": 1,
        "unknown": 3,  # naïve, café and Ünïcödé
    }
    for name in ("CARD.md", "README.md"):
        said = " ".join((drop / name).read_text("utf-8").split())
        assert "Of 9 test texts 1 get other ids by it than in training" in said, name
        assert f"3 of their {facts['words']} words become [UNK] by it alone" in said, name
        assert "`segment_ids`" in said and "measured" in said, name


def test_of_a_vocabulary_with_case_more_is_read_otherwise(tmp_path: Path) -> None:
    drop = text_drop(tmp_path, cased=True)
    assert facts_of(drop)["mediapipe"]["other_ids"] == 3  # of "The" and "WIND"
    assert "though this vocabulary has upper case" in (drop / "CARD.md").read_text("utf-8")
    assert "const val LOWER = false" in next(drop.rglob("Model.kt")).read_text()


def test_the_linux_drop_has_the_measured_file_itself(tmp_path: Path) -> None:
    run = make_text_run(tmp_path, targets=["android", "linux"])
    package.run(run.context("package"))
    linux = run.folder / "package" / "drops" / "linux"
    assert (linux / "words.tflite").read_bytes() == WORDS_INT8.read_bytes()
    assert facts_of(linux)["input"]["parts"] == ["ids", "mask"]
    assert not {"measured", "mediapipe"} & set(facts_of(linux))
    card = (linux / "CARD.md").read_text()
    assert "MediaPipe" not in card and "segment_ids" not in card


def test_made_twice_it_is_the_same(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        drop = text_drop(tmp_path / name)
        found.append({p.name: p.read_bytes() for p in drop.rglob("*") if p.is_file()})
    assert found[0] == found[1]


def test_coral_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DropError, match="target coral: the task text-classification has no drop"):
        text_drop(tmp_path, targets=["coral"])
    file = tmp_path / "a.yaml"
    content = {"name": "a", "task": "text-classification", "data": {"path": "sample:messages"}}
    content["package"] = {"targets": ["android", "coral"]}
    file.write_text(json.dumps(content))
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert "package.targets[1]: the task text-classification has no drop for coral" in said
    assert "targets[0]" not in said


def test_scores_that_mediapipe_refuses_are_refused(tmp_path: Path, monkeypatch) -> None:
    honest = android.fitting

    def as_int8(content, examples):
        fitting = honest(content, examples)
        taken = {**fitting.taken, "dtype": "int8"}
        return type(fitting)(**{**vars(fitting), "taken": taken})

    monkeypatch.setattr(android, "fitting", as_int8)
    with pytest.raises(DropError, match="the model gives int8 scores, an app reads uint8, float32"):
        text_drop(tmp_path)


def test_a_model_without_names_of_its_inputs_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "other.tflite"
    data = WORDS_INT8.read_bytes()
    assert data.count(b"mask\0") == 1  # of the signature; the tensor's own name goes on
    model.write_bytes(data.replace(b"mask\0", b"musk\0"))
    with pytest.raises(DropError, match="the model's signature has the inputs ids, musk"):
        text_drop(tmp_path, shipped=model)


def test_a_model_that_computes_otherwise_is_not_shipped(tmp_path: Path, monkeypatch) -> None:
    honest = front.with_unread_input

    def other(model: bytes, name: str) -> bytes:
        changed = honest(model, name)
        table = next(t for t in read(model).tensors if t.is_const and t.size > 100)
        place = changed.index(table.data.tobytes())
        return changed[:place] + bytes([changed[place] ^ 1]) + changed[place + 1 :]

    monkeypatch.setattr(front, "with_unread_input", other)
    with pytest.raises(DropError, match="its constants are others"):
        text_drop(tmp_path)


Change = Callable[[dict[str, Any]], object]


def changed(drop: Path, tmp_path: Path, change: Change, model: bytes | None = None) -> Path:
    """A copy whose manifest is changed, and which is otherwise sealed again."""
    copy = Path(shutil.copytree(drop, tmp_path / "copy"))
    facts = facts_of(copy)
    if model is not None:
        (copy / facts["model"]).write_bytes(model)
        sha256 = hashlib.sha256(model).hexdigest()
        facts["files"][facts["model"]] = {"sha256": sha256, "bytes": len(model)}
    change(facts)
    (copy / "MANIFEST.json").write_text(json.dumps(facts))
    return copy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["measured"].update(sha256="0" * 64), "does not lie in the model as it was"),
        (lambda f: f["measured"].update(bytes=WORDS_INT8.stat().st_size - 16), "does not lie in"),
        (lambda f: f["measured"].update(bytes=10**15), "has no model of 1000000000000000 bytes"),
        (lambda f: f["measured"].update(bytes=-1), "has no model of -1 bytes"),
        (lambda f: f.pop("measured"), "does not say what a drop says"),
        (lambda f: f["input"].update(vocabulary="/dev/zero"), "/dev/zero is not among files"),
        (lambda f: f["input"].update(vocabulary="../../x"), "is not among files"),
        (lambda f: f["input"].update(vocabulary=["x"]), "does not say what a drop says"),
        (lambda f: f["input"].update(vocabulary="assets/labels.txt"), "vocabulary in its metadata"),
        (lambda f: f["input"].update(parts=["ids", "mask"]), "its metadata calls the inputs"),
        (lambda f: f["classes"].reverse(), "labels in its metadata"),
    ],
)
def test_a_manifest_that_says_otherwise_is_found_out(
    drop: Path, tmp_path: Path, change: Change, said: str
) -> None:
    problems = problems_of(changed(drop, tmp_path, change))
    assert any(said in problem for problem in problems), problems


def test_a_model_whose_inside_is_another_is_found_out(drop: Path, tmp_path: Path) -> None:
    """As somebody would make it: the metadata are right, the file that computes is another."""
    plain = front.with_unread_input(WORDS_FLOAT.read_bytes(), "segment_ids")
    model = (drop / "assets/words.tflite").read_bytes()
    other = metadata.embed(plain, metadata.read(model) or {}, metadata.associated(model))
    copy = changed(drop, tmp_path, lambda facts: None, other)
    assert any("does not lie in the model as it was" in problem for problem in problems_of(copy))


def test_a_model_without_metadata_is_found_out(drop: Path, tmp_path: Path) -> None:
    plain = front.with_unread_input(WORDS_INT8.read_bytes(), "segment_ids")
    copy = changed(drop, tmp_path, lambda facts: None, plain)
    assert problems_of(copy) == ["the model carries no TFLite metadata"]
