"""A session that is a task of a job array: runs what was submitted, and leaves reports.

It is like any other session on the store: it claims what it runs. It ends when nothing is left that
nobody else runs. Those who watch replay its reports.
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Generator, Mapping
from typing import Any

import pytest

from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.reports import Ended, told
from pytest_memento.plugin.selection import keep
from pytest_memento.plugin.slurm.asking import INPUT, Order
from pytest_memento.plugin.stopping import Runs
from pytest_memento.provenance import host
from pytest_memento.slurm.cluster import requeue
from pytest_memento.slurm.submission import Notes

_MOST_RETURNS = 100
"""How many times a task goes back into the queue: that of an experiment that never comes further
than its time must end some time."""
_CRASHED = "???"
"""What xdist gives as the phase of a test whose worker died."""


class Ordered:
    """Keeps what was submitted, where items are collected: in the task, or in its workers."""

    def __init__(self, options: Options, order: Order) -> None:
        self.options = options
        self.order = order

    # Around what has experiments join that are needed.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None]:
        """Deselect what is of another group, or is not what it was when it was submitted."""
        yield
        stems = {i: i.stash[BOUND].experiment.key.stem for i in items if BOUND in i.stash}
        wanted = {nodeid: item.stem for nodeid, item in self.order.items.items()}
        kept = {item for item, stem in stems.items() if wanted.get(item.nodeid) == stem}
        changed = wanted.keys() - {item.nodeid for item in kept}
        if changed:
            notes = Notes(self.order.submission, self.options.store.rights)
            notes.add(changed=sorted(changed), on=host())
        keep(config, items, kept)


class Task:
    """Tells those who watch what happens, in the process that Slurm has started.

    :param runs: where experiments run.
    """

    def __init__(self, options: Options, config: pytest.Config, order: Order, runs: Runs) -> None:
        self.config = config
        self.order = order
        self._runs = runs
        self._notes = Notes(order.submission, options.store.rights)
        self._element = _element()
        self._reports: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        self._failures = 0
        self._ended: set[str] = set()
        self._returns = False
        self._why = ""

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker what it is for."""
        node.workerinput[INPUT] = self.order.text

    def pytest_sessionstart(self) -> None:
        """Say that the task has begun."""
        node = os.environ.get("SLURMD_NODENAME") or host()
        self._notes.add(begun=self._element, node=node, pid=os.getpid())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what is told of an experiment."""
        known, nodeid = told(report), report.nodeid
        if nodeid in self.order.items:
            data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
            data.pop("node", None)  # of xdist
            self._reports[nodeid].append(data)
            if known is not None:
                self._ended.add(nodeid)
            is_cached = known is not None and known["ended"] == Ended.CACHED.value
            if known is not None and (is_cached or "where" in known):
                self._reports.pop(nodeid, None)  # not run here
        self._failures += report.failed
        if report.when == _CRASHED:  # nothing comes after it
            self.pytest_runtest_logfinish(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Pass on the reports of an experiment; look whether to go on."""
        self._tell(nodeid)
        self._look_whether_to_go_on()

    def pytest_warning_recorded(
        self, warning_message: Any, when: str, nodeid: str, location: Any
    ) -> None:
        """Pass on a warning of an experiment."""
        if nodeid in self.order.items and (data := private.warning_as_data(warning_message)):
            self._notes.add(warning=data, when=when, of=nodeid, location=location)

    def _tell(self, nodeid: str) -> None:
        if reports := self._reports.pop(nodeid, None):
            self._notes.add(nodeid=nodeid, stem=self.order.items[nodeid].stem, reports=reports)

    def _look_whether_to_go_on(self) -> None:
        submission, most = self.order.submission, self.config.option.maxfail
        if most and self._failures >= most:
            submission.halt(f"{self._failures} failure{'s' if self._failures > 1 else ''}")
        if why := submission.halted:
            self._runs.halt(why)

    # -- making room -------------------------------------------------------------------------------

    def returns(self) -> None:
        """Have the task go back into the queue when it has ended: its time is over."""
        self._returns = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Remember how it ended."""
        self._why = str(int(exitstatus))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Say that the task has ended, or comes back: then this ends the process."""
        is_done = self._ended >= self.order.items.keys()
        if not self._returns or is_done or not self._element:
            self._notes.add(ended=self._element, status=self._why)
            return
        if int(os.environ.get("SLURM_RESTART_COUNT") or 0) >= _MOST_RETURNS:
            self._notes.add(ended=self._element, status=f"its time was over {_MOST_RETURNS} times")
            return
        self._notes.add(returns=self._element)
        # Slurm ends what it puts back, which is not to look like another end.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not requeue(self._element):
            self._notes.add(ended=self._element, status="Slurm did not put it back into the queue")


def _element() -> str:
    """Return the name of this task, as Slurm has it."""
    job, index = (os.environ.get(f"SLURM_ARRAY_{name}_ID", "") for name in ("JOB", "TASK"))
    return f"{job}_{index}" if job and index else ""
