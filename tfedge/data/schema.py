"""The keys of a pipeline that say where its images are, and how they are split and changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from tfedge.config.section import Count, Fraction, Section, Sha256, Url


class Augment(Section):
    """Random changes to training pictures. Each picture keeps its original beside the views."""

    views: Count = 2  # augmented views of each picture, computed once, when the base is frozen
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


class Split(Section):
    """Shares for one unsplit folder or CSV. Folders named train/ and val/ need none of it."""

    val: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    test: Fraction = 0.0


class Download(Section):
    """An archive to fetch once; its digest is checked before anything in it is looked at."""

    url: Url
    sha256: Sha256
    folder: StrictStr = ""  # the folder inside the archive that holds the classes


class Data(Section):
    path: StrictStr | None = None  # a folder, a .csv file (path,label), or sample:digits
    download: Download | None = None  # instead of path
    image_size: Annotated[StrictInt, Field(ge=32, le=1024)] = 225  # pixels a side
    fit: Literal["crop", "stretch", "pad"] = "crop"  # how a picture becomes square
    split: Split | None = None  # None: the folders say it; else Split's own defaults
    on_bad_image: Literal["error", "skip"] = "error"
    on_leak: Literal["error", "drop", "keep"] = (
        "error"  # same picture in two splits; drop: from train
    )
    on_conflict: Literal["error", "drop"] = "error"  # same picture under two labels
    augment: Augment | None = None
