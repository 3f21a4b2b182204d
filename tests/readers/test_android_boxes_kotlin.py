"""The Kotlin of a detector's Android drop: compiled against stand-ins of the classes it uses, and
run on this machine's Java (``kotlin_app.py``). It has to find what ``detect.py`` finds.

What makes pixels of a photo is that of image classifiers: see ``test_android_kotlin.py``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from handmade_detector import CELLS, CLASSES, SIZE, THRESHOLDS, detector_drop, scene
from kotlin_app import App, compiled
from PIL import Image

from tfedge.drops import manifest
from tfedge.drops.golden import names
from tfedge.inputs.images.anchors import anchors
from tfedge.portable.boxes import MOST, detections
from tfedge.portable.images import decode
from tfedge.tasks.object_detection.golden import difference
from tfedge.tflite.runtime import predict

# Kotlin's exp is that of doubles, numpy's that of floats: one unit in the last place.
NEAR = 1e-6
TESTS = (
    *("compiledModelAnswersAsShipped", "interpreterAnswersAsShipped"),
    *("outputsBecomeTheBoxesThatWereShipped", "aBitmapReachesTheModelAsItIs"),
)
SCALES = {"boxes": (0.02, 100), "scores": (1 / 256, 0)}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(kotlin: Path, tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("android")
    return compiled(kotlin, detector_drop(folder), folder / "out", "boxes")


def found(answer: str) -> np.ndarray:
    """[n, 6] of x1 y1 x2 y2, score and class, as ``detections`` gives them."""
    assert not answer.startswith("failed"), answer
    rows = [row.split(",") for row in answer.split(";") if row]
    assert all(row[1] == CLASSES[int(row[0])] for row in rows)
    return np.array([[*row[3:7], row[2], row[0]] for row in rows], np.float32).reshape(-1, 6)


def same(answer: str, expected: np.ndarray) -> None:
    got = found(answer)
    assert got.shape == expected.shape
    assert np.array_equal(got[:, 4:], expected[:, 4:]), "scores and classes, in their order"
    np.testing.assert_allclose(got[:, :4], expected[:, :4], atol=NEAR)


def real(stored: np.ndarray, what: str) -> np.ndarray:
    scale, zero_point = SCALES[what]
    return (stored.astype(np.float32) - zero_point) * np.float32(scale)


def stored(least: np.ndarray) -> np.ndarray:
    return np.ceil(least * 256)


def expected_of(boxes: np.ndarray, scores: np.ndarray, least: np.ndarray) -> np.ndarray:
    return detections(
        *(boxes, scores, anchors(SIZE), stored(least.astype(np.float32))),
        *(lambda given: real(given, "boxes"), lambda given: real(given, "scores")),
    )


@pytest.mark.parametrize("engine", ["compiled", "interpreter"])
def test_a_photo_has_the_boxes_that_python_finds(app: App, tmp_path: Path, engine: str) -> None:
    jobs, expected = [], []
    for number in range(12):
        path = tmp_path / f"{number}.png"
        scene(number, 140 + number, 90).save(path)
        pixels = decode(path, SIZE, "stretch")
        (output,) = predict(app.drop / "assets/squares.tflite", pixels[None])
        for least in (None, 0.3):
            lowest = np.array(THRESHOLDS if least is None else [least] * 3, np.float32)
            jobs.append(("detect", engine, path, 0, *([] if least is None else [least])))
            expected.append(detections(output[:, :4], output[:, 4:], anchors(SIZE), lowest))
    for answer, want in zip(app.ask(*jobs), expected, strict=True):
        same(answer, want)
    assert sum(map(len, expected)) > 50 and min(map(len, expected)) < max(map(len, expected))


def test_a_turned_photo_has_boxes_where_it_is_upright(app: App, tmp_path: Path) -> None:
    image = scene(3)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    image.save(tmp_path / "plain.png")
    turned, plain = app.ask(
        ("detect", "compiled", tmp_path / "turned.png", 6),
        ("detect", "compiled", tmp_path / "plain.png", 0),
    )
    assert turned == plain != ""


def test_any_outputs_become_the_boxes_that_python_makes(app: App, tmp_path: Path) -> None:
    """Crowded ones, of equal scores, with boxes that reach beyond the image."""
    random, jobs, expected = np.random.default_rng(4), [], []
    for number in range(30):
        boxes = random.integers(0, 256, (CELLS, 4)).astype(np.uint8)
        boxes[:, 2:] //= (1, 64)[number % 2]  # small ones, of which more are kept
        scores = random.integers(0, (40, 256)[number % 2], (CELLS, 3)).astype(np.uint8)
        scores[random.random((CELLS, 3)) < (0.0, 0.5, 0.97)[number % 3]] = 0
        files = [tmp_path / f"{number}.{what}" for what in ("boxes", "scores")]
        for file, content in zip(files, (boxes, scores), strict=True):
            file.write_bytes(content.tobytes())
        for least in (None, 0.01):
            lowest = np.array(THRESHOLDS if least is None else [least] * 3)
            jobs.append(("boxes", *files, *([] if least is None else [least])))
            expected.append(expected_of(boxes, scores, lowest))
    for answer, want in zip(app.ask(*jobs), expected, strict=True):
        same(answer, want)
    counts = [len(one) for one in expected]
    assert min(counts) == 0 and max(counts) == MOST


def test_a_score_counts_from_its_class_threshold_on(app: App, tmp_path: Path) -> None:
    boxes, scores = np.full((CELLS, 4), 100, np.uint8), np.zeros((CELLS, 3), np.uint8)
    (tmp_path / "boxes").write_bytes(boxes.tobytes())
    for label, threshold in enumerate(THRESHOLDS):
        least = int(stored(np.float32(threshold)))
        for score, count in ((least, 1), (least - 1, 0)):
            scores[:] = 0
            scores[27, label] = score
            (tmp_path / "scores").write_bytes(scores.tobytes())
            (answer,) = app.ask(("boxes", tmp_path / "boxes", tmp_path / "scores"))
            assert len(found(answer)) == count, (label, score)


def test_a_box_in_pixels(app: App, tmp_path: Path) -> None:
    scene(5).save(tmp_path / "a.png")
    (all_of_it,) = app.ask(("detect", "compiled", tmp_path / "a.png", 0, 0.1))
    (told,) = app.ask(("on", 640, 480, tmp_path / "a.png"))
    want = found(all_of_it)[0, :4] * np.array([640, 480, 640, 480], np.float32)
    np.testing.assert_allclose(np.array(told.split(","), np.float32), want, rtol=1e-6)


def test_the_golden_rule_is_ours(app: App, tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    base = np.concatenate([random.normal(0, 1, (CELLS, 4)), random.random((CELLS, 3))], 1)
    base[: CELLS // 2, 4:] *= 0.3  # whose boxes are not compared
    cases = [base.copy() for _ in range(9)]
    cases[1][50, 4] += 0.15
    cases[2][50, 4] += 0.16
    cases[3][60, 1] += 1.0
    cases[4][3, 1] += 5.0
    cases[5][70, 2] += 0.6
    cases[6][0, 0] = np.nan
    cases[7][80, 3] -= 0.3
    jobs, told = [], []
    for number, case in enumerate([*cases, base[:-1]]):
        files = tmp_path / "base", tmp_path / str(number)
        for file, content in zip(files, (base, case), strict=True):
            file.write_bytes(content.astype("<f4").tobytes())
        jobs.append(("rule", *files))
        told.append(difference(base.astype(np.float32), case.astype(np.float32)))
    got = app.ask(*jobs)
    assert got[:-1] == told[:-1] and got[-1] == "588 numbers to compare 581 with"
    assert len(set(told)) >= 5 and told[0] == told[1] == told[4] == ""


def test_the_golden_test_passes(app: App) -> None:
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)


def copied(app: App, folder: Path) -> App:
    shutil.copytree(app.drop, folder / "drop")
    return App(folder / "drop", app.classes)


def test_the_golden_test_finds_other_answers(app: App, tmp_path: Path) -> None:
    spoiled = copied(app, tmp_path)
    path = spoiled.drop / names(2)[1]
    honest = np.frombuffer(path.read_bytes(), np.uint8).reshape(CELLS, 7)
    best = np.unravel_index(honest[:, 4:].argmax(), (CELLS, 3))

    def replayed(column: int, change: int) -> list[str]:
        changed = honest.astype(int)
        changed[best[0], column] += change
        path.write_bytes(changed.clip(0, 255).astype(np.uint8).tobytes())
        return spoiled.ask(*(("golden", test) for test in TESTS[:2]))

    assert replayed(4 + int(best[1]), -30) == ["passed"] * 2, "what processors may round"
    for answer in replayed(4 + int(best[1]), -60):
        assert answer.startswith("failed: AssertionError: pair 2: scores differ by 0.2"), answer
    for answer in replayed(1, 100):
        assert "pair 2: a box of a sure score differs: IoU 0." in answer
    path.write_bytes(honest.tobytes())
    boxes = path.with_name(path.name.replace("output", "boxes"))
    shipped = np.frombuffer(boxes.read_bytes(), "<f4").reshape(-1, 6)
    assert len(shipped)
    for wrong in (shipped + np.float32([0.001, 0, 0, 0, 0, 0]), shipped[1:]):
        boxes.write_bytes(wrong.astype("<f4").tobytes())
        (answer,) = spoiled.ask(("golden", TESTS[2]))
        assert answer.startswith("failed: AssertionError") and "boxes of pair 2" in answer
    path.write_bytes(honest.tobytes()[:-1])
    (answer,) = spoiled.ask(("golden", TESTS[0]))
    assert answer.startswith("failed: AssertionError") and "bytes of pair 2" in answer


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("anchors.bin", bytes(16), "anchors.bin has 4 numbers, not 4 for 84 anchors"),
        ("thresholds.txt", b"0.5\tred\n", "thresholds.txt has 1 lines, the model 3 classes"),
        ("labels.txt", b"red\n", "labels.txt has 1 lines, the model 3 classes"),
    ],
)
def test_assets_of_another_model_are_refused(
    app: App, tmp_path: Path, file: str, content: bytes, said: str
) -> None:
    spoiled = copied(app, tmp_path)
    (spoiled.drop / "assets" / file).write_bytes(content)
    assert spoiled.ask(("assets",)) == [f"failed: IllegalArgumentException: {said}"]


def test_what_is_no_image_or_no_pixels_is_refused(app: App, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    answer, short, turned = app.ask(
        ("detect", "compiled", tmp_path / "a.png", 0), ("pixels", 7), ("turn", 90)
    )
    assert answer == "failed: IllegalArgumentException: no image that Android can read (8 bytes)"
    assert short.startswith("failed: IllegalArgumentException: 7 bytes: the model takes 64×64")
    assert turned == "rotation 6"


def test_a_float_model_in_a_package_of_words_that_kotlin_reserves(
    kotlin: Path, tmp_path: Path
) -> None:
    name = "in.object.fun.boxes"
    drop = detector_drop(tmp_path, dtype="float32", android={"package": name})
    assert manifest.load(drop)["output"]["dtype"] == "float32"
    app = compiled(kotlin, drop, tmp_path / "out", "boxes", "`in`.`object`.`fun`.boxes")
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)
    scene(5).save(tmp_path / "a.png")
    (output,) = predict(
        drop / "assets/squares.tflite", decode(tmp_path / "a.png", SIZE, "stretch")[None]
    )
    (answer,) = app.ask(("detect", "interpreter", tmp_path / "a.png", 0))
    lowest = np.array(THRESHOLDS, np.float32)
    same(answer, detections(output[:, :4], output[:, 4:], anchors(SIZE), lowest))
