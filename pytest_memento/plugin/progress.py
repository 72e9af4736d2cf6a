"""The line that says what is going on: below all others on a terminal, each minute elsewhere."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from pytest_memento.amounts import duration, time_of_day
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND
from pytest_memento.ticker import Ticker

DRAWN_EACH = 0.5
"""Seconds after which the line on a terminal is drawn again."""


@dataclass(frozen=True)
class Running:
    """An experiment that runs.

    :param label: its configuration.
    :param seconds: for how long.
    :param progress: (done, total), as it told.
    """

    label: str
    seconds: float
    progress: tuple[float, float] | None = None


@dataclass(frozen=True)
class Now:
    """What goes on.

    :param running: the experiments that run.
    :param remaining: seconds until all are done, ``None`` if that is not known.
    :param elsewhere: how many experiments other sessions compute.
    :param owner: who has the one of them that has run for longest, if that is known.
    :param where: the nodes on which tasks run.
    :param queued: how many tasks wait, and what for.
    """

    running: Sequence[Running] = ()
    remaining: float | None = None
    elsewhere: int = 0
    owner: str = ""
    where: str = ""
    queued: str = ""


@dataclass(frozen=True)
class State:
    """How far a session is.

    :param total: how many experiments it has.
    :param done: how many of them have ended.
    :param failed: how many of these failed.
    :param now: what goes on.
    """

    total: int
    done: int
    failed: int
    now: Now

    def line(self, clock: datetime, width: int | None = None) -> str:
        """Return the state in words, the label of an experiment shortened to fit in."""
        longest = max(self.now.running, key=lambda each: each.seconds, default=None)
        label = longest.label if longest else ""
        line = self._line(clock, longest, label)
        if width is not None and (excess := len(line) - width) > 0 and len(label) > excess + 1:
            line = self._line(clock, longest, f"{label[: -excess - 1]}…")
        return line if width is None else line[:width]

    def _line(self, clock: datetime, longest: Running | None, label: str) -> str:
        parts = [f"{self.done}/{self.total} done"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if longest is not None:
            where = f" on {self.now.where}" if self.now.where else ""
            number = len(self.now.running)
            parts.append(f"{number} running{where} ({self._longest(longest, label)})")
        if self.now.queued:
            parts.append(self.now.queued)
        if number := self.now.elsewhere:
            where = "another session" if number == 1 else "other sessions"
            owner = f" ({self.now.owner})" if self.now.owner else ""
            parts.append(f"{number} in {where}{owner}")
        if self.now.remaining is not None:
            parts.append(f"eta {time_of_day(self.now.remaining, clock)}")
        return f"memento: {', '.join(parts)}"

    def _longest(self, longest: Running, label: str) -> str:
        which = "longest " if len(self.now.running) > 1 else ""
        seconds = longest.seconds
        lasted = duration(seconds) if seconds >= 10 else f"{seconds:.0f}s"
        text = f"{which}{lasted}: {label}"
        if longest.progress is not None:
            done, total = longest.progress
            text += f", {done:g}/{total:g}"
        return text


class Progress:
    """Shows the state while experiments run.

    :param state: tells how far the session is; called from another thread.
    :param every: seconds between two lines where there is no terminal.
    """

    is_alone = False
    """Whether nothing is seen but what this shows."""

    def __init__(self, config: pytest.Config, state: Callable[[], State], every: float) -> None:
        self.config = config
        self.state = state
        self.every = every
        self._screen: _Screen | None = None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Show it while tests run."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        descriptor = _descriptor(reporter) if self._is_wanted(reporter, session) else None
        if descriptor is None:
            return (yield)
        screen = _Screen(reporter, descriptor, in_place=self._in_place(reporter))
        pause = DRAWN_EACH if screen.in_place else self.every
        ticker = Ticker(lambda: self._show(screen), pause, "memento-progress")
        ticker.start()
        self._screen = screen
        try:
            return (yield)
        finally:
            self._screen = None
            ticker.stop()
            screen.close()

    def say(self, text: str) -> bool:
        """Write a line among the others, from whatever thread.

        :return: whether that was possible: only while experiments run, and not with ``-q``.
        """
        if self._screen is None:
            return False
        self._screen.say(text)
        return True

    def _is_wanted(self, reporter: pytest.TerminalReporter | None, session: pytest.Session) -> bool:
        # The controller of xdist has no items; a suite that is not ours has none of ours.
        is_ours = not session.items or any(BOUND in item.stash for item in session.items)
        return (
            reporter is not None
            and is_ours
            and self.every > 0
            and self.config.get_verbosity() >= 0
            and not self.config.option.collectonly
        )

    def _in_place(self, reporter: pytest.TerminalReporter) -> bool:
        """Whether nothing else writes below the last line."""
        option, manager = self.config.option, self.config.pluginmanager
        return bool(
            reporter.isatty
            and os.environ.get("TERM") != "dumb"
            and getattr(option, "capture", "no") != "no"
            and not option.usepdb
            and not manager.hasplugin("sugar")
        )

    def _show(self, screen: _Screen) -> None:
        # What is shown must never end what is done.
        with contextlib.suppress(Exception):
            state = self.state()
            if state.now.running or state.now.elsewhere or state.now.queued:
                screen.show(lambda width: state.line(datetime.now().astimezone(), width))


def _descriptor(reporter: pytest.TerminalReporter) -> int | None:
    """Return a descriptor of the terminal of our own: pytest takes the first one for capturing."""
    try:
        return os.dup(private.writes_to(reporter).fileno())
    except (OSError, ValueError, AttributeError):
        return None


class _Screen:
    """Writes a line below the others, and takes it away before something else is written."""

    def __init__(
        self, reporter: pytest.TerminalReporter, descriptor: int, *, in_place: bool
    ) -> None:
        self.in_place = in_place
        self._reporter = reporter
        self._descriptor = descriptor
        self._lock = threading.RLock()
        self._is_shown = False
        self._column = 0
        self._before = 0  # where the reporter was when a line was said: it does not know of that
        self._file: Any = None  # what the reporter wrote to before the first line was shown

    def show(self, line: Callable[[int | None], str]) -> None:
        """Show a line, which is asked for by the width there is."""
        with self._lock:
            if not self.in_place:
                column = private.column_of(self._reporter)
                # Where nothing has come since the last one, that has ended the line.
                is_begun = column not in (0, self._column)
                self._column = column
                self._write(f"{chr(10) if is_begun else ''}{line(None)}\n")
                return
            if self._file is None:
                self._file = private.writes_to(self._reporter)
                self._column = self._column_now()
                private.wrap_output(self._reporter, lambda file: _Output(file, self._around))
            self._write(f"\n\r{line(self._width() - 1)}\x1b[K{self._back()}")
            self._is_shown = True

    def say(self, text: str) -> None:
        """Write a line that stays, on a line of its own."""
        with self._lock:
            self._erase()
            self._write(f"{chr(10) if self._column_now() else ''}{text}\n")
            self._before = private.column_of(self._reporter)
            self._column = self._before if not self.in_place else 0

    def _column_now(self) -> int:
        column = private.column_of(self._reporter)
        if column < self._before:  # it has begun another line
            self._before = 0
        return column - self._before

    def close(self) -> None:
        with self._lock:
            self._erase()
        if self._file is not None:
            private.wrap_output(self._reporter, lambda _: self._file)
        os.close(self._descriptor)

    def _erase(self) -> None:
        if self._is_shown:
            self._is_shown = False
            self._write(f"\n\r\x1b[K{self._back()}")

    @contextlib.contextmanager
    def _around(self) -> Iterator[None]:
        """Take the line away for something else to be written."""
        with self._lock:
            self._erase()
            yield
            self._column = self._column_now()

    def _back(self) -> str:
        """Return what moves the cursor up again, to where it was: ECMA-48, CUU and CUF."""
        column = self._column % self._width()
        return f"\x1b[A\r\x1b[{column}C" if column else "\x1b[A\r"

    def _width(self) -> int:
        return os.get_terminal_size(self._descriptor).columns or 80

    def _write(self, text: str) -> None:
        os.write(self._descriptor, text.encode(errors="replace"))


class _Output:
    """What the reporter writes to, with the line taken away before anything is written."""

    def __init__(self, file: Any, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._around = around

    def write(self, text: str) -> Any:
        with self._around():
            written = self._file.write(text)
            self._file.flush()
            return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
