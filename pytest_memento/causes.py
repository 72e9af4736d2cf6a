"""What failures have in common: what they say, and the values that explain them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")
Labels = Mapping[str, str]
"""Parameter -> label of its value."""
_MOST_VALUES: Final = 3
_MOST_CONDITIONS: Final = 3
_VARIES: Final = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"|/\S+")
"""What may differ between two errors of one cause: numbers, names, paths."""


def by_cause(failures: Iterable[tuple[str, T]]) -> list[tuple[str, list[T]]]:
    """Return failures by cause: an error of it, and what failed, the most frequent one first.

    Two errors have one cause if they differ in numbers, quoted names or paths only.

    >>> by_cause([("no file '/a'", 1), ("3 is odd", 2), ("no file '/b'", 3)])
    [("no file '/a'", [1, 3]), ('3 is odd', [2])]

    :param failures: error in a line, and anything.
    """
    found: dict[str, tuple[str, list[T]]] = {}
    for error, what in failures:
        found.setdefault(_VARIES.sub("#", error), (error, []))[1].append(what)
    return sorted(found.values(), key=lambda group: -len(group[1]))


def explain(failed: Sequence[Labels], every: Sequence[Labels]) -> str:
    """Say which experiments failed: by the fewest conditions that hold for all of them.

    Of several, by those that hold for as few others as can be.

    >>> grid = [{"model": m, "batch": b} for m in ("cnn", "mlp") for b in ("64", "128", "512")]
    >>> explain([each for each in grid if each["batch"] != "64"], grid)
    '4 of 4 with batch>=128'

    :param failed: what failed of one cause.
    :param every: all experiments of the function, these among them.
    """
    conditions = [c for name in failed[0] if (c := _condition(name, failed, every))]
    chosen: list[_Condition] = []
    left = list(every)
    while len(left) > len(failed) and len(chosen) < _MOST_CONDITIONS and conditions:
        best = min(conditions, key=lambda each: (_count(each, left), len(each.values)))
        conditions.remove(best)
        if _count(best, left) == len(left):
            break
        chosen.append(best)
        left = [each for each in left if best.holds(each)]
    if not chosen:
        return f"{len(failed)} of {len(every)} experiments"
    order = list(failed[0])
    chosen.sort(key=lambda each: order.index(each.name))
    return f"{len(failed)} of {len(left)} with {', '.join(each.text for each in chosen)}"


@dataclass(frozen=True)
class _Condition:
    """One or some values of a parameter."""

    name: str
    values: tuple[str, ...]
    text: str

    def holds(self, labels: Labels) -> bool:
        return labels.get(self.name) in self.values


def _count(condition: _Condition, every: Sequence[Labels]) -> int:
    return sum(map(condition.holds, every))


def _condition(name: str, failed: Sequence[Labels], every: Sequence[Labels]) -> _Condition | None:
    """Return what all that failed have in common in one parameter, and not all others have."""
    known = dict.fromkeys(each[name] for each in every if name in each)
    having = dict.fromkeys(each[name] for each in failed if name in each)
    if len(having) == len(known) or any(name not in each for each in failed):
        return None
    values = tuple(having)
    text = f"{name}={values[0]}"
    if len(values) > 1:
        bound = _bound(name, values, tuple(known))
        if bound is None and len(values) > _MOST_VALUES:
            return None
        text = bound or f"{name} in ({', '.join(values)})"
    return _Condition(name, values, text)


def _bound(name: str, values: Sequence[str], every: Sequence[str]) -> str | None:
    """Return ``batch>=512`` or ``lr<=0.1``, if that says the same."""
    try:
        order = sorted(every, key=float)
    except ValueError:
        return None
    chosen = set(values)
    if set(order[-len(values) :]) == chosen:
        return f"{name}>={order[-len(values)]}"
    if set(order[: len(values)]) == chosen:
        return f"{name}<={order[len(values) - 1]}"
    return None
