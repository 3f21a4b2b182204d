from __future__ import annotations

import io
import random
import stat
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tfedge.errors import ArtifactError, TfedgeError
from tfedge.files.archive import unpack
from tfedge.files.budget import DATA, Limits

FILES = {"p/a/1.txt": b"one", "p/b/2.txt": b"two" * 1000, "top.txt": b""}


def tar(path: Path, mode: str = "w:gz", *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def zipped(path: Path, *more: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*FILES.items(), *more]:
            archive.writestr(name, content)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return info


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zip"])
def test_good_archives(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "given"
    source = zipped(source) if mode == "zip" else tar(source, mode)
    assert tree(unpack(source, tmp_path / "new" / "out")) == FILES
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]


def refused(tmp_path: Path, source: Path, says: str, limits: Limits = DATA) -> None:
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ArtifactError, match=says) as caught:
        unpack(source, tmp_path / "new" / "out", called="http://x/y.tgz", limits=limits)
    assert caught.value.exit_code == 7 and caught.value.message.startswith("http://x/y.tgz")
    assert set(tmp_path.rglob("*")) - before <= {tmp_path / "new"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (member("../evil.txt"), r"entry \.\./evil\.txt leads out of its folder: refused"),
        (member("p/../../evil.txt"), "leads out"),
        (member("/tmp/tfedge-evil.txt"), "leads out"),
        (member("p/link", tarfile.SYMTYPE, "/etc"), "p/link is a link: refused"),
        (member("p/link", tarfile.SYMTYPE, "a/1.txt"), "is a link"),
        (member("p/hard", tarfile.LNKTYPE, "/etc/passwd"), "is a link"),
        (member("p/dev", tarfile.CHRTYPE), "is a device or special file"),
        (member("p/fifo", tarfile.FIFOTYPE), "is a device or special file"),
        (member("p/a/1.txt"), "p/a/1.txt is there twice"),
        (member("p/a/1.txt/deeper"), "is there twice"),
        (member("p/a"), "is there twice"),
        (member("\x1b[2J/../../x"), r"entry \\x1b\[2J/"),
    ],
)
def test_bad_tar_entries(tmp_path: Path, bad: tarfile.TarInfo, says: str) -> None:
    refused(tmp_path, tar(tmp_path / "bad.tgz", "w:gz", bad), says)


def zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../evil.txt", "leads out"),
        ("p/../../evil.txt", "leads out"),
        ("..\\evil.txt", "leads out"),
        ("/etc/evil", "leads out"),
        ("C:/evil", "leads out"),
        (zip_link("p/link"), "is a link or device"),
        ("p/b/2.txt/x", "is there twice"),
    ],
)
def test_bad_zip_entries(tmp_path: Path, name: zipfile.ZipInfo | str, says: str) -> None:
    refused(tmp_path, zipped(tmp_path / "bad.zip", (name, b"/etc/passwd")), says)


def test_a_zip_twice_the_same_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        source = zipped(tmp_path / "bad.zip", ("top.txt", b"again"))
    refused(tmp_path, source, "top.txt is there twice")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(zipped(tmp_path / "bad.zip").read_bytes())
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "bad.zip").write_bytes(data)
    refused(tmp_path, tmp_path / "bad.zip", "encrypted")


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_bombs(tmp_path: Path, kind: str) -> None:
    zeros = b"\0" * 3_000_000
    if kind == "zip":
        source = zipped(tmp_path / "bomb", ("zeros", zeros))
    else:
        info = tarfile.TarInfo("zeros")
        info.size = len(zeros)
        with tarfile.open(tmp_path / "bomb", "w:gz") as archive:
            archive.addfile(info, io.BytesIO(zeros))
        source = tmp_path / "bomb"
    refused(tmp_path, source, "unpacks to too much", replace(DATA, free=10_000))


@pytest.mark.parametrize("mode", ["zip", "w:gz"])
def test_too_many_entries(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "many"
    source = zipped(source) if mode == "zip" else tar(source, mode)
    refused(tmp_path, source, "more than 2 entries", replace(DATA, entries=2))


@pytest.mark.parametrize("content", [b"", b"just a text\n" * 100, b"PK\3\4", b"\x1f\x8b\x08"])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text").write_bytes(content)
    refused(tmp_path, tmp_path / "text", "no zip or tar, or a damaged one|damaged archive")


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_damaged_archives_end_in_an_error_of_ours_and_leave_nothing(
    tmp_path: Path, mode: str
) -> None:
    source = tmp_path / "given"
    good = (zipped(source) if mode == "zip" else tar(source, mode)).read_bytes()
    rng = random.Random(1)
    for number in range(80):
        data = bytearray(good)
        if number % 2:
            data = data[: rng.randrange(len(data))]
        else:
            for _ in range(3):
                data[rng.randrange(len(data))] = rng.randrange(256)
        source.write_bytes(data)
        target = tmp_path / "new" / str(number)
        try:
            unpack(source, target)
        except TfedgeError as error:
            assert not target.exists()
            assert "the disk refuses" not in error.message or "name too long" in error.message
    assert not list((tmp_path / "new").glob(".*"))


def test_what_a_killed_run_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".out.tmp").mkdir()
    (tmp_path / ".out.tmp" / "half").write_text("half")
    assert tree(unpack(zipped(tmp_path / "a.zip"), tmp_path / "out")) == FILES
    assert not (tmp_path / ".out.tmp").exists()
