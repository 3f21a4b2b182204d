"""What TensorFlow computes on: decided before it is imported, and part of a stage's key.

The last bits of a sum depend on how it is split: on the number of cores, on whether oneDNN's
kernels do it, on the vectors of the processor, on the device, and on what the environment tells
these libraries.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from tfedge.core.stages import Stage
from tfedge.errors import StageError
from tfedge.files.parallel import cores
from tfedge.files.processor import NVIDIA, instructions
from tfedge.pipeline.schema import Pipeline

VARIABLE = "TFEDGE_DEVICE"  # how modeling/nets/env.py is told, before it imports TensorFlow
SETTING = "device"  # the key of a row whose results depend on it
DOOR = "tfedge.modeling.nets.env"  # which imports TensorFlow, set up for us
ONEDNN, THREADS = "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"


def device_of(pipeline: Pipeline) -> str:
    """``cpu`` or ``gpu``: what ``runtime.device`` means on this machine."""
    asked = pipeline.runtime.device
    if asked != "auto":
        return asked
    return "gpu" if NVIDIA.exists() else "cpu"


def onednn() -> bool:
    """Whether oneDNN's kernels may compute: unless the environment says no. (TensorFlow by itself
    turns them on only where it finds AVX512-VNNI or AMX.)"""
    return os.environ.get(ONEDNN, "1").strip().lower() not in ("0", "false")


def training_threads() -> int:
    """Cores that one operation is split over: those of this process, or what the environment says
    (``TF_NUM_INTRAOP_THREADS``)."""
    said = os.environ.get(THREADS, "").strip()
    return int(said) if re.fullmatch(r"[1-9][0-9]{0,4}", said) else cores()


def computes_on(pipeline: Pipeline) -> dict[str, Any]:
    """What the bytes of trained weights depend on beside what they are trained on and how."""
    return {
        "device": device_of(pipeline),
        "cores": training_threads(),
        "onednn": onednn(),
        "instructions": instructions(),
    }


def tell_tensorflow() -> None:
    """Before it is imported: what the key says holds, whatever happens meanwhile."""
    os.environ[THREADS] = str(training_threads())
    os.environ[ONEDNN] = str(int(onednn()))


def idle_gpu(pipeline: Pipeline) -> str | None:
    """What to say on a machine whose GPU is not used; None elsewhere."""
    if device_of(pipeline) != "cpu" or not NVIDIA.exists():
        return None
    return "training runs on the CPU, not on this machine's GPU: runtime.device: gpu uses it"


def prepare(pipeline: Pipeline, stages: Iterable[Stage]) -> None:
    """Choose the device for a run's stages. StageError when TensorFlow was imported by others, or
    for another device: it is set up once, when it is imported."""
    if not any(SETTING in stage.config for stage in stages):
        return
    if "tensorflow" in sys.modules and DOOR not in sys.modules:
        what = "TensorFlow was imported before tfedge could set it up for results that repeat"
        hint = "start another process, or restart the notebook's kernel; import it after the run"
        raise StageError(what, hint)
    device, before = device_of(pipeline), os.environ.get(VARIABLE, "cpu")
    if "tensorflow" in sys.modules and device != before:
        what = f"runtime.device: this process computes on the {before} already, not on the {device}"
        raise StageError(what, "start another process")
    os.environ[VARIABLE] = device
    tell_tensorflow()
