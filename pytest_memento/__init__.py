"""Run grids of expensive experiments with pytest: cached, parallel, resumable."""

from __future__ import annotations

from pytest_memento.config import Config, Settings
from pytest_memento.context import Context
from pytest_memento.errors import (
    CacheMiss,
    ContextError,
    ExperimentsFailed,
    FingerprintError,
    MatrixError,
    MementoError,
    MementoWarning,
    QueryError,
    ResultNotLoadedError,
    StoreError,
    UnstorableError,
)
from pytest_memento.providers import (
    ConsoleNotificationProvider,
    DefaultNotificationProvider,
    FileSystemNotificationProvider,
    NotificationProvider,
)
from pytest_memento.results import Result, Results, load_results
from pytest_memento.runner import Memento

__all__ = [
    "CacheMiss",
    "Config",
    "ConsoleNotificationProvider",
    "Context",
    "ContextError",
    "DefaultNotificationProvider",
    "ExperimentsFailed",
    "FileSystemNotificationProvider",
    "FingerprintError",
    "MatrixError",
    "Memento",
    "MementoError",
    "MementoWarning",
    "NotificationProvider",
    "QueryError",
    "Result",
    "ResultNotLoadedError",
    "Results",
    "Settings",
    "StoreError",
    "UnstorableError",
    "load_results",
]
