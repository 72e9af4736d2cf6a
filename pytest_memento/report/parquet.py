"""A report as a Parquet file: the columns of ``to_frame`` with their types. Needs pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pytest_memento.report.model import Report
from pytest_memento.report.tabular import Column, Kind, columns

_TYPES = {
    Kind.BOOL: pa.bool_(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.SECONDS: pa.duration("us"),
    Kind.BYTES: pa.int64(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
}


def write(report: Report, path: Path) -> None:
    """Write the file.

    Durations and times have microseconds. A column of several types is text.
    """
    found = columns(report)
    arrays = [pa.array([_value(c, v) for v in c.values], _TYPES[c.kind]) for c in found]
    pq.write_table(pa.table(arrays, names=[_encodable(c.name) for c in found]), path)


def _value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.kind in (Kind.SECONDS, Kind.TIME):
        return round(value * 1_000_000)
    if column.kind is Kind.FLOAT:
        return float(value)
    return _encodable(str(value)) if column.kind is Kind.TEXT else value


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
