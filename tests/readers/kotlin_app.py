"""An Android drop's Kotlin, compiled against stand-ins of the classes it uses, and run on this
machine's Java. The stand-ins in ``kotlin/`` are written after the references of Android and LiteRT.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = 600


@dataclass(frozen=True)
class App:
    """A drop in an app: its Kotlin compiled, its assets where they belong."""

    drop: Path
    classes: str  # the class path

    def ask(self, *jobs: Sequence[object]) -> list[str]:
        """The harness' answer to each job, from one Java."""
        serve = f"{sys.executable}|{HERE / 'serve.py'}"
        decoder = f"{sys.executable}|{HERE / 'decode_image.py'}"
        java = [
            *("java", "-cp", self.classes, f"-Dapp={self.drop / 'assets'}"),
            *(f"-Dtest={self.drop}", f"-Dpython={serve}", f"-Ddecoder={decoder}"),
            "harness.HarnessKt",
        ]
        done = subprocess.run(
            java,
            input="".join(" ".join(map(str, job)) + "\n" for job in jobs),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        answers = [line[2:] for line in done.stdout.splitlines() if line.startswith("> ")]
        assert len(answers) == len(jobs), done.stdout
        return answers


def compiled(
    kotlin: Path, drop: Path, out: Path, jobs: str, package: str = "org.example.classifier"
) -> App:
    """``jobs``: the file of what the harness can be asked for; ``package`` as Kotlin writes it."""
    library = kotlin / "lib" / "kotlin-stdlib.jar"
    stand_ins = out.with_name("stand_ins")
    shutil.copytree(HERE / "kotlin", stand_ins)
    asked = (HERE / "jobs" / f"{jobs}.kt").read_text("utf-8")
    (stand_ins / "jobs.kt").write_text(asked.replace("org.example.classifier", package), "utf-8")
    sources = [*drop.rglob("*.kt"), *stand_ins.glob("*.kt")]
    command = [
        *("java", "-cp", kotlin / "lib" / "kotlin-compiler.jar"),
        "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        *("-kotlin-home", kotlin, "-jvm-target", "11", "-Werror", "-Wextra", "-d", out, *sources),
    ]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return App(drop, f"{out}:{library}")
