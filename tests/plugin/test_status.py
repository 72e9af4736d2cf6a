"""``--memento-status``: what runs, beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    _wait_until(lambda: any(sign.pulse() for sign in signs(store_of(pytester))))
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
                "memento: store .pytest_cache/memento (1 result, *)",
                "exp_a.py::experiment: 1 of 4 done, 1 failed, 1 running, 1 queued, eta *:*",
                "configuration * state * for * progress * metrics * memory * where * eta",
                f"x=1 * running * 3/10 * loss=0.25 * MB * pid {session.pid} on *",
                "failed *: exp_a.py::experiment?x=3?: *assert*",
            ]
        )
        result.stdout.no_fnmatch_line("*collected*")
    finally:
        (pytester.path / "quick").touch()
        assert session.wait(30) == 0
    again = pytester.runpytest_subprocess("--memento-status")
    again.stdout.fnmatch_lines(["exp_a.py::experiment: 3 of 4 done, 1 failed", "nothing runs"])
    assert "eta" not in str(again.stdout)


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
    result.stdout.fnmatch_lines(["x=1 * silent for 5m* pid *"])
    os.kill(session.pid, signal.SIGKILL)
    session.wait()
    result = pytester.runpytest_subprocess("--memento-status")
    result.stdout.fnmatch_lines(["x=1 * its process is gone * pid *"])


@pytest.mark.usefixtures("xdist")
def test_beside_two_workers_of_which_one_is_killed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=LONG.replace("assert x != 3", ""))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-n2", "-q", "--memento-select=x <= 3"],
        cwd=pytester.path,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_until(lambda: sum(bool(sign.pulse()) for sign in signs(store_of(pytester))) == 2)
        result = pytester.runpytest_subprocess("--memento-status")
        result.stdout.fnmatch_lines(
            [
                "exp_a.py::experiment: 0 of 4 done, 2 running, 2 queued, eta *",
                "x=[123] * running * 3/10 * loss=0.25 *",
                "x=[123] * running * 3/10 * loss=0.25 *",
            ]
        )
        # The parent first, or it would replace the worker.
        workers = list(signs(store_of(pytester)))
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(workers[0].pid, signal.SIGKILL)
        result = pytester.runpytest_subprocess("--memento-status")
        result.stdout.fnmatch_lines(
            [
                "exp_a.py::experiment: 0 of 4 done, 1 running, 3 queued, eta *",
                f"*its process is gone * pid {workers[0].pid} on *",
            ]
        )
        assert f"pid {workers[1].pid} on" in str(result.stdout)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        (pytester.path / "quick").touch()
        assert process.wait(60) == 0


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextlib.contextmanager
def watching(
    pytester: pytest.Pytester, *arguments: str, rows: int = 24, columns: int = 100
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """Watch on a terminal; yield the process, and what gives all that it has written so far."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "CI")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=pytester.path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**environment, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    seen = bytearray()

    def read() -> str:
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 65536):
                seen.extend(chunk)
        return seen.decode()

    try:
        yield process, read
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def test_watching_on_a_terminal(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="matrix = {'parameters': {'x': [1, 2]}}\ndef experiment(x): assert x != 2"
    )
    for n in range(20):
        pytester.makepyfile(
            **{f"exp_b{n}": f"matrix = {{'parameters': {{'x': [{n}]}}}}\ndef experiment(x): pass"}
        )
    with watching(pytester, "--memento-status", "--watch", rows=10) as (process, read):
        _wait_until(lambda: "there is no store" in read())
        pytester.runpytest_subprocess("-p", "no:xdist")
        _wait_until(lambda: "memento: store " in read())
        _wait_until(lambda: "failed just now: exp_a.py::experiment[x=2]" in read())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        text = read()
    assert "Traceback" not in text
    frames = text.split("\x1b[H")[1:]
    last, after = frames[-1].split("\x1b[?25h\x1b[?1049l")
    assert len(last.splitlines()) == 10
    assert "... and " in last
    assert all(frame.count("\n") < 10 for frame in [*frames[:-1], last])
    assert after.splitlines() == [line.split("\x1b")[0] for line in last.splitlines()]


def test_watching_off_a_terminal(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="matrix = {'parameters': {'x': [1]}}\ndef experiment(x): pass")
    pytester.runpytest_subprocess("-p", "no:xdist")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--memento-watch"],
        cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("memento: store .pytest_cache/memento (1 result, ")
    assert process.stdout.readline() == "exp_a.py::experiment: 1 of 1 done\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert (process.stdout.read(), process.stderr.read()) == ("nothing runs\n\n", "")


@pytest.mark.parametrize("where", ["conftest", "plugin"])
def test_an_option_watch_of_the_user_stays_theirs(pytester: pytest.Pytester, where: str) -> None:
    source = """
    def pytest_addoption(parser):
        parser.addoption("--watch", action="store_true")
    def pytest_unconfigure(config):
        print("theirs:", config.option.watch)
    """
    pytester.makepyfile(**{where: source})
    plugin = ("-p", "plugin") if where == "plugin" else ()
    result = pytester.runpytest_subprocess(*plugin, "--memento-status", "--watch")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["memento: there is no store .pytest_cache/memento"])


def test_watch_alone_is_no_option(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--watch")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --watch*"])


def test_without_a_store(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="raise ImportError('not to be imported')")
    result = pytester.runpytest_subprocess("--memento-status")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["memento: there is no store .pytest_cache/memento"])
    assert not store_of(pytester).exists()
