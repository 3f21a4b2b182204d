"""models/: every drop there is what its manifest and the README say, and runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tfedge.benchmark.device_script import SCRIPT_NAME, script_text
from tfedge.drops.verify import verify
from tfedge.files.artifact import sha256_file
from tfedge.pipeline.load import load

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import release_models  # noqa: E402

NAMES = [release.name for release in release_models.RELEASES]


def test_none_is_missing_and_none_is_left_over() -> None:
    assert len(NAMES) >= 2
    assert sorted(p.name for p in release_models.MODELS.iterdir() if p.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_verifies_and_runs_here(name: str) -> None:
    checks = verify(release_models.MODELS / name)
    assert [check.problems for check in checks if check.problems] == []
    assert "golden pairs" in {check.what for check in checks}


@pytest.mark.parametrize("name", NAMES)
def test_its_device_script_is_the_one_of_tools(name: str) -> None:
    copy = release_models.MODELS / name / SCRIPT_NAME
    assert copy.read_text("utf-8") == script_text(), "python tools/release_models.py"


def test_the_readme_tells_their_numbers_and_digests() -> None:
    text = (release_models.MODELS / "README.md").read_text("utf-8")
    assert text == release_models._HEAD + release_models.table()
    for release in release_models.RELEASES:
        folder = release_models.MODELS / release.name
        facts = json.loads((folder / "MANIFEST.json").read_text("utf-8"))
        assert sha256_file(folder / facts["model"])[:12] in text


@pytest.mark.parametrize("release", release_models.RELEASES, ids=NAMES)
def test_what_makes_it_is_a_pipeline_of_ours(release: release_models.Release) -> None:
    assert load(ROOT / release.pipeline, release.overrides).pipeline.package is not None
