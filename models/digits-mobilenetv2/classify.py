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
import ctypes
import hashlib
import importlib
import json
import os
import platform
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import warnings
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Iterator, Sequence

try:
    import numpy as np
except ImportError:
    np = None


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


# ---- tfedge/portable/levels.py ----
# PNG images of 16 bits a channel: their levels, and which of them become black and white.
#
# The decoder takes the upper 8 bits. A camera of 10, 12 or 14 bits in 16 leaves next to nothing up
# there, and neither does a thermal one whose image is a few hundred levels in the middle; then
# ``levels``, (black, white), says what is spread over 0 to 255.

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Pillow's mode of each colour type, and how it reads the lower byte of each of its channels.
_MODES = {2: ("RGB", "RGB;16L"), 6: ("RGBA", "RGBA;16L")}
_GREY, _GREY_ALPHA = 0, 4


def is_deep(data: bytes) -> bool:
    """Whether a file is a PNG of 16 bits a channel."""
    return data.startswith(_SIGNATURE) and len(data) > 33 and data[24] == 16


def deep_levels(data: bytes) -> Any:
    """The levels of such a file: uint16 [height, width, channels], transparency the last of 2 or 4.

    Pillow's errors for damaged files.
    """
    kind = data[25]
    if kind == _GREY:
        return np.asarray(_opened(data)).astype(np.uint16)[:, :, None]
    if kind == _GREY_ALPHA:  # its four bytes a pixel are read as four channels of 8 bits
        bytes_of = np.asarray(_opened(data, "RGBA", "RGBA")).astype(np.uint16)
        return bytes_of[:, :, ::2] << 8 | bytes_of[:, :, 1::2]
    mode, lower = _MODES[kind]
    upper = np.asarray(_opened(data)).astype(np.uint16)
    return upper << 8 | np.asarray(_opened(data, mode, lower)).astype(np.uint16)


def in_eight_bits(data: bytes, levels: Sequence[int] | None) -> bytes:
    """Such a file as a PNG of 8 bits: black and everything below to 0, white and above to 255.

    None: the upper 8 bits. The EXIF block stays.
    """
    from PIL import Image

    deep = deep_levels(data)
    alpha = deep.shape[2] in (2, 4)
    spread = spread_levels(deep, levels)
    if alpha:  # transparency has the whole range
        spread[:, :, -1] = deep[:, :, -1] >> 8
    file = BytesIO()
    image = Image.fromarray(spread[:, :, 0] if spread.shape[2] == 1 else spread)
    image.save(file, "PNG", compress_level=0, exif=_opened(data).getexif())
    return file.getvalue()


def spread_levels(deep: Any, levels: Sequence[int] | None) -> Any:
    """uint16 to uint8, as ``in_eight_bits``."""
    if levels is None:
        return (deep >> 8).astype(np.uint8)
    black, white = levels
    scaled = (deep.astype(np.int64) - black) * 255 + (white - black) // 2
    return np.clip(scaled // (white - black), 0, 255).astype(np.uint8)


def _opened(data: bytes, mode: str = "", raw: str = "") -> Any:
    """The image; with ``raw`` its bytes are read another way than Pillow would."""
    from PIL.PngImagePlugin import PngImageFile

    image: Any = PngImageFile(BytesIO(data))
    if raw:
        codec, box, offset, _ = image.tile[0]
        image.tile = [(codec, box, offset, raw)]
        if hasattr(image, "_mode"):
            image._mode = mode
        else:  # before Pillow 10.1
            image.mode = mode
    return image


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
#    their upper 8, or what ``levels`` makes of them; transparency is laid on **white**; ICC
#    profiles are not applied;
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


def decode(
    source: Path | bytes, size: int, fit: str, levels: Sequence[int] | None = None
) -> np.ndarray:
    """The image as uint8 [size, size, 3] RGB; ``fit``: crop, stretch or pad; ``levels``: of 16 bits
    a channel those that become black and white.

    Raises BadImage for whatever is no good image.
    """
    from PIL import Image

    name = "" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else read(source)
        image = _open(data, size)
        big = image.width * image.height > _BIG
        with _one_big if big else nullcontext():
            if levels and is_deep(data):
                image = _open(in_eight_bits(data, levels), size)
            return np.array(_square(_rgb(_upright(image)), size, fit))
    except BadImage as error:
        raise BadImage(error.reason, name) from error
    except Image.DecompressionBombError as error:  # a frame bigger than the header said
        raise BadImage(_TOO_BIG, name) from error
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}", name) from error


def upright(data: bytes) -> Any:
    """The whole image of a file's bytes as Pillow has it, RGB, as it is seen. BadImage."""
    try:
        return _rgb(_upright(_open(data, PIXEL_LIMIT)))
    except BadImage:
        raise
    except _DAMAGE as error:
        raise BadImage(f"damaged: {str(error) or type(error).__name__}") from error


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


# ---- tfedge/portable/dropped.py ----
# The drop that a script lies in: what its manifest says, its model, its golden pairs.
#
# Part of the scripts in drops of classifiers, of which each adds what its examples are.

HERE = Path(__file__).resolve().parent
DELEGATE = ""  # edgetpu, or nothing: the CPU
EDGETPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
INTERPRETERS = {  # by the name of what is installed: where its Interpreter is
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}
INSTALL = "python3 -m pip install -r requirements.txt"
MANIFEST = "MANIFEST.json"
MOST_MANIFEST = 32 * 2**20  # bytes
MOST_PAIRS = 1000
MOST_THREADS = max(64, os.cpu_count() or 1)
CHECK_SECONDS = 900  # for all golden pairs, on the slowest board


class Failed(Exception):
    """What the user reads instead of a traceback."""


class Output:
    """An output of the model: ``name`` where there are several, ``shape`` with the batch of one."""

    def __init__(self, facts: dict) -> None:
        self.name = str(facts.get("name", ""))
        self.shape = [int(side) for side in facts["shape"]]
        self.scale = None if facts["scale"] is None else float(facts["scale"])
        self.zero_point = int(facts["zero_point"])

    def real(self, stored: np.ndarray) -> np.ndarray:
        """Stored values as float32."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class Drop:
    """What MANIFEST.json says of this folder, as far as every script needs it."""

    def __init__(self) -> None:
        path = HERE / MANIFEST
        try:
            facts = json.loads(content(path, MOST_MANIFEST).decode("utf-8"))
            self.files = dict(facts["files"])
            self.model = str(facts["model"])
            self.shape = [int(side) for side in facts["input"]["shape"]]
            self.gives = [int(side) for side in facts["output"]["shape"]]
            self.dtype = np.dtype(facts["output"]["dtype"])
            # Of several outputs, which stand side by side in the order of their names, each.
            self.outputs = [Output(part) for part in facts["output"].get("parts") or ()]
            self.outputs = self.outputs or [Output(facts["output"])]
            self.classes = [str(name) for name in facts["classes"]]
            self.pairs = [(str(pair["input"]), str(pair["output"])) for pair in facts["golden"]]
            self.compiled = str(facts["coral"]["file"]) if DELEGATE else ""
            self.read(facts)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            what = f"{type(error).__name__}: {str(error)[:200]}"
            raise Failed(f"{path} does not say what a drop says ({what})") from error
        if not self.fits() or not self.classes:
            raise Failed(f"{path} does not say what a drop says ({self.what} in, classes out)")
        if len(self.pairs) > MOST_PAIRS:
            raise Failed(f"{path}: {len(self.pairs)} golden pairs, more than {MOST_PAIRS}")

    what = ""  # goes in
    takes = "uint8"  # the model, of an input

    def differing(self, number: int, expected: np.ndarray, got: np.ndarray) -> str:
        """How real outputs of a golden pair, by its number, differ by the golden rule."""
        return difference(expected, got)

    def read(self, facts: dict) -> None:
        """What only this kind of drop says. LookupError, TypeError, ValueError."""

    def fits(self) -> bool:
        """Whether ``shape`` is that of an example, and of a batch of one."""
        raise NotImplementedError

    def ports(self) -> list:
        """The inputs of the model, described, in the order of their names."""
        return [described(self.shape, self.takes)]

    def taken(self) -> list:
        """The outputs of the model, likewise: a score for each class."""
        return [described([1, len(self.classes)], self.dtype)]

    def place(self, name: str) -> Path:
        """Where a file of this folder lies: a listed one, inside, and no link out of it."""
        path = PurePosixPath(name)
        if name not in self.files or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise Failed(f"{MANIFEST} names {shown(name)}, which is no file that it lists")
        place = HERE / name
        if HERE not in place.resolve().parents:
            raise Failed(f"{shown(name)} leads out of {HERE}")
        return place

    def file(self, name: str, size: int) -> bytes:
        """The bytes of a listed file, which must be so many."""
        place = self.place(name)
        data = content(place, size)
        if len(data) != size:
            raise Failed(f"{place}: {len(data)} bytes, not {size}")
        return data

    def model_file(self) -> bytes:
        """The model's bytes: of the digest that is listed."""
        place = self.place(self.model)
        data = content(place)
        entry = self.files[self.model]
        if not isinstance(entry, dict) or hashlib.sha256(data).hexdigest() != entry.get("sha256"):
            raise Failed(f"{self.model} is not the file that {MANIFEST} names")
        return data

    def compiled_file(self) -> bytes:
        """The model for the Edge TPU. It is listed, or was compiled after the drop was made."""
        name = self.compiled
        if "/" in name or "\\" in name or not (HERE / name).is_file():
            raise Failed(f"{shown(name)} is not there: run compile.sh first, or use --cpu")
        data = content(HERE / name)
        entry = self.files.get(name)
        if entry is not None and hashlib.sha256(data).hexdigest() != entry.get("sha256"):
            raise Failed(f"{name} is not the file that {MANIFEST} names")
        if b"edgetpu-custom-op" not in data:
            raise Failed(f"{name} is not compiled for the Edge TPU: run compile.sh")
        return data


def content(path: Path, most: int = 2**31) -> bytes:
    """The bytes of a regular file, up to ``most``; a pipe or a device would never end."""
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise Failed(f"{path}: not a file")
        if state.st_size > most:
            raise Failed(f"{path}: {state.st_size} bytes, more than {most}")
        return path.read_bytes()
    except OSError as error:
        raise Failed(f"{path}: {error.strerror}") from error


def shown(text: str) -> str:
    """The text without what could control a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def interpreter_module() -> tuple[Any, str]:
    """The first interpreter that is installed, and its name."""
    told = ""
    for name, module in INTERPRETERS.items():
        try:
            return importlib.import_module(module), name
        except (ImportError, AttributeError, SystemError) as error:
            missing = isinstance(error, ModuleNotFoundError) and str(error.name) in module
            told = told or ("" if missing else f" ({name}: {str(error)[:200]})")
    raise Failed(f"no interpreter{told}: {INSTALL}")


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


def described(shape: Sequence[int], dtype: Any) -> str:
    """An input or an output in words."""
    return f"{np.dtype(dtype)} {[int(side) for side in shape]}"


class Model:
    """The model of this folder, ready to run."""

    def __init__(self, drop: Drop, threads: int, delegate: bool) -> None:
        module, self.runtime = interpreter_module()
        data = drop.compiled_file() if delegate else drop.model_file()
        delegates = [edgetpu(module)] if delegate else []
        self.drop = drop
        try:
            self.interpreter = module.Interpreter(
                model_content=data, num_threads=threads, experimental_delegates=delegates
            )
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error
        # Of several the order is the converter's: they are told apart by name.
        inputs = sorted(self.interpreter.get_input_details(), key=lambda port: port.get("name", ""))
        outputs = sorted(
            self.interpreter.get_output_details(), key=lambda port: port.get("name", "")
        )
        found = [described(port["shape"], port["dtype"]) for port in (*inputs, *outputs)]
        told = [*drop.ports(), *drop.taken()]
        if found != told:
            raise Failed(f"the model has {', '.join(found)}, {MANIFEST} says {', '.join(told)}")
        self.inputs = [port["index"] for port in inputs]
        self.outputs = [port["index"] for port in outputs]

    def run(self, example: np.ndarray) -> np.ndarray:
        """An example, or of a model of several inputs its parts, to what the model gives, as it
        stores it: scores [classes], or several outputs side by side along their last axis."""
        parts = [example] if len(self.inputs) == 1 else list(example)
        try:
            for index, part in zip(self.inputs, parts):
                self.interpreter.set_tensor(index, part[None])
            self.interpreter.invoke()
            found = [self.interpreter.get_tensor(index)[0] for index in self.outputs]
            return found[0] if len(found) == 1 else np.concatenate(found, -1)
        except (ValueError, RuntimeError) as error:
            raise self._failed(error) from error

    def real(self, stored: np.ndarray) -> np.ndarray:
        """What stored outputs mean, float32, of the same shape."""
        outputs = self.drop.outputs
        if len(outputs) == 1:
            return outputs[0].real(stored)
        ends = np.cumsum([output.shape[-1] for output in outputs])
        parts = np.split(stored, ends[:-1], -1)
        return np.concatenate([one.real(part) for one, part in zip(outputs, parts)], -1)

    def _failed(self, error: Exception) -> Failed:
        return Failed(f"{self.runtime} can't run the model: {' '.join(str(error).split())}")


def same_input(number: int, example: Any) -> str:
    """Nothing to be said against the input of a golden pair."""
    return ""


def check(model: Model, differs: Callable[[int, Any], str] = same_input) -> int:
    """Replay the golden pairs. 1 when an answer differs by more than machines may.

    ``differs``: what is wrong with the input of a pair, by its number, before the model gets it.
    """
    failed = 0
    same = 0
    largest = 0.0
    drop = model.drop
    gives = drop.gives[1:]
    size = int(np.prod(gives)) * drop.dtype.itemsize
    for number, (given, taken) in enumerate(drop.pairs):
        shape = drop.shape[1:]
        data = drop.file(given, int(np.prod(shape)) * np.dtype(drop.takes).itemsize)
        example = np.frombuffer(data, drop.takes).reshape(shape)
        expected = model.real(np.frombuffer(drop.file(taken, size), drop.dtype).reshape(gives))
        got = model.real(model.run(example))
        told = differs(number, example) or drop.differing(number, expected, got)
        if told:
            failed += 1
            print(f"{shown(taken)}: {told}")
        largest = max(largest, float(np.abs(got - expected).max()))
        same += int((got == expected).all())
    count = len(drop.pairs)
    print(
        f"{count} golden pairs with {model.runtime} on {platform.machine()}: {same} identical, "
        f"largest difference {largest:.4f}, {failed} failed"
    )
    return 1 if failed or not count else 0


def check_apart(args: argparse.Namespace) -> int:
    """The same in a process of its own: an interpreter that crashes on a model takes its process
    with it."""
    words = [f"--threads={args.threads}", *(["--cpu"] if DELEGATE and args.cpu else [])]
    script = str(Path(__file__).resolve())
    command = [sys.executable, script, "--check", "--in-process", *words]
    try:
        code = subprocess.run(command, timeout=CHECK_SECONDS).returncode
    except subprocess.TimeoutExpired as error:
        raise Failed(f"no answer in {CHECK_SECONDS} s: ended") from error
    if 0 <= code < 256:
        return code
    names = {number.value: number.name for number in signal.Signals}
    raise Failed(f"the interpreter crashed on the model ({names.get(-code, code)})")


def complain(error: Exception) -> None:
    """One line on stderr."""
    line = f"{Path(__file__).name}: {shown(' '.join(str(error).split()))}"
    print(line, file=sys.stderr, flush=True)


def number(least: int, most: int) -> Any:
    """Reads a whole number in these bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: a number from {least} to {most}")
        return value

    return read


def ranking(parser: argparse.ArgumentParser) -> None:
    """What scripts that name classes understand."""
    help = "how many classes to print"
    parser.add_argument("--top", type=number(1, 10**6), default=3, metavar="N", help=help)


def options(parser: argparse.ArgumentParser) -> None:
    """What every script understands."""
    add = parser.add_argument
    add(
        "--threads",
        type=number(1, MOST_THREADS),
        default=1,
        metavar="N",
        help="threads of the interpreter",
    )
    add("--check", action="store_true", help="replay the golden pairs")
    add("--in-process", action="store_true", help=argparse.SUPPRESS)  # see check_apart
    if DELEGATE:
        add("--cpu", action="store_true", help="without the Edge TPU, far slower")


def best(model: Model, example: np.ndarray, top: int) -> list:
    """The ``top`` classes for an example: [(name, score)], the best first."""
    scores = model.real(model.run(example))
    order = np.argsort(-scores, kind="stable")[:top]
    return [(model.drop.classes[i], scores[i]) for i in order]


def ended(arguments: Callable[[], argparse.Namespace], run: Callable[[Any], int]) -> int:
    """What the command line asks for; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a label that the terminal's encoding lacks is written as \u…
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    args = arguments()
    try:
        if np is None:
            raise Failed(f"numpy is not installed: {INSTALL}")
        code = check_apart(args) if args.check and not args.in_process else run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # as of `| head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 2
    except (Failed, OSError) as error:
        complain(error)
        return 2
    except KeyboardInterrupt:
        return 130


# ---- tfedge/tasks/image_classification/script/classify.py ----


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
