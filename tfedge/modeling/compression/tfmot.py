"""The only door to TF-MOT, behind the one to TensorFlow.

TF-MOT looks for ``keras.engine``, which no Keras of today has, and would import all of Keras 3 (and
scikit-learn with it) only to find that out: a second of every run.
"""

from __future__ import annotations

import sys

from tfedge.modeling.nets import env  # noqa: F401  (before the first import of TensorFlow)

_known = "keras" in sys.modules
if not _known:
    sys.modules["keras"] = None  # type: ignore[assignment]
try:
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.clustering.keras import clustering_algorithm
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import (
        cluster as experimental_clustering,
    )
    from tensorflow_model_optimization.python.core.quantization.keras import quantize_wrapper
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (  # noqa: E501
        prune_preserve_quantize_registry,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_configs,
        default_8bit_quantize_registry,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.quantizers import (
        LastValueQuantizer,
        MovingAverageQuantizer,
        Quantizer,
    )
finally:
    if not _known:
        del sys.modules["keras"]

__all__ = [
    "LastValueQuantizer",
    "MovingAverageQuantizer",
    "Quantizer",
    "clustering_algorithm",
    "default_8bit_quantize_configs",
    "default_8bit_quantize_registry",
    "experimental_clustering",
    "prune_preserve_quantize_registry",
    "quantize_wrapper",
    "tfmot",
]
