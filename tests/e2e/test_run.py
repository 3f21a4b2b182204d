"""The whole chain through the command line, as a user sees it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import schemas
from tests.e2e import shapes
from tests.e2e.conftest import ROOT, Workplace
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import LiteRT

STAGES = (
    "data backbone finetune prune quantize convert evaluate debug benchmark package".split()  # noqa: SIM905
)


def first(finished: Workplace) -> dict[str, Any]:
    return json.loads((finished.folder / "first.json").read_text(encoding="utf-8"))


def test_run_json_is_the_whole_result(finished: Workplace) -> None:
    result = first(finished)
    schemas.check("run", result)
    assert result["status"] == "ok" and result["pipeline"] == "tiny"
    assert [stage["name"] for stage in result["stages"]] == STAGES
    assert {stage["cache"] for stage in result["stages"]} == {"miss", "none"}
    assert all(len(stage["key"]) == 64 and stage["seconds"] >= 0 for stage in result["stages"])
    assert 0 <= result["metrics"]["int8"]["top1"] <= 1
    assert 0 <= result["metrics"]["int8"]["recall_macro"] <= 1
    assert 0 <= result["metrics"]["float"]["top1"] <= 1
    assert 0 <= result["metrics"]["agreement"] <= 1
    assert result["metrics"]["split"] == "test" and not result["metrics"]["chose_weights"]
    assert {row["threads"] for row in result["benchmark"]} == {1}
    assert result["drops"][0]["target"] == "linux"
    assert sum(result["data"]["counts"]["train"].values()) > 20
    assert {"tensorflow", "tf-keras", "ai-edge-litert", "tfedge"} <= set(result["versions"])


def test_the_file_is_what_run_json_says(finished: Workplace) -> None:
    model = first(finished)["model"]
    content = (finished.run_dir / model["path"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == model["sha256"]
    assert len(content) == model["bytes"]
    found = read(content)
    assert found.float_tensors() == [] and model["float_tensors"] == 0
    assert (found.inputs[0].dtype, found.inputs[0].shape) == ("uint8", (1, 32, 32, 3))
    assert model["input"] == {"dtype": "uint8", "shape": [1, 32, 32, 3]}
    assert found.inputs[0].quantization.zero_points == (0,)
    # One float32 rounding in the converter's (max - min) / 255.
    assert found.inputs[0].quantization.scales[0] == pytest.approx(1.0, abs=1e-6)
    assert model["output"] == {"dtype": "uint8", "shape": [1, 3]}
    assert not [t.name for t in found.tensors if -1 in t.shape_signature]


def test_half_of_all_prunable_weights_are_zero_in_the_file(finished: Workplace) -> None:
    kernels = [
        kernel
        for kernel in read(finished.run_dir / "convert" / "model.tflite").kernels()
        if kernel.op == "CONV_2D" and not kernel.is_first
    ]
    share = sum(kernel.zeros for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert share >= 0.5
    assert first(finished)["model"]["sparsity"] == pytest.approx(share)


def test_the_terminal_shows_the_table_and_no_noise(finished: Workplace) -> None:
    shown = (finished.folder / "stdout.txt").read_text(encoding="utf-8")
    for word in ("top-1", "macro recall", "size", "zeros", "float", "int8", "report.md", "linux"):
        assert word in shown
    everything = shown + (finished.folder / "stderr.txt").read_text(encoding="utf-8")
    for noise in ("I0000", "WARNING", "XNNPACK", "cudart", "Traceback", "oneDNN"):
        assert noise not in everything
    assert "weights: none" in everything  # random weights are said aloud


def test_the_drop_works_on_its_own(finished: Workplace) -> None:
    drop = finished.run_dir / first(finished)["drops"][0]["path"]
    manifest = json.loads((drop / "MANIFEST.json").read_text(encoding="utf-8"))
    schemas.check("manifest", manifest)
    for name, facts in manifest["files"].items():
        assert hashlib.sha256((drop / name).read_bytes()).hexdigest() == facts["sha256"], name
    photo = next(Path(json.loads(json.dumps(str(finished.folder)))).parent.rglob("000.png"))
    for arguments in (["--check"], [str(photo)]):
        ran = subprocess.run(
            [sys.executable, drop / "classify.py", *arguments], capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
    assert any(label in ran.stdout for label in shapes.CLASSES)


def test_the_report_stands_beside_it(finished: Workplace) -> None:
    report = (finished.run_dir / "report.md").read_text(encoding="utf-8")
    for word in ("top-1", "Confusion", "block_16_project", "disc", "ring", "square"):
        assert word in report


def test_runs_of_other_sparsities_and_nets_are_compared_and_reported(
    finished: Workplace, photos: Path
) -> None:
    """By the same examples, on this machine; the page plots them, and evaluate agrees."""
    others = {"sparse": "prune.sparsity=0.75", "wide": "backbone.alpha=0.5"}
    brief = ("evaluate.robustness=0", "quantize.recipe=ptq", "quantize.correct=false")
    for name, changed in others.items():
        options = [one for key in (changed, *brief) for one in ("--set", key)]
        ran = finished.tfedge("run", finished.file, "--run-dir", name, *options)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    ran = finished.tfedge("compare", finished.run_dir.resolve(), *others, "--html", "page.html")
    assert ran.returncode == 0, ran.stderr
    assert "Pareto front" in ran.stdout and "prune.sparsity" in ran.stdout
    page = (finished.folder / "page.html").read_text("utf-8")
    assert page.count("fill-opacity: 0.75") == 3  # a disc for each
    assert "stroke-dasharray" in page and "backbone.alpha" in page
    assert finished.tfedge("report", "sparse", "--md", "review.md").returncode == 0
    assert "| prune.sparsity | 0.75 |" in (finished.folder / "review.md").read_text("utf-8")
    ran = finished.tfedge("evaluate", "sparse", "sparse", "--json")
    assert ran.returncode == 0, ran.stderr
    measured = json.loads((finished.folder / "sparse" / "evaluate" / "metrics.json").read_text())
    assert json.loads(ran.stdout)["confusion"] == measured["int8"]["confusion"]


def test_again_is_all_hits_and_one_key_runs_what_follows(finished: Workplace) -> None:
    digest = first(finished)["model"]["sha256"]
    assert finished.tfedge("run", finished.file).returncode == 0
    assert {name for name, how in finished.how().items() if how != "hit"} == {"benchmark"}
    assert finished.result()["model"]["sha256"] == digest

    assert finished.tfedge("run", finished.file, "--set", "quantize.epochs=2").returncode == 0
    how = finished.how()
    assert [n for n in STAGES if how[n] == "hit"] == ["data", "backbone", "finetune", "prune"]
    assert finished.result()["model"]["sha256"] != digest


def test_adding_a_photo_moves_no_other(
    finished: Workplace, workplace: Workplace, photos: Path, tmp_path: Path
) -> None:
    import shutil

    more = tmp_path / "more"
    shutil.copytree(photos, more)
    shapes.draw("disc", 999).save(more / "disc" / "999.png")
    shapes.pipeline(workplace.file, more)
    assert workplace.tfedge("run", workplace.file, "--to", "data").returncode == 0
    rows = [
        json.loads((place.run_dir / "data" / "index.json").read_text(encoding="utf-8"))["rows"]
        for place in (finished, workplace)
    ]
    before, after = ({row[0]: row[2] for row in found} for found in rows)
    assert after.keys() - before.keys() == {"disc/999.png"}
    assert all(after[path] == split for path, split in before.items())


def test_the_shipped_file_answers_as_evaluated(finished: Workplace) -> None:
    runtime = LiteRT(finished.run_dir / "convert" / "model.tflite")
    pixels = np.asarray(shapes.draw("ring", 5).resize((32, 32)))
    (scores,) = runtime.invoke(pixels[None])
    # uint8 scores of a softmax: their sum is 255 or 256 but for each one's rounding.
    assert scores.dtype == np.uint8 and abs(int(scores.sum()) - 256) <= 3


def test_a_gate_that_fails_has_its_own_exit_code(finished: Workplace) -> None:
    ran = finished.tfedge("run", finished.file, "--set", "evaluate.gates.max_size=1000")
    assert ran.returncode == 6
    assert "max_size" in ran.stderr and "1,000" in ran.stderr.replace("1000", "1,000")
    result = finished.result()
    assert result["status"] == "gate failed" and result["drops"] == []
    assert (finished.run_dir / "report.md").exists()


def test_a_device_that_is_away_is_a_gap_or_an_error_before_anything_runs(
    finished: Workplace,
) -> None:
    away = "name: far, address: 'ssh://nobody@127.0.0.1:1'"
    devices = f"benchmark.devices=[local, {{{away}, optional: true}}]"
    ran = finished.tfedge("run", finished.file, "--set", devices)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = finished.result()["benchmark"]
    assert {row["device"] for row in rows} == {"local", "far"}
    assert "refused" in rows[-1]["missing"] and "summary" not in rows[-1]
    assert "not measured: it was away" in ran.stdout
    report = (finished.run_dir / "report.md").read_text(encoding="utf-8")
    assert "| far | not measured |" in report

    ran = finished.tfedge("run", finished.file, "--set", f"benchmark.devices=[{{{away}}}]")
    assert ran.returncode == 8 and "refused" in ran.stderr and "hint: " in ran.stderr
    assert finished.result()["stages"] == []


@pytest.mark.parametrize("what", ["scores", "ptq"])
def test_what_tables_compare_with_is_the_float_model(
    finished: Workplace, tmp_path: Path, what: str
) -> None:
    """tools/accuracy_float.py: the same float model in the shape that another quantizer takes, and
    quantized by TensorFlow's converter alone."""
    drawn = [shapes.draw(label, seed) for label in shapes.CLASSES for seed in range(3)]
    pixels = np.stack([np.asarray(image.resize((32, 32))) for image in drawn])
    np.save(tmp_path / "pixels.npy", pixels)
    target = tmp_path / "made.tflite"
    run, script = finished.folder / "first", ROOT / "tools" / "accuracy_float.py"
    tool = [sys.executable, script, what, run, target]
    calibration = [tmp_path / "pixels.npy"] if what == "ptq" else []
    assert subprocess.run([*tool, *calibration]).returncode == 0
    made = read(target.read_bytes())
    assert made.inputs[0].dtype == {"scores": "float32", "ptq": "uint8"}[what]
    assert (made.float_tensors() == []) is (what == "ptq")
    plain = LiteRT(run / "convert" / "float.tflite")
    other, scale = LiteRT(target), {"scores": 1.0, "ptq": 1 / 256}[what]
    exact = np.concatenate([plain.invoke(image)[0] for image in pixels[:, None]])
    given = [other.invoke(one.astype(made.inputs[0].dtype))[0] * scale for one in pixels[:, None]]
    apart = np.abs(np.concatenate(given) - exact).mean()
    # ptq: less than what tells one drawing from another of another class, or it is no copy at all
    limit = {"scores": 1e-6, "ptq": np.abs(np.roll(exact, 3, axis=0) - exact).mean() / 2}[what]
    assert apart < limit
