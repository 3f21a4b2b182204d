"""Drops that were made to do harm: each is a finding, at once, and nothing that it names is opened
or run unless it is a file of the drop."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as schema
from color_helpers import make_run
from test_tflite_soundness import left_out, swapped
from tflite_helpers import DATA, repacked

from tfedge.cli import main
from tfedge.drops import archive, manifest
from tfedge.drops.verify import verify
from tfedge.stages import package
from tfedge.tasks.drop import Check
from tfedge.tflite import apart

MODEL = "color.tflite"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("run"), evaluate=None, benchmark=None)
    package.run(run.context("package"))
    return run.folder / "package" / "drops" / "linux"


@pytest.fixture
def drop(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made, tmp_path / "drop"))


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is run dies."""
    monkeypatch.setattr(apart, "_START", "import os; os.abort()")


def rewrite(drop: Path, change: Callable[[dict[str, Any]], object]) -> None:
    facts = json.loads((drop / manifest.NAME).read_text())
    change(facts)
    (drop / manifest.NAME).write_text(json.dumps(facts))


def put(drop: Path, name: str, data: bytes) -> None:
    """Exchange a file, and give it its digest."""
    (drop / name).write_bytes(data)
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    rewrite(drop, lambda facts: facts["files"].update({name: entry}))


def problems(checks: list[Check]) -> str:
    return "\n".join(problem for check in checks for problem in check.problems)


# --- names that lead elsewhere


def outside(drop: Path) -> Path:
    """A file beside the drop, as good as any in it."""
    return Path(shutil.copy(drop / MODEL, drop.parent / "m.tflite"))


def golden(key: str, name: Any) -> Callable[[Path], None]:
    return lambda drop: rewrite(drop, lambda facts: facts["golden"][0].update({key: name}))


def model(name: Any) -> Callable[[Path], None]:
    return lambda drop: rewrite(drop, lambda facts: facts.update(model=name))


def model_outside(drop: Path) -> None:
    rewrite(drop, lambda facts: facts.update(model=str(outside(drop))))


def model_beside(drop: Path) -> None:
    outside(drop)
    rewrite(drop, lambda facts: facts.update(model="../m.tflite"))


def listed_outside(drop: Path) -> None:
    """In ``files`` with the right digest, and yet not in the drop."""
    data = outside(drop).read_bytes()
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    rewrite(drop, lambda facts: facts["files"].update({"../m.tflite": entry}))
    model("../m.tflite")(drop)


def labels_outside(drop: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["files"]["/dev/zero/../../labels.txt"] = facts["files"].pop("labels.txt")

    rewrite(drop, change)
    (drop / "labels.txt").unlink()


def unlisted(drop: Path) -> None:
    """There, and in no list."""
    rewrite(drop, lambda facts: facts["files"].pop(MODEL))


def model_is(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def spoil(drop: Path) -> None:
        (drop / MODEL).rename(drop.parent / MODEL)
        make(drop / MODEL)

    return spoil


def in_a_link(drop: Path) -> None:
    """A folder of the drop is a link to one outside."""
    (drop / "golden").rename(drop.parent / "golden")
    (drop / "golden").symlink_to(drop.parent / "golden")


def many_pairs(drop: Path) -> None:
    rewrite(drop, lambda facts: facts.update(golden=facts["golden"][:1] * 200_000))


def compiled_outside(drop: Path) -> None:
    coral = {"file": "../m.tflite", "compiled": False, "min_runtime": 14}
    outside(drop)
    rewrite(drop, lambda facts: facts.update(target="coral", coral=coral))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (model_outside, "is not among files"),
        (model_beside, "model ../m.tflite is not among files"),
        (listed_outside, "../m.tflite is no name of a file in a drop"),
        (labels_outside, "labels.txt is no name of a file in a drop"),
        (unlisted, f"model {MODEL} is not among files"),
        (compiled_outside, "../m.tflite is no name of a file in a drop"),
        (model("/dev/zero"), "model /dev/zero is not among files"),
        (model(7), "model 7 is not among files"),
        (model(["a"]), "is not among files"),
        (model(None), "model None is not among files"),
        (golden("input", "/dev/zero"), "golden[0].input /dev/zero is not among files"),
        (golden("input", "../g.bin"), "golden[0].input ../g.bin is not among files"),
        (golden("output", {"a": 1}), "golden[0].output"),
        (golden("output", "golden//000.output.bin"), "is not among files"),
        (model_is(os.mkfifo), f"{MODEL} is a pipe"),
        (model_is(lambda path: path.symlink_to("/dev/zero")), f"{MODEL} is a link"),
        (model_is(lambda path: path.symlink_to("../color.tflite")), f"{MODEL} is a link"),
        (in_a_link, "golden is a link"),
        (many_pairs, "200000 golden pairs, a drop has 1000 at most"),
    ],
)
@pytest.mark.usefixtures("dies")
def test_a_name_that_leads_elsewhere(drop: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(drop)
    began = time.monotonic()
    (check,) = verify(drop)
    assert said in "\n".join(check.problems)
    assert len(check.problems) <= 21
    assert main(["verify", str(drop)]) == 9
    assert time.monotonic() - began < 10


IN_LITTLE_MEMORY = """
import resource, sys
from tfedge.cli import main
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
sys.exit(main(["verify", sys.argv[1]]))
"""


def deep(drop: Path) -> None:
    (drop / manifest.NAME).write_text("[" * 100_000 + "]" * 100_000)


def wide(drop: Path) -> None:
    (drop / manifest.NAME).write_text('{"schema": [' + "[]," * 5_000_000 + "0]}")


def endless(drop: Path) -> None:
    (drop / manifest.NAME).unlink()
    (drop / manifest.NAME).symlink_to("/dev/zero")


def pipe(drop: Path) -> None:
    (drop / manifest.NAME).unlink()
    os.mkfifo(drop / manifest.NAME)


def huge(drop: Path) -> None:
    with (drop / manifest.NAME).open("ab") as file:
        file.truncate(2**40)  # sparse


def huge_file(drop: Path) -> None:
    with (drop / "CARD.md").open("ab") as file:
        file.truncate(2**40)


def digits(drop: Path) -> None:
    rewrite(drop, lambda facts: facts.update(name=0))
    text = (drop / manifest.NAME).read_text().replace('"name": 0', '"name": ' + "9" * 100_000)
    (drop / manifest.NAME).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (deep, "no JSON"),
        (wide, "lists and objects: refused"),
        (endless, "is a link, not a file: refused"),
        (pipe, "is a pipe, not a file: refused"),
        (huge, "bytes, more than"),
        (huge_file, "no drop is so large"),
        (digits, "no JSON: holds a number of too many digits"),
        (many_pairs, "golden pairs"),
        (golden("input", "/dev/zero"), "is not among files"),
        (model_is(os.mkfifo), "is a pipe"),
    ],
)
def test_little_memory_and_time_are_enough(
    drop: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(drop)
    ran = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, str(drop)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 9, ran.stderr
    assert said in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_control_characters_of_a_name_are_not_printed(
    drop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (drop / "a\x1b[31m\n").write_text("x")
    assert main(["verify", str(drop)]) == 9
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and r"a\x1b[31m\n is not in the manifest" in printed


# --- models that crash an interpreter


def no_outputs(model: Any) -> None:
    model.subgraphs[0].operators[4].outputs = []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (left_out("CONV_2D", 1), "CONV_2D lacks its input 1"),
        (no_outputs, "has 0 outputs"),
        (swapped("MEAN", "SPLIT"), "SPLIT carries ReducerOptions"),
    ],
)
@pytest.mark.usefixtures("dies")
def test_a_model_that_is_not_sound_is_not_run(
    drop: Path, change: Callable[[Any], None], said: str
) -> None:
    put(drop, MODEL, repacked("color_int8", change))
    checks = verify(drop)
    assert said in problems(checks)
    assert "crashed" not in problems(checks)
    assert main(["verify", str(drop)]) == 9


@pytest.mark.usefixtures("dies")
def test_nothing_is_run_when_a_file_is_not_the_one_that_is_listed(drop: Path) -> None:
    (drop / "CARD.md").write_text("another")
    checks = verify(drop)
    assert problems(checks) == "CARD.md was changed"
    assert "golden pairs" not in [check.what for check in checks]


@pytest.mark.usefixtures("dies")
def test_a_crash_is_a_finding_and_the_zip_s_folder_goes(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.pack(drop, tmp_path / "color.zip")
    (tmp_path / "place").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "place"))
    told = problems(verify(tmp_path / "color.zip"))
    assert f"{MODEL}: LiteRT" in told and "crashed on it (SIGABRT)" in told
    assert "tfedge-drop" not in told, "names are those of the manifest"
    assert not list((tmp_path / "place").iterdir())
    assert main(["verify", str(tmp_path / "color.zip")]) == 9


def test_what_the_interpreter_refuses_is_a_finding(drop: Path) -> None:
    """A sound file whose op this LiteRT does not have in that version."""

    def newer(model: Any) -> None:
        for code in model.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
                code.version = 99

    put(drop, MODEL, repacked("color_int8", newer))
    told = problems(verify(drop))
    assert "can't load it" in told and "SOFTMAX" in told


STOPPED = """
import sys
from tfedge.cli import main
from tfedge.tflite import apart
apart._START = "import sys, time; print('started', file=sys.stderr); time.sleep(60)"
apart.subprocess.DEVNULL = None  # let its stderr through
sys.exit(main(["verify", sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_while_it_runs_a_model_the_zip_s_folder_goes(
    drop: Path, tmp_path: Path, number: signal.Signals
) -> None:
    archive.pack(drop, tmp_path / "color.zip")
    (tmp_path / "place").mkdir()
    run = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "color.zip")],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"TMPDIR": str(tmp_path / "place")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    while "started" not in run.stderr.readline():
        assert run.poll() is None
    assert list((tmp_path / "place").glob("tfedge-drop-*"))
    run.send_signal(number)
    run.communicate(timeout=30)
    assert run.returncode == 130
    assert not list((tmp_path / "place").glob("tfedge-drop-*"))


# --- where the drop lies


def test_what_is_no_drop_says_where_one_is(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(made, run_dir / "drops" / "linux")
    assert main(["verify", str(run_dir)]) == 9
    assert f"hint: its drop: tfedge verify {run_dir}/drops/linux" in capsys.readouterr().err
    file = run_dir / "drops" / "linux" / MODEL
    assert main(["verify", str(file)]) == 9
    assert f"hint: its drop: tfedge verify {file.parent}" in capsys.readouterr().err
    assert main(["verify", str(DATA / "color_int8.tflite")]) == 9
    assert "a model, not a drop" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place", ["drops", "convert", "convert/model.tflite", "drops/linux/golden"]
)
def test_a_place_within_a_run_says_where_its_drop_is(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    shutil.copytree(made, tmp_path / "run" / "drops" / "linux")
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "run" / "convert").mkdir()
    shutil.copy(made / MODEL, tmp_path / "run" / "convert" / "model.tflite")
    monkeypatch.chdir(tmp_path)
    assert main(["verify", f"run/{place}"]) == 9
    assert "hint: its drop: tfedge verify run/drops/linux\n" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "run" / "convert")
    assert main(["verify", "model.tflite"]) == 9
    assert "hint: its drop: tfedge verify ../drops/linux\n" in capsys.readouterr().err


def test_a_run_that_made_no_drop_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "drops").symlink_to("package/drops")  # as a run leaves it
    for place in ("", "drops", "drops/linux"):
        assert main(["verify", str(tmp_path / place)]) == 9
        assert "hint: a run that made no drop" in capsys.readouterr().err


def test_an_archive_of_nothing_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "zeros.tar").write_bytes(bytes(20_480))
    assert main(["verify", str(tmp_path / "zeros.tar")]) == 9
    assert "nothing in it" in capsys.readouterr().err
