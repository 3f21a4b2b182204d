"""In which shapes a model's inputs are timed, told from its file before any device is asked."""

from __future__ import annotations

from pathlib import Path

from tfedge.benchmark.script.problem import Problem
from tfedge.benchmark.script.shapes import Port, sized
from tfedge.devices.benchmark_model import Input
from tfedge.errors import ConfigError
from tfedge.tflite.reader import read


def timed_inputs(path: Path, shape: str) -> tuple[Input, ...]:
    """The inputs of a .tflite with their shapes, those that it leaves open as ``--shape`` says.

    ConfigError names one that is open and has no size, or can't have the one given; ArtifactError
    for a file that is no model.
    """
    ports = [
        Port(
            tensor.name,
            [
                -1 if side < 1 or given < 1 else side
                for side, given in zip(tensor.shape, tensor.shape_signature, strict=True)
            ],
        )
        for tensor in read(path).inputs
    ]
    try:
        shapes = sized(ports, shape)
    except Problem as problem:
        hint = problem.hint or "`tfedge inspect` tells the inputs of a model"
        raise ConfigError([f"{path}: {problem.message}"], hint) from None
    return tuple(
        Input(port.name, tuple(sides), -1 in port.shape)
        for port, sides in zip(ports, shapes, strict=True)
    )
