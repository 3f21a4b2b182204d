"""What the tools share that write figures into a page: where it is, on what they were taken."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"


def plus_minus(values: Sequence[float]) -> str:
    """`` ± 0.3``, the standard error of a mean; nothing for a single value."""
    if len(values) < 2:
        return ""
    return f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.1f}"


def put_into(file: Path, mark: str, tool: str, text: str) -> None:
    """Replace what stands between a file's markers of that name. Exits when they are gone."""
    start, end = f"<!-- {mark}: written by {tool} -->\n", f"<!-- /{mark} -->"
    before, found, rest = file.read_text(encoding="utf-8").partition(start)
    if not found or end not in rest:
        sys.exit(f"{file.name} has no {start.strip()} … {end}")
    file.write_text(before + start + text + end + rest.partition(end)[2], encoding="utf-8")


def put_into_readme(mark: str, tool: str, text: str) -> None:
    """``put_into`` the README."""
    put_into(ROOT / "README.md", mark, tool, text)
