"""The recipes of ``quantize`` and ``prune``: rows, whose facts the rest goes by, never their names.

What a recipe does stands in its stage, which has a handler for each (``stages/quantize.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["int8", "float"]
Name = Literal["float", "ptq", "qat", "dynamic"]  # as model.json has it


@dataclass(frozen=True)
class Quantizing:
    """A way to the file that ships. ``ships`` is what it holds, ``trains`` whether its 8 bits are
    learnt; ``instead`` says what to change where it loses accuracy. ``float_activations``: its
    weights alone have 8 bits, and a runtime rounds what it multiplies them with as it comes."""

    name: Name
    ships: Kind
    trains: bool = False
    instead: str = ""
    float_activations: bool = False


@dataclass(frozen=True)
class Pruning:
    """A way to zeros. ``sparse_file``: for kernels of a runtime that skip zeros, the file is float
    and stores its kernels sparse, and every kernel that can be sparse is."""

    name: str
    sparse_file: bool = False


FLOAT = Quantizing("float", "float")  # without a quantize section
PTQ = Quantizing("ptq", "int8", instead="quantize.recipe: qat trains with the rounding of 8 bits")
QAT = Quantizing(
    "qat",
    "int8",
    trains=True,
    instead=(
        "raise quantize.steps, or keep the layers that suffer most (quantize.debug: true names "
        "them, quantize.keep keeps them)"
    ),
)
DYNAMIC = Quantizing(
    "dynamic",
    "int8",
    instead="leave the quantize section out: no more than 8 bits of the weights were lost",
    float_activations=True,
)
AUTO, OFF = "auto", "none"  # begins with one of them and may go on with another; is no stage

MAGNITUDE = Pruning("magnitude")
XNNPACK = Pruning("xnnpack", sparse_file=True)

QUANTIZING: dict[str, Quantizing] = {row.name: row for row in (QAT, PTQ, DYNAMIC)}
PRUNING = {row.name: row for row in (MAGNITUDE, XNNPACK)}


def quantizing(name: str) -> Quantizing:
    """The row of a file's recipe; ``float`` for what was not quantized."""
    return QUANTIZING.get(name, FLOAT)


def pruning(name: str | None) -> Pruning:
    """The row of that name. The rules of a pipeline see to it that there is one."""
    return PRUNING.get(name or MAGNITUDE.name, MAGNITUDE)
