"""The drop for Linux boards: the model, a script that runs it, and all that is known about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfedge.benchmark.device_script import SCRIPT_NAME, script_text
from tfedge.drops.make import Layout, Target, replay
from tfedge.tasks.drop import Content, Parts
from tfedge.tasks.work import work_of

# ai-edge-litert has no wheels for Python before 3.10 and for 32-bit ARM; tflite-runtime, which
# has, was built against numpy 1.
_INTERPRETER = (
    'ai-edge-litert>=2.1; python_version >= "3.10" and platform_machine != "armv7l"',
    'numpy>=1.23; python_version >= "3.10" and platform_machine != "armv7l"',
    'tflite-runtime>=2.11; python_version < "3.10" or platform_machine == "armv7l"',
    'numpy<2; python_version < "3.10" or platform_machine == "armv7l"',
)


def requirements(parts: Parts) -> bytes:
    """requirements.txt: what the task's scripts import, and an interpreter with its numpy."""
    return "".join(f"{line}\n" for line in (*parts.requirements, *_INTERPRETER)).encode("utf-8")


def layout(content: Content) -> Layout:
    model = f"{content.name}.tflite"
    parts = work_of(content.task).parts("linux", content, {"model": model})
    files = {
        model: content.model,
        "requirements.txt": requirements(parts),
        SCRIPT_NAME: script_text().encode("utf-8"),
        **parts.files,
    }
    return Layout(model, files, check=parts.check)


def _check(folder: Path, command: Sequence[str]) -> None:
    if command:
        replay(folder, command)


LINUX = Target("linux", layout, _check)
