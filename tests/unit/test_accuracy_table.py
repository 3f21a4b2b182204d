"""tools/accuracy_table.py: sets and splits, what runs again, and the table's arithmetic."""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import accuracy_crops  # noqa: E402
import accuracy_run  # noqa: E402
import accuracy_table  # noqa: E402
from accuracy_columns import COLUMNS, pipeline  # noqa: E402
from accuracy_crops import Box, boxes, chosen, image_of, square  # noqa: E402
from accuracy_limits import DIFFERENCES, Difference, Term, summed_up  # noqa: E402
from accuracy_logistic import baseline  # noqa: E402
from accuracy_pictures import balanced, stored  # noqa: E402
from accuracy_report import report, top1_table  # noqa: E402
from accuracy_results import EPOCH, Key, append, load, missing  # noqa: E402
from accuracy_run import Failed  # noqa: E402
from accuracy_scores import calibration_error, divergence, top1  # noqa: E402
from accuracy_sets import SETS, SourceImage, copies, folder_of, once, split  # noqa: E402

from tfedge.data.index import Index, Row  # noqa: E402
from tfedge.pipeline.load import load_pipeline  # noqa: E402
from tfedge.tasks.image_classification.work import Classification  # noqa: E402
from tfedge.tflite.runtime import Port  # noqa: E402


def images(each: int, labels: str = "ab") -> list[SourceImage]:
    names = [(label, f"{label}{n}.png") for label in labels for n in range(each)]
    return [SourceImage(label, Path(label) / name, name) for label, name in names]


def places(assigned: list[tuple[str, SourceImage]]) -> dict[str, set[SourceImage]]:
    found = defaultdict(set)
    for where, image in assigned:
        found[where].add(image)
    return found


def test_a_split_has_everything_once_and_follows_from_its_seed() -> None:
    listed = images(60)
    found = split(listed, 1)
    assert sorted(image for _, image in found) == sorted(listed)
    for label in "ab":
        counts = {k: sum(p.label == label for p in v) for k, v in places(found).items()}
        assert counts == {"test": 20, "val": 6, "train": 34}
    assert places(split(listed[::-1], 1)) == places(found), "the order of files says nothing"
    assert places(split(listed, 2)) != places(found)
    fewer = places(split(listed[1:], 1))["test"] & places(found)["test"]
    assert len(fewer) >= 38, "an image more or less moves no others"


def test_a_split_with_so_many_training_images_of_each_class() -> None:
    found = places(split(images(50), 3, train=20))
    assert {k: len(v) for k, v in found.items()} == {"train": 40, "val": 4, "test": 56}
    with pytest.raises(ValueError, match="none to test on"):
        split(images(22), 1, train=20)


def annotation(*found: Box) -> str:
    objects = "".join(
        f"<object><name>{b.label}</name><bndbox><xmin>{b.left}</xmin><ymin>{b.top}</ymin>"
        f"<xmax>{b.right}</xmax><ymax>{b.bottom}</ymax></bndbox></object>"
        for b in found
    )
    return f"<annotation><size/>{objects}</annotation>"


def test_boxes_of_an_annotation() -> None:
    cell, slip = Box("WBC", 10, 20, 110, 90), Box("RBC", 5, 5, 5, 80)
    assert boxes(annotation(cell, slip)) == [cell]


def test_few_of_the_many_are_taken_and_all_of_the_others() -> None:
    many = [Box("RBC", n, 0, n + 50, 50) for n in range(12)]
    found = [*many, Box("WBC", 0, 0, 90, 90), Box("Platelets", 0, 0, 20, 20)]
    taken = chosen("x", found)
    assert [box.label for box in taken] == ["RBC"] * 3 + ["WBC", "Platelets"]
    assert taken == chosen("x", found)
    assert {tuple(chosen(name, many)) for name in "abcdef"} != {tuple(taken[:3])}


def test_a_crop_is_square_and_inside_the_image() -> None:
    assert square(Box("", 100, 100, 180, 140), 640, 480) == (90, 70, 190, 170)
    assert square(Box("", 0, 400, 80, 479), 640, 480) == (0, 380, 100, 480)
    assert square(Box("", 0, 0, 500, 470), 640, 480) == (10, 0, 490, 480)


def blood(folder: Path, images: int) -> Path:
    """As BCCD lies: a few cells an image."""
    for part in ("Annotations", "JPEGImages"):
        (folder / "bccd" / part).mkdir(parents=True)
    for number in range(images):
        name = f"BloodImage_{number:05d}"
        grey = Image.new("RGB", (160, 120), (number, 80, 90))
        grey.save(folder / "bccd" / "JPEGImages" / f"{name}.jpg")
        cells = [Box("RBC", 10 * n, 10, 10 * n + 40, 60) for n in range(5)]
        cells += [Box("WBC", 30, 30, 100, 100), Box("Platelets", 90, 90, 110, 110)]
        text = annotation(*cells)
        (folder / "bccd" / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    return folder


def test_crops_of_an_image_stay_in_one_split(tmp_path: Path) -> None:
    found = folder_of("cells", 1, blood(tmp_path / "photos", 12), tmp_path / "made")
    files = sorted(found.glob("*/*/*.png"))
    assert len(files) == 12 * (accuracy_crops.AT_MOST + 2)
    where = defaultdict(set)
    for file in files:
        where[image_of(file)].add(file.parts[-3])
        with Image.open(file) as crop:
            assert crop.size >= (96, 96)
    assert all(len(splits) == 1 for splits in where.values())
    counts = [*map(tuple, where.values())]
    assert [counts.count((k,)) for k in ("test", "val", "train")] == [4, 1, 7]


def test_a_folder_is_written_once_or_not_at_all(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError

    with pytest.raises(OSError):
        once(tmp_path / "x", broken)
    assert not (tmp_path / "x").exists()
    made = once(tmp_path / "x", lambda folder: (folder / "whole").touch())
    assert [file.name for file in made.iterdir()] == ["whole"]
    assert once(made, broken) == made


def test_two_images_of_one_name_are_not_one(tmp_path: Path) -> None:
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").touch()
    twice = [("test", SourceImage("a", tmp_path / f / "x.png", "x")) for f in ("1", "2")]
    with pytest.raises(ValueError, match="two images called a/x"):
        copies(twice, tmp_path / "out")


@pytest.mark.parametrize("column", ["head", "unfrozen", "ptq", "qat", "prune_qat_unfrozen"])
def test_a_column_is_a_pipeline(column: str, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    content = pipeline(column, tmp_path, "MobileNetV2", 225, 3)
    file.write_text(json.dumps(content), encoding="utf-8")
    found = load_pipeline(file)
    assert (found.seed, found.evaluate, found.benchmark) == (3, None, None)
    assert (found.prune is not None) == ("prune" in column)
    assert (found.finetune.unfreeze == 0.25) == ("unfrozen" in column)


@pytest.mark.parametrize(
    ("column", "default", "changed"),
    [
        ("prune_qat_without_noise", "prune_qat", {"prune.noise": 0, "quantize.noise": 0}),
        (
            "prune_qat_sensitivity",
            "prune_qat_without_noise",
            {"prune.allocation": "sensitivity"},
        ),
    ],
)
def test_an_option_is_held_against_its_default_with_all_else_the_same(
    column: str, default: str, changed: dict[str, object], tmp_path: Path
) -> None:
    found = {}
    for name in (default, column):
        file = tmp_path / "pipeline.yaml"
        content = pipeline(name, tmp_path, "MobileNetV2", 225, 3)
        file.write_text(json.dumps(content), encoding="utf-8")
        found[name] = load_pipeline(file).model_dump()
    for key, value in changed.items():
        section, name = key.split(".")
        assert found[default][section][name] != value
        found[default][section][name] = value
    assert found[default] == found[column]


def test_an_option_that_lost_is_refused(tmp_path: Path) -> None:
    content = pipeline("prune_qat_reestimate", tmp_path, "MobileNetV2", 225, 3)
    why = accuracy_run.refused(content, tmp_path)
    assert "prune.norms: " in why and "reestimate" in why and "was removed on " in why


@pytest.mark.parametrize("column", ["prune_qat_reestimate", "prune_qat_sensitivity"])
def test_what_was_measured_of_an_option_stays_in_the_table(column: str) -> None:
    rows = [cell("prune_qat_without_noise", n, top1=0.9) for n in (1, 2)]
    rows += [cell(column, n, top1=0.89 + n / 1000) for n in (1, 2)]
    (line,) = [text for text in report(rows).splitlines() if text.startswith(f"| {column} − ")]
    assert line.startswith(f"| {column} − prune_qat_without_noise |") and "−0.9 ± 0.1" in line


def test_every_column_is_compared_with_one_that_there_is() -> None:
    for column in COLUMNS.values():
        assert not column.plain or (
            column.sections.get("finetune") == COLUMNS[column.plain].sections.get("finetune")
        )
    named = {term.column for d in DIFFERENCES for term in (d.more, d.less) if term}
    assert named <= set(COLUMNS)


def test_calibration_takes_turns_among_the_classes() -> None:
    labels = [0] * 20 + [1] * 5 + [2] * 20
    rows = tuple(Row(f"{n}", k, "train" if n else "test", "") for n, k in enumerate(labels))
    index = Index(("a", "b", "c"), rows, "folders")
    found = balanced(index, 15, 1)
    assert sorted(index.labels_of(found)) == [0] * 5 + [1] * 5 + [2] * 5
    assert len(set(found)) == 15
    assert 0 not in found


def test_pixels_as_an_input_stores_them() -> None:
    pixels = np.array([0, 1, 127, 254, 255], np.uint8)
    kind = np.dtype(np.int8)
    near = stored(pixels, Port("", kind, (1, 5), 1.0, -128))
    assert near.dtype == kind
    assert near.tolist() == [-128, -127, -1, 126, 127]
    assert stored(pixels, Port("", kind, (1, 5), 0.5, -128)).tolist() == [-128, -126, 126, 127, 127]
    for port in (Port("", np.dtype(np.uint8), (1, 5), 1.0), Port("", np.dtype("f4"), (1, 5))):
        assert stored(pixels, port) is pixels


def test_scores_by_hand() -> None:
    one = np.array([[0.75, 0.25], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8]])
    other = np.array([[0.5, 0.5], [0.25, 0.75], [0.1, 0.9], [0.2, 0.8]])
    assert top1(one, np.array([0, 1, 1, 0])) == 0.5
    assert Classification().same(one, other).tolist() == [True, False, True, True]
    first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    second = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert divergence(one, other) == pytest.approx((first + second) / 4)
    assert divergence(one, one) == 0


def test_a_stored_zero_is_half_a_step() -> None:
    exact, given = np.array([[0.999, 0.001]]), np.array([[1.0, 0.0]])
    assert divergence(exact, given) == pytest.approx(0, abs=1e-9), "0.001 is below half a step"
    half = 1 / 512
    p, q = np.array([0.9, 0.1]), np.array([1.0, half]) / (1 + half)
    expected = float((p * np.log(p / q)).sum())
    assert divergence(np.array([[0.9, 0.1]]), given) == pytest.approx(expected)
    assert divergence(np.array([[0.9, 0.1]]), given, 1e-7) > 2 * expected


def test_calibration_error_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.4, 0.6]])
    # bins of 1/15: 0.9 twice, one right; 0.7 right; 0.6 wrong
    expected = (abs(1 - 1.8) + abs(1 - 0.7) + abs(0 - 0.6)) / 4
    assert calibration_error(scores, np.array([0, 1, 1, 0])) == pytest.approx(expected)


def test_the_baseline_chooses_c_on_training_images() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    features = rng.normal(size=(60, 4)) * [1, 1, 100, 1]
    features[:, 0] += 3 * labels
    found = baseline(features[:40], labels[:40], features[40:], labels[40:], 1)
    assert found["top1"] >= 0.85
    assert 1e-4 <= found["c"] <= 10.0001
    assert {"top1_001", "ece"} <= set(found)


def cell(column: str, split: int = 1, where: str = "digits", **figures: Any) -> dict[str, Any]:
    """A row, as measured by hand."""
    facts = {"date": "2026-11-26", "cpu": "a cpu", "commit": "abc", "versions": {}, "seconds": {}}
    counts = {"n_train": 100, "n_val": 10, "n_test": 50}
    key = {"set": where, "backbone": "MobileNetV2", "split": split, "column": column}
    return {"epoch": EPOCH, **key, **facts, **counts, **figures}


LIMITED = Difference("ptq − head", Term("ptq"), Term("head"), mean=-0.5, each=-1.0)


def difference(*pairs: tuple[str, int, float, float]) -> Any:
    rows = []
    for where, number, float_top1, int8_top1 in pairs:
        rows.append(cell("head", number, where, top1=float_top1))
        rows.append(cell("ptq", number, where, top1=int8_top1))
    return summed_up(LIMITED, rows)


def test_means_errors_and_the_worst_set() -> None:
    found = difference(
        ("digits", 1, 0.90, 0.89),
        ("digits", 2, 0.90, 0.91),
        ("cells", 1, 0.80, 0.80),
        ("cells", 2, 0.80, 0.78),
    )
    assert found.mean == pytest.approx(-0.5)
    assert found.where == ("cells", "MobileNetV2")
    assert found.worst == pytest.approx(-1.0)
    assert found.worst_error == pytest.approx(1.0)  # 0 and −2: deviation √2, over √2
    assert found.error == pytest.approx(0)  # both splits say −0.5
    assert found.cells == 4
    assert not found.misses(LIMITED), "exactly on both limits"


def test_a_limit_that_is_missed() -> None:
    worst = difference(("digits", 1, 0.9, 0.95), ("cells", 1, 0.9, 0.889))
    assert worst.mean > 0
    assert worst.misses(LIMITED)
    mean = difference(("digits", 1, 0.9, 0.892), ("cells", 1, 0.9, 0.893))
    assert mean.worst > -1
    assert mean.misses(LIMITED)
    assert mean.error is None, "a single split says nothing of it"
    assert not mean.misses(LIMITED._replace(mean=None))


def test_only_cells_of_the_same_split_are_compared() -> None:
    rows = [cell("head", 1, top1=0.9), cell("ptq", 2, top1=0.5)]
    assert summed_up(LIMITED, rows) is None
    assert summed_up(LIMITED, [*rows, cell("head", 2, top1=0.5)]).mean == 0


def test_the_table_of_rows_made_by_hand() -> None:
    near = {"agreement": 0.95, "kl": 0.01}
    rows = [
        cell("lr", top1=0.91, top1_001=0.9, ece=0.02),
        cell("head", top1=0.9, noise=0.8, contrast=0.7, ece=0.1),
        cell("head", 2, top1=0.8, noise=0.8, contrast=0.7, ece=0.1),
        cell("ptq", top1=0.9, noise=0.75, contrast=0.7, **near),
        cell("aeq", top1=0.88, noise=0.75, contrast=0.7, agreement=0.94, kl=0.02),
    ]
    text = report(rows)
    assert "| digits | MobileNetV2 | 100 | 50 | 1–2 | 91.0% | 85.0% | 90.0% | 88.0% |" in text
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    assert "**missed**" in lines["head − lr"]
    assert "−1.0" in lines["head − lr"]
    assert "kept" in lines["ptq − head"]
    assert "**missed**" in lines["ptq − head, noise"]
    assert "kept" in lines["ptq − head, contrast"]
    assert "**missed**" in lines["ptq: same answer as float"]
    assert "kept" in lines["same answer as float: ptq − aeq"]
    assert "+0.0100" in lines["KL from float: aeq − ptq"]
    assert "| digits | MobileNetV2 | 95.0%, 0.0100 | 94.0%, 0.0200 |" in text
    assert "prune_qat" not in text


def test_no_cells_no_table() -> None:
    assert "Nothing is measured" in report([])


def test_rows_stand_in_the_order_of_the_sets() -> None:
    rows = [cell("head", where=name, top1=0.9) for name in sorted(SETS)]
    found = [line.split(" | ")[0].strip("| ") for line in top1_table(rows).splitlines()[2:]]
    assert found == [*SETS]


KEY = Key("digits", "MobileNetV2", 1, "head")


def test_a_cell_is_kept_at_once_and_the_last_of_two_counts(tmp_path: Path) -> None:
    file = tmp_path / "docs" / "results.jsonl"
    assert load(file) == []
    append(file, KEY, {"top1": 0.5})
    append(file, KEY._replace(split=2), {"top1": 0.6})
    append(file, KEY, {"top1": 0.7})
    assert [(row["split"], row["top1"]) for row in load(file)] == [(1, 0.7), (2, 0.6)]
    wanted = [KEY._replace(split=n) for n in (3, 2, 1)]
    assert missing(wanted, load(file)) == wanted[:1]


def test_another_epoch_and_an_unfinished_line_are_no_cells(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    append(file, KEY, {"top1": 0.5})
    old = json.dumps({"epoch": "old", **KEY._replace(split=2)._asdict()})
    file.write_text(f'{old}\n{file.read_text()}{{"epoch": "20', encoding="utf-8")
    assert [row["split"] for row in load(file)] == [1]
    append(file, KEY._replace(split=3), {})
    assert [row["split"] for row in load(file)] == [1, 3]
    file.write_text(f"broken\n{old}\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="line 1"):
        load(file)


class Counting:
    """Stands for the bench: measures without measuring."""

    def __init__(self, broken: str = "") -> None:
        self.seen: list[Key] = []
        self.broken = broken

    def measure(self, key: Key, results: Path) -> bool:
        self.seen.append(key)
        if key.column == self.broken:
            raise Failed("exit code 5")
        append(results, key, {"top1": 0.5})
        return True


def test_what_is_measured_does_not_run_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    wanted = accuracy_table.keys(["digits", "cells"], ["MobileNetV2"], 2, ["head", "ptq"])
    assert [key.split for key in wanted] == [1] * 4 + [2] * 4, "a whole split after the other"
    first = Counting(broken="ptq")
    assert not accuracy_table.measure_all(first, wanted, file, None)
    assert first.seen == wanted, "one that fails stops no other"
    again = Counting()
    assert accuracy_table.measure_all(again, missing(wanted, load(file)), file, None)
    assert again.seen == [key for key in wanted if key.column == "ptq"]
    assert missing(wanted, load(file)) == []


@pytest.mark.parametrize("shared", [False, True])
def test_a_cell_measured_beside_other_work_has_no_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    def found(place: object) -> dict[str, Any]:
        return {"top1": 0.5, "seconds": {"convert": 9.0}}

    monkeypatch.setattr(accuracy_table, "measured", found)
    monkeypatch.setattr(accuracy_run, "refused", lambda *_: "")
    monkeypatch.setattr(accuracy_table, "folder_of", lambda *_: tmp_path)
    bench = accuracy_table.Bench(tmp_path, tmp_path, tmp_path, None, shared)
    assert bench.measure(KEY, tmp_path / "results.jsonl")
    (row,) = load(tmp_path / "results.jsonl")
    assert row["seconds"] == ({} if shared else {"convert": 9.0})
    assert ("whole_seconds" in row) != shared


def test_it_stops_between_cells_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = iter(range(0, 1000, 40))
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(accuracy_table, "time", clock)
    wanted = accuracy_table.keys(["digits"], ["MobileNetV2"], 5, ["head"])
    bench = Counting()
    assert accuracy_table.measure_all(bench, wanted, tmp_path / "results.jsonl", 2)
    assert bench.seen == wanted[:2]
    assert "3 cells are left" in capsys.readouterr().out
