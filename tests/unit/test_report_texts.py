"""The report and the table at the end, from whole runs, half runs and failed ones."""

from __future__ import annotations

import json
import zlib
from itertools import takewhile
from pathlib import Path

import pytest
from color_helpers import FLOAT, INT8, Run, make_run

from tfedge.core.context import Context
from tfedge.drops import linux
from tfedge.errors import ArtifactError
from tfedge.files.text import WIDTH
from tfedge.pipeline.load import load
from tfedge.report import written
from tfedge.report.document import _again
from tfedge.report.facts import gather
from tfedge.report.markup import render, table
from tfedge.report.table import summary
from tfedge.stages import benchmark, evaluate, package

SECTIONS = [
    "Result",
    "What was run",
    *("Classes", "Confusion", "Calibration", "Worst images"),  # the task's own
    "Robustness",
    "Sparsity",
    "Training",
    "Data",
    "Backbone and weights",
    "Benchmark",
    "How to do it again",
    *("Appendix: layers", "Appendix: stages", "Appendix: versions"),
]
# Where nothing was evaluated there are no sections of the task's.
NOT_EVALUATED = ["Result", "What was run", "Answers", *SECTIONS[SECTIONS.index("Robustness") :]]
NAMES = ("float", "model")  # of a run's files
_MEASURED: dict[str, dict[str, bytes]] = {}


def _measured(ctx: Context) -> None:
    """The benchmark of a run; of the same files and settings it is taken once."""
    files = [zlib.crc32(ctx.inputs[f"convert/{name}.tflite"].read_bytes()) for name in NAMES]
    key = f"{files} {ctx.pipeline.benchmark}"
    if key not in _MEASURED:
        benchmark.run(ctx)
        _MEASURED[key] = {path.name: path.read_bytes() for path in ctx.out.iterdir()}
    for name, content in _MEASURED[key].items():
        (ctx.out / name).write_bytes(content)


STAGES = {
    "evaluate/metrics.json": evaluate.run,
    "benchmark/benchmark.json": _measured,
    "package/drops.json": package.run,
}


def finished(tmp: Path, **options: object) -> tuple[Run, dict]:
    """A run to its end, and its run.json."""
    run = make_run(tmp, **options)
    for made, stage in STAGES.items():
        stage(run.context(made.split("/")[0]))
        run.inputs[made] = run.folder / made
    resolved = run.pipeline.model_dump(mode="json", exclude_none=True)
    (run.folder / "resolved.json").write_text(json.dumps(resolved))
    metrics, index = run.json("evaluate/metrics.json"), run.json("data/index.json")
    result = {
        "status": "ok",
        "pipeline": "color",
        "seconds": 12.3,
        "stages": [
            {"name": "data", "key": "0123456789abcdef", "cache": "hit", "seconds": 0.1},
            {"name": "convert", "key": "fedcba9876543210", "cache": "miss", "seconds": 3.0},
        ],
        "metrics": {k: metrics[k] for k in ("float", "int8", "agreement") if k in metrics},
        "model": run.json("convert/model.json"),
        "benchmark": json.loads((run.folder / "benchmark" / "benchmark.json").read_text()),
        "drops": json.loads((run.folder / "package" / "drops.json").read_text()),
        "versions": {"tfedge": "0.1.0", "tensorflow": "2.21.0"},
        "data": {"digest": index["digest"], "counts": index["counts"]},
    }
    return run, result


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict]:
    return finished(tmp_path_factory.mktemp("report"), mislabelled=2)


def sections(text: str) -> dict[str, str]:
    parts = text.split("\n## ")
    return {part.split("\n", 1)[0]: part.split("\n", 1)[1].strip() for part in parts[1:]}


def test_report_has_every_section_filled(whole: tuple[Run, dict]) -> None:
    run, result = whole
    path = written.write(run.folder, result)
    assert path == run.folder / "report.md"
    found = sections(path.read_text("utf-8"))
    assert list(found) == SECTIONS
    assert not [name for name, text in found.items() if text == "Not run."]
    top1 = "83.3 % [55.2, 95.3]"
    assert f"| top-1 | {top1} | {top1} | 12 val examples |" in found["Result"]
    assert "| same answer as float |  | 100.0 % |" in found["Result"]
    assert "× as fast" in found["Result"] or "not significant" in found["Result"]
    assert "| zeros |  | 50.0 % |" in found["Result"]
    assert "0 float tensors" in found["Result"]
    assert "also chose the weights" in found["Result"]
    row = "| red | 100.0 % [34.2, 100.0] | 50.0 % [15.0, 85.0] | 66.7 % | 4 |"
    assert row in found["Classes"]
    assert found["Classes"].count("| red |") == 2, "float and int8"
    assert "| red | 2 | 2 | 0 |" in found["Confusion"]
    assert "15 bins: float 0." in found["Calibration"]
    assert "| examples with | float | int8 | int8 − float, points |" in found["Robustness"]
    assert "| as they are | 83.3 % | 83.3 % | +0.0 (p 1) |" in found["Robustness"]
    assert "| jpeg |" in found["Robustness"]
    assert "| float | 83.3 % | – | 12 | – | – | – | – |" in found["Result"]
    assert "| int8 | 83.3 % | 100.0 % | 12 | float | 0 | 0 | 1 |" in found["Result"]
    assert "| val/red/00.png | red | green |" in found["Worst images"]
    assert "| point | 32 | 50.0 % |" in found["Appendix: layers"]
    assert "model/depth/depthwise" in found["Appendix: layers"]
    assert "the lowest loss on the val examples (epoch 1)" in found["Training"]
    assert "measured on the same examples" in found["Training"]
    assert "| **all** | 12 |" in found["Data"]
    assert "0 images left out as bad" in found["Data"]
    assert "Licence: MIT" in found["Backbone and weights"]
    assert "LiteRT 2." in found["Benchmark"]
    assert "20 in 2" in found["Benchmark"]
    assert "| convert | `fedcba987654` | miss | 3.0 |" in found["Appendix: stages"]
    assert "| tensorflow | 2.21.0 |" in found["Appendix: versions"]
    resolved_file = (run.folder / "resolved.json").resolve()
    assert f"tfedge run {resolved_file}\n" in found["How to do it again"]
    assert load(run.folder / "resolved.json").pipeline == run.pipeline
    assert result["data"]["digest"] in found["How to do it again"]


def test_the_command_to_do_it_again_can_be_typed_where_tfedge_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = tmp_path / "runs" / "my run" / "resolved.json"
    resolved.parent.mkdir(parents=True)
    resolved.write_text(json.dumps({"data": {"path": str(tmp_path / "photos")}}))
    monkeypatch.chdir(tmp_path)
    text = "\n".join(render(_again(gather(resolved.parent, {}))))
    assert "```sh\ntfedge run 'runs/my run/resolved.json'\n```" in text
    assert "`--set data.path=…`" in text


def test_tables_are_whole(whole: tuple[Run, dict]) -> None:
    """Every row of a table has as many cells as its head."""
    run, result = whole
    lines = written.write(run.folder, result).read_text("utf-8").splitlines()
    width = 0
    for line in lines:
        bars = line.replace("\\|", "").count("|") if line.startswith("|") else 0
        assert not (bars and width) or bars == width, line
        width = bars


def test_a_failed_gate_is_told_with_what_there_is(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    evaluate.run(run.context("evaluate"))
    result = {
        "status": "failed",
        "pipeline": "color",
        "seconds": 3,
        "stages": [],
        "error": {
            "stage": "evaluate",
            "message": "gate failed: min_accuracy: limit 0.99, got 0.5",
            "hint": "train longer",
        },
    }
    text = written.write(run.folder, result).read_text("utf-8")
    assert "**failed**" in text
    assert "It stopped in stage `evaluate`" in text
    assert "limit 0.99, got 0.5" in text
    assert "Way out: train longer" in text
    found = sections(text)
    assert "Benchmark" not in found and "Not run, and so left out: Robustness" not in text
    assert "Benchmark" in next(line for line in text.splitlines() if line.startswith("Not run"))
    assert "top-1" in found["Result"]
    ended = summary(result, run.folder)
    assert ended.startswith("color: failed in 3 s")
    assert "top-1" in ended


def test_a_run_that_failed_at_once(tmp_path: Path) -> None:
    result = {
        "status": "failed",
        "pipeline": "color",
        "seconds": 0,
        "error": {"message": "photos: no such folder"},
    }
    text = written.write(tmp_path, result).read_text("utf-8")
    found = sections(text)
    there = ["What was run", "How to do it again", "Appendix: versions"]
    assert list(found) == there
    left_out = [name for name in NOT_EVALUATED if name not in there]
    assert f"Not run, and so left out: {', '.join(left_out)}." in text
    assert "no such folder" in text
    assert "color: failed" in summary(result, tmp_path)


def test_summary_is_the_table_of_the_issue(whole: tuple[Run, dict]) -> None:
    run, result = whole
    written.write(run.folder, result)
    text = summary(result, run.folder)
    lines = text.splitlines()
    assert lines[0] == "color: ok in 12 s, 1 of 2 stages from the cache"
    rows = {line.split("  ")[0]: line for line in lines}
    assert rows["top-1"].split()[1:5] == ["83.3", "%", "83.3", "%"]
    assert "12 val examples" in rows["top-1"]
    assert rows["macro recall"].count("83.3 %") == 2
    assert rows["size"].count("kB") == 2
    small = FLOAT.read_bytes(), INT8.read_bytes()
    shown = [f"{len(zlib.compress(content)) / 1e3:.1f} kB" for content in small]
    assert all(size in rows["size, deflated"] for size in shown)
    assert "± " in rows["latency, 1 thread"]
    assert "50.0 %" in rows["zeros"]
    assert "phases   float 83.3 % → int8 83.3 % (p 1)" in lines
    assert any(line.startswith("drop (linux)") and "drops/linux" in line for line in lines)
    assert any(line.startswith("report") and line.endswith("report.md") for line in lines)
    assert any(line.startswith("warning: the val examples also chose") for line in lines)
    places = ("drop", "report")
    assert max(len(line) for line in lines if not line.startswith(places)) <= WIDTH


def test_float_run_has_one_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "replay", lambda *_: None)
    run, result = finished(tmp_path, shipped=FLOAT, recipe="float", pruned=False)
    text = summary(result, run.folder)
    assert "int8" not in text
    assert "zeros" not in text
    assert "latency, 1 thread" in text
    found = sections(written.write(run.folder, result).read_text("utf-8"))
    assert "Nothing was pruned." in found["Sparsity"]
    assert "Shipped: float, recipe float" in found["Result"]


def test_clusters_are_told_layer_by_layer(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    layer = {"name": "point", "size": 32, "distinct": 16, "zeros": 8}
    layers = [layer | {"frozen": False}, layer | {"name": "below", "distinct": 31, "frozen": True}]
    run.add("cluster/clusters.json", {"clusters": 16, "layers": layers})
    result = {"status": "ok", "pipeline": "color", "seconds": 1}
    found = sections(written.write(run.folder, result).read_text("utf-8"))
    assert "Clustered to 16 values in each of 1 kernels" in found["Sparsity"]
    text = found["Appendix: layers"]
    assert "| point | 32 | 16 | 25.0 % |  |" in text
    assert "| below | 32 | 31 | 25.0 % | frozen |" in text
    kernel = next(line for line in text.splitlines() if line.startswith("| model/depth/depthwise"))
    assert kernel.count("|") == 6  # and how many values the file holds


def test_names_can_not_break_a_table() -> None:
    assert table(["a", "b"], [["x|y\nz", "<b>"]])[2] == "| x\\|y z | &lt;b> |"
    assert table(["a"], [[None]])[2] == "| – |"
    assert table(["", "a|b", "<b>"], [])[0] == "|  | a\\|b | &lt;b> |"


def test_many_classes_are_listed_by_mistake(whole: tuple[Run, dict], monkeypatch) -> None:
    run, result = whole
    monkeypatch.setattr("tfedge.tasks.classification.report._WIDE", 2)
    found = sections(written.write(run.folder, result).read_text("utf-8"))
    assert "| red | green | 2 |" in found["Confusion"]


def test_audit_findings_are_listed(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    image = {"path": "val/a.jpg", "label": "red", "split": "val"}
    other = {"path": "train/a.jpg", "label": "red", "split": "train"}
    audit = {
        "skipped": [{"path": f"{i}.jpg", "reason": "empty file"} for i in range(25)],
        "leaks": [{"pictures": [image, other], "dropped": ["train/a.jpg"]}],
        "conflicts": [],
        "duplicates": 3,
        "warnings": ["heavy imbalance"],
        "imbalance": 12.0,
    }
    (run.folder / "data" / "audit.json").write_text(json.dumps(audit))
    result = {"status": "ok", "pipeline": "color", "seconds": 1}
    data = sections(written.write(run.folder, result).read_text("utf-8"))["Data"]
    assert "25 images left out as bad" in data
    assert "- left out: 0.jpg (empty file)" in data
    assert "… and 5 more" in data
    assert "val/a.jpg (red, val) = train/a.jpg (red, train)" in data
    assert "- warning: heavy imbalance" in data


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run.folder / "convert" / "model.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"model\.json: can't be read"):
        written.write(run.folder, {"status": "ok", "pipeline": "color", "seconds": 1})
    assert not (run.folder / "report.md").exists()


def test_training_that_brought_nothing_is_told_at_the_end(tmp_path: Path) -> None:
    run, result = finished(tmp_path)
    path = run.folder / "finetune" / "history.json"
    history = json.loads(path.read_text())
    epochs = [{"epoch": 0, "val_loss": 1.05}, {"epoch": 1, "val_loss": 1.25}]
    history |= {"blocks": epochs, "best_epoch": 0}
    path.write_text(json.dumps(history))
    stopped = "the loss is nan in epoch 2"
    sparsity = json.loads((run.folder / "prune" / "sparsity.json").read_text())
    trial = {"split": "val", "n": 8, "before": 0.5, "top1": 0.25, "agreement": 0.5, "p": 0.5}
    trial |= {"gained": 0, "lost": 2, "significant": False, "state": "earlier", "epoch": 1}
    sparsity["trained"] = trial | {"stopped": stopped}
    (run.folder / "prune" / "sparsity.json").write_text(json.dumps(sparsity))
    blocks = (
        "training the blocks made it worse on the validation examples (loss 1.05 before, 1.25 at "
        "best): the model from before, with its new head alone, is kept"
    )
    pruning = (
        "pruning: on the validation examples top-1 50.0% before, 25.0% after (n = 8, p = 0.5); "
        f"{stopped}: training was stopped; the state of epoch 1 goes on; "
        "lower prune.learning_rate, or raise prune.steps"
    )
    shown = " ".join(summary(result, run.folder).split())
    report = written.write(run.folder, result).read_text("utf-8")
    for text in (shown, report):
        assert f"warning: float model: {blocks}" in text and f"warning: {pruning}" in text
        assert "training examples; lower finetune.unfreeze_learning_rate" in text
    # who has read it while the stages ran doesn't read it again
    again = summary(result, run.folder, told={f"warning: {pruning}"})
    assert "pruning:" not in again and "float model:" in again


def test_what_is_said_of_a_restless_latency_is_folded(tmp_path: Path) -> None:
    """The longest thing that is said of a latency: that nothing can be said of it."""
    run, result = finished(tmp_path, mislabelled=2)
    path = run.folder / "benchmark" / "benchmark.json"
    measured = json.loads(path.read_text())
    for one in measured:
        one["device"] = "raspberry-pi-5"
        for process in one["processes"]:
            count = len(process["samples_ns"])
            process["samples_ns"] = [50_000_000 * (1 + n % 3) for n in range(count)]
    path.write_text(json.dumps(measured))
    lines = summary(result | {"benchmark": measured}, run.folder).splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("latency, raspberry-pi-5"))
    begins = lines[first].index("not significant")
    told = [
        lines[first],
        *takewhile(lambda line: line.startswith(" " * begins), lines[first + 1 :]),
    ]
    remark = " ".join(line[begins:] for line in told)
    assert len(told) > 1 and remark == "not significant (1.00× as fast); unstable"
    assert max(map(len, lines[: first + len(told)])) <= WIDTH
