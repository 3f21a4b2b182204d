"""The Android drop: what lies in it, the metadata of its model, and what is refused.

That official readers understand the metadata, and that the Kotlin compiles and computes what it
should, is shown in tests/readers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from android_helpers import ABOUT, ANDROID, packed
from color_helpers import FLOAT, INT8, SIZE, Run, pixels
from pydantic import ValidationError

from tfedge.drops import android, golden, manifest
from tfedge.drops.verify import verify
from tfedge.errors import DropError
from tfedge.pipeline.schema import Android
from tfedge.tasks.drop import Pair
from tfedge.tflite import metadata
from tfedge.tflite.runtime import predict

KOTLIN = {"Classifier", "CompiledEngine", "Deep", "Engine", "InterpreterEngine", "Model", "Photo"}
KOTLIN |= {"Answer", "Labels", "LiteRt", "Pixels", "Stored"}
TESTS = {"Bitmaps", "Golden", "GoldenRule", "GoldenTest"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    tmp = tmp_path_factory.mktemp("drop")
    return packed(tmp, **ABOUT, android={"package": "com.shop.colours"})


@pytest.fixture(scope="module")
def drop(run: Run) -> Path:
    return run.folder / ANDROID


def test_files(drop: Path) -> None:
    found = {p.relative_to(drop).as_posix() for p in drop.rglob("*") if p.is_file()}
    expected = {"assets/color.tflite", "assets/labels.txt", "README.md", "CARD.md"}
    expected |= {"MANIFEST.json", "proguard-rules.pro", "gradle/build.gradle.kts"}
    expected |= {f"kotlin/com/shop/colours/{name}.kt" for name in KOTLIN}
    expected |= {f"androidTest/kotlin/com/shop/colours/{n}.kt" for n in TESTS}
    expected |= {name for number in range(8) for name in golden.names(number)}
    assert found == expected
    assert (drop / "assets/labels.txt").read_text("utf-8") == "red\ngreen\nblue\n"


def test_no_mark_is_left_and_all_kotlin_is_of_the_package(drop: Path) -> None:
    for path in drop.rglob("*"):
        if path.suffix in (".kt", ".kts", ".pro", ".md"):
            assert not re.findall(r"@[a-z_]+@", path.read_text("utf-8")), path
        if path.suffix == ".kt":
            assert path.read_text("utf-8").startswith("package com.shop.colours\n"), path


def test_verify_finds_nothing_wrong(drop: Path) -> None:
    checks = verify(drop)
    assert [problem for check in checks for problem in check.problems] == []
    assert "metadata" in {check.what for check in checks}


def test_manifest_names_the_model_and_the_package(drop: Path) -> None:
    facts = manifest.load(drop)
    assert (facts["target"], facts["model"]) == ("android", "assets/color.tflite")
    assert facts["android"] == {"package": "com.shop.colours", "litert": android.LITERT}


def test_metadata_says_how_to_call_the_model(run: Run, drop: Path) -> None:
    model = (drop / "assets/color.tflite").read_bytes()
    found = metadata.read(model)
    assert found is not None
    facts = manifest.load(drop)
    said = {"name": "color", "author": "A. Üthor", "license": "CC-BY-4.0"}
    said |= {"description": "Red, green or blue?", "version": facts["run_key"][:12]}
    assert found.items() >= said.items()
    (graph,) = found["subgraph_metadata"]
    (image,), (scores,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    properties = image["content"]["content_properties"]["ImageProperties"]
    assert properties == {"color_space": 1, "default_size": {"width": SIZE, "height": SIZE}}
    (unit,) = image["process_units"]
    assert unit == {"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}
    assert image["stats"] == {"max": [255.0], "min": [0.0]}
    assert "square by crop" in image["description"]
    assert scores["stats"] == {"max": [1.0], "min": [0.0]}
    (labels,) = scores["associated_files"]
    assert (labels["name"], labels["type"]) == ("labels.txt", 2)
    assert metadata.associated(model) == {"labels.txt": b"red\ngreen\nblue\n"}


def test_metadata_changes_no_bit_of_an_answer(drop: Path) -> None:
    shares = np.linspace(0.45, 0.55, 20).reshape(-1, 1, 1, 1)  # between two classes
    shown = (shares * pixels(0, 3) + (1 - shares) * pixels(2, 3)).astype(np.uint8)
    ours = predict(drop / "assets/color.tflite", shown, raw=True)
    assert ours.tobytes() == predict(INT8, shown, raw=True).tobytes()
    assert len(np.unique(ours, axis=0)) > 4, "else equal answers say little"


def test_what_is_not_given_is_left_out(tmp_path: Path) -> None:
    model = (packed(tmp_path).folder / ANDROID / "assets/color.tflite").read_bytes()
    found = metadata.read(model)
    assert found is not None and not {"author", "license"} & set(found)
    assert found["description"] == "Tells which of 3 classes an image shows."


def constants(drop: Path) -> dict[str, str]:
    (path,) = drop.rglob("Model.kt")
    return dict(re.findall(r"^    (?:const )?val (\w+) = (.+)", path.read_text("utf-8"), re.M))


def test_the_kotlin_knows_the_contract(drop: Path, tmp_path: Path) -> None:
    assert constants(drop) == {
        "FILE": '"color.tflite"',
        "LABELS": '"labels.txt"',
        "SIZE": "32",
        "FIT": "Fit.CROP",
        "CLASSES": "3",
        "SCORES": "Stored.UINT8",
        "SCALE": "0.00390625f",
        "ZERO_POINT": "0",
        "GOLDEN": "8",
    }
    found = constants(packed(tmp_path, FLOAT, "pad").folder / ANDROID)
    assert (found["SCORES"], found["SCALE"], found["FIT"]) == ("Stored.FLOAT32", "1.0f", "Fit.PAD")


def test_made_twice_it_is_the_same(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        digests.append(packed(tmp_path / name).json("package/drops.json")[0]["manifest_sha256"])
    assert digests[0] == digests[1]


def test_one_quantum_more_or_less_and_it_is_not_shipped(tmp_path: Path, monkeypatch) -> None:
    honest = golden.make

    def before(*args, **options):
        """What a model would have answered that metadata changed a little."""
        pairs = honest(*args, **options)
        first = Pair(pairs[0].input, pairs[0].output ^ np.uint8(1), pairs[0].facts)
        return (first, *pairs[1:])

    monkeypatch.setattr(golden, "make", before)
    with pytest.raises(DropError, match="the model answers otherwise to 1 examples"):
        packed(tmp_path)
    assert not list(tmp_path.rglob("*.kt"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m, f: (m, {"labels.txt": b"blue\ngreen\nred\n"}), "labels in its metadata"),
        (lambda m, f: (normalised(m), f), "asks for a normalisation"),
        (lambda m, f: (resized(m), f), "its metadata says"),
    ],
)
def test_metadata_that_says_otherwise_is_not_shipped(
    tmp_path: Path, monkeypatch, change, said: str
) -> None:
    honest = metadata.embed

    def wrong(model: bytes, given: dict, files: dict) -> bytes:
        return honest(model, *change(json.loads(json.dumps(given)), files))

    monkeypatch.setattr(metadata, "embed", wrong)
    with pytest.raises(DropError, match=said):
        packed(tmp_path)


def image_of(given: dict) -> dict:
    return given["subgraph_metadata"][0]["input_tensor_metadata"][0]


def normalised(given: dict) -> dict:
    image_of(given)["process_units"][0]["options"]["NormalizationOptions"]["mean"] = [127.5]
    return given


def resized(given: dict) -> dict:
    size = image_of(given)["content"]["content_properties"]["ImageProperties"]["default_size"]
    size["width"] = 64
    return given


@pytest.mark.parametrize(
    "name",
    ["org", "", "org..a", "org.1a", "1org.a", "org.a-b", ".org.a", "org.ä", "a b.c", "`in`.a"],
)
def test_package_names_that_no_app_may_have(name: str) -> None:
    with pytest.raises(ValidationError):
        Android(package=name)


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("in.co.plants", "package `in`.co.plants"),
        ("org.object.fun", "package org.`object`.`fun`"),
        ("com.shop.when.typeof", "package com.shop.`when`.`typeof`"),
        ("com.__.value", "package com.`__`.value"),
        ("com._a.data", "package com._a.data"),
    ],
)
def test_words_that_kotlin_reserves_stand_between_backticks(
    tmp_path: Path, package: str, line: str
) -> None:
    drop = packed(tmp_path, android={"package": package}).folder / ANDROID
    found = sorted(drop.rglob("*.kt"))
    assert {path.read_text("utf-8").splitlines()[0] for path in found} == {line}
    assert {path.parent.relative_to(drop).as_posix() for path in found} == {
        f"{root}/{package.replace('.', '/')}" for root in ("kotlin", "androidTest/kotlin")
    }
    assert manifest.load(drop)["android"]["package"] == package
    assert [problem for check in verify(drop) for problem in check.problems] == []


def test_levels_of_a_drop_stand_in_its_kotlin_and_its_papers(tmp_path: Path) -> None:
    drop = packed(tmp_path, range=(0, 1023)).folder / ANDROID
    (model,) = drop.rglob("Model.kt")
    assert "val LEVELS: IntArray? = intArrayOf(0, 1023)" in model.read_text()
    assert "the levels 0 to 1023 become 0 to 255" in (drop / "README.md").read_text()
    assert "the levels 0 to 1023 become 0 to 255" in (drop / "CARD.md").read_text()
