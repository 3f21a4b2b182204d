"""benchmark.json: what a run measured, and the devices that were away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfedge.benchmark.result import Result
from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json, write_json


@dataclass(frozen=True)
class Measurements:
    """``gaps`` are the optional devices that were away, each with the reason."""

    results: tuple[Result, ...] = ()
    gaps: Mapping[str, str] = field(default_factory=dict)

    def rows(self, *, samples: bool = True) -> list[dict[str, Any]]:
        """A row for each result, with or without its processes' raw ``samples``; then one without
        a number for each device that was away."""
        found = [result.to_json() for result in self.results]
        if not samples:
            found = [{key: row[key] for key in row if key != "processes"} for row in found]
        return found + [{"device": name, "missing": why} for name, why in self.gaps.items()]

    def write(self, path: Path) -> None:
        write_json(path, self.rows())

    @classmethod
    def read(cls, path: Path) -> Measurements:
        """ArtifactError when the file is not there or holds anything else."""
        rows = read_json(path)
        try:
            results = tuple(Result.from_json(row) for row in rows if "missing" not in row)
            return cls(results, {row["device"]: row["missing"] for row in rows if "missing" in row})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ArtifactError(path, f"no list of measurements: {error!r}") from None
