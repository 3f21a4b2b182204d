"""Learning where things are: images and views with their boxes, and the loss of a detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tfedge.errors import UnsupportedModel
from tfedge.files.parallel import cores, in_order
from tfedge.files.progress import Progress
from tfedge.inputs.images import changes
from tfedge.inputs.images.anchors import anchors
from tfedge.inputs.images.annotations.index import Truth
from tfedge.inputs.images.assign import assigned
from tfedge.inputs.images.changes import Change
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import BoxAugment
from tfedge.modeling.nets.detector import BOXES, SCORES
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import float_pixels
from tfedge.modeling.training import loop
from tfedge.modeling.training.features import NOISY, Item
from tfedge.modeling.training.loop import Loss
from tfedge.modeling.training.objective import Dense, Score
from tfedge.modeling.training.rows import Rows
from tfedge.modeling.training.stream import TargetLookup, record_key, shown
from tfedge.pipeline.schema import Training, Transfer
from tfedge.portable.boxes import CODER
from tfedge.tasks.task import Work

_WEIGHT = 2.0  # of the boxes in the loss, against the scores
_WIDE = 20.0  # of th and tw, before exp: what is beyond has no gradient, and no infinity


class BoxedExamples(Protocol):
    """Examples that are images with boxes."""

    images: DecodedImages

    @property
    def classes(self) -> tuple[str, ...]: ...

    def truth(self, row: int) -> Truth: ...

    def rows_of(self, split: str) -> list[int]: ...


@dataclass(frozen=True)
class BoxSource:
    """Images as a detector learns from them, each view with its boxes.

    ``augment`` and ``seed`` say what the views are; ``cache`` is the folder of record stores.
    """

    images: DecodedImages
    augment: BoxAugment | None
    seed: int
    cache: Path
    progress: Progress

    @property
    def views(self) -> int:
        return self.augment.views if self.augment else 0

    def change(self, item: Item) -> Change | None:
        """How a view differs from its image; None for the image itself, with noise or without."""
        row, view = item
        if view < 1 or self.augment is None:
            return None
        digest = int(self.images.index.rows[row].sha256[:15], 16)
        return Change.drawn(self.augment, [self.seed, digest, view])

    def key(self, item: Item) -> str:
        settings = self.augment.model_dump() if self.augment else None
        changed = ["boxes", self.seed, settings, changes.VERSION]
        return record_key(self.images, item, changed)

    def beside(self, items: Sequence[Item]) -> None:
        return None

    def pixels(self, item: Item) -> np.ndarray:
        """uint8 [S, S, 3]."""
        change = self.change(item)
        if change is None:
            return shown(self.images, item)
        return change.pixels(self.images.pixel(item[0]))

    def inputs(self, items: Sequence[Item]) -> _Pixels:
        return _Pixels(self, items)

    def stream(
        self,
        rows: Sequence[int],
        learning_targets: loop.LearningTargets,
        weights: np.ndarray,
        batch_size: int,
        noise: loop.Noise | None = None,
    ) -> _Stream:
        """Training batches of whole images, of which each epoch has another view."""
        return _Stream(self, rows, learning_targets, weights, batch_size, noise)

    def converted(self, model: Any) -> bytes:
        """A float .tflite of a network's lower part, from images as they are stored."""
        return float_pixels(model, self.images.size)


class _Pixels:
    """The pixels of items, with a length, one after the other."""

    def __init__(self, source: BoxSource, items: Sequence[Item]) -> None:
        self._source, self._items = source, items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[np.ndarray]:
        found = in_order(self._source.pixels, self._items, ahead=2 * cores())
        yield from (pixels for _, pixels in found)


class _Stream:
    """Batches of images and their views: each epoch goes through all images once, and shows of each
    itself or one of its views. Same form as ``loop.Memory``."""

    def __init__(
        self,
        source: BoxSource,
        rows: Sequence[int],
        wanted: TargetLookup,
        weights: np.ndarray,
        batch_size: int,
        noise: loop.Noise | None,
    ) -> None:
        self._source, self._rows, self._wanted = source, list(rows), wanted
        self._weights, self._noise = weights, noise
        self.size = min(batch_size, len(rows))
        self.steps = -(-len(rows) // self.size)

    def epoch(self, number: int) -> Iterator[tuple[Any, Any, np.ndarray]]:
        random = np.random.default_rng([self._source.seed, number])
        count = len(self._rows)
        order = np.resize(random.permutation(count), self.steps * self.size)
        views = random.integers(0, self._source.views + 1, len(order))
        noisy = np.zeros(len(order), bool)
        if self._noise is not None:
            noisy = self._noise.shown(order, number)
            views[noisy] = 0  # noise is shown on the image itself
        for first in range(0, len(order), self.size):
            at = slice(first, first + self.size)
            seen = np.where(noisy[at], NOISY, views[at])
            items = [(self._rows[i], int(view)) for i, view in zip(order[at], seen, strict=True)]
            places = views[at] * count + order[at]
            pixels = np.stack([*self._source.inputs(items)])
            yield pixels.astype(np.float32), self._wanted[places], self._weights[places]


class AnchorTargets:
    """What each anchor should say of items, gathered by item: float32 [n, A, 5], the number of a
    class (−1: nothing is there) and x1 y1 x2 y2. Made when it is first asked for."""

    def __init__(self, source: BoxSource, examples: BoxedExamples, items: Sequence[Item]) -> None:
        self._source, self._examples, self._items = source, examples, items
        self._known: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # anchors, what they learn
        self._anchors = len(anchors(source.images.size))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, at: np.ndarray) -> np.ndarray:
        found = np.zeros((len(at), self._anchors, 5), np.float32)
        found[..., 0] = -1
        for place, number in enumerate(map(int, at)):
            if number not in self._known:
                self._known[number] = self._made(self._items[number])
            which, learnt = self._known[number]
            found[place, which] = learnt
        return found

    def _made(self, item: Item) -> tuple[np.ndarray, np.ndarray]:
        size = self._source.images.size
        truth = self._examples.truth(item[0]).counted()
        boxes, labels = truth.boxes, truth.labels
        change = self._source.change(item)
        if change is not None:
            boxes, kept = change.boxes(boxes, size)
            labels = labels[kept]
        number = assigned(boxes, size)
        which = np.flatnonzero(number >= 0)
        mine = number[which]
        learnt = np.concatenate([labels[mine, None], boxes[mine]], 1).astype(np.float32)
        return which.astype(np.int32), learnt


class Boxes:
    """Outputs are [n, A, 4 + classes]: how boxes differ from their anchors, and logits, served as
    boxes and sigmoid scores."""

    figure = "map50"
    of_views = True

    def __init__(self, source: BoxSource, examples: BoxedExamples, work: Work) -> None:
        self._source, self._examples, self._work = source, examples, work
        self.units = len(examples.classes)
        self._anchors = anchors(source.images.size)

    def targets(self, items: Sequence[Item], settings: Training) -> AnchorTargets:
        return AnchorTargets(self._source, self._examples, items)

    def weights(self, rows: Sequence[int], settings: Training) -> np.ndarray:
        return np.ones(len(rows), np.float32)

    def loss(self) -> Loss:
        """See ``quality_loss``."""
        return partial(quality_loss, tf.constant(self._anchors))

    def softened(self, targets: np.ndarray, outputs: np.ndarray, share: float) -> np.ndarray:
        raise _no_teacher()

    def distilled(self, share: float, temperature: float) -> Loss:
        raise _no_teacher()

    def taught(self, outputs: np.ndarray, temperature: float) -> np.ndarray:
        raise _no_teacher()

    def score(self, outputs: np.ndarray, rows: Sequence[int]) -> Score:
        """Mean loss, and mAP at an IoU of 0.5."""
        truth = np.empty(len(rows), object)
        for place, row in enumerate(rows):
            truth[place] = self._examples.truth(row)
        primary = self._work.primary(self.served(outputs), truth)
        return Score(self.mean_loss(outputs, rows), primary)

    def mean_loss(self, outputs: np.ndarray, rows: Sequence[int]) -> float:
        """Of examples as they are."""
        wanted = AnchorTargets(self._source, self._examples, [(row, 0) for row in rows])
        loss, total, step = self.loss(), 0.0, 16
        for first in range(0, len(rows), step):
            at = np.arange(first, min(first + step, len(rows)))
            weights = np.ones(len(at), np.float32)
            total += len(at) * float(loss(tf.constant(outputs[at]), (wanted[at],), weights))
        return total / len(rows)

    def serve(self, outputs: Any) -> Any:
        boxes, logits = outputs
        return {BOXES: boxes, SCORES: tf.sigmoid(logits)}

    def served(self, outputs: np.ndarray) -> np.ndarray:
        scores = 1 / (1 + np.exp(-outputs[..., 4:].astype(np.float32)))
        return np.concatenate([outputs[..., :4], scores], -1)

    def fit(
        self,
        features: Rows,
        rows: Sequence[int],
        groups: np.ndarray,
        settings: Transfer,
        seed: int,
        report: Callable[[int, int], None],
        scratch: Path,
    ) -> Dense:
        raise UnsupportedModel("a fitted head, of a detector", [], "finetune.head: sgd")


def _no_teacher() -> UnsupportedModel:
    return UnsupportedModel("a teacher, of a detector", [], "leave distill and teacher out")


def quality_loss(anchors: Any, outputs: Any, wanted: Any, weights: Any) -> Any:
    """Quality focal loss of the scores plus twice 1 − GIoU of the boxes, over the number of anchors
    that learn a box.

    A score learns the IoU of the very box that is predicted (Li et al. 2020, "Generalized Focal
    Loss"), a box its generalised IoU (Rezatofighi et al. 2019).

    Args:
        anchors: float32 [A, 4], cx cy w h.
        outputs: float32 [B, A, 4 + classes].
        wanted: ``wanted[0]`` float32 [B, A, 5], see ``AnchorTargets``.
        weights: float32 [B], of each example.
    """
    deltas, logits = outputs[..., :4], outputs[..., 4:]
    labels = tf.cast(wanted[0][..., 0], tf.int32)
    share = tf.cast(weights, tf.float32)[:, None]
    learns = tf.cast(labels >= 0, tf.float32) * share
    count = tf.maximum(tf.reduce_sum(learns), 1.0)
    overlap, generalised = _overlaps(_decoded(anchors, deltas), wanted[0][..., 1:])
    boxes = tf.reduce_sum((1 - generalised) * learns) / count
    named = tf.equal(labels[..., None], tf.range(logits.shape[-1]))
    truth = tf.cast(named, tf.float32) * tf.stop_gradient(overlap)[..., None]
    cross = tf.nn.sigmoid_cross_entropy_with_logits(truth, logits)
    focal = cross * tf.square(truth - tf.sigmoid(logits))
    return tf.reduce_sum(focal * share[..., None]) / count + _WEIGHT * boxes


def _decoded(anchors: Any, deltas: Any) -> Any:
    """x1 y1 x2 y2 [B, A, 4]."""
    cx, cy, w, h = tf.unstack(anchors, axis=-1)
    y = deltas[..., 0] / CODER[0] * h + cy
    x = deltas[..., 1] / CODER[1] * w + cx
    grown = tf.exp(tf.clip_by_value(deltas[..., 2:], -_WIDE, _WIDE) / list(CODER[2:]))
    high, wide = grown[..., 0] * h, grown[..., 1] * w
    return tf.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], -1)


def _overlaps(boxes: Any, others: Any) -> tuple[Any, Any]:
    """IoU and generalised IoU [B, A] of boxes that stand at the same place."""
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    u1, v1, u2, v2 = tf.unstack(others, axis=-1)
    wide = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1), 0)
    high = tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1), 0)
    shared = wide * high
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared
    hull = (tf.maximum(x2, u2) - tf.minimum(x1, u1)) * (tf.maximum(y2, v2) - tf.minimum(y1, v1))
    overlap = shared / (union + 1e-9)
    return overlap, overlap - (hull - union) / (hull + 1e-9)
