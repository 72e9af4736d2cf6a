"""Run grids of expensive experiments with pytest: cached, parallel, resumable."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_memento.config import Config, Settings
from pytest_memento.context import Context
from pytest_memento.errors import (
    CacheMiss,
    ContextError,
    CyclicDependency,
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

if TYPE_CHECKING:
    from pytest_memento.caching import cached
    from pytest_memento.inputs import results_of
    from pytest_memento.providers import (
        ConsoleNotificationProvider,
        DefaultNotificationProvider,
        FileSystemNotificationProvider,
        NotificationProvider,
    )
    from pytest_memento.report import write_report
    from pytest_memento.results import Result, Results, load_results
    from pytest_memento.runner import Memento

__all__ = [
    "CacheMiss",
    "Config",
    "ConsoleNotificationProvider",
    "Context",
    "ContextError",
    "CyclicDependency",
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
    "cached",
    "load_results",
    "results_of",
    "write_report",
]


_LATER = {
    "ConsoleNotificationProvider": "providers",
    "DefaultNotificationProvider": "providers",
    "FileSystemNotificationProvider": "providers",
    "Memento": "runner",
    "NotificationProvider": "providers",
    "results_of": "inputs",
    "Result": "results",
    "Results": "results",
    "cached": "caching",
    "load_results": "results",
    "write_report": "report",
}
"""What is loaded where it is asked for: most sessions of pytest have no need of it."""


def __getattr__(name: str) -> Any:
    """Load what is asked for, see above."""
    if name in _LATER:
        return getattr(importlib.import_module(f"pytest_memento.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
