"""A detector that finds red and green squares, as a run that says what it is; and such images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from box_data_helpers import Picture, Thing
from color_helpers import DATA
from PIL import Image

from tests.output_helpers import evaluation
from tfedge.core.outputs import Evaluation, dump
from tfedge.core.outputs import write as write_output
from tfedge.data.index import Row
from tfedge.files.artifact import write_json
from tfedge.inputs.images.annotations.index import BoxIndex
from tfedge.pipeline.schema import pipeline_of
from tfedge.tasks.table import task_of

SIZE = 64  # of boxes_int8.tflite
SQUARE = 32  # pixels of the finest anchors, whose middles are at 4, 12, 20 …


def scenes(count: int = 4) -> list[Picture]:
    """Squares that are anchors of the model: red ones left, green ones right."""
    places = ((4, 4, "red"), (28, 28, "green"), (4, 28, "red"), (28, 4, "green"))
    return [
        Picture(f"p{at}", (SIZE, SIZE), (Thing(name, x, y, x + SQUARE, y + SQUARE),))
        for at, (x, y, name) in enumerate(places[:count])
    ]


def painted(root: Path, found: Sequence[Picture]) -> Path:
    """The images of these pictures instead of noise."""
    colours = {"red": (255, 0, 0), "green": (0, 255, 0)}
    for one in found:
        image = Image.new("RGB", one.size)
        for label, *sides in one.things:
            left, top, right, bottom = sides
            image.paste(colours[label], (left, top, right, bottom))
        image.save(root / "images" / f"{one.name}.png")
    return root


def detector(folder: Path, thresholds: Sequence[float] | None = (0.9, 0.9)) -> Path:
    """A run of a detector of red and green squares, as far as it says what its model is."""
    for name in ("data", "convert", "evaluate"):
        (folder / name).mkdir(parents=True)
    shutil.copy(DATA / "boxes_int8.tflite", folder / "convert" / "model.tflite")
    data = {"path": str(folder / "photos"), "image_size": SIZE}
    pipeline = pipeline_of({"name": "squares", "task": "object-detection", "data": data})
    (folder / "resolved.json").write_text(pipeline.model_dump_json(exclude_none=True))
    row = Row("p.png", 0, "test", "ab" * 32)
    BoxIndex(("red", "green"), (row,), "lists", annotations=("[[64,64],[]]",)).save(
        folder / "data" / "index.json"
    )
    write_json(folder / "run.json", {"model": {"path": "convert/model.tflite"}})
    if thresholds is not None:
        metric = task_of("object-detection").primary
        found = evaluation(metric, {"float": 0.5, "int8": 0.5})
        kept = Evaluation.model_validate(dump(found) | {"chosen": {"thresholds": [*thresholds]}})
        write_output(folder / "evaluate" / "metrics.json", kept)
    return folder
