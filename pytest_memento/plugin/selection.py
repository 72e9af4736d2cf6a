"""``--memento-select``: the experiments for which an expression holds; the rest is deselected."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

import pytest

from pytest_memento.errors import QueryError
from pytest_memento.experiment import Experiment, find_before
from pytest_memento.pause import without_gc
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.distribution import agree, refuse
from pytest_memento.plugin.options import Options
from pytest_memento.query import Query
from pytest_memento.record import Record
from pytest_memento.rows import ExperimentRow
from pytest_memento.store import Store

Rows = dict[pytest.Item, ExperimentRow]


class Selection:
    """Deselects what the user did not ask for, ordinary tests among it."""

    def __init__(self, options: Options, query: Query) -> None:
        self.options = options
        self.query = query

    # First of all, so that a name that only deselected experiments have is no mistake.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keep the experiments for which the expression holds."""
        with without_gc():
            rows = rows_of(items, self.options.store)
            try:
                self._check(session, rows)
            except QueryError as error:
                items.clear()
                refuse(config, f"--memento-select: {error}")
                return
            chosen = [item.nodeid for item, row in rows.items() if self.query.holds(row)]
        kept = set(agree(config, "selection", chosen))
        keep(config, items, {item for item in rows if item.nodeid in kept})

    def _check(self, session: pytest.Session, rows: Rows) -> None:
        # The name may belong to a file that could not be collected, which is an error anyway.
        if not session.testsfailed:
            self.query.check(list(rows.values()))


def rows_of(items: Sequence[pytest.Item], store: Store) -> Rows:
    """Return what the selection language sees of each experiment among *items*."""
    find, now = _finder(store), time.time()
    bounds = {item: item.stash[BOUND] for item in items if BOUND in item.stash}
    return {
        item: ExperimentRow(bound.experiment, bound.standing, find, now)
        for item, bound in bounds.items()
    }


def _finder(store: Store) -> Callable[[Experiment], Record | None]:
    listing = functools.cache(store.listing)

    def find(experiment: Experiment) -> Record | None:
        return find_before(experiment.key, listing(experiment.key.experiment), store)

    return find


def keep(config: pytest.Config, items: list[pytest.Item], chosen: set[pytest.Item]) -> None:
    """Deselect all but the chosen items."""
    if dropped := [item for item in items if item not in chosen]:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item in chosen]
