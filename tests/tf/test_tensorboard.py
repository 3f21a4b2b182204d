"""``finetune.tensorboard``: event files, read back by TensorBoard itself."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

pytest.importorskip("tensorboard", reason="TensorBoard is not installed: tfedge[tensorboard]")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfedge.modeling.nets.env import tf
from tfedge.modeling.training import tensorboard
from tfedge.tasks import pictures
from tfedge.tasks.blocks import Box, Picture, Pictures, Text

TITLE = "Training images as they are fed"


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def pixels(events: EventAccumulator, tag: str) -> np.ndarray:
    """uint8 [height, width, 3] of the only image under a tag."""
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "images"
    (event,) = events.Tensors(tag)
    _, _, content = tf.make_ndarray(event.tensor_proto)  # after width and height
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> tiny.Run:
    return tiny.chain(tmp_path_factory.getbasetemp() / "chain")


@pytest.fixture(scope="module")
def shown(chain, tmp_path_factory) -> tiny.Run:
    """The same run, shown to TensorBoard."""
    but = ("finetune", "prune", "quantize", "convert", "evaluate")
    folder = tmp_path_factory.mktemp("shown")
    return chain.again(folder, but=but, finetune={"tensorboard": True})("finetune")


def test_it_is_shown_training_images_as_the_model_sees_them(shown) -> None:
    events = read(shown.folder / "tensorboard" / "examples")
    tags = events.Tags()["tensors"]
    assert all(tag.startswith(f"{TITLE}/train/") for tag in tags)
    labels = [tag.split("/")[2] for tag in tags]
    assert {label: labels.count(label) for label in labels} == dict.fromkeys(tiny.CLASSES, 4)
    root = Path(shown.sections["data"]["path"])
    for tag in tags:
        with Image.open(root / tag.removeprefix(f"{TITLE}/")) as image:
            expected = np.asarray(image).astype(int)
        # A JPEG of grain, its colours at half the resolution; another colour is off by a hundred.
        assert np.abs(pixels(events, tag) - expected).mean() < 15
        assert events.SummaryMetadata(tag).summary_description == tag.split("/")[2]


def test_it_is_told_the_figures_of_each_epoch(shown) -> None:
    events = read(shown.folder / "tensorboard" / "head")
    history = shown.json("finetune/history.json")["head"]
    found = events.Tensors("val_loss")
    assert [event.step for event in found] == [row["epoch"] for row in history]
    values = [float(tf.make_ndarray(event.tensor_proto)) for event in found]
    assert values == pytest.approx([row["val_loss"] for row in history])


def test_who_looks_changes_nothing(chain, shown) -> None:
    for file in ("model.npz", "float.tflite", "history.json"):
        assert shown.read(f"finetune/{file}") == chain.read(f"finetune/{file}")


def test_boxes_are_outlined(tmp_path: Path) -> None:
    jpeg = pictures.jpeg(np.full((80, 80, 3), 100, np.uint8), 80)
    box = Box((0.25, 0.5, 0.5, 0.875), "cat", "there")
    there = Picture("a/b.png", "cat", jpeg, [box])
    gone = Picture("c.png", "", None, missing="gone")
    tensorboard.show(tmp_path, [Text("two"), Pictures("Boxes", [there, gone])])
    events = read(tmp_path)
    assert events.Tags()["tensors"] == ["Boxes/a/b.png"]
    found = pixels(events, "Boxes/a/b.png")
    yellow = (found == [255, 255, 0]).all(-1)
    rows, columns = np.flatnonzero(yellow.any(1)), np.flatnonzero(yellow.any(0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == pytest.approx((40, 70, 20, 40), abs=1)
    assert not yellow[45:65, 25:35].any() and np.abs(found[~yellow].astype(int) - 100).max() <= 2


def test_a_report_without_images_leaves_no_file(tmp_path: Path) -> None:
    tensorboard.show(tmp_path / "examples", [Text("only words")])
    assert not (tmp_path / "examples").exists()
