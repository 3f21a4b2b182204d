"""Keys that have another name today, or stand in several sections: the old one goes on working, and
a note tells the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfedge.config.former import Spread
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


def spread(tree: Tree, names: Mapping[str, Spread]) -> list[str]:
    """Move what stands under an old name to each key of today whose section is there. Gives the
    notes. To be asked once all overrides are in the tree: of an old name and one of today the one
    that was given later wins.

    Both of them in one file are a problem, unless the one of today is at its default of then.
    """
    notes = []
    for old, (keys, beside) in names.items():
        at = tuple(old.split("."))
        section = _inside(tree, at[:-1])
        if section is None or at[-1] not in section:
            continue
        for key in keys:
            to = tuple(key.split("."))
            target = _inside(tree, to[:-1], make=True) if _stands(tree, to[:-1]) else None
            if target is not None:  # else it has nothing to say, or the schema says what is wrong
                _say(tree, target, at, section[at[-1]], to, beside)
        del section[at[-1]], tree.values[at]
        moved = f"{old} is said by each section today: {', '.join(keys)}"
        notes.append(f"{tree.keys.pop(at).text}: {moved}; the old key still works")
    return notes


def _say(
    tree: Tree, target: dict[Any, Any], at: KeyPath, value: Any, to: KeyPath, beside: Any
) -> None:
    """Give the key ``to``, which stands in ``target``, the value of ``at``."""
    if to[-1] in target:
        later = tree.keys[to].source - tree.keys[at].source
        if later > 0:
            return
        if later == 0 and target[to[-1]] not in (beside, value):
            old = dotted(at)
            text = f"{old}: stands for {dotted(to)}, which is there, too: leave {old} out"
            tree.problems.append((tree.keys[at], text))
            return
    target[to[-1]] = value
    tree.keys[to], tree.values[to] = tree.keys[at], tree.values[at]
    if at in tree.bad:
        tree.bad.add(to)


def _stands(tree: Tree, path: KeyPath) -> bool:
    """Whether something stands at a path, be it an empty section."""
    above = _inside(tree, path[:-1])
    return above is not None and path[-1] in above


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
