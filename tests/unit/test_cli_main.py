"""The command line: what a person reads, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from tfedge import __version__, cli, errors
from tfedge.pipeline.schema import Prune

GOOD = "name: good\ndata: {path: photos}\nprune:\nquantize:\n"


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "good.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return "good.yaml"


@pytest.fixture
def photos(good: str) -> str:
    """The same with images where it says that they are, by their names."""
    for name in ("a/1.png", "b/1.png"):
        path = Path("photos") / name
        path.parent.mkdir(parents=True)
        path.touch()
    return good


def test_check_prints_the_plan(photos: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", photos]) == 0
    said = capsys.readouterr()
    assert "quantize" in said.out and "block_13_expand" in said.out and said.err == ""


@pytest.mark.parametrize("rule", get_args(Prune.model_fields["allocation"].annotation))
def test_check_says_how_layers_share_the_zeros(
    photos: str, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", photos, "--set", f"prune.allocation={rule}"]) == 0
    assert "in the 9 layers that train (" in capsys.readouterr().out


def test_dry_run_honours_from_and_to(photos: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", photos, "--dry-run", "--from", "prune", "--to", "quantize"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[2:]}
    assert "convert" not in rows
    assert "the run would stop here" in rows["finetune"]
    assert not Path("runs").exists()


def test_problems_go_to_stderr_line_by_line(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", good, "--set", "seed=x", "--set", "prune.epochs=0"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split(":")[0] for line in said.err.splitlines()] == [
        "--set seed=x",
        "--set prune.epochs=0",
        str(Path("photos").absolute()),  # there is no such folder
        "hint",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--version"], 0, __version__),
        ([], 2, "Commands:"),
        (["rnu", "good.yaml"], 2, "No such command 'rnu', did you mean run?"),
        (["convert", "my.keras"], 2, "a stage of a pipeline: tfedge run FILE --to convert"),
        (["run"], 2, "Missing argument 'FILE'"),
        (["run", "good.yaml", "--frm", "x"], 2, "No such option"),
        (["run", "good.yaml", "--dry-run", "--json"], 2, "--dry-run runs nothing"),
        (["check", "gold.yaml"], 2, "hint: did you mean good.yaml?"),
        (["run", "good.yaml", "--from", "quantise"], 2, "did you mean quantize?"),
        (["run", "good.yaml", "--run-dir", "good.yaml"], 2, "is a file"),
        pytest.param(["run", "good.yaml"], 4, "no such folder", marks=pytest.mark.train),
    ],
)
def test_exit_codes(
    good: str, arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


@pytest.mark.train
def test_a_run_that_fails_leaves_its_result(good: str) -> None:
    assert cli.main(["run", good, "--cache", "cache"]) == 4
    result = json.loads(Path("runs/latest/run.json").read_text())
    assert result["status"] == "failed"
    assert result["error"]["stage"] == "data" and result["error"]["exit_code"] == 4


def test_a_place_that_can_not_be_written_is_one_line(
    good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert cli.main(["run", good, "--runs", "file/runs"]) == 7
    assert cli.main(["run", good, "--cache", "file/cache"]) == 7
    shown = capsys.readouterr().err
    assert shown.count("hint: ") == 2 and "Traceback" not in shown


def boom() -> None:
    raise ZeroDivisionError("boom")


def test_a_bug_is_kept_in_a_file(
    monkeypatch: pytest.MonkeyPatch, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tfedge.core.plan.select", lambda *_: boom())
    assert cli.main(["check", good]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "internal error: ZeroDivisionError: boom" and len(said) == 2
    log = Path(said[1].split()[-1])
    assert "in boom" in log.read_text()
    log.unlink()


def test_debug_shows_the_traceback(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", good, "--set", "seed=x", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_before_the_run(
    monkeypatch: pytest.MonkeyPatch, good: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tfedge.pipeline.load.load", interrupt)
    assert cli.main(["check", good]) == 130
    assert "hint: the same command goes on" in capsys.readouterr().err


def test_the_cache_is_where_the_user_wants_it(
    monkeypatch: pytest.MonkeyPatch, photos: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def place(*arguments: str) -> str:
        assert cli.main(["check", photos, *arguments]) == 0
        first = capsys.readouterr().out.splitlines()[0]
        return first.split("(cache ")[1].rstrip(")")

    monkeypatch.setenv("TFEDGE_CACHE", "/from/tfedge")
    monkeypatch.setenv("XDG_CACHE_HOME", "/from/xdg")
    assert place("--cache", "/given") == "/given"
    assert place() == "/from/tfedge"
    monkeypatch.delenv("TFEDGE_CACHE")
    assert place() == "/from/xdg/tfedge"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert place() == "/home/someone/.cache/tfedge"


def test_the_docstring_of_errors_tells_the_codes() -> None:
    codes = {
        line.split("(")[0].strip("│├└─ "): int(line.split(")", 1)[1].split()[0])
        for line in str(errors.__doc__).splitlines()
        if "(" in line
        and ")" in line
        and line.strip("│├└─ ")[0].isupper()
        and line.split(")", 1)[1].split()[:1]
        and line.split(")", 1)[1].split()[0].isdigit()
    }
    assert len(codes) >= 9
    for name, code in codes.items():
        assert getattr(errors, name).exit_code == code, name
