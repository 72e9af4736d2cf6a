"""A fixture that is built once for all workers and sessions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PROJECT = """
import pytest
from notes import note
from pytest_memento import cached

@pytest.fixture(scope="session")
@cached
def data(size):
    note(f"built {size}")
    return list(range(size))

@pytest.fixture(scope="session")
def size():
    return 3

matrix = {"parameters": {"x": [0, 1, 2, 3, 4, 5]}}

def experiment(data, x):
    return data[x % 3]
"""


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]])
def test_a_session_fixture_is_built_once_for_a_store(
    pytester: pytest.Pytester,
    request: pytest.FixtureRequest,
    notes: Callable[[], list[str]],
    arguments: list[str],
) -> None:
    if arguments:
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=PROJECT)
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=6)
    assert notes() == ["built 3"]
    pytester.runpytest_subprocess(*arguments, "--memento-cache=refresh").assert_outcomes(passed=6)
    assert notes() == []
    assert (pytester.path / ".pytest_cache" / "memento" / "cached").is_dir()


def test_an_edit_builds_it_anew_and_makes_results_stale(
    pytester: pytest.Pytester, notes: Callable[[], list[str]]
) -> None:
    pytester.makepyfile(exp_a=PROJECT)
    pytester.runpytest_subprocess().assert_outcomes(passed=6)
    pytester.makepyfile(exp_a=PROJECT.replace("range(size)", "range(1, size + 1)"))
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["memento: 6 experiments: 6 stale*"])
    assert notes() == ["built 3"] * 2


def test_it_keeps_to_the_store_of_the_session(
    pytester: pytest.Pytester, notes: Callable[[], list[str]]
) -> None:
    pytester.makepyfile(exp_a=PROJECT)
    for store in ("a", "b", "a"):
        pytester.runpytest_inprocess(f"--memento-dir={store}")
    assert notes() == ["built 3"] * 2
    pytester.runpytest_inprocess("--memento-cache=off")
    assert notes() == ["built 3"]


EDITED = """
import helper, pathlib, pytest, time
from pytest_memento import cached

@pytest.fixture(scope="session")
@cached
def data():
    return helper.factor() + 0

def test_first():
    time.sleep(1.1)  # to a time that a bytecode file tells from the one before
    for name, old, new in EDIT:
        path = pathlib.Path(name)
        path.write_text(path.read_text().replace(old, new))

def test_data(data):
    assert data == EXPECTED
"""


@pytest.mark.parametrize(
    "edit", [("helper.py", "1", "999"), ("test_a.py", "+ 0\n", "+ 998\n")], ids=["helper", "own"]
)
def test_a_file_that_is_edited_while_the_session_runs(
    edit: tuple[str, str, str], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(helper="def factor():\n    return 1\n")
    text = EDITED.replace("EDIT:", f"{[edit]!r}:")
    pytester.makepyfile(test_a=text.replace("EXPECTED", "1"))
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)
    path = pytester.path / "test_a.py"
    path.write_text(path.read_text().replace("data == 1", "data == 999"))
    pytester.runpytest_subprocess("-k", "test_data").assert_outcomes(passed=1, deselected=1)


BOTH = """
import json, os, sys
from notes import note
from pytest_memento import cached

try:
    import tomllib as reader
except ImportError:
    import json as reader

WORDS = ["a"]
WORDS.append("b")
LIMIT = 1
LIMIT = 2
rows = json.loads("[1, 2]")
rows = rows * 2

@cached
def data(x):
    note(f"built {x}")
    return [x, WORDS, LIMIT, len(rows), reader.__name__[:0], os.environ.get("SHIFT")]

def test_data():
    assert data(1)[3] == 4

def test_patched(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", 7)
    assert data(1)[2] == 7

if __name__ == "__main__":
    print(data(1))
"""


@pytest.mark.parametrize("is_script_first", [False, True])
def test_a_script_and_a_session_share_values(
    is_script_first: bool, pytester: pytest.Pytester, notes: Callable[[], list[str]]
) -> None:
    pytester.makepyfile(test_both=BOTH)
    pytester.makeini("[pytest]\n")

    def run_script() -> None:
        assert pytester.runpython(pytester.path / "test_both.py").ret == 0

    def run_session() -> None:
        pytester.runpytest_subprocess("-k", "test_data").assert_outcomes(passed=1, deselected=1)

    first, second = (run_script, run_session) if is_script_first else (run_session, run_script)
    first()
    assert notes() == ["built 1"]
    second()
    assert notes() == []
    pytester.runpytest_subprocess().assert_outcomes(passed=2)
    assert notes() == ["built 1"]  # with what was patched
