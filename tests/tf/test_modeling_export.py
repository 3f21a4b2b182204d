"""What our way to the converter gives is what TFLite's own gives, to the last byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfedge.modeling.nets import export, network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.network import Spec
from tfedge.tflite.kernels import with_fast_kernels

SIZE = 32


def fed(model):
    return lambda pixels: model(tf.cast(pixels, tf.float32), training=False)


def by_tflite_alone(function, shape, dtype, **asked: object) -> bytes:
    """Converted as TFLite's users do it; without the detour over a SavedModel, which test_signature
    looks at."""
    spec = tf.TensorSpec((1, *shape), dtype, name="input")
    traced = tf.function(function, autograph=False).get_concrete_function(spec)
    frozen = convert_variables_to_constants_v2(traced)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen], tf.Module())
    converter.experimental_lower_to_saved_model = False
    for name, value in asked.items():
        setattr(converter, name, value)
    return converter.convert()


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "ConvNeXtTiny"])
def test_a_float_file_is_the_one_of_tflite_s_own_converter(name: str) -> None:
    fresh(1)
    model = network.build(Spec(name, 1.0, SIZE, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 3))
    shape = (SIZE, SIZE, 3)
    ours = export.to_tflite(export.freeze(fed(model), shape, tf.uint8), signature=False)
    assert ours == by_tflite_alone(fed(model), shape, tf.uint8)


def test_an_int8_file_is_the_one_of_tflite_s_own_converter(tmp_path: Path) -> None:
    def rounded(inputs):
        """A convolution with ranges, as 8-bit training leaves it."""
        kernel = tf.reshape(tf.linspace(-1.0, 1.0, 3 * 3 * 3 * 4), (3, 3, 3, 4))
        given = tf.quantization.fake_quant_with_min_max_args(inputs, 0, 255)
        kernel = tf.quantization.fake_quant_with_min_max_args(kernel, -1, 1, narrow_range=True)
        found = tf.nn.conv2d(given, kernel, 1, "SAME")
        return tf.quantization.fake_quant_with_min_max_args(found, -300, 300)

    frozen = export.freeze(rounded, (8, 8, 3), tf.float32)
    export.save_graph(frozen, tmp_path / "graph.pb")
    plain = by_tflite_alone(
        rounded,
        (8, 8, 3),
        tf.float32,
        optimizations=[tf.lite.Optimize.DEFAULT],
        inference_input_type=tf.uint8,
        inference_output_type=tf.uint8,
    )
    for graph in (frozen, export.load_graph(tmp_path / "graph.pb")):
        asked = {"int8": True, "input_type": tf.uint8, "output_type": tf.uint8}
        assert export.to_tflite(graph, **asked, signature=False) == with_fast_kernels(plain)


def test_a_float_part_takes_the_values_that_its_variables_have_now() -> None:
    fresh(1)
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(2)
    model = keras.Model(inputs, layer(inputs))
    first = export.float_part(model)
    layer.kernel.assign(layer.kernel * 2)
    again = export.float_part(model)
    assert first != again
    outputs = []
    for content in (first, again):
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], np.ones((1, 4), np.float32)
        )
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_allclose(outputs[1], 2 * outputs[0], rtol=1e-6)
