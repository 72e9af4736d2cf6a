"""The global random generators, seeded for experiments and for nothing else.

For each experiment they are seeded from ``context.seed``, before its first fixture of function
scope. The function goes on from where these fixtures leave them: one that seeds for itself counts.
Libraries that a fixture was the first to import are seeded for the call. A fixture of wider scope
is seeded by its own name, and leaves no trace, since which experiment sets it up depends on the
selection, the order and the number of workers. Afterwards the states are as they were.

pytest-randomly seeds too, before the fixtures and again before the call: the first is overridden,
the second undone, and ordinary tests keep what it does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_memento.labels import label
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.plan import runs
from pytest_memento.seeding import Generators, seed_of, seeded


class Seeding:
    """Has the generators seeded in sessions that are going to run an experiment."""

    def __init__(self, options: Options) -> None:
        self.options = options

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Leave sessions alone whose experiments are all cached, or that have none."""
        manager = session.config.pluginmanager
        is_needed = any(runs(item, self.options) for item in session.items)
        if is_needed and not manager.hasplugin("memento-seeds"):
            manager.register(Seeds(), "memento-seeds")


class Seeds:
    """Seeds the generators for the experiment that is running."""

    def __init__(self) -> None:
        self._generators = Generators()
        self._seed: int | None = None  # of the running experiment
        self._is_fresh = False  # whether none of its own fixtures was set up

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        """Put the states back, whatever has happened."""
        try:
            return (yield)
        finally:
            self._seed = None
            self._generators.give_back()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Note whose turn it is; a test that is retried comes here again."""
        bound = item.stash.get(BOUND, None)
        self._seed = bound.experiment.key.seed if bound else None
        self._is_fresh = True

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Seed before the first fixture of an experiment, and for each of wider scope alone."""
        __tracebackhide__ = True
        if self._seed is None:
            return (yield)
        if fixturedef.scope == "function":
            self._seed_before_the_first()
            return (yield)
        parameter = label(request.param) if hasattr(request, "param") else ""
        with seeded(seed_of(fixturedef.baseid, fixturedef.argname, parameter)):
            return (yield)

    # These two are no wrappers, which would show in the tracebacks of the user's tests.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        """Keep what the fixtures have left, before another plugin seeds for the call."""
        self._seed_before_the_first()
        self._generators.keep()

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self) -> None:
        """Go on from there, whichever plugin makes the call."""
        if self._seed is not None:
            self._generators.resume(self._seed)

    def _seed_before_the_first(self) -> None:
        if self._is_fresh and self._seed is not None:
            self._is_fresh = False
            self._generators.seed(self._seed)
