"""What commands print: plain text, and on a terminal the same with colours."""

from __future__ import annotations

import sys

import click

from tfedge.files.terminal import draws

# What is to be seen first, by the style that it gets on a terminal.
_SIGNS = {
    "yellow": r"(?m)^(?:warning:|missing\b)",
    "cyan": r"(?m)^proposal:",
    "dim": r"(?m)^note:",
    "green": r"(?m)^ok\b|(?<= )ok(?=  | in )",
    "red": r"(?<= )(?:gate failed|failed|killed|unreadable)(?=  | in )",
}


def show(text: object) -> None:
    """Print a command's result. Elsewhere than on a terminal, and with NO_COLOR, it is the text and
    nothing else."""
    if not draws(sys.stdout):
        click.echo(text)
        return
    from rich.console import Console
    from rich.text import Text

    said = Text(str(text))
    for style, pattern in _SIGNS.items():
        said.highlight_regex(pattern, style)
    console = Console(file=sys.stdout, force_terminal=True, highlight=False)
    console.print(said, soft_wrap=True)
