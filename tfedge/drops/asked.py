"""Asking a shipped model about what a user names: files, folders, patterns, texts, a stream."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfedge.data.junk import is_junk
from tfedge.drops.drawn import Drawn, drawing_of
from tfedge.drops.served import Served
from tfedge.errors import ArtifactError, ConfigError, DataError
from tfedge.files.files import few
from tfedge.files.parallel import in_order
from tfedge.files.progress import Progress
from tfedge.files.whole import whole
from tfedge.tasks.drop import Answer, Reader, Unreadable
from tfedge.tflite.runtime import Pool

STREAM = "-"  # stands for standard input
_EACH = 8  # inputs a core, asked together
_SHOWN = 60  # characters of a text that an answer repeats


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input: ``answer``, or ``error``: why it could not be read. ``drawn``
    is the file with the answer drawn in, where that was asked for."""

    input: str
    answer: Answer | None
    error: str = ""
    drawn: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """``input`` and the keys of the answer, or ``error``; ``drawn``, where there is one."""
        told = {"error": self.error} if self.answer is None else self.answer.facts
        drawn = {} if self.drawn is None else {"drawn": str(self.drawn)}
        return {"input": self.input, **told, **drawn}


@dataclass(frozen=True)
class Input:
    """One example; ``given`` gives a file's bytes, or a text that was typed, or raises Unreadable.
    ``waited``: it came as somebody wrote it, who waits for the answer."""

    name: str
    given: Callable[[], bytes | str]
    waited: bool = False


def named(
    inputs: Sequence[str],
    texts: Sequence[str],
    reader: Reader,
    stream: BinaryIO | None,
    progress: Progress,
) -> Iterator[Input]:
    """What is to be asked, in order: ``inputs`` are files, folders, patterns and ``STREAM``, of
    which each line is one where the model takes texts, else all of it.

    DataError, before the first, with everything that leads to nothing; ConfigError for texts where
    the model takes none, and for a stream that there is none of.
    """
    kind, problems = reader.kind, []
    if texts and reader.typed is None:
        problems.append(f"--text: the model takes {kind.many}")
    if STREAM in inputs and stream is None:
        problems.append(f"{STREAM}: there is no standard input")
    if inputs.count(STREAM) > 1:
        problems.append(f"{STREAM}: standard input can be read once")
    if not inputs and not texts:
        problems.append(f"no {kind.many} to ask about: name files, folders, patterns or {STREAM}")
    if problems:
        raise ConfigError(problems)
    files = {one: _files(one, reader, progress) for one in inputs if one != STREAM}
    if missing := [f"{one}: {_nothing(one, kind.many)}" for one in files if not files[one]]:
        raise DataError(missing, f"name files, folders with {kind.many}, patterns or {STREAM}")
    return _inputs(inputs, texts, files, reader, stream)


def _inputs(
    inputs: Sequence[str],
    texts: Sequence[str],
    files: dict[str, list[Path]],
    reader: Reader,
    stream: BinaryIO | None,
) -> Iterator[Input]:
    for one in inputs:
        if one == STREAM and stream is not None:
            yield from _streamed(stream, reader)
        else:
            for path in files[one]:
                yield Input(str(path), partial(_of_file, path, reader.largest))
    for text in texts:
        yield Input(_short(text), partial(str, text))


def _files(name: str, reader: Reader, progress: Progress) -> list[Path]:
    """A file as it is named; of a folder those below it whose names say that they are of the
    kind; of a pattern all that it matches."""
    path = Path(name)
    if path.is_dir():
        return _below(path, reader, progress)
    if path.exists() or not glob.has_magic(name):
        return [path] if path.exists() else []
    # Path.glob takes no absolute pattern, and gives hidden files, too.
    matches = [Path(match) for match in sorted(glob.iglob(name, recursive=True))]  # noqa: PTH207
    return [
        file
        for match in matches
        for file in (_below(match, reader, progress) if match.is_dir() else [match])
    ]


def _below(folder: Path, reader: Reader, progress: Progress) -> list[Path]:
    found: list[Path] = []
    others: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not is_junk(one))
        for name in sorted(one for one in names if not is_junk(one)):
            (found if reader.kind.names(name) else others).append(Path(where) / name)
    if found and others:
        left = few([path.relative_to(folder).as_posix() for path in others])
        progress.note(f"note: {folder}: no {reader.kind.many}, and so left out: {left}")
    return found


def _nothing(name: str, many: str) -> str:
    if Path(name).is_dir():
        return f"no {many} in it"
    return "matches nothing" if glob.has_magic(name) else "no such file or folder"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _of_file(path: Path, largest: int) -> bytes:
    try:
        return whole(path, largest)
    except ArtifactError as error:
        raise Unreadable(error.message.removeprefix(f"{path}: ")) from error


def _streamed(stream: BinaryIO, reader: Reader) -> Iterator[Input]:
    if reader.typed is None:
        yield Input(STREAM, partial(_of_stream, stream, reader.largest), waited=True)
        return
    number = 0
    while line := stream.readline(reader.largest + 1):
        number += 1
        if len(line) > reader.largest:
            what = f"{STREAM}:{number}: more than {reader.largest:,} bytes in a line"
            raise DataError([what], "each line is a text: split it")
        yield Input(f"{STREAM}:{number}", partial(_of_line, line), waited=True)


def _of_stream(stream: BinaryIO, largest: int) -> bytes:
    content = stream.read(largest + 1)
    if len(content) > largest:
        raise Unreadable(f"has more than {largest:,} bytes")
    return content


def _of_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8") from error


def predictions(
    served: Served, inputs: Iterator[Input], top: int, draw: Path | None = None
) -> Iterator[Prediction]:
    """The answers, in order, as they come; with ``draw`` each is drawn into a copy of its input in
    that folder, one at a time. Before the first ArtifactError when the model can't be run, and
    ConfigError when its answers can't be drawn."""
    if draw is None:
        return _predictions(Pool(served.model), served.reader, inputs, top)
    drawing = drawing_of(served.reader)
    pool = Pool(served.model)
    return _drawn(pool, served.reader, inputs, top, Drawn(draw, drawing))


def _predictions(
    pool: Pool, reader: Reader, inputs: Iterator[Input], top: int
) -> Iterator[Prediction]:
    read = partial(_read, reader)
    for waited, group in groupby(inputs, lambda one: one.waited):
        if waited:  # not ahead: the last answer would come with the next input
            for one in group:
                yield from _answers(pool, reader, [read(one)], top)
            continue
        size = _EACH * pool.workers
        ready = in_order(read, group, ahead=2 * size)
        while batch := [got for _, got in islice(ready, size)]:
            yield from _answers(pool, reader, batch, top)


Got = tuple[Input, "np.ndarray | str"]  # a text says why it can't be read


def _read(reader: Reader, one: Input) -> Got:
    try:
        return one, _taken(reader, one.name, one.given())
    except Unreadable as error:
        return one, str(error)


def _taken(reader: Reader, name: str, given: bytes | str) -> np.ndarray:
    """What was given, as the model takes it. Unreadable."""
    if isinstance(given, bytes):
        return reader.content(given, Path(name).name)
    assert reader.typed is not None
    return reader.typed(given)


def _answers(pool: Pool, reader: Reader, batch: Sequence[Got], top: int) -> Iterator[Prediction]:
    good = [got for _, got in batch if not isinstance(got, str)]
    outputs = iter(pool.answers(np.stack(good)) if good else ())
    for one, got in batch:
        if isinstance(got, str):
            yield Prediction(one.name, None, got)
        else:
            yield Prediction(one.name, reader.answer(next(outputs), top))


def _drawn(
    pool: Pool, reader: Reader, inputs: Iterator[Input], top: int, into: Drawn
) -> Iterator[Prediction]:
    """One at a time, since all of a file is kept until it is drawn on."""
    for one in inputs:
        try:
            given = one.given()
            (output,) = pool.answers(_taken(reader, one.name, given)[None])
            content = given if isinstance(given, bytes) else given.encode("utf-8")
            path = into.write(one.name, content, output)
        except Unreadable as error:
            yield Prediction(one.name, None, str(error))
            continue
        yield Prediction(one.name, reader.answer(output, top), drawn=path)
