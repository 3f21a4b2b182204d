"""Programs for devices, such as benchmark_model: from this machine, or fetched once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tfedge.devices.schema import BenchDevice, Tool
from tfedge.errors import ArtifactError
from tfedge.files.artifact import sha256_file
from tfedge.files.budget import PROGRAM
from tfedge.files.progress import Progress


def tools(devices: Iterable[BenchDevice], cache: Path, progress: Progress) -> dict[str, Path]:
    """The file of benchmark_model for each device that has one, by the device's name."""
    return {
        device.name: tool_file(device.benchmark_model, cache, progress)
        for device in devices
        if device.benchmark_model is not None
    }


def tool_file(tool: Tool, cache: Path, progress: Progress) -> Path:
    """The program. ArtifactError: it is not there, or not the one with that digest."""
    if tool.url is not None and tool.sha256 is not None:
        from tfedge.files.download import download  # requests is slow to import

        name = PurePosixPath(urlsplit(tool.url).path).name or "tool"
        target = cache / "tools" / tool.sha256 / name
        return download(tool.url, tool.sha256, target, progress, limits=PROGRAM)
    path = Path(tool.path or "")
    if not path.is_file():
        raise ArtifactError(path, "no such file", "set benchmark_model.path in devices.yaml")
    got = sha256_file(path)
    if tool.sha256 is not None and got != tool.sha256:
        raise ArtifactError(path, "not the file that is pinned", "", tool.sha256, got)
    return path
