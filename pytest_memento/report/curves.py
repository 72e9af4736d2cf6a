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
        """Read the series of all rows; what has one point only is no curve."""
        found = [
            (n, name, path)
            for n, row in enumerate(rows)
            for name, path in _series(row).items()
            if len(path) > 1
        ]
        most = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(1, len(found))))
        names: dict[str, int] = {}
        steps: dict[tuple[Number, ...], int] = {}
        curves = []
        for n, name, path in found:
            points = thinned(path, most)
            at = steps.setdefault(tuple(step for step, _ in points), len(steps))
            values = [_rounded(value) for _, value in points]
            curves.append((n, names.setdefault(name, len(names)), at, values))
        cut = sum(len(path) > most for _, _, path in found)
        note = (
            f"{cut:,} of {len(found):,} curves are drawn with at most {most} of their points: the"
            " ends, and the highest and lowest of each part between."
        )
        return cls(list(names), list(steps), curves, note if cut else "")

    def to_json(self) -> dict[str, Any]:
        """Return what the page draws."""
        return {"metrics": self.names, "steps": self.steps, "curves": self.curves}


def _series(row: Row) -> Series:
    # Of a header that has no metrics the rest need not be read.
    return row.load().series if row.metrics else {}


def _rounded(value: Number) -> Number | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
