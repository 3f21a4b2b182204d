"""Pictures of a benchmark: every sample, and where the time of an inference goes."""

from __future__ import annotations

from collections.abc import Iterator

from tfedge.benchmark.result import Result
from tfedge.report.facts import Facts
from tfedge.report.kinds import kinds
from tfedge.report.markup import milliseconds, threads_text
from tfedge.report.versus import runtime_text
from tfedge.tasks.blocks import Bars, Block, Figure, Strips


def samples(facts: Facts) -> list[Block]:
    """A figure for each device, a strip for each model, runtime and number of threads."""
    return [
        Figure(f"Every timed inference on {device}", Strips("ms", [*_strips(facts, device)]))
        for device in facts.devices
        if any(_strips(facts, device))
    ]


def _strips(facts: Facts, device: str) -> Iterator[tuple[str, list[float], str]]:
    for result in facts.benchmark:
        if result.device == device and result.samples:
            name = f"{result.model}, {runtime_text(result)}, {threads_text(result.threads)}"
            steady = "" if not result.unstable else ", unstable"
            values = [sample / 1e6 for sample in result.samples]
            yield name, values, f"{milliseconds(result)}, {len(values)} samples{steady}"


def profiles(facts: Facts) -> list[Block]:
    """The share of each kind of op, where it was measured."""
    return [block for result in facts.benchmark for block in _profile(result)]


def _profile(result: Result) -> Iterator[Block]:
    if not result.profile:
        return
    where = f"{result.model}, {result.device}, {threads_text(result.threads)}"
    shown = [
        (kind.named, max(0.0, kind.ns / 1e6), f"{kind.ns / 1e6:.3f} ms, {kind.share:.0%}")
        for kind in kinds(result.profile)
    ]
    yield Figure(f"Where the time goes: {where} ({result.profile['method']})", Bars(shown))
