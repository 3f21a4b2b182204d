"""Readers of drops that are not ours: the official readers of TFLite metadata, Kotlin's compiler.

Each comes from its package index through its own client, once, into a folder that stays: in
``$TFEDGE_CACHE`` where that is set, else ``$TFEDGE_READERS_CACHE``, else in the user's cache.
Unavailable, with the reason, where that can't be done.
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from pathlib import Path

from from_debian import Unavailable, cache_folder, made_once, run

# Read before a test is given a cache of its own.
_OWN = os.environ.get("TFEDGE_CACHE")
CACHE = Path(_OWN) / "readers" if _OWN else cache_folder("readers")
# Without what only their training and demonstrations need. OpenCV headless: it needs no display.
ENVIRONMENTS = {
    "tflite_support": ("tflite-support==0.4.4", "absl-py flatbuffers numpy protobuf<4"),
    "mediapipe": (
        "mediapipe==0.10.21",
        "absl-py attrs flatbuffers matplotlib numpy<2 opencv-python-headless<4.12 "
        "protobuf>=4.25.3,<5 sounddevice",
    ),
}
KOTLIN = "kotlin-compiler@2.4.20"


def environment(module: str) -> Path:
    """The Python of an environment in which that module can be imported."""
    package, needs = ENVIRONMENTS[module]

    def make(work: Path) -> Path:
        new = work / "environment"
        run(sys.executable, "-m", "venv", new)
        pip = (new / "bin" / "python", "-m", "pip", "install", "-q", "--only-binary=:all:")
        run(*pip, "--no-deps", package)
        run(*pip, *needs.split())
        run(new / "bin" / "python", "-c", f"import {module}")
        return new

    recipe = f"{sys.version_info[:2]} {package} {needs}"
    return made_once(CACHE, recipe, make) / "bin" / "python"


def compiler() -> Path:
    """The folder of a Kotlin compiler."""

    def make(work: Path) -> Path:
        run("npm", "pack", "--silent", "--pack-destination", work, KOTLIN)
        (packed,) = work.glob("*.tgz")
        with tarfile.open(packed) as archive:
            archive.extractall(work, filter="data")
        return work / "package"

    if shutil.which("java") is None:
        raise Unavailable("no java on this machine (apt-get install -y default-jre-headless)")
    return made_once(CACHE, KOTLIN, make)
