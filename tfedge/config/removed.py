"""Keys and values that were removed: what still means the same is accepted with a note, anything
else is refused with the reason and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tfedge.config.former import Removed
from tfedge.config.keys import flow
from tfedge.config.nodes import KeyPath, Tree
from tfedge.config.validate import remove
from tfedge.config.words import dotted, got


def drop(tree: Tree, rows: Mapping[str, Removed]) -> list[str]:
    """Take removed keys out of the tree, and values that can't be chosen any more; these are left
    as problems in the tree. Gives the notes. ``rows`` are by dotted key, none inside a list."""
    notes = []
    for key, row in rows.items():
        at: KeyPath = tuple(key.split("."))
        given = _at(tree.data, at)
        if not given or at in tree.bad:
            continue
        (value,) = given
        if not row.values and same(value, row.fixed):
            remove(tree.data, at)
            notes.append(f"{tree.keys[at].text}: {gone(key, row)}")
            continue
        wrong = [*_removed(at, value, row)]
        tree.problems += [(tree.values[path], text) for path, text in wrong]
        if wrong:
            remove(tree.data, at)
            tree.bad.add(at)
    return notes


def gone(key: str, row: Removed) -> str:
    """What is said of a key that is gone, whatever it holds."""
    return f"{key}: was removed on {row.since}, it is always {flow(row.fixed)}: {row.instead}"


def same(value: Any, fixed: Any) -> bool:
    """Whether a value means what is fixed today. A section may say less: the rest was its
    defaults."""
    if isinstance(fixed, dict):
        inside = {} if value is None else value
        return isinstance(inside, dict) and all(
            key in fixed and same(item, fixed[key]) for key, item in inside.items()
        )
    return bool(value == fixed) and isinstance(value, bool) == isinstance(fixed, bool)


def _removed(at: KeyPath, value: Any, row: Removed) -> Iterator[tuple[KeyPath, str]]:
    """What of a value is refused, and where."""
    why = f"was removed on {row.since} ({row.why})"
    if not row.values:
        fixed = f"it is always {flow(row.fixed)}, got {got(value)}"
        yield at, f"{dotted(at)}: {why}, {fixed}: {row.instead}"
        return
    items: list[tuple[KeyPath, Any]] = [(at, value)]
    if isinstance(value, list):
        items += [((*at, index), item) for index, item in enumerate(value)]
    for path, item in items:
        if any(same(item, one) for one in row.values):
            yield path, f"{dotted(path)}: {flow(item)} {why}: {row.instead}"


def _at(data: Any, path: KeyPath) -> tuple[Any, ...]:
    """The value at a path, alone in a tuple; an empty one where nothing stands."""
    for part in path:
        if not isinstance(data, dict) or part not in data:
            return ()
        data = data[part]
    return (data,)
