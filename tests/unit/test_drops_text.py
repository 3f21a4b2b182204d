"""``classify.py`` of a text classifier's drop, as a process, on an interpreter that counts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfedge.portable.bpe import _CHARACTERS, ByteLevelBPE
from tfedge.tasks.text_classification.script import EXAMPLE

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s"]
LENGTH = 8
GIVEN = {
    "dtype": "int32",
    "shape": [1, 2, LENGTH],
    "tokenizer": "WordPiece",
    "vocabulary": "vocab.txt",
    "encoding": "utf-8",
    "lower": True,
}
# An ai-edge-litert whose inputs come in the other order, and whose scores say which words it got.
INTERPRETER = """
import numpy as np

class Interpreter:
    def __init__(self, **words): self.given = {}
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=i, name=name, shape=[1, 8], dtype=np.int32)
                for i, name in ((0, "serving_default_mask:0"), (1, "serving_default_ids:0"))]
    def get_output_details(self): return [dict(index=2, name="o", shape=[1, 2], dtype=np.uint8)]
    def set_tensor(self, index, value): self.given[index] = value
    def invoke(self): pass
    def get_tensor(self, index):
        mask, ids = self.given[0][0], self.given[1][0]
        assert set(mask.tolist()) <= {0, 1} and ids[0] == 2, "ids and mask are mixed up"
        good, bad = (int((ids[mask == 1] == word).sum()) for word in (4, 5))
        return np.array([[200 if good > bad else 50, 200 if bad > good else 50]], np.uint8)
"""


def ids_of(*words: int) -> np.ndarray:
    found = np.zeros((2, LENGTH), np.int32)
    found[0, : len(words) + 2] = [2, *words, 3]
    found[1, : len(words) + 2] = 1
    return found


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    (folder / "golden").mkdir(parents=True)
    (folder / EXAMPLE.name).write_bytes(EXAMPLE.text())
    (folder / "m.tflite").write_bytes(b"m")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    (folder / "golden" / "000.input.bin").write_bytes(ids_of(4, 6, 7).tobytes())
    (folder / "golden" / "000.output.bin").write_bytes(bytes([200, 50]))
    module = tmp_path / "fake" / "ai_edge_litert"
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    (module / "interpreter.py").write_text(INTERPRETER)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, **changes: Any) -> None:
    names = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "MANIFEST.json"
    ]
    files = {n: {"sha256": hashlib.sha256((folder / n).read_bytes()).hexdigest()} for n in names}
    pair = {"input": "golden/000.input.bin", "output": "golden/000.output.bin"}
    manifest = {
        "model": "m.tflite",
        "files": files,
        "input": GIVEN,
        "output": {"dtype": "uint8", "shape": [1, 2], "scale": 1 / 256, "zero_point": 0},
        "classes": ["good", "b\x1bad"],
        "golden": [{**pair, "text": "GOOD films"}],
        **changes,
    }
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))


def run(drop: Path, *words: object, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-B", EXAMPLE.name, *map(str, words)],
        cwd=drop,
        input=stdin,
        capture_output=True,
        env={"PYTHONPATH": str(drop.parent / "fake"), "PYTHONIOENCODING": "utf-8"},
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def test_texts_are_answered(drop: Path) -> None:
    done = run(drop, "A GOOD film", "bad, bad films", "--top", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "A GOOD film",
        "   78.1 %  good",
        "bad, bad films",
        "   78.1 %  b?ad",  # what could control a terminal is no answer
    ]


def test_an_empty_text_is_said_and_the_others_are_answered(drop: Path) -> None:
    done = run(drop, " ", "good", "--top", 1)
    assert (done.returncode, done.stderr) == (2, "classify.py: an empty text\n")
    assert "good" in done.stdout


def test_lines_are_answered_as_they_come(drop: Path) -> None:
    done = run(drop, "--lines", "--top", 1, stdin="good\n\xff\n\nbäd bad\n".encode("latin-1"))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers == [
        {"line": 1, "scores": {"good": 0.7812}},
        {"line": 2, "error": "not UTF-8"},
        {"line": 3, "error": "an empty text"},
        {"line": 4, "error": "not UTF-8"},
    ]


def test_files_are_read_as_the_training_texts_were(drop: Path) -> None:
    (drop / "one.txt").write_bytes(b"\xef\xbb\xbfgood film")
    assert "good" in run(drop, "--file", "one.txt", "--top", 1).stdout
    (drop / "one.txt").write_bytes(b"bad\xe9")
    done = run(drop, "--file", "one.txt")
    assert (done.returncode, done.stderr) == (2, "classify.py: one.txt: not utf-8\n")


def test_golden_pairs_are_replayed_from_their_texts(drop: Path) -> None:
    done = run(drop, "--check")
    assert done.returncode == 0 and "1 golden pairs" in done.stdout and "0 failed" in done.stdout


def test_another_vocabulary_is_found_out(drop: Path) -> None:
    """Its scores may be the same."""
    turned = [*PIECES[:6], "##s", "film"]
    (drop / "vocab.txt").write_text("\n".join(turned))
    write_manifest(drop)
    done = run(drop, "--check")
    assert done.returncode == 1
    assert "golden/000.output.bin: other ids than when the drop was made" in done.stdout


def test_a_changed_answer_is_found_out(drop: Path) -> None:
    (drop / "golden" / "000.output.bin").write_bytes(bytes([50, 200]))
    write_manifest(drop)
    done = run(drop, "--check")
    assert done.returncode == 1 and "scores differ by 0.586" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": {"dtype": "int32", "shape": [1, 2, LENGTH]}}, "does not say what a drop says"),
        ({"input": {**GIVEN, "tokenizer": "SentencePiece"}}, "does not say what a drop says"),
        ({"golden": [{"input": "a", "output": "b"}]}, "does not say what a drop says"),
        (
            {"input": {**GIVEN, "shape": [1, 9]}},
            "texts in, classes out",
        ),
        (
            {"input": {**GIVEN, "vocabulary": "../../etc/passwd"}},
            "which is no file that it lists",
        ),
        ({"classes": ["a", "b", "c"]}, "MANIFEST.json says"),
    ],
)
def test_a_damaged_drop_is_one_line(drop: Path, change: dict[str, Any], said: str) -> None:
    write_manifest(drop, **change)
    done = run(drop, "good")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


def test_a_vocabulary_that_is_none_is_said(drop: Path) -> None:
    for content, said in ((b"\xff", "is not UTF-8"), (b"[PAD]\n[CLS]\n", "lacks [UNK], [SEP]")):
        (drop / "vocab.txt").write_bytes(content)
        write_manifest(drop)
        done = run(drop, "good")
        assert done.returncode == 2 and said in done.stderr


# ------------------------------------------------------------------ byte-level BPE

MERGES = ("g o", "o d", "go od", "Ġ good", "b a", "Ġ ba", "Ġba d")
BYTES = ByteLevelBPE.read(
    {
        "vocabulary": json.dumps(
            {
                piece: n
                for n, piece in enumerate((*_CHARACTERS, *(m.replace(" ", "") for m in MERGES)))
            }
        ).encode(),
        "merges": "\n".join(MERGES).encode(),
    },
    lower=False,
)


@pytest.fixture
def bytes_drop(drop: Path) -> Path:
    """The same with the tokenizer of a GPT-2; the interpreter counts words 261 and 262."""
    (drop / "vocab.txt").unlink()
    for name, content in ByteLevelBPE.written(BYTES).items():
        (drop / name).write_bytes(content)
    fake = drop.parent / "fake" / "ai_edge_litert" / "interpreter.py"
    counted = INTERPRETER.replace(" and ids[0] == 2", "").replace("(4, 5)", "(259, 262)")
    fake.write_text(counted)
    encoded = ByteLevelBPE(BYTES).encode(" good bad", LENGTH)
    ids = np.asarray([encoded.ids, encoded.mask], np.int32)
    assert ids[0, :2].tolist() == [259, 262] and ids[1].sum() == 2
    (drop / "golden" / "000.input.bin").write_bytes(ids.tobytes())
    (drop / "golden" / "000.output.bin").write_bytes(bytes([50, 50]))
    pair = {"input": "golden/000.input.bin", "output": "golden/000.output.bin"}
    write_manifest(drop, input=GIVEN_BYTES, golden=[{**pair, "text": " good bad"}])
    return drop


GIVEN_BYTES = {**GIVEN, "tokenizer": "byte-level BPE", **ByteLevelBPE.files, "lower": False}


def test_a_drop_may_have_byte_level_bpe(bytes_drop: Path) -> None:
    done = run(bytes_drop, "--check")
    assert done.returncode == 0, done.stderr
    assert "1 golden pairs" in done.stdout and "0 failed" in done.stdout
    assert "78.1 %  good" in run(bytes_drop, "a good, GOOD \N{GRINNING FACE}", "--top", 1).stdout


def test_bad_merges_of_a_drop_are_said(bytes_drop: Path) -> None:
    (bytes_drop / "merges.txt").write_text("#version: 0.2\ng o\ng x\n")
    write_manifest(bytes_drop, input=GIVEN_BYTES, golden=[])
    done = run(bytes_drop, "good")
    assert done.returncode == 2 and "merges.txt: line 3 is no merge of two" in done.stderr
    assert done.stderr.count("\n") == 1
