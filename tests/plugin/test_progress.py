"""The line that says what is going on: in place on a terminal, each minute elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import datetime, timezone

import pytest

from pytest_memento.plugin.progress import Now, Running, State

NOW = datetime(2026, 11, 26, 14, 0, tzinfo=timezone.utc)
SLOW = """
    import time

    matrix = {"parameters": {"x": [1, 2]}}

    def experiment(x, context):
        for _ in context.track(range(4)):
            time.sleep(0.6)
        assert x == 1
"""


# -- the line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            State(
                12, 5, 0, Now([Running("model=SVC", 422, (4, 10)), Running("model=NN", 3)], 1900)
            ),
            "memento: 5/12 done, 2 running (longest 7m02s: model=SVC, 4/10), eta 14:31",
        ),
        (State(1, 0, 0, Now([Running("x=1", 2.4)])), "memento: 0/1 done, 1 running (2s: x=1)"),
        (State(9, 9, 2, Now([], 0)), "memento: 9/9 done, 2 failed, eta 14:00"),
        (State(2, 0, 0, Now([], 86_400)), "memento: 0/2 done, eta Fri 14:00"),
        (State(2, 0, 0, Now(elsewhere=2)), "memento: 0/2 done, 2 in other sessions"),
        (
            State(2, 0, 0, Now(elsewhere=1, owner="pid 4121 on node07 for 12 min")),
            "memento: 0/2 done, 1 in another session (pid 4121 on node07 for 12 min)",
        ),
    ],
)
def test_line(state: State, line: str) -> None:
    assert state.line(NOW) == line


# -- off a terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_now_and_then(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, workers: str
) -> None:
    if workers == "-n2":
        request.getfixturevalue("xdist")
    arguments = [workers] if request.config.pluginmanager.hasplugin("xdist") else []
    pytester.makeini("[pytest]\nmemento_progress = 1s")
    pytester.makepyfile(exp_a=SLOW)
    result = pytester.runpytest_subprocess(*arguments)
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    lines = [line for line in result.outlines if " done, " in line]
    assert len(lines) >= 2
    seen = r"memento: \d/2 done,( 1 failed,)? \d running \((longest )?\ds: x=\d, [1-4]/4\)"
    assert any(re.match(seen, line) for line in lines), lines


@pytest.mark.parametrize("arguments", [["-o", "memento_progress=0"], ["-q"], []])
def test_not_wanted(pytester: pytest.Pytester, arguments: list[str]) -> None:
    pytester.makepyfile(exp_a=SLOW)
    result = pytester.runpytest_subprocess(*arguments)
    result.stdout.no_fnmatch_line("* done, *")


def test_wrong_interval(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmemento_progress = often")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*memento_progress: 'often' is no duration*"])


TALKATIVE = """
    import logging, time
    from pathlib import Path

    matrix = {"parameters": {"model": ["SVC", "../../evil"]}}

    def experiment(model):
        print("printed by", model)
        logging.getLogger("train").warning("epoch 1")
        while not Path("enough").exists():
            time.sleep(0.05)
"""


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_output_can_be_followed(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, workers: str
) -> None:
    if workers == "-n2":
        request.getfixturevalue("xdist")
    arguments = [workers] if request.config.pluginmanager.hasplugin("xdist") else []
    pytester.makepyfile(exp_a=TALKATIVE)
    logs = pytester.path / ".pytest_cache" / "memento" / "logs"
    wanted = 2 if workers == "-n2" else 1
    with subprocess.Popen([sys.executable, "-m", "pytest", *arguments]) as process:
        deadline = time.monotonic() + 60
        while len(found := [*logs.glob("*/*.log")]) < wanted and time.monotonic() < deadline:
            time.sleep(0.1)
        texts = {path.name.partition("-")[0]: path.read_text() for path in found}
        (pytester.path / "enough").touch()
    assert process.returncode == 0
    assert "printed by SVC" in texts["model=SVC"]
    assert "WARNING  train: epoch 1" in texts["model=SVC"]
    assert len(texts) == wanted
    assert not [*logs.glob("*/*.log")]  # it is on record now
    assert not [*pytester.path.glob("**/evil*")]


FORKING = """
    import os, time

    matrix = {"parameters": {"x": [1]}}

    def experiment(x):
        time.sleep(1.5)
        for _ in range(3):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        return x
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_threads_of_ours_do_not_stand_in_the_way_of_forks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=FORKING)
    result = pytester.runpytest_subprocess("-W", "error", "-o", "memento_progress=1")
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.fnmatch_lines(["memento: 0/1 done, 1 running (1s: x=1)"])


# -- on a terminal ---------------------------------------------------------------------------------


def on_terminal(*arguments: str) -> str:
    """Run pytest at a terminal of 80 columns and return all that it wrote, with control codes."""
    pty = pytest.importorskip("pty", reason="needs terminals of Unix")
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "pytest", *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        written = b""
        while data := _read(ours):
            written += data
    os.close(ours)
    assert process.returncode == 1
    return written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other side is closed
        return b""


def screen(written: str) -> list[str]:
    """Return what is seen in the end: what these codes do to a terminal without an end."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\d*;?\d*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b["):
            number = int(part[2:-1].split(";")[0] or 1)
            row -= number if part[-1] == "A" else 0
            column += number if part[-1] == "C" else 0
            if part[-1] == "K":
                lines[row] = lines[row][:column]
        else:
            before = lines[row].ljust(column)
            lines[row] = before[:column] + part + before[column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    "arguments", [["-n0"], ["-n2"], ["-n0", "-v"], ["-n2", "-v"]], ids=" ".join
)
def test_in_place(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, arguments: list[str]
) -> None:
    if not request.config.pluginmanager.hasplugin("xdist"):
        if "-n2" in arguments:
            pytest.skip("needs pytest-xdist")
        arguments = arguments[1:]
    pytester.makepyfile(exp_a=SLOW)
    written = on_terminal(*arguments, "--color=no")
    assert re.search(r"\n\rmemento: 0/2 done, \d running \(.*x=\d, [123]/4\)", written)
    seen = screen(written)
    assert not [line for line in seen if " done, " in line]
    if "-v" not in arguments:
        assert any(re.match(r"(exp_a\.py )?(\.F|F\.) +\[100%\]$", line) for line in seen), seen
    assert "memento summary" in "\n".join(seen)


def test_output_of_tests_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=SLOW)
    assert "\x1b[A" not in on_terminal("-s", "--color=no")
