"""The only door to TensorFlow: sets the environment first, then imports.

TF-MOT 0.8 needs Keras 2 (``tf_keras``), which TensorFlow takes for ``tf.keras`` only if
``TF_USE_LEGACY_KERAS`` is set before its first import. Everything that trains or converts gets
``tf`` and ``keras`` from here.

What a user's machine has configured for TensorFlow and Keras is for the user's own programs: their
configuration file is not read here, their variables of the environment are taken away, and what
they would have set is set. What stays is named in ``_STAYS``.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import random
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tfedge.catalog.programs import CUDA
from tfedge.core.accelerator import ONEDNN as _ONEDNN
from tfedge.core.accelerator import THREADS, VARIABLE, onednn, tell_tensorflow
from tfedge.errors import MissingDependency

# Libraries that read variables of these names for how they compute: precision, compilers, threads.
_READS = ("TF_", "TF2_", "XLA_", "ONEDNN_", "DNNL_", "MKL_", "OMP_", "OPENBLAS_", "KERAS_")
# Messages, what is part of a stage's key, and where weights may lie.
_STAYS = ("TF_CPP_", _ONEDNN, THREADS, "KERAS_HOME")
_OF_GPUS = ("GPU", "CUDA", "CUDNN", "CUBLAS")  # in a name; they stay where a GPU is asked for


def _leaks(environment: Mapping[str, str], device: str) -> list[str]:
    """Variables that would change what is computed here."""
    ours = [name for name in environment if name.startswith(_READS)]
    if device == "gpu":
        ours = [name for name in ours if not any(part in name for part in _OF_GPUS)]
    return [name for name in ours if not name.startswith(_STAYS)]


@contextmanager
def _no_configuration() -> Iterator[None]:
    """Inside, Keras finds no keras.json, and writes none into anybody's home."""
    before = os.environ.get("KERAS_HOME")
    with tempfile.TemporaryDirectory(prefix="tfedge-keras-") as folder:
        os.environ["KERAS_HOME"] = folder
        try:
            yield
        finally:
            os.environ.pop("KERAS_HOME")
            if before is not None:
                os.environ["KERAS_HOME"] = before


DEVICE = os.environ.get(VARIABLE, "cpu")
for _name in _leaks(os.environ, DEVICE):
    del os.environ[_name]
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Without oneDNN gradients of a convolution over few pixels are computed image by image, and
# training a large net takes several times as long.
tell_tensorflow()
ONEDNN = onednn() and platform.machine() in ("x86_64", "AMD64")
if DEVICE != "gpu":  # one device, so that one machine gives one result
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

warnings.filterwarnings(
    "ignore", module=r"(tensorflow|tf_keras|keras|tensorflow_model_optimization)"
)

import numpy as np  # noqa: E402

with _no_configuration():
    import tensorflow as tf
    import tf_keras as keras
from threadpoolctl import threadpool_limits  # noqa: E402

from tfedge.files import garbage  # noqa: E402
from tfedge.files.parallel import cores  # noqa: E402

garbage.keep()

if DEVICE == "gpu":  # not all of its kernels have a deterministic form: nothing is promised there
    if not tf.config.list_physical_devices("GPU"):
        raise MissingDependency(
            "runtime.device: gpu: TensorFlow finds no GPU on this machine",
            f"install {CUDA}, or set runtime.device: cpu",
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
    garbage.keep()
    if platform.system() == "Linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _as_keras_begins() -> None:
    """Another program in this process, such as a notebook, may have told Keras otherwise."""
    keras.backend.set_floatx("float32")
    keras.backend.set_epsilon(1e-7)
    keras.backend.set_image_data_format("channels_last")
    keras.mixed_precision.set_global_policy("float32")


def fresh(seed: int) -> None:
    """Start a stage as a new process would: no layer names, random state or memory left over, and
    nothing configured but what is here.

    A run that was killed and resumed must end with the bytes of one that was not, so nothing may
    pass from stage to stage but their files.
    """
    keras.backend.clear_session()
    _as_keras_begins()
    threadpool_limits(cores())  # of numpy's linear algebra, which adds up by threads
    _give_memory_back()
    random.seed(seed)
    np.random.seed(seed)
    tf.keras.utils.set_random_seed(seed)


__all__ = ["fresh", "keras", "tf"]
