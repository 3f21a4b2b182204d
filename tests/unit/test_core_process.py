"""How a run is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
import weakref

import pytest

from tfedge.core.process import stoppable


class Thing:
    pass


def interrupt(_: object = None) -> None:
    signal.raise_signal(signal.SIGINT)
    time.sleep(0)  # handlers run between instructions


def test_ctrl_c_where_python_can_raise_nothing_is_raised_a_moment_later(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As between two statements of TensorFlow, whose weak references die all the time."""
    before, reached = sys.unraisablehook, []
    with pytest.raises(KeyboardInterrupt), stoppable() as stop:
        thing = Thing()
        kept = weakref.ref(thing, interrupt)
        del thing
        reached.append(kept() is None)
        began = time.monotonic()
        time.sleep(20)
        reached.append(False)
    assert time.monotonic() - began < 10
    assert stop.asked and reached == [True] and sys.unraisablehook is before
    assert "KeyboardInterrupt" not in capfd.readouterr().err


@pytest.mark.parametrize("state", ["cleaning", "over"])
def test_what_cleans_up_is_not_disturbed_by_it(state: str) -> None:
    with stoppable() as stop:
        setattr(stop, state, True)
        stop.once_more()
        time.sleep(0.3)  # several times what it waits
    assert not [one for one in threading.enumerate() if isinstance(one, threading.Timer)]


def test_other_errors_that_python_can_not_raise_are_told_as_ever(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    with stoppable():
        thing = Thing()
        kept = weakref.ref(thing, lambda _: 1 / 0)
        del thing
    assert kept() is None and heard[0].exc_type is ZeroDivisionError
