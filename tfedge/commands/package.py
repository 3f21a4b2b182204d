"""``tfedge package``: take the drops of a finished run out of it."""

from __future__ import annotations

from pathlib import Path

import click

from tfedge.commands import complete
from tfedge.commands.options import DEBUG, examples


@click.command(
    "package",
    epilog=examples("tfedge package runs/latest --target android --archive zip --out drops"),
)
@click.argument("run_dir", type=click.Path(path_type=Path), shell_complete=complete.runs)
@click.option(
    "--target", "targets", multiple=True, help="Only this one. Can be given several times."
)
@click.option("--archive", type=click.Choice(["zip"]), help="One file for each drop.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where they are put.  [default: here]",
)
@DEBUG
def command(
    run_dir: Path, targets: tuple[str, ...], archive: str | None, out: Path, debug: bool
) -> None:
    """Take the drops out of RUN_DIR, each checked first, as NAME-TARGET or NAME-TARGET.zip.

    The same run gives the same bytes.
    """
    from tfedge.drops.export import export

    for path, size in export(run_dir, out, targets=targets, archived=archive is not None):
        click.echo(f"{path}  {size:,} bytes")
