"""Where the cache is."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "TFEDGE_CACHE"


def cache_folder(given: Path | str | None = None) -> Path:
    """The folder given, else ``$TFEDGE_CACHE``, else ``tfedge`` where the user's caches are."""
    named = given or os.environ.get(VARIABLE)
    if named:
        return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111 (no raising)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tfedge"
