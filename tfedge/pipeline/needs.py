"""What a run will need of disk, memory and time: estimates from the pipeline and the number of its
images, without looking into any of them.

The disk is that of stored pixels, activations and features, whose size is known, and of features as
float64 while a head is fitted to many of them; what else stages write is little beside it. Seconds
are multiply-adds over rates that were measured on a server's CPU: another machine, large
photographs and nets that are slow to convert may well take twice as long. Devices, and another net
as teacher, are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, prod
from pathlib import Path
from typing import cast

from tfedge.catalog.backbones import BACKBONES, Block, net
from tfedge.data.sources import counted
from tfedge.files.parallel import cores as cores_here
from tfedge.files.space import HELD, free
from tfedge.files.text import count_of, roughly
from tfedge.pipeline.recipes import NOISY, head_kind, least_steps, quantized_by
from tfedge.pipeline.schema import Backbone, Pipeline
from tfedge.pipeline.unfreeze import (
    TrainingStage,
    blocks_of,
    first_trained,
    lowest_trained,
)

_KEY = 36  # bytes of a record's key and checksum
LITERT = 35e9  # multiply-adds a second of one core, float, through LiteRT
_FORWARD = 8e9  # … forward, of a training step that goes back as well
_DECODE = 4e-3  # seconds of one core for an image
_ALONE = 25.0  # seconds of a run of few images: imports, conversions, corrections for 8 bits
PHASES = 4  # files that evaluate runs: with a new head, pruned, float, int8
_HARM = 8  # how often it sees the images of the robustness test, about
_PROCESS, _WEIGHT = 0.8e9, 24  # bytes of the libraries; of a weight, its gradient, Adam's, copies
_IN_8_BITS, _RESULTS = 1 << 30, 240  # bytes that correcting takes at most, of the largest results


@dataclass(frozen=True)
class Needs:
    """Bytes that the cache will grow by and that the process will take, seconds of wall time."""

    cache: int
    memory: int
    seconds: float


def needs(pipeline: Pipeline, size: int, train: int, others: int, cores: int) -> Needs:
    """For ``train`` training images and ``others`` of validation and test, ``size`` pixels a
    side, where the cache has none of it."""
    chosen = cast(Backbone, pipeline.backbone)
    raw = net(chosen.name, chosen.alpha)
    scale = size / BACKBONES[chosen.name].native_size
    augment = getattr(pipeline.data, "augment", None)
    views = 1 + (augment.views if augment else 0)
    job = _Job(pipeline, blocks_of(pipeline), scale, train, train * views + others)
    whole = job.macs(0)
    wide = raw.blocks[-1].shape[2]
    fitted = head_kind(pipeline.finetune, pipeline.data.changes_examples) == "logistic"
    features = train * views * wide  # a teacher's, float16; float64 while a head is fitted to them
    standardised = 8 * features if fitted else 0
    memory = _PROCESS + _WEIGHT * raw.parameters
    corrected = min(_IN_8_BITS, _RESULTS * 4 * job.largest())
    memory += max(min(standardised, HELD), corrected if pipeline.quantize else 0)
    cached, computed = job.activations()
    cached += 2 * features if chosen.pooled else 0
    cached += standardised if standardised > HELD else 0
    work = (train + others) * _DECODE + computed / LITERT + job.trained() / _FORWARD
    if pipeline.evaluate is not None:
        shown = others * PHASES + min(pipeline.evaluate.robustness, others) * _HARM * PHASES
        work += shown * whole / LITERT
    pixels = (train + others) * (3 * size**2 + _KEY)
    return Needs(round(pixels + cached), round(memory), _ALONE + work / cores)


@dataclass(frozen=True)
class _Job:
    """``items`` are the images and changed views that frozen parts are run on."""

    pipeline: Pipeline
    blocks: tuple[Block, ...]
    scale: float  # image size over the native one
    train: int
    items: int

    def macs(self, start: int, stop: int | None = None) -> float:
        """Multiply-adds of blocks ``start`` to ``stop`` for one image."""
        return self.scale**2 * sum(block.macs for block in self.blocks[start:stop])

    def values(self, first: int) -> int:
        """Numbers in what goes into a block and all above it."""
        total = 0
        for block in self.net.passing(first):
            height, width, channels = block.shape
            total += ceil(height * self.scale) * ceil(width * self.scale) * channels
        return total

    @property
    def net(self) -> Backbone:
        return cast(Backbone, self.pipeline.backbone)

    @property
    def wide(self) -> int:
        """Numbers in what the head reads."""
        return self.blocks[-1].shape[2] if self.net.pooled else self.values(len(self.blocks))

    def largest(self) -> float:
        """Numbers in the largest result, about: the widest kernel's on what goes into its block."""
        found = [4 * prod(self.blocks[0].shape)]
        for before, block in pairwise(self.blocks):
            widest = max(max(kernel.shape[2:]) for kernel in block.kernels)
            found.append(prod(before.shape[:2]) * widest)
        return self.scale**2 * max(found)

    def starts(self) -> dict[TrainingStage, int]:
        """The lowest block that each stage trains; one beyond the last for the head alone."""
        on: list[TrainingStage] = ["finetune"]
        on += ["prune"] if self.pipeline.prune else []
        on += ["cluster"] if self.pipeline.cluster else []
        on += ["quantize"] if quantized_by(self.pipeline).trains else []
        found = {stage: first_trained(self.pipeline, stage) for stage in on}
        return {k: len(self.blocks) if v is None else v for k, v in found.items()}

    def activations(self) -> tuple[float, float]:
        """Bytes of all that frozen parts give, and multiply-adds that it takes."""
        starts = self.starts()
        wide = self.wide
        lowest = lowest_trained(self.pipeline)
        floats = set() if lowest is None else {lowest}
        floats |= {starts[stage] for stage in ("prune", "cluster") if stage in starts}
        # A new head alone learns from pooled features.
        floats |= {starts["finetune"]} - {len(self.blocks)}
        # Pooled features; once more where finetune has trained blocks below them.
        again = 2 if starts["finetune"] < len(self.blocks) else 1
        each, macs = again * (4 * wide + _KEY), again * self.macs(0)
        for start in sorted(floats - {0}):
            each += 4 * self.values(start) + _KEY
            macs += self.macs(0, start)
        if starts.get("quantize"):
            each += self.values(starts["quantize"]) + _KEY
            macs += self.macs(0, starts["quantize"])
        noisy = [*self.noisy(starts)]
        kept = sum(count * (self.values(start) * size + _KEY) for start, size, count in noisy)
        run = sum(count * self.macs(0, start) for start, _, count in noisy)
        return self.items * each + kept, self.items * macs + run

    def noisy(self, starts: Mapping[TrainingStage, int]) -> Iterator[tuple[int, int, int]]:
        """For each stage that shows images with noise: where it starts, the bytes of a number, and
        how many images."""
        for stage, start in starts.items():
            if start and getattr(getattr(self.pipeline, stage), "noise", 0):
                yield start, 1 if stage == "quantize" else 4, min(self.train, NOISY)

    def trained(self) -> float:
        """Multiply-adds, forward, of all that training sees."""
        total = 0.0
        for stage, start in self.starts().items():
            if stage == "finetune":
                settings = self.pipeline.finetune
                if start < len(self.blocks):
                    total += settings.unfreeze_epochs * self.train * self.macs(start)
                continue
            section = getattr(self.pipeline, stage)
            least = least_steps(section, self.train) * section.batch_size
            total += max(section.epochs * self.train, least) * self.macs(start)
        return total


def told(pipeline: Pipeline, cache: Path) -> Iterator[str]:
    """What a run from nothing needs, and whether the cache's disk has it; nothing for examples that
    are not there yet, or are no images."""
    size = getattr(pipeline.data, "image_size", None)
    found = counted(pipeline.data, cache) if size is not None else None
    if size is None or found is None:
        return
    count = cores_here()
    wanted = needs(pipeline, size, *found, count)
    yield (
        f"needs, from nothing: about {_bytes(wanted.cache)} of disk in the cache, "
        f"{_bytes(wanted.memory)} of memory, {roughly(wanted.seconds)} on "
        f"{count_of(count, 'core')} for {sum(found):,} images (perhaps half or twice that)"
    )
    left = free(cache)
    if left is not None and left < wanted.cache:
        yield f"note: that disk has {_bytes(left)} left; --cache (TFEDGE_CACHE) names another"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
