#!/usr/bin/env python3
"""Measure .tflite models on the device this runs on. One file: copy it there and run it.

    python3 bench_tflite.py model.tflite [more.tflite ...] --threads 1,2,4 --json result.json

It needs Python 3.7 or newer, numpy, a TFLite interpreter (ai-edge-litert, tflite-runtime, pycoral
or tensorflow), and Pillow where images are fed.

Exit codes: 0 measured; 1 a bug; 2 wrong usage; 3 numpy, an interpreter or Pillow is missing; 4 the
runtime can't load or run the model; 5 golden pairs differ; 6 images, labels or golden files can't
be used; 7 the delegate can't be used; 130 Ctrl-C; 143 stdin ended (--attached); ended by SIGALRM,
in a shell 142: --timeout.

Its sources are tfedge/benchmark/script/ and tfedge/portable/, which tools/build_device_script.py
puts together; nothing is packed, and it writes no file but that of --json.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Sequence

from tfedge.benchmark.script.answers import accuracy_of, replay_pairs
from tfedge.benchmark.script.facts import ROOT, device, read_number, state
from tfedge.benchmark.script.image_inputs import (
    FITS,
    Levels,
    checked_levels,
    image_inputs,
    manifest_fit,
    manifest_levels,
)
from tfedge.benchmark.script.litert_profiler import print_profile
from tfedge.benchmark.script.problem import Problem, ending, printable
from tfedge.benchmark.script.profile import profile
from tfedge.benchmark.script.runtime import (
    PIP,
    RUNTIMES,
    Model,
    interpreter_arguments,
    open_runtime,
    settle,
)
from tfedge.benchmark.script.shapes import HOW, delegated, written
from tfedge.benchmark.script.statistics import ONCE, joined

SCHEMA = "tfedge.bench/1"
SCRIPT_FILE = Path(__file__).absolute()


def measure(args: argparse.Namespace) -> dict:
    """One model, timed in this process: an entry of ``results``."""
    path = args.models[0]
    name, version, module = open_runtime(args.runtime)
    words = interpreter_arguments(module, args.threads[0], args.delegate)
    entry = {
        **identity(path),
        "runtime": name,
        "runtime_version": version,
        "delegate": args.delegate,
        "threads": args.threads[0],
        "input": "pictures" if args.pictures else "random",
        **dict.fromkeys(ONCE),
    }
    fit, levels = "", None
    if args.pictures or args.accuracy:
        with ending(6, (OSError, ValueError)):
            fit = args.fit or manifest_fit(path) or "crop"
            levels = levels_of(args.levels, path)
        entry["fit"] = fit
        if levels:
            entry["levels"] = levels
    gc.disable()
    settle()
    peak_is_known = forget_peak()
    told: dict = {"base_bytes": read_number("proc/self/status", r"^VmRSS:\s*(\d+)", 1024)}
    with ending(4, (ValueError, RuntimeError), f"{path}: {name} {version}: "):
        model = Model(path, module, words, args.shape)
    entry["shapes"] = model.shapes
    entry["delegated"] = None if args.delegate == "none" else delegated(model.interpreter)
    told["load_ns"] = model.load_ns
    told["first_ns"] = model.first_ns
    told["warmup_ns"] = model.run(args.warmup).wall
    peak = read_number("proc/self/status", r"^VmHWM:\s*(\d+)", 1024)
    told["peak_bytes"] = peak if peak_is_known else None
    with ending(3, (ImportError,), "", f"{PIP}pillow"), ending(6, (OSError, ValueError)):
        images = image_inputs(model, args.pictures, fit, levels) if args.pictures else []
        told["before"] = state()
        entry["drift"] = None
        if args.seconds:
            times, entry["drift"] = model.run_for(args.seconds, images)
        else:
            times = model.run(args.runs, images)
        told["samples_ns"], told["cpu_ns"] = times
        told["after"] = state()
        if args.golden:
            entry["golden"] = replay_pairs(model, args.golden)
        if args.accuracy:
            entry["accuracy"] = accuracy_of(model, args.accuracy, args.labels, fit, levels)
    if args.profile:
        entry["profile"] = profile(path, module, words, args.runs, str(SCRIPT_FILE), args.shape)
    return joined([{**entry, "processes": [told]}])


def levels_of(given: str | None, model: str) -> Levels | None:
    """Those of --levels, else of the model's drop. OSError or ValueError."""
    if given is None:
        return manifest_levels(model)
    return None if given == "none" else checked_levels(given.split(","))


def identity(path: str) -> dict:
    """Which file a result is of."""
    with ending(4, (OSError,)):
        data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"model": Path(path).stem, "sha256": digest, "bytes": len(data)}


def forget_peak() -> bool:
    """Let the peak of memory count from here on, without the imports; whether that worked."""
    with contextlib.suppress(OSError):
        return bool((ROOT / "proc/self/clear_refs").write_text("5"))
    return False


def command(python: Sequence[str], script: str, model: str, **options: Any) -> list[str]:
    """The arguments that run the script for one model. Options of None or False stay away."""
    words = []
    for key, value in options.items():
        if value is True:
            words.append(f"--{key}")
        elif value is not None and value is not False:
            words.append(f"--{key}={value}")
    return [*python, script, "--json=-", "--attached", *words, "--", model]


def turns(args: argparse.Namespace) -> list[dict]:
    """Every model with every number of threads in fresh processes, which take turns."""
    found: dict = {(model, count): [] for count in args.threads for model in args.models}
    left_out = ["models", "threads", "processes", "json", "facts", "attached", "litert_profile"]
    stdin, _ = os.pipe()  # --attached: closed by the end of this process, however it ends
    for turn in range(args.processes):
        given = {key: value for key, value in vars(args).items() if key not in left_out}
        # There and back: what gets slower or faster all the while does so to all of them alike.
        for (model, count), results in list(found.items())[:: -1 if turn % 2 else 1]:
            words = command([sys.executable], str(SCRIPT_FILE), model, threads=count, **given)
            done = subprocess.run(words, stdin=stdin, stdout=subprocess.PIPE)
            if done.returncode not in (0, 5):
                code = max(done.returncode, 0) or 4
                raise Problem(code, f"{model}: exit {done.returncode}")
            results += json.loads(done.stdout)["results"]
        left_out += ONCE
    return [joined(results) for results in found.values()]


def describe_host() -> dict:
    """What --facts tells beside the device: interpreters that are installed, Pillow, space here."""
    found = []
    for key, row in RUNTIMES.items():
        if find_spec(row.package):
            entry: dict = {"name": row.name, "version": None, "error": None}
            try:
                entry["version"] = open_runtime(key).version
            except Problem as problem:
                entry["error"] = problem.message
            found.append(entry)
    free = shutil.disk_usage(str(SCRIPT_FILE.parent)).free
    return {"runtimes": found, "pillow": bool(find_spec("PIL")), "free_bytes": free}


def table(report: dict) -> str:
    """For people: what the device is, a line for each result, then what must be said about it."""
    told = {key: value for key, value in report.items() if key not in ("device", "results")}
    facts = {**told, **report["device"]}
    lines = [", ".join(f"{key} {value}" for key, value in facts.items())]
    for result in report["results"]:
        lines.append(result_line(result))
        lines += [f"  unstable: {reason}" for reason in result["unstable"]]
        for key in (*ONCE, "drift"):
            if result[key]:
                fit = f" ({result['fit']})" if key == "accuracy" else ""
                lines.append(f"  {key}{fit}: {json.dumps(result[key])[:999]}")
    return printable("\n".join(lines))


def result_line(result: dict) -> str:
    """A result in one line."""
    summary = result["summary"]
    process = result["processes"][0]
    subject = "{model}, {runtime} {runtime_version}, {delegate}, {threads} threads".format(**result)
    shapes = ", ".join(written(shape) for shape in result["shapes"])
    told = [
        f"{summary['median'] / 1e6:9.3f} ± {summary['mad'] / 1e6:.3f} ms",
        *(f"{key} {summary[key] / 1e6:.3f}" for key in ("p90", "p99") if summary[key]),
        f"{result['per_second']:.1f}/s",
        f"load {process['load_ns'] / 1e6:.1f} ms",
        f"first {process['first_ns'] / 1e6:.1f} ms",
        f"peak {(result['peak_bytes'] or 0) / 1e6:.1f} MB",
    ]
    if result["input"] == "pictures":
        told.append(f"images by {result['fit']}")
    told.append(f"input {shapes}")
    if result["delegated"]:
        told.append(f"delegate takes {result['delegated']}")
    return f"{subject:50} {', '.join(told)}"


def parse_arguments() -> argparse.Namespace:
    """The command line. Wrong usage ends the program with 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="a .tflite file")
    add("--threads", type=thread_counts, default="1", metavar="N,N", help="such as 1,2,4")
    add("--runs", type=positive, default=50, metavar="N", help="timed inferences a process")
    add("--warmup", type=not_negative, default=10, metavar="N", help="untimed ones before them")
    add(
        "--processes",
        type=positive,
        default=1,
        metavar="N",
        help="fresh processes for each model and number of threads; they take turns",
    )
    add(
        "--seconds",
        type=not_negative_seconds,
        default=0.0,
        metavar="S",
        help="run so long instead of --runs, and show how the times drift",
    )
    add(
        "--runtime",
        choices=("auto", *RUNTIMES),
        default="auto",
        help="the interpreter; auto takes the first of these that is installed",
    )
    add(
        "--delegate",
        default="xnnpack",
        metavar="DELEGATE",
        help="xnnpack, none, edgetpu, or PATH[,key=value] of a library",
    )
    add(
        "--shape",
        default="",
        metavar="SHAPE",
        help="of inputs that the model leaves open: " + HOW,
    )
    add(
        "--golden",
        default="",
        metavar="FOLDER",
        help="replay its pairs NNN.input.bin and NNN.output.bin: 5 when an answer differs",
    )
    add("--exact", action="store_true", help="golden pairs must be the same to the bit")
    add("--profile", action="store_true", help="time for each op, and each kind of op")
    add("--pictures", default="", metavar="FOLDER", help="infer these images instead of noise")
    add(
        "--accuracy",
        default="",
        metavar="FOLDER",
        help="share of right answers on a folder with a folder of images for each class; or mean "
        "average precision on one that tfedge bench has laid out",
    )
    add(
        "--labels",
        default="",
        metavar="FILE",
        help="the classes for --accuracy, one a line, in the model's order; else alphabetic",
    )
    add(
        "--fit",
        choices=FITS,
        help="how an image becomes square; else as the MANIFEST.json beside the model says, or "
        "crop",
    )
    add(
        "--levels",
        type=two_levels,
        metavar="BLACK,WHITE",
        help="what of images of 16 bits becomes black and white; none: the upper 8 bits; else as "
        "that MANIFEST.json says",
    )
    add("--json", default="", metavar="FILE", help="write everything there; - for stdout")
    add(
        "--timeout",
        type=not_negative_seconds,
        default=0.0,
        metavar="S",
        help="end by SIGALRM after so many seconds",
    )
    add("--attached", action="store_true", help="end when stdin ends")
    add("--facts", action="store_true", help="no model: only what the device is and has")
    add("--litert-profile", action="store_true", help=argparse.SUPPRESS)  # see litert_profiler.py
    args = parser.parse_args()
    if bool(args.models) == args.facts:
        parser.error("name a model, or --facts alone")
    return args


def thread_counts(text: str) -> list[int]:
    """1,2,4 as numbers."""
    if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: numbers that start at 1, such as 1,2,4")
    return [int(count) for count in text.split(",")]


def two_levels(text: str) -> str:
    """0,4095 if these can be levels, or none."""
    try:
        return text if text == "none" else "{},{}".format(*checked_levels(text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not re.fullmatch(r"0*[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers that start at 1")
    return int(text)


def not_negative(text: str) -> int:
    """A whole number from 0 on."""
    if not re.fullmatch(r"\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r}: whole numbers, nothing is below 0")
    return int(text)


def not_negative_seconds(text: str) -> float:
    """Seconds from 0 on."""
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: seconds, nothing is below 0")
    return seconds


def end_with_stdin() -> None:
    """For a thread: the process ends when stdin does."""
    sys.stdin.buffer.raw.read()  # type: ignore[union-attr]  # the buffer's lock would hang the end
    os._exit(143)


def check_golden(results: Sequence[dict], exact: bool) -> None:
    """Problem 5 when golden pairs differ: by the rule, or with ``exact`` by a bit."""
    for result in results:
        found = result["golden"]
        if found and (found["failed"] or (exact and found["identical"] < found["pairs"])):
            raise Problem(5, f"{result['model']}: golden pairs differ: {json.dumps(found)}")


def main() -> int:
    """Run by the command line; the exit code."""
    args = parse_arguments()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.unraisablehook = lambda _: None  # of what a delegate that can't be loaded leaves behind
    if args.timeout:  # no handler: the signal kills, while C code runs, too
        signal.setitimer(signal.ITIMER_REAL, args.timeout)
    if args.attached:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    if args.litert_profile:
        xnnpack = args.delegate == "xnnpack"
        return print_profile(args.models[0], args.threads[0], args.runs, xnnpack)
    out: int | str = args.json or os.devnull
    if args.json == "-":
        out = os.dup(1)
        os.dup2(2, 1)  # whatever else prints
    try:
        report: dict = {"schema": SCHEMA, "device": device(), "results": []}
        if args.facts:
            report.update(describe_host())
        elif len(args.models) * len(args.threads) * args.processes == 1:
            report["results"] = [measure(args)]
        else:
            report["results"] = turns(args)
        print(table(report), flush=True)
        with ending(1, (OSError,)), open(out, "w") as file:  # noqa: PTH123 (or a descriptor)
            file.write(json.dumps(report) + "\n")
        check_golden(report["results"], args.exact)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return problem.code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
