"""Networks of images: a backbone of the catalogue with a head, as stages train and convert them.

A task says what the head learns, and what its outputs are worth; all else is the same for every
task over images.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import numpy as np

from tfedge.catalog.backbones import BACKBONES, layers, net
from tfedge.core.outputs import Base
from tfedge.data.schema import Data
from tfedge.errors import InvariantBroken, UnsupportedModel
from tfedge.files.progress import Progress
from tfedge.inputs.images.pictures import DecodedImages
from tfedge.inputs.images.schema import ImageData
from tfedge.modeling.head import NetworkHead, TeacherOutputs
from tfedge.modeling.nets import network
from tfedge.modeling.nets.backbone import Weights, assign, weights_of
from tfedge.modeling.nets.env import tf
from tfedge.modeling.nets.export import Frozen, float_pixels, freeze
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.modeling.nets.network import HEAD, Spec
from tfedge.modeling.nets.weights import source
from tfedge.modeling.training.images import ImageSource
from tfedge.modeling.training.objective import Objective
from tfedge.modeling.training.part import Samples
from tfedge.pipeline.schema import Backbone, Distill, Net, Pipeline, TeacherNet
from tfedge.pipeline.unfreeze import resolve
from tfedge.tasks.task import Examples, Material
from tfedge.tflite.compact import compact
from tfedge.tflite.model import Model

if TYPE_CHECKING:
    from tfedge.modeling.compression.calibration import Calibrated


class ImageExamples(Examples, Protocol):
    """Examples that are images."""

    images: DecodedImages

    def at(self, size: int) -> ImageExamples:
        """The same at another size, in pixels a side."""


_PTQ = "quantize.recipe: ptq"
_ESTIMATE = 64  # examples that tell a random net's batch norms what comes


class VisionHead(NetworkHead):
    """A network uint8 [1, S, S, 3] → ``objective.serve`` of its head's outputs.

    ``spec`` is the network's, ``samples`` what it learns from, ``work`` what says how good its
    outputs are. A task's head says what is learnt: ``objective_of``.
    """

    def __init__(self, material: Material, base: Base) -> None:
        examples, data = cast(ImageExamples, material.examples), cast(ImageData, material.data)
        augment = data.augment if material.views else None
        images = ImageSource(
            examples.images, augment, material.seed, material.cache, material.progress
        )
        self.samples = Samples(images, examples, self.objective_of(examples))
        self.work, self.material = material.work, material
        self.spec = Spec.of(ImageBase.of(base), self.objective.units)
        self.blocks = self.spec.blocks
        native = BACKBONES[self.spec.name].native_size
        self.macs = net(self.spec.name, self.spec.alpha).macs * (self.spec.size / native) ** 2

    untrained: ClassVar[str] = HEAD  # how the names of layers begin that a base has no weights of

    def objective_of(self, examples: ImageExamples) -> Objective:
        """What the head of this task learns."""
        raise NotImplementedError

    def build(self) -> Any:
        """The network, untrained."""
        return network.build(self.spec)

    @staticmethod
    def base(pipeline: Pipeline, cache: Path, progress: Progress) -> tuple[Weights, ImageBase]:
        """A backbone's pretrained weights, and what they are. Errors are those of
        ``source.load``."""
        chosen, size = cast(Backbone, pipeline.backbone), _size(pipeline.data)
        loaded = source.load(chosen, size, cache, progress)
        head = loaded.head.arrays() if loaded.head else {}
        weights = network.carrying({**loaded.weights, **head}, loaded.mean, loaded.std)
        return weights, source.described(chosen, size, loaded)

    def headless(self, base: Weights, random: bool) -> Any:
        model = self.build()
        folded = network.fold(self.spec, base)
        # A network may leave out what its base has at the top.
        assign(model, folded, skip=(self.untrained,), partial=self.untrained != HEAD)
        if random:
            samples = self.samples
            rows = samples.representative(_ESTIMATE, samples.seed)
            network.estimate_norms(model, [samples.examples.inputs(rows).astype(np.float32)])
        return model

    def weights_of(self, model: Any) -> Weights:
        """All weights of the network, with what they want of the pixels beside them: its first
        kernel is divided by the standard deviation already."""
        return network.carrying(weights_of(model), self.spec.mean, (1.0, 1.0, 1.0), self.units)

    def load(self, weights: Weights) -> Any:
        """The network with all its weights."""
        model = self.build()
        assign(model, weights)
        return model

    def load_for_int8(self, weights: Weights) -> Any:
        """The network with all its weights, its pixels offset as 8 bits can do."""
        model = self.load(weights)
        network.whole_offset(model)
        return model

    def float_file(self, model: Any, *, sparse: bool = False, int8_weights: bool = False) -> bytes:
        if int8_weights:
            raise UnsupportedModel("8-bit weights alone, of a network of images", [], _PTQ)
        content = float_pixels(model, self.spec.size, serve=self.objective.serve, sparse=sparse)
        return compact(content, scope=network.NAME)

    def graph(self, model: Any) -> Frozen:
        """The frozen graph from float32 inputs to what the shipped model gives."""
        serve = self.objective.serve
        return self.part_graph(lambda inputs, training: serve(model(inputs, training=training)))

    def part_graph(self, part: Any) -> Frozen:
        """The frozen graph of a network's lower part, from float32 inputs."""
        shape = (self.spec.size, self.spec.size, 3)
        return freeze(lambda inputs: part(inputs, training=False), shape, tf.float32)

    def calibrated(
        self,
        model: Any,
        rows: Sequence[int],
        checked: Sequence[int],
        *,
        preserve_zeros: bool,
        clustered: Collection[str],
        whole: bool,
        report: Callable[[int, int], None],
    ) -> Calibrated:
        """The network wrapped for 8 bits, with ranges and corrections; see ``calibrate``."""
        from tfedge.modeling.compression import calibration  # and TF-MOT, which takes a second

        return calibration.calibrate(
            self.spec,
            model,
            self.samples.examples.inputs(rows),
            self.samples.examples.inputs(checked),
            work=self.work,
            served=self.objective.served,
            preserve_zeros=preserve_zeros,
            clustered=clustered,
            seed=self.samples.seed,
            report=report,
        )

    def ranged(
        self,
        model: Any,
        rows: Sequence[int],
        *,
        preserve_zeros: bool,
        clustered: Collection[str],
    ) -> Any:
        from tfedge.modeling.compression import calibration, quantization

        seen = calibration.Batches(self.samples.examples.inputs(rows))
        return quantization.ranged(model, seen, preserve_zeros=preserve_zeros, clustered=clustered)

    def representative(self, rows: Sequence[int]) -> Callable[[], Iterator[list[np.ndarray]]]:
        """Training images for the converter's calibration, float32 [1, S, S, 3] one by one."""
        from tfedge.modeling.compression.quantize_layers import PIXELS

        inputs = self.samples.examples.inputs

        def images() -> Iterator[list[np.ndarray]]:
            for number, row in enumerate(rows):
                image = inputs([row])[0].astype(np.float32)
                if number == 0:  # two pixels say how far pixels reach: these images may not
                    image[0, :2] = [[PIXELS[0]], [PIXELS[1]]]
                yield [image[None]]

        return images

    @staticmethod
    def check_input(model: Model) -> None:
        """The input is bytes that are pixels: uint8, scale 1, zero point 0, batch 1, static."""
        (tensor,) = model.inputs
        quantization = tensor.quantization
        got = f"{tensor.dtype}, scale {quantization and quantization.scales}"
        wanted = "raw pixels in", "uint8, scale 1, zero point 0"
        if tensor.dtype != "uint8" or not quantization or quantization.zero_points != (0,):
            raise InvariantBroken(*wanted, got)
        if abs(quantization.scales[0] - 1) > 1e-6:  # one float32 rounding of 255 / 255
            raise InvariantBroken(*wanted, got)
        dynamic = [t.name for t in model.tensors if -1 in t.shape_signature]
        if dynamic or tensor.shape[0] != 1:
            open_ones = ", ".join(dynamic[:3])
            raise InvariantBroken("static shapes, batch 1", "no open dimension", open_ones)

    @classmethod
    def taught(cls, given: Material, teacher: Net, settings: Distill) -> TeacherOutputs:
        """At a size of its own."""
        chosen = cast(TeacherNet, teacher)
        size = chosen.size
        loaded = source.load(chosen, size, given.cache, given.progress)
        base = source.described(chosen, size, loaded)
        examples = cast(ImageExamples, given.examples).at(size)
        head = cls(replace(given, examples=examples), base)
        # Decoded on all cores, before anybody asks for one after the other.
        rows = [*head.samples.train_rows, *head.samples.val_rows]
        examples.images.memmap_rows(rows, given.progress)
        random = chosen.weights == "none"
        model = head.headless(loaded.weights, random)
        first = resolve(settings.unfreeze, layers(chosen.name, chosen.alpha))
        return head.teach(model, base, settings, random=random, first=first)


def _size(data: Data) -> int:
    return cast(ImageData, data).image_size
