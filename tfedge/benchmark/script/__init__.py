"""The sources of the device script, ``tools/bench_tflite.py``, which is one file made of them.

They run here as well: the package works its statistics out with them. Like all that runs on a
device they need Python 3.7, numpy and an interpreter, and Pillow only where images are fed.
"""
