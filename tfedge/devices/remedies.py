"""What a device lacks, and the command, to be typed here, that installs it there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfedge.benchmark.script.runtime import RUNTIMES
from tfedge.devices.address import Address
from tfedge.devices.schema import BenchDevice

Version = tuple[int, int]

LITERT_FROM: Version = (3, 10)  # Python that ai-edge-litert has wheels for
LITERT_MACHINES = ("x86_64", "aarch64", "arm64")
TFLITE_UP_TO: Version = (3, 11)  # Python that the last tflite-runtime has wheels for
TFLITE_MACHINES = ("x86_64", "aarch64", "armv7l")
NEEDED = 100_000_000  # bytes: the largest model that fits a board, twice, and some images
_VENV = "~/tfedge-venv"
_APT = "sudo apt-get install -y"
_PLAIN = re.compile(r"[\w@%+=:,./ -]+")
_UNQUOTABLE = frozenset('"$`\\!')  # mean something between double quotes


@dataclass(frozen=True)
class Missing:
    what: str
    command: str = ""  # empty: there is none


@dataclass(frozen=True)
class ProbedDevice:
    """A device with Python, and what was asked of it."""

    where: Address
    python: tuple[str, ...]
    device: BenchDevice
    version: Version
    told: Mapping[str, Any]  # by Python: machine, managed, pip, venv, delegate
    report: Mapping[str, Any]  # by the device script: device, runtimes, free_bytes


def missing(found: ProbedDevice) -> tuple[Missing, ...]:
    """Everything that is in the way of measuring there."""
    return (*_packages(found), *_delegate(found), *_space(found))


def no_python(where: Address, python: Sequence[str], why: str) -> Missing:
    what = f"Python: {' '.join(python)} does not run there: {why}"
    return Missing(what, there(where, f"{_APT} python3 python3-venv"))


def too_old(where: Address, oldest: Version, version: Version) -> Missing:
    what = f"Python {_dotted(oldest)} or newer: it has {_dotted(version)}"
    return Missing(what, there(where, f"{_APT} python3"))


def there(where: Address, command: str) -> str:
    """A command line for the device, as a person types it here."""
    if where.kind == "local":
        return command
    if where.kind == "adb":
        words = ["adb", *(["-s", where.serial] if where.serial else []), "shell"]
    else:
        port = ["-p", str(where.port)] if where.port else []
        words = ["ssh", *port, f"{where.user}@{where.host}" if where.user else where.host]
    if not _PLAIN.fullmatch(command):
        command = shlex.quote(command) if _UNQUOTABLE & set(command) else f'"{command}"'
    return f"{shlex.join(words)} {command}"


def _packages(found: ProbedDevice) -> Iterator[Missing]:
    """numpy and a runtime, by one command."""
    lacks, packages = [], []
    name = RUNTIMES[found.device.runtime].name if found.device.runtime != "auto" else ""
    rows = [row for row in found.report["runtimes"] if not name or row["name"] == name]
    broken = [row for row in rows if row["error"]]
    old_numpy = False
    if not rows:
        machine = found.told["machine"]
        package = package_for(found.device.runtime, found.version, machine)
        lacks.append(name or "a TFLite runtime")
        packages += [package] if package else []
        old_numpy = package == "tflite-runtime"
        if not package:
            lacks[-1] += f" (no wheel for Python {_dotted(found.version)} on {machine})"
    elif len(broken) == len(rows):
        lacks.append(f"a {broken[0]['name']} that works: {broken[0]['error']}")
        old_numpy = True  # by far the most frequent cause
    if found.report["device"]["numpy"] is None or old_numpy:
        packages.append("'numpy<2'" if old_numpy else "numpy")
    if found.report["device"]["numpy"] is None:
        lacks.insert(0, "numpy")
    if lacks:
        yield Missing(" and ".join(lacks), _pip(found, packages) if packages else "")


def package_for(runtime: str, version: Version, machine: str) -> str:
    """What brings a runtime (a key of the script's RUNTIMES, or auto) to a Python; empty: none."""
    if runtime == "tensorflow":
        return "tensorflow"
    if runtime in ("auto", "litert") and version >= LITERT_FROM and machine in LITERT_MACHINES:
        return "ai-edge-litert"
    if runtime in ("auto", "tflite-runtime") and version <= TFLITE_UP_TO:
        return "tflite-runtime" if machine in TFLITE_MACHINES else ""
    return ""


def _pip(found: ProbedDevice, packages: Sequence[str]) -> str:
    """Into a virtual environment where the system's Python may not be changed (PEP 668)."""
    python, words = shlex.join(found.python), " ".join(packages)
    if not found.told["managed"]:
        first = "" if found.told["pip"] else f"{_APT} python3-pip && "
        return there(found.where, f"{first}{python} -m pip install {words}")
    first = "" if found.told["venv"] else f"{_APT} python3-venv && "
    make = f"{python} -m venv {_VENV} && {_VENV}/bin/pip install {words}"
    then = f"local:{_VENV}/bin/python" if found.where.kind == "local" else f"{_VENV}/bin/python"
    key = "address" if found.where.kind == "local" else "python"
    return f"{there(found.where, first + make)}  # then {key}: {then} in devices.yaml"


def _delegate(found: ProbedDevice) -> Iterator[Missing]:
    if found.told["delegate"]:
        return
    path = found.device.delegate.partition(",")[0]
    if path == "edgetpu":
        command = there(found.where, f"{_APT} libedgetpu1-std")
        yield Missing("the Edge TPU runtime (libedgetpu, from coral.ai's repository)", command)
    else:
        yield Missing(f"the delegate's library: {path} can't be loaded there")


def _space(found: ProbedDevice) -> Iterator[Missing]:
    free = found.report["free_bytes"]
    if free < NEEDED:
        what = f"space: {free / 1e6:.0f} MB are free, {NEEDED / 1e6:.0f} MB are needed"
        yield Missing(what, there(found.where, "df -h ."))


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
