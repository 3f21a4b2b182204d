"""What is said of an 8-bit model that takes longer than the float one."""

from __future__ import annotations

from tfedge.benchmark.result import Result
from tfedge.benchmark.speed import causes, speedup
from tfedge.report.markup import threads_text

_WAY_OUT = (
    "ship the float model (no quantize section), or choose another backbone: `tfedge bench "
    "--profile` shows each op"
)


def slower_text(plain: Result, int8: Result) -> str:
    """How much slower, where, because of which ops, and what to do."""
    where = f"{int8.device}, {int8.runtime} {int8.runtime_version}, {threads_text(int8.threads)}"
    why = causes(int8)
    text = f"int8 is {1 / speedup(plain, int8):.2f} times slower than float on {where}"
    return f"{text}{f': {why}' if why else ''}; {_WAY_OUT}"
