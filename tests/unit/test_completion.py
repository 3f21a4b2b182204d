"""Real shells, with what ``tfedge completion`` prints: a begun word, and what it becomes."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELLS = ("bash", "zsh", "fish")
STARTS = {
    "bash": (["--norc", "--noprofile", "-i"], "PS1='> '; bind 'set enable-bracketed-paste off'"),
    "zsh": (["-f", "-i"], "PS1='> '; unsetopt zle_bracketed_paste; autoload -Uz compinit"),
}
Completed = Callable[[str, str], str]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """``tfedge`` as a program, and two runs and a pipeline in the working directory."""
    program = tmp_path / "bin" / "tfedge"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tfedge "$@"\n')
    program.chmod(0o755)
    for name in ("flowers-1", "leaves-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
    (tmp_path / "runs" / "unfinished").mkdir()
    (tmp_path / "texts.yaml").write_text("name: a\ntask: text-classification\n")
    return os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "TERM": "dumb",
    }


@pytest.fixture(params=SHELLS)
def completed(
    request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path
) -> Completed:
    """Of a begun line, and of what is waited for: the line after Tab, or what fish proposes."""
    shell = str(request.param)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / f"completion.{shell}"
    asked = [sys.executable, "-m", "tfedge", "completion", shell]
    made = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    assert made.stderr == ""
    script.write_text(made.stdout)
    if shell == "fish":
        return lambda line, _: proposals(line, script, environment, tmp_path)
    return lambda line, wanted: after_tab(shell, line, wanted, script, environment, tmp_path)


def proposals(line: str, script: Path, environment: dict[str, str], cwd: Path) -> str:
    asked = f"source {script}; complete -C '{line}'"
    ran = subprocess.run(
        ["fish", "--no-config", "-c", asked],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    begun = line.rpartition(" ")[0]
    return "\n".join(f"{begun} {word.split(chr(9))[0]}" for word in ran.stdout.split("\n") if word)


def after_tab(
    shell: str, line: str, wanted: str, script: Path, environment: dict[str, str], cwd: Path
) -> str:
    """What an interactive shell shows of a line, once Tab was pressed three times."""
    options, start = STARTS[shell]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        os.execvpe(shell, [shell, *options], environment)
    try:
        more = "; compinit -u -D" if shell == "zsh" else ""
        os.write(terminal, f"{start}{more}; source {script}; echo rea''dy\n".encode())
        shown_until(terminal, lambda text: "ready" in text)
        os.write(terminal, f"{line}\t\t\t".encode())
        return shown_until(terminal, lambda text: wanted in text)
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


def shown_until(terminal: int, done: Callable[[str], bool]) -> str:
    """What comes out until that is the case, for a minute at most."""
    text = ""
    until = time.monotonic() + 60
    while time.monotonic() < until and not done(text):
        ready, _, _ = select.select([terminal], [], [], 1.0)
        if ready:
            text += os.read(terminal, 65536).decode("utf-8", "replace")
            text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x07|\r", "", text)
    return text


@pytest.mark.parametrize(
    ("begun", "becomes"),
    [
        ("tfedge templ", "tfedge template"),
        ("tfedge show --js", "tfedge show --json"),
        ("tfedge show runs/fl", "tfedge show runs/flowers-1"),
        ("tfedge compare runs/flowers-1 runs/le", "tfedge compare runs/flowers-1 runs/leaves-2"),
        ("tfedge backbones InceptionR", "tfedge backbones InceptionResNetV2"),
        ("tfedge run p.yaml --set data.image_s", "tfedge run p.yaml --set data.image_size"),
        ("tfedge run texts.yaml --set data.leng", "tfedge run texts.yaml --set data.length"),
        ("tfedge schema --task tex", "tfedge schema --task text-classification"),
        ("tfedge completion fi", "tfedge completion fish"),
    ],
)
def test_a_begun_word_is_completed(begun: str, becomes: str, completed: Completed) -> None:
    assert becomes in completed(begun, becomes)


def test_all_runs_are_proposed_and_nothing_else(completed: Completed) -> None:
    shown = completed("tfedge show ", "leaves-2")
    assert "runs/flowers-1" in shown and "runs/leaves-2" in shown
    assert "unfinished" not in shown and "texts.yaml" not in shown


def test_a_shell_that_there_is_none_of(environment: dict[str, str], tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "tfedge", "completion", "tcsh"]
    ran = subprocess.run(asked, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 2 and "'bash', 'zsh', 'fish'" in ran.stderr
