"""Small classes are not starved by the split, and groups stay in one."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from tfedge.data.schema import Split
from tfedge.data.split import assign, group_unit, split_position


def digests(count: int, what: str = "") -> list[str]:
    return [hashlib.sha256(f"{what}{n}".encode()).hexdigest() for n in range(count)]


@pytest.mark.parametrize("share", [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5])
@pytest.mark.parametrize("test", [0.0, 0.2])
def test_no_small_class_has_more_than_its_share_in_val(share: float, test: float) -> None:
    for count in range(3 if test else 2, 21):
        if count * share >= 10:
            continue  # large enough for the hash
        classes = {f"{seed}": digests(count, f"{share} {seed} ") for seed in range(50)}
        splits, _ = assign(classes, Split(val=share, test=test))
        for split in splits.values():
            held = Counter(split.values())
            assert 1 <= held["val"] <= max(1, round(count * share)), (count, held)
            assert held["train"] >= held["val"] or share > 1 - share - test
            assert 1 <= held["test"] <= max(1, round(count * test)) or not test


def test_train_is_never_the_smaller_half_in_a_large_class_either() -> None:
    for seed in range(60):
        held = Counter(assign({"a": digests(101, f"{seed} ")}, Split(val=0.5))[0]["a"].values())
        assert held["train"] >= held["val"] >= 30


def test_more_in_val_than_in_train_can_be_asked_for() -> None:
    held = Counter(assign({"a": digests(400)}, Split(val=0.7))[0]["a"].values())
    assert held["val"] > 240


def test_an_image_that_is_added_to_a_small_class_moves_one_other_at_most() -> None:
    moves = []
    for seed in range(200):
        for count in (3, 6, 12, 30):
            old, new = digests(count, f"{seed} "), digests(1, f"new {seed}")
            before = assign({"a": old}, Split())[0]["a"]
            after = assign({"a": [*new, *old]}, Split())[0]["a"]
            moves.append(sum(after[digest] != before[digest] for digest in old))
    assert max(moves) <= 1 and sum(moves) < 0.35 * len(moves)


def test_large_classes_go_by_their_hash_alone() -> None:
    held = digests(180)
    splits, moved = assign({"a": held}, Split(val=0.15, test=0.15))
    for digest in held:
        where = split_position(digest)
        assert splits["a"][digest] == (
            "test" if where < 0.15 else "val" if where < 0.3 else "train"
        )
    assert not moved


def test_a_group_of_several_classes_is_in_one_split() -> None:
    groups = [group_unit(f"patient {n}") for n in range(40)]
    classes = {"ill": groups[:30], "well": groups[10:]}
    splits, _ = assign(classes, Split(val=0.2, test=0.2))
    for unit in groups[10:30]:
        assert splits["ill"][unit] == splits["well"][unit]
    for split in splits.values():
        assert set(split.values()) == {"train", "val", "test"}


def test_two_groups_are_enough_for_two_splits() -> None:
    for seed in range(50):
        units = [group_unit(f"{seed} {n}") for n in range(2)]
        splits, _ = assign({"a": units, "b": units}, Split())
        assert splits["a"] == splits["b"] and set(splits["a"].values()) == {"train", "val"}
