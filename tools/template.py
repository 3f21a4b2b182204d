"""Writes pipelines/photos.yaml, pipelines/tfedge.schema.json and docs/pipeline-keys.md from the
schema of a pipeline.

    python tools/template.py

What a key means stands in the schema alone, as its description; what the template says beside that
(its introduction, the values that it sets, examples where there is no default) stands here. A test
fails while one of the three files is not what this would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from page import ROOT

from tfedge.config.commented import commented
from tfedge.config.keys import Key, keys
from tfedge.data.schema import Data
from tfedge.devices.schema import Device
from tfedge.pipeline.json_schema import json_schema
from tfedge.pipeline.schema import DEFAULT, schema_of
from tfedge.tasks.table import names, task_of

TEMPLATE, PAGE = ROOT / "pipelines" / "photos.yaml", ROOT / "docs" / "pipeline-keys.md"
SCHEMA = ROOT / "pipelines" / "tfedge.schema.json"

INTRODUCTION = """\
# yaml-language-server: $schema=tfedge.schema.json
# A template for your own photos: every key, what it means, and its default.
#
#     tfedge template photos > mine.yaml
#     tfedge check mine.yaml            what is wrong with it or the data, and the plan
#     tfedge run mine.yaml
#     tfedge run mine.yaml --set prune.sparsity=0.6
#
# A line that starts with # and no space is a key with its default: take the # away to change it.
# Leave out a whole section (distill, prune, cluster, quantize, evaluate, benchmark, package) and
# that stage is not run. Paths are relative to this file. What was explained further up is not
# explained again; `tfedge schema KEY` does so at any time, and says what a value may be.
#
# Written by tools/template.py from the descriptions in the schema.
"""
# Keys that the template sets, and sections that it switches on.
SET = {"name": "photos", "data.path": "photos"}
ON = {"data", "quantize", "evaluate", "benchmark", "package"}
# What is shown where there is no default to show.
EXAMPLES = {
    "data.download.url": "https://example.org/photos.zip",
    "data.download.sha256": f'"{"0" * 64}"',
    "backbone.normalization.mean": "[123.675, 116.28, 103.53]",
    "backbone.normalization.std": "[58.395, 57.12, 57.375]",
    "distill.teacher.name": "EfficientNetLite2",
    "distill.teacher.normalization.mean": "[123.675, 116.28, 103.53]",
    "distill.teacher.normalization.std": "[58.395, 57.12, 57.375]",
    "evaluate.gates.max_accuracy_drop": "0.02",
    "evaluate.gates.min_accuracy": "0.8",
    "evaluate.gates.min_recall": "0.5",
    "evaluate.gates.min_macro_recall": "0.7",
    "evaluate.gates.max_size": "5000000",
    "evaluate.gates.max_latency": "50.0",
    "track.mlflow": "mlruns",
}

HEAD = """\
# The keys of a pipeline file

Written by `python tools/template.py` from the schema, which has each key's description; `tfedge
schema` prints the same, and `tfedge schema --json` as JSON Schema: an editor with a YAML language
server completes, explains and checks the keys of a file that begins with
`# yaml-language-server: $schema=FILE`, as every file of `pipelines/` and what `tfedge init` and
`tfedge template` print do.

A section that is left out is a stage that is not run; one with nothing behind it has its defaults.
`--set a.b=value` overrides a key. [`pipelines/photos.yaml`](../pipelines/photos.yaml) is a file
with all of them.
"""


def template() -> str:
    """The text of pipelines/photos.yaml."""
    lines = [INTRODUCTION]
    explained: set[str] = set()
    hidden = ""  # a section that is written in one line
    section = True  # whether the key before was one
    for key in keys(schema_of(DEFAULT)):
        if hidden and key.path.startswith(hidden):
            continue
        hidden = f"{key.path}." if key.path.endswith("[]") else ""
        if key.depth == 0 and (key.section or section):
            lines.append("")
        section = key.section is not None
        lines += _entry(key, explained)
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _entry(key: Key, explained: set[str]) -> Iterator[str]:
    """A key with its comment: behind it, or above it where it is long."""
    indent = "  " * key.depth
    opened = not key.section or key.path.endswith("[]")
    value = SET.get(key.path) or EXAMPLES.get(key.path) or key.default
    line = f"{indent}{'' if key.path in SET or key.path in ON else '#'}{key.name}:"
    line += f" {value}" if opened else ""
    if key.description in explained:  # word for word, further up
        yield line
        return
    explained.add(key.description)
    yield from commented(line, _comment(key))


def _comment(key: Key) -> str:
    """Its description, and the values that its type names where that does not."""
    text = key.description.replace("`", "")
    unsaid = [choice for choice in key.choices if f"`{choice}`" not in key.description]
    if len(key.choices) > 1 and unsaid:
        text = f"{' | '.join(key.choices)}. {text}"
    return text


def schema() -> str:
    """The text of pipelines/tfedge.schema.json: what ``tfedge schema --json`` prints."""
    return json.dumps(json_schema(), indent=1) + "\n"


def page() -> str:
    """The text of docs/pipeline-keys.md."""
    parts = [HEAD]
    rows: list[Key] = []
    tables = [("The file", "", rows)]
    for key in keys(schema_of(DEFAULT)):
        if key.depth == 0 and key.section:
            rows = []
            tables.append((f"`{key.name}`", _state(key) + key.description, rows))
        else:
            rows.append(key)
    for name in names():
        if name != DEFAULT:
            tables += _own(name)
    tables.append(("`devices.yaml`", DEVICES, list(keys(Device))))
    for title, text, found in tables:
        parts += [f"## {title}\n", *([f"{text}\n"] if text else []), _table(found, title)]
    return "\n".join(parts)


def _own(task: str) -> Iterator[tuple[str, str, list[Key]]]:
    """The sections that another task has in its own way: ``data`` without what all have, others
    where keys or defaults differ."""
    plain = {key.path for key in keys(Data)}
    row = task_of(task)
    own = [("data", True), ("backbone", row.backbone), ("distill.teacher", row.teacher)]
    for section in (name for name, kind in own if kind):
        found = [key for key in keys(schema_of(task)) if key.path.startswith(f"{section}.")]
        if section == "data":
            found = [key for key in found if key.path.removeprefix("data.") not in plain]
        more = "The keys above that say where examples lie, and these:" if section == "data" else ""
        yield f"`{section}`, with `task: {task}`", more, found
    yield from _other_defaults(task)


def _other_defaults(task: str) -> Iterator[tuple[str, str, list[Key]]]:
    """Keys of the other sections that a task alone has, or whose defaults differ there."""
    common = {key.path: key for key in keys(schema_of(DEFAULT))}
    for section in ("evaluate", *task_of(task).sections):
        found = [
            key
            for key in keys(schema_of(task))
            if key.path.startswith(f"{section}.")
            and (key.path not in common or key.default != common[key.path].default)
        ]
        if found:
            more = "The keys above, of which these are others or have another default:"
            yield f"`{section}`, with `task: {task}`", more, found


DEVICES = """\
Gives devices the names that `benchmark.devices` and `--device` take. It lies in the working
directory or in `~/.config/tfedge`. Its one section, `devices`, holds names, each with its address
alone or with these keys:"""


def _state(key: Key) -> str:
    """Whether a stage is run without its section."""
    return "*Off unless it is there.* " if key.field.default is None else ""


def _table(found: list[Key], title: str) -> str:
    """Markdown, without the section's name before each key."""
    lines = ["| key | default | must be | |", "| --- | --- | --- | --- |"]
    for key in found:
        name = key.path.removeprefix(f"{title.split('`')[1] if '`' in title else ''}.")
        default = "required" if key.required else f"`{key.default}`" if key.default else ""
        if key.plain_section and not key.required:
            default = "off" if key.field.default is None else ""
        cells = (f"`{name}`", default, key.expected, key.description)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    for file, text in ((TEMPLATE, template()), (SCHEMA, schema()), (PAGE, page())):
        file.write_text(text, encoding="utf-8")
        print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()
