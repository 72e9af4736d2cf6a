"""Fixtures that all examples share."""

import pytest
from sklearn.datasets import make_moons
from sklearn.model_selection import train_test_split


@pytest.fixture(scope="session")
def moons():
    """Split data, made once per worker and not at all if every experiment is cached."""
    features, target = make_moons(n_samples=2000, noise=0.3, random_state=0)
    return train_test_split(features, target, random_state=0)
