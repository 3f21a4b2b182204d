"""``tfedge schema``: the keys of a pipeline file, from the schema itself."""

from __future__ import annotations

import json

import click

from tfedge.commands import LAZY, complete
from tfedge.commands.options import DEBUG, examples


@click.command(
    short_help=LAZY["schema"],
    epilog=examples(
        "tfedge schema prune.sparsity",
        "tfedge schema data --task text-classification",
        "tfedge schema --json > tfedge.schema.json",
    ),
)
@click.argument("key", required=False, shell_complete=complete.keys)
@click.option(
    "--task",
    shell_complete=complete.tasks,
    help="The task whose keys are told, as `task:` names it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON Schema, for editors.")
@DEBUG
def command(key: str | None, task: str | None, as_json: bool, debug: bool) -> None:
    """Explain the keys of a pipeline file: type, default, meaning.

    With KEY, such as prune or prune.sparsity, that section or key alone. Without --task those of
    the default task are explained, and --json describes files of every task.

    An editor with a YAML language server completes, explains and checks the keys of a file that
    begins with `# yaml-language-server: $schema=tfedge.schema.json`, once --json has been written
    there. Files of `tfedge init` and `tfedge template` begin with the schema of this installation.
    """
    from tfedge.config import keys
    from tfedge.config.removed import gone
    from tfedge.config.spelling import did_you_mean
    from tfedge.errors import ConfigError
    from tfedge.pipeline.json_schema import json_schema
    from tfedge.pipeline.schema import DEFAULT, REMOVED, RENAMED, SPREAD, TASKS, schema_of
    from tfedge.report.keys import text

    if as_json and key is None and task is None:
        click.echo(json.dumps(json_schema(), indent=1))
        return
    task = task or DEFAULT
    if task not in TASKS:
        raise ConfigError([f"no task {task!r}{did_you_mean(task, TASKS)}"])
    schema = schema_of(task)
    if key in RENAMED:
        click.echo(f"note: {key} is called {RENAMED[key]} today", err=True)
        key = RENAMED[key]
    if key in REMOVED and not REMOVED[key].values:
        raise ConfigError([gone(key, REMOVED[key])])
    if key in SPREAD:
        meant = SPREAD[key].keys
        click.echo(f"note: {key} is said by each section today: {', '.join(meant)}", err=True)
        key = meant[0]
    found = list(keys.keys(schema)) if key is None else keys.part(schema, key)
    if as_json:
        title = f"tfedge pipeline, {task}" + (f": {key}" if key else "")
        click.echo(json.dumps(keys.json_schema(schema, title, key or ""), indent=1))
    else:
        click.echo(text(found))
