"""tools/verify_mutants.py in its short form: damaged models through ``inspect`` and ``verify``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tflite_helpers import DATA, NAMES

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import verify_mutants  # noqa: E402
from tflite_mutants import CHANGES, mutants  # noqa: E402

from tfedge.edgetpu.inspect import describe  # noqa: E402
from tfedge.errors import ArtifactError  # noqa: E402

MODELS = {name: (DATA / f"{name}.tflite").read_bytes() for name in NAMES}


def test_the_same_seed_gives_the_same_mutants() -> None:
    made = list(mutants(MODELS, 30, seed=1))
    assert made == list(mutants(MODELS, 30, seed=1))
    assert len({mutant.data for mutant in made}) > 25
    assert len(CHANGES) >= 30


def test_every_mutant_is_described_or_refused() -> None:
    refused = 0
    for mutant in mutants(MODELS, 300):
        try:
            describe(mutant.data)
        except ArtifactError:
            refused += 1
    assert 60 < refused < 270


def test_no_mutant_brings_tfedge_down() -> None:
    counts, fell = verify_mutants.campaign(mutants(MODELS, 48, seed=700))
    assert fell == []
    assert counts.total() == 48
    assert counts[verify_mutants.REFUSED] > 15 and counts[verify_mutants.RAN] > 3
    assert counts[verify_mutants.CRASHED] == counts[verify_mutants.SLOW] == 0


def test_an_exception_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise KeyError("x")

    monkeypatch.setattr(verify_mutants, "verify", broken)
    made = list(mutants(MODELS, 2))
    assert verify_mutants.campaign(made)[1] == [mutant.name for mutant in made]
