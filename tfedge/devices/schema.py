"""The keys of a device, in devices.yaml and in a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictStr

from tfedge.config.section import Positive, Section, Sha256, Url, about, key


class Tool(Section):
    """A program for a device, from this machine or from the net, known by its digest."""

    path: StrictStr | None = key(None, "The file here, relative to the file that names it.")
    url: Url | None = key(None, "Where it is fetched from, instead of `path`.")
    sha256: Sha256 | None = key(None, "SHA-256 of the file; needed with `url`.")


class DeviceOptions(Section):
    """How a device is measured on; what devices.yaml may say beside its address."""

    python: StrictStr = key(
        "", "The Python interpreter there; empty: `python3`, or this very one on `local`."
    )
    runtime: Literal["auto", "litert", "tflite-runtime", "pycoral", "tensorflow"] = key(
        "auto", "Which TFLite runtime runs the models; `auto` is the first that the device has."
    )
    delegate: Annotated[StrictStr, Field(min_length=1)] = key(
        "xnnpack", "`xnnpack`, `none`, `edgetpu`, or the path of a delegate's library there."
    )
    timeout: Positive = key(1800.0, "Seconds that one process may take there.")
    benchmark_model: Tool | None = key(
        None, "TensorFlow's own native benchmark binary to measure with; on adb only."
    )


class Device(DeviceOptions):
    """An entry of devices.yaml."""

    first = ("address",)

    address: Annotated[
        StrictStr,
        about("`local`, `local:PYTHON`, `ssh://user@host[:port]`, `adb` or `adb:SERIAL`."),
    ]


class BenchDevice(DeviceOptions):
    """One of ``benchmark.devices``; just its name can be written instead."""

    first = ("name", "optional", "address")

    name: Annotated[StrictStr, about("Its name in devices.yaml, or an address.")]
    optional: StrictBool = key(
        False, "Whether it may be away: that is a gap in the report then, not an error."
    )
    address: StrictStr = key("", "Its address; empty: devices.yaml says it, or the name is one.")

    def short(self) -> str | BenchDevice:
        """Its name alone where that says everything."""
        plain = BenchDevice(name=self.name, address=self.address)
        return self.name if self.address == self.name and self == plain else self


class Devices(Section):
    """A devices.yaml."""

    devices: Annotated[
        dict[str, StrictStr | Device],
        about("Devices by name, each with its address alone or with the keys of a device."),
    ]


# The device that an entry of benchmark.devices means, given the folder that its paths are relative
# to. DeviceError: there is none; ConfigError: the file that declares it is wrong.
FindDevice = Callable[[BenchDevice, Path], BenchDevice]


def device_problems(device: DeviceOptions) -> Iterator[tuple[str, str]]:
    """What is wrong with a device beside its address: which key of it, and why."""
    tool = device.benchmark_model
    if tool is not None and (tool.path is None) == (tool.url is None):
        yield "benchmark_model", "give either path or url"
    elif tool is not None and tool.url is not None and tool.sha256 is None:
        yield "benchmark_model.url", "what is downloaded needs its sha256 beside it"
