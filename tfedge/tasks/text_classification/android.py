"""A text classifier in an Android app: its Kotlin, and a file that MediaPipe takes, too."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.data.index import SPLITS
from tfedge.errors import ArtifactError, DropError, UnsupportedModel
from tfedge.inputs.text.mediapipe import read_otherwise
from tfedge.modeling.nets.text_base import IDS, MASK
from tfedge.portable.wordpiece import WordPiece
from tfedge.tasks import kotlin
from tfedge.tasks.classification import kotlin as classifiers
from tfedge.tasks.classification.files import LABELS, labels
from tfedge.tasks.drop import Check, Content, Metadata, Pair, Parts, golden_file
from tfedge.tasks.text_classification.copied import TEMPLATES
from tfedge.tasks.text_classification.examples import LabelledTexts
from tfedge.tasks.text_classification.vocabulary import contents_of
from tfedge.tflite import front, reader
from tfedge.tflite.metadata_schema import VOCABULARY as OF_A_VOCABULARY
from tfedge.tflite.model import Model, Signature

VOCABULARY = WordPiece.files["vocabulary"]
SEGMENTS = "segment_ids"  # which MediaPipe's TextClassifier wants beside ids and mask
SCORES = ("uint8", "float32")  # dtypes that MediaPipe and the Kotlin can read

_OWN = kotlin.Source(
    TEMPLATES,
    ("CompiledEngine", "Engine", "InterpreterEngine", "Model", "TextClassifier", "WordPiece"),
    ("GoldenTest",),
)
_WIDTH = 100  # of the README


def fitting(content: Content, examples: LabelledTexts) -> Content:
    """With the third input that MediaPipe asks for, in front of the measured file's own bytes, and
    what MediaPipe's tokenizer makes of the examples. DropError when the input can't be added."""
    measured = content.model
    called = [name for one in reader.read(measured).signatures for name, _ in one.inputs]
    if sorted(called) != [IDS, MASK]:
        got = ", ".join(called) or "none"
        raise DropError(f"the model's signature has the inputs {got}, not {IDS} and {MASK}")
    try:
        model = front.with_unread_input(measured, SEGMENTS)
    except (ArtifactError, UnsupportedModel) as error:
        raise DropError(f"no input {SEGMENTS} can be added to the model: {error}") from error
    if problems := _against_measured(model, measured):
        raise DropError(f"with the input {SEGMENTS} the model is another: {', '.join(problems)}")
    length = content.given["shape"][2]
    given = {
        **content.given,
        "shape": [1, 3, length],
        "parts": [*content.given["parts"], SEGMENTS],
        "unread": [SEGMENTS],
        "vocabulary": f"{kotlin.ASSETS}/{content.given['vocabulary']}",
    }
    nothing = np.zeros((1, length), np.int32)
    golden = tuple(
        Pair(np.concatenate([pair.input, nothing]), pair.output, pair.facts)
        for pair in content.golden
    )
    facts = {
        **content.facts,
        "measured": kotlin.measured_facts(measured),
        "mediapipe": _by_mediapipe(examples),
    }
    return replace(content, model=model, given=given, golden=golden, facts=facts)


def _by_mediapipe(examples: LabelledTexts) -> dict[str, Any]:
    """What MediaPipe's tokenizer makes of the examples that judge the model."""
    split = next(name for name in reversed(SPLITS) if examples.has(name))
    texts = map(examples.texts.text, examples.rows_of(split))
    return {"split": split, **read_otherwise(texts, examples.texts.encoding)._asdict()}


def told_of_mediapipe(facts: Mapping[str, Any], lower: bool) -> str:
    """The same in sentences, for card and README."""
    words = f"{facts['unknown']:,} of their {facts['words']:,} words"
    cased = "" if lower else ", though this vocabulary has upper case"
    return (
        f"MediaPipe's TextClassifier cuts texts by a tokenizer of its own, which lowers ASCII "
        f"letters alone{cased} and takes no accent off: of most words with other letters it makes "
        f"[UNK]. Of {facts['texts']:,} {facts['split']} texts {facts['other_ids']:,} get other ids "
        f"by it than in training, and {words} become [UNK] by it alone. `WordPiece.kt` gives the "
        "ids of training."
    )


def parts(content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, vocabulary, golden texts, Kotlin with its test, README and metadata. DropError when
    the scores can't be read."""
    given, facts = content.given, content.facts
    (signature,) = reader.read(content.model).signatures
    values = {
        **told,
        **classifiers.values(content, SCORES),
        "length": str(given["shape"][2]),
        "lower": str(given["lower"]).lower(),
        "ids": IDS,
        "mask": MASK,
        "inputs": ", ".join(f'"{name}"' for name in given["parts"]),
        "signature": signature.key,
        "output_name": signature.outputs[0][0],
        "vocabulary": VOCABULARY,
        "unread": SEGMENTS,
        "mediapipe": textwrap.fill(told_of_mediapipe(facts["mediapipe"], given["lower"]), _WIDTH),
    }
    files = classifiers.files(content, [_OWN], values)
    files[given["vocabulary"]] = content.beside[VOCABULARY]
    for number, pair in enumerate(content.golden):
        files[golden_file(number, "text.txt")] = pair.facts["text"].encode("utf-8")
    return Parts(files, metadata=_describe(content, signature))


def _describe(content: Content, signature: Signature) -> Metadata:
    """What readers of TFLite metadata need to feed the model and to name its scores."""
    length, vocabulary = content.given["shape"][2], content.beside[VOCABULARY]
    said = {
        IDS: "Numbers of the pieces of a text by WordPiece, [CLS] before and [SEP] behind them.",
        MASK: "1 where there is a piece, 0 behind the last one.",
        SEGMENTS: "Not read.",
    }
    names = {index: name for name, index in signature.inputs}
    inputs = [
        {
            "name": names[tensor.index],
            "description": f"{length} numbers. {said[names[tensor.index]]}",
            "content": {"content_properties": {"FeatureProperties": {}}},
        }
        for tensor in reader.read(content.model).inputs
    ]
    file = {
        "name": VOCABULARY,
        "description": "The pieces, in the order of their numbers.",
        "type": OF_A_VOCABULARY,
    }
    return Metadata(
        f"Tells of which of {len(content.facts['classes'])} classes a text is.",
        inputs,
        [classifiers.described_scores(content.taken)],
        {LABELS: labels(content), VOCABULARY: vocabulary},
        [{"options": {"BertTokenizerOptions": {"vocab_file": [file]}}}],
    )


def check(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """That the model's metadata says what the manifest says, and that the measured file lies in it
    as it was, beside an input that no op reads."""
    model = (folder / manifest["model"]).read_bytes()
    measured = kotlin.measured_in(manifest, model, _against_measured)
    problems = partial(_problems, folder, manifest, reader.read(model))
    return [kotlin.metadata_check(manifest, model, problems), measured]


def _problems(
    folder: Path,
    manifest: Mapping[str, Any],
    read: Model,
    graph: Mapping[str, Any],
    files: Mapping[str, bytes],
) -> list[str]:
    """What is wrong with what the metadata say."""
    names = {index: name for name, index in read.signatures[0].inputs}
    tensors = [names[tensor.index] for tensor in read.inputs]
    scores = graph["output_tensor_metadata"][0]
    problems = classifiers.labels_problems(scores, files, manifest)
    described = [entry["name"] for entry in graph["input_tensor_metadata"]]
    if described != tensors or sorted(described) != sorted(manifest["input"]["parts"]):
        problems.append(f"its metadata calls the inputs {', '.join(described)}")
    (unit,) = graph["input_process_units"]
    (vocabulary,) = unit["options"]["BertTokenizerOptions"]["vocab_file"]
    if files[vocabulary["name"]] != contents_of(folder, manifest)["vocabulary"]:
        problems.append("the vocabulary in its metadata is not that of the drop")
    return problems


def _against_measured(model: bytes, measured: bytes) -> list[str]:
    """How what the model computes differs from what the measured file does."""
    one, other = reader.read(measured), reader.read(model)
    return front.differences(one, other, [_added(other)])


def _added(model: Model) -> str:
    """What the tensor of the third input is called, by the signature."""
    found: Sequence[int] = [i for name, i in model.signatures[0].inputs if name == SEGMENTS]
    return model.tensors[found[0]].name if found else SEGMENTS
