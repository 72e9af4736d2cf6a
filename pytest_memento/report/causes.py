"""Failures by what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_memento.labels import label
from pytest_memento.record import Plain
from pytest_memento.report.model import Row


@dataclass(frozen=True)
class Cause:
    """What some experiments failed for.

    :param error: the line that they have in common.
    :param rows: which they are.
    """

    error: str
    rows: Sequence[Row]

    def where(self, rows: Sequence[Row]) -> str:
        """Say which experiments these are: by the values that they have in common.

        :param rows: of all experiments.
        """
        experiments = {row.experiment for row in self.rows}
        rows = [row for row in rows if row.experiment in experiments]
        pairs = self._in_common(rows)
        like = [row for row in rows if pairs.items() <= row.parameters.items()]
        shown = " and ".join(f"{name} = {label(value)}" for name, value in pairs.items())
        of = f"{len(self.rows):,} of {len(like):,}"
        return f"{of} with {shown}" if shown else f"{of} experiments"

    def _in_common(self, rows: Sequence[Row]) -> dict[str, Plain]:
        """Return the values that these share and others do not."""
        first, *others = self.rows
        return {
            name: value
            for name, value in first.parameters.items()
            if all(_has(row, name, value) for row in others)
            and not all(_has(row, name, value) for row in rows)
        }


def _has(row: Row, name: str, value: Plain) -> bool:
    return name in row.parameters and row.parameters[name] == value


def causes(failures: Iterable[Row]) -> list[Cause]:
    """Return failures by their error, the most frequent one first."""
    found: dict[str, list[Row]] = {}
    for row in failures:
        found.setdefault(row.error or "no reason is on record", []).append(row)
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    return [Cause(error, rows) for error, rows in ordered]


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
