"""Put thousands of damaged models through ``inspect`` and ``verify``, and count how each ends.

    python tools/verify_mutants.py [--count 2000] [--seed 0] [MODEL ...]

Each mutant lies in a drop whose manifest says what the mutant says of itself, all digests right: so
it is run unless the reader refuses it. Deterministic: the same seed, the same mutants. MODEL: files
with one input and one output; without any, those of tests/ and models/.

Ends with 1 when tfedge itself fell: any exception. A crash of its process would end this program,
too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tflite_mutants import Mutant, mutants

from tfedge.drops import manifest
from tfedge.drops.verify import verify
from tfedge.edgetpu.inspect import describe
from tfedge.errors import ArtifactError
from tfedge.report.inspect import text
from tfedge.tasks.contract import stored
from tfedge.tasks.drop import Check
from tfedge.tflite import reader
from tfedge.tflite.values import storage_bits

ROOT = Path(__file__).resolve().parent.parent
MODELS = (*sorted((ROOT / "tests/unit/data").glob("*.tflite")), *ROOT.glob("models/*/*v2.tflite"))

REFUSED = "refused by the reader"
NO_DROP = "no drop: other findings before anything is run"
CRASHED = "the interpreter's process died, a finding"
NOT_RUN = "the interpreter refused, a finding"
SLOW = "no answer in time, a finding"
RAN = "sound and runs"
OUTCOMES = (REFUSED, NO_DROP, NOT_RUN, CRASHED, SLOW, RAN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL", default=MODELS)
    parser.add_argument("--count", type=int, default=2000, help="mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    args = parser.parse_args()
    models = {path.stem: path.read_bytes() for path in args.models}
    began = time.monotonic()
    counts, fell = campaign(mutants(models, args.count, args.seed))
    for outcome in OUTCOMES:
        print(f"{counts[outcome]:6}  {outcome}")
    print(f"{len(fell):6}  tfedge fell")
    print(f"{args.count} mutants of {len(models)} models in {time.monotonic() - began:.0f} s")
    return 1 if fell else 0


def campaign(found: Iterable[Mutant]) -> tuple[Counter[str], list[str]]:
    """How many mutants ended how, and those on which tfedge fell."""
    counts: Counter[str] = Counter()
    fell = []
    with tempfile.TemporaryDirectory(prefix="tfedge-mutants-") as name:
        for mutant in found:
            try:
                outcome = outcome_of(mutant.data, Path(name))
            except Exception:  # noqa: BLE001 (whatever it is: that is what is looked for)
                fell.append(mutant.name)
                print(f"{mutant.name}\n{traceback.format_exc()}", file=sys.stderr)
                continue
            counts[outcome] += 1
            if outcome == CRASHED:
                print(f"the reader calls sound, and it dies: {mutant.name}")
    return counts, fell


def outcome_of(data: bytes, folder: Path) -> str:
    """One of ``OUTCOMES``. ``inspect`` and ``verify`` must be of one opinion about the file."""
    try:
        text(describe(data, "mutant.tflite").to_json())
        refused = False
    except ArtifactError:
        refused = True
    make_drop(data, folder, sound=not refused)
    checks = verify(folder)
    told = "\n".join(problem for check in checks for problem in check.problems)
    assert refused == ("broken .tflite" in told), told
    return _outcome(refused, checks, told)


def _outcome(refused: bool, checks: list[Check], told: str) -> str:
    if refused:
        return REFUSED
    if checks[-1].what != "golden pairs" or "are not replayed" in told:
        return NO_DROP
    for outcome, words in (
        (CRASHED, "crashed on it"),
        (SLOW, "no answer in"),
        (NOT_RUN, "can't run it"),
        (NOT_RUN, "can't load it"),
    ):
        if words in told:
            return outcome
    return RAN


def make_drop(data: bytes, folder: Path, sound: bool) -> None:
    """A drop around a model, that says what the model says, with a pair of zeros."""
    given: dict[str, Any] = {"dtype": "uint8", "shape": [1]}
    taken: dict[str, Any] = {"dtype": "uint8", "shape": [1, 1]}
    sizes = [1, 1]
    if sound:
        model = reader.read(data)
        ports = [*model.inputs[:1], *model.outputs[:1]]
        if len(ports) == 2:
            given, taken = map(stored, ports)
            sizes = [min(port.size, 2**24) * (storage_bits(port.dtype) or 8) // 8 for port in ports]
    labels = "".join(f"{i}\n" for i in range(min(taken["shape"][-1:] or [1], [2000])[0]))
    files = {"m.tflite": data, "labels.txt": labels.encode()}
    files |= {"in.bin": bytes(sizes[0]), "out.bin": bytes(sizes[1])}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    facts = {
        "schema": manifest.SCHEMA,
        "model": "m.tflite",
        "input": given,
        "output": taken,
        "classes": labels.splitlines(),
        "golden": [{"input": "in.bin", "output": "out.bin"}],
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
    }
    (folder / manifest.NAME).write_text(json.dumps(facts))


if __name__ == "__main__":
    sys.exit(main())
