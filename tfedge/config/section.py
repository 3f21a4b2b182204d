"""What every section of a YAML file is: frozen, without unknown keys, each key explained.

A key's description is written once, behind its default (``key``) or, where it has none or several
sections share it, in its type (``about``). From there `tfedge schema`, pipelines/photos.yaml and
docs/pipeline-keys.md have it: one or two sentences, with `code` in backticks. Values that the type
names, such as those of a Literal, and the default need no mention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

T = TypeVar("T")

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[StrictInt, Field(ge=1)]
Sha256 = Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[StrictStr, Field(pattern=r"^https?://")]
PackageName = Annotated[
    StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$")
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    first: ClassVar[tuple[str, ...]] = ()  # the keys that are told before the others
    # Keys that people look for and that are none: what there is instead.
    instead: ClassVar[Mapping[str, str]] = {}
    # Keys of one plain value: what to say to who gives a list, a section or 96x160.
    single: ClassVar[Mapping[str, str]] = {}
    # Values that people look for and that are none, by their key: what there is instead.
    refused: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    @classmethod
    def refusal(cls, key: str, value: object) -> str:
        """What to say after the refusal of a value, with a colon before it; else empty."""
        why = cls.refused.get(key, {}).get(value) if isinstance(value, str) else None
        return f": {why}" if why else ""


def key(default: T, description: str) -> T:
    """A key's default and what the key means, to be assigned to a field of a section."""
    field: Any = Field(default, description=description)  # pydantic takes it for the default
    return field  # type: ignore[no-any-return]


def about(description: str) -> Any:
    """What a key means, to stand in an ``Annotated`` type."""
    return Field(description=description)
