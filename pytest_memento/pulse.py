"""What a running experiment shows of itself: a sign of life, and its output so far.

A thread beats once a second for whatever this process runs. Each beat writes a note (JSON, in place
of the last one) and appends new output to a file that can be followed. Nobody depends on either:
what cannot be written is left out.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_memento.rights import PRIVATE, Rights, append, make
from pytest_memento.ticker import Ticker

INTERVAL = 1.0
"""Seconds between two beats."""
_CHUNK = 1 << 20
_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"


class Pulse:
    """Beats for one experiment after another."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self._lock = threading.Lock()
        self._beating: _Beating | None = None
        self._ticker = Ticker(self._beat, interval, "memento-pulse")

    @contextlib.contextmanager
    def of(
        self,
        tell: Callable[[], Mapping[str, Any]],
        notes: Sequence[Path],
        log: Path,
        rights: Rights = PRIVATE,
    ) -> Iterator[None]:
        """Beat while the body runs, which takes more than a moment.

        :param tell: returns what to write, as JSON data.
        :param notes: the files to write it to.
        :param log: the file to append output to; it is removed at the end, if all went its way.
        :param rights: who may read it.
        """
        beating = _Beating(tell, notes, log, rights)
        with self._lock:
            self._beating = beating
        self._ticker.start()
        try:
            with beating.logging():
                yield
        finally:
            with self._lock:
                self._beating = None
            beating.end()

    def rest(self) -> None:
        """End the thread, until there is something to beat for again."""
        self._ticker.stop()

    def _beat(self) -> None:
        with self._lock:
            if self._beating is not None:
                self._beating.beat()


class _Beating:
    def __init__(
        self,
        tell: Callable[[], Mapping[str, Any]],
        notes: Sequence[Path],
        log: Path,
        rights: Rights,
    ) -> None:
        self._rights = rights
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
        make(self._log.parent, self._rights)
        append(self._log, data, self._rights)


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
