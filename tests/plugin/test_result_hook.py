"""``pytest_memento_result``: other tools are told what has come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

LISTENER = """
import json, os, sys

def pytest_memento_result(result):
    told = {
        "pid": os.getpid(), "worker": os.environ.get("PYTEST_XDIST_WORKER"),
        "experiment": result.experiment, "x": result.config["x"], "metrics": result.metrics,
        "was_cached": result.was_cached, "error": result.error,
        "value": None if result.error else result.value,
        "runtime": result.runtime.total_seconds(),
    }
    with open("told.jsonl", "a") as file:
        file.write(json.dumps(told) + "\\n")
"""
EXPERIMENT = """
import pytest
matrix = {"parameters": {"x": [1, 2, 3, 4]}}

def experiment(context, x):
    context.record({"loss": 1 / x})
    if x == 3:
        pytest.skip("not today")
    assert x != 4, "four is too much"
    return [x]
"""


@pytest.fixture(params=["-n0", "-n2"])
def workers(request: pytest.FixtureRequest, xdist: None) -> str:
    return str(request.param)


def told(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    """Return what the listener was told, by x, and forget it."""
    path = pytester.path / "told.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted((json.loads(line) for line in lines), key=lambda each: each["x"])


def test_each_result_is_told_once(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makeconftest(LISTENER)
    pytester.makepyfile(exp_a=EXPERIMENT)
    pytester.runpytest_subprocess(workers)
    one, two, four = told(pytester)
    assert (one["x"], one["value"], one["was_cached"], one["error"]) == (1, [1], False, None)
    assert two["metrics"] == {"loss": [[0, 0.5]]}
    assert four["error"].startswith("AssertionError: four is too much")
    assert four["was_cached"] is False
    assert len({each["pid"] for each in (one, two, four)}) == 1
    assert one["worker"] is None

    pytester.runpytest_subprocess(workers)
    assert [(each["x"], each["was_cached"]) for each in told(pytester)] == [
        (1, True), (2, True), (4, False),
    ]  # fmt: skip


def test_nothing_stored_is_nothing_told(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makeconftest(LISTENER)
    pytester.makepyfile(exp_a=EXPERIMENT)
    pytester.runpytest_subprocess(workers, "--memento-cache=off")
    pytester.runpytest_subprocess(workers, "--memento-cache=only")
    assert told(pytester) == []


def test_what_is_verified_is_the_stored_result(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(LISTENER)
    pytester.makepyfile(
        exp_a="""
        import os
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            return x + int(x == 2 and os.path.exists("changed"))
        """
    )
    pytester.runpytest_subprocess()
    assert len(told(pytester)) == 2
    (pytester.path / "changed").touch()
    pytester.runpytest_subprocess("--memento-verify=100%")
    assert [(each["value"], each["was_cached"]) for each in told(pytester)] == [(1, True)]


@pytest.mark.usefixtures("xdist")
def test_a_crash_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(LISTENER)
    pytester.makepyfile(
        exp_a="""
        import os
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            if x == 1: os._exit(1)
            return x
        """
    )
    pytester.runpytest_subprocess("-n1")
    one, two = told(pytester)
    assert one["error"].startswith("its worker died")
    assert two["value"] == 2


@pytest.mark.parametrize("strict", [(), ("-W", "error")])
def test_one_that_raises_is_a_warning(
    pytester: pytest.Pytester, workers: str, strict: tuple[str, ...]
) -> None:
    pytester.makeconftest(LISTENER)
    pytester.makepyfile(
        exp_a=EXPERIMENT.replace("x == 3", "False").replace("x != 4", "True"),
        tracker="""
        import pytest
        def pytest_memento_result(result):
            if result.config["x"] == 3:
                pytest.fail("as a test would")
            raise ConnectionError("no\\nserver")
        """,
    )
    result = pytester.runpytest_subprocess(workers, "-p", "tracker", *strict)
    assert result.ret == 0
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["warnings" if "warnings" in counts else "warning"]) == (4, 1)
    result.stdout.fnmatch_lines(
        [
            "*MementoWarning: pytest_memento_result of tracker raised for exp_a.py::experiment?x=*?: *"
        ]
    )
    assert "(and for 3 more)" in str(result.stdout)
    assert [each["x"] for each in told(pytester)] == [1, 2, 3, 4]


def test_a_conftest_is_told_what_is_below_it(pytester: pytest.Pytester) -> None:
    for name in ("a", "b"):
        directory = pytester.mkdir(name)
        (directory / f"exp_{name}.py").write_text(EXPERIMENT)
        (directory / "conftest.py").write_text(LISTENER.replace("told.jsonl", f"{name}/told.jsonl"))
    pytester.runpytest_subprocess()
    for name in ("a", "b"):
        lines = Path(pytester.path / name / "told.jsonl").read_text().splitlines()
        assert {json.loads(line)["experiment"] for line in lines} == {
            f"{name}/exp_{name}.py::experiment"
        }


def test_nothing_is_registered_where_nobody_listens(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=EXPERIMENT)
    pytester.makeconftest(
        """
        def pytest_sessionfinish(session):
            names = [name for name, _ in session.config.pluginmanager.list_name_plugin()]
            print("registered:", [n for n in names if n in ("memento-passing", "memento-properties")])
        """
    )
    pytester.runpytest("-p", "no:xdist", "-s").stdout.fnmatch_lines(["*registered: []*"])
