"""A report as Markdown, as GitHub and GitLab show it: for a pull request, or a job's summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pytest_memento.amounts import duration, size
from pytest_memento.labels import one_line
from pytest_memento.report import origins
from pytest_memento.report.causes import Cause, causes, ending
from pytest_memento.report.model import Report, Row
from pytest_memento.report.summary import sentences, written
from pytest_memento.report.tabular import Column, Kind, Role, columns

_MOST_ROWS: Final = 1000
_MOST_SHOWN: Final = 5
_LONGEST_TEXT: Final = 3000
_LONGEST_CELL: Final = 200
_RIGHT: Final = (Kind.INT, Kind.FLOAT, Kind.SECONDS, Kind.BYTES)
_SPECIAL: Final = re.compile(r"([\\`*\[\]|~]|(?<!\w)_|_(?!\w))")


def parts(report: Report) -> Iterator[str]:
    """Yield the file: what came out in a sentence, the table, failures, where it came from."""
    yield f"# {escaped(report.title)}\n\n"
    yield " ".join(map(escaped, [*sentences(report), written(report)])) + "\n\n"
    yield from _table(report)
    yield from _failures(report)
    yield from _origins(report)


def escaped(text: str, longest: int | None = None) -> str:
    r"""Return text that Markdown shows as it is, on one line.

    >>> print(escaped("a|b <script>\n*c*"))
    a\|b &lt;script&gt; \*c\*
    """
    text = one_line(" ".join(text.split()), longest)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)


def _table(report: Report) -> Iterator[str]:
    found = [column for column in columns(report) if _is_shown(column)]
    if not report.rows:
        return
    yield _line([escaped(column.name) for column in found])
    yield _line(["--:" if column.kind in _RIGHT else "---" for column in found])
    for n in range(min(len(report.rows), _MOST_ROWS)):
        yield _line([_cell(column, column.values[n]) for column in found])
    if len(report.rows) > _MOST_ROWS:
        yield f"\n... and {len(report.rows) - _MOST_ROWS} more.\n"


def _is_shown(column: Column) -> bool:
    if column.name in ("cpu_time", "start_time"):
        return False
    if column.role in (Role.SETTING, Role.ERROR):
        return not column.is_constant
    return True


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.kind is Kind.SECONDS:
        return duration(value)
    if column.kind is Kind.BYTES:
        return size(value)
    return escaped(f"{value:.6g}" if isinstance(value, float) else str(value), _LONGEST_CELL)


def _failures(report: Report) -> Iterator[str]:
    found = causes(report.failures)
    if found:
        yield "\n## Failures\n"
    for cause in found:
        yield f"\n**{len(cause.rows)} x {escaped(cause.error, _LONGEST_CELL)}**\n"
        yield from _shown(cause)


def _shown(cause: Cause) -> Iterator[str]:
    for row in cause.rows[:_MOST_SHOWN]:
        yield f"\n<details><summary>{escaped(row.name, _LONGEST_CELL)}</summary>\n\n"
        yield from _texts(row)
        yield "</details>\n"
    if more := cause.rows[_MOST_SHOWN:]:
        yield f"\n... and {len(more)} more of the same.\n"


def _texts(row: Row) -> Iterator[str]:
    details = row.load()
    for heading, text in (("", details.traceback), ("Output:", details.output)):
        if text.strip():
            yield f"{heading}\n\n" if heading else ""
            yield _fenced(ending(text.rstrip(), _LONGEST_TEXT))


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}\n\n"


def _origins(report: Report) -> Iterator[str]:
    found = origins.facts(report)
    if not found:
        return
    yield "\n## Where it came from\n\n"
    for fact in found:
        yield f"* {fact.name}: {escaped(fact.text)}\n"
    if versions := origins.packages(report):
        listed = ", ".join(f"{fact.name} {fact.text}" for fact in versions)
        yield f"* packages: {escaped(listed)}\n"
