"""``--memento-verify``: stored results that are computed again, beside the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

# It gives what the environment says: a change that no fingerprint sees.
DRIFTING = """
    import os
    from notes import note

    matrix = {"parameters": {"x": [1, 2, 3, 4]}}

    def experiment(context, x):
        note(f"x={x}")
        context.record({"loss": 1 / x})
        drift = float(os.environ.get("DRIFT", 0)) if x == 3 else 0
        return {"scores": [0.5, x + drift]}
"""


@pytest.fixture
def drifting(pytester: pytest.Pytester, notes: Notes) -> Path:
    """Four stored results; with ``DRIFT`` in the environment the third is another one."""
    path = pytester.makepyfile(exp_a=DRIFTING)
    pytester.runpytest()
    notes()
    return path


def files(pytester: pytest.Pytester) -> dict[str, bytes]:
    """Return every file of the store."""
    found = (pytester.path / ".pytest_cache" / "memento").rglob("*")
    return {str(path): path.read_bytes() for path in found if path.is_file()}


def test_results_that_are_the_same(pytester: pytest.Pytester, drifting: Path, notes: Notes) -> None:
    before = files(pytester)
    result = pytester.runpytest("--memento-verify=100%", "-v")
    result.stdout.fnmatch_lines(
        [
            "memento: 4 experiments: 4 cached; *",
            "memento: 4 of 4 cached results are computed again and compared*=100%)",
            "exp_a.py::experiment*x=1* VERIFIED *",
            "x * status * result * runtime * memory",
            "1 * verified *0.5*",
            "*= 4 verified in *",
        ]
    )
    assert result.ret == 0
    assert sorted(notes()) == ["x=1", "x=2", "x=3", "x=4"]
    assert files(pytester) == before


def test_a_result_that_differs(
    pytester: pytest.Pytester, drifting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(pytester)
    monkeypatch.setenv("DRIFT", "0.25")
    result = pytester.runpytest("--memento-verify=100%")
    result.stdout.fnmatch_lines(
        [
            "stored 3.0, computed 3.25 at ?'scores'??1?",
            "x=3: stored just now on *",
            "the stored result stays",
            "3 * failed *",
            "FAILED exp_a.py::experiment?x=3?*",
            "*= 3 verified, 1 failed in *",
        ]
    )
    assert result.ret == 1
    assert files(pytester) == before
    assert pytester.runpytest().parseoutcomes() == {"cached": 4}
    assert [result.value["scores"][1] for result in load_results("exp_a.py")] == [1, 2, 3, 4]


@pytest.mark.parametrize(("sample", "number"), [("2", 2), ("9", 4), ("1%", 1), ("50%", 2)])
def test_a_sample(
    pytester: pytest.Pytester, drifting: Path, notes: Notes, sample: str, number: int
) -> None:
    result = pytester.runpytest("--memento-verify", sample)
    rest = {"cached": 4 - number} if number < 4 else {}
    assert result.parseoutcomes() == {"verified": number, **rest}
    assert len(notes()) == number
    result.stdout.fnmatch_lines([f"*: {number} of 4 cached results are computed again*={sample})"])


def test_samples_are_drawn_anew_each_time(
    pytester: pytest.Pytester, drifting: Path, notes: Notes
) -> None:
    drawn = set()
    for _ in range(40):
        pytester.runpytest("--memento-verify=1", "-q")
        drawn.update(notes())
        if len(drawn) > 1:
            return
    pytest.fail(f"40 times the same: {drawn}")


def test_what_is_not_cached_runs_as_always(
    pytester: pytest.Pytester, drifting: Path, notes: Notes
) -> None:
    drifting.write_text(drifting.read_text().replace("3, 4]", "3, 4, 5]"))
    result = pytester.runpytest("--memento-verify=1")
    assert result.parseoutcomes() == {"verified": 1, "cached": 3, "passed": 1}
    assert pytester.runpytest().parseoutcomes() == {"cached": 5}


def test_only_among_the_selected(pytester: pytest.Pytester, drifting: Path, notes: Notes) -> None:
    result = pytester.runpytest("--memento-verify=9", "-k", "2")
    assert result.parseoutcomes() == {"verified": 1, "deselected": 3}
    result = pytester.runpytest("--memento-verify=9", "--memento-select=x >= 3")
    assert result.parseoutcomes() == {"verified": 2, "deselected": 2}
    assert sorted(notes()) == ["x=2", "x=3", "x=4"]


def test_only_among_those_that_failed_last(
    pytester: pytest.Pytester, drifting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFT", "1")
    pytester.runpytest("--memento-verify=9")
    result = pytester.runpytest("--lf", "--memento-verify=9")
    assert result.parseoutcomes() == {"failed": 1}


def test_nothing_else_may_run(pytester: pytest.Pytester, drifting: Path, notes: Notes) -> None:
    result = pytester.runpytest("--memento-cache=only", "--memento-verify=100%")
    assert result.parseoutcomes() == {"verified": 4}


def test_a_dry_run_runs_nothing(pytester: pytest.Pytester, drifting: Path, notes: Notes) -> None:
    result = pytester.runpytest("--collect-only", "--memento-verify=50%")
    result.stdout.fnmatch_lines(["memento: 2 of 4 cached results would be computed again*"])
    assert notes() == []


def test_nothing_is_cached(pytester: pytest.Pytester, squares: Path) -> None:
    result = pytester.runpytest("--memento-verify=50%")
    result.stdout.fnmatch_lines(["memento: nothing is cached, and so nothing to verify"])
    assert result.parseoutcomes() == {"passed": 3}


def test_with_workers(
    pytester: pytest.Pytester,
    drifting: Path,
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
    xdist: None,
) -> None:
    result = pytester.runpytest_subprocess("-n2", "--memento-verify=2")
    assert result.parseoutcomes() == {"verified": 2, "cached": 2}
    assert len(notes()) == 2
    result.stdout.fnmatch_lines(["memento: 2 of 4 cached results are computed again*"])
    monkeypatch.setenv("DRIFT", "1")
    before = files(pytester)
    result = pytester.runpytest_subprocess("-n2", "--memento-verify=100%")
    assert result.parseoutcomes() == {"verified": 3, "failed": 1}
    assert files(pytester) == before


def test_a_worker_that_dies_leaves_the_stored_result(
    pytester: pytest.Pytester, notes: Notes, monkeypatch: pytest.MonkeyPatch, xdist: None
) -> None:
    pytester.makepyfile(
        exp_a="""
            import os
            matrix = {"parameters": {"x": [1]}}
            def experiment(x): return os._exit(1) if "DIE" in os.environ else x
        """
    )
    pytester.runpytest()
    before = files(pytester)
    monkeypatch.setenv("DIE", "1")
    result = pytester.runpytest_subprocess("-n1", "--memento-verify=1")
    assert result.parseoutcomes() == {"failed": 1}
    assert files(pytester) == before


def test_an_experiment_that_fails_now(
    pytester: pytest.Pytester, drifting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFT", "much")
    before = files(pytester)
    result = pytester.runpytest("--memento-verify=100%")
    result.stdout.fnmatch_lines(
        ["*ValueError: *much*", "run to verify the stored result, which stays"]
    )
    assert result.parseoutcomes() == {"verified": 3, "failed": 1}
    assert files(pytester) == before


def test_a_directory_in_the_result_is_no_difference(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(context):
                assert not context.checkpoint_exist()
                context.checkpoint(1)
                (context.dir / "model.txt").write_text("...")
                return context.dir / "model.txt", str(context.dir)
        """
    )
    pytester.runpytest()
    before = files(pytester)
    result = pytester.runpytest("--memento-verify=1")
    assert result.parseoutcomes() == {"verified": 1}
    assert files(pytester) == before


def test_fixtures_and_seeds_are_those_of_any_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import random
            import pytest
            matrix = {"parameters": {"x": [1, 2, 3]}}
            @pytest.fixture(scope="module")
            def data(x): return [x] * 2
            class Experiment:
                def experiment(self, data, x, context):
                    return data, random.Random(context.seed).random()
                async def experiment_b(self, x): return x
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 6}
    assert pytester.runpytest("--memento-verify=9").parseoutcomes() == {"verified": 6}


def test_what_else_has_changed_is_said(
    pytester: pytest.Pytester, drifting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(
        """
        import platform, socket
        platform.python_version = lambda: "3.99.0"
        socket.gethostname = lambda: "node07"
        """
    )
    monkeypatch.setenv("DRIFT", "1")
    result = pytester.runpytest_subprocess("--memento-verify=9")
    result.stdout.fnmatch_lines(["since then: host * -> node07, python * -> 3.99.0"])


# -- the hook --------------------------------------------------------------------------------------

HOOK = """
    def pytest_memento_compare(stored, computed, config):
        if config.x != 3:
            return None
        {answer}
"""


@pytest.mark.parametrize(
    ("answer", "outcome", "line"),
    [
        ("return True", {"verified": 4}, "*"),
        ("return abs(stored['scores'][1] - computed['scores'][1]) < 2", {"verified": 4}, "*"),
        ("return None", {"verified": 3, "failed": 1}, "stored 3.0, computed 4.0 at ?'scores'??1?"),
        ("return False", {"verified": 3, "failed": 1}, "differs from the stored result, says the project's hook"),
        ("return 'too far off'", {"verified": 3, "failed": 1}, "too far off"),
        ("return 1 / 0", {"verified": 3, "failed": 1},
         "not verified: comparing raised ZeroDivisionError: *"),
    ],
)  # fmt: skip
def test_the_hook_has_the_first_word(
    pytester: pytest.Pytester,
    drifting: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    outcome: dict[str, int],
    line: str,
) -> None:
    pytester.makeconftest(HOOK.format(answer=answer))
    monkeypatch.setenv("DRIFT", "1")
    result = pytester.runpytest("--memento-verify=9")
    assert result.parseoutcomes() == outcome
    result.stdout.fnmatch_lines([line])


# -- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "-1", "0%", "101%", "some", "1.5", "", "%", "nan%"])
def test_a_sample_that_is_none(pytester: pytest.Pytester, drifting: Path, text: str) -> None:
    result = pytester.runpytest(f"--memento-verify={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --memento-verify takes a share such as 5% or a number such as 20, not '{text}'"]
    )


@pytest.mark.parametrize("mode", ["refresh", "off"])
def test_there_must_be_something_to_compare_with(
    pytester: pytest.Pytester, drifting: Path, mode: str
) -> None:
    result = pytester.runpytest("--memento-verify=1", f"--memento-cache={mode}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: --memento-verify compares with stored results, not with --memento-cache={mode}"]
    )


def test_a_result_that_cannot_be_loaded(pytester: pytest.Pytester, drifting: Path) -> None:
    (path, *_) = (pytester.path / ".pytest_cache" / "memento").rglob("*.result")
    content = path.read_bytes()
    head, _, value = content.partition(b"\n")
    path.write_bytes(head + b"\n" + value.replace(b"scores", b"Scores"))
    result = pytester.runpytest("--memento-verify=9")
    result.stdout.fnmatch_lines(["not verified: the result of exp_a.py::experiment cannot be*"])
    assert result.parseoutcomes() == {"verified": 3, "failed": 1}
    assert pytester.runpytest().parseoutcomes() == {"passed": 1, "cached": 3}
