"""What the terminal shows of experiments. Only where the terminal is: never in a worker."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from pytest_memento import summary
from pytest_memento.amounts import about, ago, duration
from pytest_memento.experiment import Status
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.collection import Collection
from pytest_memento.plugin.options import OPTIONS, Options, shown_path
from pytest_memento.plugin.outlook import REMARKS, Outlook, expectations
from pytest_memento.plugin.progress import Now, State
from pytest_memento.plugin.reports import Ended, error_of, told
from pytest_memento.plugin.slurm.asking import ASKED
from pytest_memento.record import Outcome, shown_labels
from pytest_memento.schedule import Allowance
from pytest_memento.summary import Row

_MOST_ROWS = 24
_MOST_COMPARED = 5_000
"""Cached experiments that are read to explain failures."""
_ORDER = (Ended.FAILED, Ended.PASSED, Ended.XFAILED, Ended.SKIPPED, Ended.VERIFIED,
          Ended.CACHED)  # fmt: skip


class Reporting:
    """Header, CACHED, dry run, summary.

    :param allowance: knows why nothing is begun any more.
    """

    def __init__(self, options: Options, config: pytest.Config, allowance: Allowance) -> None:
        self.options = options
        self.config = config
        self.allowance = allowance
        self.total = 0
        self._stopped = ""
        self.saved = 0.0
        self.ended: dict[tuple[str, int], Mapping[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        """How many have ended in which way."""
        self.plan: list[pytest.Item] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Teach pytest's last line that cached and verified are good."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            notes = {"cached": self._saved_text, "verified": lambda: ""}
            private.adjust_summary_line(reporter, "green", notes)

    def _saved_text(self) -> str:
        return f"saved {duration(self.saved)}" if self.saved >= 1 else ""

    def state(self, now: Callable[[], Now]) -> State:
        """Return how far the session is.

        :param now: tells what runs, and how long all will take.
        """
        return State(self.total, len(self.ended), self.counts[Ended.FAILED.value], now())

    # -- before ------------------------------------------------------------------------------------

    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> list[str]:
        """Return the header of a session that collects in this process."""
        self.total = sum(BOUND in item.stash for item in items)
        if self.config.get_verbosity() < 0:
            return []
        if self.options.collect_only:
            self.plan = [item for item in items if BOUND in item.stash]
        return self.header(look_ahead(self.config, items), workers=self._workers())

    def _workers(self) -> int:
        """How many there would be: a dry run starts none."""
        if (asked := self.config.stash.get(ASKED, None)) is not None:
            return asked.tasks
        return _workers(self.config) if self.options.collect_only else 1

    def header(self, outlook: Outlook, *, workers: int) -> list[str]:
        """Return the lines that say what the session is going to do."""
        if not outlook.total:
            return []
        store = self.options.store
        return list(
            outlook.lines(
                self.options.cache, shown_path(store.root, self.config), store.usage(), workers
            )
        )

    # -- while it runs -----------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show a hit as CACHED, with what it took when it ran."""
        known = told(report)
        if known is None or known["ended"] not in (Ended.CACHED.value, Ended.VERIFIED.value):
            return None
        if known["ended"] == Ended.VERIFIED.value:
            return "verified", "v", "VERIFIED"
        if self.config.get_verbosity() <= 0:  # only the letter is shown
            return "cached", "c", "CACHED"
        history = _history(known["runtime"], known["at"], known.get("where", ""))
        return "cached", "c", f"CACHED ({history})"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how each experiment ended."""
        known = told(report)
        if known is None:
            return
        if known["ended"] == Ended.FAILED.value:
            known = {**known, "error": error_of(report)}
        # What is run again, as by --reruns, ends as it ends last.
        which = known["experiment"], known["position"]
        if (before := self.ended.get(which)) is not None:
            self.counts[before["ended"]] -= 1
        self.ended[which] = known
        self.counts[known["ended"]] += 1
        if known["ended"] == Ended.CACHED.value:
            self.saved += known["runtime"]

    # -- after -------------------------------------------------------------------------------------

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remember why pytest has stopped."""
        self._stopped = str(session.shouldfail or session.shouldstop or "")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the plan of a dry run, or the table of what came out."""
        if self.config.get_verbosity() >= 0:
            self._write_tables(terminalreporter)
        if not self.options.collect_only and (missing := self.total - len(self.ended)) > 0:
            why = self.allowance.stopped or self._stopped
            cause = f": {why}" if why else ""
            terminalreporter.write_line(
                f"memento: {missing} of {self.total} experiments were not run{cause}", yellow=True
            )

    def _write_tables(self, terminalreporter: pytest.TerminalReporter) -> None:
        width = self.config.get_terminal_writer().fullwidth
        found = list(self._plan_lines()) if self.plan else list(self._summary_lines(width))
        if found:
            terminalreporter.write_sep("=", "memento plan" if self.plan else "memento summary")
            for line in found:
                terminalreporter.write_line(line)

    def _plan_lines(self) -> Iterator[str]:
        bounds = {item: item.stash[BOUND] for item in self.plan}
        expected = expectations(bounds.values())
        for item, bound in bounds.items():
            standing = bound.standing
            if standing.status is Status.CACHED and standing.past is not None:
                why = _history(standing.past.runtime, standing.past.ended)
            else:
                seconds = expected.get(bound, 0)
                time_text = f", {about(seconds)}" if seconds >= 1 else ""
                why = f"{standing.reason}{time_text}"
            yield f"{item.nodeid}  {standing.status.word}: {why}"
        yield from self._removed_lines()
        outlook = Outlook.of(self.plan, self.options.cache)
        time_text = outlook.time_text(_workers(self.config))
        run = f"would run {outlook.to_run(self.options.cache)} of {outlook.total}"
        yield f"{run}, {time_text}" if time_text else run

    def _removed_lines(self) -> Iterator[str]:
        stems = [(name, stem) for name, all_of in _collection(self.config).removed.items()
                 for stem in all_of]  # fmt: skip
        for name, stem in stems[:_MOST_ROWS]:
            if (record := self.options.store.read(name, stem, Outcome.PASSED)) is not None:
                when = ago(time.time() - record.ended)
                yield f"{name}[{record.id}]  removed: not in the matrix any more ({when})"
        if len(stems) > _MOST_ROWS:
            yield f"... and {len(stems) - _MOST_ROWS} more removed"

    def _summary_lines(self, width: int) -> Iterator[str]:
        by_experiment: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for known in self.ended.values():
            by_experiment[known["experiment"]].append(known)
        for name, runs in by_experiment.items():
            if len(by_experiment) > 1:
                yield f"{name}:"
            yield from self._table(runs, width)
        for name, runs in by_experiment.items():
            of_which = f" of {name}" if len(by_experiment) > 1 else ""
            yield from (f"failures{of_which}: {cause}" for cause in self._causes(runs))
        yield from summary.lacks(k["lacks"] for k in self.ended.values() if "lacks" in k)

    def _table(self, runs: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
        most = len(runs) if self.config.get_verbosity() > 1 else _MOST_ROWS
        shown = sorted(runs, key=_rank)[:most]
        yield from summary.lines([self._row(known) for known in shown], width)
        if len(runs) > len(shown):
            yield f"... and {len(runs) - len(shown)} more; all with -vv, or by load_results()"

    def _causes(self, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        """Explain failures by what did not fail, cached experiments included if they are few."""
        if not any(known.get("error") for known in runs):
            return iter(())
        ran = [known for known in runs if "stem" not in known]
        compared = runs if len(runs) - len(ran) <= _MOST_COMPARED else ran
        return summary.causes([self._row(known) for known in compared])

    def _row(self, known: Mapping[str, Any]) -> Row:
        """Return what is shown of an experiment; what the report of a hit leaves out is stored."""
        runtime, memory = known.get("runtime"), known.get("memory")
        status = "not run" if "lacks" in known else known["ended"]
        if "stem" not in known:
            texts, numbers = known.get("result", {}), known.get("metrics", {})
            return Row(
                known["labels"], status, texts, numbers, runtime, memory,
                known.get("error", ""), known["settings"],
            )  # fmt: skip
        record = self.options.store.read(known["experiment"], known["stem"], Outcome.PASSED)
        if record is None:
            return Row({}, known["ended"], runtime=runtime)
        labels = shown_labels(record.parameters, record.inputs)
        result = {name: value.label for name, value in record.result.items()}
        settings = {
            name: value.label
            for name, value in record.settings.items()
            if name not in record.untracked
        }
        return Row(
            labels, known["ended"], result, record.metrics, runtime, record.memory,
            settings=settings,
        )  # fmt: skip


def _rank(known: Mapping[str, Any]) -> tuple[int, int]:
    return _ORDER.index(Ended(known["ended"])), known["position"]


def _history(runtime: float, ended: float, where: str = "") -> str:
    """Return what is said of a stored run; *where* it ran if that was in another session."""
    place = f", by {where}" if where else ""
    return f"{duration(runtime)}, {ago(time.time() - ended)}{place}"


def _workers(config: pytest.Config) -> int:
    return len(config.getoption("tx", default=None) or ()) or 1


def look_ahead(config: pytest.Config, items: Sequence[pytest.Item]) -> Outlook:
    """Return what the session is going to do, in the process that has collected."""
    collection = _collection(config)
    remarks: list[str] = config.stash.setdefault(REMARKS, [])
    return Outlook.of(
        items,
        config.stash[OPTIONS].cache,
        excluded=collection.excluded,
        removed=sum(map(len, collection.removed.values())),
        remarks=remarks,
    )


def _collection(config: pytest.Config) -> Collection:
    collection = config.pluginmanager.getplugin("memento-collection")
    assert isinstance(collection, Collection)
    return collection
