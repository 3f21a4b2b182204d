"""The device script as the package uses it: where it is, how it is called, what it answers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfedge.bench import bench_tflite
from tfedge.bench.result import Result

SCRIPT = Path(bench_tflite.__file__)

_FAILED = {
    2: "the script was called wrongly: this is a bug in tfedge",
    3: "something is missing there",
    4: "the runtime there can't run the model",
    6: "the pictures, labels or golden pairs can't be used",
    7: "the delegate can't be loaded",
    130: "it was interrupted there",
}
_ALARM = 14
_OP = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")


def command(python: Sequence[str], script: str, model: str, **options: Any) -> list[str]:
    """The arguments that measure one model in one process; see the script's ``--help``."""
    return bench_tflite.command(python, script, model, **options)


def parse(stdout: str, device: str) -> list[Result]:
    """The results in what the script printed, of a device of that name. ValueError: none."""
    try:
        document = json.loads(stdout)
        if document["schema"] != bench_tflite.SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, not {bench_tflite.SCHEMA!r}")
        given = {"device": device, "host": document["device"]}
        return [Result.from_json(row | given) for row in document["results"]]
    except (KeyError, TypeError) as error:
        tail = stdout.strip()[-200:]
        raise ValueError(f"no {bench_tflite.SCHEMA} document: {tail!r}") from error


def failure(returncode: int, stderr: str) -> tuple[str, str]:
    """What went wrong there, and the way out, from how the script ended."""
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    message = next((line[6:].strip() for line in said if line.startswith("error:")), "")
    hint = next((line[5:].strip() for line in said if line.startswith("hint:")), "")
    if returncode in (-_ALARM, 128 + _ALARM):
        return "it took too long and was ended", "give it more time with --timeout"
    if found := _OP.search(message or stderr):
        return _too_old(found[1], int(found[2]), message)
    head = _FAILED.get(returncode, f"the script ended with {returncode}")
    return f"{head}: {message or (said[-1] if said else 'no message')}", hint


def _too_old(op: str, version: int, message: str) -> tuple[str, str]:
    from tfedge.tflite.versions import minimum_runtime

    needed = minimum_runtime(op, version)
    runtime = message.split(": ")[1] if message.count(": ") > 1 else "the runtime there"
    what = f"{op} version {version} needs {f'TFLite {needed}' if needed else 'a newer runtime'}"
    return (
        f"{runtime} is too old for the model: {what}",
        "LiteRT (pip install ai-edge-litert, Python 3.10 or newer) would do",
    )
