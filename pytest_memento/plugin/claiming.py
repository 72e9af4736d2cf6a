"""The claims that a session takes on its experiments: each is run by one process of one session.

What another session runs is left for later where that is possible, else waited for. What comes out
there counts here: a result is cached, a failure failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from pytest_memento.claims import Claims, Hold, TakenError
from pytest_memento.errors import StoreError
from pytest_memento.experiment import Attempt, Experiment, Standing, find_hit
from pytest_memento.plugin.bound import Bound
from pytest_memento.plugin.idle import Idle
from pytest_memento.plugin.options import Options
from pytest_memento.postmortem import PostMortem, post_mortem
from pytest_memento.presence import Sign, signs
from pytest_memento.provenance import host
from pytest_memento.record import Key, Outcome, Record
from pytest_memento.schedule import DEATHS, Allowance
from pytest_memento.store import Listing, Store

SLICE = 1.0
"""Seconds for which a worker of xdist waits for another session, before it asks what to do."""


class Claiming:
    """Takes claims, and says what they tell.

    :param allowance: tells when to wait no longer.
    """

    def __init__(self, options: Options, allowance: Allowance) -> None:
        self.options = options
        self.allowance = allowance
        self._claims = Claims(options.store.root, options.lock, options.store.rights)
        self._checked: set[str] = set()
        self._listings: dict[str, tuple[float, Listing]] = {}

    @property
    def pulse(self) -> Path:
        """The file of this process in which what it runs gives signs of life."""
        return self._claims.presence.pulse

    def leave(self) -> None:
        """Say that nothing runs here any more: what was interrupted has not died."""
        self._claims.presence.leave()

    def close(self) -> None:
        """Remove the files of this session."""
        self._claims.close()

    @contextlib.contextmanager
    def hold(self, item: pytest.Item, bound: Bound, nextitem: pytest.Item | None) -> Iterator[None]:
        """Hold the claim of an experiment while the body runs, or say on *bound* why not."""
        bound.is_left = False
        if self._is_done(bound):
            yield
            return
        with ExitStack() as claim:
            try:
                self._check(bound.experiment.key)
                hold = claim.enter_context(self._wait(item, bound, nextitem))
                self._look_again(bound, hold)
            except TakenError:
                bound.is_left = bound.put_off = may_come_back(item, nextitem)
                bound.passed_over = not bound.is_left
            except (OSError, StoreError) as error:
                bound.refused = f"not run, since its result could not be stored: {error}"
            yield

    def _check(self, key: Key) -> None:
        """Fail early where something that the experiment needs could not be written."""
        if key.experiment in self._checked:  # its directories are those of all configurations
            return
        store = self.options.store
        store.make_root()
        for path in (self.pulse, store.checkpoint(key), store.artifacts(key), store.log(key, "")):
            store.inside(path)
        self._checked.add(key.experiment)

    def _wait(
        self, item: pytest.Item, bound: Bound, nextitem: pytest.Item | None
    ) -> AbstractContextManager[Hold]:
        key, store = bound.experiment.key, self.options.store
        is_sent = hasattr(item.config, "workerinput")  # by a controller that can send it again
        may_put_off = may_come_back(item, nextitem)
        until = time.monotonic() + SLICE

        def waiting(owner: Sign | None) -> None:
            if self.options.order is not None or (may_put_off and not bound.put_off):
                raise TakenError
            if not is_sent:
                who = f", claimed by {owner}" if owner else ""
                _say(item.config, f"memento: waiting for {item.nodeid}{who}")

        def gives_up() -> bool:
            if is_sent and may_put_off:
                return time.monotonic() >= until
            return bool(self.allowance.stopped)

        return self._claims.hold(
            store.inside(store.claim(key)),
            bound.experiment.case.label,
            waiting,
            gives_up=gives_up,
            progress=store.checkpoint(key),
        )

    def _is_done(self, bound: Bound) -> bool:
        """Whether another task has computed it: of many tasks each comes by each experiment.

        A listing of all, some moments old, costs less than a claim on each.
        """
        key, store = bound.experiment.key, self.options.store
        if self.options.order is None:
            return False
        now = time.monotonic()
        known = self._listings.get(key.experiment)
        if known is None or now - known[0] > SLICE:
            self._listings[key.experiment] = known = now, store.listing(key.experiment)
        listing = known[1]
        if (key, Outcome.PASSED) not in listing:
            return False
        found = find_hit(key, store, self.options.root)
        if found is None or self._is_to_replace(found, bound):
            return False
        bound.standing, bound.where = found, where_of(store.find(key))
        return True

    def _look_again(self, bound: Bound, hold: Hold) -> None:
        """See what other sessions have done to the experiment since this one looked."""
        key, store = bound.experiment.key, self.options.store
        looks = self.options.reads or self.options.order is not None
        found = find_hit(key, store, self.options.root) if looks else None
        if found is not None and not self._is_to_replace(found, bound):
            bound.standing = found
            bound.where = where_of(store.find(key))
        elif looks and (failed := self._failure_elsewhere(bound)) is not None:
            known = store.details(failed)
            bound.record, bound.on_record = failed, Outcome.FAILED
            bound.where = where_of(failed)
            where = f"in another session: {bound.where}"
            bound.refused = f"{failed.error} [{where}]\n\n{known['traceback']}"
        elif hold.attempt > DEATHS and hold.died is not None:
            autopsy = self._give_up(bound.experiment, hold.attempt - 1, hold.died)
            bound.refused, bound.record = autopsy.text, autopsy.record
            bound.on_record = Outcome.FAILED

    def _failure_elsewhere(self, bound: Bound) -> Record | None:
        """Return how an experiment failed in another session since this one has begun."""
        failed = self.options.store.find(bound.experiment.key, Outcome.FAILED)
        if failed is None or failed.ended == self._ended_before(bound):
            return None
        return None if (failed.host, failed.pid) == (host(), os.getpid()) else failed

    def _is_to_replace(self, found: Standing, bound: Bound) -> bool:
        """Whether a result is still the one that a task is to run again."""
        order = self.options.order
        is_old = found.past is not None and found.past.ended == self._ended_before(bound)
        return order is not None and order.submission.refreshes and is_old

    def _ended_before(self, bound: Bound) -> float | None:
        """Return when the last run had ended before this session, or what it is a task of."""
        key, past = bound.experiment.key, bound.standing.past
        if self.options.order is not None:
            return self.options.order.before.get((key.experiment, key.stem))
        return past.ended if past is not None else None

    def _give_up(self, experiment: Experiment, times: int, died: Sign) -> PostMortem:
        """Put on record that an experiment has killed too many processes."""
        store, options = self.options.store, self.options
        attempt = Attempt(experiment, store, options.root, options.command)
        log = store.log(experiment.key, experiment.case.label)
        who = f"its process (last pid {died.pid} on {died.host})"
        record = dataclasses.replace(
            attempt.failure_record(""), started=died.since, host=died.host, pid=died.pid
        )
        found = post_mortem(record, who, times, died.pulse(), log)
        store.publish(found.record, found.details)
        return found


def longest_owner(store: Store, labels: Collection[str]) -> str:
    """Return who has run one of some experiments for longest, empty if nobody says so."""
    found = [sign for sign in signs(store.root) if sign.label in labels]
    return str(min(found, key=lambda sign: sign.since)) if found else ""


def where_of(record: Record | None) -> str:
    """Return which process has run something, empty where that is not known."""
    return f"pid {record.pid} on {record.host}" if record else ""


def may_come_back(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Whether an item can be left for later: a worker of xdist's own schedule has to run it now."""
    if hasattr(item.config, "workerinput"):
        return isinstance(nextitem, Idle)
    return nextitem is not None


def _say(config: pytest.Config, line: str) -> None:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        reporter.ensure_newline()
        reporter.write_line(line)
