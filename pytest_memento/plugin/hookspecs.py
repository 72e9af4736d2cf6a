"""The hooks that users of the plugin can implement."""

from __future__ import annotations

import pytest

from pytest_memento.config import Config


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
