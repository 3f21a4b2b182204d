"""Measuring on several devices: turns, what is brought there, and what goes wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from bench_fakes import Board, Lab

from tfedge.benchmark import call
from tfedge.benchmark.result import Result
from tfedge.devices.device import Busy, Done
from tfedge.devices.fake import FakeDevice
from tfedge.devices.schema import BenchDevice
from tfedge.devices.session import Gaps, Plan, Subject, measure, opened, subjects
from tfedge.errors import DeviceError, MissingDependency

LOST = DeviceError("pi: the connection was lost", "try again")


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for name in ("float", "int8"):
        found[name] = tmp_path / f"{name} model's.tflite"
        found[name].write_bytes(name.encode())
    return found


def bench(
    lab: Lab,
    models: dict[str, Path],
    plan: Plan,
    gaps: Gaps | None = None,
    devices: list[BenchDevice] | None = None,
) -> list[Result]:
    devices = devices or lab.entries()
    with opened(devices, gaps, lab.connect) as found:
        return measure(subjects(models, devices, found), plan, gaps=gaps)


def seen(lab: Lab) -> list[tuple[str, str, str]]:
    """(device, model, threads) of every turn, in the order over all boards."""
    order: list[tuple[str, str, str]] = []
    for board in lab.boards.values():
        plain = board.meddle

        def noted(options: dict, board: Board = board, plain=plain):
            model = board.device.files[options["model"]].decode()
            order.append((board.name, model, options["threads"]))
            return plain(options)

        board.meddle = noted
    return order


def test_all_subjects_take_turns(models: dict[str, Path]) -> None:
    lab = Lab(Board("here"), Board("pi", 5000))
    order = seen(lab)
    results = bench(lab, models, Plan(threads=(1, 2), runs=10, warmup=3, processes=2))
    one_round = [
        (device, model, threads)
        for threads in ("1", "2")
        for device in ("here", "pi")
        for model in ("float", "int8")
    ]
    assert order == one_round + one_round[::-1], "there and back"
    assert [(r.device, r.model, str(r.threads)) for r in results] == one_round
    assert all(len(r.processes) == 2 and r.summary.n == 20 for r in results)
    assert {round(r.summary.median, -3) for r in results} == {1000, 5000}
    assert results[0].sha256 == hashlib.sha256(b"float").hexdigest()


def test_the_script_is_told_everything(models: dict[str, Path]) -> None:
    lab = Lab(Board("pi"))
    devices = lab.entries(runtime="tflite-runtime", delegate="none", timeout=60.0)
    bench(lab, models, Plan(runs=10, warmup=3, processes=1, seconds=30.0), devices=devices)
    turn = lab.boards["pi"].turns[0]
    wanted = {"json": "-", "attached": "", "runs": "10", "warmup": "3", "seconds": "30.0"}
    wanted |= {"runtime": "tflite-runtime", "delegate": "none", "timeout": "90.0"}
    assert wanted.items() <= turn.items()
    assert not {"golden", "profile", "pictures"} & set(turn)
    device = lab.boards["pi"].device
    assert device.timeouts[-1] > 90, "the script's own limit comes first"
    assert device.calls[-1][0] == "python3" and device.calls[-1][-2] == "--"


def test_each_file_is_brought_once_and_extras_are_done_once(
    models: dict[str, Path], tmp_path: Path
) -> None:
    for folder in ("golden", "pictures", "photos"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text(folder)
    (tmp_path / "labels.txt").write_text("x\n")
    lab = Lab(Board("pi", golden={"pairs": 2, "identical": 2, "failed": 0}))
    plan = Plan(
        runs=10,
        processes=3,
        golden=tmp_path / "golden",
        images=tmp_path / "pictures",
        accuracy=tmp_path / "photos",
        labels=tmp_path / "labels.txt",
        profile=True,
    )
    results = bench(lab, models, plan)
    board = lab.boards["pi"]
    sent = [path.name for path in board.device.pushed]
    assert len(sent) == len(set(sent)), "nothing twice"
    assert {call.SCRIPT_NAME, "golden", "labels.txt"} <= set(sent)
    once = {"golden", "accuracy", "labels", "profile"}
    assert [once <= set(turn) for turn in board.turns] == [True, True, *[False] * 4]
    assert not [turn for turn in board.turns[2:] if once & set(turn)]
    assert all("pictures" in turn for turn in board.turns)
    assert all(result.golden == board.golden for result in results)


def test_progress_counts_processes(models: dict[str, Path]) -> None:
    lab, told = Lab(Board("pi")), []
    with opened(lab.entries(), None, lab.connect) as found:
        measure(
            subjects(models, lab.entries(), found),
            Plan(runs=10, processes=2),
            progress=lambda done, total: told.append((done, total)),
        )
    assert told == [(i, 4) for i in range(5)]


def test_golden_pairs_that_differ_are_a_result(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "a").touch()
    lab = Lab(Board("pi", golden={"pairs": 8, "identical": 1, "failed": 2}))
    results = bench(lab, models, Plan(runs=10, processes=1, golden=tmp_path / "golden"))
    assert results[0].golden == {"pairs": 8, "identical": 1, "failed": 2}


# ------------------------------------------------------------------ devices that are away


def test_a_device_that_is_away_is_an_error_or_a_gap(models: dict[str, Path]) -> None:
    lab = Lab(Board("here"), Board("pi", away=DeviceError("pi: refused", "start sshd")))
    with pytest.raises(DeviceError, match="pi: refused"):
        bench(lab, models, Plan(runs=10))
    assert not lab.boards["here"].device.held, "what was open is closed"
    gaps: Gaps = {}
    with pytest.raises(DeviceError, match="pi: refused"):
        bench(lab, models, Plan(runs=10), gaps)  # it is not optional
    results = bench(lab, models, Plan(runs=10), gaps, lab.entries(optional=True))
    assert {r.device for r in results} == {"here"} and gaps == {"pi": "refused"}


def test_a_client_program_that_is_missing_here(models: dict[str, Path]) -> None:
    def connect(device: BenchDevice) -> FakeDevice:
        raise MissingDependency("pi: there is no adb on this machine", "apt install adb")

    pi, gaps = BenchDevice(name="pi"), {}
    with pytest.raises(MissingDependency), opened([pi], gaps, connect):
        pass
    with opened([pi.model_copy(update={"optional": True})], gaps, connect) as found:
        assert found == {} and "no adb" in gaps["pi"]


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_device_that_is_lost_in_the_middle_leaves_no_number(
    models: dict[str, Path], after: int
) -> None:
    lab = Lab(Board("here"), Board("pi"))
    pi = lab.boards["pi"]
    pi.meddle = lambda options: LOST if len(pi.turns) > after else None
    plan, gaps = Plan(runs=10, processes=3), {}
    results = bench(lab, models, plan, gaps, lab.entries(optional=True))
    assert gaps == {"pi": LOST.message}
    assert [(r.device, len(r.processes)) for r in results] == [("here", 3), ("here", 3)]
    assert len(pi.turns) == after + 1, "it is not asked again"
    pi.turns.clear()
    with pytest.raises(DeviceError, match="connection was lost"):
        bench(lab, models, plan)
    assert not pi.device.held and not lab.boards["here"].device.held


def test_a_busy_device_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tries, said = [], []

    class Sometimes(FakeDevice):
        def __enter__(self) -> FakeDevice:
            tries.append(1)
            if len(tries) < 3:
                raise Busy("pi: busy: a bench of eve@host is running on it")
            return super().__enter__()

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    pi = BenchDevice(name="pi")
    with opened([pi], None, lambda _: Sometimes(), wait=100, note=said.append) as found:
        assert "pi" in found
    assert len(tries) == 3
    assert said == ["pi: busy: a bench of eve@host is running on it: waiting for it, up to 100 s"]
    tries.clear()
    with pytest.raises(Busy), opened([pi], None, lambda _: Sometimes()):
        pass


# ------------------------------------------------------------------ what fails there


@pytest.mark.parametrize(
    ("code", "stderr", "said", "hint"),
    [
        (3, "error: no numpy for /usr/bin/python3\nhint: pip install numpy", "no numpy", "pip"),
        (
            4,
            "error: m.tflite: tflite-runtime 2.14.0: Didn't find op for builtin opcode "
            "'FULLY_CONNECTED' version '12'. An older version",
            "tflite-runtime 2.14.0 is too old for the model: FULLY_CONNECTED version 12",
            "ai-edge-litert",
        ),
        (128 + 14, "", "took too long", "--timeout"),
        (1, "Traceback …\nKeyError: 'x'", "KeyError: 'x'", ""),
    ],
)
def test_the_script_s_failures_are_one_message(
    models: dict[str, Path], code: int, stderr: str, said: str, hint: str
) -> None:
    lab, gaps = Lab(Board("pi")), {}
    lab.boards["pi"].meddle = lambda options: Done((), code, "", stderr)
    with pytest.raises(DeviceError) as caught:  # also on an optional device: it is not away
        bench(lab, models, Plan(runs=10), gaps, lab.entries(optional=True))
    assert caught.value.message.startswith("pi: float model's.tflite: ")
    assert said in caught.value.message and hint in caught.value.hint
    assert "\n" not in caught.value.message and gaps == {}


def test_an_answer_that_is_none(models: dict[str, Path]) -> None:
    lab = Lab(Board("pi"))
    for answer in ("", "{}", '{"schema": "other/1"}'):
        lab.boards["pi"].meddle = lambda options, answer=answer: Done((), 0, answer, "")
        with pytest.raises(DeviceError, match="no measurement came back"):
            bench(lab, models, Plan(runs=10))


def test_another_file_than_ours_is_refused(models: dict[str, Path]) -> None:
    lab = Lab(Board("pi"))

    def swap(options: dict[str, str]) -> None:
        lab.boards["pi"].device.files[options["model"]] = b"something else"

    lab.boards["pi"].meddle = swap
    with pytest.raises(DeviceError, match="SHA-256"):
        bench(lab, models, Plan(runs=10))


def test_no_python_there(models: dict[str, Path]) -> None:
    lab = Lab(Board("pi", python_runs=False))
    with pytest.raises(DeviceError, match="pi: python3 does not run there: python3: not found"):
        bench(lab, models, Plan(runs=10))
    assert lab.boards["pi"].device.pushed == [], "nothing was sent for nothing"


def test_benchmark_model_only_times(models: dict[str, Path], tmp_path: Path) -> None:
    board = Board("phone", python_runs=False)
    tool = tmp_path / "benchmark_model"
    tool.touch()
    with board.device as device:
        subject = Subject("int8", models["int8"], device, tool=tool)
        with pytest.raises(DeviceError, match="benchmark_model only times: it can't take --golden"):
            measure([subject], Plan(golden=tmp_path))
