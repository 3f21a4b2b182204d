"""Which runtime a version of an op needs; the table is ``catalog/op_versions.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tfedge import catalog

_TABLE = Path(catalog.__file__).with_name("op_versions.json")


def minimum_runtime(op: str, version: int) -> str | None:
    """The first TensorFlow Lite that runs ``version`` of a builtin op, as "2.3.0".

    None for a custom op and for a version that is newer than the table.
    """
    known = _ops().get(op, [])
    return known[version - 1] if 1 <= version <= len(known) else None


def latest(runtimes: Iterable[str | None]) -> str | None:
    """The highest of them; None when there is none."""
    known = [runtime for runtime in runtimes if runtime is not None]
    return max(known, key=as_numbers, default=None)


def as_numbers(runtime: str) -> tuple[int, ...]:
    """``"2.14.4"`` → (2, 14, 4), which sorts as versions do."""
    return tuple(int(part) for part in runtime.split("."))


@cache
def _ops() -> dict[str, list[str | None]]:
    table: dict[str, list[str | None]] = json.loads(_TABLE.read_text(encoding="utf-8"))["ops"]
    return table
