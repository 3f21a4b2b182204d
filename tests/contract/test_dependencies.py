"""Declared dependencies are those that are imported, each in the part that needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from owners import owners
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_structure import FILES, imports, imports_of, module_of, tree_of

from tfedge.catalog.libraries import DETECTION, LIGHT, MODULES, TRAIN
from tfedge.core import engine
from tfedge.core.stages import STAGES, Stage, of_task
from tfedge.tasks.table import TASKS, names, task_of
from tfedge.tasks.task import Task

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which pytest brings there

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULE = {module_of(file): file for file in FILES}

# Declared, but imported by no file of tfedge.
NOT_IMPORTED = {
    "pip": "modeling/nets/weights/pinned.py runs it as a process",
}
NOT_IMPORTED_BY_TESTS = {
    "mypy": "is run",
    "ruff": "is run",
    "tokenizers": "is asked where it is installed",
    "types-pyyaml": "types for mypy",
    "types-requests": "types for mypy",
}
# What only some pipelines need, and which is imported at the moment when they do.
SOMETIMES = {
    "tfedge.data.samples": {"scikit-learn"},
    "tfedge.inputs.images.scenes": {"scikit-learn"},
    "tfedge.inputs.images.annotations.voc": {"defusedxml"},
    "tfedge.tasks.object_detection.metrics": {"pycocotools"},
}


def declared(rows: Iterable[str]) -> dict[str, Requirement]:
    return {canonicalize_name(row.name): row for row in map(Requirement, rows)}


EXTRAS = {name: declared(rows) for name, rows in PROJECT["optional-dependencies"].items()}


def imported(names: Iterable[str]) -> set[str]:
    """The distributions of imported modules; an unknown module stands for itself."""
    roots = {name.split(".")[0] for name in names} - {"tfedge", *sys.stdlib_module_names}
    return {min(owners().get(root, {root})) for root in roots}


def module(reference: str) -> str:
    return reference.split(":")[0]


ROWS = [task_of(name) for name in names()]
# What a module imports by a name that it finds in a table.
BY_NAME = {
    "tfedge.tasks.table": {module(place) for place in TASKS.values()},
    "tfedge.tasks.work": {module(row.work) for row in ROWS},
    "tfedge.stages.heads": {module(row.head) for row in ROWS},
}


def reached(*starts: str) -> set[str]:
    """The modules of tfedge that these import, and those that they import, at whatever moment, by
    whatever name."""
    found: set[str] = set()
    left = [module(start) for start in starts]
    while left:
        name = left.pop()
        if name in MODULE and name not in found:
            found.add(name)
            left += BY_NAME.get(name, ())
            left += imports_of(MODULE[name])
    return found


def needed(*starts: str) -> set[str]:
    """The distributions of all modules that are reached, but for those needed sometimes only."""
    return {
        found
        for name in reached(*starts)
        for found in imported(imports_of(MODULE[name])) - SOMETIMES.get(name, set())
    }


# Commands, and what a plan and a run look up by name; the stages' functions are imported later.
ALWAYS = (
    "tfedge.__main__",
    *(name for name in MODULE if name.startswith("tfedge.commands.")),
    engine.REPORT,
    *(name for row in STAGES for name in (row.probe, row.needs, row.root) if name),
)


@pytest.mark.parametrize(
    ("rows", "part"),
    [
        (declared(PROJECT["dependencies"]), LIGHT),
        (EXTRAS["train"], TRAIN),
        (EXTRAS["detection"], DETECTION),
    ],
    ids=["light", "train", "detection"],
)
def test_messages_name_the_versions_that_are_declared(
    rows: dict[str, Requirement], part: dict[str, str]
) -> None:
    wanted = {name: Requirement(f"{name}{versions}") for name, versions in part.items()}
    assert {name: row.specifier for name, row in rows.items()} == {
        name: row.specifier for name, row in wanted.items()
    }


def test_modules_are_told_apart_as_they_are_installed() -> None:
    assert {name: owners()[name] for name in MODULES} == {
        name: {owner} for name, owner in MODULES.items()
    }


@pytest.mark.parametrize("file", FILES, ids=MODULE)
def test_what_is_imported_is_declared(file: Path) -> None:
    assert imported(imports_of(file)) <= {*LIGHT, *TRAIN, *DETECTION}


def test_what_is_declared_is_imported() -> None:
    everywhere = imported(name for file in FILES for name in imports_of(file))
    assert {*LIGHT, *TRAIN, *DETECTION} - everywhere == set(NOT_IMPORTED)
    assert not LIGHT.keys() & TRAIN.keys() and not DETECTION.keys() & {*LIGHT, *TRAIN}


def test_light_commands_need_the_light_part_all_of_it_and_no_more() -> None:
    # packaging is what compares versions, and click what commands are made of
    assert needed(*ALWAYS, "tfedge.stages.package", "tfedge.stages.benchmark") == set(LIGHT)


@pytest.mark.parametrize(("name", "libraries"), SOMETIMES.items(), ids=SOMETIMES)
def test_what_is_needed_sometimes_is_imported_late(name: str, libraries: set[str]) -> None:
    file = MODULE[name]
    assert libraries <= imported(imports_of(file))
    assert not libraries & imported(imports(tree_of(file), everywhere=False))


@pytest.mark.parametrize("row", STAGES, ids=lambda row: row.name)
def test_a_stage_asks_for_what_it_imports(row: Stage) -> None:
    task = task_of("image-classification")
    row = of_task(row, task)
    asked = {*row.libs, *row.also}
    assert needed(row.function) & TRAIN.keys() == asked & TRAIN.keys()
    assert asked <= {*LIGHT, *TRAIN}
    assert not set(row.also) & set(row.libs)


@pytest.mark.parametrize("task", ROWS, ids=lambda task: task.name)
def test_a_task_names_what_its_examples_are_read_with(task: Task) -> None:
    """The keys of stages hash these libraries; the stages name numpy and LiteRT themselves."""
    # For keys, downloads and the metadata of drops.
    no_matter = {"pydantic", "requests", "urllib3", "flatbuffers"}
    found = needed(task.work) - no_matter - {"numpy", "ai-edge-litert"}
    assert found == set(task.libs) - DETECTION.keys()
    assert set(task.libs) & DETECTION.keys() in (set(), {*DETECTION})


def test_dev_brings_everything_that_tests_need() -> None:
    dev = EXTRAS["dev"]
    assert dev.pop("tfedge").extras == {"train", "detection", "tensorboard", "mlflow"}
    trees = [file for file in (ROOT / "tests").rglob("*.py") if "readers" not in file.parts]
    tests = {name for file in trees for name in imports(tree_of(file))}
    assert dev.keys() - imported(tests) == NOT_IMPORTED_BY_TESTS.keys()
    stubs = {name.removeprefix("types-") for name in dev if name.startswith("types-")}
    assert stubs <= LIGHT.keys()


def test_tensorboard_and_mlflow_are_what_they_say() -> None:
    """Keras writes TensorBoard's logs; who uses them looks whether they are there, by name."""
    assert set(EXTRAS) == {"train", "detection", "tensorboard", "mlflow", "dev"}
    assert set(EXTRAS["mlflow"]) == {"mlflow-skinny"}
    assert 'find_spec("mlflow")' in MODULE["tfedge.core.tracking"].read_text("utf-8")
    assert set(EXTRAS["tensorboard"]) == {"tensorboard"}
    assert 'find_spec("tensorboard")' in MODULE["tfedge.stages.finetune"].read_text("utf-8")
