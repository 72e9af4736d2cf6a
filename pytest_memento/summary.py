"""What came out, in a table that fits the terminal; and what failures have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pytest_memento import table
from pytest_memento.amounts import duration, size
from pytest_memento.causes import by_cause, explain
from pytest_memento.labels import one_line

_ENOUGH: Final = 10
"""Cells in which most of what is wider can still be told apart."""
_MOST_CAUSES: Final = 10
_LONGEST: Final = 120


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
    :param settings: setting -> label of its value, of those that count.
    """

    labels: Mapping[str, str]
    ended: str
    result: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    runtime: float | None = None
    memory: float | None = None
    error: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def labels_with(self, settings: Sequence[str]) -> Mapping[str, str]:
        """Return the labels of parameters, and of some settings."""
        known = {f"settings.{name}": self.settings.get(name, "") for name in settings}
        return {**self.labels, **known} if known else self.labels


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

    Parameters, settings that differ, status, results, metrics, runtime and memory. Where there is
    not enough room, memory is left out, then metrics and results, first those that are the same in
    all rows, from the last one on, then such parameters; a line names them.

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
    told = _told_apart(rows)
    names = _names(told)
    for name in names:
        cells = tuple(labels.get(name, "") for labels in told)
        is_same = len(set(cells)) == 1 and len(rows) > 1
        yield _Column(name, cells, 1 if is_same else 0)
    yield _Column("status", tuple(row.ended for row in rows), 0)
    parts = _names([row.result for row in rows])
    for number, part in enumerate(parts):
        cells = tuple(row.result.get(part, "") for row in rows)
        yield _Column(part or "result", cells, _rank(cells, 10 + number) if number else 0)
    for number, name in enumerate(_names([row.metrics for row in rows])):
        heading = f"metrics.{name}" if name in names or name in parts else name
        cells = tuple(_number(row.metrics.get(name)) for row in rows)
        yield _Column(heading, cells, _rank(cells, 100 + number))
    runtimes = ("" if row.runtime is None else duration(row.runtime) for row in rows)
    yield _Column("runtime", tuple(runtimes), 0)
    memories = ("" if row.memory is None else size(row.memory) for row in rows)
    yield _Column("memory", tuple(memories), 10_000)


def _rank(cells: Sequence[str], rank: int) -> int:
    """Have what is the same wherever it is known make way first, but for the memory."""
    return rank + 1_000 if len(cells) > 1 and len({*cells} - {""}) < 2 else rank


def _told_apart(rows: Sequence[Row]) -> list[Mapping[str, str]]:
    """Return the labels of each, with those of the settings that are not the same in all."""
    names = _names([row.settings for row in rows])
    differ = [name for name in names if len({row.settings.get(name) for row in rows}) > 1]
    return [row.labels_with(differ) for row in rows]


def _names(mappings: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def causes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what failed, by cause, with the values that explain it, what is most frequent first.

    >>> rows = [
    ...     Row({"model": m, "batch": b}, "", error="OutOfMemory: 3 GB" if b == "512" else "")
    ...     for m in ("cnn", "mlp") for b in ("64", "512")
    ... ]
    >>> list(causes(rows))
    ['2 x OutOfMemory: 3 GB (2 of 2 with batch=512)']

    :param rows: all experiments of one function, also those that did not fail.
    """
    every = _told_apart(rows)
    pairs = zip(rows, every, strict=True)
    found = by_cause((row.error, labels) for row, labels in pairs if row.error)
    for error, failed in found[:_MOST_CAUSES]:
        yield f"{len(failed)} x {one_line(error, _LONGEST)} ({explain(failed, every)})"
    if (more := len(found) - _MOST_CAUSES) > 0:
        yield f"... and {more} more causes"


def lacks(several: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield what was not run for inputs that are not there: what is most frequent.

    >>> kind = "its input exp was skipped: no GPU"
    >>> list(lacks((f"its input exp[x={x}] was skipped: no GPU", kind) for x in (1, 1, 2)))
    ['not run: 3 x its input exp was skipped: no GPU (2 inputs)']

    :param several: of each, what is lacking, and the same of all inputs of that experiment.
    """
    found: dict[str, list[str]] = {}
    for text, kind in several:
        found.setdefault(kind, []).append(text)
    ordered = sorted(found.items(), key=lambda each: (-len(each[1]), each[0]))
    for kind, texts in sorted(ordered[:_MOST_CAUSES]):
        inputs = len({*texts})
        shown = texts[0] if inputs == 1 else f"{kind} ({inputs} inputs)"
        yield f"not run: {len(texts)} x {shown}"
    if rest := [texts for _, texts in ordered[_MOST_CAUSES:]]:
        plural = "" if len(rest) == 1 else "s"
        yield f"not run: {sum(map(len, rest))} for {len(rest)} more cause{plural}"
