"""What a running experiment shows of itself: a sign of life, and its output so far.

A thread beats once a second for whatever this process runs. Each beat writes a note (JSON, in place
of the last one) and appends new output to a file that can be followed. Nobody depends on either:
what cannot be written is left out.

The thread rests while the process forks: a lock that it holds would stay locked in the child for
ever, and Python 3.12 and later warn of forks in a process that has threads.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

INTERVAL = 1.0
"""Seconds between two beats."""
_CHUNK = 1 << 20
_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


class Pulse:
    """Beats for one experiment after another."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        self._beating: _Beating | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    @contextlib.contextmanager
    def of(
        self, tell: Callable[[], Mapping[str, Any]], notes: Sequence[Path], log: Path
    ) -> Iterator[None]:
        """Beat while the body runs, which takes more than a moment.

        :param tell: returns what to write, as JSON data.
        :param notes: the files to write it to.
        :param log: the file to append output to; it is removed at the end, if all went its way.
        """
        beating = _Beating(tell, notes, log)
        with self._lock:
            self._beating = beating
        self.resume()
        try:
            with beating.logging():
                yield
        finally:
            with self._lock:
                self._beating = None
            beating.end()

    def resume(self) -> None:
        """Beat, if there is something to beat for."""
        if self._beating is not None and self._thread is None:
            _rest_at_forks(self)
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._beat, args=[self._stop], name="memento-pulse", daemon=True
            )
            self._thread.start()

    def pause(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        self._stop.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            with self._lock:
                if self._beating is not None:
                    self._beating.beat()


_PULSES: weakref.WeakSet[Pulse] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_pause_all, after_in_parent=_resume_all)


def _pause_all() -> None:
    for pulse in list(_PULSES):
        pulse.pause()


def _resume_all() -> None:
    for pulse in list(_PULSES):
        pulse.resume()


def _rest_at_forks(pulse: Pulse) -> None:
    _watch_forks()
    _PULSES.add(pulse)


class _Beating:
    def __init__(
        self, tell: Callable[[], Mapping[str, Any]], notes: Sequence[Path], log: Path
    ) -> None:
        self._tell = tell
        self._notes = notes
        self._log = log
        self._sources = [_Source(descriptor) for descriptor in (1, 2)]
        self._logged: deque[bytes] = deque()

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Have log records in the log, too."""
        handler = _LogHandler(self._logged)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)

    def beat(self) -> None:
        # Whatever the experiment does to its data meanwhile, a beat must not end the thread.
        with contextlib.suppress(Exception):
            text = json.dumps({**self._tell(), "beat": time.time()})
            for note in self._notes:
                _replace(note, text)
        with contextlib.suppress(Exception):
            logged = [self._logged.popleft() for _ in range(len(self._logged))]
            self._append(b"".join([*(source.new() for source in self._sources), *logged]))

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._log.unlink(missing_ok=True)

    def _append(self, data: bytes) -> None:
        if not data:
            return
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(self._log, flags, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)


class _Source:
    """Output that pytest catches in a file: it can be read while it is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offset = self._size()

    def new(self) -> bytes:
        """Return what has come since it was last asked."""
        size = self._size()
        if size < self._offset:  # emptied, between set-up and call
            self._offset = 0
        if size == self._offset:
            return b""
        try:
            data = os.pread(self._descriptor, min(size - self._offset, _CHUNK), self._offset)
        except OSError:  # a file that is only written, as with -s and a redirection
            return b""
        self._offset += len(data)
        return data

    def _size(self) -> int:
        """Return the size of the file, 0 where it is none, as with ``-s``."""
        try:
            found = os.fstat(self._descriptor)
        except OSError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0


class _LogHandler(logging.Handler):
    def __init__(self, logged: deque[bytes]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(_FORMAT))
        self._logged = logged

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self._logged.append(f"{self.format(record)}\n".encode(errors="backslashreplace"))


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
