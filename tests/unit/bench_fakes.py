"""Devices that answer as the device script would, without running anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tfedge.devices.device import Done
from tfedge.devices.fake import FakeDevice
from tfedge.devices.schema import BenchDevice
from tfedge.errors import DeviceError

HOST = {
    "board": None,
    "cpu": "a cpu",
    "machine": "aarch64",
    "cores": 4,
    "system": "Linux 6",
    "python": "3.11.2",
    "numpy": "1.26.4",
    "governor": None,
    "memory_bytes": 4_000_000_000,
}
Meddle = Callable[[dict[str, str]], Done | DeviceError | None]


@dataclass
class Board:
    """A device whose script takes so many nanoseconds for an inference.

    ``turns`` holds the options of each call. ``meddle`` may answer in the script's place.
    """

    name: str
    nanoseconds: int = 1000
    runtime: str = "LiteRT"
    version: str = "2.3.0"
    host: dict[str, Any] = field(default_factory=lambda: dict(HOST))
    golden: dict[str, Any] | None = None
    python_runs: bool = True
    meddle: Meddle = lambda options: None
    away: DeviceError | None = None
    turns: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = FakeDevice(self.answer, name=self.name, away=self.away)

    def answer(self, argv: tuple[str, ...]) -> Done | DeviceError | tuple[int, str, str]:
        if argv[1] == "-c":
            return (0, "", "") if self.python_runs else (127, "", "python3: not found")
        words = [word for word in argv[2:-2] if word.startswith("--")]
        options = {k.lstrip("-"): v for k, _, v in (word.partition("=") for word in words)}
        options["model"] = argv[-1]
        self.turns.append(options)
        told = self.meddle(options)
        return told if told is not None else (5 if self.wrong() else 0, self.said(options), "")

    def wrong(self) -> bool:
        return self.golden is not None and self.golden["failed"] > 0

    def said(self, options: dict[str, str]) -> str:
        content = self.device.files[options["model"]]
        runs = int(options["runs"])
        spread = [self.nanoseconds + (i % 3) + len(self.turns) % 2 for i in range(runs)]
        process = {
            "load_ns": 5_000,
            "first_ns": 2_000,
            "warmup_ns": [1],
            "samples_ns": spread,
            "peak_bytes": 1_000_000,
            "base_bytes": 900_000,
            "before": {},
            "after": {},
        }
        result = {
            "model": "a-safe-name",
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "runtime": self.runtime,
            "runtime_version": self.version,
            "delegate": options["delegate"],
            "threads": int(options["threads"]),
            "input": "random",
            "drift": None,
            "profile": None,
            "accuracy": None,
            "golden": self.golden if "golden" in options else None,
            "processes": [process],
        }
        return json.dumps({"schema": "tfedge.bench/1", "device": self.host, "results": [result]})


class Lab:
    """The boards that can be connected to, by name; ``connect`` for ``session.opened``."""

    def __init__(self, *boards: Board) -> None:
        self.boards = {board.name: board for board in boards}
        self.calls: list[tuple[str, str]] = []

    def connect(self, device: BenchDevice) -> FakeDevice:
        return self.boards[device.name].device

    def entries(self, **options: Any) -> list[BenchDevice]:
        return [BenchDevice(name=name, address="adb", **options) for name in self.boards]
