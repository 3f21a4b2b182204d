"""The schema in plain words: what a key must hold, what was given, which keys there are."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from tfedge.config.nodes import KeyPath
from tfedge.config.section import Section
from tfedge.redact import without_secrets

# How the schema's patterns read. A pattern that is missing here is shown as it is.
_PATTERNS = {
    r"^[0-9a-f]{64}$": "a SHA-256 (64 hex digits, lower case)",
    r"^https?://": "an address that starts with http:// or https://",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": (
        "a name of letters, digits, dots, dashes and underscores (at most 64)"
    ),
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$": (
        "a package like org.example.flowers, no part with a digit first"
    ),
    r"^(docker:[A-Za-z0-9][A-Za-z0-9._/:@-]*|[^:-][^:]*)$": "a program, or docker:IMAGE",
}


def dotted(path: KeyPath) -> str:
    """``("benchmark", "threads", 1)`` as ``benchmark.threads[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def section_at(path: KeyPath, root: type[Section]) -> type[Section] | None:
    """The schema's section at that path, or None if the path leads to something else."""
    found = _at(path, root)
    return section_in(found[0]) if found else None


def expected_at(path: KeyPath, root: type[Section]) -> str:
    """What the value at that path must be: ``"a whole number of at least 1"``."""
    found = _at(path, root)
    return expected(*found) if found else "something else"


def _at(path: KeyPath, root: type[Section]) -> tuple[Any, Iterable[Any]] | None:
    """Annotation and constraints of what stands at a path; None if the schema has no such path."""
    annotation: Any = root
    metadata: Iterable[Any] = ()
    for part in path:
        found = next((f for f in (_into(o, part) for o in options(annotation)) if f), None)
        if found is None:
            return None
        annotation, metadata = found
    return annotation, metadata


def _into(annotation: Any, part: str | int) -> tuple[Any, Iterable[Any]] | None:
    """One step down: a key of a section or of a mapping, an item of a list."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return (args[0], ()) if isinstance(part, int) else None
    if origin is dict:
        return (args[1], ()) if isinstance(part, str) else None
    is_section = isinstance(annotation, type) and issubclass(annotation, Section)
    field = annotation.model_fields.get(part) if is_section else None
    return (field.annotation, field.metadata) if field else None


def options(annotation: Any) -> Iterable[Any]:
    """What a union may be; anything else is its own only option."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def keys_of(section: type[Section]) -> list[str]:
    """Its keys, those that must be given first."""
    fields = section.model_fields
    return sorted(fields, key=lambda name: not fields[name].is_required())


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
    text = without_secrets(repr(value))  # before it is cut
    return text if len(text) <= 60 else f"{text[:57]}…"


def section_in(annotation: Any) -> type[Section] | None:
    """The section that it is, or may be."""
    for option in options(annotation):
        if isinstance(option, type) and issubclass(option, Section):
            return option
    return None


def expected(annotation: Any, metadata: Iterable[Any] = (), brief: bool = False) -> str:
    """What a value must be. ``brief``: without the keys of sections."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        more = [m for extra in args[1:] for m in _flat(extra)]
        return expected(args[0], [*more, *metadata], brief)
    if origin in (Union, types.UnionType):
        ways = [expected(a, metadata, brief) for a in args if a is not type(None)]
        return ", or ".join(dict.fromkeys(ways))
    if origin is Literal:
        return " or ".join(filter(None, [", ".join(map(str, args[:-1])), str(args[-1])]))
    if origin is tuple:
        if Ellipsis not in args:
            return f"a list of {len(args)}, each {expected(args[0], (), brief)}"
        return f"a list of which each item is {expected(args[0], (), brief)}"
    if origin is dict:
        return f"names, each with {expected(args[1], (), brief)}"
    section = section_in(annotation)
    if section is not None:
        return "a section" if brief else f"a section (with {', '.join(keys_of(section))})"
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
