"""What goes on in a store, from its files alone: beside running sessions, on any machine.

Names and headers are read, and what processes show of themselves. A :class:`Survey` looks, a
:class:`View` is what it has seen.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pytest_memento import metrics, table
from pytest_memento.amounts import ago, duration, size, time_of_day
from pytest_memento.labels import one_line
from pytest_memento.presence import Sign, is_dead, signs
from pytest_memento.record import Outcome
from pytest_memento.store import Store, slug

STALLED: Final = 60.0
"""Seconds without a sign of life, which is given each second, after which that is said."""
_SEVERAL, _ONE = "experiment", "configuration"
COLUMNS: Final = (_SEVERAL, _ONE, "state", "for", "progress", "metrics", "memory", "where", "eta")
_NARROW: Final = ("memory", "metrics", "where")
"""Columns that make way where there is no room for all, the first one first."""
_SAMPLE: Final = 500
"""Headers that are read at most of one function, to say how long others will take."""
_FAILURES: Final = 3
_GONE: Final = "its process is gone"
_LONG: Final = 1_000
"""Characters of a line that goes to no terminal."""


@dataclass(frozen=True)
class Running:
    """An experiment that a process runs, or ran when it died.

    :param name: the function.
    :param stem: which of its configurations.
    :param sign: what the process has written down.
    :param pulse: its last sign of life, empty if it gave none.
    :param state: whether it goes on, in words; empty if it does.
    :param left: seconds until it ends, ``None`` if that is not known.
    """

    name: str
    stem: str
    sign: Sign
    pulse: Mapping[str, Any]
    state: str
    left: float | None = None

    @property
    def id(self) -> str:
        """Function and configuration."""
        return f"{self.name}[{self.sign.label}]"

    @property
    def seconds(self) -> float:
        """For how long."""
        return max(0.0, time.time() - self.sign.since)

    @property
    def pace(self) -> float | None:
        """How many seconds all of it takes, by the progress it has told."""
        done, total = self.pulse.get("progress") or (0, 0)
        return self.seconds * total / done if 0 < done <= total < math.inf else None

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        progress, memory = self.pulse.get("progress"), self.pulse.get("memory")
        last = metrics.last(self.pulse.get("series", {}))
        return [
            one_line(self.id),
            one_line(self.sign.label),
            self.state or "running",
            duration(self.seconds),
            f"{progress[0]:g}/{progress[1]:g}" if progress else "",
            one_line(" ".join(f"{name}={value:.4g}" for name, value in last.items()), _LONG),
            size(memory) if memory else "",
            one_line(f"pid {self.sign.pid} on {self.sign.host}"),
            "" if self.left is None else _clock(self.left),
        ]


def running(store: Store) -> list[Running]:
    """Return what runs on a store, what has run for longest first."""
    names = {slug(name): name for name in store.plans()}
    found = []
    for sign in _last_of_each(signs(store.root)):
        place, _, stem = sign.claim.partition("/")
        pulse = sign.pulse()
        if pulse.get("since", math.inf) < sign.since:  # of what the process ran before
            pulse = {}
        found.append(Running(names.get(place, place), stem, sign, pulse, _state(sign, pulse)))
    return sorted(found, key=lambda each: each.sign.since)


@dataclass(frozen=True)
class Progress:
    """How far a function is, by the matrix and the code of the last session that ran.

    :param name: the function.
    :param total: how many configurations there are.
    :param done: how many are stored.
    :param failed: how many have failed, and are not run again now.
    :param running: how many run.
    :param left: how many are left.
    :param is_queued: whether somebody is on those.
    :param remaining: seconds until all that runs or is queued has ended, ``None`` if too little
        is known, or nothing runs.
    """

    name: str
    total: int
    done: int
    failed: int
    running: int
    left: int
    is_queued: bool
    remaining: float | None

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.total} done"]
        counts = {
            "failed": self.failed,
            "running": self.running,
            "queued" if self.is_queued else "left": self.left,
        }
        parts += [f"{number} {word}" for word, number in counts.items() if number]
        if self.remaining is not None:
            parts.append(f"eta {_clock(self.remaining)}")
        return f"{one_line(self.name)}: {', '.join(parts)}"


@dataclass(frozen=True)
class View:
    """What goes on.

    :param progress: of each function.
    :param running: what runs, what has run for longest first.
    :param failures: the last ones, a line each.
    :param remaining: seconds until all that runs or is queued has ended, ``None`` if too little
        is known.
    """

    progress: Sequence[Progress]
    running: Sequence[Running]
    failures: Sequence[str]
    remaining: float | None

    def lines(self, width: int, height: int | None = None) -> Iterator[str]:
        """Yield what people read.

        :param width: of the terminal, in cells.
        :param height: lines that there is room for; by default all are shown.
        """
        functions = [str(each) for each in self.progress]
        overall, failures, room = list(self._overall()), self.failures, None
        if height is not None:
            failures = failures[: height // 4]
            room = max(2, height - len(overall) - len(failures))
            functions = _cut(functions, max(2, room // 3, room - len(self.running) - 1))
            room = max(2, room - len(functions))
        lines = [*functions, *overall, *self._table(width, room), *failures]
        for line in lines[:height]:
            yield table.cut(line, width)

    def _overall(self) -> Iterator[str]:
        """Yield what is said of all functions together, where there are several."""
        busy = [each for each in self.progress if each.running]
        if len(busy) > 1:
            running = sum(each.running for each in busy)
            queued = sum(each.left for each in self.progress if each.is_queued)
            eta = "" if self.remaining is None else f", eta {_clock(self.remaining)}"
            yield f"all: {running} running{f', {queued} queued' if queued else ''}{eta}"

    def _table(self, width: int, height: int | None) -> list[str]:
        if not self.running:
            return ["nothing runs"]
        rows = [dict(zip(COLUMNS, each.cells, strict=True)) for each in self.running]
        # The name of one function is said above, and is often long.
        is_one = len({each.name for each in self.running}) == 1 and all(r[_ONE] for r in rows)
        hidden = _SEVERAL if is_one else _ONE
        columns = [n for n in COLUMNS if n != hidden and any(row[n] for row in rows)]
        for name in _NARROW:
            if name in columns and _breadth(columns, rows) > width:
                columns.remove(name)
        cells = [[row[name] for name in columns] for row in rows]
        return _cut(list(table.lines(columns, cells, width)), height)


def _breadth(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> int:
    """Return how many cells a table takes."""
    widths = (max(table.cells_of(text) for text in (n, *(r[n] for r in rows))) for n in columns)
    return sum(widths) + table.GAP * (len(columns) - 1)


def _cut(lines: list[str], height: int | None) -> list[str]:
    """Return no more lines than there is room for; the last one says how many are left out."""
    if height is None or len(lines) <= height:
        return lines
    return [*lines[: height - 1], f"... and {len(lines) - height + 1} more"]


def _clock(seconds: float) -> str:
    """Return when it will be in so many seconds."""
    return time_of_day(seconds, datetime.now().astimezone())


class Survey:
    """Looks at a store, once or again and again: what it has read of results it knows then.

    :param store: the store; it may not be there.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._took: dict[tuple[str, str], float | None] = {}

    def look(self, submitted: Collection[tuple[str, str]] = ()) -> View:
        """See what goes on now.

        :param submitted: experiment and stem of what waits elsewhere: in the queue of Slurm.
        """
        names = self._store.plans()
        found = running(self._store)
        by_name = defaultdict(list)
        for each in found:
            by_name[each.name].append(each)
        works = [self._work(name, by_name[name], submitted) for name in names]
        shown = [each for work in works for each in work.running]
        shown += [each for each in found if each.name not in names]
        failed = [(work.name, stem) for work in works for stem in work.failed]
        return View(
            [work.progress for work in works],
            sorted(shown, key=lambda each: each.sign.since),
            self._failures(failed),
            _remaining(works),
        )

    # -- how far -----------------------------------------------------------------------------------

    def _work(
        self, name: str, running: Sequence[Running], submitted: Collection[tuple[str, str]]
    ) -> _Work:
        stems = self._store.plan(name) or []
        known = self._store.listing(name).stems
        live = {each.stem for each in running if not each.state}
        held = {each.stem for each in running if each.state != _GONE}
        ends = {stem: known.get(stem) for stem in stems}
        left = [s for s, end in ends.items() if end is None and s not in held]
        history = _History(self, name, known, ends)
        paces = [pace for each in running if (pace := each.pace) is not None]
        usual = history.usual or (statistics.mean(paces) if paces else None)
        return _Work(
            name=name,
            total=len(stems),
            done=sum(end is Outcome.PASSED for end in ends.values()),
            failed=[s for s, end in ends.items() if end is Outcome.FAILED and s not in held],
            left=len(left),
            held=len(held),
            workers=len(live),
            is_queued=bool(live) or any((name, stem) in submitted for stem in left),
            running=[_with_rest(each, history.of(each.stem) or usual) for each in running],
            waiting=history.total(left, usual),
        )

    def took(self, name: str, stem: str, outcome: Outcome) -> float | None:
        """Return the seconds that a run took, ``None`` if there is no saying."""
        which = name, f"{stem}.{outcome.value}"
        if which not in self._took:
            record = self._store.peek(name, stem, outcome)
            self._took[which] = record.runtime if record else None
        return self._took[which]

    # -- what failed -------------------------------------------------------------------------------

    def _failures(self, failed: Iterable[tuple[str, str]]) -> list[str]:
        """Say of the newest failures what and when, having opened no other."""
        written = self._store.written
        times = [(written(name, stem, Outcome.FAILED), name, stem) for name, stem in failed]
        lines = []
        for _, name, stem in sorted(times, reverse=True)[:_FAILURES]:
            if (record := self._store.peek(name, stem, Outcome.FAILED)) is not None:
                when = ago(time.time() - record.ended)
                text = f"failed {when}: {name}[{record.id}]: {record.error}"
                lines.append(one_line(text, _LONG))
        return lines


@dataclass(frozen=True)
class _Work:
    """What there is to do of a function.

    :param held: how many experiments have a process that has not died.
    :param workers: how many processes are at it.
    :param waiting: seconds that all take that is left, ``None`` if that is not known.
    """

    name: str
    total: int
    done: int
    failed: Sequence[str]
    left: int
    held: int
    workers: int
    is_queued: bool
    running: Sequence[Running]
    waiting: float | None

    @property
    def progress(self) -> Progress:
        return Progress(
            self.name,
            self.total,
            self.done,
            len(self.failed),
            self.held,
            self.left,
            self.is_queued,
            _remaining([self]),
        )


class _History:
    """What configurations of a function took.

    :param known: stem -> outcome, of whatever code.
    :param ends: stem -> outcome, of the present matrix.
    """

    def __init__(
        self,
        survey: Survey,
        name: str,
        known: Mapping[str, Outcome],
        ends: Mapping[str, Outcome | None],
    ) -> None:
        self._survey = survey
        self._name = name
        passed = [stem for stem, outcome in known.items() if outcome is Outcome.PASSED]
        self._related = {stem.partition("-")[0]: stem for stem in passed}
        now = [stem for stem, outcome in ends.items() if outcome is Outcome.PASSED]
        took = [self._took(stem) for stem in _sample(now or passed)]
        seconds = [each for each in took if each is not None]
        self.usual = statistics.median(seconds) if seconds else None
        """Seconds that one takes of which nothing else is known."""

    def of(self, stem: str) -> float | None:
        """Return what a configuration took with other code or settings."""
        related = self._related.get(stem.partition("-")[0])
        return self._took(related) if related else None

    def total(self, left: Sequence[str], usual: float | None) -> float | None:
        """Return what all of *left* will take, by a sample of them where there are many."""
        some = _sample(left)
        seconds = [each for stem in some if (each := self.of(stem) or usual) is not None]
        if len(seconds) < len(some):
            return None
        return sum(seconds) * len(left) / max(1, len(some))

    def _took(self, stem: str) -> float | None:
        return self._survey.took(self._name, stem, Outcome.PASSED)


def _sample(stems: Sequence[str]) -> Sequence[str]:
    """Return some of many, from beginning to end."""
    return stems[:: max(1, math.ceil(len(stems) / _SAMPLE))]


def _with_rest(running: Running, expected: float | None) -> Running:
    """Say how long it will take: by its history, then by the progress it has told."""
    whole = expected
    if expected is None or expected < running.seconds:
        whole = running.pace or expected
    left = None if whole is None or running.state else max(0.0, whole - running.seconds)
    return replace(running, left=left)


def _remaining(works: Iterable[_Work]) -> float | None:
    """Return in how many seconds all has ended that processes are at."""
    busy = [work for work in works if work.workers]
    live = [each for work in busy for each in work.running if not each.state]
    rest = [each.left for each in live]
    waiting = [work.waiting for work in busy]
    known = [each for each in (*rest, *waiting) if each is not None]
    if not live or len(known) < len(rest) + len(waiting):
        return None
    return max(sum(known) / len(live), *(each for each in rest if each is not None))


def _last_of_each(found: Iterable[Sign]) -> Iterator[Sign]:
    """Yield what holds of each experiment: who took it over says no more of who died."""
    ordered = sorted(found, key=lambda sign: (sign.attempt, sign.since))
    yield from {sign.claim: sign for sign in ordered}.values()


def _state(sign: Sign, pulse: Mapping[str, Any]) -> str:
    """Say why an experiment does not go on, nothing if it does."""
    if is_dead(sign.path):
        return _GONE
    silent = time.time() - float(pulse.get("beat", sign.since))
    return "" if silent < STALLED else f"silent for {duration(silent)}"
