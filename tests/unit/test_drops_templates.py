"""What drops take from the package as it is: when that changes, they are made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tfedge.core.stages import stage
from tfedge.drops import templates


def test_another_text_or_another_device_script_is_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage("package").probe == f"{templates.__name__}:{templates.copied_digest.__name__}"
    real = templates.files
    shutil.copytree(str(real(templates.__name__)), tmp_path / "templates")
    monkeypatch.setattr(templates, "files", lambda name: tmp_path / "templates")
    digests = [templates.copied_digest(None, tmp_path)]
    with (tmp_path / "templates" / "coral" / "README.md.txt").open("a") as text:
        text.write("more")
    digests.append(templates.copied_digest(None, tmp_path))
    monkeypatch.setattr(templates, "script_text", lambda: "another device script")
    digests.append(templates.copied_digest(None, tmp_path))
    monkeypatch.setattr(templates, "example", lambda: b"another classify.py")
    digests.append(templates.copied_digest(None, tmp_path))
    assert len(set(digests)) == 4
