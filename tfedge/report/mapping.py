"""The Edge TPU in a report: which ops of the model run there, and why others do not."""

from __future__ import annotations

from dataclasses import asdict

from tfedge.edgetpu.edgetpu import TPU, predict
from tfedge.files.artifact import read_json
from tfedge.files.text import size_text
from tfedge.report.facts import Facts
from tfedge.report.inspect import left_on_cpu
from tfedge.tasks.blocks import Block, Bullets, Figure, Places, Table, Text
from tfedge.tflite import reader

_TARGET = "coral"
_DRAWN = 600  # ops


def is_told(facts: Facts) -> bool:
    """Whether the run has the drop."""
    return any(row["target"] == _TARGET for row in facts.result.get("drops") or [])


def edge_tpu(facts: Facts) -> list[Block]:
    """Of the model in the run's drop for Coral, as its compiler is predicted to map it; nothing
    without that drop. ArtifactError for a model that is not what it must be."""
    made = [row for row in facts.result.get("drops") or [] if row["target"] == _TARGET]
    if not made:
        return []
    folder = facts.run_dir / made[0]["path"]
    file = folder / str(read_json(folder / "MANIFEST.json")["model"])
    found = predict(reader.read(file))
    ops = [asdict(op) for op in found.ops]
    places = [
        (f"{op.index} {op.op}" + (f": {op.reason}" if op.reason else ""), op.target == TPU)
        for op in found.ops
    ]
    rest = [[span, told] for span, told in left_on_cpu(ops)]
    streamed = (
        f", of which {size_text(found.streamed_bytes)} are sent in every inference"
        if found.streamed_bytes
        else ""
    )
    title = f"The {found.total} ops in their order: {found.mapped} on the Edge TPU"
    figure = [Figure(title, Places("Edge TPU", "CPU", places))] if 0 < len(places) <= _DRAWN else []
    return [
        Text(
            f"Predicted for `{file.name}`: {found.mapped} of {found.total} ops run on the Edge "
            f"TPU; {size_text(found.parameter_bytes)} of parameters{streamed}."
        ),
        *figure,
        *([Table(["op", "on the CPU, for"], rest)] if rest else []),
        *([Bullets(found.notes)] if found.notes else []),
    ]
