"""Experiments in xdist's workers, workers that die, and several sessions on one store."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

SLOW_SQUARES = """
    import time
    from notes import note

    matrix = {"parameters": {"x": [1, 2, 3, 4]}}

    def experiment(x):
        note(f"x={x}")
        time.sleep(0.2)
        return x * x
"""
DEADLY = """
    import os, signal, sys
    from pathlib import Path

    matrix = {"parameters": {"x": list(range(8))}}

    def experiment(x, context):
        if x == 3 and not Path("harmless").exists():
            DEATH
        return x
"""


@pytest.mark.parametrize(
    "arguments", [("-n2",), ("-n2", "--dist=worksteal"), ("-n2", "--dist=loadfile"), ("-n0",)],
    ids=" ".join,
)  # fmt: skip
def test_run_twice(
    pytester: pytest.Pytester,
    squares: Path,
    notes: Notes,
    xdist: None,
    arguments: tuple[str, ...],
) -> None:
    cold = pytester.runpytest_subprocess("-W", "error", *arguments)
    assert cold.parseoutcomes() == {"passed": 3}
    assert cold.ret == 0
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]
    cold.stdout.fnmatch_lines(["memento: 3 experiments: 3 new; store .pytest_cache/memento (0 *"])
    warm = pytester.runpytest_subprocess("-W", "error", "-v", *arguments)
    assert warm.parseoutcomes() == {"cached": 3}
    assert warm.ret == 0
    assert notes() == []
    warm.stdout.fnmatch_lines(
        ["memento: 3 experiments: 3 cached; store .pytest_cache/memento (3 *", "*CACHED*"]
    )
    assert str(warm.stdout).count("memento: 3 experiments") == 1
    assert {result.value for result in load_results(squares)} == {1, 4, 9}


def test_n_auto(pytester: pytest.Pytester, squares: Path, xdist: None) -> None:
    result = pytester.runpytest_subprocess("-n", "auto", "--maxprocesses=2")
    assert result.parseoutcomes() == {"passed": 3}


def test_each_worker_runs_everything_with_dist_each(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None
) -> None:
    result = pytester.runpytest_subprocess("--dist=each", "--tx=2*popen")
    counts = result.parseoutcomes()
    assert counts.get("passed", 0) + counts.get("cached", 0) == 6
    # Each is computed by one of them only.
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]


def test_the_summary_is_the_same(pytester: pytest.Pytester, squares: Path, xdist: None) -> None:
    def table(*arguments: str) -> list[str]:
        result = pytester.runpytest_subprocess("-p", "no:randomly", *arguments)
        lines = result.outlines
        start = next(n for n, line in enumerate(lines) if "memento summary" in line)
        rows = [line.split()[:3] for line in lines[start + 1 :] if not line.startswith("=")]
        return sorted(" ".join(row) for row in rows)

    expected = ["1 passed 1", "2 passed 4", "3 passed 9", "x status result"]
    assert table("-n2") == expected
    assert table("-n2") == table("-n0") == [row.replace("passed", "cached") for row in expected]


def test_serial_and_workers_share_results(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None
) -> None:
    pytester.runpytest("-k", "1 or 2")
    notes()
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"cached": 2, "passed": 1}
    assert notes() == ["x=3"]
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


def test_a_failure_in_a_worker(pytester: pytest.Pytester, xdist: None) -> None:
    pytester.makepyfile(
        exp_a="matrix = {'parameters': {'x': [1, 0, 2]}}\ndef experiment(x): assert x"
    )
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"failed": 1, "passed": 2}
    assert result.ret == 1
    again = pytester.runpytest_subprocess("-n2", "-v")
    assert again.parseoutcomes() == {"failed": 1, "cached": 2}
    again.stdout.fnmatch_lines(["memento: 3 experiments: 2 cached, 1 failed before;*"])


def test_values_of_numpy_in_reports(pytester: pytest.Pytester, xdist: None) -> None:
    pytester.makepyfile(
        exp_a="""
            import numpy as np
            matrix = {"parameters": {"x": [np.float64(0.5), np.int32(3)]}}
            def experiment(x): return {"loss": np.float32(x), "n": np.int64(3)}
        """,
        exp_b="""
            import numpy as np
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(x): return np.arange(3) * x
        """,
    )
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 4}
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"cached": 4}


@pytest.mark.parametrize("text", ["\\ud800", "\\x00", "\U0001f600"])
def test_unusual_texts_in_reports(pytester: pytest.Pytester, xdist: None, text: str) -> None:
    """What cannot be encoded must not end the session."""
    pytester.makepyfile(
        exp_a=f"""
            matrix = {{"parameters": {{"x": ["a"]}}}}
            def experiment(x): return "{text}"
            def experiment_b(x): return {{"{text}": 1.0}}
        """
    )
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"cached": 2}


# -- workers that die ------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--cache-clear",), ("--dist=worksteal",)], ids=" ".join)
@pytest.mark.parametrize("death", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_worker_that_dies_costs_one_experiment(
    pytester: pytest.Pytester, xdist: None, death: str, more: tuple[str, ...]
) -> None:
    pytester.makepyfile(exp_a=DEADLY.replace("DEATH", death))
    result = pytester.runpytest_subprocess("-n2", *more)
    assert result.parseoutcomes()["failed"] == 1
    assert result.parseoutcomes()["passed"] == 7
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED exp_a.py::experiment?x=3?*"])
    assert "INTERNALERROR" not in str(result.stdout)
    errors = {result.config.x: result.error for result in load_results("exp_a.py")}
    died = "its worker died" if "--dist=worksteal" in more else "its worker died 3 times"
    assert errors == {x: died if x == 3 else None for x in range(8)}

    again = pytester.runpytest_subprocess("--collect-only")
    again.stdout.fnmatch_lines(
        [
            "memento: 8 experiments: 7 cached, 1 failed before;*",
            f"*experiment?x=3?  failed before: {died} (*",
            "would run 1 of 8*",
        ]
    )
    (pytester.path / "harmless").touch()
    fixed = pytester.runpytest_subprocess("-n2")
    assert fixed.parseoutcomes() == {"cached": 7, "passed": 1}


def test_every_worker_dies(pytester: pytest.Pytester, xdist: None) -> None:
    pytester.makepyfile(
        exp_a="""
            import os
            matrix = {"parameters": {"x": [1, 2, 3]}}
            def experiment(x): os._exit(1)
        """
    )
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes()["failed"] == 3
    again = pytester.runpytest_subprocess("--collect-only")
    again.stdout.fnmatch_lines(["memento: 3 experiments: 3 failed before;*"])


def test_a_worker_that_dies_in_an_ordinary_test(
    pytester: pytest.Pytester, squares: Path, xdist: None
) -> None:
    pytester.makepyfile(test_a="import os\ndef test_a(): os._exit(1)")
    result = pytester.runpytest_subprocess("-n2")
    counts = result.parseoutcomes()
    assert (counts["failed"], counts["passed"]) == (1, 3)
    assert pytester.runpytest_subprocess("exp_squares.py").parseoutcomes() == {"cached": 3}


def test_a_serial_session_that_dies(pytester: pytest.Pytester, notes: Notes) -> None:
    """Nothing is left of the experiment itself, and everything of those before it."""
    pytester.makepyfile(exp_a=DEADLY.replace("DEATH", "os.kill(os.getpid(), signal.SIGKILL)"))
    pytester.runpytest_subprocess()
    (pytester.path / "harmless").touch()
    assert pytester.runpytest_subprocess().parseoutcomes() == {"cached": 3, "passed": 5}


def test_cache_clear_in_workers_deletes_nothing(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None
) -> None:
    pytester.runpytest()
    notes()
    result = pytester.runpytest_subprocess("-n2", "--cache-clear", "-k", "1")
    assert result.parseoutcomes() == {"passed": 1}
    assert notes() == ["x=1"]
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


# -- several processes -----------------------------------------------------------------------------


def start_session(pytester: pytest.Pytester, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.Popen(
        command, cwd=pytester.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.parametrize("arguments", [(), ("-n2",)], ids=["serial", "workers"])
def test_sessions_at_once_compute_each_experiment_once(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    arguments: tuple[str, ...],
) -> None:
    if arguments:
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=SLOW_SQUARES)
    sessions = [start_session(pytester, *arguments) for _ in range(2)]
    outputs = [session.communicate(timeout=60)[0] for session in sessions]
    assert [session.returncode for session in sessions] == [0, 0], outputs
    assert sorted(notes()) == ["x=1", "x=2", "x=3", "x=4"]
    counts = [pytest.RunResult.parse_summary_nouns(output.splitlines()) for output in outputs]
    assert [sum(count.values()) for count in counts] == [4, 4]
    assert sum(count.get("passed", 0) for count in counts) == 4


def test_keys_and_ids_do_not_depend_on_the_hash_seed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, xdist: None
) -> None:
    pytester.makepyfile(
        exp_a="""
            import enum, functools

            class Kind(enum.Enum):
                A = 1

            class Model:
                def __init__(self, **more): self.__dict__.update(more)

            names = {"red", "green", "blue", "black", "white"}
            matrix = {
                "parameters": {
                    "x": [names, frozenset(names), Kind.A, Model(names=names, b=1),
                          functools.partial(Model, a=1), {"b": 1, "a": names}, Model, lambda: names],
                    "y": [1, 1.0, True],
                },
                "settings": {"colours": names, "model": Model(a=2)},
            }

            def experiment(context): return context.key
        """
    )
    seen = set()
    for seed, arguments in (("0", ()), ("1", ()), ("2", ("-n2",)), ("random", ("-n2",))):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        ids = pytester.runpytest_subprocess("--collect-only", "-q", "-p", "no:xdist").outlines
        seen.add(tuple(line for line in ids if "::" in line))
        outcome = "cached" if len(seen) == 1 and seed != "0" else "passed"
        result = pytester.runpytest_subprocess(*arguments)
        assert result.parseoutcomes() == {outcome: 24}
        assert not re.search("0x[0-9a-f]{6}", str(result.stdout))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("environment", "workers"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1"}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "1", "PYTEST_XDIST_AUTO_NUM_WORKERS": "2"}, 2),
    ],
)
def test_auto_counts_what_may_be_used(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    xdist: None,
    environment: dict[str, str],
    workers: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(test_a="def test_a(): pass\ndef test_b(): pass")
    result = pytester.runpytest_subprocess("-n", "auto")
    result.stdout.fnmatch_lines([f"created: {workers}/{workers} worker*"])
