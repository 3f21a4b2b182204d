"""Files that go into drops of any task, and the digest of all that drops take as it is."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tfedge.benchmark.device_script import SCRIPT_NAME, script_ingredients
from tfedge.files.imports import imported
from tfedge.files.template import fill, texts
from tfedge.tasks.table import names, task_of

FOLDER = Path(__file__).parent


def template(file: str, /, **values: str) -> bytes:
    """The file of that name (``.txt`` left out) with every ``@key@`` filled in.

    KeyError for a mark without a value.
    """
    return fill(FOLDER, file, **values)


def copied_digest() -> str:
    """SHA-256 over all that drops take as it is, from here and from the tasks, and the scripts in
    them: a drop that was made with other texts is another drop.

    A probe is not told the task, so that the texts of all tasks are in it.
    """
    found = {**texts(FOLDER), SCRIPT_NAME: script_ingredients().encode("utf-8")}
    for name in names():
        copied = imported(task_of(name).texts)()
        found |= {f"{name}/{file}": data for file, data in copied.items()}
    digests = [f"{file} {sha256(data).hexdigest()}" for file, data in sorted(found.items())]
    return sha256("\n".join(digests).encode()).hexdigest()
