"""Which net of images a network is made from, as base.json has it."""

from __future__ import annotations

from tfedge.core.outputs import Base, narrow


class ImageBase(Base):
    """Its ``mean`` and ``std`` are RGB in 0–255 units."""

    alpha: float  # width of the net
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int  # pixels a side

    @classmethod
    def of(cls, base: Base) -> ImageBase:
        """ArtifactError when it says nothing of images."""
        return narrow(base, cls, "base.json")
