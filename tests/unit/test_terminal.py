"""Terminals whose encoding is another than UTF-8."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from os import dup
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tfedge.files import streams
from tfedge.files.terminal import READABLE, encoding_of

MODEL = Path(__file__).parent / "data" / "color_int8.tflite"
ENCODINGS = ("ascii", "latin-1", "cp1252", "koi8-r", "cp437", "shift_jis", "utf-16")
COMMANDS = (
    ("backbones", "MobileNetV2"),
    ("inspect", MODEL),
    ("inspect", "--json", MODEL),
    ("schema",),
    ("check", "p.yaml"),
    ("check", "wrong.yaml"),
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text("name: p\ndata: {path: sample:digits}\n")
    (tmp_path / "wrong.yaml").write_text("name: p\ndata: {path: x, 猫→: 1}\n", encoding="utf-8")
    return tmp_path


def decoded(done: CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_command_stumbles_over_the_encoding(
    files: Path, command: Callable[..., CompletedProcess[str]], encoding: str
) -> None:
    for arguments in COMMANDS:
        done = command(*arguments, PYTHONIOENCODING=encoding, encoding_of_output=encoding)
        assert "internal error" not in decoded(done) and "Traceback" not in decoded(done)
        assert done.returncode == (2 if "wrong.yaml" in arguments else 0), decoded(done)
        if "--json" in arguments:
            json.loads(done.stdout)


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "1.0 +- 0.1 x 2 -> \\u732b, caf\\xe9 ..."),
        ("latin-1", "1.0 ± 0.1 × 2 -> \\u732b, café ..."),
        ("cp1252", "1.0 ± 0.1 × 2 -> \\u732b, café …"),
        ("shift_jis", "1.0 ± 0.1 × 2 → 猫, caf\\xe9 …"),
        ("utf-8", "1.0 ± 0.1 × 2 → 猫, café …"),
    ],
)
def test_what_can_not_be_shown_is_shown_otherwise(encoding: str, expected: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding_of(io.TextIOWrapper(io.BytesIO(), encoding)))
    stream.reconfigure(errors=READABLE)
    stream.write("1.0 ± 0.1 × 2 → 猫, café …")
    stream.flush()
    assert stream.buffer.getvalue() == expected.encode(encoding)


def test_a_name_that_is_no_text_is_shown() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding_of(None), READABLE)
    stream.write(os.fsdecode(b"caf\xe9.png"))
    stream.flush()
    assert stream.buffer.getvalue() == rb"caf\udce9.png"


def test_progress_is_drawn_in_the_terminals_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "terminal").open("w", encoding="latin-1") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr("os.dup", lambda descriptor: dup(terminal.fileno()))
        with streams.terminal() as stream:
            stream.write("é → 猫\n")
        terminal.write("still open")
    assert (tmp_path / "terminal").read_bytes() == b"\xe9 -> \\u732b\nstill open"
