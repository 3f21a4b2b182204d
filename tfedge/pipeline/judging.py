"""How labelled files are read that judge a model by itself, and what is measured: the keys of a
pipeline that say so, without a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import create_model

from tfedge.config import nodes
from tfedge.config.section import Section
from tfedge.config.spelling import did_you_mean
from tfedge.config.validate import checked
from tfedge.data.schema import Data
from tfedge.errors import ConfigError
from tfedge.pipeline.load import override_key
from tfedge.tasks.task import Task


class Judging(NamedTuple):
    """The sections of a task."""

    data: Data
    evaluate: Section


def allowed(task: Task) -> list[str]:
    """The keys that can be set: how the examples themselves are read says the model's contract."""
    return [*(f"data.{name}" for name in task.data.layout), *task.judged_by]


def judging(task: Task, path: str, overrides: Sequence[str]) -> Judging:
    """What ``overrides``, each ``"a.b=value"``, say of the labelled files at ``path``. ConfigError
    with every problem."""
    tree, keys = nodes.parse("{}", "evaluate"), allowed(task)
    tree.data = {"data": {"path": path}, "evaluate": {}}
    problems: list[str] = []
    for number, override in enumerate(overrides, 1):
        name = override.partition("=")[0].strip()
        if not any(name == key or name.startswith(f"{key}.") for key in keys):
            told = did_you_mean(name, keys) or f": can be {', '.join(keys) or 'nothing'}"
            problems.append(f"--set {name}: not for evaluating a model of {task.name}{told}")
            continue
        override_key(tree, override, number, [])
    fields: dict[str, Any] = {"data": (task.data, ...), "evaluate": (task.evaluate, ...)}
    schema = create_model("Judging", __base__=Section, **fields)
    found, wrong, _ = checked(tree, schema, {})
    problems += [f"{spot.text}: {text}" for spot, text in wrong]
    if problems or found is None:
        raise ConfigError(problems)
    sections: Any = found
    return Judging(sections.data, sections.evaluate)
