"""Who is told what has come out, beside the terminal: reporters, and ``pytest_memento_result``.

Only where reports arrive, and only where somebody listens: else nothing is registered that is
called for each of 100,000 reports.
"""

from __future__ import annotations

import os
import traceback
import warnings
from collections import defaultdict
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_memento.errors import MementoWarning
from pytest_memento.labels import one_line
from pytest_memento.plugin import private
from pytest_memento.plugin.options import Options, shown_path
from pytest_memento.plugin.properties import Properties
from pytest_memento.plugin.reports import Ended, record_told, told

if TYPE_CHECKING:
    from pytest_memento.results import Result

_TOLD_OF = {each.value for each in (Ended.CACHED, Ended.VERIFIED, Ended.PASSED, Ended.FAILED)}
_LONGEST = 300
_RAISED = (Exception, SystemExit, pytest.fail.Exception, pytest.skip.Exception)


class Telling:
    """Looks who listens, when all that could have been loaded is."""

    def __init__(self, options: Options, config: pytest.Config) -> None:
        self.options = options
        self.config = config

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Register what is needed, before the first report."""
        manager = self.config.pluginmanager
        if private.is_seen_by_others(self.config, "pytest_runtest_logreport"):
            manager.register(Properties(self.config, self.options.store), "memento-properties")
        if self.config.hook.pytest_memento_result.get_hookimpls():
            manager.register(Passing(self.options, session), "memento-passing")
        return (yield)


class Passing:
    """Passes each result on to those who implement the hook."""

    def __init__(self, options: Options, session: pytest.Session) -> None:
        from pytest_memento.results import Result  # few sessions need it

        self._result = Result
        self.options = options
        self.session = session
        self._raised: dict[str, list[str]] = defaultdict(list)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pass on what has ended, unless it is run again, as by --reruns."""
        known = told(report)
        if known is None or known["ended"] not in _TOLD_OF or str(report.outcome) == "rerun":
            return
        if (where := record_told(known)) is None:  # of what is not stored there is no result
            return
        if (record := self.options.store.read(*where)) is None:  # removed meanwhile
            return
        is_ours = known["ended"] in (Ended.PASSED.value, Ended.FAILED.value)
        was_cached = not is_ours or "where" in known
        root = self.options.root
        self._pass_on(self._result(record, self.options.store, root, was_cached=was_cached))

    def _pass_on(self, result: Result) -> None:
        for plugin, function, names in self._listeners(result):
            try:
                function(*[result for _ in names])
            except _RAISED as error:
                name = f"{result.experiment}[{result.id}]"
                self._raised[plugin].append(f"{name}: {_last_line(error)}")

    def _listeners(self, result: Result) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
        """Yield the implementations: a conftest file's only for what is below it."""
        file = self.options.root / result.experiment.partition("::")[0]
        hook = self.session.gethookproxy(file).pytest_memento_result
        for found in reversed(hook.get_hookimpls()):
            if not (found.wrapper or found.hookwrapper):
                yield found.plugin_name, found.function, found.argnames

    def pytest_sessionfinish(self) -> None:
        """Warn of implementations that have raised, once for each."""
        for plugin, said in self._raised.items():
            more = f" (and for {len(said) - 1} more)" if len(said) > 1 else ""
            self._warn(f"pytest_memento_result of {self._shown(plugin)} raised for {said[0]}{more}")

    def _shown(self, plugin: str) -> str:
        is_conftest = os.path.isabs(plugin)
        return shown_path(Path(plugin), self.session.config) if is_conftest else plugin

    def _warn(self, text: str) -> None:
        # Not issued, but recorded: with -W error it would end the session.
        warning = warnings.WarningMessage(MementoWarning(text), MementoWarning, __file__, 0)
        given = {"warning_message": warning, "when": "runtest", "nodeid": "", "location": None}
        self.session.config.hook.pytest_warning_recorded.call_historic(kwargs=given)


def _last_line(error: BaseException) -> str:
    """Return type and message, also where the message cannot be had."""
    lines = traceback.format_exception_only(error)
    return one_line(lines[-1].strip(), _LONGEST)
