"""The drop for Linux boards: the model, a script that runs it, and all that is known about it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tfedge.drops import golden, manifest
from tfedge.drops.card import card
from tfedge.drops.manifest import Content
from tfedge.errors import DropError

TARGET = "linux"
_CHECK_SECONDS = 300

# ai-edge-litert has no wheels for Python before 3.10 and for 32-bit ARM; tflite-runtime, which
# has, was built against numpy 1.
_REQUIREMENTS = """\
pillow>=8.0
ai-edge-litert>=2.1; python_version >= "3.10" and platform_machine != "armv7l"
numpy>=1.23; python_version >= "3.10" and platform_machine != "armv7l"
tflite-runtime>=2.11; python_version < "3.10" or platform_machine == "armv7l"
numpy<2; python_version < "3.10" or platform_machine == "armv7l"
"""

_README = """\
# {name}

    pip install -r requirements.txt
    python classify.py photo.jpg
    python classify.py --check

The second line names what is on a photo. The third replays the golden pairs in `golden/` and says
whether this machine's interpreter gives what was measured when the drop was made.

- `{model}`: the model. RGB pixels in ({dtype}, 0–255, {shape}), nothing to normalise.
- `labels.txt`: its classes, one a line, in the order of its scores.
- `classify.py`: an example in one file, with numpy, Pillow and one interpreter.
- `golden/`: pixels (`*.input.bin`, raw uint8) and the scores for them (`*.output.bin`, raw {out}).
- `CARD.md`: what the model was made from, how good it is, what it is not for.
- `MANIFEST.json`: the same for machines, with the SHA-256 of every file.
"""


@dataclass(frozen=True)
class Drop:
    path: Path
    files: int  # the manifest included
    bytes: int
    manifest_sha256: str


def write(content: Content, folder: Path) -> Drop:
    """Make the drop in ``folder``, replacing what is there; nothing half-made is ever seen.

    Before it gets its name it is read back by digest, and its own ``classify.py --check`` has to
    pass. DropError when something does not hold.
    """
    model_file = f"{content.name}.tflite"
    _check_classes(content.classes)
    given, taken = manifest.contract(content)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    texts = {
        "labels.txt": "".join(f"{name}\n" for name in content.classes),
        "requirements.txt": _REQUIREMENTS,
        "CARD.md": card(content),
        "classify.py": (files("tfedge.drops") / "templates/classify.py.txt").read_text("utf-8"),
        "README.md": _README.format(
            name=content.name,
            model=model_file,
            dtype=given["dtype"],
            shape=given["shape"],
            out=taken["dtype"],
        ),
    }
    try:
        temporary.mkdir(parents=True)
        (temporary / model_file).write_bytes(content.model)
        for name, text in texts.items():
            (temporary / name).write_bytes(text.encode("utf-8"))
        golden.write(temporary, content.golden)
        digest = manifest.write(temporary, manifest.build(content, TARGET, model_file, temporary))
        facts = manifest.verify(temporary)
        _replay(temporary)
        sizes = [path.stat().st_size for path in temporary.rglob("*") if path.is_file()]
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    except OSError as error:
        raise DropError(f"{folder}: can't be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Drop(folder, len(facts["files"]) + 1, sum(sizes), digest)


def _check_classes(classes: tuple[str, ...]) -> None:
    """labels.txt holds one a line; a name with a line break in it would shift all that follow."""
    broken = [name for name in classes if not name.strip() or len(name.splitlines()) != 1]
    if broken:
        raise DropError(f"class names that can't stand on one line: {', '.join(map(repr, broken))}")


def _replay(folder: Path) -> None:
    """Run the drop's own check in a process of its own, as a user would."""
    command = [sys.executable, "-B", str(folder / "classify.py"), "--check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DropError(f"classify.py --check gave no answer in {_CHECK_SECONDS} s") from error
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["no message"]
        raise DropError(f"the drop does not pass its own classify.py --check: {lines[-1]}")
