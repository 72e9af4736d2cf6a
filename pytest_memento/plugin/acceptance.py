"""``--memento-accept``: results and checkpoints of other code that the user declares valid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator

import pytest

from pytest_memento.acceptance import accept, accept_checkpoint, has_other_checkpoint, why_not
from pytest_memento.errors import QueryError, StoreError
from pytest_memento.experiment import Experiment, Status, find_before, find_hit
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.distribution import agree, refuse
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.outlook import REMARKS
from pytest_memento.plugin.selection import rows_of
from pytest_memento.query import Query
from pytest_memento.record import Record


class Acceptance:
    """Takes stale results over, of the experiments that are not deselected.

    :param query: which ones; ``None`` for all.
    """

    def __init__(self, options: Options, query: Query | None) -> None:
        self.options = options
        self.query = query
        self.accepted = 0
        self.checkpoints = 0
        self.refused: Counter[str] = Counter()

    # Around all that deselects, and before what is still needed joins.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None]:
        """Take over what is stale and chosen; with ``--collect-only``, only count it."""
        yield
        try:
            chosen = self._chosen(session, items)
        except QueryError as error:
            items.clear()
            refuse(config, f"--memento-accept: {error}")
            return
        # Before anything is accepted: other workers look at the same store.
        stale = [item.nodeid for item, b in chosen.items() if b.standing.status is Status.STALE]
        agreed = set(agree(config, "acceptance", stale))
        for item, bound in chosen.items():
            if item.nodeid in agreed:
                self._accept(bound)
        unfinished = [item.nodeid for item, bound in chosen.items() if self._could_go_on(bound)]
        agreed = set(agree(config, "checkpoints", unfinished))
        for item, bound in chosen.items():
            if item.nodeid in agreed:
                self._accept_checkpoint(bound)
        config.stash.setdefault(REMARKS, []).extend(self._lines())

    def _chosen(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> dict[pytest.Item, Bound]:
        if self.query is None:
            return {item: item.stash[BOUND] for item in items if BOUND in item.stash}
        rows = rows_of(items, self.options.store)
        if not session.testsfailed:
            self.query.check(list(rows.values()))
        return {item: item.stash[BOUND] for item, row in rows.items() if self.query.holds(row)}

    def _accept(self, bound: Bound) -> None:
        experiment, store = bound.experiment, self.options.store
        before = find_before(experiment.key, store.listing(experiment.key.experiment), store)
        if before is None:  # removed since it was looked up
            return
        # Another worker of this session may have been first.
        is_there = before.key == experiment.key and not bound.standing.replaces
        if not is_there and (reason := self._take_over(experiment, before)):
            self.refused[reason] += 1
            return
        self.accepted += 1
        if not self.options.collect_only:
            bound.standing = find_hit(experiment.key, store, self.options.root) or bound.standing

    def _take_over(self, experiment: Experiment, before: Record) -> str:
        """Take a result over, or say why not."""
        if (reason := why_not(experiment, before)) or self.options.collect_only:
            return reason
        try:
            accept(experiment, before, self.options.store, self.options.root)
        except StoreError as error:
            return str(error)
        return ""

    def _could_go_on(self, bound: Bound) -> bool:
        if bound.standing.status is Status.CACHED:
            return False
        try:
            return has_other_checkpoint(bound.experiment, self.options.store)
        except StoreError:  # it is said when the experiment is to run
            return False

    def _accept_checkpoint(self, bound: Bound) -> None:
        try:
            if not self.options.collect_only and self._could_go_on(bound):
                accept_checkpoint(bound.experiment, self.options.store)
        except StoreError as error:
            self.refused[str(error)] += 1
        else:
            self.checkpoints += 1

    def _lines(self) -> Iterator[str]:
        """Yield what the header says of it."""
        verb = "would be accepted" if self.options.collect_only else "accepted"
        plural = "" if self.accepted == 1 else "s"
        yield f"memento: {self.accepted} stale result{plural} {verb} for the present code"
        if number := self.checkpoints:
            plural = "" if number == 1 else "s"
            yield f"memento: {number} checkpoint{plural} of other code {verb}, to go on from"
        for reason, number in self.refused.items():
            yield f"memento: {number} not accepted: {reason}"
