"""``tfedge runs``, ``show`` and ``compare``: which runs there are, and which is better at what."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import html5lib
import pytest

import tfedge
from tests.output_helpers import evaluation
from tests.svg_helpers import discs, line_through, without_namespaces
from tfedge import Run, cli, compare
from tfedge.benchmark.measurements import Measurements
from tfedge.benchmark.result import Host, Process, Result
from tfedge.core.outputs import ModelFile, ModelMetrics, TensorType, write
from tfedge.core.result import assemble, gather
from tfedge.core.rundir import RunDir
from tfedge.data.index import Index, Row
from tfedge.errors import ArtifactError, ConfigError
from tfedge.files.artifact import write_json
from tfedge.report.compare import RunComparison
from tfedge.tasks.table import task_of

TASK = task_of("image-classification")
HOST = Host("a CPU", "x86_64", 2, "Linux", "3.11.0")
Make = Callable[..., Path]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """``make("a", top1=0.9, size=100, ns=2000)``: a finished run with what is compared of it."""

    def run(
        name: str,
        top1: float | None = 0.9,
        size: int = 100,
        ns: int | None = 2_000_000,
        *,
        examples: str = "one",
        host: Host = HOST,
        threads: tuple[int, ...] = (1,),
        shape: int = 96,
        keys: dict[str, Any] | None = None,
        task: str = TASK.name,
        **metrics: Any,
    ) -> Path:
        folder = tmp_path / "runs" / name
        for stage in ("data", "convert", "evaluate", "benchmark"):
            (folder / stage).mkdir(parents=True)
        digests = [hashlib.sha256(f"{examples}{n}".encode()).hexdigest() for n in range(4)]
        rows = [Row(f"{name}/{n}.png", n % 2, "val", one) for n, one in enumerate(digests)]
        Index(("cat", "dog"), tuple(rows), "folders").save(folder / "data" / "index.json")
        tensor = TensorType(dtype="uint8", shape=[1])
        model = ModelFile(
            **{"recipe": "qat", "sha256": "ab" * 32, "bytes": size, "deflated": size},
            **{"float_deflated": 400, "sparsity": None, "float_tensors": 0, "layers": []},
            **{"input": tensor, "output": tensor},
        )
        write(folder / "convert" / "model.json", model)
        (folder / "convert" / "float.tflite").write_bytes(bytes(400))
        stages = ["data", "convert", "benchmark"]
        if top1 is not None:
            values = {"float": 0.95, "int8": top1}
            models = {
                kind: ModelMetrics(top1=value, recall_macro=value) for kind, value in values.items()
            }
            found = evaluation(TASK.primary, values, **(models | metrics))
            write(folder / "evaluate" / "metrics.json", found)
            stages.append("evaluate")
        results = [
            Result(
                model=kind,
                sha256="ab" * 32,
                bytes=size,
                runtime="LiteRT",
                runtime_version="2.0",
                threads=count,
                host=host,
                processes=(Process(1, 1, (), (ns * times // count,) * 5, None, None),) * 2,
                shapes=((1, shape, shape, 3),),
            )
            for count in threads
            for kind, times in (("float", 3), ("int8", 1))
            if ns is not None
        ]
        Measurements(tuple(results)).write(folder / "benchmark" / "benchmark.json")
        result = assemble(
            gather(folder, stages),
            pipeline=name,
            task=TASK,
            status="ok",
            seconds=1.0,
            stages=[],
            entries={},
        )
        write_json(folder / "run.json", result | {"task": task})
        write_json(folder / "resolved.json", {"name": name, "seed": 1, **(keys or {})})
        (folder / "lock").touch()
        return folder

    return run


def names(found: RunComparison, front: bool = False) -> list[str]:
    return [run.name for at, run in enumerate(found.runs) if at in found.front or not front]


# ------------------------------------------------------------------ compare


def test_runs_are_ranked_and_the_pareto_front_is_marked(make: Make) -> None:
    runs = [
        make("slow", 0.90, 100, 9_000_000),  # worse than fast in latency alone
        make("good", 0.95, 300, 9_000_000),
        make("fast", 0.90, 100, 1_000_000),
        make("small", 0.80, 50, 9_000_000),
        make("poor", 0.80, 60, 9_000_000),  # worse than small in size alone
    ]
    found = compare(runs)
    assert found.unranked == ()
    assert names(found) == ["good", "fast", "slow", "small", "poor"]
    assert names(found, front=True) == ["good", "fast", "small"]
    table = [line.split() for line in found.lines()[1:6]]
    assert [row[2 if row[1] == "*" else 1] for row in table] == names(found)
    assert [row[1] == "*" for row in table] == [True, True, False, True, False]
    assert "1.00 ± 0.00 ms" in found.lines()[2]
    assert "local (a CPU), LiteRT 2.0, xnnpack, 1 thread" in found.lines()[2]


def backbones(make: Make) -> list[Path]:
    """Three runs of other backbones and sparsities, of which the third is no good."""
    return [
        make("large", 0.95, 4_000_000, 8_000_000, keys=net("EfficientNetB0", 0.5)),
        make("small", 0.90, 1_000_000, 2_000_000, keys=net("MobileNetV2", 0.75)),
        make("poor", 0.85, 2_000_000, 4_000_000, keys=net("MobileNetV3Small", 0.75)),
    ]


def net(name: str, sparsity: float) -> dict[str, Any]:
    return {"backbone": {"name": name}, "prune": {"sparsity": sparsity}}


def parsed(path: Path) -> Any:
    """The page; what is no sound HTML fails the test."""
    text = path.read_text("utf-8")
    assert "default-src 'none'" in text and "<script" not in text and "://" not in text
    page = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    return without_namespaces(page)


def test_the_page_plots_the_metric_over_latency_and_names_the_keys(
    make: Make, tmp_path: Path, capsys: Said
) -> None:
    page = tmp_path / "page.html"
    assert cli.main(["compare", *map(str, backbones(make)), "--html", str(page)]) == 0
    assert "prune.sparsity" in capsys.readouterr().out
    found = parsed(page)
    texts = ["".join(one.itertext()) for one in found.iter() if isinstance(one.tag, str)]
    caption = "Top-1 over latency; the area is the size, the line is the Pareto front"
    assert caption in texts
    (svg,) = found.findall(".//figure/svg")
    large, small, poor = (disc[:2] for disc in discs(svg))
    assert small[0] < poor[0] < large[0] and large[1] < small[1] < poor[1]  # ms, and up is better
    radii = [disc[2] for disc in discs(svg)]
    assert radii[0] == pytest.approx(2 * radii[1], rel=0.01)  # areas 4, 1 and 2; a path is rounded
    assert radii[1] < radii[2] < radii[0]
    assert line_through(svg) == pytest.approx([*small, *large], abs=0.01)
    rows = [["".join(cell.itertext()) for cell in row] for row in found.findall(".//tbody/tr")]
    assert [row[:2] for row in rows[:3]] == [["A *", "large"], ["B *", "small"], ["C", "poor"]]
    assert ["prune.sparsity", "0.5", "0.75", "0.75"] in rows
    assert ["backbone.name", '"EfficientNetB0"', '"MobileNetV2"', '"MobileNetV3Small"'] in rows


def test_without_latency_the_page_plots_the_metric_over_size(make: Make, tmp_path: Path) -> None:
    runs = [make("a", 0.9, 1_000_000, None), make("b", 0.8, 500_000, None)]
    (tmp_path / "page.html").write_text(compare(runs).to_html())
    found = parsed(tmp_path / "page.html")
    assert "Top-1 over size" in "".join(found.find(".//figcaption").itertext())


def test_what_can_not_be_ranked_has_no_plot(make: Make, tmp_path: Path) -> None:
    runs = [make("a", examples="one"), make("b", examples="other")]
    (tmp_path / "page.html").write_text(compare(runs).to_html())
    found = parsed(tmp_path / "page.html")
    assert found.find(".//figure") is None
    assert "Not ranked: a and b were judged by different examples" in "".join(
        found.find(".//header").itertext()
    )


def test_two_that_are_equal_are_both_on_the_front(make: Make) -> None:
    assert names(compare([make("a"), make("b")]), front=True) == ["a", "b"]


def test_a_smaller_input_is_one_way_of_being_faster(make: Make) -> None:
    assert compare([make("a"), make("b", shape=64)]).unranked == ()


def test_the_same_way_of_measuring_is_found_where_there_is_one(make: Make) -> None:
    found = compare([make("a", threads=(1, 2)), make("b", threads=(2,))])
    assert found.unranked == ()
    assert [run.latency and run.latency.threads for run in found.runs] == [2, 2]


OTHER = Host("another CPU", "x86_64", 2, "Linux", "3.11.0")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"examples": "two"}, "a and b were judged by different examples: 200 of val ("),
        ({"host": OTHER}, "a and b were measured with another cpu: local (a CPU)"),
        ({"threads": (4,)}, "a and b were measured with another threads: "),
        ({"ns": None}, "latency was measured of some only, not of b"),
        ({"top1": None}, "b was not evaluated"),
        ({"chose_weights": True}, "the examples that judge chose the weights of b"),
        (
            {"task": "text-classification"},
            "different metrics: top-1 of image-classification, top-1 of text-classification",
        ),
    ],
    ids=str,
)
def test_what_can_t_be_ranked_is_shown_with_the_reason(
    make: Make, changed: dict[str, Any], why: str
) -> None:
    found = compare([make("a", 0.8), make("b", **({"top1": 0.9} | changed))])
    assert len(found.unranked) == 1 and found.unranked[0].startswith(why)
    assert names(found) == ["a", "b"] and found.front == ()  # as they were given
    text = str(found)
    assert "not ranked:\n  " + found.unranked[0] in text and "*" not in text
    assert "80.0 %" in text and ("90.0 %" in text) == ("top1" not in changed)
    assert found.to_json()["ranked"] is False


def test_without_any_latency_the_front_is_of_the_rest(make: Make) -> None:
    found = compare([make("a", 0.8, 90, ns=None), make("b", 0.9, 100, ns=None)])
    assert (found.unranked, names(found, front=True)) == ((), ["b", "a"])
    assert found.notes == ("no latency was measured: it is no part of the front",)
    assert "as good in top-1, size, and better" in str(found)


def test_what_may_be_chance_is_said(make: Make) -> None:
    def with_interval(top1: float) -> dict[str, Any]:
        between = (top1 - 0.02, top1 + 0.02)
        return {"int8": ModelMetrics(top1=top1, recall_macro=0.5, top1_ci95=between)}

    values = {"a": 0.90, "b": 0.93, "c": 0.8}
    runs = [make(name, **with_interval(top1)) for name, top1 in values.items()]
    (note,) = compare(runs).notes
    assert note.startswith("the 95 % intervals of b, a overlap: on 200 examples their order")


def test_keys_that_differ_are_told_one_by_one(make: Make) -> None:
    secret = {"download": {"url": "https://me:hush@example.org/x.zip"}}
    found = compare(
        [
            make("a", 0.9, keys={"prune": {"sparsity": 0.5, "epochs": 2}, "data": secret}),
            make("b", 0.8, keys={"prune": {"sparsity": 0.75, "epochs": 2}, "quantize": None}),
        ]
    )
    assert found.differing["prune.sparsity"] == ("0.5", "0.75")
    assert found.differing["quantize"] == (None, "null")
    assert "prune.epochs" not in found.differing and "seed" not in found.differing
    assert "hush" not in str(found) + json.dumps(found.to_json())
    assert any(line.split() == ["prune.sparsity", "0.5", "0.75"] for line in found.lines())


def test_pipelines_that_are_the_same(make: Make) -> None:
    one, two = make("a"), make("b")
    (two / "resolved.json").write_text((one / "resolved.json").read_text())
    assert compare([one, two]).lines()[-1] == "the pipelines are the same, key by key"


@pytest.mark.parametrize("which", ["one", "twice"])
def test_fewer_than_two_are_refused(make: Make, which: str) -> None:
    one = make("a")
    latest = one.parent / "latest"
    latest.symlink_to("a")
    with pytest.raises(ConfigError, match="2 to 26 runs, each once"):
        compare([one] if which == "one" else [one, latest])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", '{"schema": "tfedge.run/1"}'),
        ("run.json", "[]"),
        ("data/index.json", "{}"),
        ("evaluate/metrics.json", "{}"),
        ("evaluate/metrics.json", None),
        ("resolved.json", "no"),
    ],
)
def test_a_broken_file_is_one_message(
    make: Make, file: str, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = make("a"), make("b")
    if content is None:  # of another task
        content = (two / file).read_text().replace("top1", "mae")
    (two / file).write_text(content)
    assert cli.main(["compare", str(one), str(two)]) == 7
    said = capsys.readouterr()
    assert said.out == "" and str(two / file) in said.err and "internal" not in said.err


def test_a_task_of_a_newer_tfedge_is_said(make: Make) -> None:
    one = make("a", task="smell-classification")
    with pytest.raises(ArtifactError, match="smell-classification"):
        Run.read(one)


# ------------------------------------------------------------------ runs and show


def test_runs_lists_what_there_is(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make("b", 0.8, 2_500_000, threads=(2, 1))
    runs = make("a", None, ns=None).parent
    event = {"time": 1_700_000_000.5, "event": "start", "stage": "data"}
    (runs / "b" / "events.jsonl").write_text(json.dumps(event) + "\n")
    (runs / "latest").symlink_to("a")
    (runs / "notes").mkdir()
    assert cli.main(["runs", str(runs)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "run" and first.split()[0] == "b" and second.split()[0] == "a"
    assert "2023-11-14 22:13  ok" in first and "image-classification" in first
    assert "top-1 95.0 % → 80.0 %" in first and "2.50 MB" in first
    assert "2.00 ± 0.00 ms (local, LiteRT, 1 thread)" in first
    assert second.split()[-3:] == ["0.1", "kB", "–"]
    (row, other) = _json(capsys, runs)
    assert (row["float"], row["int8"], row["metric"]) == (0.95, 0.8, "top1")
    assert row["bytes"] == 2_500_000 and other["int8"] is None and other["latency"] == []
    assert [one["threads"] for one in row["latency"]] == [2, 1]


def _json(capsys: pytest.CaptureFixture[str], folder: Path) -> list[dict[str, Any]]:
    assert cli.main(["runs", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "tfedge.runs/1"
    rows: list[dict[str, Any]] = found["runs"]
    return rows


def test_running_killed_and_broken_runs_are_listed_as_such(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make("one")
    (one / "run.json").unlink()
    assert [row["status"] for row in _json(capsys, one)] == ["killed"]
    before = (one / "lock").read_bytes()
    code = "import sys; from pathlib import Path; from tfedge.core.rundir import RunDir\n"
    code += "with RunDir(Path(sys.argv[1])): print('in', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, one],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(tfedge.__file__).parents[1])},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert [row["status"] for row in _json(capsys, one)] == ["running"]
        assert (one / "lock").read_bytes() != before  # the holder's, and it still holds it
        with pytest.raises(ArtifactError, match="another run is in this directory"):
            RunDir(one)
        process.communicate()
    for content, why in (("{", "JSON"), ('{"schema": "x"}', "its schema is not tfedge.run/1")):
        (one / "run.json").write_text(content)
        (row,) = _json(capsys, one)
        assert row["status"] == "unreadable" and why in row["problem"]
        assert cli.main(["runs", str(one)]) == 0
        assert f"{one}: " in capsys.readouterr().out
    (one / "run.json").write_text('{"schema": "tfedge.run/1", "status": "ok", "metrics": 3}')
    (row,) = _json(capsys, one)
    assert row["status"] == "unreadable" and "does not say what a run says" in row["problem"]


def test_a_folder_without_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{tmp_path}: no runs in it\n")
    assert cli.main(["runs", str(tmp_path / "nothing")]) == 7
    assert "hint: a run makes one" in capsys.readouterr().err


def test_show_prints_what_the_run_ended_with(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make("one", 0.8, 200)
    assert cli.main(["show", str(one)]) == 0
    out = capsys.readouterr().out
    assert out == Run.read(one).summary() + "\n"
    assert out.startswith("one: ok in 1 s\n") and "0.50 of float" in out and "80.0 %" in out
    assert cli.main(["show", str(one), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((one / "run.json").read_text())
    assert cli.main(["show", str(one.parent)]) == 7
    assert "run.json" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["runs", "runs"], ["show", "runs/a"], ["compare", "a", "b"]])
def test_they_need_no_tensorflow_and_little_time(make: Make, words: list[str]) -> None:
    """The processor's time, imports too, whatever else the machine does."""
    runs = [make("a"), make("b")]
    given = [words[0], *(["runs"] if words[0] == "runs" else [f"runs/{r.name}" for r in runs])]
    given = given[:2] if words[0] == "show" else given
    code = "import sys, time; from tfedge.cli import main; code = main(sys.argv[1:])\n"
    code += "print(time.process_time(), 'tensorflow' in sys.modules, file=sys.stderr)"
    seconds = []
    for _ in range(3):
        ran = subprocess.run(
            [sys.executable, "-c", code, *given],
            cwd=runs[0].parents[1],
            env=os.environ | {"PYTHONPATH": str(Path(tfedge.__file__).parents[1])},
            capture_output=True,
            text=True,
        )
        time, has_tensorflow = ran.stderr.split()
        assert ran.stdout and has_tensorflow == "False"
        seconds.append(float(time))
    assert min(seconds) < 0.5
