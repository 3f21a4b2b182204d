"""``pip install tfedge`` without ``[train]``: what works, and what is said where it does not.

Libraries are taken away by a ``sitecustomize`` that hides their modules and their metadata from
every import of the process, and from those of the processes that it starts.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from owners import owners
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from tfedge import cli
from tfedge.catalog.libraries import LIGHT, MODULES, TRAIN

ROOT = Path(__file__).parents[2]
DROP = ROOT / "models" / "digits-mobilenetv2"
MODEL = DROP / "digits-mobilenetv2.tflite"
PIPELINE = ROOT / "pipelines" / "mobilenet.yaml"
TO_TRAIN = "pip install 'tfedge[train]'"

HIDE = """
import sys

MODULES, DISTRIBUTIONS = {modules!r}, {distributions!r}


class Without:
    '''The finders that were there, without some of what they find.'''

    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MODULES:
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in found if spec is not None), None)

    def find_distributions(self, *context):
        for finder in self.finders:
            for found in getattr(finder, "find_distributions", lambda *_: ())(*context):
                if found.metadata["Name"].lower().replace("_", "-") not in DISTRIBUTIONS:
                    yield found


sys.meta_path[:] = [Without(list(sys.meta_path))]
"""


def with_their_own(names: Iterable[str]) -> set[str]:
    """These distributions and all that they need in turn."""
    found: set[str] = set()
    left = [canonicalize_name(name) for name in names]
    while left:
        name = left.pop()
        if name in found:
            continue
        try:
            rows = [Requirement(row) for row in requires(name) or ()]
        except PackageNotFoundError:  # not needed here
            continue
        found.add(name)
        left += [
            canonicalize_name(row.name)
            for row in rows
            if row.marker is None or row.marker.evaluate({"extra": ""})
        ]
    return found


@functools.cache
def only_to_train() -> frozenset[str]:
    """What a light installation does not have."""
    return frozenset(with_their_own(TRAIN) - with_their_own(LIGHT))


def modules_of(distributions: Iterable[str]) -> set[str]:
    hidden = set(distributions)
    return {name for name, of in owners().items() if of <= hidden}


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def without(tmp_path: Path) -> Run:
    """``without({"pillow"}, "verify", drop)``: tfedge where these are not installed."""

    def run(
        hidden: Iterable[str], *arguments: object, first: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        hook = tmp_path / "hook"
        hook.mkdir()
        text = HIDE.format(modules=modules_of(hidden), distributions=set(hidden))
        (hook / "sitecustomize.py").write_text(text)
        places = [hook, ROOT] if first is None else [first, hook, ROOT]
        command = ["-m", "tfedge"] if arguments[0] != "-c" else []
        return subprocess.run(
            [sys.executable, *command, *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, places)), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def light(without: Run) -> Run:
    return functools.partial(without, only_to_train())


PROBE = """
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
for name in {modules!r}:
    assert find_spec(name) is None, name
for name in {distributions!r}:
    try:
        print("here is", name, version(name))
    except PackageNotFoundError:
        pass
for name in {others!r}:
    version(name)
import numpy, ai_edge_litert, PIL
import tensorflow
"""


def test_the_train_part_is_out_of_reach(light: Run) -> None:
    names = {name for name, owner in MODULES.items() if owner in TRAIN}
    assert len(names) == len(TRAIN)
    ran = light("-c", PROBE.format(modules=names, distributions=set(TRAIN), others=set(LIGHT)))
    assert ran.stdout == ""
    assert ran.stderr.endswith("ModuleNotFoundError: No module named 'tensorflow'\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--help"], "Usage: tfedge"),
        (["run", "--help"], "Usage: tfedge run"),
        (["backbones", "MobileNetV2"], "block_16"),
        (["check", PIPELINE], "measures on: local"),
        (["run", "--dry-run", PIPELINE], "measures on: local"),
        (["inspect", MODEL], "Edge TPU, predicted"),
        (["verify", DROP], "8 of 8 identical through LiteRT"),
        (["devices"], "ready"),
        (["bench", MODEL, "--runs=5", "--warmup=1", "--processes=1"], "digits-mobilenetv2  LiteRT"),
    ],
    ids=lambda value: " ".join(map(str, value[:2])) if isinstance(value, list) else "",
)
def test_what_works_without_the_train_part(light: Run, arguments: list[object], said: str) -> None:
    ran = light(*arguments)
    assert ran.returncode == 0, ran.stderr
    assert said in ran.stdout and "Traceback" not in ran.stderr


FROM_PYTHON = """
import sys
from tfedge import bench, check, evaluate, inspect, load, predict, run, verify
from tfedge.errors import MissingDependency
drop, model, pipeline, images = sys.argv[1:]
assert not any(found.problems for found in verify(drop))
assert inspect(model).float_tensors == 0
assert bench(model, runs=5, warmup=1, processes=1).results[0].summary.n == 5
assert evaluate(model, images)["n"] == 2
assert len(list(predict(drop, images))) == 2
assert len(check(load(pipeline)).steps) > 5
try:
    run(pipeline)
except MissingDependency as error:
    print(error.hint)
"""


def test_the_python_api_works_without_the_train_part(light: Run, tmp_path: Path) -> None:
    for label in "37":
        (tmp_path / "images" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "images" / label / "0.png")
    ran = light("-c", FROM_PYTHON, DROP, MODEL, PIPELINE, tmp_path / "images")
    assert (ran.returncode, ran.stdout) == (0, f"{TO_TRAIN}\n"), ran.stderr


def test_drops_are_taken_out_of_a_run_made_elsewhere(light: Run, tmp_path: Path) -> None:
    shutil.copytree(DROP, tmp_path / "run" / "drops" / "linux")
    ran = light("package", "run", "--archive=zip")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "digits-mobilenetv2-linux.zip").is_file()


@pytest.mark.parametrize("command", [["check"], ["run", "--dry-run"]], ids=" ".join)
def test_the_plan_says_in_one_line_that_it_can_not_train(light: Run, command: list[str]) -> None:
    ran = light(*command, PIPELINE)
    assert (ran.returncode, ran.stderr) == (0, "")
    (note,) = [line for line in ran.stdout.splitlines() if line.startswith("note: ")]
    assert note.startswith(
        "note: this installation can't train yet: h5py, safetensors, scikit-learn, tensorflow"
    )
    assert note.endswith(f" are not installed: {TO_TRAIN}")


def test_the_plan_says_nothing_where_nothing_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["check", str(PIPELINE)]) == 0
    assert "note: " not in capsys.readouterr().out


def test_a_run_is_refused_before_its_first_stage(light: Run, tmp_path: Path) -> None:
    ran = light("run", PIPELINE)
    assert (ran.returncode, ran.stdout) == (3, "")
    what, hint = ran.stderr.splitlines()
    for name in TRAIN.keys() - {"pip"}:
        assert name in what
    assert hint == f"hint: {TO_TRAIN}"
    latest = tmp_path / "runs" / "latest"
    result = json.loads((latest / "run.json").read_text())
    assert (result["status"], result["stages"], result["error"]["exit_code"]) == ("failed", [], 3)
    assert not any((latest / name).exists() for name in ("data", "backbone"))


def folder_of_images(tmp_path: Path) -> Path:
    for name in ("dark", "light"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            level = 20 * number + (100 if name == "light" else 0)
            image = Image.new("RGB", (40, 40), (level, 7 * number, level))
            image.save(tmp_path / "images" / name / f"{number}.png")
    file = tmp_path / "images.yaml"
    file.write_text("name: images\ndata: {path: images}\n")
    return file


def test_looking_at_the_images_needs_nothing_to_train_with(light: Run, tmp_path: Path) -> None:
    ran = light("run", folder_of_images(tmp_path), "--to", "data")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "runs" / "latest" / "data" / "index.json").is_file()


def test_doctor_says_what_a_run_lacks(light: Run) -> None:
    ran = light("doctor")
    assert ran.returncode == 3
    for name in TRAIN:
        assert f"missing    {name} " in ran.stdout
    assert ran.stdout.count(f"-> {TO_TRAIN}\n") == len(TRAIN)
    assert ran.stderr.endswith(f"\nhint: {TO_TRAIN}\n")


@pytest.mark.parametrize("library", sorted(LIGHT.keys() - {"click"}))
def test_doctor_works_whatever_is_missing(without: Run, library: str) -> None:
    ran = without({library}, "doctor")
    assert ran.returncode == 3, ran.stderr
    assert f"missing    {library} " in ran.stdout
    assert ran.stderr == (
        f"a run needs what is missing here: {library}\nhint: pip install tfedge\n"
    )


def test_the_built_in_sample_is_a_library_s(light: Run, tmp_path: Path) -> None:
    ran = light("run", PIPELINE, "--to", "data")
    assert ran.returncode == 3
    assert ran.stderr.endswith(f"scikit-learn is not installed\nhint: {TO_TRAIN}\n")
    result = json.loads((tmp_path / "runs" / "latest" / "run.json").read_text())
    assert (result["error"]["type"], result["error"]["exit_code"]) == ("MissingDependency", 3)
    assert "Traceback" not in ran.stderr


# ------------------------------------------------------------------ pieces of the light part


@pytest.mark.parametrize(
    ("library", "command"),
    [
        ("pyyaml", ["check", PIPELINE]),
        ("pydantic", ["check", PIPELINE]),
        ("packaging", ["check", PIPELINE]),
        ("pydantic", ["devices"]),
        ("numpy", ["inspect", MODEL]),
        ("ai-edge-litert", ["inspect", MODEL]),
        ("ai-edge-litert", ["verify", DROP]),
        ("ai-edge-litert", ["bench", MODEL]),
        ("flatbuffers", ["verify", DROP]),
        ("numpy", ["bench", MODEL]),
        ("pillow", ["predict", DROP, "x"]),
        ("ai-edge-litert", ["predict", DROP, __file__]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_a_light_library_that_is_missing_is_one_message(
    without: Run, library: str, command: list[object]
) -> None:
    ran = without({library}, *command)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr == f"{library} is not installed\nhint: pip install tfedge\n"


@pytest.mark.parametrize("library", ["pillow", "jinja2"])  # it begins, and it ends with a report
def test_a_run_without_it_is_refused_at_once(without: Run, library: str, tmp_path: Path) -> None:
    ran = without({library}, "run", folder_of_images(tmp_path), "--to", "data")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith(
        f"this installation can't run this yet: {library} is not installed\n"
        "hint: pip install tfedge\n"
    )
    assert "Traceback" not in ran.stderr


def test_a_library_of_another_platform_is_one_message(without: Run, tmp_path: Path) -> None:
    broken = tmp_path / "first" / "ai_edge_litert"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text('raise ImportError("libc.so.6: no GLIBC_2.99")\n')
    ran = without((), "inspect", MODEL, first=broken.parent)
    assert ran.returncode == 3
    what, hint = ran.stderr.splitlines()
    assert what.startswith("ai-edge-litert ")
    assert what.endswith("is installed, but can't be imported: libc.so.6: no GLIBC_2.99")
    again = "pip install --force-reinstall --no-deps"
    assert hint == f"hint: {again} 'ai-edge-litert{LIGHT['ai-edge-litert']}'"
