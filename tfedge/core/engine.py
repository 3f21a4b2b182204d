"""Runs a pipeline's stages in order, each from the cache or anew, and says how it went.

A stage writes into a folder of the run's own; when its declared outputs are there, the folder is
sealed into the cache by one rename and linked into the run directory. A stage that fails leaves
nothing in the cache. However a run ends, ``run.json`` says so.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfedge.core import accelerator, gates, keys, result
from tfedge.core.cache import Entry, StageCache, Workspace, record_of
from tfedge.core.context import Origin
from tfedge.core.estimate import estimate
from tfedge.core.installation import explained, lacking
from tfedge.core.plan import Selection, inputs_of, plan
from tfedge.core.process import output_to, stoppable
from tfedge.core.progress import Recorder, RunProgress
from tfedge.core.result import StageResults, gather
from tfedge.core.rundir import EVENTS, LOG, RunDir
from tfedge.core.slice import context_of
from tfedge.core.stages import Stage, function_of, libraries
from tfedge.errors import ArtifactError, ConfigError, GateFailed, StageError, TfedgeError
from tfedge.files.artifact import disk_error, out_of_space
from tfedge.files.space import causes, full_disk
from tfedge.pipeline.load import Loaded
from tfedge.redact import without_secrets
from tfedge.tasks.table import task_of

REPORT = "tfedge.report.written:write"

Result = dict[str, Any]


@dataclass
class _Run:
    """One run on its way; see :func:`run`. ``stage`` is the one that is at work."""

    loaded: Loaded
    selection: Selection
    cache: StageCache
    run_dir: RunDir
    progress: Recorder
    capture_output: bool
    began: float = field(default_factory=time.monotonic)
    stage: str = ""
    temporary: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    rows: list[dict[str, Any]] = field(default_factory=list)  # run.json's stages[]
    entries: dict[str, Entry] = field(default_factory=dict)

    def result(self, status: str, error: Mapping[str, Any] | None = None) -> Result:
        return result.assemble(
            self.made(),
            pipeline=self.loaded.pipeline.name,
            task=task_of(self.loaded.pipeline.task),
            status=status,
            seconds=time.monotonic() - self.began,
            stages=self.rows,
            entries=self.entries,
            error=error,
        )

    def made(self) -> StageResults:
        """What the stages so far have left."""
        return gather(self.run_dir.path, self.entries)

    def all_stages(self, work: Workspace) -> None:
        """Every selected stage, and the gates as soon as what they look at has been measured."""
        total, names = len(self.selection.stages), [row.name for row in self.selection.stages]
        self.progress.begin(names)
        # What is missing is told before an hour of training.
        missing = lacking(libraries(self.selection.stages))
        if missing is not None:
            raise missing
        for stage in self.selection.stages:
            if stage.needs:
                self.stage = stage.name
                function_of(stage.needs)(getattr(self.loaded.pipeline, stage.name))
        accelerator.prepare(self.loaded.pipeline, self.selection.stages)
        idle = accelerator.idle_gpu(self.loaded.pipeline)
        if idle is not None:
            self.progress.note(idle)
        settings = keys.settings(self.loaded.pipeline)
        told = self.tell_estimate(whole=True)
        for number, stage in enumerate(self.selection.stages, start=1):
            self.stage = stage.name
            self.progress.start(stage.name, number, total)
            began = time.monotonic()
            entry, how = self.one_stage(stage, settings, work)
            seconds = time.monotonic() - began
            self.entries[stage.name] = entry
            row = {"name": stage.name, "key": entry.record["key"], "cache": how}
            self.rows.append({**row, "seconds": round(seconds, 3)})
            self.progress.end(how, seconds)
            if not told and number == 1:  # now it is known how many examples there are
                self.tell_estimate()
            gates.check(self.loaded.pipeline, stage.name, self.made, names)
        self.stage = ""

    def tell_estimate(self, whole: bool = False) -> bool:
        """Say how long what is left will take, with ``whole`` only if that is known of every stage;
        whether it was said."""
        root, runs = self.cache.root, self.run_dir.path.parent
        try:
            steps = [
                replace(step, state="hit", made=self.entries[step.stage.name].digests)
                if step.stage.name in self.entries
                else step
                for step in plan(self.loaded, self.selection, root)
            ]
            found = estimate(self.loaded, self.selection, steps, root, runs)
        except TfedgeError:  # the stage that it is about will say it
            return False
        if found is None or (whole and found.unknown):
            return False
        self.progress.estimate(found.seconds, str(found), found.unknown)
        return True

    def one_stage(
        self, stage: Stage, settings: Mapping[str, Any], work: Workspace
    ) -> tuple[Entry, str]:
        """A stage's outputs in its folder of the run directory, and where they are from."""
        made = {name: entry.digests for name, entry in self.entries.items()}
        inputs = inputs_of(stage, made, self.selection.stages)
        material = keys.material(stage, settings, inputs, self.probe(stage))
        key = keys.key_of(material)
        if not stage.cacheable:
            folder, record = self.fill(stage, key, inputs, material, work)
            return self.run_dir.take(folder, record), "none"
        with self.cache.alone(key, f"stage {stage.name}", self.progress.note):
            if not self.selection.forced(stage):
                entry = self.cache.find(key, self.progress.note)
                if entry is not None:
                    self.run_dir.link(entry, "hit")
                    for line in function_of(stage.again)(entry.folder) if stage.again else ():
                        self.progress.note(line)
                    return entry, "hit"
                if not self.selection.may_run(stage):
                    what = (
                        f"--from: stage {stage.name} is not in the cache, and would come before it"
                    )
                    raise ConfigError([what], "run without --from, or from this stage on")
            entry = self.cache.seal(*self.fill(stage, key, inputs, material, work))
            self.run_dir.link(entry, "miss")
        return entry, "miss"

    def fill(
        self,
        stage: Stage,
        key: str,
        inputs: Mapping[str, str],
        material: Mapping[str, Any],
        work: Workspace,
    ) -> tuple[Path, dict[str, Any]]:
        """Run the stage: the folder that it filled, and what there is to say about it."""
        folder = work.new(stage.name)
        began = time.monotonic()
        self.call(stage, inputs, folder)
        seconds = time.monotonic() - began
        return folder, record_of(stage, key, folder, seconds=seconds, material=material)

    def probe(self, stage: Stage) -> str:
        """A digest of what the stage reads from outside the cache."""
        if not stage.probe:
            return ""
        section = getattr(self.loaded.pipeline, stage.name)
        source: str = function_of(stage.probe)(
            section, self.cache.root, hash_new=True, progress=self.progress
        )
        return source

    def call(self, stage: Stage, inputs: Mapping[str, str], folder: Path) -> None:
        """Import the stage and run it, its output going to its log."""
        context = context_of(
            stage,
            self.loaded.pipeline,
            inputs={role: self.run_dir.path / role for role in inputs},
            out=folder,
            cache=self.cache.root,
            data_root=self.data_root(),
            progress=self.progress,
            run_dir=self.run_dir.path,
        )
        log = self.run_dir.stage(stage.name) / LOG
        with output_to(log) if self.capture_output else nullcontext():
            try:
                with self.progress.at_work():
                    function_of(stage.function)(context)
            except BaseException as error:
                if isinstance(error, (TfedgeError, KeyboardInterrupt)) or _is_full(error):
                    raise
                with log.open("a", encoding="utf-8") as file:
                    file.write(without_secrets(traceback.format_exc()))
                missing = explained(error)
                if missing is not None:
                    raise missing from error
                what = f"stage {stage.name} failed: {type(error).__name__}: {_first_line(error)}"
                hint = (
                    f"the traceback is in {log}; if your machine is not at fault, please report it"
                )
                raise StageError(what, hint, stage.name) from error

    def origin(self) -> Origin:
        """What the report may look at."""
        return Origin(self.loaded.pipeline, self.data_root(), self.cache.root)

    def data_root(self) -> Path:
        pipeline = self.loaded.pipeline
        for stage in self.selection.stages:
            if stage.root:
                root: Path = function_of(stage.root)(getattr(pipeline, stage.name), self.cache.root)
                return root
        return Path()

    def failure(self, error: BaseException, stopped: bool) -> BaseException:
        """What the user is told: a TfedgeError, KeyboardInterrupt, or a bug of ours."""
        if stopped and not isinstance(error, KeyboardInterrupt):
            return KeyboardInterrupt()  # a library has made something else of it
        if _is_full(error):
            return full_disk(error, [self.cache.root, self.run_dir.path, self.temporary])
        if isinstance(error, OSError):
            return disk_error(error, Path("a file"))
        return explained(error) or error


def run(
    loaded: Loaded,
    selection: Selection,
    *,
    cache: Path,
    run_dir: RunDir,
    progress: RunProgress,
    report: str = REPORT,
    capture_output: bool = False,
) -> Result:
    """Run the selected stages; returns what is in ``run.json``.

    With ``capture_output`` whatever a stage, its libraries and its child processes print goes to
    the stage's log: file descriptors 1 and 2 are redirected, which is for programs that own their
    process. ``report`` is a function (run_dir, result, origin), by name.

    Raises a TfedgeError that knows its ``run_dir`` (GateFailed after the report was written), or
    KeyboardInterrupt when it was told to stop. An error that is none of ours comes as StageError
    when a stage raised it, its traceback in the stage's log.
    """
    recorder = Recorder(run_dir.path / EVENTS, progress)
    job = _Run(loaded, selection, StageCache(cache), run_dir, recorder, capture_output)
    with stoppable() as stop:
        try:
            return _run(job, report)
        except BaseException as error:
            stop.cleaning = True
            failure = job.failure(error, stop.asked)
            if isinstance(failure, TfedgeError):
                failure.run_dir = run_dir.path
            if isinstance(failure, StageError):
                failure.stage = failure.stage or job.stage
            _conclude(job, failure, report)
            if failure is error:
                raise
            raise failure from error


def _run(job: _Run, report: str) -> Result:
    job.run_dir.write_inputs(job.loaded.kept_text(), job.loaded.resolved())
    with closing(Workspace(job.cache)) as work, _scratch(work, job.capture_output):
        try:
            job.all_stages(work)
        except BaseException as error:
            if _is_full(error):  # which disk is seen now, before anything is cleaned up
                raise job.failure(error, stopped=False) from error
            raise
    outcome = job.result("ok")
    function_of(report)(job.run_dir.path, outcome, job.origin())
    job.run_dir.write_result(outcome)
    job.progress.finish()
    return outcome


@contextmanager
def _scratch(work: Workspace, ours: bool) -> Iterator[None]:
    """Temporary files of libraries go where the run's own go, and with them, even when it is
    killed: TensorFlow leaves its generated code behind. Only in a process that is the run's own."""
    before = tempfile.tempdir
    if ours:
        tempfile.tempdir = str(work.new("scratch"))
    try:
        yield
    finally:
        tempfile.tempdir = before


def _conclude(job: _Run, failure: BaseException, report: str) -> None:
    """Write down how a run ended that did not end well."""
    status = "failed"
    if isinstance(failure, GateFailed):
        status = "gate failed"
    elif isinstance(failure, KeyboardInterrupt):
        status = "interrupted"
    error = result.described(failure, job.stage)
    with suppress(OSError, TfedgeError):  # a terminal that is gone, a full disk
        job.progress.fail(status, error["message"])
    with suppress(OSError, TfedgeError):  # no more to be done about a disk that refuses even this
        outcome = job.result(status, error)
        job.run_dir.write_result(outcome)
        if status == "gate failed":
            function_of(report)(job.run_dir.path, outcome, job.origin())


def _is_full(error: BaseException) -> bool:
    """Whether it comes of a full disk, and does not say so in our words."""
    if isinstance(error, (ArtifactError, KeyboardInterrupt)):
        return False
    chain = [error] if isinstance(error, TfedgeError) else causes(error)
    return any(map(out_of_space, chain))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"
