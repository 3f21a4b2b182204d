"""Is a device ready to be measured on? What is missing, and the command that installs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tfedge.benchmark.call import script_file
from tfedge.devices import android
from tfedge.devices.address import parse
from tfedge.devices.device import Device, Done
from tfedge.devices.remedies import Missing, ProbedDevice, Version, missing, no_python, too_old
from tfedge.devices.schema import BenchDevice
from tfedge.devices.session import Connect, connect
from tfedge.devices.shell import tail
from tfedge.errors import DeviceError, MissingDependency
from tfedge.files.artifact import parse_json

OLDEST: Version = (3, 7)  # Python that the device script runs on
_SHORT = 60.0  # seconds for a probe
_FACTS = 300.0  # seconds: TensorFlow takes long to import on a board

# For any Python 3: what is missing can't be asked by a script that needs it. $1: the delegate.
_PROBE = """\
import ctypes, json, os, platform, sys, sysconfig
from importlib.util import find_spec
def loads(name):
    try:
        return bool(ctypes.CDLL(name))
    except OSError:
        return False
delegate = sys.argv[1]
marker = os.path.join(sysconfig.get_path("stdlib") or "", "EXTERNALLY-MANAGED")
print(json.dumps({
    "version": list(sys.version_info[:3]),
    "machine": platform.machine(),
    "managed": os.path.exists(marker) and sys.prefix == sys.base_prefix,
    "pip": find_spec("pip") is not None,
    "venv": find_spec("ensurepip") is not None,
    "delegate": not delegate or loads(delegate),
}))
"""
_BUILT_IN = ("xnnpack", "none")  # delegates that every runtime has
_EDGETPU = "libedgetpu.so.1"


@dataclass(frozen=True)
class Health:
    """What was found; ``problem`` instead when the device can't be used at all."""

    name: str
    address: str
    problem: str = ""
    hint: str = ""
    python: str | None = None
    machine: str | None = None
    numpy: str | None = None
    runtimes: tuple[str, ...] = ()  # "LiteRT 2.3.0"; those that work
    free_bytes: int | None = None  # where the device's files are put
    facts: Mapping[str, Any] = field(default_factory=dict)  # `device` of the script's JSON
    missing: tuple[Missing, ...] = ()

    @property
    def ready(self) -> bool:
        return not self.problem and not self.missing


def examine(device: BenchDevice, tool: Path | None = None, connect: Connect = connect) -> Health:
    """Connect, look, and let go again. Whatever is wrong is in the answer; nothing is raised.

    ``tool`` is the file of benchmark_model, where the device has one.
    """
    health = Health(device.name, device.address)
    try:
        with connect(device) as found:
            return _look(device, tool, found, health)
    except (DeviceError, MissingDependency) as error:
        told = error.message.removeprefix(f"{device.name}: ")
        return replace(health, problem=told, hint=error.hint)


def _look(device: BenchDevice, tool: Path | None, found: Device, health: Health) -> Health:
    where = parse(device.address)
    library = _library(device.delegate)
    probed = found.run([*found.python, "-c", _PROBE, library], timeout=_SHORT)
    if probed.returncode and tool is not None:
        found.push(tool)
        facts = android.facts(found)
        native = (f"benchmark_model ({tool.name})",)
        return replace(health, machine=facts.machine, facts=asdict(facts), runtimes=native)
    if probed.returncode:
        if where.kind == "adb":
            raise android.no_python(found, probed)
        lacks = no_python(where, found.python, tail(probed.stderr))
        return replace(health, missing=(lacks,))
    told = _json(found, probed)
    version: Version = (told["version"][0], told["version"][1])
    health = replace(health, python=".".join(map(str, told["version"])), machine=told["machine"])
    if version < OLDEST:
        return replace(health, missing=(too_old(where, OLDEST, version),))
    words = [*found.python, found.push(script_file()), "--facts", "--json=-"]
    report = _json(found, found.run(words, timeout=_FACTS))
    works = [row for row in report["runtimes"] if not row["error"]]
    return replace(
        health,
        numpy=report["device"]["numpy"],
        runtimes=tuple(f"{row['name']} {row['version']}" for row in works),
        free_bytes=report["free_bytes"],
        facts=report["device"],
        missing=missing(ProbedDevice(where, tuple(found.python), device, version, told, report)),
    )


def _library(delegate: str) -> str:
    """The file that must be there to be loaded; empty for a delegate that is built in."""
    path = delegate.partition(",")[0]
    return "" if path in _BUILT_IN else _EDGETPU if path == "edgetpu" else path


def _json(device: Device, done: Done) -> Any:
    try:
        if done.returncode == 0:
            return parse_json(done.stdout)
        why = f"ended with {done.returncode}: {tail(done.stderr)}"
    except ValueError:
        why = f"printed {done.stdout.strip()[-200:]!r}"
    what = " ".join(device.python)
    raise DeviceError(f"{device.name}: {what} runs there, but {why}", "please report it")
