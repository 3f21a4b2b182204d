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


def _ptq(concrete: Any, pixels: Path) -> bytes:
    """Full integer quantization by the converter, nothing of tfedge's in it."""
    images = np.load(pixels).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
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
    if what == "features":
        content = float_pixels(network.cut(model, POOL)[0], spec.size)
    else:
        shape = (spec.size, spec.size, 3)
        concrete = freeze(lambda x: tf.nn.softmax(model(x, training=False)), shape, tf.float32)
        content = _ptq(concrete, Path(sys.argv[4])) if what == "ptq" else to_tflite(concrete)
    target.write_bytes(content)


if __name__ == "__main__":
    main()
