"""Tables for analysis: records become columns, columns a frame of pandas or polars.

Columns are built whole, one after the other, and each gets the narrowest type that holds all its
values. Nothing is unpickled: all comes from headers.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_memento.config import nearest
from pytest_memento.errors import MementoError
from pytest_memento.labels import label
from pytest_memento.metrics import Series
from pytest_memento.record import Outcome, Record, Value

Library = Literal["pandas", "polars"]
Cells = list[Any]
STATUSES = tuple(outcome.name.lower() for outcome in Outcome)
_OWN = {"experiment", "result", "status", "runtime", "cpu_time", "memory", "start_time", "error"}
"""Columns of a frame that a parameter of the same name makes way for."""
_LONG = {"experiment", "metric", "step", "value"}
"""The same of a frame of metrics."""
_GROUPS = ("parameters.", "settings.", "result.", "metrics.")
_WHOLE = range(-(2**63), 2**63)


class Kind(enum.Enum):
    """What a column holds; all but ``MIXED`` may have gaps."""

    TRUTH = enum.auto()
    WHOLE = enum.auto()
    REAL = enum.auto()
    TEXT = enum.auto()
    STATUS = enum.auto()
    BYTES = enum.auto()
    SECONDS = enum.auto()
    TIME = enum.auto()
    NOTHING = enum.auto()
    MIXED = enum.auto()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a frame.

    :param kind: of its values.
    :param cells: the values, ``None`` for a gap; durations and times in seconds.
    """

    kind: Kind
    cells: Cells

    @classmethod
    def of(cls, cells: Cells) -> Column:
        """Give plain values the narrowest kind that holds them.

        >>> Column.of([1, None]).kind, Column.of([1, 0.5]).kind, Column.of([1, "auto"]).kind
        (<Kind.WHOLE: 2>, <Kind.REAL: 3>, <Kind.MIXED: 10>)
        """
        kind = _KINDS.get(frozenset(map(type, cells)) - {type(None)}, Kind.MIXED)
        if kind is Kind.WHOLE and not all(cell is None or cell in _WHOLE for cell in cells):
            kind = Kind.REAL  # as for metrics: no file format for tables has more bits
        try:
            return cls(kind, _READ[kind](cells) if kind in _READ else cells)
        except OverflowError:
            return cls(Kind.MIXED, cells)

    @property
    def has_gaps(self) -> bool:
        """Whether a value is missing."""
        return None in self.cells


def _reals(cells: Cells) -> Cells:
    return [None if cell is None else float(cell) for cell in cells]


def _texts(cells: Cells) -> Cells:
    # A frame keeps text in UTF-8, which has no half of a surrogate pair.
    return [cell if cell is None or cell.isascii() else _encodable(cell) for cell in cells]


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


_READ: Mapping[Kind, Callable[[Cells], Cells]] = {Kind.REAL: _reals, Kind.TEXT: _texts}
_KINDS: Mapping[frozenset[type], Kind] = {
    frozenset(): Kind.NOTHING,
    frozenset({bool}): Kind.TRUTH,
    frozenset({int}): Kind.WHOLE,
    frozenset({float}): Kind.REAL,
    frozenset({int, float}): Kind.REAL,
    frozenset({str}): Kind.TEXT,
}


# -- records to columns ----------------------------------------------------------------------------


def of_records(records: Sequence[Record]) -> dict[str, Column]:
    """Return the columns of :meth:`Results.to_frame`, a row per record."""
    made = {
        **experiments(records),
        **parameters(records, _OWN),
        **_described("settings.", [record.settings for record in records]),
        **results(records),
        **metrics(records),
        "status": Column(Kind.STATUS, statuses(records)),
        "runtime": Column(Kind.SECONDS, [record.runtime for record in records]),
        "cpu_time": Column(Kind.SECONDS, [record.cpu_time for record in records]),
        "memory": Column(Kind.BYTES, [record.memory for record in records]),
        "start_time": Column(Kind.TIME, [record.started for record in records]),
    }
    errors = [r.error if r.outcome is Outcome.FAILED else None for r in records]
    return {**made, "error": Column(Kind.TEXT, _texts(errors))}


def of_series(records: Sequence[Record], series: Iterable[Series]) -> dict[str, Column]:
    """Return the columns of :meth:`Results.metrics_frame`, a row per recorded point.

    :param series: what each record holds.
    """
    points = [
        (row, name, step, value)
        for row, recorded in enumerate(series)
        for name, path in recorded.items()
        for step, value in path
    ]
    rows, names, steps, values = map(list, zip(*points, strict=True)) if points else ([],) * 4
    made = {**experiments(records), **parameters(records, _LONG), **differing_settings(records)}
    return {
        **{name: Column(c.kind, [c.cells[row] for row in rows]) for name, c in made.items()},
        "metric": Column(Kind.TEXT, _texts(names)),
        "step": Column.of(steps) if steps else Column(Kind.WHOLE, steps),
        "value": Column(Kind.REAL, _reals(values)),
    }


def experiments(records: Sequence[Record]) -> dict[str, Column]:
    """Return the column that names the functions, where there are several."""
    names = [record.key.experiment for record in records]
    return {"experiment": Column.of(names)} if len(set(names)) > 1 else {}


def parameters(records: Sequence[Record], taken: Iterable[str] = _OWN) -> dict[str, Column]:
    """Return a column for each parameter.

    :param taken: names of other columns, which a parameter makes way for.
    """
    made = _described("", [record.parameters for record in records])
    return {heading(name, taken): column for name, column in made.items()}


def heading(parameter: str, taken: Iterable[str] = _OWN) -> str:
    """Return what the column of a parameter is called: it makes way for other columns.

    >>> heading("lr"), heading("status"), heading("settings.x")
    ('lr', 'parameters.status', 'parameters.settings.x')

    :param taken: the names of these.
    """
    is_taken = parameter in taken or parameter.startswith(_GROUPS)
    return f"parameters.{parameter}" if is_taken else parameter


def differing_settings(records: Sequence[Record]) -> dict[str, Column]:
    """Return a column for each setting that is not the same in all records."""
    made = _described("settings.", [record.settings for record in records])
    return {n: c for n, c in made.items() if c.cells.count(c.cells[0]) < len(c.cells)}


def results(records: Sequence[Record | None]) -> dict[str, Column]:
    """Return a column for each part of the results that headers tell."""
    made = _described("result.", [record.result if record else {} for record in records])
    return {name.removesuffix("."): column for name, column in made.items()}


def metrics(records: Sequence[Record | None]) -> dict[str, Column]:
    """Return a column for the last value of each metric."""
    last = [record.metrics if record else {} for record in records]
    return {f"metrics.{n}": Column.of([each.get(n) for each in last]) for n in _names(last)}


def statuses(records: Sequence[Record]) -> Cells:
    """Return ``'passed'`` or ``'failed'`` for each record."""
    words = {outcome: outcome.name.lower() for outcome in Outcome}
    return [words[record.outcome] for record in records]


def _names(named: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names in any of the mappings, in order."""
    found: dict[str, None] = {}
    for each in {tuple(mapping): None for mapping in named}:
        found.update(dict.fromkeys(each))
    return list(found)


def _described(start: str, rows: Sequence[Mapping[str, Value]]) -> dict[str, Column]:
    """Return a column for each name, and for each part of what was a dict."""
    made: dict[str, Column] = {}
    for name in _names(rows):
        values = [row.get(name) for row in rows]
        parts = _names(value.parts for value in values if value and value.parts)
        shown = [value.shown if value and not value.parts else None for value in values]
        if not parts or any(value and not value.parts for value in values):
            made[_free(f"{start}{name}", made)] = Column.of(shown)
        for part in parts:
            cells = [value.parts.get(part) if value else None for value in values]
            made[_free(f"{start}{name}.{part}", made)] = Column.of(cells)
    return made


def _free(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken: ``a.b`` may be a setting, and a part of another one."""
    return name if name not in taken else _free(f"{name}'", taken)


# -- columns to frames -----------------------------------------------------------------------------


def make(columns: Mapping[str, Column], library: str) -> Any:
    """Return a frame.

    :param library: ``"pandas"`` or ``"polars"``.
    :raises MementoError: there is no such library, or it is not installed.
    """
    if library not in _MAKERS:
        near = nearest(str(library), _MAKERS)
        hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(_MAKERS)}"
        raise MementoError(f"no frames of {library!r} ({hint})")
    try:
        return _MAKERS[library](columns)
    except ImportError as error:
        if error.name != library:  # what it needs itself
            raise
        raise MementoError(
            f"a frame of {library} needs it: pip install 'pytest-memento[{library}]'"
        ) from None


def _pandas(columns: Mapping[str, Column]) -> Any:
    import pandas as pd

    inferred = pd.Series([""]).dtype
    text = "string" if str(inferred) == "object" else inferred  # before pandas 3

    def series(column: Column) -> Any:
        kind, cells = column.kind, column.cells
        if kind is Kind.SECONDS:
            return pd.Series(pd.to_timedelta(cells, unit="s")).dt.as_unit("us")
        if kind is Kind.TIME:
            return pd.Series(pd.to_datetime(cells, unit="s", utc=True)).dt.as_unit("us")
        if kind is Kind.STATUS:
            return pd.Series(pd.Categorical(cells, categories=STATUSES))
        with_gaps, without = _PANDAS.get(kind, (object, object))
        if kind is Kind.TEXT:
            return pd.Series(cells, dtype=text)
        return pd.Series(cells, dtype=with_gaps if column.has_gaps else without)

    return pd.DataFrame({name: series(column) for name, column in columns.items()})


_PANDAS: Mapping[Kind, tuple[Any, Any]] = {
    Kind.TRUTH: ("boolean", "bool"),
    Kind.WHOLE: ("Int64", "int64"),
    Kind.BYTES: ("Int64", "Int64"),  # not known on every machine: it has one type in all frames
    Kind.REAL: ("float64", "float64"),
}


def _polars(columns: Mapping[str, Column]) -> Any:
    import polars as pl

    types: Mapping[Kind, Any] = {
        Kind.TRUTH: pl.Boolean,
        Kind.WHOLE: pl.Int64,
        Kind.BYTES: pl.Int64,
        Kind.REAL: pl.Float64,
        Kind.TEXT: pl.String,
        Kind.STATUS: pl.Enum(STATUSES),
        Kind.SECONDS: pl.Duration("us"),
        Kind.TIME: pl.Datetime("us", "UTC"),
        Kind.NOTHING: pl.Null,
        Kind.MIXED: pl.String,
    }

    def series(name: str, column: Column) -> Any:
        cells = column.cells
        if column.kind in (Kind.SECONDS, Kind.TIME):
            micros = [round(cell * 1e6) for cell in cells]
            return pl.Series(name, micros, dtype=pl.Int64).cast(types[column.kind])
        if column.kind is Kind.MIXED:  # a column there has one type
            cells = _texts([None if cell is None else label(cell) for cell in cells])
        return pl.Series(name, cells, dtype=types[column.kind])

    return pl.DataFrame([series(name, column) for name, column in columns.items()])


_MAKERS: Mapping[str, Callable[[Mapping[str, Column]], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
}
