"""How Google's Edge TPU compiler is called, and whether it can be.

Imports little: ``check`` asks here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tfedge.catalog.programs import EDGETPU_COMPILER
from tfedge.errors import MissingDependency
from tfedge.pipeline.schema import CONTAINER, Coral, Package


def needs(package: Package | None) -> None:
    """MissingDependency when a Coral drop is asked for, compiled now, and no compiler is here."""
    if package is None or "coral" not in package.targets or package.coral.compile == "defer":
        return
    program = command(package.coral)[0]
    if shutil.which(program) is None:
        raise not_installed(program)


def not_installed(program: str) -> MissingDependency:
    """The error that says so, with the ways out."""
    return MissingDependency(f"target coral: {program} is not installed", EDGETPU_COMPILER)


def command(coral: Coral, folder: Path = Path()) -> list[str]:
    """What calls the compiler; in a container it finds ``folder`` as its working directory."""
    if not coral.compiler.startswith(CONTAINER):
        return [coral.compiler]
    image = coral.compiler.removeprefix(CONTAINER)
    mount = f"type=bind,source={folder},target=/work"
    return [
        "docker",
        "run",
        "--rm",
        "--network=none",
        f"--mount={mount}",
        "--workdir=/work",
        image,
        "edgetpu_compiler",
    ]
