"""The device script's --pictures and --accuracy: it feeds the pixels that training saw."""

from __future__ import annotations

import json
import shutil
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from awkward_images import FITS, LEVELS, SIZES, awkward_images, sixteen_bit_rgb
from color_helpers import CLASSES, INT8, pixels
from PIL import Image
from script_helpers import SCRIPT, document, fake_runtime, run

from tfedge.inputs.images.pictures import Decoding, Refused
from tfedge.portable.images import decode

QUICK = ("--runs", "12", "--warmup", "2")

# Takes images and keeps what it is fed, in the order of the inferences.
CAMERA = """
import os
import numpy as np

class Interpreter:
    def __init__(self, **words): pass
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=0, shape=np.array({shape}), dtype=np.{dtype})]
    get_output_details = get_input_details
    def set_tensor(self, index, value): self.value = value
    def get_tensor(self, index): return self.value
    def invoke(self):
        with open(os.environ["FED"], "ab") as file:
            file.write(self.value.tobytes())
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """tools/bench_tflite.py itself, as a module."""
    loader = SourceFileLoader("bench_tflite_by_path", str(SCRIPT))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def labelled(folder: Path, each: int = 3) -> Path:
    """A folder for each class; of ``green`` all show something red."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            shown = 0 if name == "green" else label
            Image.fromarray(pixels(shown, 10 * label + i)).save(folder / name / f"{i}.png")
    return folder


def taking(shape: list[int], dtype: type = np.uint8) -> SimpleNamespace:
    return SimpleNamespace(inputs=[{"shape": np.array(shape), "dtype": dtype}])


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("levels", LEVELS)
def test_awkward_images_are_decoded_as_in_training(
    script: ModuleType, tmp_path: Path, fit: str, levels: tuple[int, int] | None
) -> None:
    for path in awkward_images(tmp_path):
        for size in SIZES:
            got = script.image_input(taking([1, size, size, 3]), path, fit, levels)
            want = trained(path, size, fit, levels)
            assert np.array_equal(got[0], want), (path.name, size)


def trained(path: Path, size: int, fit: str, levels: tuple[int, int] | None) -> np.ndarray:
    """The pixels that training sees; where it would refuse so few levels, what it would see."""
    try:
        return Decoding(size, fit, levels).pixels(path.read_bytes(), path.name)
    except Refused:
        assert levels is not None and levels[1] - levels[0] < 32
        return decode(path, size, fit, levels)


def test_what_reaches_the_model_is_what_training_saw(tmp_path: Path) -> None:
    """From the command line to the tensor, for each fit and for both kinds of 8 bits."""
    (tmp_path / "images").mkdir()
    paths = sorted(awkward_images(tmp_path / "images"))
    for fit, dtype, zero in (*((fit, "uint8", 0) for fit in FITS), ("pad", "int8", 128)):
        place = tmp_path / f"{fit}-{dtype}"
        runtime = fake_runtime(place, text=CAMERA.format(shape=[1, 32, 32, 3], dtype=dtype))
        words = [f"--runs={len(paths)}", "--warmup=0", "--runtime=tflite-runtime", f"--fit={fit}"]
        words.append(f"--pictures={tmp_path / 'images'}")
        fed = place / "fed"
        (result,) = document(INT8, *words, PYTHONPATH=runtime, FED=str(fed))["results"]
        assert (result["input"], result["fit"]) == ("pictures", fit)
        got = np.fromfile(fed, dtype).astype(int).reshape(-1, 32, 32, 3)[1:] + zero  # 0: noise
        for path, one in zip(paths, got, strict=True):
            assert np.array_equal(one, decode(path, 32, fit)), (path.name, fit, dtype)


def deep_drop(folder: Path, levels: object = (0, 1023)) -> Path:
    """A drop whose model was trained on a camera of 10 bits, and images of it in 16."""
    for label, name in enumerate(CLASSES):
        (folder / "images" / name).mkdir(parents=True)
        image = pixels(label, label).astype(np.uint16) * 4
        (folder / "images" / name / "a.png").write_bytes(sixteen_bit_rgb(image))
    (folder / "labels.txt").write_text("\n".join(CLASSES))
    given = {"fit": "crop", **({} if levels is None else {"levels": levels})}
    return drop_with(folder / "drop", {"model": "m.tflite", "input": given})


@pytest.mark.parametrize(
    ("levels", "words", "used"),
    [
        ((0, 1023), (), [0, 1023]),
        (None, ("--levels=0,1023",), [0, 1023]),
        ((0, 1023), ("--levels=none", "--processes=2"), None),
        (None, (), None),
    ],
)
def test_levels_of_the_drop_reach_the_model(
    levels: object, words: tuple[str, ...], used: object, tmp_path: Path
) -> None:
    model = deep_drop(tmp_path, levels)
    asked = (model, *QUICK, "--accuracy", tmp_path / "images", "--labels", tmp_path / "labels.txt")
    (result,) = document(*asked, *words)["results"]
    assert result.get("levels") == used
    assert (result["accuracy"]["top1"] == 1) is (used is not None), "black else"


@pytest.mark.parametrize("levels", ["dark", [1], [5, 5], [0, 70000], 7])
def test_levels_that_are_none_are_refused(levels: object, tmp_path: Path) -> None:
    model = deep_drop(tmp_path, levels)
    done = run(model, *QUICK, "--pictures", tmp_path / "images" / CLASSES[0])
    assert done.returncode == 6 and "input.levels" in done.stderr and "--levels" in done.stderr
    for word in ("5", "9,4", "a,b"):
        assert run(model, *QUICK, f"--levels={word}").returncode == 2


def test_accuracy_on_a_labelled_folder(tmp_path: Path) -> None:
    folder = labelled(tmp_path / "images")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(CLASSES) + "\n")
    words = (INT8, *QUICK, "--accuracy", folder)
    (result,) = document(*words, "--labels", labels, "--processes=2")["results"]
    assert result["accuracy"] == {"top1": pytest.approx(2 / 3), "n": 9, "classes": 3}
    assert (result["input"], result["fit"]) == ("random", "crop")
    (result,) = document(*words)["results"]
    assert result["accuracy"]["top1"] == 0, "the alphabet is another order"


def test_accuracy_goes_by_the_fit(tmp_path: Path) -> None:
    """A blue middle between red: a crop sees blue, all of it is red."""
    for name in CLASSES:
        (tmp_path / "images" / name).mkdir(parents=True)
    wide = np.concatenate([np.tile(pixels(0, 1), (1, 4, 1)), pixels(2, 2)], 1)
    wide = np.concatenate([wide, np.tile(pixels(0, 3), (1, 4, 1))], 1)
    Image.fromarray(wide).save(tmp_path / "images" / "blue" / "a.png")
    (tmp_path / "labels.txt").write_text("\n".join(CLASSES))
    words = (INT8, *QUICK, "--accuracy", tmp_path / "images", "--labels", tmp_path / "labels.txt")
    right = [document(*words, f"--fit={fit}")["results"][0]["accuracy"]["top1"] for fit in FITS]
    assert right[:2] == [1, 0], right


def drop_with(folder: Path, manifest: object, model: str = "m.tflite") -> Path:
    path = folder / model
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(INT8, path)
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    (folder / "MANIFEST.json").write_text(text)
    return path


@pytest.mark.parametrize(
    ("manifest", "model", "words", "fit"),
    [
        ({"model": "m.tflite", "input": {"fit": "pad"}}, "m.tflite", [], "pad"),
        ({"model": "m.tflite", "input": {"fit": "pad"}}, "m.tflite", ["--fit=stretch"], "stretch"),
        ({"files": {"m.tflite": {}}, "input": {"fit": "stretch"}}, "m.tflite", [], "stretch"),
        (
            {"coral": {"file": "m_edgetpu.tflite"}, "input": {"fit": "pad"}},
            "m_edgetpu.tflite",
            [],
            "pad",
        ),
        ({"model": "assets/m.tflite", "input": {"fit": "pad"}}, "assets/m.tflite", [], "pad"),
        ({"model": "other.tflite", "input": {"fit": "pad"}}, "m.tflite", [], "crop"),
        (["of something else"], "m.tflite", [], "crop"),
        ({"model": "m.tflite", "input": {}}, "m.tflite", ["--fit=pad"], "pad"),
    ],
)
def test_the_fit_is_the_drop_s_unless_another_is_asked_for(
    manifest: object, model: str, words: list[str], fit: str, tmp_path: Path
) -> None:
    path = drop_with(tmp_path / "drop", manifest, model)
    folder = labelled(tmp_path / "images", each=1) / "red"
    (result,) = document(path, *QUICK, "--pictures", folder, *words)["results"]
    assert result["fit"] == fit


@pytest.mark.parametrize("threads", ["1", "1,2"])
def test_without_images_there_is_no_fit(threads: str) -> None:
    for result in document(INT8, *QUICK, "--threads", threads)["results"]:
        assert "fit" not in result


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("{", "MANIFEST.json: no JSON"),
        ({"model": "m.tflite", "input": {"fit": "squash"}}, "input.fit is 'squash'"),
        ({"model": "m.tflite"}, "input.fit is None"),
    ],
)
def test_a_manifest_that_does_not_say_is_no_crop(
    manifest: object, said: str, tmp_path: Path
) -> None:
    path = drop_with(tmp_path / "drop", manifest)
    done = run(path, *QUICK, "--pictures", labelled(tmp_path / "images", each=1) / "red")
    assert done.returncode == 6
    assert said in done.stderr and "give --fit" in done.stderr
    assert run(path, *QUICK).returncode == 0, "no images, no fit"


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        ([1, 32, 64, 3], "uint8", "one square RGB input, [1, size, size, 3]; this model takes"),
        ([1, 32], "uint8", "this model takes [1, 32]"),
        ([1, 32, 32, 1], "uint8", "this model takes [1, 32, 32, 1]"),
        ([1, 32, 32, 3], "float32", "images are 8 bits a value, the model takes float32"),
    ],
)
def test_a_model_that_takes_no_such_images_is_refused(
    shape: list[int], dtype: str, said: str, tmp_path: Path
) -> None:
    runtime = fake_runtime(tmp_path, text=CAMERA.format(shape=shape, dtype=dtype))
    folder = labelled(tmp_path / "images", each=1) / "red"
    words = ("--runtime=tflite-runtime", "--pictures", folder)
    done = run(INT8, *QUICK, *words, PYTHONPATH=runtime, FED=str(tmp_path / "fed"))
    assert done.returncode == 6, done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--accuracy={tmp}/none"], 6, "0 images of 0 classes"),
        (["--accuracy={tmp}/images", "--labels={tmp}/two.txt"], 6, "no class: blue"),
        (["--accuracy={tmp}/images", "--labels={tmp}/gone.txt"], 6, "gone.txt"),
        (["--pictures={tmp}/gone"], 6, "No such file"),
        (["--pictures={tmp}/none"], 6, "none: no images"),
        (["--pictures={tmp}/texts"], 6, "a.jpg: not an image"),
        (["--pictures={tmp}/images/red", "--fit=squash"], 2, "invalid choice: 'squash'"),
    ],
)
def test_what_can_t_be_used_is_named(words: list, code: int, said: str, tmp_path: Path) -> None:
    labelled(tmp_path / "images", each=1)
    (tmp_path / "two.txt").write_text("red\ngreen\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.jpg").write_text("no image")
    done = run(INT8, *QUICK, *(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_pillow_only_images_are_missed(tmp_path: Path) -> None:
    (tmp_path / "no" / "PIL").mkdir(parents=True)
    (tmp_path / "no" / "PIL" / "__init__.py").write_text("raise ImportError('no PIL')\n")
    folder = labelled(tmp_path / "images") / "red"
    done = run(INT8, *QUICK, "--pictures", folder, PYTHONPATH=str(tmp_path / "no"))
    assert done.returncode == 3
    assert "hint: python3 -m pip install pillow" in done.stderr
    assert run(INT8, *QUICK, PYTHONPATH=str(tmp_path / "no")).returncode == 0


def test_alone_in_a_folder_it_does_everything_and_leaves_nothing(tmp_path: Path) -> None:
    folder = labelled(tmp_path / "images") / "red"
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(SCRIPT, alone)
    words = (INT8, *QUICK, "--pictures", folder, "--profile", "--json=-")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = run(*words, script=alone / SCRIPT.name, TMPDIR=str(temporary), PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["results"]
    assert (one["input"], one["profile"]["method"]) == ("pictures", "litert-profiler")
    assert [path.name for path in alone.iterdir()] == [SCRIPT.name]
    assert list(temporary.iterdir()) == []
