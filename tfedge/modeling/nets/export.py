"""From a function of TensorFlow to the bytes of a .tflite.

The route is a frozen graph with a fixed batch of 1. ``from_keras_model`` gives the same file in
minutes, nearly all of it spent exporting and reloading a SavedModel, and leaves ``shape_signature``
−1, which the Edge TPU compiler rejects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow.lite.python.conversion_metadata_schema_py_generated import ModelType
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework import convert_to_constants as constants

from tfedge.errors import StageError
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.ports import packed_shape, run, shapes_of, side_by_side
from tfedge.tflite.kernels import with_fast_kernels
from tfedge.tflite.signature import signed


@dataclass(frozen=True, eq=False)
class Frozen:
    """A graph without variables: a GraphDef, and its inputs and outputs as tensor specs, each by
    the name of its node."""

    definition: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]  # in the order of their names

    @classmethod
    def of(cls, definition: Any) -> Frozen:
        """Of a GraphDef from its placeholders, in the order of their names, to ``Identity``."""
        given = sorted((n for n in definition.node if n.op == "Placeholder"), key=lambda n: n.name)
        inputs = [
            tf.TensorSpec(node.attr["shape"].shape, tf.as_dtype(node.attr["dtype"].type), node.name)
            for node in given
        ]
        read = {source.split(":")[0].lstrip("^") for n in definition.node for source in n.input}
        given = [n.name for n in definition.node if n.op == "Identity" and "/" not in n.name]
        outputs = [tf.TensorSpec(None, name=name) for name in sorted(given) if name not in read]
        return cls(definition, tuple(inputs), tuple(outputs))


def freeze(function: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any) -> Frozen:
    """``function`` of one tensor [1, *shape] as a graph; see ``frozen``."""
    return frozen(function, tf.TensorSpec((1, *shape), dtype, name="input"))


def frozen(function: Callable[..., Any], *specs: Any) -> Frozen:
    """``function`` of one tensor for each spec as a graph, its variables constants.

    It gives a tensor, or several by their names, which outputs of the graph then have."""
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    # convert_variables_to_constants_v2 without what it does last: a function of the graph, which
    # takes longer than all before.
    data = constants._FunctionConverterDataInEager(
        traced, lower_control_flow=True, aggressive_inlining=False
    )
    definition, _ = constants._replace_variables_by_constants(data)
    found = {tensor.name.split(":")[0]: tensor for tensor in traced.outputs}
    named = traced.structured_outputs
    called = sorted(named) if isinstance(named, dict) else list(found)
    calls = dict(zip(found, called, strict=True))  # tensors of a dict are in the order of its keys
    for node in definition.node:
        node.name = calls.get(node.name, node.name)
    outputs = [tf.TensorSpec(t.shape, t.dtype, calls[name]) for name, t in found.items()]
    return Frozen(definition, specs, tuple(outputs))


class _Converter(tf.lite.TFLiteConverter):  # type: ignore[misc]
    """TFLite's converter for a ``Frozen``, which its own would freeze once more: the same bytes."""

    def _freeze_concrete_function(self) -> tuple[Any, Any, Any, Any]:
        (frozen,) = self._funcs
        return frozen.definition, list(frozen.inputs), list(frozen.outputs), None

    def _get_original_model_type(self) -> int:
        return int(ModelType.TF_CONCRETE_FUNCTIONS)  # as the file's metadata say it


def to_tflite(
    graph: Frozen,
    *,
    int8: bool = False,
    int8_weights: bool = False,
    sparse: bool = False,
    input_type: Any = None,
    output_type: Any = None,
    representative: Callable[[], Iterable[list[np.ndarray]]] | None = None,
    custom_ops: bool = False,
    signature: bool = True,
) -> bytes:
    """Convert a frozen graph.

    Args:
        int8: quantize. With ``representative`` (post-training) every op must become int8; without
            it the graph carries its ranges itself (quantization-aware training).
        int8_weights: store weights in 8 bits, and nothing else.
        sparse: store kernels that are mostly zeros without them, for XNNPACK's sparse kernels.
        input_type, output_type: what the file takes and gives in place of float32.
        representative: yields one-element lists of float32 inputs [1, …].
        custom_ops: leave ops that TFLite does not know in the file, as custom ones.
        signature: give the file one, as files that ship have it.

    Raises:
        StageError: the converter refuses the graph; its own words are in the message.
    """
    module = tf.Module()
    module.graph_debug_info = None  # where in whose source a node is from: nobody asks
    converter = _Converter([graph], module)
    if int8 or int8_weights:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if representative:
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.allow_custom_ops = custom_ops
    converter.experimental_lower_to_saved_model = False  # a detour, for large nets half of the time
    if input_type is not None:
        converter.inference_input_type = input_type
    if output_type is not None:
        converter.inference_output_type = output_type
    try:
        content: bytes = converter.convert()
    except (ConverterError, tf.errors.OpError, ValueError, RuntimeError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), "no reason given")
        raise StageError(
            f"the TFLite converter refuses the model: {reason.strip()}",
            "see the stage's log for the whole message",
        ) from error
    content = with_fast_kernels(content) if int8 else content
    return signed(content) if signature else content


def float_pixels(
    model: Any, size: int, *, serve: Callable[[Any], Any] | None = None, sparse: bool = False
) -> bytes:
    """A float .tflite that takes uint8 pixels [1, size, size, 3].

    serve: makes of the model's outputs what a file that can ship gives; without, the file is for
    LiteRT in this process.
    """

    def function(pixels: Any) -> Any:
        outputs = model(tf.cast(pixels, tf.float32), training=False)
        return serve(outputs) if serve else outputs

    graph = freeze(function, (size, size, 3), tf.uint8)
    return to_tflite(graph, sparse=sparse, signature=serve is not None)


def float_part(model: Any) -> bytes:
    """A float .tflite of a part of a network: activations [1, …] float32 in, its output out."""
    shape = packed_shape(shapes_of(model.inputs))
    graph = freeze(lambda x: run(model, x, training=False), shape, tf.float32)
    return to_tflite(graph, signature=False)


def computed(graph: Frozen, inputs: np.ndarray) -> np.ndarray:
    """What a frozen graph gives for inputs [n, …], one at a time, in float32: [n, …], several
    outputs side by side in the order of their names."""
    names = sorted(f"{spec.name}:0" for spec in graph.outputs)
    (given,) = graph.inputs

    def run(one: Any) -> Any:
        found = tf.graph_util.import_graph_def(
            graph.definition, {f"{given.name}:0": one}, names, name=""
        )
        return side_by_side(found)

    spec = tf.TensorSpec((1, *inputs.shape[1:]), given.dtype)
    run = tf.function(run, (spec,), autograph=False)
    return np.concatenate([run(tf.cast(one[None], given.dtype)).numpy() for one in inputs])


def save_graph(graph: Frozen, path: Path) -> None:
    """Write a frozen graph as a GraphDef; same graph, same bytes."""
    path.write_bytes(graph.definition.SerializeToString(deterministic=True))


def load_graph(path: Path) -> Frozen:
    """The graph that ``save_graph`` wrote, from its placeholders to ``Identity``."""
    return Frozen.of(tf.compat.v1.GraphDef.FromString(path.read_bytes()))
