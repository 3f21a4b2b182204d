"""The text of the device script. Imports no numpy: a check asks whether it is another one."""

from __future__ import annotations

from functools import cache

from tfedge.portable.assemble import assembled, ingredients, source

SCRIPT_NAME = "bench_tflite.py"
_PARTS = (
    "tfedge.portable.golden",
    "tfedge.portable.boxes",
    "tfedge.portable.precision",
    "tfedge.portable.levels",
    "tfedge.portable.images",
    "tfedge.benchmark.script.problem",
    "tfedge.benchmark.script.facts",
    "tfedge.benchmark.script.shapes",
    "tfedge.benchmark.script.statistics",
    "tfedge.benchmark.script.runtime",
    "tfedge.benchmark.script.image_inputs",
    "tfedge.benchmark.script.answers",
    "tfedge.benchmark.script.litert_profiler",
    "tfedge.benchmark.script.profile",
)
_MAIN = "tfedge.benchmark.script.run"


def script_ingredients() -> str:
    """All that it is made of."""
    return ingredients(_MAIN, _PARTS)


@cache
def script_text() -> str:
    """One plain file, made of the modules that stand here."""
    parts = [source(name) for name in _PARTS]
    return assembled(source(_MAIN), parts, optional=["numpy"])  # --facts needs none
