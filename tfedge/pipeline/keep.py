"""What ``quantize.keep`` and keys beside it may say, as far as the catalogue knows the layers."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

from tfedge.catalog.recipes import OFF
from tfedge.config.spelling import closest
from tfedge.pipeline.problem import Problem
from tfedge.pipeline.schema import Pipeline, Quantize
from tfedge.pipeline.unfreeze import blocks_of

CORAL_NOTE = (
    "quantize.keep: an Edge TPU takes 8-bit ops only: the first layer that is kept, and all behind "
    "it, run on the CPU"
)
INT16_NOTE = (
    "quantize.keep: int16 is slow: LiteRT with XNNPACK has no fast 16-bit kernels, neither on x86 "
    "nor on Arm (a MobileNetV2 took 42 ms instead of 2); keep the few that need it in float, "
    "or let quantize.correct mend them in 8 bits"
)
_OURS = ("pixel_offset", "pool", "logits")  # around every backbone, see modeling/nets/network.py
_SLIP = 0.93  # as alike as a name and the same with a letter wrong


class Known(NamedTuple):
    """``names`` of the layers that the catalogue has, and how all names of the net begin."""

    names: tuple[str, ...]
    beginnings: tuple[str, ...]


def keep_notes(quantize: Quantize | None, coral: bool) -> list[str]:
    """What should be known of ``keep`` before the run; ``coral``: a drop is for an Edge TPU."""
    if quantize is None or not quantize.keep or quantize.recipe == OFF:
        return []
    slow = "int16" in quantize.keep.values()
    return [*([CORAL_NOTE] if coral else []), *([INT16_NOTE] if slow else [])]


def known_layers(pipeline: Pipeline) -> Known:
    """The layers with kernels and the last one of each block; the other ones it does not have."""
    blocks = blocks_of(pipeline)
    names = [*_OURS, *(kernel.layer for block in blocks for kernel in block.kernels)]
    names += [block.output for block in blocks]
    return Known(tuple(dict.fromkeys(names)), pipeline.backbone.beginnings)


def keep_problems(quantize: Quantize, known: Known | None) -> Iterator[Problem]:
    """``known`` None: the backbone is not known either."""
    if quantize.recipe == OFF:
        for key in ("keep", "debug", "xnnpack_input"):
            if getattr(quantize, key) not in ({}, False, "auto"):
                what = "nothing is quantized: choose recipe qat or ptq"
                yield Problem(f"quantize.{key}", what, ("quantize.recipe",))
    if known is None:
        return
    fitting = {pattern: set(fnmatch.filter(known.names, pattern)) for pattern in quantize.keep}
    for pattern in (pattern for pattern, found in fitting.items() if not found):
        slip = closest(pattern, known.names, cutoff=_SLIP)
        # A layer without a kernel may be called so: the stage itself knows.
        if slip or not any(re.match(beginning, pattern) for beginning in known.beginnings):
            near = closest(pattern, known.names)
            what = f"no layer is called {pattern!r}" + (f", did you mean {near}?" if near else "")
            yield Problem("quantize.keep", what, ("backbone",))
    for one, other in itertools.combinations(quantize.keep, 2):
        both = [name for name in known.names if name in fitting[one] & fitting[other]]
        if both and quantize.keep[one] != quantize.keep[other]:
            what = f"{both[0]} is to be {quantize.keep[one]} by {one!r} and {quantize.keep[other]}"
            yield Problem("quantize.keep", f"{what} by {other!r}: say one", ("backbone",))
