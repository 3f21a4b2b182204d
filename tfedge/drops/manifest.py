"""MANIFEST.json: what a drop holds, by digest, and how to call its model.

Its schema is ``drops/manifest.schema.json``.

Deterministic: sorted, no times, no paths of the machine that made it. Nothing in it but the
benchmark's numbers differs between two runs over the same inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tfedge import __version__
from tfedge.benchmark.result import Result
from tfedge.core.outputs import Evaluation, dump
from tfedge.drops import golden
from tfedge.errors import DropError
from tfedge.files.artifact import parse_json, sha256_file
from tfedge.files.files import is_inside, shown
from tfedge.tasks.drop import Content

SCHEMA = "tfedge.drop/1"
NAME = "MANIFEST.json"
MOST_FILES = 100_000  # of a drop, and bytes of all: far above any model for a small device
MOST_BYTES = 2_000_000_000
MOST_PAIRS = 1000
MOST_MANIFEST = 32 * 2**20  # bytes of it: a table of a thousand by a thousand numbers takes 10 MB
_MOST_LISTS = 500_000
_SHOWN = 80  # characters of a name that is none
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
        "golden_from": content.golden_from,
        "golden_tried": content.golden_tried and content.golden_tried._asdict(),
        "run_key": content.run_key,
        "versions": library_versions(content.task.libs),
        "data": dict(content.data),
        "backbone": dump(content.backbone),
        "recipe": dict(content.recipe),
        "sparsity": content.sparsity,
        "metrics": None if content.metrics is None else _public(content.metrics),
        "benchmark": [figures(result) for result in content.benchmark],
        "files": {name: _entry(folder / name) for name in sorted(_found(folder))},
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
        manifest = parse_json(_text(path))
    except OSError as error:
        raise DropError(f"{path}: can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DropError(f"{path}: no JSON: {str(error)[:200]}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise DropError(f"{path}: no manifest of the kind {SCHEMA}")
    if not isinstance(manifest.get("files"), dict):
        raise DropError(f"{path}: lists no files")
    return manifest


def _text(path: Path) -> str:
    """What lies there, as far as a manifest can be so large: JSON takes far more memory than
    disk."""
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode):
        raise DropError(f"{path}: is {_kind(state.st_mode)}, not a file: refused")
    if state.st_size > MOST_MANIFEST:
        raise DropError(f"{path}: {state.st_size} bytes, more than {MOST_MANIFEST}: refused")
    data = path.read_bytes()
    if data.count(b"[") + data.count(b"{") > _MOST_LISTS:
        raise DropError(f"{path}: holds more than {_MOST_LISTS} lists and objects: refused")
    return data.decode("utf-8")


def untrustworthy(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Why nothing that the manifest names must be opened: names that are no files of the drop,
    links, devices, more than a drop has.

    Empty when each name is a key of ``files``, and leads to a regular file in the drop, or to
    nothing.
    """
    names = [*manifest["files"], *_later(manifest)]
    problems = [f"{_shown(name)} is no name of a file in a drop" for name in names if not _in(name)]
    pairs = manifest.get("golden")
    if isinstance(pairs, list) and len(pairs) > MOST_PAIRS:
        problems.append(f"{len(pairs)} golden pairs, a drop has {MOST_PAIRS} at most")
    else:
        problems += [
            f"{key} {_shown(name)} is not among files"
            for key, name in _named(manifest)
            if not isinstance(name, str) or name not in manifest["files"]
        ]
    problems += [
        f"{_shown(name)} is {_kind(mode)}"
        for name, mode in _found(folder).items()
        if not stat.S_ISREG(mode)
    ]
    return problems


def _named(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key that names a file of the drop, and the name."""
    yield "model", manifest.get("model")
    pairs = manifest.get("golden")
    for i, pair in enumerate(pairs if isinstance(pairs, list) else ()):
        for key in ("input", "output"):
            yield f"golden[{i}].{key}", pair.get(key) if isinstance(pair, dict) else None
    coral = manifest.get("coral")
    if isinstance(coral, dict) and coral.get("compiled") is not False:
        yield "coral.file", coral.get("file")


def _later(manifest: Mapping[str, Any]) -> list[Any]:
    """The name of what compile.sh adds to a Coral drop that was not compiled."""
    coral = manifest.get("coral")
    return [coral.get("file")] if isinstance(coral, dict) else []


def _in(name: Any) -> bool:
    """Whether that is a relative path, written in the only way, that stays inside."""
    return isinstance(name, str) and "\\" not in name and is_inside(name)


def _shown(name: Any) -> str:
    return shown(name if isinstance(name, str) else repr(name))[:_SHOWN]


def differences(folder: Path, manifest: Mapping[str, Any], added: Sequence[str] = ()) -> list[str]:
    """How the files differ from the manifest: each missing, changed, extra one, links and devices.

    ``added`` are files that may have come since.
    """
    expected, found = manifest["files"], _found(folder)
    special = {name for name, mode in found.items() if not stat.S_ISREG(mode)}
    problems = [f"{_shown(name)} is {_kind(found[name])}" for name in sorted(special)]
    problems += [f"{_shown(name)} is missing" for name in sorted(expected.keys() - found.keys())]
    extra = sorted(found.keys() - expected.keys() - set(added))
    problems += [f"{_shown(name)} is not in the manifest" for name in extra]
    both = sorted((expected.keys() & found.keys()) - special)
    changed = [name for name in both if not _is(folder / name, expected[name])]
    return problems + [f"{_shown(name)} was changed" for name in changed]


def verify(folder: Path) -> dict[str, Any]:
    """Read a drop back: every file there, none besides, all digests right. DropError otherwise."""
    manifest = load(folder)
    problems = differences(folder, manifest)
    if problems:
        raise DropError(f"{folder}: {'; '.join(problems)}", "make the drop again")
    return manifest


def _found(folder: Path) -> dict[str, int]:
    """All that lies below and is no folder, links unfollowed, but the manifest; and of what kind
    each is, as the file system says it. DropError when it is more than a drop can be."""
    found: dict[str, int] = {}
    size = 0
    for path in _walk(folder):
        state = path.lstat()
        size += state.st_size
        found[path.relative_to(folder).as_posix()] = stat.S_IFMT(state.st_mode)
        if len(found) > MOST_FILES or size > MOST_BYTES:
            what = f"more than {MOST_FILES} files or {MOST_BYTES} bytes"
            raise DropError(f"{folder}: {what}: no drop is so large")
    found.pop(NAME, None)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):  # follows no links
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        yield from (Path(where) / name for name in (*links, *files))


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a folder" if stat.S_ISDIR(mode) else "a device")


def _is(path: Path, entry: Any) -> bool:
    """Whether a regular file is what its entry says. The size is asked before it is read."""
    if not isinstance(entry, dict) or entry.get("bytes") != path.stat().st_size:
        return False
    return bool(entry.get("sha256") == sha256_file(path))


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_file(path), "bytes": path.stat().st_size}
