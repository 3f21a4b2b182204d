"""``tfedge bench`` as a person calls it, on devices that answer from memory and on this machine."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import HOST, Board, Lab
from color_helpers import DATA, FLOAT, INT8

from tfedge import cli
from tfedge.benchmark.result import Result
from tfedge.devices.device import Done
from tfedge.errors import DeviceError

QUICK = ("--runs=10", "--warmup=1", "--processes=2")
FILE = """\
devices:
  pi: ssh://pi@board
  old: {address: ssh://pi@board, python: ~/old/bin/python, runtime: tflite-runtime, timeout: 77}
  other: ssh://pi@elsewhere
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "devices.yaml").write_text(FILE)
    return tmp_path


@pytest.fixture
def lab(here: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """pi and old are one machine, where the old runtime takes ten times as long."""
    slow = Board("old", 10_000, runtime="tflite-runtime", version="2.14.0")
    boards = [Board("pi", 1_000), slow, Board("other", 1_000), Board("local", 500)]
    lab = Lab(*boards)

    def open_device(address: str, *, name: str, python: tuple[str, ...] | None) -> Any:
        lab.calls.append((address, " ".join(python or ())))
        return lab.boards[name].device

    monkeypatch.setattr("tfedge.devices.session.open_device", open_device)
    return lab


class Shown:
    """What a command printed, and how it ended."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        code = cli.main(["bench", *map(str, arguments)])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.out + self.err
        return code


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str]) -> Shown:
    return Shown(capsys)


def test_the_table(lab: Lab, bench: Shown) -> None:
    assert bench(FLOAT, INT8, "--device=pi", "--device=old", "--threads=1,2", *QUICK) == 0
    lines = bench.out.splitlines()
    assert lines[0].startswith("pi, old: a cpu (aarch64), 4 cores, Linux 6, 4.0 GB, Python 3.11.2")
    head = next(i for i, line in enumerate(lines) if line.startswith("model"))
    rows = [re.split(r" {2,}", line) for line in lines[head + 1 : head + 9]]
    assert [row[:4] for row in rows] == [
        [model, device, runtime, threads]
        for threads in ("1", "2")
        for device, runtime in (("pi", "LiteRT 2.3.0"), ("old", "tflite-runtime 2.14.0"))
        for model in ("color_float", "color_int8")
    ]
    assert rows[0][4].startswith("0.001 ± ") and rows[0][-1] == "20 in 2"
    assert max(map(len, lines)) <= 100
    assert "against" not in bench.out, "no ratio that nobody asked for"
    # what devices.yaml says, and what the command line says on top
    assert lab.calls == [("ssh://pi@board", ""), ("ssh://pi@board", "~/old/bin/python")]
    turn = lab.boards["old"].turns[0]
    assert (turn["runtime"], turn["timeout"], turn["runs"]) == ("tflite-runtime", "77.0", "10")


def test_local_is_the_default_and_options_win(lab: Lab, bench: Shown) -> None:
    options = ("--runtime=litert", "--delegate=none", "--timeout=5", "--seconds=2")
    assert bench(INT8, *options, *QUICK) == 0
    turn = lab.boards["local"].turns[0]
    wanted = {"runtime": "litert", "delegate": "none", "timeout": "7.0", "seconds": "2.0"}
    assert wanted.items() <= turn.items()
    assert "LiteRT 2.3.0 (none)" in bench.out
    assert bench(INT8, "--device=old", "--timeout=5", *QUICK) == 0
    assert lab.boards["old"].turns[0]["timeout"] == "5.0"


def test_json_has_every_sample(lab: Lab, bench: Shown, here: Path) -> None:
    assert bench(INT8, "--device=pi", "--json=out.json", *QUICK) == 0
    found = json.loads((here / "out.json").read_text())
    assert found["schema"] == "tfedge.bench/1" and found["device"] == HOST
    (row,) = found["results"]
    assert row["device"] == "pi" and row["model"] == "color_int8" and row["host"] == HOST
    assert [len(process["samples_ns"]) for process in row["processes"]] == [10, 10]
    assert Result.from_json(row).summary.median == row["summary"]["median"]
    assert found["comparisons"] == []

    assert bench(INT8, "--device=pi", "--device=other", "--json=-", *QUICK) == 0
    found = json.loads(bench.out)
    assert [row["device"] for row in found["results"]] == ["pi", "other"]
    assert "median ± MAD" in bench.err, "the table stays readable"
    assert bench(INT8, "--device=pi", "--json=no/such\0/out.json", *QUICK) != 0


def test_compare_models_on_each_device(lab: Lab, bench: Shown) -> None:
    assert bench(FLOAT, INT8, "--device=pi", "--device=other", "--compare", *QUICK) == 0
    said = [" ".join(line.split()) for line in bench.out.split("\n\n")]
    lines = "\n".join(said)
    assert "color_int8 against color_float, pi, LiteRT 2.3.0, 1 thread: not significant" in lines
    assert "color_int8 against color_float, other, LiteRT 2.3.0, 1 thread:" in lines
    assert lines.count("different devices: not compared") == 2, "said, and no ratio given"


def test_compare_two_runtimes_of_one_machine(lab: Lab, bench: Shown) -> None:
    arguments = (INT8, "--device=pi", "--device=old", "--compare", *QUICK)
    assert bench(*arguments, "--json=out.json") == 0
    said = " ".join(bench.out.split())
    head = "old (tflite-runtime 2.14.0) against pi (LiteRT 2.3.0), color_int8, 1 thread: 0.10× as "
    assert head in said and "differing in runtime, runtime version, device" in said
    (found,) = json.loads(Path("out.json").read_text())["comparisons"]
    assert found["ratio"] == pytest.approx(10, rel=0.01) and found["significant"]
    assert (found["of"]["device"], found["against"]["device"]) == ("old", "pi")


def test_what_is_not_what_it_seems_is_refused(lab: Lab, bench: Shown) -> None:
    """Two entries at one address, but the answers are of two machines."""
    lab.boards["old"].host["cpu"] = "another cpu"
    assert bench(INT8, "--device=pi", "--device=old", "--compare", *QUICK) == 0
    assert "differ in cpu" in bench.out and "as fast" not in bench.out


def test_compare_threads_when_nothing_else_differs(lab: Lab, bench: Shown) -> None:
    assert bench(INT8, "--device=pi", "--threads=1,2", "--compare", *QUICK) == 0
    said = " ".join(bench.out.split())
    assert "2 threads against 1 thread, color_int8, pi, LiteRT 2.3.0:" in said
    assert "differing in threads" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Missing argument 'MODEL...'"),
        (("gone.tflite",), 2, "'gone.tflite' does not exist"),
        ((INT8, INT8), 2, "is given twice"),
        ((INT8, "--device=pi", "--device=pi"), 2, "--device pi is given twice"),
        ((INT8, "--threads=0"), 2, "must be numbers from 1 on, such as 1,2,4; got '0'"),
        ((INT8, "--threads=1,x"), 2, "must be numbers from 1 on"),
        ((INT8, "--runs=0"), 2, "--runs"),
        ((INT8, "--seconds=0"), 2, "--seconds"),
        ((INT8, "--runtime=liteRT"), 2, "--runtime"),
        ((INT8, "--labels=devices.yaml"), 2, "--labels is for --accuracy"),
        ((INT8, "--compare"), 2, "--compare needs two models, runtimes"),
        ((INT8, FLOAT, "--compare", "--processes=1"), 2, "--compare needs --processes=2"),
        ((INT8, "--device=pi", "--device=other", "--compare"), 2, "different devices"),
        ((INT8, "--device=othr"), 8, "'othr' is not known, did you mean other?"),
        ((INT8, "--devices=gone.yaml", "--device=pi"), 2, "gone.yaml: no such file"),
        ((INT8, "--golden=home"), 2, "does not exist"),
        ((INT8, "--golden=."), 7, "no golden pairs in it"),
        (("devices.yaml",), 7, "devices.yaml"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    lab: Lab, bench: Shown, arguments: tuple[object, ...], code: int, said: str
) -> None:
    assert bench(*arguments) == code
    assert said in bench.err
    assert not any(board.turns for board in lab.boards.values())


def test_models_of_one_name_are_told_apart(lab: Lab, bench: Shown, here: Path) -> None:
    for folder, model in (("a", FLOAT), ("b", INT8)):
        (here / folder).mkdir()
        (here / folder / "model.tflite").write_bytes(model.read_bytes())
    assert bench("a/model.tflite", "b/model.tflite", *QUICK) == 0
    assert re.search(r"^a/model ", bench.out, re.M) and re.search(r"^b/model ", bench.out, re.M)


def test_how_images_become_square_is_passed_on_for_each_model(
    lab: Lab, bench: Shown, here: Path
) -> None:
    def fits() -> list[str | None]:
        turns = [turn.get("fit") for turn in lab.boards["pi"].turns]
        lab.boards["pi"].turns.clear()
        return turns

    for folder in ("drop", "images"):
        (here / folder).mkdir()
    (here / "images" / "a.png").write_bytes(b"x")
    (here / "drop" / "m.tflite").write_bytes(INT8.read_bytes())
    manifest = {"model": "m.tflite", "input": {"fit": "pad"}}
    (here / "drop" / "MANIFEST.json").write_text(json.dumps(manifest))
    words = ("drop/m.tflite", FLOAT, "--device=pi", *QUICK)
    assert bench(*words, "--pictures=images") == 0
    assert fits() == ["pad", None, None, "pad"], "of the drop; of the other nothing is known"
    assert bench(*words, "--accuracy=images", "--fit=stretch") == 0
    assert fits() == ["stretch", "stretch", None, None], "accuracy is found once"
    assert bench(*words) == 0
    assert fits() == [None] * 4
    assert bench(*words, "--fit=pad") == 2
    assert "--fit is for --pictures and --accuracy" in bench.err
    (here / "drop" / "MANIFEST.json").write_text("{")
    assert bench(*words, "--pictures=images") == 7
    assert "say how with --fit" in bench.err


def test_levels_of_16_bits_are_passed_on_for_each_model(lab: Lab, bench: Shown, here: Path) -> None:
    for folder in ("drop", "images"):
        (here / folder).mkdir()
    (here / "images" / "a.png").write_bytes(b"x")
    (here / "drop" / "m.tflite").write_bytes(INT8.read_bytes())
    manifest = {"model": "m.tflite", "input": {"fit": "pad", "levels": [0, 1023]}}
    (here / "drop" / "MANIFEST.json").write_text(json.dumps(manifest))
    words = ("drop/m.tflite", FLOAT, "--device=pi", *QUICK)
    for images, expected in (("--pictures=images",), ["0,1023", None]), ((), [None, None]):
        assert bench(*words, *images) == 0
        turns = [turn.get("levels") for turn in lab.boards["pi"].turns]
        assert turns[:2] == expected
        lab.boards["pi"].turns.clear()


def test_golden_pairs_that_differ_end_with_8_after_the_table(
    lab: Lab, bench: Shown, here: Path
) -> None:
    (here / "drop" / "golden").mkdir(parents=True)
    (here / "drop" / "golden" / "000.input.bin").write_bytes(b"x")
    pairs = {"pairs": 8, "identical": 2, "top1_agree": 6, "max_difference": 36.0}
    pairs |= {"failed": 2, "failure": "003.output.bin: another answer: class 1, not 0"}
    lab.boards["pi"].golden = pairs
    lab.boards["other"].golden = pairs | {
        "identical": 8,
        "failed": 0,
        "top1_agree": 8,
        "max_difference": 0.0,
    }
    arguments = (INT8, "--device=pi", "--device=other", "--golden=drop", "--json=o.json", *QUICK)
    assert bench(*arguments) == 8
    said = " ".join(bench.out.split())
    subject = "color_int8 on {}, LiteRT 2.3.0, 1 thread"
    assert f"golden, {subject.format('pi')}: 2 of 8 identical, the same top-1 in 6" in said
    assert "values differ by up to 36" in said
    assert f"golden, {subject.format('other')}: 8 of 8 identical" in said
    assert f"{subject.format('pi')}: other answers than the golden pairs in 2 of 8" in bench.err
    assert "(003.output.bin: another answer: class 1, not 0)" in " ".join(bench.err.split())
    assert "other," not in bench.err.replace("other answers", "")
    assert json.loads((here / "o.json").read_text())["results"][0]["golden"] == pairs


def test_a_device_that_fails_is_two_lines(lab: Lab, bench: Shown) -> None:
    lab.boards["pi"].device.away = DeviceError("pi: connection refused", "is sshd running there?")
    assert bench(INT8, "--device=local", "--device=pi", *QUICK) == 8
    assert bench.err.splitlines()[-2:] == [
        "pi: connection refused",
        "hint: is sshd running there?",
    ]
    lab.boards["other"].meddle = lambda _: Done((), 3, "", "error: no numpy\nhint: install it")
    assert bench(INT8, "--device=other", *QUICK) == 8
    assert "other: color_int8.tflite: something is missing there: no numpy" in bench.err


def test_ctrl_c_gives_the_devices_back(lab: Lab, bench: Shown) -> None:
    def interrupt(options: dict[str, str]) -> None:
        raise KeyboardInterrupt

    lab.boards["pi"].meddle = interrupt
    assert bench(INT8, "--device=pi", *QUICK) == 130
    assert not lab.boards["pi"].device.held
    assert "stopped before the end" in bench.err and "goes on" not in bench.err


# ------------------------------------------------------------------ really


def test_on_this_machine(here: Path, bench: Shown) -> None:
    """Two models, golden pairs, a folder and a file name that no shell may see."""
    folder = here / 'it\'s $(touch pwned) "here"'
    folder.mkdir()
    model = folder / "color;int8 model.tflite"
    model.write_bytes(INT8.read_bytes())
    options = ("--device=local", f"--device=local:{sys.executable}", "--json=out.json")
    assert bench(model, FLOAT, *options, "--compare", "--runtime=litert", *QUICK) == 0, bench.err
    results = json.loads((here / "out.json").read_text())["results"]
    assert [row["device"] for row in results] == [
        "local",
        "local",
        *[f"local:{sys.executable}"] * 2,
    ]
    assert {row["runtime"] for row in results} == {"LiteRT"}
    assert results[0]["model"] == "color;int8 model" and results[0]["summary"]["n"] == 20
    assert "not compared" not in bench.out
    assert not list(here.rglob("pwned"))


def test_a_file_that_crashes_interpreters_never_reaches_one(here: Path, bench: Shown) -> None:
    broken = here / "broken.tflite"
    broken.write_bytes((DATA / "color_int8.tflite").read_bytes()[:500])
    assert bench(broken, *QUICK) == 7
    assert "broken.tflite" in bench.err
