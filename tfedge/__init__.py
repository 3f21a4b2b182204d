"""tfedge: from a folder of photos to a verified, measured, deployable int8 model.

The names of the Python API are imported from ``tfedge.api`` when they are first asked for, so that
``import tfedge`` and ``tfedge --help`` stay light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfedge.api import (
        Benchmark,
        DryRun,
        Run,
        bench,
        check,
        clean,
        compare,
        doctor,
        evaluate,
        init,
        inspect,
        load,
        predict,
        run,
        runs,
        verify,
        write_report,
    )
    from tfedge.core.events import RunEvents
    from tfedge.core.progress import RunProgress

__version__ = "0.1.0"

__all__ = [
    "Benchmark",
    "DryRun",
    "Run",
    "RunEvents",
    "RunProgress",
    "bench",
    "check",
    "clean",
    "compare",
    "doctor",
    "evaluate",
    "init",
    "inspect",
    "load",
    "predict",
    "run",
    "runs",
    "verify",
    "write_report",
]

_ELSEWHERE = {"RunEvents": "tfedge.core.events", "RunProgress": "tfedge.core.progress"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "tfedge.api")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
