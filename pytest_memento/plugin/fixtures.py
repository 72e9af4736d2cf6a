"""What an experiment, or a fixture it uses, can ask for."""

from __future__ import annotations

import pytest

from pytest_memento.config import Config
from pytest_memento.context import Context
from pytest_memento.plugin.bound import BOUND, Bound


@pytest.fixture
def config(request: pytest.FixtureRequest) -> Config:
    """The configuration of the running experiment: its parameters and settings."""
    return _bound(request, "config").attempt.config


@pytest.fixture
def context(request: pytest.FixtureRequest) -> Context:
    """Checkpoints, metrics, progress, a directory and a seed for the running experiment."""
    return _bound(request, "context").attempt.context


def _bound(request: pytest.FixtureRequest, name: str) -> Bound:
    bound: Bound | None = request.node.stash.get(BOUND, None)
    if bound is None:
        pytest.fail(
            f"fixture {name!r} of pytest-memento needs a matrix: define a fixture 'matrix', or"
            " use @pytest.mark.memento(matrix=...)",
            pytrace=False,
        )
    return bound
