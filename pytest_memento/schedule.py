"""Who runs what next, decided from what is known; a driver carries it out.

    blocked ── all that it comes after is done ──┐
       ┌─────────────────────────────────────────┘
    waiting ── take ──> running ── finish ──> done
       ^                   │
       ├──── put_off ──────┤   another session computes it: later
       ├──── take_back ────┤   it was sent, but not begun
       └──── lose ─────────┘   its worker died: again, a bounded number of times

An experiment is given to a worker when that worker is free, never before: nothing waits behind a
long one. The longest expected come first, those of which nothing is known before these. Experiments
that need a shared fixture stay with the worker that has it while that makes no other worker idle.
Where experiments are known to take milliseconds, a worker gets several at a time.

An experiment that is given the results of others is blocked until these have ended, however that
was. Where there are such, what counts as the longest is the longest way to the end that begins with
an experiment (the critical path; highest level first: Hu, Operations Research 1961).

Ordinary tests of the same session are *light* tasks: they come first, in their order, many at once.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pytest_memento.amounts import duration

W = TypeVar("W")

DEATHS = 3
"""How many workers in turn an experiment may kill before it is given up, where none got further
than the one before."""
MOST_DEATHS = 10
"""How many in a session, however far they got: a checkpoint may be the same each time."""
BATCH = 0.1
"""Seconds that what is sent at a time is expected to take, where it is known to be short."""
NOISE = 0.1
"""Seconds that say nothing about which of two experiments takes longer."""
_ENOUGH = 3
"""Experiments of a function that must have ended before they say how long the others take."""
_RECENT = 16
_ALIKE = 1.2
"""How many times longer what one experiment takes may be, to count as the same."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to run.

    :param number: what it is called.
    :param expected: seconds it will take, ``None`` if nothing is known.
    :param needs: the shared fixtures it uses.
    :param kind: its function; those of one kind tell of each other how long they take.
    :param is_light: whether it is an ordinary test.
    :param risk: behind those of a lower one it comes: processes have died of it.
    :param after: the tasks that must have ended before it is begun.
    """

    number: int
    expected: float | None = None
    needs: frozenset[int] = frozenset()
    kind: int = 0
    is_light: bool = False
    risk: int = 0
    after: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Loss:
    """What a worker that died leaves behind.

    :param task: what it was running, if anything.
    :param deaths: how many workers that has killed.
    :param is_over: whether it is not tried again.
    """

    task: Task | None = None
    deaths: int = 0
    is_over: bool = True


class Allowance:
    """How much may be begun; what runs goes on.

    :param limit: how many experiments at most.
    :param budget: for how many seconds from now.
    :param clock: tells the time in seconds.
    """

    def __init__(
        self,
        limit: int | None = None,
        budget: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._budget = budget
        self._clock = clock
        self._start = clock()
        self._begun: set[Hashable] = set()
        self._reason = ""

    @property
    def stopped(self) -> str:
        """Why nothing is begun any more; empty as long as something is."""
        is_late = self._budget is not None and self._clock() - self._start >= self._budget
        if is_late and not self._reason:
            self._reason = f"the budget of {duration(self._budget or 0)} is used up"
        return self._reason

    def stop(self, why: str) -> None:
        """Let nothing be begun any more."""
        self._reason = self._reason or why

    def begin(self, number: Hashable) -> bool:
        """Count an experiment as begun, unless that would be one too many."""
        if self.stopped:
            return False
        is_full = self._limit is not None and len(self._begun) >= self._limit
        if is_full and number not in self._begun:
            self.stop(f"the limit of {self._limit} is reached")
            return False
        self._begun.add(number)
        return True

    def give_back(self, number: Hashable) -> None:
        """Count an experiment as not begun after all."""
        self._begun.discard(number)


class _Queue:
    """Tasks that wait, in order, with a way to the first one that needs given fixtures."""

    def __init__(self, tasks: Sequence[Task] = ()) -> None:
        self.seconds = 0.0  # that all are expected to take, as far as known
        self._tasks: OrderedDict[int, Task] = OrderedDict()
        self._by_needs: dict[frozenset[int], OrderedDict[int, Task]] = defaultdict(OrderedDict)
        for task in tasks:
            self.add(task)

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def add(self, task: Task, *, first: bool = False) -> None:
        self.seconds += task.expected or 0.0
        for tasks in (self._tasks, self._by_needs[task.needs]):
            tasks[task.number] = task
            tasks.move_to_end(task.number, last=not first)

    def insert(self, task: Task, urgency: Callable[[Task], tuple[float, int]]) -> None:
        """Add a task where it belongs among tasks that are sorted."""
        last = next(reversed(self._tasks.values()), None)
        self.add(task)
        if last is not None and urgency(task) < urgency(last):
            for tasks in (self._tasks, self._by_needs[task.needs]):
                for each in sorted(tasks.values(), key=urgency):
                    tasks.move_to_end(each.number)

    def remove(self, task: Task) -> None:
        self.seconds -= task.expected or 0.0
        del self._tasks[task.number]
        same = self._by_needs[task.needs]
        del same[task.number]
        if not same:
            del self._by_needs[task.needs]

    def get(self, number: int) -> Task | None:
        return self._tasks.get(number)

    def first(self) -> Task | None:
        return next(iter(self), None)

    def firsts(self) -> Iterator[Task]:
        """Yield the first task of each set of needs."""
        for same in self._by_needs.values():
            yield next(iter(same.values()))


class Schedule(Generic[W]):
    """Hands tasks to workers.

    :param tasks: what there is to run; their order counts among equals.
    :param longest_first: where false, experiments come as they are given, too.
    :param leaves: whether to end when all that is left is computed by other sessions.
    :param allowance: how many experiments are begun.
    :param clock: tells the time in seconds.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        longest_first: bool = True,
        leaves: bool = False,
        allowance: Allowance | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = {task.number: task for task in tasks}
        self._levels = _levels(tasks)
        self._urgency = self._urgency_of if longest_first else _place
        heavy = [task for task in tasks if not task.is_light]
        self._blocked: dict[int, set[int]] = {}
        self._then: dict[int, list[Task]] = defaultdict(list)
        for task in heavy:
            if before := task.after & self._tasks.keys():
                self._blocked[task.number] = {*before}
                for number in before:
                    self._then[number].append(task)
        heavy = [task for task in heavy if task.number not in self._blocked]
        self._light = _Queue([task for task in tasks if task.is_light])
        heavy.sort(key=self._urgency)
        self._waiting = _Queue([task for task in heavy if not task.risk])
        risky = sorted((task for task in heavy if task.risk), key=lambda task: task.risk)
        self._later = _Queue(risky)
        self._sent: dict[W, deque[Task]] = {}
        self._since: dict[W, float] = {}
        self._has: dict[W, frozenset[int]] = {}
        self._seen: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_RECENT))
        self._deaths: dict[int, int] = defaultdict(int)  # in turn, with nothing gained
        self._all_deaths: dict[int, int] = defaultdict(int)
        self._elsewhere: set[int] = set()  # what other sessions compute, or did when last seen
        self._leaves = leaves
        self._in_vain = 0  # how many in turn were found to be computed elsewhere
        self._clock = clock
        self.allowance = allowance or Allowance(clock=clock)

    # -- workers -----------------------------------------------------------------------------------

    def join(self, worker: W) -> None:
        """Let a worker take part."""
        self._sent[worker] = deque()

    def knows(self, worker: W) -> bool:
        """Whether a worker takes part."""
        return worker in self._sent

    def leave(self, worker: W, got_further: Callable[[Task], bool] = lambda _: False) -> Loss:
        """Forget a worker; what it had not begun goes to others, what it was running may, too.

        :param got_further: tells whether the worker has brought on what it was running, so that
            the next one begins where no other has died.
        """
        sent = self._sent.pop(worker, deque())
        self._has.pop(worker, None)
        self._since.pop(worker, None)
        running = sent.popleft() if sent else None
        self._return(sent)
        if running is None:
            return Loss()
        before = 0 if got_further(running) else self._deaths[running.number]
        self._deaths[running.number] = deaths = before + 1
        self._all_deaths[running.number] += 1
        is_hopeless = self._all_deaths[running.number] >= MOST_DEATHS
        deaths = MOST_DEATHS if is_hopeless else deaths
        is_over = running.is_light or deaths >= DEATHS or bool(self.allowance.stopped)
        if is_over:
            self._release(running.number)
        else:
            self._waiting.add(running, first=True)
        return Loss(running, deaths, is_over)

    # -- giving and taking back --------------------------------------------------------------------

    def take(self, worker: W) -> list[Task]:
        """Return what *worker* is to be sent now, after what it was sent already."""
        if self.allowance.stopped or not self._is_free(worker):
            return []
        taken = self._take_light() or self._take_heavy(worker)
        if taken:
            sent = self._sent[worker]
            if not sent:
                self._since[worker] = self._clock()
            sent.extend(taken)
            self._has[worker] = taken[-1].needs
        return taken

    def assign(self, worker: W, number: int) -> None:
        """Note that a worker runs a task that it has chosen for itself."""
        task = self._tasks[number] if self._blocked.pop(number, None) is not None else None
        for queue in (self._waiting, self._later, self._light):
            if (found := queue.get(number)) is not None:
                queue.remove(found)
                task = found
        if task is not None:
            self._sent[worker].append(task)
            self._since[worker] = self._clock()

    def to_take_back(self, worker: W) -> tuple[W, list[Task]] | None:
        """Return from whom to take back what, so that *worker*, who has nothing to do, has."""
        if self.allowance.stopped or self._sent[worker] or self._has_ready():
            return None
        rest = {each: _not_begun(sent) for each, sent in self._sent.items()}
        richest = max(rest, key=lambda each: len(rest[each]))
        behind = rest[richest]
        if not behind:
            return None
        # Half of what is short; all that waits behind what turns out not to be.
        is_stuck = self._clock() - self._since[richest] > BATCH
        wanted = behind if is_stuck else behind[len(behind) // 2 :]
        return richest, wanted

    def take_back(self, worker: W, numbers: Sequence[int]) -> None:
        """Let tasks wait again that a worker was sent and has not begun."""
        gone = set(numbers)
        sent = self._sent.get(worker, deque())
        self._return([task for task in sent if task.number in gone])
        self._sent[worker] = deque(task for task in sent if task.number not in gone)

    def again(self, number: int) -> None:
        """Run a task that was given up once more."""
        task = self._tasks[number]
        (self._light if task.is_light else self._waiting).add(task, first=True)

    def finish(self, worker: W, number: int) -> None:
        """Note that a worker has done a task."""
        task = self._end(worker, number)
        if task is not None and not task.is_light:
            self._seen[task.kind].append(self._clock() - self._since[worker])
        self._release(number)
        self._in_vain = 0
        self._since[worker] = self._clock()

    def put_off(self, worker: W, number: int) -> None:
        """Note that another session computes a task: it waits until nothing else does."""
        if task := self._end(worker, number):
            self.allowance.give_back(number)
            self._elsewhere.add(number)
            self._later.add(task)
            self._in_vain += 1
        self._since[worker] = self._clock()
        if (
            self._leaves
            and not (self._light or self._waiting or self._blocked)
            and self._in_vain >= len(self._later)
        ):
            self.allowance.stop("other sessions run the rest")

    # -- telling -----------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many experiments wait."""
        return len(self._waiting) + len(self._later) + len(self._blocked)

    @property
    def is_over(self) -> bool:
        """Whether nothing runs, and nothing will."""
        if any(self._sent.values()):
            return False
        return bool(self.allowance.stopped) or not self._has_waiting()

    def sent(self, worker: W) -> Sequence[Task]:
        """Return what a worker was sent and has not ended, in order: it runs the first."""
        return list(self._sent.get(worker, ()))

    def not_begun(self, worker: W) -> list[Task]:
        """Return what a worker was sent and can give back."""
        return _not_begun(self._sent.get(worker, ()))

    def running(self) -> Iterator[tuple[W, Task, float]]:
        """Yield workers that run an experiment, which, and for how many seconds."""
        for worker, sent in list(self._sent.items()):
            if sent and not sent[0].is_light and sent[0].number not in self._elsewhere:
                yield worker, sent[0], self._clock() - self._since[worker]

    def elsewhere(self) -> list[tuple[W | None, Task]]:
        """Return what other sessions compute, as far as is known, with who looks after it."""
        asking = [(worker, sent[0]) for worker, sent in list(self._sent.items())
                  if sent and sent[0].number in self._elsewhere]  # fmt: skip
        waiting = [task for task in self._later if task.number in self._elsewhere]
        return [*asking, *((None, task) for task in waiting)]

    def expected(self, task: Task) -> float | None:
        """Return how long a task will take, by its history or by others of its kind today."""
        if task.expected is not None:
            return task.expected
        seen = self._seen.get(task.kind, ())
        return max(seen) if len(seen) >= _ENOUGH else None

    def remaining(self) -> float | None:
        """Return in how many seconds all is done, ``None`` if too little is known."""
        left = []
        for _, task, seconds in self.running():
            if (expected := self._about(task)) is None:
                return None
            left.append(max(0.0, expected - seconds))
        blocked = [self._tasks[number] for number in self._blocked]
        waiting = [self._about(t) for each in (self._waiting, self._later, blocked) for t in each]
        known = [seconds for seconds in waiting if seconds is not None]
        if len(known) < len(waiting):
            return None
        longest = max((*left, *known), default=0.0)
        return max((sum(left) + sum(known)) / max(1, len(self._sent)), longest)

    def _about(self, task: Task) -> float | None:
        if task.expected is not None:
            return task.expected
        seen = self._seen.get(task.kind)
        return sum(seen) / len(seen) if seen else None

    # -- choosing ----------------------------------------------------------------------------------

    def _has_ready(self) -> bool:
        return bool(self._light or self._waiting or self._later)

    def _has_waiting(self) -> bool:
        return self._has_ready() or bool(self._blocked)

    def _urgency_of(self, task: Task) -> tuple[float, int]:
        """Return what to sort by: unknown first, then the longest, then as given."""
        seconds = self._levels.get(task.number, task.expected)
        return (-float("inf") if seconds is None else -(seconds // NOISE)), task.number

    def _release(self, number: int) -> None:
        """Let those wait that were blocked by a task that has ended."""
        for task in self._then.pop(number, ()):
            before = self._blocked.get(task.number, set())
            before.discard(number)
            if not before and self._blocked.pop(task.number, None) is not None:
                queue = self._later if task.risk else self._waiting
                queue.insert(task, self._urgency)

    def _is_free(self, worker: W) -> bool:
        """Whether a worker is to be sent more: it has nothing left, or soon will."""
        sent = self._sent[worker]
        if not sent:
            return True
        if self._light:
            # The share of a worker may be done before more can come.
            return all(task.is_light for task in sent) and len(sent) <= self._share(8)
        seconds = [self.expected(task) for task in sent]
        short = [each for each in seconds if each is not None]
        return len(short) == len(sent) and sum(short) < BATCH / 2

    def _share(self, parts: int) -> int:
        return max(1, len(self._light) // (parts * max(1, len(self._sent))))

    def _take_light(self) -> list[Task]:
        """Take a part of the ordinary tests, neighbours together, less towards the end."""
        if not self._light:
            return []
        taken = []
        for task in list(itertools.islice(self._light, self._share(4))):
            self._light.remove(task)
            taken.append(task)
        return taken

    def _take_heavy(self, worker: W) -> list[Task]:
        """Take the next experiment, or several if they are short."""
        taken: list[Task] = []
        total = 0.0
        has = self._has.get(worker, frozenset())
        ready = len(self._waiting) + len(self._later)
        fair = max(1, ready // (2 * max(1, len(self._sent))))
        while len(taken) < fair and (task := self._choose(has)) is not None:
            seconds = self.expected(task)
            if taken and (seconds is None or total + seconds > BATCH):
                break
            if not self.allowance.begin(task.number):
                break
            (self._waiting if self._waiting else self._later).remove(task)
            taken.append(task)
            has = task.needs
            if seconds is None:
                break
            total += seconds
        return taken

    def _choose(self, has: frozenset[int]) -> Task | None:
        queue = self._waiting if self._waiting else self._later
        first = queue.first()
        if first is None or not first.needs or first.needs <= has:
            return first
        at_home = [task for task in queue.firsts() if task.needs <= has and task.needs]
        if at_home:
            best = min(at_home, key=self._urgency)
            if self._may_wait(first, best):
                return best
        return self._of_nobody(queue, first)

    def _may_wait(self, first: Task, other: Task) -> bool:
        """Whether *first* can be begun after *other* without all ending later for it."""
        if first.expected is None or other.expected is None:
            return first.expected is other.expected
        if first.needs in self._has.values() or first.expected <= _ALIKE * other.expected:
            return True  # there is who will take it, or it takes about as long
        share = self._waiting.seconds / max(1, len(self._sent))
        return first.expected + other.expected <= share

    def _of_nobody(self, queue: _Queue, first: Task) -> Task:
        """Return the first of those that are as urgent and whose fixtures no other worker has."""
        theirs = set(self._has.values())
        equals = (task for task in queue.firsts() if task.expected == first.expected)
        free = (task for task in equals if task.needs not in theirs)
        return min(free, key=self._urgency, default=first)

    # -- ending ------------------------------------------------------------------------------------

    def _end(self, worker: W, number: int) -> Task | None:
        sent = self._sent.get(worker, deque())
        for task in sent:
            if task.number == number:
                sent.remove(task)
                return task
        return None

    def _return(self, tasks: Sequence[Task] | deque[Task]) -> None:
        for task in reversed(tasks):
            if not task.is_light:
                self.allowance.give_back(task.number)
            (self._light if task.is_light else self._waiting).add(task, first=True)


def _not_begun(sent: Iterable[Task]) -> list[Task]:
    """Return what a worker can give back: of neighbours it has the next one in hand already."""
    tasks = list(sent)
    has_next = len(tasks) > 1 and tasks[0].is_light and tasks[1].is_light
    return tasks[2 if has_next else 1 :]


def _levels(tasks: Sequence[Task]) -> dict[int, float | None]:
    """Return how long the way to the end is that begins with a task, where others come after it.

    ``None`` where that is not known.
    """
    then: dict[int, list[Task]] = defaultdict(list)
    for task in tasks:
        for number in task.after:
            then[number].append(task)
    levels: dict[int, float | None] = {}

    def level(task: Task) -> float | None:
        if task.number not in levels:
            ways = [level(each) for each in then.get(task.number, ())]
            known = [way for way in ways if way is not None]
            is_known = task.expected is not None and len(known) == len(ways)
            levels[task.number] = (task.expected or 0.0) + max(known, default=0.0)
            if not is_known:
                levels[task.number] = None
        return levels[task.number]

    for task in tasks if then else ():
        level(task)
    return levels


def _place(task: Task) -> tuple[float, int]:
    return 0.0, task.number


def in_turn(tasks: Sequence[Task], *, longest_first: bool = True) -> Iterator[Task]:
    """Yield experiments in the order in which one worker would be given them."""
    schedule: Schedule[None] = Schedule(tasks, longest_first=longest_first)
    schedule.join(None)
    while taken := schedule.take(None):
        for task in taken:
            yield task
            schedule.finish(None, task.number)
