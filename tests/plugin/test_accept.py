"""``--memento-accept``: stale results that the user declares valid for the present code."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]


@pytest.fixture
def stale(pytester: pytest.Pytester, squares: Path, notes: Notes) -> Path:
    """Three results, of code that says the same in other words."""
    pytester.runpytest()
    notes()
    squares.write_text(squares.read_text().replace("x * x", "x ** 2"))
    return squares


def test_all(pytester: pytest.Pytester, stale: Path, notes: Notes) -> None:
    result = pytester.runpytest("--memento-accept")
    result.stdout.fnmatch_lines(
        [
            "memento: 3 experiments: 3 cached; *",
            "memento: 3 stale results accepted for the present*",
        ]
    )
    assert result.parseoutcomes() == {"cached": 3}
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}
    assert notes() == []
    assert [result.value for result in load_results("exp_squares.py")] == [1, 4, 9]


def test_on_record(pytester: pytest.Pytester, stale: Path) -> None:
    (before, *_) = load_results("exp_squares.py")
    assert before.accepted == {}
    pytester.runpytest("--memento-accept")
    (after, *_) = load_results("exp_squares.py")
    assert after.accepted["by"].startswith(f"{getpass.getuser()}@")
    assert time.time() - 60 < after.accepted["at"] <= time.time()
    assert len(after.accepted["code"]) == 32
    assert after.start_time == before.start_time


def test_a_later_change_is_told_from_what_was_accepted(pytester: pytest.Pytester) -> None:
    source = """
        matrix = {"parameters": {"x": [1, 2, 3, 4]}}
        def first(x): return x * x
        def second(x): return x + x
        def experiment(x): return first(x), second(x)
    """
    pytester.makepyfile(exp_a=source)
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.replace("x * x", "x ** 2"))
    pytester.runpytest("--memento-accept")
    pytester.makepyfile(exp_a=source.replace("x * x", "x ** 2").replace("x + x", "2 * x"))
    dry = pytester.runpytest("--collect-only")
    dry.stdout.fnmatch_lines(["exp_a.py::*  stale: code: exp_a.second changed"] * 4)
    dry.stdout.no_fnmatch_line("*exp_a.first*")


def test_a_later_change_makes_them_stale_again(
    pytester: pytest.Pytester, stale: Path, notes: Notes
) -> None:
    pytester.runpytest("--memento-accept")
    source = stale.read_text()
    stale.write_text(source.replace("x ** 2", "x ** 3"))
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}
    stale.write_text(source.replace("x ** 2", "x * x"))
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}  # as it was computed with


def test_some(pytester: pytest.Pytester, stale: Path, notes: Notes) -> None:
    result = pytester.runpytest("--memento-accept=x < 3 and status == 'stale'", "-k", "1 or 3")
    result.stdout.fnmatch_lines(["memento: 1 stale result accepted for the present code"])
    assert result.parseoutcomes() == {"cached": 1, "passed": 1, "deselected": 1}
    assert notes() == ["x=3"]
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 1}


def test_of_an_experiment_by_its_name(pytester: pytest.Pytester, stale: Path) -> None:
    chosen = "experiment == 'exp_squares.py::experiment'"
    longest = " or ".join([chosen] * 20)  # than any name of a file
    for text, number in ((f"{chosen} and x == 1", 1), (f"not ({chosen})", 0), (longest, 3)):
        result = pytester.runpytest("--collect-only", f"--memento-accept={text}")
        result.stdout.fnmatch_lines([f"memento: {number} stale result* would be accepted *"])


def test_in_workers(pytester: pytest.Pytester, stale: Path, notes: Notes, xdist: None) -> None:
    result = pytester.runpytest_subprocess("--memento-accept", "-n2")
    result.stdout.fnmatch_lines(["memento: 3 stale results accepted for the present code"])
    assert result.parseoutcomes() == {"cached": 3}
    assert notes() == []


def test_a_dry_run_changes_nothing(pytester: pytest.Pytester, stale: Path) -> None:
    result = pytester.runpytest("--collect-only", "--memento-accept")
    result.stdout.fnmatch_lines(["memento: 3 stale results would be accepted for the present code"])
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}


def test_not_with_other_settings(pytester: pytest.Pytester, squares: Path, notes: Notes) -> None:
    squares.write_text(
        squares.read_text().replace("matrix = {", "matrix = {'settings': {'n': 1}, ")
    )
    pytester.runpytest()
    notes()
    squares.write_text(squares.read_text().replace("'n': 1", "'n': 2"))
    result = pytester.runpytest("--memento-accept")
    result.stdout.fnmatch_lines(["memento: 3 not accepted: its settings differ"])
    assert result.parseoutcomes() == {"passed": 3}


def test_data_files_and_artifacts(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1]}}
        def experiment(context, x):
            (context.dir / "kept").write_text("1")
            return context.depends_on("data").read_text()
        """
    )
    data = pytester.path / "data"
    data.write_text("1")
    pytester.runpytest()
    data.write_text("2")
    assert pytester.runpytest("--memento-accept").parseoutcomes() == {"cached": 1}
    path = pytester.path / "exp_a.py"
    path.write_text(path.read_text().replace('"kept"', "'ke' 'pt' ''") + "\n")
    path.write_text(path.read_text().replace('write_text("1")', 'write_text("2")'))
    assert pytester.runpytest("--memento-accept").parseoutcomes() == {"cached": 1}
    (result,) = load_results("exp_a.py")
    assert result.value == "1"
    assert (result.dir / "kept").read_text() == "1"
    assert result.accepted["before"]["before"] == {}
    data.write_text("3")
    assert pytester.runpytest("--memento-accept=x == 2").parseoutcomes() == {"passed": 1}


TRAIN = """
from notes import note
matrix = {"parameters": {"lr": [0.1, 0.2]}}

def experiment(lr):
    note(f"train {lr}")
    return lr * 10
"""
EVALUATE = """
from notes import note
from pytest_memento import results_of
matrix = {"parameters": {"model": results_of("exp_train.py::experiment")}}

def experiment(model):
    note(f"evaluate {model}")
    return model
"""


@pytest.fixture
def stale_pipeline(pytester: pytest.Pytester, notes: Notes) -> pytest.Pytester:
    """Two results, each computed from another one, of code that has changed since."""
    train = pytester.makepyfile(exp_train=TRAIN)
    pytester.makepyfile(exp_evaluate=EVALUATE)
    pytester.runpytest()
    notes()
    train.write_text(TRAIN.replace("lr * 10", "10 * lr"))
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_what_was_only_needed_for_what_is_accepted_does_not_run(
    stale_pipeline: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    arguments = ["exp_evaluate.py", "--memento-accept=model.lr > 0", *workers]
    result = stale_pipeline.runpytest_subprocess(*arguments)
    assert result.parseoutcomes() == {"cached": 2}
    result.stdout.fnmatch_lines(["memento: 2 stale results accepted for the present code"])
    result.stdout.no_fnmatch_line("*whose results are needed*")
    assert notes() == []
    result = stale_pipeline.runpytest_subprocess("exp_train.py", *workers)
    assert result.parseoutcomes() == {"passed": 2}  # nobody has accepted these


def test_what_is_needed_for_the_rest_still_joins(
    stale_pipeline: pytest.Pytester, notes: Notes
) -> None:
    result = stale_pipeline.runpytest("exp_evaluate.py", "--memento-accept=model.lr > 0.1")
    assert result.parseoutcomes() == {"cached": 1, "passed": 2}
    result.stdout.fnmatch_lines(["memento: with 1 experiment of exp_train.py::*"])
    assert notes() == ["train 0.1", "evaluate 1.0"]


def test_only_what_was_asked_for(stale_pipeline: pytest.Pytester, notes: Notes) -> None:
    assert stale_pipeline.runpytest("exp_evaluate.py", "--memento-accept").parseoutcomes() == {
        "cached": 2
    }
    dry = stale_pipeline.runpytest("--collect-only")
    dry.stdout.fnmatch_lines(["exp_train.py*  stale: *", "exp_evaluate.py*  cached: *"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memento-accept=y == 1"], "*--memento-accept: *no experiment has 'y'*"),
        (["--memento-accept=x =="], "*--memento-accept: *"),
        (["--memento-accept", "exp_squares.py"], "*takes 'exp_squares.py' for its expression: *"),
        (["--memento-accept", "exp_squares.py::experiment"], "*takes 'exp_squares.py::*: write *"),
        (["--memento-accept", "exp_squares.py::experiment[x=1]"], "*for its expression: write *"),
        (["--memento-accept", "--memento-cache=refresh"], "*not with --memento-cache=refresh"),
        (["--memento-accept", "--cache-clear"], "*not with --memento-cache=refresh"),
    ],
)
def test_mistakes(pytester: pytest.Pytester, stale: Path, arguments: list[str], said: str) -> None:
    result = pytester.runpytest(*arguments)
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}


UNFINISHED = """
import os
from notes import note

matrix = {"parameters": {"x": [1, 2]}}

def experiment(context, x):
    epoch = context.restore(0)
    note(f"x={x} from {epoch}")
    if not epoch:
        (context.dir / "weights").write_text("of epoch 7")
    context.checkpoint(7)
    assert os.path.exists("well")
    return (context.dir / "weights").read_text()
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_checkpoints_of_other_code(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    file = pytester.makepyfile(exp_a=UNFINISHED)
    assert pytester.runpytest().parseoutcomes() == {"failed": 2}
    assert sorted(notes()) == ["x=1 from 0", "x=2 from 0"]
    file.write_text(UNFINISHED.replace("context.restore(0)", "context.restore(default=0)"))
    dry_run = pytester.runpytest("--collect-only", "--memento-accept")
    dry_run.stdout.fnmatch_lines(
        ["memento: 2 checkpoints of other code would be accepted, to go on from"]
    )
    (pytester.path / "well").touch()
    result = pytester.runpytest_subprocess(*workers, "--memento-accept=x == 1")
    result.stdout.fnmatch_lines(["memento: 1 checkpoint of other code accepted, to go on from"])
    assert result.parseoutcomes() == {"passed": 2}
    assert sorted(notes()) == ["x=1 from 7", "x=2 from 0"]
    values = [each.value for each in load_results("exp_a.py").where("status == 'passed'")]
    assert values == ["of epoch 7"] * 2
