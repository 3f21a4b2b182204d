"""A stand-in for Google's edgetpu_compiler: what it writes holds the custom op that a compiled
model is known by, and it notes how it was called. The real one can't be had from a package index.
"""

from __future__ import annotations

import sys
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

_PROGRAM = """\
#!{python}
import json, sys
from pathlib import Path
given = sys.argv[1:]
Path({calls!r}).write_text(json.dumps(given))
for name in given:
    if name.endswith(".tflite"):
        stem = Path(name).stem
        {copy}
        Path(stem + "_edgetpu.log").write_text("Edge TPU Compiler version 16.0.384591198\\n")
print("Model compiled successfully")
sys.exit({code})
"""


def compiled_model() -> bytes:
    """The smallest .tflite whose only op is edgetpu-custom-op."""
    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.CUSTOM
    code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = "edgetpu-custom-op", 1
    tensors = []
    for name, shape in ("in", [1, 32, 32, 3]), ("out", [1, 3]):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, shape, schema.TensorType.UINT8
        tensor.buffer = 0
        tensors.append(tensor)
    op = schema.OperatorT()
    op.inputs, op.outputs, op.opcodeIndex = [0], [1], 0
    op.customOptions = list(b"program")
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [op], [0], [1]
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def fake_compiler(folder: Path, *, really: bool = True, code: int = 0) -> Path:
    """``folder/edgetpu_compiler``; its arguments go to ``folder/calls.json``. With ``really``
    False it writes the model itself under the compiled name, as a careless script would."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compiled.bin").write_bytes(compiled_model())
    source = f"Path({str(folder / 'compiled.bin')!r})" if really else "Path(name)"
    program = folder / "edgetpu_compiler"
    copy = f'Path(stem + "_edgetpu.tflite").write_bytes({source}.read_bytes())'
    text = _PROGRAM.format(
        python=sys.executable, calls=str(folder / "calls.json"), copy=copy, code=code
    )
    program.write_text(text)
    program.chmod(0o755)
    return program
