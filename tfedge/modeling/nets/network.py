"""The network that everything trains and ships: raw pixels in, logits out, one flat graph.

::

    pixels [None, S, S, 3] float32, 0–255
      pixel_offset     pixel − mean, a channel at a time
      backbone         its first kernel already divided by std
      pool             global average
      logits           dense, one unit a class

Normalisation is (pixel − mean) / std. The division goes into the first kernel for free. The
subtraction stays a layer of its own, because zero padding must go on meaning "mean colour": folded
into a bias it would be wrong along every border. In int8 the offset is one addition on the image.

TF-MOT refuses nested models, so the backbone's layers stand in the graph themselves, and *cutting*
the network at a block gives two models that share its layers and weights.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.catalog.backbones import Block, layers
from tfedge.modeling.nets.attention import PaddingMask, above
from tfedge.modeling.nets.backbone import Weights, assign, build_base
from tfedge.modeling.nets.env import keras, tf
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.layers import sources, unwrapped

NAME = "tfedge"  # of the network; graph operations of its layers begin with it
OFFSET, POOL, HEAD = "pixel_offset", "pool", "logits"
QUICK = 0.9  # momentum of a batch norm that learns in a short training: it forgets in some 20 steps
BESIDE = "tfedge"  # the "layer" of what stands beside weights in a .npz
MEAN, STD, UNITS = (f"{BESIDE}/{name}" for name in ("mean", "std", "units"))


@keras.utils.register_keras_serializable("tfedge")
class PixelOffset(keras.layers.Layer):
    """Subtracts the mean of each channel (0–255 units) from pixels [None, S, S, 3]."""

    def __init__(self, mean: tuple[float, ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean = tuple(float(m) for m in mean)

    def row(self, inputs: Any) -> Any:
        """The means for a whole row of pixels, float32 [1, 1, S, 3].

        A kernel that goes along with three numbers at a time takes ten times as long as one that
        has a row of them; the differences are the same.
        """
        width = inputs.shape[2]
        return tf.constant(np.tile(np.asarray(self.mean, np.float32), (1, 1, width, 1)))

    def call(self, inputs: Any) -> Any:
        return inputs - self.row(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mean": self.mean}


@dataclass(frozen=True)
class Spec:
    """What the architecture follows from. ``mean`` and ``std`` are RGB in 0–255 units."""

    name: str
    alpha: float
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: int

    @classmethod
    def of(cls, base: ImageBase, classes: int) -> Spec:
        """Of a base with a head of so many units."""
        return cls(base.name, base.alpha, base.image_size, base.mean, base.std, classes)

    @property
    def blocks(self) -> tuple[Block, ...]:
        return layers(self.name, self.alpha)

    @property
    def first_kernel(self) -> str:
        return next(k.layer for b in self.blocks for k in b.kernels if k.kind == "first")


def build(spec: Spec) -> Any:
    """The network, untrained: pixels [None, S, S, 3] → logits [None, classes]."""
    pixels = keras.Input((spec.size, spec.size, 3), name="pixels")
    normal = PixelOffset(spec.mean, name=OFFSET)(pixels)
    features = keras.layers.GlobalAveragePooling2D(name=POOL)(
        build_base(spec.name, spec.alpha, normal)
    )
    return keras.Model(pixels, keras.layers.Dense(spec.classes, name=HEAD)(features), name=NAME)


def load(spec: Spec, weights: Weights) -> Any:
    """The network with all its weights."""
    model = build(spec)
    assign(model, weights)
    return model


def fold(spec: Spec, base: Weights) -> Weights:
    """The backbone's weights with the division by std inside the first kernel (HWIO)."""
    key = f"{spec.first_kernel}/kernel"
    scale = np.asarray(spec.std, np.float32)[None, None, :, None]
    return {**base, key: base[key] / scale}


def cut(model: Any, layer: str, prefix: str = "") -> tuple[Any, Any]:
    """A whole network up to and including ``layer``, and the rest from that tensor on.

    Both share its layers and weights. Where the rest reads tensors from further down, too, as necks
    do, the first gives all of them, from the pixels up, and the second takes them: see ``ports``.
    Where the rest reads what stands beside the tensor, see ``attention.above``.
    """
    between = output_of(model, prefix + layer)
    padding = next((one for one in model.layers if isinstance(one, PaddingMask)), None)
    if padding is not None:
        return keras.Model(model.input, between), above(model, between, padding)
    passing = _passing(model, prefix + layer)
    between = passing[0] if len(passing) == 1 else passing
    return keras.Model(model.input, between), keras.Model(between, model.output)


def _passing(model: Any, layer: str) -> list[Any]:
    """The results of ``layer`` and what it is made of that other layers read."""
    below, waiting = set[str](), [model.get_layer(layer)]
    while waiting:
        one = waiting.pop()
        if one.name not in below:
            below.add(one.name)
            waiting += sources(one)
    read = {
        one.name
        for other in model.layers
        if other.name not in below
        for one in sources(other)
        if one.name in below
    }
    return [one.get_output_at(0) for one in model.layers if one.name in read | {layer}]


def output_of(model: Any, layer: str) -> Any:
    """What a layer gives in the network itself, not in a part that was cut out of it."""
    return model.get_layer(layer).get_output_at(0)


def output_inside(model: Any, layer: str) -> Any:
    """What a layer gives inside of this very model, whatever other models it is in."""
    found = model.get_layer(layer)
    nodes = enumerate(found.inbound_nodes)
    return next(
        node.outputs for at, node in nodes if f"{found.name}_ib-{at}" in model._network_nodes
    )


def boundary(blocks: Sequence[Block], first: int | None) -> str:
    """The layer below which nothing trains, when ``first`` is the lowest block that does.

    ``None`` means that only the head trains. With ``first`` 0 there is no boundary: "".
    """
    if first is None:
        return blocks[-1].output
    return blocks[first - 1].output if first else ""


def whole_offset(model: Any) -> None:
    """Subtract a whole number from the pixels of a network that is to be quantized.

    8 bits have a step of 1 for pixels, so that half of one, as in the mean 127.5, is lost on every
    pixel of every image. What the rounded mean leaves goes into the bias of the first convolution
    or the batch norm behind it, which is exact but where the convolution sees padding, whose colour
    is half a step off then. Means that differ from channel to channel span more than 256 steps:
    there the rounding comes out differently from pixel to pixel, and nothing is gained.
    """
    offset = model.get_layer(OFFSET)
    mean, whole = offset.mean[0], float(round(offset.mean[0]))
    if len(set(offset.mean)) > 1 or mean == whole:
        return
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    shift = (whole - mean) * tf.reduce_sum(first.kernel, (0, 1, 2))
    if first.use_bias:
        first.bias.assign_add(shift)
    else:
        behind = (node.outbound_layer for node in first.outbound_nodes)
        (norm,) = {layer.name: layer for layer in behind}.values()
        norm.moving_mean.assign_sub(shift)
    offset.mean = (whole,) * len(offset.mean)


def inference_norm(model: Any) -> None:
    """Batch norm runs on its stored statistics from here on, also while training.

    Keras gives these layers a momentum of 0.99 or 0.999: in a fine-tune of a few dozen steps the
    statistics lag behind the weights, and the model is worth nothing (FACTS: 89 % became 28–72 %).
    Gamma and beta don't train either, except inside TF-MOT's 8-bit wrappers (quantization.wrap).
    """
    for layer in model.layers:
        inner = unwrapped(layer)
        if isinstance(inner, keras.layers.BatchNormalization):
            inner.trainable = False


def learning_norm(model: Any) -> None:
    """Batch norm normalises with each batch's own statistics while training, and keeps their mean.

    For a net that starts from random numbers, whose stored statistics are worth nothing once its
    kernels have moved. Keras' momentum of 0.99 or 0.999 would take longer than a short training
    lasts; 0.9 has forgotten the beginning after some twenty steps.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = QUICK


def estimate_norms(model: Any, batches: Iterable[np.ndarray]) -> None:
    """Give every batch norm the mean statistics of its inputs over batches of ``model``'s inputs.

    For a net that starts from random numbers: with Keras' mean 0 and variance 1, which nothing
    here trains (see ``inference_norm``), what a deep net says fades out on the way.
    """
    norms = [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization)]
    before = [(layer.momentum, layer.trainable) for layer in norms]
    for layer in norms:
        layer.trainable = True  # it would go on with the statistics it has
    for number, batch in enumerate(batches):
        for layer in norms:
            layer.momentum = number / (number + 1)  # each batch counts the same
        model(batch, training=True)
    for layer, (momentum, trainable) in zip(norms, before, strict=True):
        layer.momentum, layer.trainable = momentum, trainable


def carrying(
    weights: Weights, mean: Sequence[float], std: Sequence[float], units: Sequence[str] = ()
) -> Weights:
    """Weights with what they want of the pixels beside them, and what the units of their head are
    called: whoever gets the file alone knows (see ``weights.source``). ``load_weights`` leaves it
    out."""
    found = {MEAN: np.asarray(mean, np.float32), STD: np.asarray(std, np.float32)}
    return {**weights, **found, **({UNITS: np.asarray(units)} if units else {})}


def save_weights(path: Path, weights: Weights) -> None:
    """An ``.npz`` without pickles; the same arrays give the same bytes."""
    # Made in memory: a zip file that runs out of disk complains once more when it is collected.
    content = io.BytesIO()
    np.savez(content, **{key: weights[key] for key in sorted(weights)})  # type: ignore[arg-type]
    path.write_bytes(content.getvalue())


def load_weights(path: Path) -> Weights:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files if not key.startswith(f"{BESIDE}/")}


@dataclass(frozen=True)
class EarlierHead:
    """The head of an earlier run: ``kernel`` [F, units] and ``bias`` [units] float32, and what its
    units are called."""

    kernel: np.ndarray
    bias: np.ndarray
    units: tuple[str, ...]

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> EarlierHead | None:
        """Out of the arrays of a ``.npz``; None where it has none, or does not name its units."""
        keys = (f"{HEAD}/kernel", f"{HEAD}/bias", UNITS)
        if not all(key in arrays for key in keys):
            return None
        kernel, bias, units = (arrays[key] for key in keys)
        return cls(kernel, bias, tuple(str(name) for name in units))

    def arrays(self) -> Weights:
        """As ``of`` reads them."""
        named = {UNITS: np.asarray(self.units)}
        return {f"{HEAD}/kernel": self.kernel, f"{HEAD}/bias": self.bias, **named}

    def put_into(self, layer: Any, units: Sequence[str]) -> list[str]:
        """Give a dense layer what is known of its units; the names of these."""
        kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
        if kernel.shape[0] != self.kernel.shape[0]:
            return []
        known = [name for name in units if name in self.units]
        ours, theirs = [units.index(n) for n in known], [self.units.index(n) for n in known]
        kernel[:, ours], bias[ours] = self.kernel[:, theirs], self.bias[theirs]
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
        return known


def earlier_head(path: Path) -> EarlierHead | None:
    """The head that a base brings with it, where it is that of an earlier run."""
    with np.load(path, allow_pickle=False) as archive:
        return EarlierHead.of(archive)
