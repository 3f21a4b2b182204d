"""Files that are read once, and again when they are others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfedge.core import result
from tfedge.data import index
from tfedge.data.index import Index, Row
from tfedge.files.once import Once


def test_a_file_is_read_once_while_it_is_the_same(tmp_path: Path) -> None:
    calls: list[Path] = []
    once = Once(lambda path: (calls.append(path), path.read_text())[1])
    first, link = tmp_path / "a", tmp_path / "link"
    first.write_text("one")
    link.symlink_to(first)
    assert [once(first), once(link), once(first)] == ["one"] * 3
    assert calls == [first]
    first.write_text("three")
    assert once(link) == "three" and len(calls) == 2
    os.utime(first, ns=(0, 5))
    assert once(first) == "three" and len(calls) == 3
    other = tmp_path / "b"
    other.write_text("three")
    os.utime(other, ns=(0, 5))
    other.replace(first)
    once(first)
    assert len(calls) == 4, "another file in its place"


def test_the_last_few_are_kept_and_errors_are_not(tmp_path: Path) -> None:
    calls: list[str] = []

    def read(path: Path) -> str:
        calls.append(path.name)
        return path.read_text()

    once = Once(read, keep=2)
    with pytest.raises(FileNotFoundError):
        once(tmp_path / "a")
    for name in "abc":
        (tmp_path / name).write_text(name)
    assert [once(tmp_path / name) for name in "abcba"] == [*"abcba"]
    assert calls == ["a", "a", "b", "c", "a"]


def test_all_stages_of_a_run_parse_its_index_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data" / "index.json"
    Index(("a",), (Row("a/1.png", 0, "train", "00"),), "folders").save(path)
    parsed: list[str] = []
    real = index.parse_json
    monkeypatch.setattr(index, "parse_json", lambda text: (parsed.append(text), real(text))[1])
    assert Index.load(path) is Index.load(path)
    assert len(parsed) == 1
    again = result.gather(tmp_path, ["data"]).index
    assert again is not None and again.counts == {"train": {"a": 1}}
    assert result.gather(tmp_path, ["data"]).index is again
    assert result.gather(tmp_path, []).index is None
