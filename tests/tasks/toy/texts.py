"""What the toy's drops take as it is."""

from __future__ import annotations

README = b"Shows a number.\n"


def texts() -> dict[str, bytes]:
    return {"README.md": README}
