"""Text as a person reads it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count, pairwise
from textwrap import wrap

WIDTH = 100  # columns of what is printed, where names and paths allow it
_FOLDED = 24  # columns that a last column is folded to at the least: a few words a line
_LEVELS = "▁▂▃▄▅▆▇█"  # of a curve, from low to high


def columns(
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[int] = (0,),
    gap: int = 3,
    most: int | None = None,
) -> list[str]:
    """Rows of cells as lines: the columns ``left`` begin at the left, the others end at the right,
    with ``gap`` blanks in between. Letters of Chinese and the like count as the two columns that
    they take on a terminal. Where lines would be longer than ``most``, the last column is folded
    at its blanks, to no fewer than 24 columns."""
    from rich.cells import cell_len  # its tables would take longer than what most commands do

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    over = 0 if most is None else sum(widths) + gap * (len(widths) - 1) - most
    if over > 0:
        room = max(_FOLDED, widths[-1] - over)
        rows = [part for row in rows for part in _folded(row, room)]
        widths[-1] = max(cell_len(row[-1]) for row in rows)

    def placed(number: int, cell: str) -> str:
        blanks = " " * (widths[number] - cell_len(cell))
        return cell + blanks if number in left else blanks + cell

    return [(" " * gap).join(map(placed, count(), row)).rstrip() for row in rows]


def _folded(row: Sequence[str], width: int) -> list[list[str]]:
    """A row, and rows under it for what of its last cell is beyond ``width`` columns."""
    parts = wrap(row[-1], width, break_long_words=False) or [""]
    return [[*(row[:-1] if not n else [""] * (len(row) - 1)), part] for n, part in enumerate(parts)]


def count_of(count: int, what: str) -> str:
    """A count and what is counted: "1 thread", "2 threads"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def size_text(size: int) -> str:
    """Bytes."""
    if size >= 1_000_000_000:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.2f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def roughly(seconds: float) -> str:
    """A time that is guessed: in tens of seconds, minutes or hours."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def sparkline(values: Sequence[float], points: int, levels: str = _LEVELS) -> str:
    """Values from the lowest to the highest of ``levels``, at most ``points`` of them: where there
    are more, each stands for the mean of its share."""
    if not values:
        return ""
    count = min(points, len(values))
    ends = [len(values) * number // count for number in range(count + 1)]
    shares = [values[start:end] for start, end in pairwise(ends)]
    means = [sum(share) / len(share) for share in shares]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(levels[int((mean - low) / span * (len(levels) - 1) + 0.5)] for mean in means)
