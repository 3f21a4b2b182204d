#!/usr/bin/env python3
"""Name what is on a photo, with the model in this folder.

    python classify.py photo.jpg [FOLDER ...] [--top 3] [--threads 1]
    python classify.py --watch FOLDER   a line of JSON for every image that is put there
    python classify.py --check          replay the golden pairs of this folder

Needs numpy, Pillow and one interpreter: ai-edge-litert, tflite-runtime or tensorflow.
Runs on Python 3.7 and newer. Ends with 0 when all went well, with 1 when a golden pair differs,
with 2 when something can't be used: the drop, the interpreter, or at least one of the photos.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import numpy as np

from tfedge.portable.dropped import (
    DELEGATE,
    INSTALL,
    Drop,
    Failed,
    Model,
    best,
    check,
    complain,
    ended,
    options,
    ranking,
    shown,
)
from tfedge.portable.images import BadImage, decode, read


class ImageDrop(Drop):
    """One whose model takes images."""

    what = "images"

    def read(self, facts: dict) -> None:
        self.fit = str(facts["input"]["fit"])
        self.levels = [int(level) for level in facts["input"].get("levels") or ()]

    def fits(self) -> bool:
        return len(self.shape) == 4


def pixels_of(drop: Any, path: Path) -> np.ndarray:
    """An image as the model was trained on: uint8 [size, size, 3]. BadImage for what is none."""
    return decode(read(path), drop.shape[1], drop.fit, drop.levels)


def answers(model: Model, path: Path, top: int) -> list:
    """The ``top`` classes for an image: [(name, score)], the best first."""
    if not path.is_file():
        raise Failed(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        pixels = pixels_of(model.drop, path)
    except BadImage as error:
        raise Failed(f"{path}: {error.reason}") from error
    except ImportError as error:
        raise Failed(f"Pillow can't be imported ({error}): {INSTALL}") from error
    return best(model, pixels, top)


def photos(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as they are named; of a folder all that lie below it, hidden ones left out."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
        seen = [file for file in found if not is_hidden(file.relative_to(path))]
        if not seen:
            raise Failed(f"{path}: no files in it")
        yield from seen


def is_hidden(path: Path) -> bool:
    """Whether the file or a folder that it is in begins with a dot."""
    return any(part.startswith(".") for part in path.parts)


def classify(model: Model, paths: Sequence[Path], top: int) -> int:
    """Print the best classes for each image, and go on past those that can't be read: 2 then."""
    code = 0
    for path in photos(paths):
        try:
            found = answers(model, path, top)
        except Failed as error:
            complain(error)
            code = 2
            continue
        print(shown(str(path)))
        for name, score in found:
            print(f"  {100 * score:5.1f} %  {shown(name)}")
    return code


def watch(model: Model, folder: Path, top: int) -> int:
    """Answer for every image in the folder, and for each that comes, until stopped."""
    if not folder.is_dir():
        raise Failed(f"{folder}: no such folder")
    only_ascii = "utf" not in (sys.stdout.encoding or "").lower()
    seen: set = set()
    last: dict = {}
    while True:
        for path in sorted(folder.iterdir()):
            try:
                facts = path.stat()
            except OSError:
                continue  # it has gone again
            state = (path.name, facts.st_mtime_ns, facts.st_size)
            if path.name.startswith(".") or not path.is_file() or state in seen:
                continue
            if last.get(path.name) != state:
                last[path.name] = state  # perhaps it is still being written: look again
                continue
            seen.add(state)
            line: dict = {"file": path.name}
            try:
                found = answers(model, path, top)
                line["scores"] = {name: round(float(score), 4) for name, score in found}
            except Failed as error:
                line["error"] = str(error)
            print(json.dumps(line, ensure_ascii=only_ascii), flush=True)
        time.sleep(0.5)


def arguments() -> argparse.Namespace:
    """The command line. Wrong usage ends the program with 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO", help="an image, or a folder of images")
    add("--watch", type=Path, metavar="FOLDER", help="answer for what comes there")
    ranking(parser)
    options(parser)
    args = parser.parse_args()
    if not args.photos and not args.check and args.watch is None:
        parser.error("name a photo, a folder, --watch or --check")
    return args


def run(args: argparse.Namespace) -> int:
    """What the command line asks for; the exit code."""
    model = Model(ImageDrop(), args.threads, bool(DELEGATE) and not args.cpu)
    if args.check:
        return check(model)
    if args.watch is not None:
        return watch(model, args.watch, args.top)
    return classify(model, args.photos, args.top)


def main() -> int:
    """Run by the command line; the exit code."""
    return ended(arguments, run)


if __name__ == "__main__":
    sys.exit(main())
