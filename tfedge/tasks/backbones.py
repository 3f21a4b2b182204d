"""What ``tfedge backbones`` prints."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from tfedge.catalog.backbones import Backbone, net
from tfedge.catalog.encoders import ENCODERS, WORDS, Encoder, WordVectors
from tfedge.catalog.keras_files import KERAS_FILES
from tfedge.catalog.support import load
from tfedge.catalog.weights import WHEELS
from tfedge.files.text import WIDTH, columns
from tfedge.tasks import support as outcomes
from tfedge.tasks.support import METRIC

WAYS = ("qat", "ptq")

# What came of a net that was tried: a line's name, its key in the row, its form.
_TRIED = (
    (METRIC.label, METRIC.key, "{:.1%}"),
    ("zeros, of all prunable weights", "sparsity", "{:.1%}"),
    ("float tensors", "float_tensors", "{}"),
    ("same answer as its Keras graph", "like_keras", "{:.1%}"),
    ("same answer on tflite-runtime", "tflite_runtime", "{:.1%}"),
    ("bytes", "bytes", "{:,}"),
)

_HEAD = ("backbone", "family", "pixels", "params", "MACs", "alpha", "weights", "int8")


def facts(row: Backbone) -> dict[str, Any]:
    """Everything the catalogue knows of a backbone, ready for JSON."""
    mean, std = row.norm
    return {
        "name": row.name,
        "family": row.family,
        "min_size": row.min_size,
        "native_size": row.native_size,
        "mean": mean,
        "std": std,
        "weights": [*row.weights, "file", "none"],
        "sources": _sources(row),
        "alphas": {
            f"{alpha:g}": {
                "parameters": net(row.name, alpha).parameters,
                "macs": net(row.name, alpha).macs,
            }
            for alpha in row.alphas
        },
        "support": load().get(row.name),
        "blocks": [block.name for block in net(row.name, row.alphas[0]).blocks],
    }


def _sources(row: Backbone) -> list[dict[str, Any]]:
    """The pretrained weights there are: one for each file or wheel, at the native size."""
    found: list[dict[str, Any]] = []
    if "imagenet" in row.weights:
        file = KERAS_FILES[row.name]
        found += [
            {
                "weights": "imagenet",
                "alpha": alpha,
                "from": file.address(alpha, row.native_size),
                "digest": file.digest(alpha),
                "licence": file.licence,
            }
            for alpha in row.alphas
        ]
    found += [
        {
            "weights": "wheel",
            "alpha": wheel.alpha,
            "from": wheel.requirement,
            "digest": wheel.sha256,
            "licence": wheel.licence,
        }
        for wheel in WHEELS.values()
        if wheel.backbone == row.name
    ]
    return found


def everything(rows: Iterable[Backbone]) -> str:
    """The catalogue, what came of the nets that were tried, and the encoders of texts."""
    found = load()
    tried = ["", *outcomes.listing(found)] if found else []
    of_texts = [*map(_encoder_line, ENCODERS.values()), _words_line(WORDS)]
    return "\n".join([listing(rows), *tried, "", *of_texts])


def _encoder_line(row: Encoder) -> str:
    source = f", {row.wheel.requirement}, {row.wheel.licence}" if row.wheel else ""
    return f"for texts: {row.name} ({row.layers} layers of {row.hidden}{source})"


def _words_line(row: WordVectors) -> str:
    of = f"of the table of {row.encoder.name}"
    return f"for texts: {row.name} (mean of word vectors, {row.dimensions} numbers {of})"


def listing(rows: Iterable[Backbone]) -> str:
    """A line for each; of several alphas the figures of the largest."""
    found = load()
    cells = [_HEAD, *((*_cells(row), _int8(found.get(row.name))) for row in rows)]
    figures = ("params", "MACs")
    left = [number for number, name in enumerate(_HEAD) if name not in figures]
    return "\n".join(columns(cells, left=left, gap=2))


def _cells(row: Backbone) -> tuple[str, ...]:
    """What the catalogue says of it."""
    largest = net(row.name, max(row.alphas))
    alphas = "" if len(row.alphas) == 1 else f"{min(row.alphas):g}–{max(row.alphas):g}"
    return (
        row.name,
        row.family,
        f"{row.min_size}, {row.native_size}",
        f"{largest.parameters / 1e6:.1f} M",
        f"{largest.macs / 1e9:.2f} G",
        alphas,
        ", ".join(row.weights) or "file, none",
    )


def _int8(tried: dict[str, Any] | None) -> str:
    """The better of the ways to int8 that held on this very net; "" for one that was not tried."""
    if tried is None:
        return ""
    return next((way.upper() for way in WAYS if tried[way]["ok"]), "none")


def support(row: Backbone) -> list[str]:
    """What came of prune, QAT and PTQ, in lines; none for a net that was not tried."""
    found = load().get(row.name)
    if found is None:
        return []
    told = [
        f"Tried {found['date']} with random weights on handwritten digits at "
        f"{found['image_size']} pixels (TensorFlow {found['versions'].get('tensorflow', '?')}):"
    ]
    ways = {way.upper(): found[way] for way in WAYS}
    floats = [METRIC.text(way[f"float_{METRIC.key}"]) for way in ways.values() if way["ok"]][:1]
    table = [("", "float", *ways)]
    for name, key, form in _TRIED:
        float_too = "".join(floats) if key == METRIC.key else ""
        table.append((name, float_too, *(_cell(way, key, form) for way in ways.values())))
    told += columns(table, gap=2)
    for way, result in ways.items():
        if not result["ok"]:
            told += wrap(f"{way}: {result['error']}", WIDTH, subsequent_indent="  ")
    return told


def _cell(result: dict[str, Any], key: str, form: str) -> str:
    """A cell: what did not come about, or does not load, is "no"."""
    value = result[key] if result["ok"] else None
    return "no" if value is None else form.format(value)


def one(row: Backbone) -> str:
    """A backbone with the blocks that ``unfreeze`` takes."""
    mean, std = row.norm
    outcome = support(row)
    lines = [
        listing([row]),
        "",
        *([*outcome, ""] if outcome else []),
        f"Its weights want (pixel − {_rgb_text(mean)}) / {_rgb_text(std)}, RGB, 0–255.",
        *_weight_sources(row),
        "",
        "Blocks, from the pixels up:",
    ]
    names = "  ".join(block.name for block in net(row.name, row.alphas[0]).blocks)
    return "\n".join([*lines, *wrap(names, WIDTH)])


def _weight_sources(row: Backbone) -> list[str]:
    """Where each set of pretrained weights is from, and its licence."""
    keras = KERAS_FILES[row.name].licence if "imagenet" in row.weights else ""
    lines = [f"imagenet  Keras' own, {keras}"] if keras else []
    for wheel in WHEELS.values():
        if wheel.backbone == row.name:
            lines.append(f"wheel     {wheel.requirement}, alpha {wheel.alpha:g}, {wheel.licence}")
    return [*lines, "file      your own .h5, .keras or .npz", "none      random numbers"]


def _rgb_text(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else f"({', '.join(f'{v:g}' for v in values)})"
