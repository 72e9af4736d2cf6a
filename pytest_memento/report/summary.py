"""What a report says first, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_memento.amounts import duration
from pytest_memento.labels import label, one_line
from pytest_memento.report.model import Report
from pytest_memento.report.origins import constants
from pytest_memento.report.tabular import moment


def sentences(report: Report) -> Iterator[str]:
    """Yield what came out, what it took and what was saved, and what was the same for all."""
    yield _what(report)
    if report.session is None or report.session.is_dry:
        computed = sum(row.runtime or 0 for row in report.rows)
        if computed >= 1:
            yield f"They took {duration(computed)} to compute, one after the other."
    else:
        yield _how_long(report)
    if held := list(constants(report)):
        yield f"The same for all: {', '.join(f'{name} = {label(value)}' for name, value in held)}."


def written(report: Report) -> str:
    """Say when."""
    return f"Written on {moment(report.written):%Y-%m-%d at %H:%M %Z}."


def number(count: int, what: str) -> str:
    """Return a number of things.

    >>> number(1, "experiment"), number(2000, "experiment")
    ('1 experiment', '2,000 experiments')
    """
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _what(report: Report) -> str:
    counts = ", ".join(f"{count:,} {status}" for status, count in report.counts.items())
    text = number(len(report.rows), "experiment") + (f": {counts}" if counts else "")
    if report.missing:
        text += f"; nothing is stored of {report.missing:,} more"
    return f"{text}."


def _how_long(report: Report) -> str:
    session = report.session
    assert session is not None
    text = f"The session took {duration(session.runtime)}"
    if session.saved >= 1:
        text += f", and stored results saved {duration(session.saved)} of computing"
    if session.stopped:
        text += f"; it ended early: {one_line(session.stopped)}"
    return f"{text}."
