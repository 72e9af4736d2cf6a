"""Other plugins that change how tests run or what is shown: both go on working."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

Notes = Callable[[], list[str]]
FLAKY = """
    from notes import note
    from pathlib import Path

    matrix = {"parameters": {"x": [1, 2, 3, 4]}}

    def experiment(x):
        note(x)
        seen = Path(f"seen-{x}")
        if x % 2 and not seen.exists():
            seen.touch()
            raise RuntimeError("flaky")
        return x
"""


@pytest.fixture(params=["-n0", "-n2"])
def workers(request: pytest.FixtureRequest, xdist: None) -> str:
    return str(request.param)


def needs(module: str) -> None:
    pytest.importorskip(module, reason=f"needs {module.replace('_', '-')}")


def test_neighbour_rerunfailures(pytester: pytest.Pytester, notes: Notes, workers: str) -> None:
    needs("pytest_rerunfailures")
    pytester.makepyfile(exp_a=FLAKY)
    result = pytester.runpytest_subprocess(workers, "--reruns=1", "--junitxml=out.xml")
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["rerun"]) == (4, 2)
    assert sorted(notes()) == ["1", "1", "2", "3", "3", "4"]
    # As without our plugin, one for each try.
    assert len(ElementTree.parse(pytester.path / "out.xml").findall(".//testcase")) == 6
    again = pytester.runpytest_subprocess(workers, "--reruns=1")
    assert again.parseoutcomes() == {"cached": 4}


def test_neighbour_rerunfailures_in_vain(
    pytester: pytest.Pytester, notes: Notes, workers: str
) -> None:
    needs("pytest_rerunfailures")
    pytester.makepyfile(exp_a=FLAKY.replace("not seen.exists()", "True"))
    result = pytester.runpytest_subprocess(workers, "--reruns=2")
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["failed"], counts["rerun"]) == (2, 2, 4)
    lines = [line for line in result.outlines if re.match(r"\d +(passed|failed) ", line)]
    assert len(lines) == 4  # once for each, whatever the number of tries


def test_neighbour_rerunfailures_and_who_is_told(
    pytester: pytest.Pytester, notes: Notes, workers: str
) -> None:
    needs("pytest_rerunfailures")
    pytester.makepyfile(exp_a=FLAKY)
    pytester.makeconftest(
        """
        def pytest_memento_result(result):
            with open("told.txt", "a") as file:
                file.write(f"{result.config.x} {result.error}\\n")
        """
    )
    pytester.runpytest_subprocess(workers, "--reruns=1", "--junitxml=out.xml")
    told = (pytester.path / "told.txt").read_text().splitlines()
    assert sorted(told) == ["1 None", "2 None", "3 None", "4 None"]
    results = []
    for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase"):
        names = [each.attrib["name"] for each in case.iter("property")]
        assert len(set(names)) == len(names)
        results += [each.attrib["value"] for each in case.iterfind(".//*[@name='memento.result']")]
    assert sorted(results) == ["1", "2", "3", "4"]


def test_neighbour_rerunfailures_of_a_crash(pytester: pytest.Pytester, xdist: None) -> None:
    needs("pytest_rerunfailures")
    pytester.makepyfile(
        exp_a="matrix = {'parameters': {'x': [1, 2, 3]}}\ndef experiment(x): return x",
        test_a="import os\nfrom pathlib import Path\ndef test_a():\n"
        "    if not Path('seen').exists():\n        Path('seen').touch()\n        os._exit(1)",
    )
    result = pytester.runpytest_subprocess("-n2", "--reruns=2")
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["rerun"]) == (4, 1)
    assert result.ret == 0


def test_neighbour_sugar(pytester: pytest.Pytester, notes: Notes, workers: str) -> None:
    needs("pytest_sugar")
    pytester.makepyfile(exp_a=FLAKY.replace("x % 2", "x == 9"))
    result = pytester.runpytest_subprocess(workers, "--force-sugar")
    assert result.ret == 0
    text = str(result.stdout)
    assert "memento summary" in text
    assert re.search(r"4 passed", text)
    again = pytester.runpytest_subprocess(workers, "--force-sugar")
    assert again.ret == 0
    assert "INTERNALERROR" not in str(again.stdout)
    assert sorted(notes()) == ["1", "2", "3", "4"]
