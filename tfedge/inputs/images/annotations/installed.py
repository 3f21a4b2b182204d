"""What must be installed to read annotations and to measure detectors."""

from __future__ import annotations

from tfedge.catalog.libraries import INSTALL_DETECTION
from tfedge.errors import MissingDependency


def missing(library: str, why: str) -> MissingDependency:
    """The error for a library that is not there."""
    return MissingDependency(f"{library} is not installed: {why}", INSTALL_DETECTION)
