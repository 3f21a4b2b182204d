"""A pipeline file as JSON Schema, by which editors complete, explain and check its keys."""

from __future__ import annotations

from typing import Any

from tfedge.config.keys import json_schema_by
from tfedge.pipeline.schema import DEFAULT, TASK, TASKS, schema_of


def json_schema() -> dict[str, Any]:
    """Of a file of any task."""
    roots = {name: schema_of(name) for name in TASKS}
    return json_schema_by("task", TASK, roots, DEFAULT, "tfedge pipeline")
