"""What MLflow hears of a run: the real library, where it is installed, and plain files."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from core_fakes import TABLE, calls, prepare

from tfedge import api
from tfedge.cli import main
from tfedge.core import engine, plan, tracking
from tfedge.errors import ArtifactError, GateFailed, MissingDependency

RESULT: dict[str, Any] = {
    "status": "ok",
    "seconds": 12.5,
    "metrics": {"split": "test", "float": {"top1": 0.9, "top1_ci95": [0.8, 1.0]}, "shares": True},
    "model": {"path": "convert/model.tflite", "bytes": 1234, "sparsity": None},
    "benchmark": [
        {"model": "int8", "device": "pi[4]", "threads": 2, "summary": {"median": 3_500_000.0}}
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline whose stages are fakes."""
    monkeypatch.setattr(plan, "select", partial(plan.select, stages=TABLE))
    monkeypatch.setattr(engine, "run", partial(engine.run, report="core_fakes:report"))
    return prepare(tmp_path)


def ran(folder: Path, place: str | None = None, **keys: object) -> api.Run:
    more = {} if place is None else {"track.mlflow": place}
    return api.run(
        folder / "fake.yaml", {**more, **keys}, cache=folder / "cache", runs=folder / "runs"
    )


def test_what_is_told_of_a_pipeline() -> None:
    keys = {"name": "a", "data": {"path": "p", "classes": ["c"] * 300}, "track": {"mlflow": "m"}}
    found = tracking.parameters(keys)
    assert found.keys() == {"name", "data.path", "data.classes"}
    assert found["data.path"] == "p"
    assert len(found["data.classes"]) == 500 and found["data.classes"].endswith("…")


def test_what_is_told_of_a_result() -> None:
    assert tracking.figures(RESULT) == {
        "metrics/float/top1": 0.9,
        "model/bytes": 1234.0,
        "latency/int8_ pi_4__ 2 threads/median ms": 3.5,
        "seconds": 12.5,
    }
    assert tracking.figures({**RESULT, "model": None, "metrics": {}, "benchmark": []}) == {
        "seconds": 12.5
    }


def test_a_missing_library_is_told_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="MLflow is not installed") as error:
        ran(folder, "mlruns")
    assert error.value.hint == "pip install 'tfedge[mlflow]'"
    assert calls(folder) == [] and not (folder / "runs").exists()
    words = [str(folder / "fake.yaml"), "--set", "track.mlflow=mlruns", "--cache", str(folder)]
    assert main(["check", *words]) == 0
    told = capsys.readouterr().out
    assert "note: track.mlflow: MLflow is not installed: pip install 'tfedge[mlflow]'" in told


# ------------------------------------------------------------------ with the library


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Of a store of plain files, which is where the pipelines tell their runs."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    tracking_module = pytest.importorskip("mlflow.tracking")
    return tracking_module.MlflowClient(tracking_uri=(tmp_path / "ml runs").as_uri())


def only_run(client: Any) -> Any:
    experiment = client.get_experiment_by_name("fake")
    (found,) = client.search_runs([experiment.experiment_id])
    return found


def test_a_run_is_told_with_its_files(folder: Path, client: Any) -> None:
    first = ran(folder)
    before = len(calls(folder))
    environment = dict(os.environ)
    done = ran(folder, str(folder / "ml runs"), **{"benchmark.runs": 12})
    assert dict(os.environ) == environment
    again = [name for name in calls(folder)[before:] if name not in ("benchmark", "package")]
    assert again == []  # all of these came from the cache, though the pipeline has a key more
    keyed = {stage.name: stage.key for stage in first.stages if stage.name != "benchmark"}
    assert keyed.items() <= {stage.name: stage.key for stage in done.stages}.items()
    found = only_run(client)
    assert found.info.status == "FINISHED" and found.info.run_name == done.directory.name
    assert (
        found.data.params["quantize.epochs"] == "2" and found.data.params["benchmark.runs"] == "12"
    )
    assert "track.mlflow" not in found.data.params
    assert found.data.tags["tfedge.status"] == "ok"
    told = tracking.figures(done.result)
    assert found.data.metrics == told and len(told) > 3
    files = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert {"run.json", "pipeline.yaml", "model"} <= files
    kept = client.download_artifacts(found.info.run_id, "model/model.tflite", str(folder))
    assert done.model is not None and Path(kept).read_bytes() == done.model.read_bytes()


def test_a_run_that_fails_a_gate_is_told_as_failed(folder: Path, client: Any) -> None:
    with pytest.raises(GateFailed):
        ran(folder, str(folder / "ml runs"), **{"evaluate.gates.min_accuracy": 1.0})
    found = only_run(client)
    assert found.info.status == "FAILED" and found.data.tags["tfedge.status"] == "gate failed"
    assert found.data.metrics


def test_a_run_whose_files_mlflow_refuses_does_not_stay_at_work(
    folder: Path, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def refuse(*_: object) -> None:
        raise MlflowException("no room")

    monkeypatch.setattr("mlflow.tracking.MlflowClient.log_artifact", refuse)
    with pytest.raises(ArtifactError, match=r"which is whole: no room"):
        ran(folder, str(folder / "ml runs"))
    assert only_run(client).info.status == "FAILED"


def test_mlflow_that_cannot_take_it_leaves_the_run_whole(folder: Path, client: Any) -> None:
    (folder / "taken").write_text("a file, and no folder")
    with pytest.raises(ArtifactError, match=r"MLflow could not take the run in .* which is whole"):
        ran(folder, str(folder / "taken"))
    (run,) = (path for path in (folder / "runs").iterdir() if not path.is_symlink())
    assert api.Run.read(run).status == "ok"
