"""The Android drop's Kotlin: compiled against stand-ins of the classes it uses, and run on this
machine's Java (``kotlin_app.py``).

What a phone adds is not seen here: its decoders, its LiteRT. GoldenTest looks at those, there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from android_helpers import android
from awkward_images import FITS, LEVELS, SIZES, awkward_images, sixteen_bits
from color_helpers import FLOAT, pixels
from golden_cases import CASES
from kotlin_app import App, compiled
from PIL import Image

from tfedge.drops.golden import names
from tfedge.portable.images import decode
from tfedge.tflite.runtime import LiteRT

SHAPES = ((61, 90), (90, 61), (32, 32), (33, 31), (7, 200), (300, 4), (1, 1), (640, 480))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(kotlin: Path, tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("android")
    return compiled(kotlin, android(folder), folder / "out", "images")


def random_image(seed: int, width: int, height: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def png(array: np.ndarray, orientation: int = 0) -> bytes:
    exif, file = Image.Exif(), BytesIO()
    if orientation:
        exif[0x0112] = orientation
    Image.fromarray(array).save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.fixture
def squared(app: App, tmp_path: Path) -> Callable[..., list[np.ndarray]]:
    """What the Kotlin makes of RGBA pixels: ``squared((array, turn, size, fit, kind), …)``."""

    def ask(*jobs: tuple[np.ndarray, int, int, str, str]) -> list[np.ndarray]:
        words = []
        for number, (array, orientation, size, fit, kind) in enumerate(jobs):
            path, (height, width, _) = tmp_path / f"{number}.rgba", array.shape
            path.write_bytes(array.tobytes())
            words.append(("square", path, width, height, orientation, size, fit.upper(), kind))
        assert app.ask(*words) == [""] * len(jobs)
        found = []
        for number, job in enumerate(jobs):
            data = (tmp_path / f"{number}.rgba.out").read_bytes()
            found.append(np.frombuffer(data, np.uint8).reshape(job[2], job[2], 3))
        return found

    return ask


def opaque(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.full_like(array[..., :1], 255)], axis=2)


def same(got: np.ndarray, want: np.ndarray, fit: str) -> bool:
    """Byte for byte for a crop. From Pillow 13 on, some images that are not cut square go through
    its filter's two steps the other way round, which rounds elsewhere: one level."""
    return np.abs(got.astype(int) - want).max() <= (0 if fit == "crop" else 1)


def test_pixels_are_those_of_training(squared) -> None:
    jobs, expected = [], []
    for shape in SHAPES:
        array = random_image(1, *shape)
        for fit in FITS:
            for size in (32, 97):
                jobs.append((opaque(array), 1, size, fit, "plain"))
                expected.append(decode(png(array), size, fit))
    for job, want, got in zip(jobs, expected, squared(*jobs), strict=True):
        assert same(got, want, job[3]), (job[0].shape, *job[2:4])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("levels", LEVELS)
def test_awkward_images_are_those_of_training(
    app: App, tmp_path: Path, fit: str, levels: tuple[int, int] | None
) -> None:
    """From a file's bytes to the model's pixels, of the set that all our decoders are held to."""
    jobs, expected = [], []
    paths = awkward_images(tmp_path)
    for path in paths:
        for size in SIZES:
            copy = path.with_name(f"{size}-{path.name}")
            copy.write_bytes(path.read_bytes())
            with Image.open(path) as image:
                orientation = image.getexif().get(0x0112, 0)
            jobs.append(("file", copy, orientation, size, fit.upper(), *(levels or ())))
            expected.append(decode(path, size, fit, levels))
    assert app.ask(*jobs) == [""] * len(jobs)
    for job, want in zip(jobs, expected, strict=True):
        data = job[1].with_name(f"{job[1].name}.out").read_bytes()
        got = np.frombuffer(data, np.uint8).reshape(want.shape)
        assert same(got, want, fit), job[1].name


def test_damaged_images_of_16_bits_are_refused(app: App, tmp_path: Path) -> None:
    good = sixteen_bits(np.full((9, 9, 3), 300, np.uint16), filters="4")
    data = good.index(b"IDAT") + 4
    damaged = {
        "cut off": good[: data + 5],
        "no data": good[: data - 8],
        "junk": good[:data] + b"\1" * 9 + good[data + 9 :],
        "of no size": good[:16] + bytes(4) + good[20:],
        "huge": good[:16] + b"\x7f\xff\xff\xff" * 2 + good[24:],
        "palette": good[:25] + b"\3" + good[26:],
    }
    jobs = []
    for name, content in damaged.items():
        path = tmp_path / f"{name.replace(' ', '_')}.png"
        path.write_bytes(content)
        jobs.append(("file", path, 0, 32, "CROP", 0, 1023))
    said = {"failed: IllegalArgumentException", "failed: DataFormatException"}
    assert {": ".join(told.split(": ")[:2]) for told in app.ask(*jobs)} <= said


def test_the_golden_rule_is_ours(app: App) -> None:
    def words(scores: Sequence[float]) -> str:
        return ",".join(str(np.float32(score)).replace("nan", "NaN") for score in scores)

    told = app.ask(*(("rule", words(expected), words(got)) for expected, got, _ in CASES))
    assert told == [said for _, _, said in CASES]


def test_every_orientation_of_exif_is_turned_upright(squared) -> None:
    array = random_image(2, 61, 90)
    for fit in FITS:
        found = squared(*((opaque(array), o, 48, fit, "plain") for o in range(10)))
        for orientation, got in enumerate(found):
            want = decode(png(array, orientation), 48, fit)
            assert same(got, want, fit), (orientation, fit)


def test_transparency_is_laid_on_white(squared) -> None:
    array = random_image(3, 61, 90, channels=4)
    array[:9, :9, 3], array[9:20, :, 3] = 0, 255
    want = decode(png(array), 48, "crop")
    # As Android keeps most bitmaps, in float and rounded once.
    colors, alpha = array[..., :3].astype(float), array[..., 3:].astype(float)
    multiplied = np.concatenate([np.round(colors * alpha / 255), alpha], 2).astype(np.uint8)
    plain, premultiplied, other = squared(
        (array, 1, 48, "crop", "plain"),
        (multiplied, 1, 48, "crop", "premultiplied"),
        (opaque(array[..., :3]), 1, 48, "crop", "other"),
    )
    assert np.array_equal(plain, want)
    assert np.abs(premultiplied.astype(int) - want).max() <= 1, "what premultiplying rounds away"
    assert np.array_equal(other, decode(png(array[..., :3]), 48, "crop"))


def test_a_large_jpeg_is_decoded_as_small_as_in_training(app: App) -> None:
    sizes = [(w, h, s) for s in (32, 225) for w, h in ((900, 900), (899, 4000), (450, 3000))]
    sizes += [(255, 256, 32), (256, 256, 32), (511, 512, 32), (512, 600, 32), (4000, 3000, 225)]
    for (width, height, size), answer in zip(
        sizes, app.ask(*(("sample", *job) for job in sizes)), strict=True
    ):
        file = BytesIO()
        Image.new("RGB", (width, height)).save(file, "JPEG")
        image = Image.open(file)
        image.draft(None, (2 * size, 2 * size))
        assert image.width == -(-width // int(answer)), (width, height, size)


@pytest.mark.parametrize("engine", ["compiled", "interpreter"])
def test_an_image_file_gets_the_answers_that_python_gives(
    app: App, tmp_path: Path, engine: str
) -> None:
    paths = []
    for label in range(3):
        for orientation in (0, 6):
            array = np.asarray(Image.fromarray(pixels(label, 7)).resize((80, 60), 0))
            path = tmp_path / f"{label}{orientation}.png"
            path.write_bytes(png(array, orientation))
            paths.append((path, orientation, label))
    runtime = LiteRT(app.drop / "assets" / "color.tflite")
    answers = app.ask(*(("classify", engine, path, turn, 2) for path, turn, _ in paths))
    for (path, _, label), answer in zip(paths, answers, strict=True):
        scores = runtime.outputs()[0].real(runtime.invoke(decode(path, 32, "crop")[None])[0][0])
        rows = [row.split(",") for row in answer.split(";")]
        best = np.argsort(-scores, kind="stable")[:2]
        assert [int(row[0]) for row in rows] == best.tolist()
        assert [row[1] for row in rows] == [("red", "green", "blue")[i] for i in best]
        assert [np.float32(row[2]) for row in rows] == scores[best].tolist()
        assert best[0] == label


def test_without_exif_an_image_is_upright(app: App, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(pixels(2, 7)))
    known, unknown = app.ask(
        ("classify", "compiled", tmp_path / "a.png", 1, 3),
        ("classify", "compiled", tmp_path / "a.png", -1, 3),
    )
    assert known == unknown != ""


def test_what_is_no_image_or_no_pixels_is_refused(app: App, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    answer, short, turn = app.ask(
        ("classify", "compiled", tmp_path / "a.png", 0, 3), ("pixels", 7), ("turn", 45)
    )
    assert answer == ("failed: IllegalArgumentException: no image that Android can read (8 bytes)")
    assert short.startswith("failed: IllegalArgumentException: 7 bytes: the model takes 32×32")
    assert turn == "failed: IllegalArgumentException: a turn of 45°"


def test_rotations_of_a_camera(app: App) -> None:
    answers = app.ask(*(("turn", degrees) for degrees in (0, 90, 180, 270)))
    assert [answer.split(",")[0] for answer in answers] == [
        f"rotation {orientation}" for orientation in (1, 6, 3, 8)
    ]


TESTS = (
    "compiledModelAnswersAsShipped",
    "interpreterAnswersAsShipped",
    "everyClassHasALabel",
    "aBitmapReachesTheModelAsItIs",
)


def test_the_golden_test_passes(app: App) -> None:
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)


def test_the_golden_test_finds_other_answers(app: App, tmp_path: Path) -> None:
    golden, path = names(2)[1], tmp_path / names(2)[1]
    path.parent.mkdir()
    for file in (app.drop / "golden").iterdir():
        (path.parent / file.name).write_bytes(file.read_bytes())
    (tmp_path / "assets").symlink_to(app.drop / "assets")
    spoiled = App(tmp_path, app.classes)
    scores = np.frombuffer((app.drop / golden).read_bytes(), np.uint8).astype(int)

    def replayed(change: np.ndarray) -> list[str]:
        path.write_bytes((scores + change).clip(0, 255).astype(np.uint8).tobytes())
        return spoiled.ask(*(("golden", test) for test in TESTS[:2]))

    best = np.zeros(3, int)
    best[scores.argmax()] = -20
    assert replayed(best) == ["passed"] * 2, "what processors may round"
    for answer in replayed(3 * best):
        assert answer.startswith("failed: AssertionError: pair 2: scores differ by 0.2"), answer
    path.unlink()
    (answer,) = spoiled.ask(("golden", TESTS[0]))
    assert answer.startswith("failed: FileNotFoundException") and golden in answer


def test_a_float_model_in_another_fit(kotlin: Path, tmp_path: Path) -> None:
    app = compiled(kotlin, android(tmp_path, shipped=FLOAT, fit="pad"), tmp_path / "out", "images")
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)
    (tmp_path / "a.png").write_bytes(png(pixels(1, 7)))
    (answer,) = app.ask(("classify", "compiled", tmp_path / "a.png", 0, 1))
    runtime = LiteRT(FLOAT)
    scores = runtime.invoke(decode(tmp_path / "a.png", 32, "pad")[None])[0][0]
    assert answer.split(",")[1] == "green"
    assert np.float32(answer.split(",")[2]) == scores.max()


def test_a_package_of_words_that_kotlin_reserves(kotlin: Path, tmp_path: Path) -> None:
    name = "in.object.fun._is.is.typeof.val.__.plants"
    drop = android(tmp_path, android={"package": name})
    package = "`in`.`object`.`fun`._is.`is`.`typeof`.`val`.`__`.plants"
    app = compiled(kotlin, drop, tmp_path / "out", "images", package)
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)
