"""What a .tflite answers, with whatever interpreter this Python has: ``answers.py MODEL IN OUT``.

IN is an .npy of inputs [n, …] of the model's own dtype; OUT becomes one of its outputs [n, …].
"""

from __future__ import annotations

import sys

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter


def main(model: str, inputs: str, outputs: str) -> None:
    interpreter = Interpreter(model)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for item in np.load(inputs):
        interpreter.set_tensor(taken["index"], item[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(given["index"])[0])
    np.save(outputs, np.stack(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
