"""Text as a person reads it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

WIDTH = 100  # columns of what is printed, where names and paths allow it


def columns(
    rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), gap: int = 3
) -> list[str]:
    """Rows of cells as lines: the columns ``left`` begin at the left, the others end at the right,
    with ``gap`` blanks in between."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap)
        .join(
            cell.ljust(width) if number in left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in rows
    ]


def size_text(size: int) -> str:
    """Bytes."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
