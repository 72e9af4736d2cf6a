"""Run grids of expensive experiments with pytest: cached, parallel, resumable."""

from __future__ import annotations

from pytest_memento.caching import cached
from pytest_memento.config import Config, Settings
from pytest_memento.context import Context
from pytest_memento.errors import (
    ContextError,
    FingerprintError,
    MatrixError,
    MementoError,
    MementoWarning,
    QueryError,
    ResultNotLoadedError,
    StoreError,
    UnstorableError,
)
from pytest_memento.results import Result, Results, load_results

__all__ = [
    "Config",
    "Context",
    "ContextError",
    "FingerprintError",
    "MatrixError",
    "MementoError",
    "MementoWarning",
    "QueryError",
    "Result",
    "ResultNotLoadedError",
    "Results",
    "Settings",
    "StoreError",
    "UnstorableError",
    "cached",
    "load_results",
]
