"""What image classification says of a model's scores, with numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from tfedge.core.outputs import Base, Evaluation
from tfedge.data.audit import IMBALANCE, Contents, Findings, audit
from tfedge.data.index import Index
from tfedge.data.schema import Data
from tfedge.data.sources import scan
from tfedge.files.progress import Progress
from tfedge.inputs.images.corruptions import CORRUPTIONS
from tfedge.inputs.images.looks import alike
from tfedge.inputs.images.pictures import DecodedImages, Decoding, looks_of
from tfedge.inputs.images.schema import ImageData
from tfedge.modeling.nets.image_base import ImageBase
from tfedge.pipeline.schema import Finetune, Pipeline
from tfedge.portable import golden
from tfedge.tasks.blocks import Block, Part, cell
from tfedge.tasks.drop import Asked, Card, Check, Chosen, Content, Parts
from tfedge.tasks.image_classification import card, drop, metrics, report
from tfedge.tasks.image_classification import golden as pairs
from tfedge.tasks.image_classification.examples import LabelledImages
from tfedge.tasks.image_classification.schema import ClassifierEvaluate
from tfedge.tasks.task import Examples

_FLAT = "images of next to one colour only"
_TINY = 1e-7  # below any score that matters: no logarithm of zero


class Classification:
    """Outputs are scores float [N, classes], softmax; targets int [N], numbers of classes."""

    def scan(self, pipeline: Pipeline, cache: Path, progress: Progress, out: Path) -> None:
        """Leaves every image decoded in the pixel store."""
        settings = cast(ImageData, pipeline.data)
        found = scan(settings, cache, progress)
        root = found.listing.root
        files = {
            found.digests[entry.path]: root / entry.path
            for entry in found.listing.entries
            if entry.path in found.digests
        }
        decoding = Decoding(settings.image_size, settings.fit, settings.range)
        store = decoding.store(cache)
        looks, bad = looks_of(store, files, decoding, progress)
        contents = Contents(
            same={digest: look.same for digest, look in looks.items()},
            bad=bad,
            near={digest: look.near for digest, look in looks.items() if not look.flat},
            alike=alike(lambda digest: store.memmap[store.rows([digest])[0]]),
            remarks={digest: _FLAT for digest, look in looks.items() if look.flat},
        )
        skip = settings.on_bad_image == "skip"
        index, findings = audit(found, contents, settings, skip)
        for warning in findings.warnings:
            progress.note(warning)
        if findings.order:
            progress.note(findings.order)
        counts = ", ".join(
            f"{sum(count.values())} {split}" for split, count in index.counts.items()
        )
        progress.note(f"{len(index.rows)} images of {len(index.classes)} classes: {counts}")
        index.save(out / "index.json")
        findings.save(out / "audit.json")

    def examples(self, index: Path, data: Data, root: Path, cache: Path) -> LabelledImages:
        settings = cast(ImageData, data)
        size, fit, levels = settings.image_size, settings.fit, settings.range
        return LabelledImages(DecodedImages(Index.load(index), root, cache, size, fit, levels))

    def problem(self, outputs: np.ndarray, examples: Examples) -> tuple[str, str] | None:
        return problem_of(outputs, len(_classes(examples)))

    def settings(self, evaluate: ClassifierEvaluate, examples: Examples) -> dict[str, Any]:
        return {"top_k": min(evaluate.top_k, len(_classes(examples)))}

    def measure(
        self,
        outputs: np.ndarray,
        targets: np.ndarray,
        examples: Examples,
        evaluate: ClassifierEvaluate,
    ) -> metrics.ClassifierMetrics:
        top_k = self.settings(evaluate, examples)["top_k"]
        return metrics.measure(outputs, targets, _classes(examples), top_k)

    def primary(self, outputs: np.ndarray, targets: np.ndarray) -> float:
        """Top-1."""
        return float(self.quality(outputs, targets).mean())

    def quality(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """1 for a right answer, 0 for a wrong one."""
        right: np.ndarray = (outputs.argmax(axis=1) == targets).astype(np.float64)
        return right

    def same(self, outputs: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Where the class with the highest score is the same."""
        equal: np.ndarray = outputs.argmax(axis=1) == others.argmax(axis=1)
        return equal

    def divergence(self, reference: np.ndarray, outputs: np.ndarray) -> float:
        """Mean Kullback–Leibler divergence from the reference, in nats."""
        p, q = (np.clip(s.astype(np.float64), _TINY, None) for s in (reference, outputs))
        p, q = (s / s.sum(1, keepdims=True) for s in (p, q))
        return float((p * np.log(p / q)).sum(1).mean())

    def corruptions(self) -> Mapping[str, Callable[[np.ndarray, int], np.ndarray]]:
        return CORRUPTIONS

    def worst(
        self, outputs: np.ndarray, examples: Examples, rows: Sequence[int], count: int
    ) -> list[dict[str, Any]]:
        """The wrong answers given with the largest lead over the truth."""
        labels, names = examples.targets(rows), examples.names(rows)
        return metrics.worst(outputs, labels, names, _classes(examples), count)

    def warnings(self, evaluation: Evaluation) -> list[str]:
        """Classes that no image judges, and those that the model never answers."""
        models, split = metrics.models_of(evaluation), evaluation.split
        shipped = models[evaluation.shipped]
        empty = [row.name for row in shipped.per_class if not row.support]
        found = [f"no {split} images of: {', '.join(empty)}"] if empty else []
        missed = metrics.never_answered(shipped)
        if missed:
            images = sum(row.support for row in shipped.per_class if row.name in missed)
            plain = set(metrics.never_answered(models["float"]))
            does = [name for name in missed if name not in plain]
            float_too = f" (float does answer {', '.join(does)})" if does else ""
            found.append(
                f"{evaluation.shipped} never answers {', '.join(missed)}, not even for the {images}"
                f" {split} images of it{float_too}: its accuracy is of the other classes alone; see"
                " finetune.class_weights, and evaluate.gates.min_recall, which stops such a model"
            )
        return found

    def proposals(self, examples: Examples, finetune: Finetune) -> list[str]:
        """Weights for classes of very different sizes."""
        counts = {name: n for name, n in examples.counts.get("train", {}).items() if n}
        if not counts or finetune.class_weights != "none":
            return []
        most, least = (f(counts, key=counts.__getitem__) for f in (max, min))
        if counts[most] <= IMBALANCE * counts[least]:
            return []
        return [
            f"{counts[most]} training images of {most} and {counts[least]} of {least}: "
            "finetune.class_weights: balanced lets each class count the same (and the same key of "
            "prune, cluster and quantize, where they train); more images are better"
        ]

    def answers(self, evaluation: Evaluation) -> list[Part]:
        return report.answers(evaluation)

    def data(self, index: Path, audit: Path | None) -> list[Block]:
        return report.data(Index.load(index), None if audit is None else Findings.load(audit))

    def net_text(self, base: Base) -> str:
        net = ImageBase.of(base)
        return f"{cell(net.name)}, alpha {net.alpha:g}, {net.image_size} pixels a side"

    def contract(self, model: bytes, examples: Examples) -> tuple[dict[str, Any], dict[str, Any]]:
        """uint8 [1, S, S, 3] RGB in, scores [1, classes] out."""
        return drop.contract(model, cast(LabelledImages, examples))

    def drop_facts(self, examples: Examples) -> dict[str, Any]:
        return drop.facts(cast(LabelledImages, examples))

    def synthetic(
        self, examples: Examples, given: Mapping[str, Any], asked: Asked, count: int
    ) -> Chosen:
        return pairs.synthetic(given["shape"][1], _classes(examples), asked, count)

    def public(
        self,
        files: Sequence[Path],
        examples: Examples,
        given: Mapping[str, Any],
        asked: Asked,
        count: int,
    ) -> Chosen:
        size, fit = given["shape"][1], given["fit"]
        return pairs.public(files, size, fit, _classes(examples), asked, count)

    def held_out(self, examples: Examples, rows: Sequence[int], count: int) -> Chosen:
        return pairs.held_out(cast(LabelledImages, examples), rows, count)

    def difference(self, expected: np.ndarray, got: np.ndarray) -> str:
        return golden.difference(expected, got)

    def parts(self, target: str, content: Content, told: Mapping[str, str]) -> Parts:
        return drop.parts(target, content, told)

    def card(self, content: Content) -> Card:
        return card.card(content)

    def check_drop(self, folder: Path, manifest: Mapping[str, Any]) -> list[Check]:
        return drop.check(folder, manifest)


def _classes(examples: Examples) -> tuple[str, ...]:
    return cast(LabelledImages, examples).classes


def problem_of(scores: np.ndarray, classes: int) -> tuple[str, str] | None:
    """What scores of that many classes must be and what these are; None when they are fine."""
    finite = bool(np.isfinite(scores).all())
    if scores.ndim == 2 and scores.shape[1] == classes and finite:
        return None
    got = f"{list(scores.shape[1:])}{'' if finite else ', not all finite'}"
    return f"{classes} finite scores an image", got
