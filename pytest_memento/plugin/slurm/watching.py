"""The session that submits, or attaches, and reports what tasks do as if it ran here.

The store and the notes of the tasks are the truth. What the queue says is only shown, and tells
when nobody is left to wait for.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import time
from collections import ChainMap, defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.claims import claimed_if_free
from pytest_memento.errors import StoreError
from pytest_memento.experiment import find_hit
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.claiming import where_of
from pytest_memento.plugin.options import Cache, Options
from pytest_memento.plugin.plan import runs, tasks_of
from pytest_memento.plugin.progress import Now, Running
from pytest_memento.plugin.properties import properties_of
from pytest_memento.plugin.reports import Ended, report_in_one, told, what_to_tell
from pytest_memento.plugin.slurm.asking import Asked, for_tasks, resources_of
from pytest_memento.plugin.stopping import EndedBySignal, ending_by
from pytest_memento.presence import Sign, name_of, signs
from pytest_memento.record import Key, Outcome, Record
from pytest_memento.schedule import Allowance, in_turn
from pytest_memento.slurm import cluster
from pytest_memento.slurm.cluster import Element, SlurmError
from pytest_memento.slurm.script import Job, Resources
from pytest_memento.slurm.submission import Group, Item, Submission, Tail, outdated, submissions

_LOOKED_EACH = 0.5
"""Seconds between two looks at the notes."""
_ASKED_EACH = 15.0
"""Seconds between two questions to squeue, while nothing shows that something has changed: fewer
after something has, twice as many each time."""
_ASKED_FIRST = 1.0
_SURE = 2.0
"""Seconds for which all tasks must have ended: one that is put back into the queue seems to."""
_ENDING = 15.0
"""Seconds in which tasks end that were cancelled before this session began."""
_RETURNS = 60.0
"""Seconds in which Slurm puts a task back that asks for it."""
_STORE_LOOKED_EACH = 5.0
"""Seconds between two looks at the store, for what others than our tasks compute."""
_LAST_WORDS = 3.0
"""Seconds in which tasks end when nothing is left; their warnings come last."""
_PATIENCE = 60.0
"""Seconds for which another session may be about to submit."""
_TRIES = 4
"""Submissions in turn of which nothing comes: three for an experiment that kills its tasks, which
the fourth gives up."""


@dataclass
class _Watched:
    """A submission that is watched.

    :param tail: reads its notes.
    :param left: node ids that have not ended.
    :param begun: tasks that have begun.
    :param ended: tasks that said that they have ended.
    :param returning: tasks that go back into the queue -> since when.
    :param changed: node ids that are not what was submitted -> where.
    :param elements: the tasks, as Slurm has them.
    :param over_since: when all were first seen to have ended.
    """

    submission: Submission
    tail: Tail
    left: set[str]
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    returning: dict[str, float] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)
    elements: list[Element] = field(default_factory=list)
    over_since: float | None = None

    @functools.cached_property
    def before(self) -> dict[str, float | None]:
        """Node id -> when its last run had ended, when it was submitted."""
        items = (item for group in self.submission.groups for item in group.items)
        return {item.nodeid: item.before for item in items}

    @property
    def is_over(self) -> bool:
        """Whether all its tasks have ended."""
        return self.over_since is not None and time.monotonic() - self.over_since >= _SURE

    @property
    def is_ending(self) -> bool:
        """Whether no task of it waits or runs, though it may not be over."""
        is_leaving = [each.is_over or each.state == "COMPLETING" for each in self.elements]
        return bool(is_leaving) and all(is_leaving) and not self.is_over

    def look(self, elements: list[Element]) -> None:
        """See what Slurm says of its tasks; nothing is said of those that ended long ago."""
        self.elements = elements or self.elements
        now = time.monotonic()
        is_over = all(
            element.is_over and now - self.returning.get(element.name, -_RETURNS) >= _RETURNS
            for element in elements
        )
        self.over_since = (self.over_since or now) if is_over else None


class Watching(EndedBySignal):
    """Has tasks run what is missing.

    :param allowance: tells why nothing is begun any more.
    """

    def __init__(
        self, options: Options, config: pytest.Config, asked: Asked, allowance: Allowance
    ) -> None:
        self.options = options
        self.config = config
        self.asked = asked
        self.allowance = allowance
        self._items: dict[str, pytest.Item] = {}
        self._left: set[str] = set()
        self._claims: dict[str, str] = {}
        self._watched: list[_Watched] = []
        self._asked_at = float("-inf")
        self._pause = _ASKED_FIRST
        self._store_at = time.monotonic()
        self._is_halted = False
        self._is_given_up = False
        self._tries = 0

    # -- what others want to know ------------------------------------------------------------------

    def halt(self, why: str) -> None:
        """Have tasks begin nothing more."""
        self.allowance.stop(why)
        self._is_halted = True
        for each in self._watched:
            each.submission.halt(why)
            cluster.cancel(each.submission.jobs, only_waiting=True)
        self._pause = _ASKED_FIRST

    def now(self) -> Now:
        """Return what runs, where, and what waits for what."""
        running = []
        for sign in self._signs():
            pulse = sign.pulse()
            running.append(Running(sign.label, time.time() - sign.since, pulse.get("progress")))
        elements = [e for each in self._watched for e in each.elements]
        queued = ""
        if number := sum(element.is_waiting for element in elements):
            why = cluster.reasons_of(elements)
            queued = f"{number} task{'s' * (number > 1)} queued{f' ({why})' if why else ''}"
        return Now(running, None, where=cluster.nodes_of(elements), queued=queued)

    def _signs(self) -> list[Sign]:
        found = signs(self.options.store.root)
        return [sign for sign in found if self._claims.get(sign.claim) in self._left]

    # -- the session -------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Run ordinary tests here, then have tasks run the experiments."""
        if session.config.option.collectonly or session.testsfailed:
            return (yield)
        mine = [item for item in session.items if self._is_for_tasks(item)]
        session.items = [item for item in session.items if not self._is_for_tasks(item)]
        result = yield
        self._items = {item.nodeid: item for item in mine}
        if not mine:
            return result
        store = self.options.store
        keys = {nodeid: self._bound(nodeid).experiment.key for nodeid in self._items}
        self._claims = {name_of(store.claim(key)): nodeid for nodeid, key in keys.items()}
        self._left = set(self._chosen(mine))
        if self.asked.shows_only:
            self._show_scripts()
            return result
        try:
            self._begin()
            if self.asked.detaches:
                self._say_how_to_come_back()
                self.allowance.stop("tasks run them")
                return result
            with ending_by(self._leave):
                self._watch(session)
        except KeyboardInterrupt:
            self._say_how_to_come_back("detached from")
            self.allowance.stop("tasks run them")
            why = signal.Signals(self.ended_by).name if self.ended_by else "Ctrl-C"
            raise session.Interrupted(f"{why}; the tasks go on") from None
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        if self._left:
            is_wanted = bool(self.allowance.stopped) and not self._is_given_up
            self.allowance.stop("their tasks have ended")
            if not is_wanted:
                raise session.Interrupted("not all tasks have done what they were to do")
        if self._is_limited():
            self.allowance.stop(f"the limit of {self.options.limit} is reached")
        return result

    def _leave(self, number: int) -> None:
        """Leave the tasks alone on SIGTERM or SIGHUP, too."""
        self.ended_by = number
        raise KeyboardInterrupt

    def _is_for_tasks(self, item: pytest.Item) -> bool:
        """Whether an item is run by tasks; what a mark skips is skipped here."""
        return (
            self.options.cache is not Cache.ONLY
            and runs(item, self.options)
            and private.skip_reason(item) is None
        )

    def _chosen(self, items: Sequence[pytest.Item]) -> list[str]:
        """Return the node ids of what may be begun, those first that come first."""
        order = in_turn(tasks_of(items, self.options))
        return [items[task.number].nodeid for task in order][: self.options.limit]

    def _is_limited(self) -> bool:
        return self.options.limit is not None and self.options.limit < len(self._items)

    # -- submitting --------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Attach to what was submitted before, and submit the rest.

        :raises pytest.UsageError: Slurm or the store refuses.
        """
        store = self.options.store
        try:
            store.make_root()
            store.inside(store.root / "slurm/_")
            with self._alone():
                found = self._attach()
                new = self._submit(self._uncovered())
        except (OSError, StoreError) as error:
            self.allowance.stop(f"nothing was submitted: {error}")
            raise pytest.UsageError(f"memento: nothing was submitted: {error}") from None
        except SlurmError as error:
            self.allowance.stop(str(error))
            raise pytest.UsageError(f"memento: {error}") from None
        if found:
            self._say(f"memento: attached to {_arrays(found)}, submitted before")
            self._say_what_is_ignored()
        if new is not None:
            tasks = sum(group.tasks for group in new.groups)
            items = sum(len(group.items) for group in new.groups)
            self._say(
                f"memento: submitted {items} experiment{'s' * (items > 1)} as {_arrays([new])}"
                f" ({tasks} task{'s' * (tasks > 1)})"
            )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other sessions from submitting the same meanwhile."""
        path = self.options.store.root / "claims/slurm/submission.lock"
        until = time.monotonic() + _PATIENCE
        while True:
            with claimed_if_free(path) as is_ours:
                if is_ours:
                    yield
                    return
            if time.monotonic() > until:
                raise SlurmError("another session has been submitting for a minute: try again")
            time.sleep(0.2)

    def _attach(self) -> list[Submission]:
        """Watch what is already submitted of what is missing."""
        attached = []
        left = set(self._left)
        for submission in reversed(submissions(self.options.store.root)):
            if submission.refreshes != (self.options.cache is Cache.REFRESH):
                continue
            theirs = {
                item.nodeid
                for group in submission.groups
                for item in group.items
                if item.nodeid in left and item.stem == self._bound(item.nodeid).experiment.key.stem
            }
            if theirs:
                left -= theirs
                self._watched.append(_Watched(submission, Tail(submission), theirs))
                attached.append(submission)
        self._ask()
        until = time.monotonic() + _ENDING
        while any(each.is_ending for each in self._watched) and time.monotonic() < until:
            time.sleep(_LOOKED_EACH)
            self._ask()
        self._listen()
        for each in list(self._watched):
            if each.is_over:  # it has told what it can
                self._watched.remove(each)
                attached.remove(each.submission)
                each.submission.see()
        return attached

    def _uncovered(self) -> list[str]:
        covered = {nodeid for each in self._watched for nodeid in each.left}
        return [nodeid for nodeid in self._items if nodeid in self._left - covered]

    def _submit(self, nodeids: Sequence[str]) -> Submission | None:
        """Submit experiments, an array for each set of resources.

        :raises SlurmError: Slurm refuses; then nothing of it stays submitted.
        """
        if not nodeids:
            return None
        if not cluster.is_here():
            raise cluster.not_here("sbatch")
        store, refreshes = self.options.store, self.options.cache is Cache.REFRESH
        if refreshes:
            for nodeid in nodeids:
                store.forget_checkpoint(self._bound(nodeid).experiment.key)
        for directory in outdated(store.root):
            shutil.rmtree(directory, ignore_errors=True)
        submission = Submission.new(
            store.root, self._groups(nodeids), store.rights, refreshes=refreshes
        )
        jobs: list[str] = []
        try:
            for job in self._jobs(submission):
                path = submission.directory / f"{job.group}.sh"
                path.write_text(job.script, encoding="utf-8")
                jobs.append(cluster.submit(path, job.options))
                submission = submission.submitted(jobs)
        except SlurmError:
            cluster.cancel(jobs, only_waiting=False)
            shutil.rmtree(submission.directory, ignore_errors=True)
            raise
        left = set(nodeids)
        self._watched.append(_Watched(submission, Tail(submission), left))
        return submission

    def _groups(self, nodeids: Sequence[str]) -> list[Group]:
        by_resources: dict[Resources, list[Item]] = defaultdict(list)
        for nodeid in nodeids:
            wanted = resources_of(self._items[nodeid], self.asked.resources)
            bound = self._bound(nodeid)
            key = bound.experiment.key
            found = self._last_run(key)
            before = found.ended if found else None
            by_resources[wanted].append(Item(nodeid, key.experiment, key.stem, before))
        return [
            Group(tuple(items), min(self.asked.tasks, len(items)), resources)
            for resources, items in by_resources.items()
        ]

    def _last_run(self, key: Key) -> Record | None:
        """Return what is on record of an experiment; a result wins over a failure."""
        return self.options.store.find(key) or self.options.store.find(key, Outcome.FAILED)

    def _jobs(self, submission: Submission) -> list[Job]:
        store, here = self.options.store, self.config.invocation_params.dir
        typed = for_tasks(iter([str(text) for text in self.config.invocation_params.args]))
        arguments = (*typed, f"--memento-dir={Path(os.path.abspath(store.root))}")
        return [
            Job(
                directory=Path(os.path.abspath(submission.directory)),
                group=number,
                tasks=group.tasks,
                resources=group.resources,
                token=submission.token,
                store=store.root,
                project=here,
                setup=self.asked.setup,
                python=self.asked.python,
                arguments=arguments,
            )
            for number, group in enumerate(submission.groups)
        ]

    def _show_scripts(self) -> None:
        groups = self._groups([nodeid for nodeid in self._items if nodeid in self._left])
        shown = Submission(self.options.store.root / "slurm/SUBMISSION", tuple(groups))
        for job, group in zip(self._jobs(shown), groups, strict=True):
            items = len(group.items)
            self._say(f"memento: would submit {items} experiment{'s' * (items > 1)} as this array:")
            for line in job.script.splitlines():
                self._say(line)
        self.allowance.stop("--memento-slurm-dry-run")

    # -- watching ----------------------------------------------------------------------------------

    def _watch(self, session: pytest.Session) -> None:
        while self._left and not session.shouldstop:
            has_news = self._listen()
            if (why := str(session.shouldfail or self.allowance.stopped)) and not self._is_halted:
                self.halt(why)
            if not self._left:
                break
            if time.monotonic() - self._store_at >= _STORE_LOOKED_EACH:
                self._store_at = time.monotonic()
                self._look_into_store()
            if has_news or self._is_ending():
                self._pause = _ASKED_FIRST
            if time.monotonic() - self._asked_at >= self._pause:
                self._ask()
                self._pause = min(2 * self._pause, _ASKED_EACH)
            if self._is_over():
                self._listen()
                self._look_into_store()
                if not self._left or not self._go_on():
                    break
            time.sleep(_LOOKED_EACH)
        until = time.monotonic() + _LAST_WORDS
        while not self._left and not self._have_ended() and time.monotonic() < until:
            time.sleep(_LOOKED_EACH / 2)
            self._listen()
        for each in self._watched:
            if not self._left or each.is_over:
                if not each.is_over:
                    cluster.cancel(each.submission.jobs, only_waiting=True)
                each.submission.see()

    def _is_ending(self) -> bool:
        """Whether all tasks have said that they end: what is left will be nobody's."""
        elements = [(each, e) for each in self._watched for e in each.elements]
        return bool(elements) and all(e.is_over or e.name in each.ended for each, e in elements)

    def _have_ended(self) -> bool:
        """Whether all tasks that have begun have said that they end."""
        return all(each.begun <= each.ended for each in self._watched)

    def _is_over(self) -> bool:
        return all(each.is_over or not each.left for each in self._watched)

    def _listen(self) -> bool:
        """Report what tasks have done, and tell whether one has ended."""
        has_news = False
        for each in self._watched:
            for said in each.tail.new():
                if "reports" in said:
                    self._replay(said)
                elif "warning" in said:
                    self._warn(said)
                elif "begun" in said:
                    each.begun.add(str(said["begun"]))
                    each.ended.discard(str(said["begun"]))
                    each.returning.pop(str(said["begun"]), None)
                elif "ended" in said:
                    each.ended.add(str(said["ended"]))
                    has_news = True
                elif "returns" in said:
                    each.returning[str(said["returns"])] = time.monotonic()
                    has_news = True
                elif "changed" in said:
                    each.changed |= dict.fromkeys(said["changed"], str(said.get("on", "")))
        return has_news

    def _replay(self, said: Mapping[str, Any]) -> None:
        """Report what a task has run as if it had run here."""
        nodeid = str(said.get("nodeid"))
        if nodeid not in self._left or said.get("stem") != self._bound(nodeid).experiment.key.stem:
            return
        hook = self.config.hook
        reports = [
            hook.pytest_report_from_serializable(config=self.config, data=_with_tuples(data))
            for data in said["reports"]
        ]
        if not any(told(report) is not None for report in reports):
            return
        item = self._items[nodeid]
        hook.pytest_runtest_logstart(nodeid=nodeid, location=item.location)
        for report in reports:
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=item.location)
        self._done(nodeid)

    def _warn(self, said: Mapping[str, Any]) -> None:
        if said["of"] in self._items:
            given = {
                "warning_message": private.warning_of(said["warning"]),
                "when": said["when"],
                "nodeid": said["of"],
                "location": said["location"] and tuple(said["location"]),
            }
            self.config.hook.pytest_warning_recorded.call_historic(kwargs=given)

    def _look_into_store(self) -> None:
        """Report what others than the tasks have computed, or a task that could not tell."""
        store = self.options.store
        before = ChainMap(*(each.before for each in self._watched))
        listing = functools.cache(store.listing)
        for nodeid in sorted(self._left):
            bound = self._bound(nodeid)
            key = bound.experiment.key
            is_there = any((key, outcome) in listing(key.experiment) for outcome in Outcome)
            found = self._last_run(key) if is_there else None
            if found is None or found.ended == before.get(nodeid):
                continue
            if time.time() - found.ended < _STORE_LOOKED_EACH:
                continue  # its report may be on the way
            where = where_of(found)
            if found.outcome is Outcome.FAILED:
                bound.record, bound.on_record = found, Outcome.FAILED
                text = store.details(found).get("traceback", "")
                self._report(nodeid, Ended.FAILED, f"{found.error} [{where}]\n\n{text}")
            elif hit := find_hit(key, store, self.options.root):
                bound.standing, bound.where = hit, where
                self._report(nodeid, Ended.CACHED)

    def _report(self, nodeid: str, ended: Ended, message: str = "") -> None:
        bound, item = self._bound(nodeid), self._items[nodeid]
        known, properties = what_to_tell(bound, ended), properties_of(bound, ended)
        report_in_one(self.config.hook, nodeid, item.location, known, message, properties)
        self._done(nodeid)

    def _done(self, nodeid: str) -> None:
        self._left.discard(nodeid)
        self._tries = 0
        for each in self._watched:
            each.left.discard(nodeid)

    def _ask(self) -> None:
        """See what Slurm says of the tasks."""
        self._asked_at = time.monotonic()
        for each in self._watched:
            found = None if each.is_over else cluster.elements(each.submission.jobs)
            if found is not None:  # it may not answer now
                each.look(found)

    def _go_on(self) -> bool:
        """Submit again what tasks have left behind that died, unless somebody wants it so."""
        if self._is_halted:
            return False
        over = [each for each in self._watched if each.left]
        for each in over:
            each.submission.see()
        if changed := {n: on for each in over for n, on in each.changed.items() if n in self._left}:
            node = next(iter(changed.values()))
            self.allowance.stop(
                f"on {node} their code or data is not what was submitted; if you have changed it,"
                " run the same command again"
            )
            return self._give_up()
        elements = [element for each in over for element in each.elements]
        if any(element.state == "CANCELLED" for element in elements):
            self.allowance.stop("their tasks were cancelled")
            return self._give_up()
        for each in over:
            for element in each.elements:
                if element.name not in each.begun:
                    self.allowance.stop(self._why_not_begun(each, element))
                    return self._give_up()
        self._tries += 1
        if self._tries > _TRIES:
            for element in over[0].elements[:1]:
                self._say_last_lines(over[0], element)
            self.allowance.stop(
                f"{_TRIES} times in turn their tasks ended without a result; the last lines of one"
                " are above"
            )
            return self._give_up()
        self._watched = [each for each in self._watched if each not in over]
        try:
            new = self._submit(self._uncovered())
        except (SlurmError, OSError) as error:
            self.allowance.stop(str(error))
            return self._give_up()
        if new is not None:
            self._say(
                f"memento: tasks have ended without a result; submitted again as {_arrays([new])}"
            )
        self._pause = _ASKED_FIRST
        return new is not None

    def _give_up(self) -> bool:
        self._is_given_up = True
        return False

    def _why_not_begun(self, watched: _Watched, element: Element) -> str:
        node = element.node or "its node"
        log = watched.submission.log(element.name)
        if log is None or not log.exists():
            return (
                f"task {element.name} ended on {node} and left no output: is"
                f" {self.options.store.root} not shared with {node}?"
            )
        lines = self._say_last_lines(watched, element)
        if not lines:
            return f"task {element.name} ended on {node} before Python began: memento_slurm_setup?"
        own = next((line for line in lines if line.startswith("memento: ")), "")
        why = own.removeprefix("memento: ") or "its last lines are above"
        return f"task {element.name} ended on {node} before it began ({element.state}): {why}"

    def _say_last_lines(self, watched: _Watched, element: Element) -> list[str]:
        lines = watched.submission.last_lines(element.name)
        for line in lines:
            self._say(f"  {line}", red=True)
        return lines

    # -- telling -----------------------------------------------------------------------------------

    def _bound(self, nodeid: str) -> Bound:
        return self._items[nodeid].stash[BOUND]

    def _say_what_is_ignored(self) -> None:
        """Say so where what runs was submitted with other resources than are asked for now."""
        for each in self._watched:
            for group in each.submission.groups:
                items = [item.nodeid for item in group.items if item.nodeid in each.left]
                wanted = {resources_of(self._items[n], self.asked.resources) for n in items}
                if wanted - {group.resources}:
                    asked = " ".join(group.resources.options) or "no resources"
                    self._say(
                        f"memento: array {group.job} was submitted with {asked}; for what is asked"
                        f" now: scancel {group.job}, and run again"
                    )

    def _say_how_to_come_back(self, what: str = "") -> None:
        watched = [each.submission for each in self._watched]
        jobs = " ".join(job for each in watched for job in each.jobs)
        if what:
            self._say(f"memento: {what} {_arrays(watched)}")
        self._say(f"memento: attach: the same command again; cancel: scancel {jobs}")

    def _say(self, line: str, **markup: bool) -> None:
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            if private.column_of(reporter):
                reporter.write_line("")
            reporter.write_line(line, **markup)


def _with_tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report with tuples where pytest has them: JSON has lists only."""
    made = {**data, "location": tuple(data["location"])}
    if isinstance(data["longrepr"], list):  # of what is skipped
        made["longrepr"] = tuple(data["longrepr"])
    for name in ("user_properties", "sections"):
        made[name] = [tuple(pair) for pair in data[name]]
    return made


def _arrays(found: Sequence[Submission]) -> str:
    jobs = [job for submission in found for job in submission.jobs]
    return f"Slurm job array{'s' * (len(jobs) > 1)} {', '.join(jobs)}"
