"""tfedge and the helpers beside it, each in a process of its own, one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy_sets import once
from page import ROOT

STAGES = ("finetune", "prune", "quantize", "convert")
WRONG = 2  # tfedge's exit code for a pipeline that it does not understand
AEQ = "ai-edge-quantizer==0.10.0"


class Failed(Exception):
    """A process ended with an error; its last words."""


@dataclass(frozen=True)
class Run:
    """A finished ``tfedge run``."""

    folder: Path

    @property
    def plain(self) -> Path:
        """The float model."""
        return self.folder / "convert" / "float.tflite"

    @property
    def shipped(self) -> Path:
        return self.folder / "convert" / "model.tflite"

    def read(self, name: str) -> dict[str, Any]:
        """One of its JSON files; empty when it has none of that name."""
        file = self.folder / name
        found: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
        return found

    def seconds(self) -> dict[str, float]:
        """How long each stage that trains or converts took when it last ran."""
        found = {name: self.read(f"{name}/stage.json") for name in STAGES}
        return {name: stage["seconds"] for name, stage in found.items() if stage}


def called(*command: object, accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """A finished process of this checkout. Raises Failed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [*map(str, command)]
    ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    if ended.returncode not in accept:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        raise Failed(f"exit code {ended.returncode}: {' '.join(said[-3:])}")
    return ended


def tfedge(*words: object, accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    return called(sys.executable, "-m", "tfedge", *words, accept=accept)


def refused(content: Mapping[str, Any], work: Path) -> str:
    """Why this tfedge does not know a pipeline; empty when it does."""
    file = work / "check.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    ended = tfedge("check", file, accept=(0, WRONG))
    return ended.stderr.strip() if ended.returncode else ""


def run(content: Mapping[str, Any], work: Path, cache: Path) -> Run:
    """Run a pipeline below ``work``."""
    file, folder = work / "pipeline.yaml", work / "run"
    file.write_text(json.dumps(content), encoding="utf-8")  # JSON is YAML
    tfedge("run", file, "--run-dir", folder, "--cache", cache)
    return Run(folder)


def reshaped(what: str, made: Run, target: Path, *pixels: Path) -> Path:
    """The float model of a run as tools/accuracy_float.py writes it."""
    script = ROOT / "tools" / "accuracy_float.py"
    called(sys.executable, script, what, made.folder, target, *pixels)
    return target


def by_aeq(python: Path, plain: Path, pixels: Path, target: Path) -> dict[str, Any]:
    """The float model quantized by ai-edge-quantizer: its version, and how long it took."""
    script = ROOT / "tools" / "accuracy_aeq.py"
    said = called(python, script, plain, pixels, target).stdout
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return found


def aeq_python(cache: Path) -> Path:
    """The Python of an environment that has ai-edge-quantizer, made in the cache when it is not
    there. Apart from tfedge's, since each release is tied to one release of LiteRT."""

    def install(folder: Path) -> None:
        called(sys.executable, "-m", "venv", folder)
        called(folder / "bin" / "python", "-m", "pip", "install", "-q", AEQ)

    return once(cache / AEQ, install) / "bin" / "python"


def commit() -> str:
    """The commit of the checkout, with a plus when tfedge's own files differ from it."""
    head = called("git", "rev-parse", "--short=12", "HEAD").stdout.strip()
    changed = called("git", "status", "--porcelain", "--", "tfedge").stdout.strip()
    return f"{head}+" if changed else head
