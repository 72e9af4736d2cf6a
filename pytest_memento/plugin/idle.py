"""The item that a worker of xdist runs while it waits to be told the next one.

xdist's worker asks for the next item before it runs the present one, since pytest tears down
towards it. So the scheduler sends an idle item behind each experiment: it stands beside the
experiment, which keeps the fixtures of module and class, and when its own turn comes the worker
asks for the next one, which then is chosen. The teardown towards that one is the idle item's.

There is one of it, behind all that was collected, so that nobody counts or reports it.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND


class Idle(pytest.Item):
    """Takes the place of the item before it, and does nothing."""

    _before: pytest.Item | None = None

    def take_place_of(self, item: pytest.Item) -> None:
        """Stand where *item* stands: what would be torn down after it, is torn down after this."""
        self._before = item
        self.parent, self.name = item.parent, item.name

    # A teardown that fails is that of the item before it.

    @property
    def nodeid(self) -> str:
        """That of the item before it."""
        return self._before.nodeid if self._before else super().nodeid

    @property
    def id(self) -> Any:
        """That of the item before it; pytest has it since version 9.2."""
        return (self._before or super()).id  # type: ignore[union-attr]  # in older ones

    @property
    def location(self) -> tuple[str, int | None, str]:
        """That of the item before it."""
        return self._before.location if self._before else (str(self.path), None, self.name)

    def runtest(self) -> None:
        """Fail: it is never run by pytest's protocol.

        :raises RuntimeError: always.
        """
        raise RuntimeError("the idle item cannot be run by another plugin")


class Idling:
    """Runs in a worker of xdist."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Put the idle item behind the others, when xdist has told its controller of these."""
        if not any(BOUND in item.stash for item in session.items):
            return  # then xdist's own scheduler is at work
        session.items.append(Idle.from_parent(session, name="idle"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Place the idle item that follows; tear down when its own turn has come."""
        if isinstance(nextitem, Idle) and nextitem is not item:
            nextitem.take_place_of(item)
        if not isinstance(item, Idle):
            return None
        if nextitem is not item and (failed := private.tear_down_for(item, nextitem)) is not None:
            item.ihook.pytest_runtest_logreport(report=failed)
        return True
