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
    for name in ("tfedge.bench", templates.__name__):
        shutil.copytree(str(real(name)), tmp_path / name)
    monkeypatch.setattr(templates, "files", lambda name: tmp_path / name)
    digests = [templates.copied_digest(None, tmp_path)]
    for file in ("tfedge.bench/bench_tflite.py", f"{templates.__name__}/coral/README.md.txt"):
        with (tmp_path / file).open("a") as text:
            text.write("more")
        digests.append(templates.copied_digest(None, tmp_path))
    assert len(set(digests)) == 3
