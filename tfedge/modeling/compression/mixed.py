"""Mixed precision: an int8 .tflite in which some layers are float or have 16-bit activations.

The converter makes int8 of every op between two fake-quant nodes, whatever its kernel is; it
would also leave a neighbour in float that lacks one, or the model's output. So the kept layers are
fenced off: an op that it does not know (``barriers.OP``, an identity) stands where precision
changes, nothing is inferred across it, and it is taken out of the file afterwards.

In training a kept layer computes in float: 16 bits are no different from that.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tfedge.errors import ArtifactError, StageError
from tfedge.modeling import invariants
from tfedge.modeling.compression.quantization import PREFIX
from tfedge.modeling.compression.quantize_clusters import ClusterPreserving
from tfedge.modeling.compression.units import Graph, Kept, Precision, data_inputs, layer_of
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import Frozen, to_tflite
from tfedge.tflite import barriers
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import LiteRT

_WIDE = "not every op exists with 16-bit activations: keep these layers in float, or fewer"
_ROOM = 2.0  # 16 bits have room: twice the range that was seen, so that nothing is cut off


def convert(
    frozen: Frozen,
    kept: Kept,
    *,
    output_type: Any = None,
    output: Precision = "int8",
    signature: bool = True,
) -> bytes:
    """The .tflite, uint8 pixels in, of a frozen graph with ranges; units not in ``kept`` are int8.

    Without any it is what the converter makes by itself. ``output`` is the precision of whoever
    reads what the graph gives. Raises InvariantBroken when the file (of an 8-bit ``output_type``)
    is anything else than asked for, StageError when LiteRT has no kernel for it.
    """
    graph = Graph.of(frozen)
    kept = {name: kept[name] for name in kept if name in graph.units}  # a part may lack some
    asked = {"input_type": tf.uint8, "output_type": output_type, "signature": signature}
    if not kept:
        return to_tflite(frozen, int8=True, **asked)
    fenced = Frozen.of(fence(graph, kept, output))
    try:
        content = barriers.remove(to_tflite(fenced, int8=True, custom_ops=True, **asked))
    except StageError as error:
        raise StageError(f"quantize.keep: {error.message}", _WIDE) from error
    layers = {layer: kept[name] for name in kept for layer in graph.units[name].layers}
    kernels = [layer for name in kept for layer in graph.units[name].kernels]
    if output_type is not None:  # the last op of a part bears the name of the output, not its own
        invariants.mixed(read(content), layers, kernels, PREFIX)
    try:
        LiteRT(content)
    except ArtifactError as error:
        raise StageError(f"quantize.keep: {error.message}", _WIDE) from error
    return content


def fence(graph: Graph, kept: Kept, output: Precision = "int8") -> Any:
    """The GraphDef with its ranges as ``kept`` wants them, and barriers where precision changes."""
    made = tf.compat.v1.GraphDef()
    made.CopyFrom(graph.definition)
    nodes = {node.name: node for node in made.node}
    tensors = graph.tensors(kept, output)
    kernels = {
        fake: data_inputs(nodes[fake])[0]
        for name, precision in kept.items()
        if precision == "float"
        for fake in graph.units[name].weights
    }

    def barrier(source: str) -> str:
        node = made.node.add(op=barriers.OP, name=f"barrier_{len(made.node)}", input=[source])
        node.attr["T"].type = tf.float32.as_datatype_enum
        return str(node.name)

    def wide(source: str, fake: str) -> str:
        node = made.node.add(
            op="FakeQuantWithMinMaxArgs", name=f"wide_{len(made.node)}", input=[source]
        )
        most = _ROOM * max(map(abs, graph.range_of(fake)))
        node.attr["min"].f, node.attr["max"].f = -most * 32768 / 32767, most  # zero point 0
        node.attr["num_bits"].i = 16
        return str(node.name)

    @cache
    def stored(fake: str) -> str:
        """The node that gives a tensor in its precision."""
        source, maker = nodes[fake].input[0], kept.get(graph.maker(fake), "int8")
        if tensors[fake] == "float":
            return str(source)
        if tensors[fake] == "int16":
            return wide(barrier(source) if maker == "float" else source, fake)
        if maker != "int8":
            nodes[fake].input[0] = barrier(wide(source, fake) if maker == "int16" else source)
        return fake

    @cache
    def read_as(fake: str, precision: Precision) -> str:
        """The node that such a unit reads for a tensor."""
        widened = tensors[fake] == "int8" and precision == "int16"
        return wide(barrier(stored(fake)), fake) if widened else stored(fake)

    for name in graph.nodes:
        unit = graph.owner.get(name, "")
        precision = kept.get(unit, "int8") if unit else output
        for index, source in enumerate(graph.nodes[name].input):
            if source in tensors:
                nodes[name].input[index] = read_as(source, precision)
            elif source in kernels:
                nodes[name].input[index] = kernels[source]
    return made


class _NotInTraining:
    """A quantizer that training does not feel, but the exported graph has. Clusters stay."""

    def __init__(self, quantizer: Any) -> None:
        self.quantizer = quantizer

    def __call__(self, inputs: Any, training: Any, weights: Any, **kwargs: Any) -> Any:
        if not training:
            return self.quantizer(inputs, training, weights, **kwargs)
        clustered = isinstance(self.quantizer, ClusterPreserving)
        return self.quantizer.as_one(inputs) if clustered else inputs


def train_in_float(wrapped: Any, graph: Graph, kept: Kept) -> None:
    """Let what is kept compute in float while a wrapped network trains.

    ``graph`` is the network's own, frozen. Pruned kernels lose the quantizers that keep their
    zeros: whoever trains masks them.
    """
    tensors = graph.tensors(kept)
    kernels = {
        layer
        for name, precision in kept.items()
        if precision == "float"
        for layer in graph.units[name].kernels
    }
    results = {layer_of(fake) for fake, precision in tensors.items() if precision != "int8"}
    for layer in wrapped.layers:
        name = layer.name.removeprefix(PREFIX)
        if name in kernels and hasattr(layer, "_weight_vars"):  # a mask's table has none
            layer.layer.kept_in_float = True  # for tables, which round what they hold themselves
            layer._weight_vars = [
                (weight, _NotInTraining(quantizer), variables)
                for weight, quantizer, variables in layer._weight_vars
            ]
        if name in results:
            layer._output_quantizers = [
                _NotInTraining(quantizer) for quantizer in getattr(layer, "_output_quantizers", ())
            ]
            for activation in getattr(layer, "_quantize_activations", ()):
                activation.quantizer = _NotInTraining(activation.quantizer)
