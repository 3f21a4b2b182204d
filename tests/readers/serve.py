"""A model behind pipes, for the stand-ins of LiteRT in kotlin/: pixels in, stored scores out, each
answer after its length (4 bytes, big-endian)."""

from __future__ import annotations

import struct
import sys

import numpy as np

from tfedge.tflite.runtime import LiteRT

runtime = LiteRT(sys.argv[1])
(given,) = runtime.inputs()
while pixels := sys.stdin.buffer.read(int(np.prod(given.shape)) * given.dtype.itemsize):
    scores = runtime.invoke(np.frombuffer(pixels, given.dtype).reshape(given.shape))[0].tobytes()
    sys.stdout.buffer.write(struct.pack(">i", len(scores)) + scores)
    sys.stdout.buffer.flush()
