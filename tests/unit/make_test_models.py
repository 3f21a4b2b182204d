"""Make the tiny .tflite files that tests/unit reads: ``make_test_models.py [FOLDER]``.

The only test helper that needs TensorFlow, run by hand and its output committed. A net of some
300 weights learns which colour (red, green, blue) a 32×32 image is, so that accuracy, agreement
and confusion mean something. It is written five times; another one reads handwritten digits:

    color_float.tflite   uint8 in, float32 scores out, float inside
    color_int8.tflite    uint8 in, uint8 scores out, int8 inside, half of its pointwise kernel zero
    color_sin.tflite     int8 as far as it goes: a SIN in the middle stays float
    color_wide.tflite    float32 in [1,4], two outputs: for feature extraction
    color_half.tflite    float16 weights behind DEQUANTIZE, which the reader must look through
    digits_int8.tflite   uint8 in [1,8,8,1], uint8 logits out, int8 inside: scikit-learn's digits,
                         whose outputs are compared between machines; a net that was not trained
                         answers the same to everything, and a softmax hides most differences
    words_float.tflite   int32 ids and mask [1, 16] in, float32 scores of three classes out: each
                         piece of ``text_helpers.PIECES`` speaks for its class, none trained
    words_int8.tflite    the same with uint8 scores, int8 inside
    boxes_int8.tflite    uint8 in [1,64,64,3], uint8 boxes [1,84,4] and scores [1,84,2] out: a
                         detector of red and green squares on black by the share of each anchor
                         that has the colour, none of it trained
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import tf_keras
from sklearn.datasets import load_digits
from text_helpers import CLASSES as TEXT_CLASSES
from text_helpers import LENGTH, PIECES, WORDS

from tfedge.catalog.strides import STRIDES
from tfedge.inputs.images.anchors import SCALE
from tfedge.modeling.nets.export import freeze, to_tflite

SIZE, CLASSES = 32, 3
DIGITS_FOR_TRAINING = 1200  # of 1,797, in their order; the tests look at the others


def images(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` noisy images, uint8 [n, 32, 32, 3], and the channel that is brightest, int [n]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    pixels = rng.integers(0, 160, (n, SIZE, SIZE, 3))
    for i, label in enumerate(labels):
        pixels[i, ..., label] += rng.integers(20, 96)
    return pixels.astype(np.uint8), labels


def net(odd: bool) -> tf_keras.Model:
    """Conv, depthwise, pointwise, head; with ``odd`` a SIN, which has no int8 kernel."""
    layers = tf_keras.layers
    x = inputs = layers.Input((SIZE, SIZE, 3), batch_size=1, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="first")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu", name="depth")(x)
    x = layers.Conv2D(8, 1, activation="relu", name="point")(x)
    if odd:
        x = layers.Lambda(tf.sin, name="odd")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(CLASSES, activation="softmax", name="head")(x)
    return tf_keras.Model(inputs, x)


def trained(odd: bool = False) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(7)
    model = net(odd)
    free = tf_keras.Sequential([tf_keras.layers.Input((SIZE, SIZE, 3)), *model.layers[1:]])
    free.compile(tf_keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", ["accuracy"])
    x, y = images(600, 1)
    free.fit(x.astype(np.float32), y, epochs=8, batch_size=32, verbose=0)
    kernel, bias = model.get_layer("point").get_weights()
    kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0
    model.get_layer("point").set_weights([kernel, bias])
    loss, accuracy = free.evaluate(*(a.astype(np.float32) for a in images(300, 2)), verbose=0)
    print(f"odd={odd}: loss {loss:.3f}, accuracy {accuracy:.3f}")
    return model


def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits as pixels, uint8 [1797, 8, 8, 1], and what they show, int [1797]."""
    found = load_digits()
    return (found.images[..., None] * 15).astype(np.uint8), found.target


def trained_digits() -> tf_keras.Model:
    tf_keras.utils.set_random_seed(7)
    layers = tf_keras.layers
    x = inputs = layers.Input((8, 8, 1), batch_size=1, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(x)
    x = before = layers.Conv2D(16, 3, padding="same", activation="relu6", name="first")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="depth")(x)
    x = layers.Conv2D(16, 1, name="point")(x)
    x = layers.Add(name="add")([x, before])
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu6", name="second")(x)
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    model = tf_keras.Model(inputs, layers.Dense(10, name="logits")(x))
    free = tf_keras.Model(again := layers.Input((8, 8, 1)), model(again))
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    free.compile(tf_keras.optimizers.Adam(0.005), loss, ["accuracy"])
    x, y = digits()
    n = DIGITS_FOR_TRAINING
    free.fit(x[:n].astype(np.float32), y[:n], epochs=15, batch_size=32, verbose=0)
    print(f"digits: accuracy {free.evaluate(x[n:].astype(np.float32), y[n:], verbose=0)[1]:.3f}")
    return model


def convert_float(model: tf_keras.Model) -> bytes:
    """uint8 pixels in: the cast is part of the graph."""
    spec = tf.TensorSpec((1, SIZE, SIZE, 3), tf.uint8, name="pixels")
    function = tf.function(
        lambda pixels: model(tf.cast(pixels, tf.float32)), input_signature=[spec]
    )
    concrete = function.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert()


def convert_int8(model: tf_keras.Model, strict: bool, x: np.ndarray) -> bytes:
    """``x``: images to calibrate the ranges on, uint8 [n, …]."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([p[None].astype(np.float32)] for p in x)
    ops = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    converter.target_spec.supported_ops = [ops] if strict else [ops, tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


def convert_wide() -> bytes:
    """Two outputs with different shapes: twice the input [1, 4], and its sum [1, 1]."""
    spec = tf.TensorSpec((1, 4), tf.float32, name="features")

    def function(features: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return features * 2.0, tf.reduce_sum(features, 1, keepdims=True) * 1.0

    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module()).convert()


def convert_half(model: tf_keras.Model) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def convert_words(quantized: bool) -> bytes:
    """Scores by the words of each class, and a little by each other piece: no two texts are the
    same."""
    rng = np.random.default_rng(5)
    table = rng.normal(0, 0.15, (len(PIECES), len(TEXT_CLASSES))).astype(np.float32)
    for label, words in enumerate(WORDS.values()):
        for word in words:
            table[PIECES.index(word), label] += 1.5
    pieces, real = tf.constant(table), tf.constant([[0.0], [1.0]])
    spec = [tf.TensorSpec((1, LENGTH), tf.int32, name) for name in ("ids", "mask")]

    @tf.function(input_signature=spec)
    def scores(ids: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        said = tf.gather(pieces, ids) * tf.gather(real, mask)  # [1, length, classes]
        return tf.nn.softmax(tf.reduce_sum(said, 1))

    def texts() -> Iterator[list[np.ndarray]]:
        for _ in range(100):
            count = int(rng.integers(3, LENGTH))
            ids, mask = np.zeros((2, 1, LENGTH), np.int32)
            ids[0, :count], mask[0, :count] = rng.integers(2, len(PIECES), count), 1
            yield [ids, mask]

    concrete = scores.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = texts
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_output_type = tf.uint8
    return converter.convert()


def convert_boxes() -> bytes:
    """A score is the mean of its colour over the anchor, a box the anchor, moved a little where
    one colour is more than the other."""

    def function(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = []
        for stride in STRIDES:
            side = int(SCALE) * stride
            seen = tf.nn.avg_pool2d(pixels[..., :2] / 255.0, side, stride, "SAME")
            scores.append(tf.reshape(seen, (1, -1, 2)))
        every = tf.concat(scores, 1)
        moved = 0.5 * (every[..., :1] - every[..., 1:])
        return {"boxes": tf.concat([moved] * 4, -1), "scores": every}

    rng = np.random.default_rng(9)
    shown = rng.integers(0, 256, (40, 1, 64, 64, 3)).astype(np.float32)
    for at, one in enumerate(shown):
        one[..., at % 2] = 255 * (at % 3)  # up to all of one colour and none of the other
    return to_tflite(
        freeze(function, (64, 64, 3), tf.float32),
        int8=True,
        input_type=tf.uint8,
        output_type=tf.uint8,
        representative=lambda: ([np.minimum(one, 255)] for one in shown),
    )


def main(folder: Path) -> None:
    model = trained()
    samples, _ = images(60, 3)
    samples[0, 0, 0], samples[0, 0, 1] = 0, 255
    files = {
        "color_float": convert_float(model),
        "color_int8": convert_int8(model, True, samples),
        "color_sin": convert_int8(trained(odd=True), False, samples),
        "color_wide": convert_wide(),
        "color_half": convert_half(model),
        "digits_int8": convert_int8(trained_digits(), True, digits()[0][:DIGITS_FOR_TRAINING]),
    }
    files |= {"words_float": convert_words(False), "words_int8": convert_words(True)}
    files["boxes_int8"] = convert_boxes()
    for name, data in files.items():
        (folder / f"{name}.tflite").write_bytes(data)
        print(f"{name}.tflite: {len(data)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "tests/unit/data"))
