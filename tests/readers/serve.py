"""A model behind pipes, for the stand-ins of LiteRT in kotlin/: what its inputs take, one behind
the other in the order of their names, in; stored scores out, each answer after its length (4 bytes,
big-endian)."""

from __future__ import annotations

import struct
import sys

import numpy as np

from tfedge.tflite.runtime import LiteRT, by_name

runtime = LiteRT(sys.argv[1])
ports = runtime.inputs()
dtype, shape = ports[0].dtype, ports[0].shape  # of each of several inputs
while given := sys.stdin.buffer.read(len(ports) * int(np.prod(shape)) * dtype.itemsize):
    parts = by_name(np.frombuffer(given, dtype).reshape(len(ports), *shape), ports)
    scores = runtime.invoke(*parts)[0].tobytes()
    sys.stdout.buffer.write(struct.pack(">i", len(scores)) + scores)
    sys.stdout.buffer.flush()
