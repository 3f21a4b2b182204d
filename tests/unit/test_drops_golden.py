"""Golden pairs: whose they are, what the model says of them, and that a drop gives nothing away."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from color_helpers import CLASSES, FLOAT, INT8, SIZE, Run, make_run, pixels
from PIL import Image

from tfedge.cli import main
from tfedge.data.index import Index
from tfedge.drops import golden, manifest, outside
from tfedge.drops.verify import verify
from tfedge.errors import DataError, DropError
from tfedge.inputs.images.synthetic import Sketch, drawn, mixed
from tfedge.pipeline.load import load
from tfedge.pipeline.schema import Package
from tfedge.portable.golden import TOLERANCE
from tfedge.portable.images import decode
from tfedge.stages import evaluate, package
from tfedge.tasks.image_classification import golden as choice
from tfedge.tflite.runtime import BuiltinLiteRT, LiteRT, Pool, predict

SUMS = [3297465, 3306872, 3714777, 3769524]  # of drawings 0 to 3
SOURCES = ("synthetic", "held_out", "folder")
TARGETS = ("linux", "android", "coral")


def packed(tmp: Path, source: str = "synthetic", **options: object) -> Run:
    if source == "folder":
        source = str(public_images(tmp / "public"))
    run = make_run(
        tmp,
        benchmark=None,
        package={"targets": ["linux"], "golden": source, "coral": {"compile": "defer"}}
        | dict(options.pop("package", {})),  # type: ignore[call-overload]
        **options,
    )
    evaluate.run(run.context("evaluate"))
    run.inputs["evaluate/metrics.json"] = run.folder / "evaluate" / "metrics.json"
    package.run(run.context("package"))
    return run


def public_images(folder: Path, each: int = 3) -> Path:
    for label in range(len(CLASSES)):
        for number in range(each):
            path = folder / f"shown-{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(label, 5000 + 10 * label + number)).save(path)
    (folder / "LICENCE.txt").write_text("CC0")
    return folder


def pairs(drop: Path) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and real scores."""
    facts = manifest.load(drop)
    shown = [np.fromfile(drop / row["input"], np.uint8) for row in facts["golden"]]
    dtype = facts["output"]["dtype"]
    scores = [np.fromfile(drop / row["output"], dtype) for row in facts["golden"]]
    scale = facts["output"]["scale"] or 1.0
    return np.stack(shown).reshape(-1, SIZE, SIZE, 3), np.stack(scores) * scale


def linux(run: Run) -> Path:
    return run.folder / "package/drops/linux"


@pytest.fixture(scope="module", params=SOURCES)
def each_source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Run]:
    return request.param, packed(tmp_path_factory.mktemp(request.param), request.param)


def test_card_readme_and_manifest_say_whose_they_are(each_source: tuple[str, Run]) -> None:
    source, run = each_source
    drop, expected = linux(run), {"folder": "public"}.get(source, source)
    assert manifest.load(drop)["golden_from"] == expected
    told = {
        "synthetic": "8 synthetic images, made for this model; it answers them with 3 of its 3",
        "held_out": "8 held-out images of the owner",
        "folder": "images that the owner calls public; it answers them with 3 of its 3 classes",
    }[source]
    for name in ("CARD.md", "README.md"):
        assert told in " ".join((drop / name).read_text("utf-8").split()), name
    assert [problem for check in verify(drop) for problem in check.problems] == []


def test_what_the_manifest_says_of_a_pair_is_what_the_model_answers(
    each_source: tuple[str, Run],
) -> None:
    source, run = each_source
    shown, scores = pairs(linux(run))
    np.testing.assert_array_equal(predict(INT8, shown), scores.astype(np.float32))
    facts = manifest.load(linux(run))["golden"]
    assert [row["input"] for row in facts] == [
        f"golden/{n:03d}.input.bin" for n in range(len(facts))
    ]
    if source == "held_out":
        assert [row["class"] for row in facts] == ["red", "green", "blue"] * 2 + ["red", "green"]
        return
    assert [row["answer"] for row in facts] == [CLASSES[n] for n in scores.argmax(1)]
    ordered = np.sort(scores, axis=1)
    np.testing.assert_allclose(
        [row["margin"] for row in facts], ordered[:, -1] - ordered[:, -2], atol=1e-4
    )


def test_synthetic_ones_are_sure_or_lie_where_two_classes_meet(tmp_path: Path) -> None:
    """Between these margins two scores that are each within the tolerance may change places, and
    the rule would call that another answer."""
    _, scores = pairs(linux(packed(tmp_path)))
    margin = choice.margins(scores)
    assert set(scores.argmax(1)) == {0, 1, 2}
    assert ((margin <= TOLERANCE) | (margin > 2 * TOLERANCE)).all()
    assert 3 <= (margin <= TOLERANCE).sum() <= 4
    assert len(np.unique(scores, axis=0)) == len(scores), "no two say the same"


@pytest.mark.parametrize("shipped", [INT8, FLOAT], ids=["int8", "float"])
def test_same_model_same_pairs_whatever_the_owner_s_images_are(
    tmp_path: Path, shipped: Path
) -> None:
    recipe = "float" if shipped == FLOAT else "qat"
    found = []
    for name, each in (("a", 4), ("b", 7)):
        (tmp_path / name).mkdir()
        run = packed(tmp_path / name, shipped=shipped, recipe=recipe, each=each, mislabelled=1)
        files = sorted((linux(run) / "golden").iterdir())
        found.append([(path.name, path.read_bytes()) for path in files])
    assert found[0] == found[1]


def test_other_kernels_give_the_same_answers_with_room_to_spare(tmp_path: Path) -> None:
    shown, scores = pairs(linux(packed(tmp_path)))
    others = Pool(INT8, load=BuiltinLiteRT).run(shown)[0]
    assert abs(others - scores).max() <= TOLERANCE / 2


def test_what_other_kernels_answer_otherwise_is_no_golden_pair(monkeypatch) -> None:
    """A runtime whose other kernels agree on images of one class alone."""

    class Askew(LiteRT):
        def invoke(self, *arrays: np.ndarray) -> list[np.ndarray]:
            (scores,) = super().invoke(*arrays)
            return [scores if scores.argmax() == 1 else scores[:, [1, 2, 0]]]

    monkeypatch.setattr(golden, "BuiltinLiteRT", Askew)
    found = chosen_of(INT8)
    assert {row["answer"] for row in found.facts} == {"green"}

    class Broken(LiteRT):
        def invoke(self, *arrays: np.ndarray) -> list[np.ndarray]:
            return [super().invoke(*arrays)[0][:, [2, 0, 1]]]

    monkeypatch.setattr(golden, "BuiltinLiteRT", Broken)
    with pytest.raises(DropError, match="no golden pair can be made") as caught:
        chosen_of(INT8)
    assert "held_out" in caught.value.hint


def test_where_few_are_steady_more_are_tried_and_the_manifest_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a net of random weights, of whose answers most hang on the kernels: the first that
    are looked at, which say the most, are none of the steady ones."""

    class Seldom(LiteRT):
        def invoke(self, *arrays: np.ndarray) -> list[np.ndarray]:
            (scores,) = super().invoke(*arrays)
            real = np.sort(scores.astype(float).ravel()) / 256
            return [scores if real[-1] - real[-2] > 0.93 else 255 - scores]

    monkeypatch.setattr(golden, "BuiltinLiteRT", Seldom)
    run = packed(tmp_path)
    facts = manifest.load(linux(run))
    tried = facts["golden_tried"]
    assert len(facts["golden"]) == 8 and all(row["margin"] > 0.93 for row in facts["golden"])
    assert tried["inputs"] > 2 * 8 and 8 <= tried["steady"] < tried["inputs"]
    left_out = tried["inputs"] - tried["steady"]
    told = f"; of {tried['inputs']} tried ones {left_out} are left out, since other kernels of the"
    for name in ("CARD.md", "README.md"):
        assert told in " ".join((linux(run) / name).read_text("utf-8").split()), name


def test_those_that_were_not_chosen_were_not_tried(tmp_path: Path) -> None:
    assert manifest.load(linux(packed(tmp_path, "held_out")))["golden_tried"] is None


def chosen_of(model: Path) -> golden.Chosen:
    from types import SimpleNamespace
    from typing import Any, cast

    from tfedge.tasks.image_classification.work import Classification

    examples = cast(Any, SimpleNamespace(classes=CLASSES))
    given = {"shape": [1, SIZE, SIZE, 3], "fit": "crop"}
    return golden.chosen("synthetic", Classification(), examples, given, model.read_bytes())


def test_a_model_that_always_says_the_same_is_told_so() -> None:
    class Constant:
        def outputs(self, inputs) -> np.ndarray:
            return np.tile(np.float32([0.1, 0.7, 0.2]), (len(inputs), 1))

        def steady(self, inputs) -> np.ndarray:
            return np.ones(len(inputs), bool)

    found = choice.synthetic(SIZE, CLASSES, Constant(), 8)
    assert len(found.facts) == len(found.inputs) == 8
    assert {row["answer"] for row in found.facts} == {"green"}
    assert "with 1 of its 3 classes" in found.told and "meet" not in found.told


def test_a_model_of_one_score_has_pairs() -> None:
    class One:
        def outputs(self, inputs) -> np.ndarray:
            return np.ones((len(inputs), 1), np.float32)

        def steady(self, inputs) -> np.ndarray:
            return np.ones(len(inputs), bool)

    assert len(choice.synthetic(SIZE, ("all",), One(), 8).facts) == 8


def test_drawings_are_the_same_everywhere() -> None:
    """Of integers alone: these sums hold on every machine and with every numpy."""
    assert [int(drawn(n).astype(np.int64).sum()) for n in range(4)] == SUMS
    image = Sketch(5, ((6, 7), (8, 8))).image(50)
    assert (image.dtype, image.shape) == (np.uint8, (50, 50, 3))
    assert mixed(image, image, 100).tolist() == image.tolist()


def test_images_of_a_folder_are_decoded_as_in_training(tmp_path: Path) -> None:
    run = packed(tmp_path, "folder")
    shown, _ = pairs(linux(run))
    known = [decode(path, SIZE, "crop") for path in (tmp_path / "public").rglob("*.png")]
    assert all(any((one == image).all() for image in known) for one in shown)


def test_a_folder_that_can_t_be_used_is_named_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        outside.needs(Package(golden=str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no file in it"):
        outside.needs(Package(golden=str(tmp_path / "empty")))
    outside.needs(Package(golden="held_out"))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    folder = public_images(tmp_path / "p")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        packed(tmp_path, package={"golden": str(folder)})
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "LICENCE.txt").write_text("CC0")
    (tmp_path / "again").mkdir()
    with pytest.raises(DataError, match="no images in the folder"):
        packed(tmp_path / "again", package={"golden": str(tmp_path / "texts")})


def test_another_public_image_is_another_key(tmp_path: Path) -> None:
    folder = public_images(tmp_path / "p")
    config, cache = Package(golden=str(folder)), tmp_path / "cache"
    assert outside.digest(config, cache, hash_new=False) is None
    first = outside.digest(config, cache)
    assert outside.digest(config, cache, hash_new=False) == first
    Image.fromarray(pixels(0, 1)).save(folder / "more.png")
    assert outside.digest(config, cache) not in (first, outside.digest(Package(), cache))


def test_a_folder_is_relative_to_the_pipeline_file(tmp_path: Path) -> None:
    text = "name: a\ndata: {path: 'sample:digits'}\npackage: {golden: public}\n"
    (tmp_path / "p.yaml").write_text(text)
    found = load(tmp_path / "p.yaml").pipeline.package
    assert found is not None and found.golden == str(tmp_path / "public")


def test_held_out_is_told_before_it_runs(tmp_path: Path, capsys) -> None:
    text = "name: a\ndata: {path: 'sample:digits'}\npackage: {golden: held_out}\n"
    (tmp_path / "p.yaml").write_text(text)
    assert main(["check", str(tmp_path / "p.yaml")]) == 0
    said = capsys.readouterr().out
    assert "note: package.golden: held_out puts examples of yours into every drop" in said


# --- what a drop gives away ---

SECRET = "Ward7-Oberarzt"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose every file and folder has a name that nobody else may read."""
    tmp = tmp_path_factory.mktemp(SECRET)
    run = make_run(
        tmp,
        mislabelled=2,
        benchmark=None,
        distill={"teacher": "float"},
        package={"targets": list(TARGETS), "coral": {"compile": "defer"}},
    )
    index, rows = Index.load(run.inputs["data/index.json"]), []
    for number, row in enumerate(index.rows):
        new = (run.root / row.path).with_name(f"{SECRET}-{number}.png")
        (run.root / row.path).rename(new)
        rows.append(row._replace(path=new.relative_to(run.root).as_posix()))
    Index(index.classes, tuple(sorted(rows)), index.split_from).save(run.inputs["data/index.json"])
    base = run.json("backbone/base.json")
    weights = {"source": "file", "detail": str(tmp / f"{SECRET}" / "net.h5")}
    base["weights"].update(weights)
    run.add("backbone/base.json", base)
    judged = {"val_accuracy": 0.9, "val_loss": 0.25}
    teacher = {"name": "MobileNetV2", **judged, "float": judged, "chose_weights_on": "val"}
    run.add("distill/distill.json", {**teacher, "net": base})
    evaluate.run(run.context("evaluate"))
    run.inputs["evaluate/metrics.json"] = run.folder / "evaluate" / "metrics.json"
    package.run(run.context("package"))
    return run


@pytest.mark.parametrize("target", TARGETS)
def test_no_file_of_a_drop_names_the_owner_s_files_or_holds_their_pixels(
    private: Run, target: str
) -> None:
    worst = private.json("evaluate/metrics.json")["worst"]
    assert any(SECRET in row["path"] for row in worst), "else there is nothing to leak"
    drop = private.folder / "package/drops" / target
    files = [path for path in drop.rglob("*") if path.is_file()]
    assert len(files) > 15
    images = [decode(path, SIZE, "crop") for path in private.root.rglob("*.png")]
    assert len(images) == 12
    hidden = [
        text.encode() for text in (SECRET, str(private.root), str(private.folder), str(Path.home()))
    ]
    hidden += [path.read_bytes()[-64:-16] for path in private.root.rglob("*.png")]
    hidden += [row.tobytes() for image in images for row in image[::8]]
    for path in files:
        assert SECRET not in str(path.relative_to(drop))
        data = path.read_bytes()
        assert [text for text in hidden if text in data] == [], path
        if path.name.endswith(".input.bin"):
            shown = np.frombuffer(data, np.uint8).reshape(SIZE, SIZE, 3).astype(int)
            near = min(np.abs(shown - image).mean() for image in images)
            assert near > 30, f"{path.name} looks like an image of the owner"
    facts = json.loads((drop / "MANIFEST.json").read_text())
    assert "worst" not in facts["metrics"]
    assert facts["backbone"]["weights"]["detail"] == "net.h5"


def test_the_leak_test_sees_held_out_images(tmp_path: Path) -> None:
    """What it looks for is there when the owner asks for it."""
    run = packed(tmp_path, "held_out")
    shown, _ = pairs(linux(run))
    images = [decode(path, SIZE, "crop") for path in run.root.rglob("*.png")]
    assert all(any((one == image).all() for image in images) for one in shown)


def test_an_address_is_told_without_what_may_be_a_password() -> None:
    from tfedge.data.schema import Download

    address = "https://me:secret@host.example/set.zip?token=abc#x"
    data = load_data({"download": Download(url=address, sha256="0" * 64)})
    assert package._source(data) == "https://host.example/set.zip"


def load_data(given: dict) -> object:
    from tfedge.inputs.images.schema import ImageData

    return ImageData(**given)


def test_released_drops_hold_no_path_of_the_machine_that_made_them() -> None:
    for path in (Path(__file__).parents[2] / "models").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [text for text in (b"/root/", b"/home/", b"/tmp/") if text in data], path
