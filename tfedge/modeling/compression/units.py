"""The quantized ops of a network, read from its frozen graph with ranges.

Quantization-aware training leaves fake-quant nodes where the device stores a tensor in 8 bits.
What lies between two of them is computed by one op there (a convolution with its batch norm, ReLU
and padding): a *unit*. A unit is kept in higher precision as a whole or not at all, and a tensor
has the lowest precision of the units that make and read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

import numpy as np

from tfedge.config.spelling import closest
from tfedge.errors import StageError, UnsupportedModel
from tfedge.modeling.compression.quantization import PREFIX
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import Frozen

Precision = str  # int8 < int16 < float
LEVELS: tuple[Precision, ...] = ("int8", "int16", "float")
Kept = Mapping[str, Precision]  # name of a unit → its precision; those not named are int8

_FAKE = "FakeQuantWithMinMax"
_OUTSIDE = (_FAKE, "Placeholder")  # where a unit ends
_ARITHMETIC = ("Add", "AddV2", "Mul", "Sub")
_LAYER = re.compile(rf"(?:^|/){PREFIX}([^/]+)(?:/|$)")


@dataclass(frozen=True)
class Unit:
    """``name`` is the layer that owns the kernel, or else the one whose result is quantized."""

    name: str
    layers: tuple[str, ...]  # all whose computation is part of it
    kernels: tuple[str, ...]  # those of them that own a kernel
    nodes: frozenset[str]
    weights: tuple[str, ...]  # its fake-quant nodes of constants, mostly kernels …
    results: tuple[str, ...]  # … and of what it computes


class Graph:
    """A frozen graph with fake-quant nodes (``tf.compat.v1.GraphDef``), taken apart."""

    def __init__(self, definition: Any) -> None:
        self.definition = definition
        self.nodes = {node.name: node for node in definition.node}
        self.readers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in definition.node:
            for source in dict.fromkeys(data_inputs(node)):
                self.readers[source].append(node.name)

    @classmethod
    def of(cls, frozen: Frozen) -> Graph:
        return cls(frozen.definition)

    @cached_property
    def _fixed(self) -> set[str]:
        """What is computed from constants alone."""
        found: set[str] = set()
        for name in self._ordered:
            sources = data_inputs(self.nodes[name])
            if self.nodes[name].op == "Const" or (sources and found.issuperset(sources)):
                found.add(name)
        return found

    @cached_property
    def _whole(self) -> set[str]:
        """What is computed from whole-numbered inputs (ids, a mask) alone, and is whole numbers
        itself: no unit's, for it has no precision to keep, and several may read it."""
        found: set[str] = set()
        for name in self._ordered:
            sources = set(data_inputs(self.nodes[name])) - self._fixed
            if _dtype(self.nodes[name]).is_integer and sources <= found and name not in self._fixed:
                found.add(name)
        return found

    @cached_property
    def _ordered(self) -> list[str]:
        """The names of the nodes, each behind what it reads."""
        left = {name: len(set(data_inputs(node))) for name, node in self.nodes.items()}
        ready = [name for name, count in left.items() if not count]
        for name in ready:  # grows while it is gone through
            for reader in self.readers[name]:
                left[reader] -= 1
                if not left[reader]:
                    ready.append(reader)
        return ready

    @cached_property
    def fakes(self) -> list[str]:
        """The fake-quant nodes of activations, from the pixels up."""
        return [
            name
            for name in self._ordered
            if self.nodes[name].op.startswith(_FAKE) and name not in self._fixed
        ]

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The units by name, from the pixels up."""
        found: list[tuple[set[str], set[str], list[str]]] = []  # nodes, kernels' fakes, results
        for fake in self.fakes:
            nodes, weights = self._upstream_nodes(fake)
            results = [fake]
            # Ops that two tensors need, and layers with a tensor inside, hold units together.
            for other in [o for o in found if o[0] & nodes or _layers(o[0]) & _layers(nodes)]:
                found.remove(other)
                nodes, weights = nodes | other[0], weights | other[1]
                results = [*other[2], *results]
            if nodes:
                found.append((nodes, weights, results))
        return {unit.name: unit for unit in map(self._unit, found)}

    def _upstream_nodes(self, fake: str) -> tuple[set[str], set[str]]:
        """The nodes that compute what a fake-quant node takes, and the fakes of their kernels."""
        nodes: set[str] = set()
        weights: set[str] = set()
        waiting = data_inputs(self.nodes[fake])[:1]
        while waiting:
            name = waiting.pop()
            if name in self._fixed:
                weights |= self._kernel_fakes(name)
            elif name not in nodes | self._whole and not self.nodes[name].op.startswith(_OUTSIDE):
                nodes.add(name)
                waiting += data_inputs(self.nodes[name])
        return nodes, weights

    def _kernel_fakes(self, name: str) -> set[str]:
        found, waiting = set(), [name]
        while waiting:
            node = self.nodes[waiting.pop()]
            if node.op.startswith(_FAKE):
                found.add(node.name)
            else:
                waiting += data_inputs(node)
        return found

    def _unit(self, parts: tuple[set[str], set[str], list[str]]) -> Unit:
        nodes, weights, results = parts
        ordered = [name for name in self._ordered if name in nodes]
        layers = [layer for name in ordered if (layer := layer_of(name))]
        owned = [name for name in self._ordered if name in weights and not self._is_added(name)]
        kernels = [layer for name in owned if (layer := layer_of(name))]
        last = layer_of(results[-1]) or results[-1]
        return Unit(
            name=kernels[0] if kernels else last,
            layers=tuple(dict.fromkeys([*layers, *kernels])),
            kernels=tuple(dict.fromkeys(kernels)),
            nodes=frozenset(nodes),
            weights=tuple(sorted(weights)),
            results=tuple(results),
        )

    def _is_added(self, constant: str) -> bool:
        """Whether arithmetic reads it, as it reads the means: then it is no kernel."""
        return any(self.nodes[reader].op in _ARITHMETIC for reader in self.readers[constant])

    @cached_property
    def owner(self) -> dict[str, str]:
        """Which unit a node belongs to."""
        return {node: unit.name for unit in self.units.values() for node in unit.nodes}

    def maker(self, fake: str) -> str:
        """The unit whose result a fake-quant node quantizes; "" for the model's input."""
        return self.owner.get(data_inputs(self.nodes[fake])[0], "")

    def read_by(self, fake: str) -> list[str]:
        """The units that read what a fake-quant node gives; "" for the model's output."""
        return list(dict.fromkeys(self.owner.get(node, "") for node in self.readers[fake]))

    def tensors(self, kept: Kept, output: Precision = "int8") -> dict[str, Precision]:
        """The precision of each activation by its fake-quant node.

        ``output`` is that of whoever reads the graph's output.
        """

        def level(unit: str, outside: Precision) -> int:
            return LEVELS.index(kept.get(unit, "int8") if unit else outside)

        return {
            fake: LEVELS[
                min(
                    level(self.maker(fake), "int8"),
                    *(level(unit, output) for unit in self.read_by(fake)),
                )
            ]
            for fake in self.fakes
        }

    def tensor_of(self, layer: str, kept: Kept) -> Precision:
        """The precision of what a layer gives; int8 when it has no range of its own."""
        found = self.tensors(kept)
        return next((found[fake] for fake in found if layer_of(fake) == layer), "int8")

    def kept(self, patterns: Mapping[str, Precision]) -> dict[str, Precision]:
        """``quantize.keep``, names and patterns of layers, as units.

        Raises StageError for one that fits no layer, or two that want different things of one;
        UnsupportedModel for a layer whose op on the device is that of another one, too.
        """
        names = [layer for unit in self.units.values() for layer in unit.layers]
        chosen: dict[str, Precision] = {}
        for pattern, precision in patterns.items():
            fitting = {layer for layer in names if fnmatchcase(layer, pattern)}
            if not fitting:
                near = closest(pattern, names)
                raise StageError(
                    f"quantize.keep: no layer is called {pattern!r}",
                    f"did you mean {near}?" if near else "quantize.debug: true lists the layers",
                )
            for unit in self.units.values():
                if not fitting & set(unit.layers):
                    continue
                shared = set(unit.kernels) - fitting
                if shared and set(unit.kernels) & fitting:
                    raise UnsupportedModel(
                        f"quantize.keep: {pattern} can't be kept without what it shares ops with",
                        sorted(shared),
                        "name these as well, or none of them",
                    )
                if chosen.setdefault(unit.name, precision) != precision:
                    raise StageError(
                        f"quantize.keep: {unit.name} is to be {chosen[unit.name]} and {precision}",
                        "let one pattern fit it, or the same precision stand behind both",
                    )
        odd = [n for n, p in chosen.items() if p == "int16" and self._adds_constants(n)]
        if odd:
            raise UnsupportedModel(
                "quantize.keep: the converter has no 16-bit op with the constants of",
                odd,
                "keep it in float or leave it in 8 bits",
            )
        return {name: chosen[name] for name in self.units if name in chosen}

    def _adds_constants(self, unit: str) -> bool:
        """Whether it reads constants, and has no kernel whose bias they could be."""
        simple = [self.nodes[name] for name in self.units[unit].nodes]
        return not self.units[unit].kernels and any(
            node.op in _ARITHMETIC and self._fixed & set(data_inputs(node)) for node in simple
        )

    def range_of(self, fake: str) -> tuple[float, float]:
        """The limits of a fake-quant node of an activation."""
        node = self.nodes[fake]
        if "min" in node.attr:
            return node.attr["min"].f, node.attr["max"].f
        low, high = (self._constant(name) for name in data_inputs(node)[1:])
        return float(low), float(high)

    def _constant(self, name: str) -> np.ndarray:
        node = self.nodes[name]
        while node.op == "Identity":
            node = self.nodes[data_inputs(node)[0]]
        value: np.ndarray = tf.make_ndarray(node.attr["value"].tensor)
        return value


def data_inputs(node: Any) -> list[str]:
    """The nodes whose tensors a node reads."""
    return [name.split(":")[0] for name in node.input if not name.startswith("^")]


def _dtype(node: Any) -> Any:
    """The type of what a node gives; float32 where it does not say."""
    attributes = (node.attr[key] for key in ("DstT", "Tparams", "T", "dtype") if key in node.attr)
    found = next((attribute.type for attribute in attributes if attribute.type), None)
    return tf.float32 if found is None else tf.as_dtype(found)


def layer_of(node: str) -> str:
    """The Keras layer inside whose wrapper a node is; "" outside of any."""
    found = _LAYER.search(node)
    return found[1] if found else ""


def _layers(nodes: Iterable[str]) -> set[str]:
    return {layer for node in nodes if (layer := layer_of(node))}
