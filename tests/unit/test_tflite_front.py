"""What is built in front of a model's own bytes: an input that no op reads."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from color_helpers import INT8
from text_helpers import LENGTH, PIECES, WORDS_FLOAT, WORDS_INT8
from tflite_helpers import one_op

from tfedge.errors import ArtifactError, UnsupportedModel
from tfedge.tflite import front, metadata
from tfedge.tflite.editing import Editor
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import BuiltinLiteRT, LiteRT, predict

NAME, TENSOR = "segment_ids", "serving_default_segment_ids:0"


@pytest.mark.parametrize("path", [WORDS_INT8, WORDS_FLOAT])
@pytest.mark.parametrize("load", [LiteRT, BuiltinLiteRT])
def test_it_computes_the_same_from_the_same_bytes(path, load) -> None:
    model = path.read_bytes()
    added = front.with_unread_input(model, NAME)
    assert added.endswith(front.padded(model)) and front.inner(added, len(model)) == model
    assert added == front.with_unread_input(model, NAME)
    assert front.differences(read(model), read(added), [TENSOR]) == []
    rng = np.random.default_rng(2)
    given = rng.integers(0, len(PIECES), (20, 3, LENGTH)).astype(np.int32)
    given[:, 1] = 1
    ours = predict(added, given, raw=True, load=load)
    assert ours.tobytes() == predict(model, given[:, :2], raw=True, load=load).tobytes()


def test_its_name_type_and_shape(tmp_path) -> None:
    found = read(front.with_unread_input(WORDS_INT8.read_bytes(), NAME))
    assert found.inputs[-1].name == TENSOR
    assert (found.inputs[-1].dtype, found.inputs[-1].shape) == ("int32", (1, LENGTH))
    assert not found.inputs[-1].is_const and not found.inputs[-1].is_variable
    (signature,) = found.signatures
    assert signature.inputs[-1] == (NAME, len(found.tensors) - 1)
    assert signature.outputs == read(WORDS_INT8).signatures[0].outputs
    assert found.metadata == read(WORDS_INT8).metadata


def test_the_schemas_own_code_reads_it() -> None:
    editor = Editor(front.with_unread_input(WORDS_INT8.read_bytes(), NAME))
    again = editor.content()  # packed anew from what was read
    assert front.differences(read(WORDS_INT8), read(again), [TENSOR]) == []
    (signature,) = editor.model.signatureDefs
    assert signature.subgraphIndex == 0 and signature.signatureKey == b"serving_default"


def test_an_image_model_and_metadata_behind_it() -> None:
    model = INT8.read_bytes()
    added = metadata.embed(front.with_unread_input(model, "other"), {"name": "x"}, {"a": b"b"})
    assert metadata.read(added) == {"name": "x"}
    flat = metadata.without_files(added)
    assert front.inner(flat, len(model)) == model and len(read(added).inputs) == 2


def test_what_differs_is_named() -> None:
    one, other = read(WORDS_INT8), read(WORDS_FLOAT)
    assert "its ops are others" in front.differences(one, other, [TENSOR])
    (told,) = front.differences(one, one, [TENSOR])
    assert told == f"its inputs are not those of the measured file and {TENSOR}"
    added = front.with_unread_input(WORDS_INT8.read_bytes(), NAME)
    table = next(t for t in one.tensors if t.is_const and t.size > 100)
    assert table.data is not None
    place = added.index(table.data.tobytes())
    changed = added[:place] + bytes([added[place] ^ 1]) + added[place + 1 :]
    assert front.differences(one, read(changed), [TENSOR]) == ["its constants are others"]
    assert (
        hashlib.sha256(front.inner(changed, one.size)).digest()
        != hashlib.sha256(WORDS_INT8.read_bytes()).digest()
    )


def test_an_op_that_reads_the_added_input_is_named() -> None:
    editor = Editor(front.with_unread_input(WORDS_INT8.read_bytes(), NAME))
    gather = editor.graph.operators[0]
    gather.inputs = [gather.inputs[0], len(editor.graph.tensors) - 1]
    told = front.differences(read(WORDS_INT8), read(editor.content()), [TENSOR])
    assert told == ["its ops are others"]


def test_a_model_without_signature_and_no_model_are_refused() -> None:
    plain = one_op("RELU", [((1, 4), "float32", None)], [((1, 4), "float32", None)])
    with pytest.raises(UnsupportedModel, match="one graph with one signature"):
        front.with_unread_input(plain, NAME)
    with pytest.raises(ArtifactError):
        front.with_unread_input(b"no model", NAME)
    for size in (0, -5, 10**15):
        with pytest.raises(ArtifactError, match=f"no model of {size} bytes"):
            front.inner(b"x" * 100, size)
