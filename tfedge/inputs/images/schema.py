"""The keys of a pipeline that say how images become the model's input, and are changed for
training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from tfedge.config.section import Count, Fraction, Section
from tfedge.data.schema import Data


class Augment(Section):
    """Random changes to training images. Each image keeps its original beside the views."""

    views: Count = 2  # augmented views of each image, computed once, when the base is frozen
    flip: StrictBool = True  # left-right, half of the views
    crop: Fraction = 0.1  # largest share of a side that is cut away
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = 10.0  # degrees, either way
    zoom: Fraction = 0.1  # up to this share nearer or farther
    brightness: Fraction = 0.1  # up to this share of full scale, either way
    contrast: Fraction = 0.1  # factor 1 ± this
    # As a camera in the field harms its images; each view as much as chance says, up to this.
    noise: Fraction = 0.0  # standard deviation, as a share of full scale
    blur: Annotated[float, Field(ge=0.0, le=8.0)] = 0.0  # sigma of a Gaussian, in pixels
    jpeg: Annotated[StrictInt, Field(ge=1, le=100)] | None = None  # the lowest quality; None: off


class ImageData(Data):
    image_size: Annotated[StrictInt, Field(ge=32, le=1024)] = 225  # pixels a side
    fit: Literal["crop", "stretch", "pad"] = "crop"  # how an image becomes square
    on_bad_image: Literal["error", "skip"] = "error"
    augment: Augment | None = None

    @property
    def changes_examples(self) -> bool:
        return self.augment is not None
