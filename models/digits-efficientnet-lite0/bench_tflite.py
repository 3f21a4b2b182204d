#!/usr/bin/env python3
"""Measure .tflite models on the device this runs on. ONE file: copy it there and run it.

    python3 bench_tflite.py model.tflite [more.tflite ...] --threads 1,2,4 --json result.json

--runs N, --warmup N, --processes N (fresh ones of each model, in turns); --seconds S: run so long
instead, and show the drift; --runtime litert|tflite-runtime|pycoral|tensorflow; --delegate
xnnpack|none|edgetpu|PATH[,key=value]; --golden DIR of NNN.input.bin and NNN.output.bin: does it
still compute that (--exact: to the bit); --profile: time per op; --pictures DIR as input;
--accuracy DIR/class/picture, classes in the order of --labels FILE; --json FILE, or - for stdout;
--timeout S; --attached: end when stdin ends; --facts: no model, only what the device is and has.
Needs Python 3.7, numpy, an interpreter, and Pillow for pictures.
Exit codes: 0 measured. 1 a bug. 2 wrong usage. 3 numpy, an interpreter or Pillow is missing. 4 the
runtime can't load or run the model. 5 golden pairs differ. 6 pictures, labels or golden files can't
be used. 7 nor the delegate. 130 Ctrl-C. 143 stdin ended (--attached). -14, in a shell 142: timeout.
"""
from __future__ import annotations

import argparse, base64, contextlib, gc, hashlib, importlib, json, os, platform, re, shutil
import signal, subprocess, sys, tempfile, threading, time, zlib
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
    "attached": False, "profile": False, "pictures": "", "accuracy": "", "labels": ""}
ONCE = ("profile", "accuracy", "golden")  # done by one process of a model and number of threads
PIP = "python3 -m pip install "
ARM = "c07=A7 d03=A53 d04=A35 d05=A55 d07=A57 d08=A72 d09=A73 d0a=A75 d0b=A76 d0d=A77 d41=A78"
CORES = dict(pair.split("=") for pair in ARM.split())  # "CPU part" of ARM's own Cortex-…
EMPTY = bytes.fromhex(  # a model without ops: the wrong numpy shows only when one is loaded
    "1800000054464c3300000e0010000c0000000800000004000e00000034000000080000000300000001000000"
    "100000000c00140010000c00080004000c000000100000000c000000080000000400000000000000")
UNSTABLE, BUCKETS = 0.10, 12  # of the median, as pyperf warns; of --seconds, to see a drift
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
    plain = map(float, (median, mad, values.mean(), values.min(), values.max()))
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
        (f"only {pooled.n} sample{'s' * (pooled.n > 1)}", pooled.n < 10),
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
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "bench_more.py").write_bytes(zlib.decompress(base64.b85decode(MORE)))
            sys.path.insert(0, folder)
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

# tools/bench_more.py as tools/pack_bench.py has packed it, so that this is ONE file:
MORE = "c-oy@eOuc|lK<bIqEGWYheU(|gvn;jdG8_MB<vDkF`3ytuTKcOjkU;<N0I?A$9KP9RdwsdCfVDYXJ#U|x~r<|y{k)c9Ou_rRH|E@j%Q&xP2y4qi<O#Wy1?KnODC#~=W%-1Rf~9BE^~}Wg^JU~vh-Cn9xwA~yuy=A)M}w~l`Vo!=Q0}K>j`F-nTmm7rOGTzinj}lhl~%1WMLBDYnqd4Jt@@Xs+?u1dKdgoWjV$kb?&QlIR{xZIZ8W#sq;my@&7|L#iW|Fq{!4|oFv&JNVu*EQsZon_tQL^t21o!>UyhC*<-2}c{Ys`Lh(4$Ig>GtQtVyLqDfbkGi?bvx;({Lq0%hXzPeqO^s<9hIsvSkn<Tzv$YoGuH#bT@Ewa2U7{W0vCJb4jiIN2{PSiY`=)_{XUB*eN9^-OmNCM9Tby{}vWhy`#y9U0$oS$DF9sh}0l50VwA9TK=&BkdFPc*Lr3Vjzrs_GLMm0>7X07<f9upOZyF4P!1il%_BbTpm`7zMVbK1+6DgiJ8w=@h(5$Hehm@MMc(i{}+V$8nrahgltl(<MnJ3{^ZQA^{`K%BYO9wCHrq*f_)1o=PyV8Yx!`UD#iLFS67=XVqvyV2Uyx*CWeY@D5bfBdhAMoaH*2fUDI2h!rXqQ8@#0OX4Md$_r3|1$O)>g}x5-Z%f*FMZD2W=*6Pb`AJ=a7pxP75%)0&&6id`nOih`t4T-I6=)KvN2v%WiB_5D)=E8Q%Va{@5dm_c@8&uc-l=J{OkjY}cDoL;FX#;<nd|AY(37C^OaE$cdT~BbJ>@$4!G7TQ3V*%}91j35MfE5B2Y@|^%1C8XMIIn8-;UqPLul<I)HExY`D$<X0M=Y$H^BBD&oNZbefscz=lub6B+AFL_Xl1V2+HVAx#L-st8LF$_i+jxT0|2Pf=}WD_m+jPbP_E<E<expJj=o6Y~hnQ@A7Cdqirtpu~sfApaI}@`oHwgud%aq5ll#3Txa>gj}PcyJmBB=@&}E6z=luypN_trUHj_dvVV1SeR1Whlm1!%^U-xbv_k;5=c|2ReNgHraTKLtQ_gI<1|sZ?ou)NGc9xKWN+b9iXu`Eli!A>H0W%1h;5wg{NwQMMS(@r`sV5GJiXB#@_MZ0C@x}Qs;r@vibk2{y_E}~fg?}8Zc*v3^$-Q^dzr6nP>*=5$n(2pYP<wX#WCe2Kv08us>D$@aUupGu|M<Fpa_9(>k5LJu{~DEf{G`4@x#C5#>U})AKK>GZJ-Yt-?d<SGj~kR+UmcwfE-wrvho6(|HcHeH)G)e(&xEgslzLzLN9PvBAikSt@uYWl@%eOceR_O&oJ8|Q@2Y?Ht?~H&koF7J>;3uL(fRf1fAy<@lm5og@zLPg!avRyE86}sBzk^y4aGm?p~2<Z>9ssw^#@;$F8hZAGNUo9ub4#({k`GApTG6{KxXN0zwQ6!^62~|JURV3AabD3Dfx~`@ABwmW8jzl!@+M$GXJYAD*^e6$o4vyM}t9s;H%?r*WuMSw$yh}z+F<m3_FB^B;=V3w)K+KE<&s*R)`+t4Ql0^A#x!yVFCVs2;Xg8bm#K)`1;!wYt-H@L%!FGlDxZEn*z{zR+P}|BWNV~tppK{0&Ap<LnYThc8-vF$o`&8f)sd}E+o*?bb7&A0A_Q@GCn&^RzYWQ@$Krk4<g9Fx`+&b5QbhrZaF0X?}FTnY`f<y%jphmR>f20*qIJde8*~5xE{O)yeI{ltL(7=RO^_B<#Lhe5pC0j$I(xg7!%Me?I8D@BROr0{0Dp&TQHIh_|$@weNuRxPG_7%V1RK0{XEZdxBoN-3t<NEbF3SVbDr5;LJ)#C5?a~2^KTP(g@K5a1zAcFtteEi0*;!UiJn&JjLQJJ5_qOrGSPXLqKT(={s2c^loj%8-c??dbt(iRBD1K<*or{GU}*=m{a>PFDf{s)k-{6K7sLprh!D^iu^3Jb9>k?^DQOoyfTt`_LFEM$HYRcIvhZj|5Em>#*Yg+}hDl!;sBD1#$)gzZtVwdG&a;4g>0*AhFGqkN4MJw3hGtke<ug97MH{0TcC8JJMr|IqSWIiWyc^~)#wrFM*#*Q)79Y#DjPAjixa_K{&mVoYT;%cHtQ4I}qWn%nB4e0ot|@TkcymjcosROFxs+&Jo}O7_Ih{i*eEH*Ifh370mHDb>Rp_gk7Cevfq(poSA)I-%fWBjlDGNm2!`;!)VRz+>yb1sdn-K)rLZ>cNiiPTVv^(Nhjm*kFnB+(fT`?JVUu|35^eE(DIgIX)m;KLOq@6HjY`U1kfl+qNDu{hVaY{K@6MRgRU<Y=~fqsgoA*QCq0(R&UdM_A@$9ElY+9-i$D^#x0X}_h>gB5b6C-Xx#O95<-47#91>0>s(<+r?PO;118M&eLQ7mdrahTc`r4CMuWi-pR+7^D?CHhHHJMZj+(W(Uy(k&j}fW61P^kEds+=l!EAVkfydIhovQ;M3-GqkbRkG3a6(CB!_O(OhO^z;aP<t$buqB!p2Ts*dQv1SHHb004QmOed}^-WIS(+GNzMw!^$Q(Nic}39pJorHOfm;d<)rTS}zd7XBT^Chs~;*~_ePo-JIrg6uOA^~MlNxZVf=Az=|eQJ&2yU{pkT9<2;I$T<Foc3r~*v+3IUJa0&vJYq1Em=Xuq?S`{TXJnlgPb1F-J$8X{32Xb{6K;C&eyBY40TmMbASrXC9%zcc;ZB~bjFwP(0r}#Ww%;>5w^a3*1x%2{Mb}LDZ?(7o!3!Q@{peakNvr6gOYgv8oR-8T+SB~^!Vbg{;n-5tF=&Eq)iEer?CjB*;M2v~N&o6Cht0QU=MwX>oT8D5$NZkWXCZlw1gw}+56V1}#SGYxaQ*+n5G4w(v;B74`EDSx1XK{&!~^(gI_YpSzY$4Zsu*T?QAxdq#&pQ*A7(cJ*cdNd{0aLnNimVvh*6XCW4rhlD1&hox^xX4W{<@<%b6%hoHPI_%0%QF;FP%$A~qv5$-<I@#{}WRVo?9qGw^FJlwd!w!Clf!hTy%ll9J~ph!@MYrWH_;<yio~IN!Ibc8F?Z3(rKv%b`(Sqg`ZpaNUd!Q?`7y75qJmIr!1$JlfsX&Q=4Xu{d^IJ+&)3xX$*5+4ICV!fIhLBG{uwY<(q3@dBg=^XLhA60Fy7A>f47T^F|3vi)ZVj&RTE8ia3E&1uAw6far>2DBNj7;n=cNm*S<eb~rB<q{cynExY87W^VZ_bGqHGq(4N@i$6sY{-q=H%ixPSAv1dN$d#oyCt1vibF|;X9#aN%sf&qLg9yT&}4csMHH=TbY;FQU>||HxtZ&7mQ8MMxIWi4bGAyJ1x4^Ng#$8Xv{G*2Y*gUD1}P6KcP~T+VMr1P!+`4*1#QT6qBzu(I~_`m1RjQ{bMzA!5Oa+t32oi2aBR#FR#xirl=8_5INJ-eMF_>u5+pkz2cXva+R&OAA@4zsL2(*Jp*gg%RE-RWPP&|jQUoiUkqFbbRCp~=%qJp@Pl8A-5SPt)h=fUj+0;HDOwJIH=}oAb%2JAwDd_+oMkjdXwCNNrzQei&Jewmt+_7~gWI<YTHrh~4m&x^-r!dOfOsQ*)6(Y_cS|GcfApBMpUyB7Ez^t@^wZ%_D?X#-&`0#BQDJo$Y+D<{6ndg-p^USXc2y%*y&HOw<@)zGOOI_!l8+%x15ot74?hchBK5Mvbwg@5}5Lj}7zTVOZhCeh3f8~)`a_Y^FdZvxNrCPvlH`trLaN&&$t}vFeB<?gTyf$2e4_m63Q9vrBdJ2PeY8-D^Vc=>J(3uW<fe>+Nc?>-%`4BK&CW+H|ZKGW7+rjMiZpD7>o=2Y54RK+1wKxFd#3Y}WXPS%y8ZFuMTiDqj2N&n!w2XQj8g7_!K{IQKbKZI7Im!$+OL2NRcY$a4Zp0xXCl{7BRG0yZAI0qFmnxWqQtQMYX<?Vtnm{(xlf?moJGM)8Uzb)qJJ|wGogN+LEq?4$03cVt8|=P#O(;V%XGCJ!Yrnw?9!|x(P+>t&>fA%HbFPZ~#8>xv)k~uJ?Icp{X?H3h?J!j#aYQm8OCJ3C4T}jc#N_L7#)<La^Y%8MI4MKPHSM>e_^mMih1p1q0{4XWQ3F!8U^v8h_aDf%T!&*UDH!-i{DOOTgm0o)p0_SS1JB0H$|L-ffXUj%)u`c>IFuxd%2A`HKsX4Oxp0vimfIBvx_OkYnw2OqBls{bu+6gvd!4nQ>QtHWpMjJMNUK|xO4`dv0HUkdO8K0?Nf*YEdrBpdN_BjXM6SCKf}(~y03gxl#|+Y(#K>^WEyWn;uN4DKGs@I}@is#qqXs2TtP(eXYsEKlimo{L3Pk-w=UId7X%dyUOG3wYQZvfU=oV2el4z{EhGP7-w*z#KhwvGdSx)|op-<(~&?Xor(-p$`_Qm)#BtxZno(EFYr>gCQDyrr>Fs*VKPC$!B21*%Y%ex0wvi#?SZd7`FRU$`IJ{NHEC#M3wM4`ioOowJ6MBgG`j7rY3d_{*?egvEYRwq1f#0iWAqzMKf;T>WpU8?K8VHgPa6lcpsI}L2$NsWr_yH4)tbX+4^19>n4J-i?&GlTWuRTN0U!5p`YZWC?ylw@U%r?nr4ZlkriP@KjZTE%Xemm_^e=5ojal~O0^pj<>Dp{uTM3-uuL<D&A?^p6?s8E8ANvQ6G~%^ccky)6>QU8*O&>wKvj&UHG4XQm>A2=Ad<i~p!NMjQ6kJ|9DyW9mQJOLz`j<!%MsoWumjT9UJV9x?%*GE}lIqx6oqt}d27L--p@MSI)`Q8K`ug6HCMW1at)LSsk@-D9oh1>{aCcs!SU2{ttDb_AZ90d}|&CS{0|Tf!6E=`xft<j-XkQ=wl%CEPfG%B+y4VW6I4^evGI{EK}9tuZQSHo5CDn@KwAC-s$2Y1Wez^+GDt34n?{^4l}iScg-=H#e2<WJ0BE0_}BWlXqP+=btK@5oiVU&4$K(;JsmAgXQgKnq$xS-P)q4j7Dc7YCx!Ji;~Kc->XhQeEY-a4n7{c^_D@XuUbF(zimrS^$M&$Xq3eWewC67)1rp@MJ0=d>Ax@_f|lo|jI+xje#rj=Pe<g5hC|V&kf<dr^$x;%19H>WpoiYy`?NsT;S36-+9e2H+t$caR@*`b1giJE%^5<hfZVb2TAN3g-aj%Y?uAIpUacoy8v?Uoct5hNq{1)vXSf7Ah|`DcUVH1ixA%*lfp$xo0a!<?;p)9+62%yVhvrZ@tSE5rN%n+)i2NxOTlU53$$YJy5fd?qG{d91E6~x;9p%a+p7usuzcendu}c<AO*)k=SSB)K)J!tvpjLN+1d@}uR9N9{?WphW(4HR}vUsiNvAr$b2mEgHUZ_>uFfAWaL*|kbWjA#kYEJFh3d3nV=vriiwsFdAtP3Jo&KP=X9HsSsT$rN!qqs#8yHuv9_LjA7HzyXA?{x`I<+!=R&D${JrdH@H`Dv=;?HW}Bu;H?(sAy-+$}0RzH%LzoSFp5c$mbQEhpFA6taV#>UY|~tP=aSrZ<It#-foH^CNHUqTUAk{iv%`Hn9i%}R0dJr+;A^UadRW-;pP>2x9(<p|Fin~k)=cLB(t@dsbc)C4xzv#!tjh1Ec<1+=~V8TGLx!PgrJ1Hq&Eb+C@04MRr<y%MD|;(=vGZ5`<G0^*%>3m$c?-dBu9+}Z)in{j6fLVk%i?hF~~eph0|7!JZq4V^z}UEF_j~L6^g%z7gl1e0t=1vso6Gc1(&Cn{W{;2b8q7{kh{iD@;-YNKKz8I?GZ%&fukh<FlG^_Fqj5r5H(KdR?z_PHs6>XRJCxTCJ=?AOU)Wq5yh11@O!}=$i1h_=h>p?<eHByKdSZDxm>HmfM5@I#78n7QkgYM)F0HYxX-Dhxd`{XHe>DDNO~ivP|-T$Qh!}QZV&;->;){fduh{5G<o(CUF^WE6TyGUvY;zbK3^{E3FqfcQ@fVV!geKw)5Ul^lO8!hH|-1Tq^e$r!*;FE)_f_SZX7rHa2%T}eN7p(oDApjWRmErmPtdhjXb+uB6M=gYGjVU(hUk#({vvkF|BezY08aTh1x8o22}$Y^Ox!aOFCfkksF6^+IUxr=hVf*w-~LGw&-VJ+E}>v2Ci5fLS3JwvMhIVv<{~&YqYJIt*Uk%j;YAdeit+YneAJshkPV(SEh!|4RiG&%rq(X)&Yj0c@>81hadBzS%9~FjeKb{Hsvv#bF-;yevQM2ES`i5zNGr_+R3S9ZByqyB}PHiQY%*b!9Gi3KX}*Zb37CujDMdESuc$P)=z5vXhJg=dHjHQO^W%blY~lk?fRl=xnbq@>5|Ic9Vn!DNlcBLmETOL^wC@6Z}9Qk>Dl$^dHCz;^_L4|dZyJewEc~P#u+f0aPra2I%@m%)er9?dW^r`FzFS?mu%5U2PM<uZYx3e%86}M!Jx+5o)zNp$=MmVqj0TcLq}}O7%2fGqw9mZ>)Nr|t*y$RvTD9sd2ct1m=2Qfw}P~NGYI5a-bSYfboSZ#^~>p5pK6MypPU!<?|d!Gtn#{~B&1faI4ro6Br`R#luK~h+<kqA42RANd6rOJ@v&>Wux%Q0i|lzk(^Ywn@*`C~#^Y9jW{l{_v>DI6U0uf2NgCIJxEF={%Z1(447n`W@$GUWYuey~$>?Z8-SGlRfhDrqp>rSIY`Qf<uW9(Q`u||J0`Hl7B-CB>pe^EO`SWG1OQ*T{d4zoO`<wUGGM!}njxNKTcJfdEz}HXsn7`(ATt3BC6-FG)fTWa?=3`aiO7)|KaEFAh?j*1>X;S1{9Ji}nPhDB(wRpzVwm1eBjPC=2cZ&!2HA$S{IF@HC5(uqFf@eUlmyKk&W3sB8kB`;1$@zw*yUY8g%0)!ktaR6Cy=WNtr*G%S*MGh2n@+NIckP;+g|N$NSMiZLDC9&XUt??)26&!I3y|Xw3+$yTCq-NGHYB;z4F1F-PMyD{TM`2qCcGCn+j2W+K^<xjI^izvi?3((x%bvF-J7AA8B#{aU0Ze!aCSJB$#5u{K9=c}Qtq(&sDlnU`BMKag}3sX@D1(%1mLuJkIQv7d3^a>`fRxI;so4lLX9p4g}B?F)b(R#?6;pjT<}H!Awn9x-?jJjcNB%Vy8F^q`v=J1^c`KRNPF+`<u|z`aGA$A#K39Y(@lMDaD2uLa&hPQ6PlJsc?{2YsP=#MG51c~L}8kOX~}QPm<y<N>;@U{siO4WbBTa`pS$vZ=BIbIcMT4-{%|DdKgHyepylkuS@WB<r-wMtQtp`UiQPNL%-(+e#$otOjhKGVX}+y3Lhb|FaJZEC3Blk~%;mcVMxTxr)56H44z`}f^3^z|>Lg-xv5i5*RXBE){q40KhcnQndG#gACrGjN(RhrELaJAeZ^479Y+m=G5MLe}(~cL*b~%Q>-5_3b(n5yQ_B4X}XfnB2M87Q?v{uO4TWL?K!Tanl8h)+%TB^;AV>2wQTVuEBv#C%EzuHS`3^qxxF*GNB*3}0fWSQm_GY$!(=Ic7X9&dfsRYyVV3oGaV$bbj-jZ+cKZnY*%EZ&qn>&mQ^34h{6y@<{!r4N*ETyV+JS+8F5$6=e^+S`=il*l_@&MV@c3Cl}i>d`#37Ks@8T8+|B&V>Yi@2mC19M;Wm<YL)tW`uTwaa{v!PHk_FdxKt!MX|Rr&s;YcN$_6RHY#84d|aKHJL1NsqjD1<m%<vjUvt>Mlajm`*;SO@>xp3DlhHavu_F++KGX3H`MzM?Bu45@&CRtGSvL5QiMrD8a=GTjqM_AB17F{(Y>winad=T0-B}6+EV;iH=nWv|X4eoYAlHnScjwD)tm!t9INo=dcAV%aZ_V@#KJPnp6jaO@#&m}u1EOIqD?`+;)o@1&7E;n!Q$%DRG`H7NyWQ_lIG_`3!<$&o^NJxlSIczW$8Csd+iYVa0+iX}hiK$5(6AXQ=&eH$Ptf}Mt!O}7a{~;rRm5L%S9Mi9<_UpmdFF5TUP1UHY_xtOVRRW!U`E%jOMX(WM3(l~gq-g*D>0sQCu6)oCSHFFW041)wI;ivtA~3dDDLn*|NnQRiZEmRQOQM8J=`66UR6n>xd$Vuy|M3R>PL<8cG2i1+8vQLnX|ln=qnvY7=_QL>CWrjMwU$5U(%SsdMdyvcKqO5NaK++Dl+$Y?NEA184tDalNH#^@`&5Itbw~f@9nEU#il^$sYy;JQ|>#F53%hnb;Kp-pxJiJRPwE`Fy!BQjEIJ4L&NUDMvv8qCcXBOiQg7Ne|V&KY=uuvV(IdikE&S@3Tn9KYFwFR(wIY2|I@Y(#!>}=s#D7pwOLEU2UGM4wWbq@+CbRbxzdZdvj+u<p5mg1bJRBX=b7Sdu}m5XfT>OP%vB&$4QU*xuIyk(RYRkIikhwgT3r-@3SY{Kw(X2sqlj5N9FKKjeo5KFH#i$E@29GIN$pV5T*Spx?gK5eR|=lpR%<AZ!bwK$H>rx`qtV*T_(f0syt~^_SGI-q?{(MuCHQL;u@b3TyAJXrkF|Yj3aO@IDoc5PLw+%8oOp@h_JY+lj3Or@ppE=o!~h(diP-k-m#nXDpM;-v7oy>6xBg@iPGeMk)JON)>VKHV(OMyVtFU{hD~EplC1ce}#%5<34P`I|Z&TXjQaBE7_EL%jW)ISQDr<k<%*u4D%STODP&hzxJ)G}33m8K=o^gYgIE$P=7BQVDJc(=4Q?73>s2GyMf-<gvaG^ZcT1wj!9O}z<k-8|Q?SnYN9&vBvwH2bR2Q1bN*YHLS$!m!w+tvWM-R=grYZHsw9sjX!BZ<+4&_t2YYxfSYYiwK)$>&iieg47EoVS-!8|B>%<E~us@SuFj%Y~2nu*n~08zAoe`t5i`DH9emV~EWz2wT&Aqj1Cf5#7bN!OP!RP=8rX(q--5d#@h(vneiO^S2Ze6+K3)u8}?qOu}-|EJF#wjlFQ_qM(+Nn|5kk61_OT5(1;L%c~*gKd5)@G|KXUAZ{>+6of_NHNS~!YX{G5=O<MU1-+_y!qTVam&Rslmmx!MOc$*&dHGO5ES{w>(~<2(t}2Xd;&k&>nf2Bcf2gKDn(xxK2-Q`80Oo}DD?ndu4VJfM9*xT_HTd=szrRLL_6z$h_4Vj4;pN4}S-5{vUHo$MCn*hG{FqBf*TD=rB|2VXNCui)A<F9s%B)y|Q#suQ*0(T>gs)(x&NHog=}8^-kU!Ptzs0~_6sD7qi}rkZ>#nsJKF;{7>4MuL-CbWD?Ee0J!;Gl2wPUVmL;VEJ-aB|_+c&5g^wnE^>HX$QJASP09<3y*<^ynz{&JL?n`WoL&5e}QIUR`#(<Ppo`{ud<-2Sy9!8Jd@{PH_p_S!r4)g;n$`dbsIolBVLe&@pjh|S!q%8d-^c6}4iu262`t1n1kRD11DV%I;DSi94pb^vo>O_$wtTr}UVQdx4n@@qacl{K_?S>s?X%z!VCC(HSwFp1$C<y24%gk8uA#$>;xVT!|$Bo~HGw*t?iWqEGXPcZUfxYwoDlK%y11|y6"
if __name__ == "__main__":
    sys.exit(main())
