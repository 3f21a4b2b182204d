"""The Linux drop: what lies in it, and its classify.py run as a user runs it."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from awkward_images import FITS, LEVELS, SIZES, awkward_images
from color_helpers import DATA, FLOAT, INT8, Run, make_run, pixels
from PIL import Image

from tfedge.drops import golden, linux, manifest
from tfedge.errors import DropError
from tfedge.portable.assemble import source
from tfedge.portable.images import decode
from tfedge.stages import benchmark, evaluate, package
from tfedge.tasks.drop import Pair
from tfedge.tasks.image_classification.golden import choose
from tfedge.tasks.image_classification.script import EXAMPLE

FILES = {"color.tflite", "labels.txt", "README.md", "CARD.md", "classify.py", "requirements.txt"}
FILES |= {"bench_tflite.py", "color.service"}
FILES |= {f"golden/{i:03d}.{what}.bin" for i in range(8) for what in ("input", "output")}
LINUX = "package/drops/linux"


def packed(tmp: Path, **options: object) -> Run:
    run = make_run(tmp, **options)
    if "evaluate" not in options:
        evaluate.run(run.context("evaluate"))
        run.inputs["evaluate/metrics.json"] = run.folder / "evaluate" / "metrics.json"
    package.run(run.context("package"))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("drop"), mislabelled=1)
    for stage, file in (evaluate, "metrics"), (benchmark, "benchmark"):
        name = stage.__name__.split(".")[-1]
        stage.run(run.context(name))
        run.inputs[f"{name}/{file}.json"] = run.folder / name / f"{file}.json"
    package.run(run.context("package"))
    return run


@pytest.fixture
def drop(run: Run, tmp_path: Path) -> Path:
    """A copy to spoil, away from everything else."""
    return Path(shutil.copytree(run.folder / LINUX, tmp_path / "drop"))


@pytest.fixture
def no_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of something else: the drop's own check takes a process."""
    monkeypatch.setattr(linux, "replay", lambda folder, command: None)


def classify(drop: Path, *args: object, **more: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | more
    command = [sys.executable, "-B", str(drop / "classify.py"), *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, env=env, cwd=drop.parent, timeout=120
    )


def told(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """What classify.py complained of: a line each, and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return "".join(line for line in done.stderr.splitlines(True) if not line.startswith("INFO: "))


def load_example(folder: Path) -> ModuleType:
    """classify.py as a module, as it stands in a drop."""
    path = folder / "classify.py"
    path.write_bytes(EXAMPLE.text())
    spec = spec_from_file_location("classify_by_path", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_and_digests(run: Run) -> None:
    folder = run.folder / LINUX
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == FILES | {"MANIFEST.json"}
    facts = json.loads((folder / "MANIFEST.json").read_text("utf-8"))
    for name, entry in facts["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}, name
    assert facts["files"].keys() == FILES
    assert (folder / "color.tflite").read_bytes() == INT8.read_bytes()
    assert (folder / "labels.txt").read_text("utf-8") == "red\ngreen\nblue\n"
    assert not [p for p in folder.parent.iterdir() if p.name != "linux"], "nothing temporary stays"


def test_drops_json_says_where(run: Run) -> None:
    (row,) = run.json("package/drops.json")
    folder = run.folder / "package" / row["path"]
    assert (row["target"], row["path"]) == ("linux", "drops/linux")
    content = (folder / "MANIFEST.json").read_bytes()
    assert row["manifest_sha256"] == hashlib.sha256(content).hexdigest()
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert (row["files"], row["bytes"]) == (len(files), sum(p.stat().st_size for p in files))


def test_manifest_says_how_to_call_the_model(run: Run) -> None:
    facts = run.json("package/drops/linux/MANIFEST.json")
    assert (facts["schema"], facts["target"], facts["name"]) == ("tfedge.drop/1", "linux", "color")
    assert facts["task"] == "image-classification"
    assert facts["input"] == {
        "dtype": "uint8",
        "shape": [1, 32, 32, 3],
        "layout": "NHWC",
        "color": "RGB",
        "range": [0, 255],
        "fit": "crop",
    }
    assert facts["output"]["dtype"] == "uint8"
    assert (facts["output"]["scale"], facts["output"]["zero_point"]) == (1 / 256, 0)
    assert facts["classes"] == ["red", "green", "blue"]
    assert facts["metrics"]["int8"]["top1"] == pytest.approx(11 / 12)
    assert "worst" not in facts["metrics"], "no names of single images"
    assert [row["model"] for row in facts["benchmark"]] == ["float", "int8"]
    assert "samples_ns" not in json.dumps(facts["benchmark"])
    assert facts["recipe"]["quantize"]["recipe"] == "qat"
    assert len(facts["run_key"]) == 64
    assert facts["versions"]["ai-edge-litert"]
    assert facts["data"]["counts"] == {"val": {"red": 4, "green": 4, "blue": 4}}
    assert str(run.root) not in json.dumps(facts), "no path of this machine"


def test_choose_takes_turns() -> None:
    assert choose([2, 2, 2, 0, 0, 1], golden.COUNT) == [3, 5, 0, 4, 1, 2]
    assert choose([2, 2, 2, 0, 0, 1], 4) == [3, 5, 0, 4]
    assert choose([], 4) == []


def test_card_says_what_it_is_made_of(run: Run) -> None:
    card = (run.folder / LINUX / "CARD.md").read_text("utf-8")
    for text in (
        "red, green, blue",
        "`uint8` 0–255",
        "sample:digits",
        "Licence of these weights: MIT",
        "sparsity 0.5",
        "| red | 100.0 % [43.9, 100.0] | 75.0 % [30.1, 95.4] |",
        "top-1: 91.7 %",
        "also chose the weights",
        "ms",
        "not on the device",
    ):
        assert text in card, text


@pytest.mark.usefixtures("no_replay")
def test_same_inputs_same_drop(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run = packed(tmp_path / name, quantize={"debug": name == "a"})  # makes no other model
        digests.append(run.json("package/drops.json")[0]["manifest_sha256"])
    assert digests[0] == digests[1]


@pytest.mark.usefixtures("no_replay")
def test_without_evaluation_and_benchmark_the_card_says_so(tmp_path: Path) -> None:
    run = packed(tmp_path, evaluate=None, benchmark=None)
    card = (run.folder / LINUX / "CARD.md").read_text("utf-8")
    assert "Not evaluated." in card and "Not measured." in card
    assert run.json("package/drops/linux/MANIFEST.json")["metrics"] is None


def test_float_drop_runs_too(tmp_path: Path) -> None:
    run = packed(tmp_path, shipped=FLOAT, recipe="float")
    done = classify(run.folder / LINUX, "--check")
    assert done.returncode == 0, done.stderr
    assert "8 identical" in done.stdout
    assert run.json("package/drops/linux/MANIFEST.json")["output"]["scale"] is None


@pytest.mark.usefixtures("no_replay")
def test_a_drop_is_replaced_as_a_whole(tmp_path: Path) -> None:
    run = packed(tmp_path)
    stale = run.folder / LINUX / "stale.txt"
    stale.write_text("from the run before")
    package.run(run.context("package"))
    assert not stale.exists()
    manifest.verify(run.folder / LINUX)


# --- classify.py, as a user runs it ---


def test_check_passes_away_from_the_checkout(drop: Path) -> None:
    done = classify(drop, "--check")
    assert done.returncode == 0, done.stderr
    assert "8 golden pairs with ai-edge-litert" in done.stdout
    assert "8 identical, largest difference 0.0000, 0 failed" in done.stdout


def test_names_what_is_on_a_photo(drop: Path, tmp_path: Path) -> None:
    Image.fromarray(pixels(2, 77)).save(tmp_path / "sky.png")
    Image.fromarray(pixels(0, 78)).save(tmp_path / "rose.png")
    done = classify(drop, tmp_path / "sky.png", tmp_path / "rose.png", "--top", 2, "--threads", 2)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == 6
    assert lines[0].endswith("sky.png")
    assert lines[1].split()[-1] == "blue"
    assert lines[4].split()[-1] == "red"


def test_check_finds_a_model_that_answers_otherwise(drop: Path) -> None:
    path = drop / "golden" / "000.output.bin"
    path.write_bytes(bytes([0, 0, 255]))
    done = classify(drop, "--check")
    assert done.returncode == 1
    assert "golden/000.output.bin: scores differ by" in done.stdout
    assert "1 failed" in done.stdout


def test_check_finds_scores_that_are_far_off_though_the_answer_is_the_same(drop: Path) -> None:
    path = drop / "golden" / "001.output.bin"
    scores = np.frombuffer(path.read_bytes(), np.uint8).astype(int)
    assert scores.argmax() == 1 and scores[1] > 200
    path.write_bytes((scores + np.array([30, -60, 30])).astype(np.uint8).tobytes())
    done = classify(drop, "--check")
    assert done.returncode == 1
    assert "golden/001.output.bin: scores differ by 0.2" in done.stdout


def test_check_lets_rounding_pass(drop: Path) -> None:
    path = drop / "golden" / "000.output.bin"
    scores = np.frombuffer(path.read_bytes(), np.uint8).astype(int)
    scores[scores.argmax()] -= 20
    path.write_bytes(scores.astype(np.uint8).tobytes())
    done = classify(drop, "--check")
    assert done.returncode == 0
    assert "7 identical" in done.stdout


def test_an_exchanged_model_is_refused(drop: Path) -> None:
    shutil.copy(DATA / "color_sin.tflite", drop / "color.tflite")
    done = classify(drop, "--check")
    assert done.returncode == 2
    assert "not the file that MANIFEST.json names" in done.stderr


def test_bad_photos_are_one_line(drop: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    for name in ("text.jpg", "missing.jpg"):
        done = classify(drop, tmp_path / name)
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].startswith("classify.py: ")
        assert name in done.stderr
        assert "Traceback" not in done.stderr
    assert "name a photo" in classify(drop).stderr


def test_folders_and_on_past_what_can_t_be_read(drop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    Image.fromarray(pixels(2, 77)).save(folder / "b.png")
    Image.fromarray(pixels(0, 78)).save(folder / "more" / "d.png")
    (folder / "c.jpg").write_text("no photo")
    (folder / ".hidden" / "e.png").write_text("no photo")
    os.mkfifo(folder / "f.png")
    done = classify(drop, tmp_path / "a.png", "/dev/zero", folder, "--top", 1)
    assert told(done).splitlines() == [
        f"classify.py: {tmp_path / 'a.png'}: no such file",
        "classify.py: /dev/zero: not a file",
        f"classify.py: {folder / 'c.jpg'}: not an image (JPEG, PNG, BMP, WebP and GIF are read)",
    ]
    lines = done.stdout.splitlines()
    assert [lines[0], lines[2]] == [str(folder / "b.png"), str(folder / "more" / "d.png")]
    assert [lines[1].split()[-1], lines[3].split()[-1]] == ["blue", "red"]
    (tmp_path / "nothing").mkdir()
    assert "no files in it" in told(classify(drop, tmp_path / "nothing"))
    (folder / "c.jpg").unlink()
    assert classify(drop, folder).returncode == 0


@pytest.mark.parametrize(
    "wrong", [("--threads", "0"), ("--threads", "100000"), ("--threads", "x"), ("--top", "0")]
)
def test_numbers_that_can_t_be_meant(drop: Path, wrong: tuple[str, str]) -> None:
    said = f"argument {wrong[0]}: '{wrong[1]}': a number from 1 to"
    assert said in told(classify(drop, *wrong, "--check"))


def facts_of(drop: Path, **changed: object) -> None:
    path = drop / "MANIFEST.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changed))


PAIR = {"input": "golden/000.input.bin", "output": "golden/000.output.bin"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: (d / "MANIFEST.json").write_text("{"), "does not say what a drop says"),
        (lambda d: (d / "MANIFEST.json").write_text("[]"), "does not say what a drop says"),
        (lambda d: (d / "MANIFEST.json").write_bytes(b"\xff"), "does not say what a drop says"),
        (
            lambda d: (d / "MANIFEST.json").write_text("[" * 100_000 + "]" * 100_000),
            "does not say what a drop says",
        ),
        (lambda d: (d / "MANIFEST.json").unlink(), "No such file"),
        (lambda d: facts_of(d, input=None), "does not say what a drop says"),
        (lambda d: facts_of(d, output={"dtype": "x"}), "does not say what a drop says"),
        (lambda d: facts_of(d, classes=7), "does not say what a drop says"),
        (lambda d: facts_of(d, classes=["red"]), "uint8 [1, 3], MANIFEST.json says"),
        (lambda d: facts_of(d, golden=[PAIR] * 2000), "2000 golden pairs, more than 1000"),
        (lambda d: facts_of(d, golden=[7]), "does not say what a drop says"),
        (lambda d: facts_of(d, model="/dev/zero"), "which is no file that it lists"),
        (lambda d: facts_of(d, golden=[{**PAIR, "input": "/dev/zero"}]), "no file that it lists"),
        (lambda d: (d / PAIR["input"]).write_bytes(b""), "0 bytes, not 3072"),
        (lambda d: (d / PAIR["output"]).write_bytes(b""), "0 bytes, not 3"),
        (lambda d: (d / PAIR["output"]).unlink(), "No such file"),
        (lambda d: (d / "color.tflite").write_bytes(b""), "not the file that MANIFEST.json names"),
    ],
)
def test_a_damaged_drop_is_one_line_on_the_board(
    drop: Path, spoil, said: str, monkeypatch, capsys
) -> None:
    spoil(drop)
    monkeypatch.setattr(sys, "argv", ["classify.py", "--check", "--in-process"])
    assert load_example(drop).main() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("classify.py: ") and said in lines[0]


def test_a_damaged_drop_in_the_process_that_checks_it(drop: Path) -> None:
    (drop / PAIR["output"]).write_bytes(b"")
    assert "0 bytes, not 3" in told(classify(drop, "--check"))


def test_a_board_takes_as_many_pairs_as_verify(tmp_path: Path) -> None:
    module = load_example(tmp_path)
    limits = (module.MOST_PAIRS, module.MOST_MANIFEST)
    assert limits == (manifest.MOST_PAIRS, manifest.MOST_MANIFEST)


def test_a_golden_file_that_is_a_pipe_or_leads_outside(drop: Path) -> None:
    (drop / PAIR["input"]).rename(drop.parent / "outside.bin")
    (drop / PAIR["input"]).symlink_to(drop.parent / "outside.bin")
    assert "leads out of" in told(classify(drop, "--check"))
    (drop / PAIR["input"]).unlink()
    os.mkfifo(drop / PAIR["input"])
    assert "not a file" in told(classify(drop, "--check"))


FAKE = """
import os
class Interpreter:
    def __init__(self, **words): pass
    def allocate_tensors(self): {allocate}
    def get_input_details(self): return [dict(index=0, shape=[1, 32, 32, 3], dtype="uint8")]
    def get_output_details(self): return [dict(index=1, shape=[1, 3], dtype="uint8")]
    def set_tensor(self, index, value): pass
    def invoke(self): {invoke}
"""
TROUBLE = {  # when, how, and what is said of it
    "crashes while it loads": ("os.abort()", "pass", "crashed on the model (SIGABRT)"),
    "crashes while it runs": ("pass", "os.kill(os.getpid(), 11)", "crashed on the model (SIGSEGV)"),
    "refuses": ("raise ValueError('no\\n op')", "pass", "can't run the model: no op"),
    "fails": ("pass", "raise RuntimeError('by 0')", "can't run the model: by 0"),
}


@pytest.mark.parametrize(("allocate", "invoke", "said"), TROUBLE.values(), ids=TROUBLE)
def test_an_interpreter_in_trouble(drop: Path, allocate: str, invoke: str, said: str) -> None:
    (drop / "ai_edge_litert").mkdir()
    (drop / "ai_edge_litert" / "__init__.py").touch()
    text = FAKE.format(allocate=allocate, invoke=invoke)
    (drop / "ai_edge_litert" / "interpreter.py").write_text(text)
    lines = told(classify(drop, "--check")).splitlines()
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.parametrize(
    ("package", "said"),
    [("numpy", "numpy is not installed"), ("PIL", "Pillow can't be imported")],
)
def test_what_is_not_installed_is_said(drop: Path, tmp_path: Path, package: str, said: str) -> None:
    (drop / f"{package}.py").write_text("raise ImportError('none here')")
    Image.fromarray(pixels(2, 77)).save(tmp_path / "sky.png")
    assert said in told(classify(drop, tmp_path / "sky.png"))


@pytest.mark.parametrize("encoding", ["ascii", "koi8-r", "utf-8"])
def test_labels_that_the_terminal_lacks(drop: Path, tmp_path: Path, encoding: str) -> None:
    names = ["قطة", "café\x1b[31m", "猫😀"]
    facts_of(drop, classes=names)
    photo = tmp_path / "é.png"
    Image.fromarray(pixels(2, 77)).save(photo)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "PYTHONIOENCODING": encoding
    }
    command = [sys.executable, "-B", str(drop / "classify.py"), str(photo), "missing\x1b.png"]
    done = subprocess.run(command, capture_output=True, env=env, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr and b"\x1b" not in done.stdout + done.stderr
    best = done.stdout.decode(encoding).splitlines()[1].split()[-1]
    assert best == ("猫😀" if encoding == "utf-8" else r"\u732b\U0001f600")
    assert classify(drop, "--check", PYTHONIOENCODING=encoding).returncode == 0


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_a_watched_folder_gives_json_in_any_encoding(
    drop: Path, tmp_path: Path, encoding: str
) -> None:
    facts_of(drop, classes=["é", "猫", "😀"])
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels(2, 77)).save(tmp_path / "in" / "é.png")
    with subprocess.Popen(
        [sys.executable, "-B", str(drop / "classify.py"), "--watch", str(tmp_path / "in")],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        line = json.loads(run.stdout.readline().decode(encoding))
        run.kill()
    assert line["file"] == "é.png" and next(iter(line["scores"])) == "😀"


def test_nobody_reads_on(drop: Path, tmp_path: Path) -> None:
    Image.fromarray(pixels(2, 77)).save(tmp_path / "sky.png")
    command = [sys.executable, "-B", str(drop / "classify.py"), *[str(tmp_path / "sky.png")] * 3]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        assert "BrokenPipe" not in run.stderr.read()


# --- classify.py, as code ---


def test_classify_is_python_3_7_and_imports_little() -> None:
    text = EXAMPLE.text().decode()
    tree = ast.parse(text, feature_version=(3, 7))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    assert names <= set(sys.stdlib_module_names) | {"numpy", "PIL"}
    for interpreter in ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python"):
        assert f'"{interpreter}.interpreter"' in text


def test_classify_copies_neither_the_decoder_nor_the_rule() -> None:
    """What training uses stands in it as it is, and its own part decodes and judges nothing."""
    text = EXAMPLE.text().decode()
    for name in ("images", "golden"):
        assert source(f"tfedge.portable.{name}").body in text
    own = source("tfedge.tasks.image_classification.script.classify").text
    for word in ("PIL", "getexif", "TOLERANCE", "BILINEAR"):
        assert word not in own


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("levels", LEVELS)
def test_classify_decodes_like_training(
    tmp_path: Path, fit: str, levels: tuple[int, int] | None
) -> None:
    module = load_example(tmp_path)
    for path in awkward_images(tmp_path):
        for size in SIZES:
            drop = SimpleNamespace(shape=[1, size, size, 3], fit=fit, levels=levels)
            got = module.pixels_of(drop, path)
            assert np.array_equal(got, decode(path, size, fit, levels)), (path.name, size)


def test_classify_decodes_real_photos_like_training(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "shared" / "photos" / "flowers"
    if not folder.is_dir():
        pytest.skip(f"no photos at {folder.name} beside the checkout")
    module = load_example(tmp_path)
    for path in sorted(folder.rglob("*.jpg"))[::60]:
        for fit in FITS:
            got = module.decode(path, 97, fit)
            assert np.array_equal(got, decode(path, 97, fit)), path.name


# --- what is refused ---


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda d: (d / "labels.txt").write_text("blue\nred\ngreen\n"), "labels.txt was changed"),
        (lambda d: (d / "golden" / "003.input.bin").unlink(), "golden/003.input.bin is missing"),
        (lambda d: (d / "more.txt").write_text("x"), "more.txt is not in the manifest"),
        (lambda d: (d / "MANIFEST.json").write_text("{"), "no JSON"),
        (lambda d: (d / "MANIFEST.json").write_text("{}"), "no manifest of the kind tfedge.drop/1"),
        (lambda d: (d / "MANIFEST.json").unlink(), "can't be read"),
    ],
)
def test_verify_finds_what_was_touched(drop: Path, spoil, said: str) -> None:
    manifest.verify(drop)
    spoil(drop)
    with pytest.raises(DropError, match=said):
        manifest.verify(drop)


def refused(tmp_path: Path, **options: object) -> str:
    run = make_run(tmp_path, **options)
    with pytest.raises(DropError) as caught:
        package.run(run.context("package"))
    drops = run.folder / "package" / "drops"
    assert not drops.exists() or not any(drops.iterdir())
    assert not (run.folder / "package" / "drops.json").exists()
    return "\n".join(caught.value.lines())


def test_unknown_target_lists_the_known_ones(tmp_path: Path) -> None:
    said = refused(tmp_path, package={"targets": ["linux", "windows"]})
    assert "windows" in said
    assert "one of: linux" in said


def test_labels_that_would_shift_the_others(tmp_path: Path) -> None:
    assert "class names" in refused(tmp_path, classes=("red", "gr\neen", "blue"))


def test_a_model_that_takes_no_pixels(tmp_path: Path) -> None:
    assert "[1, 3] scores for 4 classes" in refused(tmp_path, classes=("red", "green", "blue", "x"))


def test_a_drop_that_fails_its_own_check_is_not_made(tmp_path: Path, monkeypatch) -> None:
    honest = golden.make

    def forged(*args, **options):
        pairs = honest(*args, **options)
        return tuple(Pair(p.input, p.output[::-1], p.facts) for p in pairs)

    monkeypatch.setattr(golden, "make", forged)
    said = refused(tmp_path)
    assert "does not pass its own classify.py --check" in said
    assert "failed" in said
