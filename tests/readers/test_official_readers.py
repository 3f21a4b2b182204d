"""The Android drop's model, read and run by what its users have: tflite-support and MediaPipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from android_helpers import ABOUT, android
from color_helpers import CLASSES, FLOAT, INT8, SIZE, pixels
from PIL import Image
from read_by import read_by

from tfedge.portable.images import decode
from tfedge.tflite.runtime import LiteRT

LABELS = "red\ngreen\nblue\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[INT8, FLOAT], ids=["int8", "float"])
def shipped(request: pytest.FixtureRequest) -> Path:
    """The model that goes into the drop."""
    return request.param


@pytest.fixture(scope="module")
def drop(shipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return android(tmp_path_factory.mktemp("drop"), shipped=shipped, **ABOUT)


def check_metadata(found: dict[str, Any], version: str) -> None:
    """Field by field, as the schema's own JSON writes it."""
    graph = found.pop("subgraph_metadata")
    assert found == {
        "name": "color",
        "description": "Red, green or blue?",
        "version": version,
        "author": "A. Üthor",
        "license": "CC-BY-4.0",
        "min_parser_version": "1.0.0",
    }
    (image,) = graph[0].pop("input_tensor_metadata")
    (scores,) = graph[0].pop("output_tensor_metadata")
    assert graph == [{}]
    assert image["name"] == "image"
    assert image["content"] == {
        "content_properties_type": "ImageProperties",
        "content_properties": {
            "color_space": "RGB",
            "default_size": {"width": SIZE, "height": SIZE},
        },
    }
    options = {"mean": [0.0], "std": [1.0]}
    assert image["process_units"] == [{"options_type": "NormalizationOptions", "options": options}]
    assert image["stats"] == {"max": [255.0], "min": [0.0]}
    assert scores["name"] == "probability"
    assert scores["content"]["content_properties_type"] == "FeatureProperties"
    assert scores["stats"] == {"max": [1.0], "min": [0.0]}
    (labels,) = scores["associated_files"]
    assert (labels["name"], labels["type"]) == ("labels.txt", "TENSOR_AXIS_LABELS")


def version(drop: Path) -> str:
    return json.loads((drop / "MANIFEST.json").read_text("utf-8"))["run_key"][:12]


def test_tflite_support_reads_it_field_by_field(
    drop: Path, shipped: Path, tflite_support: Path
) -> None:
    model = drop / "assets" / "color.tflite"
    found = read_by(tflite_support, "reader_tflite_support.py", model, shipped)
    assert found["files"] == {"labels.txt": LABELS}
    assert found["rewritten"] == found["metadata"], "the official writer changes nothing in it"
    check_metadata(found["metadata"], version(drop))


def test_mediapipe_reads_it_and_classifies(drop: Path, mediapipe: Path, tmp_path: Path) -> None:
    model, paths = drop / "assets" / "color.tflite", []
    # Between two classes, so that scores are not all 0 or 1.
    for number, share in enumerate(np.linspace(0.45, 0.55, 8)):
        mixed = share * pixels(0, 3) + (1 - share) * pixels(2, 3)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(mixed.round().astype(np.uint8)).save(paths[-1])
    wide = tmp_path / "wide.png"
    Image.fromarray(pixels(1, 9)).resize((96, 64), Image.Resampling.NEAREST).save(wide)
    found = read_by(mediapipe, "reader_mediapipe.py", model, *paths, wide)
    assert found["files"] == {"labels.txt": LABELS}
    check_metadata(found["metadata"], version(drop))

    runtime, unsure = LiteRT(model), 0
    for path, answer in zip(paths, found["answers"], strict=False):
        (stored,) = runtime.invoke(decode(path, SIZE, "crop")[None])
        ours = runtime.outputs()[0].real(stored)[0]
        assert [name for name, _ in answer["whole"]] == list(CLASSES)
        # It has another version of the kernels in it: a quantum of 1/256 may go either way.
        theirs = [score for _, score in answer["whole"]]
        assert np.abs(np.array(theirs) - ours).max() <= 1.01 / 256, path.name
        assert int(np.argmax(theirs)) == int(ours.argmax())
        unsure += bool(ours.max() < 0.95)
    assert unsure >= 2, "else equal scores say little"
    best = max(found["answers"][-1]["centre"], key=lambda row: row[1])
    assert best[0] == "green"
