"""What is known of keys that a file had once: rows of the schema, which read no YAML."""

from __future__ import annotations

from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Dotted keys that one key stood for. It took the place of what they said themselves, so they
    were left out, or at their default of then, ``beside``, as a resolved file has them."""

    keys: tuple[str, ...]
    beside: Any


class Removed(NamedTuple):
    """A key that can't be chosen any more, or some of whose values can't.

    ``since`` is a date, ``why`` a clause, ``instead`` what to do. With ``values`` these are gone
    and the key still takes others; else the key is gone, and all is as it was at ``fixed`` (a
    section as a dict).
    """

    since: str
    why: str
    instead: str
    fixed: Any = None
    values: tuple[Any, ...] = ()
