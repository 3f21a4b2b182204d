"""Markdown tables and figures as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tfedge.benchmark.result import Host, Result
from tfedge.files.text import count_of
from tfedge.tasks.blocks import (
    Block,
    Bullets,
    Code,
    Figure,
    Heading,
    Markup,
    Picture,
    Pictures,
    Table,
    Text,
    cell,
)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    cells: list[list[object]] = [[*head], [Markup(part) for part in rule], *map(list, rows)]
    return [f"| {' | '.join(map(cell, row))} |" for row in cells]


def render(blocks: Iterable[Block]) -> list[str]:
    """Blocks as lines of Markdown, an empty one between two of them."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Pictures):
            block = Bullets([] if block.listed else [*map(_picture, block.pictures)])
        shown = [] if isinstance(block, Figure) else _rendered(block)
        if shown:  # of a figure the table beside it says the same
            lines += ["", *shown]
    return lines[1:]


def _picture(picture: Picture) -> str:
    return ": ".join(filter(None, (picture.name, picture.caption, picture.missing)))


def _rendered(block: Text | Bullets | Table | Heading | Code) -> list[str]:
    match block:
        case Text():
            return [block.text]
        case Bullets():
            return [f"- {cell(item)}" for item in block.items]
        case Table():
            return table(block.head, block.rows)
        case Heading():
            return [f"### {cell(block.text)}"]
        case Code():
            return [f"```{block.language}", *block.text.replace("```", "'''").splitlines(), "```"]


def milliseconds(result: Result) -> str:
    """Median ± MAD."""
    return milliseconds_text(result.summary.median, result.summary.mad)


def milliseconds_text(median: float, mad: float) -> str:
    """Median ± MAD, of nanoseconds."""
    digits = 2 if median >= 1e6 else 3
    return f"{median / 1e6:.{digits}f} ± {mad / 1e6:.{digits}f} ms"


def machine_text(host: Host) -> str:
    """What kind of machine it is: board, CPU and architecture."""
    return ", ".join(fact for fact in (host.board, host.cpu, host.machine) if fact)


def host_text(host: Host) -> str:
    """A machine in one line; what is not known is left out."""
    facts = [host.board, f"{host.cpu} ({host.machine})" if host.cpu else host.machine]
    facts += [f"{host.cores} cores", host.governor and f"governor {host.governor}", host.system]
    facts += [f"{host.memory_bytes / 1e9:.1f} GB"] if host.memory_bytes else []
    facts += [host.python and f"Python {host.python}", host.numpy and f"numpy {host.numpy}"]
    return ", ".join(fact for fact in facts if fact)


def threads_text(threads: int) -> str:
    return count_of(threads, "thread")
