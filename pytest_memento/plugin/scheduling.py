"""The schedule in the controller of xdist: who is free is sent what comes next.

Each experiment is sent with an idle item behind it (see ``idle``), so that a worker that runs one
has nothing else in hand. What is stored is reported here and sent to nobody. In a session without
experiments xdist's own scheduler takes over before anything has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_memento.plugin import private
from pytest_memento.plugin.given import GIVEN
from pytest_memento.plugin.options import OPTIONS
from pytest_memento.plugin.plan import Plan
from pytest_memento.plugin.reports import report_in_one
from pytest_memento.schedule import Allowance, Schedule, Task

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController as Node


class ExperimentScheduling:
    """What xdist asks a scheduler (``xdist.scheduler.Scheduling``).

    :param read_plan: returns what the first worker said there is to do.
    :param allowance: how many experiments are begun.
    :param got_further: tells of a node id whether the worker that died of it has brought it on.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Producer,
        read_plan: Callable[[], Plan | None],
        allowance: Allowance,
        got_further: Callable[[str], bool],
    ) -> None:
        self.config = config
        self.work: Schedule[Node] | None = None
        self._log = log
        self._read_plan = read_plan
        self._allowance = allowance
        self._got_further = got_further
        self._nodes: list[Node] = []
        self._ids: list[str] = []
        self._first = ""  # the worker that has collected these
        self._plan: Plan | None = None
        self._has_begun = False
        self._ran: set[Node] = set()  # those whose present item has had a report
        self._asked_back: set[Node] = set()  # and those that gave nothing, until they end something
        self._deaths: dict[str, int] = {}

    # -- what xdist asks ---------------------------------------------------------------------------

    @property
    def nodes(self) -> list[Node]:
        """The workers."""
        return list(self._nodes)

    @property
    def collection_is_completed(self) -> bool:
        """Whether a worker is ready: it need not wait for the others."""
        return self.work is not None

    @property
    def tests_finished(self) -> bool:
        """Whether nothing runs, and nothing will."""
        return self.work is not None and self._has_begun and self.work.is_over

    @property
    def has_pending(self) -> bool:
        """Whether the first items have been sent."""
        return self._has_begun

    def add_node(self, node: Node) -> None:
        """Note a worker that has come up."""
        self._nodes.append(node)

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """Note that a worker has collected, and what."""
        if self.work is None:
            self._begin(node, collection)
        elif list(collection) == list(self._ids):
            self.work.join(node)
        elif not collection and GIVEN in self.config.stash:  # which says itself why
            node.shutdown()
        else:
            self._refuse(node, collection)

    def schedule(self) -> None:
        """Send work to those who have none."""
        if not self._has_begun:
            self._has_begun = True
            self._report_hits()
        self._feed()

    def mark_test_complete(
        self,
        node: Node,
        item_index: int,
        duration: float = 0,  # noqa: ARG002 (xdist gives it)
    ) -> None:
        """Note that a worker has done an item; without a report, another session computes it."""
        schedule = self._known_work()
        if item_index == len(self._ids):  # the idle item
            return
        self._asked_back.discard(node)
        if node in self._ran:
            self._ran.discard(node)
            schedule.finish(node, item_index)
        else:
            schedule.put_off(node, item_index)
        self._feed()

    def mark_test_pending(self, item: str) -> None:
        """Run an item once more, as other plugins ask for when its worker has died."""
        self._known_work().again(self._ids.index(item))
        self._feed()

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """Note what a worker has given back."""
        if indices:
            self._asked_back.discard(node)
            self._known_work().take_back(node, indices)
        self._feed()

    def remove_node(self, node: Node) -> str | None:
        """Forget a worker, and return the test that it died of, if that is not tried again."""
        try:
            self._nodes.remove(node)
        except ValueError:
            raise KeyError(node) from None  # as xdist expects
        self._ran.discard(node)
        self._asked_back.discard(node)
        if self.work is None:
            return None
        loss = self.work.leave(node, lambda task: self._got_further(self._ids[task.number]))
        if loss.task is not None:
            self._deaths[self._ids[loss.task.number]] = loss.deaths
        is_heavy = loss.task is not None and not loss.task.is_light
        may_go_on = private.may_restart(self.config, counted=not is_heavy)
        if not may_go_on:
            self._allowance.stop("no more workers are started")
        self._feed()
        if loss.task is None or not (loss.is_over or not may_go_on):
            return None
        return self._ids[loss.task.number]

    # -- what happens ------------------------------------------------------------------------------

    def saw(self, report: pytest.TestReport) -> None:
        """Note that a worker has reported its present item."""
        node = getattr(report, "node", None)
        # An idle item reports a teardown that failed.
        if node is not None and getattr(report, "item_index", None) != len(self._ids):
            self._ran.add(node)

    def nodeid_of(self, task: Task) -> str:
        """Return the node id of a task."""
        return self._ids[task.number]

    def deaths(self, nodeid: str) -> int:
        """Return how many workers have died while they ran a test."""
        return self._deaths.get(nodeid, 0)

    def halt(self, why: str) -> None:
        """Begin nothing more, and take back what was sent and has not begun."""
        self._allowance.stop(why)
        if self.work is None:
            return
        for node in self._nodes:
            self._ask_back(node, self.work.not_begun(node))

    def _known_work(self) -> Schedule[Node]:
        assert self.work is not None
        return self.work

    def _begin(self, node: Node, collection: Sequence[str]) -> None:
        self._ids, self._first = list(collection), node.gateway.id
        self._plan = self._read_plan()
        if self._plan is None:
            self._step_aside(node, collection)
            return
        tasks = self._plan.all_tasks(len(collection))
        longest_first = not self._plan.in_given_order
        leaves = self.config.stash[OPTIONS].order is not None
        self.work = Schedule(
            tasks, longest_first=longest_first, leaves=leaves, allowance=self._allowance
        )
        self.work.join(node)
        number, total = len(self.config.option.tx), len(collection)
        workers, items = "worker" + "s" * (number != 1), "item" + "s" * (total != 1)
        private.show_no_status(self.config, f"{number} {workers} [{total} {items}]")

    def _step_aside(self, node: Node, collection: Sequence[str]) -> None:
        from xdist.scheduler import LoadScheduling

        stock = LoadScheduling(self.config, self._log)
        for each in self._nodes:
            stock.add_node(each)
        stock.add_node_collection(node, collection)
        private.replace_scheduler(self.config, stock)

    def _refuse(self, node: Node, collection: Sequence[str]) -> None:
        """Go on without a worker that has collected something else; the session fails for it."""
        from xdist.report import report_collection_diff

        other = node.gateway.id
        message = report_collection_diff(self._ids, list(collection), self._first, other)
        report = pytest.CollectReport(other, "failed", longrepr=message, result=[])
        self.config.hook.pytest_collectreport(report=report)
        node.shutdown()

    def _report_hits(self) -> None:
        assert self._plan is not None
        for number, (location, known) in self._plan.hits.items():
            report_in_one(self.config.hook, self._ids[number], location, known)

    def _feed(self) -> None:
        schedule = self._known_work()
        for node in self._nodes:
            if schedule.knows(node) and not node.shutting_down:
                self._send(node, schedule.take(node))
        for node in self._nodes:
            if schedule.knows(node) and (found := schedule.to_take_back(node)):
                self._ask_back(*found)

    def _send(self, node: Node, tasks: Sequence[Task]) -> None:
        idle = len(self._ids)
        indices: list[int] = []
        for task in tasks:
            indices += [task.number] if task.is_light else [task.number, idle]
        if tasks:
            node.send_runtest_some(indices if indices[-1] == idle else [*indices, idle])

    def _ask_back(self, node: Node, tasks: Sequence[Task]) -> None:
        if tasks and node not in self._asked_back and not node.shutting_down:
            self._asked_back.add(node)
            node.send_steal([task.number for task in tasks])


def is_chosen_by_user(config: pytest.Config) -> bool:
    """Whether the user asked for a way to distribute tests, as with ``--dist=loadfile``."""
    typed = config.known_args_namespace
    return bool(getattr(typed, "dist", "no") != "no" or getattr(typed, "distload", False))
