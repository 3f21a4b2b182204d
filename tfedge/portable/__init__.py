"""Code that runs here and, as it is, on a device: Python 3.7, numpy, Pillow 8, nothing else
of tfedge.

What training, a drop's example and the device script must do alike stands here once; ``assembled``
puts it into the scripts that go out as one file.
"""
