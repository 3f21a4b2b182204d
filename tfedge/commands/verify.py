"""``tfedge verify``: hold a drop against what it says of itself, here and on devices."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from tfedge.commands.options import DEBUG, DEVICES, examples


@click.command(
    "verify",
    epilog=examples(
        "tfedge verify runs/latest/package/drops/linux",
        "tfedge verify flowers-linux.zip --device ssh://pi@raspberrypi.local",
    ),
)
@click.argument("drop", type=click.Path(path_type=Path))
@click.option(
    "--device",
    "names",
    multiple=True,
    metavar="DEVICE",
    help="Replay the golden pairs there, too: local:PYTHON, ssh://user@host, adb, or a name of "
    "devices.yaml. Can be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DEVICES
@DEBUG
def command(
    drop: Path, names: tuple[str, ...], as_json: bool, devices: Path | None, debug: bool
) -> None:
    """Check a DROP, a folder or a .zip: files, contract, labels, metadata, golden pairs.

    A byte that was changed is found. Ends with 9 when something does not hold.
    """
    from tfedge import api
    from tfedge.errors import DropError

    checks = api.verify(drop, devices=names, devices_file=devices)
    failed = sum(bool(check.problems) for check in checks)
    if as_json:
        rows = [asdict(check) | {"ok": not check.problems} for check in checks]
        click.echo(json.dumps({"drop": str(drop), "ok": not failed, "checks": rows}, indent=1))
    else:
        width = max(len(check.what) for check in checks)
        for check in checks:
            state = "FAILED" if check.problems else "ok"
            click.echo(f"{state:<6}  {check.what:<{width}}  {check.found}".rstrip())
            for problem in check.problems:
                click.echo(f"        {problem}")
    if failed:
        raise DropError(f"{drop}: {failed} of {len(checks)} checks failed", "make the drop again")
