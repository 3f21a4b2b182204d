"""Hold a drop against what it says of itself: files, contract, golden pairs, and what more its
task and its target say."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.core.process import stoppable
from tfedge.core.rundir import DROPS, RESULT
from tfedge.drops import archive, manifest
from tfedge.drops.coral import check_compiled
from tfedge.errors import ArtifactError, DropError
from tfedge.tasks.contract import as_given, as_taken
from tfedge.tasks.drop import Check
from tfedge.tasks.table import DEFAULT, TASKS, task_of
from tfedge.tasks.task import Task, Work
from tfedge.tasks.work import work_of
from tfedge.tflite import reader
from tfedge.tflite.apart import Answers, answers
from tfedge.tflite.model import Model
from tfedge.tflite.values import storage_bits

Replay = Callable[[Path, Mapping[str, Any]], Check]
Run = Callable[[Path, Sequence[Path]], Answers]

_TOLD = 20  # problems of one check
_TOLD_DROPS = 4  # of a folder that holds some
OF_ANOTHER_KIND = (  # what fields raise that are not there or of another kind
    *(KeyError, TypeError, AttributeError, IndexError, ValueError),
    *(ArithmeticError, RuntimeError),
)


def verify(path: Path, replays: Sequence[Replay] = ()) -> list[Check]:
    """Every check of a drop, a folder or a .zip of one, in order; those that fail are in it, too.

    Nothing that the manifest names is opened unless it is a file of the drop, and nothing is run
    unless all that can be read holds: first here, in a process of its own, then by ``replays``
    (on devices). DropError when there is no drop to check.
    """
    with opened(path) as folder:
        facts = manifest.load(folder)
        if problems := manifest.untrustworthy(folder, facts):
            return [_check("files", "", problems)]
        checks = [_files(folder, facts), *_read(folder, facts)]
        for replay in (replay_here, *replays):
            if not any(check.problems for check in checks):
                checks.append(replay(folder, facts))
        return checks


def _read(folder: Path, facts: Mapping[str, Any]) -> Iterator[Check]:
    """What can be seen without running anything."""
    try:
        work, model = work_for(facts), reader.read(folder / facts["model"])
        contract = contract_check(model, facts)
        yield contract
        yield from work.check_drop(folder, facts)
        if facts.get("target") == "coral":
            yield _coral(folder, facts)
        if not contract.problems:
            yield from _pairs(folder, facts, model)
    # A manifest whose fields are not there or of another kind; the digests can't show that.
    except OF_ANOTHER_KIND as error:
        what = f"{manifest.NAME} does not say what a drop says: {type(error).__name__} {error}"
        yield Check("manifest", "", (what,))
    except (ArtifactError, OSError) as error:
        yield Check("model", "", (_said(error, folder),))


def _said(error: Exception, folder: Path) -> str:
    """The error with names as the manifest has them: a zip was unpacked somewhere."""
    if isinstance(error, OSError) and error.filename:
        return f"{Path(error.filename).name}: {error.strerror}"
    return str(error).replace(f"{folder}{os.sep}", "")


def work_for(facts: Mapping[str, Any]) -> Work:
    """What knows the drop's task."""
    return work_of(task_for(facts))


def task_for(facts: Mapping[str, Any]) -> Task:
    """The drop's task; drops of older releases do not name theirs, it was always the same.
    DropError for a task that is not known here."""
    name = facts.get("task", DEFAULT)
    if name not in TASKS:
        raise DropError(
            f"{manifest.NAME}: a drop of the task {name!r}, this tfedge knows {', '.join(TASKS)}",
            "use the tfedge that made it",
        )
    return task_of(name)


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The folder of a drop, of a .zip an unpacked copy. DropError for what is no drop."""
    if path.is_dir():
        if not (path / manifest.NAME).exists():
            raise DropError(f"{path}: no drop: there is no {manifest.NAME} in it", _way_out(path))
        yield path
    elif path.is_file():
        if _is_model(path):
            raise DropError(f"{path}: a model, not a drop", _way_out(path.parent))
        # stopped, too, the folder goes
        with stoppable(), tempfile.TemporaryDirectory(prefix="tfedge-drop-") as folder:
            yield archive.unpack(path, Path(folder))
    else:
        hint = _way_out(path.parent) if _runs(path.parent) else "give its folder or its .zip"
        raise DropError(f"{path}: no such drop", hint)


def _is_model(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8)[4:] == reader.IDENTIFIER


def _way_out(folder: Path) -> str:
    """Where there is a drop, of a folder that somebody may have taken for one."""
    runs = _runs(folder)
    places = [*_upwards(folder)]
    for near in (folder, *runs):
        places += [*sorted(near.glob("*")), *sorted((near / DROPS).glob("*"))]
    drops = dict.fromkeys(str(place) for place in places if (place / manifest.NAME).is_file())
    if drops:
        return f"its drop: tfedge verify {' or '.join([*drops][:_TOLD_DROPS])}"
    if runs:
        return "a run that made no drop; with a package section, and gates that it passes, it does"
    return "give a drop's folder or its .zip; tfedge inspect reads a model"


def _runs(folder: Path) -> list[Path]:
    """The run that a folder is in."""
    return [above for above in _upwards(folder) if (above / RESULT).is_file()]


def _upwards(folder: Path) -> list[Path]:
    """The folder and the two above it, which may be a run with its stages and drops."""
    return [Path(os.path.normpath(folder.joinpath(*[".."] * levels))) for levels in range(3)]


def _check(what: str, found: str, problems: Sequence[str]) -> Check:
    """With the first problems: a drop may have a hundred thousand."""
    told = list(problems[:_TOLD])
    if len(problems) > _TOLD:
        told.append(f"and {len(problems) - _TOLD} more")
    return Check(what, found, tuple(told))


def _files(folder: Path, facts: Mapping[str, Any]) -> Check:
    problems = manifest.differences(folder, facts, _addable_files(facts))
    return _check("files", f"{len(facts['files'])} by SHA-256", problems)


def _addable_files(facts: Mapping[str, Any]) -> list[str]:
    """What compile.sh adds to a Coral drop that was not compiled."""
    coral = facts.get("coral")
    if not isinstance(coral, dict) or coral.get("compiled") is not False:
        return []
    name = str(coral.get("file"))
    return [name, f"{name.removesuffix('.tflite')}.log"]


def contract_check(model: Model, facts: Mapping[str, Any]) -> Check:
    """The model's inputs and output against what the manifest says of them. LookupError, TypeError
    or AttributeError for a manifest of another kind."""
    problems = []
    if not model.outputs or not model.inputs:
        count = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        return Check("model", "", (f"it has {count}",))
    for what, got in ("input", as_given(model.inputs)), ("output", as_taken(model.outputs)):
        problems += [
            f"{what}.{key}: the manifest says {facts[what][key]}, the model {value}"
            for key, value in got.items()
            if facts[what][key] != value
        ]
    given = facts["input"]
    return Check("model", f"takes {given['dtype']} {given['shape']}", tuple(problems))


def _coral(folder: Path, facts: Mapping[str, Any]) -> Check:
    coral = facts["coral"]
    path = folder / coral["file"]
    if not path.is_file():
        problems = (f"{coral['file']} is missing",) if coral["compiled"] else ()
        return Check("Edge TPU", "not compiled, as it says", problems)
    try:
        check_compiled(path.read_bytes(), coral["file"])
    except (ArtifactError, DropError) as error:
        return Check("Edge TPU", "", (str(error),))
    return Check("Edge TPU", f"compiled for runtime {coral['min_runtime']}")


def _pairs(folder: Path, facts: Mapping[str, Any], model: Model) -> Iterator[Check]:
    """Golden pairs that can't be replayed: none, or files of another size than what the model
    takes and gives."""
    problems = []
    for pair in facts["golden"]:
        for key, tensors in ("input", model.inputs), ("output", model.outputs):
            tensor, values = tensors[0], sum(one.size for one in tensors)
            bits = storage_bits(tensor.dtype)
            found = (folder / pair[key]).stat().st_size
            if bits is None or tensor.dtype.startswith("complex"):
                problems.append(f"{pair[key]}: values of {tensor.dtype} are not replayed")
            elif 8 * found != bits * values:
                problems.append(f"{pair[key]} holds {8 * found / bits:g} values of {values}")
    if not facts["golden"]:
        problems.append("there are no golden pairs")
    if problems:
        yield _check("golden pairs", "", problems)


def replay_here(folder: Path, facts: Mapping[str, Any], run: Run = answers) -> Check:
    """The golden pairs through LiteRT on this machine, by the task's golden rule. That the model
    can't be run is a problem like any other."""
    work, pairs = work_for(facts), facts["golden"]
    try:
        got = run(folder / facts["model"], [folder / pair["input"] for pair in pairs])
    except ArtifactError as error:
        return Check("golden pairs", "", (_said(error, folder),))
    ports, problems, same = got.ports, [], 0
    differing = work.agreement(facts, lambda name: (folder / name).read_bytes())
    for number, (pair, output) in enumerate(zip(pairs, got.outputs, strict=True)):
        content = (folder / pair["output"]).read_bytes()
        if len(content) != output.nbytes:  # a runtime may give another type than the file says
            gives = f"{output.nbytes} as {output.dtype}"
            problems.append(f"{pair['output']} holds {len(content)} bytes, the model gives {gives}")
            continue
        expected = np.frombuffer(content, ports.dtype).reshape(output.shape)
        same += bool((expected == output).all())
        if told := differing(number, ports.real(expected), ports.real(output)):
            problems.append(f"{pair['output']}: {told}")
    found = f"{same} of {len(pairs)} identical through {got.runtime} here"
    return _check("golden pairs", found, problems)
