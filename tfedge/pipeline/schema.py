"""The pipeline file: every key, its type, allowed values, default and meaning. Nowhere else.

Keys of labelled files stand in ``data/schema.py``, those of a task in its own ``schema.py``, those
of devices in ``devices/schema.py``. Nothing here reads files or imports TensorFlow: ``load.py``
turns YAML into these, ``rules.py`` holds what spans several keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
    model_validator,
)

from tfedge.catalog.backbones import BACKBONES, Block, layers
from tfedge.catalog.weights import WHEELS, Pinned, Wheel
from tfedge.config.former import Removed, Spread
from tfedge.config.section import (
    Count,
    Fraction,
    NotNegative,
    PackageName,
    Positive,
    Section,
    about,
    key,
)
from tfedge.config.spelling import closest
from tfedge.data.schema import Data
from tfedge.devices.schema import BenchDevice
from tfedge.files.artifact import sha256_file
from tfedge.pipeline import earlier
from tfedge.tasks.table import DEFAULT, TASKS, task_of

# Old dotted key: the one of today. Files with the old one go on working, and a note says so.
RENAMED: dict[str, str] = {}
# The same of keys that are said in several sections today.
SPREAD: dict[str, Spread] = {
    "distill.alpha": Spread(("prune.teacher", "cluster.teacher", "quantize.teacher"), beside=0.7)
}
# Dotted key: since when it, or a value of it, can't be chosen any more, why, and what to do. Files
# that say what is fixed today go on working, and a note says so.
REMOVED: dict[str, Removed] = {
    "prune.norms": Removed(
        "2026-11-27",
        "reestimate lost 1.2 ± 0.3 points against hold over fifteen splits, see docs/training.md",
        "leave it out",
        fixed="hold",
    ),
}

TASK = "What the model does, and so what the examples are and what a good answer is."
# Sections that each task has in its own way.
BACKBONE = "The pretrained net that the model is made of."
DATA = "The labelled examples, and how they become the model's input."
GATES = "Limits that stop the run with exit code 6; one that is left out is not checked."
TEACHER = "Another backbone; or `float`, the float model itself, which needs no training keys."
DISTILL = (
    "Who teaches prune, cluster and quantize, instead of the float model at temperature 1. Keys "
    "other than `teacher` and `temperature` say how the teacher's head is trained, as in "
    "`finetune`."
)
EVALUATE = "How good the exported files themselves are, and the limits that they must keep."

Unfreeze = (
    StrictStr | Annotated[StrictInt, Field(ge=0)] | Annotated[StrictFloat, Field(ge=0.0, le=1.0)]
)

# Keys that several sections have, each with a default of its own.
LearningRate = Annotated[
    float, Field(gt=0.0), about("The highest learning rate; `schedule` lowers it from there.")
]
Warmup = Annotated[
    Fraction, about("Share of all steps over which the learning rate rises from zero.")
]
BatchSize = Annotated[Count, about("Examples in each step.")]
Layers = Annotated[
    tuple[StrictStr, ...],
    about("Layers by name or pattern (`block_1?_*`); empty: all but those that `also` may add."),
]
Also = Annotated[
    tuple[Literal["first", "depthwise", "head"], ...],
    about("Layers that are left alone unless they are named here."),
]


Level = Annotated[float, Field(ge=-1000, le=1000)]  # of a pixel, on average


class Normalization(Section):
    """What weights want of the pixels: (pixel − mean) / std."""

    mean: Annotated[
        tuple[Level, Level, Level],
        about("Mean of red, green and blue, in units of 0 to 255; `[0, 0, 0]` subtracts nothing."),
    ]
    std: Annotated[
        tuple[Positive, Positive, Positive],
        about("What the difference is divided by, likewise; `[255, 255, 255]` is pixels/255."),
    ]
    channels: Literal["rgb", "bgr"] = key("rgb", "The order in which the weights take them.")


WEIGHT_NAMES = ("imagenet", "wheel", "none")


def earlier_or_file(weights: str) -> str:
    """SHA-256 of a file of weights, or of what is read of an earlier run. OSError."""
    path = Path(weights)
    return earlier.digest(path) if earlier.is_run(path) else sha256_file(path)


class Net(Section):
    """A pretrained net, whatever it takes: the ``backbone`` of a task."""

    name: StrictStr
    weights: StrictStr

    @property
    def known(self) -> bool:
        """Whether the catalogue has it."""
        raise NotImplementedError

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its blocks, from the input up. KeyError for one that is not known."""
        raise NotImplementedError

    @property
    def beginnings(self) -> tuple[str, ...]:
        """Patterns of how the names of its layers begin. KeyError for one that is not known."""
        raise NotImplementedError

    @classmethod
    def usual(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What other keys are, dotted, where a file leaves them out that gives the net these keys
        of its own; others have their default."""
        return {}

    @property
    def wheel(self) -> Pinned | None:
        """The pinned wheel that its weights come from, if they do. KeyError for a net that has no
        such weights."""
        raise NotImplementedError

    @property
    def pinned(self) -> str | None:
        """SHA-256 of weights that the catalogue pins, empty for those that need none; None: their
        path is given. KeyError for a net that has no such weights."""
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """SHA-256 of the weights: the pinned one, or of what lies at their path. OSError."""
        return earlier_or_file(self.weights) if self.pinned is None else self.pinned

    @property
    def run(self) -> Path | None:
        """The folder of the run that ``weights`` names; None where they name no run."""
        return None

    @property
    def reads(self) -> str:
        """SHA-256 of what says how examples become its input, where that comes with the weights."""
        return ""

    @property
    def frozen(self) -> bool:
        """Whether its features are taken as they are: nothing of it trains here, and its
        activations have no 8 bits."""
        return False

    @property
    def text(self) -> str:
        """Which net, in a few words."""
        raise NotImplementedError


class Backbone(Net):
    name: StrictStr = key(
        "MobileNetV2", "The net; `tfedge backbones` lists all of them, with their weights."
    )
    weights: StrictStr = key(
        "wheel",
        "`wheel` (pinned, from the package index), `imagenet` (those of Keras), `none` (random "
        "numbers), a file (.h5, .keras, .npz), or the directory of an earlier run to go on from.",
    )
    alpha: Positive = key(1.0, "Width of the net; `tfedge backbones` says which there are.")
    normalization: Normalization | None = key(
        None,
        "What the weights of a file want of the pixels, where the file can't say it: else its own "
        "Rescaling and Normalization layers do, or what the net does by default.",
    )

    @property
    def known(self) -> bool:
        row = BACKBONES.get(self.name)
        return row is not None and self.alpha in row.alphas

    @property
    def blocks(self) -> tuple[Block, ...]:
        return layers(self.name, self.alpha)

    @property
    def beginnings(self) -> tuple[str, ...]:
        return tuple(pattern for pattern, _ in BACKBONES[self.name].blocks)

    pooled: ClassVar[bool] = True  # the head reads a mean over the last block's map

    def passing(self, first: int) -> tuple[Block, ...]:
        """The blocks whose results pass from below block ``first`` to what follows."""
        return (self.blocks[first - 1],)

    @property
    def wheel(self) -> Wheel | None:
        return WHEELS[self.name, self.alpha] if self.weights == "wheel" else None

    @property
    def pinned(self) -> str | None:
        if self.weights in ("imagenet", "none"):  # Keras pins its own itself
            return ""
        wheel = self.wheel
        return None if wheel is None else wheel.sha256

    @property
    def run(self) -> Path | None:
        path = Path(self.weights)
        return path if self.weights not in WEIGHT_NAMES and earlier.is_run(path) else None

    @property
    def text(self) -> str:
        return f"{self.name} {self.alpha:g}"


class Training(Section):
    """What every stage that trains understands."""

    epochs: Count = key(
        2, "How often training goes through all examples; `steps` may ask for more."
    )
    learning_rate: LearningRate = 1e-3
    schedule: Literal["cosine", "exponential", "plateau", "constant"] = key(
        "cosine",
        "How the learning rate falls: `cosine` to zero, `exponential` to a hundredth, `plateau` by "
        "half when the validation loss rests, `constant` not at all.",
    )
    warmup: Warmup = 0.0
    optimizer: Literal["adam", "adamw", "sgd"] = key(
        "adam", "Which optimizer trains; `sgd` has Nesterov momentum of 0.9."
    )
    weight_decay: NotNegative = key(0.0, "Weight decay of `adamw`; the others have none.")
    batch_size: BatchSize = 32
    label_smoothing: Fraction = key(
        0.0, "Share of each label that is spread evenly over all classes."
    )
    class_weights: Literal["none", "balanced"] = key(
        "none", "`none`, or `balanced`: classes count the same, however few examples they have."
    )


_SCORES = (
    "a model gives a score for each class, of two classes too; a threshold on the score of one of "
    "them does what a single sigmoid output is for"
)


class Transfer(Training):
    """Transfer learning: a new head on a pretrained base; then, if asked, its top blocks."""

    first: ClassVar[tuple[str, ...]] = ("head",)
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "head": dict.fromkeys(("sigmoid", "binary"), _SCORES)
    }

    head: Literal["auto", "logistic", "sgd"] = key(
        "auto",
        "`logistic` is regression on the frozen base's features, fitted until it converges; `sgd` "
        "trains in epochs; `auto` is sgd where `data.augment` or `label_smoothing` is set.",
    )
    epochs: Count = key(10, "Epochs of an sgd head, while the base is frozen.")
    learning_rate: Positive = key(1e-2, "The highest learning rate of an sgd head.")
    dropout: Fraction = key(0.2, "Share of the features that an sgd head misses in each step.")
    patience: Count = key(5, "Epochs without a lower validation loss before training stops.")
    unfreeze: Unfreeze = key(
        "none",
        "Blocks that train after the head: `none`, `all`, from a block's name upwards, how many "
        "from the top (2), or which share of all (0.25).",
    )
    unfreeze_epochs: Count = key(4, "Epochs of these blocks.")
    unfreeze_learning_rate: Positive = key(1e-4, "The highest learning rate of these blocks.")


class Finetune(Transfer):
    tensorboard: StrictBool = key(
        False, "Logs for TensorBoard in the run's folder; `pip install 'tfedge[tensorboard]'`."
    )


class TeacherNet(Backbone):
    """Another backbone than the pipeline's, to learn from."""

    name: Annotated[StrictStr, about("The teacher's net; see `tfedge backbones`.")]
    image_size: Annotated[StrictInt, Field(ge=32, le=1024)] | Literal["auto"] = key(
        "auto", "Pixels a side of what it sees; `auto`: what its weights were made for."
    )

    @property
    def size(self) -> int:
        """Pixels a side; ``auto`` is the size that the weights were made for. KeyError for a
        backbone that there is none of."""
        if self.image_size != "auto":
            return self.image_size
        row = BACKBONES[self.name]
        own = row.wheel_size if self.weights == "wheel" else None
        return own or row.native_size

    @property
    def text(self) -> str:
        return f"{super().text} at {self.size} pixels"


class Distill(Transfer):
    """Whose soft labels the stages that train learn from; how much they do, each of them says.
    What Transfer holds is a backbone's."""

    first = ("teacher", "temperature")

    teacher: Annotated[Literal["float"] | Net, about(TEACHER)]
    # Above 100 nothing is left of the answers in float32.
    temperature: Annotated[float, Field(gt=0.0, le=100.0)] = key(
        2.0, "Softens the answers of teacher and student: scores are divided by it."
    )


class Retrain(Training):
    """Training that recovers from what pruning, clustering or rounding took.

    Defaults as measured with ``tools/accuracy_table.py``; docs/training.md has the figures.
    """

    steps: Literal["auto"] | Annotated[StrictInt, Field(ge=0)] = key(
        "auto",
        "Least number of training steps, whatever `epochs` says; `auto` is 150, or 300 from 800 "
        "examples on.",
    )
    warmup: Warmup = 0.2
    batch_size: BatchSize = 16  # few epochs: more steps are worth more than steadier ones
    teacher: Annotated[float, Field(ge=0.0, le=1.0)] = key(
        0.7,
        "Share of the teacher in the loss; the labels have the rest. The float model teaches, or "
        "what `distill` names.",
    )
    hints: NotNegative = key(
        1.0, "Weight in the loss of matching the float model's features; 0: off."
    )
    noise: Fraction = key(
        0.25,
        "Share of the training examples that are shown with noise (texts: with gaps), to learn the "
        "same from them; 0: none. `evaluate.robustness` tests with such.",
    )


class Prune(Retrain):
    first = ("recipe", "sparsity")

    recipe: StrictStr = key(
        "magnitude",
        "`magnitude`: the smallest weights go. `xnnpack`: they go in all 1×1 convolutions of a "
        "float model, for XNNPACK's sparse kernels.",
    )
    sparsity: Annotated[float, Field(gt=0.0, lt=1.0)] = key(
        0.5,
        "Share of ALL prunable weights that become zero; layers that train carry it for those "
        "that are frozen.",
    )
    pruning_schedule: Literal["polynomial", "constant"] = key(
        "polynomial", "How the zeros come: more and more of them, or all at the start."
    )
    allocation: Literal["lamp", "global", "sensitivity", "uniform"] = key(
        "lamp",
        "How layers share the zeros: by LAMP score, by the size of all weights, by what each layer "
        "can spare, or the same share in each.",
    )
    layers: Layers = ()
    also: Also = ()
    sparsity_m_by_n: tuple[Count, Count] | None = key(
        None,
        "[m, n]: m zeros in each n neighbouring input channels, such as [2, 4]; `sparsity` is what "
        "follows from it.",
    )
    block_size: tuple[Count, Count] = key(
        (1, 1), "Weights of 1×1 kernels that go together: [inputs, outputs], such as [1, 4]."
    )
    block_pooling_type: Literal["AVG", "MAX"] = key(
        "AVG", "What a block is judged by: the mean or the largest of its weights."
    )
    unfreeze: Unfreeze = key(
        "auto",
        "The part that trains and carries the zeros: as in `finetune`; `auto` is the top 70 % of "
        "the weights, or more where `sparsity` needs them.",
    )
    learning_rate: LearningRate = 3e-4


class Cluster(Retrain):
    """Kernels with few distinct values; what pruning made zero stays zero."""

    first = ("clusters", "init")

    clusters: Annotated[StrictInt, Field(ge=2, le=256)] = key(
        16, "Distinct values in each kernel, of which the zeros of pruning are one."
    )
    init: Literal["kmeans++", "linear", "density"] = key("kmeans++", "Where k-means starts.")
    layers: Layers = ()
    also: Also = ()
    unfreeze: Unfreeze = key(
        "auto",
        "The part that trains and is clustered: as in `finetune`; `auto` is what prune trains, "
        "else the top 70 % of the weights.",
    )
    learning_rate: LearningRate = 2e-4


_SCALES = (
    "kernels have a scale for each channel, activations one for each tensor; files for chips "
    "that want one scale a kernel are not made"
)
_BYTES = "an int8 model takes raw uint8 and gives uint8"
_FLOATS = (
    "files of float16 weights are not made; none ships float32, which a GPU delegate computes in "
    "float16 where it may"
)
_WIDE = "quantize.keep gives single layers 16-bit activations"
_RANGES = "ptq calibrates ranges and ships int8 weights and activations; none ships float32"


class Quantize(Retrain):
    first = ("recipe", "prefer")
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("granularity", "per_channel", "per_tensor"), _SCALES),
        **dict.fromkeys(
            (
                *("input_type", "output_type", "inference_input_type", "inference_output_type"),
                *("input_dtype", "output_dtype"),
            ),
            _BYTES,
        ),
    }
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "recipe": {
            **dict.fromkeys(("float16", "fp16", "f16", "half"), _FLOATS),
            **dict.fromkeys(("dynamic_range", "weight_only", "int8", "full_integer"), _RANGES),
            **dict.fromkeys(("int16", "16x8"), _WIDE),
        }
    }

    recipe: StrictStr = key(
        "auto",
        "`qat` trains in 8 bits, `ptq` calibrates, `dynamic` (texts) has 8-bit weights alone, "
        "`none` ships float; `auto` calibrates, and trains where that costs answers or after "
        "prune, cluster or distill.",
    )
    prefer: Literal["accuracy", "size", "latency"] = key(
        "accuracy", "What `auto` decides by: `size` prunes half of the weights, the others none."
    )
    unfreeze: Unfreeze = key(
        "auto",
        "The part that qat trains: as in `finetune`; `auto` is what prune or cluster trains, else "
        "the top 70 % of the weights.",
    )
    learning_rate: LearningRate = 1e-4
    representative: Count = key(128, "Training examples that calibrate the ranges.")
    correct: StrictBool = key(
        True,
        "Equalises, centres, corrects biases and rounds by least squares, where that brings the "
        "answers nearer to the float model's; false: ranges alone.",
    )
    keep: dict[StrictStr, Literal["float", "int16"]] = key(
        {},
        "Layers above 8 bits, by name or pattern, such as `{logits: float}`. `int16` (its "
        "activations) is slow everywhere, and an Edge TPU takes neither.",
    )
    xnnpack_input: StrictBool = key(
        False,
        "Has XNNPACK make int8 of the uint8 pixels, by way of float32: the same answers, sooner on "
        "x86. The file has one float tensor then; a Coral drop is made without.",
    )
    debug: StrictBool | Literal["auto"] = key(
        "auto",
        "Measures what 8 bits cost in each layer and proposes what to keep; `auto` takes a quick "
        "look once int8 is more than a point below float.",
    )


class Gates(Section):
    max_accuracy_drop: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None,
        "Most accuracy (the task's primary metric) that int8 may lose against float; 0.02 is two "
        "points.",
    )
    min_accuracy: Annotated[float, Field(ge=0.0, le=1.0)] | None = key(
        None, "Least accuracy (the task's primary metric) of the shipped file."
    )
    max_size: Count | None = key(None, "Most bytes of the shipped file.")
    max_latency: Positive | None = key(
        None,
        "Highest median latency, in milliseconds, on the first of `benchmark.devices` with the "
        "first of `benchmark.threads`.",
    )
    min_speedup: Positive | None = key(
        None,
        "Least speed of int8 against float, measured there side by side: 1.5 is 1.5 times as fast.",
    )


class Evaluate(Section):
    """What every task is measured by. A task's own section adds its keys."""

    worst: Annotated[StrictInt, Field(ge=0)] = key(
        10, "How many of the worst answers the report shows."
    )
    robustness: Annotated[StrictInt, Field(ge=0)] = key(
        100,
        "How many examples, at most, are tested once more with noise, blur and other harm (texts: "
        "cut short, and with gaps), float "
        "and int8 side by side; 0: none.",
    )
    gates: Gates = key(Gates(), GATES)


class Benchmark(Section):
    devices: tuple[StrictStr | BenchDevice, ...] = key(
        ("local",),
        "Where it is measured: `local`, `local:PYTHON`, `ssh://user@host[:port]`, `adb[:SERIAL]` "
        "or names in a devices.yaml; with more to say, `{name: pi4, optional: true}`.",
    )
    threads: tuple[Count, ...] = key((1,), "Numbers of threads, each measured on its own.")
    runs: Annotated[StrictInt, Field(ge=10)] = key(30, "Timed inferences of each process.")
    warmup: Count = key(5, "Untimed inferences before them.")
    processes: Count = key(2, "Fresh processes for each model, device and number of threads.")
    profile: StrictBool = key(
        True, "Time each op as well, after the rest: where the time goes, in the report."
    )

    @property
    def measured_on(self) -> tuple[BenchDevice, ...]:
        """``devices`` in the long form. Without an address: as in devices.yaml, not yet found."""
        return tuple(
            BenchDevice(name=item) if isinstance(item, str) else item for item in self.devices
        )


_SEGMENTS = (
    "a model is not split over several Edge TPUs; compile: defer, and then edgetpu_compiler "
    "--num_segments on the drop's .tflite, does that by hand; several models on one chip: together"
)

CONTAINER = "docker:"  # before the name of an image, in coral.compiler
# What stands behind it must look like an image: an option would be docker's.
Compiler = Annotated[
    StrictStr, Field(pattern=r"^(docker:[A-Za-z0-9][A-Za-z0-9._/:@-]*|[^:-][^:]*)$")
]


class Coral(Section):
    instead: ClassVar[Mapping[str, str]] = {"segments": _SEGMENTS, "num_segments": _SEGMENTS}

    compile: Literal["now", "defer"] = key(
        "now",
        "`now` needs Google's edgetpu_compiler here; `defer` puts a script that calls it into the "
        "drop.",
    )
    compiler: Compiler = key(
        "edgetpu_compiler", "The compiler: a program, or `docker:IMAGE` with an image that has it."
    )
    min_runtime: Annotated[StrictInt, Field(ge=10, le=14)] = key(
        14, "Version of the device's libedgetpu runtime that must be enough."
    )
    together: tuple[StrictStr, ...] = key(
        (), "Other .tflite files that share the chip's memory with the model."
    )


SYNTHETIC, HELD_OUT = "synthetic", "held_out"  # package.golden; anything else is a folder


class Android(Section):
    package: PackageName = key("org.example.classifier", "Package of the Kotlin in the drop.")


_MICRO = (
    "no drop is made for microcontrollers; TensorFlow Lite Micro runs the .tflite of a linux drop: "
    "`xxd -i` makes a C array of it"
)


class Package(Section):
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "targets": dict.fromkeys(
            ("micro", "tflm", "tflite-micro", "microcontroller", "mcu", "arduino", "esp32"), _MICRO
        )
    }

    targets: tuple[StrictStr, ...] = key(
        ("linux",), "What a drop is made for: `linux`, `android`, `coral`."
    )
    author: StrictStr = key("", "Author of the model; empty: left out.")
    licence: StrictStr = key("", "Licence under which the model is given away; empty: left out.")
    description: StrictStr = key("", "What the model is for; empty: which classes it tells apart.")
    golden: StrictStr = key(
        SYNTHETIC,
        "Inputs of the golden pairs, which everyone who gets a drop can look at: `synthetic` makes "
        "them, `held_out` takes images of yours, and a folder's images are those you call public.",
    )
    android: Android = key(Android(), "What the Android drop is told.")
    coral: Coral = key(Coral(), "What the Edge TPU compiler is asked for.")


class Runtime(Section):
    device: Literal["cpu", "gpu", "auto"] = key(
        "cpu",
        "`cpu`: the same bytes on every run of one machine; `gpu`: NVIDIA's, faster, without that "
        "promise; `auto`: the GPU where this machine has one.",
    )


class Track(Section):
    mlflow: Annotated[
        StrictStr,
        about(
            "A folder or the address of a tracking server (`http://…`) that gets the keys of each "
            "run, its figures, model and report; `pip install 'tfedge[mlflow]'`."
        ),
    ]


class Pipeline(Section):
    """The whole file. A section that is left out is a stage that is not run.

    ``schema_of`` gives the same with the sections of a task: ``data``, ``backbone``, ``evaluate``
    and the teacher of ``distill``.
    """

    name: Annotated[
        StrictStr,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
        about("Names the run's folder and the shipped file."),
    ]
    task: StrictStr = key(DEFAULT, TASK)
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = key(1, "Seed of everything random.")
    runtime: Runtime = key(Runtime(), "What training computes on.")
    data: Annotated[Data, about(DATA)]
    backbone: Net = key(Backbone(), BACKBONE)
    finetune: Finetune = key(
        Finetune(), "A new head on the frozen backbone; then, if asked, its top blocks."
    )
    distill: Distill | None = key(None, DISTILL)
    prune: Prune | None = key(None, "Zeros in the kernels: a smaller download, once compressed.")
    cluster: Cluster | None = key(
        None, "Kernels of few distinct values: a smaller download, once compressed."
    )
    quantize: Quantize | None = key(None, "An int8 model instead of a float one.")
    evaluate: Annotated[Evaluate | None, about(EVALUATE)] = None
    benchmark: Benchmark | None = key(
        None, "Latency and memory of the exported files, measured in fresh processes."
    )
    package: Package | None = key(
        None, "Drops: a folder with the model and all that using it takes, for each target."
    )
    track: Track | None = key(None, "Who is told of a run once it has ended; no stage asks for it.")

    @model_validator(mode="before")
    @classmethod
    def _as_is_usual(cls, data: Any) -> Any:
        """The same with what is usual with its net where it says nothing."""
        net = cls.model_fields["backbone"].default
        given = data.get("backbone") if isinstance(data, dict) else None
        if not isinstance(net, Net) or not isinstance(given, dict):
            return data
        found = dict(data)
        for dotted, value in net.usual(given).items():
            section, name = dotted.split(".")
            always = isinstance(cls.model_fields[section].default, Section)
            there = found.get(section, {} if always else None)
            if isinstance(there, dict):
                found[section] = {name: value, **there}
        return found


@cache
def schema_of(task: str) -> type[Pipeline]:
    """The pipeline of a task. KeyError if there is none of that name."""
    row = task_of(task)
    data: Any = Annotated[row.data, about(DATA)]
    evaluate: Any = Annotated[row.evaluate | None, about(EVALUATE)]
    net: Any = row.backbone or Backbone
    other: Any = row.teacher or TeacherNet
    teacher: Any = Annotated[Literal["float"] | other, about(TEACHER)]
    distill: Any = create_model("Distill", __base__=Distill, teacher=(teacher, ...))
    own: dict[str, Any] = {name: _own(name, kind) for name, kind in row.sections.items()}
    return create_model(
        "Pipeline",
        __base__=Pipeline,
        data=(data, ...),
        backbone=(net, key(net(), BACKBONE)),
        evaluate=(evaluate, None),
        distill=(distill | None, key(None, DISTILL)),
        **own,
    )


def head_kinds(task: str) -> tuple[str, ...]:
    """What ``finetune.head`` can be in a task."""
    section: Any = schema_of(task).model_fields["finetune"].annotation
    return get_args(section.model_fields["head"].annotation)


def _own(name: str, kind: type[Section]) -> Any:
    """A section of a pipeline as a task has it, which is there by default if the common one is."""
    common = Pipeline.model_fields[name]
    about_it = common.description or ""
    if common.default is None:
        return kind | None, key(None, about_it)
    return kind, key(kind(), about_it)


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
