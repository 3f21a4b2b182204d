"""The Android drop of a text classifier: its Kotlin gives the ids of portable/wordpiece.py, for any
text and any language of the device, and replays its golden pairs (``kotlin_app.py``)."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from kotlin_app import App, compiled
from text_cases import NASTY, REVIEWS, VOCABULARY, of_pieces, reviews
from text_helpers import CLASSES, LENGTH, PIECES, TEXTS, WORDS_FLOAT, facts_of, text_drop

from tfedge.portable.wordpiece import WordPiece
from tfedge.tflite.runtime import LiteRT

SEPARATOR = "\n\x01\n"
LOCALES = ("en", "tr", "lt", "az")  # of which three have another upper or lower case
TESTS = (
    "compiledModelAnswersAsShipped",
    "interpreterAnswersAsShipped",
    "everyClassHasALabel",
    "textsBecomeTheIdsOfTraining",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(kotlin: Path, tmp_path_factory: pytest.TempPathFactory) -> App:
    folder = tmp_path_factory.mktemp("android")
    return compiled(kotlin, text_drop(folder), folder / "out", "texts")


def written(path: Path, texts: Sequence[str]) -> Path:
    path.write_bytes(SEPARATOR.join(texts).encode("utf-8"))
    return path


def answered(path: Path) -> list[str]:
    return path.with_name(f"{path.name}.out").read_bytes().decode("utf-8").split(SEPARATOR)


@pytest.fixture
def same_ids(app: App, tmp_path: Path) -> Callable[..., None]:
    def check(
        texts: Sequence[str],
        pieces: Sequence[str] = VOCABULARY,
        lower: bool = True,
        length: int = 512,
        locale: str = "en",
    ) -> None:
        vocabulary = tmp_path / "vocab.txt"
        vocabulary.write_bytes("".join(f"{piece}\n" for piece in pieces).encode("utf-8"))
        file = written(tmp_path / "texts", texts)
        (answer,) = app.ask(("ids", vocabulary, str(lower).lower(), length, file, locale))
        assert answer == str(len(texts))
        ours = WordPiece(of_pieces(pieces, lower))
        for text, got in zip(texts, answered(file), strict=True):
            want = ours.encode(text, length)
            assert got == " ".join(map(str, want.ids[: sum(want.mask)])), ascii(text[:200])

    return check


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("lower", [True, False])
def test_nasty_texts_have_the_ids_of_training(same_ids, lower: bool, locale: str) -> None:
    same_ids(NASTY, lower=lower, locale=locale)


def test_texts_are_cut_as_in_training(same_ids) -> None:
    for length in (8, 9, 10, 33):
        same_ids(["good film " * 50, "good films", "", "unable " * 3, *NASTY], length=length)


def test_random_texts_have_the_ids_of_training(same_ids) -> None:
    rng = random.Random(7)
    parts = [*VOCABULARY[4:], " ", "  ", "\n", "Ä", "É", "\u0301", "\u200d", "中", "X", "THE", "🙂"]
    parts += ["İ", "ß", "Σ", "\u00a0", "\u00ad"]
    same_ids(["".join(rng.choice(parts) for _ in range(rng.randrange(60))) for _ in range(3000)])


def test_what_people_wrote_has_the_ids_of_training(same_ids) -> None:
    if not REVIEWS.is_dir():
        pytest.skip(f"no {REVIEWS.name} beside the checkout")
    texts = reviews()
    seen = sorted({word for text in texts for word in text.split()})[::7]
    pieces = [*VOCABULARY, *(word for word in seen if word not in VOCABULARY)]
    same_ids(texts, pieces)
    same_ids([text.upper() for text in texts[::3]], pieces, length=64, locale="tr")


@pytest.mark.parametrize("lower", [True, False])
def test_every_character_is_taken_as_in_training(app: App, tmp_path: Path, lower: bool) -> None:
    """Those that Unicode 3.2 knew, of which no later one, in Java or in Python, thinks otherwise;
    but for a few that became marks or punctuation since."""
    old = unicodedata.ucd_3_2_0
    characters = [
        character
        for code in range(0x110000)
        if (kind := old.category(character := chr(code))) not in ("Cn", "Cs")
        and kind == unicodedata.category(character)
    ]
    assert len(characters) > 200_000
    characters = [one for one in characters if old.category(one) != "Co"] + ["\ue000", "\U000f0000"]
    texts = [f"A{one}b" for one in characters if one != "\x01"]
    file = written(tmp_path / "texts", texts)
    (answer,) = app.ask(("words", str(lower).lower(), file, "tr"))
    assert answer == str(len(texts))
    ours = WordPiece(of_pieces(VOCABULARY, lower))
    wrong = {
        ascii(text): got
        for text, got in zip(texts, answered(file), strict=True)
        if got != " ".join(ours.words(text))
    }
    assert wrong == {}


def test_a_vocabulary_is_read_line_by_line(app: App, tmp_path: Path) -> None:
    content = "[PAD]\r\n[UNK]\r\n[CLS]\n[SEP]\n\x85\nx\r\n\r\n"  # U+0085 ends lines elsewhere
    (tmp_path / "v.txt").write_bytes(content.encode())
    file = written(tmp_path / "texts", ["x x y"])
    assert app.ask(("ids", tmp_path / "v.txt", "true", 8, file, "en")) == ["1"]
    assert answered(file) == ["2 5 5 1 3"]
    (tmp_path / "v.txt").write_text("[PAD]\n[UNK]\n[CLS]\n")
    (said,) = app.ask(("ids", tmp_path / "v.txt", "true", 8, file, "en"))
    assert said == "failed: IllegalArgumentException: the vocabulary lacks [SEP]"


@pytest.mark.parametrize("engine", ["compiled", "interpreter"])
def test_texts_get_the_answers_that_python_gives(app: App, tmp_path: Path, engine: str) -> None:
    texts = [text for texts in TEXTS.values() for text in texts]
    file = written(tmp_path / "texts", texts)
    (answer,) = app.ask(("classify", engine, 2, file))
    runtime = LiteRT(app.drop / "assets" / "words.tflite")
    ports, ours = [port.name for port in runtime.inputs()], WordPiece(of_pieces(PIECES))
    assert len(ports) == 3
    for text, told in zip(texts, answer.split("|"), strict=True):
        one = ours.encode(text, LENGTH)
        given = {"ids": one.ids, "mask": one.mask, "segment_ids": [0] * LENGTH}
        by_port = [
            given[name.removeprefix("serving_default_").removesuffix(":0")] for name in ports
        ]
        stored = runtime.invoke(*(np.asarray([part], np.int32) for part in by_port))[0]
        scores = runtime.outputs()[0].real(stored)[0]
        rows = [row.split(",") for row in told.split(";")]
        best = np.argsort(-scores, kind="stable")[:2]
        assert [int(row[0]) for row in rows] == best.tolist()
        assert [row[1] for row in rows] == [CLASSES[i] for i in best]
        assert [np.float32(row[2]) for row in rows] == scores[best].tolist()


def test_what_is_no_text_or_no_ids_is_refused(app: App, tmp_path: Path) -> None:
    empty = written(tmp_path / "empty", [" \u00a0 "])
    answer, short = app.ask(("classify", "compiled", 1, empty), ("length", 7))
    assert answer == "failed: IllegalArgumentException: an empty text"
    what = "7 ids and 7 of a mask: the model takes 16 each"
    assert short == f"failed: IllegalArgumentException: {what}"


def test_the_golden_test_passes(app: App) -> None:
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)


def test_the_golden_test_finds_other_ids_and_other_answers(app: App, tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "assets").symlink_to(app.drop / "assets")
    for file in (app.drop / "golden").iterdir():
        (tmp_path / "golden" / file.name).write_bytes(file.read_bytes())
    spoiled = App(tmp_path, app.classes)
    text = tmp_path / "golden" / "002.text.txt"
    text.write_text(f"more {text.read_text('utf-8')}", "utf-8")
    (told,) = spoiled.ask(("golden", TESTS[3]))
    assert told == "failed: AssertionError: ids of pair 2: arrays differ"
    output = tmp_path / "golden" / "000.output.bin"
    output.write_bytes(bytes(255 - score for score in output.read_bytes()))
    for told in spoiled.ask(*(("golden", test) for test in TESTS[:2])):
        assert told.startswith("failed: AssertionError: pair 0: scores differ by"), told


def test_a_float_model_of_a_vocabulary_with_case(kotlin: Path, tmp_path: Path) -> None:
    drop = text_drop(tmp_path, shipped=WORDS_FLOAT, cased=True)
    assert facts_of(drop)["input"]["lower"] is False
    app = compiled(kotlin, drop, tmp_path / "out", "texts")
    assert app.ask(*(("golden", test) for test in TESTS)) == ["passed"] * len(TESTS)
