"""MANIFEST.json: what a drop holds, by digest, and how to call its model.

Its schema is ``drops/manifest.schema.json``.

Deterministic: sorted, no times, no paths of the machine that made it. Nothing in it but the
benchmark's numbers differs between two runs over the same inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tfedge import __version__
from tfedge.benchmark.result import Result
from tfedge.core.outputs import Evaluation, dump
from tfedge.drops import golden
from tfedge.errors import DropError
from tfedge.files.artifact import parse_json
from tfedge.tasks.drop import Content

SCHEMA = "tfedge.drop/1"
NAME = "MANIFEST.json"
_LIBRARIES = (
    "ai-edge-litert",
    "numpy",
    "tensorflow",
    "tensorflow-model-optimization",
    "tf-keras",
)


def build(
    content: Content, target: str, model_file: str, folder: Path, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest of the files that lie in ``folder``, which is complete but for the manifest.

    ``facts`` are what only this target says.
    """
    return {
        **content.facts,
        **facts,
        "schema": SCHEMA,
        "name": content.name,
        "task": content.task.name,
        "target": target,
        "model": model_file,
        "input": dict(content.given),
        "output": dict(content.taken),
        "golden": [golden.entry(i, pair) for i, pair in enumerate(content.golden)],
        "run_key": content.run_key,
        "versions": library_versions(content.task.libs),
        "data": dict(content.data),
        "backbone": dump(content.backbone),
        "recipe": dict(content.recipe),
        "sparsity": content.sparsity,
        "metrics": None if content.metrics is None else _public(content.metrics),
        "benchmark": [figures(result) for result in content.benchmark],
        "files": {name: _entry(path) for name, path in sorted(_files(folder).items())},
    }


def library_versions(also: Iterable[str] = ()) -> dict[str, str]:
    """Versions of what makes a model, and of ``also``; what is not installed is left out."""
    found = {"tfedge": __version__}
    for name in (*_LIBRARIES, *also):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _public(metrics: Evaluation) -> dict[str, Any]:
    """The numbers without the names of single examples, which are nobody's business."""
    return {key: value for key, value in dump(metrics).items() if key != "worst"}


def figures(result: Result) -> dict[str, Any]:
    """One measurement without its raw samples; nanoseconds and bytes."""
    return {
        "model": result.model,
        "runtime": result.runtime,
        "runtime_version": result.runtime_version,
        "threads": result.threads,
        "delegate": result.delegate,
        "board": result.host.board,
        "cpu": result.host.cpu,
        "machine": result.host.machine,
        "n": result.summary.n,
        "median_ns": result.summary.median,
        "mad_ns": result.summary.mad,
        "peak_bytes": result.peak_bytes,
        "unstable": result.unstable,
    }


def write(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write it and return its SHA-256."""
    content = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    data = (content + "\n").encode("utf-8")
    (folder / NAME).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load(folder: Path) -> dict[str, Any]:
    """The manifest of a drop, of this schema. DropError otherwise."""
    path = folder / NAME
    try:
        manifest = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DropError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise DropError(f"{path}: no JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise DropError(f"{path}: no manifest of the kind {SCHEMA}")
    if not isinstance(manifest.get("files"), dict):
        raise DropError(f"{path}: lists no files")
    return manifest


def differences(folder: Path, manifest: Mapping[str, Any], added: Sequence[str] = ()) -> list[str]:
    """How the files differ from the manifest: each missing, changed, extra one, and links.

    ``added`` are files that may have come since.
    """
    expected, found = manifest["files"], _files(folder)
    links = sorted(name for name, path in found.items() if path.is_symlink())
    problems = [f"{name} is a link" for name in links]
    problems += [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    extra = sorted(found.keys() - expected.keys() - set(added))
    problems += [f"{name} is not in the manifest" for name in extra]
    both = sorted((expected.keys() & found.keys()) - set(links))
    return problems + [f"{n} was changed" for n in both if _entry(found[n]) != expected[n]]


def verify(folder: Path) -> dict[str, Any]:
    """Read a drop back: every file there, none besides, all digests right. DropError otherwise."""
    manifest = load(folder)
    problems = differences(folder, manifest)
    if problems:
        raise DropError(f"{folder}: {'; '.join(problems)}", "make the drop again")
    return manifest


def _files(folder: Path) -> dict[str, Path]:
    """All that lies below and is no folder, links unfollowed, but the manifest."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path
        for name, path in files.items()
        if (path.is_symlink() or not path.is_dir()) and name != NAME
    }


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
