"""Fixtures that all examples share."""

import pytest
from sklearn.datasets import make_moons
from sklearn.model_selection import train_test_split

from pytest_memento import cached


@pytest.fixture(scope="session")
@cached
def moons():
    """Split data, made once for all workers and sessions; not at all if all is cached."""
    features, target = make_moons(n_samples=2000, noise=0.3, random_state=0)
    return train_test_split(features, target, random_state=0)
