"""``--memento-notify``: people are told what the session does. Only where the terminal is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import pytest

from pytest_memento import metrics, status
from pytest_memento.amounts import duration
from pytest_memento.notify.delivery import Delivery
from pytest_memento.notify.notification import Event, Failure, Notification
from pytest_memento.notify.occasions import Occasion, Occasions
from pytest_memento.notify.targets import Target, TargetError, parse
from pytest_memento.plugin import private
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.progress import Now
from pytest_memento.plugin.reporting import Reporting
from pytest_memento.plugin.reports import Ended, error_of, told
from pytest_memento.provenance import host
from pytest_memento.schedule import Allowance
from pytest_memento.ticker import Ticker

_LOOKED_EACH = 1.0
"""Seconds between two looks at the time."""
_SEEN_EACH = 10.0
"""Seconds between two looks at what runs."""
_OPTION = "--memento-notify"
_LONGEST = 2_000
"""Characters of a traceback, from its end."""
_HOOK = "pytest_memento_notify"
_IDLE = ("total", Ended.CACHED.value, Ended.SKIPPED.value, "not run")
"""How experiments end in a session that has done nothing."""


def targets(
    texts: Iterable[tuple[str, str]], config: pytest.Config, environment: Mapping[str, str]
) -> list[Target]:
    """Read what the user wrote.

    :raises pytest.UsageError: nothing can be sent to one of them.
    """
    found: list[Target] = []
    for where, text in texts:
        try:
            found.append(parse(text, environment, config.invocation_params.dir, Console(config)))
        except TargetError as error:
            raise pytest.UsageError(f"{where}: {error}") from None
    return found


class Console:
    """The terminal of the session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def __call__(self, notification: Notification, timeout: float) -> None:  # noqa: ARG002
        """Write a line: while a test runs, past what catches its output."""
        progress = self._config.pluginmanager.getplugin("memento-progress")
        is_aside = threading.current_thread() is not threading.main_thread()
        is_past = progress is not None and (is_aside or progress.is_alone)
        if is_past and progress.say(notification.subject):
            return
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            failed = bool(notification.failures)
            if private.column_of(reporter):
                reporter.write_line("")
            reporter.write_line(notification.subject, bold=True, red=failed, green=not failed)


class Runs(Protocol):
    """Where experiments run."""

    allowance: Allowance

    def now(self) -> Now:
        """Return what goes on."""


class Notifying:
    """Tells targets and implementations of the hook.

    :param targets: who wants to know.
    :param reporting: knows how far the session is; it hears of each report before this does.
    :param runs: where experiments run.
    """

    def __init__(
        self,
        options: Options,
        config: pytest.Config,
        targets: Iterable[Target],
        reporting: Reporting,
        runs: Runs,
    ) -> None:
        self.options = options
        self.config = config
        chosen = [*targets]
        if config.hook.pytest_memento_notify.get_hookimpls():
            every = frozenset(Event)
            chosen.append(Target(_HOOK, self._call_hook, every, every))
        self._delivery = Delivery(chosen)
        self._watches = any(each.wants(Event.STALLED) for each in chosen)
        self._reporting, self._runs = reporting, runs
        self._occasions = Occasions(options.stalled)
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._looked = 0.0
        self._cause = ""
        self._is_over = False

    # -- while it runs -----------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """Look at the time while tests run."""
        ticker = Ticker(self._tick, _LOOKED_EACH, "memento-occasions")
        ticker.start()
        try:
            return (yield)
        finally:
            ticker.stop()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of failures, and of how far the session has come."""
        known = told(report)
        if known is None:
            return
        if report.failed and known["ended"] == Ended.FAILED.value:
            text = str(getattr(report, "longreprtext", ""))[-_LONGEST:]
            failure = Failure(report.nodeid, error_of(report), text, known.get("runtime"))
            with self._lock:
                found = [*self._occasions.failed(failure, time.monotonic())]
            self._tell_all(found)
        if known["ended"] != Ended.CACHED.value:
            cached = self._reporting.counts[Ended.CACHED.value]
            done, total = len(self._reporting.ended) - cached, self._total() - cached
            self._tell_all(self._occasions.came_to(done, total))

    def _tick(self) -> None:
        # It must not end, whatever an experiment or a disk does to what is read here.
        with contextlib.suppress(Exception):
            now = time.monotonic()
            with self._lock:
                found = [*self._occasions.passes(now)]
            if self._watches and now - self._looked >= min(_SEEN_EACH, self.options.stalled):
                self._looked = now
                running = status.running(self.options.store)
                found += self._occasions.saw({_name(each): _sign(each) for each in running}, now)
            self._tell_all(found)

    # -- at the end --------------------------------------------------------------------------------

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember what has interrupted the session."""
        self._cause = str(excinfo.value) or "Ctrl-C"

    def pytest_internalerror(self, excrepr: object) -> None:
        """Remember that pytest itself has failed."""
        self._cause = f"internal error: {str(excrepr).strip().rpartition(chr(10))[2]}"

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Tell that the session is over, however it ends."""
        if self._is_over:
            return
        self._is_over = True
        counts = self._counts()
        has_run = any(number for word, number in counts.items() if word not in _IDLE)
        good = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        stopped = str(session.shouldfail or session.shouldstop or "")
        why = self._cause or self._runs.allowance.stopped or stopped
        for occasion in self._occasions.rest():  # the end tells of all failures
            self._tell(occasion, lambda target: not target.wants(Event.END))
        title = self._end(counts, why if why or has_run or good else f"exit code {int(exitstatus)}")
        ended = Occasion(Event.END, tuple(self._occasions.failures), title)
        self._tell(ended, lambda target: has_run or not good or target.has_named(Event.END))

    def _end(self, counts: Mapping[str, int], why: str) -> str:
        parts = [f"{n} {word}" for word, n in counts.items() if n and word != "total"]
        done = ", ".join(parts) or "no experiments"
        stopped = f"stopped ({why})" if why else "done"
        return f"{stopped}: {done} in {duration(time.monotonic() - self._began)}"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Wait for what is under way, and say what did not arrive."""
        for line in self._delivery.close():
            terminalreporter.write_line(f"memento: {line}", yellow=True)

    def pytest_unconfigure(self) -> None:
        """Wait where there was no terminal, too."""
        self._delivery.close()

    # -- what is told ------------------------------------------------------------------------------

    def _tell_all(self, occasions: Iterable[Occasion]) -> None:
        for occasion in occasions:
            self._tell(occasion)

    def _tell(self, occasion: Occasion, to: Callable[[Target], bool] | None = None) -> None:
        self._delivery.send(self._notification(occasion), to)

    def _notification(self, occasion: Occasion) -> Notification:
        details = occasion.details
        if occasion.event is not Event.END:
            details = (*details, *self._going_on(occasion.failures))
        return Notification(
            occasion.event,
            f"memento: {_title(occasion)}",
            self._counts(),
            occasion.failures,
            details,
            time.monotonic() - self._began,
            self._reporting.saved,
            host(),
            str(self.options.store.root),
            tuple(_without_targets(self.options.command)),
        )

    def _going_on(self, failures: Iterable[Failure]) -> Iterator[str]:
        with contextlib.suppress(Exception):  # whatever a disk does: this is an extra
            ended = tuple(f"[{each.id.partition('[')[2]}" for each in failures)
            now = self._runs.now()
            # What has just failed is still taken to run.
            running = [each for each in now.running if f"[{each.label}]" not in ended]
            state = self._reporting.state(lambda: replace(now, running=running))
            yield state.line(datetime.now().astimezone()).removeprefix("memento: ")

    def _counts(self) -> dict[str, int]:
        counts, total = self._reporting.counts, self._total()
        found = {"total": total}
        always = (Ended.CACHED, Ended.PASSED, Ended.FAILED)
        found |= {each.value: counts[each.value] for each in always}
        found |= {each.value: counts[each.value] for each in Ended if counts[each.value]}
        if (missing := total - len(self._reporting.ended)) > 0 and self._is_over:
            found["not run"] = missing
        return found

    def _total(self) -> int:
        return max(self._reporting.total, len(self._reporting.ended))

    def _call_hook(self, notification: Notification, timeout: float) -> None:  # noqa: ARG002
        self.config.hook.pytest_memento_notify(event=notification, config=self.config)


def _without_targets(command: Iterable[str]) -> Iterator[str]:
    """Yield what was typed, without whom to tell: they know."""
    words = iter(command)
    for word in words:
        if word == _OPTION:
            next(words, None)
        elif not word.startswith(f"{_OPTION}="):
            yield word


def _title(occasion: Occasion) -> str:
    if not occasion.failures or occasion.event is Event.END:
        return occasion.title
    first, number = occasion.failures[0], len(occasion.failures)
    which = f"{number} failures, the first" if number > 1 else "failed"
    which = "first failure" if occasion.event is Event.FIRST_FAILURE else which
    return f"{which}: {first.id}: {first.error}"


def _name(running: status.Running) -> str:
    return f"{running.id} (pid {running.sign.pid} on {running.sign.host})"


def _sign(running: status.Running) -> object:
    """Return what changes when it gets further: what it tells, else its signs of life."""
    pulse = running.pulse
    shown = [pulse.get("progress"), metrics.last(pulse.get("series", {}))]
    return [running.sign.since, *(shown if any(shown) else [pulse.get("beat")])]
