"""--memento-cache, and what pytest's own options mean for the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]


def stored(pytester: pytest.Pytester) -> dict[str, float]:
    """Return the stored results of a project with the times they were written."""
    files = (pytester.path / ".pytest_cache" / "memento").rglob("*.result")
    return {file.name: file.stat().st_mtime_ns for file in files}


def test_use_is_the_default(pytester: pytest.Pytester, squares: Path, notes: Notes) -> None:
    pytester.runpytest("-k", "1")
    assert pytester.runpytest("--memento-cache=use").parseoutcomes() == {"cached": 1, "passed": 2}
    assert notes() == ["x=1", "x=2", "x=3"]


@pytest.mark.parametrize("option", ["--memento-cache=refresh", "--cache-clear"])
def test_refresh_runs_all_and_replaces(
    pytester: pytest.Pytester, squares: Path, notes: Notes, option: str
) -> None:
    pytester.runpytest()
    before = stored(pytester)
    notes()
    result = pytester.runpytest(option)
    assert result.parseoutcomes() == {"passed": 3}
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]
    after = stored(pytester)
    assert before.keys() == after.keys()
    assert all(after[name] > before[name] for name in before)
    result.stdout.fnmatch_lines(["memento: 3 experiments: *refresh*"])
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


def test_refresh_replaces_on_success_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            from pathlib import Path
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(x):
                assert x == 1 or not Path("broken").exists()
                return x
        """
    )
    pytester.runpytest()
    (pytester.path / "broken").touch()
    refreshed = pytester.runpytest("--memento-cache=refresh")
    assert refreshed.parseoutcomes() == {"passed": 1, "failed": 1}
    assert [result.value for result in load_results("exp_a.py")] == [1, 2]
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}


def test_only_runs_nothing(pytester: pytest.Pytester, squares: Path, notes: Notes) -> None:
    pytester.makepyfile(test_b="def test_b(): pass")
    pytester.runpytest("-k", "1 or 2")
    notes()
    before = stored(pytester)
    result = pytester.runpytest("--memento-cache=only")
    assert result.parseoutcomes() == {"cached": 2, "failed": 1, "passed": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["no stored result (new: *), and --memento-cache=only runs nothing"]
    )
    # pytest 8.2 puts no reason here that is not from a traceback.
    result.stdout.fnmatch_lines(["FAILED exp_squares.py::experiment?x=3?*"])
    assert notes() == []
    assert stored(pytester) == before
    pytester.runpytest()
    assert pytester.runpytest("--memento-cache=only").ret == 0


def test_only_says_why(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest()
    squares.write_text(squares.read_text().replace("x * x", "x * x * x"))
    result = pytester.runpytest("--memento-cache=only")
    assert result.parseoutcomes() == {"failed": 3}
    result.stdout.fnmatch_lines(["*(stale: code: exp_squares.experiment changed)*"])


def test_only_in_workers(pytester: pytest.Pytester, squares: Path, xdist: None) -> None:
    pytester.runpytest("-k", "1 or 2")
    result = pytester.runpytest_subprocess("--memento-cache=only", "-n2")
    assert result.parseoutcomes() == {"cached": 2, "failed": 1}


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_off_neither_reads_nor_writes(
    pytester: pytest.Pytester,
    request: pytest.FixtureRequest,
    squares: Path,
    notes: Notes,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    off = run("--memento-cache=off", *workers)
    assert off.parseoutcomes() == {"passed": 3}
    off.stdout.fnmatch_lines(["memento: 3 experiments: all run; no store (--memento-cache=off)"])
    assert not (pytester.path / ".pytest_cache" / "memento").exists()
    pytester.runpytest()
    before = stored(pytester)
    notes()
    assert run("--memento-cache=off", *workers).parseoutcomes() == {"passed": 3}
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]
    assert stored(pytester) == before


def test_off_leaves_nothing_behind(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdist: None
) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(context):
                context.checkpoint(1)
                assert context.restore() == 1
                (context.dir / "a").touch()
                return object
        """
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    for workers in ((), ("-n2",)):
        result = pytester.runpytest_subprocess("--memento-cache=off", *workers)
        assert result.parseoutcomes() == {"passed": 2}
    assert [path.name for path in scratch.iterdir() if path.name.startswith("memento")] == []


def test_off_takes_what_cannot_be_stored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import threading
            matrix = {"parameters": {"x": [1]}}
            def experiment(x): return threading.Lock()
        """
    )
    assert pytester.runpytest("--memento-cache=off").parseoutcomes() == {"passed": 1}


def test_a_wrong_mode(pytester: pytest.Pytester, squares: Path) -> None:
    result = pytester.runpytest("--memento-cache=maybe")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*argument --memento-cache: invalid choice: 'maybe'*"])


# -- options of pytest -----------------------------------------------------------------------------


def test_without_the_cacheprovider(pytester: pytest.Pytester, squares: Path) -> None:
    arguments = ("-p", "no:cacheprovider", "-W", "error")
    assert pytester.runpytest(*arguments).parseoutcomes() == {"passed": 3}
    assert pytester.runpytest(*arguments).parseoutcomes() == {"cached": 3}
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


def test_without_the_terminal(pytester: pytest.Pytester, squares: Path, notes: Notes) -> None:
    for expected in (["x=1", "x=2", "x=3"], []):
        result = pytester.runpytest("-p", "no:terminal")
        assert result.ret == 0
        assert notes() == expected
        assert result.outlines == []


def test_without_the_terminal_in_workers(
    pytester: pytest.Pytester, squares: Path, notes: Notes, xdist: None
) -> None:
    for expected in (["x=1", "x=2", "x=3"], []):
        assert pytester.runpytest_subprocess("-p", "no:terminal", "-n2").ret == 0
        assert sorted(notes()) == expected


def test_without_xdist(pytester: pytest.Pytester, squares: Path) -> None:
    assert pytester.runpytest("-p", "no:xdist").parseoutcomes() == {"passed": 3}
    assert pytester.runpytest("-p", "no:xdist", "-v").parseoutcomes() == {"cached": 3}


def test_without_assertion_rewriting_and_capturing(
    pytester: pytest.Pytester, squares: Path
) -> None:
    for options, outcome in (
        ("--assert=plain", "passed"),
        ("-s", "cached"),
        ("--capture=tee-sys", "cached"),
    ):
        assert pytester.runpytest(options).parseoutcomes() == {outcome: 3}


def test_without_the_plugin(pytester: pytest.Pytester, squares: Path) -> None:
    result = pytester.runpytest("-p", "no:memento")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_clearing_the_cache_directory_of_pytest(pytester: pytest.Pytester, squares: Path) -> None:
    """``--cache-clear`` of a suite without experiments deletes no result either."""
    pytester.makepyfile(test_b="def test_b(): pass")
    pytester.runpytest("exp_squares.py")
    assert pytester.runpytest("--cache-clear", "test_b.py").parseoutcomes() == {"passed": 1}
    assert pytester.runpytest("exp_squares.py").parseoutcomes() == {"cached": 3}
