"""Images that a shipped classifier is asked about, as it was trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.benchmark.script.image_inputs import FITS
from tfedge.errors import ConfigError, DropError, UnsupportedModel
from tfedge.tasks.classification.answers import ScoreReader, facts_alone, graph_of
from tfedge.tasks.drop import Told
from tfedge.tasks.image_classification.drop import contract_of
from tfedge.tasks.photos import PhotoReader

_DTYPES = ("uint8", "int8")


class ImageReader(PhotoReader, ScoreReader):
    """By a contract. LookupError, TypeError and ValueError for one that says something else."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        PhotoReader.__init__(self, facts["input"])
        ScoreReader.__init__(self, facts)


def recognises(metadata: Mapping[str, Any]) -> bool:
    """Whether TFLite metadata tell of one image in and labels for what comes out."""
    graph = graph_of(metadata)
    inputs, outputs = (graph.get(f"{side}_tensor_metadata", ()) for side in ("input", "output"))
    if len(inputs) != 1 or len(outputs) != 1 or not outputs[0].get("associated_files"):
        return False
    return "ImageProperties" in inputs[0].get("content", {}).get("content_properties", {})


def alone(model: bytes, told: Told) -> dict[str, Any]:
    """The contract of a .tflite by itself; an image is cropped where its user says nothing."""
    fit = told.fit or "crop"
    if fit not in FITS:
        raise ConfigError([f"--fit must be {', '.join(FITS)}, got {fit!r}"])
    facts = facts_alone(model, told)
    try:
        given, taken = contract_of(model, len(facts["classes"]), fit, dtypes=_DTYPES)
    except DropError as error:
        remedy = "images are fed as 8 bits, [1, size, size, 3], and scores are one for each label"
        raise UnsupportedModel("images can't be fed to it", [error.message], remedy) from error
    return {"input": given, "output": taken, **facts}
