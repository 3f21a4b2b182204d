#!/usr/bin/env python3
# fmt: off
"""Measure .tflite models on the device this runs on. ONE file: copy it there and run it.

    python3 bench_tflite.py model.tflite [more.tflite ...] --threads 1,2,4 --json result.json

--runs N, --warmup N, --processes N (fresh ones of each model, in turns); --seconds S: run so long
instead, and show the drift; --runtime litert|tflite-runtime|pycoral|tensorflow; --delegate
xnnpack|none|edgetpu|PATH[,key=value]; --golden DIR of NNN.input.bin and NNN.output.bin: does it
still compute that (--exact: to the bit); --json FILE, or - for stdout; --timeout S; --attached:
end when stdin ends; --facts: no model, only what the device is and has. With bench_more.py beside
this file, or named by --more: --profile, time per op; --pictures DIR as input; --accuracy DIR/class
/picture, the classes in the order of --labels FILE. Needs Python 3.7, numpy and an interpreter.
Exit codes: 0 measured. 1 unexpected, a bug. 2 wrong usage. 3 numpy, an interpreter or Pillow is
missing. 4 the runtime can't load or run the model (in its own words). 5 golden pairs differ.
6 pictures, labels or golden files can't be used. 7 the delegate can't be loaded. 130 Ctrl-C. 143
stdin ended (--attached). Killed by SIGALRM (-14, in a shell 142): --timeout is over.
"""
from __future__ import annotations

import argparse, contextlib, gc, hashlib, importlib, json, os, platform, re, shutil, signal
import subprocess, sys, threading, time
from collections import namedtuple
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Iterator, Sequence

try:
    import numpy as np
except ImportError:  # as every interpreter will say, too
    np = None  # type: ignore[assignment]

SCHEMA = "tfedge.bench/1"
RUNTIMES = {  # --runtime: the name in results, the package to look for, the Interpreter's module
    "litert": ("LiteRT", "ai_edge_litert", "ai_edge_litert.interpreter"),
    "tflite-runtime": ("tflite-runtime", "tflite_runtime", "tflite_runtime.interpreter"),
    "pycoral": ("pycoral", "pycoral", "tflite_runtime.interpreter"),
    "tensorflow": ("TensorFlow", "tensorflow", "tensorflow.lite.python.interpreter"),
}
DEFAULTS = {
    "threads": "1", "runs": 50, "warmup": 10, "processes": 1, "seconds": 0.0, "runtime": "auto",
    "delegate": "xnnpack", "golden": "", "exact": False, "json": "", "timeout": 0.0, "facts": False,
    "attached": False, "profile": False, "pictures": "", "accuracy": "", "labels": "", "more": ""}
ONCE = ("profile", "accuracy", "golden")  # done by one process of a model and number of threads
PIP = "python3 -m pip install "
ARM = "c07=A7 d03=A53 d04=A35 d05=A55 d07=A57 d08=A72 d09=A73 d0a=A75 d0b=A76 d0d=A77 d41=A78"
CORES = dict(pair.split("=") for pair in ARM.split())  # "CPU part" of ARM's own Cortex-…
EMPTY = bytes.fromhex(  # a model without ops: the wrong numpy shows only when one is loaded
    "1800000054464c3300000e0010000c0000000800000004000e00000034000000080000000300000001000000"
    "100000000c00140010000c00080004000c000000100000000c000000080000000400000000000000")
UNSTABLE = 0.10  # of the median; pyperf warns at the same share
BUCKETS = 12  # of --seconds: enough to see a drift, long enough for a median each
ROOT = Path("/")  # of proc and sys; tests put their own there
Summary = namedtuple("Summary", "n median mad mean low high p90 p99")

class Problem(Exception):
    """Ends the program: ``Problem(exit code, what a person must know, the way out)``."""
@contextlib.contextmanager
def ending(code: int, kinds: tuple, what: str = "", hint: str = "") -> Iterator[None]:
    """Turns errors of these kinds into the end of the program."""
    try:
        yield
    except kinds as error:
        told = isinstance(error, SystemError) and error.__cause__ or error
        raise Problem(code, f"{what}{told}", hint) from error

def clean(text: str) -> str:
    """Without what could control a terminal: file names are anyone's."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)

def summarise(samples: Sequence[int]) -> Summary:
    """Nanoseconds. MAD is not scaled to sigma; p90 and p99 are None where less than five and ten
    samples lie beyond them. ValueError when there are no samples."""
    if not samples:
        raise ValueError("no samples")
    values = np.asarray(samples, np.float64)
    n, median = len(values), np.median(values)
    mad = np.median(np.abs(values - median))
    plain = [float(x) for x in (median, mad, values.mean(), values.min(), values.max())]
    p90 = float(np.percentile(values, 90)) if n >= 50 else None
    return Summary(*[n, *plain, p90, float(np.percentile(values, 99)) if n >= 1000 else None])

def unstable(processes: Sequence[Sequence[int]]) -> list[str]:
    """Why samples should not be trusted; empty when they are steady. After pyperf: do they scatter
    within processes (1.4826 MAD, which one slow sample does not move), do processes differ?"""
    each = [summarise(samples) for samples in processes if samples]
    if not each:
        return ["no samples"]
    pooled = summarise([sample for samples in processes for sample in samples])
    within = max(1.4826 * one.mad / one.median for one in each)
    medians = [one.median for one in each]
    between = (max(medians) - min(medians)) / pooled.median
    return [reason for reason, true in (
        (f"only {pooled.n} samples", pooled.n < 10),
        (f"samples scatter by {within:.0%} of the median within a process", within > UNSTABLE),
        (f"medians of {len(each)} processes differ by {between:.0%}", between > UNSTABLE)) if true]

def disturbed(processes: Sequence[dict], drift: dict | None) -> list[str]:
    """What the device did meanwhile, told by its states before and after each process."""
    found = []
    for two in [(p["before"] or {}, p["after"] or {}) for p in processes]:
        for key, share in (("temperature_c", 0.2), ("frequency_hz", 0.05)):
            low, high = sorted(s.get(key) or 0 for s in two)
            if 0 < low < high / (1 + share):
                found.append(f"{key} moved between {low:,.0f} and {high:,.0f}")
        if any(s.get("throttled") for s in two):
            found.append("the CPU was throttled (heat or power)")
    if drift and abs(drift["ratio"] - 1) > UNSTABLE:
        found.append(f"the last samples took {drift['ratio']:.2f} times as long as the first")
    return list(dict.fromkeys(found))

def joined(results: Sequence[dict]) -> dict:
    """Turns of one model with the same settings as one result, with all that follows from it."""
    processes = [process for result in results for process in result["processes"]]
    samples = [process["samples_ns"] for process in processes]
    summary = summarise([sample for process in samples for sample in process])
    drift = max((r["drift"] for r in results if r["drift"]), key=lambda d: d["ratio"], default=None)
    peaks = sorted(p["peak_bytes"] for p in processes if p["peak_bytes"] is not None)
    return {
        **results[0], "processes": processes, "summary": summary._asdict(), "drift": drift,
        "unstable": unstable(samples) + disturbed(processes, drift),
        "per_second": 1e9 / summary.mean, "peak_bytes": peaks[len(peaks) // 2] if peaks else None,
        **{key: next((r[key] for r in results if r[key]), None) for key in ONCE},
    }

def read(name: str | Path, pattern: str = r"(.*\S)", unit: float = 0) -> Any:
    """What the pattern finds in a file of proc or sys, as a number if in units; None: not known."""
    try:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace").replace("\0", "")
    except OSError:
        return None
    found = re.search(pattern, text, re.M)
    value = found.group(1) if found else None
    return type(unit)(round(float(value) * unit, 3)) if value and unit else value

def state() -> dict:
    """How the device feels now; None: not known here."""
    zones = ROOT.glob("sys/class/thermal/thermal_zone*")
    heat = [(read(z / "type") or "", read(z / "temp", r"^(\d{4,6})$", 1e-3)) for z in zones]
    hot = [t for kind, t in heat if t and re.search("cpu|soc|pkg|core|bcm", kind, re.I)]
    clocks = ROOT.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")  # kHz
    fans = ROOT.glob("sys/class/thermal/cooling_device*")
    cpus = [fan for fan in fans if re.search("cpu|proc", read(fan / "type") or "", re.I)]
    throttled = any(read(fan / "cur_state", r"(\d+)", 1) for fan in cpus) if cpus else None
    if shutil.which("vcgencmd"):  # Raspberry Pi; the bits above the lowest four: since the boot
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
            said = subprocess.check_output(["vcgencmd", "get_throttled"], timeout=5)
            throttled = bool(int(said.split(b"=")[1], 16) & 15)
    return {
        "temperature_c": max(hot or [t for _, t in heat if t], default=None),
        "frequency_hz": max((read(c, r"(\d+)", 1000) or 0 for c in clocks), default=0) or None,
        "throttled": throttled, "load": read("proc/loadavg", r"([\d.]+)", 1.0),  # of a minute
    }

def device() -> dict:
    """What the device is; None: not known here."""
    info = read("proc/cpuinfo", r"(?s)(.*)") or ""
    said = dict(re.findall(r"^(model name|Hardware|Model)\s*: (.*\S)", info, re.M))
    parts = dict.fromkeys(re.findall(r"^CPU part\s*: 0x(\w+)", info, re.M))
    arm = " + ".join(f"Cortex-{CORES[part]}" for part in parts if part in CORES)
    cpu = arm or said.get("model name") or said.get("Hardware") or said.get("Model")
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return {
        "board": read("proc/device-tree/model") or read("sys/class/dmi/id/product_name"),
        "cpu": cpu or platform.processor() or None, "machine": platform.machine() or None,
        "cores": len(usable(0)), "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(), "numpy": np and np.__version__,
        "governor": read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": read("proc/meminfo", r"^MemTotal:\s*(\d+)", 1024),
    }

def open_runtime(wanted: str) -> tuple:
    """Name, version and module of an interpreter; ``auto``: the first that is installed."""
    rows = [row for key, row in RUNTIMES.items() if wanted in (key, "auto") and find_spec(row[1])]
    if not rows:
        hint = f"{PIP}ai-edge-litert (from Python 3.10 on) or {PIP}tflite-runtime 'numpy<2'"
        raise Problem(3, f"no TFLite interpreter ({wanted}) for {sys.executable}", hint)
    name, package, place = rows[0]
    told = f"{name} does not work with numpy {np and np.__version__}: "
    with ending(3, (ImportError, AttributeError, SystemError), told, f"{PIP}'numpy<2'"):
        version = getattr(importlib.import_module(package), "__version__", None)
        module = importlib.import_module(place)
        module.Interpreter(model_content=EMPTY)
    return name, version, module

def delegate_words(module: Any, name: str) -> dict:
    """What an interpreter takes for ``xnnpack`` (its default), ``none``, ``edgetpu`` or a PATH."""
    path, *words = name.split(",")
    hint = "is the library installed, the device plugged in, and may this user open it?"
    with ending(7, (OSError, ValueError, AttributeError), f"delegate {path}: ", hint):
        if path in ("xnnpack", "none"):
            kind = path == "none" and module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            return {"experimental_op_resolver_type": kind} if kind else {}
        tpu = {"Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}.get(platform.system())
        file = tpu or "libedgetpu.so.1" if path == "edgetpu" else path
        made = module.load_delegate(file, dict(word.partition("=")[::2] for word in words))
        return {"experimental_delegates": [made]}

class Model:
    """A model on an interpreter, run once on noise."""

    def __init__(self, path: str, module: Any, words: dict) -> None:
        start = time.perf_counter_ns()
        self.interpreter = module.Interpreter(model_path=path, **words)
        self.interpreter.allocate_tensors()
        self.load_ns = time.perf_counter_ns() - start
        self.inputs = self.interpreter.get_input_details()
        self.outputs = self.interpreter.get_output_details()
        random = np.random.RandomState(1)
        for port in self.inputs:  # pixels of every value; [0, 1) in floats
            kind, noise = port["dtype"], random.randint(0, 256, port["shape"], np.uint8)
            if np.dtype(kind).kind == "f":
                noise = noise.astype(kind) / kind(256)
            elif kind not in (np.uint8, np.int8):  # indices, masks: 0 and 1 are always good
                noise = (noise & 1).astype(kind)
            self.interpreter.set_tensor(port["index"], noise.view(kind))
        self.first_ns = self.run(1)[0][0]

    def run(self, count: int, seconds: float = 0, pictures: Sequence = ()) -> tuple:
        """Nanoseconds of so many inferences, each with the next of the pictures; or for so many
        seconds, and then how the medians drifted meanwhile."""
        found: list[int] = []
        buckets: list[dict] = []
        invoke, clock, done = self.interpreter.invoke, time.perf_counter_ns, 0
        begin = clock()
        while not buckets or clock() - begin < seconds * 1e9 if seconds else len(found) < count:
            if pictures:
                given = pictures[len(found) % len(pictures)]
                self.interpreter.set_tensor(self.inputs[0]["index"], given)
            start = clock()
            invoke()
            end = clock()
            found.append(end - start)
            if seconds and end - begin >= seconds * 1e9 * (len(buckets) + 1) / BUCKETS:
                part, done, now = summarise(found[done:]), len(found), state()
                bucket = {"at_s": (end - begin) / 1e9, "n": part.n, "median_ns": part.median}
                buckets.append({**bucket, **{k: now[k] for k in ("temperature_c", "frequency_hz")}})
        ratio = buckets[-1]["median_ns"] / buckets[0]["median_ns"] if buckets else 1
        return found, {"seconds": seconds, "ratio": ratio, "buckets": buckets} if buckets else None

    def answer(self, given: Any) -> Any:
        """The only output, flat, for the only input."""
        if len(self.inputs) != 1 or len(self.outputs) != 1:
            raise ValueError("answers are checked only of a model with one input and one output")
        self.interpreter.set_tensor(self.inputs[0]["index"], given)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.outputs[0]["index"]).ravel()

    def golden(self, folder: str) -> dict:
        """How the answers differ from those in a folder; equal highest scores are all top-1."""
        same, agree, far = [], [], []
        for path in sorted(Path(folder).glob("*.input.bin")):
            given = np.fromfile(str(path), self.inputs[0]["dtype"])
            got = self.answer(given.reshape(self.inputs[0]["shape"]))
            want = np.fromfile(str(path)[:-9] + "output.bin", got.dtype)
            if got.shape != want.shape:
                raise ValueError(f"{path}: {want.size} values to compare {got.size} with")
            same.append(got.tobytes() == want.tobytes())
            agree.append(want[got.argmax()] == want.max() or got[want.argmax()] == got.max())
            far.append(float(np.abs(got.astype(float) - want.astype(float)).max()))
        if not same:
            raise ValueError(f"{folder}: no golden pairs (NNN.input.bin, NNN.output.bin)")
        told = {"pairs": len(same), "identical": sum(same), "top1_agree": int(sum(agree))}
        return {**told, "max_difference": max(far) if np.isfinite(far).all() else None}

def measure(args: argparse.Namespace) -> dict:
    """A model, timed in this process: one entry of ``results``."""
    path, (name, version, module) = args.models[0], open_runtime(args.runtime)
    words = {"num_threads": args.threads[0], **delegate_words(module, args.delegate)}
    more: Any = None
    if args.pictures or args.accuracy or args.profile:
        sys.path.insert(0, os.path.dirname(os.path.realpath(args.more or __file__)))
        with ending(3, (ImportError,), "--pictures, --accuracy, --profile: ", "copy it here, too"):
            more = importlib.import_module("bench_more")
    with ending(4, (OSError,)):
        digest, size = hashlib.sha256(Path(path).read_bytes()).hexdigest(), os.path.getsize(path)
    entry = {
        "model": Path(path).stem, "sha256": digest, "bytes": size, "runtime": name,
        "runtime_version": version, "delegate": args.delegate, "threads": args.threads[0],
        "input": "pictures" if args.pictures else "random", **dict.fromkeys(ONCE),
    }
    gc.disable()
    peak = False
    with contextlib.suppress(OSError):  # the peak from here on, without the imports
        peak = bool((ROOT / "proc/self/clear_refs").write_text("5"))
    told: dict = {"base_bytes": read("proc/self/status", r"^VmRSS:\s*(\d+)", 1024)}
    with ending(4, (ValueError, RuntimeError), f"{path}: {name} {version}: "):
        model = Model(path, module, words)
    told.update(load_ns=model.load_ns, first_ns=model.first_ns, warmup_ns=model.run(args.warmup)[0])
    told["peak_bytes"] = read("proc/self/status", r"^VmHWM:\s*(\d+)", 1024) if peak else None
    with ending(3, (ImportError,), "", PIP + "pillow"), ending(6, (OSError, ValueError)):
        pictures = more.pictures(model, args.pictures) if args.pictures else []
        told["before"] = state()
        told["samples_ns"], entry["drift"] = model.run(args.runs, args.seconds, pictures)
        told["after"] = state()
        entry["golden"] = args.golden and model.golden(args.golden)
        entry["accuracy"] = args.accuracy and more.accuracy(model, args.accuracy, args.labels)
    entry["profile"] = args.profile and more.profile(path, module, words, args.runs)
    return joined([{**entry, "processes": [told]}])

def command(python: Sequence[str], script: str, model: str, **options: Any) -> list[str]:
    """The arguments that run the script for one model. Options of None or False stay away."""
    given = [(key, value) for key, value in options.items() if value is not None]
    words = [f"--{k}" if v is True else f"--{k}={v}" for k, v in given if v is not False]
    return [*python, script, "--json=-", "--attached", *words, "--", model]

def turns(args: argparse.Namespace) -> list[dict]:
    """Every model with every number of threads in fresh processes, which take turns."""
    found: dict = {(model, n): [] for n in args.threads for model in args.models}
    stdin, _ = os.pipe()  # --attached: closed by the end of this process, however it ends
    for process in range(args.processes):
        own = ("models", "threads", "processes", "json", "facts", "attached") + ONCE * bool(process)
        given = {key: value for key, value in vars(args).items() if key not in own}
        for model, n in found:
            words = command([sys.executable], __file__, model, threads=n, **given)
            done = subprocess.run(words, stdin=stdin, stdout=subprocess.PIPE)
            if done.returncode not in (0, 5):
                raise Problem(max(done.returncode, 0) or 4, f"{model}: exit {done.returncode}")
            found[model, n] += json.loads(done.stdout)["results"]
    return [joined(results) for results in found.values()]

def facts() -> dict:
    """What --facts tells beside the device: interpreters that are installed, Pillow, space here."""
    found: list[dict] = []
    for key in [key for key, row in RUNTIMES.items() if find_spec(row[1])]:
        found.append({"name": RUNTIMES[key][0], "version": None, "error": None})
        try:
            found[-1]["version"] = open_runtime(key)[1]
        except Problem as problem:
            found[-1]["error"] = problem.args[1]
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(__file__))).free
    return {"runtimes": found, "pillow": bool(find_spec("PIL")), "free_bytes": free}

def table(report: dict) -> str:
    """For people: what the device is, a line for each result, then what must be said about it."""
    told = {key: value for key, value in report.items() if key not in ("device", "results")}
    lines = [", ".join(f"{key} {value}" for key, value in {**told, **report["device"]}.items())]
    for r in report["results"]:
        s, p, peak = r["summary"], r["processes"][0], (r["peak_bytes"] or 0) / 1e6
        who = "{model}, {runtime} {runtime_version}, {delegate}, {threads} threads".format(**r)
        tail = "".join(f", {key} {s[key] / 1e6:.3f}" for key in ("p90", "p99") if s[key])
        took = f"{s['median'] / 1e6:9.3f} ± {s['mad'] / 1e6:.3f} ms{tail}, {r['per_second']:.1f}/s"
        load = f"load {p['load_ns'] / 1e6:.1f} ms, first {p['first_ns'] / 1e6:.1f} ms"
        lines.append(f"{who:50} {took}, {load}, peak {peak:.1f} MB")
        lines += [f"  unstable: {reason}" for reason in r["unstable"]]
        lines += [f"  {key}: {json.dumps(r[key])[:999]}" for key in (*ONCE, "drift") if r[key]]
    return clean("\n".join(lines))

def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    for name, default in DEFAULTS.items():
        kind: dict = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument(f"--{name}", default=default, help=argparse.SUPPRESS, **kind)
    args = parser.parse_args()
    if bool(args.models) == args.facts or args.runtime not in ("auto", *RUNTIMES):
        parser.error(f"name a model, or --facts alone; runtimes: auto, {', '.join(RUNTIMES)}")
    bad = min(args.runs, args.processes) < 1 or min(args.warmup, args.seconds, args.timeout) < 0
    if bad or not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", args.threads):
        parser.error("--threads (1,2,4), --runs, --processes start at 1, nothing is below 0")
    args.threads = [int(n) for n in args.threads.split(",")]
    return args

def main() -> int:
    args = options()
    out: int | str = args.json or os.devnull
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.unraisablehook = lambda _: None  # of what a delegate that can't be loaded leaves behind
    if args.timeout:  # no handler: the signal kills, while C code runs, too
        signal.setitimer(signal.ITIMER_REAL, args.timeout)
    if args.attached:  # raw: the lock of stdin would be in the way at the end
        gone = lambda: (sys.stdin.buffer.raw.read(), os._exit(143))  # type: ignore[union-attr]
        threading.Thread(target=gone, daemon=True).start()
    if args.json == "-":
        out = os.dup(1)
        os.dup2(2, 1)  # whatever else prints
    report: dict = {"schema": SCHEMA, "device": device(), "results": []}
    try:
        if args.facts:
            report.update(facts())
        else:
            single = len(args.models) * len(args.threads) * args.processes == 1
            report["results"] = [measure(args)] if single else turns(args)
        print(table(report), flush=True)
        with ending(1, (OSError,)), open(out, "w") as file:
            file.write(json.dumps(report) + "\n")
        for model, found in [(r["model"], r["golden"]) for r in report["results"] if r["golden"]]:
            if found["identical" if args.exact else "top1_agree"] < found["pairs"]:
                raise Problem(5, f"{model}: golden pairs differ: {json.dumps(found)}")
    except Problem as problem:
        code, message, hint = (*problem.args, "")[:3]
        lines = [f"error: {' '.join(message.split())}", *([f"hint: {hint}"] if hint else [])]
        print(clean("\n".join(lines)), file=sys.stderr)
        return code
    except KeyboardInterrupt:
        return 130
    return 0

if __name__ == "__main__":
    sys.exit(main())
