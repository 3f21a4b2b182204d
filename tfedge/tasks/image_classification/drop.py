"""What a drop of an image classifier holds beside what every drop holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.tasks.classification.files import LABELS, check_labels, class_facts, labels
from tfedge.tasks.contract import ports, stored
from tfedge.tasks.drop import Check, Content, Parts
from tfedge.tasks.image_classification import android
from tfedge.tasks.image_classification.copied import TEMPLATES
from tfedge.tasks.image_classification.examples import LabelledImages
from tfedge.tasks.image_classification.script import EXAMPLE

CORAL_SCRIPT = "classify_coral.py"
_CHECK = "--check"  # of the scripts: replay the golden pairs
_REQUIREMENTS = ("pillow>=8.0",)  # of what the scripts import


def contract(model: bytes, examples: LabelledImages) -> tuple[dict[str, Any], dict[str, Any]]:
    """uint8 [1, S, S, 3] RGB in, a score for each class [1, classes] out; ``fit`` is how an image
    becomes square, ``levels`` those of 16 bits that become 0 and 255. DropError for any other
    model."""
    images = examples.images
    return contract_of(model, len(examples.classes), images.fit, images.levels)


def contract_of(
    model: bytes,
    classes: int,
    fit: str,
    levels: Sequence[int] | None = None,
    dtypes: Sequence[str] = ("uint8",),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of so many classes, by what is known of the images; ``dtypes`` are those of pixels
    that will do."""
    pixels, scores = ports(model)
    square = len(pixels.shape) == 4 and pixels.shape == (1, pixels.shape[1], pixels.shape[1], 3)
    if pixels.dtype not in dtypes or not square:
        got, needs = f"{pixels.dtype} {list(pixels.shape)}", " or ".join(dtypes)
        raise DropError(f"the model takes {got}, not {needs} [1, size, size, 3]")
    if scores.shape != (1, classes):
        raise DropError(f"the model gives {list(scores.shape)} scores for {classes} classes")
    given = {
        "dtype": pixels.dtype,
        "shape": list(pixels.shape),
        "layout": "NHWC",
        "color": "RGB",
        "range": [0, 255],
        "fit": fit,
    }
    if levels is not None:  # of images of 16 bits, that become 0 and 255
        given["levels"] = list(levels)
    meaning = "softmax score of each class, in the order of classes"
    return given, stored(scores) | {"meaning": meaning}


def facts(examples: LabelledImages) -> dict[str, Any]:
    """The manifest's ``classes``. DropError for names that labels.txt can't hold."""
    return class_facts(examples.classes)


def parts(target: str, content: Content, told: Mapping[str, str]) -> Parts:
    """Labels, example script and README of ``target``; for Android the Kotlin and metadata."""
    return _PARTS[target](content, told)


def _linux(content: Content, told: Mapping[str, str]) -> Parts:
    given = content.given
    readme = fill(
        TEMPLATES,
        "linux/README.md",
        **told,
        name=content.name,
        dtype=given["dtype"],
        shape=str(given["shape"]),
        out=content.taken["dtype"],
        shown=content.golden_told,
    )
    service = fill(TEMPLATES, "linux/classify.service", name=content.name)
    files = {
        LABELS: labels(content),
        "README.md": readme,
        EXAMPLE.name: EXAMPLE.text(),
        f"{content.name}.service": service,
    }
    return Parts(files, check=(EXAMPLE.name, _CHECK), requirements=_REQUIREMENTS)


def _coral(content: Content, told: Mapping[str, str]) -> Parts:
    given = content.given
    readme = fill(
        TEMPLATES,
        "coral/README.md",
        **told,
        name=content.name,
        input=f"{given['dtype']} 0–255, {given['shape']}",
        output=content.taken["dtype"],
        shown=content.golden_told,
    )
    files = {
        LABELS: labels(content),
        "README.md": readme,
        CORAL_SCRIPT: EXAMPLE.text(CORAL_SCRIPT, delegate="edgetpu"),
    }
    return Parts(files, check=(CORAL_SCRIPT, _CHECK, "--cpu"), requirements=_REQUIREMENTS)


_PARTS: dict[str, Callable[[Content, Mapping[str, str]], Parts]] = {
    "linux": _linux,
    "coral": _coral,
    "android": android.parts,
}


def check(folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
    """That labels.txt has the manifest's classes, one for each score, and so has the metadata."""
    found = [check_labels(folder, manifest)]
    if manifest.get("target") == "android":
        found.append(android.check(folder, manifest))
    return found
