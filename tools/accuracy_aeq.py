"""Quantize a float .tflite with Google's ai-edge-quantizer: for a Python that has it.

    PYTHON tools/accuracy_aeq.py FLOAT.tflite PIXELS.npy OUT.tflite

The library's own recipe for static int8 weights and activations, its default calibration. PIXELS
are the calibration images, uint8 [n, side, side, 3]. Prints the library's version and the seconds
that it took, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np


def main() -> None:
    from ai_edge_quantizer import quantizer, recipe

    plain, pixels, target = sys.argv[1], np.load(sys.argv[2]), Path(sys.argv[3])
    began = time.monotonic()
    made = quantizer.Quantizer(plain, recipe.static_wi8_ai8())
    (name,) = _inputs(plain)
    samples = [{name: image[None].astype(np.float32)} for image in pixels]
    result = made.quantize(made.calibrate({"serving_default": samples}, num_threads=2))
    target.write_bytes(bytes(result.quantized_model))
    took = time.monotonic() - began
    print(json.dumps({"version": version("ai-edge-quantizer"), "seconds": took}))


def _inputs(model: str) -> list[str]:
    """Names of the inputs of the model's signature."""
    from ai_edge_litert.interpreter import Interpreter

    signature = Interpreter(model_path=model).get_signature_list()["serving_default"]
    return [*signature["inputs"]]


if __name__ == "__main__":
    main()
