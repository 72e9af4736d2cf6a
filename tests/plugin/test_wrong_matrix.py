"""Each mistake in a matrix is one line at collection; the words are tested below the plugin."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

WRONG = {
    "{'paramters': {'x': [1]}}": "unknown matrix key 'paramters' (did you mean 'parameters'?)*",
    "{'parameters': {'x': [1]}, 'exclude': [{'y': 1}]}": "exclude?0? names 'y', which is not *",
    "{'parameters': {'x': 'mnist'}}": "parameter 'x' is 'mnist' (a str), not a list *",
    "{'parameters': {'x': 3}}": "parameter 'x' is 3 (an int)*",
    "{'parameters': {'x': []}}": "parameter 'x' is empty: *",
    "{'parameters': {'x': [1, 1]}}": "*twice*",
    "{'parameters': {'settings': [1]}}": "*'settings' has a reserved name*",
    "{'parameters': {'config': [1]}}": "*'config' has a reserved name*",
    "{'parameters': {'x': [LOCK]}}": "*no stable fingerprint*",
    "{'parameters': {'x': [1]}, 'settings': {'lock': LOCK}}": "setting 'lock'*has no stable *",
    "{'parameters': {'x,y': [(1, 2, 3)]}}": "*3 parts for 2 names*",
    "{'parameters': {'x': [1]}, 'exclude': [lambda config: config.nonsense]}": "exclude?0? raised*",
    "{'parameters': {'x': [1]}, 'exclude': [{'x': 1}]}": "'exclude' drops every configuration*",
    "{'parameters': {'x': [pytest.param(1, 2)]}}": "pytest.param has 2 values*",
    "{'parameters': {'x': [1]}, 'sample': 5}": "'sample' is *not a dict*",
    "{'parameters': {'x': [1]}, 'repeats': 0}": "'repeats' is 0*",
    "[]": "the matrix is an empty list*",
    "[{'parameters': {'x': [1]}}, {'parameters': {'x': [1]}}]": "*there twice*",
    "[1, 2]": "matrix?0? is 1 (an int), not a dict",
    "None": "the matrix is None*",
    "{}": "the matrix has no 'parameters'*",
}
SOURCE = """
import pytest, threading

LOCK = threading.Lock()

@pytest.fixture
def matrix():
    return MATRIX

def experiment(config): raise RuntimeError
"""


def lines_of_errors(result: pytest.RunResult, *, of: str) -> list[str]:
    """Return what pytest printed below ``ERROR collecting <of>``."""
    lines = result.outlines
    start = next(n for n, line in enumerate(lines) if f"ERROR collecting {of}" in line)
    end = next(n for n in range(start + 1, len(lines)) if lines[n].startswith(("=", "_")))
    return [line for line in lines[start + 1 : end] if not line.startswith("[gw")]


def is_clean(result: pytest.RunResult) -> bool:
    """Whether no trace of an internal error, or of our own code, is shown."""
    text = str(result.stdout) + str(result.stderr)
    words = ("INTERNALERROR", "Traceback", "pytest_memento", "MatrixError", "site-packages")
    return not any(word in text for word in words)


def test_each_is_one_line(pytester: pytest.Pytester) -> None:
    for number, matrix in enumerate(WRONG):
        pytester.makepyfile(**{f"exp_{number:02}": SOURCE.replace("MATRIX", matrix)})
    pytester.makepyfile(test_fine="def test_fine(): pass")
    result = pytester.runpytest("-W", "error")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.parseoutcomes() == {"errors": len(WRONG)}
    assert is_clean(result)
    for number, (matrix, expected) in enumerate(WRONG.items()):
        name = f"exp_{number:02}.py"
        (line,) = lines_of_errors(result, of=name)
        assert fnmatch(line, f"{name}::experiment: {expected}"), (matrix, line)


@pytest.mark.parametrize("matrix", list(WRONG)[:3])
def test_in_workers(pytester: pytest.Pytester, xdist: None, matrix: str) -> None:
    pytester.makepyfile(exp_a=SOURCE.replace("MATRIX", matrix))
    result = pytester.runpytest_subprocess("-n2")
    (line,) = set(lines_of_errors(result, of="exp_a.py"))
    assert line.startswith("exp_a.py::experiment: ")
    assert is_clean(result)
    assert result.ret != 0


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\n@pytest.mark.memento(matrix={'parameters': {'x': 3}})\ndef experiment(x): 0",
        "matrix = {'parameters': {'x': 3}}\ndef experiment(x): 0",
        "matrix = {'parameters': {'x': 3}}\nclass Experiment:\n    def experiment(self, x): 0",
    ],
    ids=["marker", "variable", "class"],
)
def test_from_every_source(pytester: pytest.Pytester, source: str) -> None:
    pytester.makepyfile(exp_a=source)
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["exp_a.py::*experiment: parameter 'x' is 3 (an int), not a list*"])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert is_clean(result)


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        ("3", "the module variable 'matrix' is 3 (an int), not a dict or a list"),
        ("'text'", "the module variable 'matrix' is 'text' (a str), not a dict or a list"),
        ("(1, 2)", "the module variable 'matrix' is (1,2) (a tuple), not a dict or a list"),
        ("lambda: 0", "'matrix' is a function, not a fixture: decorate it with @pytest.fixture"),
    ],
)
def test_a_module_variable_of_another_type_is_no_matrix(
    pytester: pytest.Pytester, matrix: str, why: str
) -> None:
    pytester.makepyfile(exp_a=f"matrix = {matrix}\ndef experiment(): 0")
    result = pytester.runpytest()
    assert f"exp_a.py::experiment: no matrix: {why}" in result.outlines
    assert is_clean(result)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{'parameters': {}}", "{'parameters': {}}: write memento(matrix=...)"),
        ("matrx={'parameters': {}}", "'matrx' (did you mean 'matrix'[?])"),
        ("size=3", "'size' (it takes matrix, version, depends, slurm)"),
    ],
)
def test_a_mark_without_its_word(pytester: pytest.Pytester, given: str, said: str) -> None:
    pytester.makepyfile(exp_a=f"import pytest\n@pytest.mark.memento({given})\ndef experiment(): 0")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        [f"exp_a.py::experiment: @pytest.mark.memento does not know {said}"]
    )
    assert is_clean(result)


def test_an_argument_that_nothing_fills(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"model": [1, 2]}, "settings": {"n_fold": 5}}
        def experiment(modle): 0
        """,
        exp_far="""
        matrix = {"parameters": {"model": [1, 2]}, "settings": {"n_fold": 5}}
        def experiment(quantity): 0
        """,
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        [
            "exp_a.py::experiment: the argument 'modle' is no parameter, setting or fixture"
            " (did you mean 'model'[?])"
        ]
    )
    assert is_clean(result)
    result = pytester.runpytest("exp_far.py")
    result.stdout.fnmatch_lines(["*'quantity' is no * (parameters and settings: model, n_fold)"])


def test_wrong_arguments_of_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.mark.memento({"parameters": {"x": [1]}})
            def experiment(x): pass
        """
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["exp_a.py::experiment: *matrix=*"])


def test_an_exclude_that_matches_nothing_is_a_warning(pytester: pytest.Pytester) -> None:
    source = "matrix = {'parameters': {'x': [1]}, 'exclude': [{'x': 2}]}\ndef experiment(x): 0"
    pytester.makepyfile(exp_a=source)
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"passed": 1, "warnings": 1}
    result.stdout.fnmatch_lines(["*exp_a.py::experiment: exclude?0? matches no configuration"])
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


def test_it_is_an_error_where_warnings_are(pytester: pytest.Pytester) -> None:
    source = "matrix = {'parameters': {'x': [1]}, 'exclude': [{'x': 2}]}\ndef experiment(x): 0"
    pytester.makepyfile(exp_a=source)
    result = pytester.runpytest("-W", "error")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "INTERNALERROR" not in str(result.stdout)
    result.stdout.fnmatch_lines(["*exclude?0? matches no configuration"])
