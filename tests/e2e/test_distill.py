"""A teacher of another architecture, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e import shapes
from tests.e2e.conftest import Workplace

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

    changed = ["--set", "distill.alpha=0.5", "--set", "prune.sparsity=0.4"]
    ran = place.tfedge("run", place.file, "--to", "prune", *changed)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (place.how()["distill"], place.how()["prune"]) == ("hit", "miss")
    # What was resolved is a pipeline that runs, and is known.
    ran = place.tfedge("run", place.run_dir / "resolved.json", "--to", "prune")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert set(place.how().values()) == {"hit"}
    assert json.loads((place.run_dir / "resolved.json").read_text())["distill"]["alpha"] == 0.5
