"""What is known of keys that a file had once: rows of the schema, which read no YAML."""

from __future__ import annotations

from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Dotted keys that one key stood for. It took the place of what they said themselves, so they
    were left out, or at their default of then, ``beside``, as a resolved file has them."""

    keys: tuple[str, ...]
    beside: Any
