"""The float model of a finished run in other shapes, for what tfedge is compared with.

    python tools/accuracy_float.py (features | scores) RUN FILE

RUN is the folder of a ``tfedge run`` up to convert at least. ``features`` writes a .tflite from
uint8 pixels to what the head sees; ``scores`` one from float32 pixels to softmax scores, without
the cast from uint8 that other quantizers don't take. A process of its own, since it needs
TensorFlow and the table does not.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tfedge.core import outputs
from tfedge.data.index import Index
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, tf
from tfedge.modeling.nets.export import float_pixels, freeze, to_tflite
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import POOL, Spec


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
        content = to_tflite(concrete)
    target.write_bytes(content)


if __name__ == "__main__":
    main()
