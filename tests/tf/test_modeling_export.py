"""What our way to the converter gives is what TFLite's own gives, to the last byte."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tfedge.modeling.nets import export, network
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.network import Spec

SIZE = 32


def fed(model):
    return lambda pixels: model(tf.cast(pixels, tf.float32), training=False)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "ConvNeXtTiny"])
def test_a_float_file_is_the_one_of_tflite_s_own_converter(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh(1)
    model = network.build(Spec(name, 1.0, SIZE, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 3))
    shape = (SIZE, SIZE, 3)
    ours = export.to_tflite(export.trace(fed(model), shape, tf.uint8))
    frozen = export.freeze(fed(model), shape, tf.uint8)
    assert export.to_tflite(frozen) == ours
    monkeypatch.setattr(export, "_Converter", tf.lite.TFLiteConverter)
    assert export.to_tflite(frozen) == ours


def test_an_int8_file_is_the_one_of_tflite_s_own_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(inputs):
        """A convolution with ranges, as 8-bit training leaves it."""
        kernel = tf.reshape(tf.linspace(-1.0, 1.0, 3 * 3 * 3 * 4), (3, 3, 3, 4))
        given = tf.quantization.fake_quant_with_min_max_args(inputs, 0, 255)
        kernel = tf.quantization.fake_quant_with_min_max_args(kernel, -1, 1, narrow_range=True)
        found = tf.nn.conv2d(given, kernel, 1, "SAME")
        return tf.quantization.fake_quant_with_min_max_args(found, -300, 300)

    frozen = export.freeze(rounded, (8, 8, 3), tf.float32)
    asked = {"int8": True, "input_type": tf.uint8, "output_type": tf.uint8}
    ours = export.to_tflite(frozen, **asked)
    monkeypatch.setattr(export, "_Converter", tf.lite.TFLiteConverter)
    assert export.to_tflite(frozen, **asked) == ours


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
