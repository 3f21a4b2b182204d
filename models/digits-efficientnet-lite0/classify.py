#!/usr/bin/env python3
"""Name what is on a photo, with the model in this folder.

    python classify.py photo.jpg [more.jpg ...] [--top 3] [--threads 1]
    python classify.py --watch FOLDER   a line of JSON for every picture that is put there
    python classify.py --check          replay the golden pairs of this folder

Needs numpy, Pillow and one interpreter: ai-edge-litert, tflite-runtime or tensorflow.
Runs on Python 3.7 and newer.
"""

import argparse
import ctypes
import hashlib
import json
import platform
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
DELEGATE = ""  # edgetpu, or nothing: the CPU
EDGETPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
PIXEL_LIMIT = 100000000
# Interpreters and processors round differently: a score may move by this much between them.
TOLERANCE = 40 / 256.0
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
PLAIN = ("RGB", "L", "1", "P", "CMYK", "YCbCr", "LA", "PA", "RGBA", "RGBX")
TRANSPOSE = {
    2: Image.FLIP_LEFT_RIGHT,
    3: Image.ROTATE_180,
    4: Image.FLIP_TOP_BOTTOM,
    5: Image.TRANSPOSE,
    6: Image.ROTATE_270,
    7: Image.TRANSVERSE,
    8: Image.ROTATE_90,
}


class Failed(Exception):
    """What the user reads instead of a traceback."""


def read(name):
    """The bytes of a file of this folder."""
    try:
        return (HERE / name).read_bytes()
    except OSError as error:
        raise Failed(f"{HERE / name}: {error.strerror}") from error


def decode(path, size, fit):
    """The picture as uint8 [size, size, 3] RGB, exactly as in training.

    EXIF orientation is obeyed, transparency is laid on white, 16 bits become the upper 8.
    """
    try:
        image = Image.open(BytesIO(Path(path).read_bytes()), formats=FORMATS)
        if image.width * image.height > PIXEL_LIMIT:
            raise ValueError(f"more than {PIXEL_LIMIT // 1000000} megapixels")
        if hasattr(image, "draft") and min(image.size) >= 4 * size:
            image.draft(None, (2 * size, 2 * size))  # JPEG: decode at 1/2, 1/4 or 1/8
        method = TRANSPOSE.get(image.getexif().get(0x0112, 1))
        image = image if method is None else image.transpose(method)
        return np.array(square(to_rgb(image), size, fit))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Failed(f"{path}: no picture that can be read: {error}") from error


def to_rgb(image):
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).clip(0, 65535)
        return Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode not in PLAIN:
        raise ValueError(f"pixels of kind {image.mode} can't be turned into RGB")
    palette = getattr(image.palette, "mode", "") if image.mode == "P" else ""
    if image.mode in ("LA", "PA", "RGBA") or palette.endswith("A") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def square(image, size, fit):
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
        canvas.paste(image.resize(inner, Image.BILINEAR), (left, top))
        return canvas
    return image.resize((size, size), Image.BILINEAR)


def interpreter_module():
    """The first interpreter that is installed, and its name."""
    try:
        from ai_edge_litert import interpreter

        return interpreter, "ai-edge-litert"
    except ImportError:
        pass
    try:
        from tflite_runtime import interpreter

        return interpreter, "tflite-runtime"
    except ImportError:
        pass
    try:
        from tensorflow.lite.python import interpreter

        return interpreter, "tensorflow"
    except ImportError as error:
        raise Failed("no interpreter: pip install -r requirements.txt") from error


def edgetpu(module):
    """The Edge TPU's delegate, of libedgetpu, which Coral's packages install."""
    library = EDGETPU.get(platform.system(), EDGETPU["Linux"])
    try:
        ctypes.CDLL(library)  # load_delegate leaves a traceback behind where there is none
        return module.load_delegate(library)
    except OSError as error:
        raise Failed(f"{library} can't be loaded ({error}): install libedgetpu1-std") from error
    except ValueError as error:
        raise Failed("no Edge TPU found: plug it in, or use --cpu") from error


def compiled(facts):
    """The file for the Edge TPU. It is listed in the manifest, or was compiled after the drop."""
    if not (HERE / facts["file"]).exists():
        raise Failed(f"{facts['file']} is not there: run compile.sh first, or use --cpu")
    if b"edgetpu-custom-op" not in read(facts["file"]):
        raise Failed(f"{facts['file']} is not compiled for the Edge TPU: run compile.sh")
    return facts["file"]


class Model:
    """The model of this folder, ready to run."""

    def __init__(self, manifest, threads, delegate):
        module, self.runtime = interpreter_module()
        name = compiled(manifest["coral"]) if delegate else manifest["model"]
        data = read(name)
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

    def run(self, pixels):
        """uint8 [size, size, 3] to the scores as the model gives them, [classes]."""
        self.interpreter.set_tensor(self.input, pixels[None])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output)[0]

    def real(self, stored):
        """Scores in [0, 1], float32 [classes]."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - self.zero_point) * np.float32(self.scale)


def answers(model, manifest, path, top):
    """The ``top`` classes for a picture: [(name, score)], the best first."""
    pixels = decode(path, manifest["input"]["shape"][1], manifest["input"]["fit"])
    scores = model.real(model.run(pixels))
    return [(manifest["classes"][i], scores[i]) for i in np.argsort(-scores, kind="stable")[:top]]


def classify(model, manifest, paths, top):
    for path in paths:
        found = answers(model, manifest, path, top)
        print(path)
        for name, score in found:
            print(f"  {100 * score:5.1f} %  {name}")
    return 0


def watch(model, manifest, folder, top):
    """Answer for every picture in the folder, and for each that comes, until stopped."""
    if not folder.is_dir():
        raise Failed(f"{folder}: no such folder")
    seen, sizes = set(), {}
    while True:
        for path in sorted(folder.iterdir()):
            try:
                facts = path.stat()
            except OSError:
                continue  # it has gone again
            state = (path.name, facts.st_mtime_ns, facts.st_size)
            if path.name.startswith(".") or not path.is_file() or state in seen:
                continue
            if sizes.get(path.name) != state:
                sizes[path.name] = state  # perhaps it is still being written: look again
                continue
            seen.add(state)
            line = {"file": path.name}
            try:
                found = answers(model, manifest, path, top)
                line["scores"] = {name: round(float(score), 4) for name, score in found}
            except Failed as error:
                line["error"] = str(error)
            print(json.dumps(line, ensure_ascii=False), flush=True)
        time.sleep(0.5)


def check(model, manifest):
    """Replay the golden pairs. 1 when an answer differs by more than interpreters may."""
    failed, largest, same = 0, 0.0, 0
    shape, dtype = manifest["input"]["shape"][1:], manifest["output"]["dtype"]
    for pair in manifest["golden"]:
        pixels = np.frombuffer(read(pair["input"]), np.uint8).reshape(shape)
        expected = model.real(np.frombuffer(read(pair["output"]), np.dtype(dtype)))
        got = model.real(model.run(pixels))
        difference = float(np.abs(got - expected).max())
        first, second = np.sort(expected)[::-1][:2]
        # Two classes closer than the tolerance may change places; others may not.
        swapped = got.argmax() != expected.argmax() and first - second > TOLERANCE
        if difference > TOLERANCE or swapped:
            failed += 1
            print(f"{pair['input']}: differs by {difference:.3f}")
        largest, same = max(largest, difference), same + (difference == 0)
    count = len(manifest["golden"])
    print(
        f"{count} golden pairs with {model.runtime} on {platform.machine()}: {same} identical, "
        f"largest difference {largest:.4f}, {failed} failed"
    )
    return 1 if failed or not count else 0


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="*", metavar="PHOTO")
    parser.add_argument("--top", type=int, default=3, help="how many classes to print")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--watch", type=Path, metavar="FOLDER", help="answer for what comes there")
    parser.add_argument("--check", action="store_true", help="replay the golden pairs")
    if DELEGATE:
        parser.add_argument("--cpu", action="store_true", help="without the Edge TPU, far slower")
    args = parser.parse_args(argv)
    if not args.photos and not args.check and args.watch is None:
        parser.error("name a photo, --watch or --check")
    try:
        manifest = json.loads(read("MANIFEST.json").decode("utf-8"))
        model = Model(manifest, args.threads, DELEGATE and not args.cpu)
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
