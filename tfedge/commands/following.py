"""What ``tfedge run`` shows of a run: a list on a terminal, lines in a log, warnings, or events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from tfedge.api import Run
from tfedge.commands.screen import show
from tfedge.core.events import Event, RunEvents
from tfedge.core.progress import WARNING, RunProgress, Warnings, shown_on
from tfedge.core.runs import told
from tfedge.errors import GateFailed
from tfedge.files.streams import output, terminal, together


@dataclass(frozen=True)
class Followed:
    """``progress`` hears how the run goes; then ``ended`` shows what came out."""

    progress: RunProgress
    quiet: bool

    def ended(self, run: Run) -> None:
        """The summary, without what stands above it already; as an event, all of it."""
        if isinstance(self.progress, RunEvents):
            from tfedge.report.table import document

            self.progress.event("result", **document(run.result, run.directory))
            return
        said = told(run.directory) if together() else []
        if self.quiet:
            said = [text for text in said if text.startswith(WARNING)]
        show(run.summary(said))


@contextmanager
def follow(quiet: bool, as_json: bool) -> Iterator[Followed]:
    """Shows a run that is made inside. One that misses a gate has measured something: it is shown,
    too."""
    with output() as out, terminal() as stream:
        if as_json:
            shown: RunProgress = RunEvents(lambda event: _print(event, out))
        else:
            shown = Warnings(stream) if quiet else shown_on(stream)
        followed = Followed(shown, quiet)
        try:
            yield followed
        except GateFailed as error:
            if error.run_dir is not None:
                followed.ended(Run.read(error.run_dir))
            raise
        finally:
            shown.clear()


def _print(event: Event, stream: TextIO) -> None:
    stream.write(json.dumps(event) + "\n")
