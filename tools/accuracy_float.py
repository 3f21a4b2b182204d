"""The float model of a finished run in other shapes, for what tfedge is compared with.

    python tools/accuracy_float.py (features | scores) RUN FILE
    python tools/accuracy_float.py ptq RUN FILE PIXELS.npy

RUN is the folder of a ``tfedge run`` up to convert at least. ``features`` writes a .tflite from
uint8 pixels to what the head sees; ``scores`` one from float32 pixels to softmax scores, without
the cast from uint8 that other quantizers don't take; ``ptq`` the int8 file that TensorFlow's own
post-training quantization makes of it, as its guide writes it, uint8 in and out, calibrated on
PIXELS, uint8 [n, side, side, 3]. A process of its own, since it needs TensorFlow and the tables
do not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.core import outputs
from tfedge.data.index import Index
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, tf
from tfedge.modeling.nets.export import float_pixels, freeze, to_tflite
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import POOL, Spec


def _ptq(function: Callable[[Any], Any], model: Any, side: int, pixels: Path) -> bytes:
    """Full integer quantization by the converter, nothing of tfedge's in it."""
    images = np.load(pixels).astype(np.float32)
    spec = tf.TensorSpec((1, side, side, 3), tf.float32)
    concrete = tf.function(function, autograph=False).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    content: bytes = converter.convert()
    return content


def main() -> None:
    what, run, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    fresh(1)
    classes = len(Index.load(run / "data" / "index.json").classes)
    spec = Spec.of(outputs.read(run / "backbone" / "base.json", ImageBase), classes)
    model = network.load(spec, network.load_weights(run / "finetune" / "model.npz"))

    def scores(pixels: Any) -> Any:
        return tf.nn.softmax(model(pixels, training=False))

    if what == "features":
        content = float_pixels(network.cut(model, POOL)[0], spec.size)
    elif what == "scores":
        content = to_tflite(freeze(scores, (spec.size, spec.size, 3), tf.float32))
    else:
        content = _ptq(scores, model, spec.size, Path(sys.argv[4]))
    target.write_bytes(content)


if __name__ == "__main__":
    main()
