"""devices.yaml: names for devices, and what each needs.

::

    devices:
      pi4: ssh://pi@raspberrypi.local
      nano:
        address: ssh://mendel@nano
        python: ~/venv/bin/python
        delegate: edgetpu
      phone:
        address: adb
        benchmark_model: {path: ~/benchmark_model}

It is looked for where tfedge is called, then in ``~/.config/tfedge``. Paths in it are relative to
its folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfedge.config import nodes
from tfedge.config.validate import checked, spot
from tfedge.devices.address import Address, parse
from tfedge.devices.schema import (
    BenchDevice,
    Device,
    DeviceOptions,
    Devices,
    device_problems,
)
from tfedge.errors import ConfigError, DeviceError

NAME = "devices.yaml"
KIND = nodes.Kind(
    NAME, "YAML files", "devices:", "it needs devices: with a name and an address for each"
)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ADDRESSES = ("local", "adb")


@dataclass(frozen=True)
class Inventory:
    """The devices of a file by name; without a file there are none."""

    path: Path | None = None
    devices: Mapping[str, BenchDevice] = field(default_factory=dict)

    def notes(self, given: Path | None) -> tuple[str, ...]:
        """That it is the file of the current folder, where nobody has named one: it says which
        programs are started, and where."""
        if given is not None or self.path != Path(NAME):
            return ()
        return (f"devices: as {self.path.absolute()} says, found in the current folder",)

    def find(self, device: BenchDevice, folder: Path) -> BenchDevice:
        """A device with its address: its own, or that of its name here, or its name being one.

        What it says itself goes before what the file says. Its paths are relative to ``folder``.
        DeviceError: its name is neither here nor an address.
        """
        own = {key: getattr(device, key) for key in device.model_fields_set}
        if not device.address and device.name in self.devices:
            found = _at(self.devices[device.name].model_copy(update=own), folder, set(own))
        else:
            where = parse(device.address or device.name, self.devices)
            found = _at(device.model_copy(update={"address": where.text}), folder)
        if wrong := _only_for_adb(found, found.address):
            raise DeviceError(f"device {device.name!r}: {wrong}")
        return found


def locate() -> Path | None:
    """The devices.yaml that is used where none is given."""
    home = os.environ.get("XDG_CONFIG_HOME")
    config = (Path(home) if home else Path.home() / ".config") / "tfedge"
    return next((path for path in (Path(NAME), config / NAME) if path.is_file()), None)


def open_inventory(given: Path | None) -> Inventory:
    """The file given, else the one that is found, else nothing. ConfigError when it is wrong."""
    path = given if given is not None else locate()
    return Inventory() if path is None else read(path)


class Finder:
    """For ``pipeline.load``: names through devices.yaml. A file that nobody asked for by ``given``
    is only read once a name needs it: it can't break a pipeline that does without."""

    def __init__(self, given: Path | None) -> None:
        self._given = given
        self._inventory: Inventory | None = None

    def __call__(self, device: BenchDevice, folder: Path) -> BenchDevice:
        if self._given is None and (device.address or _is_address(device.name)):
            return Inventory().find(device, folder)
        if self._inventory is None:
            self._inventory = open_inventory(self._given)
        return self._inventory.find(device, folder)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to tell of the file, if one was read."""
        return () if self._inventory is None else self._inventory.notes(self._given)


def finder(given: Path | None) -> Finder:
    """What finds devices by name or address, in the file given or the one that is found."""
    return Finder(given)


def read(path: Path) -> Inventory:
    """Every problem at once, as ConfigError with file, line and column."""
    tree = nodes.read(path, KIND)
    file, found, _ = checked(tree, Devices, {"devices": {}})
    devices: dict[str, BenchDevice] = {}
    for name, given in (file.devices if file is not None else {}).items():
        entry = Device(address=given) if isinstance(given, str) else given
        for key, text in _problems(name, entry):
            at = ("devices", name, *(() if isinstance(given, str) else key))
            found.append((spot(tree, at, on_key=not key), f"devices.{name}: {text}"))
        own = {key: getattr(entry, key) for key in entry.model_fields_set}
        devices[name] = _at(BenchDevice(name=name, **own), path.parent)
    if found or file is None:
        found.sort(key=lambda item: item[0])
        raise ConfigError([f"{place.text}: {text}" for place, text in found])
    return Inventory(path, devices)


def _problems(name: str, entry: Device) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys in the entry, none for its name, and what is wrong there."""
    if _is_address(name) or not _LABEL.fullmatch(name):
        what = "letters, digits, dots, dashes and underscores (at most 64), and no address"
        yield (), f"a name must be {what}"
    try:
        parse(entry.address)
        if wrong := _only_for_adb(entry, entry.address):
            yield ("benchmark_model",), wrong
    except DeviceError as error:
        hint = error.hint.partition(", or a name in")[0]  # an address leads to no other name
        yield ("address",), f"{error.message.removeprefix('device ')} ({hint})"
    for key, text in device_problems(entry):
        yield tuple(key.split(".")), f"{key}: {text}"


def _only_for_adb(device: DeviceOptions, address: str) -> str:
    """What is wrong about benchmark_model with this address, if anything."""
    if device.benchmark_model is None or address.partition(":")[0] == "adb":
        return ""
    return f"benchmark_model is for devices at adb, not at {address}"


def _is_address(name: str) -> bool:
    return name in _ADDRESSES or ":" in name


def _at(device: BenchDevice, folder: Path, keys: set[str] | None = None) -> BenchDevice:
    """The device with the paths of this machine made absolute; of ``keys`` only, if given."""
    changed: dict[str, object] = {}
    kind, _, python = device.address.partition(":")
    if (keys is None or "address" in keys) and kind == "local" and "/" in python:
        changed["address"] = f"local:{_absolute(python, folder)}"
    tool = device.benchmark_model
    if (keys is None or "benchmark_model" in keys) and tool is not None and tool.path is not None:
        path = _absolute(tool.path, folder)
        changed["benchmark_model"] = tool.model_copy(update={"path": path})
    return device.model_copy(update=changed) if changed else device


def _absolute(text: str, folder: Path) -> str:
    return os.path.abspath(folder / os.path.expanduser(text))  # noqa: PTH100, PTH111 (no raising)


def machine_of(device: BenchDevice) -> tuple[object, ...]:
    """The machine that a found device is: two entries of one place are one machine."""
    where: Address = parse(device.address)
    return (where.kind, where.user, where.host.lower(), where.port, where.serial)
