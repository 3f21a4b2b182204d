"""From a function of TensorFlow to the bytes of a .tflite.

The route is a frozen concrete function with a fixed batch of 1 and an empty ``tf.Module`` as its
trackable. ``from_keras_model`` gives the same file in minutes, nearly all of it spent exporting and
reloading a SavedModel, and leaves ``shape_signature`` −1, which the Edge TPU compiler rejects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework import convert_to_constants as constants

from tfedge.errors import StageError
from tfedge.modeling.nets.env import tf
from tfedge.tflite.kernels import with_fast_kernels
from tfedge.tflite.signature import signed


def trace(function: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any) -> Any:
    """``function`` of one tensor [1, *shape] as a concrete function."""
    spec = tf.TensorSpec((1, *shape), dtype, name="input")
    return tf.function(function, autograph=False).get_concrete_function(spec)


def freeze(function: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any) -> Any:
    """The same, its variables constants."""
    return constants.convert_variables_to_constants_v2(trace(function, shape, dtype))


class _Converter(tf.lite.TFLiteConverter):  # type: ignore[misc]
    """TFLite's converter, to the same bytes in a third to a half of the time for large nets.

    TFLite's own makes a concrete function of the frozen graph, of which only the graph is used, and
    freezes what is frozen already once more.
    """

    def _freeze_concrete_function(self) -> tuple[Any, Any, Any, Any]:
        (given,) = self._funcs
        inputs = [tensor for tensor in given.inputs if tensor.dtype != tf.resource]
        if len(inputs) == len(given.inputs):
            return given.graph.as_graph_def(), inputs, given.outputs, given
        data = constants._FunctionConverterDataInEager(
            given, lower_control_flow=True, aggressive_inlining=False
        )
        graph, _ = constants._replace_variables_by_constants(data)
        return graph, inputs, given.outputs, given


def to_tflite(
    concrete: Any,
    *,
    int8: bool = False,
    sparse: bool = False,
    input_type: Any = None,
    output_type: Any = None,
    representative: Callable[[], Iterable[list[np.ndarray]]] | None = None,
    custom_ops: bool = False,
    signature: bool = True,
) -> bytes:
    """Convert a concrete function, frozen or with variables, whose values become constants.

    Args:
        int8: quantize. With ``representative`` (post-training) every op must become int8; without
            it the graph carries its ranges itself (quantization-aware training).
        sparse: store kernels that are mostly zeros without them, for XNNPACK's sparse kernels.
        input_type, output_type: what the file takes and gives in place of float32.
        representative: yields one-element lists of float32 inputs [1, …].
        custom_ops: leave ops that TFLite does not know in the file, as custom ones.
        signature: give the file one, as files that ship have it.

    Raises:
        StageError: the converter refuses the graph; its own words are in the message.
    """
    converter = _Converter.from_concrete_functions([concrete], tf.Module())
    if int8:
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

    traced = trace(function, (size, size, 3), tf.uint8)
    return to_tflite(traced, sparse=sparse, signature=serve is not None)


def float_part(model: Any) -> bytes:
    """A float .tflite of a part of a network: activations [1, …] float32 in, its output out."""
    shape = tuple(model.input_shape[1:])
    traced = trace(lambda x: model(x, training=False), shape, tf.float32)
    return to_tflite(traced, signature=False)


def save_graph(concrete: Any, path: Any) -> None:
    """Write a frozen concrete function of one tensor as a GraphDef; same graph, same bytes."""
    path.write_bytes(concrete.graph.as_graph_def().SerializeToString(deterministic=True))


def load_graph(path: Any) -> Any:
    """The concrete function that ``save_graph`` wrote: placeholder ``input`` to ``Identity``."""
    return import_graph(tf.compat.v1.GraphDef.FromString(path.read_bytes()))


def import_graph(definition: Any) -> Any:
    """A GraphDef from placeholder ``input`` to ``Identity`` as a concrete function.

    The one given is not to be used any more: it loses its placeholder to the function's own.
    """
    (given,) = (node for node in definition.node if node.name == "input")
    spec = tf.TensorSpec(
        given.attr["shape"].shape, tf.as_dtype(given.attr["dtype"].type), name="input"
    )
    definition.node.remove(given)

    def function(pixels: Any) -> Any:
        (found,) = tf.graph_util.import_graph_def(
            definition, {"input:0": pixels}, ["Identity:0"], name=""
        )
        return found

    # wrap_function and prune would do the same, and write every kernel down eight times over.
    return tf.function(function, autograph=False).get_concrete_function(spec)
