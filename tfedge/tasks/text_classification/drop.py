"""What a drop of a text classifier holds beside what every drop holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.modeling.nets.text_base import IDS, MASK
from tfedge.portable.bpe import ByteLevelBPE
from tfedge.portable.pieces import BadVocabulary
from tfedge.portable.tokenizers import TOKENIZERS
from tfedge.portable.wordpiece import WordPiece
from tfedge.tasks.classification.files import LABELS, check_labels, class_facts, labels
from tfedge.tasks.contract import parts_of, stored
from tfedge.tasks.drop import Check, Content, Parts
from tfedge.tasks.text_classification import android
from tfedge.tasks.text_classification.copied import TEMPLATES
from tfedge.tasks.text_classification.examples import LabelledTexts
from tfedge.tasks.text_classification.script import EXAMPLE
from tfedge.tasks.text_classification.vocabulary import contents_of

# What a README says of a vocabulary's files.
_VOCABULARIES = {
    WordPiece.name: "- `vocab.txt`: the pieces that ids stand for, one a line. `classify.py` makes "
    "ids of a text by\n  WordPiece, as BERT has it, with Python's own library.",
    ByteLevelBPE.name: "- `vocab.json`: the pieces and their ids; `merges.txt`: which pairs are "
    "merged, the first ones first.\n  `classify.py` makes ids of a text by byte-level BPE, as "
    "GPT-2 has it, with Python's own library.",
}


def contract(model: bytes, examples: LabelledTexts) -> tuple[dict[str, Any], dict[str, Any]]:
    """int32 [1, length] ids and the same of a mask in, a score for each class [1, classes] out.
    DropError for any other model."""
    given, scores = parts_of(model)
    length = examples.texts.encoding.length
    got = ", ".join(f"{one.dtype} {list(one.shape)}" for one in given)
    if [(one.dtype, one.shape) for one in given] != [("int32", (1, length))] * 2:
        raise DropError(f"the model takes {got}, a drop needs ids and mask, int32 [1, {length}]")
    if scores.shape != (1, len(examples.classes)):
        got = f"{list(scores.shape)} scores for {len(examples.classes)} classes"
        raise DropError(f"the model gives {got}")
    encoding = examples.texts.encoding
    taken = {
        "dtype": "int32",
        "shape": [1, 2, length],
        "parts": [IDS, MASK],
        "tokenizer": encoding.kind.name,
        **encoding.kind.files,
        "lower": encoding.vocabulary.lower,
        "encoding": encoding.encoding,
    }
    meaning = "softmax score of each class, in the order of classes"
    return taken, stored(scores) | {"meaning": meaning}


def facts(examples: LabelledTexts) -> dict[str, Any]:
    """The manifest's ``classes``. DropError for names that labels.txt can't hold."""
    return class_facts(examples.classes)


def beside(examples: LabelledTexts) -> dict[str, bytes]:
    """The vocabulary's files."""
    encoding = examples.texts.encoding
    return encoding.kind.written(encoding.vocabulary)


def for_target(target: str, content: Content, examples: LabelledTexts) -> Content:
    """For Android with the input that MediaPipe asks for."""
    return android.fitting(content, examples) if target == "android" else content


def parts(target: str, content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, vocabulary, example script and README of ``target``; for Android the Kotlin and
    metadata."""
    return _PARTS[target](content, told)


def _linux(content: Content, told: Mapping[str, str]) -> Parts:
    readme = fill(
        TEMPLATES,
        "linux/README.md",
        **told,
        name=content.name,
        length=str(content.given["shape"][2]),
        out=content.taken["dtype"],
        shown=content.golden_told,
        vocabulary=_VOCABULARIES[content.given["tokenizer"]],
    )
    files = {
        LABELS: labels(content),
        **content.beside,
        "README.md": readme,
        EXAMPLE.name: EXAMPLE.text(),
    }
    return Parts(files, check=(EXAMPLE.name, "--check"))


_PARTS: dict[str, Callable[[Content, Mapping[str, str]], Parts]] = {
    "linux": _linux,
    "android": android.parts,
}


def check(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """That labels.txt has the manifest's classes, and the vocabulary every id of the golden
    pairs; and what an Android drop says of its model."""
    found = [check_labels(folder, manifest), _vocabulary(folder, manifest)]
    if manifest.get("target") == "android":
        found += android.check(folder, manifest)
    return found


def _vocabulary(folder: Path, manifest: Mapping[str, Any]) -> Check:
    given = manifest["input"]
    kind = TOKENIZERS[given["tokenizer"]]
    try:
        pieces = kind.read(contents_of(folder, manifest), given["lower"]).pieces
    except BadVocabulary as error:
        return Check("vocabulary", "", (f"{given[error.file]} {error}",))
    problems = []
    parts = manifest["input"]["shape"][1]
    for pair in manifest["golden"]:
        data = (folder / pair["input"]).read_bytes()
        ids = memoryview(data[: len(data) // parts]).cast("i")
        if any(not 0 <= one < len(pieces) for one in ids):
            problems.append(f"{pair['input']} has ids that are not in {given['vocabulary']}")
    return Check("vocabulary", f"{len(pieces):,} pieces", tuple(problems))
