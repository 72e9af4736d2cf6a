"""What a report tells, whichever file it goes into: plain data, from headers and reports."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final

from pytest_memento.errors import MementoError
from pytest_memento.metrics import Number, Series
from pytest_memento.record import Outcome, Plain, Record, Value
from pytest_memento.results import Results
from pytest_memento.store import Store

Environments = Mapping[str, Mapping[str, Any]]
"""Digest -> where results came from, as in :attr:`Result.environment`."""
PASSED: Final = ("passed", "cached", "verified")
"""The ends that there is a result for."""
FAILED: Final = "failed"
NOT_RUN: Final = "not run"


@dataclass(frozen=True)
class Details:
    """What a record holds beside its header."""

    series: Series = field(default_factory=dict)
    traceback: str = ""
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a report tells of one experiment; what is not known is ``None`` or empty.

    :param experiment: the function, as ``path/to/exp_file.py::function``.
    :param id: the label of the configuration.
    :param status: how it ended, in a word.
    :param parameters: name -> value, or the label of one that is not plain.
    :param settings: the same.
    :param result: the result by name; under an empty name if it is one value.
    :param metrics: the last value of each.
    :param runtime: seconds on the clock.
    :param cpu_time: seconds of processor time.
    :param memory: peak resident memory in bytes.
    :param started: seconds since the epoch.
    :param seed: what it was given as ``context.seed``.
    :param error: why it failed or was skipped, in a line.
    :param environment: which of the report's environments it came from.
    :param accepted: who declared it valid for other code.
    :param load: reads the rest.
    """

    experiment: str
    id: str
    status: str
    parameters: Mapping[str, Plain] = field(default_factory=dict)
    settings: Mapping[str, Plain] = field(default_factory=dict)
    result: Mapping[str, Plain] = field(default_factory=dict)
    metrics: Mapping[str, Number] = field(default_factory=dict)
    runtime: float | None = None
    cpu_time: float | None = None
    memory: int | None = None
    started: float | None = None
    seed: int | None = None
    error: str | None = None
    environment: str = ""
    accepted: Mapping[str, Any] = field(default_factory=dict)
    load: Callable[[], Details] = Details

    @classmethod
    def of(cls, record: Record, store: Store, status: str = "") -> Row:
        """Return the row of a stored run.

        :param status: how it ended for who asks; by default ``passed`` or ``failed``.
        """
        has_failed = record.outcome is Outcome.FAILED
        return cls(
            experiment=record.key.experiment,
            id=record.id,
            status=status or record.outcome.name.lower(),
            parameters=shown(record.parameters),
            settings=shown(record.settings),
            result={} if has_failed else shown(record.result),
            metrics=record.metrics,
            runtime=record.runtime,
            cpu_time=record.cpu_time,
            memory=record.memory,
            started=record.started,
            seed=record.seed,
            error=record.error if has_failed else None,
            environment=record.environment,
            accepted=record.accepted,
            load=partial(_load, store, record),
        )

    @property
    def name(self) -> str:
        """What people call it: the function and the configuration."""
        return f"{self.experiment}[{self.id}]"


@dataclass(frozen=True, kw_only=True)
class Session:
    """What only the session knows that a report is of.

    :param command: what was typed, without secrets.
    :param runtime: how many seconds it lasted.
    :param saved: how many seconds the results took to compute that were reused.
    :param stopped: why it began nothing more, if it did not come to its end.
    :param is_dry: whether nothing was to run.
    """

    command: Sequence[str]
    runtime: float
    saved: float = 0.0
    stopped: str = ""
    is_dry: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that a report tells.

    :param title: the heading.
    :param rows: one per experiment, in matrix order.
    :param environments: where the results came from.
    :param session: what a session adds, if it is of one.
    :param missing: how many configurations of the matrix it has no row for: nothing is stored.
    :param written: when, in seconds since the epoch.
    """

    title: str
    rows: Sequence[Row]
    environments: Environments = field(default_factory=dict)
    session: Session | None = None
    missing: int = 0
    written: float = field(default_factory=time.time)

    @classmethod
    def of_results(cls, results: Results, title: str | None = None) -> Report:
        """Return the report of stored results."""
        rows = [Row.of(result._record, result._store) for result in results]
        stores = {result._record.environment: result._store for result in results}
        return cls(
            title=title or title_of(rows),
            rows=rows,
            environments=environments_of(stores),
            missing=results.missing,
        )

    @cached_property
    def experiments(self) -> list[str]:
        """The functions, in order."""
        return list(dict.fromkeys(row.experiment for row in self.rows))

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Status -> how many, failures first and then the most frequent."""
        counts = Counter(row.status for row in self.rows)
        return dict(sorted(counts.items(), key=lambda item: (item[0] != FAILED, -item[1])))

    @property
    def failures(self) -> list[Row]:
        """The rows of experiments that failed."""
        return [row for row in self.rows if row.status == FAILED]


def joined(parts: Sequence[Results]) -> Results:
    """Return the results of all parts; what is in several is there once."""
    found = {(r.experiment, r._record.key.stem): r for part in parts for r in part}
    return Results(found.values(), sum(part.missing for part in parts))


def environments_of(stores: Mapping[str, Store]) -> Environments:
    """Return the documents of digests; what a store has lost is left out."""
    found = {digest: store.document(digest) for digest, store in stores.items() if digest}
    return {digest: document for digest, document in found.items() if document}


def title_of(rows: Iterable[Row]) -> str:
    """Return a heading: the functions, or how many there are."""
    names = list(dict.fromkeys(row.experiment for row in rows))
    if not names:
        return "No experiments"
    if len(names) == 1:
        return names[0]
    files = list(dict.fromkeys(name.partition("::")[0] for name in names))
    return (
        ", ".join(files) if len(files) <= 3 else f"{len(names)} experiments in {len(files)} files"
    )


def shown(values: Mapping[str, Value]) -> dict[str, Plain]:
    """Return values as far as plain data can tell, by name; those in a dict each by their own."""
    found: dict[str, Plain] = {}
    for name, value in values.items():
        if value.parts:
            found |= {f"{name}.{part}": plain for part, plain in value.parts.items()}
        else:
            found[name] = value.shown
    return found


def _load(store: Store, record: Record) -> Details:
    try:
        data = store.details(record)
    except (OSError, MementoError):  # removed or damaged meanwhile: the header is what is left
        return Details()
    series = {name: [(step, value) for step, value in path]
              for name, path in data.get("metrics", {}).items()}  # fmt: skip
    return Details(series, str(data.get("traceback", "")), str(data.get("output", "")))
