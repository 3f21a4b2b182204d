"""The figures of a run's report: the verdict and its gates, latency, shares with their intervals,
the Edge TPU; and that a page of very many classes stays small."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import html5lib
import numpy as np
import pytest
from color_helpers import INT8, make_run
from PIL import Image
from report_helpers import coral, gathered, judged, result_of

from tfedge.benchmark.measurements import Measurements
from tfedge.core import gates
from tfedge.core.context import Origin
from tfedge.core.result import StageResults, gather
from tfedge.data.index import Index, Row
from tfedge.data.kind import IMAGES
from tfedge.edgetpu.edgetpu import predict
from tfedge.files.artifact import sha256_file
from tfedge.report import mapping, timing, verdict, written
from tfedge.report.kinds import kinds
from tfedge.tasks.blocks import Bars, Figure, Held, Panels, Places, Strips, Table
from tfedge.tasks.classification.metrics import measure
from tfedge.tasks.classification.report import _class_bars, confusion
from tfedge.tasks.paired import wilson
from tfedge.tflite.reader import read

# ------------------------------------------------------------------ verdict and gates


def test_the_verdict_shows_accuracy_size_and_latency(tmp_path: Path) -> None:
    run, result = judged(tmp_path, result_of("float", 4, 5, 6), result_of("int8", 1, 2, 3))
    found = gathered(run, result)
    (figure,) = verdict.picture(found)
    assert isinstance(figure.plot, Panels)
    panels = dict(figure.plot.panels)
    assert list(panels) == ["top-1", "size", "latency on local, 1 thread"]
    assert found.metrics is not None and found.model is not None
    phases = [(row.phase, row.value(found.task.primary)) for row in found.metrics.phases]
    assert [(name, value) for name, value, _ in panels["top-1"].rows] == phases
    assert panels["top-1"].most == 1.0
    hits = round(phases[-1][1] * found.metrics.n)
    assert panels["top-1"].intervals[-1] == pytest.approx(wilson(hits, found.metrics.n))
    sizes = [(name, size) for name, size, _ in panels["size"].rows]
    assert sizes == [("float", found.float_bytes), ("int8", INT8.stat().st_size)]
    assert [(n, v) for n, v, _ in panels["latency on local, 1 thread"].rows] == [
        ("float", 5.0),
        ("int8", 2.0),
    ]


def test_every_gate_is_told_whether_it_holds(tmp_path: Path) -> None:
    asked = {"min_accuracy": 0.5, "max_size": 10, "max_latency": 9.0}
    run, result = judged(
        tmp_path,
        evaluate={"gates": asked},
    )
    model = json.loads((run.folder / "convert/model.json").read_text())
    measured = [result_of("float", 4, 4, 4), result_of("int8", 2, 2, 2, sha256=model["sha256"])]
    Measurements(tuple(measured)).write(run.folder / "benchmark" / "benchmark.json")
    (table,) = verdict.gate_table(gathered(run, result))
    assert isinstance(table, Table)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["min_accuracy"][0] == Held(True) and rows["min_accuracy"][2] == "0.5"
    assert rows["max_size"] == [Held(False), f"{model['bytes']:,} bytes", "10 bytes"]
    assert rows["max_latency"] == [Held(True), "2 ms on 1 thread", "9 ms"]
    written.write(run.folder, result, gathered(run, result).origin)
    page = (run.folder / "report.html").read_text("utf-8")
    assert '<span class="bad">✗ failed</span>' in page  # said, not only colored
    assert "| max_size | ✗ failed |" in (run.folder / "report.md").read_text("utf-8")


def test_what_was_not_measured_is_not_judged(tmp_path: Path) -> None:
    run, result = judged(tmp_path, evaluate={"gates": {"min_accuracy": 0.5, "max_latency": 9.0}})
    made = gather(run.folder, ["convert", "evaluate"])
    assert [gate.name for gate in gates.measured(run.pipeline, made)] == ["min_accuracy"]
    assert gates.measured(run.pipeline, StageResults()) == []
    assert verdict.gate_table(replace(gathered(run, result), origin=None)) == []


# ------------------------------------------------------------------ latency


def test_a_figure_a_device_holds_every_sample(tmp_path: Path) -> None:
    results = [
        result_of("float", 4, 5, 6),
        result_of("int8", 1, 2, 3),
        result_of("int8", 7, 8, device="pi4", threads=2),
    ]
    figures = timing.samples(gathered(*judged(tmp_path, *results)))
    assert [figure.title for figure in figures] == [
        "Every timed inference on local",
        "Every timed inference on pi4",
    ]
    local, board = (figure.plot for figure in figures)
    assert isinstance(local, Strips) and isinstance(board, Strips)
    assert [list(samples) for _, samples, _ in local.rows] == [[4, 5, 6], [1, 2, 3]]
    assert board.rows[0][0] == "int8, LiteRT 2.3.0, 2 threads"


def test_kinds_of_op_after_the_twelfth_are_one() -> None:
    types = [{"op": f"OP_{n}", "count": n, "ns": 10.0, "share": 0.05} for n in range(14)]
    *shown, rest = kinds({"types": types})
    assert [kind.op for kind in shown] == [f"OP_{n}" for n in range(12)]
    assert (rest.named, rest.ops, rest.ns, rest.share) == ("2 other kinds", 25, 20.0, 0.1)
    assert kinds({"types": types[:13]})[-1].named == "12 OP_12"  # one more takes no more room


def test_a_profile_says_where_the_time_goes(tmp_path: Path) -> None:
    types = [
        {"op": f"OP_{n}", "count": n + 1, "ns": 1e6 * (20 - n), "share": (20 - n) / 204}
        for n in range(17)
    ]
    types[-1]["ns"] = -5.0  # by difference
    profile = {"types": types, "method": "cuts", "error": "±"}
    (figure,) = timing.profiles(gathered(*judged(tmp_path, result_of("int8", 1, profile=profile))))
    assert isinstance(figure.plot, Bars)
    assert figure.title == "Where the time goes: int8, local, 1 thread (cuts)"
    assert [name for name, *_ in figure.plot.rows][::12] == ["1 OP_0", "5 other kinds"]
    assert figure.plot.rows[0][1:] == (20.0, "20.000 ms, 10%")


# ------------------------------------------------------------------ classes


def test_recall_and_precision_have_intervals() -> None:
    labels = np.array([0] * 10 + [1] * 5 + [2] * 4)
    answers = np.array([0] * 8 + [1] * 2 + [1] * 5 + [0] * 4)
    found = measure(np.eye(3)[answers], labels, ["a", "b", "c"], 2)
    recall, precision = (figure.plot for figure in _class_bars(found, "int8"))
    assert isinstance(recall, Bars) and isinstance(precision, Bars)
    assert [(name, share) for name, share, _ in recall.rows] == [("a", 0.8), ("b", 1.0), ("c", 0.0)]
    assert list(recall.intervals) == [wilson(8, 10), wilson(5, 5), wilson(0, 4)]
    assert [name for name, *_ in precision.rows] == ["a", "b"]  # c was never answered
    assert list(precision.intervals) == [wilson(8, 12), wilson(5, 7)]


def test_of_many_classes_those_with_the_lowest_recall_are_drawn() -> None:
    labels = np.repeat(np.arange(40), 2)
    answers = np.where(labels < 5, labels + 1, labels)
    found = measure(np.eye(40)[answers], labels, [f"c{n}" for n in range(40)], 2)
    recall, _ = _class_bars(found, "int8")
    assert isinstance(recall.plot, Bars) and len(recall.plot.rows) == 30
    assert [name for name, *_ in recall.plot.rows[:5]] == ["c0", "c1", "c2", "c3", "c4"]
    assert "of the 30 classes with the lowest recall" in recall.title


def test_a_confusion_matrix_is_shaded_by_the_share_of_its_row(tmp_path: Path) -> None:
    run, result = judged(tmp_path)
    written.write(run.folder, result)
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(
        (run.folder / "report.html").read_text("utf-8")
    )
    rows = page.findall(".//table[@class='shaded']/tbody/tr")
    cells = [
        [(one.text, one.get("style"), one.get("class")) for one in row.findall("td")]
        for row in rows
    ]
    (red, green, blue) = cells
    assert red == [
        ("3", "--s:87%", "own"),  # √(3/4)
        ("1", "--s:50%", None),
        ("0", None, None),
    ]
    assert green[1] == ("4", "--s:100%", "own") and blue[2][2] == "own"


# ------------------------------------------------------------------ Edge TPU


def test_the_edge_tpu_s_share_is_shown_where_there_is_a_drop_for_it(tmp_path: Path) -> None:
    run, result = judged(tmp_path)
    assert not mapping.is_told(gathered(run, result))
    result = coral(run, result, INT8)
    blocks = mapping.edge_tpu(gathered(run, result))
    expected = predict(read(INT8))
    (figure,) = (block for block in blocks if isinstance(block, Figure))
    assert isinstance(figure.plot, Places)
    assert [here for _, here in figure.plot.rows] == [op.target == "tpu" for op in expected.ops]
    written.write(run.folder, result)
    page = (run.folder / "report.html").read_text("utf-8")
    assert "## Edge TPU" in (run.folder / "report.md").read_text("utf-8")
    assert page.count('<span class="here" title=') == expected.mapped


def test_ops_on_the_cpu_are_named_with_the_reason(tmp_path: Path) -> None:
    run, result = judged(tmp_path)
    float_model = run.folder / "convert" / "float.tflite"
    blocks = mapping.edge_tpu(gathered(run, coral(run, result, float_model)))
    (table,) = (block for block in blocks if isinstance(block, Table))
    expected = predict(read(float_model))
    assert expected.mapped < expected.total and len(table.rows) >= 1
    first = next(op for op in expected.ops if op.target == "cpu")
    assert any(first.reason in str(told) for _, told in table.rows)


# ------------------------------------------------------------------ size


def test_a_page_of_very_many_classes_stays_small(tmp_path: Path) -> None:
    """Photos as large as they come, which compress badly, and long names."""
    run, count = make_run(tmp_path), 200
    names = tuple(f"class_{n:03d}_{'of_a_long_name_' * 2}" for n in range(count))
    rng = np.random.default_rng(0)
    rows = []
    for label, name in enumerate(names):
        for split in ("train", "test"):
            path = run.root / split / name / "1.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(path)
            rows.append((path, label, split))
    index = [Row(p.relative_to(run.root).as_posix(), n, s, sha256_file(p)) for p, n, s in rows]
    Index(names, tuple(sorted(index)), "folders").save(run.folder / "data" / "index.json")
    tests = sorted(row.path for row in index if row.split == "test")
    scores = rng.random((4 * count, count)) ** 8
    labels = rng.integers(0, count, 4 * count)
    judged = measure(scores / scores.sum(1, keepdims=True), labels, names, 5)
    both = {"path": "", "true": names[0], "predicted": names[1], "score": 0.9, "true_score": 0.1}
    found = {
        "split": "test", "n": 4 * count, "chose_weights": False, "shipped": "int8", "top_k": 5,
        "float": judged.model_dump(mode="json", by_alias=True),
        "int8": judged.model_dump(mode="json", by_alias=True),
        "agreement": 1.0, "phases": [], "warnings": [], "proposals": [],
        "worst": [both | {"path": path} for path in tests],
    }  # fmt: skip
    run.add("evaluate/metrics.json", found)
    near = [
        {"pictures": [{"path": path, "label": "x", "split": "test"} for path in pair]}
        for pair in pairwise(tests)
    ]
    run.add(
        "data/audit.json",
        {
            "skipped": [{"path": f"{n}.png", "reason": "damaged"} for n in range(500)],
            "leaks": near,
            "conflicts": near,
            "near": near,
            "copies": near,
            "duplicates": 0,
            "warnings": [],
            "imbalance": 1.0,
        },
    )
    origin = Origin(
        run.pipeline.model_copy(
            update={"data": run.pipeline.data.model_copy(update={"image_size": 96})}
        ),
        run.root,
        run.root.parent / "cache",
    )
    began = time.monotonic()
    result = {"pipeline": "many", "status": "ok", "seconds": 3, "stages": []}
    written.write(run.folder, result, origin)
    assert time.monotonic() - began < 120
    page = (run.folder / "report.html").read_bytes()
    # the worst, samples of the classes, six pairs of each kind that the audit found
    assert page.count(b"data:image/jpeg") == 24 + 40 + 4 * 12
    assert len(page) < 2_000_000


def test_the_wide_matrix_is_a_list_of_mistakes() -> None:
    names = [f"c{n}" for n in range(31)]
    labels = np.arange(31)
    found = measure(np.eye(31)[(labels + 1) % 31], labels, names, 1)
    (table,) = [block for block in confusion(found, IMAGES) if isinstance(block, Table)]
    assert not table.shaded and table.head == ["truth", "answer", "images"]
