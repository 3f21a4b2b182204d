"""Hold a drop against what it says of itself: files, contract, labels, metadata, golden pairs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfedge.drops import archive, manifest
from tfedge.drops.coral import check_compiled
from tfedge.errors import ArtifactError, DropError
from tfedge.portable.golden import difference
from tfedge.tflite import metadata, reader
from tfedge.tflite.runtime import LiteRT, Loader


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``problems`` is empty when it holds."""

    what: str
    found: str
    problems: tuple[str, ...] = ()


Replay = Callable[[Path, Mapping[str, Any]], Check]


def verify(path: Path, replays: Sequence[Replay] = ()) -> list[Check]:
    """Every check of a drop, a folder or a .zip of one, in order; those that fail are in it, too.

    ``replays`` run the golden pairs elsewhere (on a device) and are asked only when all that can
    be checked here holds. DropError when there is no drop to check.
    """
    with _opened(path) as folder:
        facts = manifest.load(folder)
        checks = [_files(folder, facts)]
        try:
            checks += [check(folder, facts) for check in _CHECKS]
            checks += [
                _EXTRA[target](folder, facts)
                for target in [facts.get("target")]
                if target in _EXTRA
            ]
            checks.append(replay_here(folder, facts))
        # A manifest whose fields are not there or of another kind; the digests can't show that.
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            what = f"{manifest.NAME} does not say what a drop says: {type(error).__name__} {error}"
            checks.append(Check("manifest", "", (what,)))
        except (ArtifactError, OSError) as error:
            checks.append(Check("model", "", (str(error),)))
        if not any(check.problems for check in checks):
            checks += [replay(folder, facts) for replay in replays]
        return checks


@contextmanager
def _opened(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield path
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="tfedge-drop-") as folder:
            yield archive.unpack(path, Path(folder))
    else:
        raise DropError(f"{path}: no such drop", "give its folder or its .zip")


def _files(folder: Path, facts: Mapping[str, Any]) -> Check:
    problems = manifest.differences(folder, facts, _may_come(facts))
    return Check("files", f"{len(facts['files'])} by SHA-256", tuple(problems))


def _may_come(facts: Mapping[str, Any]) -> list[str]:
    """What compile.sh adds to a Coral drop that was not compiled."""
    coral = facts.get("coral")
    if not isinstance(coral, dict) or coral.get("compiled") is not False:
        return []
    name = str(coral.get("file"))
    return [name, f"{name.removesuffix('.tflite')}.log"]


def _contract(folder: Path, facts: Mapping[str, Any]) -> Check:
    model = reader.read(folder / facts["model"])
    problems = []
    for what, tensors in ("input", model.inputs), ("output", model.outputs):
        if len(tensors) != 1:
            problems.append(f"the model has {len(tensors)} {what}s")
            continue
        said, tensor = facts[what], tensors[0]
        got: dict[str, Any] = {"dtype": tensor.dtype, "shape": list(tensor.shape)}
        if what == "output":
            scales = tensor.quantization
            got["scale"] = scales.scales[0] if scales else None
            got["zero_point"] = scales.zero_points[0] if scales else 0
        problems += [
            f"{what}.{key}: the manifest says {said[key]}, the model {value}"
            for key, value in got.items()
            if said[key] != value
        ]
    given = facts["input"]
    return Check("model", f"takes {given['dtype']} {given['shape']}", tuple(problems))


def _labels(folder: Path, facts: Mapping[str, Any]) -> Check:
    (name,) = [name for name in facts["files"] if Path(name).name == "labels.txt"]
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    problems = []
    if lines != facts["classes"]:
        problems.append(f"{name} and the manifest name different classes")
    if [1, len(lines)] != facts["output"]["shape"]:
        problems.append(f"{len(lines)} labels for scores of shape {facts['output']['shape']}")
    return Check("labels", f"{len(lines)} classes", tuple(problems))


def _metadata(folder: Path, facts: Mapping[str, Any]) -> Check:
    model = (folder / facts["model"]).read_bytes()
    found = metadata.read(model)
    if found is None:
        return Check("metadata", "", ("the model carries no TFLite metadata",))
    graph = found["subgraph_metadata"][0]
    image, scores = graph["input_tensor_metadata"][0], graph["output_tensor_metadata"][0]
    size = image["content"]["content_properties"]["ImageProperties"]["default_size"]
    units = [unit["options"].get("NormalizationOptions") for unit in image["process_units"]]
    (labels,) = [entry["name"] for entry in scores["associated_files"]]
    lines = metadata.associated(model)[labels].decode("utf-8").splitlines()
    problems = []
    if [1, size["height"], size["width"], 3] != facts["input"]["shape"]:
        problems.append(f"its metadata says {size}, the manifest {facts['input']['shape']}")
    if units != [{"mean": [0.0], "std": [1.0]}]:
        problems.append(f"its metadata asks for a normalisation, {units}: pixels go in as they are")
    if lines != facts["classes"]:
        problems.append("the labels in its metadata are not those of the manifest")
    return Check(
        "metadata", f"{found.get('name', 'no name')}, {len(lines)} labels", tuple(problems)
    )


def _coral(folder: Path, facts: Mapping[str, Any]) -> Check:
    coral = facts["coral"]
    path = folder / coral["file"]
    if not path.is_file():
        problems = (f"{coral['file']} is missing",) if coral["compiled"] else ()
        return Check("Edge TPU", "not compiled, as it says", problems)
    try:
        check_compiled(path.read_bytes(), coral["file"])
    except (ArtifactError, DropError) as error:
        return Check("Edge TPU", "", (str(error),))
    return Check("Edge TPU", f"compiled for runtime {coral['min_runtime']}")


def replay_here(folder: Path, facts: Mapping[str, Any], load: Loader = LiteRT) -> Check:
    """The golden pairs through LiteRT on this machine, by the one golden rule."""
    runtime = load(folder / facts["model"], 1)
    given, taken = runtime.inputs()[0], runtime.outputs()[0]
    problems, same = [], 0
    for pair in facts["golden"]:
        pixels = np.frombuffer((folder / pair["input"]).read_bytes(), given.dtype)
        expected = np.frombuffer((folder / pair["output"]).read_bytes(), taken.dtype)
        got = runtime.invoke(pixels.reshape(given.shape))[0].reshape(-1)
        if expected.shape != got.shape:
            problems.append(f"{pair['output']} holds {expected.size} scores of {got.size}")
            continue
        same += bool((expected == got).all())
        if told := difference(taken.real(expected), taken.real(got)):
            problems.append(f"{pair['output']}: {told}")
    count = len(facts["golden"])
    if not count:
        problems.append("there are no golden pairs")
    found = f"{same} of {count} identical through {runtime.name} {runtime.version} here"
    return Check("golden pairs", found, tuple(problems))


_CHECKS = (_contract, _labels)
_EXTRA: dict[str, Callable[[Path, Mapping[str, Any]], Check]] = {
    "android": _metadata,
    "coral": _coral,
}
