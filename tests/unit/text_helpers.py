"""A small run around the text models in tests/unit/data: texts, and the package stage's inputs."""

from __future__ import annotations

import hashlib
import json
import string
import zlib
from collections.abc import Sequence
from pathlib import Path

from color_helpers import DATA, Run, Said

from tfedge.data.index import Index, Row
from tfedge.pipeline.schema import pipeline_of
from tfedge.portable.wordpiece import SPECIAL
from tfedge.stages import package
from tfedge.tflite.reader import read

WORDS_INT8, WORDS_FLOAT = DATA / "words_int8.tflite", DATA / "words_float.tflite"
LENGTH = 16
WORDS = {  # by class
    "weather": ("rain", "snow", "wind", "storm", "cloud", "sunny", "cafe"),
    "money": ("bank", "loan", "price", "tax", "cash", "market"),
    "sport": ("goal", "match", "team", "coach", "race", "player"),
}
CLASSES = tuple(WORDS)
_LETTERS = string.ascii_lowercase + string.digits
_SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…—“”"
PIECES = (
    *SPECIAL,
    *(word for words in WORDS.values() for word in words),
    *("the", "is", "a", "of", "##s", "##y", "##ing", "日", "本"),
    *_LETTERS,
    *(f"##{one}" for one in _LETTERS),
    *_SIGNS,
)
TEXTS = {
    "weather": ("The rain is snowing.", "WIND & storm!", "cloud, sunny cloud"),
    "money": ("a bank loan", "The price of tax: cash", "naïve café, bank of Ünïcödé"),
    "sport": ("goal! goal! a match", "team's coach", "the players race"),
}


def make_text_run(
    tmp: Path,
    shipped: Path = WORDS_INT8,
    pieces: Sequence[str] = PIECES,
    cased: bool = False,
    **options: object,
) -> Run:
    """A run whose stages before package are faked; ``options`` are those of ``package``."""
    root, rows = tmp / "texts", []
    for label, (name, texts) in enumerate(TEXTS.items()):
        for number, text in enumerate(texts):
            path = root / "test" / name / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(Row(path.relative_to(root).as_posix(), label, "test", digest))
    content = shipped.read_bytes()
    is_float = bool(read(shipped).float_tensors())
    pipeline = pipeline_of(
        {
            "name": "words",
            "task": "text-classification",
            "data": {"path": "sample:messages", "length": LENGTH},
            "quantize": None if is_float else {},
            "package": {"targets": ["android"]} | options,
        }
    )
    run = Run(tmp / "runs" / "words-1", root, Said(), {}, pipeline)
    index = Index(CLASSES, tuple(sorted(rows)), "folders", tuple(pieces), cased)
    (run.folder / "data").mkdir(parents=True)
    index.save(run.folder / "data" / "index.json")
    run.inputs["data/index.json"] = run.folder / "data" / "index.json"
    weights = {"source": "wheel", "detail": "a wheel", "sha256": "ab" * 32, "licence": "MIT"}
    sizes = {"depth": 1, "hidden": 8, "embedding": 8, "heads": 1, "inner": 8, "layers": 1}
    sizes |= {"pieces": len(pieces), "length": LENGTH}
    base = {"name": "bert", "epsilon": 1e-12, "pooling": "mean", "weights": weights}
    run.add("backbone/base.json", base | sizes)
    run.add("convert/model.tflite", content)
    run.add("convert/float.tflite", WORDS_FLOAT.read_bytes())
    run.add(
        "convert/model.json",
        {
            "recipe": "float" if is_float else "ptq",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "deflated": len(zlib.compress(content)),
            "float_deflated": len(zlib.compress(WORDS_FLOAT.read_bytes())),
            "sparsity": None,
            "float_tensors": len(read(shipped).float_tensors()),
            "input": {"dtype": "int32", "shape": [1, LENGTH]},
            "output": {"dtype": "uint8", "shape": [1, len(CLASSES)]},
            "layers": [],
        },
    )
    return run


def text_drop(tmp: Path, target: str = "android", **options: object) -> Path:
    """The folder of its drop."""
    run = make_text_run(tmp, **options)  # type: ignore[arg-type]
    package.run(run.context("package"))
    return run.folder / "package" / "drops" / target


def facts_of(drop: Path) -> dict:
    return json.loads((drop / "MANIFEST.json").read_text("utf-8"))
