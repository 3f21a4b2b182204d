"""The differences that matter, and how large each may be."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from accuracy_results import key_of

Row = Mapping[str, Any]
Where = tuple[str, str]  # set and backbone
EXACT = 1e-9  # below it a miss is one of floating point


class Term(NamedTuple):
    """A figure of a column."""

    column: str
    figure: str = "top1"


class Difference(NamedTuple):
    """``more`` less ``less`` (or ``more`` itself), in the same split; more is better.

    ``mean`` is the least that it may be over all sets and backbones, ``each`` on every one of them,
    the mean over splits each time. ``scale`` 100: points or per cent.
    """

    name: str
    more: Term
    less: Term | None
    mean: float | None = None
    each: float | None = None
    scale: float = 100.0


class Found(NamedTuple):
    """Of a difference: its mean and worst set over splits, with their standard errors."""

    mean: float
    error: float | None
    worst: float
    worst_error: float | None
    where: Where
    cells: int

    def misses(self, wanted: Difference) -> bool:
        """Whether a limit is not kept."""
        pairs = ((self.mean, wanted.mean), (self.worst, wanted.each))
        return any(least is not None and got < least - EXACT for got, least in pairs)


def _top1(more: str, less: str, **limits: float) -> Difference:
    return Difference(f"{more} − {less}", Term(more), Term(less), **limits)


def _harder(column: str, plain: str, how: str) -> Difference:
    name = f"{column} − {plain}, {how}"
    return Difference(name, Term(column, how), Term(plain, how), each=-3.0)


def _alike(column: str, least: float | None = 96.0) -> Difference:
    return Difference(
        f"{column}: same answer as float", Term(column, "agreement"), None, None, least
    )


def _beats(column: str, other: str, least: float | None) -> tuple[Difference, Difference]:
    """The column is nearer to float than another one, by both measures."""
    same = Term(column, "agreement"), Term(other, "agreement")
    far = Term(other, "kl"), Term(column, "kl")
    return (
        Difference(f"same answer as float: {column} − {other}", *same, each=least),
        Difference(f"KL from float: {other} − {column}", *far, each=least, scale=1.0),
    )


DIFFERENCES = (
    _top1("head", "lr", each=-0.5),
    Difference("head − lr, C = 0.01", Term("head"), Term("lr", "top1_001")),
    _top1("unfrozen", "head"),
    _top1("ptq", "head", mean=-0.5, each=-1.0),
    _top1("ptq_unfrozen", "unfrozen", mean=-0.5, each=-1.0),
    _top1("ptq_plain", "head"),
    _top1("ptq_plain_unfrozen", "unfrozen"),
    _top1("aeq", "head"),
    _top1("aeq_unfrozen", "unfrozen"),
    _top1("qat", "head"),
    _top1("prune_qat", "head", mean=0.0, each=-1.0),
    _top1("prune_qat", "prune_qat_without_noise"),
    _top1("prune_qat_reestimate", "prune_qat_without_noise"),
    _top1("prune_qat_sensitivity", "prune_qat_without_noise"),
    _top1("prune_qat_unfrozen", "unfrozen", mean=-1.0),
    _top1("auto", "head"),
    _alike("ptq"),
    _alike("ptq_unfrozen"),
    *(
        _harder(column, plain, how)
        for column, plain in (
            ("ptq", "head"),
            ("ptq_unfrozen", "unfrozen"),
            ("prune_qat", "head"),
            ("prune_qat_unfrozen", "unfrozen"),
        )
        for how in ("noise", "contrast")
    ),
    *_beats("ptq", "aeq", 0.0),
    *_beats("ptq_unfrozen", "aeq_unfrozen", 0.0),
    *_beats("ptq", "ptq_plain", None),
    *_beats("ptq_unfrozen", "ptq_plain_unfrozen", None),
)


def values(wanted: Difference, rows: Iterable[Row]) -> dict[Where, dict[int, float]]:
    """The difference by set and backbone, then by split, where both of its columns are measured."""
    found: dict[Where, dict[int, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        key = key_of(row)
        found[key.set, key.backbone][key.split][key.column] = row
    return {
        where: kept
        for where, splits in found.items()
        if (
            kept := {
                n: got for n, cells in splits.items() if (got := _value(wanted, cells)) is not None
            }
        )
    }


def _value(wanted: Difference, cells: Mapping[str, Row]) -> float | None:
    """The difference in one split."""
    total = 0.0
    for term, sign in ((wanted.more, 1), (wanted.less, -1)):
        if term is None:
            continue
        got = cells.get(term.column, {}).get(term.figure)
        if got is None:
            return None
        total += sign * wanted.scale * got
    return total


def standard_error(found: Iterable[float]) -> float | None:
    """Of the mean; None of a single value."""
    listed = [*found]
    return statistics.stdev(listed) / math.sqrt(len(listed)) if len(listed) > 1 else None


def summed_up(wanted: Difference, rows: Iterable[Row]) -> Found | None:
    """None where nothing of it is measured yet.

    The error of the mean is that of the splits' means: a split is shared by the backbones, and
    nearly by the sets of flowers, so that its cells are not independent. Splits that lack a set
    or backbone don't count for it.
    """
    found = values(wanted, rows)
    if not found:
        return None
    means = {where: statistics.mean(splits.values()) for where, splits in found.items()}
    where = min(means, key=lambda at: means[at])
    shared = set.intersection(*(set(splits) for splits in found.values()))
    by_split = [statistics.mean(splits[n] for splits in found.values()) for n in sorted(shared)]
    return Found(
        mean=statistics.mean(means.values()),
        error=standard_error(by_split),
        worst=means[where],
        worst_error=standard_error(found[where].values()),
        where=where,
        cells=sum(len(splits) for splits in found.values()),
    )
