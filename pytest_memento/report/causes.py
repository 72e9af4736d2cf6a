"""Failures by what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_memento.causes import by_cause, explain
from pytest_memento.labels import label
from pytest_memento.report.model import Row


@dataclass(frozen=True)
class Cause:
    """What some experiments failed for.

    :param error: what the first one says.
    :param rows: which they are.
    """

    error: str
    rows: Sequence[Row]

    def where(self, rows: Sequence[Row]) -> str:
        """Say which experiments these are: by the values that explain it.

        :param rows: of all experiments.
        """
        experiments = {row.experiment for row in self.rows}
        every = [_labels(row) for row in rows if row.experiment in experiments]
        return explain([_labels(row) for row in self.rows], every)


def _labels(row: Row) -> Mapping[str, str]:
    return {name: label(value) for name, value in row.parameters.items()}


def causes(failures: Iterable[Row]) -> list[Cause]:
    """Return failures by their cause, the most frequent one first."""
    found = by_cause((row.error or "no reason is on record", row) for row in failures)
    return [Cause(error, rows) for error, rows in found]


def ending(text: str, most: int) -> str:
    r"""Return the end of a text, from the beginning of a line on, with a note of what is cut.

    >>> print(ending("one\ntwo\nthree", 9))
    [8 of 13 characters are left out here]
    three
    """
    if len(text) <= most:
        return text
    kept = text[len(text) - most :]
    _, newline, rest = kept.partition("\n")
    kept = rest if newline and rest else kept
    return f"[{len(text) - len(kept)} of {len(text)} characters are left out here]\n{kept}"
