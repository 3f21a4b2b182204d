"""``tfedge verify`` and ``tfedge package``: a sound drop passes, every kind of damage is found."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from color_helpers import DATA, make_run, pixels

from tfedge.cli import main
from tfedge.drops import archive, manifest
from tfedge.drops.replay import on_device
from tfedge.drops.verify import verify
from tfedge.errors import DropError
from tfedge.stages import package
from tfedge.tflite.runtime import LiteRT


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("run"), evaluate=None, benchmark=None)
    package.run(run.context("package"))
    (run.folder / "drops").symlink_to(run.folder / "package" / "drops")
    return run.folder


@pytest.fixture
def drop(run_dir: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(run_dir / "drops" / "linux", tmp_path / "drop"))


def problems(drop: Path) -> str:
    return "\n".join(problem for check in verify(drop) for problem in check.problems)


def sealed(drop: Path, change: Callable[[dict], None] = lambda facts: None) -> None:
    """Give what was changed the right digests, so that only a closer look can find it."""
    facts = json.loads((drop / manifest.NAME).read_text())
    for name, entry in facts["files"].items():
        data = (drop / name).read_bytes()
        entry.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    change(facts)
    (drop / manifest.NAME).write_text(json.dumps(facts))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def test_a_sound_drop_passes(drop: Path) -> None:
    checks = verify(drop)
    assert [check.what for check in checks] == ["files", "model", "labels", "golden pairs"]
    assert problems(drop) == ""
    assert "8 of 8 identical through LiteRT" in checks[-1].found


def one_byte(drop: Path) -> None:
    flip(drop / "color.tflite", 2000)


def missing(drop: Path) -> None:
    (drop / "golden" / "003.input.bin").unlink()


def extra(drop: Path) -> None:
    (drop / "more.txt").write_text("x")


def link(drop: Path) -> None:
    (drop / "CARD.md").rename(drop.parent / "CARD.md")
    (drop / "CARD.md").symlink_to(drop.parent / "CARD.md")


def swapped_labels(drop: Path) -> None:
    (drop / "labels.txt").write_text("green\nred\nblue\n")
    sealed(drop)


def a_label_less(drop: Path) -> None:
    (drop / "labels.txt").write_text("red\ngreen\n")
    sealed(drop, lambda facts: facts.update(classes=["red", "green"]))


def other_answers(drop: Path) -> None:
    (drop / "golden" / "000.output.bin").write_bytes(bytes([0, 0, 255]))
    sealed(drop)


def flipped_answer(drop: Path) -> None:
    """Another class was first by far, though no score is further off than machines may be."""
    shown = ((pixels(0, 4) + pixels(2, 4).astype(int)) // 2).astype(np.uint8)  # red or blue?
    scores = LiteRT(drop / "color.tflite").invoke(shown[None])[0][0].astype(int)
    first, second = np.argsort(-scores, kind="stable")[:2]
    assert scores[first] - scores[second] < 30, "else it can't be flipped"
    scores[[first, second]] += (-38, 38)
    (drop / "golden" / "000.input.bin").write_bytes(shown.tobytes())
    (drop / "golden" / "000.output.bin").write_bytes(scores.astype(np.uint8).tobytes())
    sealed(drop)


def short_answers(drop: Path) -> None:
    (drop / "golden" / "000.output.bin").write_bytes(bytes([255]))
    sealed(drop)


def other_model(drop: Path) -> None:
    shutil.copy(DATA / "color_float.tflite", drop / "color.tflite")
    sealed(drop)


def broken_model(drop: Path) -> None:
    (drop / "color.tflite").write_bytes((drop / "color.tflite").read_bytes()[:1000])
    sealed(drop)


def no_golden(drop: Path) -> None:
    sealed(drop, lambda facts: facts.update(golden=[]))


def no_contract(drop: Path) -> None:
    sealed(drop, lambda facts: facts.pop("output"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (one_byte, "color.tflite was changed"),
        (missing, "golden/003.input.bin is missing"),
        (extra, "more.txt is not in the manifest"),
        (link, "CARD.md is a link"),
        (swapped_labels, "name different classes"),
        (a_label_less, "2 labels for scores of shape [1, 3]"),
        (other_answers, "golden/000.output.bin: scores differ by"),
        (flipped_answer, "golden/000.output.bin: another answer: class"),
        (short_answers, "holds 1 values of 3"),
        (other_model, "the manifest says"),
        (broken_model, "broken .tflite"),
        (no_golden, "there are no golden pairs"),
        (no_contract, "does not say what a drop says"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_found(drop: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(drop)
    assert said in problems(drop)
    assert main(["verify", str(drop)]) == 9


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda drop: None, ""),
        (flipped_answer, "1 of 8 differ: 000.output.bin: another answer: class"),
        (other_answers, "1 of 8 differ: 000.output.bin: scores differ by"),
    ],
)
def test_a_device_is_judged_by_the_same_rule(
    drop: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(drop)
    check = on_device("local", None)(drop, manifest.load(drop))
    assert [said in problem for problem in check.problems] == ([True] if said else [])
    done = subprocess.run(
        [sys.executable, "-B", str(drop / "classify.py"), "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if said else 0), done.stderr


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "tfedge.drop/9"}', '{"schema'])
def test_a_manifest_that_is_none(drop: Path, text: str) -> None:
    (drop / manifest.NAME).write_text(text)
    assert main(["verify", str(drop)]) == 9


def test_every_byte_counts(drop: Path) -> None:
    for path in sorted(p for p in drop.rglob("*") if p.is_file() and p.name != manifest.NAME):
        size = path.stat().st_size
        for place in {0, size // 2, size - 1}:
            flip(path, place)
            assert f"{path.relative_to(drop).as_posix()} was changed" in problems(drop)
            flip(path, place)
    assert problems(drop) == ""


def test_verify_says_it_as_json(drop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(drop), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True and {row["ok"] for row in said["checks"]} == {True}


def test_there_is_no_drop(tmp_path: Path) -> None:
    assert main(["verify", str(tmp_path / "nothing")]) == 9
    assert main(["package", str(tmp_path)]) == 9


def test_the_same_run_gives_the_same_archive(run_dir: Path, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        out = tmp_path / name
        assert main(["package", str(run_dir), "--archive", "zip", "--out", str(out)]) == 0
        assert [path.name for path in out.iterdir()] == ["color-linux.zip"]
        made.append((out / "color-linux.zip").read_bytes())
    assert made[0] == made[1]
    assert problems(tmp_path / "a" / "color-linux.zip") == ""


def test_what_a_killed_package_command_left_goes(run_dir: Path, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    ours = [f".color-linux.{gone.pid}.tmp", f".color-coral.zip.{gone.pid}.tmp"]
    others = [f".color-linux.{os.getppid()}.tmp", ".thesis.tmp", f".thesis.{gone.pid}.tmp"]
    for name in (*ours, *others):
        (tmp_path / name).mkdir() if "linux" in name else (tmp_path / name).write_text("half")
    assert main(["package", str(run_dir), "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"color-linux", *others}


def test_an_archive_that_was_changed(run_dir: Path, tmp_path: Path) -> None:
    archive.pack(run_dir / "drops" / "linux", tmp_path / "x.zip")
    data = bytearray((tmp_path / "x.zip").read_bytes())
    data[data.find(b"TFL3") + 3000] ^= 1
    (tmp_path / "x.zip").write_bytes(bytes(data))
    assert main(["verify", str(tmp_path / "x.zip")]) == 9


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "drop/../../out.txt", "out.txt"])
def test_an_archive_can_t_climb_out(tmp_path: Path, name: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        out.writestr("drop/MANIFEST.json", "{}")
        out.writestr(name, "x")
    (tmp_path / "x.zip").write_bytes(file.getvalue())
    with pytest.raises(DropError, match=r"leads out of its folder|at its top"):
        verify(tmp_path / "x.zip")
    assert not list(tmp_path.parent.rglob("out.txt"))


def test_package_takes_a_folder_out_and_replaces_only_drops(run_dir: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["package", str(run_dir), "--target", "linux", "--out", str(tmp_path)]) == 0
    assert problems(tmp_path / "color-linux") == ""
    assert main(["package", str(run_dir), "--target", "coral", "--out", str(tmp_path)]) == 9
    shutil.rmtree(tmp_path / "color-linux")
    (tmp_path / "color-linux").mkdir()
    (tmp_path / "color-linux" / "mine.txt").write_text("mine")
    assert main(["package", str(run_dir), "--out", str(tmp_path)]) == 9
    assert (tmp_path / "color-linux" / "mine.txt").read_text() == "mine"
