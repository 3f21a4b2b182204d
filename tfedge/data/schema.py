"""The keys of a pipeline that say where its labelled files are, and how they are split."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr, StrictInt, StrictStr

from tfedge.config.section import Fraction, Section, Sha256, Url, about, key
from tfedge.data.kind import IMAGES, Kind
from tfedge.data.rows import RowColumns


class Split(Section):
    """Shares for one unsplit folder or CSV. Folders named train/ and val/ need none of it."""

    val: Annotated[float, Field(gt=0.0, lt=1.0)] = key(
        0.2, "Share for validation: it chooses how long an sgd head and blocks train, if any do."
    )
    test: Fraction = key(
        0.0, "Share for testing, which chooses nothing; where there is one, it measures accuracy."
    )


class Whole(Split):
    """Nothing is split off: files of no split stay in none. No pipeline says it; what judges a
    model that ships does."""


class Download(Section):
    """An archive to fetch once; its digest is checked before anything in it is looked at."""

    url: Annotated[Url, about("Address of the archive (.zip or .tar, compressed or not).")]
    sha256: Annotated[Sha256, about("SHA-256 of the archive, 64 lower-case hex digits.")]
    folder: StrictStr = key(
        "", "The folder inside the archive that holds the examples; empty: all of it."
    )


class CsvColumns(Section):
    """The names of a CSV's columns."""

    path: StrictStr = key("path", "Column of the files, relative to the CSV's folder.")
    label: StrictStr = key("label", "Column of the labels.")
    split: StrictStr | None = key(
        None, "Column that says train, val or test; null: `split`, where there is one."
    )


class Data(Section):
    """Labelled files of any kind. A task's own section adds how they become the model's input."""

    kind: ClassVar[Kind] = IMAGES
    layout: ClassVar[tuple[str, ...]] = ("csv",)  # keys that say how labelled files lie there

    path: StrictStr | None = key(
        None,
        "A folder with a folder for each class, perhaps below `train/`, `val/` and `test/`; or a "
        ".csv with the columns path, label and, if you like, split; or `sample:digits`.",
    )
    csv: CsvColumns | None = key(None, "Columns of a CSV that have other names.")
    classes: Annotated[tuple[StrictStr | StrictInt, ...], Field(min_length=2)] | None = key(
        None,
        "The classes in the order of the model's outputs, as a shipped app has them; null: those "
        "of a run that `backbone.weights` names first, others by name, numbers by value.",
    )
    group: StrictStr | None = key(
        None,
        "What stays together in one split, such as frames of a video: a column of the CSV, or a "
        "regular expression whose one group (in parentheses) is the group's name in a file's path.",
    )
    download: Download | None = key(
        None, "An archive that is fetched once and checked, instead of `path`."
    )
    split: Split | None = key(
        None,
        "Shares of each class, drawn by the content of each file, so that adding one moves no "
        "other (one at most in small classes). Not for folders that are split already.",
    )
    on_leak: Literal["error", "drop", "keep"] = key(
        "error",
        "What to do with the same content in two splits; `drop` leaves it in the one that judges.",
    )
    on_conflict: Literal["error", "drop"] = key(
        "error", "What to do with the same content under two labels; `drop` leaves out all copies."
    )

    _earlier: tuple[str, ...] = PrivateAttr(())

    @property
    def earlier(self) -> tuple[str, ...]:
        """The classes of the run that this one goes on from, which come first; empty: of none."""
        return self._earlier

    def going_on(self, classes: tuple[str, ...]) -> Data:
        """The same for a run that goes on from one with these classes."""
        data = self.model_copy()
        data._earlier = classes
        return data

    @property
    def row_columns(self) -> RowColumns | None:
        """Of a table whose rows hold the examples; None: examples of this kind are files."""
        return None

    @property
    def changes_examples(self) -> bool:
        """Whether what is learnt from is changed at random, each time in another way."""
        return False
