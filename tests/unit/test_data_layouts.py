"""What is a class folder and what is not: junk, labels of several, data of other tasks, order."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest
from data_helpers import Stage, class_folders, image

from tfedge.data.labels import in_order
from tfedge.data.listing import list_folder
from tfedge.errors import DataError


def write(root: Path, *names: str) -> Path:
    """Images, each with a number of its own; other files with a letter in them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            image(path, sum(map(ord, name)))
        else:
            path.write_text("x")
    return root


def refused(root: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        list_folder(root, None, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 4 and caught.value.hint
    return "\n".join(caught.value.lines())


# Junk

JUNK = [
    *("@eaDir", "#recycle", "@Recycle", "@__thumb", "$RECYCLE.BIN", "System Volume Information"),
    *("lost+found", "__MACOSX", ".thumbnails", ".Trash-1000", ".@__thumb", ".picasaoriginals"),
    *("RECYCLER", ".git", ".ipynb_checkpoints"),
]


@pytest.mark.parametrize("name", JUNK)
def test_folders_of_systems_are_no_classes_and_what_is_in_them_is_counted(
    tmp_path: Path, name: str
) -> None:
    root = class_folders(tmp_path / "p", {"a": 2, "b": 2})
    (root / name).mkdir()
    assert list_folder(root, None).classes == ("a", "b")
    assert list_folder(root, None).warnings == ()
    write(root, f"{name}/x.png", f"a/{name}/001.png/SYNOPHOTO_THUMB_M.jpg", f"a/{name}/y.txt")
    listing = list_folder(root, None)
    assert len(listing.entries) == 4 and listing.classes == ("a", "b")
    (warning,) = listing.warnings
    assert warning.startswith("2 files passed over, hidden or of a system's own")


@pytest.mark.parametrize("split", ["train", "val"])
def test_junk_beside_split_folders_is_no_split(tmp_path: Path, split: str) -> None:
    write(tmp_path / "p", "train/a/1.png", "train/b/1.png", "val/a/2.png", "val/b/2.png")
    write(tmp_path / "p", "@eaDir/x.png", f"{split}/@eaDir/y.png", "$RECYCLE.BIN/z.png")
    assert list_folder(tmp_path / "p", None).classes == ("a", "b")


def test_junk_files_are_no_images(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 2, "b": 2})
    write(root, "a/._001.png", "a/Thumbs.db", "b/desktop.ini", ".DS_Store", "a/.DS_Store")
    listing = list_folder(root, None)
    assert len(listing.entries) == 4
    assert listing.warnings == (
        "1 file passed over, hidden or of a system's own (thumbnails, trash): a/._001.png",
    )


# Classes


def test_numbers_sort_as_numbers_and_only_where_all_are_numbers() -> None:
    assert in_order(["10", "9", "1", "-1"]) == ("-1", "1", "9", "10")
    assert in_order(["10", "9", "x"]) == ("10", "9", "x")
    assert in_order(["2", "02", "1"]) == ("1", "02", "2")
    assert in_order(["n10", "n9"]) == ("n10", "n9")
    assert in_order("0123456789") == tuple("0123456789")


def test_classes_are_in_the_order_that_the_pipeline_gives(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"apple": 12, "banana": 12, "10": 12})
    stage = Stage(tmp_path, path=str(root), classes=("banana", "apple", 10))
    assert stage.index.classes == ("banana", "apple", "10")
    labels = {row.path.split("/")[0]: row.label for row in stage.index.rows}
    assert labels == {"banana": 0, "apple": 1, "10": 2}
    csv = root / "list.csv"
    rows = [f"{f.relative_to(root)},{f.parent.name}" for f in sorted(root.rglob("*.png"))]
    csv.write_text("\n".join(["path,label", *rows]))
    stage = Stage(tmp_path, path=str(csv), classes=("banana", "apple", 10))
    assert stage.index.classes == ("banana", "apple", "10")


def test_classes_that_do_not_agree_are_all_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"apple": 1, "banana": 1})
    told = refused(root, wanted=("banana", "aple", "cherry"))
    assert "has no class aple, did you mean apple?" in told and "has no class cherry" in told
    assert f"data.classes: class apple of {root} is not listed" in told
    assert "there are: apple, banana" in told


def test_labels_in_two_unicode_forms(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    told = refused(class_folders(tmp_path / "p", {names[0]: 1, names[1]: 1, "b": 1}))
    assert "the same label in two Unicode forms" in told and "U+00E9" in told and "U+0301" in told


def test_a_class_that_the_splits_write_in_two_cases(tmp_path: Path) -> None:
    write(tmp_path / "p", *(f"train/{name}/{n}.png" for name in ("Cat", "dog") for n in range(3)))
    write(tmp_path / "p", "val/cat/7.png", "val/dog/8.png")
    with pytest.raises(DataError) as caught:
        Stage(tmp_path, path=str(tmp_path / "p"))
    assert caught.value.problems == [
        "class cat: no image in train; Cat differs from it in upper and lower case only"
    ]


@pytest.mark.parametrize("name", ["cat;dog", "cat|dog", "cat,dog"])
def test_folders_of_two_labels(tmp_path: Path, name: str) -> None:
    told = refused(class_folders(tmp_path / "p", {"cat": 1, "dog": 1, name: 1}))
    assert f"label '{name}' holds several: cat and dog (multi-label)" in told


def test_a_label_with_a_bar_is_a_warning_where_its_parts_are_no_labels(tmp_path: Path) -> None:
    listing = list_folder(class_folders(tmp_path / "p", {"a|b": 1, "<b>x": 1, "C++": 1}), None)
    assert listing.classes == ("<b>x", "C++", "a|b")
    (warning,) = listing.warnings
    assert warning == "label 'a|b' holds several: a and b? this task takes one label an example"


# Data of other tasks

NUMBERS = range(1, 5)


def numbered(*patterns: str) -> list[str]:
    return [pattern.format(n) for pattern in patterns for n in NUMBERS]


LAYOUTS = {
    "VOC": (
        ["ImageSets/Main/train.txt", *numbered("JPEGImages/{}.jpg", "Annotations/{}.xml")],
        "object detection dataset (Pascal VOC: Annotations/1.xml holds boxes)",
    ),
    "VOC, masks": (
        numbered("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
        "segmentation dataset (SegmentationClass/1.png is the mask of JPEGImages/1.jpg)",
    ),
    "VOC beside": (numbered("train/{}.jpg", "train/{}.xml", "valid/{}.jpg"), "Pascal VOC"),
    "VOC, names": (numbered("images/{}.png", "annotations/{}.xml"), "Pascal VOC"),
    "YOLO": (
        ["data.yaml", *numbered("images/{}.jpg", "labels/{}.txt")],
        "object detection dataset (YOLO: labels/1.txt holds boxes)",
    ),
    "YOLO, splits inside": (
        numbered("images/train/{}.jpg", "labels/train/{}.txt", "images/val/{}.jpg"),
        "YOLO",
    ),
    "YOLO, splits outside": (
        numbered("train/images/{}.jpg", "train/labels/{}.txt", "valid/images/9{}.jpg"),
        "YOLO",
    ),
    "YOLO, darknet": (["obj.names", *numbered("data/{}.jpg", "data/{}.txt")], "YOLO"),
    "COCO": (
        ["annotations/instances_train2017.json", *numbered("train2017/{}.jpg", "val2017/{}.jpg")],
        "object detection dataset (COCO: annotations/instances_train2017.json)",
    ),
    "COCO, Roboflow": (
        ["train/_annotations.coco.json", *numbered("train/{}.jpg", "valid/{}.jpg")],
        "COCO: train/_annotations.coco.json",
    ),
    "COCO, images": (["annotations.json", *numbered("images/{}.jpg")], "COCO: annotations.json"),
    "labelme": (numbered("images/{}.jpg", "images/{}.json"), "labelme"),
    "masks": (
        numbered("images/{}.jpg", "masks/{}.png"),
        "segmentation dataset (masks/1.png is the mask of images/1.jpg)",
    ),
    "masks, names": (numbered("image/{}.jpg", "label/{}_mask.png"), "segmentation dataset"),
    "masks, splits": (
        numbered("train/images/{}.jpg", "train/masks/{}.png", "val/images/{}.jpg"),
        "segmentation dataset",
    ),
    "masks, splits inside": (
        numbered("images/train/{}.jpg", "masks/train/{}.png"),
        "segmentation dataset",
    ),
    "masks, words": (numbered("train_images/{}.jpg", "train_masks/{}.png"), "segmentation"),
    "masks, CamVid": (numbered("train/{}.png", "trainannot/{}.png", "val/{}.png"), "segmentation"),
    "masks, polyps": (numbered("Original/{}.tif", "Ground Truth/{}.tif"), "segmentation"),
    "masks, KITTI": (numbered("image_2/{}.png", "semantic/{}.png"), "segmentation"),
    "masks, Cityscapes": (
        numbered("leftImg8bit/train/x/{}_leftImg8bit.png", "gtFine/train/x/{}_gtFine_labelIds.png"),
        "segmentation",
    ),
    "masks, ISIC": (
        numbered("ISIC_Training_Input/{}.jpg", "ISIC_Training_GroundTruth/{}_segmentation.png"),
        "segmentation",
    ),
    "boxes, DOTA": (numbered("images/{}.png", "labelTxt/{}.txt"), "object detection"),
    "boxes, KITTI": (numbered("training/image_2/{}.png", "training/label_2/{}.txt"), "detection"),
    "Supervisely": (numbered("ds/img/{}.jpg", "ds/ann/{}.jpg.json"), "object detection"),
    "masks beside": (
        numbered("benign/b ({}).png", "benign/b ({})_mask.png", "other/o{}.png"),
        "masks lie beside their images, such as benign/b (1)_mask.png beside benign/b (1).png",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_data_of_other_tasks_are_called_what_they_are(tmp_path: Path, name: str) -> None:
    files, says = LAYOUTS[name]
    told = refused(write(tmp_path / "p", *files))
    assert says in told and "one label an example" in told


PLAIN = {
    "same names in all classes": numbered("cat/{}.jpg", "dog/{}.jpg"),
    "boxes beside": numbered("cat/{}.jpg", "cat/{}.xml", "dog/{}.jpg", "dog/{}.xml"),
    "a JSON of something": ["annotations.json", *numbered("cat/{}.jpg", "dog/{}.jpg")],
    "classes called so": numbered("mask/{}.jpg", "no mask/9{}.jpg"),
    "with and without": numbered("with_mask/{}.jpg", "without_mask/{}.jpg"),
    "texts": ["classes.txt", *numbered("cat/{}.jpg", "dog/{}.jpg", "cat/{}.txt")],
    "print and photo": numbered("photo/{}.jpg", "print/{}.jpg"),
    "with and without, numbered alike": numbered("Mask/{}.jpg", "NoMask/{}.jpg"),
    "with and without, of two sources": numbered("Mask/{}.png", "unmasked/{}.jpg"),
    "numbers": ["labels.json", *numbered("1/{}.jpg", "2/{}.jpg")],
    "numbers behind a word": ["labels.json", *numbered("class_1/{}.jpg", "class_2/{}.jpg")],
    "cars": numbered("gt/{}.jpg", "bmw/{}.jpg"),
    "one word of several": numbered("ground/{}.jpg", "sky/{}.png"),
    "masked": numbered("cat/gt{}.jpg", "dog/seg{}.jpg"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_class_folders_are_class_folders(tmp_path: Path, name: str) -> None:
    listing = list_folder(write(tmp_path / "p", *PLAIN[name]), None)
    assert len(listing.classes) == 2 and len(listing.entries) == 8


def test_real_boxes(tmp_path: Path) -> None:
    """Blood cells in Pascal VOC, where they are."""
    cells = Path(__file__).resolve().parents[3] / "shared" / "photos" / "bccd"
    if not cells.is_dir():
        pytest.skip("no shared photos beside the checkout")
    assert "Pascal VOC: Annotations/BloodImage_00000.xml" in refused(cells)


def test_time_runs_out(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 3, "b": 3})
    listing = list_folder(root, None, until=time.monotonic() - 1)
    assert listing.partial and listing.classes == ("a", "b")
    assert not list_folder(root, None, until=time.monotonic() + 60).partial


def test_many_small_classes_are_a_few_lines(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {f"n{number:03}": 5 for number in range(200)})
    stage = Stage(tmp_path, path=str(root), split={"val": 0.2, "test": 0.0})
    assert len(stage.said.notes) <= 4
    assert "fewer than 10 training images: 200 of 200 classes (n000: 4, n001: 4, n002: 4, …)" in (
        stage.said.notes
    )
    counts = json.loads(stage.index_bytes)["counts"]
    assert set(counts["val"].values()) == {1}


def test_file_names_that_differ_in_case_or_form_only(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 12, "b": 12})
    accent = [unicodedata.normalize(form, "b/é.png") for form in ("NFC", "NFD")]
    names = ["a/IMG_1.png", "a/img_1.PNG", "a/Ä.png", "b/ä.png", *accent]
    for number, name in enumerate(names):
        image(root / name, 100 + number)
    stage = Stage(tmp_path, path=str(root))
    (warning,) = [line for line in stage.audit.warnings if "differ in case" in line]
    assert ": 2 (a/IMG_1.png = a/img_1.PNG, b/" in warning


def test_a_csv_whose_paths_differ_from_the_files_in_case_or_form(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "p", {"a": 6, "b": 6})
    image(root / "a" / "Straße.PNG", 100)
    rows = [f"{f.relative_to(root)},{f.parent.name}" for f in sorted(root.rglob("*.png"))]
    (root / "list.csv").write_text("\n".join(["path,label", *rows, "a/straße.png,a"]))
    with pytest.raises(DataError) as caught:
        Stage(tmp_path, path=str(root / "list.csv"))
    assert caught.value.problems == [
        "a/straße.png: no such file, but Straße.PNG, whose name differs in case or Unicode form "
        "only"
    ]
