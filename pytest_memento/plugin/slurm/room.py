"""The time of a task is nearly over: what runs may come to its next checkpoint, or to its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pytest_memento.plugin.bound import BOUND

GRACE = 90.0
"""Seconds for which it may: of the two minutes that Slurm gives, some are for tearing down."""
_LOOKED_EACH = 0.2


class Room:
    """Stops an experiment at its next checkpoint, in the process where it runs.

    :param ready: says that it has come to one; then it waits to be ended.
    """

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._is_wanted = False

    def want(self) -> None:
        """Stop what runs at its next checkpoint."""
        self._is_wanted = True

    @pytest.hookimpl
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Be told of each checkpoint."""
        bound = item.stash.get(BOUND, None)
        if bound is not None and bound.started:
            bound.attempt.context.on_checkpoint = self._stop

    def _stop(self) -> None:
        __tracebackhide__ = True
        if self._is_wanted:
            self._ready()
            time.sleep(GRACE)  # the signal that ends it comes before


def end_when(may_end: Callable[[], bool], end: Callable[[], None]) -> None:
    """Call *end* as soon as *may_end* says so, from another thread, at the latest in time.

    :param may_end: tells whether all that runs has come to a checkpoint.
    """

    def wait() -> None:
        until = time.monotonic() + GRACE
        while time.monotonic() < until and not may_end():
            time.sleep(_LOOKED_EACH)
        end()

    threading.Thread(target=wait, name="memento-room", daemon=True).start()
