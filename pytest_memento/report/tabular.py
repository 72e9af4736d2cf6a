"""The flat columns of a report, with their types: what tables are made of."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

from pytest_memento import frames
from pytest_memento.report.model import Report, Row

_EXACT: Final = 2**53
"""Whole numbers up to here are floats without loss."""
_LARGEST: Final = 2**63


class Kind(enum.Enum):
    """What the values of a column are; the value is the word for it in a page."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    SECONDS = "seconds"
    BYTES = "bytes"
    TIME = "time"


class Role(enum.Enum):
    """What a column tells of; the value is the word for it in a page."""

    EXPERIMENT = "experiment"
    PARAMETER = "parameter"
    SETTING = "setting"
    RESULT = "result"
    METRIC = "metric"
    STATUS = "status"
    COST = "cost"
    ERROR = "error"


@dataclass(frozen=True)
class Column:
    """A column: a value per row, ``None`` where there is none.

    :param name: the heading, as in :meth:`Results.to_frame`.
    """

    name: str
    role: Role
    values: Sequence[Any]
    fixed: Kind | None = None

    @cached_property
    def kind(self) -> Kind:
        """What the values are; what is not of one type is text."""
        return self.fixed or _kind(self.values)

    @property
    def is_constant(self) -> bool:
        """Whether all rows have the same value, of the same type."""
        return len({(type(value), repr(value)) for value in self.values}) <= 1


def columns(report: Report) -> list[Column]:
    """Return the columns of a report, as those of :meth:`Results.to_frame`."""
    rows = report.rows
    found = []
    if len(report.experiments) > 1:
        found.append(_column("experiment", Role.EXPERIMENT, rows, lambda row: row.experiment))
    found += _named(rows, Role.PARAMETER, lambda row: row.parameters, frames.heading)
    found += _named(rows, Role.SETTING, lambda row: row.settings, "settings.{}".format)
    found += _named(rows, Role.RESULT, lambda row: row.result, _result)
    found += _named(rows, Role.METRIC, lambda row: row.metrics, "metrics.{}".format)
    return [
        *found,
        _column("status", Role.STATUS, rows, lambda row: row.status, Kind.TEXT),
        _column("runtime", Role.COST, rows, lambda row: row.runtime, Kind.SECONDS),
        _column("cpu_time", Role.COST, rows, lambda row: row.cpu_time, Kind.SECONDS),
        _column("memory", Role.COST, rows, lambda row: row.memory, Kind.BYTES),
        _column("start_time", Role.COST, rows, lambda row: row.started, Kind.TIME),
        _column("error", Role.ERROR, rows, lambda row: row.error, Kind.TEXT),
    ]


def moment(seconds: float) -> datetime.datetime:
    """Return a time in local time with its offset."""
    return datetime.datetime.fromtimestamp(seconds).astimezone()


def _column(
    name: str,
    role: Role,
    rows: Sequence[Row],
    get: Callable[[Row], Any],
    kind: Kind | None = None,
) -> Column:
    return Column(name, role, [get(row) for row in rows], kind)


def _named(
    rows: Sequence[Row],
    role: Role,
    values_of: Callable[[Row], Mapping[str, Any]],
    heading: Callable[[str], str],
) -> Iterable[Column]:
    def value(name: str, row: Row) -> Any:
        return values_of(row).get(name)

    for name in dict.fromkeys(name for row in rows for name in values_of(row)):
        yield _column(heading(name), role, rows, partial(value, name))


def _result(name: str) -> str:
    return f"result.{name}" if name else "result"


def _kind(values: Sequence[Any]) -> Kind:
    types = {type(value) for value in values if value is not None}
    if types == {bool}:
        return Kind.BOOL
    if types == {float}:
        return Kind.FLOAT
    if types == {int} and all(-_LARGEST <= v < _LARGEST for v in values if v is not None):
        return Kind.INT
    if types == {int, float} and all(abs(v) <= _EXACT for v in values if type(v) is int):
        return Kind.FLOAT
    return Kind.TEXT
