"""Stored results, for analysis: listed from headers, values loaded on access.

Nothing here starts pytest, imports the user's code to list, or unpickles before it is asked to.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from pytest_memento import choosing, comparison, frames, states, table
from pytest_memento.amounts import duration
from pytest_memento.choosing import At, Mode
from pytest_memento.comparison import Comparison
from pytest_memento.config import Config, Later
from pytest_memento.display import MOST_ROWS, html_table
from pytest_memento.errors import MementoError, ResultNotLoadedError, StoreError
from pytest_memento.frames import Library
from pytest_memento.inputs import Input, Where, made_from, opened
from pytest_memento.labels import quoted
from pytest_memento.locate import locate
from pytest_memento.metrics import Series
from pytest_memento.pause import without_gc
from pytest_memento.query import parse
from pytest_memento.record import Outcome, Record, Value, shown_labels
from pytest_memento.rows import RecordRow
from pytest_memento.source import Source
from pytest_memento.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


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
        """The configuration with its real values; results of others are loaded on access.

        :raises ResultNotLoadedError: a value cannot be brought back.
        """
        record = self._record
        return Config(
            {name: self._parameter(name, value) for name, value in record.parameters.items()},
            {name: self._real(value) for name, value in record.settings.items()},
            record.untracked,
        )

    @cached_property
    def inputs(self) -> dict[str, Result]:
        """Parameter -> the result of another experiment that was its value.

        As it is in the store now: none where it was removed.
        """
        found = {name: self._input(address) for name, address in self._record.inputs.items()}
        return {name: result for name, result in found.items() if result is not None}

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
        return _series(self._details)

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
    def log(self) -> str:
        """What it printed and logged, as pytest captured it; the end of it, if that is long.

        While an experiment runs there is no result of it yet: what it has said so far is in a file
        below ``logs/`` of the store.
        """
        return str(self._details.get("output", ""))

    @property
    def output(self) -> str:
        """The same as :attr:`log`."""
        return self.log

    @property
    def dir(self) -> Path:
        """The directory of its files; it exists if ``context.dir`` was used."""
        return self._store.artifacts(self._record.key)

    @property
    def files(self) -> dict[str, str]:
        """Data file -> digest, of those that it depends on, also by its inputs.

        See :meth:`pytest_memento.Context.depends_on`.
        """
        return dict(self._record.files)

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
        end = "" if self.error is None else "failed: "
        end += comparison.described(self._record)
        return f"<Result {self.id}: {end} ({duration(self._record.runtime)})>"

    @property
    def _details(self) -> dict[str, Any]:
        return self._store.details(self._record)

    def __memento_inputs__(self, where: Where) -> list[Input]:
        return Results([self]).__memento_inputs__(where)

    def _as_input(self) -> Input:
        record = self._record
        names = record.settings.keys() - {*record.untracked}
        settings = {name: record.settings[name].digest for name in sorted(names)}
        return Input(
            record.key,
            record.id,
            Config(self.parameters, self.settings, record.untracked),
            made_from(self._store.document(record.key.code), settings),
            opened(record.parameters),
            str(self._store.root.absolute()),
        )

    def _input(self, address: Sequence[str]) -> Result | None:
        experiment, stem, *root = address
        store = Store(Path(root[0]), shared=self._store.shared) if root else self._store
        record = store.read(experiment, stem, Outcome.PASSED)
        return Result(record, store, self._project) if record is not None else None

    def _parameter(self, name: str, value: Value) -> Any:
        if name not in self._record.inputs:
            return self._real(value)
        return Later(lambda: self._value_of_input(name), value.label)

    def _value_of_input(self, name: str) -> Any:
        if name not in self.inputs:
            raise ResultNotLoadedError(
                f"{self.experiment}[{self.id}]: the result that was its {name!r} is not stored any"
                " more"
            )
        return self.inputs[name].value

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
        holds = choosing.conditions(self._records, conditions)
        return Results(result for result in chosen if holds(result._record))

    def __memento_inputs__(self, where: Where) -> list[Input]:
        """Return what stands for these results among the values of another experiment."""
        if isinstance(where, Mapping):
            return [result._as_input() for result in self.where(**where)]
        return [result._as_input() for result in self if where is None or where(result.config)]

    def best(self, name: str, mode: Mode = "max", *, at: At = "last") -> Result:
        """Return the result with the best value; of equal ones the first in matrix order.

        >>> results.best("accuracy")  # doctest: +SKIP
        >>> results.best("metrics.loss", mode="min", at="best")  # doctest: +SKIP

        Failures, what is no number and ``nan`` never win.

        :param name: ``result``, ``result.<name>``, ``metrics.<name>``, ``runtime``, ``cpu_time`` or
            ``memory``; a name on its own is a part of the result, else a metric.
        :param mode: ``"max"`` or ``"min"``.
        :param at: which point of a metric counts: the ``"last"``, or each run's own ``"best"``.
        :raises MementoError: nothing has that name, or no result has a number there.
        """
        _check_word("mode", mode, get_args(Mode))
        _check_word("at", at, get_args(At))
        passed = [r for r in self if r._record.outcome is Outcome.PASSED]
        if not passed:
            raise MementoError("there are no results that passed")
        full, figure = choosing.figure([result._record for result in passed], name)
        figures = [figure(result._record) for result in passed]
        metric = full.removeprefix("metrics.")
        if at == "best" and metric != full:
            figures = [choosing.number_of(r.metrics.get(metric, ()), mode) for r in passed]
        position = choosing.best(figures, mode)
        if position is None:
            raise MementoError(f"{full} is a number in none of {len(passed)} results that passed")
        return passed[position]

    def group_by(self, *names: str) -> dict[Any, Results]:
        """Return the results by the value of a parameter or setting, in order of appearance.

        >>> for model, group in results.group_by("model").items():  # doctest: +SKIP
        ...     print(model, group.best("accuracy").value)

        :param names: of parameters or settings (``settings.n_fold`` where a parameter has the same
            name), ``experiment`` or ``status``.
        :return: plain value, or label of another -> results; with several names a tuple of them.
            What a result does not have is ``None``.
        :raises MementoError: no result has a parameter or setting of that name.
        """
        if not names:
            raise MementoError("group_by takes names, as in group_by('model', 'dataset')")
        found = choosing.groups(self._records, names)
        return {key: Results(self[n] for n in positions) for key, positions in found.items()}

    def compare(self, before: Results, /, *, values: bool = False) -> Comparison:
        """Compare with an earlier state, by parameters and settings, whatever the code was.

        >>> load_results().compare(load_results(commit="1a2b3c"))  # doctest: +SKIP

        :param before: the other state; of several runs of a configuration the newest counts.
        :param values: load results of which only a label is on record, such as arrays and fitted
            models, and compare these; otherwise they count as the same if their labels are.
        :raises ResultNotLoadedError: one of these cannot be brought back.
        """
        if not isinstance(before, Results):
            raise MementoError(f"compare takes results of load_results, not {quoted(before)}")
        return comparison.compare(before, self, values=values)

    @overload
    def to_frame(self, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
    @overload
    def to_frame(self, library: Literal["polars"]) -> pl.DataFrame: ...
    def to_frame(self, library: Library = "pandas") -> Any:
        """Return a frame: a row per result, in order.

        Columns: ``experiment`` where there are several, each parameter (``parameters.<name>`` where
        the name is that of another column), ``settings.<name>``, ``result``, the last value of each
        metric as ``metrics.<name>``, ``status``, ``runtime`` and ``cpu_time`` (durations),
        ``memory`` (bytes), ``start_time`` (UTC), ``error``. A dict among these has a column for
        each entry, as in ``settings.optimizer.lr`` and ``result.accuracy``.

        Numbers stay numbers where some are missing: whole ones and truth values become nullable
        types, others have ``nan``. Classes and other objects go by their labels; nothing is loaded.

        :param library: ``"pandas"`` or ``"polars"``, which must be installed.
        :raises MementoError: it is not.
        """
        return frames.make(frames.of_records(self._records), library)

    @overload
    def metrics_frame(self, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
    @overload
    def metrics_frame(self, library: Literal["polars"]) -> pl.DataFrame: ...
    def metrics_frame(self, library: Library = "pandas") -> Any:
        """Return a long frame: a row per recorded point.

        Columns: ``experiment`` where there are several, each parameter, those settings that are not
        the same in all results, ``metric``, ``step``, ``value``.

        :param library: as for :meth:`to_frame`.
        :raises MementoError: it is not installed.
        """
        with without_gc():
            columns = frames.of_series(self._records, map(_series_now, self))
        return frames.make(columns, library)

    @property
    def _records(self) -> list[Record]:
        return [result._record for result in self._results]

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
    commit: str | None = None,
    shared: bool = False,
) -> Results:
    """Load the results of experiments, also while they run.

    These are the results of the configurations that the matrix held when pytest last ran it, with
    the code of then: neither what other code computed nor what was removed from the matrix.

    :param path: an experiment file, a directory, ``file.py::function``, or a test id; by default
        all.
    :param store: the store's directory; by default that of the nearest directory above that has
        one, but for those where anybody may write, such as ``/tmp``.
    :param history: everything that is stored instead, newest last.
    :param commit: what was computed at a git commit instead, by the start of its hash: of each
        configuration the newest run. Whether files differed from the commit is in
        :attr:`Result.environment`.
    :param shared: load also values that other users wrote; loading them runs their code.
    :raises StoreError: there is no store, or nothing in it of that commit.
    """
    if history and commit is not None:
        raise StoreError("history=True or commit=..., not both: a commit has its own past")
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

    @cache
    def is_wanted(experiment: str) -> bool:
        there = [root for root in roots if (root / experiment.partition("::")[0]).exists()]
        return path is None or source.covers(experiment, there)

    with without_gc():
        records = list(_found(opened, is_wanted, history=history, commit=commit))
        chosen = [record for _, record in records if source.labels(record.id if record else "")]
        results = [Result(record, opened, project) for record in chosen if record]
    if source.function and not records:
        known = sorted(e for e in _known(opened) if _is_in(start, e, roots))
        there = f"there are: {', '.join(known)}" if known else "none of that file has"
        raise StoreError(f"no experiment {os.fspath(path or '')} has run ({there})")
    return Results(results, len(chosen) - len(results))


def _found(
    store: Store, wanted: states.Wanted, *, history: bool, commit: str | None
) -> states.Found:
    if commit is not None:
        return states.of_commit(store, wanted, commit)
    return states.history(store, wanted) if history else states.planned(store, wanted)


def _known(store: Store) -> set[str]:
    """Return the names of all experiments that were run."""
    return {*store.plans(), *(record.key.experiment for record in store.records())}


def _is_in(file: Path, experiment: str, roots: Iterable[Path]) -> bool:
    return any(root / experiment.partition("::")[0] == file for root in roots)


def _series(details: Mapping[str, Any]) -> Series:
    return {
        name: [(step, value) for step, value in points]
        for name, points in details.get("metrics", {}).items()
    }


def _series_now(result: Result) -> Series:
    """Return what was recorded; nothing where a failure has made way for a result meanwhile.

    It is not kept in the result: there may be many.
    """
    try:
        return _series(result._details)
    except FileNotFoundError:
        return {}


def _check_word(name: str, given: object, known: Sequence[str]) -> None:
    if given not in known:
        raise MementoError(f"{name} is {quoted(given)}: use {' or '.join(map(repr, known))}")


def _chosen(results: Sequence[Result], expression: str) -> list[Result]:
    query, now = parse(expression), time.time()
    rows = [RecordRow(result._record, now) for result in results]
    query.check(rows)
    return [result for result, row in zip(results, rows, strict=True) if query.holds(row)]


def _columns(results: Results) -> dict[str, Callable[[Result], str]]:
    """Return heading -> what stands below it; what is the same for all results only if it must."""
    columns: dict[str, Callable[[Result], str]] = {}
    if len(results._experiments()) > 1:
        columns["experiment"] = lambda result: result.experiment.rpartition("/")[2]
    records = [result._record for result in results]
    labels = [shown_labels(record.parameters, record.inputs) for record in records]
    for name in dict.fromkeys(name for each in labels for name in each):
        columns[name] = partial(_parameter, name)
    for name in dict.fromkeys(name for record in records for name in record.settings):
        if len({_setting(name, result) for result in results}) > 1:
            columns[f"settings.{name}"] = partial(_setting, name)
    columns["status"] = lambda result: result._record.outcome.name.lower()
    columns["result"] = lambda result: comparison.described(result._record)
    columns["runtime"] = lambda result: duration(result._record.runtime)
    return columns


def _parameter(name: str, result: Result) -> str:
    record = result._record
    return shown_labels(record.parameters, record.inputs).get(name, "")


def _setting(name: str, result: Result) -> str:
    value = result._record.settings.get(name)
    return value.label if value else ""


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
