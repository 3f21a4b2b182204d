"""The JSON schemas of what a run and a drop leave for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import tfedge

FILES = {
    "run": "core/run.schema.json",
    "manifest": "drops/manifest.schema.json",
    "events": "core/events.schema.json",
}
SCHEMAS: dict[str, Any] = {
    name: json.loads((Path(tfedge.__file__).parent / file).read_text("utf-8"))
    for name, file in FILES.items()
}


def check(name: str, document: Any) -> None:
    """Raises jsonschema's ValidationError unless it is one."""
    Draft202012Validator(SCHEMAS[name]).validate(document)
