"""Running experiments inside pytest's protocol: hits are replayed, misses run and are published."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.config import value_in
from pytest_memento.errors import MementoError, StoreError
from pytest_memento.experiment import Attempt, run_async
from pytest_memento.measure import peak_memory
from pytest_memento.pause import without_gc
from pytest_memento.plugin import arguments, private
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.claiming import Claiming, longest_owner
from pytest_memento.plugin.feeding import Feeding
from pytest_memento.plugin.hits import Hit, is_hit
from pytest_memento.plugin.idle import Idle
from pytest_memento.plugin.options import Cache, Options
from pytest_memento.plugin.plan import in_turn, runs, tasks_of
from pytest_memento.plugin.progress import Now, Running
from pytest_memento.plugin.properties import properties_of, replace
from pytest_memento.plugin.reports import Ended, attach, report_in_one, what_to_tell, why_no_outcome
from pytest_memento.plugin.slurm.room import Room
from pytest_memento.plugin.upstream import Upstream
from pytest_memento.pulse import Pulse
from pytest_memento.record import Outcome
from pytest_memento.schedule import Allowance, Schedule
from pytest_memento.store import Store

_LONGEST_OUTPUT = 100_000
_FUNCTION = pytest.StashKey[Callable[..., Any]]()
"""The function of an item, while it has one that captures the result."""


class Execution:
    """What happens to an item that is bound to an experiment.

    :param allowance: what may be begun.
    :param upstream: knows the experiments whose results others are given.
    """

    def __init__(self, options: Options, allowance: Allowance, upstream: Upstream) -> None:
        self.options = options
        self._feeding = Feeding(options, upstream)
        self.allowance = allowance
        self.running: pytest.Item | None = None
        """The experiment that is running now."""
        self.room = Room(self._stand_by)
        self._is_at_checkpoint = False
        self.notes: list[Path] = []
        """Files that show what runs here, beside the one in the store."""
        self._pulse = Pulse()
        self._claims = Claiming(options, allowance)
        self.work: Schedule[None] = Schedule([])
        """What a serial session has to do, for those who want to know how far it is."""
        self.work.join(None)
        self._items: list[pytest.Item] = []
        self._numbers: dict[pytest.Item, int] = {}
        self._given: dict[str, Any] = {}
        self._requests: dict[pytest.FixtureDef[Any], pytest.FixtureRequest] = {}
        self._shared: dict[pytest.FixtureDef[Any], tuple[object, Any]] = {}

    def count_running(self) -> int:
        """How many experiments run now."""
        return int(self.running is not None)

    def has_experiments(self) -> bool:
        """Whether the session has any that are to run."""
        return bool(self._numbers)

    def halt(self, why: str) -> None:
        """End the session when what runs now has ended."""
        self.allowance.stop(why)
        if self.running is not None:
            self.running.session.shouldstop = f"{why}; what was running has been finished"

    def end_others(self) -> None:
        """End the other processes of the session: there are none."""

    def make_room(self) -> None:
        """Have what runs stop at its next checkpoint."""
        self.room.want()

    def has_room(self) -> bool:
        """Whether it has stopped at one; or has ended, and nothing comes after it."""
        return self._is_at_checkpoint or self.running is None

    def _stand_by(self) -> None:
        self._is_at_checkpoint = True

    def leave(self) -> None:
        """Say that nothing runs here any more: the process is about to end."""
        self._claims.leave()

    def now(self) -> Now:
        """Return what runs here, and how long all will take."""
        running = []
        for _, task, seconds in self.work.running() if self.running is not None else ():
            bound = self._items[task.number].stash[BOUND]
            running.append(Running(bound.experiment.case.label, seconds, bound.progress))
        tasks = [task for _, task in self.work.elsewhere()]
        labels = {self._items[task.number].stash[BOUND].experiment.case.label for task in tasks}
        owner = longest_owner(self.options.store, labels) if labels else ""
        return Now(running, self.work.remaining(), len(tasks), owner)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what the session begins with."""
        self._feeding.begin(session.items)

    # -- instead of running ------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Report all hits before anything runs, without pytest's protocol for each."""
        items = session.items
        if self._may_report_at_once(session):
            with without_gc():
                self._items = [item for item in items if not self._report_hit(item)]
                tasks = tasks_of(self._items, self.options)
                session.items = in_turn(session.config, self._items, tasks)
            self._numbers = {self._items[task.number]: task.number for task in tasks}
            leaves = self.options.order is not None
            self.work = Schedule(tasks, leaves=leaves, allowance=self.allowance)
            self.work.join(None)
        try:
            return (yield)
        finally:
            session.items = items

    def _report_hit(self, item: pytest.Item) -> bool:
        bound = item.stash.get(BOUND, None)
        if bound is None or not self._is_hit(item, bound):
            return False
        self._report(item, bound, Ended.CACHED)
        return True

    @staticmethod
    def _may_report_at_once(session: pytest.Session) -> bool:
        option = session.config.option
        if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
            return False
        # Under xdist the controller has no items, and a worker is told them by their position.
        return bool(session.items) and not hasattr(session.config, "workerinput")

    # pytest looks for hooks only under names of its own kind.
    @pytest.hookimpl(wrapper=True, specname="pytest_runtest_protocol")
    def pytest_memento_hold_claim(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, Any, Any]:
        """Run under a claim, so that no other session computes the same."""
        bound = item.stash.get(BOUND, None)
        if bound is None or not runs(item, self.options):
            return (yield)
        if not self.allowance.begin(item):
            bound.passed_over = True
            return (yield)
        with self._turn_of(item) as number, self._claim_with_inputs(item, bound, nextitem):
            is_elsewhere = bound.is_left or not runs(item, self.options)
            if is_elsewhere or bound.lacks[0]:
                self.allowance.give_back(item)
            if bound.is_left:
                self.work.put_off(None, number)
            if is_elsewhere or bound.lacks[0] or bound.refused or bound.passed_over:
                return (yield)
            self.running = item
            with self._pulse_of(item, bound):
                try:
                    return (yield)
                finally:
                    self._let_go(item, bound)

    def _claim_with_inputs(
        self, item: pytest.Item, bound: Bound, nextitem: pytest.Item | None
    ) -> AbstractContextManager[None]:
        """Wait for what the experiment is given, and only then claim it: who waits does not run."""
        bound.is_left = False
        if _needs_inputs(item, bound):
            self._feeding.wait(item, bound, nextitem, lambda: bool(self.allowance.stopped))
        is_ready = not (bound.is_left or bound.lacks[0] or bound.passed_over)
        if is_ready and self._is_stored(bound):
            return self._claims.hold(item, bound, nextitem)
        return nullcontext()

    def _let_go(self, item: pytest.Item, bound: Bound) -> None:
        """Let go of what an experiment was given and has returned: it may be large."""
        self._feeding.has_run()
        if bound.started:
            bound.attempt.forget()
        callspec = getattr(item, "callspec", None)
        for name, given in bound.experiment.given.items():
            self._given.pop(name, None)
            if callspec is not None and name in callspec.params:
                callspec.params[name] = given

    def pytest_sessionfinish(self) -> None:
        """Remove the files of the session."""
        self._claims.close()

    @contextmanager
    def _turn_of(self, item: pytest.Item) -> Iterator[int]:
        """Keep account of what is done, while it is the turn of an item; yield its number."""
        number = self._numbers.get(item, -1)
        self.work.assign(None, number)
        try:
            yield number
        finally:
            self.running = None
            self.work.finish(None, number)

    @contextmanager
    def _pulse_of(self, item: pytest.Item, bound: Bound) -> Iterator[None]:
        """Show what the experiment does, in the store and to xdist's controller."""
        store, key = bound.beside or self.options.store, bound.experiment.key
        notes = list(self.notes)
        if self._is_stored(bound):
            notes.append(self._claims.pulse)
        since = time.time()

        def tell() -> dict[str, Any]:
            state = bound.attempt.context.sign_of_life() if bound.started else {}
            return {**state, "nodeid": item.nodeid, "since": since, "memory": peak_memory()}

        log = store.log(key, bound.experiment.case.label)
        with self._pulse.of(tell, notes, log, store.rights):
            yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Report a hit, or what must not run, without setting anything up."""
        bound = item.stash.get(BOUND, None)
        if bound is None:
            return None
        if bound.passed_over:
            pass
        elif bound.is_left:
            if not isinstance(nextitem, Idle):  # else the controller sends it again
                item.session.items.append(item)
        elif self._is_hit(item, bound):
            self._report(item, bound, Ended.CACHED)
        elif self._is_missing(item, bound):
            reason = f"{bound.standing.status.word}: {bound.standing.reason}"
            message = f"no stored result ({reason}), and --memento-cache=only runs nothing"
            self._report(item, bound, Ended.FAILED, message)
        elif bound.refused:
            self._report(item, bound, Ended.FAILED, bound.refused)
        elif bound.lacks[0]:
            self._report(item, bound, Ended.SKIPPED, f"not run: {bound.lacks[0]}")
        else:
            return None
        if (failed := private.tear_down_for(item, nextitem)) is not None:
            item.ihook.pytest_runtest_logreport(report=failed)
        return True

    def _is_hit(self, item: pytest.Item, bound: Bound) -> bool:
        return (self.options.reads or bool(bound.where)) and is_hit(item, bound)

    def _is_missing(self, item: pytest.Item, bound: Bound) -> bool:
        """Whether a result is wanted that is not stored, and may not be computed."""
        is_wanted = self.options.cache is Cache.ONLY and not bound.beside
        return is_wanted and private.skip_reason(item) is None

    def _is_stored(self, bound: Bound) -> bool:
        return self.options.writes and not bound.beside

    @staticmethod
    def _report(item: pytest.Item, bound: Bound, ended: Ended, message: str = "") -> None:
        told, properties = what_to_tell(bound, ended), properties_of(bound, ended)
        skips = ended is Ended.SKIPPED
        report_in_one(
            item.ihook, item.nodeid, item.location, told, message, properties, skips=skips
        )

    # -- running -----------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin an attempt before the first fixture can ask for it."""
        bound = item.stash.get(BOUND, None)
        if bound is None or isinstance(item, Hit):  # which then a mark skips
            return
        if bound.experiment.inputs and not _needs_inputs(item, bound):  # likewise
            return
        store, key = bound.beside or self.options.store, bound.experiment.key
        if self.options.cache is Cache.REFRESH and self.options.order is None:
            store.forget_checkpoint(key)
        store.start_clean(key)
        self._begin(item, bound, store)

    def _begin(self, item: pytest.Item, bound: Bound, store: Store) -> None:
        """Begin an attempt, with what it is given."""
        what = bound.experiment, store, self.options.root, self.options.command
        if not bound.experiment.inputs:
            bound.start(Attempt(*what))
            self._hand_over(item, bound.attempt)
            return
        try:
            bound.start(Attempt(*what, inputs=self._feeding.load(bound)))
            self._hand_over(item, bound.attempt)
            return
        except Exception as error:  # of loading what is the user's
            bound.start(Attempt(*what))
            text = _said(error)
        names = " or ".join(each.name for each in bound.experiment.inputs)
        pytest.fail(f"its input {names}: {text}", pytrace=False)

    def _hand_over(self, item: pytest.Item, attempt: Attempt) -> None:
        """Give the arguments of the function the attempt's own copies of the values."""
        params: dict[str, Any] = item.callspec.params  # type: ignore[attr-defined]
        config = attempt.config
        for name in [name for name in params if name in config or name in config.settings]:
            if private.outlives(item, name):
                params[name] = self._shared_copy(item, name, attempt)
                continue
            params[name] = value = value_in(config, name)
            if self._given.get(name) is not value:
                self._given[name] = value
                private.renew_parameter(item, name)

    def _shared_copy(self, item: pytest.Item, name: str, attempt: Attempt) -> Any:
        """Return what a fixture of wider scope asks for: one copy for all that have this value."""
        definition = private.parameter_definition(item, name)
        identity = arguments.identity_of(attempt.experiment, name)
        known = self._shared.get(definition)
        if known is not None and known[0] == identity:
            return known[1]
        private.renew_parameter(item, name)  # which lets go of the one before
        value = value_in(attempt.fresh_config(), name)
        self._shared[definition] = identity, value
        return value

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> None:
        """Note who holds a shared value: pytest keeps that until the scope ends."""
        if fixturedef in self._shared:
            self._requests[fixturedef] = request

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Let go of a shared value with the last fixture that has asked for it."""
        self._shared.pop(fixturedef, None)
        request = self._requests.pop(fixturedef, None)
        if request is not None and hasattr(request, "param"):
            request.param = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Keep what the function returns, and measure it.

        Not a wrapper: it would show in the tracebacks of the user's tests.
        """
        bound = item.stash.get(BOUND, None)
        if bound is not None and isinstance(item, pytest.Function):
            item.stash[_FUNCTION] = item.obj
            item.obj = bound.attempt.capturing(item.obj)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Give the item its own function back."""
        if _FUNCTION in item.stash and isinstance(item, pytest.Function):
            item.obj = item.stash[_FUNCTION]
            del item.stash[_FUNCTION]

    @pytest.hookimpl
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run a coroutine function that no other plugin runs: those come first, by tryfirst.

        pytest's own implementation would refuse it.
        """
        if BOUND not in pyfuncitem.stash or not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        names = inspect.signature(pyfuncitem.obj).parameters
        given = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
        run_async(pyfuncitem.obj(**given))
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Publish the end of an attempt before its report leaves."""
        report = yield
        bound = item.stash.get(BOUND, None)
        if bound is None or call.when == "teardown":
            return report
        if bound.started and bound.attempt.is_running:  # of a part of it: a subtest
            bound.attempt.failed_parts += report.failed
            return report
        if report.passed and call.when == "call":
            _judge_parts(bound.attempt, report)
        if report.passed and call.when == "call":
            self._publish_result(bound, report)
        elif report.failed:
            self._publish_failure(bound, report, _first_line(call, report))
        if call.when == "call" or not report.passed:
            ended = Ended.of(report)
            bound.no_outcome = why_no_outcome(report)
            attach(report, what_to_tell(bound, ended))
            ours = properties_of(bound, ended)
            for properties in (item.user_properties, report.user_properties):
                replace(properties, ours)
        return report

    def _publish_result(self, bound: Bound, report: pytest.TestReport) -> None:
        try:
            bound.attempt.describe()
            if self._is_stored(bound) and bound.attempt.has_returned:
                replaces = self.options.cache is Cache.REFRESH or bound.standing.replaces
                bound.attempt.publish_result(_output(report), replace=replaces)
                bound.on_record = Outcome.PASSED
        except (Exception, SystemExit) as error:
            # Not only our own errors: pickling and describing a value runs the user's code.
            reason = _said(error)
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid}: the result cannot be stored: {reason}"
            self._publish_failure(bound, report, f"the result cannot be stored: {reason}")

    def _publish_failure(self, bound: Bound, report: pytest.TestReport, error: str) -> None:
        if not self._is_stored(bound):
            return
        try:
            bound.attempt.publish_failure(error, report.longreprtext, _output(report))
            bound.on_record = Outcome.FAILED
        except StoreError as cause:
            report.sections.append(("memento", f"the failure could not be recorded: {cause}"))


def _needs_inputs(item: pytest.Item, bound: Bound) -> bool:
    """Whether an item is given results of others: what a mark leaves out is not."""
    return bool(bound.experiment.inputs) and not private.never_runs(item)


def _said(error: BaseException) -> str:
    """Return what an error says; of what is not ours, with its kind."""
    own = isinstance(error, MementoError)
    return str(error) if own else f"{type(error).__name__}: {error}"


def _judge_parts(attempt: Attempt, report: pytest.TestReport) -> None:
    """Fail an experiment of which a part failed; pytest does so later, in the controller."""
    if number := attempt.failed_parts:
        report.outcome = "failed"
        report.longrepr = f"contains {number} failed subtest{'s' if number > 1 else ''}"


def _first_line(call: pytest.CallInfo[None], report: pytest.TestReport) -> str:
    """Return the error in a line; a strict xfail that passes fails without an exception."""
    if call.excinfo is None:
        text = report.longreprtext
    else:
        text = call.excinfo.exconly(tryshort=True)
    lines = text.strip().splitlines()
    return lines[0][:300] if lines else "failed"


def _output(report: pytest.TestReport) -> str:
    text = "\n".join(f"--- {title} ---\n{content}" for title, content in report.sections)
    return text[-_LONGEST_OUTPUT:]
