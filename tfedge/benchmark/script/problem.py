"""How the script ends when something is wrong: an exit code, what is wrong, and the way out."""

from __future__ import annotations

import contextlib
from typing import Iterator


class Problem(Exception):
    """Ends the script with ``code``, a line that says what is wrong, and perhaps a hint."""

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        lines = [f"error: {' '.join(self.message.split())}"]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return printable("\n".join(lines))


@contextlib.contextmanager
def ending(code: int, kinds: tuple, what: str = "", hint: str = "") -> Iterator[None]:
    """Turn exceptions of these kinds into a Problem; ``what`` stands before their message."""
    try:
        yield
    except kinds as error:
        told: BaseException = error
        if isinstance(error, SystemError) and error.__cause__:
            told = error.__cause__  # a C extension that failed; the cause says at what
        raise Problem(code, f"{what}{told}", hint) from error


def printable(text: str) -> str:
    """The text without what could control a terminal: anyone may have named a file."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
