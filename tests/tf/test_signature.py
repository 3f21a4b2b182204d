"""The signature that is put into a file is the one that the converter writes on its detour."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfedge.modeling.nets.env import keras, tf
from tfedge.tflite.editing import Editor
from tfedge.tflite.reader import read
from tfedge.tflite.signature import KEY, signed


def converted(concrete: object, detour: bool) -> bytes:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    converter.experimental_lower_to_saved_model = detour
    converter.inference_input_type = tf.float32
    return converter.convert()


def network(heads: int) -> tuple[object, object]:
    """A Keras model of so many outputs, and its frozen function."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu6")(pixels)
    made = [keras.layers.Dense(3 + n, activation="softmax")(x) for n in range(heads)]
    model = keras.Model(pixels, made)
    spec = tf.TensorSpec((1, 8, 8, 3), name="input")
    traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    return model, convert_variables_to_constants_v2(traced)


def test_it_is_the_same_file_as_by_the_detour() -> None:
    _, concrete = network(1)
    wanted = Editor(converted(concrete, detour=True)).content()
    assert signed(converted(concrete, detour=False)) == wanted


def test_outputs_are_found_by_name_and_stay_in_their_order() -> None:
    """The detour gives three as 1, 0, 2."""
    model, concrete = network(3)
    content = signed(converted(concrete, detour=False))
    runner = Interpreter(model_content=content).get_signature_runner(KEY)
    given = np.random.default_rng(1).random((1, 8, 8, 3), np.float32)
    found = runner(input=given)
    for number, expected in enumerate(model(given)):
        np.testing.assert_allclose(found[f"output_{number}"], expected, atol=1e-6)  # float32
    assert [port.shape[-1] for port in read(content).outputs] == [3, 4, 5]
