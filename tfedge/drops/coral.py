"""The drop for Coral boards and sticks: the model as the Edge TPU takes it, and as a CPU does.

What is called ``…_edgetpu.tflite`` has been through Google's compiler, or is not there at all.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tfedge.drops.coral_compiler import command, not_installed
from tfedge.drops.linux import requirements
from tfedge.drops.make import Layout, Target, replay
from tfedge.drops.templates import template
from tfedge.edgetpu import edgetpu, edgetpu_rules
from tfedge.errors import DropError
from tfedge.pipeline.schema import Coral
from tfedge.tasks.drop import Content
from tfedge.tasks.work import work_of
from tfedge.tflite import reader
from tfedge.tflite.kernels import with_constant_kernels, with_integer_input
from tfedge.tflite.pools import with_pools

CUSTOM_OP = "edgetpu-custom-op"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.tflite")
_SECONDS = 1800  # the compiler is known to take minutes for large models


def layout(content: Content) -> Layout:
    """The compiled model and the compiler's log, or what compiles it later."""
    content = replace(content, model=for_compiler(content.model))
    coral = content.package.coral
    model, wanted = f"{content.name}.tflite", f"{content.name}_edgetpu.tflite"
    _all_int8(content)
    together = _extra_models(coral, model)
    predicted = edgetpu.predict(reader.read(content.model))
    facts: dict[str, Any] = {
        "file": wanted,
        "min_runtime": coral.min_runtime,
        "compiled": coral.compile == "now",
        "together": sorted(together),
        "predicted": {"mapped": predicted.mapped, "total": predicted.total},
    }
    files: dict[str, bytes] = {model: content.model}
    if coral.compile == "now":
        made = compile_models({model: content.model, **together}, coral)
        found = edgetpu.predict(reader.read(made[wanted]))
        facts["left_on_cpu"] = found.total - found.mapped
        files |= made
    else:
        files |= together
        names = " ".join(sorted([model, *together]))
        files["compile.sh"] = template(
            "coral/compile.sh", models=names, min_runtime=str(coral.min_runtime)
        )
    told = {
        "model": model,
        "compiled_model": wanted,
        "state": _state(facts, wanted),
        "min_runtime": str(coral.min_runtime),
    }
    parts = work_of(content.task).parts("coral", content, told)
    files |= {"requirements.txt": requirements(parts), **parts.files}
    return Layout(model, files, {"coral": facts}, parts.check)


def compile_models(models: dict[str, bytes], coral: Coral) -> dict[str, bytes]:
    """Run the compiler over all the models at once; returns what it wrote, by file name.

    Models compiled together share the chip's memory for their parameters; the first has the first
    right to it. DropError when the compiler fails or what it wrote is not compiled,
    MissingDependency when it is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="tfedge-coral-") as name:
        folder = Path(name)
        for file, data in models.items():
            (folder / file).write_bytes(data)
        options = ["-s", "-m", str(coral.min_runtime), "-o", ".", *models]
        line = [*command(coral, folder), *options]
        try:
            done = subprocess.run(
                line, cwd=folder, capture_output=True, text=True, timeout=_SECONDS
            )
        except FileNotFoundError as error:
            raise not_installed(line[0]) from error
        except subprocess.TimeoutExpired as error:
            raise DropError(f"the Edge TPU compiler gave no answer in {_SECONDS} s") from error
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
            raise DropError(
                f"the Edge TPU compiler ended with {done.returncode}: {lines[-1]}",
                f"models are made for edgetpu_compiler {edgetpu_rules.table()['compiler']}; older "
                "ones don't know all of their ops: edgetpu_compiler --version",
            )
        made: dict[str, bytes] = {}
        for file in models:
            stem = Path(file).stem
            for wanted in (f"{stem}_edgetpu.tflite", f"{stem}_edgetpu.log"):
                path = folder / wanted
                if not path.is_file():
                    raise DropError(f"the Edge TPU compiler wrote no {wanted}")
                made[wanted] = path.read_bytes()
            check_compiled(made[f"{stem}_edgetpu.tflite"], f"{stem}_edgetpu.tflite")
        return made


def check_compiled(model: bytes, name: str) -> None:
    """DropError unless at least one op of the model runs on the Edge TPU."""
    if not any(op.custom and op.name == CUSTOM_OP for op in reader.read(model).ops):
        raise DropError(
            f"{name}: nothing in it runs on the Edge TPU",
            "`tfedge inspect` says of each op why; a file of that name must be compiled",
        )


def _extra_models(coral: Coral, own: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for text in coral.together:
        path = Path(text)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DropError(f"package.coral.together: {path}: {error.strerror}") from error
        reader.check_header(data, path)
        if not _PLAIN.fullmatch(path.name):  # the name goes into a script
            raise DropError(
                f"package.coral.together: {path.name!r}: rename it to a plain NAME.tflite"
            )
        if path.name in found or path.name == own:
            raise DropError(f"package.coral.together: two models are called {path.name}")
        found[path.name] = data
    return found


def for_compiler(model: bytes) -> bytes:
    """The model without the forms that are for XNNPACK."""
    return with_pools(with_constant_kernels(with_integer_input(model)))


def _all_int8(content: Content) -> None:
    """No float tensor but those of ``quantize.keep``, which the compiler leaves to the CPU."""
    if (content.recipe.get("quantize") or {}).get("keep"):
        return
    floats = reader.read(content.model).float_tensors()
    if floats:
        raise DropError(
            f"target coral: the model has {len(floats)} float tensors, such as {floats[0]}",
            "an Edge TPU takes 8-bit models only: give the pipeline a quantize section",
        )


def _state(facts: dict[str, Any], wanted: str) -> str:
    if facts["compiled"]:
        left = facts["left_on_cpu"]
        rest = f"{left} ops are left to the CPU" if left else "all of it runs on the Edge TPU"
        return f"`{wanted}` is compiled: {rest}. What the compiler said is in its log."
    mapped, total = facts["predicted"]["mapped"], facts["predicted"]["total"]
    return (
        f"**This drop is NOT COMPILED.** There is no `{wanted}` in it: run `./compile.sh` on an "
        f"x86-64 Linux machine that has edgetpu_compiler. Predicted: {mapped} of {total} ops will "
        "run on the Edge TPU."
    )


def _check(folder: Path, command: Sequence[str]) -> None:
    if command:
        replay(folder, command)


CORAL = Target("coral", layout, _check)
