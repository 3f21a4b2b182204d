"""What the frozen encoder of a pipeline says of texts: the features that its head learns from.

    python tools/text_features.py PIPELINE.yaml CACHE TEXTS.json FILE.npy

TEXTS.json is a list of texts; FILE gets float32 [texts, features], computed through LiteRT. A
process of its own, since it needs TensorFlow and the table does not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import numpy as np

from tfedge.files.progress import NoProgress
from tfedge.inputs.text.texts import Encoding
from tfedge.modeling.nets import encoder
from tfedge.modeling.nets.backbone import assign
from tfedge.modeling.nets.encoder import EncoderSpec
from tfedge.modeling.nets.env import fresh, keras, tf
from tfedge.modeling.nets.export import freeze, to_tflite
from tfedge.modeling.nets.network import HEAD, POOL
from tfedge.modeling.nets.text_base import EncoderBase
from tfedge.modeling.nets.weights.encoder_files import files_of
from tfedge.modeling.texts import TextHead
from tfedge.pipeline.encoder import Encoder
from tfedge.pipeline.load import load_pipeline
from tfedge.tflite.runtime import predict


def main() -> None:
    path, cache, given, target = map(Path, sys.argv[1:5])
    fresh(1)
    pipeline = load_pipeline(path)
    chosen = cast(Encoder, pipeline.backbone)
    weights, base = TextHead.base(pipeline, cache, NoProgress())
    model = encoder.build(EncoderSpec(cast(EncoderBase, base), 1))
    assign(model, weights, skip=(HEAD,))
    part = keras.Model(model.input, model.get_layer(POOL).output)
    shape = (2, base.length)
    frozen = freeze(lambda packed: part(packed, training=False), shape, tf.int32)
    vocabulary = files_of(chosen.row, chosen.weights, cache).vocabulary()
    tokenizer = Encoding(vocabulary, base.length, "utf-8").tokenizer()
    texts = json.loads(given.read_text("utf-8"))
    encoded = [tokenizer.encode(text, base.length) for text in texts]
    packed = np.asarray([[one.ids, one.mask] for one in encoded], np.int32)
    np.save(target, predict(to_tflite(frozen, signature=False), packed).reshape(len(texts), -1))


if __name__ == "__main__":
    main()
