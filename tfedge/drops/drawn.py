"""Copies of inputs with a model's answers drawn in, each a new file of a folder."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tfedge.errors import ConfigError
from tfedge.files.artifact import disk_errors
from tfedge.tasks.drop import Drawing, Reader

_LONGEST = 60  # characters of a name, each of at most 4 bytes of the 255 that disks take
_NAMELESS = "input"  # of standard input, or of what has nothing in its name that could stay


class Drawn:
    """Writes into ``folder``, which it makes. No file that is there is ever written to: a taken
    name gets a number."""

    def __init__(self, folder: Path, drawing: Drawing) -> None:
        self._folder, self._drawing = folder, drawing
        self._next: dict[str, int] = {}
        if folder.exists() and not folder.is_dir():
            raise ConfigError([f"--draw: {folder} is not a folder"])
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: bytes, output: np.ndarray) -> Path:
        """Draw the outputs for an input of that name and content; the new file. Unreadable for
        what can't be drawn on, ArtifactError when it can't be written."""
        made = self._drawing.drawn(content, output)
        stem = _stem(name)
        with disk_errors(self._folder):
            while True:
                path = self._folder / f"{self._free(stem)}{self._drawing.suffix}"
                try:
                    file = path.open("xb")
                except FileExistsError:
                    continue
                with file:
                    file.write(made)
                return path

    def _free(self, stem: str) -> str:
        """The stem, from the second time on with a number."""
        number = self._next[stem] = self._next.get(stem, 0) + 1
        return stem if number == 1 else f"{stem}-{number}"


def drawing_of(reader: Reader) -> Drawing:
    """How answers are drawn. ConfigError where they can't be."""
    drawing = reader.drawing()
    if drawing is None:
        what = "--draw: this model's answers have no place on its inputs: nothing could be drawn"
        raise ConfigError([what], "leave --draw out")
    return drawing


def _stem(name: str) -> str:
    """A file's name without its suffix, of characters that any disk and terminal takes."""
    return re.sub(r"[^\w ()+.-]", "_", Path(name).stem)[:_LONGEST].strip(" .-") or _NAMELESS
