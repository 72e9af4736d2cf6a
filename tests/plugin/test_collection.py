"""Which functions are experiments, and the ids they get."""

from __future__ import annotations

import pytest

MATRIX = 'matrix = {"parameters": {"x": [1, 2]}}\n'
KINDS = (
    MATRIX
    + """
import pytest
from pytest_memento import Config

def experiment(config): return config.x
def experiment_two(x): return x
def test_three(config): return config.x
def test_no_experiment(): pass
def helper(config): raise RuntimeError
def experimental(config): raise RuntimeError

class ExperimentGroup:
    def experiment(self, config): return config.x
    def experiment_b(self): return 1
    def test_c(self, x): return x
    def helper(self, config): raise RuntimeError
    class ExperimentInner:
        def experiment(self, x): return x
    class Other:
        def experiment(self, x): raise RuntimeError

class TestGroup:
    def experiment(self, config): return config.x

class Group:
    def experiment(self, config): raise RuntimeError
"""
)


def items(result: pytest.RunResult) -> list[str]:
    """Return the node ids that ``--collect-only -q`` printed."""
    return [line for line in result.outlines if "::" in line]


@pytest.mark.parametrize("name", ["exp_kinds", "experiment_kinds"])
def test_functions_and_classes_of_an_experiment_file(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(**{name: KINDS})
    result = pytester.runpytest("--collect-only", "-q")
    assert items(result) == [
        f"{name}.py::{function}"
        for function in (
            "experiment[x=1]",
            "experiment[x=2]",
            "experiment_two[x=1]",
            "experiment_two[x=2]",
            "test_three[x=1]",
            "test_three[x=2]",
            "test_no_experiment",
            "ExperimentGroup::experiment[x=1]",
            "ExperimentGroup::experiment[x=2]",
            "ExperimentGroup::experiment_b[x=1]",
            "ExperimentGroup::experiment_b[x=2]",
            "ExperimentGroup::test_c[x=1]",
            "ExperimentGroup::test_c[x=2]",
            "ExperimentGroup::ExperimentInner::experiment[x=1]",
            "ExperimentGroup::ExperimentInner::experiment[x=2]",
            "TestGroup::experiment[x=1]",
            "TestGroup::experiment[x=2]",
        )
    ]


def test_all_kinds_run_and_are_stored(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_kinds=KINDS)
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 17}
    again = pytester.runpytest("-W", "error")
    assert again.parseoutcomes() == {"cached": 16, "passed": 1}
    assert again.ret == 0


def test_an_ordinary_test_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_plain=MATRIX
        + """
import pytest

def test_config(config): return config.x
def test_context(context): return context.seed
def test_none(): pass
def experiment(config): raise RuntimeError

@pytest.fixture
def doubled(config): return 2 * config.x

def test_through_a_fixture(doubled): return doubled

class TestIt:
    def test_method(self, config): return config.x

class ExperimentIt:
    def test_method(self, config): raise RuntimeError
"""
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 9}
    assert pytester.runpytest().parseoutcomes() == {"cached": 8, "passed": 1}


def test_a_parameter_alone_makes_no_experiment_of_an_ordinary_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_plain=MATRIX + "def test_x(x): pass")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'x' not found"])


def test_other_names_of_files(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmemento_files = trial_*.py run.py")
    pytester.makepyfile(trial_a=KINDS, run=KINDS, exp_b=KINDS, other=KINDS)
    result = pytester.runpytest("--collect-only", "-q")
    assert {line.partition("::")[0] for line in items(result)} == {"trial_a.py", "run.py"}


def test_a_file_named_on_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=KINDS, exp_b=KINDS)
    result = pytester.runpytest("exp_b.py::ExperimentGroup::experiment[x=2]", "-v")
    result.stdout.fnmatch_lines(["exp_b.py::ExperimentGroup::experiment?x=2? PASSED *"])
    assert result.parseoutcomes() == {"passed": 1}


def test_a_node_id_of_a_cached_experiment(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=KINDS)
    pytester.runpytest()
    for nodeid, outcome in (
        ("exp_a.py::experiment[x=2]", {"cached": 1}),
        ("exp_a.py::experiment", {"cached": 2}),
        ("exp_a.py::ExperimentGroup", {"cached": 8}),
    ):
        assert pytester.runpytest(nodeid).parseoutcomes() == outcome
    gone = pytester.runpytest("exp_a.py::experiment[x=3]")
    assert gone.ret == pytest.ExitCode.USAGE_ERROR
    gone.stderr.fnmatch_lines(["ERROR: not found: *exp_a.py::experiment*"])


def test_no_matrix(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="from pytest_memento import Config\ndef experiment(config): pass",
        test_b="def test_b(): pass",
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["exp_a.py::experiment: no matrix: define a fixture 'matrix', *"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.no_fnmatch_line("*Traceback*")


def test_asserts_are_explained(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=MATRIX + "def experiment(x): assert [x, 0] == [1, 0]")
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(["E*assert [[]2, 0[]] == [[]1, 0[]]", "E*At index 0 diff: 2 != 1"])


def test_asserts_are_explained_below_packages(pytester: pytest.Pytester) -> None:
    package = pytester.mkpydir("inner")
    (package / "exp_a.py").write_text(MATRIX + "def experiment(x):\n    assert [x, 0] == [1, 0]\n")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["E*At index 0 diff: 2 != 1"])


def test_a_file_that_does_not_import(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=MATRIX + "import nonsense_module\ndef experiment(x): pass")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        ["*ERROR collecting exp_a.py*", "E*No module named 'nonsense_module'"]
    )
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "pytest_memento" not in str(result.stdout).replace("import pytest_memento", "")


def test_a_file_with_a_syntax_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=MATRIX + "def experiment(x)\n    pass")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["*ERROR collecting exp_a.py*", "E*SyntaxError*"])


# -- ids -------------------------------------------------------------------------------------------


def collected(pytester: pytest.Pytester, parameters: str) -> list[str]:
    """Return the ids of an experiment with these parameters, after they were run and cached."""
    pytester.makepyfile(
        exp_ids=f"import pytest\nmatrix = {{'parameters': {parameters}}}\ndef experiment(x): pass"
    )
    result = pytester.runpytest("--collect-only", "-q")
    names = [line.partition("::experiment")[2] for line in items(result)]
    pytester.runpytest()
    cached = pytester.runpytest("-v")
    assert cached.parseoutcomes() == {"cached": len(names)}, cached.outlines
    again = pytester.runpytest("--collect-only", "-q")
    assert [line.partition("::experiment")[2] for line in items(again)] == names
    for name in names:
        one = pytester.runpytest(f"exp_ids.py::experiment{name}")
        assert one.parseoutcomes() == {"cached": 1}, name
    return names


def test_ids_of_simple_values(pytester: pytest.Pytester) -> None:
    assert collected(pytester, "{'x': [1, 1.0, True, '1', None, dict, len], 'b': [0.1]}") == [
        *(f"[x={x}-b=0.1]" for x in collected_texts("1", "1.0", "True", "1", "None")),
        "[x=dict-b=0.1]",
        "[x=len-b=0.1]",
    ]


def collected_texts(*texts: str) -> list[str]:
    """Return the labels of values, with a mark where two of them would be the same."""
    from pytest_memento.matrix import expand

    cases = expand({"parameters": {"x": [1, 1.0, True, "1", None]}}).cases
    labels = [case.labels["x"] for case in cases]
    assert [label.partition("~")[0] for label in labels] == list(texts)
    return labels


def test_ids_of_unusual_texts(pytester: pytest.Pytester) -> None:
    ids = collected(
        pytester, r"{'x': ['é', 'two\nlines', 'a[b]', 'a::b', 'a/b', '', ' ', 'y' * 500]}"
    )
    assert ids[0] == r"[x=\xe9]"
    assert ids[1].startswith("[x=two\\")
    assert ids[1].endswith("nlines]")
    assert ids[2:7] == [
        "[x=a[b]]",
        "[x=a::b]",
        "[x=a/b]",
        "[x=]",
        "[x= ]",
    ]
    assert ids[7].startswith("[x=yyyy")
    assert len(ids[7]) < 70


def test_ids_keep_non_ascii_where_the_user_asks_for_it(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\ndisable_test_id_escaping_and_forfeit_all_rights_to_community_support = true"
    )
    pytester.makepyfile(exp_a="matrix = {'parameters': {'x': ['é']}}\ndef experiment(x): pass")
    for _ in range(2):
        assert items(pytester.runpytest("--collect-only", "-q")) == ["exp_a.py::experiment[x=é]"]
        pytester.runpytest()


def test_equal_names_of_different_values(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(one="class A: pass", two="class A: pass")
    ids = collected(pytester, "{'x': [__import__('one').A, __import__('two').A]}")
    assert len(set(ids)) == 2
    assert all(name.startswith("[x=A~") for name in ids)


def test_names_that_vary_together(pytester: pytest.Pytester) -> None:
    ids = collected(
        pytester, "{'x, y': [(1, 2), pytest.param(3, 4, id='large'), pytest.param(5, 6)]}"
    )
    assert ids == ["[x=1-y=2]", "[x,y=large]", "[x=5-y=6]"]


def test_ids_of_param(pytester: pytest.Pytester) -> None:
    assert collected(pytester, "{'x': [pytest.param(1, id='one'), 2]}") == ["[x=one]", "[x=2]"]


def test_no_id_holds_an_address(pytester: pytest.Pytester) -> None:
    ids = collected(
        pytester,
        "{'x': [lambda: 1, __import__('functools').partial(dict, a=1), [1, 2], {'a': 1}, object]}",
    )
    assert ids == ["[x=lambda]", "[x=dict(a=1)]", "[x=[1,2]]", "[x={a:1}]", "[x=object]"]


# -- selecting -------------------------------------------------------------------------------------


def test_k_and_m_select_cached_experiments_as_any_other(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = slow")
    pytester.makepyfile(
        exp_a="""
            import pytest

            matrix = {"parameters": {"x": [1, pytest.param(2, marks=pytest.mark.slow), "three"]}}

            def experiment(x): pass

            @pytest.mark.slow
            def experiment_b(x): pass
        """
    )
    asked = [("-k", "three"), ("-k", "experiment_b and not three"), ("-m", "slow"),
             ("-m", "not slow"), ("-m", "slow", "-k", "not experiment_b")]  # fmt: skip
    before = [items(pytester.runpytest("--collect-only", "-q", *more)) for more in asked]
    assert [len(found) for found in before] == [2, 2, 4, 2, 1]
    pytester.runpytest("-W", "error")
    for more, found in zip(asked, before, strict=True):
        assert items(pytester.runpytest("--collect-only", "-q", *more)) == found
        result = pytester.runpytest(*more)
        assert result.parseoutcomes() == {"cached": len(found), "deselected": 6 - len(found)}


def test_the_same_matrix_object_for_several_functions(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a=MATRIX + "def experiment(x): return x\ndef experiment_b(x): return -x"
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 4}
    assert pytester.runpytest().parseoutcomes() == {"cached": 4}


def test_equal_names_of_files_in_two_directories(pytester: pytest.Pytester) -> None:
    for name in ("one", "two"):
        pytester.mkpydir(name).joinpath("exp_a.py").write_text(
            MATRIX + f"def experiment(x): return {name!r}"
        )
    assert pytester.runpytest().parseoutcomes() == {"passed": 4}
    assert pytester.runpytest("two").parseoutcomes() == {"cached": 2}


def test_started_from_another_directory(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]")
    inner = pytester.mkdir("inner")
    (inner / "exp_a.py").write_text(MATRIX + "def experiment(x): return x")
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    monkeypatch.chdir(inner)
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    assert pytester.runpytest("exp_a.py").parseoutcomes() == {"cached": 2}


def test_import_mode_importlib(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=KINDS)
    assert pytester.runpytest("--import-mode=importlib").parseoutcomes() == {"passed": 17}
    again = pytester.runpytest("--import-mode=importlib").parseoutcomes()
    assert again == {"cached": 16, "passed": 1}


def test_an_experiment_file_that_imports_another_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_first="from exp_second import experiment, matrix",
        exp_second="matrix = {'parameters': {'x': [1, 2]}}\ndef experiment(x): return x",
    )
    assert pytester.runpytest_subprocess("-W", "error").parseoutcomes() == {"passed": 4}


def test_beside_a_plugin_that_puts_classes_into_lists(pytester: pytest.Pytester) -> None:
    """pytest-asyncio does."""
    pytester.makeconftest(
        """
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_pycollect_makeitem(collector, name, obj):
            made = yield
            return made if made is None or isinstance(made, list) else [made]
        """
    )
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2]}}
        class ExperimentNet:
            def experiment(self, x): return x
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
