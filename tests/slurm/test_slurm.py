"""On a real Slurm nothing is lost, and nothing fails that did not fail by itself.

``tests/slurm/slurm.sh up`` starts one, see CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_memento import load_results
from pytest_memento.presence import signs

pytestmark = pytest.mark.slurm

Start = Callable[..., "Session"]
Notes = Callable[[], list[str]]

QUICK = """
import os, time
from notes import note

matrix = {"parameters": {"x": [1, 2, 3, 4, 5, 6, 7, 8]}}

def experiment(context, x):
    note(f"x={x} in {os.environ['SLURM_ARRAY_TASK_ID']}")
    print("output of", x)
    time.sleep(0.2)
    return x * x
"""
STEPS = """
import os, time
from notes import note

matrix = {"parameters": {"x": NUMBERS}}

def experiment(context, x):
    first = context.restore(0)
    note(f"x={x} from {first}")
    for step in range(first, 1000):
        context.checkpoint(step + 1)
        time.sleep(0.05)
        if os.path.exists("quick"):
            return x * x
"""
"""They run until the test says that it is enough."""


RUN = """
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(sys.argv[1:]))
"""
"""As from a terminal: a job in the background ignores Ctrl-C, and so would what it starts."""


def slurm(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def queue() -> list[str]:
    """Return the tasks that wait or run."""
    return slurm("squeue", "--noheader", "--array", "--format=%i").split()


@pytest.fixture(autouse=True)
def cluster(pytester: pytest.Pytester) -> Iterator[None]:
    """A cluster that is idle before and after each test: no job is left behind."""
    configuration = Path(os.environ.get("SLURM_CONF", "/nonexistent"))
    if not configuration.is_file() or shutil.which("sbatch") is None:
        pytest.skip("needs a Slurm cluster, as tests/slurm/slurm.sh starts one")
    shared = configuration.parents[1]
    if not pytester.path.is_relative_to(shared):
        pytest.skip(f"nodes may have a /tmp of their own: needs --basetemp={shared}/pytest")
    assert queue() == []
    try:
        yield
        until(lambda: not queue(), 20)
    finally:
        for job in {name.partition("_")[0] for name in queue()}:
            slurm("scancel", "--full", job)
        until(lambda: not queue())


class Session(subprocess.Popen[str]):
    """A session that goes on while the test does something."""

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def outcome(self, seconds: float = 90) -> tuple[int, str]:
        """Wait for the end; return the exit code and what it has printed."""
        try:
            output, _ = self.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"it goes on: {self.communicate()[0]}")
        return self.returncode, output


@pytest.fixture
def start(pytester: pytest.Pytester) -> Iterator[Callable[..., Session]]:
    """Start a session on its own."""
    started: list[Session] = []

    def start(*arguments: str, cwd: Path | None = None) -> Session:
        session = Session(
            [sys.executable, "-c", RUN, *arguments],
            cwd=cwd or pytester.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(session)
        return session

    yield start
    for session in started:
        if session.poll() is None:
            session.kill()
        session.communicate()


def steps(pytester: pytest.Pytester, numbers: list[int]) -> None:
    pytester.makepyfile(exp_a=STEPS.replace("NUMBERS", str(numbers)))


def be_quick(pytester: pytest.Pytester) -> None:
    (pytester.path / "quick").touch()


def store_of(pytester: pytest.Pytester) -> Path:
    return pytester.path / ".pytest_cache/memento"


def running(pytester: pytest.Pytester) -> list[str]:
    return [sign.label for sign in signs(store_of(pytester))]


def submitted(pytester: pytest.Pytester) -> int:
    return len(list((store_of(pytester) / "slurm").glob("*/submission")))


def array_of(pytester: pytest.Pytester) -> str:
    """Return the number of the only array."""
    (name,) = {name.partition("_")[0] for name in queue()}
    return name


def ran(notes: list[str]) -> list[str]:
    return sorted(line.partition(" ")[0] for line in notes)


ALL = [f"x={n}" for n in range(1, 9)]


def test_an_array_runs_what_is_missing(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK)
    pytester.makeconftest(
        """
        def pytest_memento_result(result):
            with open("told.txt", "a") as file:
                file.write(f"{result.value} {result.was_cached}\\n")
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=2", "-v", "--junitxml=out.xml")
    assert result.parseoutcomes() == {"passed": 8}
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "memento: submitted 8 experiments as Slurm job array * (2 tasks)",
            "exp_a.py::experiment?x=*? PASSED*",
            "x  status  result  runtime  memory",
            "8  passed  64 *",
        ]
    )
    said = notes()
    assert ran(said) == ALL
    assert {line[-1] for line in said} == {"0", "1"}
    cases = ElementTree.parse(pytester.path / "out.xml").findall(".//testcase")
    assert len(cases) == 8
    assert all(float(case.get("time", 0)) > 0.2 for case in cases)
    values = [each.attrib["value"] for each in cases[0].iterfind(".//*[@name='memento.cached']")]
    assert values == ["false"]
    told = (pytester.path / "told.txt").read_text().splitlines()
    assert sorted(told) == sorted(f"{n * n} False" for n in range(1, 9))  # here, not in the tasks
    again = pytester.runpytest_subprocess("--memento-slurm=2")
    assert again.parseoutcomes() == {"cached": 8}
    assert submitted(pytester) == 1
    assert {each.value for each in load_results(pytester.path / "exp_a.py")} == {
        n * n for n in range(1, 9)
    }


def test_the_report_is_by_who_watches(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK)
    pytester.makeini("[pytest]\naddopts = --memento-report=ini.json")
    result = pytester.runpytest_subprocess("--memento-slurm=2", "--memento-report=typed.json")
    assert result.parseoutcomes() == {"passed": 8}
    result.stdout.fnmatch_lines(
        ["memento: report ini.json (8 *)", "memento: report typed.json (8 *)"]
    )
    for name in ("ini.json", "typed.json"):
        report = json.loads((pytester.path / name).read_text())
        assert {each["status"] for each in report["experiments"]} == {"passed"}
        assert {each["result"] for each in report["experiments"]} == {n * n for n in range(1, 9)}
    said = [path.read_text(errors="replace")
            for path in (pytester.path / ".pytest_cache/memento/slurm").rglob("*")
            if path.is_file()]  # fmt: skip
    assert any("test session starts" in text for text in said)
    assert not any("memento: report" in text for text in said)


def test_more_tasks_than_processors(pytester: pytest.Pytester, notes: Notes) -> None:
    """The cluster has four; what still waits when nothing is left is cancelled."""
    pytester.makepyfile(exp_a=QUICK)
    result = pytester.runpytest_subprocess("--memento-slurm=7")
    assert result.parseoutcomes() == {"passed": 8}
    result.stdout.fnmatch_lines(["memento: submitted 8 experiments as * (7 tasks)"])
    assert ran(notes()) == ALL


def test_no_more_tasks_than_experiments(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK)
    pytester.runpytest_subprocess("-k", "x=1 or x=2")
    result = pytester.runpytest_subprocess("--memento-slurm=8", "--memento-select=x <= 2")
    assert result.parseoutcomes() == {"passed": 2, "deselected": 6}
    result.stdout.fnmatch_lines(["memento: submitted 2 experiments as * (2 tasks)"])


def test_detach_and_attach(pytester: pytest.Pytester, notes: Notes) -> None:
    body = QUICK.replace("return x * x", "assert x != 3\n    return x * x")
    pytester.makepyfile(exp_a=body)
    first = pytester.runpytest_subprocess("--memento-slurm=2", "--memento-slurm-detach")
    assert first.ret == 0
    first.stdout.fnmatch_lines(
        [
            "memento: submitted 8 experiments as Slurm job array * (2 tasks)",
            "memento: attach: the same command again; cancel: scancel *",
            "memento: 8 of 8 experiments were not run: tasks run them",
        ]
    )
    until(lambda: not queue())
    second = pytester.runpytest_subprocess("--memento-slurm=2")
    assert second.parseoutcomes() == {"cached": 7, "failed": 1}
    assert second.ret == 1
    second.stdout.fnmatch_lines(
        ["*assert 3 != 3*", "*Captured stdout call*", "output of 3", "FAILED exp_a.py::*x=3*"]
    )
    assert submitted(pytester) == 1
    assert ran(notes()) == ALL
    third = pytester.runpytest_subprocess("--memento-slurm=2")  # what failed is tried again
    assert third.parseoutcomes() == {"cached": 7, "failed": 1}
    assert ran(notes()) == ["x=3"]


def test_interrupt_and_attach(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    steps(pytester, [1, 2, 3])
    first = start("--memento-slurm=2")
    until(lambda: len(running(pytester)) == 2)
    first.interrupt()
    code, output = first.outcome()
    assert code == pytest.ExitCode.INTERRUPTED
    assert "memento: detached from Slurm job array" in output
    assert "cancel: scancel" in output
    assert len(queue()) == 2
    second = start("--memento-slurm=2", "-v")
    be_quick(pytester)
    code, output = second.outcome()
    assert code == 0, output
    assert "attached to Slurm job array" in output or "3 cached" in output
    assert ran(notes()) == ["x=1", "x=2", "x=3"]
    assert submitted(pytester) == 1


def test_a_task_that_is_cancelled(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    steps(pytester, [1, 2, 3])
    session = start("--memento-slurm=2")
    until(lambda: len(running(pytester)) == 2)
    slurm("scancel", f"{array_of(pytester)}_0")
    until(lambda: len(queue()) == 1)
    be_quick(pytester)
    code, output = session.outcome()
    assert code == 0, output
    assert "3 passed" in output
    assert len(ran(notes())) <= 4


def test_an_array_that_is_cancelled(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    """That is what the user wants: it is not submitted again at once."""
    steps(pytester, [1, 2, 3])
    session = start("--memento-slurm=2")
    until(lambda: len(running(pytester)) == 2)
    slurm("scancel", array_of(pytester))
    code, output = session.outcome()
    assert code == pytest.ExitCode.INTERRUPTED
    assert "3 of 3 experiments were not run: their tasks were cancelled" in output
    assert "failed" not in output
    until(lambda: not queue())
    be_quick(pytester)
    again = pytester.runpytest_subprocess("--memento-slurm=2")
    assert again.parseoutcomes() == {"passed": 3}
    said = [line for line in notes() if line.startswith("x=1")]
    assert said[0] == "x=1 from 0"
    assert said[1] not in said[:1]  # from its checkpoint


@pytest.mark.parametrize("whom", ["worker", "task"])
def test_a_process_that_is_killed(
    pytester: pytest.Pytester, notes: Notes, start: Start, whom: str
) -> None:
    steps(pytester, [1])
    session = start("--memento-slurm=1")
    until(lambda: running(pytester) and list(store_of(pytester).glob("checkpoints/*/*")))
    (sign,) = signs(store_of(pytester))
    parent = int(Path(f"/proc/{sign.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(sign.pid if whom == "worker" else parent, signal.SIGKILL)
    if whom == "task":  # Slurm ends what it leaves behind
        until(lambda: not Path(f"/proc/{sign.pid}").exists())
    until(lambda: [line for line in notes() if line != "x=1 from 0"])  # from its checkpoint
    be_quick(pytester)
    code, output = session.outcome()
    assert code == 0, output
    assert "1 passed" in output
    assert ("submitted again" in output) == (whom == "task")
    assert notes() == []


def test_an_experiment_that_kills_its_task(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
        import os, signal, time
        from notes import note
        matrix = {"parameters": {"x": [1, 2, 3]}}
        def experiment(x):
            note(f"x={x}")
            print("last words", flush=True)
            if x == 2:
                time.sleep(1.5)  # what it prints is written down each second
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=2")
    assert result.parseoutcomes() == {"passed": 2, "failed": 1}
    result.stdout.fnmatch_lines(["its * died 3 times*", "*last words*"])
    assert ran(notes()) == ["x=1", "x=2", "x=2", "x=2", "x=3"]


def test_the_time_of_a_task_is_over(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    steps(pytester, [1])
    session = start("--memento-slurm=1", "--memento-slurm-time=10")
    until(lambda: running(pytester) and list(store_of(pytester).glob("checkpoints/*/*")))
    array = array_of(pytester)
    slurm("scancel", "--signal=USR2", "--batch", f"{array}_0")
    until(lambda: "PENDING" in slurm("squeue", "--noheader", "--array", "--format=%T"))
    assert running(pytester) == []
    assert not list(store_of(pytester).rglob("*.lock"))
    be_quick(pytester)
    release(array)
    code, output = session.outcome()
    assert code == 0, output
    assert "1 passed" in output
    first, second = notes()
    assert first == "x=1 from 0"
    assert second.startswith("x=1 from ")
    assert second != first
    assert submitted(pytester) == 1


@pytest.mark.parametrize("workers", [(), ("-n0",), ("-n2",)], ids="".join)
def test_no_step_is_done_twice(
    pytester: pytest.Pytester, notes: Notes, start: Start, workers: tuple[str, ...]
) -> None:
    """What runs comes to its next checkpoint when the time of its task is nearly over."""
    pytester.makepyfile(
        exp_a="""
        import time
        from notes import note
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(context, x):
            for step in range(context.restore(0), 10):
                time.sleep(0.5)
                note(f"x={x} step {step}")
                context.checkpoint(step + 1)
        """
    )
    session = start("--memento-slurm=1", *workers)
    until(lambda: len(running(pytester)) == 1 + (workers == ("-n2",)))
    array = array_of(pytester)
    slurm("scancel", "--signal=USR2", "--batch", f"{array}_0")
    until(lambda: "PENDING" in slurm("squeue", "--noheader", "--array", "--format=%T"), 10)
    release(array)
    code, output = session.outcome()
    assert code == 0, output
    assert "2 passed" in output
    said = notes()
    assert len(said) == 20
    assert len(set(said)) == 20


def release(array: str) -> bool:
    """Have what was put back into the queue begin now; tell whether nothing waits."""
    waiting = slurm(
        "squeue", "--noheader", "--array", f"--jobs={array}", "--states=PENDING", "--format=%i"
    ).split()
    time.sleep(1.5 if waiting else 0)  # within the same second Slurm could not start it
    for name in waiting:
        command = ["scontrol", "update", f"JobId={name}", "StartTime=now"]
        subprocess.run(command, check=False, capture_output=True)  # it may have begun meanwhile
    return not waiting


def test_preemption(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    steps(pytester, [1, 2])
    session = start("--memento-slurm=2", "--memento-slurm-partition=low")
    until(lambda: len(running(pytester)) == 2)
    array = array_of(pytester)
    script = pytester.path / "urgent.sh"
    script.write_text("#!/bin/bash\nsleep 1\n")
    slurm(
        "sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", str(script)
    )
    until(lambda: any(" from " in line and "from 0" not in line for line in notes()) or (
        "PENDING" in slurm("squeue", "--noheader", "--array", f"--jobs={array}", "--format=%T")
    ))  # fmt: skip
    be_quick(pytester)
    # They would be begun again in two minutes.
    until(lambda: release(array) or session.poll() is not None, 30)
    code, output = session.outcome()
    assert code == 0, output
    assert "2 passed" in output
    assert submitted(pytester) == 1


def test_resources(pytester: pytest.Pytester) -> None:
    """By option, and for one function by its mark: an array for each."""
    pytester.makepyfile(
        exp_a="""
        import os
        import pytest
        matrix = {"parameters": {"x": [1]}}
        def experiment_cpu(x):
            return [os.environ["SLURM_CPUS_PER_TASK"], os.environ.get("CUDA_VISIBLE_DEVICES")]
        @pytest.mark.memento(slurm={"gres": "gpu:1", "cpus": None})
        def experiment_gpu(x):
            return [os.environ.get("SLURM_CPUS_PER_TASK"), os.environ["CUDA_VISIBLE_DEVICES"]]
        """
    )
    pytester.makeini("[pytest]\nmemento_slurm_cpus = 2\n")
    result = pytester.runpytest_subprocess("--memento-slurm=4")
    assert result.parseoutcomes() == {"passed": 2}
    result.stdout.fnmatch_lines(["memento: submitted 2 experiments as Slurm job arrays *, *"])
    values = {each.experiment: each.value for each in load_results(pytester.path / "exp_a.py")}
    assert values["exp_a.py::experiment_cpu"] == ["2", None]
    assert values["exp_a.py::experiment_gpu"][1] in ("0", "1")


def test_a_resource_that_there_is_not(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        matrix = {"parameters": {"x": [1]}}
        @pytest.mark.memento(slurm={"gpu": 1})
        def experiment(x): pass
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=4")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *memento(slurm=...) does not know 'gpu': the names are *"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memento-slurm-partition=nope"], "*sbatch refuses: invalid partition specified: nope*"),
        (["--memento-slurm-args=--nope=1"], "*sbatch refuses: *unrecognized option*--nope=1*"),
    ],
)
def test_what_sbatch_refuses(
    pytester: pytest.Pytester, notes: Notes, arguments: list[str], message: str
) -> None:
    pytester.makepyfile(exp_a=QUICK)
    result = pytester.runpytest_subprocess("--memento-slurm=2", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert submitted(pytester) == 0


def test_an_array_that_is_too_large(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK.replace("[1, 2, 3, 4, 5, 6, 7, 8]", "list(range(1100))"))
    result = pytester.runpytest_subprocess("--memento-slurm=1100")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*MaxArraySize allows 1000 tasks*"])


def test_a_store_that_nodes_do_not_see(pytester: pytest.Pytester, notes: Notes) -> None:
    probe = Path(f"/tmp/memento-{os.getpid()}")
    probe.mkdir()
    try:
        if not is_private(probe):
            pytest.skip("needs nodes with a /tmp of their own: SLURM_TEST_TMP=private")
        pytester.makepyfile(exp_a=QUICK)
        result = pytester.runpytest_subprocess("--memento-slurm=2", f"--memento-dir={probe}/store")
        assert result.ret == pytest.ExitCode.INTERRUPTED
        result.stdout.fnmatch_lines([f"*is {probe}/store not shared with n?*"])
        result.stdout.no_fnmatch_line("*passed*")
    finally:
        slurm("rm", "-r", str(probe))


def is_private(path: Path) -> bool:
    return "no" in slurm("srun", "--quiet", "sh", "-c", f"test -e {path} || echo no")


def test_a_project_that_nodes_do_not_see(
    pytester: pytest.Pytester, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = Path(f"/tmp/memento-{os.getpid()}")
    probe.mkdir()
    try:
        if not is_private(probe):
            pytest.skip("needs nodes with a /tmp of their own: SLURM_TEST_TMP=private")
        (probe / "exp_b.py").write_text("matrix = {'parameters': {'x': [1]}}\ndef experiment(x): 1")
        session = start("--memento-slurm=2", f"--memento-dir={pytester.path}/store", cwd=probe)
        code, output = session.outcome()
        assert code == pytest.ExitCode.INTERRUPTED
        assert f"the project {probe} is not there on node n" in output
    finally:
        slurm("rm", "-r", str(probe))


def test_a_python_that_nodes_do_not_have(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK)
    pytester.makeini("[pytest]\nmemento_slurm_python = /no/python\n")
    result = pytester.runpytest_subprocess("--memento-slurm=2")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*8 of 8 experiments were not run: *there is no /no/python on node n?, see ini*"]
    )


def test_a_task_that_ends_before_it_begins(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK)
    pytester.makeini(
        "[pytest]\nmemento_slurm_setup =\n    echo module not found: cuda\n    exit 3\n"
    )
    result = pytester.runpytest_subprocess("--memento-slurm=2")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*module not found: cuda", "*not run: task *its last lines are*"])


def test_set_up_and_python(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import os
        matrix = {"parameters": {"x": [1]}}
        def experiment(x): return os.environ["FROM_SETUP"], os.environ["FROM_PYTHON"]
        """
    )
    pytester.makeini(
        """
        [pytest]
        memento_slurm_setup =
            echo a prolog that says something
            export FROM_SETUP="1 2"
        memento_slurm_python = env FROM_PYTHON=3 python3
        """
    )
    # With the Python that runs this first on the path.
    result = pytester.runpytest_subprocess("--memento-slurm=1")
    assert result.parseoutcomes() == {"passed": 1}
    (found,) = load_results(pytester.path / "exp_a.py")
    assert found.value == ("1 2", "3")


def test_status_from_another_terminal(pytester: pytest.Pytester, notes: Notes) -> None:
    steps(pytester, [1, 2, 3])
    pytester.runpytest_subprocess("--memento-slurm=2", "--memento-slurm-detach")
    until(lambda: len(running(pytester)) == 2)
    result = pytester.runpytest_subprocess("--memento-status")
    result.stdout.fnmatch_lines(
        [
            f"Slurm job array {array_of(pytester)}: 2 running on n*",
            "x=* running *",
            "x=* running *",
        ]
    )
    be_quick(pytester)


def test_two_sessions_at_once(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    pytester.makepyfile(exp_a=QUICK)
    sessions = [start("--memento-slurm=2") for _ in range(2)]
    outputs = [session.outcome() for session in sessions]
    assert [code for code, _ in outputs] == [0, 0], outputs
    assert all("8 passed" in text or "cached" in text for _, text in outputs)
    assert ran(notes()) == ALL
    assert submitted(pytester) == 1


def test_the_first_failure_stops(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK.replace("return x * x", "assert x != 2"))
    result = pytester.runpytest_subprocess("--memento-slurm=2", "-x")
    assert result.ret == 1
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes.get("passed", 0) <= 3
    result.stdout.fnmatch_lines(["*experiments were not run: *1 failure*"])
    assert len(notes()) <= 4


def test_refresh(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK)
    pytester.runpytest_subprocess("--memento-slurm=2")
    assert ran(notes()) == ALL
    result = pytester.runpytest_subprocess("--memento-slurm=2", "--memento-cache=refresh")
    assert result.parseoutcomes() == {"passed": 8}
    assert ran(notes()) == ALL


def test_code_that_changes_while_it_waits(
    pytester: pytest.Pytester, notes: Notes, start: Start
) -> None:
    pytester.makepyfile(exp_a=QUICK)
    session = start("--memento-slurm=2", "--memento-slurm-args=--hold")
    until(queue)
    pytester.makepyfile(exp_a=QUICK.replace("x * x", "x + x"))
    slurm("scontrol", "release", array_of(pytester))
    code, output = session.outcome()
    assert code == pytest.ExitCode.INTERRUPTED
    assert "not what was submitted" in output
    assert notes() == []
    again = pytester.runpytest_subprocess("--memento-slurm=2")
    assert again.parseoutcomes() == {"passed": 8}


def test_ordinary_tests_stay_here(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a=QUICK, test_b="import os\ndef test_it(): assert 'SLURM_JOB_ID' not in os.environ"
    )
    pytester.makeini("[pytest]\npython_files = exp_*.py test_*.py\n")
    result = pytester.runpytest_subprocess("--memento-slurm=2")
    assert result.parseoutcomes() == {"passed": 9}


def test_skipped_and_expected_failures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        matrix = {"parameters": {"x": [1, 2, pytest.param(3, marks=pytest.mark.xfail),
                                       pytest.param(4, marks=pytest.mark.skip)]}}
        def experiment(x):
            if x == 2:
                pytest.skip("not now")
            assert x == 1
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=2", "-v", "-rs")
    assert result.parseoutcomes() == {"passed": 1, "skipped": 2, "xfailed": 1}
    result.stdout.fnmatch_lines(["*SKIPPED (not now)*", "SKIPPED * exp_a.py:*: not now"])


IN_STEPS = """
import os, time
from pathlib import Path
from notes import note

matrix = {"parameters": {"x": [1, 2, 3, 4, 5, 6]}}

def experiment(x, tmp_path):
    (tmp_path / "scratch").write_text("there")
    Path(f"step-{os.environ['SLURM_STEP_ID']}").touch()
    until = time.monotonic() + 30  # for a second worker: the first may be ready long before it
    while len(list(Path().glob("step-*"))) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    note(f"x={x}")
    return os.environ["SLURM_JOB_ID"], os.environ["SLURM_STEP_ID"], os.environ.get("FROM_SETUP")
"""


def test_workers_in_an_allocation_of_their_own(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=IN_STEPS)
    pytester.makeini(
        """
        [pytest]
        memento_slurm_setup =
            echo "a prolog that says something, as http://x//y"
            export FROM_SETUP=1
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=3", "--memento-slurm-mode=srun")
    assert result.parseoutcomes() == {"passed": 6}
    assert result.ret == 0
    values = [each.value for each in load_results(pytester.path / "exp_a.py")]
    assert len({job for job, _, _ in values}) == 1
    assert len({step for _, step, _ in values}) > 1
    assert {setup for _, _, setup in values} == {"1"}
    again = pytester.runpytest_subprocess("--memento-slurm=3", "--memento-slurm-mode=srun")
    assert again.parseoutcomes() == {"cached": 6}


def test_workers_in_the_present_allocation(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=IN_STEPS.replace("return ", "assert x != 2\n    return "))
    done = subprocess.run(
        ["salloc", "--quiet", "--nodes=2", "--ntasks=4",
         sys.executable, "-m", "pytest", "--memento-slurm=6"],
        cwd=pytester.path, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 5 passed" in done.stdout
    assert "memento: 4 workers in Slurm job " in done.stdout
    assert ", which has room for no more" in done.stdout
    assert ran(notes()) == [f"x={n}" for n in range(1, 7)]
    assert "submitted" not in done.stdout


def test_gpus_of_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import os, time
        matrix = {"parameters": {"x": [1, 2, 3, 4]}}
        def experiment(x):
            time.sleep(0.5)
            return os.environ["SLURMD_NODENAME"], os.environ["CUDA_VISIBLE_DEVICES"]
        """
    )
    result = pytester.runpytest_subprocess(
        "--memento-slurm=2", "--memento-slurm-mode=srun", "--memento-slurm-gres=gpu:1",
        "--memento-slurm-args=--nodes=2",
    )  # fmt: skip
    assert result.parseoutcomes() == {"passed": 4}
    values = [each.value for each in load_results(pytester.path / "exp_a.py")]
    assert all(devices in ("0", "1") for _, devices in values)


def test_warnings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import warnings
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            if x == 2:
                warnings.warn("take care")
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=2")
    assert result.parseoutcomes() == {"passed": 2, "warnings": 1}
    result.stdout.fnmatch_lines(["exp_a.py::experiment?x=2?", "*UserWarning: take care"])


def test_the_budget_counts_for_all(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=QUICK.replace("0.2", "1.5"))
    result = pytester.runpytest_subprocess("--memento-slurm=1", "--memento-budget=4s")
    assert result.ret == 0
    assert 0 < result.parseoutcomes()["passed"] < 6
    result.stdout.fnmatch_lines(["memento: * of 8 experiments were not run: the budget of 4* is*"])
    assert submitted(pytester) == 1


def test_what_was_cancelled_before_is_submitted_again(
    pytester: pytest.Pytester, notes: Notes, start: Start
) -> None:
    steps(pytester, [1])
    pytester.runpytest_subprocess("--memento-slurm=1", "--memento-slurm-detach")
    until(lambda: running(pytester))
    slurm("scancel", array_of(pytester))
    until(lambda: not queue())  # or it might end as it should yet
    session = start("--memento-slurm=1")
    be_quick(pytester)
    code, output = session.outcome()
    assert code == 0, output
    assert "submitted 1 experiment as" in output
    assert "attached" not in output


def test_other_options_while_something_is_submitted(
    pytester: pytest.Pytester, notes: Notes, start: Start
) -> None:
    steps(pytester, [1])
    pytester.runpytest_subprocess(
        "--memento-slurm=1", "--memento-slurm-detach", "--memento-slurm-cpus=500"
    )
    session = start("--memento-slurm=1", "--memento-slurm-cpus=1")
    array = array_of(pytester)
    time.sleep(8)  # to come up, on a busy machine
    session.interrupt()
    _, output = session.outcome()
    assert f"array {array} was submitted with --cpus-per-task=500; for what is asked" in output
    slurm("scancel", array)


def test_a_terminal_that_is_closed(pytester: pytest.Pytester, notes: Notes, start: Start) -> None:
    steps(pytester, [1])
    session = start("--memento-slurm=1")
    until(lambda: running(pytester))
    session.terminate()
    code, output = session.outcome()
    assert code == 128 + signal.SIGTERM
    assert "memento: attach: the same command again; cancel: scancel" in output
    assert running(pytester)
    be_quick(pytester)


def test_an_experiment_that_ends_the_session(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            pytest.exit("I leave")
        """
    )
    result = pytester.runpytest_subprocess("--memento-slurm=1")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["*received keyboard-interrupt*", "*not run: 4 times in turn their tasks ended *"]
    )


def test_what_is_told_comes_from_the_session_that_watches(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2, 3, 4]}}
        def experiment(x):
            assert x != 3
        """
    )
    pytester.makeini(
        "[pytest]\nmemento_notify = file:ini.jsonl\naddopts = --memento-notify=file:a.jsonl"
    )
    monkeypatch.setenv("MEMENTO_NOTIFY", "file:environment.jsonl")
    result = pytester.runpytest_subprocess("--memento-slurm=2", "--memento-notify=file:typed.jsonl")
    assert result.parseoutcomes() == {"passed": 3, "failed": 1}
    for name in ("ini", "a", "environment", "typed"):
        lines = (pytester.path / f"{name}.jsonl").read_text().splitlines()
        first, end = map(json.loads, lines)
        assert first["title"].startswith("memento: first failure: exp_a.py::experiment[x=3]: ")
        assert end["counts"] == {"total": 4, "cached": 0, "passed": 3, "failed": 1}


def test_nothing_is_told_of_what_is_left_to_an_array(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="def experiment(x): pass\nmatrix = {'parameters': {'x': [1]}}")
    result = pytester.runpytest_subprocess(
        "--memento-slurm=1", "--memento-slurm-detach", "--memento-notify=file:typed.jsonl"
    )
    assert result.ret == 0
    until(lambda: not queue())
    assert not (pytester.path / "typed.jsonl").exists()


PIPELINE = """
    import time, pytest
    from notes import note
    from pytest_memento import results_of

    @pytest.mark.memento(matrix={"parameters": {"x": [1, 2, 3]}})
    def experiment_train(x):
        time.sleep(0.5)
        note(f"end {x}")
        assert x != 3
        return x

    matrix = {"parameters": {"model": results_of("::experiment_train"), "y": [1, 2]}}

    @pytest.mark.memento(matrix=matrix)
    def experiment_evaluate(context, model, y):
        note(f"begin {model}")
        assert context.inputs["model"].config.x == model
        return model * 10
"""


def test_what_a_pipeline_needs_joins_the_array(pytester: pytest.Pytester, notes: Notes) -> None:
    train, evaluate = PIPELINE.split("    matrix = {")
    start = train.partition("    @pytest")[0]
    evaluate = f"{start}    matrix = {{{evaluate}".replace('"::', '"exp_a.py::')
    pytester.makepyfile(exp_a=train, exp_b=evaluate)
    result = pytester.runpytest_subprocess("--memento-slurm=1", "exp_b.py")
    assert result.parseoutcomes() == {"passed": 6, "failed": 1, "skipped": 2}
    result.stdout.no_fnmatch_line("*changed*")
    again = pytester.runpytest_subprocess("--memento-slurm=1", "exp_b.py")
    assert again.parseoutcomes() == {"cached": 4, "failed": 1, "skipped": 2}


def test_a_pipeline(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=PIPELINE)
    result = pytester.runpytest_subprocess("--memento-slurm=2", "-rs")
    assert result.parseoutcomes() == {"passed": 6, "failed": 1, "skipped": 2}
    result.stdout.fnmatch_lines(
        ["*not run: 2 x its input exp_a.py::experiment_train[[]x=3] failed*"]
    )
    lines = [line.split(" (")[0] for line in notes()]
    for number in (1, 2):
        begun = [place for place, line in enumerate(lines) if line.startswith(f"begin {number}")]
        assert len(begun) == 2
        assert lines.index(f"end {number}") < begun[0]
