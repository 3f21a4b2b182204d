"""Standard streams that are closed, full or of another encoding, and paths that can't be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODEL = Path(__file__).parent / "data" / "color_int8.tflite"
LONG = "x" * 5000
SAID = ("Traceback", "internal error", "this is a bug", "Exception ignored")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "p.yaml").write_text("name: p\ndata: {path: nowhere}\n")
    (tmp_path / "é….yaml").write_text("name: p\ndata: {path: 'sample:digits'}\n", encoding="utf-8")
    return tmp_path


def shell(here: Path, command: str, **variables: str) -> tuple[int, str]:
    """Exit code, and what was said on both streams as far as they lead here."""
    environment = {**os.environ, "TFEDGE_CACHE": str(here / "cache"), **variables}
    done = subprocess.run(
        ["bash", "-c", command.replace("tfedge", f"{sys.executable} -m tfedge")],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = done.stdout + done.stderr
    assert not [word for word in SAID if word in said], said
    return done.returncode, said


def trains(command: str, code: int) -> Any:
    """A command that a light installation refuses for want of TensorFlow."""
    return pytest.param(command, code, marks=pytest.mark.train)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"tfedge inspect {MODEL} 2>&-", 0),
        (f"tfedge inspect {MODEL} >&-", 0),
        (f"tfedge inspect {MODEL} 2>/dev/full", 0),
        (f"tfedge inspect {MODEL} >/dev/full", 7),
        (f"tfedge inspect {MODEL} --json >/dev/full 2>/dev/full", 7),
        ("tfedge --help >/dev/full", 7),
        ("tfedge check nothing.yaml 2>&-", 2),
        ("tfedge check nothing.yaml 2>/dev/full", 2),
        ("tfedge check nothing.yaml <&- >&- 2>&-", 2),
        ("tfedge nothing 2>/dev/full", 2),
        ("tfedge check p.yaml --debug --set seed=x 2>/dev/full", 2),
        trains("tfedge run p.yaml 2>&-", 4),
        trains("tfedge run p.yaml 2>/dev/full", 4),
        trains("tfedge run p.yaml --run-dir r 2>/dev/full; tfedge run p.yaml --run-dir r 2>&-", 4),
        ("tfedge run é….yaml --dry-run >/dev/full", 7),
    ],
)
def test_the_code_stays_what_it_is(here: Path, command: str, code: int) -> None:
    assert shell(here, command)[0] == code
    if "run" in command and code == 4:
        (result,) = here.glob("r*/run.json" if "--run-dir" in command else "runs/latest/run.json")
        assert json.loads(result.read_text())["error"]["exit_code"] == 4


def test_a_full_disk_is_named(here: Path) -> None:
    _, said = shell(here, f"tfedge inspect {MODEL} >/dev/full")
    assert said.splitlines()[0] == "standard output: no space left on this disk"


def test_a_reader_that_has_gone(here: Path) -> None:
    command = f"set -o pipefail; tfedge inspect {MODEL} --json | true"
    assert shell(here, command) in ((141, ""), (0, ""))  # unless all of it fitted into the pipe


def test_no_file_gets_the_number_of_a_closed_stream(here: Path) -> None:
    """Else a library that writes to descriptor 2 would write into it."""
    (here / "opens.py").write_text(
        "import os\n"
        "from tfedge.files.streams import guarded\n"
        "with guarded():\n"
        "    print(os.open('.', os.O_RDONLY))\n"
    )
    assert int(shell(here, f"{sys.executable} opens.py 2>&- <&-")[1]) > 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_another_encoding(here: Path, encoding: str) -> None:
    code, said = shell(here, "tfedge check 'é….yaml'", PYTHONIOENCODING=encoding)
    assert code == 0 and "depends on" in said
    code, said = shell(here, "tfedge check 'ü….yaml'", PYTHONIOENCODING=encoding)
    assert code == 2 and "no such file" in said


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (f"tfedge check {LONG}.yaml", 2, "File name too long"),
        (f"tfedge inspect {LONG}", 7, "File name too long"),
        (f"tfedge verify {LONG}", 7, "is too long"),
        (f"tfedge package {LONG}", 7, "is too long"),
        (f"tfedge bench {LONG}", 2, "does not exist"),
        (f"tfedge devices --devices {LONG}", 2, "File name too long"),
        (f"tfedge run p.yaml --run-dir {LONG}", 7, "is too long"),
        (f"tfedge run p.yaml --run-dir {LONG[:300]}", 7, "is too long"),
        (f"tfedge run p.yaml --runs {LONG}", 7, "is too long"),
        (f"tfedge run p.yaml --cache {LONG}", 7, "is too long"),
        (f"TFEDGE_CACHE={LONG} tfedge run p.yaml", 7, "is too long"),
        (f"tfedge check p.yaml --set data.path={LONG}", 2, "data.path: no path can be that long"),
        (f"tfedge run p.yaml --set data.path={LONG[:300]}", 2, "no path can be that long"),
        (f"tfedge check p.yaml --set backbone.weights={LONG}.h5", 2, "no path can be that long"),
        ("TFEDGE_CACHE='~nobody_here/x' tfedge check é….yaml", 0, "depends on"),
    ],
)
def test_paths_that_are_too_long(here: Path, command: str, code: int, said: str) -> None:
    found, text = shell(here, command)
    assert found == code and said in text


ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}  # as a locale of Latin-1


@pytest.mark.parametrize("listed", [False, True])
def test_file_names_that_the_locale_misreads_are_told(here: Path, listed: bool) -> None:
    for name in ("a", "é"):
        (here / "images" / name).mkdir(parents=True)
        (here / "images" / name / "1.png").touch()
    lines = ["path,label", "images/a/1.png,a", "images/é/1.png,é"]
    (here / "images.csv").write_text("\n".join(lines), encoding="utf-8")
    data = "images.csv" if listed else "images"
    command = f"tfedge check p.yaml --set data.path={data}"
    code, said = shell(here, command, **ASCII)
    assert code == 4 and "is UTF-8, and file names are read as" in said and "PYTHONUTF8=1" in said
    assert shell(here, command)[0] == 0
