"""Any number of sessions share a store: each experiment is computed once, all have all results."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

pytestmark = pytest.mark.faults

Notes = Callable[[], list[str]]

MANY = """
import time
from notes import note

matrix = {"parameters": {"x": list(range(500))}}

def experiment(x):
    note(f"{x}")
    return x * x
"""


def session(pytester: pytest.Pytester, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def counts_of(output: str) -> dict[str, int]:
    return pytest.RunResult.parse_summary_nouns(output.splitlines())


@pytest.mark.parametrize("killed", [0, 2])
@pytest.mark.parametrize("lock", ["kernel", "lease"])
def test_eight_sessions_on_500_experiments(
    pytester: pytest.Pytester, notes: Notes, killed: int, lock: str
) -> None:
    pytester.makepyfile(exp_a=MANY)
    pytester.makeini(f"[pytest]\nmemento_lock = {lock}\n")
    sessions = [session(pytester, "-q", "-n0") for _ in range(8)]
    if killed:
        while len(notes_so_far(pytester)) < 100:
            time.sleep(0.05)
        for each in sessions[:killed]:
            os.kill(each.pid, signal.SIGKILL)
    try:
        outputs = [each.communicate(timeout=200)[0] for each in sessions]
    finally:
        for each in sessions:
            each.kill()
    for each, output in list(zip(sessions, outputs, strict=True))[killed:]:
        assert each.returncode == 0, output[-3000:]
        counts = counts_of(output)
        assert counts.get("cached", 0) + counts.get("passed", 0) == 500, counts
    computed = Counter(notes())
    assert len(computed) == 500
    assert sum(computed.values()) <= 500 + killed
    assert [each.value for each in load_results(pytester.path / "exp_a.py")] == [
        x * x for x in range(500)
    ]


def notes_so_far(pytester: pytest.Pytester) -> list[str]:
    path = pytester.path / "notes.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_what_another_session_has_computed_is_cached_with_where(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(
        exp_a="""
        import time
        from notes import note
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            note("begun")
            time.sleep(6)
            return x
        """
    )
    first = session(pytester)
    while not notes_so_far(pytester):
        time.sleep(0.05)
    second = session(pytester, "-v")
    outputs = [each.communicate(timeout=60)[0] for each in (second, first)]
    assert (
        f"memento: waiting for exp_a.py::experiment[x=1], claimed by pid {first.pid}"
        in (outputs[0])
    )
    assert re.search(rf"CACHED \(6\.\d+s, just now, by pid {first.pid} on ", outputs[0])
    assert notes() == ["begun"]


def test_workers_say_who_has_what_they_wait_for(
    pytester: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    pytester.makeini("[pytest]\nmemento_progress = 1\n")
    pytester.makepyfile(
        exp_a="""
        import time
        from notes import note
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            note("begun")
            time.sleep(6)
        """
    )
    first = session(pytester, "-n0")
    while not notes_so_far(pytester):
        time.sleep(0.05)
    outputs = [each.communicate(timeout=60)[0] for each in (session(pytester, "-n1"), first)]
    assert f"1 in another session (pid {first.pid} on " in outputs[0]


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_what_has_failed_in_another_session_fails_here_too(
    pytester: pytest.Pytester, notes: Notes, request: pytest.FixtureRequest, workers: str
) -> None:
    if workers != "-n0":
        request.getfixturevalue("xdist")
    # Each session has looked at the store before anything ends.
    pytester.makeconftest(
        """
        import os
        from pathlib import Path
        def pytest_collection_finish(session):
            of_xdist = getattr(session.config, "workerinput", {})
            Path(f"collected-{of_xdist.get('testrunuid', os.getpid())}").touch()
        """
    )
    pytester.makepyfile(
        exp_a="""
        import time
        from pathlib import Path
        from notes import note
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            note(f"{x}")
            until = time.monotonic() + 60
            while len(list(Path().glob("collected-*"))) < 2 and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(0.5)
            assert x == 2, "out of luck"
        """
    )
    first = session(pytester, workers)
    while not notes_so_far(pytester):
        time.sleep(0.05)
    second = session(pytester, workers)
    outputs = [each.communicate(timeout=60)[0] for each in (first, second)]
    assert sorted(notes()) == ["1", "2"]
    for output in outputs:
        counts = counts_of(output)
        assert counts.pop("failed") == 1
        assert sum(counts.values()) == 1
        assert "out of luck" in output
    assert any("out of luck [in another session: pid " in output for output in outputs)
    # Another session tries it again.
    assert pytester.runpytest_subprocess().parseoutcomes() == {"cached": 1, "failed": 1}
    assert notes() == ["1"]


def test_two_sessions_on_a_store_that_is_not_there_yet(
    pytester: pytest.Pytester, squares: Path, notes: Notes
) -> None:
    for _ in range(3):
        sessions = [session(pytester) for _ in range(2)]
        for each in sessions:
            output, _ = each.communicate(timeout=60)
            assert each.returncode == 0, output
        assert sorted(notes()) == ["x=1", "x=2", "x=3"]
        (pytester.path / ".pytest_cache").rename(pytester.path / f"old-{time.time()}")
