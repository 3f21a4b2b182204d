"""Stage ``convert``: the .tflite that ships, checked.

Writes ``model.tflite`` (int8 with raw inputs in and uint8 outputs; the float model when there is no
quantize stage), ``float.tflite`` (what it is compared with) and ``model.json``.
"""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Collection

import numpy as np

from tfedge.catalog.recipes import FLOAT, pruning, quantizing
from tfedge.core import outputs
from tfedge.core.context import Context
from tfedge.core.outputs import FileLayer, ModelFile, Quantized, Recipe, TensorType
from tfedge.errors import InvariantBroken, StageError, TfedgeError
from tfedge.files.progress import heartbeat
from tfedge.modeling import invariants
from tfedge.modeling.compression import mixed, structure
from tfedge.modeling.compression.quantization import PREFIX
from tfedge.modeling.nets import network
from tfedge.modeling.nets.env import fresh, tf
from tfedge.modeling.nets.export import Frozen, computed, load_graph, to_tflite
from tfedge.pipeline.schema import Prune
from tfedge.pipeline.structure import XNNPACK_LEAST
from tfedge.stages import upstream
from tfedge.stages.examples import examples_of, task_work
from tfedge.stages.heads import head_class, head_of
from tfedge.tasks.contract import as_taken
from tfedge.tflite import xnnpack
from tfedge.tflite.compact import compact
from tfedge.tflite.distinct import distinct
from tfedge.tflite.kernels import with_float_input
from tfedge.tflite.model import Kernel, Model
from tfedge.tflite.reader import read
from tfedge.tflite.runtime import LiteRT, predict

LEAST_ALIKE = 0.7  # of the answers: of files that were fine 0.89 and more were, of broken ones 0.55


def run(ctx: Context) -> None:
    """Convert, then hold the file against what it must be, and load it."""
    fresh(ctx.pipeline.seed)
    with heartbeat(ctx.progress, "converting"):
        content, recipe, kept = _converted(ctx)
        row = quantizing(recipe)
        if row.ships == "int8":
            content = compact(content, scope=network.NAME, prefix=PREFIX)
    model = read(content)
    if row.float_activations:
        invariants.weights_int8(model)
    elif row.ships == "int8":
        if not kept:
            invariants.all_int8(model)
        head_class(ctx).check_input(model)
        if ctx.pipeline.quantize and ctx.pipeline.quantize.xnnpack_input:
            content = _through_float(content)
            model = read(content)
    _runs(content)
    shutil.copyfile(ctx.inputs["finetune/float.tflite"], ctx.out / "float.tflite")
    (ctx.out / "model.tflite").write_bytes(content)
    outputs.write(ctx.out / "model.json", _describe(ctx, model, content, recipe, kept))


def _converted(ctx: Context) -> tuple[bytes, Recipe, dict[str, str]]:
    """The file, how it was quantized, and what of it is above 8 bits."""
    recipe: Recipe = FLOAT.name
    kept: dict[str, str] = {}
    if ctx.has("quantize/quantize.json"):
        quantized = outputs.read(ctx.inputs["quantize/quantize.json"], Quantized)
        recipe, kept = quantized.recipe, quantized.kept or {}
        if quantizing(recipe).float_activations:
            return _of_weights(ctx), recipe, kept
        graph = load_graph(ctx.inputs["quantize/graph.pb"])
        if quantized.ranges == "converter":
            content = to_tflite(
                graph,
                int8=True,
                input_type=tf.uint8,
                output_type=tf.uint8,
                representative=head_of(ctx, views=False).representative(quantized.representative),
            )
        else:  # its ranges are inside
            content = mixed.convert(graph, kept, output_type=tf.uint8)
        _answers_alike(ctx, graph, content)
    else:
        content = _float(ctx)
    return content, recipe, kept


def _answers_alike(ctx: Context, graph: Frozen, content: bytes) -> None:
    """Hold the file against the network that it was made from, on a few training examples."""
    count = head_class(ctx).compared
    if not count:
        return
    examples, work = examples_of(ctx), task_work(ctx)
    inputs = examples.inputs(examples.representative(count, ctx.pipeline.seed))
    alike = float(work.same(computed(graph, inputs), predict(content, inputs)).mean())
    if alike < LEAST_ALIKE:
        expected, got = f"at least {LEAST_ALIKE:.0%} of its answers", f"{alike:.0%}"
        raise InvariantBroken("the file answers as the network it is made of", expected, got)


def _through_float(content: bytes) -> bytes:
    """The file with its input by way of float32, held against the file without on noise."""
    changed = with_float_input(content)
    before, after = LiteRT(content), LiteRT(changed)
    (port,) = before.inputs()
    noise = np.random.default_rng(0).integers(0, 256, port.shape, np.uint8)
    both = zip(before.invoke(noise), after.invoke(noise), strict=True)
    if not all(np.array_equal(plain, made) for plain, made in both):
        name = "quantize.xnnpack_input leaves every answer as it is"
        raise InvariantBroken(name, "the same bytes", "others")
    return changed


def _of_weights(ctx: Context) -> bytes:
    """The float file with its weights in 8 bits."""
    head = head_of(ctx, views=False)
    model = head.load(network.load_weights(upstream.weights(ctx)))
    return head.float_file(model, int8_weights=True)


def _runs(content: bytes) -> None:
    """LiteRT loads the file and runs it once, and what it gives are numbers."""
    try:
        model = LiteRT(content)
        given = [np.zeros(port.shape, port.dtype) for port in model.inputs()]
        outputs = model.invoke(*given)
    except (TfedgeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        remedy = "set quantize.recipe to another one, or report it with the stage's graph"
        raise StageError(f"LiteRT can't run the file that was made: {reason}", remedy) from error
    if not all(np.isfinite(output).all() for output in outputs):
        raise InvariantBroken("outputs of model.tflite for a black image", "numbers", "nan or inf")


def _float(ctx: Context) -> bytes:
    pruned = upstream.sparsity(ctx)
    if pruned is None or not pruning(pruned.recipe).sparse_file:
        return upstream.float_model(ctx).read_bytes()
    head = head_of(ctx, views=False)
    model = head.load(network.load_weights(upstream.weights(ctx)))
    content = xnnpack.with_explicit_padding(head.float_file(model, sparse=True))
    _sparse(read(content))
    return content


def _sparse(model: Model) -> None:
    """The file is one that XNNPACK runs with its sparse kernels, where it has any."""
    hindered = xnnpack.obstacles(model)
    if hindered:
        shown = "; ".join(hindered[:3])
        raise InvariantBroken("a file for XNNPACK's sparse kernels", "no obstacle", shown)
    for name, share in xnnpack.sparse_layers(model):
        if share < XNNPACK_LEAST:
            expected = f"at least {XNNPACK_LEAST:.0%} zeros"
            raise InvariantBroken(f"{name} for XNNPACK's sparse kernels", expected, f"{share:.1%}")


def _describe(
    ctx: Context, model: Model, content: bytes, recipe: Recipe, kept: dict[str, str]
) -> ModelFile:
    """What the file itself says, held against what pruning and clustering have promised."""
    pruned, clustered = upstream.pruned(ctx), upstream.clustered(ctx)
    layers = [
        FileLayer(
            name=(name := _layer(kernel)),
            op=kernel.op,
            size=kernel.size,
            zeros=kernel.zeros,
            distinct=(values := distinct(model, kernel)).kernel,
            distinct_channel=values.channel,
            prunable=name in pruned,
        )
        for kernel in model.kernels()
    ]
    found = {layer.name: layer for layer in layers}
    for name, sparse in pruned.items():
        got = found[name].zeros if name in found else "no such kernel"
        if not isinstance(got, int) or got < sparse.zeros:
            raise InvariantBroken(f"zeros of {name} in the .tflite", f"{sparse.zeros:,}", f"{got}")
    for name, before in clustered.items():
        got = found[name].distinct_channel if name in found else "no such kernel"
        if not before.frozen and (not isinstance(got, int) or got > before.distinct):
            wanted = f"at most {before.distinct} in each channel"
            raise InvariantBroken(f"distinct values of {name} in the .tflite", wanted, f"{got}")
    _structured(ctx, model, pruned)
    prunable = [layer for layer in layers if layer.prunable]
    size = sum(layer.size for layer in prunable)
    plain = ctx.inputs["finetune/float.tflite"].read_bytes()
    taken = as_taken(model.outputs)
    return ModelFile(
        recipe=recipe,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        deflated=len(zlib.compress(content)),
        float_deflated=len(zlib.compress(plain)),
        sparsity=sum(layer.zeros for layer in prunable) / size if size else None,
        float_tensors=len(model.float_tensors()),
        input=TensorType(dtype=model.inputs[0].dtype, shape=[*model.inputs[0].shape]),
        output=TensorType(dtype=taken["dtype"], shape=taken["shape"]),
        layers=layers,
        kept=kept or None,
    )


def _structured(ctx: Context, model: Model, layers: Collection[str]) -> None:
    """Every group and block that pruning made zero is zero in the file."""
    found = upstream.sparsity(ctx)
    if found is None or found.structure is None:
        return
    settings = Prune.model_validate(outputs.dump(found.structure))
    constants = {tensor.name: tensor for tensor in model.tensors if tensor.is_const}
    kernels = {
        name: structure.of_tflite(constants[kernel.tensor].whole())  # zero is 0 in every kernel
        for kernel in model.kernels()
        if (name := _layer(kernel)) in layers
    }
    zeros = {layer.name: layer.target for layer in found.layers}
    structure.check_zeros("in the .tflite", kernels, settings, zeros)


def _layer(kernel: Kernel) -> str:
    """The layer that a kernel is of, as ``compact`` writes it."""
    return kernel.tensor.removesuffix("/kernel")
