"""The keys of a pipeline that say how texts become the model's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from tfedge.config.section import Section, key
from tfedge.data.groups import is_expression
from tfedge.data.kind import TEXTS, Kind
from tfedge.data.rows import RowColumns
from tfedge.data.schema import Data

_TOKENIZER = (
    "texts become ids by the vocabulary of the encoder's weights, which goes into every drop"
)
_IMAGES = "these data are texts; `task` says what a pipeline is of"


class TextColumns(Section):
    """The names of the columns of a .csv or .tsv, or of the keys of a .jsonl."""

    text: StrictStr = key("text", "Column of the texts.")
    label: StrictStr = key("label", "Column of the labels.")
    split: StrictStr | None = key(
        None, "Column that says train, val or test; null: `split`, where there is one."
    )


class TextData(Data):
    kind: ClassVar[Kind] = TEXTS
    instead: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("tokenizer", "vocabulary", "vocab", "lowercase"), _TOKENIZER),
        **dict.fromkeys(("max_length", "max_seq_length", "sequence_length"), "data.length says it"),
        **dict.fromkeys(("image_size", "fit", "augment", "range", "on_bad_image"), _IMAGES),
    }

    path: StrictStr | None = key(
        None,
        "A folder with a folder of `.txt` for each class, perhaps below `train/`, `val/` and "
        "`test/`; or a .csv, .tsv or .jsonl whose rows hold a text and its label; or "
        "`sample:messages`.",
    )
    csv: TextColumns | None = key(  # type: ignore[assignment]  # rows hold texts, and no paths
        None, "Columns of a table that have other names."
    )
    length: Annotated[StrictInt, Field(ge=8, le=512)] = key(
        128,
        "Pieces of a text that the model reads, with its marks; what goes on behind them is "
        "cut. Half as many take less than half of the time. With `words` it is 256.",
    )
    encoding: StrictStr = key(
        "utf-8", "How the files hold characters, such as `utf-8`, `cp1252` or `latin-1`."
    )
    on_bad_text: Literal["error", "skip"] = key(
        "error",
        "What to do with texts that are empty or can't be read: list all of them, or leave them "
        "out and say how many.",
    )

    @property
    def row_columns(self) -> RowColumns:
        named = self.csv or TextColumns()
        group = self.group if self.group and not is_expression(self.group) else None
        return RowColumns(named.text, named.label, named.split, group)
