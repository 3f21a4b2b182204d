"""The signature of a .tflite: the names by which programs find its inputs and outputs.

The converter writes one only on a detour over a SavedModel, on which a large net is written down
and read several times. What it would write is known: this is the same file.
"""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from tfedge.tflite.editing import Editor

KEY = "serving_default"
_UNNAMED = "Identity"  # what TensorFlow calls the outputs of a function


def signed(content: bytes) -> bytes:
    """The file with a signature, its inputs and outputs called as the converter calls them there.

    ``input`` stays the name of the input called so in the signature; outputs are ``output_0``,
    ``output_1`` … in their order, those of a graph that has names for them are called by these,
    as tensors, too: in which order they stand is the converter's decision.
    """
    editor = Editor(content)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = KEY, 0
    signature.inputs, signature.outputs = [], []
    for index in map(int, editor.graph.inputs):
        name = editor.name(index)
        signature.inputs.append(_entry(name, index))
        editor.graph.tensors[index].name = f"{KEY}_{name}:0"
    for number, index in enumerate(map(int, editor.graph.outputs)):
        if not (name := editor.name(index)).startswith(_UNNAMED):
            signature.outputs.append(_entry(name, index))
            continue
        signature.outputs.append(_entry(f"output_{number}", index))
        editor.graph.tensors[index].name = f"PartitionedCall:{number}"
    editor.model.signatureDefs = [signature]
    return editor.content()


def _entry(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
