"""What is needed joins the session, whatever was asked for: inputs are like fixtures.

Files that were not named are collected for it, and what ``-k``, ``--lf`` and the like have
deselected comes back. The header says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence

import pytest

from pytest_memento.inputs import Input
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.distribution import agree
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.outlook import REMARKS
from pytest_memento.plugin.plan import runs
from pytest_memento.plugin.upstream import Upstream


class Joining:
    """Adds what is needed, and puts each experiment behind what it needs.

    :param upstream: knows what was collected.
    """

    def __init__(self, options: Options, upstream: Upstream) -> None:
        self.options = options
        self._upstream = upstream

    # Around all others: --lf deselects when these are through.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None]:
        """Add what those need that are left."""
        if not self._upstream.has_inputs:
            yield
            return
        collected = {item.nodeid: item for item in items}
        items.sort(key=self._depth)  # --sw leaves out what comes before the last failure
        yield
        there = {item.nodeid for item in items}
        needed = [each for each in self._wanted(items) if each not in there]
        agreed = {*agree(config, "inputs", needed)}
        joining = [
            collected.get(item.nodeid, item)
            for item in self._upstream.items()
            if item.nodeid in agreed
        ]
        if joining:
            _join(session, config, joining, [i for i in joining if i.nodeid in collected])
            items += joining
        items.sort(key=self._depth)

    def _wanted(self, items: Sequence[pytest.Item]) -> list[str]:
        """Return the node ids of what is to join: in a task of Slurm, what was submitted."""
        if (order := self.options.order) is not None:
            return [i.nodeid for i in self._upstream.items() if i.nodeid in order.items]
        return self._needed(items)

    def _needed(self, items: Sequence[pytest.Item]) -> list[str]:
        """Return the node ids of the inputs that have to run, for *items* that have to."""
        if not (self.options.reads or self.options.writes):
            return []
        by_key = {item.stash[BOUND].experiment.key: item for item in self._upstream.items()}
        needed: dict[str, None] = {}
        waiting = [item for item in items if runs(item, self.options)]
        while waiting:
            for each in _inputs_of(waiting.pop()):
                item = by_key.get(each.key)
                if item is None or item.nodeid in needed:
                    continue
                if item.stash[BOUND].standing.status.runs:
                    needed[item.nodeid] = None
                    waiting.append(item)
        return [*needed]

    def _depth(self, item: pytest.Item) -> int:
        bound = item.stash.get(BOUND, None)
        return self._upstream.depth(bound.experiment) if bound is not None else 0


def _inputs_of(item: pytest.Item) -> Sequence[Input]:
    """Return what an item will be given: nothing, if a mark leaves it out."""
    inputs = item.stash[BOUND].experiment.inputs
    return () if inputs and private.never_runs(item) else inputs


def _join(
    session: pytest.Session,
    config: pytest.Config,
    items: Sequence[pytest.Item],
    again: Sequence[pytest.Item],
) -> None:
    """Tell of items that join.

    :param again: those of them that were collected, and deselected.
    """
    private.undo_deselection(config, again)
    known = {*again}
    new = [item for item in items if item not in known]
    for item in new:
        item.ihook.pytest_itemcollected(item=item)
    report = pytest.CollectReport(session.nodeid, "passed", longrepr=None, result=[*new])
    config.hook.pytest_collectreport(report=report)  # so that they are counted
    names = Counter(item.stash[BOUND].experiment.key.experiment for item in items)
    for name, number in names.items():
        plural = "" if number == 1 else "s"
        line = f"memento: with {number} experiment{plural} of {name}, whose results are needed"
        config.stash.setdefault(REMARKS, []).append(line)
