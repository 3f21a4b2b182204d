"""The keys of a schema one after the other, as `tfedge schema`, the template and the docs tell
them, and the same as JSON Schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from tfedge.config import words
from tfedge.config.section import Section
from tfedge.config.spelling import closest
from tfedge.errors import ConfigError

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Key:
    """One key. ``path`` is dotted, with ``[]`` behind a list whose items are sections."""

    path: str
    field: FieldInfo
    section: type[Section] | None  # what stands behind it, or is one of the things that may

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2].removesuffix("[]")

    @property
    def depth(self) -> int:
        return self.path.count(".")

    @property
    def required(self) -> bool:
        return self.field.is_required()

    @property
    def description(self) -> str:
        return self.field.description or ""

    @property
    def plain_section(self) -> bool:
        """Whether nothing but a section may stand there."""
        kinds = set(words.options(self.field.annotation)) - {type(None)}
        return kinds == {self.section}

    @property
    def expected(self) -> str:
        """What its value must be: ``"a whole number of at least 1"``."""
        return words.expected(self.field.annotation, self.field.metadata, brief=True)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that its type names."""
        kinds = words.options(self.field.annotation)
        named = [kind for kind in kinds if get_origin(kind) is Literal]
        return tuple(str(value) for kind in named for value in get_args(kind))

    @property
    def default(self) -> str:
        """As YAML has it; empty for a section and where there is none."""
        value = self.field.default
        return "" if self.required or isinstance(value, Section) else flow(value)


def flow(value: Any) -> str:
    """A value as YAML writes it in one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value) or '""'


def keys(root: type[Section], at: str = "") -> Iterator[Key]:
    """All keys of a schema, in its order but for ``first``; a section's own right behind it."""
    for name in sorted(root.model_fields, key=lambda name: name not in root.first):
        field = root.model_fields[name]
        section, items = words.section_in(field.annotation), _section_of_items(field.annotation)
        path = f"{at}{name}{'[]' if items else ''}"
        section = section or items
        yield Key(path, field, section)
        if section is not None:
            yield from keys(section, f"{path}.")


def _section_of_items(annotation: Any) -> type[Section] | None:
    """The section that the items of a list are, or may be."""
    lists = [kind for kind in words.options(annotation) if get_origin(kind) is tuple]
    found = (words.section_in(item) for kind in lists for item in get_args(kind))
    return next(filter(None, found), None)


def part(root: type[Section], path: str) -> list[Key]:
    """The key of that dotted path, and what is in it if it is a section. ConfigError."""
    asked = path.replace("[]", "")
    found = {key.path.replace("[]", ""): key for key in keys(root)}
    if asked in found:
        return [key for at, key in found.items() if f"{at}.".startswith(f"{asked}.")]
    near = _similar_paths(asked, list(found))
    hint = f", did you mean {' or '.join(near)}?" if near else " (tfedge schema lists all)"
    raise ConfigError([f"no key {path!r}{hint}"])


def _similar_paths(asked: str, found: list[str]) -> list[str]:
    """The paths that are like one that there is none of."""
    above, _, name = asked.rpartition(".")
    beside = [at.rpartition(".")[2] for at in found if at.rpartition(".")[0] == above]
    if guess := closest(name, beside):
        return [f"{above}.{guess}" if above else guess]
    names = {at.rpartition(".")[2] for at in found}  # in some section
    return [at for at in found if at.rpartition(".")[2] == closest(name, names)]


class _Plain(GenerateJsonSchema):
    """Without a title for each key, which would be its name once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(root: type[Section], title: str, path: str = "") -> dict[str, Any]:
    """JSON Schema of a file, or of what stands at a dotted path of it; editors check by it."""
    section, name = root, ""
    if path:
        above, _, name = part(root, path)[0].path.rpartition(".")
        section = part(root, above)[0].section or root if above else root
        name = name.removesuffix("[]")
    schema = section.model_json_schema(schema_generator=_Plain)
    inner: dict[str, Any] = schema.pop("$defs", {})
    for each in (schema, *inner.values()):
        each.pop("title", None)
        each.pop("description", None)  # of the class, for those who read the code
        for value in each.get("properties", {}).values():
            if "$ref" in value:  # a section with nothing behind it has its defaults
                value["anyOf"] = [{"$ref": value.pop("$ref")}, {"type": "null"}]
    content = schema["properties"][name] if name else schema
    needed = _referenced_names(content, inner)
    defined = {name: each for name, each in inner.items() if name in needed}
    return {"$schema": DIALECT, "title": title, **content} | ({"$defs": defined} if defined else {})


def json_schema_by(
    name: str, description: str, roots: Mapping[str, type[Section]], default: str, title: str
) -> dict[str, Any]:
    """JSON Schema of a file whose key ``name`` says which of the ``roots`` its other keys are of;
    ``default`` where it says nothing."""
    defined: dict[str, Any] = {}
    cases = []
    for value, root in roots.items():
        schema = json.loads(
            json.dumps(json_schema(root, title)).replace('"#/$defs/', f'"#/$defs/{value}.')
        )
        inner = schema.pop("$defs", {})
        for heading in ("$schema", "title"):
            del schema[heading]
        defined[value] = schema
        defined |= {f"{value}.{inside}": each for inside, each in inner.items()}
        condition = {"properties": {name: {"const": value}}}
        if value != default:
            condition["required"] = [name]  # type: ignore[assignment]
        cases.append({"if": condition, "then": {"$ref": f"#/$defs/{value}"}})
    said = {"enum": list(roots), "default": default, "description": description}
    head = {"$schema": DIALECT, "title": title, "type": "object", "properties": {name: said}}
    return {**head, "allOf": cases, "$defs": defined}


def _referenced_names(content: Any, inner: dict[str, Any]) -> set[str]:
    """The names in ``inner`` that ``content`` refers to, and what these refer to."""
    found: set[str] = set()
    left = [content]
    while left:
        new = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(left.pop()))) - found
        found |= new
        left += [inner[name] for name in new]
    return found
