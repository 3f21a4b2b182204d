"""What ``tfedge schema`` prints: keys of a pipeline file, with type, default and meaning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from tfedge.config.keys import Key
from tfedge.files.text import WIDTH

_COLUMN = 36  # where a key's type begins


def text(keys: Sequence[Key]) -> str:
    """Keys as ``keys.part`` or ``keys.keys`` gives them; sections are indented."""
    lines: list[str] = []
    outermost = keys[0].depth
    for key in keys:
        inside = key.depth > outermost
        if lines and (not inside or key.depth == outermost + 1 or key.section):
            lines.append("")
        lines += _lines(key, key.name if inside else key.path, 2 * (key.depth - outermost))
    return "\n".join(lines)


def _lines(key: Key, name: str, indent: int) -> Iterator[str]:
    first = f"{' ' * indent}{name}:"
    if key.required:
        kind = f"required; {key.expected}"
    elif key.plain_section:
        kind = "a section" if key.default == "" else "a section; off unless it is there"
    else:
        first += f" {key.default}"
        kind = key.expected
    yield f"{first:<{_COLUMN - 1}} {kind}"
    blank = " " * (indent + 4)
    yield from wrap(key.description, WIDTH, initial_indent=blank, subsequent_indent=blank)
