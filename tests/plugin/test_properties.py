"""What reporters are told of an experiment: ``user_properties``, as junitxml writes them."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

MIXED = """
import pytest
matrix = {"parameters": {"model": [dict, list], "x": [1, 2, 3]}}

def experiment(context, model, x):
    if x == 3:
        pytest.skip("not today")
    context.record({"loss": 0.5})
    context.record({"loss": 0.25})
    assert x != 2
    return {"accuracy": 0.75, "best": "svc"}
"""
HOSTILE = r"""
import math
matrix = {"parameters": {"x": ["a\x00b", "\ud800", "<&\"'>", 10**40, math.nan, None, True]}}

def experiment(context, x):
    context.record({"lo\x00ss \udfff<": math.inf, "10": 10**17})
    return {"\x1b[1m": "\x01\ufffe", "big": 10**60}
"""

Properties = dict[str, str]


@pytest.fixture(params=["-n0", "-n2", "--dist=loadfile"])
def workers(request: pytest.FixtureRequest, xdist: None) -> tuple[str, ...]:
    return ("-n2", request.param) if request.param.startswith("--dist") else (request.param,)


def cases(pytester: pytest.Pytester, name: str = "out.xml") -> dict[str, Properties]:
    """Test name -> its properties; each is there once."""
    found = {}
    # junitxml leaves a case without a name where a worker dies after the set-up.
    for case in ElementTree.parse(pytester.path / name).iterfind(".//testcase[@name]"):
        pairs = [(each.attrib["name"], each.attrib["value"]) for each in case.iter("property")]
        assert len(dict(pairs)) == len(pairs)
        assert case.attrib["name"] not in found
        found[case.attrib["name"]] = dict(pairs)
    return found


def test_properties_of_what_runs_and_of_what_is_stored(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(exp_a=MIXED)
    first = pytester.runpytest_subprocess(*workers, "--junitxml=out.xml")
    assert first.parseoutcomes() == {"passed": 2, "failed": 2, "skipped": 2}
    ran = cases(pytester)
    passed = ran["experiment[model=dict-x=1]"]
    key, runtime = passed.pop("memento.key"), float(passed.pop("memento.runtime"))
    assert len(key) == 32
    assert runtime >= 0
    assert passed == {
        "memento.parameters.model": "dict",
        "memento.parameters.x": "1",
        "memento.result.accuracy": "0.75",
        "memento.result.best": "svc",
        "memento.metrics.loss": "0.25",
        "memento.cached": "false",
    }
    failed = ran["experiment[model=list-x=2]"]
    assert failed["memento.metrics.loss"] == "0.25"
    assert failed["memento.cached"] == "false"
    assert "memento.runtime" in failed
    assert not any("result" in name for name in failed)
    skipped = ran["experiment[model=dict-x=3]"]
    assert skipped.keys() == {
        "memento.parameters.model", "memento.parameters.x", "memento.key", "memento.cached",
    }  # fmt: skip

    again = pytester.runpytest_subprocess(*workers, "--junitxml=out.xml")
    assert again.parseoutcomes() == {"cached": 2, "failed": 2, "skipped": 2}
    stored = cases(pytester)
    assert stored.keys() == ran.keys()
    assert stored["experiment[model=dict-x=1]"] == {
        **passed, "memento.cached": "true", "memento.key": key, "memento.runtime": f"{runtime}",
    }  # fmt: skip
    tests = ElementTree.parse(pytester.path / "out.xml").find("testsuite")
    assert tests is not None
    counts = {name: tests.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "2", "errors": "0", "skipped": "2"}


def test_properties_are_safe(pytester: pytest.Pytester, workers: tuple[str, ...]) -> None:
    pytester.makepyfile(exp_a=HOSTILE)
    for outcome in ("passed", "cached"):
        result = pytester.runpytest_subprocess(*workers, "--junitxml=out.xml")
        assert result.parseoutcomes() == {outcome: 7}
        found = list(cases(pytester).values())
        assert {each["memento.parameters.x"] for each in found} == {
            r"a\x00b", r"\ud800", "<&\"'>", f"{10**40}", "nan", "None", "True",
        }  # fmt: skip
        for each in found:
            assert each[r"memento.metrics.lo\x00ss \udfff<"] == "inf"
            assert each["memento.metrics.10"] == f"{10**17}"
            assert each[r"memento.result.\x1b[1m"] == r"\x01\ufffe"
            assert each["memento.result.big"].startswith("1000000")


def test_properties_are_plain_and_those_of_the_user_stay(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        exp_a="""
        import numpy
        matrix = {"parameters": {"x": [numpy.float32(0.5)]}}
        def experiment(context, x, record_property):
            record_property("mine", 1)
            context.record({"loss": numpy.float64(1.5)})
            return numpy.int64(3)
        """
    )
    pytester.makeconftest(
        """
        import json, os
        def pytest_runtest_logreport(report):
            if "PYTEST_XDIST_WORKER" in os.environ:
                return
            with open("seen.jsonl", "a") as file:
                file.write(json.dumps([report.when, report.user_properties]) + "\\n")
        """
    )
    for outcome in ("passed", "cached"):
        assert pytester.runpytest_subprocess(*workers).parseoutcomes() == {outcome: 1}
    seen = [json.loads(line) for line in (pytester.path / "seen.jsonl").read_text().splitlines()]
    assert [when for when, _ in seen] == ["setup", "call", "teardown", "call", "teardown"]
    assert seen[1][1] == seen[2][1]
    ran, stored = dict(seen[1][1]), dict(seen[3][1])
    assert ran.pop("mine") == 1
    assert isinstance(ran["memento.runtime"], float)
    assert (ran["memento.parameters.x"], ran["memento.result"]) == (0.5, 3)
    assert math.isclose(ran["memento.metrics.loss"], 1.5)
    assert {**ran, "memento.cached": "true"} == stored


def test_properties_of_what_is_not_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=MIXED)
    pytester.runpytest("-p", "no:xdist", "--memento-cache=only", "--junitxml=out.xml")
    (one, *_) = cases(pytester).values()
    assert one["memento.parameters.x"] == "1"
    assert one["memento.cached"] == "false"
    assert "memento.runtime" not in one


@pytest.mark.usefixtures("xdist")
def test_properties_of_a_crash(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import os
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            os._exit(1)
        """
    )
    pytester.runpytest_subprocess("-n1", "--junitxml=out.xml")
    (crash,) = cases(pytester).values()
    assert crash["memento.parameters.x"] == "1"
    assert crash["memento.cached"] == "false"


def test_properties_of_other_tests_are_theirs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a="def test_a(record_property): record_property('a', 'b')")
    pytester.runpytest("--junitxml=out.xml")
    assert cases(pytester) == {"test_a": {"a": "b"}}
