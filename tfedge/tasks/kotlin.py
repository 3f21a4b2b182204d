"""What the Android drops of all tasks have in common: Kotlin, READMEs, TFLite metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfedge.errors import DropError
from tfedge.files.template import fill
from tfedge.pipeline.packages import in_kotlin
from tfedge.portable.golden import TOLERANCE
from tfedge.tasks.copied import TEMPLATES
from tfedge.tasks.drop import Check, Content
from tfedge.tflite import front, metadata
from tfedge.tflite.metadata_schema import RGB

ASSETS = "assets"


class Source(NamedTuple):
    """A folder of templates, and which of its Kotlin goes into an app and into its test."""

    templates: Path
    app: Sequence[str]
    test: Sequence[str] = ()


EVERY = Source(TEMPLATES, ("Labels", "LiteRt", "Stored"), ("Golden",))
IMAGES = Source(TEMPLATES, ("Deep", "Photo", "Pixels"), ("Bitmaps",))

# Of the README, where levels were set in training.
_DEEP = """Of PNG files of 16 bits the levels {} to {} become 0 to 255, as in training (`Deep`).
That takes the file's bytes, `{}(photo)`: a bitmap of such a file has the upper 8 bits alone.

"""


def values(content: Content, readable: Sequence[str], gives: str) -> dict[str, str]:
    """What templates are told of every model. DropError unless what the model ``gives`` is of one
    of the dtypes that are ``readable``."""
    dtype = content.taken["dtype"]
    if dtype not in readable:
        known = ", ".join(readable)
        raise DropError(f"the model gives {dtype} {gives}, an app reads {known}")
    return {
        "package": in_kotlin(content.package.android.package),
        "name": content.name,
        "classes": str(len(content.facts["classes"])),
        "stored": dtype.upper(),
        "golden": str(len(content.golden)),
        "tolerance": f"{TOLERANCE:g}",
    }


def of_images(content: Content, call: str) -> dict[str, str]:
    """What templates are told of every model that takes images; ``call`` is how an app asks it."""
    given, levels = content.given, content.given.get("levels")
    return {
        "size": str(given["shape"][1]),
        "fit": given["fit"].upper(),
        "how": given["fit"],
        "levels": "intArrayOf({}, {})".format(*levels) if levels else "null",
        "deep": _DEEP.format(*levels, call) if levels else "",
        "input": f"{given['dtype']} 0–255, {given['shape']}",
    }


def files(content: Content, sources: Sequence[Source], told: Mapping[str, str]) -> dict[str, bytes]:
    """README and Kotlin, of every model and of ``sources``, the last of which has the README;
    ``told`` are the values of marks."""
    folder = content.package.android.package.replace(".", "/")
    shared = {
        part: fill(TEMPLATES, f"android/{part}.md", **told).decode().rstrip("\n")
        for part in ("install", "platform")
    }
    found = {"README.md": fill(sources[-1].templates, "android/README.md", **told, **shared)}
    for source in (EVERY, *sources):
        for where, parts in (("kotlin", source.app), ("androidTest/kotlin", source.test)):
            for part in parts:
                text = fill(source.templates, f"android/{part}.kt", **told)
                found[f"{where}/{folder}/{part}.kt"] = text
    return found


def described_image(given: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of an input that takes pixels as they are."""
    _, height, width, _ = given["shape"]
    size = {"width": width, "height": height}
    return {
        "name": "image",
        "description": f"RGB pixels, {width}×{height}, 0 to 255, as they are: the model normalises "
        f"them itself. An image becomes square by {given['fit']}.",
        "content": {
            "content_properties": {"ImageProperties": {"color_space": RGB, "default_size": size}}
        },
        "process_units": [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}],
        "stats": {"max": [255.0], "min": [0.0]},
    }


def image_problems(graph: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """What is wrong with what the metadata of a graph says of its image."""
    image = graph["input_tensor_metadata"][0]
    size = image["content"]["content_properties"]["ImageProperties"]["default_size"]
    units = [unit["options"].get("NormalizationOptions") for unit in image["process_units"]]
    problems = []
    if [1, size["height"], size["width"], 3] != manifest["input"]["shape"]:
        problems.append(f"its metadata says {size}, the manifest {manifest['input']['shape']}")
    if units != [{"mean": [0.0], "std": [1.0]}]:
        problems.append(f"its metadata asks for a normalisation, {units}: pixels go in as they are")
    return problems


def metadata_check(
    manifest: Mapping[str, Any],
    model: bytes,
    problems: Callable[[Mapping[str, Any], Mapping[str, bytes]], Sequence[str]],
) -> Check:
    """That a model carries metadata, without ``problems``, which is asked about what they say of
    the graph, and about the files behind the model. ArtifactError."""
    found = metadata.read(model, manifest["model"])
    if found is None:
        return Check("metadata", "", ("the model carries no TFLite metadata",))
    (graph,) = found["subgraph_metadata"]
    told = problems(graph, metadata.associated(model, manifest["model"]))
    named = f"{found.get('name', 'no name')}, {len(manifest['classes'])} labels"
    return Check("metadata", named, tuple(told))


def measured_facts(model: bytes) -> dict[str, Any]:
    """What the manifest says of the measured file, for ``measured_in``."""
    return {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}


def measured_in(
    manifest: Mapping[str, Any],
    model: bytes,
    differences: Callable[[bytes, bytes], Sequence[str]],
) -> Check:
    """That the measured file lies in a model as it was. ``differences`` says how what the model
    computes differs from what that file does."""
    told = manifest["measured"]
    flat = metadata.without_files(model, manifest["model"])
    inside = front.inner(flat, int(told["bytes"]))
    if hashlib.sha256(inside).hexdigest() != told["sha256"]:
        return Check("measured file", "", ("it does not lie in the model as it was",))
    found = f"{told['bytes']:,} bytes in it as they were"
    return Check("measured file", found, tuple(differences(flat, inside)))
