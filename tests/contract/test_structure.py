"""Who may import whom, and what must not stand in the code at all."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "tfedge"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(file.relative_to(PACKAGE)) for file in FILES]

# A room may import from itself and from rooms of lower ranks.
RANKS = (
    ("redact",),
    ("errors", "__init__"),
    ("portable",),
    ("files", "catalog"),
    ("config",),
    ("tflite",),
    ("edgetpu", "benchmark"),
    ("devices",),
    ("data",),
    ("inputs",),
    ("pipeline", "task rows"),
    ("core",),
    ("modeling",),
    ("tasks",),
    ("report",),
    ("drops", "drafts"),
    ("stages",),
    ("api",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}

TENSORFLOW = {"tensorflow", "tf_keras", "tensorflow_model_optimization", "keras"}
TENSORFLOW_FILES = ("modeling/",)


# A task's row and keys stand beside a pipeline's; what they name by text stands above modeling.
TASK_ROWS = re.compile(r"tasks\.(blocks|drop|table|task|[a-z_]+\.schema)(\.|$)")


def room_of(file: Path) -> str:
    return room_of_module(file.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."))


def room_of_module(name: str) -> str:
    """Of ``room.module``, without ``tfedge.``"""
    return "task rows" if TASK_ROWS.match(name) else name.split(".")[0]


@functools.cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(node: ast.AST, everywhere: bool = True) -> Iterator[str]:
    """Modules that are imported; with ``everywhere`` False only when this module itself is."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (name.name for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute here"
            yield str(child.module)
            yield from (f"{child.module}.{name.name}" for name in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        elif everywhere or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(child, everywhere)


@functools.cache
def imports_of(file: Path) -> tuple[str, ...]:
    return tuple(imports(tree_of(file)))


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_room_has_its_place() -> None:
    assert {room_of(file) for file in FILES} == set(RANK)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_rooms_import_downwards_only(file: Path) -> None:
    room = room_of(file)
    for name in imports_of(file):
        if name.startswith("tfedge."):
            other = room_of_module(name.removeprefix("tfedge."))
            if other in RANK:
                lower = other == room or RANK[other] < RANK[room]
                lower |= {room, other} == {"pipeline", "task rows"}
                assert lower, f"{room} must not import {name}"


def test_modeling_knows_no_run() -> None:
    """It gets arrays, seeds, a store and a progress object, and may give what a stage writes: what
    a stage reads, the stage opens."""
    allowed = re.compile(r"tfedge\.core\.(accelerator|outputs)(\.(?!read$|write$)\w+)?$")
    for file in (PACKAGE / "modeling").rglob("*.py"):
        found = {name for name in imports_of(file) if name.startswith("tfedge.core")}
        assert not {name for name in found if not allowed.match(name)}, file


def test_no_module_imports_itself_through_others() -> None:
    modules = {module_of(file): file for file in FILES}
    graph = {
        name: {found for found in imports(tree_of(file), everywhere=False) if found in modules}
        for name, file in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in graph[name] - {name}:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_tensorflow_and_click_stay_in_their_rooms(file: Path) -> None:
    place = file.relative_to(PACKAGE).as_posix()
    roots = {name.split(".")[0] for name in imports_of(file)}
    if not place.startswith(TENSORFLOW_FILES):
        assert not roots & TENSORFLOW
    if place != "cli.py" and not place.startswith("commands/"):
        assert "click" not in roots
    # modeling/nets/env.py sets the environment before the first import of TensorFlow
    if place != "modeling/nets/env.py":
        assert not roots & {"tensorflow"} or "tfedge.modeling.nets.env" in imports_of(file)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_no_file_is_called_utils(file: Path) -> None:
    assert file.stem not in ("utils", "util", "helpers", "misc", "common")


PORTABLE = [file for file in FILES if room_of(file) == "portable"]
ON_DEVICES = [*PORTABLE, *(file for file in FILES if file.parent.name == "script")]


@pytest.mark.parametrize("file", PORTABLE, ids=lambda file: file.stem)
def test_portable_imports_nothing_else_of_tfedge(file: Path) -> None:
    ours = [name for name in imports_of(file) if name.split(".")[0] == "tfedge"]
    assert all(name.startswith("tfedge.portable.") for name in ours)


@pytest.mark.parametrize("file", ON_DEVICES, ids=lambda file: file.stem)
def test_what_runs_on_devices_takes_only_what_is_there(file: Path) -> None:
    """Python 3.7, its library, numpy, Pillow, an interpreter; of tfedge what runs there, too."""
    if file.stem in ("assemble", "__init__"):
        return
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 7))
    roots = {name.split(".")[0] for name in imports_of(file)}
    assert roots <= {*sys.stdlib_module_names, "numpy", "PIL", "ai_edge_litert", "tfedge"}
    ours = {name for name in imports_of(file) if name.startswith("tfedge.")}
    assert all(
        name.startswith(("tfedge.portable.", "tfedge.benchmark.script.")) for name in ours
    ), ours


FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.full_load",
}


def called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
        return f"{node.func.value.id}.{node.func.attr}"
    return node.func.id if isinstance(node.func, ast.Name) else ""


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_nothing_runs_text_or_swallows_errors(file: Path) -> None:
    place = file.relative_to(PACKAGE).as_posix()
    for node in ast.walk(tree_of(file)):
        where = f"{place}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call):
            assert called(node) not in FORBIDDEN_CALLS, where
            given = {k.arg: k.value for k in node.keywords}
            for name in ("shell", "allow_pickle"):
                value = given.get(name)
                assert not (isinstance(value, ast.Constant) and value.value is True), where
            broad = {n.id for a in node.args for n in ast.walk(a) if isinstance(n, ast.Name)}
            if called(node) in ("suppress", "contextlib.suppress"):
                assert not broad & {"Exception", "BaseException"}, where
        if isinstance(node, ast.ExceptHandler) and place != "cli.py":
            kinds = (
                {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {}
            )
            assert node.type is not None and "Exception" not in kinds, where
            if "BaseException" in kinds:  # to clean up, and on it goes
                assert isinstance(node.body[-1], ast.Raise), where


def test_only_one_place_catches_everything() -> None:
    text = (PACKAGE / "cli.py").read_text(encoding="utf-8")
    assert text.count("except Exception") == 1


# What only a task knows: stages, core, drops and report ask it. Comments and docstrings, too.
OF_A_TASK = re.compile(r"\b(top1|top_k|softmax|image_size|pixels|labels\.txt|classes)\b")
TASKLESS = sorted(
    file
    for room in ("stages", "core", "drafts", "drops", "report")
    for file in (PACKAGE / room).rglob("*")
    if file.suffix in (".py", ".txt")
    if file.name != "proguard-rules.pro.txt"  # Java's classes
)


@pytest.mark.parametrize("file", TASKLESS, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_only_a_task_knows_what_a_model_is_for(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if OF_A_TASK.search(line)
    ]
    assert not found


def test_test_files_have_names_of_their_own() -> None:
    """In folders that are no packages pytest takes one name for one module."""
    tests = PACKAGE.parent / "tests"
    loose = [
        file.name
        for file in tests.rglob("*.py")
        if not (file.parent / "__init__.py").exists() and file.name != "conftest.py"
    ]
    assert sorted(name for name in set(loose) if loose.count(name) > 1) == []
