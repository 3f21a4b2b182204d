from __future__ import annotations

import hashlib
import random

import pytest

from tfedge.data.schema import Split
from tfedge.data.split import assign, split_position
from tfedge.errors import DataError


def digests(count: int, what: str = "") -> list[str]:
    return [hashlib.sha256(f"{what}{n}".encode()).hexdigest() for n in range(count)]


def at(where: float, tail: int = 0) -> str:
    """A digest that stands at this place of the line."""
    return f"{int(where * 2**52):013x}{tail:051x}"


def test_adding_an_image_moves_no_other() -> None:
    random.seed(3)
    old = digests(300)
    before, _ = assign({"a": old, "b": digests(50, "b")}, Split(val=0.2, test=0.1))
    for new in digests(50, "new"):
        mixed = [*old, new]
        random.shuffle(mixed)
        after, _ = assign({"b": digests(49, "b"), "a": mixed}, Split(val=0.2, test=0.1))
        assert {digest: after["a"][digest] for digest in old} == before["a"]


def test_shares_hold_in_each_class_within_the_noise() -> None:
    classes = {str(c): digests(2000, f"class {c} ") for c in range(5)}
    splits, moved = assign(classes, Split(val=0.2, test=0.1))
    assert not moved
    for split in splits.values():
        held = list(split.values())
        assert abs(held.count("val") - 400) < 4 * 18
        assert abs(held.count("test") - 200) < 4 * 14


def test_the_parts_of_the_line() -> None:
    points = {
        0.0: "test",
        0.0999: "test",
        0.101: "val",
        0.299: "val",
        0.301: "train",
        0.999: "train",
    }
    more = [at(0.31, tail) for tail in range(1, 10)]  # else two are too many for val
    splits, _ = assign({"a": [*more, *map(at, points)]}, Split(val=0.2, test=0.1))
    expected = {at(where): split for where, split in points.items()}
    assert splits["a"] == expected | dict.fromkeys(more, "train")
    edges, _ = assign({"a": [at(0.0625), at(0.125), at(0.375)]}, Split(val=0.25, test=0.125))
    assert edges["a"] == {at(0.0625): "test", at(0.125): "val", at(0.375): "train"}
    assert split_position("f" * 64) < 1 and split_position("0" * 64) == 0
    ends, _ = assign({"a": ["0" * 64, "f" * 64]}, Split(val=0.2))
    assert ends["a"] == {"0" * 64: "val", "f" * 64: "train"}


def test_a_split_without_an_image_takes_the_nearest_and_says_so() -> None:
    far, near = at(0.9), at(0.21)
    splits, moved = assign({"a": [far, near, at(0.5)]}, Split(val=0.2))
    assert splits["a"] == {far: "train", near: "val", at(0.5): "train"}
    assert moved == [("a", near, "train", "val")]
    splits, moved = assign({"a": [at(0.1), at(0.15)]}, Split(val=0.2))
    assert sorted(splits["a"].values()) == ["train", "val"] and len(moved) == 1
    for count in range(3, 12):
        for seed in range(40):
            tiny, _ = assign({"a": digests(count, f"{seed} ")}, Split(val=0.1, test=0.1))
            assert set(tiny["a"].values()) == {"train", "val", "test"}


def test_classes_that_are_too_small_are_all_named() -> None:
    same = digests(1) * 5
    with pytest.raises(DataError) as caught:
        assign({"ok": digests(9), "one": digests(1), "copies": same}, Split(val=0.2))
    assert [line.split(":")[0] for line in caught.value.problems] == ["class copies", "class one"]
    with pytest.raises(DataError, match=r"class a: 2 different examples, too few for test, val"):
        assign({"a": digests(2)}, Split(val=0.2, test=0.2))


def test_shares_that_leave_no_train() -> None:
    with pytest.raises(DataError, match="leave no train"):
        assign({"a": digests(9)}, Split(val=0.6, test=0.4))
