"""A report as JSON, with all that is known: docs/reports.md has the schema.

Strict JSON: numbers that it has no word for are the strings "NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytest_memento.report.model import Report, Row
from pytest_memento.report.tabular import moment

FORMAT: Final = "pytest-memento report"
VERSION: Final = 1
"""Is raised when what is there changes its meaning; what is added does not count."""


def parts(report: Report) -> Iterator[str]:
    """Yield the file, an experiment a line."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "title": report.title,
        "written": moment(report.written).isoformat(),
        "counts": report.counts,
        "missing": report.missing,
        "session": report.session and dataclasses.asdict(report.session),
        "environments": report.environments,
    }
    yield dumped(head)[:-1] + ',"experiments":['
    for n, row in enumerate(report.rows):
        yield (",\n" if n else "\n") + dumped(_experiment(row))
    yield "\n]}\n"


def dumped(data: Any) -> str:
    r"""Return strict JSON, in ASCII.

    >>> dumped({"a": [1, float("nan"), float("-inf"), "é"]})
    '{"a":[1,"NaN","-Infinity","\\u00e9"]}'
    """
    return json.dumps(_strict(data), separators=(",", ":"), allow_nan=False)


def _strict(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return "NaN" if math.isnan(data) else "Infinity" if data > 0 else "-Infinity"
    if isinstance(data, Mapping):
        return {str(name): _strict(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_strict(value) for value in data]
    return data


def _experiment(row: Row) -> dict[str, Any]:
    details = row.load()
    return {
        "experiment": row.experiment,
        "id": row.id,
        "status": row.status,
        "parameters": row.parameters,
        "settings": row.settings,
        "result": row.result.get("") if row.result.keys() == {""} else row.result or None,
        "metrics": details.series or {name: [[None, v]] for name, v in row.metrics.items()},
        "runtime": row.runtime,
        "cpu_time": row.cpu_time,
        "memory": row.memory,
        "start_time": None if row.started is None else moment(row.started).isoformat(),
        "seed": row.seed,
        "error": row.error,
        "traceback": details.traceback,
        "output": details.output,
        "environment": row.environment or None,
        "accepted": row.accepted or None,
    }
