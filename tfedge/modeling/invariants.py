"""What must hold between stages. A broken invariant stops the run."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np

from tfedge.errors import InvariantBroken
from tfedge.tflite.model import WEIGHTED, Model

Arrays = Mapping[str, np.ndarray]

_SMALL = 1 << 16  # numbers of a constant that TFLite leaves as it is: positions, gammas


def unchanged(what: str, before: Arrays, after: Arrays) -> None:
    """The arrays under the names of ``before`` are the same, bit for bit."""
    moved = [name for name, value in before.items() if not np.array_equal(value, after[name])]
    if moved:
        shown = ", ".join(moved[:3]) + (" …" if len(moved) > 3 else "")
        raise InvariantBroken(what, "no value changed", f"{len(moved)} changed: {shown}")


def zeros_kept(
    before: Arrays, after: Arrays, layers: Collection[str], through: str = "quantization"
) -> None:
    """What was zero in the kernels of ``layers`` is zero still."""
    lost = {
        name: int(np.count_nonzero((before[name] == 0) & (after[name] != 0))) for name in layers
    }
    if any(lost.values()):
        worst = max(lost, key=lambda name: lost[name])
        raise InvariantBroken(
            f"the zeros of pruning survive {through}",
            "none lost",
            f"{sum(lost.values()):,} lost, most in {worst}",
        )


def clusters_kept(before: Arrays, after: Arrays, layers: Collection[str]) -> None:
    """Weights of a kernel that were equal are equal still."""
    torn = []
    for name in layers:
        _, first, cluster = np.unique(before[name], return_index=True, return_inverse=True)
        ours = after[name].ravel()
        if not np.array_equal(ours, ours[first][cluster.ravel()]):
            torn.append(name)
    if torn:
        what = "the clusters survive quantization"
        raise InvariantBroken(what, "equal weights stay equal", f"not in {', '.join(torn[:5])}")


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


def weights_int8(model: Model) -> None:
    """No kernel and no table of the file is float."""
    floats = [
        tensor
        for tensor in model.tensors
        if tensor.is_const and tensor.dtype == "float32" and len(tensor.shape) > 1
        if tensor.size > _SMALL
    ]
    if floats:
        shown = "; ".join(str(tensor) for tensor in floats[:5])
        raise InvariantBroken("weights of 8 bits", "no kernel is float", f"{len(floats)}: {shown}")


def mixed(model: Model, kept: Mapping[str, str], kernels: Collection[str], prefix: str) -> None:
    """Exactly the layers of ``kept`` are in higher precision in the file.

    ``kept`` maps the names of layers to ``float`` or ``int16`` (16-bit activations, 8-bit weights),
    ``kernels`` are those of them whose kernels must be found; ``prefix`` stands before layers'
    names in those of tensors. Whole numbers of 32 bits (ids, places) have no precision to keep.
    """
    wanted = {"int8": {"int8", "uint8"}, "int16": {"int16"}, "float": {"float32"}}
    wrong, found = [], set()
    for op in model.ops:
        if op.name in ("QUANTIZE", "DEQUANTIZE"):
            continue
        read = [model.tensors[i] for i in op.inputs if i >= 0]
        made = [model.tensors[i] for i in op.outputs]
        weights = [tensor for tensor in read if tensor.is_const]
        names = [part for t in (*made, *weights) for part in re.split("[/;]", t.name)]
        layers = [name for part in names if (name := part.removeprefix(prefix)) in kept]
        precision = kept[layers[0]] if layers else "int8"
        types = {t.dtype for t in (*read, *made) if not t.is_const} - {"int32"}
        stored = {t.dtype for t in weights if len(t.shape) > 1 and op.name in WEIGHTED}
        if types - wanted[precision] or stored - {"float32" if precision == "float" else "int8"}:
            got = ", ".join(sorted(types | stored))
            wrong.append(f"{op.index} {op.name} {made[0].name} is {got}, not {precision}")
        found |= {layer for layer in layers if kept[layer] == precision}
    wrong += [f"{name} is nowhere" for name in kernels if name not in found]
    if wrong:
        expected = "only the layers of quantize.keep above 8 bits"
        raise InvariantBroken("mixed precision", expected, "; ".join(wrong[:5]))
