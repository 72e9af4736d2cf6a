"""What an experiment is given of others: whether it is there yet, and bringing it in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_memento.claims import is_held
from pytest_memento.errors import ResultNotLoadedError
from pytest_memento.experiment import Standing, Status, find_hit
from pytest_memento.inputs import Input
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.claiming import SLICE, may_come_back
from pytest_memento.plugin.distribution import colleagues
from pytest_memento.plugin.idle import Idle
from pytest_memento.plugin.options import Cache, Options
from pytest_memento.plugin.upstream import Upstream
from pytest_memento.presence import signs
from pytest_memento.record import Key, Outcome
from pytest_memento.store import Store

if TYPE_CHECKING:
    from pytest_memento.results import Result

_PAUSE = 0.1
_SILENCE = 5.0
"""Seconds in which no worker of a session runs anything, after which an input is not expected."""
_NO_ORDER = "; what was chosen by --dist knows no order"


@dataclass(frozen=True)
class Lack:
    """An input that is not there.

    :param given: the input.
    :param reason: why, in words that go on from its name.
    :param is_coming: whether somebody computes it now.
    :param may_come: whether this session has it to run, as far as was known when it began.
    """

    given: Input
    reason: str
    is_coming: bool = False
    may_come: bool = False

    @property
    def text(self) -> str:
        """Why, in words that continue "not run: "."""
        return f"its input {self.given.name} {self.reason}"

    @property
    def kind(self) -> str:
        """The same of all inputs of that experiment."""
        return f"its input {self.given.key.experiment} {self.reason}"


class Feeding:
    """Looks for the inputs of experiments, and loads them.

    :param upstream: knows what was collected.
    """

    def __init__(self, options: Options, upstream: Upstream) -> None:
        self.options = options
        self._upstream = upstream
        self._last = 0.0  # when something was seen to run
        self._here: frozenset[Key] = frozenset()
        self._failed: dict[Key, float] = {}  # when those have failed that are computed again

    def begin(self, items: Sequence[pytest.Item]) -> None:
        """Note what the session has to run, and what is known of it before anything runs."""
        bounds = [item.stash[BOUND] for item in items if BOUND in item.stash]
        inputs = {each.key: each for bound in bounds for each in bound.experiment.inputs}
        if inputs:
            self._here = frozenset(bound.experiment.key for bound in bounds)
        for key, each in inputs.items():
            if self._is_again(each) and (failed := self._store_of(each).find(key, Outcome.FAILED)):
                self._failed[key] = failed.ended

    def wait(
        self,
        item: pytest.Item,
        bound: Bound,
        nextitem: pytest.Item | None,
        stopped: Callable[[], bool],
    ) -> None:
        """Return when all inputs are there, or say on *bound* why it is not run, or not now.

        The schedule has it come after those of its session. Others may compute them, too; and where
        the user has chosen how xdist distributes, there is no schedule.
        """
        bound.lacks = ("", "")
        start = time.monotonic()
        self._last = self._last or start
        is_unscheduled = hasattr(item.config, "workerinput") and not isinstance(nextitem, Idle)
        while (lack := self._lack(bound)) is not None:
            now = time.monotonic()
            waits = is_unscheduled and lack.may_come
            if lack.is_coming or (waits and self._is_anybody_at_work(item.config)):
                self._last = now
            if not lack.is_coming and (not waits or now - self._last >= _SILENCE):
                hint = _NO_ORDER if waits else ""
                bound.lacks = lack.text + hint, lack.kind + hint
                return
            if stopped():
                bound.passed_over = True
                return
            if may_come_back(item, nextitem) and (not bound.put_off or now - start >= SLICE):
                bound.is_left = bound.put_off = True
                return
            time.sleep(_PAUSE)

    def has_run(self) -> None:
        """Note that something has run here."""
        self._last = time.monotonic()

    def load(self, bound: Bound) -> dict[str, Result]:
        """Return parameter -> the result that is its value, which is loaded when it is asked for.

        :raises ResultNotLoadedError: one is not there any more.
        """
        from pytest_memento.results import Result  # which most sessions have no need of

        found = {}
        for name, each in bound.experiment.given.items():
            store = self._store_of(each)
            record = store.find(each.key)
            if record is None:
                raise ResultNotLoadedError(f"its input {each.name} is not there any more")
            found[name] = Result(record, store, self.options.root)
        return found

    def _store_of(self, given: Input) -> Store:
        own = self.options.store
        return Store(Path(given.store), shared=own.shared) if given.store else own

    def _lack(self, bound: Bound) -> Lack | None:
        return next(self._lacks(bound), None)

    def _lacks(self, bound: Bound) -> Iterator[Lack]:
        lacks = (self._lack_of(each) for each in bound.experiment.inputs)
        return (lack for lack in lacks if lack is not None)

    def _lack_of(self, given: Input) -> Lack | None:
        store, key = self._store_of(given), given.key
        if self.options.cache is Cache.OFF and not given.store:
            return Lack(given, "is not kept: --memento-cache=off")
        # First of all: what is given up in the meantime has ended by the time it is looked for.
        if is_held(store.claim(key)):
            return Lack(given, "is being computed", is_coming=True)
        found = self._found(given)
        failed = store.find(key, Outcome.FAILED)
        if failed is not None and (found is None or self._fails_again(given, failed.ended)):
            is_old = self._is_known(given, failed.ended)
            # An old failure says nothing of why there is still no result.
            why = self._why_not_run(given) if found is None and is_old else ""
            may_come = is_old and self._runs(given)
            return Lack(given, why or f"failed: {failed.error}", may_come=may_come)
        if found is None:
            why = self._why_not_run(given) or "has no result"
            return Lack(given, why, may_come=self._runs(given))
        if found.status is not Status.CACHED:
            return Lack(given, f"is stale: {found.reason}", may_come=self._runs(given))
        return None

    def _found(self, given: Input) -> Standing | None:
        """Return the standing of an input that has a result."""
        store = self._store_of(given)
        if not given.is_elsewhere(self.options.store.root):
            return find_hit(given.key, store, self.options.root)
        # The data files of another project are its own affair: nobody knows here where they are.
        past = store.past(given.key)
        return Standing(Status.CACHED, past=past) if past is not None else None

    def _why_not_run(self, given: Input) -> str:
        """Say for what an input was not run, or has no outcome; empty if nobody knows here."""
        item = self._upstream.item_of(given.key)
        if item is None:
            return ""
        if private.never_runs(item) and (reason := private.skip_reason(item)) is not None:
            return f"was skipped: {reason}"
        bound = item.stash[BOUND]
        lack = next((each for each in self._lacks(bound) if not each.is_coming), None)
        return f"was not run: {lack.text}" if lack is not None else bound.no_outcome

    def _standing(self, given: Input) -> Standing | None:
        """Return what the store knew of an input when the session began, if that was collected."""
        bound = self._upstream.bound_of(given.key)
        return bound.standing if bound is not None else None

    def _runs(self, given: Input) -> bool:
        """Whether this session has an input to run, as far as was known when it began."""
        standing = self._standing(given)
        if standing is None or given.key not in self._here:
            return False
        return standing.status.runs or self.options.cache is Cache.REFRESH

    def _is_known(self, given: Input, ended: float) -> bool:
        """Whether a failure is one that the session has found when it began."""
        standing = self._standing(given)
        past = standing.past if standing is not None else None
        return past is not None and past.ended == ended

    def _is_again(self, given: Input) -> bool:
        """Whether this session computes an input that has a result."""
        standing = self._standing(given)
        if standing is None or given.key not in self._here:
            return False
        return standing.replaces or self.options.cache is Cache.REFRESH

    def _fails_again(self, given: Input, ended: float) -> bool:
        """Whether an input that has a result was computed again in this session, and failed."""
        return self._is_again(given) and ended != self._failed.get(given.key)

    def _is_anybody_at_work(self, config: pytest.Config) -> bool:
        """Whether another worker of this session runs an experiment."""
        others = colleagues(config)
        return any((sign.host, sign.pid) in others for sign in signs(self.options.store.root))
