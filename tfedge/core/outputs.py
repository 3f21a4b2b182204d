"""What stages write as JSON and others read: one type a file, one writer, one reader.

A stage builds the type and writes it; whoever needs it reads the type, never a dictionary. A key
that need not be there is left out of the file where it is None; any other None stands in it as
null. Neither TensorFlow nor numpy is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, SerializeAsAny, ValidationError

from tfedge.catalog import recipes
from tfedge.errors import ArtifactError
from tfedge.files.artifact import read_json, write_json
from tfedge.tasks.task import Metric

Recipe = recipes.Name
Row = dict[str, Any]  # its keys are known to who writes and who shows it alone


class Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class TaskOutput(Output):
    """With keys that only the task knows."""

    model_config = ConfigDict(extra="allow")


class Figure(TaskOutput):
    """With the primary metric under the name that the task gives it, see ``Metric.named``."""

    def value(self, metric: Metric) -> float:
        """The figure of that metric. AttributeError when there is none."""
        return float(getattr(self, metric.key))

    def whose(self, metric: Metric) -> str:
        """What that metric is of, where it is of a part of the examples; else empty."""
        return str(getattr(self, f"{metric.key}_of", ""))

    def interval(self, metric: Metric) -> tuple[float, float] | None:
        """The 95 % confidence interval of that metric, where it has one."""
        found = getattr(self, f"{metric.key}_ci95", None)
        return None if found is None else (found[0], found[1])


class ExampleIndex(Output):
    """data/index.json, as far as it is the same for all tasks; the rows, which may be many, are not
    kept."""

    model_config = ConfigDict(extra="ignore")

    digest: str  # SHA-256 over all examples and what is known of them
    counts: dict[str, dict[str, int]]  # by split and kind


FROM_FILE = "file"  # the source of weights whose detail is the file's path


class Audit(TaskOutput):
    """data/audit.json, as far as it is the same for all tasks."""

    warnings: list[str]  # for people to read, also when the cache has the audit
    order: str | None = None  # where the model's outputs stand in that of an earlier run


class Pretrained(Output):
    """Where weights are from. ``sha256`` and ``licence`` are empty where they are not known."""

    source: str
    detail: str
    sha256: str
    licence: str | None


class Base(TaskOutput):
    """backbone/base.json: which net. What it takes stands under the task's own names."""

    name: str
    weights: Pretrained
    layers: int | None = None  # that have weights
    frozen: bool | None = None  # its features are taken as they are: see pipeline's Net


class Side(Figure):
    """How well a model knows one split."""

    loss: float
    n: int  # examples


class History(Output):
    """finetune/history.json: how the head was made, which state stayed, and how good it is."""

    head_kind: Literal["logistic", "sgd"]
    chose_weights_on: str | None  # the split; None: no example of another than train chose any
    head: list[Row]
    C: float | None = None  # of a fitted head: the inverse strength of its penalty
    blocks: list[Row] | None = None
    best_epoch: int | None = None  # of the blocks, or of a head without; 0: as it was before
    stopped: str | None = None  # why this training was stopped before its end: its loss blew up
    train: Side
    val: Side


class Epochs(RootModel[list[Row]]):
    """prune/history.json and cluster/history.json: a row for each epoch."""


class ValidationResult(Output):
    """A model on the validation examples."""

    val_accuracy: float  # the primary metric, whatever it is
    val_loss: float


class Distillation(ValidationResult):
    """distill/distill.json: the teacher beside the float model."""

    name: str
    plain: ValidationResult = Field(validation_alias="float", serialization_alias="float")
    chose_weights_on: str | None
    net: SerializeAsAny[Base] | None = None  # None: the float model teaches
    history: History | None = None


class Change(Output):
    """Two models on the same examples: how many the later one answers better and worse, and how
    likely a difference as large is by chance."""

    gained: int
    lost: int
    p: float


class Trial(Change, Figure):
    """A state against the one before it. Under the primary metric's name stands the later one's."""

    split: str
    n: int  # examples
    before: float
    agreement: float  # share of examples with the same answer
    significant: bool  # the later one is worse, and not by chance
    recipe: str | None = None  # of ``quantize.recipe: auto``, what was tried
    # Of training, the state that goes on: of the last epoch, of an earlier one, or the one before.
    state: Literal["trained", "earlier", "before", "calibrated"] | None = None
    epoch: int | None = None  # of an earlier one
    stopped: str | None = None  # why training was stopped before its end: its loss blew up


class Structure(Output):
    """The keys of ``prune`` that say which zeros stand together."""

    sparsity_m_by_n: tuple[int, int] | None
    block_size: tuple[int, int]  # inputs × outputs
    block_pooling_type: str


class SparseLayer(Output):
    name: str
    size: int  # weights
    zeros: int
    target: int  # zeros that were wanted
    frozen: bool


class Sparsity(Output):
    """prune/sparsity.json: the zeros of all prunable kernels."""

    target: float  # share of zeros
    reached: float
    total: int
    zeros: int
    layers: list[SparseLayer]
    trained: Trial | None = None  # against the model before pruning
    structure: Structure | None = None
    recipe: str | None = None  # where it is more than magnitude


class ClusteredLayer(Output):
    name: str
    size: int  # weights
    distinct: int  # values
    zeros: int
    frozen: bool


class Clusters(Output):
    """cluster/clusters.json: the distinct values of all kernels that ``cluster`` chooses."""

    clusters: int
    layers: list[ClusteredLayer]
    trained: Trial | None = None  # against the clustered model before it trained


class Distance(Output):
    """How far answers are from the float model's: ``Work.divergence`` (of scores: KL in nats), and
    the share of examples with the same answer."""

    kl: float
    agreement: float


class Correction(Output):
    """What equalising, centring, rounding and correcting biases brought."""

    state: Literal["plain", "corrected"]  # the one that goes on
    n: int  # examples
    plain: Distance
    corrected: Distance


class Quantized(Output):
    """quantize/quantize.json."""

    recipe: Recipe
    representative: list[int]  # rows of the examples that calibrated it
    ranges: Literal["graph", "converter"]  # where they stand, or who is still to find them
    correction: Correction | None = None
    tried: list[Trial] | None = None
    history: list[Row] | None = None
    trained: Trial | None = None
    kept: dict[str, str] | None = None  # what ``quantize.keep`` means in this network


class TensorType(Output):
    dtype: str
    shape: list[int]


class FileLayer(Output):
    """A kernel of the file."""

    name: str
    op: str
    size: int  # weights
    zeros: int
    distinct: int  # values
    distinct_channel: int  # … of the output channel that has most
    prunable: bool


class ModelFile(Output):
    """convert/model.json: what model.tflite itself says. Sizes are in bytes."""

    recipe: Recipe
    sha256: str
    bytes: int
    deflated: int  # as zip, APK and HTTP would have it (zlib)
    float_deflated: int  # … of float.tflite
    sparsity: float | None  # share of zeros of all prunable kernels
    float_tensors: int
    input: TensorType
    output: TensorType
    layers: list[FileLayer]
    kept: dict[str, str] | None = None  # layers in higher precision


class Phase(Figure):
    """A model on the way to the file that ships, against the one before."""

    phase: str
    agreement: float | None  # with float; None: it is float
    n: int  # examples
    against: str | None
    gained: int | None
    lost: int | None
    p: float | None
    gained_float: int | None = None  # of the last one, where others stand between it and float
    lost_float: int | None = None
    p_float: float | None = None

    @property
    def change(self) -> Change | None:
        """Against the one before."""
        return _change(self.gained, self.lost, self.p)

    @property
    def change_from_float(self) -> Change | None:
        """Against float, where others stand in between."""
        return _change(self.gained_float, self.lost_float, self.p_float)


def _change(gained: int | None, lost: int | None, p: float | None) -> Change | None:
    if gained is None or lost is None or p is None:
        return None
    return Change(gained=gained, lost=lost, p=p)


class Gap(Change):
    """Of the shipped file to the float model under one corruption."""

    gap: float  # of the primary metric; below 0 the shipped file is worse


class Robustness(TaskOutput):
    """The primary metric of each phase under each corruption. Under the metric's own name stand the
    shipped file's. ``trained_with`` are corruptions that examples were shown with in training."""

    n: int  # examples
    models: dict[str, dict[str, float]]
    against_float: dict[str, Gap] | None = None
    trained_with: list[str] | None = None


class ModelMetrics(Figure):
    """What the task says of one model; a task has a type of its own for it."""


class Evaluation(TaskOutput):
    """evaluate/metrics.json. ``plain`` is float.tflite, or what shipped where nothing was quantized
    and ``int8`` is None. The task's own keys say how it was measured."""

    split: str
    n: int  # examples
    chose_weights: bool  # these examples did
    shipped: Literal["float", "int8"]
    plain: SerializeAsAny[ModelMetrics] = Field(
        validation_alias="float", serialization_alias="float"
    )
    int8: SerializeAsAny[ModelMetrics] | None = None
    agreement: float | None = None  # share of examples with the same answer
    phases: list[Phase]
    robustness: Robustness | None = None
    chosen: Row | None = None  # for the shipped file, by the validation examples
    worst: list[Row]  # answers, as the task tells them
    warnings: list[str]
    proposals: list[str]

    @property
    def models(self) -> dict[str, ModelMetrics]:
        """The metrics of ``float`` and, where it was made, ``int8``."""
        return {"float": self.plain} | ({"int8": self.int8} if self.int8 is not None else {})

    def values(self, metric: Metric) -> dict[str, float]:
        """That figure of each model."""
        return {name: found.value(metric) for name, found in self.models.items()}


class Mixture(Figure):
    """How layers in several precisions answer, against the float model."""

    agreement: float  # share of examples with the same answer
    kept: dict[str, str] | None = None  # layers above 8 bits
    divergence: float | None = None


class LayerHarm(Output):
    """What quantizing one unit alone does."""

    unit: str
    divergence: float  # of scores: nats, mean
    agreement: float  # share of examples with the answer of the float network
    error: float  # root mean square of its result, in steps of its scale
    sqnr_db: float | None  # signal to quantization noise of its result; None: nothing is lost
    kept: str  # the precision that it has now


class LayerComparison(Output):
    """What ``debug`` measured."""

    recipe: Recipe
    ranges: Literal["graph", "converter"]
    quick: bool
    split: str
    n: int  # examples
    limit: float  # share of the answers that may change
    limit_from: str  # the key that says so, or empty
    plain: Mixture = Field(validation_alias="float", serialization_alias="float")
    now: Mixture
    file: Mixture
    proposed: Mixture | None
    layers: list[LayerHarm]  # the most harmful first


class NoComparison(Output):
    """Why layers were not compared. ``needed``: they should have been."""

    needed: bool
    why: str


class Debug(RootModel[LayerComparison | NoComparison]):
    """debug/debug.json."""


class DropMade(Output):
    """A drop of the run."""

    target: str
    path: str  # relative to the run directory
    files: int
    bytes: int
    manifest_sha256: str


class DropsMade(RootModel[list[DropMade]]):
    """package/drops.json."""


Kind = TypeVar("Kind", bound=BaseModel)


def dump(output: BaseModel) -> Any:
    """An output as its file has it."""
    return output.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def write(path: Path, output: BaseModel) -> None:
    """Write a stage's output."""
    write_json(path, dump(output))


def read(path: Path, kind: type[Kind]) -> Kind:
    """Read a stage's output. ArtifactError when it is not there or is not of that kind."""
    return parse(read_json(path, _AGAIN), kind, path)


def parse(found: Any, kind: type[Kind], where: Path | str) -> Kind:
    """An output, or a part of one, as a type of its own. ArtifactError names the key that is wrong,
    and ``where`` it was found."""
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "it"
        what = f"is not what a {kind.__name__} holds: {key}: {first['msg']}"
        raise ArtifactError(where, what, _AGAIN) from None


def narrow(output: BaseModel, kind: type[Kind], where: Path | str) -> Kind:
    """An output that was read as a general type as the task's own type."""
    return output if isinstance(output, kind) else parse(dump(output), kind, where)


_AGAIN = "run with --force"
