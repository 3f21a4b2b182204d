"""``tfedge check`` and ``--dry-run`` look at the data's listing; what else new users meet first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from data_helpers import class_folders

from tfedge import api
from tfedge.cli import main
from tfedge.pipeline.load import load_pipeline

ROOT = Path(__file__).parents[2]
PIPELINE = """\
name: mine
data: {{path: photos, image_size: 32{more}}}
backbone: {{weights: none}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFEDGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p.yaml").write_text(PIPELINE.format(more=""))
    return tmp_path


Told = Callable[..., tuple[int, str]]


@pytest.fixture(params=[["check"], ["run", "--dry-run"], ["run", "--dry-run", "--force"]], ids=str)
def tfedge(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Told:
    def run(*arguments: str) -> tuple[int, str]:
        code = main([*request.param, "p.yaml", *arguments])
        return code, capsys.readouterr().err

    return run


def test_what_is_wrong_with_the_file_and_with_the_data_is_said_at_once(
    folder: Path, tfedge: Told
) -> None:
    no_folder(folder)
    code, said = tfedge("--set", "prune.sparsty=0.5", "--set", "finetune.epochs=x")
    assert code == 2
    for part in ("prune.sparsty: unknown key", "finetune.epochs: ", "photos: no such folder"):
        assert part in said


@pytest.mark.parametrize("wrong", ["data.image_size=x", "data.path=", "data=3"])
def test_data_that_are_wrong_in_the_file_are_said_once(
    folder: Path, tfedge: Told, wrong: str
) -> None:
    """Nobody looks for the files of a section that can't be read."""
    code, said = tfedge("--set", wrong)
    assert code == 2 and len(said.splitlines()) <= 2, said


def one_class(folder: Path) -> str:
    class_folders(folder / "photos", {"a": 2})
    return "at least two classes are needed, there is only a"


def no_folder(folder: Path) -> str:
    class_folders(folder / "phots", {"a": 2, "b": 2})
    return f"{folder}/photos: no such folder, did you mean {folder}/phots?"


def no_images(folder: Path) -> str:
    class_folders(folder / "photos", {"a": 0, "b": 0})
    return "no images in a, b"


def empty_class(folder: Path) -> str:
    class_folders(folder / "photos", {"a": 2, "b": 0, "c": 2})
    return "class b: no image"


def nothing_to_train_on(folder: Path) -> str:
    class_folders(folder / "photos" / "train", {"a": 2, "b": 2})
    class_folders(folder / "photos" / "val", {"a": 2, "c": 2})
    return "class c: no image in train"


def boxes(folder: Path) -> str:
    for name in ("images/1.jpg", "labels/1.txt"):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).touch()
    return "object detection dataset (YOLO: labels/1.txt holds boxes)"


@pytest.mark.parametrize(
    "make", [one_class, no_folder, no_images, empty_class, nothing_to_train_on, boxes]
)
def test_a_wrong_listing_ends_with_4(
    folder: Path, tfedge: Told, make: Callable[[Path], str]
) -> None:
    says = make(folder)
    code, told = tfedge()
    assert code == 4 and says in told and "hint: " in told
    assert not (folder / "cache").exists() and not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("list.csv", "list.csv:1: expected the header path,label"),
        ("gone.csv", "gone.csv: no such file"),
        ("photos.zip", "unpack it"),
        ("photos.xlsx", "save the table as CSV"),
        ("instances.json", "object detection"),
    ],
)
def test_a_wrong_file_ends_with_4(folder: Path, tfedge: Told, name: str, says: str) -> None:
    if not name.startswith("gone"):
        (folder / name).write_text("filename,class\na.jpg,a\n")
    code, told = tfedge("--set", f"data.path={name}")
    assert code == 4 and says in told


@pytest.mark.parametrize(
    ("path", "code"),
    [("x" * 5000, 2), ("x" * 300, 2), ("a\\0b", 2), ("x" * 200, 4), ("p.yaml/photos", 4)],
)
def test_a_path_that_can_be_none_is_one_message(
    folder: Path, tfedge: Told, path: str, code: int
) -> None:
    got, told = tfedge("--set", f'data.path="{path}"')
    assert got == code and "data.path" in told and len(told) < 900


def test_mistakes_of_the_pipeline_come_first(folder: Path, tfedge: Told) -> None:
    code, told = tfedge("--set", "prune.sparsity=7", "--set", "data.image_size=5")
    assert code == 2 and "prune.sparsity" in told and "data.image_size" in told
    assert "no such folder" not in told


def test_sound_data_give_the_plan(folder: Path, tfedge: Told) -> None:
    class_folders(folder / "photos", {"a": 3, "b": 3})
    assert tfedge() == (0, "")


HEAVY = ("numpy", "PIL", "tensorflow", "subprocess")


def test_a_check_of_very_many_files_takes_little_time_and_no_heavy_import(folder: Path) -> None:
    for label in "ab":
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(20_000):
            (folder / "photos" / label / f"{number}.jpg").touch()
    code = (
        "import sys, time; from tfedge.cli import main; began = time.process_time()\n"
        "assert main(['check', 'p.yaml']) == 0\n"
        f"print(time.process_time() - began, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )
    seconds, modules = done.stdout.splitlines()[-1].split(" ", 1)
    assert modules == "[]" and float(seconds) < 0.5


def test_data_warnings_are_told_again_from_the_cache(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class_folders(folder / "photos", {"a": 4, "b": 4})
    said = []
    for _ in range(2):
        assert main(["run", "p.yaml", "--to", "data"]) == 0
        said.append(capfd.readouterr().err)
    assert "from the cache" in said[1] and "from the cache" not in said[0]
    for told in said:
        assert "fewer than 10 training images: 2 of 2 classes" in told


def test_a_report_of_data_alone_is_short(folder: Path) -> None:
    class_folders(folder / "photos", {"a": 4, "b": 4})
    assert main(["run", "p.yaml", "--to", "data", "--run-dir", "run"]) == 0
    text = (folder / "run" / "report.md").read_text("utf-8")
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    first, last = ["## What was run", "## Data"], ["## Appendix: stages", "## Appendix: versions"]
    assert titles == [*first, "## How to do it again", *last]
    assert text.count("Not run") == 1


# Templates


def test_a_folder_in_the_place_of_a_pipeline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(folder / "photos", {"a": 1, "b": 1})
    assert main(["run", "photos"]) == 2
    told = capsys.readouterr().err
    assert "photos: is a folder, not a pipeline file" in told
    assert "tfedge init photos -o mine.yaml writes a pipeline for it" in told


def test_templates_are_the_pipelines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = {file.stem: file for file in (ROOT / "pipelines").glob("*.yaml")}
    assert list(api.templates()) == sorted(files)
    assert main(["template"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(files)
    for name, file in files.items():
        assert main(["template", name]) == 0
        text = capsys.readouterr().out
        first, _, rest = text.partition("\n")
        assert rest == file.read_text("utf-8").partition("\n")[2]
        schema = Path(url2pathname(urlsplit(first.partition("$schema=")[2]).path))
        assert schema.read_bytes() == (ROOT / "pipelines" / "tfedge.schema.json").read_bytes()
        (tmp_path / "mine.yaml").write_text(text)
        assert load_pipeline(tmp_path / "mine.yaml").name
    assert main(["template", "foto"]) == 2
    assert "did you mean photos?" in capsys.readouterr().err


# What there is no key for


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("data.image_size=[96, 160]", "square, and data.fit says"),
        ("data.image_size=96x160", "square, and data.fit says"),
        ("data.width=96", "square, and data.fit says"),
        ("data.channels=1", "models take RGB, three channels"),
        ("data.grayscale=true", "models take RGB, three channels"),
        ("data.mean=[1, 2, 3]", "normalisation"),
        ("package.coral.segments=2", "not split over several Edge TPUs"),
        ("package.targets=[micro]", "TensorFlow Lite Micro runs the .tflite of a linux drop"),
        ("package.targets=[arduino]", "TensorFlow Lite Micro runs the .tflite of a linux drop"),
        ("quantize.per_channel=false", "kernels have a scale for each channel"),
        ("quantize.granularity=per_tensor", "kernels have a scale for each channel"),
        ("quantize.input_type=int8", "takes raw uint8 and gives uint8"),
        ("quantize.recipe=float16", "none ships float32"),
        ("quantize.recipe=fp16", "none ships float32"),
        ("quantize.recipe=dynamic", "ptq calibrates ranges"),
        ("quantize.recipe=int8", "ptq calibrates ranges"),
        ("finetune.head=sigmoid", "a score for each class, of two classes too"),
        ("data.classes=[a, b, a]", "data.classes: names a class twice"),
        ("data.group=(a)(b)", "must have one group in parentheses"),
        ("data.range=[9, 3]", "data.range: black must be below white"),
    ],
)
def test_refusals_name_what_there_is_instead(
    folder: Path, capsys: pytest.CaptureFixture[str], override: str, says: str
) -> None:
    assert main(["check", "p.yaml", "--set", override]) == 2
    assert says in capsys.readouterr().err
