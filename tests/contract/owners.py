"""Whose the modules are that can be imported here."""

from __future__ import annotations

import functools
from importlib.metadata import distributions

from packaging.utils import canonicalize_name


@functools.cache
def owners() -> dict[str, set[str]]:
    """Top-level modules, and the distributions whose files they are.

    As ``importlib.metadata.packages_distributions``, which before Python 3.11 knows only those that
    say it themselves, in a ``top_level.txt``.
    """
    found: dict[str, set[str]] = {}
    for distribution in distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        for file in distribution.files or ():
            root = file.parts[0] if len(file.parts) > 1 else file.name.partition(".")[0]
            if root.isidentifier() and (len(file.parts) > 1 or file.suffix in (".py", ".so")):
                found.setdefault(root, set()).add(name)
    return found
