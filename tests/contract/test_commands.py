"""What must work without TensorFlow, and the documents that must fit the commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import full_cache
import pytest
from PIL import Image

from tfedge import cli
from tfedge.commands import LAZY

ROOT = Path(__file__).parents[2]
CONTEXT = click.Context(cli.cli)
PIPELINES = sorted((ROOT / "pipelines").glob("*.yaml"))
COMMANDS = {name: cli.cli.get_command(CONTEXT, name) for name in cli.cli.list_commands(CONTEXT)}

# tfedge, with TensorFlow (and what else is heavy) made impossible to import.
WITHOUT = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r} or name in {refused!r}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Refuse())
from tfedge.cli import main
{rest}
"""
ONCE = "sys.exit(main())"
# One command on each file: each starts anew but for the imports, which are most of the time.
EACH = """
import contextlib, io, json
for file in sys.argv[1:]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*{command!r}, file])
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
TENSORFLOW = ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization")
HEAVY = (*TENSORFLOW, "numpy", "PIL", "sklearn", "ai_edge_litert", "requests")
HEAVY_FOR_HELP = (*HEAVY, "pydantic", "yaml")


def tfedge(
    *arguments: object, refused: tuple[str, ...], cwd: Path, rest: str = ONCE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(refused=refused, rest=rest), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_is_light(command: list[str], tmp_path: Path) -> None:
    ran = tfedge(*command, "--help", refused=HEAVY_FOR_HELP, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("Usage: tfedge")


def test_the_list_of_commands_needs_none_of_them(tmp_path: Path) -> None:
    ran = tfedge(
        "--help", refused=("requests", *(f"tfedge.commands.{n}" for n in LAZY)), cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    for name, text in LAZY.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", ran.stdout, re.MULTILINE)


def test_there_are_pipelines() -> None:
    assert len(PIPELINES) >= 4


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]], ids=" ".join)
def test_every_pipeline_checks_without_tensorflow(command: list[str], tmp_path: Path) -> None:
    rest = EACH.format(command=command)
    ran = tfedge(*PIPELINES, refused=HEAVY, cwd=tmp_path, rest=rest)
    assert ran.returncode == 0 and ran.stderr == "", ran.stderr
    for file, line in zip(PIPELINES, ran.stdout.splitlines(), strict=True):
        code, out, err = json.loads(line)
        if file.stem in ("photos", "texts", "boxes"):  # which are still to be named
            assert code == 4 and f"{file.stem}: no such folder" in err
            continue
        assert (code, err) == (0, ""), file
        for stage in ("data", "finetune", "quantize", "package"):
            assert re.search(rf"^ +{stage} ", out, re.MULTILINE), file
    assert list(tmp_path.iterdir()) == []


CACHED = """
name: cached
data: {path: sample:digits, image_size: 64}
backbone: {weights: none}
prune:
quantize:
evaluate:
package: {targets: [linux, android]}
"""
# The processor's time of all of it, imports too: whatever else the machine does.
TIMED = """
import time
code = main(sys.argv[1:])
print(time.process_time(), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]], ids=" ".join)
def test_a_plan_of_which_everything_is_cached_is_light(command: list[str], tmp_path: Path) -> None:
    """Then every stage's key is asked for, down to what drops are made of."""
    (tmp_path / "p.yaml").write_text(CACHED)
    stages = full_cache.fill(tmp_path / "p.yaml", tmp_path / "cache")
    words = (*command, "p.yaml", "--cache", tmp_path / "cache")
    seconds = []
    for _ in range(3):
        ran = tfedge(*words, refused=HEAVY, cwd=tmp_path, rest=TIMED)
        assert ran.returncode == 0, ran.stderr
        assert len(re.findall(r"^ +\w+ +hit ", ran.stdout, re.M)) == stages == 9, ran.stdout
        seconds.append(float(ran.stderr))
    assert min(seconds) < 0.5


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_a_first_pipeline_is_written_in_less_than_half_a_second(kind: str, tmp_path: Path) -> None:
    """Without TensorFlow and numpy."""
    for number in range(60):
        file = tmp_path / "mine" / "ab"[number % 2] / str(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        if kind == "images":
            Image.new("RGB", (200, 200), (number, 0, 0)).save(file.with_suffix(".png"))
        else:
            file.with_suffix(".txt").write_text(f"what is said in text {number}")
    refused = (*TENSORFLOW, "numpy", "sklearn", "ai_edge_litert", "requests")
    seconds = []
    for _ in range(3):
        ran = tfedge("init", "mine", refused=refused, cwd=tmp_path, rest=TIMED)
        assert ran.returncode == 0, ran.stderr
        assert f"60 {kind} in 2 classes" in ran.stdout
        seconds.append(float(ran.stderr))
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [[], ["--json"], ["prune.sparsity"]], ids=str)
def test_keys_are_explained_without_tensorflow(arguments: list[str], tmp_path: Path) -> None:
    ran = tfedge("schema", *arguments, refused=HEAVY, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "") and "zero" in ran.stdout


def test_the_hook_does_refuse(tmp_path: Path) -> None:
    ran = tfedge("check", PIPELINES[0], refused=("yaml",), cwd=tmp_path)
    assert ran.returncode != 0 and "yaml was imported" in ran.stderr


# ------------------------------------------------------------------ documents


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def command_lines(document: Path) -> list[str]:
    """The lines of a document's shell blocks that call tfedge."""
    blocks = re.findall(
        r"^```(?:sh|bash|console)\n(.*?)^```", document.read_text("utf-8"), re.M | re.S
    )
    lines = [line for block in blocks for line in block.splitlines()]
    parts = [part for line in lines for part in line.split("#")[0].split("&&")]
    return [
        part.strip().removeprefix("$ ") for part in parts if re.match(r"\s*(\$ )?tfedge\b", part)
    ]


def test_documents_name_commands_options_and_files_that_exist() -> None:
    lines = [line for document in documents() for line in command_lines(document)]
    assert lines, "the README calls tfedge"
    for line in lines:
        name, *rest = shlex.split(line)[1:]
        assert name in COMMANDS, line
        command = COMMANDS[name]
        known = {option for p in command.params for option in p.opts}
        options = [word.split("=")[0] for word in rest if word.startswith("-")]
        assert set(options) <= {*known, "-h", "--help"}, line
        for word in rest:
            if word.startswith("pipelines/"):
                assert (ROOT / word).is_file(), line


def every_command() -> dict[str, click.Command]:
    """With the commands of commands."""
    found = dict(COMMANDS)
    for name, command in COMMANDS.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": one for inner, one in command.commands.items()}
    return found


def example_lines(command: click.Command) -> list[str]:
    """The command lines at the end of a command's help."""
    _, found, told = command.get_help(click.Context(command)).rpartition("Examples:")
    return [line.strip() for line in told.splitlines() if found and line.strip()]


@pytest.mark.parametrize("name", every_command())
def test_help_ends_with_examples_that_parse(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option and argument of theirs is one; the files that they name need not be there."""
    monkeypatch.setattr(click.Path, "convert", lambda self, value, *_: Path(str(value)))
    lines = example_lines(every_command()[name])
    assert lines, f"tfedge {name} --help: epilog=examples(...)"
    for line in lines:
        words = shlex.split(re.split(r" [>|] ", line)[0])
        assert " ".join(words).startswith(f"tfedge {name}"), line
        rest = words[1 + len(name.split()) :]
        every_command()[name].make_context(name, rest)


def test_help_tells_every_option() -> None:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"
        assert command.help


def test_the_readme_and_ci_run_the_same_test_command() -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    (line,) = [
        line for line in readme.splitlines() if line.startswith("pip install") and "[dev]" in line
    ]
    assert line in run.splitlines()


@pytest.mark.parametrize("failing", ["pip", "ruff", "mypy", "pytest"])
def test_ci_run_ends_with_whatever_fails_first(failing: str) -> None:
    run = (ROOT / ".ci" / "run").read_text("utf-8")
    tests = run[run.index("trap") :].partition("deactivate")[0].splitlines()
    start = next(n for n, line in enumerate(tests) if line.startswith("pip install")) - 1
    commands = {"pip": 0, "ruff": 0, "mypy": 0, "pytest": 0, "version": 0, failing: 3}
    stubs = [f"{name}() {{ return {code}; }}" for name, code in commands.items()]
    script = "\n".join(["set -euo pipefail", *stubs, *tests[start:], "echo went on"])
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, "")


def test_the_readme_begins_with_the_command_that_the_front_door_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import front_door

    readme = (ROOT / "README.md").read_text("utf-8")
    first = readme.partition("```sh\n")[2].partition("```")[0]
    what = shlex.quote(front_door.WHAT)
    assert first == f"pip install {what} && tfedge run {front_door.PIPELINES['front door']}\n"


def test_the_readme_tells_every_exit_code() -> None:
    from tfedge import errors

    readme = (ROOT / "README.md").read_text("utf-8")
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.M)}
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Exception)]
    later = {8}  # devices
    assert {kind.exit_code for kind in kinds if hasattr(kind, "exit_code")} - later <= told
    assert errors.INTERRUPTED in told
