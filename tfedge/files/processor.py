"""What this machine computes with: vector instructions, a GPU. Of the standard library alone."""

from __future__ import annotations

import platform
import re
from pathlib import Path

NVIDIA = Path("/dev/nvidiactl")  # there when NVIDIA's driver has found a GPU
CPUINFO = Path("/proc/cpuinfo")
# What kernels are chosen by, the widest first: oneDNN's, XNNPACK's, and those of numpy's BLAS.
_SETS = (
    ("avx512", ("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl")),
    ("avx2", ("avx2", "fma")),
    ("avx", ("avx",)),
    ("sse", ("sse2",)),
    ("sve", ("sve",)),
    ("fp16", ("asimd", "asimdhp")),
    ("neon", ("asimd",)),
)
# Those that multiply and add four 8-bit values at once, by their names in Linux.
_DOT = ("avx512_vnni", "avx_vnni", "asimddp", "i8mm")


def flags() -> frozenset[str]:
    """What Linux says that the processor can; empty where it does not say."""
    try:
        text = CPUINFO.read_text("utf-8", "replace")
    except OSError:
        return frozenset()
    said = re.search(r"^(?:flags|Features)\s*:(.*)", text, re.MULTILINE)
    return frozenset(said[1].split()) if said else frozenset()


def instructions() -> str:
    """The widest set of vector instructions that the processor has, by a short name; that of the
    architecture where it does not say."""
    has = flags()
    return next((name for name, needed in _SETS if has.issuperset(needed)), platform.machine())


def dot_products() -> list[str]:
    """Its instructions for products of 8-bit vectors, which make int8 models fast."""
    has = flags()
    return [name for name in _DOT if name in has]
