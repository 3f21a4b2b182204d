"""The command line: thin commands over the Python API, and errors to exit codes.

Whatever is heavy is imported inside the commands, so that ``--help`` is instant. The commands that
have a file of their own in ``commands/`` are imported when they are called.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from tfedge import __version__
from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, DEVICES, examples, setting
from tfedge.commands.screen import show
from tfedge.errors import INTERRUPTED, OUTPUT_CLOSED, TfedgeError
from tfedge.files import garbage
from tfedge.files.artifact import refused
from tfedge.files.streams import OutputClosed, guarded
from tfedge.redact import without_secrets

_FILE = click.argument("file", type=click.Path(path_type=Path))
_SET = setting("Override a key of the file, as in --set data.image_size=97.")


class LazyGroup(click.Group):
    """Knows the commands of ``commands.LAZY`` by name and one line of help before it has them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        found: click.Command = import_module(f"tfedge.commands.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}{_instead(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        here = {name: command.get_short_help_str() for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, (here | LAZY)[name]) for name in self.list_commands(ctx)])


def _instead(name: str, commands: list[str]) -> str:
    """What may have been meant by a command that there is not."""
    from tfedge.config.spelling import did_you_mean
    from tfedge.core.stages import STAGES

    if name in {stage.name for stage in STAGES}:
        return f": it is a stage of a pipeline: tfedge run FILE --to {name}"
    return did_you_mean(name, commands)


@click.group(
    cls=LazyGroup,
    epilog=examples(
        "tfedge init photos -o photos.yaml && tfedge run photos.yaml",
        "tfedge COMMAND --help",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="tfedge")
def cli() -> None:
    """From a folder of photos to a verified, measured, deployable int8 model."""


@cli.command(
    short_help="Check a pipeline file and show what it would run.",
    epilog=examples("tfedge check mine.yaml", "tfedge check mine.yaml --set data.image_size=97"),
)
@_FILE
@_SET
@DEVICES
@CACHE
@DEBUG
def check(
    file: Path, overrides: tuple[str, ...], devices: Path | None, cache: Path | None, debug: bool
) -> None:
    """Check a pipeline FILE and show what it would run, without running it.

    All problems are shown at once, with line and column, and with them what is wrong with the data,
    as far as the names of files and folders tell. Nothing is downloaded or trained, and no device
    is connected to.
    """
    from tfedge import api

    show(api.check(file, overrides, devices_file=devices, cache=cache))


@cli.command(
    short_help="Run a pipeline file.",
    epilog=examples(
        "tfedge run mine.yaml",
        "tfedge run mine.yaml --dry-run",
        "tfedge run mine.yaml --set prune.sparsity=0.6 --from prune",
    ),
)
@_FILE
@_SET
@click.option("--dry-run", is_flag=True, help="Show the plan (what is cached, what would run).")
@click.option("--from", "start", metavar="STAGE", help="Take all stages before it from the cache.")
@click.option("--to", "stop", metavar="STAGE", help="Stop after this stage.")
@click.option("--force", is_flag=True, help="Run again what is cached (with --from: from there).")
@click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where the run gets a new directory.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Use this very directory; an earlier run in it is replaced.",
)
@click.option(
    "--quiet", "-q", is_flag=True, help="Show warnings and the summary, and not how it goes."
)
@click.option("--json", "as_json", is_flag=True, help="Print events, one JSON object a line.")
@DEVICES
@CACHE
@DEBUG
def run(
    file: Path,
    overrides: tuple[str, ...],
    dry_run: bool,
    start: str | None,
    stop: str | None,
    force: bool,
    runs: Path,
    run_dir: Path | None,
    quiet: bool,
    as_json: bool,
    devices: Path | None,
    cache: Path | None,
    debug: bool,
) -> None:
    """Run a pipeline FILE: train, prune, quantize, convert, evaluate, benchmark, package.

    Stages that were done before with the same inputs come from the cache, so a run that was
    stopped goes on when the same command is given again.

    With --json standard output has what happens as it happens. A run that comes to its end, or
    misses a gate, has its result as the last event; of any other the last is "run end", which says
    why. core/events.schema.json describes them all.
    """
    from tfedge import api

    if dry_run and as_json:
        raise click.UsageError("--json tells how a run goes, and --dry-run runs nothing")
    if dry_run:
        plan = api.check(
            file,
            overrides,
            devices_file=devices,
            cache=cache,
            from_stage=start,
            to_stage=stop,
            force=force,
            runs=runs,
        )
        show(plan)
        return
    from tfedge.commands.following import follow

    loaded = api.load(file, overrides, devices_file=devices)
    with follow(quiet, as_json) as followed:
        done = api.run(
            loaded,
            cache=cache,
            runs=runs,
            run_dir=run_dir,
            from_stage=start,
            to_stage=stop,
            force=force,
            progress=followed.progress,
            capture_output=True,
        )
        followed.ended(done)


def process() -> NoReturn:
    """``main`` as a process of its own, which ends with its exit code.

    Taking TensorFlow apart object by object takes a second or more: what is registered for the end
    is called, and all else goes with the process.
    """
    garbage.begin()
    code = main()
    if "tensorflow" not in sys.modules:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (see ``tfedge.errors``)."""
    with guarded():
        return _main(list(sys.argv[1:] if arguments is None else arguments))


def _main(given: list[str]) -> int:
    debug = "--debug" in given
    try:
        cli.main(given, prog_name="tfedge", standalone_mode=False)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:  # Ctrl-C and SIGTERM, which click turns into this
        goes_on = given[:1] not in [[name] for name in LAZY]
        hint = "hint: the same command goes on from the last finished stage"
        _say(["stopped before the end", *([hint] if goes_on else [])], debug)
        return INTERRUPTED
    except OutputClosed:
        return OUTPUT_CLOSED
    except TfedgeError as error:
        _say(error.lines(), debug)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 (the one place where everything ends)
        from tfedge.core.installation import explained

        known = explained(error) or refused(error)
        _say(known.lines() if known else _internal(error), debug)
        return known.exit_code if known else 1
    return 0


def _say(lines: list[str], debug: bool) -> None:
    if debug:
        traceback.print_exc()
    for line in lines:
        click.echo(line, err=True)


def _internal(error: Exception) -> list[str]:
    """A bug of ours: keep the traceback where it can be sent from, don't throw it at the user."""
    handle, name = tempfile.mkstemp(prefix="tfedge-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(without_secrets(traceback.format_exc()))
    return [
        without_secrets(f"internal error: {type(error).__name__}: {error}"),
        f"hint: this is a bug in tfedge; please report it with {name}",
    ]
