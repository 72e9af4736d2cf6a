"""What junitxml and other reporters are told of an experiment: ``user_properties``.

    memento.parameters.<name>   its value, or its label where it is no number, string or boolean
    memento.result              the result, likewise; memento.result.<name> for a dict of such
    memento.metrics.<name>      the last value
    memento.key                 as context.key
    memento.cached              true or false
    memento.runtime             seconds

What runs has them from the process that runs it. Of what is stored they are read from its header,
where the reports are, and only if somebody may want them: there may be 100,000.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping

import pytest

from pytest_memento import metrics
from pytest_memento.labels import label
from pytest_memento.plugin.bound import Bound
from pytest_memento.plugin.reports import Ended, end_of, record_told, stands_alone, told
from pytest_memento.record import Key, Plain, Record, Value
from pytest_memento.store import Store

PREFIX = "memento."
_BITS = 64
"""Whole numbers of more bits are given by their label: some formats cannot hold them."""
# XML 1.0, 2.2: all other characters. Lone surrogates, among them, would end xdist's session, too.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Property = tuple[str, Plain]


def properties_of(bound: Bound, ended: Ended) -> list[Property]:
    """Return the properties of what has ended or is not run; none yet of what is stored."""
    if ended is Ended.CACHED:
        return []
    if bound.record is not None:
        return of_record(bound.record, is_cached=True)
    case = bound.experiment.case
    parameters = {name: Value.of(value, case.labels[name]) for name, value in case.config.items()}
    has_run = bound.started and ended is not Ended.SKIPPED
    return _properties(
        bound.experiment.key,
        parameters,
        bound.attempt.described if has_run and ended is not Ended.FAILED else {},
        metrics.last(bound.attempt.context.series) if has_run else {},
        bound.attempt.measured.runtime if has_run else None,
        is_cached=False,
    )


def of_record(record: Record, *, is_cached: bool) -> list[Property]:
    """Return the properties of what is on record."""
    return _properties(
        record.key,
        record.parameters,
        record.result,
        record.metrics,
        record.runtime,
        is_cached=is_cached,
    )


def replace(properties: list[tuple[str, object]], ours: list[Property]) -> None:
    """Put our properties in place of those of a try before."""
    properties[:] = [each for each in properties if not str(each[0]).startswith(PREFIX)]
    properties += ours


def _properties(
    key: Key,
    parameters: Mapping[str, Value],
    result: Mapping[str, Value],
    last: Mapping[str, float],
    runtime: float | None,
    *,
    is_cached: bool,
) -> list[Property]:
    def all_of() -> Iterator[Property]:
        for name, value in parameters.items():
            yield f"parameters.{name}", value.shown
        for name, value in result.items():
            yield f"result.{name}" if name else "result", value.shown
        for name, number in last.items():
            yield f"metrics.{name}", number
        yield "key", str(key)
        yield "cached", str(is_cached).lower()
        if runtime is not None:
            yield "runtime", round(runtime, 6)

    return [(PREFIX + _written(name), _plain(value)) for name, value in all_of()]


def _plain(value: Plain) -> Plain:
    if isinstance(value, int) and value.bit_length() > _BITS:
        return label(value)
    return _written(value) if isinstance(value, str) else value


def _written(text: str) -> str:
    r"""Escape what cannot be written to XML; of names, junitxml does not.

    >>> _written("a\x00b"), _written("\ud800")
    ('a\\x00b', '\\ud800')
    """
    return _UNWRITABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Properties:
    """Completes reports that stand alone, where somebody looks at each report."""

    def __init__(self, config: pytest.Config, store: Store) -> None:
        self._hook = config.hook
        self._store = store

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(
        self, report: pytest.TestReport
    ) -> Generator[None, object, object]:
        """Add the properties of what is stored; end it, for which junitxml waits to write them."""
        known = told(report)
        if known is None or not stands_alone(known):
            return (yield)
        where = record_told(known)
        if known["ended"] == Ended.CACHED.value and where is not None:
            record = self._store.read(*where)
            replace(report.user_properties, of_record(record, is_cached=True) if record else [])
        result = yield
        self._hook.pytest_runtest_logreport(report=end_of(report))
        return result
