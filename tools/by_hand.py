"""From photos to a pruned int8 MobileNetV2, by hand: the chain that tfedge is measured against.

    python tools/by_hand.py PHOTOS WEIGHTS.npz OUT [--seed 1]

Needs tensorflow, tf-keras, tensorflow-model-optimization and ai-edge-litert; nothing of tfedge.
PHOTOS holds train/ and val/ with a folder for each class; WEIGHTS.npz the ImageNet weights of the
base, ``layer/weight`` as Keras names them (tools/compare_by_hand.py makes it). OUT gets
model.tflite and result.json.

It is what one writes after TensorFlow's guides (transfer learning, pruning, collaborative
optimization: prune-preserving QAT), with plain ``compile`` and ``fit`` on the whole net, by
somebody who knows the traps that cost a model:

- the base is 225 pixels wide, where Keras' padding agrees with the weights' own;
- images are decoded once (``cache``), shuffled anew each epoch, prefetched;
- batch norm stays in inference mode when the base trains: its momentum of 0.999 would leave its
  statistics behind in a fine-tune this short;
- the pruning schedule updates its masks ten times within the steps there are (its default, every
  100 steps, would prune nothing here), and ends at its target;
- quantization preserves the zeros.

What it does not do, as the guides do not: set the quantization ranges before QAT. TF-MOT's start at
-6 … 6 and go a thousandth of the way a step, so 44 steps take them 4 % of it. That takes no time,
and may well cost accuracy; by how much was not measured.

The rates are the guides': Adam 1e-3 for the head, a tenth of it once the base trains. The
validation images are looked at after each epoch of the head, as tfedge does too, and not while
pruning and in QAT, as it does not either.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

SIZE, BATCH, SPARSITY = 225, 32, 0.5
HEAD_RATE, TUNE_RATE = 1e-3, 1e-4
MEAN = [123.675, 116.28, 103.53]  # of ImageNet, in 0–255 units
STD = [58.395, 57.12, 57.375]

seconds: dict[str, float] = {}


@contextmanager
def timed(stage: str) -> Iterator[None]:
    print(f"== {stage}", flush=True)
    began = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - began


def images(folder: Path) -> tuple[tf.data.Dataset, list[str]]:
    """Normalised float32 [225, 225, 3] and class number, in the files' order, decoded once."""
    files = keras.utils.image_dataset_from_directory(
        folder, image_size=(SIZE, SIZE), batch_size=None, shuffle=False, crop_to_aspect_ratio=True
    )
    normal = files.map(lambda x, y: ((x - MEAN) / STD, y), num_parallel_calls=tf.data.AUTOTUNE)
    return normal.cache(), files.class_names


def pretrained(weights: Path) -> keras.Model:
    base = keras.applications.MobileNetV2((SIZE, SIZE, 3), include_top=False, weights=None)
    with np.load(weights) as arrays:
        for layer in base.layers:
            for variable in layer.weights:
                variable.assign(
                    arrays[f"{layer.name}/{variable.name.split('/')[-1].split(':')[0]}"]
                )
    return base


def with_head(base: keras.Model, classes: int) -> keras.Model:
    x = keras.layers.GlobalAveragePooling2D()(base.output)
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(base.input, keras.layers.Dense(classes)(x))


def compiled(model: keras.Model, rate: float) -> keras.Model:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def prunable(layer: keras.layers.Layer) -> bool:
    """1×1 convolutions and the dense layer."""
    if type(layer) is keras.layers.Conv2D:
        return layer.kernel_size == (1, 1)
    return isinstance(layer, keras.layers.Dense)


def zeros(model: keras.Model) -> float:
    """Share of zeros in what is prunable."""
    kernels = [layer.kernel.numpy() for layer in model.layers if prunable(layer)]
    return sum(int((k == 0).sum()) for k in kernels) / sum(k.size for k in kernels)


def pruned(model: keras.Model, train: tf.data.Dataset, epochs: int) -> keras.Model:
    steps = epochs * train.cardinality().numpy()
    every = max(1, steps // 10)
    last = max(every, (steps - 1) // every * every)  # a step that is taken, and updates the masks
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, SPARSITY, 0, last, frequency=every)

    def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if not prunable(layer):
            return layer
        return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    wrapped = compiled(keras.models.clone_model(model, clone_function=wrap), TUNE_RATE)
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    wrapped.fit(train, epochs=epochs, callbacks=callbacks, verbose=2)
    stripped = tfmot.sparsity.keras.strip_pruning(wrapped)
    if zeros(stripped) < SPARSITY - 0.01:
        raise SystemExit(f"pruned {zeros(stripped):.1%} only: {steps} steps are too few")
    return stripped


def quantized(model: keras.Model, train: tf.data.Dataset, epochs: int) -> keras.Model:
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    aware = compiled(tfmot.quantization.keras.quantize_apply(annotated, scheme), TUNE_RATE)
    norms = [layer for layer in aware.layers if "BatchNorm" in type(_inner(layer)).__name__]
    assert norms and not any(_inner(layer).trainable for layer in norms), "batch norm would train"
    aware.fit(train, epochs=epochs, verbose=2)
    return aware


def _inner(layer: keras.layers.Layer) -> keras.layers.Layer:
    return getattr(layer, "layer", layer)


def converted(model: keras.Model) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    return converter.convert()


def accuracy(content: bytes, val: tf.data.Dataset) -> float:
    """Top-1 of the .tflite, the images quantized as its input says."""
    interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = source["quantization"]
    right = []
    for image, label in val.as_numpy_iterator():
        pixels = np.clip(np.round(image / scale + zero_point), 0, 255).astype(np.uint8)
        interpreter.set_tensor(source["index"], pixels[None])
        interpreter.invoke()
        right.append(interpreter.get_tensor(target["index"])[0].argmax() == label)
    return float(np.mean(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--head-epochs", type=int, default=10)
    parser.add_argument("--prune-epochs", type=int, default=2)
    parser.add_argument("--qat-epochs", type=int, default=2)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    with timed("data"):
        examples, classes = images(args.photos / "train")
        shuffled = examples.shuffle(examples.cardinality(), seed=args.seed)
        train = shuffled.batch(BATCH).prefetch(tf.data.AUTOTUNE)
        val, _ = images(args.photos / "val")
    with timed("backbone"):
        base = pretrained(args.weights)
    with timed("finetune"):
        base.trainable = False
        model = compiled(with_head(base, len(classes)), HEAD_RATE)
        watched = val.batch(BATCH).prefetch(tf.data.AUTOTUNE)
        history = model.fit(
            train, validation_data=watched, epochs=args.head_epochs, verbose=2
        ).history
    with timed("prune"):
        for layer in base.layers:
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        model = pruned(model, train, args.prune_epochs)
    with timed("quantize"):
        model = quantized(model, train, args.qat_epochs)
    with timed("convert"):
        content = converted(model)
        (args.out / "model.tflite").write_bytes(content)
    with timed("evaluate"):
        int8 = accuracy(content, val)
    result = {
        "seconds": seconds,
        "float_top1": history["val_accuracy"][-1],
        "int8_top1": int8,
        "head_epochs": len(history["val_accuracy"]),
        "classes": classes,
        "mean": MEAN,
        "std": STD,
    }
    (args.out / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
