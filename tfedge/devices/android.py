"""Measuring on Android: with Python where that runs, else with TensorFlow's own benchmark_model.

An adb shell may run what lies in ``/data/local/tmp``; the files of an app, and so Termux's Python,
are that app's alone, unless the shell is root. (``run-as com.termux`` takes a debuggable build of
Termux, which is then not allowed to read the shell's files.) So most phones are measured by
benchmark_model, or through the sshd that runs *in* Termux: an ``ssh://`` device like any other.

benchmark_model gives no samples. **Each process of it counts as one sample**: its median, or its
mean where the median is too coarse or not printed (``native.sample`` says which). What it told
stands beside it as ``native``. So n is the number of processes, and a confidence interval is one
of processes; five processes of 50 runs say more than one of 250.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tfedge.benchmark import call
from tfedge.benchmark.result import Host, Process, Result
from tfedge.devices import benchmark_model, scripts
from tfedge.devices.benchmark_model import Work
from tfedge.devices.device import Device, Done
from tfedge.devices.shell import tail
from tfedge.errors import DeviceError
from tfedge.files.artifact import sha256_file

RUNTIME = "benchmark_model"  # in results; its version is the digest of the binary

_SHORT = 30.0  # seconds for the questions of this module
_TRY = 60.0  # seconds for an interpreter to start
_GRACE = 30.0  # seconds beyond the tool's own limit until the device ends it
_REFUSED = 4  # the device script's exit code for a model that its runtime does not load
_CPU = "0"  # Android's type of a temperature
_CHIP = ("ro.soc.manufacturer", "ro.soc.model")

# Answered with what is there; a device without getprop or dumpsys (a Linux) leaves gaps.
_FACTS = (
    "for p in ro.product.manufacturer ro.product.model ro.soc.manufacturer ro.soc.model "
    "ro.build.version.release; do "
    'echo "$p=$(getprop "$p" 2>/dev/null)"; done; '
    'echo "machine=$(uname -m)"; echo "kernel=$(uname -s -r)"; echo "cores=$(nproc)"; '
    'echo "governor=$(cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null)"; '
    "cat /proc/meminfo /proc/cpuinfo 2>/dev/null"
)
_STATE = (
    "dumpsys battery 2>/dev/null; dumpsys thermalservice 2>/dev/null; "
    "for f in /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq; do "
    'echo "frequency=$(cat "$f" 2>/dev/null)"; done; '
    'echo "load=$(cat /proc/loadavg 2>/dev/null)"'
)


def measures_by_python(device: Device, tool: Path | None) -> bool:
    """Whether the device script is what measures there; False: benchmark_model (``tool``) is.

    DeviceError when there is neither, with the ways out.
    """
    done = device.run([*device.python, "-c", "pass"], timeout=_TRY)
    if done.returncode and tool is None:
        raise no_python(device, done)
    return done.returncode == 0


def no_python(device: Device, done: Done) -> DeviceError:
    """``done`` is the attempt to run it."""
    return DeviceError(
        f"{device.name}: {' '.join(device.python)} does not run there: {tail(done.stderr)}",
        "adb may not start the Python of an app such as Termux. Either give benchmark_model in "
        "devices.yaml (the path of TensorFlow's binary for Android), or let Termux answer: there, "
        "pkg install openssh python python-numpy python-tflite-runtime && passwd && sshd; here, "
        "ssh-copy-id -p 8022 PHONE, and the device is ssh://PHONE:8022 "
        "(by cable: adb forward tcp:8022 tcp:8022 and ssh://localhost:8022)",
    )


def measure(device: Device, tool: Path, work: Work) -> Result:
    """One process of benchmark_model, which counts as one sample.

    Raises:
        DeviceError: the binary does not run there, the model or the delegate does not load, a
            time-out, the connection is lost.
    """
    there, model = device.push(tool), device.push(work.path)
    host = facts(device)
    before = state(device)
    reading = _read(device, tool, _run(device, there, model, work), work)
    after = state(device)
    profile = None
    if work.profile:
        text = _run(device, there, model, work, profile=True)
        _read(device, tool, text, work)
        profile = benchmark_model.parse_profile(text)
    process = Process(
        load_ns=_ns(reading.load_us),
        first_ns=_ns(reading.warmup.first),
        warmup_ns=(),
        samples_ns=(max(_ns(reading.timed.typical[1]), 1),),
        peak_bytes=None,
        base_bytes=None,
        before=before,
        after=after,
        native=reading.native(),
    )
    return Result(
        model=work.model,
        sha256=sha256_file(work.path),
        bytes=work.path.stat().st_size,
        runtime=RUNTIME,
        runtime_version=sha256_file(tool)[:12],
        threads=work.threads,
        host=host,
        processes=(process,),
        device=device.name,
        delegate=work.delegate,
        shapes=tuple(port.shape for port in work.inputs),
        delegated=reading.delegated,
        profile=profile,
    )


def _run(device: Device, tool: str, model: str, work: Work, *, profile: bool = False) -> str:
    """What benchmark_model prints; DeviceError unless it ends well."""
    words = benchmark_model.command(tool, model, work, profile=profile)
    done = device.run(words, timeout=work.timeout + _GRACE)
    text = f"{done.stdout}\n{done.stderr}"
    # A file that is no program for this processor is handed to the shell by some libraries.
    foreign = re.search(r"exec format error|syntax error", text, re.I)
    if done.returncode in (126, 127) or (done.returncode and foreign):
        raise DeviceError(
            f"{device.name}: benchmark_model is no program for this device: {tail(done.stderr)}",
            "take the binary for Android and for its processor: android_aarch64_benchmark_model "
            "for most phones",
        )
    if done.returncode > 128:
        raise DeviceError(
            f"{device.name}: {work.model}: benchmark_model was ended there by signal "
            f"{done.returncode - 128}: {tail(text)}",
            "the model may be broken, or need more memory than there is",
        )
    if done.returncode:
        message, _ = call.failure(_REFUSED, benchmark_model.failure(text))
        raise DeviceError(
            f"{device.name}: {work.model}: benchmark_model: {message}",
            "does the model run here (tfedge bench)? If it does, take a newer benchmark_model",
        )
    return text


def _read(device: Device, tool: Path, text: str, work: Work) -> benchmark_model.Reading:
    try:
        return benchmark_model.parse(text, work.delegate)
    except benchmark_model.Unreadable as error:
        raise DeviceError(f"{device.name}: {work.model}: {tool.name}: {error}") from error


def facts(device: Device) -> Host:
    """What the device is, as the device script tells it of itself."""
    said = device.run(scripts.script(_FACTS), timeout=_SHORT).stdout
    told = dict(re.findall(r"^([\w.]+)=(.*\S)", said, re.M))
    maker, board = told.get("ro.product.manufacturer", ""), told.get("ro.product.model")
    chip = " ".join(told[key] for key in _CHIP if key in told)  # from Android 12 on
    named = re.search(r"^(?:Hardware|model name)\s*: (.*\S)", said, re.M)
    release = told.get("ro.build.version.release")
    memory = re.search(r"^MemTotal:\s*(\d+) kB", said, re.M)
    return Host(
        board=f"{maker} {board}".strip() if board else None,
        cpu=chip or (named[1] if named else None),
        machine=told.get("machine"),
        cores=int(told.get("cores", "1")),
        system=f"Android {release}" if release else told.get("kernel", "unknown"),
        python=None,
        governor=told.get("governor"),
        memory_bytes=1024 * int(memory[1]) if memory else None,
    )


def state(device: Device) -> dict[str, Any]:
    """How the device feels now. None: not known there.

    The temperature is the processor's where Android tells it, else the battery's.
    """
    said = device.run(scripts.script(_STATE), timeout=_SHORT).stdout
    now = said.partition("Current temperatures from HAL:")[2].partition("Current cooling")[0]
    sensors = re.findall(r"mValue=(-?[\d.]+), mType=(-?\d+)", now)
    hot = [float(value) for value, kind in sensors if kind == _CPU and 0 < float(value) < 150]
    battery = re.search(r"^\s*temperature: (\d+)", said, re.M)  # tenths
    throttled = re.search(r"^Thermal Status: (\d+)", said, re.M)
    load = re.search(r"^load=([\d.]+)", said, re.M)
    clocks = [1000 * int(kilohertz) for kilohertz in re.findall(r"^frequency=(\d+)", said, re.M)]
    return {
        "temperature_c": max(hot, default=int(battery[1]) / 10 if battery else None),
        "frequency_hz": max(clocks, default=None),
        "throttled": throttled[1] != "0" if throttled else None,
        "load": float(load[1]) if load else None,
    }


def _ns(microseconds: float) -> int:
    return round(1000 * microseconds)
