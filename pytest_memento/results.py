"""Stored results, for analysis: listed from headers, values loaded on access.

Nothing here starts pytest, imports the user's code to list, or unpickles before it is asked to.
"""

from __future__ import annotations

import contextlib
import datetime
import numbers
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from pytest_memento import table
from pytest_memento.amounts import duration
from pytest_memento.config import Config, nearest
from pytest_memento.display import MOST_ROWS, html_table
from pytest_memento.errors import FingerprintError, MementoError, ResultNotLoadedError, StoreError
from pytest_memento.fingerprint import digest_value
from pytest_memento.labels import quoted
from pytest_memento.locate import locate
from pytest_memento.metrics import Series
from pytest_memento.query import OWN_NAMES, parse
from pytest_memento.record import Outcome, Record, Value
from pytest_memento.rows import RecordRow
from pytest_memento.source import Source
from pytest_memento.store import Store

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """One stored run of an experiment: a result, or a failure.

    :param record: its header.
    :param store: where it is.
    :param project: the directory that names of experiments start from, if known.
    :param was_cached: whether it was there before, or comes from another session.
    """

    def __init__(
        self,
        record: Record,
        store: Store,
        project: Path | None = None,
        *,
        was_cached: bool = True,
    ) -> None:
        self.was_cached = was_cached
        self._record = record
        self._store = store
        self._project = project

    @property
    def experiment(self) -> str:
        """The function, as ``path/to/exp_file.py::function``."""
        return self._record.key.experiment

    @property
    def id(self) -> str:
        """The label of the configuration, as in the test id."""
        return self._record.id

    @property
    def parameters(self) -> dict[str, Any]:
        """Name -> value; what is no number, string or boolean is shown by its label."""
        return {name: value.shown for name, value in self._record.parameters.items()}

    @property
    def settings(self) -> dict[str, Any]:
        """Name -> value, as in :attr:`parameters`."""
        return {name: value.shown for name, value in self._record.settings.items()}

    @cached_property
    def config(self) -> Config:
        """The configuration with its real values.

        :raises ResultNotLoadedError: a value cannot be brought back.
        """
        record = self._record
        return Config(
            {name: self._real(value) for name, value in record.parameters.items()},
            {name: self._real(value) for name, value in record.settings.items()},
            record.untracked,
        )

    @cached_property
    def value(self) -> Any:
        """What the experiment returned.

        :raises ResultNotLoadedError: it failed, or the value cannot be brought back.
        """
        if self.error is not None:
            raise ResultNotLoadedError(f"{self.experiment}[{self.id}] failed: {self.error}")
        return self._loaded(lambda: self._store.load(self._record.key))

    @property
    def inner(self) -> Any:
        """The same as :attr:`value`, by its name in Memento."""
        return self.value

    @cached_property
    def metrics(self) -> Series:
        """What was recorded: metric name -> list of (step, value)."""
        return {
            name: [(step, value) for step, value in points]
            for name, points in self._details.get("metrics", {}).items()
        }

    @property
    def start_time(self) -> datetime.datetime:
        """When it started, in local time with its offset."""
        return datetime.datetime.fromtimestamp(self._record.started).astimezone()

    @property
    def runtime(self) -> datetime.timedelta:
        """How long it took on the clock."""
        return datetime.timedelta(seconds=self._record.runtime)

    @property
    def cpu_time(self) -> datetime.timedelta:
        """How much processor time it took, child processes included."""
        return datetime.timedelta(seconds=self._record.cpu_time)

    @property
    def memory(self) -> int | None:
        """Peak resident memory of its process in bytes, ``None`` where it is not known."""
        return self._record.memory

    @property
    def error(self) -> str | None:
        """Why it failed, in a line; ``None`` for a result."""
        return self._record.error if self._record.outcome is Outcome.FAILED else None

    @property
    def traceback(self) -> str:
        """The traceback of a failure, else an empty string."""
        return str(self._details.get("traceback", ""))

    @property
    def output(self) -> str:
        """What it printed and logged, as pytest captured it."""
        return str(self._details.get("output", ""))

    @property
    def dir(self) -> Path:
        """The directory of its files; it exists if ``context.dir`` was used."""
        return self._store.artifacts(self._record.key)

    @property
    def environment(self) -> dict[str, Any]:
        """Where it came from, as plain data.

        ``host``, ``user``, ``python``, ``platform``, ``commit``, ``dirty`` (whether files differed
        from the commit), ``diff`` (a digest of these files), ``command`` (list of arguments,
        without secrets) and ``versions`` (distribution -> version). What was not recorded is not
        there, what could not be found out is ``None``.
        """
        return self._store.document(self._record.environment)

    @property
    def commit(self) -> str | None:
        """The git commit of its project, if known; :attr:`environment` says what differed."""
        commit = self.environment.get("commit")
        return None if commit is None else str(commit)

    @property
    def seed(self) -> int | None:
        """What it was given as ``context.seed``, ``None`` in results of old."""
        return self._record.seed

    @property
    def accepted(self) -> dict[str, Any]:
        """Who declared it valid for other code than it was computed with; empty if nobody did.

        ``by`` (user@host), ``at`` (seconds since the epoch), ``code`` (digest of the code that it
        was computed with, or accepted for before), ``before`` (the same of an earlier acceptance).
        """
        return dict(self._record.accepted)

    def __repr__(self) -> str:
        end = f"failed: {self.error}" if self.error is not None else _shown(self._record.result)
        return f"<Result {self.id}: {end} ({duration(self._record.runtime)})>"

    @property
    def _details(self) -> dict[str, Any]:
        return self._store.details(self._record)

    def _real(self, value: Value) -> Any:
        if value.is_plain or not value.digest:
            return value.shown
        return self._loaded(lambda: self._store.value(value.digest))

    def _loaded(self, load: Any) -> Any:
        """Load a value; if its module is not found, look where the experiment is."""
        try:
            return load()
        except ResultNotLoadedError as error:
            if not isinstance(error.__cause__, ModuleNotFoundError) or self._project is None:
                raise
        with _import_paths(self._project / self.experiment.partition("::")[0], self._project):
            return load()


class Results(Sequence[Result]):
    """Results in matrix order. Slicing and :meth:`where` give ``Results`` again.

    :param results: the results.
    :param missing: how many configurations of the matrix have neither result nor failure.
    """

    def __init__(self, results: Iterable[Result], missing: int = 0) -> None:
        self._results = list(results)
        self.missing = missing

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return Results(self._results[index])
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    def where(self, expression: str | None = None, /, **conditions: Any) -> Results:
        """Return the results for which an expression holds, and all conditions.

        >>> results.where("lr <= 0.01 and runtime > '2m'")  # doctest: +SKIP
        >>> results.where(model="SVC", n_fold=[5, 10])  # doctest: +SKIP

        :param expression: in the language of ``--memento-select``, see
            :mod:`pytest_memento.query`; ``status`` is ``'passed'`` or ``'failed'``.
        :param conditions: name of a parameter or setting -> value, label of a value, or list of
            these.
        :raises QueryError: the expression is wrong, or no result has a name in it.
        :raises MementoError: no result has a parameter or setting of that name.
        """
        if not isinstance(expression, (str, type(None))):
            raise MementoError(
                f'where takes an expression such as "lr <= 0.01", or name=value, not'
                f" {quoted(expression)}"
            )
        chosen = self._results if expression is None else _chosen(self._results, expression)
        known = dict.fromkeys(
            name for r in self for name in (*r._record.parameters, *r._record.settings)
        )
        for name, value in conditions.items():
            if self and name not in known:
                near = nearest(name, known)
                hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(known)}"
                if name in OWN_NAMES:
                    hint = f'write where("{name} == {quoted(value)}")'
                raise MementoError(f"no parameter or setting {name!r} ({hint})")
        wanted = {name: _Condition(value) for name, value in conditions.items()}
        return Results(
            result
            for result in chosen
            if all(c.holds(_find(result._record, name)) for name, c in wanted.items())
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame: a row per result, in order.

        Columns: ``experiment`` where there are several, each parameter (``parameters.<name>`` where
        the name is that of another column),
        ``settings.<name>``, ``result`` (or ``result.<name>`` for a dict
        of plain values), the last value of each metric as ``metrics.<name>``, ``status``,
        ``runtime`` and ``cpu_time`` (timedelta), ``memory`` (bytes), ``start_time``, ``error``.
        What is no plain value is shown by its label; values are not loaded.

        :raises MementoError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MementoError(
                "to_frame needs pandas: pip install 'pytest-memento[pandas]'"
            ) from None
        frame: pd.DataFrame = pd.DataFrame([_flat(result) for result in self])
        if len(self._experiments()) > 1:
            frame.insert(0, "experiment", [result.experiment for result in self])
        return frame

    def _experiments(self) -> dict[str, None]:
        return dict.fromkeys(result.experiment for result in self)

    def _repr_html_(self) -> str:
        columns = _columns(self) if self else {}
        rows = ([show(result) for show in columns.values()] for result in self[:MOST_ROWS])
        return html_table(f"{self!r}".partition("\n")[0], [*columns], rows, len(self))

    def __repr__(self) -> str:
        missing = f", {self.missing} missing" if self.missing else ""
        lines = [f"{len(self)} result{'' if len(self) == 1 else 's'}{missing}"]
        if self:
            columns = _columns(self)
            rows = [[show(result) for show in columns.values()] for result in self[:20]]
            lines += table.lines([*columns], rows, 100)
        if len(self) > 20:
            lines.append(f"... and {len(self) - 20} more")
        return "\n".join(lines)


def load_results(
    path: str | os.PathLike[str] | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    history: bool = False,
    shared: bool = False,
) -> Results:
    """Load the results of experiments, also while they run.

    These are the results of the configurations that the matrix held when pytest last ran it, with
    the code of then: neither what other code computed nor what was removed from the matrix.

    :param path: an experiment file, a directory, ``file.py::function``, or a test id; by default
        all.
    :param store: the store's directory; by default it is found as pytest would find it.
    :param history: everything that is stored instead, newest last.
    :param shared: load also values that other users wrote; loading them runs their code.
    :raises StoreError: there is no store.
    """
    source = Source.of(os.fspath(path or "."), Path.cwd())
    start = source.path
    if path is not None and not start.exists():
        raise StoreError(f"there is no file or directory {start}")
    place = locate(start if start.is_dir() else start.parent) if store is None else None
    opened = Store(place.store if place else Path(os.fspath(store or "")), shared=shared)
    project = place.project if place else None
    if not opened.root.is_dir():
        raise StoreError(f"there is no store at {opened.root}")
    roots = [project] if project else [start, *start.parents]

    def wanted(experiment: str) -> bool:
        there = [root for root in roots if (root / experiment.partition("::")[0]).exists()]
        return path is None or source.covers(experiment, there)

    records = list(_history(opened) if history else _planned(opened))
    if source.function and not any(wanted(experiment) for experiment, _ in records):
        known = sorted({e for e, _ in records if _is_in(start, e, roots)})
        there = f"there are: {', '.join(known)}" if known else "none of that file has"
        raise StoreError(f"no experiment {os.fspath(path or '')} has run ({there})")
    missing = 0
    results: list[Result] = []
    for experiment, record in records:
        if wanted(experiment) and source.labels(record.id if record else ""):
            missing += record is None
            results += [Result(record, opened, project)] if record else []
    return Results(results, missing)


def _is_in(file: Path, experiment: str, roots: Iterable[Path]) -> bool:
    return any(root / experiment.partition("::")[0] == file for root in roots)


def _planned(store: Store) -> Iterator[tuple[str, Record | None]]:
    for experiment in store.plans():
        there = store.listing(experiment).stems
        for stem in store.plan(experiment) or ():
            record = store.read(experiment, stem, there[stem]) if stem in there else None
            yield experiment, record


def _history(store: Store) -> Iterator[tuple[str, Record | None]]:
    for record in sorted(store.records(), key=lambda record: record.started):
        yield record.key.experiment, record


def _chosen(results: Sequence[Result], expression: str) -> list[Result]:
    query, now = parse(expression), time.time()
    rows = [RecordRow(result._record, now) for result in results]
    query.check(rows)
    return [result for result, row in zip(results, rows, strict=True) if query.holds(row)]


class _Condition:
    """Whether a stored value is the one asked for: by fingerprint, by label, or as a number."""

    def __init__(self, value: Any) -> None:
        options = [value, *(value if isinstance(value, (list, tuple, set, frozenset)) else ())]
        self._labels = {option for option in options if isinstance(option, str)}
        self._numbers = [o for o in options if _is_number(o)]
        self._digests = {digest for option in options if (digest := _digest(option))}

    def holds(self, value: Value | None) -> bool:
        if value is None:
            return False
        if value.label in self._labels or value.digest in self._digests:
            return True
        if value.is_plain and not value.digest:  # an untracked setting
            return _digest(value.plain) in self._digests
        return _is_number(value.plain) and value.plain in self._numbers


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _digest(value: object) -> str:
    try:
        return digest_value(value)
    except FingerprintError:
        return ""


def _find(record: Record, name: str) -> Value | None:
    return record.parameters.get(name) or record.settings.get(name)


_OWN = {"experiment", "result", "status", "runtime", "cpu_time", "memory", "start_time", "error"}
"""Columns of a frame that a parameter of the same name makes way for."""


def _flat(result: Result) -> dict[str, Any]:
    record = result._record
    return {
        **{f"parameters.{n}" if n in _OWN else n: value for n, value in result.parameters.items()},
        **{f"settings.{name}": value for name, value in result.settings.items()},
        **{f"result.{n}" if n else "result": v.shown for n, v in record.result.items()},
        **{f"metrics.{name}": value for name, value in record.metrics.items()},
        "status": record.outcome.name.lower(),
        "runtime": result.runtime,
        "cpu_time": result.cpu_time,
        "memory": result.memory,
        "start_time": result.start_time,
        "error": result.error,
    }


def _columns(results: Results) -> dict[str, Callable[[Result], str]]:
    """Return heading -> what stands below it; what is the same for all results only if it must."""
    columns: dict[str, Callable[[Result], str]] = {}
    if len(results._experiments()) > 1:
        columns["experiment"] = lambda result: result.experiment.rpartition("/")[2]
    records = [result._record for result in results]
    for name in dict.fromkeys(name for record in records for name in record.parameters):
        columns[name] = partial(_parameter, name)
    for name in dict.fromkeys(name for record in records for name in record.settings):
        if len({_setting(name, result) for result in results}) > 1:
            columns[f"settings.{name}"] = partial(_setting, name)
    columns["status"] = lambda result: result._record.outcome.name.lower()
    columns["result"] = lambda result: result.error or _shown(result._record.result)
    columns["runtime"] = lambda result: duration(result._record.runtime)
    return columns


def _parameter(name: str, result: Result) -> str:
    value = result._record.parameters.get(name)
    return value.label if value else ""


def _setting(name: str, result: Result) -> str:
    value = result._record.settings.get(name)
    return value.label if value else ""


def _shown(result: Mapping[str, Value]) -> str:
    return ", ".join(f"{n}={v.label}" if n else v.label for n, v in result.items())


@contextlib.contextmanager
def _import_paths(file: Path, project: Path) -> Iterator[None]:
    """Make a project's modules importable as pytest does: from the package root, or its own."""
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    before = list(sys.path)
    sys.path[:0] = [str(root), str(project)]
    try:
        yield
    finally:
        sys.path[:] = before
