"""The report's section on what was run: by which command, when, where, with which settings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfedge.core.cache import RECORD
from tfedge.core.rundir import RESOLVED
from tfedge.core.runs import began
from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json
from tfedge.redact import without_secrets
from tfedge.report.facts import Facts
from tfedge.report.markup import machine_text
from tfedge.tasks.blocks import Block, Table, Text, code

_TOLD = ("tfedge", "python", "tensorflow", "ai-edge-litert")  # versions that a review asks for


def flat(section: Any, above: str = "") -> dict[str, str]:
    """Every key of a pipeline with its dots, and its value as YAML has it, without secrets."""
    if not isinstance(section, dict) or not section:
        return {above: without_secrets(json.dumps(section, ensure_ascii=False))}
    found: dict[str, str] = {}
    for key, value in section.items():
        found |= flat(value, f"{above}.{key}" if above else str(key))
    return found


def what_was_run(facts: Facts) -> list[Block]:
    """A table of the run, and one of the settings that are no defaults."""
    rows = [(name, value) for name, value in _run(facts) if value]
    return [Table(["", "of this run"], rows), *_settings(facts)]


def _run(facts: Facts) -> list[tuple[str, object]]:
    result, begun = facts.result, began(facts.run_dir)
    versions = result.get("versions") or {}
    recipe = facts.model.recipe if facts.model else None
    return [
        ("task", facts.task.name),
        ("command", (told := command(facts.run_dir)) and code(told)),
        ("began", f"{begun:%Y-%m-%d %H:%M} UTC" if begun else None),
        ("took", _took(result)),
        ("trained on", _trained_on(facts.run_dir)),
        ("measured on", _measured_on(facts)),
        ("recipe", recipe),
        ("versions", ", ".join(f"{name} {versions[name]}" for name in _TOLD if name in versions)),
    ]


def command(run_dir: Path) -> str | None:
    """What runs it again, as it can be typed where tfedge was called; None without the file."""
    resolved = run_dir / RESOLVED
    return f"tfedge run {shlex.quote(from_here(resolved))}" if resolved.is_file() else None


def from_here(path: Path) -> str:
    """A path as it can be typed where tfedge was called."""
    whole, here = path.resolve(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def _took(result: Mapping[str, Any]) -> str:
    stages = result.get("stages") or []
    hits = sum(stage.get("cache") == "hit" for stage in stages)
    cached = f", {hits} of {len(stages)} stages from the cache" if hits else ""
    return f"{float(result.get('seconds') or 0):.0f} s{cached}"


def _trained_on(run_dir: Path) -> str | None:
    """What the key of training holds of the machine: processor or GPU, cores, instructions."""
    file = run_dir / "finetune" / RECORD
    if not file.is_file():
        return None
    try:
        device = read_json(file)["material"]["config"]["device"]
        return ", ".join(f"{name} {json.dumps(value)}" for name, value in device.items())
    except (ArtifactError, LookupError, TypeError, AttributeError):  # of an earlier version
        return None


def _measured_on(facts: Facts) -> str:
    hosts = {result.device: machine_text(result.host) for result in facts.benchmark}
    return "; ".join(f"{name}: {host}" for name, host in hosts.items())


def _settings(facts: Facts) -> list[Block]:
    if facts.origin is None:
        return [Text("The settings are not known to this version: see `resolved.json`.")]
    kept = facts.origin.pipeline.model_dump(mode="json", exclude_defaults=True)
    rows = [[key, value] for key, value in flat(kept).items()]
    return [Table(["setting (no default)", "value"], rows)] if rows else []
