"""Arrays on disk: what is written in parts is read as one, and a full disk is an error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tfedge.files import mapped

WHOLE = np.random.default_rng(1).normal(size=(1000, 7))


def parts(values: np.ndarray = WHOLE) -> Iterator[np.ndarray]:
    yield from np.array_split(values, 3)


def test_parts_are_read_as_one_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    mapped.save(path, parts(), WHOLE.shape, np.float16)
    np.testing.assert_array_equal(np.load(path), WHOLE.astype(np.float16))
    found = mapped.load(path)
    assert isinstance(found, np.memmap) and not found.flags.writeable
    np.testing.assert_array_equal(found[[5, 3]], WHOLE[[5, 3]].astype(np.float16))


def test_numpy_writes_the_same_bytes(tmp_path: Path) -> None:
    mapped.save(tmp_path / "ours.npy", parts(), WHOLE.shape, np.float64)
    np.save(tmp_path / "numpys.npy", WHOLE)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


@pytest.mark.parametrize("held", [WHOLE.nbytes, WHOLE.nbytes - 1])
def test_scratch_is_held_up_to_a_size_and_leaves_nothing(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "HELD", held)
    found = mapped.scratch(parts(), WHOLE.shape, np.float64, tmp_path)
    np.testing.assert_array_equal(found, WHOLE)
    assert isinstance(found, np.memmap) == (held < WHOLE.nbytes)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("held", [WHOLE.nbytes, 0])
def test_as_many_rows_must_come_as_were_said(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "HELD", held)
    with pytest.raises(ValueError, match="999 rows came where there are 1000"):
        mapped.scratch(parts(WHOLE[1:]), WHOLE.shape, np.float64, tmp_path)
    with pytest.raises(ValueError, match="999 rows came where there are 1000"):
        mapped.save(tmp_path / "a.npy", parts(WHOLE[1:]), WHOLE.shape, np.float64)


@pytest.mark.parametrize(
    "what",
    [
        "scratch([rows], rows.shape, float, folder)",
        "save(folder / 'a.npy', [rows], rows.shape, float)",
    ],
)
def test_a_file_that_may_not_grow_is_an_error_with_its_place_and_no_signal(
    what: str, tmp_path: Path
) -> None:
    """As on a full disk, where writing through a map would kill the process."""
    code = (
        "import resource, sys, numpy as np, pathlib\n"
        "from tfedge.errors import ArtifactError\n"
        "from tfedge.files import mapped\n"
        "mapped.HELD = 0\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "rows, folder = np.zeros((1000, 7)), pathlib.Path(sys.argv[1])\n"
        "try:\n"
        f"    mapped.{what}\n"
        "except ArtifactError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.stdout.startswith(str(tmp_path)) and "File too large" in done.stdout, done.stderr
