"""What a shell proposes for arguments and options. What is heavy is imported when it asks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, split_arg_string

_HEAD = 1 << 16  # bytes of a pipeline file, in which its task is looked for


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Run directories: those below what was begun, or below ``runs``; else any directory."""
    begun = Path(incomplete or "runs/")
    folder = begun if incomplete.endswith("/") or not incomplete else begun.parent
    found = []
    with suppress(OSError):
        found = [path for path in sorted(folder.iterdir()) if (path / "run.json").is_file()]
    fitting = [str(path) for path in found if str(path).startswith(incomplete)]
    if fitting:
        return [CompletionItem(name) for name in fitting]
    return [CompletionItem(incomplete, type="dir")]


def backbones(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from tfedge.catalog.backbones import BACKBONES

    return _beginning(incomplete, BACKBONES)


def templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from tfedge import api

    return _beginning(incomplete, api.templates())


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from tfedge.tasks.table import TASKS

    return _beginning(incomplete, TASKS)


def keys(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Dotted keys of a pipeline: of the task that the command line names, or its file."""
    from tfedge.config.keys import keys as every_key
    from tfedge.pipeline.schema import TASKS, schema_of
    from tfedge.tasks.table import DEFAULT

    named = ctx.params.get("task") or _task_of(_file()) or DEFAULT
    schema = schema_of(named if named in TASKS else DEFAULT)
    return _beginning(incomplete, (key.path.replace("[]", "") for key in every_key(schema)))


def _file() -> Path | None:
    """The pipeline file on the command line, which click does not parse behind an option without
    its value."""
    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    return next((Path(word) for word in words if word.endswith((".yaml", ".yml"))), None)


def _task_of(file: Path | None) -> str | None:
    """What a pipeline file says of its task."""
    text = ""
    with suppress(OSError, ValueError):
        if file is not None:
            with file.open(encoding="utf-8", errors="replace") as opened:
                text = opened.read(_HEAD)
    found = re.search(r"^task:\s*([\w-]+)", text, re.MULTILINE)
    return found[1] if found else None


def _beginning(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
