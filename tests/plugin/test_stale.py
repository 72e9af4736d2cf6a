"""What makes a stored result stale, as a user sees it: it runs again, and says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

FILES = {
    "exp_a": """
        import pytest
        import helpers
        from notes import note

        matrix = {
            "parameters": {"f": [helpers.square, helpers.cube]}, "settings": {"g": helpers.shift}
        }

        @pytest.fixture
        def data(request):
            return request.getfixturevalue("named")

        def experiment(f, g, data, overridden):
            note(f.__name__)
            return f(2) + g(data) + overridden

        class ExperimentOne:
            factor = 2

            @pytest.fixture
            def doubled(self, data):
                return data * self.factor

            def experiment(self, f, doubled):
                note(f"one {f.__name__}")
                return self.more(doubled)

            def more(self, x):
                return x

            def experiment_other(self, f):
                note(f"other {f.__name__}")
                return 0
    """,
    "helpers": """
        def square(x): return x * x
        def cube(x): return x * square(x)
        def shift(x): return x + 1
        def unused(x): return x
    """,
    "conftest": """
        import pytest

        @pytest.fixture
        def named(): return 1

        @pytest.fixture
        def overridden(): return 10

        @pytest.fixture(autouse=True)
        def around():
            yield

        @pytest.fixture
        def unused(): return 2
    """,
}
BOTH = ["square", "cube"]
ONE = [f"one {name}" for name in BOTH]
OTHER = [f"other {name}" for name in BOTH]
ALL = [*BOTH, *ONE, *OTHER]


@pytest.fixture
def project(pytester: pytest.Pytester, notes: Notes) -> Path:
    """A project of which everything is stored."""
    pytester.makepyfile(**FILES)
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 6}
    assert sorted(notes()) == sorted(ALL)
    return pytester.path


@pytest.mark.parametrize(
    ("file", "before", "after", "runs", "reason"),
    [
        ("helpers", "x * square(x)", "square(x) * x", ["cube", "one cube", "other cube"],
         "code: helpers.cube changed"),
        ("helpers", "return x * x", "return x ** 2", ALL, "code: helpers.square changed"),
        ("helpers", "x + 1", "1 + x", ALL, "code: helpers.shift changed"),
        ("helpers", "unused(x): return x", "unused(x): return -x", [], ""),
        ("conftest", "named(): return 1", "named(): return 2", [*BOTH, *ONE],
         "code: conftest.named changed"),
        ("conftest", "overridden(): return 10", "overridden(): return 9", BOTH,
         "code: conftest.overridden changed"),
        ("conftest", "yield", "yield 3", ALL, "code: conftest.around changed"),
        ("conftest", "unused(): return 2", "unused(): return 3", [], ""),
        ("exp_a", "return 0", "return 1", OTHER,
         "code: exp_a.ExperimentOne.experiment_other changed"),
        ("exp_a", "factor = 2", "factor = 3", [*ONE, *OTHER], "code: exp_a.ExperimentOne changed"),
        ("exp_a", "    return x\n", "    return -x\n", [*ONE, *OTHER],
         "code: exp_a.ExperimentOne.more changed"),
        ("exp_a", "class ExperimentOne", "@pytest.fixture\ndef overridden(overridden):"
         " return overridden\n\nclass ExperimentOne", BOTH, "code: exp_a.overridden added"),
        ("exp_a", "import pytest\n", "import pytest, os  # os\n", [], ""),
    ],
)  # fmt: skip
def test_an_edit(
    pytester: pytest.Pytester, project: Path, notes: Notes,
    file: str, before: str, after: str, runs: list[str], reason: str,
) -> None:  # fmt: skip
    path = project / f"{file}.py"
    source = path.read_text()
    assert source.count(before) == 1
    path.write_text(source.replace(before, after))
    plan = pytester.runpytest("--collect-only").outlines
    assert sum(f"  stale: {reason}" in line for line in plan) == len(runs)
    result = pytester.runpytest("-W", "error")
    assert sorted(notes()) == sorted(runs)
    path.write_text(source)
    assert pytester.runpytest().parseoutcomes() == {"cached": 6}  # the first ones are still there
    assert result.ret == 0


def test_in_workers(pytester: pytest.Pytester, project: Path, notes: Notes, xdist: None) -> None:
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"cached": 6}
    path = project / "helpers.py"
    path.write_text(path.read_text().replace("x * square(x)", "square(x) * x"))
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"cached": 3, "passed": 3}
    assert sorted(notes()) == ["cube", "one cube", "other cube"]


def test_however_it_is_imported(pytester: pytest.Pytester, project: Path) -> None:
    (project / "__init__.py").touch()
    assert pytester.runpytest_subprocess().parseoutcomes() == {"cached": 6}
    (project / "__init__.py").unlink()
    result = pytester.runpytest_subprocess("--import-mode=importlib", "-p", "no:xdist")
    assert result.parseoutcomes() == {"cached": 6}


MARKED = """
import pytest

from pytest_memento import load_results
matrix = {"parameters": {"x": [1, 2]}}

@pytest.mark.memento(%s)
def experiment(x): return x

def experiment_unmarked(x): return x
"""


def reasons(pytester: pytest.Pytester) -> set[str]:
    """Return why experiments are stale, according to a dry run."""
    lines = pytester.runpytest("--collect-only").outlines
    return {line.partition("  stale: ")[2] for line in lines if "  stale: " in line}


def test_version(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=MARKED % "version=1")
    pytester.runpytest()
    pytester.makepyfile(exp_a=MARKED % "version=2")
    assert reasons(pytester) == {"version 1 -> 2"}
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 2}
    pytester.makepyfile(exp_a=MARKED % "")
    assert reasons(pytester) == {"version 2 -> none"}


def test_data_files_by_mark(pytester: pytest.Pytester) -> None:
    data = pytester.mkdir("data")
    (data / "train.csv").write_text("1")
    (data / "notes.txt").write_text("1")
    pytester.makepyfile(exp_a=MARKED % "depends=['data/*.csv']")
    pytester.runpytest()
    (data / "notes.txt").write_text("2")
    assert pytester.runpytest().parseoutcomes() == {"cached": 4}
    (data / "train.csv").write_text("2")
    assert reasons(pytester) == {"file data/train.csv changed"}
    (data / "train.csv").write_text("1")
    (data / "test.csv").write_text("1")
    assert reasons(pytester) == {"file data/test.csv added"}
    (data / "test.csv").unlink()
    assert pytester.runpytest().parseoutcomes() == {"cached": 4}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("depends=['data/*.csv']", "depends: 'data/*.csv' matches no file in *"),
        ("depends='data.csv'", "depends is 'data.csv', not a list of files or patterns"),
        ("version=[1]", "version is [[]1], not a string or a number"),
        ("verison=1", "@pytest.mark.memento does not know 'verison' (did you mean 'version'[?])"),
    ],
)
def test_marks_that_cannot_be_understood(pytester: pytest.Pytester, given: str, said: str) -> None:
    pytester.makepyfile(exp_a=MARKED % given)
    result = pytester.runpytest()
    result.stdout.fnmatch_lines([f"exp_a.py::experiment: *{said}"])
    assert result.parseoutcomes() == {"errors": 1}


READS = """
matrix = {"parameters": {"name": ["a", "b"]}}

def experiment(context, name):
    return context.depends_on(f"{name}.txt").read_text()
"""


def test_data_files_by_call(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=READS)
    for name in "ab":
        (pytester.path / f"{name}.txt").write_text("1")
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    (pytester.path / "b.txt").write_text("2")
    assert reasons(pytester) == {"file b.txt changed"}
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "passed": 1}
    assert [result.value for result in load_results("exp_a.py")] == ["1", "2"]
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    (pytester.path / "b.txt").unlink()
    assert reasons(pytester) == {"file b.txt is gone"}
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"cached": 1, "failed": 1}
    result.stdout.fnmatch_lines(
        ["E *ContextError: depends_on: there is no file or directory *b.txt"]
    )


def test_packages_by_ini(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(
        exp_a="""
        import hypothesis
        matrix = {"parameters": {"x": [1]}}
        def experiment(x): return hypothesis.__name__
        def experiment_without(x): return x
        """
    )
    pytester.makeini("[pytest]\nmemento_key_packages = hypo* cloudpickle")
    pytester.runpytest()
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}

    from pytest_memento import packages

    before, always = packages.version("hypothesis"), packages.version("cloudpickle")
    monkeypatch.setattr(packages, "version", lambda name: "0.1" if name == "hypothesis" else "-")
    assert reasons(pytester) == {
        f"package cloudpickle {always} -> -; package hypothesis {before} -> 0.1",
        f"package cloudpickle {always} -> -",
    }


def test_packages_that_count_from_now_on(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makeini("[pytest]\nmemento_key_packages = cloudpickle")
    pytester.runpytest()
    pytester.makeini("[pytest]\nmemento_key_packages = filelock")
    (reason,) = reasons(pytester)
    now, before = sorted(reason.split("; "), reverse=True)
    assert now.startswith("package filelock counts now (")
    assert before.startswith("package cloudpickle counts no more (was ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("sklearn", "did you mean 'scikit-learn'?"), ("nopkg", "if it may be missing, write nopkg*")],
)
def test_packages_that_are_misspelt(
    pytester: pytest.Pytester, squares: Path, name: str, hint: str
) -> None:
    pytester.makeini(f"[pytest]\nmemento_key_packages = {name}")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: memento_key_packages: no distribution {name!r} is installed ({hint.replace('*', '[*]')})"
        ]
    )


def test_data_files_are_looked_for_in_the_same_places(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the marker and by ``depends_on``, from wherever pytest is started."""
    pytester.makeini("[pytest]")
    for name in ("sub", "data", "sub/data"):
        pytester.mkdir(name)
    (pytester.path / "data" / "a.csv").write_text("root")
    (pytester.path / "data" / "b.csv").write_text("root")
    (pytester.path / "sub" / "data" / "b.csv").write_text("beside")
    (pytester.path / "sub" / "exp_a.py").write_text(
        "import pytest\nmatrix = {'parameters': {'name': ['a', 'b']}}\n"
        "@pytest.mark.memento(depends=['data/a.csv', 'data/b.csv'])\n"
        "def experiment(context, name):\n"
        "    return context.depends_on(f'data/{name}.csv').read_text()\n"
    )
    for place in (".", "sub"):
        monkeypatch.chdir(pytester.path / place)
        result = pytester.runpytest("--memento-cache=refresh", str(pytester.path / "sub"))
        assert result.parseoutcomes() == {"passed": 2}
        results = load_results(pytester.path / "sub")
        assert [result.value for result in results] == ["root", "beside"]


def test_what_is_not_in_the_matrix_any_more(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest()
    squares.write_text(squares.read_text().replace("[1, 2, 3]", "[1, 4]"))
    result = pytester.runpytest("--collect-only")
    result.stdout.fnmatch_lines(
        [
            "memento: 2 experiments: 1 cached, 1 new, 2 removed; store *",
            "exp_squares.py::experiment?x=4?  new: no result yet",
        ]
    )
    removed = [line for line in result.outlines if "  removed: not in the matrix any more" in line]
    assert sorted(line.partition("  ")[0] for line in removed) == [
        "exp_squares.py::experiment[x=2]", "exp_squares.py::experiment[x=3]",
    ]  # fmt: skip


AROUND = {
    "conftest": """
        import pytest
        from factories import make_fixture

        @pytest.fixture
        def number(): return 1

        @pytest.fixture
        def late(number): return 20

        @pytest.fixture
        def argument(): return 300

        from_here = make_fixture(4)
    """,
    "factories": """
        import pytest

        def make_fixture(value):
            @pytest.fixture
            def made(): return value
            return made
    """,
    "exp_around": """
        import pytest
        from factories import make_fixture
        from notes import note

        STATE = {}
        RATE = 5
        matrix = {"parameters": {"x": [1]}}

        def setup_module(module): STATE["module"] = 6
        def setup_function(function): STATE["function"] = 7

        @pytest.fixture
        def number(number): return number + 8

        @pytest.fixture
        def late(late, argument): return late + argument

        @pytest.fixture
        def rate(request): return request.module.RATE

        made = make_fixture(9)

        def experiment(config, request, rate, made, from_here):
            note("function")
            return request.getfixturevalue("late"), rate, made, from_here, dict(STATE)

        class ExperimentMethod:
            def experiment(self, config):
                note("method")
                return STATE.get("module")
    """,
}


@pytest.mark.parametrize(
    ("file", "before", "after", "runs"),
    [
        ("conftest", "number(): return 1", "number(): return 2", ["function"]),
        ("conftest", "return 20", "return 30", ["function"]),
        ("conftest", "return 300", "return 400", ["function"]),
        ("conftest", "make_fixture(4)", "make_fixture(5)", ["function"]),
        ("exp_around", "number + 8", "number + 9", ["function"]),
        ("exp_around", "late + argument", "late - argument", ["function"]),
        ("exp_around", "RATE = 5", "RATE = 6", ["function"]),
        ("exp_around", "make_fixture(9)", "make_fixture(10)", ["function"]),
        ("exp_around", '"module"] = 6', '"module"] = 7', ["function", "method"]),
        ("exp_around", '"function"] = 7', '"function"] = 8', ["function"]),
    ],
)
def test_an_edit_of_what_pytest_runs_around(
    pytester: pytest.Pytester, notes: Notes, file: str, before: str, after: str, runs: list[str]
) -> None:
    pytester.makepyfile(**AROUND)
    pytester.runpytest().assert_outcomes(passed=2)
    path = pytester.path / f"{file}.py"
    source = path.read_text()
    assert source.count(before) == 1
    path.write_text(source.replace(before, after))
    notes()
    plan = pytester.runpytest("--collect-only").outlines
    assert sum("  stale: code: " in line for line in plan) == len(runs)


def test_functions_and_classes_of_one_name_are_told_apart(pytester: pytest.Pytester) -> None:
    source = """
        import functools

        def added(function, more):
            @functools.wraps(function)
            def wrapper(x):
                return function(x) + more
            return wrapper

        def f(x):
            return x

        class Model:
            def __call__(self, x):
                return 10 * x

        one, two, Old = added(f, 1), added(f, 2), Model

        class Model:
            def __call__(self, x):
                return 20 * x

        matrix = {"parameters": {"f": [VALUES]}}

        def experiment(f):
            return f(3)
    """
    for values, expected in [("f", [3]), ("one", [4]), ("two", [5]), ("Model()", [60])]:
        pytester.makepyfile(exp_names=source.replace("VALUES", values))
        pytester.runpytest_subprocess().assert_outcomes(passed=1)
        assert [result.value for result in load_results(pytester.path)] == expected
    everything = source.replace("VALUES", "f, one, two, Model(), Old()")
    pytester.makepyfile(exp_names=everything)
    assert "4 cached, 1 passed" in pytester.runpytest_subprocess().outlines[-1]
    assert [result.value for result in load_results(pytester.path)] == [3, 4, 5, 60, 30]
    pytester.makepyfile(exp_names=everything.replace("+ more", "+ more + 100"))
    plan = pytester.runpytest_subprocess("--collect-only").outlines
    assert "would run 2 of 5" in plan
