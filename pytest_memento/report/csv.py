"""A report as comma-separated values: a row per experiment, for every other program.

Texts are as they are, quoted where need be. Nothing is done about those that a spreadsheet would
take for a formula (``=...``): a changed value would be wrong for every other reader.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from pytest_memento.report.model import Report
from pytest_memento.report.tabular import Column, Kind, columns, moment


def parts(report: Report) -> Iterator[str]:
    """Yield the file line by line: times in ISO 8601, durations in seconds, memory in bytes."""
    found = columns(report)
    yield _line([column.name for column in found])
    for n in range(len(report.rows)):
        yield _line([_text(column, column.values[n]) for column in found])


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _text(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.kind is Kind.TIME:
        return moment(value).isoformat()
    return str(value)
