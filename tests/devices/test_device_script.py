"""tools/bench_tflite.py by itself: what it measures and prints, and every way it ends."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from color_helpers import FLOAT, INT8, pixels
from script_helpers import SCRIPT, document, fake_runtime, run

from tfedge.benchmark.script.run import command
from tfedge.tflite.runtime import LiteRT

QUICK = ("--runs", "12", "--warmup", "2")


def imported(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found


def test_it_is_python_3_7_and_imports_little() -> None:
    ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 7))
    others = imported(SCRIPT) - set(sys.stdlib_module_names)
    assert others == {"numpy", "PIL", "ai_edge_litert"}


def python_3_7() -> str:
    """One that was named, is on the PATH or was built by pyenv; a visible skip without any."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = os.environ.get("TFEDGE_PYTHON37")
    for python in [named] if named else ["python3.7", *pyenv.glob("versions/3.7.*/bin/python")]:
        if path := shutil.which(python):
            done = subprocess.run([path, "--version"], capture_output=True, text=True)
            if done.returncode == 0:  # a shim of pyenv may stand for nothing
                return path
    pytest.skip("no Python 3.7 on the PATH, nor by pyenv, nor named by TFEDGE_PYTHON37")


def test_it_runs_on_a_real_python_3_7() -> None:
    python = python_3_7()
    told = run("--facts", "--json=-", python=python, PYTHONPATH="")
    assert told.returncode == 0, told.stderr
    facts = json.loads(told.stdout)
    assert facts["device"]["python"].startswith("3.7.")
    done = run(INT8, *QUICK, "--profile", "--json=-", python=python, PYTHONPATH="")
    if not any(row["error"] is None for row in facts["runtimes"]):
        assert done.returncode == 3, done.stderr
        assert "hint: python3 -m pip install" in done.stderr
        pytest.skip(f"{python} has no TFLite interpreter: it was only asked for its facts")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["profile"]["method"] == "graph-cut"


def test_the_json() -> None:
    report = document(INT8, *QUICK, "--threads", 2)
    assert report["schema"] == "tfedge.bench/1"
    assert set(report["device"]) == set(
        "board cpu machine cores system python numpy governor memory_bytes".split()  # noqa: SIM905
    )
    (result,) = report["results"]
    data = INT8.read_bytes()
    assert (result["model"], result["bytes"]) == ("color_int8", len(data))
    assert result["sha256"] == hashlib.sha256(data).hexdigest()
    assert (result["runtime"], result["delegate"], result["threads"]) == ("LiteRT", "xnnpack", 2)
    assert result["input"] == "random"
    (process,) = result["processes"]
    assert len(process["samples_ns"]) == 12
    assert len(process["warmup_ns"]) == 2
    assert min(process["load_ns"], process["first_ns"], *process["samples_ns"]) > 0
    for when in ("before", "after"):
        assert set(process[when]) == {"temperature_c", "frequency_hz", "throttled", "load"}
    assert result["summary"]["median"] == np.median(process["samples_ns"])
    assert result["summary"]["p90"] is None, "12 samples don't carry a 90th percentile"
    assert result["per_second"] == pytest.approx(1e9 / np.mean(process["samples_ns"]))
    assert result["peak_bytes"] == process["peak_bytes"]
    assert [result[key] for key in ("drift", "profile", "accuracy", "golden")] == [None] * 4


def test_models_and_threads_take_turns(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    done = run(FLOAT, INT8, *QUICK, "--threads=1,2", "--processes=2", "--json", file)
    assert done.returncode == 0, done.stderr
    once = [f"{m}, {n} threads" for n in (1, 2) for m in ("color_float", "color_int8")]
    lines = [line for line in done.stderr.splitlines() if line.startswith("color_")]
    told = [", ".join((line.split(", ")[0], line.split(", ")[3].split("  ")[0])) for line in lines]
    assert told == once + once[::-1], (
        "each process tells of itself on stderr, in the order of the turns"
    )
    results = json.loads(file.read_text())["results"]
    assert [f"{r['model']}, {r['threads']} threads" for r in results] == once
    for result in results:
        assert len(result["processes"]) == 2
        assert result["summary"]["n"] == 24


def test_the_table_is_on_stdout_unless_json_is() -> None:
    plain, both = run(INT8, *QUICK), run(INT8, *QUICK, "--json", "-")
    assert "color_int8, LiteRT" in plain.stdout
    assert "color_int8, LiteRT" in both.stderr
    assert len(both.stdout.splitlines()) == 1


def test_what_a_runtime_prints_does_not_come_into_the_json(tmp_path: Path) -> None:
    report = document(INT8, *QUICK, PYTHONPATH=fake_runtime(tmp_path), runtime="")
    assert report["results"][0]["runtime"] == "LiteRT"
    path = fake_runtime(tmp_path / "b")
    report = document(INT8, *QUICK, "--runtime=tflite-runtime", PYTHONPATH=path)
    assert report["results"][0]["runtime_version"] == "9.9.9"


def test_duration_shows_a_drift(tmp_path: Path) -> None:
    """A runtime that gets slower: 1 ms at first, 3 ms after half a second."""
    body = "self.t = getattr(self, 't', time.time()); "
    body += "time.sleep(0.003 if time.time() - self.t > 0.5 else 0.001)"
    words = ("--warmup=0", "--seconds=1", "--runtime=tflite-runtime")
    (result,) = document(INT8, *words, PYTHONPATH=fake_runtime(tmp_path, body))["results"]
    drift = result["drift"]
    assert drift["seconds"] == 1
    assert drift["ratio"] > 1.5
    assert drift["ratio"] == drift["buckets"][-1]["median_ns"] / drift["buckets"][0]["median_ns"]
    assert sum(bucket["n"] for bucket in drift["buckets"]) == result["summary"]["n"]
    assert any("times as long as the first" in reason for reason in result["unstable"])


def without_tensorflow(folder: Path) -> str:
    """A PYTHONPATH: importing it would take seconds, and here it would be for nothing."""
    (folder / "tensorflow").mkdir(parents=True)
    (folder / "tensorflow" / "__init__.py").write_text("raise ImportError('not now')\n")
    return str(folder)


def test_facts_need_neither_model_nor_numpy(tmp_path: Path) -> None:
    report = document("--facts", PYTHONPATH=without_tensorflow(tmp_path))
    assert report["results"] == []
    errors = {row["name"]: row["error"] for row in report["runtimes"]}
    assert errors["LiteRT"] is None
    assert "not now" in errors.get("TensorFlow", "not now")
    assert report["free_bytes"] > 0
    done = subprocess.run(  # without site-packages
        [sys.executable, "-I", "-S", SCRIPT, "--facts", "--json=-"], capture_output=True, text=True
    )
    bare = json.loads(done.stdout)
    assert (done.returncode, bare["device"]["numpy"], bare["runtimes"]) == (0, None, [])


def test_a_hostile_file_name(tmp_path: Path) -> None:
    name = "-a b'\"$(touch x)\n\x1b[2Jß"
    model = tmp_path / f"{name}.tflite"
    shutil.copy(INT8, model)
    for threads in ("1", "1,2"):
        done = run(f"--threads={threads}", *QUICK, "--json=-", "--", model.name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["results"][0]["model"] == name
        assert "\x1b" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [model.name]
    model.write_bytes(b"broken")
    refused = run("--", model.name, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert refused.returncode == 4
    assert "\x1b" not in refused.stderr


# One input, uint8 [1, 4]; the output is always the same.
SCORES = """
import numpy as np

class Interpreter:
    def __init__(self, **words): pass
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=0, shape=np.array([1, 4]), dtype=np.uint8)]
    def get_output_details(self):
        return [
            dict(index=1, shape=np.array([1, 3]), dtype=np.uint8, quantization=(SCALE, 0))
        ]
    def set_tensor(self, index, value): pass
    def get_tensor(self, index): return np.array([ANSWER], np.uint8)
    def invoke(self): pass
"""


def pair(folder: Path, seed: int, label: int, change: Callable[[np.ndarray], None]) -> None:
    given = pixels(label, seed)
    (scores,) = LiteRT(INT8).invoke(given[None])
    scores = scores.copy()
    change(scores[0])
    folder.mkdir(exist_ok=True)
    given.tofile(folder / f"{seed:03d}.input.bin")
    scores.tofile(folder / f"{seed:03d}.output.bin")


def test_golden_pairs_tell_what_was_shipped(tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    pair(folder, 0, 0, lambda scores: None)
    pair(folder, 1, 1, lambda scores: None)
    words = (INT8, *QUICK, "--golden", folder)
    (result,) = document(*words, "--exact")["results"]
    assert result["golden"] == {
        "pairs": 2,
        "identical": 2,
        "failed": 0,
        "failure": None,
        "top1_agree": 2,
        "max_difference": 0.0,
    }

    def nudge(scores: np.ndarray) -> None:
        scores[scores.argmin()] += 3

    pair(folder, 2, 2, nudge)
    (result,) = document(*words)["results"]
    assert (result["golden"]["identical"], result["golden"]["max_difference"]) == (2, 3.0)
    done = run(*words, "--exact", "--json=-")
    assert done.returncode == 5
    assert "golden pairs differ" in done.stderr
    assert json.loads(done.stdout)["results"][0]["golden"]["pairs"] == 3, "measured all the same"

    def another(scores: np.ndarray) -> None:
        scores[:] = scores.argmax() == np.arange(3)[::-1]

    pair(folder, 3, 0, another)
    for threads in ("1", "1,2"):
        assert run(*words, f"--threads={threads}").returncode == 5, threads


def test_equal_highest_scores_are_all_top_1(tmp_path: Path) -> None:
    def level(scores: np.ndarray) -> None:
        scores[:] = 7

    pair(tmp_path / "golden", 0, 2, level)
    done = run(INT8, *QUICK, "--golden", tmp_path / "golden", "--json=-")
    assert done.returncode == 5, "the scores are far off all the same"
    found = json.loads(done.stdout)["results"][0]["golden"]
    assert (found["top1_agree"], found["identical"], found["failed"]) == (1, 0, 1)


def replayed(
    folder: Path, answer: str, scale: str, expected: list[int], *more: str
) -> subprocess.CompletedProcess[str]:
    """The script on one golden pair, in a runtime that gives this answer in steps of that scale."""
    text = SCORES.replace("ANSWER", answer).replace("SCALE", scale)
    golden = folder / "golden"
    golden.mkdir(parents=True)
    path = fake_runtime(folder / "runtime", text=text)
    np.zeros(4, np.uint8).tofile(golden / "000.input.bin")
    np.array(expected, np.uint8).tofile(golden / "000.output.bin")
    words = (INT8, *QUICK, "--runtime=tflite-runtime", "--golden", golden, "--json=-", *more)
    return run(*words, PYTHONPATH=path)


@pytest.mark.parametrize(
    ("expected", "failed"),
    [
        ([0, 107, 148], "another answer: class 1, not 2"),  # each score within 40 steps of the got
        ([0, 120, 134], None),  # the best two are closer than machines may be apart
        ([45, 120, 90], "scores differ by 0.176"),  # the answer is the same
    ],
)
def test_golden_pairs_are_judged_by_the_rule_of_verify(
    expected: list[int], failed: str | None, tmp_path: Path
) -> None:
    """The runtime gives [0, 135, 120] in steps of 1/256."""
    done = replayed(tmp_path, "[0, 135, 120]", "1 / 256", expected)
    assert done.returncode == (5 if failed else 0), done.stderr
    found = json.loads(done.stdout)["results"][0]["golden"]
    assert found["failed"] == (1 if failed else 0)
    assert found["failure"] == (f"000.output.bin: {failed}" if failed else None)
    exact = replayed(tmp_path / "exact", "[0, 135, 120]", "1 / 256", expected, "--exact")
    assert exact.returncode == 5


# A detector of two classes and two anchors, whose boxes differ from these in steps of 1/16.
DETECTOR = """
import numpy as np

class Interpreter:
    def __init__(self, **words): pass
    def allocate_tensors(self): pass
    def get_input_details(self):
        return [dict(index=0, shape=np.array([1, 4]), dtype=np.uint8, name="in")]
    def get_output_details(self):
        return [
            dict(index=2, name="scores", shape=np.array([1, 2, 2]), dtype=np.uint8,
                 quantization=(1 / 256, 0)),
            dict(index=1, name="boxes", shape=np.array([1, 2, 4]), dtype=np.uint8,
                 quantization=(1 / 16, 128)),
        ]
    def set_tensor(self, index, value): pass
    def get_tensor(self, index):
        part = slice(0, 4) if index == 1 else slice(4, 6)
        return np.array([ANSWER], np.uint8)[..., part]
    def invoke(self): pass
"""
AS_MADE = [[128, 128, 128, 128, 200, 0], [128, 128, 128, 128, 0, 180]]
BOXES = [[0.25, 0.25, 0.5, 0.5, 200 / 256, 0], [0.5, 0.5, 1, 1, 180 / 256, 1]]


@pytest.mark.parametrize(
    ("got", "boxes", "failed"),
    [
        (AS_MADE, BOXES, None),
        ([AS_MADE[0], [128, 128, 128, 128, 0, 150]], BOXES, None),
        ([[128, 160, 128, 128, 200, 0], AS_MADE[1]], BOXES, "a box is elsewhere: class 0"),
        ([AS_MADE[0], [128, 128, 128, 128, 0, 130]], BOXES, "scores differ by 0.195"),
        (AS_MADE, [[0.27, *BOXES[0][1:]], BOXES[1]], "the expected outputs have other boxes here"),
        (AS_MADE, [BOXES[0], [*BOXES[1][:5], 0]], "the expected outputs have other boxes here"),
        (AS_MADE, BOXES[:1], "the expected outputs have other boxes here"),
    ],
    ids=["as made", "score", "moved", "score far", "boxes moved", "another class", "lost"],
)
def test_boxes_of_golden_pairs_are_judged_by_the_rule_of_verify(
    got: list, boxes: list, failed: str | None, tmp_path: Path
) -> None:
    text = DETECTOR.replace("ANSWER", repr(got))
    folder = tmp_path / "golden"
    folder.mkdir()
    np.zeros(4, np.uint8).tofile(folder / "000.input.bin")
    np.array(AS_MADE, np.uint8).tofile(folder / "000.output.bin")
    np.array(boxes, "<f4").tofile(folder / "000.boxes.bin")
    np.array([[0.375, 0.375, 0.25, 0.25], [0.75, 0.75, 0.5, 0.5]], "<f4").tofile(
        folder / "anchors.bin"
    )
    (folder / "thresholds.txt").write_text("0.3000\tcat\n0.4000\tdog\n")
    path = fake_runtime(tmp_path / "runtime", text=text)
    words = (INT8, *QUICK, "--runtime=tflite-runtime", "--golden", folder, "--json=-")
    done = run(*words, PYTHONPATH=path)
    assert done.returncode == (5 if failed else 0), done.stderr
    told = json.loads(done.stdout)["results"][0]["golden"]["failure"]
    assert (told or "").startswith(f"000.output.bin: {failed}" if failed else "")
    assert bool(told) == bool(failed)
    (folder / "anchors.bin").unlink()
    done = run(*words, PYTHONPATH=path)
    assert done.returncode == 6 and "anchors.bin" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("expected", "failed"),
    [
        ([11, 21, 20], None),  # a step of 0.17, which is 0.04 as a score
        ([0, 20, 31], "scores differ by"),
        ([10, 18, 25], "scores differ by"),
    ],
)
def test_a_model_without_softmax_is_judged_by_the_scores_it_means(
    expected: list[int], failed: str | None, tmp_path: Path
) -> None:
    """The runtime gives the logits [1.7, 3.74, 3.4]: one step more is no other answer."""
    done = replayed(tmp_path, "[10, 22, 20]", "0.17", expected)
    assert done.returncode == (5 if failed else 0), done.stderr
    found = json.loads(done.stdout)["results"][0]["golden"]
    assert (failed or "None") in str(found["failure"])


def newer_op(data: bytes) -> bytes:
    """The version of each op code that has one set to 99."""
    from ai_edge_litert import schema_py_generated as schema

    model, changed = schema.Model.GetRootAs(data, 0), bytearray(data)
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        if at := code._tab.Offset(8):
            changed[code._tab.Pos + at] = 99
    return bytes(changed)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "name a model"),
        ([INT8, "--facts"], 2, "name a model"),
        ([INT8, "--threads=0"], 2, "start at 1"),
        ([INT8, "--threads=1,two"], 2, "start at 1"),
        ([INT8, "--runs=0"], 2, "start at 1"),
        ([INT8, "--seconds=-1"], 2, "nothing is below 0"),
        ([INT8, "--runtime=tflite"], 2, "invalid choice: 'tflite'"),
        ([INT8, "--nonsense"], 2, "unrecognized arguments"),
        ([INT8, "--runtime=pycoral"], 3, "hint: python3 -m pip install"),
        (["{tmp}/gone.tflite"], 4, "No such file"),
        (["{tmp}/text.tflite"], 4, "LiteRT"),
        (["{tmp}/newer.tflite"], 4, "Didn't find op for builtin opcode"),
        ([INT8, "--golden={tmp}"], 6, "no golden pairs"),
        ([INT8, "--golden={tmp}/short"], 6, "cannot reshape"),
        ([INT8, "--golden={tmp}/single"], 6, "1 values to compare 3 with"),
        ([INT8, "--delegate=edgetpu"], 7, "delegate edgetpu"),
        ([INT8, "--delegate=/no/such.so,key=value"], 7, "hint: is the library installed"),
        ([INT8, "--json={tmp}/no/such/folder.json"], 1, "No such file"),
    ],
)
def test_every_exit_code(words: list, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("no model at all, but long enough")
    (tmp_path / "newer.tflite").write_bytes(newer_op(INT8.read_bytes()))
    for name, size in (("short", 5), ("single", 32 * 32 * 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "000.input.bin").write_bytes(bytes(size))
        (tmp_path / name / "000.output.bin").write_bytes(b"1")
    done = run(*QUICK, *(str(word).replace("{tmp}", str(tmp_path)) for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failed_turn_ends_it_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("no model")
    assert run(INT8, tmp_path / "text.tflite", *QUICK).returncode == 4


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [
        ("raise ImportError('libopenblas.so.0: cannot open')", "libopenblas.so.0: cannot open"),
        (
            "class Interpreter:\n"
            "    def __init__(self, **words):\n"
            "        cause = ImportError('numpy.core.multiarray failed to import')\n"
            "        raise SystemError('returned a result with an exception set') from cause\n",
            "numpy.core.multiarray failed to import",
        ),
    ],
)
def test_a_broken_runtime_says_how_to_mend_it(interpreter: str, said: str, tmp_path: Path) -> None:
    path = fake_runtime(tmp_path, text=interpreter)
    done = run(INT8, "--runtime=tflite-runtime", PYTHONPATH=path)
    assert done.returncode == 3
    assert f"tflite-runtime does not work with numpy {np.__version__}: {said}" in done.stderr
    assert "hint: python3 -m pip install 'numpy<2'" in done.stderr
    paths = f"{path}{os.pathsep}{without_tensorflow(tmp_path / 'tf')}"
    facts = document("--facts", PYTHONPATH=paths)["runtimes"]
    assert said in {row["name"]: row["error"] for row in facts}["tflite-runtime"]
    assert run(INT8, *QUICK, PYTHONPATH=path).returncode == 0, "LiteRT is there, too"


def started(*words: object, path: str, **options: int) -> subprocess.Popen[bytes]:
    """The script at work: it has begun to infer."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, words), "--runtime=tflite-runtime"],
        env={**os.environ, "PYTHONPATH": path, "BEGUN": f"{path}/begun"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )
    until(lambda: Path(path, "begun").exists() and bool(Path(path, "begun").read_text()))
    return process


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


HANGS = "open(os.environ['BEGUN'], 'w').write(str(os.getpid())); {}"


@pytest.mark.parametrize("sleep", ["time.sleep(600)", "ctypes.PyDLL(None).sleep(600)"])
def test_the_time_out_ends_it_in_c_code_too(sleep: str, tmp_path: Path) -> None:
    """``PyDLL`` keeps the GIL while it sleeps: no Python runs any more in that process."""
    path = fake_runtime(tmp_path, HANGS.format(sleep))
    process = started(INT8, "--timeout=2", path=path)
    assert process.wait(60) == -signal.SIGALRM
    process.communicate()


def running(file: Path) -> bool:
    """Whether the process that wrote its number there is still alive."""
    try:
        return Path(f"/proc/{file.read_text()}/stat").read_text().split(") ")[1][0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux only")
@pytest.mark.parametrize("threads", ["1", "1,2"])
def test_attached_it_ends_with_stdin_and_so_do_its_turns(threads: str, tmp_path: Path) -> None:
    path = fake_runtime(tmp_path, HANGS.format("time.sleep(600)"))
    process = started(INT8, "--attached", f"--threads={threads}", path=path)
    assert running(tmp_path / "begun")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 143
    until(lambda: not running(tmp_path / "begun"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux only")
def test_killed_it_leaves_no_turn_running(tmp_path: Path) -> None:
    path = fake_runtime(tmp_path, HANGS.format("time.sleep(600)"))
    process = started(INT8, "--threads=1,2", path=path)
    process.kill()
    process.communicate()
    until(lambda: not running(tmp_path / "begun"))


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    path = fake_runtime(tmp_path, HANGS.format("time.sleep(600)"))
    process = started(INT8, path=path)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in stderr


def test_the_options_of_a_call() -> None:
    words = command(["py", "-I"], "s.py", "-m", a=1, b=None, c=True, d=False, e=0)
    assert words == [
        "py",
        "-I",
        "s.py",
        "--json=-",
        "--attached",
        "--a=1",
        "--c",
        "--e=0",
        "--",
        "-m",
    ]
