"""What ``tools/support_table.py`` found, as it is shown: rows as cells, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

from tfedge.files.text import WIDTH, columns
from tfedge.tasks.table import DEFAULT, task_of

METRIC = task_of(DEFAULT).primary  # every net was tried on that task
HEAD = (
    *("backbone", "pixels", "zeros", "float", "QAT", "PTQ", "float tensors"),
    *("as Keras", "tflite-runtime", "int8 MB"),
)
SHORT = (
    *("backbone", "pixels", "zeros", "float", "QAT", "PTQ", "floats"),
    *("as Keras", "tflite-rt", "MB"),
)

VERSIONS = {
    "TensorFlow": "tensorflow",
    "TF-MOT": "tensorflow-model-optimization",
    "LiteRT": "ai-edge-litert",
}


def cells_of(name: str, row: Mapping[str, Any]) -> list[str]:
    """One line: how good float, QAT and PTQ are, then what is told of the QAT file (else PTQ's)."""
    qat, ptq = row["qat"], row["ptq"]
    shown = qat if qat["ok"] else ptq
    if not shown["ok"]:
        return [name, str(row["image_size"]), *["no"] * (len(HEAD) - 2)]
    return [
        name,
        str(row["image_size"]),
        f"{shown['sparsity']:.1%}",
        METRIC.text(shown[f"float_{METRIC.key}"]),
        METRIC.text(qat[METRIC.key]) if qat["ok"] else "no",
        METRIC.text(ptq[METRIC.key]) if ptq["ok"] else "no",
        str(shown["float_tensors"]),
        f"{shown['like_keras']:.1%}",
        "no" if (same := shown["tflite_runtime"]) is None else f"{same:.1%}",
        f"{shown['bytes'] / 1e6:.2f}",
    ]


def origin(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """When, with what and where these rows were made, in one line."""
    dates = sorted({row["date"] for row in rows.values()})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    machines = sorted({row["machine"] for row in rows.values() if "machine" in row})
    versions = [
        f"{title} {', '.join(found)}"
        for title, key in VERSIONS.items()
        if (found := sorted({row["versions"][key] for row in rows.values() if row["versions"]}))
    ]
    return f"({'; '.join([when, *machines, ', '.join(versions)])})"


def listing(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The table in at most ``WIDTH`` columns, with what its columns are."""
    told = (
        "Tried with random weights on handwritten digits, half of the prunable weights zero in the "
        f".tflite. float, QAT, PTQ: {METRIC.label}. Then, of the QAT file: float tensors left, "
        "same answers as its Keras graph's, the same on tflite-runtime as on LiteRT, megabytes."
    )
    cells = [cells_of(name, row) for name, row in rows.items()]
    return [
        *wrap(told, WIDTH),
        "",
        *columns([SHORT, *cells], gap=2),
        "",
        *wrap(origin(rows), WIDTH),
    ]
