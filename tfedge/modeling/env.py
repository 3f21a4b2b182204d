"""The only door to TensorFlow: sets the environment first, then imports.

TF-MOT 0.8 needs Keras 2 (``tf_keras``), which TensorFlow takes for ``tf.keras`` only if
``TF_USE_LEGACY_KERAS`` is set before its first import. Everything that trains or converts gets
``tf`` and ``keras`` from here.
"""

from __future__ import annotations

import os
import random
import warnings

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow turns oneDNN on by itself only where it finds AVX512-VNNI or AMX. Without it gradients
# of a convolution over few pixels are computed picture by picture, and training a large net takes
# several times as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # one device, so that one machine gives one result

warnings.filterwarnings(
    "ignore", module=r"(tensorflow|tf_keras|keras|tensorflow_model_optimization)"
)

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

tf.config.experimental.enable_op_determinism()


def fresh(seed: int) -> None:
    """Start a stage as a new process would: no layer names, no random state left over.

    A run that was killed and resumed must end with the bytes of one that was not, so nothing may
    pass from stage to stage but their files.
    """
    keras.backend.clear_session()
    random.seed(seed)
    np.random.seed(seed)
    tf.keras.utils.set_random_seed(seed)


__all__ = ["fresh", "keras", "tf"]
