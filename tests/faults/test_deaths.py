"""Processes are killed while experiments run: how often is counted, and what was known is kept."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results
from pytest_memento.presence import signs

pytestmark = pytest.mark.faults

Notes = Callable[[], list[str]]

DEADLY = """
import os, signal
from notes import note

matrix = {"parameters": {"x": [1, 2, 3]}}

def experiment(context, x):
    note(f"x={x}")
    if x == 2 and not os.path.exists("harmless"):
        BEFORE
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x
"""
SHORT = """
import time
from notes import note

matrix = {"parameters": {"x": list(range(200))}}

def experiment(context, x):
    time.sleep(0.01)
    note(f"{x}")
    return x * x
"""


def store_of(pytester: pytest.Pytester) -> Path:
    return pytester.path / ".pytest_cache/memento"


def results_of(pytester: pytest.Pytester) -> list[Path]:
    return list((store_of(pytester) / "results").rglob("*.result"))


def test_what_kills_three_processes_fails_by_name(pytester: pytest.Pytester, notes: Notes) -> None:
    before = "print('step 41'); context.record({'loss': 0.5}); __import__('time').sleep(1.5)"
    pytester.makepyfile(exp_a=DEADLY.replace("BEFORE", before))
    for _ in range(3):
        assert pytester.runpytest_subprocess().ret == -signal.SIGKILL
    assert Counter(notes()) == {"x=1": 1, "x=2": 3, "x=3": 1}
    result = pytester.runpytest_subprocess()
    assert result.parseoutcomes() == {"cached": 2, "failed": 1}
    assert notes() == []
    result.stdout.fnmatch_lines(
        ["its process (last pid * on *) died 3 times (peak memory * MB)", "*", "step 41"]
    )
    failed = load_results(pytester.path / "exp_a.py").where(x=2)[0]
    assert failed.error is not None
    assert failed.error.startswith("its process")
    assert failed.metrics == {"loss": [(0, 0.5)]}
    assert failed.runtime.total_seconds() > 1
    # It is on record, so that it begins anew.
    (pytester.path / "harmless").touch()
    assert pytester.runpytest_subprocess().parseoutcomes() == {"cached": 2, "passed": 1}
    assert list(signs(store_of(pytester))) == []


def test_what_gets_further_each_time_is_not_given_up(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    before = "context.checkpoint(context.restore(0) + 1)"
    pytester.makepyfile(exp_a=DEADLY.replace("BEFORE", before))
    for _ in range(5):
        assert pytester.runpytest_subprocess().ret == -signal.SIGKILL
    assert Counter(notes()) == {"x=1": 1, "x=2": 5, "x=3": 1}


@pytest.mark.parametrize("again", [7, 99])
def test_workers_that_get_further_each_time(
    pytester: pytest.Pytester, notes: Notes, xdist: None, again: int
) -> None:
    """Ten deaths are too many all the same: a checkpoint may say the same each time."""
    before = f"""context.checkpoint(context.restore(0) + 1)
        if context.restore() == {again}: return 4"""
    pytester.makepyfile(exp_a=DEADLY.replace("BEFORE", before))
    result = pytester.runpytest_subprocess("-n1")
    assert Counter(notes()) == {"x=1": 1, "x=2": min(again, 10), "x=3": 1}
    if again == 7:
        assert result.parseoutcomes() == {"passed": 3}
    else:
        assert result.parseoutcomes() == {"passed": 2, "failed": 1}
        result.stdout.fnmatch_lines(["*its worker died 10 times*"])
    assert list((store_of(pytester) / "running").iterdir()) == []
    assert list((store_of(pytester) / "claims").rglob("*.lock")) == []


def test_what_kills_its_process_keeps_nothing_behind_it(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(
        exp_a="""
        import os
        from notes import note
        matrix = {"parameters": {"x": [1, 2, 3, 4]}}
        def experiment(x):
            note(f"x={x}")
            if x < 4: os._exit(3)
        """
    )
    sessions = 0
    while "x=4" not in notes():
        assert pytester.runpytest_subprocess().ret in (0, 1, 3)
        sessions += 1
        assert sessions <= 4
    for _ in range(8):  # some are on record, and tried again, behind all others
        pytester.runpytest_subprocess()
    notes()
    (pytester.path / "exp_a.py").write_text(
        (pytester.path / "exp_a.py").read_text().replace("[1, 2, 3, 4]", "[1, 2, 3, 4, 5]")
    )
    notes()
    pytester.runpytest_subprocess()
    assert notes()[0] == "x=5"


def test_a_death_on_record_is_not_counted_again(
    pytester: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    pytester.makepyfile(exp_a=DEADLY.replace("BEFORE", "pass"))
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 2, "failed": 1}
    assert list((store_of(pytester) / "running").iterdir()) == []
    assert list((store_of(pytester) / "claims").rglob("*.lock")) == []
    notes()
    for _ in range(3):
        assert pytester.runpytest_subprocess().ret == -signal.SIGKILL
    assert notes() == ["x=2"] * 3


def test_workers_and_sessions_count_together(
    pytester: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    pytester.makepyfile(exp_a=DEADLY.replace("BEFORE", "pass"))
    assert pytester.runpytest_subprocess().ret == -signal.SIGKILL
    result = pytester.runpytest_subprocess("-n1")
    assert result.parseoutcomes() == {"cached": 1, "passed": 1, "failed": 1}
    assert Counter(notes()) == {"x=1": 1, "x=2": 3, "x=3": 1}
    result.stdout.fnmatch_lines(["*died 3 times*"])
    (pytester.path / "harmless").touch()
    result = pytester.runpytest_subprocess("-n1")
    assert result.parseoutcomes() == {"cached": 2, "passed": 1}


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_random_kills_lose_nothing(
    pytester: pytest.Pytester, notes: Notes, request: pytest.FixtureRequest, workers: str
) -> None:
    """Kill the session, or one of its workers, at random moments, until all is stored."""
    if workers != "-n0":
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=SHORT)
    chance = random.Random(workers)
    rounds: int = request.config.getoption("--fault-rounds")
    command = [sys.executable, "-m", "pytest", "-q", workers]
    computed: Counter[str] = Counter()
    for _ in range(rounds):
        stored = {path.name for path in results_of(pytester)}
        if len(stored) == 200:
            (pytester.path / ".pytest_cache").rename(pytester.path / f"full-{time.time()}")
            assert max(computed.values()) < 10
            computed.clear()
            stored = set()
        with subprocess.Popen(
            command, cwd=pytester.path, stdout=subprocess.DEVNULL, start_new_session=True
        ) as session:
            time.sleep(chance.uniform(0.6, 2.5))
            kill_something(session.pid, chance)
            time.sleep(chance.uniform(0, 0.3))
            with contextlib.suppress(OSError):
                os.kill(session.pid, signal.SIGKILL)
        wait_for_end_of(session.pid)
        now = Counter(notes())
        done = {path.name for path in results_of(pytester)}
        assert stored <= done, "results were lost"
        # What ran and is not stored, was in flight; nothing that was stored ran again.
        in_flight = 1 if workers == "-n0" else 2 + 1  # one more in place of a worker
        assert sum(now.values()) - len(done - stored) <= in_flight
        computed += now
    result = pytester.runpytest_subprocess("-q", workers)
    counts = result.parseoutcomes()
    assert sum(counts.get(word, 0) for word in ("cached", "passed")) == 200, counts
    results = load_results(pytester.path / "exp_a.py")
    assert [each.value for each in results] == [x * x for x in range(200)]
    assert not list((store_of(pytester) / "aside").glob("*"))


def kill_something(pid: int, chance: random.Random) -> None:
    """Kill a session or one of its workers."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    children = [int(child) for child in path.read_text().split()] if path.exists() else []
    for victim in chance.sample([pid, *children], 1):
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def wait_for_end_of(group: int) -> None:
    """Wait until no process of a session is left: workers see that their controller is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a worker has outlived its controller")
