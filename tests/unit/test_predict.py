"""``tfedge predict``: what a shipped model says of files, read as its drop or run says."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from color_helpers import CLASSES, INT8, make_run, pixels
from PIL import Image
from text_cases import of_pieces

from tfedge import predict
from tfedge.core.process import quiet_libraries
from tfedge.drops import archive
from tfedge.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    DropError,
    TfedgeError,
    UnsupportedModel,
)
from tfedge.portable.wordpiece import WordPiece
from tfedge.tasks.classification.answers import ScoreReader
from tfedge.tasks.drop import Unreadable
from tfedge.tasks.table import task_of
from tfedge.tasks.text_classification.reader import TextReader
from tfedge.tflite import metadata

DROP = Path(__file__).parents[2] / "models" / "digits-mobilenetv2"
MODEL = "digits-mobilenetv2.tflite"
DIGITS = [str(number) for number in range(10)]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images that the model tells apart, not square: how they become square counts."""
    folder = tmp_path / "photos"
    (folder / "more" / ".hidden").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(6):
        image = rng.integers(0, 256, (8 + number, 13, 3), np.uint8)
        path = folder / ("more" if number % 2 else ".") / f"{number}.png"
        Image.fromarray(image).resize((90, 60 + number)).save(path)
    shutil.copy(folder / "0.png", folder / "more" / ".hidden" / "9.png")
    (folder / "notes.txt").write_text("none of them")
    return folder


def scores(found: object) -> list[dict[str, float]]:
    return [one.answer.facts["scores"] for one in found]  # type: ignore[attr-defined]


def test_a_drop_answers_as_its_own_script(photos: Path) -> None:
    files = sorted(photos.glob("*.png"))
    ran = subprocess.run(
        [sys.executable, "-B", DROP / "classify.py", *files], capture_output=True, text=True
    )
    found = [*predict(DROP, files)]
    said = [
        line for one in found if one.answer for line in (one.input, *_indented(one.answer.lines))
    ]
    assert said == ran.stdout.splitlines() and len(said) == 4 * len(files)
    assert len({next(iter(one)) for one in scores(found)}) > 1  # not one answer for all


def _indented(lines: object) -> list[str]:
    return [f"  {line}" for line in lines]  # type: ignore[attr-defined]


def test_folders_patterns_and_files_in_their_order(photos: Path) -> None:
    said = io.StringIO()
    found = predict(DROP, [photos, f"{photos}/more/*.png", photos / "0.png"], progress=said)
    names = [Path(one.input).relative_to(photos).as_posix() for one in found]
    here, more = ["0.png", "2.png", "4.png"], ["more/1.png", "more/3.png", "more/5.png"]
    assert names == [*here, *more, *more, "0.png"]
    assert said.getvalue().strip() == f"note: {photos}: no images, and so left out: notes.txt"


def test_a_zip_and_the_file_in_the_drop_answer_the_same(photos: Path, tmp_path: Path) -> None:
    archive.pack(DROP, tmp_path / "drop.zip")
    expected = scores(predict(DROP, photos))
    assert scores(predict(tmp_path / "drop.zip", photos)) == expected
    assert scores(predict(DROP / MODEL, photos)) == expected


def test_of_a_stream_all_is_one_image(photos: Path) -> None:
    content = (photos / "0.png").read_bytes()
    (found,) = predict(DROP, "-", stream=io.BytesIO(content), top=10)
    (same,) = predict(DROP, photos / "0.png", top=10)
    assert (found.input, found.answer) == ("-", same.answer)


def test_a_run_answers_by_its_own_examples(photos: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    folder = run.folder
    (folder / "resolved.json").write_text(run.pipeline.model_dump_json())
    with pytest.raises(ArtifactError, match="has not ended"):
        predict(folder, photos)
    assert len(scores(predict(folder / "convert/model.tflite", run.root))) == 12
    (folder / "run.json").write_text(json.dumps({"model": None, "status": "failed"}))
    with pytest.raises(ArtifactError, match="has no model: it is failed"):
        predict(folder, photos)
    (folder / "run.json").write_text(json.dumps({"model": {"path": "../../x"}, "status": "ok"}))
    found = [*predict(folder, run.root, top=1)]
    truth = [Path(one.input).parent.name for one in found]
    assert [next(iter(one)) for one in scores(found)] == truth and set(truth) == set(CLASSES)


# ------------------------------------------------------------------ a file by itself


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    path = tmp_path / "alone.tflite"
    shutil.copy(INT8, path)
    return path


def red(folder: Path) -> Path:
    Image.fromarray(pixels(0, 1)).save(folder / "red.png")
    return folder / "red.png"


IMAGES = "image-classification"


@pytest.mark.parametrize(
    ("told", "said", "hint"),
    [
        ({}, "what it is for is not known", f"--task {IMAGES} or text-classification"),
        ({"task": "image-clasification"}, "no task 'image-clasification', did you mean", ""),
        ({"task": IMAGES}, "its classes are told neither", "--labels FILE"),
        ({"task": IMAGES, "labels": ["a", "b", "a"]}, "more than once: a", ""),
        ({"task": IMAGES, "labels": CLASSES, "fit": "squeeze"}, "--fit must be crop", ""),
        ({"task": "text-classification"}, "which pieces a text is cut into", "the drop or the run"),
    ],
)
def test_what_a_file_does_not_say_is_asked_for(
    alone: Path, told: dict, said: str, hint: str
) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        predict(alone, red(alone.parent), **told)
    assert hint in error.value.hint


def test_told_by_its_user_it_answers(alone: Path) -> None:
    (found,) = predict(alone, red(alone.parent), task=IMAGES, labels=CLASSES, top=1)
    assert found.answer is not None and [*found.answer.facts["scores"]] == ["red"]


def test_labels_that_are_no_text_are_one_message(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("café\n".encode("latin-1"))
    for file in ("labels.txt", "none.txt"):
        with pytest.raises(ConfigError, match=f"{file}: can't be read as UTF-8 text"):
            [*predict(alone, red(alone.parent), task=IMAGES, labels=tmp_path / file)]
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfred\ngreen\nblue\n")  # as Windows writes it
    (found,) = predict(alone, red(alone.parent), task=IMAGES, labels=tmp_path / "labels.txt", top=1)
    assert found.answer is not None and [*found.answer.facts["scores"]] == ["red"]


def test_its_metadata_tell_task_and_labels(alone: Path) -> None:
    label_file = {"name": "names.txt", "type": 2}
    graph = {
        "input_tensor_metadata": [{"content": {"content_properties": {"ImageProperties": {}}}}],
        "output_tensor_metadata": [{"associated_files": [label_file]}],
    }
    names = b"rot\ngr\xc3\xbcn\nblau\n"
    content = metadata.embed(
        alone.read_bytes(), {"subgraph_metadata": [graph]}, {"names.txt": names}
    )
    alone.write_bytes(content)
    (found,) = predict(alone, red(alone.parent))
    assert found.answer is not None
    first, *others = found.answer.facts["scores"]
    assert first == "rot" and set(others) == {"grün", "blau"}


def test_a_model_that_takes_something_else_is_refused(alone: Path) -> None:
    with pytest.raises(UnsupportedModel, match=r"\[1, 3\] scores for 2 classes"):
        predict(alone, red(alone.parent), task=IMAGES, labels=["a", "b"])


def test_what_a_drop_says_is_not_told_again(photos: Path) -> None:
    with pytest.raises(ConfigError, match="leave --task, --labels out"):
        predict(DROP, photos, task=IMAGES, labels=DIGITS)


# ------------------------------------------------------------------ bad inputs


def test_every_input_that_leads_to_nothing_is_named_at_once(photos: Path) -> None:
    (photos / "empty").mkdir()
    with pytest.raises(DataError) as error:
        predict(DROP, [photos, photos / "x.png", f"{photos}/*.jpg", photos / "empty"])
    assert error.value.problems == [
        f"{photos}/x.png: no such file or folder",
        f"{photos}/*.jpg: matches nothing",
        f"{photos}/empty: no images in it",
    ]


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        ([], {}, "no images to ask about"),
        (["x"], {"texts": "a text"}, "--text: the model takes images"),
        (["-"], {}, "there is no standard input"),
        (["-", "-"], {"stream": io.BytesIO()}, "can be read once"),
        (["x"], {"top": 0}, "top must be 1 or more"),
    ],
)
def test_arguments_that_make_no_sense(inputs: list, more: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        predict(DROP, inputs, **more)


def _changed(drop: Path) -> None:
    model = bytearray((drop / MODEL).read_bytes())
    model[-1] ^= 1
    (drop / MODEL).write_bytes(bytes(model))


def _other_fit(drop: Path) -> None:
    _manifest(drop, lambda facts: facts["input"].update(fit="squeeze"))


def _other_shape(drop: Path) -> None:
    _manifest(drop, lambda facts: facts["input"].update(shape=[1, 32, 32, 3]))


def _no_classes(drop: Path) -> None:
    _manifest(drop, lambda facts: facts.pop("classes"))


def _outside(drop: Path) -> None:
    _manifest(drop, lambda facts: facts.update(model="../x.tflite"))


def _manifest(drop: Path, change: Callable[[dict], object]) -> None:
    facts = json.loads((drop / "MANIFEST.json").read_text("utf-8"))
    change(facts)
    (drop / "MANIFEST.json").write_text(json.dumps(facts), "utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_changed, "was changed since the drop was made"),
        (_other_fit, "does not say what a drop says: ValueError fit 'squeeze'"),
        (_other_shape, "input.shape: the manifest says"),
        (_no_classes, "does not say what a drop says: KeyError 'classes'"),
        (_outside, "is not among files"),
    ],
)
def test_a_drop_that_does_not_hold_is_not_asked(
    photos: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    drop = Path(shutil.copytree(DROP, tmp_path / "drop"))
    change(drop)
    with pytest.raises(DropError, match=said):
        predict(drop, photos)


@pytest.mark.parametrize("name", ["nothing", "photos", "photos/0.png"])
def test_what_is_no_model(photos: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"no such model|neither a") as error:
        predict(photos.parent / name, photos)
    assert isinstance(error.value, TfedgeError) and "a run directory" in error.value.hint


# ------------------------------------------------------------------ texts

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s"]
TEXTS = {
    "input": {
        "shape": [1, 2, 8],
        "parts": ["ids", "mask"],
        "tokenizer": "WordPiece",
        "vocabulary": "vocab.txt",
        "lower": True,
        "encoding": "cp1252",
    },
    "classes": ["no", "yes"],
}


def vocabulary(name: str) -> bytes:
    assert name == "vocab.txt"
    return "\n".join(PIECES).encode()


def test_texts_are_read_in_the_drop_s_encoding_and_pieces() -> None:
    reader = TextReader(TEXTS, vocabulary)
    expected = WordPiece(of_pieces(PIECES)).encode("GOOD films\u2026", 8)
    for got in (
        reader.typed("GOOD films\u2026"),
        reader.content("GOOD films\u2026".encode("cp1252"), "a.txt"),
    ):
        assert got.dtype == np.int32 and got.tolist() == [expected.ids, expected.mask]
    assert expected.ids[1:4] == [4, 6, 7]


def test_what_no_op_reads_is_given_too() -> None:
    """The drop for Android has an input more, which MediaPipe asks for."""
    parts = {"shape": [1, 3, 8], "parts": ["ids", "mask", "segment_ids"]}
    given = {**TEXTS, "input": {**TEXTS["input"], **parts}}  # type: ignore[dict-item]
    got = TextReader(given, vocabulary).typed("good")
    assert got.shape == (3, 8) and got[1].sum() == 3 and not got[2].any()


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_text_is_none(text: str) -> None:
    reader = TextReader(TEXTS, vocabulary)
    for ask in (lambda: reader.typed(text), lambda: reader.content(text.encode(), "a.txt")):
        with pytest.raises(Unreadable, match="is empty"):
            ask()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"encoding": "hex"}, ValueError),
        ({"encoding": 3}, TypeError),
        ({"vocabulary": "x.txt"}, KeyError),
        ({"shape": [1]}, IndexError),
    ],
)
def test_a_contract_of_another_kind_is_said(change: dict, error: type[Exception]) -> None:
    given: dict = {**TEXTS["input"], **change}  # type: ignore[dict-item]
    with pytest.raises(error):
        TextReader({**TEXTS, "input": given}, {"vocab.txt": vocabulary("vocab.txt")}.__getitem__)


# ------------------------------------------------------------------ lines, as they come


class Typed:
    """A reader of texts for the color model, which sees a letter's color."""

    from tfedge.data.kind import TEXTS as kind

    largest = 20

    def typed(self, text: str) -> np.ndarray:
        if not text.strip():
            raise Unreadable("is empty")
        return pixels("rgb".index(text.strip()), 1)

    def content(self, content: bytes, name: str) -> np.ndarray:
        return self.typed(content.decode())

    def answer(self, output: np.ndarray, top: int):  # type: ignore[no-untyped-def]
        return ScoreReader({"classes": CLASSES}).answer(output, top)


def asked(stream: object, **more: object) -> object:
    from tfedge.drops.asked import named, predictions
    from tfedge.drops.served import Served
    from tfedge.files.progress import NoProgress

    reader = Typed()
    found = named(["-"], more.get("texts", ()), reader, stream, NoProgress())  # type: ignore[arg-type]
    return predictions(Served(task_of(IMAGES), INT8.read_bytes(), reader), found, 1)  # type: ignore[arg-type]


def test_each_line_of_a_stream_is_a_text() -> None:
    found = [one.to_json() for one in asked(io.BytesIO(b"r\n\n\xff\nb"), texts=["g"])]  # type: ignore[attr-defined]
    names = [next(iter(one["scores"])) if "scores" in one else one["error"] for one in found]
    assert names == ["red", "is empty", "is not UTF-8", "blue", "green"]
    assert [one["input"] for one in found] == ["-:1", "-:2", "-:3", "-:4", "g"]


def test_a_line_is_answered_before_the_next_one_comes() -> None:
    class Slow(io.RawIOBase):
        lines: Queue[bytes] = Queue()

        def readline(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            return self.lines.get(timeout=60)

    answers: Queue[str] = Queue()

    def listen() -> None:
        for one in asked(Slow()):  # type: ignore[attr-defined]
            answers.put(next(iter(one.to_json()["scores"])))

    listener = threading.Thread(target=listen)
    listener.start()
    for letter, color in ((b"r\n", "red"), (b"b\n", "blue")):
        Slow.lines.put(letter)
        assert answers.get(timeout=60) == color
    Slow.lines.put(b"")
    listener.join(60)
    assert not listener.is_alive()


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(DataError, match="-:2: more than 20 bytes in a line"):
        list(asked(io.BytesIO(b"r\n" + b"r" * 30)))  # type: ignore[call-overload]


# ------------------------------------------------------------------ the command


def test_the_command_goes_on_past_what_it_can_t_read(photos: Path, command: Command) -> None:
    (photos / "1.png").write_bytes(b"no image")
    ran = command("predict", DROP, "photos/0.png", "photos/1.png", "photos/2.png", "--json")
    assert ran.returncode == 4
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [row["input"] for row in rows] == ["photos/0.png", "photos/1.png", "photos/2.png"]
    assert rows[1]["error"].startswith("not an image") and len(rows[2]["scores"]) == 3
    assert ran.stderr.splitlines()[-1] == "1 of 3 inputs can't be read"


def test_the_command_prints_what_people_read(photos: Path, command: Command) -> None:
    ran = command("predict", DROP, photos / "0.png", "--top", 2)
    (same,) = predict(DROP, photos / "0.png", top=2)
    assert ran.returncode == 0 and same.answer is not None
    assert ran.stdout.splitlines() == [str(photos / "0.png"), *_indented(same.answer.lines)]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nothing", "x"), 7),
        ((DROP, "x"), 4),
        ((DROP, "--text", "x"), 2),
        ((DROP, "x", "--top", "0"), 2),
        ((DROP, "x", "--labels", "nothing"), 2),
    ],
)
def test_each_bad_input_has_its_exit_code(words: tuple, code: int, command: Command) -> None:
    ran = command("predict", *words)
    assert (ran.returncode, ran.stdout) == (code, "") and "Traceback" not in ran.stderr


def test_libraries_do_not_talk_to_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    """As LiteRT does, past Python, when it loads a model."""
    with quiet_libraries():
        os.write(2, b"INFO: Created a delegate\n")
        print("ours", file=sys.stderr)
    os.write(2, b"behind it\n")
    said = capfd.readouterr().err
    assert "INFO" not in said and "behind it" in said
