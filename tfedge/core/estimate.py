"""How long a run will take, by what its stages took in earlier runs on this machine.

Each stage's ``stage.json`` says what went into it and how many seconds it took. An earlier result
counts for a stage of this run when nothing but its examples, names and seed differs; the seconds
grow in proportion to the number of examples. Where the keys of training or the backbone differ
nothing is inferred: cost and seconds are too far apart for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from tfedge.core import keys
from tfedge.core.cache import RECORD, StageCache
from tfedge.core.outputs import ExampleIndex, Output, read
from tfedge.core.plan import Selection, Step
from tfedge.core.progress import clock
from tfedge.core.stages import Stage
from tfedge.errors import ArtifactError
from tfedge.files.once import Once
from tfedge.files.text import count_of
from tfedge.pipeline.load import Loaded

INDEX = "data/index.json"
_NEWEST = 300  # results that are looked at
_FARTHEST = 4.0  # times as many examples, or as few, as an earlier result may have had
_NO_MATTER = ("seed", "weights_seed", "name")  # keys that change no duration


class _Part(Output):
    model_config = ConfigDict(extra="ignore")


class Made(_Part):
    """An output of a stage."""

    sha256: str


class Material(_Part):
    """What a stage's key was made of."""

    version: int
    config: dict[str, Any]
    inputs: dict[str, str]


class Record(_Part):
    """A stage.json, as far as it says what took how long."""

    name: str
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    outputs: dict[str, Made]
    material: Material


@dataclass(frozen=True)
class Estimate:
    """``seconds`` of those stages that are known from ``runs`` earlier results each, or more;
    ``unknown`` are the others that will run."""

    seconds: float
    runs: int
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        seconds = clock(_round(self.seconds))
        runs = f"{count_of(self.runs, 'earlier run')} here"
        if self.unknown:
            return f"takes {seconds} or more, from {runs}; not known: {', '.join(self.unknown)}"
        return f"takes about {seconds}, from {runs}"


def estimate(
    loaded: Loaded, selection: Selection, steps: Sequence[Step], cache: Path, runs: Path
) -> Estimate | None:
    """How long ``steps`` will take, as far as the cache and the run directories in ``runs`` tell.

    None where nothing will run, or where less than half of what will run is known.
    """
    running = [step for step in steps if step.state != "hit"]
    if not running:
        return None
    stage, _, file = INDEX.partition("/")
    index = next((step.made.get(file, "") for step in steps if step.stage.name == stage), "")
    uncached = [step.stage.name for step in running if not step.stage.cacheable]
    past = _Past(_records(cache, runs, uncached))
    settings = keys.settings(loaded.pipeline)
    found: dict[str, list[float]] = {}
    for step in running:
        config = keys.config_of(step.stage, settings)
        keyed = [role for role in step.stage.inputs if role not in step.stage.unkeyed]
        depends = _stages(keyed) & {row.name for row in selection.stages}
        alike = past.alike(step.stage, config, depends, settings["backbone"])
        found[step.stage.name] = [*past.seconds(alike, index)]
    known = {name: seconds for name, seconds in found.items() if seconds}
    if not known or 2 * len(known) < len(found):
        return None
    return Estimate(
        sum(map(median, known.values())),
        min(map(len, known.values())),
        tuple(name for name in found if name not in known),
    )


class _Past:
    """What earlier runs have left."""

    def __init__(self, records: Sequence[tuple[Path, Record]]) -> None:
        self._records = [record for _, record in records]
        self._made: dict[str, tuple[Path, Record]] = {}  # by the digests of what it made
        for folder, record in records:
            for output in record.outputs.values():
                self._made.setdefault(output.sha256, (folder, record))

    def alike(
        self, stage: Stage, config: Mapping[str, Any], depends: set[str], backbone: Any
    ) -> list[Record]:
        """The results of the stage whose seconds are those of a stage with this config."""
        wanted = _that_matters(config)
        return [
            record
            for record in self._records
            if (record.name, record.material.version) == (stage.name, stage.version)
            and _that_matters(record.material.config) == wanted
            and _stages(record.material.inputs) == depends
            and (stage.name == "data" or self._backbone(record) == backbone)
        ]

    def seconds(self, records: Sequence[Record], index: str) -> Iterator[float]:
        """What each of them took, had it had the examples of this index (its SHA-256): those that
        had these very examples, if there are any."""
        exact = [r for r in records if r.material.inputs.get(INDEX, index) == index]
        if exact:
            yield from (record.seconds for record in exact)
            return
        count = self._examples(index)
        for record in records:
            other = self._examples(record.material.inputs[INDEX])
            if count and other and 1 / _FARTHEST <= count / other <= _FARTHEST:
                yield record.seconds * count / other

    def _examples(self, index: str) -> int | None:
        folder, _ = self._made.get(index, (None, None))
        return None if folder is None else _count(folder / "index.json")

    def _backbone(self, record: Record) -> Any:
        """That of the run it was made in: of the stage itself, or of one that it depends on."""
        left: list[Record] = [record]
        seen: set[str] = set()
        while left:
            material = left.pop().material
            if "backbone" in material.config:
                return material.config["backbone"]
            new = {sha for sha in material.inputs.values() if sha in self._made} - seen
            seen |= new
            left += [self._made[sha][1] for sha in new]
        return None


def _records(cache: Path, runs: Path, uncached: Sequence[str]) -> list[tuple[Path, Record]]:
    """The newest results in the cache, and those of stages that are never cached in run
    directories, each with its folder."""
    files = [*StageCache(cache).folder.glob(f"*/{RECORD}")]
    places = [place for place in runs.glob("*") if not place.is_symlink()]  # as `latest` is
    files += [
        file for name in uncached for place in places if (file := place / name / RECORD).is_file()
    ]
    found = []
    for file in sorted(files, key=_made_at, reverse=True)[:_NEWEST]:
        with suppress(ArtifactError):  # of another tfedge, damaged, or gone
            found.append((file.parent, read(file, Record)))
    return found


def _stages(roles: Iterable[str]) -> set[str]:
    return {role.split("/")[0] for role in roles}


def _made_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _that_matters(config: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's keys without those that change no duration, and without where the examples lie."""
    kept = {key: value for key, value in config.items() if key not in _NO_MATTER}
    if isinstance(kept.get("data"), Mapping):
        kept["data"] = {key: value for key, value in kept["data"].items() if key != "path"}
    return kept


def _examples_of(file: Path) -> int | None:
    try:
        counts = read(file, ExampleIndex).counts
    except ArtifactError:
        return None
    return sum(sum(split.values()) for split in counts.values())


_count = Once(_examples_of)


def _round(seconds: float) -> float:
    """To what an estimate can know."""
    step = 1 if seconds < 20 else 5 if seconds < 120 else 30 if seconds < 900 else 60
    return max(step, round(seconds / step) * step)
