"""The keys of a pipeline that say where its labelled files are, and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictStr

from tfedge.config.section import Fraction, Section, Sha256, Url


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
    """Labelled files of any kind. A task's own section adds how they become the model's input."""

    path: StrictStr | None = None  # a folder, a .csv file (path,label), or sample:digits
    download: Download | None = None  # instead of path
    split: Split | None = None  # None: the folders say it; else Split's own defaults
    # The same content in two splits; drop: from train.
    on_leak: Literal["error", "drop", "keep"] = "error"
    on_conflict: Literal["error", "drop"] = "error"  # the same content under two labels

    @property
    def changes_examples(self) -> bool:
        """Whether what is learnt from is changed at random, each time in another way."""
        return False
