"""No worker is started where all is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("xdist")
Notes = Callable[[], list[str]]
WORKERS = """
import os
from notes import note

def pytest_sessionstart():
    note(os.environ.get("PYTEST_XDIST_WORKER", "controller"))
"""


@pytest.fixture(autouse=True)
def _project(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makeconftest(WORKERS)


def run(pytester: pytest.Pytester, notes: Notes, *arguments: str) -> tuple[dict[str, int], bool]:
    """Return how it ended, and whether workers were started."""
    result = pytester.runpytest_subprocess(*arguments)
    assert str(result.stdout).count("memento: 3 experiments") == 1
    return result.parseoutcomes(), any(note.startswith("gw") for note in notes())


def test_all_is_stored(pytester: pytest.Pytester, notes: Notes) -> None:
    assert run(pytester, notes, "-n2") == ({"passed": 3}, True)
    assert run(pytester, notes, "-n2") == ({"cached": 3}, False)
    assert run(pytester, notes, "-n2") == ({"cached": 3}, False)


def test_after_a_serial_session(pytester: pytest.Pytester, notes: Notes) -> None:
    assert run(pytester, notes, "-n0") == ({"passed": 3}, False)
    assert run(pytester, notes, "-n2", "-v") == ({"cached": 3}, False)


def test_with_another_selection_workers_find_it_first(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    run(pytester, notes, "-n2")
    assert run(pytester, notes, "-n2", "-k", "experiment") == ({"cached": 3}, True)
    assert run(pytester, notes, "-n2", "-k", "experiment") == ({"cached": 3}, False)


def test_a_file_was_written(pytester: pytest.Pytester, notes: Notes) -> None:
    run(pytester, notes, "-n2")
    path = pytester.path / "exp_squares.py"
    path.write_text(path.read_text().replace("x * x", "x ** 3"))
    assert run(pytester, notes, "-n2") == ({"passed": 3}, True)


def test_something_else_has_changed(
    pytester: pytest.Pytester, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        exp_squares="import os\nmatrix = {'parameters': {'x': [1, 2, 3]}, 'settings':"
        " {'y': os.environ.get('Y')}}\ndef experiment(x, y): return y"
    )
    run(pytester, notes, "-n2")
    monkeypatch.setenv("Y", "other")
    assert run(pytester, notes, "-n2", "-p", "no:randomly")[0] == {"passed": 3}
    monkeypatch.setenv("Y", "another")
    assert run(pytester, notes, "-n2") == ({"passed": 3}, True)


def test_a_result_is_gone(pytester: pytest.Pytester, notes: Notes) -> None:
    run(pytester, notes, "-n2")
    pytester.runpytest("--memento-clear=x == 2", "--memento-yes")
    notes()
    counts, _ = run(pytester, notes, "-n2")
    assert counts == {"cached": 2, "passed": 1}


def test_an_ordinary_test_needs_workers(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(test_a="def test_a(): pass")
    run(pytester, notes, "-n2")
    assert run(pytester, notes, "-n2") == ({"cached": 3, "passed": 1}, True)


def test_a_failure_needs_workers(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_squares="matrix = {'parameters': {'x': [1, 2, 3]}}\ndef experiment(x): assert x < 3"
    )
    run(pytester, notes, "-n2")
    assert run(pytester, notes, "-n2") == ({"cached": 2, "failed": 1}, True)


@pytest.mark.parametrize("option", ["--memento-cache=refresh", "--cache-clear"])
def test_results_are_not_wanted(pytester: pytest.Pytester, notes: Notes, option: str) -> None:
    run(pytester, notes, "-n2", option)
    assert run(pytester, notes, "-n2", option) == ({"passed": 3}, True)
