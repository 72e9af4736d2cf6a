"""Experiments in xdist's workers by our schedule: what runs where, when, and what is torn down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_memento import load_results
from pytest_memento.claims import claimed_if_free

pytestmark = pytest.mark.usefixtures("xdist")
Notes = Callable[[], list[str]]

SLEEPY = """
    import time
    from notes import note

    matrix = {"parameters": {"seconds": [1.0, 1.5, 0.1, 0.2]}}

    def experiment(seconds):
        note(f"{seconds} {time.time()}")
        time.sleep(seconds)
        note(f"{seconds} {time.time()}")
"""
LATE_FAILURE = """
    import time
    from notes import note

    matrix = {"parameters": {"x": list(range(30))}}

    def experiment(x):
        note(x)
        time.sleep(0.1)
        assert x != 3
"""


def spans(notes: Notes) -> dict[str, tuple[float, float]]:
    """Return when each experiment began and ended."""
    times = defaultdict(list)
    for line in notes():
        name, moment = line.split()
        times[name].append(float(moment))
    return {name: (first, last) for name, (first, last) in times.items()}


def order(notes: Notes) -> list[str]:
    """Return the experiments in the order in which they began."""
    return list(dict.fromkeys(line.split()[0] for line in notes()))


# -- what comes next -------------------------------------------------------------------------------


def test_nothing_waits_behind_a_long_one(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=SLEEPY)
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 4}
    times = spans(notes)
    long_end = times["1.5"][1]
    assert times["0.1"][1] < long_end
    assert times["0.2"][1] < long_end


def test_the_longest_first_by_history(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=SLEEPY)
    pytester.runpytest_subprocess("-n2")
    notes()
    pytester.runpytest_subprocess("-n1", "--memento-cache=refresh")
    assert order(notes) == ["1.5", "1.0", "0.2", "0.1"]
    pytester.runpytest("--memento-cache=refresh")
    assert order(notes) == ["1.5", "1.0", "0.2", "0.1"]


def test_the_user_s_order_wins(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=SLEEPY)
    pytester.runpytest_subprocess("-n2")
    notes()
    pytester.runpytest_subprocess("-n1", "--memento-cache=refresh", "--ff")
    assert order(notes) == ["1.0", "1.5", "0.1", "0.2"]
    pytester.runpytest("--memento-cache=refresh", "--ff")
    assert order(notes) == ["1.0", "1.5", "0.1", "0.2"]


def test_what_is_stored_is_sent_to_nobody(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest("-k", "not 2")
    pytester.makeconftest(
        """
        import os
        from notes import note

        def pytest_runtest_protocol(item):
            note(f"{os.environ.get('PYTEST_XDIST_WORKER')} {item.name}")
        """
    )
    (pytester.path / "notes.txt").unlink()
    result = pytester.runpytest_subprocess("-n2", "-v")
    assert result.parseoutcomes() == {"cached": 2, "passed": 1}
    lines = [
        line for line in (pytester.path / "notes.txt").read_text().splitlines() if "gw" in line
    ]
    assert {line.split()[1] for line in lines} == {"experiment[x=2]"}
    result.stdout.fnmatch_lines(["exp_squares.py::experiment[[]x=1[]] CACHED*"])


def test_ordinary_tests_in_the_same_session(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makepyfile(
        test_a="import pytest\n@pytest.mark.parametrize('n', range(40))\ndef test_it(n): assert n != 7"
    )
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"passed": 42, "failed": 1}
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {
        "passed": 39,
        "failed": 1,
        "cached": 3,
    }


def test_a_session_without_experiments_is_xdist_s(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a="def test_a(): pass\ndef test_b(): pass")
    result = pytester.runpytest_subprocess("-n2", "-v")
    assert result.parseoutcomes() == {"passed": 2}
    result.stdout.fnmatch_lines(["2 workers*2 items*", "scheduling tests via LoadScheduling"])


@pytest.mark.parametrize("option", ["--dist=load", "--dist=worksteal", "-d"])
def test_a_chosen_distribution_is_respected(
    pytester: pytest.Pytester, squares: Path, option: str
) -> None:
    result = pytester.runpytest_subprocess("-n2", "-v", option)
    assert result.parseoutcomes() == {"passed": 3}
    result.stdout.no_fnmatch_line("*ExperimentScheduling*")


def test_a_worker_that_collects_something_else_is_left_out(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="import os, time\nmatrix = {'parameters': {'x': [1, 2, 3], 'worker':"
        " [os.environ['PYTEST_XDIST_WORKER']]}}\ndef experiment(worker, x): time.sleep(2)"
    )
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"passed": 3, "errors": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["Different tests were collected between gw? and gw?*"])


# -- fixtures --------------------------------------------------------------------------------------

FIXTURES = """
import os
import pytest
from notes import note

def say(text):
    note(f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')} {text}")

def lasting(scope, name, **options):
    @pytest.fixture(scope=scope, name=name, **options)
    def fixture(request):
        value = f"{request.node.nodeid}:{name}:{getattr(request, 'param', '')}"
        say(f"up {value}")
        yield value
        say(f"down {value}")
    return fixture

data = lasting("session", "data", params=["big", "small"])
of_module = lasting("module", "of_module")
of_class = lasting("class", "of_class")
"""
USERS = """
    import pytest
    from conftest import say
    from notes import note

    matrix = {"parameters": {"x": [1, 2, 3]}}

    def experiment(x, data, of_module):
        say(f"use {data} {of_module}")

    class ExperimentThing:
        def experiment(self, x, of_class, of_module):
            say(f"use {of_class} {of_module}")

        def test_ordinary(self, of_class):
            say(f"use {of_class}")
"""


def test_fixtures_are_set_up_and_torn_down_as_promised(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makeconftest(FIXTURES)
    pytester.makepyfile(exp_a=USERS, exp_b=USERS, exp_c=USERS)
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"passed": 30}
    by_worker = defaultdict(list)
    for line in notes():
        worker, _, said = line.partition(" ")
        by_worker[worker].append(said)
    assert sum(map(len, by_worker.values())) > 30
    for lines in by_worker.values():  # on a busy machine one worker may do all
        check_lives(lines)


def check_lives(lines: list[str]) -> None:
    """Check that what is used is up, that nothing is up twice, and that all is down at the end."""
    alive: list[str] = []
    for line in lines:
        verb, *values = line.split()
        if verb == "up":
            assert values[0] not in alive
            kind = values[0].split(":")[-2]
            assert not any(each.split(":")[-2] == kind for each in alive), "one of a kind at a time"
            alive += values
        elif verb == "down":
            alive.remove(values[0])
        else:
            assert set(values) <= set(alive)
    assert not alive


def test_workers_keep_to_the_fixtures_they_have(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makeconftest(FIXTURES)
    body = """
        import time
        matrix = {"parameters": {"x": [1, 2, 3, 4]}}
        def experiment(x, of_module):
            time.sleep(0.1)
    """
    pytester.makepyfile(exp_a=body, exp_b=body)
    pytester.runpytest_subprocess("-n2")
    ups = [line for line in notes() if " up " in line]
    assert len(ups) <= 3  # of each module in one worker; the last one may be shared


def test_a_teardown_that_fails_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        matrix = {"parameters": {"x": [1, 2]}}

        @pytest.fixture(scope="module")
        def thing():
            yield
            raise RuntimeError("cannot go down")

        def experiment(x, thing): pass
        """,
        exp_b="matrix = {'parameters': {'x': [1, 2]}}\ndef experiment(x): pass",
    )
    result = pytester.runpytest_subprocess("-n1")
    assert result.parseoutcomes() == {"passed": 4, "errors": 1}
    result.stdout.fnmatch_lines(["*ERROR at teardown of experiment*", "*cannot go down*"])
    result.stdout.fnmatch_lines(["ERROR exp_a.py::experiment[[]x=2[]] - *"])


# -- stopping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_a_failure_stops_at_once(pytester: pytest.Pytester, notes: Notes, option: str) -> None:
    pytester.makepyfile(exp_a=LATE_FAILURE)
    result = pytester.runpytest_subprocess("-n2", option)
    ran = len(notes())
    # 0 to 3, what ran beside the last two, and a few where one worker is slow to come up.
    assert ran <= 10
    counts = result.parseoutcomes()
    assert counts == {"failed": 1, "passed": ran - 1}
    result.stdout.fnmatch_lines([f"memento: {30 - ran} of 30 experiments were not run: 1 failure"])
    assert len(load_results("exp_a.py")) == ran


def test_a_failure_stops_short_ones_that_were_sent(pytester: pytest.Pytester, notes: Notes) -> None:
    body = "import time\nfrom notes import note\nmatrix = {'parameters': {'x': list(range(300))}}\n"
    body += "def experiment(x):\n    note(x)\n    time.sleep(0.005)\n    assert x != 150"
    pytester.makepyfile(exp_a=body)
    pytester.runpytest_subprocess("-n2", "-x")
    assert len(notes()) < 250


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_limit(pytester: pytest.Pytester, notes: Notes, workers: str) -> None:
    pytester.makepyfile(exp_a=LATE_FAILURE)
    result = pytester.runpytest_subprocess(workers, "--memento-limit=3")
    assert result.parseoutcomes() == {"passed": 3}
    assert result.ret == 0
    assert sorted(notes()) == ["0", "1", "2"]
    result.stdout.fnmatch_lines(
        ["memento: 27 of 30 experiments were not run: the limit of 3 is reached"]
    )
    result = pytester.runpytest_subprocess(workers, "--memento-limit=2")
    assert result.parseoutcomes() == {"cached": 3, "passed": 1, "failed": 1}
    result = pytester.runpytest_subprocess(workers, "--memento-limit=0", "-q")
    assert result.parseoutcomes() == {"cached": 4}
    result.stdout.fnmatch_lines(["memento: 26 of 30 experiments were not run: *"])


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_budget(pytester: pytest.Pytester, notes: Notes, workers: str) -> None:
    pytester.makepyfile(exp_a=SLEEPY.replace("[1.0, 1.5, 0.1, 0.2]", "[4.0, 4.5, 5.0, 5.5]"))
    pytester.makepyfile(test_a="def test_ordinary(): pass")
    result = pytester.runpytest_subprocess(workers, "--memento-budget=5s")
    # None, or not even the ordinary one, where the machine is so busy that it is used up before.
    passed = result.parseoutcomes().get("passed", 0)
    assert passed <= 4
    assert len(notes()) == 2 * max(0, passed - 1)
    result.stdout.fnmatch_lines(["memento: * were not run: the budget of 5.00s is used up"])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--memento-limit=-1"], "*--memento-limit takes a number such as 20, not -1"),
        (["--memento-budget=soon"], "*--memento-budget: 'soon' is no duration: write '90s', *"),
        (["-n2", "--dist=load", "--memento-limit=1"], "*--memento-limit counts what is begun, *"),
    ],
)
def test_wrong_options(
    pytester: pytest.Pytester, squares: Path, arguments: list[str], line: str
) -> None:
    result = pytester.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])


# -- Ctrl-C ----------------------------------------------------------------------------------------

LONG = """
    import time
    from notes import note

    matrix = {"parameters": {"x": [1, 2, 3, 4, 5, 6]}}

    def experiment(x):
        note(f"begun {x}")
        time.sleep(3)
        note(f"ended {x}")
        return x
"""

# A shell has those that it starts in the background ignore Ctrl-C, and their children after them.
ATTENTIVE = """
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main())
"""


def interrupt(pytester: pytest.Pytester, *arguments: str, times: int, runs: int) -> tuple[int, str]:
    """Run pytest, press Ctrl-C while experiments run, and return its exit code and output."""
    command = [sys.executable, "-c", ATTENTIVE, *arguments]
    notes = pytester.path / "notes.txt"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not notes.exists() or notes.read_text().count("begun") < runs:
            assert time.monotonic() < deadline, "the experiments have not begun"
            time.sleep(0.05)
        for _ in range(times):
            time.sleep(0.3)
            os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.parametrize(("workers", "runs"), [("-n0", 1), ("-n2", 2)])
def test_ctrl_c_lets_what_runs_end(
    pytester: pytest.Pytester, notes: Notes, workers: str, runs: int
) -> None:
    pytester.makepyfile(exp_a=LONG)
    code, output = interrupt(pytester, workers, times=1, runs=runs)
    assert code == pytest.ExitCode.INTERRUPTED, output
    lines = notes()
    assert sum("begun" in line for line in lines) == runs
    assert sum("ended" in line for line in lines) == runs
    assert f"{runs} passed" in output
    assert f"memento: {6 - runs} of 6 experiments were not run: Ctrl-C" in output
    assert "INTERNALERROR" not in output
    assert len(load_results("exp_a.py")) == runs


@pytest.mark.parametrize(("workers", "runs"), [("-n0", 1), ("-n2", 2)])
def test_a_second_ctrl_c_ends_it(
    pytester: pytest.Pytester, notes: Notes, workers: str, runs: int
) -> None:
    pytester.makepyfile(exp_a=LONG.replace("sleep(3)", "sleep(60)"))
    start = time.monotonic()
    code, output = interrupt(pytester, workers, times=2, runs=runs)
    assert time.monotonic() - start < 45
    assert code == pytest.ExitCode.INTERRUPTED, output
    assert not any("ended" in line for line in notes())
    assert not load_results("exp_a.py")


def test_ctrl_c_in_an_ordinary_test_is_pytest_s(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a=LONG, test_a="import time\nfrom notes import note\ndef test_a():\n"
        "    note('begun')\n    time.sleep(60)",
    )  # fmt: skip
    code, output = interrupt(pytester, "-n0", "test_a.py", "exp_a.py", times=1, runs=1)
    assert code == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output


# -- workers that die ------------------------------------------------------------------------------

DEADLY = """
    import os
    from pathlib import Path

    matrix = {"parameters": {"x": [0, 1, 2, 3]}}

    def experiment(x, context):
        if x == 1:
            print("about to die")
            times = context.restore(0)
            context.record({"loss": 0.5})
            context.progress(3, 4)
            context.checkpoint(times + 1)
            if times < DEATHS:
                SLEEP
                os._exit(1)
            return times
        return x
"""


def deadly(deaths: int, sleep: str = "pass") -> str:
    return DEADLY.replace("DEATHS", str(deaths)).replace("SLEEP", sleep)


def test_it_runs_again_from_its_checkpoint(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=deadly(2))
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"passed": 4}
    assert result.ret == 0
    results = load_results("exp_a.py")
    assert sorted(each.value for each in results) == [0, 2, 2, 3]


def test_it_is_given_up_in_the_end(pytester: pytest.Pytester) -> None:
    """Ten times here, since each saves a checkpoint."""
    pytester.makepyfile(exp_a=deadly(99, "import time; time.sleep(1.5)"))
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"passed": 3, "failed": 1}
    result.stdout.fnmatch_lines(
        [
            "its worker died 10 times (peak memory * MB): worker * crashed while running *x=1*",
            "*Captured output until then*",
            "about to die",
        ]
    )
    (failed,) = [each for each in load_results("exp_a.py") if each.error]
    assert failed.error is not None
    assert failed.error.startswith("its worker died 10 times (peak memory ")
    assert failed.memory
    assert "about to die" in failed.output
    assert failed.metrics == {"loss": [(n, 0.5) for n in range(10)]}  # of all ten


def test_more_deaths_than_xdist_would_stand(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="import os\nmatrix = {'parameters': {'x': [0, 1, 2, 3, 4]}}\n"
        "def experiment(x):\n    if x < 3: os._exit(1)"
    )
    result = pytester.runpytest_subprocess("-n1")
    assert result.parseoutcomes() == {"passed": 2, "failed": 3}
    result.stdout.no_fnmatch_line("*maximum crashed workers*")


def test_the_user_s_limit_of_deaths_is_respected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=deadly(99))
    result = pytester.runpytest_subprocess("-n1", "--max-worker-restart=0")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        ["*worker restarting disabled*", "memento: 2 of 4 *: no more workers are started"],
        consecutive=False,
    )


# -- other sessions --------------------------------------------------------------------------------


def test_what_runs_elsewhere_is_put_off(
    pytester: pytest.Pytester, notes: Notes, squares: Path
) -> None:
    pytester.runpytest("-k", "not 1")
    pytester.runpytest("--memento-clear=True", "--memento-yes")
    notes()
    (stem,) = [name for name in plan_of(pytester) if name.startswith(parameters_of(pytester, 1))]
    lock = next((pytester.path / ".pytest_cache/memento/results").iterdir()).name
    claim = pytester.path / ".pytest_cache/memento/claims" / lock / f"{stem}.lock"
    command = [sys.executable, "-m", "pytest", "-n1"]
    seen: list[str] = []
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command))
        with claimed_if_free(claim):
            deadline = time.monotonic() + 60
            while len(seen) < 2 and time.monotonic() < deadline:
                seen += notes()
                time.sleep(0.05)
            assert process.poll() is None  # it waits for the one that is left
    assert sorted(seen) == ["x=2", "x=3"]
    assert process.returncode == 0
    assert notes() == ["x=1"]


@pytest.fixture
def held(pytester: pytest.Pytester, squares: Path) -> Iterator[None]:
    """Another session, this one, computes all that is not stored: the experiment ``x=1``."""
    pytester.runpytest("-k", "not 1")
    pytester.runpytest_subprocess("--memento-limit=0", "-p", "no:xdist")
    (directory,) = (pytester.path / ".pytest_cache/memento/results").iterdir()
    claims = pytester.path / ".pytest_cache/memento/claims" / directory.name
    with claimed_if_free(claims / f"{plan_of(pytester)[0]}.lock"):
        yield


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_budget_does_not_wait_for_other_sessions(
    pytester: pytest.Pytester, held: None, workers: str
) -> None:
    start = time.monotonic()
    result = pytester.runpytest_subprocess(workers, "--memento-budget=2s", timeout=60)
    assert result.parseoutcomes() == {"cached": 2}
    assert time.monotonic() - start < 30
    result.stdout.fnmatch_lines(["memento: 1 of 3 experiments were not run: the budget of 2.00s *"])


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_ctrl_c_does_not_wait_for_other_sessions(
    pytester: pytest.Pytester, held: None, workers: str
) -> None:
    (pytester.path / "notes.txt").unlink(missing_ok=True)
    command = [sys.executable, "-u", "-c", ATTENTIVE, workers, "-o", "memento_progress=1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        # Without workers it says for whom it waits, with them how many wait.
        while not any("waiting for" in line or "in another session" in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], "".join(lines)
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=40)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert "memento: 1 of 3 experiments were not run: Ctrl-C" in rest
    assert not (pytester.path / "notes.txt").exists()


def plan_of(pytester: pytest.Pytester) -> list[str]:
    (path,) = (pytester.path / ".pytest_cache/memento/plans").iterdir()
    lines = path.read_bytes().splitlines()
    stems: list[str] = json.loads(lines[1].split(b"\0")[0])["stems"]
    return stems


def parameters_of(pytester: pytest.Pytester, x: int) -> str:
    return plan_of(pytester)[x - 1].partition("-")[0]
