"""``tfedge devices``: look whether devices are ready to be measured on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfedge.commands import LAZY
from tfedge.commands.options import CACHE, DEBUG, DEVICES, examples

if TYPE_CHECKING:
    from tfedge.devices.schema import BenchDevice


@click.command(
    short_help=LAZY["devices"],
    epilog=examples("tfedge devices", "tfedge devices ssh://pi@raspberrypi.local adb"),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@DEVICES
@CACHE
@DEBUG
def command(
    names: tuple[str, ...], as_json: bool, devices: Path | None, cache: Path | None, debug: bool
) -> None:
    """Look whether devices are ready: reachable, with Python, numpy, a TFLite runtime and space.

    What is missing is told with the command that installs it. NAMEs are those in devices.yaml, or
    addresses; without any, all in devices.yaml are looked at. Ends with 8 when one is not ready.
    """
    from tfedge.core.process import stoppable
    from tfedge.core.progress import shown_on
    from tfedge.devices.health import examine
    from tfedge.devices.tools import tools
    from tfedge.errors import DeviceError
    from tfedge.files.cache import cache_folder
    from tfedge.report.devices import document, table

    wanted = _chosen_devices(names, devices)
    reporter = shown_on(sys.stderr)
    found = []
    try:
        for number, device in enumerate(wanted):
            reporter.update(f"looking at {device.name},", number, len(wanted), "devices done")
            program = tools([device], cache_folder(cache), reporter).get(device.name)
            with stoppable():
                found.append(examine(device, program))
    finally:
        reporter.clear()
    click.echo(json.dumps(document(found), indent=1) if as_json else table(found))
    wrong = [health.name for health in found if not health.ready]
    if wrong:
        raise DeviceError(f"not ready: {', '.join(wrong)}")


def _chosen_devices(names: tuple[str, ...], given: Path | None) -> list[BenchDevice]:
    from tfedge.devices.inventory import finder, open_inventory
    from tfedge.devices.schema import BenchDevice

    if names:
        find = finder(given)
        found = [find(BenchDevice(name=name), Path()) for name in dict.fromkeys(names)]
        _say(find.notes)
        return found
    inventory = open_inventory(given)
    if inventory.path is None:
        click.echo("no devices.yaml here or in ~/.config/tfedge: this machine only", err=True)
        return [finder(None)(BenchDevice(name="local"), Path())]
    _say(inventory.notes(given))
    return list(inventory.devices.values())


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)
