"""What 8 bits cost, unit by unit, and the fewest units to keep in float.

Forward passes only, on the graph with ranges that was converted: each of its fake-quant nodes gets
a switch, so that one function computes every mixture. ``harm`` of a unit is the mean
Kullback–Leibler divergence of the answers from the float ones when it alone is quantized, kernel
and result (Cai et al. 2020, ZeroQ, section 3.2; a layer at a time as in Wu et al. 2020, Integer
quantization for deep learning inference, section 5). ``error`` is what that does to its own result,
as root mean square over the step of its scale, the measure of TFLite's QuantizationDebugger: 0.29
(1/√12) is rounding alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfedge.modeling.compression.units import Graph, Kept
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import Frozen
from tfedge.tasks.task import Work

Report = Callable[[int, int], None]  # done, in all

_BATCH = 16  # images at a time …
_BYTES = 2**28  # … or fewer: of float results in memory
_CLOSE = 1.1  # a divergence within a tenth of another is as good


@dataclass(frozen=True)
class UnitSensitivity:
    """What quantizing one unit alone does, over all images."""

    unit: str
    divergence: float  # nats, mean
    agreement: float  # share of images with the answer of the float network
    error: float  # root mean square error of its result, in steps of its scale
    sqnr_db: float | None  # signal to quantization noise of its result; None: nothing is lost


@dataclass(frozen=True)
class Outcome:
    """How a mixture answers, against the float network."""

    kept: Kept
    divergence: float
    agreement: float
    scores: np.ndarray


class Mixtures:
    """A graph with ranges whose fake-quant nodes can be switched, and examples to run it on.

    ``examples`` [N, …] are as the shipped model takes them; of several inputs their parts stand
    along the second axis, in the order of the inputs' names.
    """

    def __init__(self, graph: Graph, examples: np.ndarray, work: Work) -> None:
        self.graph, self._examples, self._work = graph, examples, work
        self._inputs = Frozen.of(graph.definition).inputs
        self._results = {name: unit.results[-1] for name, unit in graph.units.items()}
        kernels = [fake for unit in graph.units.values() for fake in unit.weights]
        self._switches = [*graph.fakes, *kernels]
        self._off = np.zeros(len(self._switches), bool)
        self._every = self._function()
        self._batch = 1
        results = self._every(self._parts(self._examples[:1]), self._off)[1:]
        room = max(1, _BYTES // sum(4 * int(tf.size(result)) for result in results))
        if self._takes_batches():
            self._batch = min(_BATCH, room)
        self.reference = self.scores(self._off)

    def _function(self) -> Any:
        """(a batch for each input, switches) → scores and the result of each unit."""
        definition = switched(self.graph, self._switches)
        wanted = ["Identity:0", *(f"{fake}:0" for fake in self._results.values())]

        def every(parts: Any, switches: Any) -> Any:
            named = zip(self._inputs, parts, strict=True)
            given = {f"{spec.name}:0": part for spec, part in named}
            given["switches:0"] = switches
            return tf.graph_util.import_graph_def(definition, given, wanted, name="")

        specs = [tf.TensorSpec((None, *spec.shape[1:]), spec.dtype) for spec in self._inputs]
        switches = tf.TensorSpec(self._off.shape, tf.bool)
        return tf.function(every, (specs, switches), autograph=False)

    def _parts(self, batch: np.ndarray) -> list[Any]:
        """What each input gets of a batch."""
        several = len(self._inputs) > 1
        parts = [batch[:, at] for at in range(len(self._inputs))] if several else [batch]
        return [tf.cast(one, spec.dtype) for one, spec in zip(parts, self._inputs, strict=True)]

    def _takes_batches(self) -> bool:
        """Whether the graph, made for one image, gives the same for several at a time."""
        two = self._examples[:2]
        try:
            together = self._every(self._parts(two), self._off)[0].numpy()
        except tf.errors.InvalidArgumentError:  # a shape of one image
            return False
        return bool(np.allclose(together, self.scores(self._off, two), atol=1e-4))

    def _on(self, fakes: set[str]) -> np.ndarray:
        return np.array([name in fakes for name in self._switches])

    def _chunks(self, examples: np.ndarray) -> Iterator[list[Any]]:
        for first in range(0, len(examples), self._batch):
            yield self._parts(examples[first : first + self._batch])

    def scores(self, switches: np.ndarray, examples: np.ndarray | None = None) -> np.ndarray:
        """What ships gives, [N, …], with these fake-quant nodes on."""
        chunks = self._chunks(self._examples if examples is None else examples)
        return np.concatenate([self._every(chunk, switches)[0].numpy() for chunk in chunks])

    def outcome(self, kept: Kept) -> Outcome:
        """How the network answers with these units kept; 16 bits count as no quantization."""
        tensors = self.graph.tensors(kept)
        on = {fake for fake, precision in tensors.items() if precision == "int8"}
        for unit in self.graph.units.values():
            on |= set() if kept.get(unit.name) == "float" else set(unit.weights)
        scores = self.scores(self._on(on))
        return Outcome(kept, *self._distance(scores), scores)

    def _distance(self, scores: np.ndarray) -> tuple[float, float]:
        """Divergence from the float answers, and the share of the same ones."""
        alike = float(self._work.same(self.reference, scores).mean())
        return self._work.divergence(self.reference, scores), alike

    def harms(self, report: Report) -> list[UnitSensitivity]:
        """Each unit quantized alone, kernel and result; the most harmful first."""
        tallies = {name: _Tally() for name in self._results}
        done, total = 0, len(tallies) * len(self._examples)
        for chunk in self._chunks(self._examples):
            _, *wanted = self._every(chunk, self._off)
            for which, (name, tally) in enumerate(tallies.items()):
                unit = self.graph.units[name]
                scores, *results = self._every(chunk, self._on({*unit.weights, *unit.results}))
                tally.add(scores.numpy(), results[which].numpy(), wanted[which].numpy())
                done += len(scores)
                report(done, total)
        found = []
        for name, tally in tallies.items():
            scores = np.concatenate(tally.scores)
            divergence, agreement = self._distance(scores)
            low, high = self.graph.range_of(self._results[name])
            found.append(
                UnitSensitivity(
                    unit=name,
                    divergence=divergence,
                    agreement=agreement,
                    error=tally.rms / ((high - low) / 255),
                    sqnr_db=tally.sqnr_db,
                )
            )
        return sorted(found, key=lambda harm: -harm.divergence)

    def propose(
        self, harms: Sequence[UnitSensitivity], limit: float, kept: Kept, report: Report
    ) -> Outcome | None:
        """The fewest units to keep in float so that at most ``limit`` of the answers change.

        On top of ``kept``. Units are taken in the order of their harm, each alone or, where that
        is less, with those that read its result: a tensor is float only between two float units.
        Then each that can be spared is left out again. None: no mixture is below the limit.
        """
        best = self.outcome(kept)
        for done, harm in enumerate(harms):
            if 1 - best.agreement <= limit:
                break
            report(done, len(harms))
            unit = self.graph.units[harm.unit]
            readers = [name for fake in unit.results for name in self.graph.read_by(fake) if name]
            alone = self.outcome({**best.kept, unit.name: "float"})
            wider = self.outcome({**alone.kept, **dict.fromkeys(readers, "float")})
            best = alone if alone.divergence <= _CLOSE * wider.divergence else wider
        if 1 - best.agreement > limit:
            return None
        for harm in reversed(harms):
            if harm.unit in best.kept and harm.unit not in kept:
                fewer = self.outcome({n: p for n, p in best.kept.items() if n != harm.unit})
                best = fewer if 1 - fewer.agreement <= limit else best
        return best


@dataclass
class _Tally:
    """Sums over the results of one unit."""

    scores: list[np.ndarray] = field(default_factory=list)
    noise: float = 0.0
    power: float = 0.0
    count: int = 0

    def add(self, scores: np.ndarray, got: np.ndarray, wanted: np.ndarray) -> None:
        self.scores.append(scores)
        self.noise += float(np.square(got - wanted, dtype=np.float64).sum())
        self.power += float(np.square(wanted, dtype=np.float64).sum())
        self.count += wanted.size

    @property
    def rms(self) -> float:
        return math.sqrt(self.noise / self.count)

    @property
    def sqnr_db(self) -> float | None:
        return 10 * math.log10(self.power / self.noise) if self.noise and self.power else None


def switched(graph: Graph, fakes: Sequence[str]) -> Any:
    """The GraphDef in which ``switches``, bool [len(fakes)], turns each fake-quant node on.

    Frozen for one image, it takes several where only reshapes to one stood in the way.
    """
    made = tf.compat.v1.GraphDef()
    made.CopyFrom(graph.definition)
    _open_batch(made)
    nodes = {node.name: node for node in made.node}
    switches = made.node.add(op="Placeholder", name="switches")
    switches.attr["dtype"].type = tf.bool.as_datatype_enum
    each = made.node.add(op="Unpack", name="switch", input=["switches"])
    each.attr["num"].i, each.attr["axis"].i = len(fakes), 0
    each.attr["T"].type = tf.bool.as_datatype_enum
    for index, name in enumerate(fakes):
        node, kind = nodes[name], tf.float32.as_datatype_enum
        # Switch and Merge: what is off is not computed.
        fork = made.node.add(op="Switch", name=f"{name}/fork")
        fork.input.extend([node.input[0], f"switch:{index}"])
        fork.attr["T"].type = kind
        on = made.node.add()
        on.CopyFrom(node)
        on.name, on.input[0] = f"{name}/on", f"{fork.name}:1"
        node.Clear()
        node.name, node.op = name, "Merge"
        node.input.extend([fork.name, on.name])
        node.attr["T"].type, node.attr["N"].i = kind, 2
    return made


def _open_batch(definition: Any) -> None:
    """Let every reshape to one image keep as many as it is given."""
    reshapes = [node for node in definition.node if node.op == "Reshape"]
    wanted = [f"{node.input[1]}:0" for node in reshapes]

    def shapes() -> Any:
        return tf.graph_util.import_graph_def(definition, None, wanted, name="")

    for node, found in zip(reshapes, tf.function(shapes, autograph=False)(), strict=True):
        sides = found.numpy()
        if len(sides) > 1 and sides[0] == 1 and (sides > 0).all():
            shape = definition.node.add(op="Const", name=f"{node.name}/any_batch")
            shape.attr["dtype"].type = found.dtype.as_datatype_enum
            kept = tf.make_tensor_proto([-1, *sides[1:]], found.dtype)
            shape.attr["value"].tensor.CopyFrom(kept)
            node.input[1] = shape.name
