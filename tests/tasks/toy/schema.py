"""A task that stands in these tests alone: the number that an image shows, as a number.

It is added by a line in the table of tasks, without touching any file of tfedge: that is what the
seam is for.
"""

from __future__ import annotations

from tfedge.inputs.images.schema import ImageData
from tfedge.pipeline.schema import Evaluate
from tfedge.tasks.task import Metric, Task

TASK = Task(
    name="image-regression",
    data=ImageData,
    evaluate=Evaluate,
    primary=Metric("mae", "mean absolute error", higher=False, share=False),
    work="tests.tasks.toy.work:Regression",
    head="tests.tasks.toy.head:NumberHead",
    texts="tests.tasks.toy.texts:texts",
    inputs=("data.image_size", "data.fit"),
    shape=("data.image_size",),
    views=("data.augment",),
    sample="sample:digits",
    libs=("pillow",),
    harder="severity 1 of ImageNet-C",
    drops=("linux",),
)
