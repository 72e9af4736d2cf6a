"""Only what passed is a result: skips, xfails and errors are reported as ever and never stored."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

OUTCOMES = """
    import pytest
    from notes import note

    matrix = {{"parameters": {{"x": [1]}}}}

    @pytest.fixture
    def broken(): raise ValueError("on the way up")

    @pytest.fixture
    def breaks_after():
        yield
        raise ValueError("on the way down")

    {mark}
    def experiment(x, {argument}):
        note("ran")
        {body}
        return x
"""
# name: mark, argument, body, first outcome, second outcome, runs of both
CASES = {
    "skip": ("", "request", "pytest.skip('not here')", {"skipped": 1}, {"skipped": 1}, 2),
    "importorskip": ("", "request", "pytest.importorskip('nonsense_')",
                     {"skipped": 1}, {"skipped": 1}, 2),
    "mark skip": ("@pytest.mark.skip", "request", "", {"skipped": 1}, {"skipped": 1}, 0),
    "mark skipif": ("@pytest.mark.skipif('1 == 1', reason='so')", "request", "",
                    {"skipped": 1}, {"skipped": 1}, 0),
    "skip in a fixture": ("@pytest.mark.usefixtures('broken')", "broken", "",
                          {"errors": 1}, {"errors": 1}, 0),
    "xfail": ("@pytest.mark.xfail", "request", "assert 0", {"xfailed": 1}, {"xfailed": 1}, 2),
    "xfail call": ("", "request", "pytest.xfail('known')", {"xfailed": 1}, {"xfailed": 1}, 2),
    "xfail run=False": ("@pytest.mark.xfail(run=False)", "request", "",
                        {"xfailed": 1}, {"xfailed": 1}, 0),
    "xpass": ("@pytest.mark.xfail", "request", "", {"xpassed": 1}, {"cached": 1}, 1),
    "strict xpass": ("@pytest.mark.xfail(strict=True)", "request", "",
                     {"failed": 1}, {"failed": 1}, 2),
    "setup error": ("", "broken", "", {"errors": 1}, {"errors": 1}, 0),
    "teardown error": ("", "breaks_after", "", {"passed": 1, "errors": 1}, {"cached": 1}, 1),
    "assert": ("", "request", "assert x == 2", {"failed": 1}, {"failed": 1}, 2),
    "pytest.fail": ("", "request", "pytest.fail('so')", {"failed": 1}, {"failed": 1}, 2),
    "pytest.raises": ("", "request", "with pytest.raises(OSError): pass",
                      {"failed": 1}, {"failed": 1}, 2),
    "SystemExit": ("", "request", "raise SystemExit(3)", {"failed": 1}, {"failed": 1}, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_twice(pytester: pytest.Pytester, notes: Notes, name: str) -> None:
    mark, argument, body, first, second, runs = CASES[name]
    pytester.makepyfile(exp_a=OUTCOMES.format(mark=mark, argument=argument, body=body))
    assert pytester.runpytest().parseoutcomes() == first
    assert pytester.runpytest().parseoutcomes() == second
    assert len(notes()) == runs
    good = [result for result in load_results("exp_a.py") if result.error is None]
    assert len(good) == (1 if "cached" in second else 0)


def test_the_same_in_workers(pytester: pytest.Pytester, notes: Notes, xdist: None) -> None:
    expected: dict[str, int] = {}
    after: dict[str, int] = {}
    for number, (mark, argument, body, first, second, _) in enumerate(CASES.values()):
        name = f"exp_{number:02}"
        pytester.makepyfile(**{name: OUTCOMES.format(mark=mark, argument=argument, body=body)})
        for counts, more in ((expected, first), (after, second)):
            for outcome, count in more.items():
                counts[outcome] = counts.get(outcome, 0) + count
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == expected
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == after


def test_no_failure_of_our_own_in_a_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}

            def helper(x): raise ValueError(x)
            def experiment(x): helper(x)
        """
    )
    for style in ("auto", "long", "short", "line"):  # "native" hides nothing, nor pytest's own
        result = pytester.runpytest(f"--tb={style}")
        result.stdout.fnmatch_lines(["*ValueError: 1*"])
        assert "pytest_memento" not in str(result.stdout), style


def test_a_mark_in_the_matrix(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [
                1,
                pytest.param(2, marks=pytest.mark.skip(reason="too large")),
                pytest.param(3, marks=pytest.mark.xfail(raises=ValueError)),
                pytest.param(4, marks=[pytest.mark.xfail(strict=True)]),
            ]}}
            def experiment(x):
                if x == 3: raise ValueError
        """
    )
    counts = {"passed": 1, "skipped": 1, "xfailed": 1, "failed": 1}
    assert pytester.runpytest().parseoutcomes() == counts
    counts = {"cached": 1, "skipped": 1, "xfailed": 1, "failed": 1}
    assert pytester.runpytest().parseoutcomes() == counts


def test_interrupting_keeps_what_is_done(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            from pathlib import Path
            matrix = {"parameters": {"x": [1, 2, 3]}}
            def experiment(x):
                if x == 2 and not Path("go").exists(): raise KeyboardInterrupt
                return x
        """
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    (pytester.path / "go").touch()
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "passed": 2}


def test_pytest_exit(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(x):
                if x == 2: pytest.exit("enough")
        """
    )
    assert pytester.runpytest_subprocess().ret == pytest.ExitCode.INTERRUPTED
    assert [result.error for result in load_results("exp_a.py")] == [None]


def test_subtests(pytester: pytest.Pytester) -> None:
    pytest.importorskip("_pytest.subtests", reason="this pytest has no subtests")
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(x, subtests):
                for fold in range(2):
                    with subtests.test(fold=fold): assert fold < x
                return x
        """
    )
    result = pytester.runpytest()
    assert "INTERNALERROR" not in str(result.stdout)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    again = pytester.runpytest()
    assert again.ret == pytest.ExitCode.TESTS_FAILED, "a failing part made a result"


def test_warnings_in_an_experiment_are_shown(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import warnings
            matrix = {"parameters": {"x": [1]}}
            def experiment(x): warnings.warn("no convergence")
        """
    )
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"passed": 1, "warnings": 1}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 1}


def test_a_debugger_can_stop_in_an_experiment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="matrix = {'parameters': {'x': [1]}}\ndef experiment(x):\n    assert x == 2"
    )
    child = pytester.run(
        sys.executable, "-c",
        "import sys, pytest; sys.exit(pytest.main(['--pdb', '-p', 'no:xdist']))", stdin=b"p x\nc\n",
    )  # fmt: skip
    child.stdout.fnmatch_lines(["*entering PDB*", "*exp_a.py(3)experiment()"])
    assert child.ret == pytest.ExitCode.TESTS_FAILED
