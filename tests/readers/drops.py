"""Android drops to be read: made by the package stage, as a run makes them."""

from __future__ import annotations

from pathlib import Path

from color_helpers import FLOAT, INT8, SIZE, make_run

from tfedge.stages import package

ABOUT = {"author": "A. Üthor", "licence": "CC-BY-4.0", "description": "Red, green or blue?"}


def android(folder: Path, fit: str = "crop", shipped: Path = INT8, **options: object) -> Path:
    """The drop's folder; ``options`` are those of ``package``."""
    run = make_run(
        folder,
        evaluate=None,
        benchmark=None,
        shipped=shipped,
        recipe="float" if shipped == FLOAT else "qat",
        data={"path": "sample:digits", "image_size": SIZE, "fit": fit},
        package={"targets": ["android"]} | options,
    )
    package.run(run.context("package"))
    return run.folder / "package" / "drops" / "android"
