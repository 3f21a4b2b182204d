"""``tfedge init``: what it writes passes ``check``, or it says in one message what to do."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from box_data_helpers import WRITERS, pictures
from data_helpers import class_folders, encoded, image, noise
from PIL import Image

from tfedge import api
from tfedge.cli import main
from tfedge.errors import ConfigError, DataError
from tfedge.pipeline.json_schema import json_schema
from tfedge.tasks import draft as drafting

HEIC = b"\0\0\0\x18ftypheic" + bytes(40)
WORDS = [
    "the",
    "film",
    "was",
    "a",
    "long",
    "and",
    "slow",
    "story",
    "about",
    "people",
    "who",
    "never",
    "met",
    "again",
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; a machine that is busy with other things looks as long as it takes."""
    monkeypatch.chdir(tmp_path)
    for task in ("image_classification", "text_classification", "object_detection"):
        monkeypatch.setattr(f"tfedge.tasks.{task}.draft.MOMENT", 600.0)
    for module in ("drafts.make", "tasks.image_classification.draft"):
        monkeypatch.setattr(f"tfedge.{module}.WAIT", 600.0)
    return tmp_path


def drafted(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    """What ``tfedge init`` prints, and the same as data, which passes ``tfedge check``."""
    assert main(["init", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    Path("draft.yaml").write_text(out, "utf-8")
    assert main(["check", "draft.yaml"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    return out, yaml.safe_load(out)


def refused(*arguments: str, capsys: pytest.CaptureFixture[str], code: int = 4) -> str:
    assert main(["init", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    return err


def comment(text: str) -> str:
    """All comments, as one line."""
    return " ".join(line.partition("#")[2].strip() for line in text.splitlines() if "#" in line)


def texts(count: int = 60) -> list[tuple[str, str]]:
    return [
        (" ".join(random.Random(number).choices(WORDS, k=9)), ("neg", "pos")[number % 2])
        for number in range(count)
    ]


def table(path: Path, head: str, rows: list[tuple[str, ...]], between: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [head.replace(",", between), *(between.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def boxes(kind: str, count: int = 40) -> Path:
    folder = Path("boxes")
    folder.mkdir()
    found: Path = WRITERS[kind](folder, pictures(count))
    return found


# ------------------------------------------------------------------ images


def test_a_folder_for_each_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 60, "b": 70})
    text, found = drafted("photos", capsys=capsys)
    assert found["task"] == "image-classification"
    assert found["data"]["path"] == "photos" and found["data"]["split"] == {
        "val": 0.15,
        "test": 0.2,
    }
    assert found["data"]["image_size"] == 97  # the images have 20 pixels
    assert found["prune"]["sparsity"] == 0.5 and found["quantize"]["recipe"] == "qat"
    assert found["package"]["targets"] == ["linux"]
    said = comment(text)
    assert "130 images in 2 classes (b 70, a 60); 100 of them opened" in said
    assert "class_weights" not in text and "Mind:" not in text
    assert "no --target was given" in said and "--budget 10m" in said


def test_every_key_has_its_reason(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 120, "b": 11})
    text, _ = drafted("photos", "--target", "coral", capsys=capsys)
    reasoned = ("path", "split", "test", "image_size", "unfreeze", "class_weights", "sparsity")
    for key in (*reasoned, "recipe", "gates", "max_accuracy_drop", "devices", "targets", "compile"):
        lines = text.splitlines()
        at = next(n for n, line in enumerate(lines) if line.lstrip().startswith(f"{key}:"))
        assert "# " in lines[at] or lines[at - 1].lstrip().startswith("# "), key


def test_folders_of_splits(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos" / "train", {"a": 12, "b": 14})
    class_folders(place / "photos" / "val", {"a": 4, "b": 5}, 100)
    text, found = drafted("photos", capsys=capsys)
    assert "split" not in found["data"] and "in folders of splits" in comment(text)
    assert "two of about 9 examples" in comment(text)  # those of val


def test_images_in_no_folder_of_a_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        image(place / "photos" / f"{number}.png", number)
    told = refused("photos", capsys=capsys)
    assert told.startswith(
        "photos: 6 images lie there, in no folder of a class\nhint: make a folder"
    )
    assert "photos/CLASS/0.png" in told and "a CSV with the columns path and label" in told


def test_a_csv_whose_columns_can_be_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(30):
        image(place / "photos" / "all" / f"{number}.png", number)
    rows = [(f"all/{n}.png", ("cat", "dog")[n % 2]) for n in range(30)]
    table(place / "photos" / "list.csv", "filename,species", rows)
    for given in ("photos", "photos/list.csv"):
        text, found = drafted(given, capsys=capsys)
        assert found["data"]["path"] == "photos/list.csv"
        assert found["data"]["csv"] == {"path": "filename", "label": "species"}
        assert "assumed from what the columns hold" in comment(text)


def test_several_columns_that_could_be_labels(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(30):
        image(place / "photos" / "all" / f"{number}.png", number)
    rows = [(f"all/{n}.png", "cd"[n % 2], "xyz"[n % 3]) for n in range(30)]
    table(place / "photos" / "list.csv", "path,kind,camera", rows)
    told = refused("photos", capsys=capsys)
    assert "several columns could hold the labels: kind (c, d); camera (x, y, z)" in told
    asked = told.partition("say which one it is: ")[2].strip()
    assert asked == "--set data.csv.label=kind"
    text, found = drafted("photos", *asked.split(), capsys=capsys)
    assert found["data"]["csv"]["label"] == "kind" and "as --set says" in comment(text)


def test_two_images_a_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 2, "b": 2})
    text, found = drafted("photos", capsys=capsys)
    assert found["data"]["split"] == {"val": 0.2, "test": 0.0}
    assert found["evaluate"] is None and found["quantize"]["recipe"] == "ptq"
    said = comment(text)
    assert "2 images of the smallest class" in said and "chance as much as skill" in said


def test_one_image_of_a_class_is_too_few(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 1, "b": 5})
    told = refused("photos", capsys=capsys)
    assert "photos: 1 of 2 classes have fewer than two different images: a" in told
    shutil.copy(place / "photos" / "a" / "000.png", place / "photos" / "a" / "copy.png")
    assert refused("photos", capsys=capsys) == told  # a copy adds nothing


def test_one_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 9})
    assert "two classes are needed, there is only a" in refused("photos", capsys=capsys)


def test_500_classes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {f"c{number:03d}": 3 for number in range(500)})
    text, found = drafted("photos", capsys=capsys)
    assert found["evaluate"]["top_k"] == 5
    said = comment(text)
    assert "1,500 images in 500 classes (c000 3," in said and "c499 3)" in said
    assert len(text) < 5000


def test_copies(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = class_folders(place / "photos", {"a": 12, "b": 14})
    shutil.copy(photos / "a" / "000.png", photos / "b" / "z.png")
    shutil.copy(photos / "a" / "001.png", photos / "a" / "z.png")
    text, found = drafted("photos", capsys=capsys)
    assert found["data"]["on_conflict"] == "drop" and "on_leak" not in found["data"]
    said = comment(text)
    assert "under two labels, all left out: 1 (a/000.png = b/z.png)" in said
    assert "further copies of images: 1 (a/001.png = a/z.png)" in said
    assert "25 images in 2 classes (b 14, a 11)" in said


def test_the_same_in_two_splits(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = class_folders(place / "photos" / "train", {"a": 12, "b": 14})
    val = class_folders(place / "photos" / "val", {"a": 4, "b": 5}, 100)
    shutil.copy(train / "a" / "000.png", val / "a" / "z.png")
    _, found = drafted("photos", capsys=capsys)
    assert found["data"]["on_leak"] == "drop" and "on_conflict" not in found["data"]


def test_images_that_cannot_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = class_folders(place / "photos", {"a": 12, "b": 14})
    (photos / "a" / "x.heic").write_bytes(HEIC)
    (photos / "b" / "x.jpg").write_bytes(b"no image")
    text, found = drafted("photos", capsys=capsys)
    assert found["data"]["on_bad_image"] == "skip"
    assert "2 of 28 images can't be read: a/x.heic, b/x.jpg (HEIC" in comment(text)


def test_no_image_can_be_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/1.heic", "b/1.heic", "a/2.heic", "b/2.heic"):
        file = place / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(HEIC + name.encode())
    told = refused("photos", capsys=capsys)
    assert "none of the 4 images that were opened can be read, such as a/1.heic: HEIC" in told
    assert "hint: save what is not read as JPEG or PNG" in told


def test_uneven_classes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 80, "b": 20})
    text, found = drafted("photos", capsys=capsys)
    for section in ("finetune", "prune", "quantize"):
        assert found[section]["class_weights"] == "balanced"
    assert "80 of the largest class, 20 of the smallest" in comment(text)


@pytest.mark.parametrize(
    ("side", "target", "net", "size"),
    [
        (300, None, "MobileNetV2", 225),
        (300, "android", "EfficientNetLite0", 224),
        (300, "coral", "MobileNetV2", 225),
        (300, "pi", "MobileNetV2", 161),
        (100, "android", "MobileNetV2", 129),
    ],
)
def test_net_and_size_follow_target_and_images(
    side: int, target: str | None, net: str, size: int, place: Path, capsys: pytest.CaptureFixture
) -> None:
    for number in range(24):
        file = place / "photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(noise(number, side, side), "PNG"))
    given = ["--target", target] if target else []
    _, found = drafted("photos", *given, capsys=capsys)
    assert (found["backbone"]["name"], found["data"]["image_size"]) == (net, size)


def test_the_budget_decides_what_trains(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The smaller it is, the less trains, and at last images are smaller, too."""
    monkeypatch.setattr("tfedge.drafts.make.cores", lambda: 1)
    for number in range(200):
        file = place / "photos" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(Image.new("RGB", (300, 300), (number, 0, 0)), "PNG"))
    went = []
    for budget in ("1h", "90s", "60s", "38s", "1s"):
        text, found = drafted("photos", "--budget", budget, capsys=capsys)
        size, recipe = found["data"]["image_size"], found["quantize"]["recipe"]
        went.append((size, "prune" in found, recipe))
        assert ("nothing smaller is left" in comment(text)) == (budget == "1s")
    assert went[0] == (225, True, "qat")
    assert went[1] == (225, False, "qat")
    assert went[2] == (225, False, "ptq")
    assert went[3][0] < 225 and went[4] == (97, False, "ptq")


# ------------------------------------------------------------------ boxes


@pytest.mark.parametrize("kind", WRITERS)
def test_boxes_in_each_format(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    if kind == "voc":
        pytest.importorskip("defusedxml")
    boxes(kind)
    text, found = drafted("boxes", capsys=capsys)
    assert found["task"] == "object-detection" and found["data"]["annotations"] == kind
    assert "40 images" in comment(text) and "boxes of 3 classes" in comment(text)
    assert found["evaluate"]["gates"] == {"max_map_drop": 0.25}  # two of eight images that judge


def test_annotations_of_two_formats(capsys: pytest.CaptureFixture[str]) -> None:
    folder = boxes("yolo")
    (folder / "list.csv").write_text("path,label,xmin,ymin,xmax,ymax\nimages/p00.png,cat,1,1,9,9\n")
    told = refused("boxes", capsys=capsys)
    assert "annotations of several formats: yolo, csv" in told and "data.annotations" in told
    _, found = drafted("boxes", "--set", "data.annotations=yolo", capsys=capsys)
    assert found["data"]["annotations"] == "yolo"


def test_images_without_a_file_of_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    folder = boxes("yolo")
    (folder / "labels" / "p03.txt").unlink()
    told = refused("boxes", capsys=capsys)
    assert "1 of 40 images have no .txt of boxes (images/p03.png)" in told
    assert "--set data.unlabelled=empty" in told
    assert "image-classification" not in told  # whose examples they are none of
    _, found = drafted("boxes", "--set", "data.unlabelled=empty", capsys=capsys)
    assert found["data"]["unlabelled"] == "empty"


def test_a_wrong_annotation_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    folder = boxes("yolo")
    (folder / "labels" / "p03.txt").write_text("7 0.5 0.5 0.2 0.2\n")
    told = refused("boxes", capsys=capsys)
    assert "boxes/labels/p03.txt:1: class 7 is none of the 3 that are named" in told


def test_of_very_many_images_some_annotations_are_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tfedge.tasks.object_detection.draft._MOST", 10)
    boxes("yolo")
    text, _ = drafted("boxes", capsys=capsys)
    assert "annotations of 10 images were read, evenly drawn" in comment(text)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_very_few_images_with_boxes(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    boxes("voc", count)
    assert main(["init", "boxes"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["data"]["split"] == {"val": 0.2, "test": 0.0}
    assert "gates" not in (found["evaluate"] or {})  # an image is more than chance allows to lose


def test_images_with_lists_are_counted_by_them(capsys: pytest.CaptureFixture[str]) -> None:
    boxes("voc", 100)
    sets = Path("boxes") / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    names = [p.stem for p in sorted(Path("boxes").rglob("*.xml"))]
    for name, part in (("train", names[:20]), ("val", names[20:40]), ("test", names[40:])):
        (sets / f"{name}.txt").write_text("\n".join(part))
    _, found = drafted("boxes", capsys=capsys)
    assert "split" not in found["data"]
    assert found["evaluate"]["gates"]["max_map_drop"] == 0.05  # 60 judge, not a fifth of 100


def test_detectors_for_phones_see_images_as_phones_make_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    boxes("coco")
    _, found = drafted("boxes", "--target", "android", capsys=capsys)
    assert found["package"]["targets"] == ["android"]
    assert found["data"].get("fit", "stretch") == "stretch"  # MediaPipe does not crop


# ------------------------------------------------------------------ texts


def test_no_drop_of_texts_for_an_edge_tpu(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table(place / "reviews" / "r.csv", "review,stars", texts(), ",")  # type: ignore[arg-type]
    told = refused("reviews", "--target", "coral", capsys=capsys, code=2)
    assert "task text-classification has no drop for it\nhint: take android or pi" in told


@pytest.mark.parametrize("name", ["r.tsv", "r.csv", "r.jsonl"])
def test_a_table_of_texts(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = place / "reviews" / name
    if name.endswith("jsonl"):
        file.parent.mkdir()
        rows = [json.dumps({"review": text, "stars": label}) for text, label in texts()]
        file.write_text("\n".join(rows))
    else:
        between = "\t" if name.endswith("tsv") else ","
        table(file, "review,stars", texts(), between)  # type: ignore[arg-type]
    text, found = drafted("reviews", capsys=capsys)
    assert found["task"] == "text-classification" and found["name"] == "reviews"
    assert found["data"]["path"] == f"reviews/{name}"
    assert found["data"]["csv"] == {"text": "review", "label": "stars"}
    assert found["data"]["length"] == 32 and "at most 9 words" in comment(text)
    assert "60 texts in 2 classes (neg 30, pos 30)" in comment(text)


def test_a_folder_of_texts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (text, label) in enumerate(texts()):
        file = place / "reviews" / label / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    _, found = drafted("reviews", "--target", "pi", capsys=capsys)
    assert found["backbone"]["name"] == "words" and "csv" not in found["data"]


def test_texts_of_another_encoding_are_asked_about(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, (text, label) in enumerate(texts()):
        file = place / "reviews" / label / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        odd = number in (4, 5)
        file.write_text(f"é {text}" if odd else text, encoding="latin-1" if odd else "utf-8")
    told = refused("reviews", capsys=capsys)
    assert ".txt: not UTF-8\nhint: --set data.encoding=cp1252 (or latin-1 …), or --set " in told
    _, found = drafted("reviews", "--set", "data.encoding=latin-1", capsys=capsys)
    assert found["data"]["encoding"] == "latin-1"
    text, found = drafted("reviews", "--set", "data.on_bad_text=skip", capsys=capsys)
    assert found["data"]["on_bad_text"] == "skip"
    assert "not UTF-8, left out: " in comment(text)


def test_a_table_with_two_columns_of_labels(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(text, label, "mw"[len(text) % 2]) for text, label in texts()]
    table(place / "r.csv", "text,mood,source", rows)  # type: ignore[arg-type]
    told = refused("r.csv", capsys=capsys)
    assert "several columns could hold the labels: mood (neg, pos); source (m, w)" in told
    _, found = drafted("r.csv", "--set", "data.csv.label=source", capsys=capsys)
    assert found["data"]["csv"] == {"label": "source"}


def test_rows_of_a_table_that_lack_something(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = texts()
    rows[3], rows[7] = (rows[3][0], ""), ("", rows[7][1])
    table(place / "r.csv", "text,label", rows)  # type: ignore[arg-type]
    told = refused("r.csv", capsys=capsys)
    assert "r.csv:5: no label\nhint: correct these lines" in told
    rows[3] = (rows[3][0], "pos")
    table(place / "r.csv", "text,label", rows)  # type: ignore[arg-type]
    text, found = drafted("r.csv", capsys=capsys)
    assert found["data"]["on_bad_text"] == "skip"
    assert "empty texts, left out: 1 (row 8)" in comment(text)


def test_a_column_of_splits_by_another_name(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        (text, label, ("train", "train", "test")[n % 3]) for n, (text, label) in enumerate(texts())
    ]
    table(place / "r.csv", "text,label,part", rows)  # type: ignore[arg-type]
    _, found = drafted("r.csv", capsys=capsys)
    assert found["data"]["csv"] == {"split": "part"} and "split" not in found["data"]


def test_only_the_beginning_of_a_large_table_is_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tfedge.tasks.text_classification.draft.LOOKED_AT", 2000)
    rows = [(f'"{text}\nand more"', label) for text, label in texts(400)]
    table(place / "r.csv", "text,label", rows)  # type: ignore[arg-type]
    text, _ = drafted("r.csv", capsys=capsys)
    said = comment(text)
    assert "More than " in said and "rows of the table were looked at" in said
    assert "and more" not in text


def test_texts_in_another_language(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"очень длинный фильм номер {n}", "ab"[n % 2]) for n in range(40)]
    table(place / "r.csv", "text,label", rows)  # type: ignore[arg-type]
    text, _ = drafted("r.csv", capsys=capsys)
    assert "letters are none of English" in comment(text)


# ------------------------------------------------------------------ what is none of these


def test_nothing_to_learn_from(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "empty").mkdir()
    assert "empty: nothing is in it\nhint: a folder with a folder" in refused(
        "empty", capsys=capsys
    )
    (place / "empty" / "a.xyz").write_text("")
    assert "neither images nor texts are in it" in refused("empty", capsys=capsys)
    class_folders(place / "photos", {"a": 5, "b": 5})
    told = refused("photos", "--set", "task=text-classification", capsys=capsys)
    assert "photos: nothing for task text-classification is in it" in told
    assert "nope: no such folder" in refused("nope", capsys=capsys)
    (place / "photos.zip").write_text("")
    assert "hint: unpack it" in refused("photos.zip", capsys=capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "andriod"], "andriod: there is none of that name, did you mean android"),
        (["--budget", "5d"], "--budget 5d: must be a time such as 5m, 90s or 1h"),
        (["--budget", "0m"], "--budget 0m: must be a time"),
        (["--set", "data.image_sise=9"], "--set data.image_sise=9: data.image_sise: unknown key"),
        (["--set", "data.image_size=abc"], "--set data.image_size=abc: data.image_size: must be"),
        (["--set", "nothing"], "--set nothing: must be key=value"),
        (["--set", "task=pictures"], "--set task=pictures: no such task"),
        (["--set", "backbone.name=MobileNetV9"], "no backbone 'MobileNetV9', did you mean"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(place / "photos", {"a": 20, "b": 20})
    assert says in refused("photos", *arguments, capsys=capsys, code=2)


def test_set_keys_stand_in_their_sections(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 20, "b": 20})
    given = ["data.split={val: 0.3}", "data.augment.views=3", "seed=7", "quantize.recipe=auto"]
    words = [word for one in given for word in ("--set", one)]
    _, found = drafted("photos", *words, capsys=capsys)
    assert found["data"]["split"] == {"val": 0.3} and found["data"]["augment"] == {"views": 3}
    assert found["seed"] == 7 and found["quantize"]["recipe"] == "auto"


def test_what_can_never_be_read_is_not_waited_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = class_folders(place / "photos", {"a": 20, "b": 20})
    os.mkfifo(photos / "a" / "pipe.png")
    os.mkfifo(photos / "pipe.csv")
    (photos / "b" / "gone.png").symlink_to("nowhere.png")
    text, found = drafted("photos", capsys=capsys)
    assert found["data"]["on_bad_image"] == "skip"
    assert "2 of 42 images can't be read: a/pipe.png, b/gone.png (no such file)" in comment(text)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("r.csv", b"\x89PNG\r\n\x1a\n\0\xff\xfe", "not UTF-8 (byte 0)"),
        ("r.csv", b"", "no column looks like texts (none)"),
        ("r.csv", b'text,label\n"open', "a quote that is not closed?"),
        ("r.csv", b"text,label\na,b,c\n", "expected 2 cells, got 3"),
        (
            "r.csv",
            b"a text of five whole words,pos\nb,c\n",
            "names of the columns on the first line",
        ),
        ("r.jsonl", b'{"text": [[[' + b"[" * 5000, "r.jsonl:1: no JSON object"),
        ("r.jsonl", b"[1, 2]\n", "r.jsonl:1: no JSON object"),
        ("r.csv", b"PK\x03\x04", "a spreadsheet or an archive by its content"),
    ],
)
def test_tables_that_are_none(
    name: str, content: bytes, says: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / name).write_bytes(content)
    assert says in refused(name, capsys=capsys)


# ------------------------------------------------------------------ the file


def test_a_file_is_written_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "photos", {"a": 20, "b": 20})
    (place / "here").mkdir()
    assert main(["init", "photos", "-o", "here/mine.yaml"]) == 0
    assert capsys.readouterr().out == (
        "here/mine.yaml: tfedge check here/mine.yaml, then tfedge run here/mine.yaml\n"
    )
    text = (place / "here" / "mine.yaml").read_text("utf-8")
    assert yaml.safe_load(text)["data"]["path"] == "../photos"  # from where the file lies
    assert main(["check", "here/mine.yaml"]) == 0
    capsys.readouterr()
    told = refused("photos", "-o", "here/mine.yaml", capsys=capsys, code=2)
    assert "here/mine.yaml: is there already" in told
    assert (place / "here" / "mine.yaml").read_text("utf-8") == text


def test_odd_names_are_quoted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_folders(place / "my photos: #1 'é'", {"no": 20, "1": 20, "#a": 20})
    text, found = drafted("my photos: #1 'é'", capsys=capsys)
    assert found["data"]["path"] == "my photos: #1 'é'" and found["name"] == "my-photos-1"
    assert "\n\n#" not in text


def test_editors_and_the_python_api(place: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    class_folders(place / "photos", {"a": 20, "b": 20})
    text = api.init(place / "photos", target="pi", overrides={"seed": 3}, out=place / "p.yaml")
    assert text == (place / "p.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=file://")
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(text))
    with pytest.raises(ConfigError, match="is there already"):
        api.init(place / "photos", out=place / "p.yaml")
    with pytest.raises(DataError, match="no such folder"):
        api.init(place / "photo")


def test_what_time_does_not_suffice_for_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class_folders(place / "photos", {"a": 20, "b": 20})
    (place / "photos" / "b" / "same.bmp").write_bytes(encoded(noise(1), "BMP"))
    (place / "photos" / "b" / "other.bmp").write_bytes(encoded(noise(2), "BMP"))
    monkeypatch.setattr("tfedge.tasks.image_classification.draft.MOMENT", -1.0)
    text, _ = drafted("photos", capsys=capsys)
    assert "not compared with the others, for want of time: " in comment(text)
    assert drafting.MOMENT > 0
