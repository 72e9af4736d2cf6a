"""What crosses between xdist's workers and their controller, beside the reports.

The controller collects nothing, so a worker leaves two notes in a directory the controller made:
what the session is going to do, and which experiment it is running now. The second is what
remains of an experiment whose worker dies. Workers also agree there on what they collect: the first
one decides. Where the directory cannot be seen (a worker on another machine), all is left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.claims import forget, owner_of
from pytest_memento.errors import StoreError
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.claiming import longest_owner
from pytest_memento.plugin.options import COMMAND, OPTIONS, Options
from pytest_memento.plugin.outlook import Outlook
from pytest_memento.plugin.plan import Plan
from pytest_memento.plugin.progress import Now, Running
from pytest_memento.plugin.properties import of_record
from pytest_memento.plugin.reporting import Reporting, look_ahead
from pytest_memento.plugin.reports import Ended, attach, what_to_tell
from pytest_memento.plugin.scheduling import ExperimentScheduling
from pytest_memento.plugin.shortcut import Shortcut
from pytest_memento.plugin.slurm.asking import ASKED
from pytest_memento.postmortem import PostMortem, post_mortem
from pytest_memento.provenance import host
from pytest_memento.record import Record
from pytest_memento.rights import make
from pytest_memento.schedule import Allowance
from pytest_memento.slate import Slate
from pytest_memento.slurm import PLACE

_INPUT = "memento_notes"
_SCHEDULED = "memento_scheduled"
_OUTPUT = "memento_refused"
_OVER = "over"
_READY = "ready"
_MOMENT = 1.0
"""Seconds in which the controller has answered a signal that all processes got."""


class Worker:
    """Leaves notes for the controller.

    :param is_scheduled: whether the controller needs a plan, see ``scheduling``.
    """

    def __init__(self, config: pytest.Config, *, is_scheduled: bool) -> None:
        workerinput: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]  # of xdist
        self._is_scheduled = is_scheduled
        self._notes = Path(workerinput.get(_INPUT, "/nonexistent"))
        self._id = str(workerinput["workerid"])
        self._leave("pid", [host(), os.getpid()])
        self._running = Slate(self._notes / f"{self._id}.running")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say what the session is going to do, before xdist says that collection is over."""
        self._leave("outlook", look_ahead(session.config, session.items).to_json())
        if self._is_scheduled and not self._is_agreed("plan"):
            plan = Plan.of(session.config, session.items, session.config.stash[OPTIONS])
            if plan is not None:
                self._agree("plan", plan.to_json())

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say which experiment is about to run."""
        bound = item.stash.get(BOUND, None)
        writes = item.config.stash[OPTIONS].writes and self._notes.is_dir()
        if bound is not None and bound.started and writes:
            record = bound.attempt.failure_record("")
            note: dict[str, Any] = {"nodeid": item.nodeid}
            note["told"] = what_to_tell(bound, Ended.FAILED)
            note["is_stored"] = bound.beside is None
            note["worker"] = self._id
            experiment = bound.experiment
            store, key = bound.attempt.store, experiment.key
            note |= {
                "log": str(store.log(key, experiment.case.label)),
                "claim": str(store.claim(key)),
                "checkpoint": str(store.checkpoint(key)),
            }
            self._running.write(json.dumps({**note, "record": record.to_json()}))

    def ready(self) -> None:
        """Say that what runs has come to a checkpoint, and waits to be ended."""
        self._leave(_READY, True)

    def colleagues(self) -> set[tuple[str, int]]:
        """Return host and number of the processes that are the other workers."""
        notes = (path for path in self._notes.glob("*.pid") if path.stem != self._id)
        found: list[list[Any]] = [json.loads(text) for path in notes if (text := _text_of(path))]
        return {(str(where), int(pid)) for where, pid in found}

    def is_over(self) -> bool:
        """Tell whether the controller has ended the session: all may have got the same signal."""
        until = time.monotonic() + _MOMENT
        while self._notes.is_dir():
            if (self._notes / _OVER).exists():
                return True
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        return False

    def agree(self, what: str, mine: list[str]) -> list[str]:
        """Return what the first worker said."""
        if not self._notes.is_dir():
            return mine
        self._agree(what, mine)
        said: list[str] = json.loads(self._agreed(what).read_text(encoding="utf-8"))
        return said

    def _agree(self, what: str, mine: object) -> None:
        self._leave(what, mine)
        with contextlib.suppress(OSError):  # the first one counts
            os.link(self._notes / f"{self._id}.{what}", self._agreed(what))

    def _is_agreed(self, what: str) -> bool:
        return self._agreed(what).exists()

    def _agreed(self, what: str) -> Path:
        return self._notes / f"agreed.{what}"

    @property
    def notes(self) -> list[Path]:
        """The file in which the experiment that runs shows what it does."""
        return [self._notes / f"{self._id}.pulse"] if self._notes.is_dir() else []

    def _leave(self, kind: str, note: object) -> None:
        if self._notes.is_dir():
            (self._notes / f"{self._id}.{kind}").write_text(json.dumps(note), encoding="utf-8")


class Controller:
    """Reads the notes of the workers.

    :param allowance: what may be begun.
    :param shortcut: wants to know what the workers have imported.
    :param is_scheduled: whether it is our schedule that decides; else the user has chosen another.
    """

    def __init__(
        self,
        options: Options,
        config: pytest.Config,
        allowance: Allowance,
        shortcut: Shortcut,
        *,
        is_scheduled: bool,
    ) -> None:
        self.options = options
        self.allowance = allowance
        self.shortcut = shortcut
        self._failures = 0
        self.config = config
        # Where workers are on other nodes, they see the store and may not see this one's /tmp.
        shared = options.store.root / PLACE if config.stash.get(ASKED, None) else None
        if shared is not None:
            options.store.make_root()
            make(shared, options.store.rights)
        self._directory = tempfile.TemporaryDirectory(prefix="memento-notes-", dir=shared)
        self._has_header = False
        self._scheduling: ExperimentScheduling | None = None
        self._is_scheduled = is_scheduled

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to leave notes, and what was typed."""
        node.workerinput[_INPUT] = self._directory.name
        node.workerinput[_SCHEDULED] = self._is_scheduled
        node.workerinput[COMMAND] = list(self.options.command)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(
        self, config: pytest.Config, log: Any
    ) -> ExperimentScheduling | None:
        """Schedule experiments, unless the user has chosen how to distribute."""
        if self._is_scheduled:
            self._scheduling = ExperimentScheduling(
                config, log, self._read_plan, self.allowance, self._got_further
            )
        return self._scheduling

    def _got_further(self, nodeid: str) -> bool:
        """Tell whether the worker that died of an experiment had saved a checkpoint of it."""
        note = self._last_note(nodeid)
        if note is None:
            return False
        begun = owner_of(Path(note["claim"]))
        return begun is not None and begun.got_further(Path(note["checkpoint"]))

    def _read_plan(self) -> Plan | None:
        note = self._read("agreed.plan")
        if note is None:
            return None
        plan = Plan.from_json(note)
        self.shortcut.sources = plan.sources
        return plan

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell the schedule what was reported."""
        self._failures += report.failed
        if self._scheduling is None:
            return
        self._scheduling.saw(report)
        most = self.config.option.maxfail
        if most and self._failures >= most:
            self.halt(f"{self._failures} failure{'s' if self._failures > 1 else ''}")

    def count_running(self) -> int:
        """How many experiments run now."""
        return len(self.now().running)

    def now(self) -> Now:
        """Return what the workers run, and how long all will take."""
        if self._scheduling is None or self._scheduling.work is None:
            return Now()
        work, nodeid_of = self._scheduling.work, self._scheduling.nodeid_of
        running = []
        for node, task, seconds in work.running():
            pulse = self._pulse(node.gateway.id, nodeid_of(task))
            running.append(Running(_label(nodeid_of(task)), seconds, pulse.get("progress")))
        elsewhere = []
        for node, task in work.elsewhere():
            # What another session has given up may run here by now.
            pulse = self._pulse(node.gateway.id, nodeid_of(task)) if node is not None else {}
            if pulse:
                seconds = time.time() - float(pulse.get("since", pulse["beat"]))
                running.append(Running(_label(nodeid_of(task)), seconds, pulse.get("progress")))
            else:
                elsewhere.append(_label(nodeid_of(task)))
        owner = longest_owner(self.options.store, elsewhere) if elsewhere else ""
        return Now(running, work.remaining(), len(elsewhere), owner)

    def halt(self, why: str) -> None:
        """Have nothing more begun."""
        if self._scheduling is not None:
            self._scheduling.halt(why)

    def has_experiments(self) -> bool:
        """Whether the session has any that are to run, as far as is known by now."""
        work = self._scheduling.work if self._scheduling is not None else None
        return work is not None and not work.is_over

    def end_others(self) -> None:
        """End the workers of this machine: xdist would wait for what they run."""
        (Path(self._directory.name) / _OVER).touch()
        self._signal(signal.SIGTERM)

    def make_room(self) -> None:
        """Have what runs stop at its next checkpoint."""
        self._signal(signal.SIGUSR2)

    def has_room(self) -> bool:
        """Whether all that runs has stopped at one."""
        work = self._scheduling.work if self._scheduling is not None else None
        running = list(work.running()) if work is not None else []
        return all(self._read(f"{node.gateway.id}.{_READY}") for node, _, _ in running)

    def _signal(self, number: int) -> None:
        for path in Path(self._directory.name).glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                where, pid = json.loads(path.read_text())
                if where == host():
                    os.kill(pid, number)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """Print the header as soon as the first worker has collected."""
        note = self._read(f"{node.gateway.id}.outlook")
        reporting = self.config.pluginmanager.getplugin("memento-reporting")
        assert isinstance(reporting, Reporting)
        # It has a header from before, where workers were found to be needed only then.
        self._has_header = self._has_header or bool(reporting.total)
        if note is not None and not reporting.total:
            reporting.total = Outlook(**note).total
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if self._has_header or note is None or reporter is None or self._is_quiet():
            return
        self._has_header = True
        if reporter.isatty:
            reporter.rewrite("", erase=True)  # over xdist's line, which is written in place
            reporter.rewrite("")  # back to where a line begins
        reporter.ensure_newline()
        for line in reporting.header(Outlook(**note), workers=len(self.config.option.tx)):
            reporter.write_line(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """End the session for a mistake on the command line that a worker found."""
        with contextlib.suppress(OSError):
            (Path(self._directory.name) / f"{node.gateway.id}.pid").unlink()
        if line := getattr(node, "workeroutput", {}).get(_OUTPUT):
            raise pytest.UsageError(line)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Say what is known of an experiment whose worker died, and record its failure."""
        note = self._last_note(crashitem)
        if note is None:
            return
        deaths = self._scheduling.deaths(crashitem) if self._scheduling else 1
        pulse, log = self._pulse(note["worker"], crashitem), Path(note["log"])
        record = Record.from_json(note["record"])
        found = post_mortem(record, "its worker", deaths, pulse, log, time.time())
        report.longrepr = f"{found.record.error}: {report.longrepr}"
        if found.output:
            report.sections.append(("Captured output until then", found.output))
        known: dict[str, Any] = {"runtime": found.record.runtime, "memory": found.record.memory}
        if note["is_stored"]:
            known["record"] = [record.key.stem, record.outcome.value]
        attach(report, {**note["told"], **known}, is_alone=True)
        report.user_properties += of_record(found.record, is_cached=False)
        if note["is_stored"]:
            self._record_death(found)
            forget(Path(note["claim"]), record.host, record.pid)

    def _pulse(self, worker: str, nodeid: str) -> dict[str, Any]:
        """Return what a test has shown of itself while it ran in a worker."""
        note = self._read(f"{worker}.pulse") or {}
        return note if note.get("nodeid") == nodeid else {}

    def _last_note(self, nodeid: str) -> dict[str, Any] | None:
        """Return the note of the worker that ran a test last."""
        notes = [self._read(path.name) for path in Path(self._directory.name).glob("*.running")]
        fitting = [note for note in notes if note is not None and note["nodeid"] == nodeid]
        return max(fitting, key=lambda note: float(note["record"]["started"]), default=None)

    def pytest_unconfigure(self) -> None:
        """Remove the notes."""
        self._directory.cleanup()

    def _record_death(self, found: PostMortem) -> None:
        try:
            self.options.store.publish(found.record, found.details)
        except StoreError as error:
            self.config.issue_config_time_warning(
                pytest.PytestWarning(f"memento: the crash could not be recorded: {error}"), 2
            )

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            note: dict[str, Any] = json.loads((Path(self._directory.name) / name).read_text())
        except (OSError, ValueError):
            return None
        return note

    def _is_quiet(self) -> bool:
        return self.config.get_verbosity() < 0


def _label(nodeid: str) -> str:
    return nodeid.partition("[")[2].removesuffix("]")


def _text_of(path: Path) -> str:
    """Return what a note says, nothing while it is being written or where it is gone."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def colleagues(config: pytest.Config) -> set[tuple[str, int]]:
    """Return host and number of the processes that are other workers of this session."""
    worker = config.pluginmanager.getplugin("memento-worker")
    return worker.colleagues() if isinstance(worker, Worker) else set()


def is_scheduled_here(config: pytest.Config) -> bool:
    """Whether a worker is sent what our schedule has chosen."""
    return bool(getattr(config, "workerinput", {}).get(_SCHEDULED))


def agree(config: pytest.Config, what: str, mine: list[str]) -> list[str]:
    """Return what the first worker of the session said, or *mine* where there is none.

    The store may change while they look at it, also before a worker that died is replaced, and
    xdist wants the same tests in all of them.
    """
    worker = config.pluginmanager.getplugin("memento-worker")
    return worker.agree(what, mine) if isinstance(worker, Worker) else mine


def refuse(config: pytest.Config, line: str) -> None:
    """End the session for a mistake on the command line that shows at collection.

    A worker would end alone, and xdist take that for a crash: it is to have no items, and the
    controller raises.

    :raises pytest.UsageError: this is no worker.
    """
    output = getattr(config, "workeroutput", None)
    if output is None:
        raise pytest.UsageError(line)
    output[_OUTPUT] = line
