"""What an experiment is given of others: whether it is there yet, and bringing it in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_memento.claims import is_held
from pytest_memento.errors import ResultNotLoadedError
from pytest_memento.experiment import Status, find_hit
from pytest_memento.inputs import Input
from pytest_memento.plugin.bound import Bound
from pytest_memento.plugin.claiming import SLICE, may_come_back
from pytest_memento.plugin.idle import Idle
from pytest_memento.plugin.options import Cache, Options
from pytest_memento.plugin.upstream import Upstream, given_by
from pytest_memento.presence import signs
from pytest_memento.provenance import host
from pytest_memento.record import Outcome
from pytest_memento.store import Store

if TYPE_CHECKING:
    from pytest_memento.results import Result

_PAUSE = 0.1
_SILENCE = 3.0
"""Seconds in which nothing runs, after which nobody is expected to compute an input any more."""

_NO_ORDER = "; what was chosen by --dist knows no order"


@dataclass(frozen=True)
class Lack:
    """An input that is not there.

    :param reason: in words that continue "not run: ".
    :param is_coming: whether somebody computes it now.
    """

    reason: str
    is_coming: bool = False


class Feeding:
    """Looks for the inputs of experiments, and loads them.

    :param upstream: knows what was collected.
    """

    def __init__(self, options: Options, upstream: Upstream) -> None:
        self.options = options
        self._upstream = upstream
        self._last = 0.0  # when something was seen to run

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
        bound.lacks = ""
        start = time.monotonic()
        self._last = self._last or start
        is_unscheduled = hasattr(item.config, "workerinput") and not isinstance(nextitem, Idle)
        while (lack := self._lack(bound)) is not None:
            now = time.monotonic()
            if lack.is_coming or (is_unscheduled and self._is_anything_running()):
                self._last = now
            if not lack.is_coming and now - self._last >= (_SILENCE if is_unscheduled else 0):
                bound.lacks = lack.reason + (_NO_ORDER if is_unscheduled else "")
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
        for name, each in given_by(bound.experiment).items():
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
        lacks = (self._lack_of(each) for each in bound.experiment.inputs)
        return next((lack for lack in lacks if lack is not None), None)

    def _lack_of(self, given: Input) -> Lack | None:
        store, key = self._store_of(given), given.key
        if self.options.cache is Cache.OFF and not given.store:
            return Lack(f"--memento-cache=off keeps no result of its input {given.name}")
        # First of all: what is given up in the meantime has ended by the time it is looked for.
        if is_held(store.claim(key)):
            return Lack(f"its input {given.name} is being computed", is_coming=True)
        found = find_hit(key, store, self.options.root)
        failed = store.find(key, Outcome.FAILED)
        if failed is not None and (found is None or self._has_failed_now(given, failed.ended)):
            return Lack(f"its input {given.name} failed: {failed.error}")
        if found is None:
            return Lack(f"its input {given.name} has no result")
        if found.status is not Status.CACHED:
            return Lack(f"its input {given.name} is stale: {found.reason}")
        return None

    def _has_failed_now(self, given: Input, ended: float) -> bool:
        """Whether an input that has a result was to be computed again in this session, and failed.

        A failure that the session has found is of another one.
        """
        bound = self._upstream.bound_of(given.key)
        is_again = self.options.cache is Cache.REFRESH or (
            bound is not None and bound.standing.replaces
        )
        past = bound.standing.past if bound is not None else None
        return is_again and (past is None or ended > past.ended)

    def _is_anything_running(self) -> bool:
        here = host(), os.getpid()
        return any((sign.host, sign.pid) != here for sign in signs(self.options.store.root))
