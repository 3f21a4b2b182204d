"""Readers that are not ours, and files that nobody should read.

A visible skip where this machine can't provide them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1] / "machines"))  # from_debian
sys.path.insert(2, str(Path(__file__).parents[1] / "unit"))  # color_helpers

from environments import compiler, environment
from from_debian import Unavailable


def had(get: Callable[[], Path]) -> Path:
    try:
        return get()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def tflite_support() -> Path:
    """A Python that has it."""
    return had(lambda: environment("tflite_support"))


@pytest.fixture(scope="session")
def mediapipe() -> Path:
    """A Python that has it."""
    return had(lambda: environment("mediapipe"))


@pytest.fixture(scope="session")
def kotlin() -> Path:
    """The folder of a Kotlin compiler."""
    return had(compiler)
