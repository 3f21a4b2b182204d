"""The only door to TensorFlow: sets the environment first, then imports.

TF-MOT 0.8 needs Keras 2 (``tf_keras``), which TensorFlow takes for ``tf.keras`` only if
``TF_USE_LEGACY_KERAS`` is set before its first import. Everything that trains or converts gets
``tf`` and ``keras`` from here.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import random
import warnings
from typing import Any

from tfedge.core.accelerator import VARIABLE, onednn, tell_tensorflow
from tfedge.errors import MissingDependency

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Without oneDNN gradients of a convolution over few pixels are computed image by image, and
# training a large net takes several times as long.
tell_tensorflow()
ONEDNN = onednn() and platform.machine() in ("x86_64", "AMD64")
DEVICE = os.environ.get(VARIABLE, "cpu")
if DEVICE != "gpu":  # one device, so that one machine gives one result
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

warnings.filterwarnings(
    "ignore", module=r"(tensorflow|tf_keras|keras|tensorflow_model_optimization)"
)

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402

if DEVICE == "gpu":  # not all of its kernels have a deterministic form: nothing is promised there
    if not tf.config.list_physical_devices("GPU"):
        raise MissingDependency(
            "runtime.device: gpu: TensorFlow finds no GPU on this machine",
            "install NVIDIA's driver and pip install 'tensorflow[and-cuda]', or set "
            "runtime.device: cpu",
        )
else:
    tf.config.experimental.enable_op_determinism()
if not ONEDNN:  # fusing gives a grouped convolution a bias, which only oneDNN's kernels can compute
    tf.config.optimizer.set_experimental_options({"remapping": False})


def _grouped_convolution(layer: Any, inputs: Any, kernel: Any) -> Any:
    """What a Conv2D of several groups computes, in place of Keras' own, which XLA compiles.

    XLA's gradients take several times as long on a CPU, and a graph with a function that XLA must
    compile can't be run once it was written down and read again. TensorFlow's own kernels have no
    gradients of several groups, oneDNN's have.
    """
    if ONEDNN:
        return layer.convolution_op(inputs, kernel)

    @tf.custom_gradient
    def convolve(inputs: Any, kernel: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch([inputs, kernel])
                parts = (tf.split(both, layer.groups, -1) for both in (inputs, kernel))
                convolved = [layer.convolution_op(*part) for part in zip(*parts, strict=True)]
                result = tf.concat(convolved, -1)
            return tape.gradient(result, [inputs, kernel], upstream)

        return layer.convolution_op(inputs, kernel), gradient

    return convolve(inputs, kernel)


# What Conv2D.call asks for several groups; tf_keras has no public place for another one.
keras.layers.Conv2D._jit_compiled_convolution_op = _grouped_convolution


def _give_memory_back() -> None:
    """glibc keeps what was freed; after the conversion of a large net that is gigabytes."""
    gc.collect()
    if platform.system() == "Linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def fresh(seed: int) -> None:
    """Start a stage as a new process would: no layer names, random state or memory left over.

    A run that was killed and resumed must end with the bytes of one that was not, so nothing may
    pass from stage to stage but their files.
    """
    keras.backend.clear_session()
    _give_memory_back()
    random.seed(seed)
    np.random.seed(seed)
    tf.keras.utils.set_random_seed(seed)


__all__ = ["fresh", "keras", "tf"]
