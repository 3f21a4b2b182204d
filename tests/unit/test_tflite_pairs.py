"""The Edge TPU prediction against what Google's compiler made of the same models.

The pairs are not part of the project: they lie in ``../shared/coral`` beside the checkout, or in
the folder that ``TFEDGE_CORAL_PAIRS`` names.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tfedge.edgetpu import edgetpu
from tfedge.tflite import cost
from tfedge.tflite.reader import read

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from edgetpu_pairs import compare  # noqa: E402

FOLDER = Path(os.environ.get("TFEDGE_CORAL_PAIRS") or ROOT.parent / "shared" / "coral")
COMPILED = sorted(FOLDER.glob("*_edgetpu.tflite"))

needs_pairs = pytest.mark.skipif(not COMPILED, reason=f"no compiled models in {FOLDER}")


def plain(compiled: Path) -> Path:
    return compiled.with_name(compiled.name.replace("_edgetpu.tflite", ".tflite"))


@needs_pairs
@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_predicted_is_what_the_compiler_did(path: Path) -> None:
    pair = compare(path.stem, read(plain(path)), read(path))
    assert pair.predicted == pair.real
    assert pair.differing == ()


@needs_pairs
@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_a_compiled_file_tells_its_program(path: Path) -> None:
    found = edgetpu.predict(read(path))
    predicted = edgetpu.predict(read(plain(path)))
    assert found.compiled and not predicted.compiled
    assert found.subgraphs == found.mapped == predicted.subgraphs == 1
    assert found.total - found.mapped == predicted.total - predicted.mapped
    assert found.notes == ()
    assert found.min_runtime is not None and 10 <= found.min_runtime <= 14
    # recurrent layers are unrolled; a model without kernels has a few bytes of tables
    if predicted.parameter_bytes > 100_000:
        assert predicted.parameter_bytes == pytest.approx(found.parameter_bytes, rel=0.15)


@needs_pairs
def test_published_costs() -> None:
    """Google publishes 14 M for MobileNetV1 0.25 at 128 pixels, its 1,001 classes included."""
    path = FOLDER / "mobilenet_v1_0.25_128_quant.tflite"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {FOLDER}")
    model = read(path)
    macs = Counter({op.name: 0 for op in model.ops})
    for op in model.ops:
        macs[op.name] += cost.macs(op, model.tensors)
    assert macs.total() == 13_570_304
    assert macs["CONV_2D"] > macs["DEPTHWISE_CONV_2D"] > 0
