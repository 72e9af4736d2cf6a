"""Results, parameters, errors and metrics that cannot be stored, shown or brought back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import ResultNotLoadedError, load_results

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"]),
]

Notes = Callable[[], list[str]]

HEAD = """
import threading
from notes import note

matrix = {"parameters": {"x": [1, 2, 3]}}

class Mute:
    def __reduce__(self): raise RuntimeError("not to be pickled")

class Speechless:
    def __repr__(self): raise RuntimeError("no words")
    __str__ = __repr__

class Awkward(Exception):
    def __str__(self): raise RuntimeError("no words")
    __repr__ = __str__

class Unpicklable(Exception):
    def __init__(self, lock): self.lock = lock

class Gone:
    def __reduce__(self): return (vanish, ())

def vanish():
    raise RuntimeError("cannot be brought back")

class Exits:
    def __reduce__(self): raise SystemExit(3)

def recurse(n=0):
    return recurse(n + 1)

def deep():
    value = []
    for _ in range(200_000):
        value = [value]
    return value

class Long:
    def __repr__(self): return "x" * 50_000_000

def experiment(context, x):
    note(f"x={x}")
    if x == 2:
        FAULT
    return x
"""
FAULTS = {
    "unpicklable result": (
        "return {'a': [1, threading.Lock()]}",
        "cannot be stored: *(at [[]'a'?[[]1?)",
    ),
    "result whose pickling raises": ("return Mute()", "*not to be pickled*"),
    "result whose pickling exits": ("return Exits()", "*cannot be stored*"),
    "result that is too deep": ("return deep()", "*cannot be stored*"),
    "exception without words": ("raise Awkward()", "*Awkward*"),
    "exception that cannot be pickled": ("raise Unpicklable(threading.Lock())", "*Unpicklable*"),
    "exception group": (
        "raise __import__('exceptiongroup').ExceptionGroup('g', [ValueError()])"
        " if __import__('sys').version_info < (3, 11) else ExceptionGroup('g', [ValueError(1)])",
        "*ExceptionGroup*",
    ),
    "recursion": ("recurse()", "*RecursionError*"),
    "metric that is no number": ("context.record({'loss': 'low'})", "*loss*"),
    "metric of an object": ("context.record({'loss': Speechless()})", "*loss*"),
    "checkpoint that cannot be pickled": ("context.checkpoint(threading.Lock())", "*lock*"),
    "exit": ("raise SystemExit(5)", "*SystemExit*"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_fails(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    name: str,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    fault, message = FAULTS[name]
    pytester.makepyfile(exp_a=HEAD.replace("FAULT", fault))
    result = pytester.runpytest_subprocess(*workers, timeout=60)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    counts = result.parseoutcomes()
    counts.pop("warnings", None)
    assert counts == {"passed": 2, "failed": 1}
    assert "INTERNALERROR" not in str(result.stdout)
    result.stdout.fnmatch_lines(["*experiment?x=2?*", f"*{message}"])
    failed = load_results(pytester.path / "exp_a.py").where(x=2)
    assert len(failed) == 1
    assert failed[0].error
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]
    again = pytester.runpytest_subprocess(*workers, timeout=60).parseoutcomes()
    assert (again["cached"], again["failed"]) == (2, 1)
    assert notes() == ["x=2"]


@pytest.mark.parametrize("value", ["Speechless()", "Long()", "'x' * 10_000_000", "float('nan')"])
def test_what_is_stored_all_the_same(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    value: str,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=HEAD.replace("FAULT", f"return {value}"))
    result = pytester.runpytest_subprocess(*workers, timeout=60)
    assert result.parseoutcomes() == {"passed": 3}
    assert len(str(result.stdout)) < 20_000
    assert pytester.runpytest_subprocess(*workers).parseoutcomes() == {"cached": 3}


def test_a_result_that_cannot_be_brought_back(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    workers: tuple[str, ...],
) -> None:
    """Nobody notices before it is loaded; then it says which and why."""
    if workers:
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=HEAD.replace("FAULT", "return Gone()"))
    assert pytester.runpytest_subprocess(*workers).parseoutcomes() == {"passed": 3}
    assert pytester.runpytest_subprocess(*workers).parseoutcomes() == {"cached": 3}
    monkeypatch.syspath_prepend(pytester.path)
    results = load_results(pytester.path / "exp_a.py")
    assert [results[0].value, results[2].value] == [1, 3]
    with pytest.raises(ResultNotLoadedError, match="cannot be brought back"):
        print(results[1].value)


def test_parameters_without_words(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    text = HEAD.replace('{"x": [1, 2, 3]}', '{"x": [1, 3], "y": [Speechless, "\\x1b[31mred\\n"]}')
    head, _, body = text.partition("class Mute")
    matrix, head = head[head.index("matrix") :], head[: head.index("matrix")]
    source = head + "class Mute" + body.replace("def experiment", f"{matrix}\ndef experiment")
    pytester.makepyfile(exp_a=source.replace("FAULT", "pass"))
    result = pytester.runpytest_subprocess("-v", *workers)
    assert result.parseoutcomes() == {"passed": 4}
    assert "\x1b[31mred" not in str(result.stdout)
    assert pytester.runpytest_subprocess(*workers).parseoutcomes() == {"cached": 4}


def test_an_artifact_directory_with_links(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    workers: tuple[str, ...],
) -> None:
    """What an experiment links to is not emptied with its directory."""
    if workers:
        request.getfixturevalue("xdist")
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "data").write_text("weeks of work")
    fault = f"(context.dir / 'link').symlink_to({str(precious)!r}); raise ValueError"
    pytester.makepyfile(exp_a=HEAD.replace("FAULT", fault))
    for _ in range(2):
        counts = pytester.runpytest_subprocess(*workers).parseoutcomes()
        assert counts["failed"] == 1
    pytester.runpytest_subprocess("--memento-clear=True", "--memento-yes")
    assert (precious / "data").read_text() == "weeks of work"
