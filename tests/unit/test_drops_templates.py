"""What drops take from the package as it is: when that changes, they are made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tfedge.core.stages import stage
from tfedge.drops import outside, templates
from tfedge.files.imports import imported
from tfedge.files.template import fill, texts
from tfedge.pipeline.schema import Package
from tfedge.portable.assemble import Source, source
from tfedge.tasks import copied as of_every_task
from tfedge.tasks.classification import copied as of_classifiers
from tfedge.tasks.image_classification import copied
from tfedge.tasks.table import names, task_of

OF_SCRIPTS = ("benchmark.script.run", "tasks.image_classification.script.classify")


def test_another_text_or_another_script_is_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage("package").probe == f"{outside.__name__}:{outside.digest.__name__}"
    digests = [outside.digest(Package(), tmp_path)]
    for module, folder in (
        (templates, "FOLDER"),
        (copied, "TEMPLATES"),
        (of_classifiers, "TEMPLATES"),
        (of_every_task, "TEMPLATES"),
    ):
        copy = tmp_path / module.__name__
        shutil.copytree(getattr(module, folder), copy)
        monkeypatch.setattr(module, folder, copy)
        assert outside.digest(Package(), tmp_path) == digests[-1], "the same texts"
        for file in texts(copy):
            with (copy / file).open("a", encoding="utf-8") as text:
                text.write("more")
            digests.append(outside.digest(Package(), tmp_path))
    for part in (*OF_SCRIPTS, "portable.images", "portable.assemble"):
        monkeypatch.setattr("tfedge.portable.assemble.source", changed(f"tfedge.{part}"))
        digests.append(outside.digest(Package(), tmp_path))
    assert len(set(digests)) == len(digests) > 10


def changed(name: str) -> Callable[[str], Source]:
    """What reads a module's text, to which something was added."""

    def read(other: str) -> Source:
        found = source(other)
        return Source(other, found.text + "more") if other == name else found

    return read


@pytest.mark.parametrize("name", names())
def test_every_text_of_a_task_is_in_the_digest(name: str) -> None:
    tasks = Path(templates.__file__).parents[2] / "tasks"
    folders = [tasks / name.replace("-", "_"), of_every_task.TEMPLATES]
    found = set(imported(task_of(name).texts)().values())
    assert {path.read_bytes() for folder in folders for path in folder.rglob("*.txt")} <= found


def test_a_mark_without_a_value_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.md.txt").write_text("@name@ of @place@, a@b.c", encoding="utf-8")
    assert fill(tmp_path, "a.md", name="x", place="y") == b"x of y, a@b.c"
    assert fill(tmp_path, "a.md") == b"@name@ of @place@, a@b.c"
    with pytest.raises(KeyError, match="place"):
        fill(tmp_path, "a.md", name="x")
