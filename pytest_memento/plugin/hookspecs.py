"""The hooks that users of the plugin can implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_memento.config import Config

if TYPE_CHECKING:
    from pytest_memento.notify import Notification


@pytest.hookspec(firstresult=True)
def pytest_memento_fingerprint(value: object) -> object | None:
    """Return something with a fingerprint that stands for *value*, or ``None`` to decline.

    Asked for values that are not plain scalars or containers, before anything else is tried.

    :param value: a parameter or setting, or a part of one.
    """


@pytest.hookspec(firstresult=True)
def pytest_memento_compare(stored: object, computed: object, config: Config) -> bool | str | None:
    """Say whether a result that was computed again, by ``--memento-verify``, is the stored one.

    Asked before anything else is tried.

    :param stored: the result in the store.
    :param computed: the one computed now, after a round trip through a pickle.
    :param config: the configuration of the experiment.
    :return: whether they are the same, or in words what differs; ``None`` to decline.
    """


@pytest.hookspec
def pytest_memento_notify(event: Notification, config: pytest.Config) -> None:
    """Tell somebody what the session does, in whatever way.

    Called where the terminal is, never in a worker; in a thread of its own, so that nobody waits:
    what takes longer than 10 s at the end of the session is left. What it raises is a warning. It
    must be in a plugin, or in a conftest that pytest loads at its start.

    :param event: what there is to tell; ``event.event.value`` is ``"end"``, ``"first-failure"``,
        ``"failure"``, ``"stalled"`` or ``"milestone"``. All of them come, whatever else is asked.
    :param config: of pytest.
    """
