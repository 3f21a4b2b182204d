"""CSVs as people have them: read, or one message that says what they are and what to set."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_helpers import Stage, image

from tfedge.data.dialect import rows_of
from tfedge.data.listing import Listing
from tfedge.data.schema import CsvColumns
from tfedge.data.table import list_csv
from tfedge.errors import DataError

ROWS = [(f"photos/{number}.png", "ab"[number % 2]) for number in range(6)]
FOUND = [(path, label) for path, label in ROWS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, _ in ROWS:
        image(tmp_path / path, int(path[7]))
    return tmp_path


def text(header: str, line: str = "{path},{label}", **cells: str) -> str:
    lines = [
        line.format(path=path, label=label, number=number, **cells)
        for number, (path, label) in enumerate(ROWS)
    ]
    return "\r\n".join([*([header] if header else []), *lines]) + "\r\n"


def listed(folder: Path, content: str | bytes, **options: object) -> Listing:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list_csv(path, None, **options)  # type: ignore[arg-type]


def refused(folder: Path, content: str | bytes, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        listed(folder, content, **options)
    assert caught.value.exit_code == 4 and caught.value.hint
    return "\n".join(caught.value.lines())


@pytest.mark.parametrize(
    "content",
    [
        text("path;label", "{path};{label}").encode("utf-8-sig"),
        text("path\tlabel", "{path}\t{label}"),
        text("path|label", "{path}|{label}"),
        text('"path";"label"', '"{path}";"{label}"'),
        "sep=;\r\n" + text("path;label", "{path};{label}"),
        text("path,label").encode("utf-16"),
        text("path,label").encode("utf-16-le"),
        text("path,label").encode("utf-16-be"),
        text("path,label").encode("utf-32"),
        text("path,label").replace("\r\n", "\r"),
        text("path,label").replace("/", "\\"),
        text("label,path", "{label},{path}"),
        text(",path,label", "{number},{path},{label}"),
        text("Unnamed: 0,path,label", "{number},{path},{label}"),
        text("path,label,,", "{path},{label},,"),
        text("Path , LABEL", " ./{path} , {label}"),
    ],
    ids=str,
)
def test_it_is_read(folder: Path, content: str | bytes) -> None:
    listing = listed(folder, content)
    assert [(entry.path, entry.label) for entry in listing.entries] == FOUND
    assert all(entry.stamp for entry in listing.entries) and listing.warnings == ()


def test_absolute_paths_below_the_folder_are_read(folder: Path) -> None:
    listing = listed(folder, text("path,label", f"{folder}/{{path}},{{label}}"))
    assert [(entry.path, entry.label) for entry in listing.entries] == FOUND


def test_a_name_with_a_back_slash_is_one(folder: Path) -> None:
    image(folder / "a\\b.png", 50)
    assert listed(folder, "path,label\na\\b.png,x\n").entries[0].path == "a\\b.png"


def test_automl_s_rows(folder: Path) -> None:
    sets = ["TRAIN"] * 4 + ["VALIDATION", "TEST"]
    lines = [f"{name},{path},{label}" for name, (path, label) in zip(sets, ROWS, strict=True)]
    listing = listed(folder, "\r\n".join(lines))
    assert [entry.split for entry in listing.entries] == ["train"] * 4 + ["val", "test"]
    assert [(entry.path, entry.label) for entry in listing.entries] == FOUND


def test_columns_of_other_names_are_named(folder: Path) -> None:
    content = text("set;filename;class", "{set};{path};{label}", set="Train")
    told = refused(folder, content)
    assert "got set,filename,class" in told
    assert "data.csv: {path: filename, label: class, split: set}" in told
    columns = CsvColumns(path="filename", label="class", split="set")
    listing = listed(folder, content, named=columns)
    assert [(entry.path, entry.label) for entry in listing.entries] == FOUND
    columns = CsvColumns(path="filenme", label="class", split="fold")
    told = refused(folder, content, named=columns)
    assert "data.csv.path: no column filenme, did you mean filename?" in told
    assert "data.csv.split: no column fold" in told


def test_data_csv_in_a_pipeline(folder: Path) -> None:
    (folder / "list.csv").write_text(text("filename,class"))
    stage = Stage(folder, path=str(folder / "list.csv"), csv={"path": "filename", "label": "class"})
    assert stage.index.classes == ("a", "b") and len(stage.index.rows) == 6


def test_columns_that_nobody_reads_are_told(folder: Path) -> None:
    listing = listed(folder, text("path,label,patient,site", "{path},{label},7,x"))
    assert listing.warnings == ("columns of list.csv that are not used: patient, site",)
    listing = listed(
        folder, text("path,label,patient", "{path},{label},p{number}"), group="Patient"
    )
    assert [entry.group for entry in listing.entries] == [f"p{n}" for n in range(6)]
    assert listing.warnings == ()
    told = refused(folder, text("path,label,patient", "{path},{label},7"), group="patent")
    assert "data.group: no column patent, did you mean patient?" in told


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (text("", "{path},{label}"), "got a row without a header: photos/0.png,a"),
        (text("filename,class"), "data.csv: {path: filename, label: class}"),
        (text("image_id,Category"), "data.csv: {path: image_id, label: Category}"),
        (
            text("path,label", "C:\\me\\{path},{label}"),
            "C:\\me\\photos/0.png is an absolute Windows",
        ),
        (text("path,label", "gs://x/{path},{label}"), "gs://x/photos/0.png is an address"),
        (text("path,cat,dog", "{path},1,0"), "several labels an example (multi-label)"),
        (text("path,label,a,b,c", "{path},{label},1,0,1"), "columns a, b, c hold 0 and 1"),
        (text("path,label", "{path},cat;dog") + "x.png,cat\n", "'cat;dog' holds several"),
        (text("path,label", "{path},cat|dog") + "x.png,dog\n", "cat and dog"),
        (text("path,label", "{path},\"['cat', 'dog']\""), "holds several: cat and dog"),
        (text("path,label") + "photos/0.png,b\n", "line 2 already, as a: several labels"),
        (text("path,label,xmin,ymin,xmax,ymax", "{path},{label},1,2,3,4"), "object detection"),
        (text("filename,class,xmin,ymin", "{path},{label},1,2"), "object detection"),
        (text("image,mask", "{path},{path}"), "segmentation data"),
        (text("path,label,set", "{path},{label},train") + "x.png,a,val\n", "split: set"),
        (b"PK\x03\x04" + bytes(99), "a spreadsheet or an archive"),
        (text("path,label,split", "{path},{label},UNASSIGNED"), "split 'UNASSIGNED' is none"),
    ],
    ids=str,
)
def test_one_message_says_what_it_is(folder: Path, content: str | bytes, says: str) -> None:
    assert says in refused(folder, content)


def test_lines_that_are_wrong_in_the_same_way_are_counted(folder: Path) -> None:
    told = refused(folder, text("path,label", "C:\\{path},{label}") + "photos/0.png,../x\n")
    assert told.count("absolute Windows path") == 3 and "… and 3 more lines like these" in told
    assert "list.csv:8: label '../x' looks like a path" in told


@pytest.mark.parametrize("label", ["cat;dog", "cat|dog", "cat, dog", "cat+dog"])
def test_labels_that_may_hold_several_are_a_warning(folder: Path, label: str) -> None:
    lone = "x" if label[3] in ";|" else "cat"
    listing = listed(folder, text("path,label", f'{{path}},"{label}"') + f"x.png,{lone}\n")
    (warning,) = listing.warnings
    assert "one label an example" in warning and label in warning


@pytest.mark.parametrize("label", ["cat, black", "C++", "salt & vinegar", "hot dog", "a-b"])
def test_names_of_one_class_are_no_warning(folder: Path, label: str) -> None:
    listing = listed(folder, text("path,label", f'{{path}},"{label}"') + "x.png,dog\n")
    assert listing.warnings == ()


def test_files_that_are_not_there(folder: Path) -> None:
    (folder / "list.csv").write_text(text("path,label", "gone/{path},{label}"))
    with pytest.raises(DataError, match=r"none of 6 files is there, such as gone/photos/0\.png"):
        Stage(folder, path=str(folder / "list.csv"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("photos/{number},{label}", "photos/0.png is there: names need their suffix"),
        ("{number}.png,{label}", "photos/0.png is there: paths need their folder"),
        ("{number},{label}", "photos/0.png is there: paths need their folder and suffix"),
        ("x{number}.png,{label}", "paths are relative to"),
    ],
)
def test_files_that_are_there_under_a_longer_name(folder: Path, line: str, says: str) -> None:
    (folder / "list.csv").write_text(text("path,label", line))
    with pytest.raises(DataError) as caught:
        Stage(folder, path=str(folder / "list.csv"))
    assert says in caught.value.hint


@pytest.mark.parametrize("line", ["{path}," + "y" * 5_000, "x" * 5_000 + "/{path},{label}"])
def test_what_is_too_long_for_a_name_is_told_in_short(folder: Path, line: str) -> None:
    (folder / "list.csv").write_text(text("path,label", line))
    with pytest.raises(DataError) as caught:
        Stage(folder, path=str(folder / "list.csv"))
    assert all(len(one) < 700 for one in "\n".join(caught.value.lines()).splitlines())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_the_beginning_of_a_table_has_its_first_rows(tmp_path: Path, encoding: str) -> None:
    """Wherever it is cut: within a character, a quoted cell of two lines, a row."""
    file = tmp_path / "t.csv"
    file.write_bytes('text,label\nä,b\n"two\nlines, é",c\nd,e\n'.encode(encoding))
    rows = rows_of(file, ["text", "label"])
    assert [cells for _, cells in rows[1:]] == [["ä", "b"], ["two\nlines, é", "c"], ["d", "e"]]
    size = file.stat().st_size
    counts = []
    for most in range(8, size):
        found = rows_of(file, ["text", "label"], most)
        assert found == rows[: len(found)], most
        counts.append(len(found))
    assert counts == sorted(counts) and {0, 1, 2, 3} <= {*counts}
    assert rows_of(file, ["text", "label"], size) == rows
