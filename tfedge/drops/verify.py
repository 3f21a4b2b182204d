"""Hold a drop against what it says of itself: files, contract, golden pairs, and what more its
task and its target say."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.drops import archive, manifest
from tfedge.drops.coral import check_compiled
from tfedge.errors import ArtifactError, DropError
from tfedge.tasks.contract import stored
from tfedge.tasks.drop import Check
from tfedge.tasks.table import DEFAULT, TASKS, task_of
from tfedge.tasks.task import Work
from tfedge.tasks.work import work_of
from tfedge.tflite import reader
from tfedge.tflite.runtime import LiteRT, Loader

Replay = Callable[[Path, Mapping[str, Any]], Check]


def verify(path: Path, replays: Sequence[Replay] = ()) -> list[Check]:
    """Every check of a drop, a folder or a .zip of one, in order; those that fail are in it, too.

    ``replays`` run the golden pairs elsewhere (on a device) and are asked only when all that can
    be checked here holds. DropError when there is no drop to check.
    """
    with _opened(path) as folder:
        facts = manifest.load(folder)
        checks = [_files(folder, facts)]
        try:
            work = work_for(facts)
            checks.append(_contract(folder, facts))
            checks += work.check_drop(folder, facts)
            if facts.get("target") == "coral":
                checks.append(_coral(folder, facts))
            checks.append(replay_here(folder, facts))
        # A manifest whose fields are not there or of another kind; the digests can't show that.
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            what = f"{manifest.NAME} does not say what a drop says: {type(error).__name__} {error}"
            checks.append(Check("manifest", "", (what,)))
        except (ArtifactError, OSError) as error:
            checks.append(Check("model", "", (str(error),)))
        if not any(check.problems for check in checks):
            checks += [replay(folder, facts) for replay in replays]
        return checks


def work_for(facts: Mapping[str, Any]) -> Work:
    """What knows the drop's task; drops of older releases do not name theirs, it was always the
    same. DropError for a task that is not known here."""
    name = facts.get("task", DEFAULT)
    if name not in TASKS:
        raise DropError(
            f"{manifest.NAME}: a drop of the task {name!r}, this tfedge knows {', '.join(TASKS)}",
            "use the tfedge that made it",
        )
    return work_of(task_of(name))


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="tfedge-drop-") as folder:
            yield archive.unpack(path, Path(folder))
    else:
        raise DropError(f"{path}: no such drop", "give its folder or its .zip")


def _files(folder: Path, facts: Mapping[str, Any]) -> Check:
    problems = manifest.differences(folder, facts, _addable_files(facts))
    return Check("files", f"{len(facts['files'])} by SHA-256", tuple(problems))


def _addable_files(facts: Mapping[str, Any]) -> list[str]:
    """What compile.sh adds to a Coral drop that was not compiled."""
    coral = facts.get("coral")
    if not isinstance(coral, dict) or coral.get("compiled") is not False:
        return []
    name = str(coral.get("file"))
    return [name, f"{name.removesuffix('.tflite')}.log"]


def _contract(folder: Path, facts: Mapping[str, Any]) -> Check:
    model = reader.read(folder / facts["model"])
    problems = []
    for what, tensors in ("input", model.inputs), ("output", model.outputs):
        if len(tensors) != 1:
            problems.append(f"the model has {len(tensors)} {what}s")
            continue
        got = stored(tensors[0])
        keys = ("dtype", "shape") if what == "input" else tuple(got)
        problems += [
            f"{what}.{key}: the manifest says {facts[what][key]}, the model {got[key]}"
            for key in keys
            if facts[what][key] != got[key]
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


def replay_here(folder: Path, facts: Mapping[str, Any], load: Loader = LiteRT) -> Check:
    """The golden pairs through LiteRT on this machine, by the task's golden rule."""
    work = work_for(facts)
    runtime = load(folder / facts["model"], 1)
    given, taken = runtime.inputs()[0], runtime.outputs()[0]
    problems, same = [], 0
    for pair in facts["golden"]:
        shown = np.frombuffer((folder / pair["input"]).read_bytes(), given.dtype)
        expected = np.frombuffer((folder / pair["output"]).read_bytes(), taken.dtype)
        got = runtime.invoke(shown.reshape(given.shape))[0].reshape(-1)
        if expected.shape != got.shape:
            problems.append(f"{pair['output']} holds {expected.size} values of {got.size}")
            continue
        same += bool((expected == got).all())
        if told := work.difference(taken.real(expected), taken.real(got)):
            problems.append(f"{pair['output']}: {told}")
    count = len(facts["golden"])
    if not count:
        problems.append("there are no golden pairs")
    found = f"{same} of {count} identical through {runtime.name} {runtime.version} here"
    return Check("golden pairs", found, tuple(problems))
