"""A suite without a matrix behaves to the letter as without the plugin."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

# What differs between two runs of anything: times, addresses, the list of plugins.
_VOLATILE = re.compile(
    r" in \d+\.\d+s( \(.*\))?|^plugins: .*$|^\d+\.\d+s .*$|0x[0-9a-f]+|^(hook_impls|methods) = .*$",
    re.MULTILINE,
)

OWN_FIXTURES = """
    import pytest

    @pytest.fixture
    def config():
        return {"mine": 1}

    @pytest.fixture
    def context(config):
        yield [config]

    @pytest.fixture(params=[1, 2])
    def matrix(request):
        return [[request.param, 0], [0, request.param]]

    def test_config(config):
        assert config == {"mine": 1}

    def test_context(context, matrix):
        assert context == [{"mine": 1}] and matrix[0][0] in (1, 2)

    class TestGroup:
        @pytest.fixture
        def config(self, config):
            return {**config, "deeper": 2}

        @pytest.mark.parametrize("model", ["a", "b"])
        def test_override(self, config, model):
            assert set(config) == {"mine", "deeper"}
"""
ALL_OUTCOMES = """
    import pytest, warnings

    @pytest.fixture
    def broken():
        raise ValueError("set-up")

    @pytest.fixture
    def breaks_after():
        yield
        raise ValueError("tear-down")

    def test_pass(): pass
    def test_fail(): assert 1 == 2
    def test_skip(): pytest.skip("not now")
    def test_setup(broken): pass
    def test_teardown(breaks_after): pass
    def test_warn(): warnings.warn("look")
    @pytest.mark.xfail
    def test_xfail(): assert 0
    @pytest.mark.xfail
    def test_xpass(): pass
    def test_returns(): return 3
    class ExperimentX:
        def test_never(self): assert 0
        def experiment(self): assert 0
    class TestX:
        def experiment_never(self): assert 0
    def experiment(): assert 0
    def experiment_never(config): assert 0
"""
EXPLODES = """
    raise RuntimeError("imported")

    def test_schema(): pass
    def experiment_name(): return "x"
    class ExperimentError(Exception): pass
"""
MODULE_MATRIX = """
    matrix = [[1, 0], [0, 1]]

    def test_identity():
        assert matrix[0][0] == 1
"""
BROKEN_VALUES = """
    import pytest

    @pytest.mark.parametrize("x,y", [1])
    def test_wrong_values(x, y): pass
"""
BROKEN_IDS = """
    import pytest

    @pytest.mark.parametrize("x", [1], ids=lambda x: 1 / 0)
    def test_wrong_ids(x): pass
"""
BROKEN_HOOK = """
    def pytest_generate_tests(metafunc): 1 / 0
    def test_wrong_hook(): pass
"""


def both(
    pytester: pytest.Pytester, *arguments: str, apart: bool = False
) -> tuple[list[str], list[str]]:
    """Return what a user sees without and with the plugin, and check the exit codes."""
    run = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
    without = run("-p", "no:cacheprovider", "-p", "no:memento", *arguments)
    having = run("-p", "no:cacheprovider", *arguments)
    assert having.ret == without.ret
    return _cleaned(without.outlines), _cleaned(having.outlines)


def _cleaned(lines: Sequence[str]) -> list[str]:
    return _VOLATILE.sub("", "\n".join(lines)).splitlines()


@pytest.mark.parametrize("arguments", [("-v",), ("-q",), ("-W", "error"), ("--collect-only",),
                                       ("--fixtures-per-test",), ("--setup-show",),
                                       ("--durations=0", "--durations-min=0"),
                                       ("-x", "-k", "test_fail or config")], ids=" ".join)  # fmt: skip
def test_output_is_the_same(pytester: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    pytester.makepyfile(test_a=OWN_FIXTURES, test_b=ALL_OUTCOMES, test_c=MODULE_MATRIX)
    without, having = both(pytester, *arguments)
    assert having == without


@pytest.mark.parametrize("suite", [BROKEN_VALUES, BROKEN_IDS, BROKEN_HOOK])
def test_errors_of_collection_are_the_same(pytester: pytest.Pytester, suite: str) -> None:
    pytester.makepyfile(suite)
    without, having = both(pytester)
    assert having == without


def test_output_is_the_same_with_workers(pytester: pytest.Pytester, xdist: None) -> None:
    pytester.makepyfile(test_a=OWN_FIXTURES, test_b=ALL_OUTCOMES)
    without, having = both(pytester, "-n2", "-q", apart=True)
    # The letters of the progress come in the order in which workers end.
    assert {*map(str.strip, having)} ^ {*map(str.strip, without)} <= {
        line for line in (*having, *without) if "[100%]" in line
    }


def test_output_is_the_same_without_the_terminal(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ALL_OUTCOMES)
    without, having = both(pytester, "-p", "no:terminal")
    assert having == without == []


def test_a_fixture_that_is_missing_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nonsense(nonsense): pass")
    without, having = both(pytester)
    # Ours are offered beside pytest's own.
    assert [x for x in having if "available" not in x] == [
        x for x in without if "available" not in x
    ]


def test_config_without_matrix_says_what_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_config(config): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'config' of pytest-memento needs a matrix: *"])


@pytest.mark.parametrize("name", ["exp_utils", "experiment_helpers"])
def test_files_with_our_names_are_not_imported(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(**{name: EXPLODES, "test_x": "def test_x(): pass"})
    without, having = both(pytester, "-v")
    assert having == without
    having_named = pytester.runpytest("-p", "no:memento", name + ".py")
    assert having_named.ret == pytester.runpytest(name + ".py").ret


def test_files_with_our_names_that_the_user_collects(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\npython_files = exp_*.py\npython_functions = check_* test_*")
    pytester.makepyfile(
        exp_users="""
            def check_one(): pass
            def test_two(): assert [1] == [2]
            def experiment(): assert 0
            class ExperimentX:
                def test_never(self): assert 0
        """
    )
    without, having = both(pytester, "-v")
    assert having == without
    without, having = both(pytester, "--collect-only")
    assert having == without


def test_another_plugin_has_a_config_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        their_plugin="""
            import pytest

            @pytest.fixture(scope="session")
            def config():
                return "theirs"
        """,
        test_theirs="""
            import pytest

            def test_config(config):
                assert config == "theirs"

            @pytest.fixture(scope="module")
            def wider(config):
                return config

            def test_wider(wider):
                assert wider == "theirs"
        """,
    )
    pytester.syspathinsert()
    without, having = both(pytester, "-p", "their_plugin", "-v")
    assert having == without
    assert sum("PASSED" in line for line in having) == 2


def test_a_conftest_has_a_config_fixture_and_a_matrix(pytester: pytest.Pytester) -> None:
    """A ``matrix`` fixture for linear algebra is none of our business."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def config(): return {"solver": "lu"}

        @pytest.fixture(scope="session", params=[2, 3], ids=str)
        def matrix(request, config): return [[0] * request.param] * request.param
        """
    )
    pytester.makepyfile(
        """
        import pytest

        def test_solve(matrix, config):
            assert len(matrix) in (2, 3) and config["solver"] == "lu"

        @pytest.mark.parametrize("model", [1, 2])
        def test_model(model, config): pass
        """
    )
    without, having = both(pytester, "-v")
    assert having == without


def test_the_matrix_of_a_suite_is_not_evaluated(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
            import pytest

            @pytest.fixture
            def matrix():
                print("EVALUATED")
                return [1]

            def test_own(matrix): assert matrix == [1]
            def test_other(): pass
        """,
    )
    result = pytester.runpytest("-v", "-rP")
    assert str(result.stdout).count("EVALUATED") == 1


def test_nothing_is_written(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ALL_OUTCOMES)
    pytester.runpytest()
    assert not (pytester.path / ".pytest_cache" / "memento").exists()


def test_unittest_and_doctest_items(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_old="""
            import unittest

            def half(x):
                '''
                >>> half(4)
                2.0
                '''
                return x / 2

            class ExperimentCase(unittest.TestCase):
                def test_one(self): self.assertEqual(half(2), 1)
                def experiment(self): raise RuntimeError
        """
    )
    without, having = both(pytester, "-v", "--doctest-modules")
    assert having == without


def test_lf_and_stepwise(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(ALL_OUTCOMES)
    seen = []
    for plugin in (("-p", "no:memento"), ()):
        run = [pytester.runpytest(*plugin, *more) for more in ((), ("--lf",), ("--sw",), ("--ff",))]
        seen.append([_cleaned(result.outlines) for result in run])
        pytester.runpytest("--cache-clear", "--collect-only")
    assert seen[0] == seen[1]
