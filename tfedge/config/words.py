"""The schema in plain words: what a key must hold, what was given, which keys there are."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from tfedge.config.nodes import KeyPath
from tfedge.config.schema import Pipeline, Section

# How the schema's patterns read. A pattern that is missing here is shown as it is.
_PATTERNS = {
    r"^[0-9a-f]{64}$": "a SHA-256 (64 hex digits, lower case)",
    r"^https?://": "an address that starts with http:// or https://",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": (
        "a name of letters, digits, dots, dashes and underscores (at most 64)"
    ),
}


def dotted(path: KeyPath) -> str:
    """``("benchmark", "threads", 1)`` as ``benchmark.threads[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def section_at(path: KeyPath) -> type[Section] | None:
    """The schema's section at that path, or None if the path leads to something else."""
    section: type[Section] = Pipeline
    for part in path:
        field = section.model_fields.get(part) if isinstance(part, str) else None
        inner = _section_of(field.annotation) if field else None
        if inner is None:
            return None
        section = inner
    return section


def expected_at(path: KeyPath) -> str:
    """What the value at that path must be: ``"a whole number of at least 1"``."""
    names = [part for part in path if isinstance(part, str)]
    section = section_at(tuple(names[:-1])) if names else Pipeline
    if section is None or not names or names[-1] not in section.model_fields:
        return "something else"
    field = section.model_fields[names[-1]]
    annotation: Any = field.annotation
    if isinstance(path[-1], int):  # an item of a list
        annotation = get_args(annotation)[0]
    return _expected(annotation, field.metadata)


def got(value: object) -> str:
    """A value as a person wrote it, short."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _section_of(annotation: Any) -> type[Section] | None:
    for option in (annotation, *get_args(annotation)):
        if isinstance(option, type) and issubclass(option, Section):
            return option
    return None


def _expected(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        more = [m for extra in args[1:] for m in _flat(extra)]
        return _expected(args[0], [*more, *metadata])
    if origin in (Union, types.UnionType):
        options = [_expected(a, metadata) for a in args if a is not type(None)]
        return ", or ".join(dict.fromkeys(options))
    if origin is Literal:
        return " or ".join(filter(None, [", ".join(map(str, args[:-1])), str(args[-1])]))
    if origin is tuple:
        return f"a list of which each item is {_expected(args[0])}"
    section = _section_of(annotation)
    if section is not None:
        return f"a section (with {', '.join(section.model_fields)})"
    if annotation is bool:
        return "true or false"
    if annotation is str:
        patterns = [p for m in metadata for p in [getattr(m, "pattern", None)] if p]
        return " and ".join(_PATTERNS.get(p, f"text like {p}") for p in patterns) or "text"
    return ("a whole number" if annotation is int else "a number") + _bounds(metadata)


def _flat(extra: Any) -> list[Any]:
    """The constraints in one item of ``Annotated``: a ``Field(ge=…)`` holds several."""
    return list(extra.metadata) if isinstance(extra, FieldInfo) else [extra]


def _bounds(metadata: Iterable[Any]) -> str:
    limits = {k: getattr(m, k) for m in metadata for k in ("ge", "gt", "le", "lt") if hasattr(m, k)}
    low = next((w + _number(limits[k]) for k, w in _LOW.items() if k in limits), "")
    high = next((w + _number(limits[k]) for k, w in _HIGH.items() if k in limits), "")
    if "ge" in limits and "le" in limits:
        return f" from {_number(limits['ge'])} to {_number(limits['le'])}"
    return f"{low} and{high}" if low and high else low or high


_LOW = {"ge": " of at least ", "gt": " above "}
_HIGH = {"le": " of at most ", "lt": " below "}


def _number(limit: float) -> str:
    return f"{limit:g}" if limit < 1e6 else str(limit)
