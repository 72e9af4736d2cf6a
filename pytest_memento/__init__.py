"""Run grids of expensive experiments with pytest: cached, parallel, resumable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
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
    "load_results",
]


def __getattr__(name: str) -> Any:
    """Load what is about results where it is asked for: a session of pytest has no need of it."""
    if name in ("Result", "Results", "load_results"):
        from pytest_memento import results

        return getattr(results, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
