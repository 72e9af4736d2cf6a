"""What came out, in a table that fits the terminal; and what failures have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pytest_memento import table
from pytest_memento.amounts import duration, size

_ENOUGH: Final = 10
"""Cells in which most of what is wider can still be told apart."""
_MOST_VALUES: Final = 3
_MOST_CONDITIONS: Final = 3
_MOST_CAUSES: Final = 10
_LONGEST: Final = 120
_VARIES: Final = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"|/\S+")
"""What may differ between two errors of one cause: numbers, names, paths."""


@dataclass(frozen=True)
class Row:
    """How one experiment ended.

    :param labels: parameter -> label of its value.
    :param ended: in a word.
    :param result: the result as far as text can tell: one, or several by name.
    :param metrics: the last value of each.
    :param runtime: seconds.
    :param memory: peak, in bytes.
    :param error: why it failed, in a line; empty if it did not.
    """

    labels: Mapping[str, str]
    ended: str
    result: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    runtime: float | None = None
    memory: float | None = None
    error: str = ""


@dataclass(frozen=True)
class _Column:
    """One column of the table.

    :param rank: the higher, the sooner it is left out.
    """

    heading: str
    cells: tuple[str, ...]
    rank: int

    @property
    def width(self) -> int:
        """The cells that it needs at least."""
        return min(max(map(table.cells_of, (self.heading, *self.cells))), _ENOUGH)


def lines(rows: Sequence[Row], width: int) -> Iterator[str]:
    """Yield the table.

    Parameters, status, results, metrics, runtime and memory. Where there is not enough room,
    memory is left out, then metrics and results from the last one on, then parameters that are
    the same in all rows; a line names them.

    :param width: of the terminal, in cells.
    """
    columns = list(_columns(rows))
    left_out: list[str] = []
    while sum(each.width + 2 for each in columns) - 2 > width:
        last = max(columns, key=lambda each: each.rank)
        if not last.rank:
            break
        columns.remove(last)
        left_out.insert(0, last.heading)
    cells = [list(row) for row in zip(*(each.cells for each in columns), strict=True)]
    yield from table.lines([each.heading for each in columns], cells, width)
    if left_out:
        names = ", ".join(left_out)
        names = names if len(names) < width - 30 else f"{names[: width - 31]}…"
        yield f"... without {names}: a wider terminal, or load_results()"


def _columns(rows: Sequence[Row]) -> Iterator[_Column]:
    names = _names([row.labels for row in rows])
    for name in names:
        cells = tuple(row.labels.get(name, "") for row in rows)
        is_same = len(set(cells)) == 1 and len(rows) > 1
        yield _Column(name, cells, 1 if is_same else 0)
    yield _Column("status", tuple(row.ended for row in rows), 0)
    parts = _names([row.result for row in rows])
    for number, part in enumerate(parts):
        cells = tuple(row.result.get(part, "") for row in rows)
        yield _Column(part or "result", cells, 10 + number if number else 0)
    for number, name in enumerate(_names([row.metrics for row in rows])):
        heading = f"metrics.{name}" if name in names or name in parts else name
        yield _Column(heading, tuple(_number(row.metrics.get(name)) for row in rows), 100 + number)
    runtimes = ("" if row.runtime is None else duration(row.runtime) for row in rows)
    yield _Column("runtime", tuple(runtimes), 0)
    memories = ("" if row.memory is None else size(row.memory) for row in rows)
    yield _Column("memory", tuple(memories), 10_000)


def _names(mappings: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def causes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what failed, by cause, with the values that explain it, what is most frequent first.

    Two errors have one cause if they differ in numbers, quoted names or paths only. What explains
    it are the fewest conditions that hold for all that failed of it, and for as few others as can
    be.

    >>> rows = [
    ...     Row({"model": m, "batch": b}, "", error="OutOfMemory: 3 GB" if b == "512" else "")
    ...     for m in ("cnn", "mlp") for b in ("64", "512")
    ... ]
    >>> list(causes(rows))
    ['2 x OutOfMemory: 3 GB (2 of 2 with batch=512)']

    :param rows: all experiments of one function, also those that did not fail.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.error:
            groups.setdefault(_VARIES.sub("#", row.error), []).append(row)
    ordered = sorted(groups.values(), key=lambda failed: -len(failed))
    for failed in ordered[:_MOST_CAUSES]:
        error = failed[0].error
        error = error if len(error) <= _LONGEST else f"{error[:_LONGEST]}…"
        found = _explanation(failed, rows)
        yield f"{len(failed)} x {error}" + (f" ({found})" if found else "")
    if (more := len(ordered) - _MOST_CAUSES) > 0:
        yield f"... and {more} more causes"


@dataclass(frozen=True)
class _Condition:
    """One or some values of a parameter."""

    name: str
    values: tuple[str, ...]
    text: str

    def holds(self, row: Row) -> bool:
        return row.labels.get(self.name) in self.values


def _explanation(failed: Sequence[Row], rows: Sequence[Row]) -> str:
    """Add conditions as long as each leaves fewer of those that did not fail."""
    conditions = [each for name in failed[0].labels if (each := _condition(name, failed, rows))]
    chosen: list[_Condition] = []
    left = list(rows)
    while len(left) > len(failed) and len(chosen) < _MOST_CONDITIONS and conditions:
        best = min(conditions, key=lambda each: (_count(each, left), len(each.values)))
        conditions.remove(best)
        if _count(best, left) == len(left):
            break
        chosen.append(best)
        left = [row for row in left if best.holds(row)]
    if not chosen:
        return f"{len(failed)} of {len(rows)}"
    return f"{len(failed)} of {len(left)} with {', '.join(each.text for each in chosen)}"


def _count(condition: _Condition, rows: Sequence[Row]) -> int:
    return sum(map(condition.holds, rows))


def _condition(name: str, failed: Sequence[Row], rows: Sequence[Row]) -> _Condition | None:
    """Return what all that failed have in common in one parameter, and not all rows have."""
    every = dict.fromkeys(row.labels[name] for row in rows if name in row.labels)
    having = dict.fromkeys(row.labels[name] for row in failed if name in row.labels)
    if len(having) == len(every) or any(name not in row.labels for row in failed):
        return None
    values = tuple(having)
    text = f"{name}={values[0]}"
    if len(values) > 1:
        bound = _bound(name, values, tuple(every))
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
