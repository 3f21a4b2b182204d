"""Replay a drop's golden pairs on a device, by the device script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.devices.inventory import finder
from tfedge.devices.schema import BenchDevice
from tfedge.devices.session import Plan, measure, opened, subjects
from tfedge.drops.verify import Replay
from tfedge.tasks.drop import GOLDEN, Check

_RUNS = 10  # the script times, too; a replay needs no more than it asks for


def on_device(name: str, devices: Path | None) -> Replay:
    """What replays the pairs on a device of that name or address.

    ConfigError or DeviceError, now, when there is no such device.
    """
    find = finder(devices)
    device = find(BenchDevice(name=name), Path())
    notes = "".join(f"; {note}" for note in find.notes)

    def replay(folder: Path, facts: Mapping[str, Any]) -> Check:
        model, delegate = folder / facts["model"], device.delegate
        if delegate == "edgetpu":
            model = folder / facts["coral"]["file"]
        plan = Plan(runs=_RUNS, warmup=1, processes=1, golden=folder / GOLDEN)
        with opened([device]) as found:
            (result,) = measure(subjects({model.stem: model}, [device], found), plan)
        pairs = result.golden
        if pairs is None:
            return Check(f"golden pairs on {name}", "", ("the device did not replay them",))
        said = (
            f"{pairs['identical']} of {pairs['pairs']} identical through {result.runtime} "
            f"{result.runtime_version} ({result.host.machine}){notes}"
        )
        problems = [f"{pairs['failed']} of {pairs['pairs']} differ: {pairs['failure']}"]
        return Check(f"golden pairs on {name}", said, tuple(problems if pairs["failed"] else ()))

    return replay
