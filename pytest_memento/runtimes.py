"""How long a configuration will take, by what others of the same function took."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping


class Runtimes:
    """What configurations of one function took.

    A configuration that was never run is expected to take the median, times a factor for each of
    its values: the median of those with that value over the median of all. It is never expected to
    take longer than the longest, or shorter than the shortest.

    >>> took = Runtimes([
    ...     ({"model": "svc", "data": "big"}, 40.0),
    ...     ({"model": "svc", "data": "small"}, 4.0),
    ...     ({"model": "tree", "data": "small"}, 1.0),
    ... ])
    >>> took.expected({"model": "tree", "data": "big"})
    10.0

    :param runs: values (name -> anything that tells them apart) and seconds of each.
    """

    def __init__(self, runs: Iterable[tuple[Mapping[str, str], float]]) -> None:
        self._seconds: list[float] = []
        by_value: dict[tuple[str, str], list[float]] = defaultdict(list)
        for values, seconds in runs:
            self._seconds.append(seconds)
            for item in values.items():
                by_value[item].append(seconds)
        self._median = statistics.median(self._seconds) if self._seconds else 0.0
        self._medians = {item: statistics.median(seconds) for item, seconds in by_value.items()}

    def expected(self, values: Mapping[str, str]) -> float | None:
        """Return the seconds that a configuration will take, ``None`` if nothing is known."""
        if not self._seconds:
            return None
        known = (self._medians[item] for item in values.items() if item in self._medians)
        factors = (median / self._median for median in known if self._median)
        shortest, longest = min(self._seconds), max(self._seconds)
        return min(max(self._median * math.prod(factors), shortest), longest)
