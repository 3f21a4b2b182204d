"""``benchmark.devices`` through the stage, the gates, run.json, the report and the drop."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import HOST, Board, Lab
from color_helpers import INT8, Run, make_run

from tfedge.benchmark.measurements import Measurements
from tfedge.core import gates, keys
from tfedge.core.result import StageResults, assemble
from tfedge.core.result import gather as gather_made
from tfedge.core.stages import stage
from tfedge.devices.device import Busy
from tfedge.errors import ArtifactError, DeviceError, GateFailed
from tfedge.files.text import WIDTH
from tfedge.pipeline.schema import pipeline_of
from tfedge.report import written
from tfedge.report.facts import comparison, gather, warnings
from tfedge.report.table import summary
from tfedge.stages import benchmark, package
from tfedge.tasks.table import task_of

DEVICES = ["local", {"name": "pi4", "address": "ssh://pi@board", "optional": True}]
REASON = "no route to host | it sleeps"
AWAY = DeviceError(f"pi4: {REASON}", "wake it up")


def make(tmp_path: Path, devices: list, profile: bool = False, **sections: object) -> Run:
    settings = {"threads": [1, 2], "runs": 10, "warmup": 1, "processes": 2, "devices": devices}
    return make_run(tmp_path, benchmark={**settings, "profile": profile}, **sections)


def measured(tmp_path: Path, lab: Lab, devices: list = DEVICES, **more: Any) -> Run:
    run = make(tmp_path, devices, **more)
    benchmark.run(run.context("benchmark"), lab.connect)
    run.inputs["benchmark/benchmark.json"] = run.folder / "benchmark" / "benchmark.json"
    return run


def run_json(run: Run) -> dict:
    head = {"status": "ok", "pipeline": "color", "seconds": 1.0, "stages": [], "entries": {}}
    return assemble(made(run), task=task_of(run.pipeline.task), **head)


def made(run: Run) -> StageResults:
    return gather_made(run.folder, ["convert", "benchmark"])


def test_every_device_is_measured_and_shown(tmp_path: Path) -> None:
    lab = Lab(Board("local", 1_000_000), Board("pi4", 9_000_000))
    run = measured(tmp_path, lab)
    rows = run.json("benchmark/benchmark.json")
    assert [(row["device"], row["model"], row["threads"]) for row in rows] == [
        (device, model, threads)
        for threads in (1, 2)
        for device in ("local", "pi4")
        for model in ("float", "int8")
    ]
    assert all(len(p["samples_ns"]) == 10 for row in rows for p in row["processes"])
    assert any(note.startswith("int8, pi4, 2 threads: 9.000 ± ") for note in run.said.notes)
    facts = gather(run.folder, run_json(run))
    shown = {row[0]: row for row in comparison(facts, interval=False)}
    assert {
        f"latency, {d}, {t}" for d in ("local", "pi4") for t in ("1 thread", "2 threads")
    } <= set(shown)
    assert shown["latency, pi4, 1 thread"][2].startswith("9.00 ± ")
    assert "fast" in shown["latency, pi4, 1 thread"][3], "float against int8 on one device"
    text = written.write(run.folder, run_json(run)).read_text("utf-8")
    assert "- pi4: a cpu (aarch64), 4 cores" in text
    assert "| pi4 | int8 | LiteRT 2.3.0 | 2 threads | 9.00 ± " in text


def test_only_local_looks_as_ever(tmp_path: Path) -> None:
    run = measured(tmp_path, Lab(Board("local", 1_000_000)), ["local"])
    rows = [row[0] for row in comparison(gather(run.folder, run_json(run)), interval=False)]
    assert "latency, 1 thread" in rows and "latency, 2 threads" in rows


def test_an_optional_device_that_is_away_is_a_visible_gap(tmp_path: Path) -> None:
    lab = Lab(Board("local", 1_000_000), Board("pi4", away=AWAY))
    run = measured(tmp_path, lab)
    rows = run.json("benchmark/benchmark.json")
    assert rows[-1] == {"device": "pi4", "missing": REASON}
    assert {row["device"] for row in rows[:-1]} == {"local"}
    assert run.said.notes[-1] == f"warning: pi4 was not measured: {REASON}"

    outcome = run_json(run)
    assert outcome["benchmark"][-1] == {
        "device": "pi4",
        "missing": REASON,
    }
    facts = gather(run.folder, outcome)
    assert facts.gaps == {"pi4": REASON}
    assert ("latency, pi4", "", "", "not measured: it was away") in comparison(facts, False)
    assert f"pi4 was not measured: {REASON}" in warnings(facts)
    shown = summary(outcome, run.folder)
    assert "not measured: it was away" in shown and "no route to host" in shown
    assert max(map(len, shown.splitlines())) <= WIDTH
    text = written.write(run.folder, outcome).read_text("utf-8")
    assert "- pi4: not measured: no route to host \\| it sleeps" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| pi4 |")]
    assert row == "| pi4 | not measured |" + " – |" * 8

    run.add("evaluate/metrics.json", None)
    del run.inputs["evaluate/metrics.json"]
    package.run(run.context("package"))
    manifest = json.loads((run.folder / "package/drops/linux/MANIFEST.json").read_text())
    assert len(manifest["benchmark"]) == 4, "a gap is no measurement"


def test_a_card_tells_the_machines_apart(tmp_path: Path) -> None:
    pi4 = Board("pi4", 9_000_000, host=HOST | {"board": "Raspberry Pi 4", "cpu": "Cortex-A72"})
    run = measured(tmp_path, Lab(Board("local", 1_000_000), pi4))
    package.run(run.context("package"))
    card = (run.folder / "package/drops/linux/CARD.md").read_text("utf-8")
    assert "Of one inference on a cpu, aarch64; Raspberry Pi 4, Cortex-A72, aarch64." in card
    assert "| Raspberry Pi 4, Cortex-A72, aarch64 | int8 | LiteRT 2.3.0 | 1 | 9.00 ± " in card


def test_all_devices_away_is_a_report_without_a_number(tmp_path: Path) -> None:
    pi4 = dict(DEVICES[1])
    run = measured(tmp_path, Lab(Board("pi4", away=AWAY)), [pi4])
    text = written.write(run.folder, run_json(run)).read_text("utf-8")
    assert "- pi4: not measured" in text
    assert "latency, pi4" in summary(run_json(run), run.folder)


def test_a_device_that_is_away_and_may_not_be(tmp_path: Path) -> None:
    lab = Lab(Board("local"), Board("pi4", away=AWAY))
    devices = ["local", {"name": "pi4", "address": "ssh://pi@board"}]
    with pytest.raises(DeviceError, match="no route to host"):
        measured(tmp_path, lab, devices)
    assert not (tmp_path / "runs" / "color-1" / "benchmark" / "benchmark.json").exists()


def test_a_device_that_is_away_is_told_before_the_training(tmp_path: Path) -> None:
    assert stage("benchmark").needs == "tfedge.stages.benchmark:needs"
    lab = Lab(Board("local"), Board("pi4", away=AWAY))
    config = make(tmp_path, DEVICES).pipeline.benchmark
    assert config is not None
    benchmark.needs(config, lab.connect)  # optional
    config = make(tmp_path / "b", ["local", {"name": "pi4", "address": "adb"}]).pipeline.benchmark
    assert config is not None
    with pytest.raises(DeviceError, match="no route to host"):
        benchmark.needs(config, lab.connect)
    lab.boards["pi4"].device.away = Busy("pi4: busy")
    benchmark.needs(config, lab.connect)  # it may be free when it is needed
    lab.boards["pi4"].device.away = None
    benchmark.needs(config, lab.connect)
    assert not lab.boards["pi4"].device.held and not lab.boards["pi4"].device.calls


def test_the_latency_gate_holds_on_the_first_device_and_threads(tmp_path: Path) -> None:
    devices = [{"name": "pi4", "address": "ssh://pi@board"}, "local"]
    lab = Lab(Board("local", 1_000_000), Board("pi4", 9_000_000))
    limit = {"gates": {"max_latency": 5.0}}
    run = measured(tmp_path, lab, devices, evaluate=limit)
    with pytest.raises(GateFailed, match=r"limit 5 ms, got 9 ms on 1 thread of pi4"):
        gates.check(run.pipeline, "benchmark", lambda: made(run))
    run = measured(tmp_path / "b", lab, devices[::-1], evaluate=limit)
    gates.check(run.pipeline, "benchmark", lambda: made(run))
    missing = replace(made(run), benchmark=Measurements(gaps={"local": "x"}))
    with pytest.raises(GateFailed, match="got no measurement on 1 thread"):
        gates.check(run.pipeline, "benchmark", lambda: missing)


def test_a_drop_hangs_on_the_names_of_devices_not_on_where_they_are() -> None:
    def key(*devices: object) -> str:
        raw = {"name": "a", "data": {"path": "x"}, "benchmark": {"devices": devices}, "package": {}}
        settings = keys.settings(pipeline_of(raw))
        return keys.key_of(keys.material(stage("package"), settings, {}, ""))

    here = {"name": "pi4", "address": "ssh://pi@10.0.0.4"}
    there = {"name": "pi4", "address": "ssh://pi@10.0.0.5", "python": "/opt/python", "timeout": 5}
    assert key("local", here) == key("local", there)
    assert key("local", here) != key("local")


def test_the_run_key_of_a_drop_names_no_address(tmp_path: Path) -> None:
    found = []
    for folder, address in (("a", "ssh://pi@10.0.0.4"), ("b", "ssh://pi@10.0.0.5")):
        device = {"name": "pi4", "address": address}
        run = measured(tmp_path / folder, Lab(Board("pi4")), [device])
        package.run(run.context("package"))
        text = (run.folder / "package/drops/linux/MANIFEST.json").read_text()
        assert "10.0.0" not in text
        card = (run.folder / "package/drops/linux/CARD.md").read_text("utf-8")
        assert "Of one inference on a cpu, aarch64." in card and "10.0.0" not in card
        found.append(json.loads(text)["run_key"])
    assert found[0] == found[1]


def test_a_damaged_list_of_measurements_is_named(tmp_path: Path) -> None:
    run = measured(tmp_path, Lab(Board("local")), ["local"])
    (run.folder / "benchmark" / "benchmark.json").write_text('[{"device": "pi4"}]')
    with pytest.raises(ArtifactError, match=r"benchmark\.json: no list of measurements"):
        gather(run.folder, {})


class Uneven(Board):
    """A board that takes ``int8_nanoseconds`` for the int8 model, mostly in one kind of op."""

    int8_nanoseconds = 3_000_000

    def said(self, options: dict[str, str]) -> str:
        is_int8 = self.device.files[options["model"]] == INT8.read_bytes()
        plain = self.nanoseconds
        self.nanoseconds = self.int8_nanoseconds if is_int8 else plain
        told = json.loads(super().said(options))
        self.nanoseconds = plain
        if "profile" in options:
            kinds = [("CONV_2D", 0.2), ("HARD_SWISH", 0.75), ("ADD", 0.03), ("MEAN", 0.02)]
            types = [
                {"op": op, "count": 1, "ns": 1e6 * share, "share": share} for op, share in kinds
            ]
            told["results"][0]["profile"] = {"method": "m", "error": "e", "types": types, "ops": []}
        return json.dumps(told)


SLOWER = (
    "int8 is 3.00 times slower than float on local, LiteRT 2.3.0, 1 thread: HARD_SWISH 75%, "
    "CONV_2D 20%, ADD 3%; ship the float model (no quantize section), or choose another backbone: "
    "`tfedge bench --profile` shows each op"
)


def test_an_int8_model_that_is_slower_than_float_is_said_with_the_ops_that_cause_it(
    tmp_path: Path,
) -> None:
    board = Uneven("local", 1_000_000)
    run = measured(tmp_path, Lab(board), ["local"])
    assert f"warning: {SLOWER}" in run.said.notes
    profiled = [turn for turn in board.turns if "profile" in turn]
    assert [(turn["threads"]) for turn in profiled] == ["1", "2"], "the slower one alone, once each"
    assert SLOWER in warnings(gather(run.folder, run_json(run)))
    text = written.write(run.folder, run_json(run)).read_text("utf-8")
    assert "int8 is 3.00 times slower than float" in text


def test_an_int8_model_that_is_faster_is_not_profiled(tmp_path: Path) -> None:
    board = Uneven("local", 9_000_000)
    run = measured(tmp_path, Lab(board), ["local"])
    assert not [turn for turn in board.turns if "profile" in turn]
    assert not [note for note in run.said.notes if "slower" in note]


def test_where_the_time_goes_is_in_the_report_if_it_was_asked_for(tmp_path: Path) -> None:
    board = Uneven("local", 9_000_000)
    run = measured(tmp_path, Lab(board), ["local"], profile=True)
    profiled = [turn["threads"] for turn in board.turns if "profile" in turn]
    assert profiled == ["1", "1", "2", "2"], "both models in their first process"
    written.write(run.folder, run_json(run))
    page = (run.folder / "report.html").read_text("utf-8")
    titles = set(re.findall(r"Where the time goes: [^<\"]+", page))
    assert len(titles) == 4 and "HARD_SWISH" in page


def test_a_slower_model_whose_profile_is_there_is_not_profiled_again(tmp_path: Path) -> None:
    board = Uneven("local", 1_000_000)
    run = measured(tmp_path, Lab(board), ["local"], profile=True)
    assert len([turn for turn in board.turns if "profile" in turn]) == 4
    assert f"warning: {SLOWER}" in run.said.notes


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (0.3, None),
        (1.5, "gate failed: min_speedup: limit 1.5×, got 0.333× on 1 thread (HARD_SWISH 75%, "),
    ],
)
def test_a_gate_of_speed_holds_int8_against_float(
    tmp_path: Path, limit: float, wanted: str | None
) -> None:
    gate = {"gates": {"min_speedup": limit}}
    run = measured(tmp_path, Lab(Uneven("local", 1_000_000)), ["local"], evaluate=gate)
    if wanted is None:
        return gates.check(run.pipeline, "benchmark", lambda: made(run))
    with pytest.raises(GateFailed) as caught:
        gates.check(run.pipeline, "benchmark", lambda: made(run))
    assert caught.value.message.startswith(wanted)
