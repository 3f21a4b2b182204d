"""What is missing in this installation, and the command that brings it.

Imports no library at module level: any of them may be what is missing.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from traceback import walk_tb

from tfedge.catalog.libraries import (
    DETECTION,
    INSTALL_DETECTION,
    INSTALL_LIGHT,
    INSTALL_TRAIN,
    LIGHT,
    MODULES,
    TRAIN,
)
from tfedge.errors import MissingDependency


@cache
def installed(distribution: str) -> str | None:
    """The version of an installed distribution, without importing it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def lacking(distributions: Iterable[str]) -> MissingDependency | None:
    """One error for all of these that are not installed, or not in a version that is supported."""
    names = sorted(set(distributions))
    absent = [name for name in names if installed(name) is None]
    others = {name: found for name in names if (found := installed(name)) is not None}
    unsupported = [name for name, found in others.items() if not supported(name, found)]
    if not absent and not unsupported:
        return None
    said = [f"{name} is {others[name]}, not {wanted(name)}" for name in unsupported]
    if absent:
        said.insert(0, f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed")
    trains = any(name in TRAIN for name in (*absent, *unsupported))
    what = f"this installation can't {'train' if trains else 'run this'} yet: {'; '.join(said)}"
    return MissingDependency(what, _command((*absent, *unsupported)))


def explained(error: BaseException) -> MissingDependency | None:
    """What to tell of an import that failed; None when no library is at fault."""
    library = _failed_library(error) if isinstance(error, ImportError) else None
    if library is None:
        return None
    found = installed(library)
    if found is None:
        return MissingDependency(f"{library} is not installed", _command([library]))
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    what = f"{library} {found} is installed, but can't be imported: {reason}"
    if isinstance(error, ModuleNotFoundError) and _root(error.name) not in MODULES:
        return MissingDependency(what, _command([library]))  # it lacks a library of its own
    again = f"pip install --force-reinstall --no-deps {shlex.quote(library + wanted(library))}"
    return MissingDependency(what, again)


def _command(distributions: Collection[str]) -> str:
    if all(name in LIGHT for name in distributions):
        return INSTALL_LIGHT
    if not any(name in DETECTION for name in distributions):
        return INSTALL_TRAIN
    if not any(name in TRAIN for name in distributions):
        return INSTALL_DETECTION
    return f"{INSTALL_TRAIN}; {INSTALL_DETECTION}"


def wanted(distribution: str) -> str:
    """The versions of a library that are supported, as a specifier; empty: any."""
    return {**LIGHT, **TRAIN, **DETECTION}.get(distribution, "")


def supported(distribution: str, found: str) -> bool:
    """Whether that version of one of tfedge's libraries is one that it was tried with."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted(distribution)).contains(found, prereleases=True)


def _failed_library(error: ImportError) -> str | None:
    """The library that could not be imported, or whose own import failed."""
    running = [_root(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    behind_us = takewhile(lambda name: name != "tfedge", reversed(running))
    return next(
        (MODULES[name] for name in (_root(error.name), *behind_us) if name in MODULES), None
    )


def _root(name: str | None) -> str:
    return (name or "").partition(".")[0]
