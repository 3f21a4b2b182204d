"""Files that go into drops, as they are but for ``@name@`` and the like."""

from __future__ import annotations

import re
from importlib.resources import files

_MARK = re.compile(r"@([a-z_]+)@")


def template(file: str, /, **values: str) -> bytes:
    """The file of that name (``.txt`` left out) with every ``@key@`` filled in.

    KeyError for a mark without a value. The suffix keeps the templates from being taken for code
    of this project.
    """
    text = files(__name__).joinpath(f"{file}.txt").read_text(encoding="utf-8")
    return (
        _MARK.sub(lambda mark: values[mark[1]], text).encode("utf-8") if values else text.encode()
    )
