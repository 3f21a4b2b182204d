"""tools/bench_tflite.py as a file: made of its sources, plain, and the same wherever it is made."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from script_helpers import ROOT, SCRIPT

from tfedge.benchmark import call
from tfedge.benchmark.call import script_file
from tfedge.benchmark.device_script import SCRIPT_NAME, script_text
from tfedge.tasks.image_classification.script import EXAMPLE
from tfedge.tasks.object_detection.script import EXAMPLE as DETECT

BUILD = ROOT / "tools" / "build_device_script.py"


def test_it_is_what_its_sources_make() -> None:
    done = subprocess.run([sys.executable, str(BUILD), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert script_text() == SCRIPT.read_text("utf-8"), f"python tools/{BUILD.name}"


def test_another_one_is_found_and_written_anew(tmp_path: Path) -> None:
    for folder in ("tools", "tfedge"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    script, build = tmp_path / "tools" / SCRIPT_NAME, tmp_path / "tools" / BUILD.name
    facts = tmp_path / "tfedge" / "benchmark" / "script" / "facts.py"
    facts.write_text(facts.read_text("utf-8") + "\n\nMORE_FACTS = 1\n")
    check = subprocess.run([sys.executable, build, "--check"], capture_output=True, text=True)
    assert check.returncode == 1
    assert "is not what its sources make" in check.stdout
    assert "MORE_FACTS" not in script.read_text("utf-8")
    subprocess.run([sys.executable, build], check=True)
    assert "\nMORE_FACTS = 1\n" in script.read_text("utf-8")


@pytest.mark.parametrize(
    "text",
    [script_text(), EXAMPLE.text().decode(), DETECT.text().decode()],
    ids=["bench", "classify", "detect"],
)
def test_it_is_plain(text: str) -> None:
    """Formatted and checked as all other code is, and nothing is packed, decoded or executed."""
    ast.parse(text, feature_version=(3, 7))
    assert max(map(len, text.splitlines())) <= 100
    for command in (["format", "--check"], ["check"]):
        words = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(SCRIPT), "-"]
        done = subprocess.run(words, input=text, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
    tree = ast.parse(text)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not names & {"exec", "eval", "compile", "__import__", "base64", "zlib", "tempfile"}
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    # The longest is a model without ops, 84 bytes in hexadecimal.
    packed = [s for s in strings if isinstance(s, str) and re.search(r"\S{170}", s)]
    assert packed == []


def test_an_installed_package_hands_it_out(tmp_path: Path) -> None:
    """With what a wheel holds: the packages, no tools/ beside them."""
    for package in sorted((ROOT / "tfedge").rglob("__init__.py")):
        folder = tmp_path / package.parent.relative_to(ROOT)
        folder.mkdir(parents=True)
        for file in package.parent.glob("*.py"):
            shutil.copy(file, folder)
    assert not (tmp_path / "tools").exists()
    code = "from tfedge.benchmark import call; print(call.script_file().read_text('utf-8'), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout == SCRIPT.read_text("utf-8"), done.stderr


def test_the_file_that_is_brought_to_devices() -> None:
    assert script_file().name == SCRIPT_NAME
    assert script_file().read_bytes() == SCRIPT.read_bytes()


def test_it_is_there_again_when_a_run_s_temporary_files_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that has the process to itself lays them among its own, which go with it."""
    call._folder.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        assert script_file().is_relative_to(tmp_path)
    shutil.rmtree(script_file().parent)
    assert script_file().read_bytes() == SCRIPT.read_bytes()
    assert not script_file().is_relative_to(tmp_path)
