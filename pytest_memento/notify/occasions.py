"""When something is told: pure, by what it is told and what time it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pytest_memento.notify.notification import Event, Failure

BATCH: Final = 60.0
"""Seconds between two messages about failures."""
MILESTONES: Final = (25, 50, 75)
"""Percent of what a session has to compute."""


@dataclass(frozen=True)
class Occasion:
    """Something to tell.

    :param event: what it is about.
    :param failures: the failures that are new.
    :param title: what it is in a line, if these do not say it.
    :param details: further lines.
    """

    event: Event
    failures: tuple[Failure, ...] = ()
    title: str = ""
    details: tuple[str, ...] = ()


@dataclass
class Occasions:
    """Finds occasions in what happens; what it yields is to be told now.

    :param patience: seconds without progress after which an experiment is called stalled.
    """

    patience: float = 1800.0
    failures: list[Failure] = field(default_factory=list)
    """All there were."""
    _untold: list[Failure] = field(default_factory=list)
    _told_at: float = -BATCH
    _still: dict[str, tuple[object, float]] = field(default_factory=dict)
    _stalled: frozenset[str] = frozenset()
    _percent: float = 0.0

    def failed(self, failure: Failure, now: float) -> Iterator[Occasion]:
        """Take note that an experiment failed.

        :param now: seconds, from whenever.
        """
        self.failures.append(failure)
        self._untold.append(failure)
        if len(self.failures) == 1:
            yield Occasion(Event.FIRST_FAILURE, (failure,))
        yield from self.passes(now)

    def passes(self, now: float) -> Iterator[Occasion]:
        """Take note of the time: failures wait until the last message is a minute old."""
        if self._untold and now - self._told_at >= BATCH:
            self._told_at = now
            yield from self.rest()

    def rest(self) -> Iterator[Occasion]:
        """Take note that no time is left: what was to be told later is told now."""
        untold, self._untold = tuple(self._untold), []
        if untold:
            yield Occasion(Event.FAILURE, untold)

    def came_to(self, done: int, total: int) -> Iterator[Occasion]:
        """Take note that so many of the experiments that are to be computed have ended."""
        percent = 100 * done / total if total else 0.0
        passed = [each for each in MILESTONES if self._percent < each <= percent]
        self._percent = max(self._percent, percent)
        if passed and done < total:
            yield Occasion(Event.MILESTONE, title=f"{passed[-1]} % done")

    def saw(self, running: Mapping[str, object], now: float) -> Iterator[Occasion]:
        """Take note of what runs. What stays the same for too long is told once.

        :param running: what -> anything that changes when it gets further.
        """
        self._still = {
            what: self._still[what] if self._still.get(what, (None,))[0] == state else (state, now)
            for what, state in running.items()
        }
        stalled = {what for what, (_, since) in self._still.items() if now - since >= self.patience}
        new, self._stalled = sorted(stalled - self._stalled), frozenset(stalled)
        if new:
            more = f" and {len(new) - 1} more" if len(new) > 1 else ""
            yield Occasion(Event.STALLED, title=f"stalled: {new[0]}{more}", details=tuple(new))
