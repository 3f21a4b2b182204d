"""What a run will need: estimates that follow the pipeline, held against what was measured."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tfedge.catalog.backbones import BACKBONES, net
from tfedge.cli import main
from tfedge.files.text import roughly
from tfedge.pipeline.load import load
from tfedge.pipeline.needs import Needs, needs, told
from tfedge.pipeline.schema import Pipeline

QAT: dict[str, Any] = {"recipe": "qat", "epochs": 1}
SMALL: dict[str, Any] = {
    "backbone": {"name": "MobileNetV2", "alpha": 0.35, "weights": "none"},
    "finetune": {"unfreeze": 0},
    "prune": {"sparsity": 0.5, "epochs": 1},
    "quantize": QAT,
    "evaluate": {"robustness": 0},
}


def pipeline(folder: Path, size: int = 96, views: int = 1, **sections: Any) -> Pipeline:

    data = {"path": "photos", "image_size": size, "augment": {"views": views} if views else None}
    content = {"name": "p", "data": {k: v for k, v in data.items() if v is not None}, **sections}
    file = folder / "needs.yaml"
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return load(file).pipeline


@pytest.mark.parametrize("name", BACKBONES)
def test_every_net_says_what_its_blocks_give_and_cost(name: str) -> None:
    for alpha in BACKBONES[name].alphas:
        found = net(name, alpha)
        assert sum(block.macs for block in found.blocks) == found.macs
        sides = [block.shape[:2] for block in found.blocks]
        assert sides == sorted(sides, reverse=True) and sides[-1][0] >= 4
        assert all(height == width for height, width in sides)


def test_mobilenet_v2_is_known_by_heart() -> None:
    shapes = {block.name: block.shape for block in net("MobileNetV2").blocks}
    assert shapes["stem"] == (112, 112, 16) and shapes["block_12"] == (14, 14, 96)
    assert shapes["top"] == (7, 7, 1280)


def test_the_disk_is_what_a_run_of_that_pipeline_took(tmp_path: Path) -> None:
    """1,000 images of 96 pixels, 800 of them for training, one view."""
    found = needs(pipeline(tmp_path, **SMALL), 96, 800, 200, 2)
    pixels = 1000 * (3 * 96**2 + 36)
    features = 1800 * (4 * 1280 + 36)
    boundary = (1800 + 512) * (5 * 3 * 3 * 56 + 2 * 36)  # 512 of them once more with noise
    taught = 1600 * 2 * 1280  # float16
    assert found.cache == pixels + features + boundary + taught


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """Beyond what is held of features: then they are on disk while a head is fitted to them."""

    def wanted(head: str, train: int) -> Needs:
        sections = {**SMALL, "quantize": None, "finetune": {"head": head}}
        return needs(pipeline(tmp_path, views=0, **sections), 96, train, 200, 2)

    few, many, more = (wanted("logistic", train) for train in (1_000, 100_000, 1_000_000))
    assert few.memory < many.memory == more.memory
    assert more.cache - wanted("sgd", 1_000_000).cache == 1_000_000 * 1280 * 8


def test_more_costs_more(tmp_path: Path) -> None:
    plain = needs(pipeline(tmp_path, **SMALL), 96, 800, 200, 2)

    def other(size: int = 96, train: int = 800, cores: int = 2, **sections: Any) -> Needs:
        return needs(pipeline(tmp_path, size, **{**SMALL, **sections}), size, train, 200, cores)

    assert other(train=8000).cache > 8 * plain.cache
    assert other(192).cache > 3 * plain.cache and other(192).seconds > plain.seconds
    assert other(cores=8).seconds < plain.seconds
    assert other(quantize=None, prune=None).cache < plain.cache
    assert other(views=4).cache > 1.3 * plain.cache
    large = other(backbone={"name": "ResNet50", "weights": "none"})
    assert large.seconds > plain.seconds and large.memory > plain.memory + 4e8
    assert other(finetune={"unfreeze": "all"}, prune=None).seconds > plain.seconds


def test_every_backbone_has_an_estimate(tmp_path: Path) -> None:
    for name, row in BACKBONES.items():
        sections = {**SMALL, "backbone": {"name": name, "weights": "none"}}
        found = needs(pipeline(tmp_path, **sections), row.native_size, 100, 20, 2)
        assert 30 < found.seconds < 36_000 and found.cache > 120 * 3 * row.native_size**2


def test_check_says_it_until_the_cache_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text("name: p\ndata: {path: photos, image_size: 96}\n")
    for split, count in (("train", 30), ("val", 10)):
        for label in "ab":
            folder = tmp_path / "photos" / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.jpg").touch()
    assert main(["check", "p.yaml"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "needs" in line]
    assert line.startswith("needs, from nothing: about ") and " for 80 images" in line
    assert " of disk in the cache, " in line and " of memory, " in line

    full = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda place: Full(full))
    said = [*told(load(tmp_path / "p.yaml").pipeline, tmp_path / "cache")]
    assert said[1] == "note: that disk has 1 MB left; --cache (TFEDGE_CACHE) names another"
    assert not [*told(load(tmp_path / "p.yaml", ["data.path=none"]).pipeline, tmp_path)]


class Full:
    """A disk with one block left."""

    def __init__(self, like: os.statvfs_result) -> None:
        self.f_bavail, self.f_frsize = 1, like.f_frsize


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "10 s"), (44, "40 s"), (200, "3 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_seconds_are_told_roughly(seconds: float, text: str) -> None:
    assert roughly(seconds) == text
