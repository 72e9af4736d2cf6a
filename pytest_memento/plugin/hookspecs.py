"""The hooks that users of the plugin can implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_memento.config import Config

if TYPE_CHECKING:
    from pytest_memento.notify import Notification
    from pytest_memento.results import Result


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


def pytest_memento_result(result: Result) -> None:
    """Pass on what has come out of an experiment, as to a tracker of experiments.

    Called once for each experiment that ends in this session with a result or a failure, when its
    report has arrived, also for those that were stored before: leave them out by
    ``result.was_cached``. The value is loaded on access. With ``--reruns``, only the last try
    counts; of what ``--memento-verify`` has computed again and found the same, it is the stored
    result.

    It is called in one process, never in a worker of xdist or a task of Slurm: in the controller,
    and in a session that watches tasks, in that one. A ``conftest.py`` is asked for what is below
    it, and the controller of xdist knows only those of the directories that were named on the
    command line, and above these. The session waits for it.

    Not called where nothing is stored: with ``--memento-cache=off``, for what is skipped or fails
    as expected, for what fails without being run (``--memento-cache=only``), and for a result that
    ``--memento-verify`` finds to differ. One that raises is a warning at the end of the session,
    and changes no outcome; hook wrappers are not called.

    :param result: configuration, value, metrics, runtime, error; see
        :class:`pytest_memento.Result`.
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
