"""A thread that does something now and then, and rests while the process forks.

A lock that it holds would stay locked in the child for ever, and Python 3.12 and later warn of
forks in a process that has threads.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable


class Ticker:
    """Calls a function at intervals, from a thread of its own.

    :param call: what to call; it must not raise.
    :param interval: seconds between two calls.
    :param name: of the thread.
    """

    def __init__(self, call: Callable[[], None], interval: float, name: str) -> None:
        self._call = call
        self._interval = interval
        self._name = name
        self._is_wanted = False
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Begin, unless it is at it."""
        self._is_wanted = True
        _watch_forks()
        _TICKERS.add(self)
        self.resume()

    def stop(self) -> None:
        """End; when this returns, no call is under way."""
        self._is_wanted = False
        self.pause()

    def pause(self) -> None:
        """End the thread for a while."""
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def resume(self) -> None:
        """Start the thread again, if it is wanted."""
        if self._is_wanted and self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=[self._stop], name=self._name, daemon=True
            )
            self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            self._call()


_TICKERS: weakref.WeakSet[Ticker] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_pause_all, after_in_parent=_resume_all, after_in_child=_stop_all
        )


def _pause_all() -> None:
    for ticker in list(_TICKERS):
        ticker.pause()


def _resume_all() -> None:
    for ticker in list(_TICKERS):
        ticker.resume()


def _stop_all() -> None:
    for ticker in list(_TICKERS):
        ticker.stop()
