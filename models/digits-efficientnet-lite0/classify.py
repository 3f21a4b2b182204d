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
import struct
import sys
import threading
import time
import warnings
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any, Sequence

import numpy as np

# ---- tfedge/portable/golden.py ----
# Golden pairs: when a machine that replays them answers as the one that made them.

# Runtimes and processors round differently: up to 36 steps of 1/256 were measured between them.
TOLERANCE = 40 / 256


def difference(expected: Any, got: Any) -> str:
    """How scores [classes] differ from the expected ones by more than machines may; "" if not.

    Each score is at most ``TOLERANCE`` off, and the answer is the same one, unless the two best
    expected scores are closer to each other than that: these may change places.
    """
    expected = np.asarray(expected, np.float64).ravel()
    got = np.asarray(got, np.float64).ravel()
    if expected.shape != got.shape:
        return f"{expected.size} scores to compare {got.size} with"
    if not np.isfinite(got).all():
        return "scores are no numbers"
    off = float(np.abs(got - expected).max())
    if off > TOLERANCE:
        return f"scores differ by {off:.3f}"
    order = np.argsort(-expected, kind="stable")
    margin = expected[order[0]] - expected[order[1]] if len(order) > 1 else np.inf
    if got.argmax() != order[0] and margin > TOLERANCE:
        return f"another answer: class {got.argmax()}, not {order[0]}"
    return ""


# ---- tfedge/portable/images.py ----
# An image file to square RGB pixels. Everything that trains or runs a model sees these.
#
# What happens, in this order:
#
# 1. JPEG, PNG, BMP, WebP or GIF (first frame), told by the first bytes, never by the name;
# 2. more than 100 megapixels are refused from the header, before a pixel is decoded;
# 3. a JPEG whose shorter side is 4 × ``size`` or more is decoded at 1/2, 1/4 or 1/8, never below
#    2 × ``size``: ``image.draft(None, (2 * size, 2 * size))``, which leaves all others alone;
# 4. the EXIF orientation is obeyed;
# 5. grey, palette, CMYK (Adobe's inverted kind, as Pillow reads it) become RGB, 16 bits become
#    their upper 8, transparency is laid on **white**; ICC profiles are not applied;
# 6. ``crop``: the largest centred square, resized; ``stretch``: resized, the aspect lost; ``pad``:
#    resized to fit, centred on black. Resizing is Pillow's BILINEAR, which averages when it
#    shrinks.
#
# Pillow is imported when an image is decoded: the device script also runs where there is none, and
# what it measures of memory must not hold a library that it did not need.

VERSION = 1  # rises when an image would give other pixels: stored pixels go by it

PIXEL_LIMIT = 100_000_000
BYTE_LIMIT = 512 * 2**20  # of the file
_TOO_BIG = f"more than {PIXEL_LIMIT // 1_000_000} megapixels, refused before decoding"
_BIG = 24_000_000  # pixels; above it one at a time, so that many cores don't fill the RAM

_TRANSPOSE = {  # by EXIF orientation
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_PLAIN = {"RGB", "L", "1", "P", "CMYK", "YCbCr", "LA", "PA", "RGBA", "RGBX"}
# What Pillow raises on damaged files, as its own `Image.open` and `verify` expect it.
_DAMAGE = (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, TypeError)
# It warns of junk in EXIF blocks, of which only the orientation matters here.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
_one_big = threading.Lock()


class BadImage(ValueError):
    """A file that is no image we can read. ``reason`` says why, without the file's name."""

    def __init__(self, reason: str, name: str = "") -> None:
        super().__init__(f"{name}: {reason}" if name else reason)
        self.reason = reason


def decode(source: Path | bytes, size: int, fit: str) -> np.ndarray:
    """The image as uint8 [size, size, 3] RGB; ``fit``: crop, stretch or pad.

    Raises BadImage for whatever is no good image.
    """
    from PIL import Image

    name = "" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read(source)
        image = _open(data, size)
        big = image.width * image.height > _BIG
        with _one_big if big else nullcontext():
            return np.array(_square(_rgb(_upright(image)), size, fit))
    except BadImage as error:
        raise BadImage(error.reason, name) from error
    except Image.DecompressionBombError as error:  # a frame bigger than the header said
        raise BadImage(_TOO_BIG, name) from error
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}", name) from error


def read(path: Path) -> bytes:
    """The file's bytes. Raises BadImage when it is too big for an image, or can't be read."""
    try:
        if path.stat().st_size > BYTE_LIMIT:
            raise BadImage(f"bigger than {BYTE_LIMIT // 2**20} MB")
        return path.read_bytes()
    except OSError as error:
        raise BadImage(f"can't be read: {error.strerror}") from error


def _open(data: bytes, size: int) -> Any:
    """The header only. The plugins are called directly: no other format is ever tried."""
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    file = BytesIO(data)
    image: Any
    if not data:
        raise BadImage("empty file")
    if data.startswith(b"\xff\xd8\xff"):
        image = JpegImageFile(file)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        image = PngImageFile(file)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        image = GifImageFile(file)
    elif data.startswith(b"BM"):
        image = BmpImageFile(file)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        image = WebPImageFile(file)
    else:
        raise BadImage("not an image (JPEG, PNG, BMP, WebP and GIF are read)")
    width, height = image.size
    if width * height > PIXEL_LIMIT:
        raise BadImage(f"{width}×{height} pixels: {_TOO_BIG}")
    image.draft(None, (2 * size, 2 * size))  # JPEG: the smallest scale that leaves that much
    return image


def _upright(image: Any) -> Any:
    name = _TRANSPOSE.get(image.getexif().get(0x0112, 1))
    return image if name is None else image.transpose(_constant("Transpose", name))


def _constant(kind: str, name: str) -> Any:
    """``Image.Transpose.ROTATE_90``; before Pillow 9.1 the constants stand in the module itself."""
    from PIL import Image

    module: Any = Image
    return getattr(getattr(module, kind, module), name)


def _rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode == "I" or image.mode.startswith("I;16"):  # 16-bit grey PNG
        levels = np.asarray(image).clip(0, 65535)
        return Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode not in _PLAIN:
        raise BadImage(f"pixels of kind {image.mode} can't be turned into RGB")
    if _is_transparent(image):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _is_transparent(image: Any) -> bool:
    """Pillow's ``has_transparency_data``, which came with 10.1."""
    palette = getattr(image.palette, "mode", "") if image.mode == "P" else ""
    return (
        image.mode in ("LA", "PA", "RGBA") or palette.endswith("A") or "transparency" in image.info
    )


def _square(image: Any, size: int, fit: str) -> Any:
    from PIL import Image

    bilinear = _constant("Resampling", "BILINEAR")
    width, height = image.size
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    elif fit == "pad":
        scale = size / max(width, height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        canvas = Image.new("RGB", (size, size), "black")
        left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
        canvas.paste(image.resize(inner, bilinear), (left, top))
        return canvas
    return image.resize((size, size), bilinear)


# ---- tfedge/tasks/image_classification/script/classify.py ----

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


def answers(model: Model, manifest: dict, path: Path, top: int) -> list:
    """The ``top`` classes for an image: [(name, score)], the best first."""
    try:
        pixels = decode(path, manifest["input"]["shape"][1], manifest["input"]["fit"])
    except BadImage as error:
        raise Failed(str(error)) from error
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
