"""The tables of ``metadata_schema.fbs`` (TensorFlow Lite Support 0.4.4), as data, and of what
MediaPipe 0.10.21 keeps in ``custom_metadata`` (``object_detector_metadata_schema.fbs``).

A row is a table; its fields stand in the order of the schema. A union takes two slots of its
table: which member it is, and the member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

ROOT = "ModelMetadata"
DETECTOR, DETECTOR_IDENTIFIER = "ObjectDetectorOptions", b"V001"  # of a detector's own flatbuffer

# AssociatedFileType, ColorSpaceType and BoundingBoxType
TENSOR_AXIS_LABELS = 2
VOCABULARY = 5
RGB = 1
BOUNDARIES = 1


class Field(NamedTuple):
    name: str
    kind: str  # string, byte, bytes, bool, int, uint, float or the name of a table
    many: bool = False  # a vector
    union: tuple[str, ...] = ()  # the tables it may be; written as {table: content}


_CONTENT = ("FeatureProperties", "ImageProperties", "BoundingBoxProperties", "AudioProperties")
_OPTIONS = (
    "NormalizationOptions",
    "ScoreCalibrationOptions",
    "ScoreThresholdingOptions",
    "BertTokenizerOptions",
    "SentencePieceTokenizerOptions",
    "RegexTokenizerOptions",
)
_ROWS: dict[str, str] = {
    "ModelMetadata": "name description version subgraph_metadata:[SubGraphMetadata] author license "
    "associated_files:[AssociatedFile] min_parser_version",
    "SubGraphMetadata": "name description input_tensor_metadata:[TensorMetadata] "
    "output_tensor_metadata:[TensorMetadata] associated_files:[AssociatedFile] "
    "input_process_units:[ProcessUnit] output_process_units:[ProcessUnit] "
    "input_tensor_groups:[TensorGroup] output_tensor_groups:[TensorGroup] "
    "custom_metadata:[CustomMetadata]",
    "TensorMetadata": "name description dimension_names:[string] content:Content "
    "process_units:[ProcessUnit] stats:Stats associated_files:[AssociatedFile]",
    "Content": "content_properties:union range:ValueRange",
    "ValueRange": "min:int max:int",
    "ImageProperties": "color_space:byte default_size:ImageSize",
    "ImageSize": "width:uint height:uint",
    "FeatureProperties": "",
    "BoundingBoxProperties": "index:[uint] type:byte coordinate_type:byte",
    "AudioProperties": "sample_rate:uint channels:uint",
    "ProcessUnit": "options:union",
    "NormalizationOptions": "mean:[float] std:[float]",
    "ScoreCalibrationOptions": "score_transformation:byte default_score:float",
    "ScoreThresholdingOptions": "global_score_threshold:float",
    "BertTokenizerOptions": "vocab_file:[AssociatedFile]",
    "SentencePieceTokenizerOptions": "sentencePiece_model:[AssociatedFile] "
    "vocab_file:[AssociatedFile]",
    "RegexTokenizerOptions": "delim_regex_pattern vocab_file:[AssociatedFile]",
    "Stats": "max:[float] min:[float]",
    "AssociatedFile": "name description type:byte locale version",
    "TensorGroup": "name tensor_names:[string]",
    "CustomMetadata": "name data:bytes",
    "ObjectDetectorOptions": "min_parser_version ssd_anchors_options:SsdAnchorsOptions "
    "tensors_decoding_options:TensorsDecodingOptions",
    "SsdAnchorsOptions": "fixed_anchors_schema:FixedAnchorsSchema",
    "FixedAnchorsSchema": "anchors:[FixedAnchor]",
    "FixedAnchor": "x_center:float y_center:float width:float height:float",
    "TensorsDecodingOptions": "num_classes:int num_boxes:int num_coords:int "
    "keypoint_coord_offset:int num_keypoints:int num_values_per_keypoint:int x_scale:float "
    "y_scale:float w_scale:float h_scale:float apply_exponential_on_box_size:bool "
    "sigmoid_score:bool",
}
_UNIONS = {"content_properties": _CONTENT, "options": _OPTIONS}


def _fields(row: str) -> Iterator[tuple[int, Field]]:
    slot = 0
    for word in row.split():
        name, _, kind = word.partition(":")
        if kind == "union":
            slot += 1  # its type comes first
            yield slot, Field(name, kind, union=_UNIONS[name])
        else:
            yield slot, Field(name, kind.strip("[]") or "string", kind.startswith("["))
        slot += 1


# Each table's fields with their slots.
TABLES: dict[str, tuple[tuple[int, Field], ...]] = {
    name: tuple(_fields(row)) for name, row in _ROWS.items()
}
