#!/usr/bin/env python3
"""Name what is on a photo, with the model in this folder.

    python classify.py photo.jpg [more.jpg ...] [--top 3] [--threads 1]
    python classify.py --watch FOLDER   a line of JSON for every image that is put there
    python classify.py --check          replay the golden pairs of this folder

Needs numpy, Pillow and one interpreter: ai-edge-litert, tflite-runtime or tensorflow.
Runs on Python 3.7 and newer.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from tfedge.portable.golden import difference
from tfedge.portable.images import BadImage, decode, read
from tfedge.portable.levels import in_eight_bits, is_deep

HERE = Path(__file__).resolve().parent
DELEGATE = ""  # edgetpu, or nothing: the CPU
EDGETPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
INTERPRETERS = {  # by the name of what is installed: where its Interpreter is
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}


class Failed(Exception):
    """What the user reads instead of a traceback."""


def drop_file(name: str) -> bytes:
    """The bytes of a file of this folder."""
    try:
        return (HERE / name).read_bytes()
    except OSError as error:
        raise Failed(f"{HERE / name}: {error.strerror}") from error


def interpreter_module() -> tuple[Any, str]:
    """The first interpreter that is installed, and its name."""
    for name, module in INTERPRETERS.items():
        try:
            return importlib.import_module(module), name
        except ImportError:
            continue
    raise Failed("no interpreter: pip install -r requirements.txt")


def edgetpu(module: Any) -> Any:
    """The Edge TPU's delegate, of libedgetpu, which Coral's packages install."""
    library = EDGETPU.get(platform.system(), EDGETPU["Linux"])
    try:
        ctypes.CDLL(library)  # load_delegate leaves a traceback behind where there is none
        return module.load_delegate(library)
    except OSError as error:
        raise Failed(f"{library} can't be loaded ({error}): install libedgetpu1-std") from error
    except ValueError as error:
        raise Failed("no Edge TPU found: plug it in, or use --cpu") from error


def compiled(facts: dict) -> str:
    """The file for the Edge TPU. It is listed in the manifest, or was compiled after the drop."""
    name = str(facts["file"])
    if not (HERE / name).exists():
        raise Failed(f"{name} is not there: run compile.sh first, or use --cpu")
    if b"edgetpu-custom-op" not in drop_file(name):
        raise Failed(f"{name} is not compiled for the Edge TPU: run compile.sh")
    return name


class Model:
    """The model of this folder, ready to run."""

    def __init__(self, manifest: dict, threads: int, delegate: bool) -> None:
        module, self.runtime = interpreter_module()
        name = compiled(manifest["coral"]) if delegate else manifest["model"]
        data = drop_file(name)
        entry = manifest["files"].get(name)
        if entry is not None and hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise Failed(f"{name} is not the file that MANIFEST.json names")
        delegates = [edgetpu(module)] if delegate else []
        self.interpreter = module.Interpreter(
            model_content=data, num_threads=threads, experimental_delegates=delegates
        )
        self.interpreter.allocate_tensors()
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]
        self.scale = manifest["output"]["scale"]
        self.zero_point = manifest["output"]["zero_point"]

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [size, size, 3] to the scores as the model gives them, [classes]."""
        self.interpreter.set_tensor(self.input, pixels[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)[0]

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Scores in [0, 1], float32 [classes]."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)


def pixels_of(given: dict, path: Path) -> np.ndarray:
    """An image as the model was trained on: uint8 [size, size, 3]. BadImage for what is none."""
    data = read(path)
    pixels = decode(data, given["shape"][1], given["fit"])  # or says what is wrong with it
    if given.get("levels") and is_deep(data):
        data = in_eight_bits(data, given["levels"])
        pixels = decode(data, given["shape"][1], given["fit"])
    return pixels


def answers(model: Model, manifest: dict, path: Path, top: int) -> list:
    """The ``top`` classes for an image: [(name, score)], the best first."""
    try:
        pixels = pixels_of(manifest["input"], path)
    except BadImage as error:
        raise Failed(f"{path}: {error.reason}") from error
    scores = model.real(model.run(pixels))
    return [(manifest["classes"][i], scores[i]) for i in np.argsort(-scores, kind="stable")[:top]]


def classify(model: Model, manifest: dict, paths: Sequence[Path], top: int) -> int:
    """Print the best classes for each image."""
    for path in paths:
        found = answers(model, manifest, path, top)
        print(path)
        for name, score in found:
            print(f"  {100 * score:5.1f} %  {name}")
    return 0


def watch(model: Model, manifest: dict, folder: Path, top: int) -> int:
    """Answer for every image in the folder, and for each that comes, until stopped."""
    if not folder.is_dir():
        raise Failed(f"{folder}: no such folder")
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
                found = answers(model, manifest, path, top)
                line["scores"] = {name: round(float(score), 4) for name, score in found}
            except Failed as error:
                line["error"] = str(error)
            print(json.dumps(line, ensure_ascii=False), flush=True)
        time.sleep(0.5)


def check(model: Model, manifest: dict) -> int:
    """Replay the golden pairs. 1 when an answer differs by more than machines may."""
    failed = 0
    same = 0
    largest = 0.0
    shape = manifest["input"]["shape"][1:]
    dtype = np.dtype(manifest["output"]["dtype"])
    for pair in manifest["golden"]:
        pixels = np.frombuffer(drop_file(pair["input"]), np.uint8).reshape(shape)
        expected = model.real(np.frombuffer(drop_file(pair["output"]), dtype))
        got = model.real(model.run(pixels))
        told = difference(expected, got)
        if told:
            failed += 1
            print(f"{pair['output']}: {told}")
        if expected.shape == got.shape:
            largest = max(largest, float(np.abs(got - expected).max()))
            same += int((got == expected).all())
    count = len(manifest["golden"])
    print(
        f"{count} golden pairs with {model.runtime} on {platform.machine()}: {same} identical, "
        f"largest difference {largest:.4f}, {failed} failed"
    )
    return 1 if failed or not count else 0


def main() -> int:
    """Run by the command line; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="*", type=Path, metavar="PHOTO")
    parser.add_argument("--top", type=int, default=3, help="how many classes to print")
    parser.add_argument("--threads", type=int, default=1, help="threads of the interpreter")
    parser.add_argument("--watch", type=Path, metavar="FOLDER", help="answer for what comes there")
    parser.add_argument("--check", action="store_true", help="replay the golden pairs")
    if DELEGATE:
        parser.add_argument("--cpu", action="store_true", help="without the Edge TPU, far slower")
    args = parser.parse_args()
    if not args.photos and not args.check and args.watch is None:
        parser.error("name a photo, --watch or --check")
    try:
        manifest = json.loads(drop_file("MANIFEST.json").decode("utf-8"))
        model = Model(manifest, args.threads, bool(DELEGATE) and not args.cpu)
        if args.check:
            return check(model, manifest)
        if args.watch is not None:
            return watch(model, manifest, args.watch, args.top)
        return classify(model, manifest, args.photos, args.top)
    except Failed as error:
        print(f"classify.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
