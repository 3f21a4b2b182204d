"""What the zeros of a sparse float model are worth, as measured against the dense one beside it."""

from __future__ import annotations

from tfedge.benchmark.compare import compare, differences
from tfedge.benchmark.result import Result
from tfedge.report.markup import milliseconds

DENSE = "dense"  # the float model before pruning, where the shipped one is float and stored sparse
_X86 = ("x86_64", "amd64", "i386", "i686")


def is_faster(dense: Result, sparse: Result) -> bool:
    """Whether it is beyond doubt: a difference that may be luck is none."""
    if differences(dense, sparse):
        return False
    found = compare(dense, sparse)
    return found.significant and found.ratio < 1


def verdict(dense: Result, sparse: Result) -> str:
    """``1.40× as fast [1.32, 1.47] as dense``, or that it is not faster."""
    if differing := differences(dense, sparse):
        return f"not compared with the dense model: differing in {', '.join(differing)}"
    found = compare(dense, sparse)
    if is_faster(dense, sparse):
        return f"{found} as dense"
    return f"not faster than dense: {found}"


def why_not(sparse: Result) -> str:
    """What is known of the reason, from the machine alone; empty where nothing is."""
    if (sparse.host.machine or "").lower() not in _X86:
        return ""
    return "XNNPACK has no sparse kernels for x86 CPUs with AVX; on ARM it has"


def verdict_beside_dense(dense: Result, sparse: Result) -> str:
    """The verdict with what the dense model took."""
    return f"{verdict(dense, sparse)}; dense {milliseconds(dense)}"
