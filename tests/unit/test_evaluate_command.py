"""``tfedge evaluate``: a model that ships on labelled images, texts and boxes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_data_helpers import WRITERS
from color_helpers import CLASSES, DATA, INT8, make_run
from detector_helpers import detector, painted, scenes
from PIL import Image
from text_helpers import CLASSES as SUBJECTS
from text_helpers import TEXTS, make_text_run

from tfedge import cli, evaluate, predict
from tfedge.drops import archive
from tfedge.errors import ArtifactError, ConfigError, DataError, UnsupportedModel
from tfedge.files.artifact import write_json
from tfedge.tasks.paired import wilson

DROP = Path(__file__).parents[2] / "models" / "digits-mobilenetv2"
Said = pytest.CaptureFixture[str]


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Blank photos of two classes of the drop's: which one it answers does not matter."""
    for label in ("3", "8"):
        (tmp_path / "digits" / label).mkdir(parents=True)
        for number in range(3):
            shade = 40 * number + 10
            Image.new("RGB", (40, 30), (shade,) * 3).save(
                tmp_path / "digits" / label / f"{number}.png"
            )
    return tmp_path / "digits"


def test_a_drop_its_zip_and_the_file_in_it_are_the_same(digits: Path, tmp_path: Path) -> None:
    archive.pack(DROP, tmp_path / "drop.zip")
    found = evaluate(DROP, digits)
    assert (found["task"], found["split"], found["n"]) == ("image-classification", None, 6)
    assert [row["support"] for row in found["per_class"]] == [0, 0, 0, 3, 0, 0, 0, 0, 3, 0]
    assert sum(sum(row.values()) for row in found["confusion"].values()) == 6
    assert evaluate(tmp_path / "drop.zip", digits) == found
    assert evaluate(DROP / "digits-mobilenetv2.tflite", digits) == found


def test_intervals_of_each_class_are_wilson_s(tmp_path: Path) -> None:
    run = make_run(tmp_path, mislabelled=1)
    found = evaluate(INT8, run.root, labels=CLASSES)
    red = next(row for row in found["per_class"] if row["class"] == "red")
    assert (red["recall"], red["recall_ci95"]) == (0.75, [*wilson(3, 4)])
    assert (red["precision"], red["precision_ci95"]) == (1.0, [*wilson(3, 3)])


def test_the_table_names_every_class_with_its_interval(tmp_path: Path, capsys: Said) -> None:
    run = make_run(tmp_path, mislabelled=1)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(CLASSES))
    given = ["evaluate", str(INT8), str(run.root), "--labels", str(labels)]
    assert cli.main(given) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "image-classification, 12 images (val)"
    assert said[2].split() == ["top-1", "91.7", "%", "[64.6,", "98.5]"]
    red = next(line.split() for line in said if line.startswith("red"))
    assert red[:9] == [*["red", "100.0", "%", "[43.9,", "100.0]", "75.0", "%", "[30.1,", "95.4]"]]
    assert "A row is the truth, a column the answer." in said
    assert cli.main([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == evaluate(INT8, run.root, labels=CLASSES)


def test_who_names_no_classes_is_told_which_are_taken(tmp_path: Path, capsys: Said) -> None:
    run = make_run(tmp_path)
    assert cli.main(["evaluate", str(INT8), str(run.root)]) == 0
    caught = capsys.readouterr()
    assert "those of the examples stand in the order of their names" in caught.err
    assert caught.out.index("\nblue") < caught.out.index("\ngreen") < caught.out.index("\nred")


def test_what_a_drop_says_is_not_said_again(digits: Path) -> None:
    with pytest.raises(ConfigError, match="says that itself: leave --labels out"):
        evaluate(DROP, digits, labels=CLASSES)
    with pytest.raises(ConfigError, match=r"--set data\.image_size: not for evaluating"):
        evaluate(DROP, digits, overrides={"data.image_size": 64})


def test_an_image_that_is_none_and_a_class_that_is_none(digits: Path, capsys: Said) -> None:
    (digits / "8" / "9.png").write_bytes(b"no image")
    assert cli.main(["evaluate", str(DROP), str(digits)]) == 4
    assert f"{digits}/8/9.png: not an image" in capsys.readouterr().err
    (digits / "8").rename(digits / "eight")
    assert cli.main(["evaluate", str(DROP), str(digits)]) == 4
    caught = capsys.readouterr().err
    assert "eight is no class of the model" in caught and "Traceback" not in caught


def test_a_model_of_signed_pixels_is_fed_128_less(tmp_path: Path) -> None:
    """An int8 input of zero point -128: what the device script feeds, too."""
    from tfedge.tasks.photos import PhotoReader

    given: dict[str, Any] = {"shape": [1, 32, 32, 3], "fit": "crop", "dtype": "int8"}
    path = tmp_path / "one.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    signed = PhotoReader(given).content(path.read_bytes(), path.name)
    plain = PhotoReader(given | {"dtype": "uint8"}).content(path.read_bytes(), path.name)
    assert signed.dtype == np.int8 and (signed.astype(int) == plain.astype(int) - 128).all()


# ------------------------------------------------------------------ texts


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A run of a text classifier, which knows the class of each of ``TEXTS``."""
    run = make_text_run(tmp_path / "words")
    (run.folder / "resolved.json").write_text(run.pipeline.model_dump_json(exclude_none=True))
    shutil.copy(DATA / "words_int8.tflite", run.folder / "convert" / "model.tflite")
    write_json(run.folder / "run.json", {"model": {"path": "convert/model.tflite"}})
    return run.folder


def rows() -> list[tuple[str, str]]:
    return [(text, label) for label in SUBJECTS for text in TEXTS[label]]


def test_texts_in_a_table_and_in_folders_are_the_same(texts: Path, tmp_path: Path) -> None:
    import csv

    with (tmp_path / "mail.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("review", "subject"), *rows()])
    for number, (text, label) in enumerate(rows()):
        (tmp_path / "folder" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / label / f"{number}.txt").write_text(text, encoding="utf-8")
    columns = {"data.csv": {"text": "review", "label": "subject"}}
    found = evaluate(texts, tmp_path / "mail.csv", overrides=columns, cache=tmp_path / "cache")
    assert (found["task"], found["n"]) == ("text-classification", 9)
    answers = predict(texts, texts=[text for text, _ in rows()], top=1)
    right = [next(iter(one.answer.facts["scores"])) for one in answers if one.answer]
    hits = sum(one == label for one, (_, label) in zip(right, rows(), strict=True))
    assert found["top1"] == pytest.approx(hits / 9) and hits > 6
    assert evaluate(texts, tmp_path / "folder", cache=tmp_path / "cache") == found
    with pytest.raises(DataError, match=r"data\.csv\.text: no column text"):
        evaluate(texts, tmp_path / "mail.csv", cache=tmp_path / "cache")


def test_of_a_split_table_the_test_rows_judge(texts: Path, tmp_path: Path, capsys: Said) -> None:
    lines = [
        json.dumps({"text": text, "label": label, "split": "test" if at % 3 else "train"})
        for at, (text, label) in enumerate(rows())
    ]
    (tmp_path / "mail.jsonl").write_text("\n".join(lines), encoding="utf-8")
    given = ["evaluate", str(texts), str(tmp_path / "mail.jsonl"), "--cache", str(tmp_path / "c")]
    assert cli.main(given) == 0
    assert capsys.readouterr().out.startswith("text-classification, 6 texts (test)\n")
    assert cli.main([*given, "--split", "val"]) == 4
    caught = capsys.readouterr().err
    assert "mail.jsonl: no val texts" in caught and "it has test, train" in caught


# ------------------------------------------------------------------ boxes


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], Path]:
    """``write("voc", root)``: the scenes with their boxes in a format."""
    monkeypatch.setattr("box_data_helpers.NAMES", ("red", "green"))
    return lambda name, root: painted(WRITERS[name](root, scenes()), scenes())


@pytest.mark.parametrize("name", WRITERS)
def test_boxes_in_every_format_give_the_same_figures(
    name: str, write: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    run, root = detector(tmp_path / "run"), write(name, tmp_path / "scenes")
    found = evaluate(run, root, cache=tmp_path / "cache")
    assert (found["n"], found["boxes"], found["map50"]) == (4, 4, 1.0)
    red, green = sorted(found["per_class"], key=lambda row: row["name"], reverse=True)
    assert (red["name"], red["support"], red["ap50"]) == ("red", 2, 1.0)
    assert (red["threshold"], red["precision"], red["recall"]) == (0.9, 1.0, 1.0)
    assert red["ap50_ci95"] == pytest.approx([1.0, 1.0]) and green["support"] == 2


def test_boxes_that_are_elsewhere_are_not_found(
    write: Callable[[str, Path], Path], tmp_path: Path, capsys: Said
) -> None:
    root = write("csv", tmp_path / "scenes")
    file = root / "boxes.csv"
    text = file.read_text().replace("p0.png,red,4,4,36,36", "p0.png,red,30,30,62,62")
    file.write_text(text)
    assert cli.main(["evaluate", str(detector(tmp_path / "run")), str(root)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("object-detection, 4 images\n")
    red = next(line for line in said.splitlines() if line.startswith("red"))
    assert red.split()[-8:] == ["0.90", "50.0", "%", "50.0", "%", "50.0", "%", "2"]


def test_a_detector_without_thresholds_has_average_precision_alone(
    write: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    run, root = detector(tmp_path / "run", None), write("voc", tmp_path / "scenes")
    found = evaluate(run, root)
    assert found["map50"] == 1.0
    assert {row["threshold"] for row in found["per_class"]} == {None}
    assert {row["recall"] for row in found["per_class"]} == {None}


def test_boxes_of_other_classes_are_named(tmp_path: Path) -> None:
    root = WRITERS["csv"](tmp_path / "scenes", scenes())
    (root / "boxes.csv").write_text(
        "path,label,xmin,ymin,xmax,ymax\nimages/p0.png,blue,1,1,9,9\n", encoding="utf-8"
    )
    with pytest.raises(DataError, match="blue is no class of the model"):
        evaluate(detector(tmp_path / "run"), root)
    with pytest.raises(UnsupportedModel, match="it can't be asked this way"):
        evaluate(DATA / "boxes_int8.tflite", root, task="object-detection")
    with pytest.raises(ArtifactError, match="neither a drop nor a run"):
        evaluate(tmp_path, root)


# ------------------------------------------------------------------ on devices


@pytest.mark.parametrize("name", ["voc", "coco"])
def test_bench_counts_the_boxes_that_the_device_finds(
    name: str, write: Callable[[str, Path], Path], tmp_path: Path, capsys: Said
) -> None:
    run, root = detector(tmp_path / "run"), write(name, tmp_path / "scenes")
    model, cache = run / "convert" / "model.tflite", tmp_path / "cache"
    words = ["bench", str(model), "--accuracy", str(root), "--cache", str(cache)]
    quick = ["--runs", "2", "--warmup", "0", "--processes", "1", "--json", str(tmp_path / "j")]
    assert cli.main([*words, *quick]) == 0
    said = capsys.readouterr().out
    assert "mAP@.5 100.0 %, mAP@.5:.95" in said and "of 4 boxes on 4 images" in said
    (result,) = json.loads((tmp_path / "j").read_text())["results"]
    here = evaluate(run, root, cache=cache)
    found = result["accuracy"]
    assert found["map50"] == pytest.approx(here["map50"]) and found["n"] == here["n"]
    assert found["map"] == pytest.approx(here["map"]) and 0.5 < found["map"] < 1
    assert (found["boxes"], found["classes"]) == (4, 2)
    for option in ("--fit=pad", "--labels=pyproject.toml"):
        assert cli.main([*words, option]) == 2
        assert f"{option.partition('=')[0]}: the drops or runs" in capsys.readouterr().err
    assert cli.main([*words, str(INT8)]) == 2
    assert "the models are of different tasks" in capsys.readouterr().err


def test_inspect_names_the_outputs_of_a_detector(capsys: Said) -> None:
    assert cli.main(["inspect", str(DATA / "boxes_int8.tflite")]) == 0
    said = capsys.readouterr().out
    assert "boxes: uint8 1×84×4" in said and "scores: uint8 1×84×2" in said
