"""The metric curves of a page: thinned, rounded, and steps that curves share kept once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_memento.metrics import Number, Series
from pytest_memento.report.model import Row
from pytest_memento.report.thinning import thinned

ALL_POINTS: Final = 500_000
"""Points of all curves of a page, about: some ten bytes each."""
MOST_POINTS: Final = 400
"""Points of a curve: more would not be seen."""
FEWEST_POINTS: Final = 16
MOST_CURVES: Final = ALL_POINTS // FEWEST_POINTS


@dataclass(frozen=True)
class Curves:
    """What is drawn over steps.

    :param names: of the metrics.
    :param steps: those of the curves, each once.
    :param curves: (row, which of *names*, which of *steps*, values).
    :param note: what was left out, in a sentence; empty if nothing was.
    """

    names: Sequence[str]
    steps: Sequence[Sequence[Number]]
    curves: Sequence[tuple[int, int, int, Sequence[Number | None]]]
    note: str = ""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Curves:
        """Read the series of all rows, one after the other; what has one point only is no curve."""
        number = sum(len(row.metrics) for row in rows)
        every = -(-number // MOST_CURVES) or 1
        most = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS * every // max(1, number)))
        names: dict[str, int] = {}
        steps: dict[tuple[Number, ...], int] = {}
        curves, cut = [], 0
        for n in range(0, len(rows), every):
            for name, path in _series(rows[n]).items():
                if len(path) > 1:
                    points = thinned(path, most)
                    cut += len(points) < len(path)
                    at = steps.setdefault(tuple(step for step, _ in points), len(steps))
                    values = [_rounded(value) for _, value in points]
                    curves.append((n, names.setdefault(name, len(names)), at, values))
        return cls(list(names), list(steps), curves, _note(every, cut, len(curves), most))

    def to_json(self) -> dict[str, Any]:
        """Return what the page draws."""
        return {"metrics": self.names, "steps": self.steps, "curves": self.curves}


def _note(every: int, cut: int, number: int, most: int) -> str:
    parts = []
    if every > 1:
        parts.append(f"Curves are drawn of one experiment in {every}.")
    if cut:
        parts.append(
            f"{cut:,} of {number:,} curves are drawn with at most {most} of their points: the"
            " ends, and the highest and lowest of each part between."
        )
    return " ".join(parts)


def _series(row: Row) -> Series:
    # Of a header that has no metrics the rest need not be read.
    return row.load().series if row.metrics else {}


def _rounded(value: Number) -> Number | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
