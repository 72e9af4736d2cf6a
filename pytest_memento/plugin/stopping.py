"""Beginning nothing more: after enough failures, at the limit, out of time, on Ctrl-C.

What runs is left to end, and is stored. A second Ctrl-C ends it, too, and so do SIGTERM (``kill``,
``scancel``) and SIGHUP (a terminal that was closed): fixtures are torn down, claims given back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from types import FrameType
from typing import Any, Protocol

import pytest

from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.slurm.room import end_when
from pytest_memento.schedule import Allowance

_CTRL_C = "Ctrl-C"
ENDING = ("SIGTERM", "SIGHUP")
_TIME_IS_OVER = "SIGUSR2"


class Runs(Protocol):
    """Where experiments run: in this process, or in workers of xdist."""

    def count_running(self) -> int:
        """How many experiments run now."""

    def has_experiments(self) -> bool:
        """Whether the session has any that are to run."""

    def halt(self, why: str) -> None:
        """Have nothing more begun."""

    def end_others(self) -> None:
        """End the other processes of the session."""


class MakesRoom(Runs, Protocol):
    """Where experiments run that can stop at a checkpoint."""

    def make_room(self) -> None:
        """Have what runs stop at its next checkpoint."""

    def has_room(self) -> bool:
        """Whether all that runs has stopped at one."""


def allowance_of(
    options: Options, *, is_worker: bool, is_scheduled: bool, is_distributed: bool
) -> Allowance:
    """Return what this process may begin, or may have begun by its workers.

    :param is_worker: whether another process decides what is begun here.
    :param is_scheduled: whether it does so by our schedule.
    :param is_distributed: whether there are workers.
    :raises pytest.UsageError: there is a limit that nobody can keep.
    """
    if is_worker and is_scheduled:
        return Allowance()
    if is_worker:
        return Allowance(budget=options.budget)
    if is_distributed and not is_scheduled and options.limit is not None:
        raise pytest.UsageError(
            "--memento-limit counts what is begun, which --dist leaves to each worker: leave out"
            " --dist, or use -n 0"
        )
    return Allowance(options.limit, options.budget)


class EndedBySignal:
    """A session whose exit code names the signal that ended it, as that of a process does."""

    ended_by = 0
    """The number of the signal."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Set the exit code."""
        yield
        if self.ended_by:
            session.exitstatus = 128 + self.ended_by


class Interrupts(EndedBySignal):
    """Answers Ctrl-C and signals to end while experiments run.

    :param allowance: what may be begun.
    :param runs: where they run.
    :param returns: for a task of Slurm: told that its time is nearly over, which SIGUSR2 says.
    """

    def __init__(
        self, allowance: Allowance, runs: MakesRoom, returns: Callable[[], None] | None = None
    ) -> None:
        self._allowance = allowance
        self._runs = runs
        self._returns = returns
        self._signals = ENDING if returns is None else (*ENDING, _TIME_IS_OVER)
        self._has_begun_to_end = False
        self._is_over = False
        self._is_asked = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Stop after what runs now; then end the session as an interrupted one."""
        if not _can_be_asked(session):
            return (yield)
        with _interrupted_by(self._answer), ending_by(self._leave, self._signals):
            try:
                result = yield
            finally:
                self._is_over = True
        if self._is_asked:
            raise session.Interrupted(f"{_CTRL_C}; what was running has been finished")
        return result

    def _answer(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        running = self._runs.count_running()
        was_asked, self._is_asked = self._is_asked, True
        self._runs.halt(_CTRL_C)
        if was_asked or not running:
            if self._runs.has_experiments():  # else all is as pytest and xdist have it
                self._runs.end_others()
            signal.default_int_handler(number, frame)
        what = "the experiment that runs" if running == 1 else f"{running} running experiments"
        _tell(f"memento: finishing {what}; press Ctrl-C again to end at once")

    def _leave(self, number: int) -> None:
        __tracebackhide__ = True
        if signal.Signals(number).name == _TIME_IS_OVER:
            self._make_room()
            return
        if not self._runs.has_experiments() and not self._has_begun_to_end:
            _die_by(number)
        if self.ended_by:  # once is enough: fixtures are being torn down
            return
        self.ended_by, name = number, signal.Signals(number).name
        self._allowance.stop(name)
        self._runs.end_others()
        # No failure: what runs can go on another time.
        pytest.exit(f"memento: ended by {name}")

    def _make_room(self) -> None:
        if self._has_begun_to_end or self._returns is None:
            return
        self._has_begun_to_end = True
        self._returns()
        self._runs.halt("the time is nearly over")
        self._runs.make_room()

        def end() -> None:
            if not self._is_over:
                os.kill(os.getpid(), signal.SIGTERM)

        end_when(self._runs.has_room, end)


class PatientWorker:
    """Has a worker of xdist leave the first Ctrl-C to its controller: all processes get it.

    :param leave: says that nothing runs here any more.
    :param is_over: tells whether the controller has ended the session, given a moment.
    :param make_room: for a task of Slurm: has what runs stop at its next checkpoint.
    """

    def __init__(
        self,
        leave: Callable[[], None],
        is_over: Callable[[], bool],
        make_room: Callable[[], None] | None = None,
    ) -> None:
        self._leave = leave
        self._is_over = is_over
        self._make_room = make_room
        self._signals = ENDING if make_room is None else (*ENDING, _TIME_IS_OVER)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Go on at the first Ctrl-C."""
        if not _can_be_asked(session):
            return (yield)
        times = 0

        def answer(number: int, frame: FrameType | None) -> None:
            nonlocal times
            times += 1
            if times > 1:
                signal.default_int_handler(number, frame)

        def die(number: int) -> None:
            __tracebackhide__ = True
            nonlocal times
            if self._make_room is not None and signal.Signals(number).name == _TIME_IS_OVER:
                self._make_room()
                return
            if self._is_over():
                if times > 1:  # fixtures are being torn down
                    return
                times = 2
                pytest.exit(f"memento: ended by {signal.Signals(number).name}")
            self._leave()
            _die_by(number)

        with _interrupted_by(answer), ending_by(die, self._signals):
            return (yield)


@contextlib.contextmanager
def _interrupted_by(answer: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have *answer* called by Ctrl-C, unless somebody else wants it, or it is ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def ending_by(answer: Callable[[int], None], names: Sequence[str] = ENDING) -> Iterator[None]:
    """Have *answer* called by the signals that end a process, where nobody else wants them."""
    wanted = [
        number
        for name in names
        if (number := getattr(signal, name, None)) is not None
        and signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in wanted:
        signal.signal(number, lambda which, _: answer(which))
    try:
        yield
    finally:
        for number in wanted:
            signal.signal(number, signal.SIG_DFL)


def _die_by(number: int) -> None:
    """End this process as the signal would have without us."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _can_be_asked(session: pytest.Session) -> bool:
    """Whether Ctrl-C comes to us: in a debugger it has another meaning."""
    if session.items and not any(BOUND in item.stash for item in session.items):
        return False  # a suite that is not ours
    option = session.config.option
    wants_debugger = option.collectonly or option.usepdb or getattr(option, "trace", False)
    in_main_thread = threading.current_thread() is threading.main_thread()
    return in_main_thread and not wants_debugger


def _tell(line: str) -> None:
    """Write to the terminal from within a signal handler, past all buffers and captures."""
    try:
        terminal = os.open("/dev/tty", os.O_WRONLY | os.O_NOCTTY)
    except OSError:
        return
    try:
        os.write(terminal, f"\n{line}\n".encode())
    finally:
        os.close(terminal)
