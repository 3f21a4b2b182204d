#!/usr/bin/env python3
"""Say of which class a text is, with the model in this folder.

    python classify.py "a text" [MORE ...] [--top 3] [--threads 1]
    python classify.py --file FILE [...]   each file is a text
    python classify.py --lines             each line of the standard input is one; answers are JSON
    python classify.py --check             replay the golden pairs of this folder

Needs numpy and one interpreter: ai-edge-litert, tflite-runtime or tensorflow.
Runs on Python 3.7 and newer. Ends with 0 when all went well, with 1 when a golden pair differs,
with 2 when something can't be used: the drop, the interpreter, or at least one of the texts.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from tfedge.portable.dropped import (
    Drop,
    Failed,
    Model,
    best,
    check,
    complain,
    content,
    described,
    ended,
    options,
    ranking,
    shown,
)
from tfedge.portable.pieces import BadVocabulary, Tokenizer
from tfedge.portable.tokenizers import TOKENIZERS

LARGEST = 16 * 2**20  # bytes of a text's file
SHOWN = 60  # characters of a text that an answer repeats


class TextDrop(Drop):
    """One whose model takes ids and a mask."""

    what = "texts"
    takes = "int32"

    def read(self, facts: dict) -> None:
        given = facts["input"]
        self.kind = TOKENIZERS[given["tokenizer"]]
        self.vocabulary = {key: str(given[key]) for key in self.kind.files}
        self.encoding = str(facts["input"]["encoding"])
        self.lower = bool(facts["input"]["lower"])
        self.texts = [str(pair["text"]) for pair in facts["golden"]]

    def fits(self) -> bool:
        return len(self.shape) == 3 and self.shape[:2] == [1, 2]

    def ports(self) -> list:
        return [described([1, self.shape[2]], self.takes)] * 2

    def tokenizer(self) -> Tokenizer:
        """What makes ids of a text."""
        places = {key: self.place(name) for key, name in self.vocabulary.items()}
        contents = {key: content(place, LARGEST) for key, place in places.items()}
        try:
            return self.kind(self.kind.read(contents, self.lower))
        except BadVocabulary as error:
            raise Failed(f"{places[error.file]}: {error}") from error


class Reader:
    """Texts as the model takes them."""

    def __init__(self, drop: Any) -> None:
        self.tokenizer = drop.tokenizer()
        self.length = drop.shape[2]

    def ids(self, text: str) -> np.ndarray:
        """int32 [2, length]: ids and mask. Failed for an empty text."""
        if not text.strip():
            raise Failed("an empty text")
        encoded = self.tokenizer.encode(text, self.length)
        return np.asarray([encoded.ids, encoded.mask], np.int32)


def classify(
    model: Model, reader: Reader, texts: Sequence[str], names: Sequence[str], top: int
) -> int:
    """Print the best classes for each text, and go on past those that can't be read: 2 then."""
    code = 0
    for text, name in zip(texts, names):
        try:
            found = best(model, reader.ids(text), top)
        except Failed as error:
            complain(error)
            code = 2
            continue
        print(shown(name))
        for label, score in found:
            print(f"  {100 * score:5.1f} %  {shown(label)}")
    return code


def lines(model: Model, reader: Reader, top: int) -> int:
    """A line of JSON for each line of the standard input, as it comes."""
    only_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    for number, line in enumerate(sys.stdin.buffer, 1):
        answer: dict = {"line": number}
        try:
            found = best(model, reader.ids(line.decode("utf-8")), top)
            answer["scores"] = {name: round(float(score), 4) for name, score in found}
        except UnicodeDecodeError:
            answer["error"] = "not UTF-8"
        except Failed as error:
            answer["error"] = str(error)
        print(json.dumps(answer, ensure_ascii=only_ascii), flush=True)
    return 0


def read_files(paths: Sequence[Path], encoding: str) -> list:
    """The text of each file. Failed for one that is none."""
    found = []
    for path in paths:
        try:
            text = content(path, LARGEST).decode(encoding)
        except (UnicodeDecodeError, LookupError) as error:
            raise Failed(f"{path}: not {encoding}") from error
        found.append(text[1:] if text.startswith("\ufeff") else text)
    return found


def replay(model: Model, reader: Reader, drop: Any) -> int:
    """The golden pairs: text to ids to scores."""

    def differs(number: int, given: np.ndarray) -> str:
        same = np.array_equal(reader.ids(drop.texts[number]), given)
        return "" if same else "other ids than when the drop was made"

    return check(model, differs)


def arguments() -> argparse.Namespace:
    """The command line. Wrong usage ends the program with 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("texts", nargs="*", metavar="TEXT", help="a text, in quotes")
    add("--file", nargs="+", type=Path, default=[], metavar="FILE", help="each file is a text")
    add("--lines", action="store_true", help="each line of the standard input is a text")
    ranking(parser)
    options(parser)
    args = parser.parse_args()
    if not (args.texts or args.file or args.lines or args.check):
        parser.error("give a text, --file, --lines or --check")
    return args


def run(args: argparse.Namespace) -> int:
    """What the command line asks for; the exit code."""
    drop = TextDrop()
    reader = Reader(drop)
    model = Model(drop, args.threads, False)
    if args.check:
        return replay(model, reader, drop)
    if args.lines:
        return lines(model, reader, args.top)
    texts = [*args.texts, *read_files(args.file, drop.encoding)]
    names = [text if len(text) <= SHOWN else text[: SHOWN - 1] + "…" for text in args.texts]
    return classify(model, reader, texts, names + [str(path) for path in args.file], args.top)


def main() -> int:
    """Run by the command line; the exit code."""
    return ended(arguments, run)


if __name__ == "__main__":
    sys.exit(main())
