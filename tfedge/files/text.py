"""Text as a person reads it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count

WIDTH = 100  # columns of what is printed, where names and paths allow it


def columns(
    rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), gap: int = 3
) -> list[str]:
    """Rows of cells as lines: the columns ``left`` begin at the left, the others end at the right,
    with ``gap`` blanks in between. Letters of Chinese and the like count as the two columns that
    they take on a terminal."""
    from rich.cells import cell_len  # its tables would take longer than what most commands do

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]

    def placed(number: int, cell: str) -> str:
        blanks = " " * (widths[number] - cell_len(cell))
        return cell + blanks if number in left else blanks + cell

    return [(" " * gap).join(map(placed, count(), row)).rstrip() for row in rows]


def size_text(size: int) -> str:
    """Bytes."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
