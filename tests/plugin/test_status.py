"""``--memento-status``: what runs, beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_memento.presence import signs

LONG = """
import os, time
matrix = {"parameters": {"x": [1, 2, 3, 4]}}
def experiment(context, x):
    if x == 4:
        return
    assert x != 3
    context.record({"loss": 0.25})
    context.progress(3, 10)
    while not os.path.exists("quick"):
        time.sleep(0.05)
"""


@pytest.fixture
def session(pytester: pytest.Pytester) -> subprocess.Popen[bytes]:
    """A session in which an experiment runs."""
    pytester.makepyfile(exp_a=LONG)
    pytester.runpytest_subprocess("-n0", "--memento-select=x >= 3")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n0", "-q", "--memento-select=x <= 2"],
        cwd=pytester.path,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not any(sign.pulse() for sign in signs(store_of(pytester))):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def store_of(pytester: pytest.Pytester) -> Path:
    return pytester.path / ".pytest_cache/memento"


@pytest.mark.usefixtures("xdist")
def test_beside_a_session(pytester: pytest.Pytester, session: subprocess.Popen[bytes]) -> None:
    try:
        result = pytester.runpytest_subprocess("--memento-status")
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            [
                "memento: store .pytest_cache/memento (1 results, *)",
                "exp_a.py::experiment: 1 of 4 done, 1 failed, 2 left",
                "experiment * state * for * progress * metrics * memory * where",
                f"exp_a.py::experiment?x=1? * running * 3/10 * loss=0.25 * MB * pid {session.pid} on *",
            ]
        )
        result.stdout.no_fnmatch_line("*collected*")
    finally:
        (pytester.path / "quick").touch()
        assert session.wait(30) == 0
    again = pytester.runpytest_subprocess("--memento-status")
    again.stdout.fnmatch_lines(["exp_a.py::experiment: 3 of 4 done, 1 failed", "nothing runs"])


@pytest.mark.usefixtures("xdist")
def test_a_process_that_was_killed_or_is_silent(
    pytester: pytest.Pytester, session: subprocess.Popen[bytes]
) -> None:
    os.kill(session.pid, signal.SIGSTOP)
    (sign,) = signs(store_of(pytester))
    pulse = sign.path.with_name(f"{sign.path.name}.pulse")
    beat = sign.pulse()["beat"]
    pulse.write_text(pulse.read_text().replace(str(beat), str(beat - 300)))
    result = pytester.runpytest_subprocess("--memento-status")
    result.stdout.fnmatch_lines(["exp_a.py::experiment?x=1? * silent for 5m* pid *"])
    os.kill(session.pid, signal.SIGKILL)
    session.wait()
    result = pytester.runpytest_subprocess("--memento-status")
    result.stdout.fnmatch_lines(["exp_a.py::experiment?x=1? * its process is gone * pid *"])


def test_without_a_store(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="raise ImportError('not to be imported')")
    result = pytester.runpytest_subprocess("--memento-status")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["memento: there is no store .pytest_cache/memento"])
    assert not store_of(pytester).exists()
