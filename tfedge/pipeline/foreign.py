"""Formats of weights that are not read, told by their names, and the way out of them."""

from __future__ import annotations

from pathlib import Path

_SAVED = "a SavedModel"
_CHECKPOINT = "a TensorFlow checkpoint"
_IN_FOLDER = (  # what a folder holds
    ("saved_model.pb", _SAVED),
    ("keras_metadata.pb", _SAVED),
    ("*.index", _CHECKPOINT),
    ("*.data-00000-of-*", _CHECKPOINT),
)
_BY_NAME = (
    ("saved_model.pb", _SAVED),
    ("*.pb", "a graph of TensorFlow"),
    ("*.index", _CHECKPOINT),
    ("*.ckpt", _CHECKPOINT),
    ("*.data-*-of-*", _CHECKPOINT),
    ("*.pt", "a PyTorch file"),
    ("*.pth", "a PyTorch file"),
    ("*.safetensors", "a safetensors file"),
    ("*.onnx", "an ONNX model"),
    ("*.tflite", "a .tflite, whose weights may be rounded"),
)
_KERAS = "load it with Keras, and keep it with model.save('x.keras')"
_ARRAYS = "keep the net's arrays, named LAYER/WEIGHT as Keras does, with numpy.savez('x.npz', …)"


def unread(path: Path) -> str | None:
    """What a folder or file of weights is that can't be read as such, and how it becomes a .keras
    or .npz file that can; None for others."""
    if path.is_dir():
        kinds = [kind for pattern, kind in _IN_FOLDER if next(path.glob(pattern), None)]
    elif path.with_name(f"{path.name}.index").is_file():  # as TensorFlow names a checkpoint
        kinds = [_CHECKPOINT]
    else:
        kinds = [kind for pattern, kind in _BY_NAME if path.match(pattern)]
    if not kinds:
        return None
    way_out = _KERAS if kinds[0] in (_SAVED, _CHECKPOINT) else f"{_ARRAYS}, or a .keras file"
    return f"{path}: {kinds[0]}, which is not read: {way_out}"
