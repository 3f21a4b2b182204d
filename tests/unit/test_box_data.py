"""Images with boxes: the same index whatever the format, and one message for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from box_data_helpers import (
    WRITERS,
    Picture,
    Thing,
    coco_of,
    pictures,
    voc_text,
    write_images,
    write_voc,
    write_yolo,
)
from PIL import Image

from tfedge.data.audit import Findings
from tfedge.data.index import Row
from tfedge.data.sources import scan, source_digest
from tfedge.errors import DataError
from tfedge.files.progress import NoProgress
from tfedge.inputs.images.annotations.index import BoxIndex
from tfedge.inputs.images.annotations.model import MOST, Labelled
from tfedge.inputs.images.schema import BoxData
from tfedge.pipeline.schema import pipeline_of

pytest.importorskip("defusedxml")
pytest.importorskip("pycocotools")


def scanned(root: Path, tmp_path: Path, **keys: Any) -> dict[str, Labelled]:
    found = scan(BoxData(path=str(root), **keys), tmp_path / "cache", NoProgress())
    return {Path(e.path).name: Labelled.of(e.label) for e in found.listing.entries}


def indexed(root: Path, tmp_path: Path, **keys: Any) -> BoxIndex:
    from tfedge.tasks.object_detection.work import ObjectDetection

    out = tmp_path / f"out-{root.name}"
    out.mkdir()
    data = {"path": str(root), "image_size": 64, "split": {"val": 0.3, "test": 0.2}, **keys}
    pipeline = pipeline_of({"name": "x", "task": "object-detection", "data": data})
    ObjectDetection().scan(pipeline, tmp_path / "cache", NoProgress(), out)
    return BoxIndex.load(out / "index.json")


def problems(root: Path, tmp_path: Path, **keys: Any) -> list[str]:
    with pytest.raises(DataError) as caught:
        scan(BoxData(path=str(root), **keys), tmp_path / "cache", NoProgress())
    return caught.value.problems


def test_all_formats_give_the_same_index(tmp_path: Path) -> None:
    found = pictures()
    indices = {
        name: indexed(write(tmp_path / name / "set", found), tmp_path / name)
        for name, write in WRITERS.items()
        if (tmp_path / name).mkdir() is None
    }
    first = indices["voc"]
    assert len(first.rows) == 20 and first.classes == ("cat", "dog", "eel")
    assert {row.split for row in first.rows} == {"train", "val", "test"}
    for index in indices.values():
        assert index.annotations == first.annotations
        assert (index.digest, index.rows) == (first.digest, first.rows)


@pytest.mark.parametrize("name", WRITERS)
def test_boxes_are_where_they_were_drawn(name: str, tmp_path: Path) -> None:
    found = pictures(6)
    read = scanned(WRITERS[name](tmp_path / "set", found), tmp_path)
    for one in found:
        label = read[f"{one.name}.png"]
        assert (label.width, label.height) == one.size
        corners = sorted((b.label, b.left, b.top, b.right, b.bottom) for b in label.boxes)
        assert corners == sorted((t.label, *(100 * side for side in t[1:])) for t in one.things)


def test_a_changed_box_is_another_data_set(tmp_path: Path) -> None:
    found = pictures(4)
    root = write_voc(tmp_path / "set", found)
    data = BoxData(path=str(root))
    before = source_digest(data, tmp_path / "cache")
    assert source_digest(data, tmp_path / "cache", hash_new=False) == before
    file = root / "Annotations" / "p00.xml"
    moved = found[0].things[0]
    text = voc_text(found[0]).replace(f"<ymin>{moved.top + 1}<", f"<ymin>{moved.top + 2}<", 1)
    file.write_text(text)
    assert source_digest(data, tmp_path / "cache") != before


def test_vocs_lists_are_the_splits(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set", pictures(9))
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, names in {"train": "p00 p01 p02 p06", "val": "p03 p04 p07", "test": "p05"}.items():
        (lists / f"{split}.txt").write_text("\n".join(names.split()) + "\n")
    found = scan(BoxData(path=str(root)), tmp_path / "cache", NoProgress()).listing
    splits = {Path(entry.path).stem: entry.split for entry in found.entries}
    assert splits["p03"] == "val" and splits["p05"] == "test" and "p08" not in splits
    assert any("in no list" in text for text in found.warnings)
    (lists / "test.txt").write_text("p05\np03\n")
    assert "test.txt:2: p03 is in val, too" in problems(root, tmp_path)[0]


@pytest.mark.parametrize("format", ["voc", "coco"])
def test_difficult_boxes_and_crowds_do_not_count(format: str, tmp_path: Path) -> None:
    found = pictures(4)
    root = WRITERS[format](tmp_path / "set", found)
    if format == "voc":
        file = root / "Annotations" / "p00.xml"
        file.write_text(file.read_text().replace("<difficult>0<", "<difficult>1<", 1))
    else:
        file = root / "annotations" / "instances.json"
        raw = json.loads(file.read_text())
        raw["annotations"][0]["iscrowd"] = 1
        file.write_text(json.dumps(raw))
    boxes = scanned(root, tmp_path)["p00.png"].boxes
    assert [box.ignored for box in boxes].count(True) == 1


def test_an_empty_box_is_left_out_with_a_word(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set", pictures(4))
    file = root / "Annotations" / "p01.xml"
    click = (
        "<object><name>cat</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>5</xmax>"
        "<ymax>6</ymax></bndbox></object></annotation>"
    )
    file.write_text(file.read_text().replace("</annotation>", click))
    found = scan(BoxData(path=str(root)), tmp_path / "cache", NoProgress()).listing
    (told,) = [text for text in found.warnings if "without an area" in text]
    assert told.startswith("boxes without an area, left out: 1") and "p01.xml:" in told


def test_a_missing_txt_is_a_mistake_unless_it_says_empty(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", pictures(6))
    (root / "labels" / "p02.txt").unlink()
    (told,) = problems(root, tmp_path)
    assert "labels/p02.txt: is not there" in told and "data.unlabelled: empty" in told
    assert scanned(root, tmp_path, unlabelled="empty")["p02.png"].boxes == ()


def test_an_empty_txt_is_an_image_without_boxes(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", pictures(6))
    (root / "labels" / "p02.txt").write_text("")
    assert scanned(root, tmp_path)["p02.png"].boxes == ()


def turned(root: Path, name: str) -> None:
    """Let the EXIF block of an image turn it by a quarter."""
    path = root / "images" / f"{name}.png"
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.copy().save(path, exif=exif)


@pytest.mark.parametrize("format", WRITERS)
def test_an_exif_rotation_turns_the_image_and_not_the_boxes(format: str, tmp_path: Path) -> None:
    found = pictures(10)
    root = WRITERS[format](tmp_path / "set", found)
    turned(root, "p00")
    with pytest.raises(DataError) as caught:
        indexed(root, tmp_path)
    (told,) = caught.value.problems
    assert "p00.png" in told and "EXIF block turns the image" in told


def test_boxes_of_the_image_as_it_is_seen_are_fine(tmp_path: Path) -> None:
    found = pictures(10)
    width, height = found[0].size
    upright = Picture("p00", (height, width), (Thing("cat", 2, 3, 20, 30),))
    root = write_voc(tmp_path / "set", found)
    turned(root, "p00")
    (root / "Annotations" / "p00.xml").write_text(voc_text(upright))
    assert indexed(root, tmp_path).labelled[0].width == height


def test_boxes_of_another_image_are_named(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set", pictures(10))
    file = root / "Annotations" / "p03.xml"
    file.write_text(file.read_text().replace("<width>", "<width>1"))
    with pytest.raises(DataError) as caught:
        indexed(root, tmp_path)
    (told,) = caught.value.problems
    assert "p03.png: its boxes are of 1" in told


def test_one_class_is_enough(tmp_path: Path) -> None:
    one = [p._replace(things=tuple(t._replace(label="face") for t in p.things)) for p in pictures()]
    assert indexed(write_voc(tmp_path / "set", one), tmp_path).classes == ("face",)


def test_odd_boxes_are_told(tmp_path: Path) -> None:
    from tfedge.tasks.object_detection.report import remarks

    found = pictures()
    double = Thing("dog", 10, 10, 40, 40)
    thin, none = Thing("eel", 5, 5, 45, 9), ()
    things = [(double, double._replace(right=41)), (thin,), none]
    odd = [one._replace(things=more) for one, more in zip(found, things, strict=False)]
    root = write_voc(tmp_path / "set", [*odd, *found[3:]])
    findings = Findings()
    findings.remark(remarks(indexed(root, tmp_path), 32, "stretch"))
    told = "\n".join(findings.warnings)
    assert "overlap by more than 0.8, probably one: 1 (images/p00.png)" in told
    assert "thinner than 8 pixels of their image: 1 (images/p01.png)" in told
    assert "images without any box, which teach what is nothing: 1 (images/p02.png)" in told
    assert "below 8 pixels at data.image_size 32" in told
    thin_one = "boxes thinner than 8 pixels of their image"
    assert {"path": "images/p01.png", "what": thin_one} in findings.remarks


def test_several_formats_ask_which(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set", pictures(4))
    (root / "boxes.csv").write_text("path,label,xmin,ymin,xmax,ymax\n")
    assert problems(root, tmp_path) == [f"{root}: annotations of several formats: voc, csv"]
    assert len(scanned(root, tmp_path, annotations="voc")) == 4


def test_no_annotations_at_all(tmp_path: Path) -> None:
    write_images(tmp_path / "set" / "images", pictures(3))
    assert "no annotations beside the images" in problems(tmp_path / "set", tmp_path)[0]


ENTITIES = '<!DOCTYPE a [<!ENTITY b "ha">]>\n'
# What is done to the text of p01.xml, and what is said of it.
VOC: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda t: t[: len(t) // 2], "p01.xml:4: no whole XML"),
    "empty": (lambda t: "", "p01.xml:1: no whole XML"),
    "no XML": (lambda t: "hello", "p01.xml:1: no whole XML"),
    "entities": (lambda t: ENTITIES + t, "p01.xml:1: declares a document type or entities"),
    "outside entity": (
        lambda t: '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n' + t,
        "declares a document type or entities",
    ),
    "other root": (lambda t: t.replace("annotation>", "note>"), "p01.xml:1: <note> is no annot"),
    "no size": (lambda t: t.replace("size>", "sighs>"), "p01.xml:1: no <size>"),
    "zero size": (lambda t: t.replace("<width>", "<width>-"), "p01.xml:3: <size> is '-"),
    "word": (lambda t: t.replace("<xmin>", "<xmin>left", 1), "p01.xml:4: <bndbox> is no four"),
    "NaN": (lambda t: _first(t, "xmin", "nan"), "p01.xml:4: the box [nan"),
    "infinite": (lambda t: _first(t, "xmax", "inf"), "inf"),
    "swapped": (lambda t: _first(t, "xmax", "1").replace("<xmin>", "<xmin>9", 1), "swapped"),
    "outside": (
        lambda t: _first(_first(t, "xmin", "5000"), "xmax", "6000"),
        "lies outside of its image",
    ),
    "negative": (lambda t: _first(_first(t, "xmin", "-50"), "xmax", "-9"), "lies outside"),
    "no box": (lambda t: t.replace("bndbox>", "box>"), "p01.xml:4: an <object> without <bndbox>"),
    "no name": (lambda t: t.replace("name>", "nom>"), "p01.xml:4: the class name '' is empty"),
    "path": (lambda t: t.replace("<name>", "<name>../"), "looks like a path"),
    "deep": (lambda t: "<a>" * 40 + "</a>" * 40, "p01.xml:1: more elements than an annotation"),
    "many": (
        lambda t: t.replace("</annotation>", _objects(MOST + 1) + "</annotation>"),
        f"more than {MOST} boxes in one image",
    ),
}


def _first(text: str, tag: str, value: str) -> str:
    """With another value in the first element of that name."""
    begin = text.index(f"<{tag}>") + len(tag) + 2
    return text[:begin] + value + text[text.index("<", begin) :]


def _objects(count: int) -> str:
    one = (
        "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
        "<ymax>9</ymax></bndbox></object>\n"
    )
    return one * count


@pytest.mark.parametrize("kind", VOC)
def test_what_is_wrong_with_a_voc_file_is_said_with_its_line(kind: str, tmp_path: Path) -> None:
    change, told = VOC[kind]
    root = write_voc(tmp_path / "set", pictures(4))
    file = root / "Annotations" / "p01.xml"
    file.write_text(change(file.read_text()))
    found = problems(root, tmp_path)
    assert len(found) == 1 and "p01.xml" in found[0] and told in found[0], found


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    root = write_voc(tmp_path / "set", pictures(4))
    (root / "images" / "p02.png").unlink()
    (told,) = problems(root, tmp_path)
    assert told.endswith("p02.xml: its image, p02.png, is not there")


@pytest.mark.parametrize("format", WRITERS)
def test_a_hundred_thousand_boxes_are_refused_quickly(format: str, tmp_path: Path) -> None:
    found, box = pictures(4), Thing("cat", 1, 2, 30, 40)
    most = [found[0], found[1]._replace(things=(box,) * 100_000), *found[2:]]
    (told,) = problems(WRITERS[format](tmp_path / "set", most), tmp_path)
    file = {
        **{"voc": "p01.xml:", "coco": "instances.json: annotation id 8", "yolo": "p01.txt:"},
        "csv": "boxes.csv:100",
    }[format]
    assert file in told
    assert "more elements than an annotation has" in told or f"more than {MOST} boxes" in told


def test_a_yolo_file_of_no_image(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", pictures(4))
    (root / "images" / "p01.png").unlink()
    (told,) = problems(root, tmp_path)
    assert "p01.txt: its image is not there" in told


# What is done to COCO's JSON, and what is said of it.
COCO: dict[str, tuple[Callable[[dict], Any], str]] = {
    "list": (lambda raw: [], "not COCO"),
    "no categories": (lambda raw: raw.pop("categories") and raw, "not COCO: it needs the lists"),
    "unknown class": (
        lambda raw: _set(raw, "annotations", category_id=99),
        "annotation id 1000: category_id 99 is none of the categories",
    ),
    "unknown image": (
        lambda raw: _set(raw, "annotations", image_id=11),
        "annotation id 1000: image_id 11 is none of the images",
    ),
    "three numbers": (
        lambda raw: _set(raw, "annotations", bbox=[1, 2, 3]),
        "annotation id 1000: bbox [1, 2, 3] is no four numbers",
    ),
    "negative": (
        lambda raw: _set(raw, "annotations", bbox=[1, 2, -3, 4]),
        "annotation id 1000: bbox [1, 2, -3, 4] has a negative side",
    ),
    "NaN": (
        lambda raw: _set(raw, "annotations", bbox=[1, 2, float("nan"), 4]),
        "annotation id 1000: the box [1, 2, nan, 6] is no numbers",
    ),
    "outside": (
        lambda raw: _set(raw, "annotations", bbox=[900, 2, 3, 4]),
        "annotation id 1000: the box [900, 2, 903, 6] lies outside",
    ),
    "no file": (
        lambda raw: _set(raw, "images", file_name="gone.png"),
        "image id 10: its image, gone.png, is not there",
    ),
    "out of the folder": (
        lambda raw: _set(raw, "images", file_name="../../etc/p00.png"),
        "is not there",
    ),
    "no size": (lambda raw: _set(raw, "images", width="wide"), "image id 10: width 'wide'"),
    "id twice": (lambda raw: _set(raw, "images", id=13), "image id 13: stands there twice"),
    "class twice": (
        lambda raw: {**raw, "categories": [*raw["categories"], {"id": 7, "name": "fox"}]},
        "category id 7: stands there twice",
    ),
}


def _set(raw: dict, rows: str, **values: Any) -> dict:
    raw[rows][0].update(values)
    return raw


@pytest.mark.parametrize("kind", COCO)
def test_what_is_wrong_with_cocos_json_is_said_with_its_id(kind: str, tmp_path: Path) -> None:
    change, told = COCO[kind]
    found = pictures(4)
    root = WRITERS["coco"](tmp_path / "set", found)
    file = root / "annotations" / "instances.json"
    file.write_text(json.dumps(change(coco_of(found))))
    said = problems(root, tmp_path)
    assert len(said) == 1 and told in said[0], said


@pytest.mark.parametrize("text", ["{", '{"a": ' * 200, "[1e", "null"])
def test_no_json_is_said(text: str, tmp_path: Path) -> None:
    root = WRITERS["coco"](tmp_path / "set", pictures(4))
    (root / "annotations" / "instances.json").write_text(text)
    assert "instances.json: no" in problems(root, tmp_path)[0]


# The first line of p01.txt, and what is said of it.
YOLO = {
    "0 0.5 0.5 0.2": "p01.txt:1: expected 5 numbers (class, centre x y, width height), got 4",
    "0 .1 .1 .2 .2 .3 .3 .4 .4": "got an outline, as for segmentation",
    "cat 0.5 0.5 0.2 0.2": "p01.txt:1: 'cat 0.5 0.5 0.2 0.2' is no class and four numbers",
    "7 0.5 0.5 0.2 0.2": "p01.txt:1: class 7 is none of the 3 that are named",
    "-1 0.5 0.5 0.2 0.2": "class -1 is none",
    "0 0.5 0.5 -0.2 0.2": "p01.txt:1: width -0.2 and height 0.2: a side is negative",
    "0 nan 0.5 0.2 0.2": "p01.txt:1: the box [nan",
    "0 50 50 20 20": "p01.txt:1: the box is in pixels",
    "0 1.9 0.5 0.2 0.2": "lies outside of its image",
}


@pytest.mark.parametrize("line", YOLO)
def test_what_is_wrong_with_a_yolo_file_is_said_with_its_line(line: str, tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", pictures(4))
    (root / "labels" / "p01.txt").write_text(f"{line}\n")
    (told,) = problems(root, tmp_path)
    assert YOLO[line] in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: [cat, [", "no YAML of class names"),
        ("nc: 3\n", "data.yaml: has no names"),
        ("names: {0: cat, 2: dog}\n", "names: the numbers of its classes are not 0, 1, 2"),
        ("!!python/object/apply:os.system [ls]\n", "no YAML of class names"),
    ],
)
def test_names_that_can_not_be_read(text: str, told: str, tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", pictures(4))
    (root / "data.yaml").write_text(text)
    (said,) = problems(root, tmp_path)
    assert told in said


# The row of a CSV, and what is said of it.
CSV = {
    "images/p00.png,cat,1,2,3": "boxes.csv:2: expected 6 cells, got 5",
    "images/gone.png,cat,1,2,30,40": "boxes.csv:2: its image, images/gone.png, is not there",
    "../p00.png,cat,1,2,30,40": "is not there",
    "images/p00.png,cat,a,2,30,40": "boxes.csv:2: 'a,2,30,40' is no four numbers",
    "images/p00.png,cat,30,2,3,40": "boxes.csv:2: the box [30, 2, 3, 40] has its corners swapped",
    "images/p00.png,cat,nan,2,30,40": "boxes.csv:2: the box [nan, 2, 30, 40] is no numbers",
    "images/p00.png,,1,2,30,40": "boxes.csv:2: the class name '' is empty",
    "images/p00.png,cat,900,2,930,40": "lies outside of its image",
}


@pytest.mark.parametrize("row", CSV)
def test_what_is_wrong_with_a_csv_is_said_with_its_line(row: str, tmp_path: Path) -> None:
    write_images(tmp_path / "set" / "images", pictures(3))
    (tmp_path / "set" / "boxes.csv").write_text(f"path,label,xmin,ymin,xmax,ymax\n{row}\n")
    (told,) = problems(tmp_path / "set", tmp_path)
    assert CSV[row] in told


def test_a_csv_without_a_column(tmp_path: Path) -> None:
    write_images(tmp_path / "set" / "images", pictures(3))
    (tmp_path / "set" / "boxes.csv").write_text("path,label,xmin,ymin\n")
    assert "boxes.csv:1: no column xmax, ymax among" in problems(tmp_path / "set", tmp_path)[0]


def test_the_sample_is_the_same_everywhere(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    data = BoxData(path="sample:scenes")
    found = scan(data, tmp_path, NoProgress()).listing
    splits = [entry.split for entry in found.entries]
    assert {name: splits.count(name) for name in set(splits)} == {
        "train": 240,
        "val": 80,
        "test": 80,
    }
    assert found.classes == tuple("0123456789")
    with Image.open(found.root / "JPEGImages" / "train_000.png") as image:
        assert np.asarray(image).shape == (160, 160, 3)
    digest = "7d907702e93a8be6740e37119443ba86db298f9d0db3f74d7d8e080221e6290b"
    assert source_digest(data, tmp_path) == digest


def test_a_split_is_known_by_its_images_and_their_boxes() -> None:
    """For comparing runs: names and other splits don't matter, a box that is elsewhere does."""
    boxes = [f'[[64,64],[["cat",100,100,{right},900,0]]]' for right in (500, 600, 700)]
    splits = enumerate(("val", "val", "train"))
    rows = [Row(f"{n}.png", 0, split, f"{n}" * 64) for n, split in splits]
    first = BoxIndex(("cat",), tuple(rows), "folders", annotations=tuple(boxes))
    renamed = replace(first, rows=tuple(row._replace(path=f"x{row.path}") for row in rows))
    assert renamed.split_digest("val") == first.split_digest("val") != first.split_digest("train")
    moved = replace(first, annotations=(boxes[1], boxes[1], boxes[2]))
    assert moved.split_digest("val") != first.split_digest("val")
    assert moved.split_digest("train") == first.split_digest("train")
