"""What can go wrong, in one line each: what, where, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_memento.results import Results


class MementoError(Exception):
    """The root of all errors that this package raises on purpose."""


class MementoWarning(UserWarning):
    """Something that is probably not meant, such as an ``exclude`` that matches nothing."""


class MatrixError(MementoError, ValueError):
    """A configuration matrix that cannot be expanded."""


class FingerprintError(MementoError, TypeError):
    """A value that has no stable fingerprint.

    :param reason: why, in words that continue "... has no stable fingerprint: ".
    :param at: the path to the offending part, as in ``.pool[0]``; empty for the value itself.
    """

    def __init__(self, reason: str, at: str = "") -> None:
        super().__init__(reason, at)
        self.reason = reason
        self.at = at

    def __str__(self) -> str:
        return f"{self.reason} (at {self.at})" if self.at else self.reason

    def inside(self, step: str) -> FingerprintError:
        """Return the same error as seen from the container that holds the part at *step*."""
        return FingerprintError(self.reason, step + self.at)


class StoreError(MementoError):
    """The store cannot be read or written as asked."""


class UnstorableError(StoreError, TypeError):
    """A value that cannot be pickled.

    :param reason: what pickle said.
    :param at: the path to the part it failed on, as in ``.model.pool``; empty for the value itself.
    """

    def __init__(self, reason: str, at: str = "") -> None:
        super().__init__(reason, at)
        self.reason = reason
        self.at = at

    def __str__(self) -> str:
        return f"{self.reason} (at {self.at})" if self.at else self.reason


class DamagedError(StoreError):
    """A file of the store that is truncated, altered, foreign or not to be trusted."""


class DistrustedError(DamagedError):
    """A value of another user, which is not loaded because that would run their code."""


class ResultNotLoadedError(StoreError):
    """A stored value that cannot be brought back, for instance because its class is gone."""


class ContextError(MementoError, ValueError):
    """A call on ``context`` with something it cannot take."""


class QueryError(MementoError, ValueError):
    """An expression of the selection language that cannot be read, or that names nothing.

    :param text: the expression, as it is shown.
    :param reason: what is wrong with it, where, and what is allowed.
    """

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason

    def __str__(self) -> str:
        return f'expression "{self.text}": {self.reason}'


class CyclicDependency(MatrixError):
    """Matrices that need each other's results.

    :param ids: of the matrices, each of which depends on the next one.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(ids)
        self.ids = ids

    def __str__(self) -> str:
        return f"matrices depend on each other: {' -> '.join(self.ids)}"


class CacheMiss(MementoError):
    """A result that is wanted from the store alone, and is not there.

    :param missing: the labels of the configurations.
    :param reason: why the first one is missing.
    """

    def __init__(self, missing: Sequence[str], reason: str = "") -> None:
        super().__init__(missing, reason)
        self.missing = missing
        self.reason = reason

    def __str__(self) -> str:
        first = f"{self.missing[0]} ({self.reason})" if self.reason else self.missing[0]
        more = f" and {len(self.missing) - 1} more" if len(self.missing) > 1 else ""
        return f"no stored result of {first}{more}, and force_cache=True runs nothing"


class ExperimentsFailed(MementoError):
    """Experiments of a run that have failed, when all have ended.

    :param failures: label -> error, in a line.
    :param results: all of the run.
    """

    def __init__(self, failures: Mapping[str, str], results: Results) -> None:
        super().__init__(failures, results)
        self.failures = failures
        self.results = results

    def __str__(self) -> str:
        number = len(self.failures)
        lines = [f"{number} of {len(self.results)} experiments failed:"]
        lines += [f"  {label}: {error}" for label, error in [*self.failures.items()][:20]]
        return "\n".join([*lines, *([f"  ... and {number - 20} more"] if number > 20 else [])])


class FileError(MementoError, ValueError):
    """A data file that a result depends on and that is not there."""
