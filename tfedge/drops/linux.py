"""The drop for Linux boards: the model, a script that runs it, and all that is known about it."""

from __future__ import annotations

from pathlib import Path

from tfedge.benchmark.call import SCRIPT_NAME, script_text
from tfedge.drops.content import Content, contract
from tfedge.drops.make import Parts, Target, replay
from tfedge.drops.script import NAME, example
from tfedge.drops.templates import template

# ai-edge-litert has no wheels for Python before 3.10 and for 32-bit ARM; tflite-runtime, which
# has, was built against numpy 1.
REQUIREMENTS = """\
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

On a 32-bit system (armv7l) the runtime has packages for Python 3.7 to 3.11, and numpy and Pillow
come from the system:

    sudo apt install python3-numpy python3-pil python3-venv
    python3 -m venv --system-site-packages venv && . venv/bin/activate

- `{model}`: the model. RGB pixels in ({dtype}, 0–255, {shape}), nothing to normalise.
- `labels.txt`: its classes, one a line, in the order of its scores.
- `classify.py`: an example in one file, with numpy, Pillow and one interpreter.
- `golden/`: pixels (`*.input.bin`, raw uint8) and the scores for them (`*.output.bin`, raw {out}).
- `CARD.md`: what the model was made from, how good it is, what it is not for.
- `MANIFEST.json`: the same for machines, with the SHA-256 of every file.
"""


def parts(content: Content) -> Parts:
    model = f"{content.name}.tflite"
    given, taken = contract(content)
    readme = _README.format(
        name=content.name,
        model=model,
        dtype=given["dtype"],
        shape=given["shape"],
        out=taken["dtype"],
    )
    files = {
        model: content.model,
        "requirements.txt": REQUIREMENTS.encode(),
        "README.md": readme.encode("utf-8"),
        NAME: example(),
        SCRIPT_NAME: script_text().encode("utf-8"),
        f"{content.name}.service": template("linux/classify.service", name=content.name),
    }
    return Parts(model, files)


def _check(folder: Path) -> None:
    replay(folder, [NAME, "--check"])


LINUX = Target("linux", parts, _check)
