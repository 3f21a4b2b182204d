"""The errors of tfedge, and the exit code that each one ends the command with.

::

    TfedgeError(message, hint)                    1
    ├── ConfigError(problems: file:line:col …)    2   all of them at once, with "did you mean"
    ├── MissingDependency(what, install)          3   says what to install; never installs by itself
    ├── DataError(problems)                       4   unreadable, empty, one class, leaks
    ├── StageError(message, stage)                5
    │   ├── UnsupportedModel(layers, remedy)      5
    │   ├── InvariantBroken(name, expected, got)  5
    │   └── GateFailed(gate, limit, got)          6
    ├── ArtifactError(path, expected, got)        7   digests, weights, downloads, cache, disk
    ├── DeviceError(device)                       8
    └── DropError(target)                         9

Every message says in one line what, where, got and allowed; ``hint`` is the next thing to do.
Passwords and tokens in addresses are not shown. Ctrl-C ends with 130. Where nobody reads standard
output any more (``| head``), it is 141, without a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfedge.redact import without_secrets

INTERRUPTED = 130
OUTPUT_CLOSED = 141  # as the shell has it of what SIGPIPE ended


class TfedgeError(Exception):
    """What went wrong, in one line, and the way out.

    ``run_dir`` is the directory of the run that ended with it; None outside of runs.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = without_secrets(message)
        self.hint = without_secrets(hint)
        super().__init__(self.message)
        self.run_dir: Path | None = None

    def lines(self) -> list[str]:
        """The lines a person reads, the hint last."""
        return [self.message, *([f"hint: {self.hint}"] if self.hint else [])]


class _Problems(TfedgeError):
    """Several problems found in one go; none is held back."""

    def __init__(self, problems: Sequence[str], hint: str = "") -> None:
        self.problems = [without_secrets(problem) for problem in problems]
        super().__init__("\n".join(self.problems), hint)


class ConfigError(_Problems):
    """The pipeline file or a ``--set`` override is wrong: ``file:line:col: …``, one a line.

    ``data`` is the file's section of that name where it is right all the same, for whoever wants to
    know of its problems too.
    """

    exit_code = 2
    data: object | None = None


class MissingDependency(TfedgeError):
    """Something that must be installed by the user is not there."""

    exit_code = 3

    def __init__(self, what: str, install: str) -> None:
        super().__init__(what, install)


class DataError(_Problems):
    """The images can't be trained on as they are. One problem a line, with the file names."""

    exit_code = 4


class StageError(TfedgeError):
    """A stage could not do its work."""

    exit_code = 5

    def __init__(self, message: str, hint: str = "", stage: str = "") -> None:
        super().__init__(message, hint)
        self.stage = stage


class UnsupportedModel(StageError):
    """Layers or ops that a recipe can't handle, each named, with the remedy."""

    def __init__(self, message: str, layers: Sequence[str], remedy: str) -> None:
        super().__init__(f"{message}: {', '.join(layers)}", remedy)
        self.layers = list(layers)


class InvariantBroken(StageError):
    """Something that must hold did not: the run stops rather than ship it."""

    def __init__(self, name: str, expected: str, got: str, hint: str = "") -> None:
        super().__init__(f"invariant broken: {name}: expected {expected}, got {got}", hint)
        self.name = name
        self.expected = expected
        self.got = got


class GateFailed(StageError):
    """A gate of ``evaluate.gates`` was not passed."""

    exit_code = 6

    def __init__(self, gate: str, limit: str, got: str, hint: str = "") -> None:
        super().__init__(f"gate failed: {gate}: limit {limit}, got {got}", hint)
        self.gate = gate
        self.limit = limit
        self.got = got


class ArtifactError(TfedgeError):
    """A file is not what it must be: digest, format, or it can't be read or written."""

    exit_code = 7

    def __init__(
        self,
        path: str | Path,
        message: str,
        hint: str = "",
        expected: str = "",
        got: str = "",
    ) -> None:
        text = f"{path}: {message}"
        if expected or got:
            text += f" (expected {expected}, got {got})"
        super().__init__(text, hint)
        self.path = Path(path)


class DeviceError(TfedgeError):
    """A device could not be reached, or a command on it failed."""

    exit_code = 8


class DropError(TfedgeError):
    """A model drop can't be made, or is not what it says."""

    exit_code = 9
