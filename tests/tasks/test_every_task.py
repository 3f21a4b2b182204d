"""The same checks for every task: what is promised does not depend on which one it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.schemas import check
from tests.tasks.conftest import Done
from tfedge.api import Run, compare, evaluate
from tfedge.api import predict as predict_files
from tfedge.core.outputs import Change, Evaluation
from tfedge.core.outputs import read as read_output
from tfedge.data.schema import Data
from tfedge.drops.verify import verify
from tfedge.pipeline.schema import pipeline_of
from tfedge.tasks.paired import compared
from tfedge.tasks.task import Examples
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import predict

INDEX = "data/index.json"


def examples(done: Done) -> Examples:
    data = pipeline_of(json.loads((done.run_dir / "resolved.json").read_text("utf-8"))).data
    cache = done.folder / "cache"
    return done.work.examples(done.run_dir / INDEX, data, root(data, cache), cache)


def root(data: Data, cache: Path) -> Path:
    from tfedge.data.sources import data_root

    return data_root(data, cache)


def outputs(done: Done, rows: list[int], file: str = "convert/model.tflite") -> np.ndarray:
    return predict(done.run_dir / file, examples(done).inputs(rows))


def test_its_row_needs_neither_numpy_nor_tensorflow(done: Done) -> None:
    name = type(done.task).__module__, done.task.work.rpartition(".")[0]
    code = (
        f"import sys, importlib; importlib.import_module('{name[1]}.schema')\n"
        "assert not {'numpy', 'tensorflow', 'PIL', 'tf_keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_key_of_another_world_is_named(done: Done, capsys: pytest.CaptureFixture[str]) -> None:
    file = done.folder / "wrong.yaml"
    content = done.content
    file.write_text(json.dumps({**content, "data": {**content["data"], "flavour": 1}}))
    assert main_check(file) == 2
    assert "data.flavour: unknown key" in capsys.readouterr().err


def main_check(file: Path) -> int:
    from tfedge.cli import main

    return main(["check", str(file)])


def test_the_run_is_whole(done: Done) -> None:
    result = done.json("run.json")
    assert (result["status"], result["task"]) == ("ok", done.task.name)
    assert {row["name"] for row in result["stages"]} >= {"data", "finetune", "quantize", "package"}


def test_the_file_takes_raw_inputs_and_is_all_int8(done: Done) -> None:
    model = read(done.run_dir / "convert" / "model.tflite")
    (given,) = examples(done).inputs([0])
    parts = given if len(model.inputs) > 1 else [given]  # of several inputs
    assert {port.dtype for port in model.inputs} == {given.dtype.name}
    assert [port.shape for port in model.inputs] == [(1, *part.shape) for part in parts]
    assert model.float_tensors() == []


def test_the_figures_are_those_of_the_file(done: Done) -> None:
    """Computed once more from the file that ships; LiteRT gives the same every time."""
    found, key = done.json("evaluate/metrics.json"), done.task.primary.key
    rows = examples(done).rows_of(found["split"])
    truth = examples(done).targets(rows)
    for name, file in (("int8", "convert/model.tflite"), ("float", "convert/float.tflite")):
        got = done.work.primary(outputs(done, rows, file), truth)
        assert got == pytest.approx(found[name][key], rel=1e-6)
    assert [row["phase"] for row in found["phases"]] == ["float", "pruned", "int8"]
    assert (
        found["phases"][-1][key]
        == found["int8"][key]
        == done.json("run.json")["metrics"]["int8"][key]
    )
    assert found["n"] == len(rows)


def test_a_model_compared_with_itself_has_changed_nothing(done: Done) -> None:
    rows = examples(done).rows_of("test")[:50]
    said, truth = outputs(done, rows), examples(done).targets(rows)
    quality = done.work.quality(said, truth)
    assert quality.shape == (50,)
    assert compared(quality, quality) == Change(gained=0, lost=0, p=1.0)
    assert done.work.same(said, said).all() and done.work.same(said, said).shape == (50,)
    assert done.work.divergence(said, said) == pytest.approx(0, abs=1e-9)


def test_perfect_answers_are_best(done: Done) -> None:
    """Quality is higher, and the primary metric better, for the answers that are nearer."""
    rows = examples(done).rows_of("test")
    said, truth = outputs(done, rows), examples(done).targets(rows)
    half = len(rows) // 2
    truth = np.concatenate([truth[:half], truth[half:][::-1]])  # a sample may have no wrong answer
    quality = done.work.quality(said, truth)
    order = np.argsort(quality)
    worse, better = (
        done.work.primary(said[part], truth[part]) for part in (order[:half], order[-half:])
    )
    assert done.task.primary.lost(better, worse) > 0


def test_outputs_of_another_shape_are_refused(done: Done) -> None:
    rows = examples(done).rows_of("test")[:3]
    said = outputs(done, rows)
    assert done.work.problem(said, examples(done)) is None
    for wrong in (np.concatenate([said, said], 1), np.full_like(said, np.nan)):
        expected, got = done.work.problem(wrong, examples(done)) or ("", "")
        assert expected and got


def test_corruptions_change_an_input_the_same_way_every_time(done: Done) -> None:
    (given,) = examples(done).inputs([0])
    for corrupt in done.work.corruptions(examples(done)).values():
        first, second, other = corrupt(given, 1), corrupt(given, 1), given
        assert (first.dtype, first.shape) == (given.dtype, given.shape)
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()


def test_robustness_is_told_for_each_phase(done: Done) -> None:
    found = done.json("evaluate/metrics.json")["robustness"]
    assert list(found["models"]) == ["float", "pruned", "int8"]
    assert set(found["models"]["int8"]) == {"none", *done.work.corruptions(examples(done))}
    assert found[done.task.primary.key] == found["models"]["int8"]
    noise = done.work.noise  # prune and quantize have shown some of it
    assert found["trained_with"] == [noise]
    assert f"shown others with {noise}, too." in (done.run_dir / "report.md").read_text("utf-8")


def test_representative_examples_are_of_the_split_and_the_same_every_time(done: Done) -> None:
    every = examples(done)
    chosen = every.representative(20, 3)
    assert chosen == every.representative(20, 3) and len(set(chosen)) == 20
    assert set(chosen) <= set(every.rows_of("train"))
    assert len(every.representative(10**6, 3)) == len(every.rows_of("train"))


def test_the_report_speaks_of_it(done: Done) -> None:
    text = (done.run_dir / "report.md").read_text("utf-8")
    found = read_output(done.run_dir / "evaluate" / "metrics.json", Evaluation)
    assert f"| {done.task.primary.label} | " in text
    for part in done.work.answers(found, examples(done)):
        assert f"## {part.title}\n" in text
    assert "None |" not in text


def test_run_and_drop_are_as_their_schemas_say(done: Done) -> None:
    check("run", done.json("run.json"))
    for target in done.targets:
        check("manifest", done.json(f"drops/{target}/MANIFEST.json"))


def test_each_drop_holds_and_a_changed_answer_does_not(done: Done, tmp_path: Path) -> None:
    for target in done.targets:
        drop = done.run_dir / "drops" / target
        manifest = json.loads((drop / "MANIFEST.json").read_text("utf-8"))
        assert (manifest["task"], manifest["target"]) == (done.task.name, target)
        assert done_verify(drop) == 0
        pairs, told = len(manifest["golden"]), verify(drop)[-1].found
        assert told.startswith(f"{pairs} of {pairs} identical")  # by the runtime that made them
        copy = Path(shutil.copytree(drop, tmp_path / target))
        pair = copy / manifest["golden"][0]["output"]
        pair.write_bytes(bytes(255 - byte for byte in pair.read_bytes()))
        assert done_verify(copy) == 9


def test_each_drop_is_taken_out(done: Done, tmp_path: Path) -> None:
    from tfedge.cli import main

    assert main(["package", str(done.run_dir), "--archive", "zip", "--out", str(tmp_path)]) == 0
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {f"tiny-{target}.zip" for target in done.targets}
    assert {done_verify(path) for path in tmp_path.iterdir()} == {0}


def test_each_drop_has_the_file_that_was_measured(done: Done) -> None:
    """Its bytes as they are, behind what a target puts in front of them."""
    measured = (done.run_dir / "convert" / "model.tflite").read_bytes()
    for target in done.targets:
        drop = done.run_dir / "drops" / target
        manifest = json.loads((drop / "MANIFEST.json").read_text("utf-8"))
        assert measured in (drop / manifest["model"]).read_bytes()


def done_verify(drop: Path) -> int:
    from tfedge.cli import main

    return main(["verify", str(drop)])


def test_predict_asks_the_run_and_the_drop_as_the_task_reads_files(done: Done) -> None:
    """Each file, read anew, is answered as the run's own examples are."""
    data = pipeline_of(json.loads((done.run_dir / "resolved.json").read_text("utf-8"))).data
    rows = examples(done).rows_of("test")[:20]
    folder = root(data, done.folder / "cache")
    files = [folder / name for name in examples(done).names(rows)]
    drop = done.run_dir / "drops" / "linux"
    manifest = json.loads((drop / "MANIFEST.json").read_text("utf-8"))
    reader = done.work.reader(manifest, lambda name: (drop / name).read_bytes())
    expected = [reader.answer(scores, 2).facts for scores in outputs(done, rows)]
    assert len({json.dumps(facts) for facts in expected}) > 1
    for place in (done.run_dir, drop, done.run_dir / "convert" / "model.tflite"):
        found = [*predict_files(place, files, top=2, cache=done.folder / "cache")]
        assert [one.input for one in found] == [str(file) for file in files]
        assert [one.answer and one.answer.facts for one in found] == expected


def test_answers_are_drawn_into_copies_or_refused(done: Done, tmp_path: Path) -> None:
    """Of the run and of the drop the same."""
    data = pipeline_of(json.loads((done.run_dir / "resolved.json").read_text("utf-8"))).data
    row = examples(done).rows_of("test")[:1]
    (name,) = examples(done).names(row)
    file = root(data, done.folder / "cache") / name
    drop = done.run_dir / "drops" / "linux"
    manifest = json.loads((drop / "MANIFEST.json").read_text("utf-8"))
    reader = done.work.reader(manifest, lambda name: (drop / name).read_bytes())
    drawing, before, copies = reader.drawing(), file.read_bytes(), []
    for number, place in enumerate((done.run_dir, drop)):
        out = tmp_path / str(number)
        if drawing is None:
            assert done.tfedge("predict", place, file, "--draw", out) == 2
            assert not out.exists()
        else:
            (found,) = predict_files(place, file, draw=out, cache=done.folder / "cache")
            assert found.drawn is not None and [*out.iterdir()] == [found.drawn]
            copies.append(found.drawn.read_bytes())
    assert file.read_bytes() == before
    assert len(set(copies)) == (0 if drawing is None else 1) and before not in copies


def test_evaluate_measures_the_run_and_the_drop_as_the_run_did(done: Done) -> None:
    """The files are read anew, and as whoever has the model alone reads them."""
    metrics = json.loads((done.run_dir / "evaluate" / "metrics.json").read_text("utf-8"))
    expected = metrics[metrics["shipped"]]
    cache = done.folder / "cache"
    of_run = {"task": done.task.name, "split": metrics["split"], **expected}
    for place in (done.run_dir, done.run_dir / "drops" / "linux", Run.read(done.run_dir)):
        found = evaluate(place, done.run_dir, cache=cache)
        assert json.loads(json.dumps(found)) == of_run
        assert f"{metrics['n']} {done.task.data.kind.many}" in found.lines[0]
    path = pipeline_of(json.loads((done.run_dir / "resolved.json").read_text("utf-8"))).data.path
    everything = evaluate(done.run_dir, str(path), cache=cache)
    assert everything["n"] >= metrics["n"] and done.task.primary.key in everything


def test_nothing_is_done_twice(done: Done) -> None:
    again = done.folder / "again"
    assert done.tfedge("run", done.file, "--run-dir", again) == 0
    first, second = (json.loads((d / "run.json").read_text()) for d in (done.run_dir, again))
    assert {row["cache"] for row in second["stages"]} == {"hit"}
    assert first["model"]["sha256"] == second["model"]["sha256"]
    found = compare([done.run_dir, again])
    assert not [reason for reason in found.unranked if "examples" in reason]
    digests = {done.work.split_digest(done.run_dir / INDEX, split) for split in ("val", "test")}
    assert found.runs[0].examples == found.runs[1].examples and len(digests) == 2
    assert found.runs[0].examples in digests


def test_a_gate_that_is_missed_stops_the_run(done: Done) -> None:
    gate = "evaluate.gates.max_size=1"
    assert done.tfedge("run", done.file, "--run-dir", done.folder / "gate", "--set", gate) == 6
