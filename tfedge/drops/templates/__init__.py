"""Files that go into drops, as they are but for ``@name@`` and the like."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from tfedge.benchmark.call import SCRIPT_NAME, script_text
from tfedge.drops.script import NAME, example

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


def copied_digest(section: Any, cache: Path, hash_new: bool = True, progress: Any = None) -> str:
    """SHA-256 over all that drops take from here as it is, and the scripts in them: a drop that was
    made with other texts is another drop. The arguments are those of any stage's probe."""
    paths = [path for path in Path(str(files(__name__))).rglob("*.txt") if path.is_file()]
    texts = [(path.name, path.read_bytes()) for path in sorted(paths)]
    texts += [(SCRIPT_NAME, script_text().encode("utf-8")), (NAME, example())]
    digests = [f"{name} {sha256(data).hexdigest()}" for name, data in texts]
    return sha256("\n".join(digests).encode()).hexdigest()
