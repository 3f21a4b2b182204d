"""What a person sees of a run on a terminal, in a log and with --quiet, and what programs read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from core_fakes import ALL, go, prepare
from core_fakes import __file__ as FAKES

pytest.importorskip("pyte")

from terminal_helpers import Terminal, environment

from tests.schemas import check
from tfedge.core import live
from tfedge.core.events import RunEvents
from tfedge.files.text import sparkline

COLOR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m")
Opened = Callable[..., Terminal]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


@pytest.fixture
def opened(folder: Path) -> Opened:
    """The command line over the fakes on a terminal."""

    def open_one(*options: str, rows: int = 24, columns: int = 90, **more: str) -> Terminal:
        command = (sys.executable, FAKES, "run", "fake.yaml", "--cache", "cache", *options)
        return Terminal(*command, cwd=folder, rows=rows, columns=columns, **environment(**more))

    return open_one


def go_on(folder: Path) -> None:
    (folder / "cache" / "go on").touch()


def piped(
    folder: Path, *options: str, stderr: int = subprocess.PIPE, **more: str
) -> subprocess.CompletedProcess[str]:
    (folder / "cache").mkdir(exist_ok=True)
    go_on(folder)
    return subprocess.run(
        [sys.executable, FAKES, "run", "fake.yaml", "--cache", "cache", *options],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )


# ------------------------------------------------------------------ the list


def test_the_stages_are_a_list_that_goes_on(folder: Path, opened: Opened) -> None:
    terminal = opened(FAKE_FINETUNE="train")
    terminal.until("at it", "epoch 3/3 5/10 examples", "val_top1 0.91")
    assert not terminal.cursor_shown
    lines = terminal.lines
    note = next(n for n, line in enumerate(lines) if "too few" in line)
    assert sum("too few" in line for line in lines) == 1  # a warning is told once
    assert lines[note].startswith("finetune    warning: too few 猫")
    first = next(n for n, line in enumerate(lines) if re.match(r"✓ data +\d\.\d s$", line))
    assert note < first
    assert re.match(r"› finetune +\d+\.\d s head, epoch 3/3 5/10 examples", lines[first + 1])
    assert re.match(r" +━+", lines[first + 2])
    told = r" +loss 0\.\d+  val_loss 0\.4  val_top1 0\.91  (█[▁-█]+▁)"
    figures = re.fullmatch(told, lines[first + 3])
    assert figures and len(figures[1]) == 25  # a column a step
    names = ["quantize", "convert", "evaluate", "benchmark", "package"]
    assert lines[first + 4 : first + 9] == [f"· {name}" for name in names]
    assert re.fullmatch(r"  \d+ s so far", lines[first + 9])
    go_on(folder)
    assert terminal.end() == 0
    last = terminal.lines
    stages = [line for line in last if re.match(r"✓ \w+ +\d+\.\d s$", line)]
    assert [line.split()[1] for line in stages] == ALL
    told = ["a decision", "warning: too few 猫 images", "at it"]  # which the summary leaves out
    assert last[-4:] == ["table: ok", *(f"told: {text}" for text in told)]
    assert not [line for line in last if "so far" in line]
    assert terminal.cursor_shown


def test_what_the_cache_has_is_said(folder: Path, opened: Opened) -> None:
    go(folder)
    terminal = opened()
    assert terminal.end() == 0
    assert [line.split() for line in terminal.lines if "cache" in line] == [
        ["✓", name, "from", "the", "cache"] for name in ALL[:5]
    ]


def test_ctrl_c_leaves_the_terminal_as_it_was(opened: Opened) -> None:
    terminal = opened(FAKE_FINETUNE="hang")
    terminal.until("hanging", "· quantize")
    assert not terminal.cursor_shown
    terminal.type("\x03")
    assert terminal.end() == 130
    assert terminal.cursor_shown
    failed = re.compile(r"✗ finetune +\d+\.\d s interrupted")
    assert len([line for line in terminal.lines if failed.fullmatch(line)]) == 1
    assert terminal.lines[-2:] == [
        "stopped before the end",
        "hint: the same command goes on from the last finished stage",
    ]


@pytest.mark.parametrize(("how", "code"), [("refuse", 5), ("bug", 5), ("full", 7)])
def test_an_error_stands_below_the_list(opened: Opened, how: str, code: int) -> None:
    terminal = opened(FAKE_QUANTIZE=how, columns=300)
    assert terminal.end() == code
    assert terminal.cursor_shown
    lines = terminal.lines
    failed = next(n for n, line in enumerate(lines) if re.match(r"✗ quantize .* failed$", line))
    assert lines[failed + 1 : failed + 5] == [f"· {name}" for name in ALL[3:]]
    assert not lines[failed + 5].startswith(" ") and lines[failed + 6].startswith("hint: ")


def test_a_terminal_that_has_ascii_only(folder: Path, opened: Opened) -> None:
    terminal = opened(FAKE_FINETUNE="train", PYTHONIOENCODING="ascii")
    terminal.until("at it", "> finetune", "val_top1 0.91  @", "* quantize", r"few \u732b images")
    go_on(folder)
    assert terminal.end() == 0
    assert terminal.raw.isascii()
    assert "+ package" in "\n".join(terminal.lines)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "koi8-r", "cp437"])
def test_a_terminal_of_another_encoding(folder: Path, opened: Opened, encoding: str) -> None:
    terminal = opened(FAKE_FINETUNE="train", PYTHONIOENCODING=encoding)
    terminal.until("at it", "val_top1 0.91")
    go_on(folder)
    assert terminal.end() == 0
    drawn = terminal.raw.decode(encoding)
    assert "· quantize" in re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert set(re.findall(r"\\u\w{4}", drawn)) == {r"\u732b"}  # of the note, and of nothing drawn


def test_no_color_is_honoured(folder: Path, opened: Opened) -> None:
    go_on_at_once = {"FAKE_FINETUNE": "refuse"}
    plain, coloured = opened(NO_COLOR="1", **go_on_at_once), opened(**go_on_at_once)
    assert (plain.end(), coloured.end()) == (5, 5)
    assert COLOR.search(coloured.raw) and not COLOR.search(plain.raw)


def test_a_terminal_that_can_only_write_gets_lines(opened: Opened) -> None:
    terminal = opened(TERM="dumb")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw and terminal.lines[1] == "[2/7] finetune"


def test_a_low_terminal_shows_the_stage_at_work(folder: Path) -> None:
    """Its size is that of standard error as it was: while a stage is at work none of the standard
    streams leads to the terminal here."""
    command = (sys.executable, FAKES, "run", "fake.yaml", "--cache", "cache")
    apart = ("sh", "-c", 'exec "$@" </dev/null', "sh", *command)
    more = environment(FAKE_FINETUNE="train")
    terminal = Terminal(*apart, cwd=folder, rows=7, columns=80, **more)
    terminal.until("epoch 3/3 5/10", "val_top1 0.91", "so far")
    assert len([line for line in terminal.lines if "› finetune" in line]) == 1
    assert "quantize" not in "\n".join(terminal.lines)
    go_on(folder)
    assert terminal.end() == 0 and "table: ok" in terminal.lines


def test_what_would_move_the_cursor_is_not_written(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from tfedge.core.progress import shown_on\n"
        "shown = shown_on(sys.stderr)\n"
        "shown.start('data', 1, 1)\n"
        "shown.note('class \\x1b[2Jone\\rtwo')\n"
        "shown.update('read \\x1b[5A', 1, 2)\n"
        "shown.clear()\n"
    )
    terminal = Terminal(sys.executable, "-c", script, cwd=tmp_path, **environment())
    assert terminal.end() == 0
    assert b"\x1b[2J" not in terminal.raw and b"\x1b[5A" not in terminal.raw
    assert "class ?[2Jone" in "\n".join(terminal.lines)


def test_what_belongs_to_no_run_goes(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from tfedge.core.progress import shown_on\n"
        "shown = shown_on(sys.stderr)\n"
        "shown.update('looking at pi4,', 0, 2, 'devices done')\n"
        "shown.clear()\n"
        "print('result')\n"
    )
    terminal = Terminal(sys.executable, "-c", script, cwd=tmp_path, **environment())
    assert terminal.end() == 0
    assert b"looking at pi4, 0/2 devices done" in terminal.raw
    assert terminal.lines == ["result"] and terminal.cursor_shown


def test_a_long_training_keeps_a_bounded_curve() -> None:
    training = live._Training("head")
    for step in range(100_000):
        training.step(float(step))
    assert len(training.losses) < 1000 and list(training.latest) == [*range(99_990, 100_000)]
    assert training.losses == [
        training.each * n + (training.each - 1) / 2 for n in range(len(training.losses))
    ]
    assert training.each * len(training.losses) > 99_000


def test_the_curve_of_the_loss() -> None:
    assert sparkline([], 10) == ""
    assert sparkline([2.0], 10) == sparkline([2.0, 2.0], 1) == "▁"
    assert sparkline([3, 1, 2], 10) == "█▁▅"
    assert sparkline([8, 8, 1, 1, 4.5, 4.5], 3, "abc") == "cab"  # the means of two each
    assert len(sparkline([float(n) for n in range(1000)], 30)) == 30


# ------------------------------------------------------------------ logs and --quiet


def test_a_log_has_lines_without_control_characters(folder: Path) -> None:
    done = piped(folder, FAKE_FINETUNE="train")
    assert done.returncode == 0 and done.stdout == "table: ok\n"
    assert "\x1b" not in done.stderr and "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"\[1/7\] data +\d+\.\d s", lines[0])
    notes = ["      a decision", "      warning: too few 猫 images", "      at it"]
    assert lines[1:5] == ["[2/7] finetune", *notes]
    assert re.fullmatch(r"\[7/7\] package +\d+\.\d s", lines[-1])


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_is_warnings_and_the_summary(folder: Path, option: str) -> None:
    done = piped(folder, option, FAKE_FINETUNE="train")
    assert (done.stdout, done.stderr) == ("table: ok\n", "warning: too few 猫 images\n")


def test_where_both_streams_meet_a_warning_is_told_once(folder: Path) -> None:
    """In two files each is whole: there the summary has all of them."""
    warning = "warning: too few 猫 images"
    done = piped(folder, "-q", stderr=subprocess.STDOUT, FAKE_FINETUNE="train")
    assert done.stdout.splitlines() == [warning, "table: ok", f"told: {warning}"]
    done = piped(folder, "--force", stderr=subprocess.STDOUT, FAKE_FINETUNE="train")
    assert done.stdout.splitlines()[-3:] == ["told: a decision", f"told: {warning}", "told: at it"]


def test_quiet_tells_errors(folder: Path) -> None:
    done = piped(folder, "--quiet", FAKE_FINETUNE="refuse")
    assert (done.returncode, done.stdout) == (5, "")
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["can't", "hint"]


def test_quiet_on_a_terminal_draws_nothing(opened: Opened) -> None:
    terminal = opened("--quiet")
    assert terminal.end() == 0 and terminal.lines == ["table: ok"] and b"\x1b" not in terminal.raw


# ------------------------------------------------------------------ events


def events(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        check("events", event)
    assert [event["time"] for event in found] == sorted(event["time"] for event in found)
    return found


def test_json_is_events_and_the_result(folder: Path) -> None:
    done = piped(folder, "--json", FAKE_FINETUNE="train")
    assert done.returncode == 0 and done.stderr == ""
    found = events(done.stdout)
    assert found[0]["event"] == "run start" and found[0]["stages"] == ALL
    assert [(e["stage"], e["number"]) for e in found if e["event"] == "start"] == [
        (name, number) for number, name in enumerate(ALL, start=1)
    ]
    epochs = [(e["what"], e["epoch"], e["epochs"]) for e in found if e["event"] == "epoch"]
    assert epochs == [("head", 1, 3), ("head", 2, 3)]
    assert next(e for e in found if e["event"] == "epoch")["figures"]["val_top1"] == 0.91
    warnings = [(e["stage"], e["text"]) for e in found if e["event"] == "warning"]
    assert warnings == [("finetune", "too few 猫 images")]
    end, result = found[-2:]
    assert (end["event"], end["status"], result["event"]) == ("run end", "ok", "result")
    directory = Path(result["directory"])
    assert result["run"] == json.loads((directory / "run.json").read_text())
    assert result["summary"] == "table: ok"
    kept = (directory / "events.jsonl").read_text()
    assert [e["event"] for e in events(kept)] == [e["event"] for e in found[:-1]]


def test_a_second_run_is_told_as_one_from_the_cache(folder: Path) -> None:
    piped(folder, "--json")
    found = events(piped(folder, "--json").stdout)
    ends = [(e["stage"], e["cache"]) for e in found if e["event"] == "end"]
    assert ends == [*((name, "hit") for name in ALL[:5]), *((name, "none") for name in ALL[5:])]


@pytest.mark.parametrize(
    ("options", "more", "code", "status", "last"),
    [
        ((), {"FAKE_QUANTIZE": "refuse"}, 5, "failed", "run end"),
        (("--set", "evaluate.gates.min_accuracy=0.95"), {}, 6, "gate failed", "result"),
    ],
)
def test_events_of_a_run_that_does_not_end_well(
    folder: Path, options: tuple[str, ...], more: dict[str, str], code: int, status: str, last: str
) -> None:
    done = piped(folder, "--json", *options, **more)
    assert done.returncode == code and "hint: " in done.stderr
    found = events(done.stdout)
    end = next(event for event in found if event["event"] == "run end")
    assert end["status"] == status and end["message"] in done.stderr
    assert found[-1]["event"] == last
    assert last == "run end" or found[-1]["run"]["status"] == status


def test_python_can_have_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    told: list[dict[str, Any]] = []
    progress = RunEvents(told.append)
    progress.start("finetune", 1, 1)
    for step in range(25):  # a tenth of a second each
        now[0] += 0.1
        progress.loss("head", 100.0 - step)
        progress.update("head, epoch 1/1", step + 1, 25, "examples")
    progress.estimate(41.26, "takes about 40 s", ["package"])
    for event in told:
        check("events", event)
    found = [(e["done"], e["loss"]) for e in told if e["event"] == "progress"]
    assert found == [(1, 100.0), (11, 90.0), (21, 80.0)]
    assert told[-1]["seconds"] == 41.3 and told[-1]["unknown"] == ["package"]
