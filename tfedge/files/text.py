"""Text as a person reads it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

WIDTH = 100  # columns of what is printed, where names and paths allow it


def columns(
    rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,), gap: int = 3
) -> list[str]:
    """Rows of cells as lines: the columns ``left`` begin at the left, the others end at the right,
    with ``gap`` blanks in between. A line is as wide as its cells; those of Chinese and the like
    count as what they take on a terminal."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return []
    table = Table.grid(padding=(0, gap, 0, 0))
    for number in range(len(rows[0])):
        table.add_column(justify="left" if number in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    width = sum(max(cell_len(cell) for cell in column) + gap for column in zip(*rows, strict=True))
    console = Console(width=width, color_system=None, legacy_windows=False)
    lines = console.render_lines(table, pad=False)
    return ["".join(part.text for part in line).rstrip() for line in lines]


def size_text(size: int) -> str:
    """Bytes."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
