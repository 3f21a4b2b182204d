"""Keys that have another name today: the old one goes on working, and a note tells the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.config.nodes import KeyPath, Tree
from tfedge.config.words import dotted

Names = Mapping[str, str]  # old dotted key → the one of today, neither of them inside a list


def current(path: KeyPath, names: Names) -> KeyPath:
    """A path as it is called today."""
    for old, new in names.items():
        at = tuple(old.split("."))
        if path[: len(at)] == at:
            return (*new.split("."), *path[len(at) :])
    return path


def rename(tree: Tree, names: Names) -> list[str]:
    """Move what stands under an old name to the one of today, with its places. Gives the notes.

    Both of them at once are a problem, which is left in the tree.
    """
    notes = []
    for old, new in names.items():
        at, to = tuple(old.split(".")), tuple(new.split("."))
        section = _inside(tree, at[:-1])
        if section is None or at[-1] not in section:
            continue
        value, place = section.pop(at[-1]), tree.keys[at]
        target = _inside(tree, to[:-1], make=True)
        if target is None:  # something else stands where a section belongs: the schema says so
            continue
        if to[-1] in target:
            tree.problems.append((place, f"{old}: is the old name of {new}, which is there, too"))
            continue
        target[to[-1]] = value
        for places in (tree.keys, tree.values):
            inside = {path: spot for path, spot in places.items() if path[: len(at)] == at}
            places.update({(*to, *path[len(at) :]): spot for path, spot in inside.items()})
            for path in inside:
                del places[path]
        tree.bad = {current(path, {old: new}) for path in tree.bad}
        for depth in range(1, len(to)):  # sections that were not there before
            for places in (tree.keys, tree.values):
                places.setdefault(to[:depth], place)
        notes.append(f"{place.text}: {old} is called {dotted(to)} today; the old name still works")
    return notes


def _inside(tree: Tree, path: KeyPath, make: bool = False) -> dict[Any, Any] | None:
    """The section at a path, made where it is left out or empty; None if there is none."""
    found: Any = tree.data
    for part in path:
        if not isinstance(found, dict):
            return None
        if make and found.get(part) is None:
            found[part] = {}
        found = found.get(part)
    return found if isinstance(found, dict) else None
