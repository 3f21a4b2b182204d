"""A network that computes the same and suffers less from 8 bits.

*Equalised* (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
correction", section 4.1): a tensor has one step for all of its channels, so that one whose largest
value is a tenth of another's has a tenth of the levels. Its channels are scaled up, and the kernels
that read them down. Differently from the paper channels that a residual connection adds up are
scaled together, through every block; channels are scaled up only; and behind a ReLU6 only as far as
no value seen comes near 6, so that graph and activations stay what they are.

*Centred* (after the paper's section 4.1.3 on absorbing biases): linear results that only 1×1
convolutions read give their mean to the offsets of these.

Both are exact for the images seen, up to float rounding; a value above any that was seen, by more
than MARGIN, may be cut off at 6 a little earlier than before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfedge.modeling.compression.observation import Channels, Observation
from tfedge.modeling.compression.quantize_configs import neighbours
from tfedge.modeling.nets.env import keras
from tfedge.modeling.nets.layers import kernel_of, offset_of, sources
from tfedge.modeling.nets.network import POOL

MARGIN = 1.1  # of the largest value seen, that stays below the end of a ReLU6
_SHARED = 0.5  # of the scale is taken, in logarithms, where kernels with one step an output read it
_LEAST = 1 / 64  # of the largest channel: one that says less is left as it is

_L = keras.layers
# What gives scaled channels on as they are, and zero as zero.
_SCALED_ON = (
    *(_L.ZeroPadding2D, _L.GlobalAveragePooling2D, _L.AveragePooling2D, _L.MaxPooling2D),
    *(_L.Dropout, _L.ReLU, _L.Add),
)


@dataclass
class Group:
    """Results whose channels are scaled together.

    ``producers`` are pairs of a convolution and the batch norm behind it (None: its own bias),
    ``members`` all layers that give such a result, bottom up, ``readers`` the convolutions that
    read one. ``free``: nothing else makes or reads one.
    """

    producers: list[tuple[Any, Any]] = field(default_factory=list)
    members: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)
    free: bool = True

    @property
    def changed(self) -> set[str]:
        """The layers whose kernels scaling changes."""
        own = {conv.name for conv, norm in self.producers if norm is None}
        return own | {reader.name for reader in self.readers}


def equalise(model: Any, seen: Observation, clustered: Collection[str] = ()) -> list[str]:
    """Scale channels of a flat float network in place; ``seen`` becomes what it would see now.

    ``clustered`` are layers whose kernels must keep their distinct values. Returns the names of the
    scaled results.
    """
    done = []
    for group in groups(model):
        results = [layer for layer in group.members if layer.name in seen]
        if not results or not _scales(group) or group.changed & set(clustered):
            continue
        factors = _factors(group, results, seen)
        for conv, norm in group.producers:
            _scale_producer(conv, norm, factors)
        for reader in group.readers:
            _divide_inputs(reader, factors)
        for layer in results:
            seen[layer.name].scale(factors)
            done.append(layer.name)
    return done


def centre(model: Any, seen: Observation) -> list[str]:
    """Take their means out of linear results in place, where the readers' offsets can take them;
    ``seen`` becomes what it would see now. Returns the names of the centred results."""
    done = []
    for group in groups(model):
        if not _is_linear(group) or not all(_absorbs(reader) for reader in group.readers):
            continue
        if not all(_own(*producer).name in seen for producer in group.producers):
            continue
        shifts = _shifts(group, seen)
        for conv, norm in group.producers:
            offset_of(_own(conv, norm)).assign_sub(shifts[_own(conv, norm).name])
        for reader in group.readers:
            _absorb(reader, shifts[neighbours(reader)[0].name])
        for name, shift in shifts.items():
            if name in seen:
                seen[name].shift(shift)
                done.append(name)
    return done


def groups(model: Any) -> list[Group]:
    """The groups of a flat network, those that nothing may be done to left out."""
    together = _ChannelGroups(model)
    found: dict[str, Group] = {}
    for layer in model.layers:
        group = found.setdefault(together.name_of(layer), Group())
        group.members.append(layer)
        read = sources(layer)
        if is_convolution(layer):
            norm = neighbours(layer)[1]
            norm = norm if isinstance(norm, _L.BatchNormalization) else None
            group.producers.append((layer, norm))
            found[together.name_of(read[0])].readers.append(layer)
        elif not _carries(layer):
            for one in (layer, *read):
                found[together.name_of(one)].free = False
    for layer in model.layers:  # what the network gives is nobody's to scale
        if not layer.outbound_nodes:
            found[together.name_of(layer)].free = False
    return [group for group in found.values() if group.free and group.producers and group.readers]


class _ChannelGroups:
    """Which layers' results have the same channels, by the name of one of them."""

    def __init__(self, model: Any) -> None:
        self._of: dict[str, str] = {layer.name: layer.name for layer in model.layers}
        for layer in model.layers:
            if _carries(layer):
                for source in sources(layer):
                    self._of[self.name_of(source)] = self.name_of(layer)

    def name_of(self, layer: Any) -> str:
        name = layer.name
        while self._of[name] != name:
            name = self._of[name]
        return name


def is_convolution(layer: Any) -> bool:
    """Whether a layer owns a kernel: a convolution of any kind, or a dense layer."""
    return isinstance(layer, (_L.Conv2D, _L.DepthwiseConv2D, _L.Dense))


def is_depthwise(layer: Any) -> bool:
    return isinstance(layer, _L.DepthwiseConv2D)


def _carries(layer: Any) -> bool:
    """Whether scaled channels come out of a layer as they went in, or, for the batch norm of a
    convolution, are scaled by it."""
    if isinstance(layer, _L.BatchNormalization):
        conv = neighbours(layer)[0]
        return is_convolution(conv) and neighbours(conv)[1] is layer
    # The features before the head stay as they are: hints compare them with the teacher's.
    return isinstance(layer, _SCALED_ON) and layer.name != POOL


def _scales(group: Group) -> bool:
    """Whether all that makes and reads the results can be scaled a channel at a time."""
    plain = all(getattr(reader, "groups", 1) == 1 for reader in group.readers)
    plain &= all(getattr(reader, "depth_multiplier", 1) == 1 for reader in group.readers)
    for conv, norm in group.producers:
        if norm is None:
            plain &= bool(conv.use_bias) and not is_depthwise(conv)
        else:
            plain &= bool(norm.scale and norm.center)
    return plain


def _limit(layer: Any) -> float | None:
    """Where a rectifier cuts off; None: nowhere, or no rectifier."""
    highest = getattr(layer, "max_value", None) if isinstance(layer, _L.ReLU) else None
    return None if highest is None else float(highest)


def _factors(group: Group, results: Iterable[Any], seen: Mapping[str, Channels]) -> np.ndarray:
    """How much each channel [C] is scaled up, 1 at least."""
    wanted, most = [], []
    for layer in results:
        reach = np.maximum(seen[layer.name].high.max(0), -seen[layer.name].low.min(0))
        top, limit = float(reach.max()), _limit(layer)
        if limit is None:
            target, room = top, np.full(len(reach), np.inf)
        else:
            cut = reach * MARGIN >= limit
            target = limit if cut.any() else limit / MARGIN
            room = np.where(cut, 1.0, limit / MARGIN / np.maximum(reach, 1e-9))
        # What these images never reached, others may: it has the room that it had.
        silent = reach < max(_LEAST * top, 1e-9)
        wanted.append(np.where(silent, 0.0, np.log(target / np.maximum(reach, 1e-9))))
        most.append(room)
    # A depthwise kernel has a step for each channel, which takes the scale at no cost.
    share = 1.0 if all(is_depthwise(reader) for reader in group.readers) else _SHARED
    factors = np.minimum(np.exp(share * np.mean(wanted, axis=0)), np.min(most, axis=0))
    found: np.ndarray = np.maximum(factors, 1.0).astype(np.float32)
    return found


def _scale_producer(conv: Any, norm: Any, factors: np.ndarray) -> None:
    variables = (conv.kernel, conv.bias) if norm is None else (norm.gamma, norm.beta)
    for variable in variables:
        variable.assign(variable * factors)


def _divide_inputs(reader: Any, factors: np.ndarray) -> None:
    kernel = kernel_of(reader)
    shape = (1, 1, -1, 1) if len(kernel.shape) == 4 else (-1, 1)
    kernel.assign(kernel / factors.reshape(shape))


def _is_linear(group: Group) -> bool:
    """Whether results are added up at most, and all producers have an offset."""
    allowed = (_L.BatchNormalization, _L.Add, _L.Conv2D, _L.Dense)
    return all(isinstance(layer, allowed) for layer in group.members) and all(
        offset_of(_own(conv, norm)) is not None for conv, norm in group.producers
    )


def _own(conv: Any, norm: Any) -> Any:
    """The layer whose result a producer's is."""
    return conv if norm is None else norm


def _absorbs(reader: Any) -> bool:
    """Whether a reader sees no padding and has an offset that can take a mean."""
    pointwise = getattr(reader, "kernel_size", (1, 1)) == (1, 1) and not is_depthwise(reader)
    plain = pointwise and getattr(reader, "groups", 1) == 1
    return plain and (isinstance(neighbours(reader)[1], _L.BatchNormalization) or reader.use_bias)


def _shifts(group: Group, seen: Mapping[str, Channels]) -> dict[str, np.ndarray]:
    """What is taken from each result [C], by layer: a producer's mean, and sums of these."""
    own = {_own(conv, norm).name for conv, norm in group.producers}
    shifts: dict[str, np.ndarray] = {}
    for layer in group.members:
        if layer.name in own:
            shifts[layer.name] = seen[layer.name].mean.copy()
        elif isinstance(layer, _L.Add):
            shifts[layer.name] = np.sum([shifts[one.name] for one in sources(layer)], axis=0)
    return shifts


def _absorb(reader: Any, mean: np.ndarray) -> None:
    """Make up for a mean [C] that is missing in what a 1×1 convolution reads."""
    kernel = kernel_of(reader).numpy()
    missing = mean @ kernel.reshape(-1, kernel.shape[-1])
    if reader.use_bias:
        reader.bias.assign_add(missing)
    else:
        neighbours(reader)[1].moving_mean.assign_sub(missing)
