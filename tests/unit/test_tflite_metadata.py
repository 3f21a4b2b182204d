"""Metadata in a model: what is written is read back, and the model stays the model it was.

That the official readers understand it is the matter of tests/devices and the drops' tests.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tfedge.errors import ArtifactError
from tfedge.tflite import metadata, reader
from tfedge.tflite.runtime import LiteRT

MODEL = (Path(__file__).parent / "data" / "color_int8.tflite").read_bytes()
LABELS = {"labels.txt": b"cat\ndog\n"}
GIVEN = {
    "name": "flowers é",
    "author": "somebody",
    "min_parser_version": "1.0.0",
    "subgraph_metadata": [
        {
            "input_tensor_metadata": [
                {
                    "name": "image",
                    "content": {
                        "content_properties": {
                            "ImageProperties": {
                                "color_space": 1,
                                "default_size": {"width": 225, "height": 97},
                            }
                        }
                    },
                    "process_units": [
                        {"options": {"NormalizationOptions": {"mean": [0.0, 1.5], "std": [1.0]}}}
                    ],
                    "stats": {"max": [255.0], "min": [0.0]},
                }
            ],
            "output_tensor_metadata": [
                {
                    "dimension_names": ["batch", "class"],
                    "content": {"content_properties": {"FeatureProperties": {}}},
                    "associated_files": [{"name": "labels.txt", "type": 2}],
                }
            ],
        }
    ],
}


def outputs(model: bytes) -> list[bytes]:
    runtime = LiteRT(model)
    rng = np.random.default_rng(1)
    given = [rng.integers(0, 100, p.shape).astype(p.dtype) for p in runtime.inputs()]
    return [array.tobytes() for array in runtime.invoke(*given)]


def test_what_is_embedded_is_read_back_and_the_model_computes_the_same() -> None:
    made = metadata.embed(MODEL, GIVEN, LABELS)
    assert metadata.read(made) == GIVEN
    assert metadata.associated(made) == LABELS
    assert outputs(made) == outputs(MODEL)
    before, after = reader.read(MODEL), reader.read(made)
    assert (before.version, before.description) == (after.version, after.description)
    assert before.graphs == after.graphs and before.signatures == after.signatures
    assert set(after.metadata) == {*before.metadata, metadata.ENTRY}


def test_the_kernels_keep_their_place_and_alignment() -> None:
    made = metadata.embed(MODEL, GIVEN, LABELS)
    # The old file stands in the new one as it was, moved by a multiple of its alignment.
    assert made.find(MODEL) > 0 and made.find(MODEL) % 16 == 0


def test_it_is_the_same_each_time_and_replaces_what_was_there() -> None:
    made = metadata.embed(MODEL, GIVEN, LABELS)
    assert made == metadata.embed(MODEL, GIVEN, LABELS)
    again = metadata.embed(made, GIVEN | {"name": "other"}, {"b.txt": b"2", "a.txt": b"1"})
    found = metadata.read(again)
    assert found is not None and found["name"] == "other"
    assert metadata.associated(again) == {"a.txt": b"1", "b.txt": b"2"}
    assert outputs(again) == outputs(MODEL)


def test_a_model_without_metadata_has_none() -> None:
    assert metadata.read(MODEL) is None
    assert metadata.associated(MODEL) == {}
    assert metadata.associated(metadata.embed(MODEL, GIVEN, {})) == {}


def test_a_field_the_schema_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError, match="ModelMetadata has no field licence"):
        metadata.embed(MODEL, {"licence": "MIT"}, {})


def test_files_behind_the_model_are_never_unpacked_to_more_than_they_are() -> None:
    bomb = io.BytesIO()
    bomb.write(MODEL)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", bytes(1_000_000))
    with pytest.raises(ArtifactError, match="stored uncompressed"):
        metadata.associated(bomb.getvalue())


def test_broken_metadata_ends_in_a_message() -> None:
    made = bytearray(metadata.embed(MODEL, GIVEN, LABELS))
    start = made.find(metadata.IDENTIFIER) - 4
    length = len(metadata.write(GIVEN))
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        hurt = bytearray(made)
        for place in rng.integers(0, length, 3):
            hurt[start + place] = rng.integers(256)
        try:
            metadata.read(bytes(hurt))
        except ArtifactError:
            refused += 1
    assert refused > 20  # the others changed a text or a number, which is a reading, too
