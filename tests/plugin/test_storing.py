"""What is stored, what makes it stale, and what happens when it cannot be stored."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]


def plan(pytester: pytest.Pytester) -> list[str]:
    """Return what ``--collect-only`` says of each experiment."""
    lines = pytester.runpytest("--collect-only").outlines
    return [line.partition("  ")[2] for line in lines if line.startswith("exp_") and "::" in line]


def test_results_are_kept_without_a_warning(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            class Model:
                def __init__(self, depth): self.depth = depth

            matrix = {"parameters": {"depth": [1, 2]}}

            def experiment(depth): return Model(depth)
            def experiment_dict(depth): return {"loss": 0.5, "depth": depth}
            def experiment_none(depth): pass
            def experiment_function(): return Model
            def experiment_lambda(): return lambda: 3
            def experiment_local():
                class Local: pass
                return Local()
        """
    )
    result = pytester.runpytest("-W", "error")
    assert result.parseoutcomes() == {"passed": 12}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 12}
    depths = [result.value.depth for result in load_results("exp_a.py")[:2]]
    assert depths == [1, 2]


def test_other_tests_of_the_file_keep_their_warning(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(x): return x
            def test_other(): return 3
        """
    )
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"passed": 2, "warnings": 1}
    result.stdout.fnmatch_lines(["*PytestReturnNotNoneWarning*test_other*"])


def test_editing_the_code(pytester: pytest.Pytester, notes: Notes) -> None:
    source = """
        from notes import note
        matrix = {"parameters": {"x": [1, 2]}}

        # a comment
        def experiment(x: int):
            "A docstring."
            note(x)
            return x + 1
    """
    pytester.makepyfile(exp_a=source)
    pytester.runpytest()
    notes()

    cosmetic = source.replace("# a comment", "#").replace("A docstring.", "Another.")
    cosmetic = cosmetic.replace("x + 1", "(x  +  1)  # more").replace("x: int", "x")
    pytester.makepyfile(exp_a=cosmetic)
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    assert notes() == []

    pytester.makepyfile(exp_a=source.replace("x + 1", "x + 2"))
    assert plan(pytester) == [
        "stale: code: exp_a.experiment changed" for _ in range(2)
    ]  # fmt: skip
    header = pytester.runpytest("-v")
    assert header.parseoutcomes() == {"passed": 2}
    header.stdout.fnmatch_lines(["memento: 2 experiments: 2 stale;*"])
    assert sorted(notes()) == ["1", "2"]  # the one that took longer comes first
    assert [result.value for result in load_results("exp_a.py")] == [3, 4]

    # The old results are still there.
    pytester.makepyfile(exp_a=source)
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}


def test_an_edit_counts_for_its_own_function_only(pytester: pytest.Pytester) -> None:
    source = """
        matrix = {"parameters": {"x": [1]}}
        def experiment(x): return 1
        def experiment_b(x): return 2
    """
    pytester.makepyfile(exp_a=source)
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.replace("return 2", "return 3"))
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "passed": 1}


def test_changing_a_setting(pytester: pytest.Pytester, notes: Notes) -> None:
    source = """
        from notes import note
        matrix = {{
            "parameters": {{"x": [1, 2]}},
            "settings": {{{settings}}},
            "untracked": ["verbose"],
        }}
        def experiment(x, config):
            note(x)
            return config.settings.asdict()
    """

    def write(settings: str) -> None:
        pytester.makepyfile(exp_a=source.format(settings=settings))

    write("'n_fold': 5, 'verbose': False")
    pytester.runpytest()
    notes()
    write("'verbose': True, 'n_fold': 5")
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    write("'n_fold': 10, 'verbose': True")
    assert plan(pytester) == ["stale: setting n_fold: 5 -> 10"] * 2
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    write("'n_fold': 10, 'verbose': True, 'lr': 0.1")
    assert plan(pytester) == ["stale: setting lr: added (0.1)"] * 2
    write("'n_fold': 5, 'verbose': True")
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    assert sorted(notes()) == ["1", "2"]


def test_adding_a_value_runs_the_new_ones_only(pytester: pytest.Pytester, notes: Notes) -> None:
    source = """
        from notes import note
        matrix = {{"parameters": {{"x": {x}, "y": {y}}}}}
        def experiment(x, y): note(f"{{x}}{{y}}")
    """
    pytester.makepyfile(exp_a=source.format(x="[1, 2]", y="'ab'".join("[]")))
    assert pytester.runpytest().ret == pytest.ExitCode.OK
    notes()
    pytester.makepyfile(exp_a=source.format(x="[3, 2, 1]", y="['ab']"))
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"cached": 2, "passed": 1}
    assert notes() == ["3ab"]
    pytester.makepyfile(exp_a=source.format(x="[1, 2]", y="['ab', 'c']"))
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 2}
    assert sorted(notes()) == ["1c", "2c"]


def test_renaming_the_ids_changes_no_key(pytester: pytest.Pytester) -> None:
    source = "import pytest\nmatrix = {{'parameters': {{'x': [{}]}}}}\ndef experiment(x): pass"
    pytester.makepyfile(exp_a=source.format("1"))
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.format("pytest.param(1, id='first')"))
    again = pytester.runpytest("-v")
    assert again.parseoutcomes() == {"cached": 1}
    again.stdout.fnmatch_lines(["exp_a.py::experiment?x=first? CACHED*"])


def test_damaged_results_count_as_new(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest()
    files = sorted((pytester.path / ".pytest_cache" / "memento" / "results").rglob("*.result"))
    files[0].write_bytes(b"")
    files[1].write_bytes(b"\0" * 1000)
    result = pytester.runpytest()
    counts = result.parseoutcomes()
    assert (counts["cached"], counts["passed"]) == (1, 2)
    assert "INTERNALERROR" not in str(result.stdout)
    result.stdout.fnmatch_lines(["*set aside as*"])
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


# -- failures --------------------------------------------------------------------------------------


def test_failures_are_records_and_run_again(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
            from pathlib import Path
            from notes import note
            matrix = {"parameters": {"x": [1, 2, 3]}}

            def experiment(x, context):
                note(x)
                print("working on", x)
                context.record({"loss": x / 2})
                if x == 2 and not Path("fixed").exists():
                    raise ValueError("no convergence\\nfor two")
                return x
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 2, "failed": 1}
    assert notes() == ["1", "2", "3"]
    failure = next(result for result in load_results("exp_a.py") if result.error)
    assert failure.error == "ValueError: no convergence"
    assert "raise ValueError" in failure.traceback
    assert "working on 2" in failure.output
    assert [value for _, value in failure.metrics["loss"]] == [1.0]

    assert pytester.runpytest("-q").parseoutcomes() == {"cached": 2, "failed": 1}
    assert notes() == ["2"]
    assert plan(pytester)[1].startswith("failed before: ValueError: no convergence (just now)")
    (pytester.path / "fixed").touch()
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 1}
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


def test_a_failure_of_older_code_does_not_hide_its_result(pytester: pytest.Pytester) -> None:
    source = "matrix = {{'parameters': {{'x': [1]}}}}\ndef experiment(x): assert x == {}"
    pytester.makepyfile(exp_a=source.format(1))
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.format(2))
    assert pytester.runpytest().parseoutcomes() == {"failed": 1}
    pytester.makepyfile(exp_a=source.format(1))
    assert pytester.runpytest().parseoutcomes() == {"cached": 1}


# -- what cannot be stored -------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_an_unpicklable_result(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, workers: tuple[str, ...]
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    pytester.makepyfile(
        exp_a="""
            import threading

            class Model:
                def __init__(self, pool): self.parts = {"pool": [0, pool]}

            matrix = {"parameters": {"x": [1, 2, 3]}}

            def experiment(x): return Model(threading.Lock() if x == 2 else x)
        """
    )
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    result = run(*workers, "--memento-notify=console")
    assert result.parseoutcomes() == {"passed": 2, "failed": 1}
    lines = [line for line in result.outlines if "the result cannot be stored: cannot" in line]
    reason = "exp_a.py::experiment[x=2]: the result cannot be stored: cannot pickle"
    assert lines[0].startswith(f"memento: first failure: {reason}")
    assert lines[1].startswith(reason)
    assert "(at .parts['pool'][1])" in lines[0]
    assert "Traceback" not in str(result.stdout)
    assert run(*workers).parseoutcomes() == {"cached": 2, "failed": 1}


def test_a_result_whose_pickling_raises(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            class Bad:
                def __reduce__(self): raise RuntimeError("never")

            class Worse:
                def __repr__(self): raise RuntimeError("no repr")
                @property
                def shape(self): raise RuntimeError("no shape")
                @property
                def __name__(self): raise RuntimeError("no name")

            matrix = {"parameters": {"x": [Bad, Worse, dict]}}
            def experiment(x): return x()
        """
    )
    result = pytester.runpytest()
    assert "INTERNALERROR" not in str(result.stdout)
    counts = result.parseoutcomes()
    assert counts["failed"] in (1, 2)
    assert counts["passed"] == 3 - counts["failed"]
    result.stdout.fnmatch_lines(["*the result cannot be stored: *never*"])


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_a_store_that_cannot_be_made(
    pytester: pytest.Pytester,
    request: pytest.FixtureRequest,
    squares: Path,
    notes: Notes,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    pytester.makepyfile(test_b="def test_b(): pass")
    (pytester.path / "file").touch()
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    result = run("--memento-dir=file/store", *workers)
    counts = result.parseoutcomes()
    assert (counts["failed"], counts["passed"]) == (3, 1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*not run, since its result could not be stored: *file/store*"])
    assert "INTERNALERROR" not in str(result.stdout)
    assert "Traceback" not in str(result.stdout)
    # Hours of work whose result would be lost are not begun.
    assert notes() == []


def test_a_store_that_cannot_be_read(pytester: pytest.Pytester, squares: Path) -> None:
    results = pytester.path / "store" / "results"
    results.parent.mkdir()
    results.touch()
    result = pytester.runpytest("--memento-dir=store")
    assert "INTERNALERROR" not in str(result.stdout)
    assert result.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    assert "Traceback" not in str(result.stdout)


def test_a_store_that_fills_up_while_it_runs(pytester: pytest.Pytester) -> None:
    """The experiment is said to have failed, and the others go on."""
    pytester.makepyfile(
        exp_a="""
            import shutil
            from pathlib import Path
            matrix = {"parameters": {"x": [1, 2, 3]}}

            def experiment(x, context):
                results = Path("store/results")
                if x == 2:
                    results.rename("away")
                    results.touch()
                elif x == 3:
                    results.unlink()
                    Path("away").rename(results)
                return x
        """
    )
    result = pytester.runpytest("--memento-dir=store")
    assert result.parseoutcomes() == {"passed": 2, "failed": 1}
    result.stdout.fnmatch_lines(["*experiment?x=2?: the result cannot be stored: *"])
    assert "INTERNALERROR" not in str(result.stdout)
    assert pytester.runpytest("--memento-dir=store", "-k", "1 or 3").parseoutcomes() == {
        "cached": 2,
        "deselected": 1,
    }


def test_stored_values_of_parameters(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            class Model:
                def __init__(self, depth): self.depth = depth
            matrix = {"parameters": {"model": [Model(1), Model(2)]}}
            def experiment(model): model.depth = 99
        """
    )
    pytester.runpytest()
    # What the experiment did to its copy is not what is remembered.
    assert [result.config.model.depth for result in load_results("exp_a.py")] == [1, 2]


def test_a_result_can_be_unpickled_elsewhere(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest()
    results = load_results(squares)
    assert pickle.loads(pickle.dumps([result.value for result in results])) == [1, 4, 9]


def test_what_did_not_return_is_not_stored(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makeconftest(
        """
        import pytest
        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(): return True
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}
    (pytester.path / "conftest.py").unlink()
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}
