"""What ``tfedge devices`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from tfedge.benchmark.result import Host
from tfedge.devices.health import Health
from tfedge.files.text import WIDTH
from tfedge.report.markup import host_text

_INDENT = "    "


def table(devices: Sequence[Health]) -> str:
    """A block for each: its state, what it is, what is missing and the command for it."""
    width = max((len(device.name) for device in devices), default=0)
    return "\n\n".join("\n".join(_block(device, width)) for device in devices)


def document(devices: Sequence[Health]) -> dict[str, Any]:
    rows = [asdict(device) | {"ready": device.ready} for device in devices]
    return {"schema": "tfedge.devices/1", "devices": rows}


def _block(device: Health, width: int) -> Iterator[str]:
    state = "ready" if device.ready else "not ready"
    address = f"  ({device.address})" if device.address != device.name else ""
    yield f"{device.name.ljust(width)}  {state}{address}"
    facts = [host_text(Host.from_json(device.facts))] if device.facts else []
    if not facts and device.python:
        facts.append(f"Python {device.python} ({device.machine})")
    facts += device.runtimes
    facts += [f"{device.free_bytes / 1e9:.1f} GB free"] if device.free_bytes is not None else []
    yield from _wrapped("; ".join(facts))
    yield from _wrapped(device.problem)
    yield from _wrapped(device.hint and f"hint: {device.hint}")
    for missing in device.missing:
        yield from _wrapped(f"missing: {missing.what}")
        if missing.command:  # whole: it is there to be copied
            yield f"{_INDENT}    {missing.command}"


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}  ")
