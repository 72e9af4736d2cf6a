"""What can go wrong, in one line each: what, where, what to do."""

from __future__ import annotations


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


class FileError(MementoError, ValueError):
    """A data file that a result depends on and that is not there."""
