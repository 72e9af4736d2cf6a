"""Long series in fewer points, with the highs and lows that people look for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_memento.metrics import Number

Path = Sequence[tuple[Number, Number]]


def thinned(path: Path, most: int) -> Path:
    """Return at most so many points of a series: the ends, and high and low of each part between.

    >>> thinned([(0, 1.0), (1, 9.0), (2, 1.0), (3, 1.5), (4, 0.5), (5, 1.0)], 4)
    [(0, 1.0), (1, 9.0), (4, 0.5), (5, 1.0)]

    :param path: (step, value) in order; of values that are no numbers, the first of a part stays.
    :param most: 4 or more.
    """
    if len(path) <= most:
        return path
    inner, parts = len(path) - 2, (most - 2) // 2
    kept = [path[0]]
    for n in range(parts):
        start, end = (1 + inner * k // parts for k in (n, n + 1))
        kept += [path[k] for k in sorted(_extremes(path, range(start, end)))]
    return [*kept, path[-1]]


def _extremes(path: Path, part: range) -> set[int]:
    numbers = [k for k in part if math.isfinite(path[k][1])]
    if not numbers:
        return {part.start}
    return {min(numbers, key=lambda k: path[k][1]), max(numbers, key=lambda k: path[k][1])}
