"""A teacher of another architecture, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.e2e import shapes
from tests.e2e.conftest import Workplace
from tfedge.tflite.reader import read

TEACHER = {"name": "MobileNet", "alpha": 0.25, "weights": "none", "image_size": 48}


def test_the_teacher_is_asked_once(finished: Workplace, photos: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path, finished.cache)
    distill = {"teacher": TEACHER, "epochs": 2}
    shapes.pipeline(place.file, photos, quantize=None, package=None, distill=distill)
    ran = place.tfedge("run", place.file, "--to", "prune")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert place.how()["distill"] == place.how()["prune"] == "miss"
    assert "teacher: MobileNet, " in ran.stderr and "(the float model: " in ran.stderr
    said = place.result()["distill"]
    assert (said["name"], said["net"]["image_size"]) == ("MobileNet", 48)
    report = (place.run_dir / "report.md").read_text(encoding="utf-8")
    assert "\n## Teacher\n" in report and "### Head of the teacher" in report
    worse = said["val_accuracy"] < said["float"]["val_accuracy"]
    assert ("is worse than the float model" in " ".join(ran.stdout.split())) == worse

    changed = ["--set", "prune.teacher=0.5", "--set", "prune.sparsity=0.4"]
    ran = place.tfedge("run", place.file, "--to", "prune", *changed)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (place.how()["distill"], place.how()["prune"]) == ("hit", "miss")
    # What was resolved is a pipeline that runs, and is known.
    ran = place.tfedge("run", place.run_dir / "resolved.json", "--to", "prune")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert set(place.how().values()) == {"hit"}
    assert json.loads((place.run_dir / "resolved.json").read_text())["prune"]["teacher"] == 0.5


def test_a_teacher_beside_groups_kept_layers_and_debug(
    finished: Workplace, photos: Path, tmp_path: Path
) -> None:
    """Each is tested on its own elsewhere; here they meet in one run."""
    place = Workplace(tmp_path, finished.cache)
    shapes.pipeline(
        place.file,
        photos,
        prune={
            "sparsity": 0.5,
            "sparsity_m_by_n": [2, 4],
            "also": ["head"],
            "epochs": 1,
            "steps": 0,
        },
        distill={"teacher": "float", "temperature": 3},
        quantize={
            "epochs": 1,
            "steps": 0,
            "representative": 16,
            "keep": {"logits": "int16"},
            "debug": True,
        },
        benchmark=None,
    )
    ran = place.tfedge("run", place.file)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = place.result()
    assert result["model"]["kept"] == {"logits": "int16"}
    model = read(place.run_dir / result["model"]["path"])
    for layer in ("block_16_expand", "Conv_1", "logits"):
        (kernel,) = [k for k in model.kernels() if f"{layer}/" in k.tensor]
        (tensor,) = [t for t in model.tensors if t.name == kernel.tensor and t.is_const]
        values = np.ravel(tensor.values()).reshape(-1, 4)
        assert tensor.dtype == "int8" and ((values == 0).sum(1) >= 2).all(), layer
    debug = json.loads((place.run_dir / "debug" / "debug.json").read_text(encoding="utf-8"))
    assert debug["now"]["kept"] == {"logits": "int16"} and debug["layers"][0]["divergence"] > 0
