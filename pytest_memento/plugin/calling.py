"""The session that ``Memento(...).run`` starts: what it is asked, and what comes back.

It is a session of pytest in this process. Of the project's configuration it takes the root
directory, ``cache_dir`` and what is called ``memento_*``; no conftest.py, no other plugins, no
``addopts``. Whatever it changes in the process is put back.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from pytest_memento import display
from pytest_memento.experiment import Experiment, Standing
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.given import GIVEN, Given
from pytest_memento.plugin.options import OPTIONS, TYPED
from pytest_memento.plugin.progress import DRAWN_EACH, Progress
from pytest_memento.plugin.reports import Ended, error_of, told
from pytest_memento.store import Store
from pytest_memento.ticker import Ticker
from pytest_memento.turns import turn

_OFF = (
    "cacheprovider", "doctest", "faulthandler", "junitxml", "legacypath", "pastebin", "stepwise",
    "threadexception", "tmpdir", "unittest", "unraisableexception", "warnings",
)  # fmt: skip
"""Plugins of pytest that write files, or change this process for what is not ours."""
_NEUTRAL = {
    "addopts": "", "pythonpath": "", "required_plugins": "", "usefixtures": "",
    "strict": "false", "strict_config": "false", "xfail_strict": "false", "log_cli": "false",
    "log_file": "", "log_level": "", "empty_parameter_set_mark": "skip",
    "console_output_style": "progress",
}  # fmt: skip
"""What the ini file says to ordinary sessions."""
_WORKER = "popen//env:PYTEST_ADDOPTS=//env:PYTEST_PLUGINS=//env:PYTEST_DISABLE_PLUGIN_AUTOLOAD=1"
_ENVIRONMENT = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
_CURRENT = "PYTEST_CURRENT_TEST"


@dataclass
class Call:
    """What is asked of a session.

    :param given: the experiment.
    :param options: of the command line.
    :param near: the file or directory from which the project is looked for.
    :param workers: how many processes run experiments; 0 for none but this one.
    :param typed: the command line of this process.
    :param is_verbose: whether pytest shows what it does.
    :param on_end: called in this process as each experiment ends, with whether it has failed.
    """

    given: Given
    options: Sequence[str]
    near: str
    workers: int
    typed: Sequence[str]
    is_verbose: bool = False
    on_end: Callable[[bool], None] | None = None

    def arguments(self) -> list[str]:
        """Return what a command line would say."""
        off = [part for name in _OFF for part in ("-p", f"no:{name}")]
        ini = [part for name, value in _NEUTRAL.items() for part in ("-o", f"{name}={value}")]
        own = ["-p", "pytest_memento.plugin", "--noconftest", "--assert=plain", "--capture=sys"]
        xdist = ["-p", "xdist.plugin"] if self.workers else []
        return [*own, *xdist, *off, *ini, *self.options, self.near]


@dataclass
class Outcome:
    """What a session came to.

    :param code: of its exit.
    :param experiments: in matrix order.
    :param ends: position -> how it ended.
    :param errors: position -> why it failed, in a line.
    :param lacks: position -> which input was not there, for which it was not run, and the same of
        all inputs of that experiment.
    :param standings: what the store knew of each before.
    :param interrupted: by what, where that was no failure.
    :param signal: that was to end this process.
    :param usage: what was wrong with what was asked.
    """

    code: int = 0
    store: Store | None = None
    root: str = ""
    experiments: Sequence[Experiment] = ()
    ends: dict[int, Ended] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    lacks: dict[int, Sequence[str]] = field(default_factory=dict)
    standings: list[Standing] = field(default_factory=list)
    interrupted: BaseException | None = None
    signal: int = 0
    usage: str = ""
    internal: str = ""


def call(call: Call) -> Outcome:
    """Run a session; one at a time, whichever threads ask for it.

    :raises MementoError: one that runs waits for this thread.
    """
    caller = _Caller(call)
    with turn() as mine, _put_back():
        caller.take_environment()
        try:
            caller.outcome.code = int(pytest.main(call.arguments(), plugins=[caller]))
        finally:
            mine.end()  # what is inside changes the process, too, and puts that back
            caller.give_back_environment()
    return caller.outcome


class _Caller:
    """Takes part in the session, for the one who has asked for it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.outcome = Outcome()
        self._environment: dict[str, str | None] = {}

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        """Know the ini option that says where the store is: its plugin is off."""
        parser.addini("cache_dir", "as of pytest's cacheprovider", default=".pytest_cache")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, Any, Any]:
        """Set up workers; keep what was wrong with what was asked."""
        self.give_back_environment()
        config.stash[GIVEN] = self.call.given
        config.stash[TYPED] = self.call.typed
        if self.call.workers:
            config.option.tx = [_WORKER] * self.call.workers
            config.option.dist = "load"
        try:
            return (yield)
        except pytest.UsageError as error:
            self.outcome.usage = "; ".join(map(str, error.args))
            return pytest.ExitCode.USAGE_ERROR

    def take_environment(self) -> None:
        """Have the session start without what the environment says to ordinary ones."""
        self._environment = {name: os.environ.pop(name, None) for name in _ENVIRONMENT}
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

    def give_back_environment(self) -> None:
        """Have variables be what they were: only the start of a session looks at them."""
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Have pytest be silent, and show a line in its place."""
        config = session.config
        options = config.stash[OPTIONS]
        self.outcome.store, self.outcome.root = options.store, str(options.root)
        if self.call.is_verbose:
            return
        silence(config)
        manager = config.pluginmanager
        progress = manager.unregister(name="memento-progress")
        assert isinstance(progress, Progress)
        if not options.collect_only:
            shown = _Shown(progress)
            manager.register(shown, "memento-progress")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that collecting has failed, for another reason than what was given."""
        if report.failed:
            self.outcome.internal = report.longreprtext

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep what was collected, with what the store knew of it."""
        if not self.outcome.experiments:
            self.outcome.experiments = self.call.given.experiments
            bounds = [item.stash[BOUND] for item in session.items if BOUND in item.stash]
            bounds.sort(key=lambda bound: bound.position)
            self.outcome.standings = [bound.standing for bound in bounds]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how an experiment has ended."""
        known = told(report)
        if known is None:
            return
        position, ended = known["position"], Ended(known["ended"])
        if "lacks" in known:
            self.outcome.lacks[position] = known["lacks"]
            return
        self.outcome.ends[position] = ended
        self.outcome.errors.pop(position, None)
        if ended is Ended.FAILED:
            self.outcome.errors[position] = error_of(report)
        if self.call.on_end is not None and ended is not Ended.CACHED:
            self.call.on_end(ended is Ended.FAILED)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note what has interrupted the session."""
        self.outcome.interrupted = excinfo.value

    def pytest_internalerror(self, excrepr: object) -> None:
        """Note that pytest itself has failed."""
        self.outcome.internal = str(excrepr)

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Note which signal has ended the session."""
        interrupts = config.pluginmanager.getplugin("memento-interrupts")
        self.outcome.signal = getattr(interrupts, "ended_by", 0)


def silence(config: pytest.Config) -> None:
    """Have what pytest writes go nowhere."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        private.wrap_output(reporter, lambda _: _Nowhere())


class _Nowhere(io.StringIO):
    """Takes what is written, and keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


class _Shown:
    """Shows how far the session is, in one line."""

    is_alone = True

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._line = display.line()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, Any, Any]:
        """Show it while experiments run."""
        pause = DRAWN_EACH if self._line.is_in_place else self._progress.every
        if not pause:
            return (yield)
        ticker = Ticker(self._show, pause, "memento-progress")
        ticker.start()
        try:
            return (yield)
        finally:
            ticker.stop()
            self._line.close()

    def say(self, text: str) -> bool:
        """Write a line that stays."""
        self._line.say(text)
        return True

    def _show(self) -> None:
        with contextlib.suppress(Exception):  # what is shown must never end what is done
            state = self._progress.state()
            if state.now.running or state.now.elsewhere:
                self._line.show(state.line(datetime.now().astimezone(), self._line.width))


@contextlib.contextmanager
def _put_back() -> Iterator[None]:
    """Have what pytest changes in this process be as it was, whatever happens."""
    streams = sys.stdin, sys.stdout, sys.stderr
    current, is_frozen = os.environ.get(_CURRENT), gc.get_freeze_count() > 0
    path, here = list(sys.path), os.getcwd()
    handlers = _handlers()
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.path[:] = path
        with contextlib.suppress(OSError):
            os.chdir(here)
        if current is not None:
            os.environ[_CURRENT] = current
        if not is_frozen:
            gc.unfreeze()
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _handlers() -> Mapping[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
