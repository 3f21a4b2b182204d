"""What must hold between stages: each check lets the good pass and stops at one wrong value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfedge.errors import InvariantBroken
from tfedge.modeling import invariants
from tfedge.tflite.reader import read

MODELS = Path(__file__).parent / "data"


def arrays(**changed: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=(3, 4)).astype(np.float32) for name in "abcd"} | changed


def test_nothing_may_change_and_what_did_is_named():
    before = arrays()
    invariants.unchanged("frozen layers", before, arrays(more=np.ones(2)))
    moved = before["c"].copy()
    moved[2, 3] = np.nextafter(moved[2, 3], np.float32(9))
    with pytest.raises(InvariantBroken) as caught:
        invariants.unchanged("frozen layers", before, arrays(c=moved))
    assert caught.value.message == (
        "invariant broken: frozen layers: expected no value changed, got 1 changed: c"
    )
    with pytest.raises(InvariantBroken, match="4 changed: a, b, c …"):
        invariants.unchanged("all", before, {name: value + 1 for name, value in before.items()})


def test_zeros_stay_zero_in_the_layers_that_were_pruned():
    before = arrays(b=np.array([0.0, 1.0, 0.0], np.float32), c=np.zeros(2, np.float32))
    after = arrays(b=np.array([0.0, 2.0, 0.0], np.float32), c=np.ones(2, np.float32))
    invariants.zeros_kept(before, after, ["a", "b"])  # c was not pruned
    invariants.zeros_kept(before, after, [])
    with pytest.raises(InvariantBroken, match="got 2 lost, most in c"):
        invariants.zeros_kept(before, after, ["b", "c"])
    lost = {**after, "b": np.array([0.0, 2.0, 1e-30], np.float32)}
    with pytest.raises(InvariantBroken, match="got 1 lost, most in b"):
        invariants.zeros_kept(before, lost, ["a", "b"])


def test_an_int8_file_holds_no_float_tensor():
    invariants.all_int8(read(MODELS / "color_int8.tflite"))
    with pytest.raises(InvariantBroken) as caught:
        invariants.all_int8(read(MODELS / "color_sin.tflite"))
    for op in (" DEQUANTIZE", " SIN", " QUANTIZE"):  # with the number of each
        assert op in caught.value.got
    assert caught.value.exit_code == 5 and "ptq" in caught.value.hint
    with pytest.raises(InvariantBroken, match="CONV_2D"):
        invariants.all_int8(read(MODELS / "color_float.tflite"))


def test_equal_weights_stay_equal_in_the_layers_that_were_clustered():
    before = arrays(b=np.array([[0.5, 1.0], [0.5, 0.0]], np.float32))
    merged = np.array([[2.0, 3.0], [2.0, 3.0]], np.float32)  # two clusters may become one
    invariants.clusters_kept(before, arrays(b=merged), ["a", "b"])
    torn = np.array([[2.0, 3.0], [np.nextafter(np.float32(2), np.float32(3)), 0.0]], np.float32)
    with pytest.raises(InvariantBroken, match="equal weights stay equal, got not in b"):
        invariants.clusters_kept(before, arrays(b=torn), ["a", "b"])
