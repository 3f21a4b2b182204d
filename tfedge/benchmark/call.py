"""The device script as the package uses it: where it is, how it is called, what it answers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tfedge.benchmark.device_script import SCRIPT_NAME, script_text
from tfedge.benchmark.result import Result
from tfedge.benchmark.script import run
from tfedge.files.artifact import parse_json
from tfedge.tflite.versions import minimum_runtime

_FAILED = {
    1: "the script broke there: this is a bug",
    2: "the script was called wrongly: this is a bug in tfedge",
    3: "something is missing there",
    4: "the runtime there can't run the model",
    6: "the images, labels or golden pairs can't be used",
    7: "the delegate can't be loaded",
    130: "it was interrupted there",
    143: "the connection to it ended",
}
_KILLED = {  # signals; a shell reports 128 more
    4: (
        "the runtime there is built for another processor (illegal instruction)",
        "an older or another build: pip install tflite-runtime 'numpy<2', or ai-edge-litert",
    ),
    9: ("it was killed there, most likely for want of memory", "fewer threads, or a smaller model"),
    11: ("the runtime there crashed on the model", "is the file whole? tfedge inspect tells"),
    14: ("it took too long and was ended", "give it more time with --timeout"),
}
_KILLED |= dict.fromkeys((6, 7, 8), _KILLED[11])
_OP = re.compile(r"(?:(\S+ [\d.]+): )?Didn't find op for builtin opcode '(\w+)' version '(\d+)'")


def script_file() -> Path:
    """The device script as a file, for as long as this process runs."""
    if not Path(_folder().name).is_dir():  # it went with the temporary files of a run
        _folder.cache_clear()
    path = Path(_folder().name) / SCRIPT_NAME
    if not path.exists():
        path.write_text(script_text(), encoding="utf-8")
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept, since the folder goes with the object."""
    return tempfile.TemporaryDirectory(prefix="tfedge-")


def command(python: Sequence[str], script: str, model: str, **options: Any) -> list[str]:
    """The arguments that measure one model in one process; see the script's ``--help``."""
    return run.command(python, script, model, **options)


def parse(stdout: str, device: str) -> list[Result]:
    """The results in what the script printed, of a device of that name. ValueError: none."""
    try:
        document = parse_json(stdout)
        given = {"device": device, "host": document["device"]}
        results = [Result.from_json(row | given) for row in document["results"]]
        schema = document["schema"]
    except (ValueError, KeyError, TypeError) as error:
        tail = stdout.strip()[-200:]
        raise ValueError(f"no {run.SCHEMA} document: {tail!r}") from error
    if schema != run.SCHEMA:
        raise ValueError(f"schema {schema!r}, not {run.SCHEMA!r}")
    return results


def failure(returncode: int, stderr: str) -> tuple[str, str]:
    """What went wrong there, and the way out, from how the script ended."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    message = next((line[6:].strip() for line in said if line.startswith("error:")), "")
    hint = next((line[5:].strip() for line in said if line.startswith("hint:")), "")
    killed = _KILLED.get(-returncode if returncode < 0 else returncode - 128)
    if killed:
        return killed
    if found := _OP.search(message or stderr):
        return _too_old(found[1] or "the runtime there", found[2], int(found[3]))
    if "edgetpu-custom-op" in message:
        hint = "it was compiled for the Edge TPU: --delegate edgetpu"
    head = _FAILED.get(returncode, f"the script ended with {returncode}")
    return f"{head}: {message or (said[-1] if said else 'no message')}", hint


def _too_old(runtime: str, op: str, version: int) -> tuple[str, str]:
    needed = minimum_runtime(op, version)
    what = f"{op} version {version} needs {f'TFLite {needed}' if needed else 'a newer runtime'}"
    newer = "a newer LiteRT" if runtime.startswith("LiteRT") else "LiteRT"
    return (
        f"{runtime} is too old for the model: {what}",
        f"{newer} would do (pip install -U ai-edge-litert, Python 3.10 or newer)",
    )
