"""Where a function's matrix comes from: marker, nearest fixture, module variable."""

from __future__ import annotations

import pytest


def ids(result: pytest.RunResult) -> list[str]:
    """Return what ``--collect-only -q`` printed, without the file."""
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


def collect(pytester: pytest.Pytester, *more: str) -> list[str]:
    """Return the ids of the experiments of a project."""
    result = pytester.runpytest("--collect-only", "-q", *more)
    assert result.ret == 0, result.outlines
    return ids(result)


def test_the_order_is_marker_fixture_variable(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def matrix(): return {"parameters": {"x": ["conftest"]}}
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest

            matrix = {"parameters": {"x": ["variable"]}}

            def experiment(x): pass
        """,
        exp_b="""
            import pytest

            @pytest.fixture
            def matrix(): return {"parameters": {"x": ["module"]}}

            def experiment(x): pass

            @pytest.mark.memento(matrix={"parameters": {"x": ["marker"]}})
            def experiment_b(x): pass

            class Experiment:
                @pytest.fixture
                def matrix(self): return {"parameters": {"x": ["class"]}}

                def experiment(self, x): pass

                class ExperimentInner:
                    def experiment(self, x): pass

            @pytest.mark.memento(matrix={"parameters": {"x": ["marked class"]}})
            class ExperimentB:
                def experiment(self, x): pass

                @pytest.mark.memento(matrix={"parameters": {"x": ["marked method"]}})
                def experiment_b(self, x): pass
        """,
    )
    # The nearest fixture wins over the variable, even one from above.
    assert collect(pytester) == [
        "experiment[x=conftest]",
        "experiment[x=module]",
        "experiment_b[x=marker]",
        "Experiment::experiment[x=class]",
        "Experiment::ExperimentInner::experiment[x=class]",
        "ExperimentB::experiment[x=marked class]",
        "ExperimentB::experiment_b[x=marked method]",
    ]


def test_a_module_variable(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = [{"parameters": {"x": [1]}}, {"parameters": {"x": [2]}}]
            def experiment(x): pass
        """
    )
    assert collect(pytester) == ["experiment[x=1]", "experiment[x=2]"]


def test_pytestmark(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            pytestmark = pytest.mark.memento(matrix={"parameters": {"x": [1]}})
            def experiment(x): pass
        """
    )
    assert collect(pytester, "--strict-markers") == ["experiment[x=1]"]


def test_an_imported_matrix_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        shared="""
            import pytest

            @pytest.fixture(name="matrix")
            def make(): return {"parameters": {"x": [1]}}
        """,
        exp_a="from shared import make\ndef experiment(x): pass",
        exp_b="from shared import *\ndef experiment(x): pass",
    )
    pytester.makeconftest("import sys; sys.path.insert(0, '.')")
    # exp_a says neither 'matrix' nor 'memento': it is not known for ours.
    assert collect(pytester) == ["experiment[x=1]"]


def test_a_fixture_is_a_real_one(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def sizes():
            print("session up")
            yield [1, 2]
            print("session down")

        @pytest.fixture(autouse=True, scope="session")
        def never_at_collection(request):
            with open("autouse.txt", "a") as file:
                file.write("up ")
            yield
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest
            from pathlib import Path

            @pytest.fixture
            def matrix(sizes, tmp_path, request, monkeypatch, tmp_path_factory, pytestconfig):
                assert tmp_path.is_dir()
                assert Path(request.path).name == "exp_a.py" and request.module.VALUE == 3
                monkeypatch.setenv("AT_COLLECTION", "1")
                with open("log.txt", "a") as file:
                    file.write("up ")
                yield {"parameters": {"x": [*sizes, request.module.VALUE]}}
                with open("log.txt", "a") as file:
                    file.write("down ")

            VALUE = 3

            def experiment(x):
                import os
                assert "AT_COLLECTION" not in os.environ
                assert Path("log.txt").read_text() == "up down "
            def experiment_b(x): pass
            class Experiment:
                def experiment(self, x): pass
        """
    )
    result = pytester.runpytest("--collect-only", "-q")
    assert len(ids(result)) == 9
    assert not (pytester.path / "autouse.txt").exists()
    # Asking for ``request`` may give another value in another class.
    assert (pytester.path / "log.txt").read_text() in ("up down ", "up down up down ")


def test_it_is_evaluated_once_for_several_functions(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def matrix():
            with open("log.txt", "a") as file:
                file.write("up ")
            return {"parameters": {"x": [1]}}
        """
    )
    source = """
        def experiment(x): pass
        def experiment_b(x): pass
        class Experiment:
            def experiment(self, x): pass
    """
    pytester.makepyfile(exp_a=source, exp_b=source)
    assert len(collect(pytester)) == 6
    assert (pytester.path / "log.txt").read_text() == "up "


def test_nothing_else_is_set_up_when_everything_is_cached(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            def say(text):
                with open("log.txt", "a") as file:
                    file.write(text + " ")

            @pytest.fixture
            def matrix():
                say("matrix")
                return {"parameters": {"x": [1]}}

            @pytest.fixture(autouse=True, scope="module")
            def around():
                say("around")

            @pytest.fixture
            def data():
                say("data")

            def experiment(x, data): say("run")
        """
    )
    log = pytester.path / "log.txt"
    pytester.runpytest()
    assert log.read_text() == "matrix around data run "
    log.unlink()
    pytester.runpytest()
    assert log.read_text() == "matrix "


def test_a_conftest_matrix_with_a_fixture_that_modules_override(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def models(): return ["base"]

        @pytest.fixture
        def matrix(models): return {"parameters": {"model": models}}
        """
    )
    override = """
        import pytest

        @pytest.fixture
        def models({}): return {}

        def experiment(model): return model
    """
    pytester.makepyfile(
        exp_a="def experiment(model): return model",
        exp_b=override.format("", "['own']"),
        exp_c=override.format("models", "[*models, 'more']"),
    )
    assert collect(pytester) == [
        "experiment[model=base]",
        "experiment[model=own]",
        "experiment[model=base]",
        "experiment[model=more]",
    ]


def test_a_matrix_that_builds_on_the_one_above(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def matrix(): return {"parameters": {"x": [1]}, "settings": {"n": 1}}
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture
            def matrix(matrix): return {**matrix, "parameters": {"x": [1, 2]}}

            def experiment(x, n): return x

            class Experiment:
                @pytest.fixture
                def matrix(self, matrix): return {**matrix, "parameters": {"x": [7]}}

                def experiment(self, x, n): return x
        """
    )
    assert collect(pytester) == [
        "experiment[x=1]",
        "experiment[x=2]",
        "Experiment::experiment[x=7]",
    ]


def test_a_matrix_fixture_of_wider_scope(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture(scope="session")
            def matrix(tmp_path_factory): return {"parameters": {"x": [1]}}

            def experiment(x): return x
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 1}
    assert pytester.runpytest().parseoutcomes() == {"cached": 1}


def test_a_fixture_of_the_instance(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            class Experiment:
                sizes = [1, 2]

                @pytest.fixture
                def matrix(self): return {"parameters": {"x": self.sizes}}

                def experiment(self, x): return x

            class ExperimentLarger(Experiment):
                sizes = [3]
        """
    )
    assert collect(pytester) == [
        "Experiment::experiment[x=1]",
        "Experiment::experiment[x=2]",
        "ExperimentLarger::experiment[x=3]",
    ]


def test_an_experiment_that_asks_for_its_matrix(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture
            def matrix(): return {"parameters": {"x": [1, 2]}}

            def experiment(x, matrix):
                assert x in matrix["parameters"]["x"]
                return x
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 2}


# -- when it goes wrong ----------------------------------------------------------------------------

BROKEN = """
    import pytest

    def helper():
        raise ValueError("no data")

    @pytest.fixture
    def data(): {data}

    @pytest.fixture
    def matrix(data): {matrix}

    def experiment(x): raise RuntimeError
    def experiment_b(x): raise RuntimeError
"""


def test_a_failing_fixture_shows_its_own_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a=BROKEN.format(data="helper()", matrix="pass"), test_b="def test_b(): pass"
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            "*ERROR collecting exp_a.py*",
            "exp_a.py::experiment: the matrix fixture failed",
            '>*raise ValueError("no data")',
            "E*ValueError: no data",
            "exp_a.py:4: ValueError",
        ]
    )
    assert str(result.stdout).count("ValueError: no data") == 1
    assert "pytest_memento" not in str(result.stdout)
    assert "INTERNALERROR" not in str(result.stdout)


def test_other_files_run_with_continue_on_collection_errors(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a=BROKEN.format(data="helper()", matrix="pass"),
        exp_b="matrix = {'parameters': {'x': [1]}}\ndef experiment(x): return x",
    )
    result = pytester.runpytest("--continue-on-collection-errors")
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    again = pytester.runpytest("--continue-on-collection-errors")
    assert again.parseoutcomes() == {"cached": 1, "errors": 1}


def test_a_failing_teardown_of_the_fixture(pytester: pytest.Pytester) -> None:
    matrix = "yield {'parameters': {'x': [1]}}; helper()"
    pytester.makepyfile(exp_a=BROKEN.format(data="pass", matrix=matrix))
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["E*ValueError: no data"])


def test_a_fixture_that_returns_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=BROKEN.format(data="pass", matrix="{'parameters': {'x': [1]}}"))
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        ["exp_a.py::experiment: the matrix is None, *(does the fixture return it?)"]
    )


def test_a_fixture_that_skips(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=BROKEN.format(data="pytest.skip('no GPU here')", matrix="pass"))
    result = pytester.runpytest("-rs")
    assert result.parseoutcomes() == {"skipped": 2}
    result.stdout.fnmatch_lines(["SKIPPED * no GPU here"])
    assert result.ret == 0


def test_a_fixture_that_is_not_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture
            def matrix(nonsense): pass

            def experiment(x): pass
        """
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["E*fixture 'nonsense' not found"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "INTERNALERROR" not in str(result.stdout)


def test_a_fixture_that_wants_the_config(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture
            def matrix(config): return {"parameters": {"x": [1]}}

            def experiment(x): pass
        """
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*fixture 'config'*"])
    assert "INTERNALERROR" not in str(result.stdout)


def test_what_a_fixture_prints_is_shown_if_it_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a=BROKEN.format(data="print('looking for data'); helper()", matrix="pass")
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["*looking for data*"])


def test_what_a_fixture_prints_is_not_shown_otherwise(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            print("at import")

            @pytest.fixture
            def matrix():
                print("at work")
                return {"parameters": {"x": [1]}}

            def experiment(x): pass

            print("at the end")
        """
    )
    result = pytester.runpytest()
    result.stdout.no_fnmatch_line("*at work*")
    result.stdout.no_fnmatch_line("*at the end*")
    assert pytester.runpytest("-s", "--memento-cache=off").stdout.str().count("at work") == 1


@pytest.mark.parametrize("option", ["--setup-only", "--setup-plan"])
def test_options_that_only_set_up(pytester: pytest.Pytester, option: str) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture
            def matrix(): return {"parameters": {"x": [1]}}

            def experiment(x): raise RuntimeError
        """
    )
    result = pytester.runpytest(option)
    assert result.ret == 0
    # Nothing was run: nothing is stored.
    assert pytester.runpytest().parseoutcomes() == {"failed": 1}


def test_a_parametrized_matrix_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture(params=[1, 2])
            def matrix(request): return {"parameters": {"x": [request.param]}}

            def experiment(x): pass
        """
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "INTERNALERROR" not in str(result.stdout)


def test_a_matrix_in_a_class_leaves_the_terminal_alone(pytester: pytest.Pytester) -> None:
    """Of what is collected only modules are captured, and a class is no module."""
    pytester.makepyfile(
        exp_a="""
            import pytest
            class ExperimentA:
                @pytest.fixture
                def matrix(self): return {"parameters": {"k": [1, 2]}}
                def experiment(self, k): return k
        """
    )
    for outcome in ("..", "cc"):
        result = pytester.runpytest_subprocess()
        result.stdout.fnmatch_lines(["collected 2 items", "memento: 2 experiments: *",
                                     f"exp_a.py {outcome} *"])  # fmt: skip
