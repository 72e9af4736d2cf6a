"""Sending in threads: nobody waits for a receiver, and no error of one is one of the session."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from pytest_memento.labels import one_line
from pytest_memento.notify.notification import Notification
from pytest_memento.notify.targets import Target

TIMEOUT: Final = 10.0
"""Seconds that a receiver may take, and that the end of a session waits for all of them."""
_MOST_WAITING: Final = 100
_LONGEST: Final = 300


class Delivery:
    """Sends to all targets that want to know; each has a thread while there is something to send.

    :param targets: who they are.
    :param timeout: seconds, see :data:`TIMEOUT`.
    """

    def __init__(self, targets: Iterable[Target], timeout: float = TIMEOUT) -> None:
        self._lines = [_Line(target, timeout) for target in targets]
        self._timeout = timeout
        self._complaints: list[str] | None = None

    def send(self, notification: Notification, to: Callable[[Target], bool] | None = None) -> None:
        """Have it sent.

        :param to: which of those get it that want to know of such an event; by default all.
        """
        for line in self._lines:
            if line.target.wants(notification.event) and (to is None or to(line.target)):
                line.put(notification)

    def close(self) -> list[str]:
        """Wait for what is under way, no longer than the time-out; another time, not at all.

        :return: what did not arrive, a line for each target that had errors.
        """
        if self._complaints is None:
            until = time.monotonic() + self._timeout
            for line in self._lines:
                line.wait(until)
            self._complaints = [text for line in self._lines if (text := line.complaint())]
        return self._complaints


class _Line:
    """What waits for one target."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target = target
        self._timeout = timeout
        self._lock = threading.Lock()
        self._waiting: deque[Notification] = deque(maxlen=_MOST_WAITING)
        self._errors: list[str] = []
        self._thread: threading.Thread | None = None

    def put(self, notification: Notification) -> None:
        if self.target.is_here:
            self._send(notification)
            return
        with self._lock:
            self._waiting.append(notification)
            if self._thread is None:
                # No thread where there is nothing to send: processes that have some do not
                # fork well. A daemon, since a receiver that hangs must not keep the process.
                self._thread = threading.Thread(
                    target=self._run, name="memento-notify", daemon=True
                )
                self._thread.start()

    def wait(self, until: float) -> None:
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))

    def complaint(self) -> str:
        """Return what went wrong, in a line."""
        with self._lock:
            errors = list(self._errors)
            if self._thread is not None:
                errors.append(_TOO_LATE.format(self._timeout))
        if not errors:
            return ""
        times = f" ({len(errors)} times)" if len(errors) > 1 else ""
        return f"notifier {self.target.shown} failed{times}: {errors[-1]}"

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                notification = self._waiting.popleft()
            self._send(notification)

    def _send(self, notification: Notification) -> None:
        try:
            self.target.send(notification, self._timeout)
        except Exception as error:
            # Whatever a service or a hook raises.
            text = self.target.hide(_described(error, self._timeout))
            with self._lock:
                self._errors.append(one_line(text, _LONGEST))


_TOO_LATE = "no answer within {:g} s"


def _described(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return _TOO_LATE.format(timeout)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
