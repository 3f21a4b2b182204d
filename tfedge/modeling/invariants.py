"""What must hold between stages. A broken invariant stops the run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from tfedge.errors import InvariantBroken
from tfedge.tflite.model import Model

Arrays = Mapping[str, np.ndarray]


def unchanged(what: str, before: Arrays, after: Arrays) -> None:
    """The arrays under the names of ``before`` are the same, bit for bit."""
    moved = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    if moved:
        shown = ", ".join(moved[:3]) + (" …" if len(moved) > 3 else "")
        raise InvariantBroken(what, "no value changed", f"{len(moved)} changed: {shown}")


def zeros_kept(before: Arrays, after: Arrays, layers: Collection[str]) -> None:
    """What was zero in the kernels of ``layers`` is zero still."""
    lost = {
        name: int(np.count_nonzero((before[name] == 0) & (after[name] != 0))) for name in layers
    }
    if any(lost.values()):
        worst = max(lost, key=lambda name: lost[name])
        raise InvariantBroken(
            "the zeros of pruning survive quantization",
            "none lost",
            f"{sum(lost.values()):,} lost, most in {worst}",
        )


def all_int8(model: Model) -> None:
    """No tensor of the file is float; the ops that need one are named."""
    floats = model.float_tensors()
    if floats:
        raise InvariantBroken(
            "no float tensor in the int8 model",
            "0",
            f"{len(floats)}: {'; '.join(str(tensor) for tensor in floats[:5])}",
            "8-bit training does not cover these ops: try quantize.recipe: ptq",
        )
