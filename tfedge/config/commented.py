"""YAML for people: each key with its comment."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

WIDTH = 100
COLUMN = 28  # where the comment behind a value begins


def commented(line: str, comment: str) -> Iterator[str]:
    """A line of YAML with its comment behind it, or above it where it is long; none if empty."""
    indent = line[: len(line) - len(line.lstrip())]
    behind = wrap(comment, WIDTH - COLUMN - 2)
    if not behind:
        yield line
    elif len(line) < COLUMN and len(behind) <= 2:
        for number, text in enumerate(behind):
            yield f"{'' if number else line:<{COLUMN}}# {text}"
    else:
        yield from (f"{indent}# {text}" for text in wrap(comment, WIDTH - len(indent) - 2))
        yield line
