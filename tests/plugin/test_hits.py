"""A stored result stands for a run: no fixture is built for it, and those of others live right."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Notes = Callable[[], list[str]]

LIVES = """
import pytest
from notes import note

@pytest.fixture(scope="session")
def session():
    note("session up")
    yield
    note("session down")

@pytest.fixture(scope="module")
def module(request, session):
    note(f"{request.module.__name__} up")
    yield
    note(f"{request.module.__name__} down")

@pytest.fixture(scope="class")
def group(request, module):
    note(f"{request.cls.__name__} up")
    yield
    note(f"{request.cls.__name__} down")

@pytest.fixture
def item(request, module):
    note(f"item up")
    yield
    note(f"item down")
"""
FILE = """
from notes import note

matrix = {{"parameters": {{"x": {values}}}}}

def test_before(module): note("before")

class ExperimentA:
    def experiment(self, group, item, x):
        note(f"run a{{x}}")

def test_between(item): note("between")

class ExperimentB:
    def experiment(self, group, x):
        note(f"run b{{x}}")

def test_after(module): note("after")
"""


def is_well_nested(lines: list[str]) -> bool:
    """Whether everything that was set up was torn down once, the last one first."""
    standing: list[str] = []
    for line in lines:
        what, _, verb = line.rpartition(" ")
        if verb == "up":
            if what in standing:
                return False
            standing.append(what)
        elif verb == "down" and (not standing or standing.pop() != what):
            return False
    return not standing


@pytest.fixture
def project(pytester: pytest.Pytester, notes: Notes) -> Callable[[str, str], None]:
    """Write two files of experiments between ordinary tests, with these values of ``x``."""
    pytester.makeconftest(LIVES)

    def write(first: str, second: str) -> None:
        pytester.makepyfile(
            exp_a=FILE.format(values=first),
            exp_b=FILE.format(values=second),
            test_c="from notes import note\ndef test_c(module, item): note('c')",
        )

    return write


def test_hits_build_no_fixtures(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makeconftest(LIVES)
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [1, 2]}}

            def setup_module(): raise_if_cached("module")
            def setup_function(): raise_if_cached("function")
            def raise_if_cached(name):
                from notes import note
                note(name)

            @pytest.fixture(autouse=True)
            def always(): raise_if_cached("autouse")

            def experiment(x, item): pass
        """
    )
    pytester.runpytest()
    assert "autouse" in notes()
    again = pytester.runpytest("--setup-show")
    assert again.parseoutcomes() == {"cached": 2}
    assert notes() == []
    again.stdout.no_fnmatch_line("*SETUP*")


def test_what_is_needed_lives_exactly_as_long_as_without_hits(
    pytester: pytest.Pytester, notes: Notes, project: Callable[[str, str], None]
) -> None:
    project("[1, 2]", "[1, 2]")
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 15}
    cold = notes()
    assert is_well_nested(cold)

    project("[1, 2]", "[1, 2]")
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 8, "passed": 7}
    warm = notes()
    assert is_well_nested(warm)
    assert not any(note.startswith(("run", "ExperimentA", "ExperimentB")) for note in warm)

    # Now hits stand before, between and behind what is to be run.
    project("[0, 1, 5, 2, 9]", "[1, 7, 2]")
    result = pytester.runpytest("-W", "error")
    assert result.parseoutcomes() == {"cached": 8, "passed": 15}
    mixed = notes()
    assert is_well_nested(mixed)
    assert [note for note in mixed if note.startswith("run")] == [
        "run a0", "run a5", "run a9", "run b0", "run b5", "run b9", "run a7", "run b7",
    ]  # fmt: skip
    assert mixed.count("exp_a up") == mixed.count("exp_b up") == mixed.count("session up") == 1
    assert mixed.count("ExperimentA up") == mixed.count("ExperimentB up") == 2


@pytest.mark.parametrize("dist", ["load", "worksteal", "loadscope", "loadfile"])
def test_they_live_right_in_workers(
    pytester: pytest.Pytester,
    notes: Notes,
    project: Callable[[str, str], None],
    xdist: None,
    dist: str,
) -> None:
    arguments = ("-W", "error", "-n2", f"--dist={dist}")
    pytester.makepyfile(notes=PER_PROCESS)
    project("[1, 2]", "[1, 2]")
    pytester.runpytest("-p", "no:xdist")
    notes()
    project("[0, 1, 5, 2, 9]", "[1, 7, 2]")
    result = pytester.runpytest_subprocess(*arguments)
    assert result.parseoutcomes() == {"cached": 8, "passed": 15}
    for lines in by_process(notes()).values():
        assert is_well_nested(lines)


PER_PROCESS = """
import os
from pathlib import Path

def note(text):
    with (Path(__file__).parent / "notes.txt").open("a") as file:
        file.write(f"{os.getpid()} {text}\\n")
"""


def by_process(lines: list[str]) -> dict[str, list[str]]:
    """Sort notes by the process that they start with."""
    found: dict[str, list[str]] = {}
    for line in lines:
        process, _, text = line.partition(" ")
        found.setdefault(process, []).append(text)
    return found


FAILING_TEARDOWN = """
    import pytest

    matrix = {{"parameters": {{"x": {values}}}}}

    @pytest.fixture(scope="module")
    def fragile():
        yield
        raise ValueError("broken on the way down")

    {body}
"""


@pytest.mark.parametrize("workers", [(), ("-n2", "--dist=loadfile")], ids=["serial", "workers"])
def test_a_failing_module_teardown_next_to_hits(
    pytester: pytest.Pytester, request: pytest.FixtureRequest, workers: tuple[str, ...]
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    body = "def experiment(x, fragile): return x"
    pytester.makepyfile(exp_a=FAILING_TEARDOWN.format(values="[1, 2]", body=body))
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    first = run(*workers)
    # pytest shows it as an error of the last item; what was computed is stored all the same.
    assert first.parseoutcomes() == {"passed": 2, "errors": 1}
    pytester.makepyfile(
        exp_a=FAILING_TEARDOWN.format(values="[1, 3, 2]", body=body),
        exp_b="matrix = {'parameters': {'x': [1]}}\ndef experiment(x): return x",
    )
    second = run(*workers)
    assert second.parseoutcomes() == {"cached": 2, "passed": 2, "errors": 1}
    second.stdout.fnmatch_lines(["E*ValueError: broken on the way down"])
    third = run(*workers)
    assert third.parseoutcomes() == {"cached": 4}


def test_a_hit_after_a_test_with_a_failing_teardown(pytester: pytest.Pytester) -> None:
    body = "def test_plain(fragile): pass\n    def experiment(x): return x"
    pytester.makepyfile(exp_a=FAILING_TEARDOWN.format(values="[1, 2]", body=body))
    for outcome in ("passed", "cached"):
        found = pytester.runpytest().parseoutcomes()
        assert found.pop("errors") == 1
        assert found.pop("passed") == (3 if outcome == "passed" else 1)
        assert found == ({} if outcome == "passed" else {"cached": 2})


def test_other_plugins_see_a_hit_as_the_function_it_stands_for(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                assert item.function.__name__ in ("experiment", "experiment_b")
                assert item.originalname == item.function.__name__
                assert item.module.__name__ == "exp_a"
                assert (item.cls is None) == ("Experiment::" not in item.nodeid)
                assert isinstance(item.fixturenames, list)
                assert "own" in item.keywords and item.name in item.keywords
                assert ("slow" in item.keywords) == ("x=2" in item.name)
                assert item.get_closest_marker("own").args == (3,)
                assert item.path.name == "exp_a.py" and item.location[0] == "exp_a.py"
                assert [m.name for m in item.iter_markers()].count("own") == 1
            items.sort(key=lambda item: item.nodeid)

        def pytest_itemcollected(item):
            assert item.name in item.nodeid

        def pytest_runtest_logstart(nodeid, location):
            print("start", nodeid, *location)

        def pytest_runtest_logfinish(nodeid, location):
            print("finish", nodeid, *location)
        """
    )
    pytester.makeini("[pytest]\nmarkers =\n  own\n  slow")
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [1, pytest.param(2, marks=pytest.mark.slow)]}}

            @pytest.mark.own(3)
            def experiment(x): pass

            class Experiment:
                @pytest.mark.own(3)
                def experiment_b(self, x): pass
        """
    )
    cold = pytester.runpytest("-q", "-s")
    assert cold.parseoutcomes() == {"passed": 4}
    warm = pytester.runpytest("-q", "-s")
    assert warm.parseoutcomes() == {"cached": 4}

    def told(result: pytest.RunResult) -> set[str]:
        words = (line.lstrip(".c") for line in result.outlines)
        return {line for line in words if line.startswith(("start", "finish"))}

    assert told(cold) == told(warm)
    assert len(told(warm)) == 8


def test_a_skipif_mark_skips_also_what_is_stored(pytester: pytest.Pytester) -> None:
    source = """
        import pytest
        matrix = {{"parameters": {{"x": [1, 2]}}}}

        @pytest.mark.skipif({}, reason="not here")
        def experiment(x): return x
    """
    pytester.makepyfile(exp_a=source.format(False))
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    pytester.makepyfile(exp_a=source.format(True))
    assert pytester.runpytest().parseoutcomes() == {"skipped": 2}
    pytester.makepyfile(exp_a=source.format(False))
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}


def test_a_mark_of_the_matrix_skips_also_what_is_stored(pytester: pytest.Pytester) -> None:
    source = "import pytest\nmatrix = {{'parameters': {{'x': [1, {}]}}}}\ndef experiment(x): pass"
    pytester.makepyfile(exp_a=source.format("2"))
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.format("pytest.param(2, marks=pytest.mark.skip)"))
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "skipped": 1}


def test_a_skip_mark_that_a_hook_adds(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="matrix = {'parameters': {'x': [1, 2]}}\ndef experiment(x): pass")
    pytester.runpytest()
    pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            items[0].add_marker(pytest.mark.skip(reason="by a hook"))
        """
    )
    assert pytester.runpytest("-rs").parseoutcomes() == {"cached": 1, "skipped": 1}


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_hits_come_before_a_failure_stops_the_session(
    pytester: pytest.Pytester, option: str
) -> None:
    source = "matrix = {{'parameters': {{'x': {}}}}}\ndef experiment(x): assert x"
    pytester.makepyfile(exp_a=source.format([1, 2]))
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.format([0, 1, 2, 3]))
    assert pytester.runpytest(option).parseoutcomes() == {"cached": 2, "failed": 1}
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "failed": 1, "passed": 1}


def test_lf_ff_and_stepwise(pytester: pytest.Pytester) -> None:
    source = """
        from pathlib import Path
        matrix = {"parameters": {"x": [1, 2, 3, 4]}}
        def experiment(x): assert x != 3 or Path("fixed").exists()
    """
    pytester.makepyfile(exp_a=source)
    assert pytester.runpytest().parseoutcomes() == {"passed": 3, "failed": 1}
    assert pytester.runpytest("--lf").parseoutcomes() == {"failed": 1}
    assert pytester.runpytest("--ff").parseoutcomes() == {"failed": 1, "cached": 3}
    # Stepwise stops at the failure, and goes on from it.
    first = pytester.runpytest("--sw").parseoutcomes()
    assert first["failed"] == 1
    again = pytester.runpytest("--sw").parseoutcomes()
    assert again["failed"] == 1
    (pytester.path / "fixed").touch()
    fixed = pytester.runpytest("--sw").parseoutcomes()
    assert fixed["passed"] == 1
    assert pytester.runpytest("--lf").parseoutcomes() == {"cached": 4}


def test_deselecting_by_a_hook(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="matrix = {'parameters': {'x': [1, 2]}}\ndef experiment(x): pass")
    pytester.runpytest()
    result = pytester.runpytest("--deselect", "exp_a.py::experiment[x=1]")
    assert result.parseoutcomes() == {"cached": 1, "deselected": 1}


def test_collection_errors_elsewhere_stop_hits_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="matrix = {'parameters': {'x': [1, 2]}}\ndef experiment(x): pass",
    )
    pytester.runpytest()
    pytester.makepyfile(test_b="1 / 0")
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"errors": 1}
    assert result.ret == pytest.ExitCode.INTERRUPTED


def test_junitxml_and_durations_hold_hits(pytester: pytest.Pytester) -> None:
    import xml.etree.ElementTree as ET

    source = "matrix = {{'parameters': {{'x': {}}}}}\ndef experiment(x): assert x"
    pytester.makepyfile(exp_a=source.format([1, 2]))
    pytester.runpytest()
    pytester.makepyfile(exp_a=source.format([0, 1, 2, 3]))
    result = pytester.runpytest("--junitxml=out.xml", "--durations=5", "-vv")
    result.stdout.fnmatch_lines(["*slowest 5 durations*"])
    suite = ET.parse(pytester.path / "out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "0")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert set(cases) == {f"experiment[x={x}]" for x in range(4)}
    assert {case.get("classname") for case in cases.values()} == {"exp_a"}
    assert all(case.get("time") is not None for case in cases.values())
    assert [each.tag for each in cases["experiment[x=1]"]] == ["properties"]
    assert [each.tag for each in cases["experiment[x=0]"]] == ["properties", "failure"]


def test_the_recipe_for_slow_tests(pytester: pytest.Pytester) -> None:
    """As in pytest's documentation: a hook skips what is marked, by its keywords."""
    pytester.makeconftest(
        """
        import pytest

        def pytest_addoption(parser): parser.addoption("--runslow", action="store_true")
        def pytest_configure(config): config.addinivalue_line("markers", "slow")

        def pytest_collection_modifyitems(config, items):
            if not config.getoption("--runslow"):
                for item in items:
                    if "slow" in item.keywords:
                        item.add_marker(pytest.mark.skip(reason="need --runslow option to run"))
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [1, pytest.param(2, marks=pytest.mark.slow), 3]}}
            def experiment(x): pass
            @pytest.mark.slow
            def experiment_slow(x): pass
        """
    )
    assert pytester.runpytest("--runslow").parseoutcomes() == {"passed": 6}
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "skipped": 4}
    assert pytester.runpytest("--runslow").parseoutcomes() == {"cached": 6}
