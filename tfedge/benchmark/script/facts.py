"""What a device is, and how it feels: all that can be read of it without installing anything."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np

ROOT = Path("/")  # of proc and sys; tests put their own there
CORTEX = {  # "CPU part" of ARM's own cores: the Cortex-…
    "c07": "A7",
    "d03": "A53",
    "d04": "A35",
    "d05": "A55",
    "d07": "A57",
    "d08": "A72",
    "d09": "A73",
    "d0a": "A75",
    "d0b": "A76",
    "d0d": "A77",
    "d41": "A78",
}


def read_text(name: str | Path, pattern: str = r"(.*\S)") -> str | None:
    """What the pattern's group finds in a file of proc or sys; None: not known here."""
    try:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(pattern, text.replace("\0", ""), re.M)
    return found.group(1) if found and found.group(1) else None


def read_number(name: str | Path, pattern: str, unit: float = 1) -> float | None:
    """The number that the pattern finds, times the unit: an int if that is one."""
    text = read_text(name, pattern)
    return None if text is None else type(unit)(round(float(text) * unit, 3))


def state() -> dict:
    """How the device feels now: temperature, clock, throttling, load. None: not known here."""
    return {
        "temperature_c": temperature(),
        "frequency_hz": frequency(),
        "throttled": throttled(),
        "load": read_number("proc/loadavg", r"([\d.]+)", 1.0),  # of the last minute
    }


def temperature() -> float | None:
    """Degrees Celsius of the hottest sensor of the CPU; where none is known, of the hottest."""
    every = []
    cpu = []
    for zone in ROOT.glob("sys/class/thermal/thermal_zone*"):
        degrees = read_number(zone / "temp", r"^(\d{4,6})$", 1e-3)
        if degrees:
            every.append(degrees)
            if re.search("cpu|soc|pkg|core|bcm", read_text(zone / "type") or "", re.I):
                cpu.append(degrees)
    return max(cpu or every, default=None)


def frequency() -> float | None:
    """Hertz of the fastest core, at this moment."""
    kilohertz = ROOT.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    return max((read_number(file, r"(\d+)", 1000) or 0 for file in kilohertz), default=0) or None


def throttled() -> bool | None:
    """Whether heat or power holds the CPU back."""
    if shutil.which("vcgencmd"):  # Raspberry Pi
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
            said = subprocess.check_output(["vcgencmd", "get_throttled"], timeout=5)
            return bool(int(said.split(b"=")[1], 16) & 15)  # the bits above: since the boot
    devices = ROOT.glob("sys/class/thermal/cooling_device*")
    cpu = [one for one in devices if re.search("cpu|proc", read_text(one / "type") or "", re.I)]
    if not cpu:
        return None
    return any(read_number(one / "cur_state", r"(\d+)") for one in cpu)


def device() -> dict:
    """What the device is. None: not known here."""
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return {
        "board": read_text("proc/device-tree/model") or read_text("sys/class/dmi/id/product_name"),
        "cpu": cpu_name() or platform.processor() or None,
        "machine": platform.machine() or None,
        "cores": len(usable(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": None if np is None else np.__version__,
        "governor": read_text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": read_number("proc/meminfo", r"^MemTotal:\s*(\d+)", 1024),
    }


def cpu_name() -> str | None:
    """The processor, by its cores where they are ARM's own."""
    info = read_text("proc/cpuinfo", r"(?s)(.*)") or ""
    parts = dict.fromkeys(re.findall(r"^CPU part\s*: 0x(\w+)", info, re.M))
    cores = [f"Cortex-{CORTEX[part]}" for part in parts if part in CORTEX]
    if cores:
        return " + ".join(cores)
    said = dict(re.findall(r"^(model name|Hardware|Model)\s*: (.*\S)", info, re.M))
    return said.get("model name") or said.get("Hardware") or said.get("Model")
