"""What is on record of each run: commit, command line, seed; and that looking starts nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Calls = Callable[[], int]


def git(*arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def calls(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """How often git was started since it was last asked."""
    real = shutil.which("git")
    if real is None:
        pytest.skip("needs git")
    log = pytester.path / "git.log"
    fake = pytester.mkdir("bin") / "git"
    fake.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec {real} "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")

    def read() -> int:
        count = len(log.read_text().splitlines()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return count

    return read


def test_git_is_asked_only_where_something_runs(
    pytester: pytest.Pytester, squares: Path, calls: Calls
) -> None:
    pytester.makepyfile(exp_skipped="import pytest\nmatrix = {'parameters': {'x': [1]}}\n"
                        "@pytest.mark.skip\ndef experiment(x): pass", test_a="def test_a(): pass")  # fmt: skip
    pytester.runpytest_subprocess("--collect-only")
    pytester.runpytest_subprocess("test_a.py", "exp_skipped.py")
    assert calls() == 0
    assert pytester.runpytest_subprocess().parseoutcomes()["passed"] == 4
    assert 0 < calls() <= 3
    assert pytester.runpytest_subprocess("exp_squares.py").parseoutcomes() == {"cached": 3}
    assert calls() == 0


def test_the_commit_and_what_differs(pytester: pytest.Pytester, squares: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    # What pytester itself leaves there, and what the experiments do.
    Path(".gitignore").write_text("std*\nrunpytest*\nnotes.txt\n")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    pytester.runpytest_subprocess("exp_squares.py")
    first = load_results()[0]
    assert first.commit == git("rev-parse", "HEAD")
    assert (first.environment["dirty"], first.environment["diff"]) == (False, None)

    squares.write_text(squares.read_text().replace("x * x", "x + x"))
    pytester.runpytest_subprocess("exp_squares.py", "-x")
    second = load_results()[0]
    assert second.commit == first.commit
    assert second.environment["dirty"] is True
    assert second.environment["diff"]
    assert second.environment["command"][-2:] == ["exp_squares.py", "-x"]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_the_command_line(
    pytester: pytest.Pytester,
    squares: Path,
    request: pytest.FixtureRequest,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--my-token')")
    typed = ("exp_squares.py", "--my-token=abcd", "-p", "no:cacheprovider", *workers)
    command = pytester.runpytest_subprocess(*typed)
    assert command.parseoutcomes() == {"passed": 3}
    kept = [result.environment["command"] for result in load_results()]
    assert all(each[0] == "pytest" for each in kept)
    assert all({"exp_squares.py", "--my-token=***", *workers} <= {*each} for each in kept)
    documents = pytester.path.rglob("memento/documents/*")
    assert not any(b"abcd" in path.read_bytes() for path in documents if path.is_file())


def test_the_seed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(context): return context.seed
            def experiment_fails(x): assert x == 0
        """
    )
    pytester.runpytest()
    passed = load_results().where("status == 'passed'")
    assert [result.value for result in passed] == [result.seed for result in passed]
    assert len({result.seed for result in load_results()}) == 4


def test_results_of_a_commit(pytester: pytest.Pytester, squares: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    (pytester.path / ".gitignore").write_text(".*\nnotes.txt\n__pycache__\n")
    git("init", "--quiet")
    commits = []
    for change in ("return", "return 0.5 +"):
        squares.write_text(squares.read_text().replace("return", change))
        git("add", "--all")
        git("commit", "--quiet", "--message=As it is")
        commits.append(git("rev-parse", "HEAD"))
        assert pytester.runpytest_subprocess().parseoutcomes()["passed"] == 3
    before, after = (load_results("exp_squares.py", commit=commit[:7]) for commit in commits)
    assert [result.commit for result in before] == [commits[0]] * 3
    found = after.compare(before)
    assert [change.details["result"] for change in found.changed] == [
        ("1", "1.5"), ("4", "4.5"), ("9", "9.5")
    ]  # fmt: skip
