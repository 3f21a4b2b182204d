"""A model behind pipes, for the stand-ins of LiteRT in kotlin/: what its inputs take, one behind
the other in the order of their names, in; its outputs as they are stored, likewise, out, each after
its length (4 bytes, big-endian), and all of an answer after how many they are."""

from __future__ import annotations

import struct
import sys

import numpy as np

from tfedge.tflite.runtime import LiteRT, by_name

runtime = LiteRT(sys.argv[1])
ports = runtime.inputs()
dtype, shape = ports[0].dtype, ports[0].shape  # of each of several inputs
places = sorted(range(len(runtime.outputs())), key=lambda at: runtime.outputs()[at].name)
while given := sys.stdin.buffer.read(len(ports) * int(np.prod(shape)) * dtype.itemsize):
    parts = by_name(np.frombuffer(given, dtype).reshape(len(ports), *shape), ports)
    found = runtime.invoke(*parts)
    sys.stdout.buffer.write(struct.pack(">i", len(found)))
    for place in places:
        stored = found[place].tobytes()
        sys.stdout.buffer.write(struct.pack(">i", len(stored)) + stored)
    sys.stdout.buffer.flush()
