"""The Android drop of a detector: what lies in it, the metadata of its model, what is refused.

That MediaPipe takes the model, and that the Kotlin compiles and finds what it should, is shown in
tests/readers.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import handmade_detector
import numpy as np
import pytest
from handmade_detector import (
    CELLS,
    CLASSES,
    SIZE,
    THRESHOLDS,
    detector,
    detector_drop,
    make_detector_run,
    scene,
)

from tfedge.cli import main
from tfedge.drops import golden, manifest
from tfedge.drops.verify import verify
from tfedge.errors import ArtifactError, DropError
from tfedge.inputs.images.anchors import anchors
from tfedge.stages import package
from tfedge.tflite import metadata
from tfedge.tflite.front import padded
from tfedge.tflite.metadata_schema import DETECTOR, DETECTOR_IDENTIFIER
from tfedge.tflite.runtime import predict

ANDROID = "package/drops/android"
KOTLIN = {"Boxes", "CompiledEngine", "Deep", "Detection", "Detector", "Engine", "Labels", "LiteRt"}
KOTLIN |= {"InterpreterEngine", "Model", "Photo", "Pixels", "Stored"}
TESTS = {"Bitmaps", "Golden", "GoldenRule", "GoldenTest"}


@pytest.fixture(scope="module")
def drop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector_drop(tmp_path_factory.mktemp("drop"), android={"package": "com.shop.in.boxes"})


def test_files(drop: Path) -> None:
    found = {p.relative_to(drop).as_posix() for p in drop.rglob("*") if p.is_file()}
    expected = {f"assets/{n}" for n in ("squares.tflite", "anchors.bin", "thresholds.txt")}
    expected |= {"assets/labels.txt", "README.md", "CARD.md", "MANIFEST.json"}
    expected |= {"proguard-rules.pro", "gradle/build.gradle.kts"}
    expected |= {f"kotlin/com/shop/in/boxes/{name}.kt" for name in KOTLIN}
    expected |= {f"androidTest/kotlin/com/shop/in/boxes/{name}.kt" for name in TESTS}
    count = len(manifest.load(drop)["golden"])
    expected |= {name for number in range(count) for name in golden.names(number)}
    expected |= {f"golden/{number:03d}.boxes.bin" for number in range(count)}
    expected |= {f"golden/{name}" for name in ("anchors.bin", "thresholds.txt")}
    assert found == expected and count == 8
    stored = np.frombuffer((drop / "assets/anchors.bin").read_bytes(), "<f4")
    assert np.array_equal(stored.reshape(-1, 4), anchors(SIZE))


def test_no_mark_is_left_and_all_kotlin_is_of_the_package(drop: Path) -> None:
    for path in drop.rglob("*"):
        if path.suffix in (".kt", ".kts", ".pro", ".md"):
            assert not re.findall(r"@[a-z_]+@", path.read_text("utf-8")), path
        if path.suffix == ".kt":
            assert path.read_text("utf-8").startswith("package com.shop.`in`.boxes\n"), path


def test_verify_finds_nothing_wrong(drop: Path) -> None:
    checks = verify(drop)
    assert [problem for check in checks for problem in check.problems] == []
    names = ("files", "model", "boxes", "metadata", "measured file", "golden pairs")
    assert [check.what for check in checks] == list(names)


def test_the_measured_file_lies_in_it_and_answers_as_it_did(drop: Path) -> None:
    model, facts, measured = (drop / "assets/squares.tflite"), manifest.load(drop), detector()
    assert measured in model.read_bytes()
    assert facts["measured"]["sha256"] == hashlib.sha256(measured).hexdigest()
    shown = np.stack([np.asarray(scene(seed).resize((SIZE, SIZE))) for seed in range(8)])
    ours, theirs = predict(model, shown, raw=True), predict(measured, shown, raw=True)
    assert ours.tobytes() == theirs.tobytes() and len(np.unique(ours, axis=0)) == 8


def graph_of(model: bytes) -> dict:
    found = metadata.read(model)
    assert found is not None and found["min_parser_version"] == "1.5.0"
    (graph,) = found["subgraph_metadata"]
    return graph


def test_metadata_says_how_mediapipe_makes_boxes(drop: Path) -> None:
    model = (drop / "assets/squares.tflite").read_bytes()
    graph = graph_of(model)
    # In the order of the file's outputs, which is not that of their names here.
    scores, location = graph["output_tensor_metadata"]
    assert (scores["name"], location["name"]) == ("score", "location")
    assert [file["name"] for file in scores["associated_files"]] == ["labels.txt"]
    properties = location["content"]["content_properties"]
    assert properties == {"BoundingBoxProperties": {"type": 1}}
    assert metadata.associated(model) == {"labels.txt": b"red\ngreen\nblue\n"}
    (custom,) = graph["custom_metadata"]
    assert custom["name"] == "DETECTOR_METADATA"
    assert model.index(custom["data"]) % 16 == 0, "it is read in place"
    said = metadata.unpacked(custom["data"], "", DETECTOR, DETECTOR_IDENTIFIER)
    rows = said["ssd_anchors_options"]["fixed_anchors_schema"]["anchors"]
    sides = ("x_center", "y_center", "width", "height")
    assert np.array_equal([[row[side] for side in sides] for row in rows], anchors(SIZE))
    options = said["tensors_decoding_options"]
    assert (options["num_boxes"], options["num_classes"]) == (CELLS, len(CLASSES))
    scales = [options[f"{side}_scale"] for side in "yxhw"]
    assert scales == [10.0, 10.0, 5.0, 5.0] and options["apply_exponential_on_box_size"]
    assert "sigmoid_score" not in options


def constants(drop: Path) -> dict[str, str]:
    (path,) = drop.rglob("Model.kt")
    return dict(re.findall(r"val (\w+)(?:: IntArray\?)? = (.+)", path.read_text("utf-8")))


def test_the_kotlin_knows_the_contract(drop: Path, tmp_path: Path) -> None:
    found = constants(drop)
    expected = {
        "FILE": '"squares.tflite"',
        "ANCHORS": '"anchors.bin"',
        "SIZE": "64",
        "FIT": "Fit.STRETCH",
        "LEVELS": "null",
        "SIGNATURE": '"serving_default"',
        "INPUT": '"input"',
        "CLASSES": "3",
        "CELLS": "84",
        "STORED": "Stored.UINT8",
        "BOXES": 'Output("boxes", 4, 0.02f, 100)',
        "SCORES": 'Output("scores", CLASSES, 0.00390625f, 0)',
        "CODER": "floatArrayOf(10f, 10f, 5f, 5f)",
        "OVERLAP": "0.5f",
        "GOLDEN": "8",
    }
    assert found.items() >= expected.items()
    plain = constants(detector_drop(tmp_path, dtype="float32", range=(0, 1023)))
    assert plain["STORED"] == "Stored.FLOAT32"
    assert plain["BOXES"] == 'Output("boxes", 4, 1.0f, 0)'
    assert plain["LEVELS"] == "intArrayOf(0, 1023)"


def test_card_and_readme_say_what_mediapipe_does_otherwise(drop: Path) -> None:
    lines = (drop / "assets/thresholds.txt").read_text().splitlines()
    assert lines == [f"{t:.4f}\t{n}" for t, n in zip(THRESHOLDS, CLASSES, strict=True)]
    for name in ("CARD.md", "README.md"):
        said = " ".join((drop / name).read_text("utf-8").split())
        assert "whatever their classes are" in said and "above 0.3" in said, name
        assert "the lowest of this model's is 0.55" in said and "detect.py" not in said, name
    assert "`assets/anchors.bin` has the anchors" in (drop / "CARD.md").read_text("utf-8")
    assert manifest.load(drop)["mediapipe"] == {"class_agnostic": True, "overlap": 0.3}


def test_the_linux_drop_is_the_measured_file_itself(tmp_path: Path) -> None:
    run = make_detector_run(tmp_path, targets=["android", "linux"])
    package.run(run.context("package"))
    linux = run.folder / "package/drops/linux"
    assert (linux / "squares.tflite").read_bytes() == detector()
    assert not {"measured", "mediapipe"} & set(manifest.load(linux))
    assert "MediaPipe" not in (linux / "CARD.md").read_text("utf-8")


def test_made_twice_it_is_the_same(drop: Path, tmp_path: Path) -> None:
    again = detector_drop(tmp_path, android={"package": "com.shop.in.boxes"})
    assert (again / "MANIFEST.json").read_bytes() == (drop / "MANIFEST.json").read_bytes()


def test_predict_asks_the_drop(drop: Path, tmp_path: Path, capsys) -> None:
    scene(1).save(tmp_path / "scene.png")
    assert main(["predict", str(drop), str(tmp_path / "scene.png"), "--json"]) == 0
    (best, *_) = json.loads(capsys.readouterr().out)["boxes"]
    assert best["class"] in CLASSES and best["score"] > min(THRESHOLDS)


def test_its_model_by_itself_is_known_and_its_drop_is_asked_for(
    drop: Path, tmp_path: Path, capsys
) -> None:
    model = Path(shutil.copy(drop / "assets/squares.tflite", tmp_path))
    scene(1).save(tmp_path / "scene.png")
    assert main(["predict", str(model), str(tmp_path / "scene.png")]) == 5
    said = capsys.readouterr().err
    assert "anchors, which lie beside the file" in said and "name its drop or its run" in said


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_another_fit_than_mediapipes_is_refused(fit: str, tmp_path: Path, capsys) -> None:
    with pytest.raises(DropError, match=f"becomes square by {fit}, and MediaPipe") as caught:
        detector_drop(tmp_path, fit=fit)
    assert "data.fit: stretch" in "\n".join(caught.value.lines())
    assert not list(tmp_path.rglob("*.kt"))
    file = tmp_path / "boxes.yaml"
    data = f"{{path: sample:scenes, image_size: 161, fit: {fit}}}"
    content = f"name: a\ntask: object-detection\ndata: {data}\nevaluate:\npackage: "
    file.write_text(content + "{targets: [linux, android]}\n")
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert "data.fit" in said and "take stretch" in said
    file.write_text(content + "{targets: [linux]}\n")
    assert main(["check", str(file)]) == 0


def test_a_model_without_a_signature_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handmade_detector, "signed", lambda content: content)
    with pytest.raises(DropError, match="a signature that names all outputs: the model has 0"):
        detector_drop(tmp_path)


def changed_metadata(change: Callable[[dict, dict], object]) -> Callable[..., bytes]:
    honest = metadata.embed

    def wrong(model: bytes, given: dict, files: dict) -> bytes:
        (graph,) = given["subgraph_metadata"]
        graph = {key: [dict(entry) for entry in rows] for key, rows in graph.items()}
        files = dict(files)
        change(graph, files)
        return honest(model, {**given, "subgraph_metadata": [graph]}, files)

    return wrong


def decoding(change: Callable[[dict], object]) -> Callable[[dict, dict], None]:
    def changed(graph: dict, files: dict) -> None:
        (custom,) = graph["custom_metadata"]
        said = metadata.unpacked(custom["data"], "", DETECTOR, DETECTOR_IDENTIFIER)
        change(said)
        custom["data"] = metadata.write(said, DETECTOR, DETECTOR_IDENTIFIER)

    return changed


def moved(said: dict) -> None:
    said["ssd_anchors_options"]["fixed_anchors_schema"]["anchors"][5]["x_center"] = 0.25


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda g, f: f.update({"labels.txt": b"blue\ngreen\nred\n"}), "labels in its metadata"),
        (lambda g, f: g["output_tensor_metadata"].reverse(), "calls the outputs location, score"),
        (lambda g, f: g.pop("custom_metadata"), "has no DETECTOR_METADATA"),
        (decoding(moved), "the anchors or the coder in its metadata"),
        (decoding(lambda s: s["tensors_decoding_options"].update(y_scale=5.0)), "or the coder"),
        (decoding(lambda s: s["tensors_decoding_options"].update(num_boxes=7)), "or the coder"),
    ],
)
def test_metadata_that_says_otherwise_is_not_shipped(
    change, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "embed", changed_metadata(change))
    with pytest.raises(DropError, match=said):
        detector_drop(tmp_path)
    assert not list(tmp_path.rglob("*.kt"))


def resealed(drop: Path, folder: Path, files: dict[str, bytes], **facts: object) -> Path:
    """A copy with other files and facts, whose digests are right again."""
    copy = Path(shutil.copytree(drop, folder / "drop"))
    said = manifest.load(copy) | facts
    for name, content in files.items():
        (copy / name).write_bytes(content)
        entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        said["files"][name] = entry
    manifest.write(copy, said)
    return copy


def problems_of(drop: Path) -> str:
    return "\n".join(problem for check in verify(drop) for problem in check.problems)


def test_verify_sees_files_that_do_not_fit_the_model(drop: Path, tmp_path: Path) -> None:
    other = (anchors(SIZE) + np.float32(0.01)).astype("<f4").tobytes()
    told = problems_of(resealed(drop, tmp_path / "a", {"assets/anchors.bin": other}))
    assert "anchors.bin is not what the model's 84 boxes differ from" in told
    assert "the anchors or the coder in its metadata are not those of the drop" in told
    wrong = b"0.5000\tred\n0.5000\tblue\n0.5000\tgreen\n"
    told = problems_of(resealed(drop, tmp_path / "b", {"assets/thresholds.txt": wrong}))
    assert told == "thresholds.txt names other classes"


def test_verify_sees_another_file_than_the_measured_one(drop: Path, tmp_path: Path) -> None:
    measured = manifest.load(drop)["measured"]
    for number, wrong in enumerate(({"sha256": "0" * 64}, {"bytes": measured["bytes"] - 16})):
        copy = resealed(drop, tmp_path / str(number), {}, measured=measured | wrong)
        assert "it does not lie in the model as it was" in problems_of(copy)


def test_verify_sees_a_measured_file_that_lies_there_for_show(drop: Path, tmp_path: Path) -> None:
    """What runs is another model, with the same inputs and outputs."""
    honest = (drop / "assets/squares.tflite").read_bytes()
    said, labels = metadata.read(honest), metadata.associated(honest)
    assert said is not None
    both = padded(detector(columns=(1, 0))) + padded(detector())
    other = metadata.embed(both, said, labels)
    told = problems_of(resealed(drop, tmp_path, {"assets/squares.tflite": other}))
    assert told == "its constants are others"


@pytest.mark.parametrize("name", ["/etc/hostname", "../anchors.bin", "assets/other.bin"])
def test_anchors_that_are_no_file_of_the_drop_are_not_opened(
    name: str, drop: Path, tmp_path: Path
) -> None:
    (tmp_path / "anchors.bin").write_bytes(b"not of the drop")
    output = manifest.load(drop)["output"] | {"anchors": name}
    told = problems_of(resealed(drop, tmp_path, {}, output=output))
    assert "is not among files" in told, told


def test_custom_metadata_of_another_kind_is_said(drop: Path, tmp_path: Path) -> None:
    for content in (b"", b"\0" * 64, b"\x10\0\0\0V001" + b"\xff" * 40):
        with pytest.raises(ArtifactError):
            metadata.unpacked(content, "x", DETECTOR, DETECTOR_IDENTIFIER)
