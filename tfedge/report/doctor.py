"""What ``tfedge doctor`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tfedge.core.doctor import Finding
from tfedge.files.text import WIDTH

_STATE = 11  # columns


def lines(found: Sequence[Finding]) -> list[str]:
    """A block a finding: how it stands, what for, and what brings it."""
    width = max(len(one.what) for one in found)
    return [line for one in found for line in _block(one, width)]


def _block(one: Finding, width: int) -> Iterator[str]:
    indent = " " * (_STATE + width + 2)
    yield from wrap(
        f"{one.state:<{_STATE}}{one.what:<{width}}  {one.found}", WIDTH, subsequent_indent=indent
    )
    if one.state == "ok":
        return
    needed = "needed for" if one.needed else "enables"
    told = [f"{needed}: {one.enables}"] if one.enables else []
    for line in told:
        yield from wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent)
    if one.command:  # whole: it is there to be copied
        yield f"{indent}-> {one.command}"
