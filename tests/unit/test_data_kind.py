"""Files of another kind than images are listed and audited alike, and spoken of by their name."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
from data_helpers import Said

from tfedge.data.audit import Bad, Contents, audit
from tfedge.data.kind import IMAGES, Kind
from tfedge.data.schema import Data
from tfedge.data.sources import scan
from tfedge.errors import DataError

SOUNDS = Kind(
    "sound", frozenset({"wav"}), "data.on_bad_sound", "takes of one speaker", "sample:tones"
)


class Sounds(Data):
    kind: ClassVar[Kind] = SOUNDS


def sounds(root: Path, names: dict[str, bytes]) -> Sounds:
    for name, content in names.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return Sounds(path=str(root))


def audited(data: Data, cache: Path, bad: dict[str, Bad] | None = None):
    found = scan(data, cache, Said())
    same = {digest: digest.encode() for digest in found.digests.values()}
    wrong = {found.digests[path]: why for path, why in (bad or {}).items()}
    return audit(found, Contents(same, wrong, {}, lambda one, other: False, {}), data)


def many(label: str, count: int = 12) -> dict[str, bytes]:
    return {f"{label}/{n}.wav": f"{label}{n}".encode() for n in range(count)}


def test_its_files_are_told_by_their_suffixes(tmp_path: Path) -> None:
    names = {**many("a"), **many("b"), "b/1.jpg": b"x", "a/.wav": b"x"}
    index, findings = audited(sounds(tmp_path / "s", names), tmp_path / "cache")
    assert {row.path.rpartition(".")[2] for row in index.rows} == {"wav"}
    assert "1 file ignored, no sound by name: b/1.jpg" in findings.warnings
    assert SOUNDS.names("x/Y.WAV") and not SOUNDS.names("x.wav/y") and not IMAGES.names("y.wav")


def test_what_is_wrong_speaks_of_them(tmp_path: Path) -> None:
    names = {**many("a"), **many("b"), "b/copy.wav": b"a3"}
    data = sounds(tmp_path / "s", names)
    with pytest.raises(DataError) as caught:
        audited(data, tmp_path / "cache", {"a/1.wav": Bad("is silent")})
    told = "\n".join(caught.value.problems) + caught.value.hint
    assert "the same sound under two labels" in told and "a/1.wav: is silent" in told
    assert "repair or remove these sounds, or set data.on_bad_sound: skip" in told
    assert "image" not in told


def test_a_folder_of_another_kind_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in a, b"):
        scan(Data(path=str(sounds(tmp_path / "s", many("a") | many("b")).path)), tmp_path, Said())
