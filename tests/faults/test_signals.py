"""A session that is told to end tears down, gives claims back, and records no failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results
from pytest_memento.presence import signs

pytestmark = pytest.mark.faults

Notes = Callable[[], list[str]]

# As from a terminal: a job in the background ignores Ctrl-C, one of nohup SIGHUP, and so would what
# they start.
RUN = """
import signal, sys, pytest
signal.signal(signal.SIGINT, HANDLER)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.exit(pytest.main(sys.argv[1:]))
"""
LONG = """
import os, time
import pytest
from notes import note

matrix = {"parameters": {"x": [1, 2]}}

@pytest.fixture
def resource():
    yield
    note("torn down")

def experiment(context, resource, x):
    step = context.restore(0)
    context.checkpoint(step + 1)
    note(f"x={x} from {step}")
    while not os.path.exists("quick"):
        time.sleep(0.01)
    return x
"""


def started(
    pytester: pytest.Pytester,
    notes: Notes,
    *arguments: str,
    sigint: str = "signal.default_int_handler",
) -> subprocess.Popen[str]:
    """Start a session, and wait until an experiment runs."""
    process = begun(pytester, *arguments, sigint=sigint)
    deadline = time.monotonic() + 60
    while "x=1" not in " ".join(notes()):
        assert time.monotonic() < deadline, process.communicate(timeout=5)
        time.sleep(0.05)
    return process


def begun(
    pytester: pytest.Pytester, *arguments: str, sigint: str = "signal.default_int_handler"
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN.replace("HANDLER", sigint), *arguments],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def store_of(pytester: pytest.Pytester) -> Path:
    return pytester.path / ".pytest_cache/memento"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("to_all", [False, True], ids=["session", "group"])
@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_signal_to_end(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    number: signal.Signals,
    to_all: bool,
    workers: str,
) -> None:
    if workers != "-n0":
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=LONG)
    for _ in range(4):  # it counts as no death
        process = started(pytester, notes, workers)
        (os.killpg if to_all else os.kill)(process.pid, number)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 128 + number, output
        assert f"memento: ended by {number.name}" in output
        assert list(signs(store_of(pytester))) == []
        assert "memento: 2 of 2 experiments were not run" in output
        assert "has been finished" not in output
        assert notes() == ["torn down"]
        assert list((store_of(pytester) / "running").iterdir()) == []
        assert list((store_of(pytester) / "claims").rglob("*.lock")) == []
    assert not list((store_of(pytester) / "results").rglob("*.failure"))
    (pytester.path / "quick").touch()
    assert pytester.runpytest_subprocess(workers).parseoutcomes() == {"passed": 2}
    assert "x=1 from 4" in notes()


def test_a_job_in_the_background(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=LONG)
    process = started(pytester, notes, "-n0", sigint="signal.SIG_IGN")
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert notes() == ["torn down"]


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_second_interrupt_gives_the_claim_back(
    pytester: pytest.Pytester, notes: Notes, request: pytest.FixtureRequest, workers: str
) -> None:
    """Also where the controller alone is interrupted, as a scheduler does it."""
    if workers != "-n0":
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=LONG)
    process = started(pytester, notes, workers)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert notes() == ["torn down"]
    assert list(store_of(pytester).rglob("*.lock")) == []
    assert list((store_of(pytester) / "running").iterdir()) == []
    (pytester.path / "quick").touch()
    assert pytester.runpytest_subprocess().parseoutcomes() == {"passed": 2}


def test_a_suite_without_experiments_ends_as_ever(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import os, signal\ndef test_it(): os.kill(os.getpid(), signal.SIGTERM)")
    assert pytester.runpytest_subprocess().ret == -signal.SIGTERM


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_a_session_that_waits_for_another(
    pytester: pytest.Pytester, notes: Notes, request: pytest.FixtureRequest, workers: str
) -> None:
    if workers != "-n0":
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=LONG.replace("[1, 2]", "[1]"))
    with started(pytester, notes, "-n0") as first:
        second = begun(pytester, workers)
        time.sleep(3)
        os.kill(second.pid, signal.SIGTERM)
        output, _ = second.communicate(timeout=30)
        assert second.returncode == 128 + signal.SIGTERM, output
        assert "memento: ended by SIGTERM" in output
        assert "Error" not in output
        (pytester.path / "quick").touch()
        assert first.wait(30) == 0


def test_the_handler_of_an_experiment_comes_first(pytester: pytest.Pytester, notes: Notes) -> None:
    """Libraries checkpoint on SIGTERM by handlers of their own."""
    pytester.makepyfile(
        exp_a="""
        import os, signal
        from notes import note
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            signal.signal(signal.SIGTERM, lambda *_: note("theirs"))
            os.kill(os.getpid(), signal.SIGTERM)
            return x
        """
    )
    assert pytester.runpytest_subprocess().parseoutcomes() == {"passed": 1}
    assert notes() == ["theirs"]


def test_a_full_session_after_a_partial_one(pytester: pytest.Pytester, notes: Notes) -> None:
    """What was stored before the signal is there, with its value."""
    pytester.makepyfile(
        exp_a="""
        import os, signal
        matrix = {"parameters": {"x": [1, 2, 3]}}
        def experiment(x):
            if x == 2 and not os.path.exists("quick"):
                os.kill(os.getpid(), signal.SIGTERM)
            return x * x
        """
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == 128 + signal.SIGTERM
    assert result.parseoutcomes() == {"passed": 1}
    (pytester.path / "quick").touch()
    assert pytester.runpytest_subprocess().parseoutcomes() == {"cached": 1, "passed": 2}
    assert [each.value for each in load_results(pytester.path / "exp_a.py")] == [1, 4, 9]
