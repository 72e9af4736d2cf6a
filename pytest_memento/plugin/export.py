"""``--memento-report``: files that tell what came out. Never in a worker, nor in a task."""

from __future__ import annotations

import ast
import dataclasses
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_memento import report as reports
from pytest_memento.errors import MementoError
from pytest_memento.labels import label, one_line
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.options import Options, shown_path
from pytest_memento.plugin.reports import Ended, error_of, told
from pytest_memento.record import Outcome, Plain, Record, Value
from pytest_memento.report.model import (
    FAILED,
    NOT_RUN,
    Details,
    Report,
    Row,
    Session,
    environments_of,
    joined,
    shown,
    title_of,
)
from pytest_memento.report.summary import number
from pytest_memento.results import load_results
from pytest_memento.schedule import Allowance
from pytest_memento.store import Store

Said = tuple[str, bool]
"""A line for the terminal, and whether it tells of what went well."""
_LONGEST_TEXT: Final = 100_000
"""Characters that are kept of what a report says of a failure."""
_WITH_RESULT: Final = (Ended.PASSED.value, Ended.CACHED.value, Ended.VERIFIED.value)


def targets(config: pytest.Config) -> list[Path]:
    """Return the files that are asked for.

    :raises pytest.UsageError: one cannot be written, as far as can be known now.
    """
    here = config.invocation_params.dir
    paths = [here / Path(text).expanduser() for text in config.getoption("memento_report")]
    for path in paths:
        try:
            reports.check(path)
        except MementoError as error:
            raise pytest.UsageError(f"--memento-report: {error}") from None
    return list(dict.fromkeys(paths))


def of_store(config: pytest.Config, paths: Sequence[Path], store: Store) -> Iterator[Said]:
    """Write reports of what is stored, without a session; yield what to say of them.

    :raises pytest.UsageError: what is named on the command line is not there.
    """
    named = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else [None]
    here = config.invocation_params.dir
    try:
        found = [load_results(here / text if text else None, store=store.root) for text in named]
    except MementoError as error:
        raise pytest.UsageError(f"--memento-report: {error}") from None
    yield from _written(Report.of_results(joined(found)), paths, config)


class Export:
    """Remembers how each experiment ended, and writes the reports at the end.

    :param allowance: knows why nothing is begun any more.
    :param paths: the files.
    """

    def __init__(
        self,
        options: Options,
        config: pytest.Config,
        allowance: Allowance,
        paths: Sequence[Path],
    ) -> None:
        self.options = options
        self.config = config
        self.allowance = allowance
        self.paths = paths
        self._began = time.time()
        self._bounds: dict[str, Bound] = {}
        self._nodeids: dict[str, None] = {}
        self._ends: dict[str, Mapping[str, Any]] = {}
        self._texts: dict[str, Details] = {}
        self._errors: dict[str, str] = {}
        self._said: list[Said] = []

    # -- what is known -----------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember the experiments of a session that collects in this process."""
        self._bounds = {
            item.nodeid: item.stash[BOUND] for item in session.items if BOUND in item.stash
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Remember what a worker has collected; which are experiments is known by their names."""
        self._nodeids.update(dict.fromkeys(ids))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how each experiment ended, and why."""
        known = told(report)
        if known is None:
            return
        # What is run again, as by --reruns, ends as it ends last.
        self._ends[report.nodeid] = known
        self._texts.pop(report.nodeid, None)
        self._errors.pop(report.nodeid, None)
        if report.failed:
            self._texts[report.nodeid] = _details_of(report)
        if not report.passed and (why := _reason_of(report)):
            self._errors[report.nodeid] = why

    # -- rows --------------------------------------------------------------------------------------

    def report(self, stopped: str = "") -> Report:
        """Return what came out of the session.

        :param stopped: why it began nothing more.
        """
        store, dry = self.options.store, self.options.collect_only
        rows = [row for name, nodeids in self._experiments().items()
                for row in self._rows(name, nodeids)]  # fmt: skip
        session = Session(
            command=self.options.command,
            runtime=time.time() - self._began,
            saved=sum(known["runtime"] for known in self._ends.values()
                      if known["ended"] == Ended.CACHED.value),
            stopped=stopped,
            is_dry=dry,
        )  # fmt: skip
        return Report(
            title=title_of(rows),
            rows=rows,
            environments=environments_of(dict.fromkeys((r.environment for r in rows), store)),
            session=session,
        )

    def _experiments(self) -> dict[str, dict[str, None]]:
        """Return function -> test ids of its experiments, in order."""
        names = {nodeid: bound.experiment.key.experiment for nodeid, bound in self._bounds.items()}
        names |= {nodeid: known["experiment"] for nodeid, known in self._ends.items()}
        known = {*names.values(), *(self.options.store.plans() if self._nodeids else ())}
        found: dict[str, dict[str, None]] = {}
        for nodeid in (*self._bounds, *self._nodeids, *self._ends):
            name = names.get(nodeid, nodeid.partition("[")[0])
            if name in known:
                found.setdefault(name, {})[nodeid] = None
        return found

    def _rows(self, name: str, nodeids: Mapping[str, None]) -> Iterator[Row]:
        stems = self._stems(name, nodeids)
        rows = [self._row(name, nodeid, stems.get(nodeid)) for nodeid in nodeids]
        names = list(dict.fromkeys(each for row in rows for each in row.parameters))
        for row in rows:
            known = row.parameters or parameters_of(row.id, names)
            yield row if row.parameters else dataclasses.replace(row, parameters=known)

    def _stems(self, name: str, nodeids: Mapping[str, None]) -> dict[str, str]:
        """Return test id -> stem; what workers ran is found by the headers of the plan."""
        if self._bounds:
            return {n: self._bounds[n].experiment.key.stem for n in nodeids if n in self._bounds}
        ends = {n: self._ends[n] for n in nodeids if n in self._ends}
        told_of = {nodeid: known["stem"] for nodeid, known in ends.items() if "stem" in known}
        store, escape, known = (
            self.options.store,
            private.id_escape(self.config),
            {*told_of.values()},
        )
        unknown = (stem for stem in store.plan(name) or () if stem not in known)
        records = ((stem, _read(store, name, stem)) for stem in unknown)
        found = {f"{name}[{escape(record.id)}]": stem for stem, record in records if record}
        return {**found, **told_of}

    def _row(self, name: str, nodeid: str, stem: str | None) -> Row:
        known = self._ends.get(nodeid)
        error = self._errors.get(nodeid)
        record = self._record(name, stem, known) if stem else None
        if record is not None:
            row = Row.of(record, self.options.store, known["ended"] if known else "")
            return dataclasses.replace(row, error=error) if error and not row.error else row
        bound = self._bounds.get(nodeid)
        status = known["ended"] if known else self._standing(bound)
        return Row(
            experiment=name,
            id=nodeid.partition("[")[2].removesuffix("]"),
            status=status,
            parameters=_parameters(bound, known or {}),
            settings=_settings(bound),
            result=_plains((known or {}).get("result", {})),
            runtime=(known or {}).get("runtime"),
            memory=(known or {}).get("memory"),
            error=error,
            load=lambda: self._texts.get(nodeid, Details()),
        )

    def _standing(self, bound: Bound | None) -> str:
        """Return what is said of an experiment that had no turn."""
        if bound is None or not self.options.collect_only:
            return NOT_RUN
        return bound.standing.status.word

    def _record(self, name: str, stem: str, known: Mapping[str, Any] | None) -> Record | None:
        """Return what is stored of an experiment as it ended, or, in a dry run, as it is."""
        if known is None and not self.options.collect_only:
            return None
        if known is None:
            return _read(self.options.store, name, stem)
        if known["ended"] in _WITH_RESULT:
            return self.options.store.read(name, stem, Outcome.PASSED)
        if known["ended"] != FAILED:
            return None
        record = self.options.store.read(name, stem, Outcome.FAILED)
        # Where nothing is run or stored there may be a failure of old.
        is_old = record is not None and record.ended < self._began and "where" not in known
        return None if is_old else record

    # -- the end -----------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files, however the session has ended."""
        try:
            stopped = self.allowance.stopped or session.shouldfail or session.shouldstop or ""
            with warnings.catch_warnings():
                # What is damaged in the store was said when it was found.
                warnings.simplefilter("ignore")
                report = self.report(str(stopped))
                self._said = list(_written(report, self.paths, self.config))
        except Exception as error:  # whatever goes wrong here is no outcome of the session
            self._said = [(f"memento: no report was written: {label(repr(error))}", False)]

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where they are."""
        for line, is_good in self._said:
            terminalreporter.write_line(line, yellow=not is_good)


def _written(report: Report, paths: Sequence[Path], config: pytest.Config) -> Iterator[Said]:
    """Write a report; yield a line for each file, also for those that cannot be written."""
    for path in paths:
        place = shown_path(path, config)
        try:
            reports.write(report, path)
        except Exception as error:  # whatever goes wrong: no report is worth a session
            yield f"memento: report {place} cannot be written: {one_line(str(error), 200)}", False
        else:
            yield f"memento: report {place} ({number(len(report.rows), 'experiment')})", True


def _read(store: Store, name: str, stem: str) -> Record | None:
    found = store.read(name, stem, Outcome.PASSED)
    return found or store.read(name, stem, Outcome.FAILED)


def _details_of(report: pytest.TestReport) -> Details:
    output = "\n".join(text for _, text in report.sections)
    return Details({}, report.longreprtext[-_LONGEST_TEXT:], output[-_LONGEST_TEXT:])


def _reason_of(report: pytest.TestReport) -> str:
    """Return why an experiment failed or was skipped, in a line."""
    if hasattr(report, "wasxfail"):
        return one_line(str(report.wasxfail), 200)
    longrepr: Any = report.longrepr
    if isinstance(longrepr, tuple):
        return one_line(str(longrepr[2]), 200)
    return one_line(error_of(report), 200) if report.failed else ""


# -- experiments that nothing is stored of ---------------------------------------------------------


def _parameters(bound: Bound | None, known: Mapping[str, Any]) -> dict[str, Plain]:
    if bound is None:
        return _plains(known.get("labels", {}))
    case = bound.experiment.case
    return shown({name: Value.of(value, case.labels[name]) for name, value in case.config.items()})


def _settings(bound: Bound | None) -> dict[str, Plain]:
    if bound is None:
        return {}
    settings = bound.experiment.case.config.settings
    return shown({name: Value.of(value, label(value)) for name, value in settings.items()})


def _plains(labels: Mapping[str, str]) -> dict[str, Plain]:
    return {name: plain_of(text) for name, text in labels.items()}


def plain_of(text: str) -> Plain:
    """Return the value that a label is most likely of: a number, ``True``, ``None``, or itself.

    >>> plain_of("0.1"), plain_of("True"), plain_of("SVC"), plain_of("[1,2]"), plain_of("nan")
    (0.1, True, 'SVC', '[1,2]', nan)
    """
    if text in ("nan", "inf", "-inf"):
        return float(text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if type(value) in (bool, int, float) or value is None else text


def parameters_of(configuration: str, names: Sequence[str]) -> dict[str, Plain]:
    """Take a label of a configuration apart, as of experiments that were not run by any worker.

    >>> parameters_of("model=SVC-lr=1e-3", ["model", "lr"])
    {'model': 'SVC', 'lr': 0.001}

    :param names: of the parameters, in order; where it does not hold these, nothing is known.
    """
    pattern = "-".join(f"{re.escape(name)}=(.*?)" for name in names)
    match = re.fullmatch(pattern, configuration, re.DOTALL) if names else None
    return _plains(dict(zip(names, match.groups(), strict=True))) if match else {}
