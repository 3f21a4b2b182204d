"""tf.data pipelines over images: decoding and augmentation in parallel, in a fixed order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from tfedge.files.parallel import cores, in_order
from tfedge.inputs.images.corruptions import CORRUPTIONS, NOISE_VERSION
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import Augment
from tfedge.modeling.nets.env import tf
from tfedge.modeling.training.augment import augment
from tfedge.modeling.training.features import NOISY, Item
from tfedge.modeling.training.loop import Noise


class TargetLookup(Protocol):
    """Targets, looked up by numbers of images."""

    def __getitem__(self, items: np.ndarray) -> tuple[np.ndarray, ...]: ...


def shown(images: DecodedImages, item: Item) -> np.ndarray:
    """uint8 [S, S, 3]: an image as it is, or its ``NOISY`` view, the same every time."""
    row, view = item
    found = images.pixel(row)
    if view != NOISY:
        return found
    return CORRUPTIONS["noise"](found, int(images.index.rows[row].sha256[:15], 16))


def record_key(images: DecodedImages, item: Item, changed: Sequence[Any]) -> str:
    """The digest that an item's record goes by: its pixels follow from the file, the size, the fit
    and, for a view, how it is ``changed`` or the noise, and the code that does it."""
    row, view = item
    parts: list[Any] = [images.index.rows[row].sha256, images.size, images.fit, view]
    if images.levels is not None:
        parts.append(images.levels)
    if view == NOISY:
        parts.append(NOISE_VERSION)
    elif view:
        parts += changed
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def pixels(
    images: DecodedImages,
    items: Sequence[Item],
    settings: Augment | None,
    seed: int,
    epoch: int = 0,
) -> Any:
    """A tf.data.Dataset of uint8 [S, S, 3], one for each item, in their order.

    View 0 is the image itself, ``NOISY`` the image with noise. Any other view is changed as
    ``settings`` say, by a seed that follows from the run's seed, the image's own digest, the view
    and the epoch: what other images there are does not matter.
    """
    rows = np.array([row for row, _ in items], np.int64)
    views = np.array([view for _, view in items], np.int32)
    digests = [int(images.index.rows[row].sha256[:7], 16) for row in rows]
    seeds = np.stack(
        [np.asarray(digests, np.int64), (views + 1000 * epoch) * 7919 + seed], -1
    ).astype(np.int32)
    shape = (images.size, images.size, 3)

    def read(row: Any, view: Any) -> Any:
        image = tf.numpy_function(
            lambda *item: shown(images, (int(item[0]), int(item[1]))),
            [row, view],
            tf.uint8,
            stateful=False,
        )
        return tf.ensure_shape(image, shape)

    def load(row: Any, view: Any, seed_pair: Any) -> Any:
        image = read(row, view)
        if settings is None:
            return image
        return tf.cond(view > 0, lambda: augment(image, seed_pair, settings), lambda: image)

    dataset = tf.data.Dataset.from_tensor_slices((rows, views, seeds))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return dataset.prefetch(tf.data.AUTOTUNE)


class Views:
    """The pixels of items, with a length, one after the other: what the LiteRT runner takes."""

    def __init__(
        self, images: DecodedImages, items: Sequence[Item], settings: Augment | None, seed: int
    ) -> None:
        self._images, self._items = images, items
        self._settings, self._seed = settings, seed

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[np.ndarray]:
        if all(view == 0 for _, view in self._items):
            yield from (shown(self._images, item) for item in self._items)
            return
        if all(view in (0, NOISY) for _, view in self._items):
            found = in_order(partial(shown, self._images), self._items, ahead=2 * cores())
            yield from (image for _, image in found)
            return
        dataset = pixels(self._images, self._items, self._settings, self._seed)
        yield from dataset.as_numpy_iterator()


class Stream:
    """Training batches straight from pixels, changed anew each epoch: for nets with no frozen part.

    Same form as ``modeling.training.Memory``: inputs float32 [B, S, S, 3], targets, weights.
    """

    def __init__(
        self,
        images: DecodedImages,
        rows: Sequence[int],
        settings: Augment | None,
        wanted: TargetLookup,
        weights: np.ndarray,
        batch_size: int,
        seed: int,
        noise: Noise | None = None,
    ) -> None:
        self._images, self._rows, self._settings = images, np.asarray(rows), settings
        self._wanted, self._weights, self._seed = wanted, weights, seed
        self._noise = noise
        self.size = min(batch_size, len(rows))
        self.steps = -(-len(rows) // self.size)

    def epoch(self, number: int) -> Iterator[tuple[Any, Any, np.ndarray]]:
        order = np.random.default_rng([self._seed, number]).permutation(len(self._rows))
        order = np.resize(order, self.steps * self.size)
        views = np.full(len(order), int(self._settings is not None))
        if self._noise is not None:
            views[self._noise.shown(order, number)] = NOISY
        items = [(int(self._rows[i]), int(view)) for i, view in zip(order, views, strict=True)]
        dataset = pixels(self._images, items, self._settings, self._seed, number)
        for step, batch in enumerate(dataset.batch(self.size)):
            chosen = order[step * self.size : (step + 1) * self.size]
            yield tf.cast(batch, tf.float32), self._wanted[chosen], self._weights[chosen]
