"""``--memento-select``: which experiments a session keeps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Notes = Callable[[], list[str]]

GRID = """
    from notes import note

    class SVC: pass
    class Forest: pass

    matrix = {
        "parameters": {"model": [SVC, Forest], "lr": [0.1, 0.01], "memory": [None, 16]},
        "settings": {"n_fold": 5, "debug": False, "adam": {"decay": 0.5}},
    }

    def experiment(model, lr, memory, context, config):
        note(f"{model.__name__} {lr} {memory}")
        context.record({"loss": lr * config.settings.n_fold})
        if memory == 16 and lr == 0.01:
            raise RuntimeError("CUDA out of memory")
        return lr
"""
ORDINARY = """
    from notes import note

    def test_ordinary(): note("ordinary")
"""
OTHER = """
    from notes import note

    matrix = {"parameters": {"gamma": [1, 2]}}

    def experiment(gamma): note(f"gamma={gamma}")
"""


@pytest.fixture
def grid(pytester: pytest.Pytester, notes: Notes) -> Path:
    return pytester.makepyfile(exp_grid=GRID)


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("model == 'SVC'", 4),
        ("model == 'SVC' and lr <= 0.01", 2),
        ("model in ['SVC', 'Forest'] and not lr == 0.1", 4),
        ("parameters.memory is None", 4),
        ("parameters.memory > 8", 4),
        ("settings.n_fold == 5 and not settings.debug", 8),
        ("settings.adam.decay == 0.5 and result.loss is None and result is None", 8),
        ("id == 'model=SVC-lr=0.1-memory=16'", 1),
        ("'exp_grid' in experiment and 'memory=16' in id", 4),
        ("status == 'new'", 8),
        ("runtime is None and age is None and error is None and metrics.loss is None", 8),
    ],
)
def test_only_what_holds_runs(
    pytester: pytest.Pytester, grid: Path, notes: Notes, expression: str, count: int
) -> None:
    result = pytester.runpytest("-W", "error", f"--memento-select={expression}")
    outcomes = result.parseoutcomes()
    assert len(notes()) == count
    assert outcomes.get("passed", 0) + outcomes.get("failed", 0) == count
    assert outcomes.get("deselected", 0) == 8 - count
    noun = "experiment" if count == 1 else "experiments"
    result.stdout.fnmatch_lines([f"memento: {count} {noun}: {count} new; store *"])


def test_by_what_the_store_knows(pytester: pytest.Pytester, grid: Path, notes: Notes) -> None:
    assert pytester.runpytest().parseoutcomes() == {"passed": 6, "failed": 2}

    def kept(expression: str) -> int:
        result = pytester.runpytest("--collect-only", "-q", f"--memento-select={expression}")
        assert result.ret in (0, pytest.ExitCode.NO_TESTS_COLLECTED), str(result.stderr)
        return sum("::experiment[" in line for line in result.outlines)

    assert kept("status == 'cached'") == 6
    assert kept("status == 'failed'") == kept("status == 'failed before'") == 2
    assert kept("status in ['new', 'stale']") == 0
    assert kept("'CUDA' in error") == 2
    assert kept("error is None and status == 'cached'") == 6
    assert kept("metrics.loss < 0.1") == 4
    assert kept("result == 0.1") == kept("result > 0.05") == 4
    assert kept("runtime < '1m' and cpu_time < 60 and age < '1h' and memory > '1MB'") in (0, 8)
    assert kept("runtime >= '1h' or age > '1d'") == 0
    grid.write_text(grid.read_text().replace("return lr", "return lr + 1").replace('": 5', '": 6'))
    assert kept("status == 'stale'") == 6
    assert kept("status == 'stale' and metrics.loss > 0.4") == 4
    assert kept("settings.n_fold == 6") == 8


def test_only_the_selected_are_counted_and_planned(pytester: pytest.Pytester, grid: Path) -> None:
    pytester.makepyfile(test_ordinary=ORDINARY)
    result = pytester.runpytest("--collect-only", "--memento-select=model == 'SVC' and lr == 0.1")
    result.stdout.fnmatch_lines(
        [
            "collected 9 items / 7 deselected / 2 selected",
            "memento: 2 experiments: 2 new; *",
            "would run 2 of 2",
        ]
    )
    assert "Forest" not in str(result.stdout)
    assert "test_ordinary" not in str(result.stdout)


def test_ordinary_tests_are_deselected(
    pytester: pytest.Pytester, squares: Path, notes: Notes
) -> None:
    pytester.makepyfile(test_ordinary=ORDINARY)
    result = pytester.runpytest("--memento-select", "x >= 2")
    assert result.parseoutcomes() == {"passed": 2, "deselected": 2}
    assert notes() == ["x=2", "x=3"]


def test_hits_are_replayed_and_the_rest_stays_as_it_was(
    pytester: pytest.Pytester, squares: Path, notes: Notes
) -> None:
    assert pytester.runpytest("--memento-select=x < 3").parseoutcomes() == {
        "passed": 2, "deselected": 1}  # fmt: skip
    result = pytester.runpytest("--memento-select=x > 1")
    assert result.parseoutcomes() == {"cached": 1, "passed": 1, "deselected": 1}
    assert notes() == ["x=1", "x=2", "x=3"]
    result = pytester.runpytest("--memento-select=status != 'cached'")
    assert result.parseoutcomes() == {"deselected": 3}
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_beside_other_selections(pytester: pytest.Pytester, grid: Path, notes: Notes) -> None:
    """A name is known if -k alone drops all that have it."""
    pytester.makepyfile(exp_other=OTHER)
    result = pytester.runpytest("-k", "gamma or SVC", "--memento-select=model == 'SVC'")
    assert sum(result.parseoutcomes()[word] for word in ("passed", "failed")) == 4
    assert len(notes()) == 4
    result = pytester.runpytest("-k", "gamma", "--memento-select=gamma == 1 or model == 'SVC'")
    assert result.parseoutcomes() == {"passed": 1, "deselected": 9}
    assert notes() == ["gamma=1"]


def test_a_suite_without_experiments(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(test_ordinary=ORDINARY)
    result = pytester.runpytest("--memento-select=lr < 1")
    assert result.parseoutcomes() == {"deselected": 1}


def test_a_parametrization_beside_the_matrix(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [1, pytest.param(2, id="two")]}}

            @pytest.mark.parametrize("y", ["a", "b"])
            def experiment(x, y): pass
        """
    )
    for expression in ("y == 'b' and x == 2", "y == 'b' and x == 'two'"):
        result = pytester.runpytest("--memento-select", expression, "--memento-cache=refresh")
        assert result.parseoutcomes() == {"passed": 1, "deselected": 3}


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("-n2",), ("--collect-only",)], ids=" ".join)
def test_a_wrong_expression(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None, arguments: tuple[str, ...]
) -> None:
    result = pytester.runpytest_subprocess("--memento-select=len(x) > 1", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        "ERROR: --memento-select: expression \"len(x) > 1\": 'len(x)' (column 1) is a call; allowed"
        " are names, settings.x, metrics.x, metrics['x/y'], result.x, numbers, strings, True, False,"
        " None, lists, == != < <= > >= in is, and, or, not"
    ]
    assert not result.outlines
    assert notes() == []


@pytest.mark.parametrize(
    "arguments",
    [(), ("--collect-only",), ("-n2",), ("-n0",), ("-n2", "--dist=worksteal"),
     ("-n2", "--dist=loadfile"), ("--dist=each", "--tx=2*popen"), ("-n2", "-v")],
    ids=" ".join,
)  # fmt: skip
def test_an_unknown_name(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None, arguments: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_ordinary=ORDINARY)
    result = pytester.runpytest_subprocess("--memento-select=modle == 'a' or x == 1", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        "ERROR: --memento-select: expression \"modle == 'a' or x == 1\": no experiment has 'modle'"
        " (a string needs quotes); there are: x, status, result, runtime, cpu_time, age, memory, error, id,"
        " experiment"
    ]
    text = str(result.stdout)
    assert not re.search("INTERNALERROR|Traceback|crashed|memento: 3", text), text
    assert notes() == []


def test_a_file_that_cannot_be_collected_is_told_first(
    pytester: pytest.Pytester, squares: Path
) -> None:
    pytester.makepyfile(exp_broken="matrix = 1 / 0\ndef experiment(gamma): pass")
    result = pytester.runpytest("--memento-select=gamma == 1")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ZeroDivisionError*"])


# -- workers ---------------------------------------------------------------------------------------


def test_in_workers(pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None) -> None:
    pytester.makepyfile(test_ordinary=ORDINARY)
    for word in ("passed", "cached"):
        result = pytester.runpytest_subprocess("-n2", "--memento-select", "x >= 2", "-W", "error")
        assert result.parseoutcomes()[word] == 2
        assert sorted(notes()) == (["x=2", "x=3"] if word == "passed" else [])
        result.stdout.fnmatch_lines(["memento: 2 experiments: 2 *"])


def test_workers_agree_while_the_store_changes(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None
) -> None:
    """The second worker finds a result that the first did not."""
    pytester.makeconftest(
        """
        import os, subprocess, sys, time
        from pathlib import Path

        def pytest_collection_finish(session):
            if os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
                Path("gw0-is-done").touch()

        def pytest_collection(session):
            if os.environ.get("PYTEST_XDIST_WORKER") != "gw1":
                return
            while not Path("gw0-is-done").exists():
                time.sleep(0.01)
            environment = {k: v for k, v in os.environ.items() if "XDIST" not in k}
            subprocess.run([sys.executable, "-m", "pytest", "-p", "no:xdist",
                            "exp_squares.py::experiment[x=2]"],
                           env=environment, check=True, stdout=subprocess.DEVNULL)
        """
    )
    result = pytester.runpytest_subprocess("-n2", "--memento-select=status == 'new'")
    outcomes = result.parseoutcomes()
    assert result.ret == 0, str(result.stdout)
    assert outcomes.get("passed", 0) + outcomes.get("cached", 0) == 3
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]


def test_a_worker_that_replaces_another_one_keeps_the_selection(
    pytester: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    pytester.makepyfile(
        exp_a="""
            import os
            from pathlib import Path
            matrix = {"parameters": {"x": list(range(8))}}

            def experiment(x):
                if x == 3:
                    os._exit(1)
                return x
        """
    )
    result = pytester.runpytest_subprocess("-n2", "--memento-select=status != 'cached'")
    assert result.parseoutcomes() == {"passed": 7, "failed": 1}
    assert "Different tests" not in str(result.stdout)


def test_the_option_may_stand_in_the_ini_file(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makeini("[pytest]\naddopts = --memento-select 'x == 2'")
    assert pytester.runpytest().parseoutcomes() == {"passed": 1, "deselected": 2}
    assert os.path.exists(pytester.path / ".pytest_cache" / "memento")
