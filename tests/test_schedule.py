"""Who is given what next: simulated with workers that only let the clock go on."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_memento.schedule import DEATHS, Allowance, Schedule, Task, in_turn


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Run:
    """What came of it: (start, worker, number) of each task, and when all had ended."""

    def __init__(self) -> None:
        self.starts: list[tuple[float, int, int]] = []
        self.end = 0.0

    def numbers(self, worker: int) -> list[int]:
        return [number for _, each, number in self.starts if each == worker]


def simulate(tasks: Sequence[Task], takes: Sequence[float], workers: int = 2) -> Run:
    """Run tasks that take so long, as the driver for xdist does: one after another."""
    clock, run = Clock(), Run()
    schedule: Schedule[int] = Schedule(tasks, clock=clock)
    ends: list[tuple[float, int, int]] = []
    free_at = dict.fromkeys(range(workers), 0.0)

    def start(worker: int, task: Task) -> None:
        begin = max(clock.now, free_at[worker])
        run.starts.append((begin, worker, task.number))
        free_at[worker] = begin + takes[task.number]
        heapq.heappush(ends, (free_at[worker], worker, task.number))

    queued: dict[int, list[Task]] = {worker: [] for worker in range(workers)}

    def feed() -> None:
        for worker in range(workers):
            queued[worker] += schedule.take(worker)
        for worker in range(workers):
            if found := schedule.to_take_back(worker):
                victim, wanted = found
                given_back = [task for task in wanted if task in queued[victim]]
                queued[victim] = [task for task in queued[victim] if task not in given_back]
                schedule.take_back(victim, [task.number for task in given_back])
                queued[worker] += schedule.take(worker)
        for worker in range(workers):
            if queued[worker] and not any(each == worker for _, each, _ in ends):
                start(worker, queued[worker].pop(0))

    for worker in range(workers):
        schedule.join(worker)
    feed()
    while ends:
        clock.now, worker, number = heapq.heappop(ends)
        run.end = clock.now
        schedule.finish(worker, number)
        feed()
    assert schedule.is_over
    return run


def unknown(number: int) -> list[Task]:
    return [Task(n) for n in range(number)]


def known(*seconds: float) -> list[Task]:
    return [Task(n, each) for n, each in enumerate(seconds)]


# -- order -----------------------------------------------------------------------------------------


def test_nothing_waits_behind_a_long_one() -> None:
    takes = [6, 6, 0.2, 0.2]
    assert simulate(unknown(4), takes).end == pytest.approx(6.2)
    assert simulate(unknown(4), [0.2, 6, 6, 0.2]).end == pytest.approx(6.2)


def test_matrix_order_without_history() -> None:
    run = simulate(unknown(5), [1] * 5)
    assert [number for _, _, number in run.starts] == [0, 1, 2, 3, 4]


def test_the_longest_first() -> None:
    takes = [0.5] * 20 + [10]
    run = simulate(known(*takes), takes)
    assert run.end == 10
    assert run.starts[0][2] == 20


def test_the_given_order_where_runtimes_differ_by_noise() -> None:
    order = in_turn([Task(0, 0.01), Task(1, 0.03), Task(2, 0.2), Task(3, 0.02), Task(4)])
    assert [task.number for task in order] == [4, 2, 0, 1, 3]


def test_unknown_ones_before_the_longest() -> None:
    tasks = [Task(0, 5), Task(1), Task(2, 9), Task(3)]
    assert [task.number for task in in_turn(tasks)] == [1, 3, 2, 0]


def test_the_given_order_if_that_is_wanted() -> None:
    order = in_turn([Task(0, 5), Task(1), Task(2, 9)], longest_first=False)
    assert [task.number for task in order] == [0, 1, 2]


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=30), st.integers(1, 5))
def test_each_is_run_once(expected: list[float | None], workers: int) -> None:
    tasks = [Task(n, each) for n, each in enumerate(expected)]
    run = simulate(tasks, [each or 1.0 for each in expected], workers)
    assert sorted(number for _, _, number in run.starts) == list(range(len(tasks)))


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=30), st.integers(1, 5))
def test_no_worker_is_idle_while_something_waits(takes: list[float], workers: int) -> None:
    """Graham's bound for schedules without idle machines (Bell System Technical Journal, 1966)."""
    bound = sum(takes) / workers + (1 - 1 / workers) * max(takes)
    assert simulate(known(*takes), takes, workers).end <= bound + 1e-6
    assert simulate(unknown(len(takes)), takes, workers).end <= bound + 1e-6


# -- shared fixtures -------------------------------------------------------------------------------


def needing(*needs: int, expected: float | None = None) -> list[Task]:
    return [Task(n, expected, frozenset([each])) for n, each in enumerate(needs)]


def switches(run: Run, tasks: Sequence[Task], workers: int = 2) -> int:
    """Count how often a worker had to make a fixture."""
    total = 0
    for worker in range(workers):
        needs = [tasks[number].needs for number in run.numbers(worker)]
        total += sum(1 for before, now in zip([None, *needs], needs, strict=False) if before != now)
    return total


def test_workers_keep_to_the_fixture_they_have() -> None:
    tasks = needing(*[1, 2] * 10)
    assert switches(simulate(tasks, [1] * 20), tasks) == 2
    tasks = needing(*[1, 2, 3, 4] * 5)
    assert switches(simulate(tasks, [1] * 20), tasks) == 4


def test_a_fixture_makes_no_worker_idle() -> None:
    tasks = needing(*[1] * 10)
    run = simulate(tasks, [1] * 10)
    assert run.end == 5


def test_the_longest_does_not_wait_for_a_fixture() -> None:
    tasks = [*needing(1, 1, 1, 1, expected=1), Task(4, 10, frozenset([2]))]
    run = simulate(tasks, [1, 1, 1, 1, 10])
    assert run.end == 10


def test_those_that_need_nothing_run_anywhere() -> None:
    tasks = [Task(0, needs=frozenset([1])), Task(1), Task(2, needs=frozenset([1])), Task(3)]
    assert simulate(tasks, [1] * 4).end == 2


# -- short ones ------------------------------------------------------------------------------------


def test_short_ones_are_sent_together() -> None:
    schedule: Schedule[str] = Schedule(known(*[0.01] * 100))
    schedule.join("a")
    assert len(schedule.take("a")) == 10


def test_short_ones_are_known_by_those_that_ran() -> None:
    clock = Clock()
    schedule: Schedule[str] = Schedule(unknown(100), clock=clock)
    schedule.join("a")
    for _ in range(3):
        (task,) = schedule.take("a")
        clock.now += 0.02
        schedule.finish("a", task.number)
    assert len(schedule.take("a")) == 5


def test_what_waits_behind_a_surprise_is_taken_back() -> None:
    takes = [0.01] * 30
    takes[5] = 50
    run = simulate(known(*[0.01] * 30), takes)
    assert run.end == pytest.approx(50, abs=0.2)


def test_of_few_short_ones_each_worker_gets_some() -> None:
    schedule: Schedule[str] = Schedule(known(*[0.001] * 8))
    schedule.join("a")
    schedule.join("b")
    assert len(schedule.take("a")) <= 4
    assert schedule.take("b")


# -- ordinary tests --------------------------------------------------------------------------------


def test_ordinary_tests_come_first_in_their_order() -> None:
    tasks = [Task(0), *(Task(n, is_light=True) for n in range(1, 9)), Task(9)]
    run = simulate(tasks, [1] * 10, workers=1)
    assert run.numbers(0) == [*range(1, 9), 0, 9]


def test_ordinary_tests_are_sent_many_at_a_time_and_ahead() -> None:
    schedule: Schedule[str] = Schedule([Task(n, is_light=True) for n in range(800)])
    schedule.join("a")
    schedule.join("b")
    first = schedule.take("a")
    assert len(first) == 100
    assert [task.number for task in first] == list(range(100))
    assert schedule.take("a") == []  # it has enough
    for task in first[:60]:
        schedule.finish("a", task.number)
    assert schedule.take("a")


def test_what_waits_behind_a_slow_ordinary_test_is_taken_back() -> None:
    clock = Clock()
    schedule: Schedule[str] = Schedule([Task(n, is_light=True) for n in range(40)], clock=clock)
    schedule.join("a")
    schedule.join("b")
    schedule.take("a")
    while taken := schedule.take("b"):
        for task in taken:
            schedule.finish("b", task.number)
    clock.now = 60
    sent = schedule.sent("a")
    found = schedule.to_take_back("b")
    assert found is not None
    # It runs the first one, and has the second in hand.
    assert found == ("a", list(sent[2:]))


# -- what happens to a worker ----------------------------------------------------------------------


def test_a_lost_worker_costs_nothing() -> None:
    schedule: Schedule[str] = Schedule(known(0.01, 0.01, 0.01, 0.01))
    schedule.join("a")
    schedule.join("b")
    sent = schedule.take("a")
    assert len(sent) == 1 or sent
    loss = schedule.leave("a")
    assert loss.task == sent[0]
    assert not loss.is_over
    assert not schedule.is_over
    again = schedule.take("b")
    assert again[0] == sent[0]  # as soon as can be


def test_an_experiment_that_kills_its_workers_is_given_up() -> None:
    schedule: Schedule[int] = Schedule(unknown(1))
    for worker in range(DEATHS):
        schedule.join(worker)
        assert [task.number for task in schedule.take(worker)] == [0]
        loss = schedule.leave(worker)
        assert loss.deaths == worker + 1
    assert loss.is_over
    assert schedule.is_over


def test_what_was_given_up_may_be_wanted_again() -> None:
    schedule: Schedule[str] = Schedule([Task(0, is_light=True), Task(1)])
    for number in (0, 1):
        schedule.join("a")
        assert [task.number for task in schedule.take("a")] == [number]
        if number == 1:
            schedule.allowance.stop("no more workers")
        assert schedule.leave("a").is_over
        schedule.again(number)
        if number == 0:
            schedule.join("a")
            assert [task.number for task in schedule.take("a")] == [0]
            schedule.finish("a", 0)
    assert schedule.waiting == 1


def test_an_ordinary_test_that_kills_its_worker_is_not_tried_again() -> None:
    schedule: Schedule[str] = Schedule([Task(0, is_light=True), Task(1, is_light=True)])
    schedule.join("a")
    schedule.take("a")
    assert schedule.leave("a").is_over


def test_a_worker_that_was_idle_leaves_nothing() -> None:
    schedule: Schedule[str] = Schedule([])
    schedule.join("a")
    assert schedule.leave("a").task is None
    assert schedule.leave("never seen").task is None


def test_what_another_session_computes_comes_last() -> None:
    schedule: Schedule[str] = Schedule(unknown(3))
    schedule.join("a")
    order = []
    put_off = True
    while taken := schedule.take("a"):
        (task,) = taken
        order.append(task.number)
        if put_off and task.number == 0:
            put_off = False
            schedule.put_off("a", 0)
        else:
            schedule.finish("a", task.number)
    assert order == [0, 1, 2, 0]


# -- how much --------------------------------------------------------------------------------------


def test_a_limit() -> None:
    schedule: Schedule[str] = Schedule(unknown(5), allowance=Allowance(limit=2))
    schedule.join("a")
    for _ in range(2):
        (task,) = schedule.take("a")
        schedule.finish("a", task.number)
    assert schedule.take("a") == []
    assert schedule.is_over
    assert schedule.waiting == 3
    assert schedule.allowance.stopped == "the limit of 2 is reached"


def test_a_limit_does_not_count_what_is_tried_again_or_runs_elsewhere() -> None:
    schedule: Schedule[str] = Schedule(unknown(3), allowance=Allowance(limit=1))
    schedule.join("a")
    (task,) = schedule.take("a")
    schedule.put_off("a", task.number)
    (task,) = schedule.take("a")
    schedule.leave("a")
    schedule.join("b")
    assert schedule.take("b") == [task]


def test_what_leaves_does_not_wait_for_others() -> None:
    """Only once all that is left was found to run elsewhere, one after the other."""
    schedule: Schedule[str] = Schedule(unknown(3), leaves=True)
    schedule.join("a")
    (first,) = schedule.take("a")
    schedule.put_off("a", first.number)
    (second,) = schedule.take("a")
    schedule.finish("a", second.number)
    (third,) = schedule.take("a")
    schedule.put_off("a", third.number)
    (again,) = schedule.take("a")  # it may be free by now
    assert again == first
    schedule.put_off("a", again.number)
    assert schedule.is_over
    assert schedule.allowance.stopped == "other sessions run the rest"


def test_a_budget() -> None:
    clock = Clock()
    allowance = Allowance(budget=3600, clock=clock)
    schedule: Schedule[str] = Schedule(unknown(5), allowance=allowance, clock=clock)
    schedule.join("a")
    (task,) = schedule.take("a")
    clock.now = 3600
    schedule.finish("a", task.number)
    assert schedule.take("a") == []
    assert schedule.allowance.stopped == "the budget of 1h00m is used up"


def test_the_first_reason_counts() -> None:
    allowance = Allowance()
    assert allowance.begin(0)
    allowance.stop("Ctrl-C")
    allowance.stop("1 failure")
    assert allowance.stopped == "Ctrl-C"
    assert not allowance.begin(0)


def test_a_stop_lets_ordinary_tests_wait_too() -> None:
    schedule: Schedule[str] = Schedule([Task(0, is_light=True)])
    schedule.join("a")
    schedule.allowance.stop("1 failure")
    assert schedule.take("a") == []
    assert schedule.is_over


# -- how long --------------------------------------------------------------------------------------


def test_the_time_that_remains() -> None:
    clock = Clock()
    schedule: Schedule[str] = Schedule(known(10, 20, 30), clock=clock)
    schedule.join("a")
    schedule.join("b")
    schedule.take("a")
    schedule.take("b")
    assert schedule.remaining() == 30
    clock.now = 15
    assert schedule.remaining() == 15
    assert [(w, task.number, t) for w, task, t in schedule.running()] == [
        ("a", 2, 15),
        ("b", 1, 15),
    ]


def test_the_time_that_remains_is_unknown_until_one_has_ended() -> None:
    clock = Clock()
    schedule: Schedule[str] = Schedule(unknown(3), clock=clock)
    schedule.join("a")
    (task,) = schedule.take("a")
    assert schedule.remaining() is None
    clock.now = 10
    schedule.finish("a", task.number)
    assert schedule.remaining() == 20


# -- what needs the results of others --------------------------------------------------------------


def following(*after: Sequence[int], seconds: Sequence[float | None] = ()) -> list[Task]:
    known = [*seconds, *[None] * (len(after) - len(seconds))]
    return [Task(n, known[n], after=frozenset(each)) for n, each in enumerate(after)]


def test_what_is_needed_comes_first_and_ends_first() -> None:
    tasks = following([3], [0], [], [2])
    assert [task.number for task in in_turn(tasks)] == [2, 3, 0, 1]
    run = simulate(tasks, [1, 1, 1, 1])
    assert [(start, number) for start, _, number in run.starts] == [(0, 2), (1, 3), (2, 0), (3, 1)]


def test_workers_do_not_wait_while_anything_is_ready() -> None:
    # 0 and 1 first; 2, 3 need 0, which is short; 4 needs 1, which is long.
    run = simulate(following([], [], [0], [0], [1]), [1, 5, 1, 1, 1])
    assert {number: start for start, _, number in run.starts} == {0: 0, 1: 0, 2: 1, 3: 2, 4: 5}
    assert run.end == 6


def test_the_longest_way_first() -> None:
    # What takes 2, and 9 in what needs it, is more urgent than what takes 8 and nobody needs.
    seconds = [8.0, 2.0, 9.0, 1.0]
    run = simulate(following([], [], [1], [], seconds=seconds), seconds)
    assert [number for _, _, number in run.starts] == [1, 0, 2, 3]
    assert run.end == 11


def test_what_becomes_ready_is_sorted_in() -> None:
    seconds = [1.0, 4.0, 6.0, 5.0, 0.5]
    run = simulate(following([], [], [0], [0], [], seconds=seconds), seconds, workers=1)
    assert [number for _, _, number in run.starts] == [0, 2, 3, 1, 4]


def test_in_the_order_that_was_given() -> None:
    tasks = following([2], [], [], seconds=[1, 2, 3])
    order = [task.number for task in in_turn(tasks, longest_first=False)]
    assert order == [1, 2, 0]


def test_what_needs_something_that_is_put_off_waits_for_it() -> None:
    schedule: Schedule[str] = Schedule(following([], [0], []))
    schedule.join("a")
    (task,) = schedule.take("a")
    schedule.put_off("a", task.number)
    (other,) = schedule.take("a")
    assert other.number == 2
    schedule.finish("a", 2)
    assert not schedule.is_over
    (again,) = schedule.take("a")
    assert again.number == 0
    schedule.finish("a", 0)
    assert [task.number for task in schedule.take("a")] == [1]


def test_a_task_of_an_array_stays_while_something_is_blocked() -> None:
    schedule: Schedule[str] = Schedule(following([], [0]), leaves=True)
    schedule.join("a")
    for _ in range(3):
        (task,) = schedule.take("a")
        schedule.put_off("a", task.number)
    assert not schedule.allowance.stopped


def test_what_needs_something_that_was_given_up_comes_to_its_turn() -> None:
    schedule: Schedule[str] = Schedule(following([], [0]))
    for death in range(DEATHS):
        schedule.join(f"w{death}")
        assert [task.number for task in schedule.take(f"w{death}")] == [0]
        schedule.leave(f"w{death}")
    schedule.join("last")
    assert [task.number for task in schedule.take("last")] == [1]
    schedule.finish("last", 1)
    assert schedule.is_over


def test_what_is_needed_from_outside_is_not_waited_for() -> None:
    assert [task.number for task in in_turn(following([7], []))] == [0, 1]


def test_time_that_remains_with_what_is_blocked() -> None:
    schedule: Schedule[str] = Schedule(following([], [0], seconds=[10, 20]))
    schedule.join("a")
    schedule.join("b")
    schedule.take("a")
    assert schedule.waiting == 1
    assert schedule.remaining() == 20


@given(st.data())
def test_any_graph_is_run_to_its_end_in_order(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 12))
    after = [
        data.draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set[int]()
        for n in range(number)
    ]
    seconds = data.draw(
        st.lists(st.one_of(st.none(), st.floats(0.01, 9)), min_size=number, max_size=number)
    )
    tasks = [Task(n, seconds[n], after=frozenset(after[n])) for n in range(number)]
    data.draw(st.randoms()).shuffle(tasks)
    takes = [data.draw(st.floats(0.2, 5)) for _ in range(number)]
    run = simulate(tasks, takes)
    starts = {each: start for start, _, each in run.starts}
    assert starts.keys() == {*range(number)}
    for each in range(number):
        for other in after[each]:
            assert starts[each] >= starts[other] + takes[other] - 1e-9
