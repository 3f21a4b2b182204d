"""A run that is killed goes on where it stopped, and ends with the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.e2e import shapes
from tests.e2e.conftest import Workplace

STAGES = ("data", "backbone", "finetune", "prune", "quantize", "convert", "evaluate", "package")


def wait_for(workplace: Workplace, process: subprocess.Popen[bytes], stage: str) -> None:
    """Until the newest run has begun with ``stage``."""
    events = workplace.run_dir / "events.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, f"ended before {stage} began"
        if events.exists() and any(
            (event.get("stage"), event.get("event")) == (stage, "start")
            for event in map(json.loads, events.read_text(encoding="utf-8").splitlines())
        ):
            return
        time.sleep(0.02)
    raise AssertionError(f"{stage} did not begin")


def test_kill_in_each_stage(finished: Workplace, workplace: Workplace, photos: Path) -> None:
    shapes.pipeline(workplace.file, photos)
    for stage in STAGES:
        process = workplace.start("run", workplace.file)
        wait_for(workplace, process, stage)
        time.sleep(0.1)  # well inside it
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert not (workplace.run_dir / "run.json").exists()
        (workplace.run_dir / "events.jsonl").unlink()
    ran = workplace.tfedge("run", workplace.file)
    assert ran.returncode == 0, ran.stderr
    expected = json.loads((finished.folder / "first.json").read_text(encoding="utf-8"))
    assert workplace.result()["model"]["sha256"] == expected["model"]["sha256"]
    how = workplace.how()
    assert [how[stage] for stage in STAGES[:6]] == ["hit"] * 6  # each was done before the next kill
    drops = [place.run_dir / "drops" / "linux" for place in (finished, workplace)]
    for part in sorted(drops[0].rglob("*")):
        # The card and the manifest tell latencies, which no two runs share.
        if part.is_file() and part.name not in ("CARD.md", "MANIFEST.json"):
            other = drops[1] / part.relative_to(drops[0])
            assert part.read_bytes() == other.read_bytes(), part.name
    assert not any((workplace.cache / "stages" / "tmp").iterdir())


def test_ctrl_c_ends_cleanly(workplace: Workplace, photos: Path) -> None:
    shapes.pipeline(workplace.file, photos)
    process = workplace.start("run", workplace.file)
    wait_for(workplace, process, "finetune")
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert workplace.result()["status"] == "interrupted"
    assert not any((workplace.cache / "stages" / "tmp").iterdir())
