"""Android drops as a run makes them: by the package stage."""

from __future__ import annotations

from pathlib import Path

from color_helpers import FLOAT, INT8, SIZE, Run, make_run

from tfedge.stages import package

ANDROID = "package/drops/android"
ABOUT = {"author": "A. Üthor", "licence": "CC-BY-4.0", "description": "Red, green or blue?"}


def packed(
    tmp: Path,
    shipped: Path = INT8,
    fit: str = "crop",
    range: tuple[int, int] | None = None,
    **options: object,
) -> Run:
    """A run with its drop; ``options`` are those of ``package``."""
    run = make_run(
        tmp,
        evaluate=None,
        benchmark=None,
        shipped=shipped,
        recipe="float" if shipped == FLOAT else "qat",
        data={"path": "sample:digits", "image_size": SIZE, "fit": fit, "range": range},
        package={"targets": ["android"]} | options,
    )
    package.run(run.context("package"))
    return run


def android(folder: Path, **options: object) -> Path:
    """The same, but the drop's folder."""
    return packed(folder, **options).folder / ANDROID
