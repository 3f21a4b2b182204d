"""The Python API from start to end: in a thread, as a notebook would, and the README's example."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import tfedge
from tests.e2e import shapes
from tests.e2e.conftest import ROOT, Workplace
from tfedge.files.artifact import sha256_file

IN_A_THREAD = """
import json, os, signal, sys, threading
from tfedge import Run, RunProgress, run

class Printing(RunProgress):
    def start(self, stage, number, total):
        print(f"heard of {stage}", flush=True)
        os.write(1, f"and written {stage}\\n".encode())

before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
results = []
ask = lambda: results.append(run(sys.argv[1], progress=Printing(), to_stage="evaluate"))
thread = threading.Thread(target=ask)
thread.start()
thread.join()
(done,) = results
assert isinstance(done, Run) and Run.read(done.directory) == done
assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
print(json.dumps({"model": str(done.model), "metrics": done.metrics, "status": done.status}))
"""


def python(place: Workplace, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=place.folder,
        env=place.environment(),
        capture_output=True,
        text=True,
        timeout=1200,
    )


def test_a_run_in_a_thread_gives_the_bytes_of_the_command(
    finished: Workplace, workplace: Workplace, photos: Path
) -> None:
    """Elsewhere, and with a cache of its own: everything is computed again, by TensorFlow in that
    thread."""
    shapes.pipeline(workplace.file, photos)
    ran = python(workplace, "-c", IN_A_THREAD, str(workplace.file))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    *heard, last = ran.stdout.splitlines()
    for stage in ("data", "finetune", "quantize", "convert", "evaluate"):
        assert {f"heard of {stage}", f"and written {stage}"} <= set(heard)
    done, command = json.loads(last), json.loads((finished.folder / "first.json").read_text())
    assert done["status"] == "ok"
    assert sha256_file(Path(done["model"])) == command["model"]["sha256"]
    assert done["metrics"] == command["metrics"]
    assert "Traceback" not in ran.stderr and len(ran.stderr.splitlines()) < 20, ran.stderr


def example() -> str:
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
    return block


def test_the_example_of_the_readme_runs(
    finished: Workplace, workplace: Workplace, photos: Path
) -> None:
    """As it stands there, in a folder with the file and the photos that it names."""
    code = example()
    functions = [name for name in tfedge.__all__ if name.islower()]
    assert len(functions) == 14 and all(re.search(rf"\b{name}\(", code) for name in functions)
    shutil.copyfile(finished.file, workplace.folder / "mine.yaml")
    (workplace.folder / "photos").symlink_to(photos)
    (workplace.folder / "inbox").mkdir()
    shutil.copy(next(photos.glob("**/*.png")), workplace.folder / "inbox")
    (workplace.folder / "example.py").write_text(code, encoding="utf-8")
    ran = python(Workplace(workplace.folder, finished.cache), "example.py")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    command = json.loads((finished.folder / "first.json").read_text())
    said = ran.stdout
    assert f"ok {command['metrics']['int8']['top1']} " in said
    assert "[1/10] data       from the cache" in said
    assert re.search(r"^\d+ multiply-accumulates$", said, re.M)
    assert len(re.findall(r"^[12] [\d.]+ ms$", said, re.M)) == 2
    for what in ("files", "model", "labels", "golden pairs"):
        assert f"{what} ok\n" in said
