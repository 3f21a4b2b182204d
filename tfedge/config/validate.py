"""Plain data against a section of the schema: what is wrong, where, in plain words."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from tfedge.config import words
from tfedge.config.nodes import KeyPath, Spot, Tree
from tfedge.config.section import Section
from tfedge.config.spelling import did_you_mean

S = TypeVar("S", bound=Section)


class Wrong(NamedTuple):
    path: KeyPath
    text: str
    on_key: bool = False  # the key is wrong, not its value
    missing: bool = False


def prepared(data: Any, root: type[Section], path: KeyPath = ()) -> Any:
    """The data as the schema takes it: lists as tuples, and ``prune:`` with nothing behind it as
    the section with its defaults."""
    if data is None and words.section_at(path, root) is not None:
        return {}
    if isinstance(data, dict):
        return {key: prepared(value, root, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return tuple(prepared(value, root, (*path, i)) for i, value in enumerate(data))
    return data


def validate(data: Any, root: type[S]) -> tuple[S | None, list[Wrong]]:
    """The section, or what is wrong with it."""
    try:
        # strict: "0.5" is no number and true is not 1
        return root.model_validate(data, strict=True), []
    except ValidationError as error:
        problems: dict[KeyPath, Wrong] = {}
        for item in error.errors(include_url=False, include_context=False):
            at, value = _locate(data, item["loc"], item["type"])
            if at not in problems:  # a union gives one error for each of its options
                problems[at] = _described_error(at, item["type"], value, root)
        return None, _innermost(list(problems.values()))


def checked(
    tree: Tree, root: type[S], least: dict[str, Any]
) -> tuple[S | None, list[tuple[Spot, str]], set[KeyPath]]:
    """The tree as a section, its problems with their places, and the paths of what is wrong.

    What is wrong is left out of the section, for others may know of more problems; ``least`` stands
    in for keys that must be there. None: not even so.
    """
    data, bad = prepared(tree.data, root), set(tree.bad)
    section, errors = validate(data, root)
    found = [(spot(tree, e.path, e.on_key), e.text) for e in errors if e.path not in bad]
    if section is None:
        bad |= {error.path for error in errors}
        for error in errors:
            remove(data, error.path[:-1] if error.missing else error.path)
        section, _ = validate({**least, **data}, root)
    return section, [*tree.problems, *found], bad


def _innermost(problems: list[Wrong]) -> list[Wrong]:
    """Of a union that also takes text, the error inside the section says what is wrong; that the
    section is no text says nothing."""
    paths = [problem.path for problem in problems]
    return [
        problem
        for problem in problems
        if not any(len(path) > len(problem.path) and related(path, problem.path) for path in paths)
    ]


def _locate(data: Any, loc: KeyPath, kind: str) -> tuple[KeyPath, Any]:
    """The path in the data that an error is about: pydantic adds the options of a union to it."""
    at: KeyPath = ()
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        inside = part in data if isinstance(data, dict) else isinstance(data, tuple)
        if inside and isinstance(part, str) == isinstance(data, dict):
            data = data[part]
        elif kind == "missing" and last:
            pass
        elif isinstance(data, dict) and not last:
            continue  # the name of a union's option: the section's
        else:
            break
        at = (*at, part)
    return at, data


def _described_error(at: KeyPath, kind: str, value: Any, root: type[Section]) -> Wrong:
    """One of pydantic's errors in plain words; the schema knows what is expected, not pydantic."""
    name = words.dotted(at)
    section = words.section_at(at[:-1], root)
    if kind == "extra_forbidden":
        if section and str(at[-1]) in section.instead:
            return Wrong(at, f"{name}: no such key: {section.instead[str(at[-1])]}", on_key=True)
        allowed = words.keys_of(section) if section else []
        return Wrong(at, f"{name}: unknown key{did_you_mean(str(at[-1]), allowed)}", on_key=True)
    expected = words.expected_at(at, root)
    if kind == "missing":
        return Wrong(at, f"{name}: missing; must be {expected}", on_key=True, missing=True)
    quote = ""
    if expected == "text" and isinstance(value, (int, float)):
        quote = f" (for text, quote it: '{words.got(value)}')"
    if section and str(at[-1]) in section.single and isinstance(value, (tuple, dict, str)):
        quote = f": {section.single[str(at[-1])]}"
    if section:
        quote = section.refusal(str(at[-1]), value) or quote
    return Wrong(at, f"{name}: must be {expected}, got {words.got(value)}{quote}")


def spot(tree: Tree, path: KeyPath, on_key: bool = False) -> Spot:
    """Where a path stands, or the nearest section around it that does."""
    first, second = (tree.keys, tree.values) if on_key else (tree.values, tree.keys)
    if path in first:
        return first[path]
    while path:
        if path in second:
            return second[path]
        path = path[:-1]
        second = tree.values if path and isinstance(path[-1], int) else tree.keys  # items lack keys
    return tree.values[()]


def related(one: KeyPath, other: KeyPath) -> bool:
    """Whether one path is the other, or lies around it."""
    return all(a == b for a, b in zip(one, other, strict=False))


def parts(key: str) -> KeyPath:
    """``benchmark.threads[1]`` as a path."""
    found: list[str | int] = []
    for piece in key.split("."):
        name, _, index = piece.partition("[")
        found += [name, *([int(index[:-1])] if index else [])]
    return tuple(found)


def remove(data: Any, path: KeyPath) -> None:
    """Take out a wrong value, so that its default stands in; a wrong item takes its list along."""
    items = [index for index, part in enumerate(path) if isinstance(part, int)]
    path = path[: items[0]] if items else path
    for part in path[:-1]:
        data = data.get(part) if isinstance(data, dict) else None
    if isinstance(data, dict) and path:
        data.pop(path[-1], None)
