"""What stages write as JSON and others read: one type a file, one writer, one reader.

A stage builds the type and writes it; whoever needs it reads the type, never a dictionary. A key
that a stage has nothing to say on is left out of the file. TensorFlow and numpy are not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json, write_json
from tfedge.tasks.task import Metric

Recipe = Literal["float", "ptq", "qat"]
Row = dict[str, Any]  # of a training's history: its keys are those that the training has


class Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskOutput(Output):
    """With figures under names that only the task knows, its primary metric among them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    def value(self, metric: Metric) -> float:
        """The figure of that metric. KeyError when there is none."""
        return float((self.model_extra or {})[metric.key])


class Weights(Output):
    """Where pretrained weights are from."""

    source: str
    detail: str
    sha256: str
    licence: str | None


class Base(TaskOutput):
    """base.json: which net, and its normalisation in units of the raw input. How large its input
    is stands under the task's own names."""

    name: str
    alpha: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: Weights
    layers: int | None = None  # with weights of their own


class Side(TaskOutput):
    """How well a model knows one split: the primary metric, the loss."""

    loss: float
    n: int


class History(Output):
    """finetune/history.json: how the head was made, which state stayed, and how good it is."""

    head_kind: Literal["logistic", "sgd"]
    chose_weights_on: str | None
    head: list[Row]
    C: float | None = None  # of a fitted head: the inverse strength of its penalty
    blocks: list[Row] | None = None
    best_epoch: int | None = None
    train: Side
    val: Side


class Judged(Output):
    """A model on the validation examples."""

    val_accuracy: float  # the primary metric
    val_loss: float


class Distillation(Judged):
    """distill.json: the teacher beside the float model."""

    name: str
    plain: Judged = Field(alias="float")
    chose_weights_on: str | None
    net: Base | None = None  # None: the float model teaches
    history: History | None = None


class SparseLayer(Output):
    name: str
    size: int
    zeros: int
    target: int
    frozen: bool


class Sparsity(Output):
    """sparsity.json: the zeros of all prunable kernels."""

    target: float
    reached: float
    total: int
    zeros: int
    layers: list[SparseLayer]
    recipe: str | None = None  # where it is more than magnitude
    structure: Row | None = None  # the keys of ``prune`` that make one


class ClusteredLayer(Output):
    name: str
    size: int
    distinct: int
    zeros: int
    frozen: bool


class Clusters(Output):
    """clusters.json: the distinct values of all kernels that cluster chooses."""

    clusters: int
    layers: list[ClusteredLayer]


class Distance(Output):
    """Of answers from the float model's: divergence, and the share of the same ones."""

    kl: float
    agreement: float


class Correction(Output):
    """What equalising, centring, rounding and correcting biases brought, on ``n`` examples."""

    state: Literal["plain", "corrected"]  # that goes on
    n: int
    plain: Distance
    corrected: Distance


class Change(Output):
    """Two models on the same examples: how many the later answers better and worse, and how likely
    that is by chance."""

    gained: int
    lost: int
    p: float


class Trial(TaskOutput):
    """A state held against the one before on ``n`` examples of a split; under the primary metric's
    name the later one's."""

    split: str
    n: int
    before: float
    agreement: float
    gained: int
    lost: int
    p: float
    significant: bool  # the later one is worse, and not by chance
    recipe: str | None = None
    state: Literal["trained", "calibrated"] | None = None


class Quantized(Output):
    """quantize.json."""

    recipe: Recipe
    representative: list[int]  # rows that calibrated it
    ranges: Literal["graph", "converter"]
    correction: Correction | None = None
    tried: list[Trial] | None = None
    history: list[Row] | None = None
    trained: Trial | None = None
    kept: dict[str, str] | None = None  # what ``quantize.keep`` means in this network


class Tensor(Output):
    dtype: str
    shape: list[int]


class FileLayer(Output):
    """A kernel of the file."""

    name: str
    op: str
    size: int
    zeros: int
    distinct: int
    distinct_channel: int
    prunable: bool


class ModelFile(Output):
    """model.json: what model.tflite itself says."""

    recipe: Recipe
    sha256: str
    bytes: int
    deflated: int
    float_deflated: int
    sparsity: float | None  # zeros of all prunable kernels
    float_tensors: int
    input: Tensor
    output: Tensor
    layers: list[FileLayer]
    kept: dict[str, str] | None = None


class Phase(TaskOutput):
    """A model on the way to the file that ships, against the one before; under the primary metric's
    name how good it is."""

    phase: str
    agreement: float | None
    n: int
    against: str | None
    gained: int | None
    lost: int | None
    p: float | None
    gained_float: int | None = None
    lost_float: int | None = None
    p_float: float | None = None


class Gap(Change):
    """Of the shipped file to the float model under one corruption, in the primary metric."""

    gap: float


class Robustness(TaskOutput):
    """The primary metric of each phase under each corruption; under its own name the shipped
    file's."""

    n: int
    models: dict[str, dict[str, float]]
    against_float: dict[str, Gap] | None = None


class Evaluation(TaskOutput):
    """metrics.json. What the task says of each model stands as it is in ``plain`` and ``int8``."""

    split: str
    n: int
    chose_weights: bool
    shipped: Literal["float", "int8"]
    plain: Mapping[str, Any] = Field(alias="float")
    int8: Mapping[str, Any] | None = None
    agreement: float | None = None
    phases: list[Phase]
    robustness: Robustness | None = None
    worst: list[Row]
    warnings: list[str]
    proposals: list[str]

    @property
    def models(self) -> dict[str, Mapping[str, Any]]:
        """The metrics of ``float`` and, where it was made, ``int8``."""
        return {"float": self.plain} | ({"int8": self.int8} if self.int8 is not None else {})


class Mixture(TaskOutput):
    """How a choice of layers in higher precision answers; the primary metric under its name."""

    agreement: float
    kept: dict[str, str] | None = None
    divergence: float | None = None


class LayerHarm(Output):
    """What quantizing one unit alone does."""

    unit: str
    divergence: float
    agreement: float
    error: float
    sqnr_db: float | None
    kept: str


class Comparison(Output):
    """What ``debug`` measured, the most harmful layer first."""

    recipe: Recipe
    ranges: Literal["graph", "converter"]
    quick: bool
    split: str
    n: int
    limit: float
    limit_from: str
    plain: Mixture = Field(alias="float")
    now: Mixture
    file: Mixture
    proposed: Mixture | None
    layers: list[LayerHarm]


class NoComparison(Output):
    """Why layers were not compared; ``needed``: although int8 has lost."""

    needed: bool
    why: str


class DropMade(Output):
    target: str
    path: str
    files: int
    bytes: int
    manifest_sha256: str


Kind = TypeVar("Kind", bound=BaseModel)


def write(path: Path, output: BaseModel) -> None:
    """Write a stage's output; what was not set is left out."""
    write_json(path, output.model_dump(mode="json", by_alias=True, exclude_unset=True))


def read(path: Path, kind: type[Kind]) -> Kind:
    """Read a stage's output. ArtifactError when it is not there or of another kind."""
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = f"is not what a {kind.__name__} holds: {where}: {first['msg']}"
        raise ArtifactError(path, what, "run with --force") from None
