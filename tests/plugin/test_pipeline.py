"""Experiments that are given the results of others: found, in order, and stale when they should be."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import ResultNotLoadedError, load_results

Notes = Callable[[], list[str]]

PREPARE = """
    from notes import note

    matrix = {"parameters": {"dataset": ["digits"]}, "settings": {"size": 3}}

    def experiment(context, config):
        note(f"prepare {config.dataset}")
        (context.dir / "rows.txt").write_text(str(config.settings.size))
        return {"name": config.dataset, "rows": list(range(config.settings.size))}
"""
TRAIN = """
    from notes import note
    from pytest_memento import results_of

    matrix = {
        "parameters": {
            "data": results_of("exp_prepare.py::experiment"),
            "lr": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        }
    }

    def experiment(context, config):
        note(f"train {config.lr}")
        given = context.inputs["data"]
        assert given.value == config.data
        assert given.config.dataset == "digits"
        assert (given.dir / "rows.txt").read_text() == str(len(config.data["rows"]))
        return {"w": len(config.data["rows"]) * config.lr}
"""
EVALUATE = """
    from notes import note
    from pytest_memento import results_of

    matrix = {
        "parameters": {"model": results_of("exp_train.py::experiment"), "metric": ["f1", "auc"]}
    }

    def experiment(context, model, metric):
        note(f"evaluate {context.inputs['model'].config.lr} {metric}")
        return model["w"]
"""


@pytest.fixture
def pipeline(pytester: pytest.Pytester, notes: Notes) -> pytest.Pytester:
    """Three stages: 1 to prepare, 6 to train, 12 to evaluate."""
    pytester.makepyfile(exp_prepare=PREPARE, exp_train=TRAIN, exp_evaluate=EVALUATE)
    return pytester


def edit(pytester: pytest.Pytester, name: str, old: str, new: str) -> None:
    path = pytester.path / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def stages(notes: Notes) -> dict[str, int]:
    """Return how many of each stage ran since it was last asked, in the order of the first."""
    found: dict[str, int] = {}
    for line in notes():
        found[line.split()[0]] = found.get(line.split()[0], 0) + 1
    return found


def test_each_is_given_the_results_of_the_one_before(
    pipeline: pytest.Pytester, notes: Notes
) -> None:
    assert pipeline.runpytest("-W", "error").parseoutcomes() == {"passed": 19}
    assert stages(notes) == {"prepare": 1, "train": 6, "evaluate": 12}
    assert pipeline.runpytest().parseoutcomes() == {"cached": 19}
    assert notes() == []
    results = load_results("exp_evaluate.py")
    assert results[0].id == "model=(data=(dataset=digits)-lr=0.1)-metric=f1"
    values = [result.value for result in results]
    assert values[::2] == values[1::2] == pytest.approx([0.3, 0.6, 0.9, 1.2, 1.5, 1.8])
    assert results[0].config.model == {"w": 3 * 0.1}
    assert results[0].inputs["model"].inputs["data"].config.dataset == "digits"
    assert len(results.where("model.lr >= 0.5 and model.data.dataset == 'digits'")) == 4


def test_by_workers_nothing_starts_before_its_input_is_stored(
    pipeline: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    for name in ("prepare", "train", "evaluate"):
        edit(pipeline, f"exp_{name}.py", "    return", "    note('end ' + FIRST)\n    return")
    edit(pipeline, "exp_prepare.py", "    note(f", "    FIRST = 'prepare digits'\n    note(f")
    edit(pipeline, "exp_train.py", "    note(f", "    FIRST = f'train {config.lr}'\n    note(f")
    edit(
        pipeline,
        "exp_evaluate.py",
        "    note(f",
        "    FIRST = f'evaluate {model}'\n    import time; time.sleep(0.2)\n    note(f",
    )
    assert pipeline.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 19}
    lines = notes()
    assert lines[:2] == ["prepare digits", "end prepare digits"]
    for place, line in enumerate(lines):
        if line.startswith("evaluate"):
            assert f"end train {line.split()[1]}" in lines[:place]
    assert pipeline.runpytest_subprocess("-n2").parseoutcomes() == {"cached": 19}


def test_workers_do_not_idle_while_anything_is_ready(
    pytester: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    pytester.makepyfile(
        exp_a="""
        import time
        from notes import note
        matrix = {"parameters": {"seconds": [0.1, 3.0]}}

        def experiment(seconds):
            time.sleep(seconds)
            note(f"a {seconds}")
            return seconds
        """,
        exp_b="""
        from notes import note
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py"), "x": [1, 2, 3]}}

        def experiment(a, x):
            note(f"b {a} {x}")
        """,
    )
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 8}
    lines = notes()
    assert sorted(lines[:4]) == ["a 0.1", "b 0.1 1", "b 0.1 2", "b 0.1 3"]
    assert lines[4] == "a 3.0"


def test_an_edit_makes_stale_what_comes_after_it(pipeline: pytest.Pytester, notes: Notes) -> None:
    pipeline.runpytest()
    notes()
    edit(pipeline, "exp_evaluate.py", 'return model["w"]', 'return 2 * model["w"]')
    pipeline.runpytest()
    assert stages(notes) == {"evaluate": 12}
    edit(pipeline, "exp_train.py", "return {", "return {'more': 1, ")
    dry = pipeline.runpytest("--collect-only")
    dry.stdout.fnmatch_lines(
        [
            "exp_prepare.py::experiment*dataset=digits*  cached:*",
            "exp_train.py::experiment*lr=0.6*  stale: code: exp_train.experiment changed*",
            "exp_evaluate.py::experiment*  stale: input exp_train.py::experiment: code:"
            " exp_train.experiment changed*",
            "would run 18 of 19*",
        ]
    )
    pipeline.runpytest()
    assert stages(notes) == {"train": 6, "evaluate": 12}
    edit(pipeline, "exp_prepare.py", '"size": 3', '"size": 4')
    dry = pipeline.runpytest("--collect-only")
    dry.stdout.fnmatch_lines(
        [
            "*  stale: setting size: 3 -> 4*",
            "*  stale: input exp_prepare.py::experiment: setting size changed*",
            "*  stale: input exp_train.py::experiment: input exp_prepare.py::experiment: setting"
            " size changed*",
        ]
    )
    pipeline.runpytest()
    assert stages(notes) == {"prepare": 1, "train": 6, "evaluate": 12}


@pytest.mark.parametrize("source", ["::experiment_a", "::experiment_b"])
def test_an_edit_of_one_of_two_inputs_of_an_experiment(
    pytester: pytest.Pytester, source: str
) -> None:
    pytester.makepyfile(
        exp_a=f"""
        import pytest
        from pytest_memento import results_of

        SIZES = {{"small": 1, "large": 9}}
        matrix = [{{"parameters": {{"x": [x]}}, "settings": {{"size": n}}}} for x, n in SIZES.items()]

        @pytest.mark.memento(matrix=matrix)
        def experiment_a(x, size):
            return x, size

        @pytest.mark.memento(matrix={{"parameters": {{"a": results_of("::experiment_a")}}}})
        def experiment_b(a):
            return a

        def of(name):
            return results_of({source!r}, where=lambda config: name in str(config))

        matrix = {{"parameters": {{"a": of("small"), "b": of("large")}}}}

        @pytest.mark.memento(matrix=matrix)
        def experiment_compare(a, b):
            return a, b
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 5}
    edit(pytester, "exp_a.py", '"small": 1', '"small": 2')
    dry = pytester.runpytest("--collect-only")
    dry.stdout.fnmatch_lines(
        [f"*experiment_compare*  stale: input exp_a.py{source} (a): *setting size changed"]
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 3, "cached": 2}
    (compared,) = load_results("exp_a.py").where("experiment == 'exp_a.py::experiment_compare'")
    assert compared.value == (("small", 2), ("large", 9))


def test_a_data_file_of_an_input(pytester: pytest.Pytester, notes: Notes) -> None:
    (pytester.path / "rows.txt").write_text("1")
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(context, x):
            return context.depends_on("rows.txt").read_text() * x
        """,
        exp_b="""
        from notes import note
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py", where={"x": 2})}}
        def experiment(a):
            note(a)
        """,
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}
    (pytester.path / "rows.txt").write_text("2")
    dry = pytester.runpytest("--collect-only")
    dry.stdout.fnmatch_lines(["exp_b.py*stale: file rows.txt changed"])
    assert pytester.runpytest("exp_b.py").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 1}
    assert notes() == ["11", "22"]
    (pytester.path / "rows.txt").write_text("3")
    assert pytester.runpytest("exp_a.py").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest("exp_b.py").parseoutcomes() == {"passed": 1}
    assert notes() == ["33"]


def test_a_data_file_that_changes_between_an_input_and_what_is_given_it(
    pytester: pytest.Pytester,
) -> None:
    (pytester.path / "rows.txt").write_text("before")
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1]}}

        def experiment(context):
            return context.depends_on("rows.txt").read_text()
        """,
        exp_b="""
        from pathlib import Path
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py")}}

        def experiment(context, a):
            Path("rows.txt").write_text("after it")  # as somebody may while it runs
            return a, context.depends_on("rows.txt").read_text()
        """,
    )
    for expected in (("before", "after it"), ("after it", "after it")):
        assert pytester.runpytest().parseoutcomes() == {"passed": 2}
        assert load_results("exp_b.py")[0].value == expected
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}


# -- inputs that are not there ---------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_what_needs_a_failed_input_is_not_run(
    pipeline: pytest.Pytester, notes: Notes, workers: int, request: pytest.FixtureRequest
) -> None:
    options = ("-n2",) if workers and request.getfixturevalue("xdist") is None else ()
    edit(pipeline, "exp_train.py", "given =", "assert config.lr != 0.2, 'too fast'\n    given =")
    result = pipeline.runpytest_subprocess(*options, "-rs")
    assert result.parseoutcomes() == {"passed": 16, "failed": 1, "skipped": 2}
    lack = "its input exp_train.py::experiment*lr=0.2] failed: AssertionError: too fast"
    result.stdout.fnmatch_lines([f"not run: 2 x {lack}", f"SKIPPED *not run: {lack}"])
    result.stdout.fnmatch_lines(["digits  *0.2  *f1  *not run*"])
    assert "0.2 f1" not in " ".join(notes())
    alone = pipeline.runpytest_subprocess(*options, "exp_evaluate.py")
    assert alone.parseoutcomes() == {"cached": 10, "failed": 1, "skipped": 2}
    edit(pipeline, "exp_train.py", "assert config.lr != 0.2, 'too fast'", "")
    again = pipeline.runpytest_subprocess(*options)
    assert again.parseoutcomes()["passed"] == 6 + 12


def test_what_is_needed_and_was_not_asked_for_joins(
    pipeline: pytest.Pytester, notes: Notes
) -> None:
    result = pipeline.runpytest("exp_evaluate.py", "-k", "0.1 and f1", "-v")
    assert result.parseoutcomes() == {"passed": 3, "deselected": 11}
    result.stdout.fnmatch_lines(
        [
            "*collected 14 items / 11 deselected / 3 selected",
            "memento: with 1 experiment of exp_prepare.py::experiment, whose results are needed",
            "memento: with 1 experiment of exp_train.py::experiment, whose results are needed",
            "exp_prepare.py::experiment*PASSED*",
            "exp_train.py::experiment*PASSED*",
            "exp_evaluate.py::experiment*PASSED*",
        ]
    )
    assert notes() == ["prepare digits", "train 0.1", "evaluate 0.1 f1"]
    name = "exp_evaluate.py::experiment[model=(data=(dataset=digits)-lr=0.2)-metric=auc]"
    assert pipeline.runpytest(name).parseoutcomes() == {"passed": 2}
    assert notes() == ["train 0.2", "evaluate 0.2 auc"]


@pytest.mark.parametrize("options", [("-k", "evaluate"), ("--memento-select", "metric == 'f1'")])
def test_what_was_deselected_joins_where_it_is_needed(
    pipeline: pytest.Pytester, notes: Notes, options: tuple[str, ...]
) -> None:
    number = 12 if "-k" in options else 6
    result = pipeline.runpytest(*options, "-v")
    assert result.parseoutcomes() == {"passed": 7 + number} | (
        {} if number == 12 else {"deselected": 6}
    )
    result.stdout.fnmatch_lines(
        ["memento: with 6 experiments of exp_train.py::experiment, whose results are needed"]
    )
    assert stages(notes) == {"prepare": 1, "train": 6, "evaluate": number}
    assert pipeline.runpytest(*options).parseoutcomes()["cached"] == number


def test_what_failed_last_with_what_it_needs(pipeline: pytest.Pytester, notes: Notes) -> None:
    edit(pipeline, "exp_evaluate.py", "    note", "    assert metric == 'f1'\n    note")
    assert pipeline.runpytest().parseoutcomes() == {"passed": 13, "failed": 6}
    notes()
    edit(pipeline, "exp_train.py", "return {", "return {'more': 1, ")
    edit(pipeline, "exp_evaluate.py", "    assert metric == 'f1'\n", "")
    result = pipeline.runpytest("--lf")
    assert {**result.parseoutcomes(), "deselected": 0} == {"passed": 12, "deselected": 0}
    assert stages(notes) == {"train": 6, "evaluate": 6}


@pytest.mark.parametrize("by_mark", [False, True])
def test_what_was_skipped_now_is_not_said_to_have_failed(
    pytester: pytest.Pytester, by_mark: bool
) -> None:
    mark, skips = "", "os.path.exists('skip') and pytest.skip('no GPU')"
    if by_mark:
        mark, skips = "@pytest.mark.skipif(os.path.exists('skip'), reason='no GPU')", "pass"
    pytester.makepyfile(
        exp_a=f"""
        import os
        import pytest
        from pytest_memento import results_of

        {mark}
        @pytest.mark.memento(matrix={{"parameters": {{"x": [1]}}}})
        def experiment_first(x):
            {skips}
            assert not os.path.exists('bad'), 'of the first'

        @pytest.mark.memento(matrix={{"parameters": {{"a": results_of("::experiment_first")}}}})
        def experiment_second(a):
            raise ValueError("of the second")

        @pytest.mark.memento(matrix={{"parameters": {{"a": results_of("::experiment_second")}}}})
        def experiment_third(a): pass
        """
    )
    pytester.runpytest_subprocess()
    (pytester.path / "bad").touch()
    name = "exp_a.py::experiment_first"
    pytester.runpytest_subprocess("--memento-clear", f"experiment == '{name}'", "--memento-yes")
    again = pytester.runpytest_subprocess("-rs")
    assert again.parseoutcomes() == {"failed": 1, "skipped": 2}
    again.stdout.fnmatch_lines(
        ["*experiment_second* was not run: its input *first* failed: *of the first*"]
    )
    again.stdout.no_fnmatch_line("*of the second*")
    (pytester.path / "skip").touch()
    last = pytester.runpytest_subprocess("-rs")
    assert last.parseoutcomes() == {"skipped": 3}
    last.stdout.fnmatch_lines(["SKIPPED *: not run: its input *first?x=1? was skipped: no GPU"])
    last.stdout.no_fnmatch_line("*failed: *")


def test_stepwise_goes_on_to_what_comes_after_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        from pytest_memento import results_of
        matrix = {"parameters": {"b": results_of("exp_b.py"), "k": [1, 2]}}
        def experiment(b, k): pass
        """,
        exp_b="""
        import os
        matrix = {"parameters": {"x": [1, 2, 3]}}
        def experiment(x):
            assert x != 2 or os.path.exists("well")
        """,
    )
    assert pytester.runpytest("--sw").parseoutcomes()["failed"] == 1
    (pytester.path / "well").touch()
    assert pytester.runpytest("--sw").parseoutcomes() == {"passed": 8, "deselected": 1}


def test_why_the_last_of_three_was_not_run(pipeline: pytest.Pytester, notes: Notes) -> None:
    edit(pipeline, "exp_prepare.py", "    note(f", "    assert 0, 'no disk'\n    note(f")
    result = pipeline.runpytest("-rs")
    assert result.parseoutcomes() == {"failed": 1, "skipped": 18}
    first = (
        "its input exp_prepare.py::experiment[[]dataset=digits[]] failed: AssertionError: no disk"
    )
    result.stdout.fnmatch_lines(
        [
            f"not run: 6 x {first}*",
            f"not run: 12 x its input exp_train.py::experiment was not run: {first}*(6 inputs)",
        ]
    )


def test_workers_that_wait_do_not_wait_for_each_other(
    pytester: pytest.Pytester, xdist: None
) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        from pytest_memento import results_of

        @pytest.mark.memento(matrix={"parameters": {"x": [1, 2, 3]}})
        def experiment_up(x):
            if x == 3:
                pytest.skip("not today")
            raise ValueError("boom")

        matrix = {"parameters": {"u": results_of("::experiment_up"), "k": [1, 2]}}

        @pytest.mark.memento(matrix=matrix)
        def experiment_down(u, k):
            return u
        """
    )
    for way in ("load", "worksteal"):
        result = pytester.runpytest_subprocess("-n2", f"--dist={way}", timeout=60)
        assert result.parseoutcomes() == {"failed": 2, "skipped": 7}
        result.stdout.fnmatch_lines(
            ["not run: 4 x its input exp_a.py::experiment_up failed: ValueError: boom (2 inputs)"]
        )


@pytest.mark.parametrize(
    ("mark", "body", "reason"),
    [
        ("@pytest.mark.skip(reason='no GPU')", "pass", "was skipped: no GPU"),
        ("", "pytest.skip('no GPU')", "was skipped: no GPU"),
        ("@pytest.mark.xfail(reason='known')", "assert 0", "xfailed: known"),
        ("@pytest.mark.xfail", "assert 0", "xfailed"),
    ],
)
def test_what_needs_an_input_without_outcome(
    pytester: pytest.Pytester, mark: str, body: str, reason: str
) -> None:
    pytester.makepyfile(
        exp_a=f"""
        import pytest
        from pytest_memento import results_of
        {mark}
        @pytest.mark.memento(matrix={{"parameters": {{"x": [1]}}}})
        def experiment_up(x):
            {body}
        @pytest.mark.memento(matrix={{"parameters": {{"up": results_of("::experiment_up")}}}})
        def experiment_down(up): pass
        @pytest.mark.memento(matrix={{"parameters": {{"down": results_of("::experiment_down")}}}})
        def experiment_last(down): pass
        """
    )
    result = pytester.runpytest("-rs")
    lack = f"not run: its input exp_a.py::experiment_up?x=1? {reason}"
    result.stdout.fnmatch_lines([f"SKIPPED *: {lack}"])
    result.stdout.fnmatch_lines([f"SKIPPED *: not run: its input * was {lack}"])


MARKS = {
    "skip(reason='later')": "SKIPPED *: later",
    "skipif(True, reason='later')": "SKIPPED *: later",
    "xfail(run=False, reason='later')": "XFAIL *exp_b.py::* later",
}


@pytest.mark.parametrize("mark", MARKS)
def test_nothing_joins_for_what_a_mark_leaves_out(
    pytester: pytest.Pytester, notes: Notes, mark: str
) -> None:
    pytester.makepyfile(
        exp_a="""
        from notes import note
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            note(x)
        """,
        exp_b=f"""
        import pytest
        from pytest_memento import results_of

        @pytest.mark.{mark}
        @pytest.mark.memento(matrix={{"parameters": {{"a": results_of("exp_a.py")}}}})
        def experiment_left_out(a): pass

        some = [1, pytest.param(2, marks=pytest.mark.{mark})]
        matrix = {{"parameters": {{"b": results_of("::experiment_left_out"), "k": some}}}}

        @pytest.mark.{mark}
        @pytest.mark.memento(matrix=matrix)
        def experiment_last(b, k): pass
        """,
    )
    result = pytester.runpytest("exp_b.py", "-rxs")
    assert sum(result.parseoutcomes().values()) == 6
    result.stdout.fnmatch_lines([MARKS[mark]])
    result.stdout.no_fnmatch_line("*not run*")
    assert notes() == []


def test_only_what_is_run_of_a_function_has_its_input_join(
    pipeline: pytest.Pytester, notes: Notes
) -> None:
    later = 'pytest.param("auc", marks=pytest.mark.skipif(True, reason="later"))'
    where = "where=lambda config: config.lr < 0.25"
    edit(pipeline, "exp_evaluate.py", "from notes", "import pytest\nfrom notes")
    edit(pipeline, "exp_evaluate.py", '"auc"', later)
    edit(pipeline, "exp_evaluate.py", '::experiment"', f'::experiment", {where}')
    result = pipeline.runpytest("exp_evaluate.py")
    assert result.parseoutcomes() == {"passed": 5, "skipped": 2}
    assert stages(notes) == {"prepare": 1, "train": 2, "evaluate": 2}
    edit(pipeline, "exp_train.py", "return {", "return {'more': 1, ")
    assert pipeline.runpytest("exp_evaluate.py", "-k", "auc").parseoutcomes()["skipped"] == 2
    assert notes() == []


def test_a_mark_that_cannot_be_evaluated(pipeline: pytest.Pytester, notes: Notes) -> None:
    mark = "@pytest.mark.skipif(True)\ndef experiment(context, model"
    edit(pipeline, "exp_evaluate.py", "from notes", "import pytest\nfrom notes")
    edit(pipeline, "exp_evaluate.py", "def experiment(context, model", mark)
    result = pipeline.runpytest("exp_evaluate.py")
    assert result.parseoutcomes() == {"passed": 7, "errors": 12}
    result.stdout.fnmatch_lines(["*you need to specify reason=STRING*"])


def test_joining_with_workers(pipeline: pytest.Pytester, notes: Notes, xdist: None) -> None:
    result = pipeline.runpytest_subprocess("-n2", "exp_evaluate.py")
    assert result.parseoutcomes() == {"passed": 19}
    assert stages(notes) == {"prepare": 1, "train": 6, "evaluate": 12}


def test_distributed_as_the_user_chose(
    pipeline: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    result = pipeline.runpytest_subprocess("-n2", "--dist=load")
    assert result.parseoutcomes() == {"passed": 19}
    assert stages(notes) == {"prepare": 1, "train": 6, "evaluate": 12}


def test_distributed_without_any_order(
    pipeline: pytest.Pytester, notes: Notes, xdist: None
) -> None:
    # xdist begins with the file that has the most.
    result = pipeline.runpytest_subprocess("-n1", "--dist=loadfile", "-rs")
    result.stdout.fnmatch_lines(["*has no result; what was chosen by --dist knows no order"])
    assert stages(notes) == {"prepare": 1}
    assert pipeline.runpytest_subprocess("-n1").parseoutcomes() == {"cached": 1, "passed": 18}


def test_two_sessions_share_a_pipeline(pipeline: pytest.Pytester, notes: Notes) -> None:
    edit(pipeline, "exp_train.py", "given =", "import time; time.sleep(0.3)\n    given =")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist"]
    sessions = []
    for files in (["exp_train.py"], ["exp_evaluate.py"], ["."]):
        sessions.append(
            subprocess.Popen(
                [*command, *files], cwd=pipeline.path, stdout=subprocess.PIPE, text=True
            )
        )
        time.sleep(0.5)
    said = [session.communicate(timeout=120)[0] for session in sessions]
    assert [session.returncode for session in sessions] == [0, 0, 0], said
    assert stages(notes) == {"prepare": 1, "train": 6, "evaluate": 12}


def test_an_input_of_what_stays_is_not_pruned(pipeline: pytest.Pytester, notes: Notes) -> None:
    pipeline.runpytest()
    edit(pipeline, "exp_train.py", "return {", "return {'more': 1, ")
    pipeline.runpytest("exp_train.py")
    pipeline.runpytest("--memento-accept", "exp_evaluate.py")
    result = pipeline.runpytest("--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(["*kept 6 results that others were computed from*"])
    assert load_results("exp_evaluate.py")[0].config.model == {"w": pytest.approx(0.3)}


def test_values_are_loaded_when_they_are_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        class Loud:
            def __reduce__(self):
                return eval, ("print('LOAD')",)

        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            return Loud()
        """,
        exp_b="""
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py"), "use": [False, True]}}
        def experiment(config, context):
            assert context.inputs["a"].config.x == 1
            assert repr(config).startswith("Config(a=(x=1), use=")
            print("ASK")
            return config.use and config.a
        """,
    )
    result = pytester.runpytest("-s")
    assert result.parseoutcomes() == {"passed": 3}
    assert re.findall("ASK|LOAD", result.stdout.str()) == ["ASK", "ASK", "LOAD"]


def test_a_matrix_fixture_that_skips(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        @pytest.fixture
        def matrix():
            pytest.skip("no GPU here")
        def experiment(config): pass
        """,
        exp_b="""
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py::experiment")}}
        def experiment(a): pass
        """,
    )
    result = pytester.runpytest("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED * no GPU here"])


def test_a_cached_result_whose_input_is_gone_stays(pipeline: pytest.Pytester, notes: Notes) -> None:
    pipeline.runpytest()
    notes()
    pipeline.runpytest("--memento-clear", "experiment == 'exp_train.py::experiment'",
                       "--memento-yes")  # fmt: skip
    assert pipeline.runpytest("exp_evaluate.py").parseoutcomes() == {"cached": 12}
    result = load_results("exp_evaluate.py")[0]
    assert result.inputs == {}
    assert result.value == pytest.approx(0.3)
    assert result.config.metric == "f1"
    with pytest.raises(ResultNotLoadedError, match="its 'model' is not stored any more"):
        _ = result.config.model


def test_without_a_store(pipeline: pytest.Pytester, notes: Notes) -> None:
    result = pipeline.runpytest("--memento-cache=off", "-rs")
    assert result.parseoutcomes() == {"passed": 1, "skipped": 18}
    result.stdout.fnmatch_lines(["*its input exp_* is not kept: --memento-cache=off"])


def test_a_refresh_that_fails(pipeline: pytest.Pytester, notes: Notes) -> None:
    edit(pipeline, "exp_train.py", "given =",
         "import os; assert 'BAD' not in os.environ\n    given =")  # fmt: skip
    pipeline.runpytest_subprocess()
    notes()
    pipeline._monkeypatch.setenv("BAD", "1")
    result = pipeline.runpytest_subprocess("--memento-cache=refresh")
    assert result.parseoutcomes() == {"passed": 1, "failed": 6, "skipped": 12}
    assert stages(notes) == {"prepare": 1, "train": 6}
    pipeline._monkeypatch.delenv("BAD")
    assert pipeline.runpytest_subprocess().parseoutcomes() == {"cached": 19}


def test_an_old_refresh_that_failed(pipeline: pytest.Pytester, notes: Notes) -> None:
    edit(pipeline, "exp_train.py", "given =",
         "import os; assert 'BAD' not in os.environ\n    given =")  # fmt: skip
    pipeline.runpytest_subprocess()
    pipeline._monkeypatch.setenv("BAD", "1")
    pipeline.runpytest_subprocess("exp_train.py", "--memento-cache=refresh")
    pipeline._monkeypatch.delenv("BAD")
    notes()
    result = pipeline.runpytest_subprocess("exp_evaluate.py", "--memento-cache=refresh")
    assert result.parseoutcomes() == {"passed": 12}
    assert stages(notes) == {"evaluate": 12}
    pipeline._monkeypatch.setenv("BAD", "1")
    result = pipeline.runpytest_subprocess("--memento-cache=refresh", "-k", "train or evaluate")
    assert result.parseoutcomes() == {"failed": 6, "skipped": 12, "deselected": 1}
    pipeline._monkeypatch.delenv("BAD")
    result = pipeline.runpytest_subprocess("--memento-cache=refresh")
    assert result.parseoutcomes() == {"passed": 19}


def test_verifying(pipeline: pytest.Pytester, notes: Notes) -> None:
    pipeline.runpytest()
    notes()
    result = pipeline.runpytest("exp_evaluate.py", "--memento-verify=100%")
    assert result.parseoutcomes() == {"verified": 12}


def test_a_value_that_cannot_be_loaded_is_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        class Handle:
            def __reduce__(self):
                return int, ("not a number",)

        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            return Handle()
        """,
        exp_b="""
        from pytest_memento import results_of
        matrix = {"parameters": {"model": results_of("exp_a.py")}}
        def experiment(model): pass
        """,
    )
    pytester.runpytest_subprocess("exp_a.py")
    result = pytester.runpytest_subprocess()
    assert result.parseoutcomes() == {"cached": 1, "errors": 1}
    result.stdout.fnmatch_lines(
        ["its input exp_a.py::experiment[[]x=1[]]: *ValueError: invalid literal*"]
    )


def test_what_was_given_is_let_go(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import gc, pytest
        from pytest_memento import results_of

        class Model:
            pass

        @pytest.mark.memento(matrix={"parameters": {"x": [1, 2, 3]}})
        def experiment_make(x):
            return Model()

        @pytest.mark.memento(matrix={"parameters": {"model": results_of("::experiment_make")}})
        def experiment_use(config, context, model):
            gc.collect()
            assert context.inputs["model"].value is model
            return sum(isinstance(each, Model) for each in gc.get_objects())
        """
    )
    assert pytester.runpytest_subprocess().parseoutcomes() == {"passed": 6}
    assert [r.value for r in load_results("exp_a.py::experiment_use")] == [1, 1, 1]


# -- finding ---------------------------------------------------------------------------------------


def test_experiments_of_one_file_in_any_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        from pytest_memento import results_of

        @pytest.mark.memento(matrix={"parameters": {"b": results_of("::experiment_b")}})
        def experiment_a(b):
            return b + 1

        @pytest.mark.memento(matrix={"parameters": {"c": results_of("::ExperimentC::experiment")}})
        def experiment_above(c):
            return c + 1

        class ExperimentC:
            @pytest.mark.memento(matrix={"parameters": {"x": [1, 2]}})
            def experiment(self, x):
                return x

        @pytest.mark.memento(matrix={"parameters": {"x": [1, 2]}})
        def experiment_b(x):
            return x * 10

        @pytest.mark.memento(matrix={"parameters": {"c": results_of("::ExperimentC::experiment")}})
        def experiment_below(c):
            return c + 1
        """
    )
    result = pytester.runpytest("-v")
    outcomes = result.parseoutcomes()
    result.stdout.fnmatch_lines(["*class ExperimentC is below this one in its file: move it above"])
    assert outcomes["errors"] == 1


def test_classes_of_the_same_file_that_are_above(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        from pytest_memento import results_of

        class ExperimentAbove:
            class ExperimentInner:
                @pytest.mark.memento(matrix={"parameters": {"x": [1, 2]}})
                def experiment(self, x):
                    return x

        inner = results_of("::ExperimentAbove::ExperimentInner::experiment")

        @pytest.mark.memento(matrix={"parameters": {"i": inner}})
        def experiment_of_class(i):
            return i + 1

        class ExperimentBelow:
            @pytest.mark.memento(matrix={"parameters": {"i": inner, "f": results_of("::experiment_f")}})
            def experiment(self, i, f):
                return i + f

        @pytest.mark.memento(matrix={"parameters": {"x": [10]}})
        def experiment_f(x):
            return x
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 7}
    values = [r.value for r in load_results("exp_a.py::ExperimentBelow::experiment")]
    assert values == [11, 12]
    assert pytester.runpytest("--lf").parseoutcomes() == {"cached": 7}


WRONG_CLASSES = {
    "::ExperimentAbove::experiment_trian": (
        "exp_a.py has no experiment 'ExperimentAbove::experiment_trian'"
        " (did you mean 'ExperimentAbove::experiment_train'?)"
    ),
    "::ExperimentAbov::experiment_train": (
        "exp_a.py has no experiment 'ExperimentAbov::experiment_train'"
        " (did you mean 'ExperimentAbove::experiment_train'?)"
    ),
    "::ExperimentBroken::experiment": "*unknown matrix key 'paramters'*",
    "::Other::experiment": "exp_a.py has no experiment 'Other::experiment' (*",
}


ASKING = {
    "function": """
        @wrong
        def experiment_here(a): pass
    """,
    "method": """
        class ExperimentHere:
            @wrong
            def experiment(self, a): pass
    """,
}


@pytest.mark.parametrize("asking", ASKING)
@pytest.mark.parametrize("target", WRONG_CLASSES)
def test_wrong_classes_of_the_same_file(
    pytester: pytest.Pytester, target: str, asking: str
) -> None:
    above = f"""
        import pytest
        from pytest_memento import results_of

        class ExperimentAbove:
            @pytest.mark.memento(matrix={{"parameters": {{"x": [1]}}}})
            def experiment_train(self, x): pass

        class ExperimentBroken:
            @pytest.mark.memento(matrix={{"paramters": {{"x": [1]}}}})
            def experiment(self, x): pass

        class Other:
            pass

        wrong = pytest.mark.memento(matrix={{"parameters": {{"a": results_of("{target}")}}}})
    """
    pytester.makepyfile(exp_a=textwrap.dedent(above) + textwrap.dedent(ASKING[asking]))
    result = pytester.runpytest()
    assert result.parseoutcomes()["errors"] >= 1
    text = result.stdout.str()
    assert "below" not in text
    result.stdout.fnmatch_lines([f"*{WRONG_CLASSES[target]}"])


@pytest.mark.parametrize("before", [[], ["exp_up.py"]])
def test_a_file_alone_whatever_was_collected_before(
    pytester: pytest.Pytester, before: list[str]
) -> None:
    of_class = """
        class ExperimentA:
            @pytest.mark.memento(matrix={"parameters": {"x": [1]}})
            def experiment(self, x):
                return x
    """
    pytester.makepyfile(
        exp_up=f"import pytest\n{textwrap.dedent(of_class)}",
        exp_down="""
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_up.py")}}
        def experiment(a): pass
        """,
    )
    assert pytester.runpytest(*before, "exp_down.py").parseoutcomes() == {"passed": 2}
    function = 'matrix = {"parameters": {"x": [5]}}\ndef experiment(x): pass\n'
    pytester.makepyfile(exp_up=f"import pytest\n{textwrap.dedent(of_class)}\n{function}")
    result = pytester.runpytest(*before, "exp_down.py")
    result.stdout.re_match_lines(
        [r".*exp_up.py has 2 experiments: name one \((ExperimentA::)?experiment, .*\)"]
    )


@pytest.mark.parametrize("target", ["exp_a.py", "exp_a.py::experimnt"])
def test_what_was_collected_is_not_collected_again(
    pytester: pytest.Pytester, notes: Notes, target: str
) -> None:
    pytester.makeconftest(
        """
        from notes import note
        def pytest_generate_tests(metafunc):
            note(metafunc.function.__name__)
        """
    )
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1]}}
        def experiment_one(x): pass
        class ExperimentA:
            def experiment_two(self, x): pass
        """,
        exp_b=f"""
        from pytest_memento import results_of
        matrix = {{"parameters": {{"a": results_of("{target}")}}}}
        def experiment(a): pass
        """,
    )
    result = pytester.runpytest("--continue-on-collection-errors", "-p", "no:randomly")
    assert result.parseoutcomes() == {"passed": 2, "errors": 1}
    assert notes() == ["experiment_one", "experiment_two", "experiment"]


def test_in_other_directories_with_their_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(**{
        "one/conftest": """
            import pytest
            @pytest.fixture
            def factor():
                return 7
            @pytest.fixture
            def matrix():
                return {"parameters": {"x": [1, 2]}}
        """,
        "one/sub/exp_a": """
            def experiment(x, factor):
                return x * factor
        """,
        "one/test_other": """
            def test_other(factor):
                assert factor == 7
        """,
        "here/deep/exp_b": """
            from pytest_memento import results_of
            matrix = {"parameters": {"a": [*[0], results_of("one/sub/exp_a.py::experiment")],
                                     "b": results_of("../../one/sub/exp_a.py", where={"x": 2})}}
            def experiment(a, b):
                return a + b
        """,
    })  # fmt: skip
    for arguments in ([], ["here/deep"], ["one", "here"], ["here/deep/exp_b.py"]):
        result = pytester.runpytest_subprocess("--memento-cache=refresh", *arguments)
        assert result.parseoutcomes()["passed"] >= 3, arguments
        result.assert_outcomes(passed=result.parseoutcomes()["passed"])
    assert [r.value for r in load_results("here/deep/exp_b.py")] == [14, 21, 28]


def test_in_ordinary_test_files_and_by_a_shared_fixture(pytester: pytest.Pytester) -> None:
    for name in ("one", "two"):
        pytester.makepyfile(**{
            f"{name}/test_make": f"""
                import pytest
                @pytest.mark.memento(matrix={{"parameters": {{"x": [1]}}}})
                def test_make(config):
                    return "{name}"
            """,
            f"{name}/exp_use": """
                def experiment(made):
                    return made * 2
            """,
        })  # fmt: skip
    pytester.makeconftest(
        """
        import pytest
        from pytest_memento import results_of
        @pytest.fixture
        def matrix():
            return {"parameters": {"made": results_of("test_make.py::test_make")}}
        """
    )
    pytester.makeini("[pytest]\naddopts = --import-mode=importlib")
    assert pytester.runpytest_subprocess().parseoutcomes() == {"passed": 4}
    values = {name: load_results(f"{name}/exp_use.py")[0].value for name in ("one", "two")}
    assert values == {"one": "oneone", "two": "twotwo"}


def test_beside_docstrings_that_are_tests(pipeline: pytest.Pytester, notes: Notes) -> None:
    path = pipeline.path / "exp_train.py"
    path.write_text('"""\n>>> 1 + 1\n2\n"""\n' + path.read_text())
    assert pipeline.runpytest("--doctest-modules").parseoutcomes() == {"passed": 20}


def test_only_some_of_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2, 3], "y": ["a", "b"]}}
        def experiment(x, y):
            return x * y
        """,
        exp_b="""
        import pytest
        from pytest_memento import results_of

        def some(where):
            matrix = {"parameters": {"a": results_of("exp_a.py", where=where)}}
            return pytest.mark.memento(matrix=matrix)

        @some({"x": [1, 2], "y": "b"})
        def experiment_mapping(a):
            return a

        @some(lambda config: config.x == 3)
        def experiment_function(a):
            return a
        """,
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 10}
    values = [r.value for r in load_results("exp_b.py")]
    assert sorted(values) == ["aaa", "b", "bb", "bbb"]


def test_inputs_can_be_excluded_by_their_configuration(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2, 3]}}
        def experiment(x):
            return x
        """,
        exp_b="""
        from pytest_memento import results_of
        matrix = {
            "parameters": {"a": results_of("exp_a.py"), "b": results_of("exp_a.py")},
            "exclude": [lambda config: config.a.x >= config.b.config.x],
        }
        def experiment(a, b):
            return a, b
        """,
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 6}
    assert [r.value for r in load_results("exp_b.py")] == [(1, 2), (1, 3), (2, 3)]


def test_a_parameter_called_name(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"name": ["iris", "wine"]}}

        def experiment(name):
            return name
        """,
        exp_b="""
        from pytest_memento import results_of
        matrix = {
            "parameters": {"data": results_of("exp_a.py"), "depth": [2, 50]},
            "exclude": [lambda config: config.data.name == "wine" and config.depth == 50],
        }

        def experiment(data, depth):
            return data, depth
        """,
        exp_c="""
        from pytest_memento import results_of
        of_iris = results_of("exp_b.py", where=lambda config: config.data.name == "iris")
        matrix = {"parameters": {"fit": of_iris}}

        def experiment(fit):
            return fit
        """,
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 2 + 3 + 2}
    fits = [("iris", 2), ("iris", 50)]
    assert [r.value for r in load_results("exp_b.py")] == [*fits, ("wine", 2)]
    assert [r.value for r in load_results("exp_c.py")] == fits


def test_results_that_are_there(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            return x * 10
        """,
        exp_b="""
        import pytest
        from pytest_memento import load_results, results_of

        @pytest.fixture
        def matrix():
            known = load_results("exp_a.py")
            return {"parameters": {"a": results_of(known, where={"x": 2})}}

        def experiment(a):
            return a + 1
        """,
    )
    pytester.runpytest("exp_a.py")
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 1}
    (result,) = load_results("exp_b.py")
    assert (result.value, result.config.a, result.id) == (21, 20, "a=(x=2)")


MISTAKES = {
    "exp_prepar.py": "there is no file exp_prepar.py (did you mean 'exp_prepare.py'?)",
    "unheard-of.py": "there is no file unheard-of.py (looked for in * and in the root directory)",
    "exp_prepare.py::experimnt": (
        "exp_prepare.py has no experiment 'experimnt' (did you mean 'experiment'?)"
    ),
    "exp_prepare.py::Wrong::experiment": (
        "exp_prepare.py has no experiment 'Wrong::experiment' (*)"
    ),
    "::experiment": (
        "experiments need each other's results: exp_b.py::experiment -> exp_b.py::experiment"
    ),
    "notes.py::note": "notes.py is not collected: pytest or an option leaves it out",
    "exp_broken.py": "*1 / 0*",
    "exp_none.py": "results_of('exp_none.py'): exp_none.py has no experiments",
    "exp_b.py": "exp_b.py is still being collected: name one of its experiments, as *",
    "": "results_of(''): it names no experiment: write exp_train.py::experiment, or ::experiment *",
    "::": "results_of('::'): it names no experiment: *",
}


@pytest.mark.parametrize("target", MISTAKES)
def test_wrong_targets(pytester: pytest.Pytester, notes: Notes, target: str) -> None:
    pytester.makepyfile(
        exp_prepare=PREPARE,
        exp_none="matrix = {}\nclass ExperimentA: pass",
        exp_broken="matrix = 1 / 0\ndef experiment(config): pass",
        exp_b=f"""
        from pytest_memento import results_of
        matrix = {{"parameters": {{"a": results_of("{target}")}}}}
        def experiment(a): pass
        """,
    )
    result = pytester.runpytest("exp_b.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{MISTAKES[target]}"])


def test_experiments_that_need_each_other(pytester: pytest.Pytester) -> None:
    for mine, other in (("a", "b"), ("b", "a")):
        pytester.makepyfile(
            **{
                f"exp_{mine}": f"""
        from pytest_memento import results_of
        matrix = {{"parameters": {{"x": results_of("exp_{other}.py::experiment")}}}}
        def experiment(x): pass
        """
            }
        )
    result = pytester.runpytest("exp_a.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*exp_a.py::experiment -> exp_b.py::experiment -> exp_a.py::experiment"]
    )


WRONG = {
    '{"parameters": {"a": results_of("exp_a.py", where={"z": 1})}}': "*where * 'z'*",
    '{"parameters": {"a": results_of("exp_a.py", where={"s": 1})}}': (
        "*where: 's' is a setting: use lambda config: config.settings.s*"
    ),
    '{"parameters": {"a": results_of("exp_a.py", where={"x": 9})}}': (
        "*none of 2 configurations is one of 'where'"
    ),
    '{"parameters": {"a": results_of("exp_a.py", where={})}}': "*'where' is an empty dict*",
    '{"parameters": {"a": results_of(3)}}': "*results_of takes an experiment such as*, not 3*",
    '{"parameters": {"a,b": results_of("exp_a.py")}}': "*'a,b' varies names together*",
    '{"parameters": {"a": [1]}, "settings": {"s": results_of("exp_a.py")}}': (
        "*setting 's' is results_of('exp_a.py'), which stands for several values*"
    ),
    '{"parameters": {"a": [1]}, "include": [{"a": results_of("exp_a.py")}]}': "*include: 'a' is*",
    '{"parameters": {"a": [pytest.param(results_of("exp_a.py"))]}}': "*without pytest.param",
    '{"parameters": {"a": list(results_of("exp_a.py"))}}': "*cannot be iterated*",
    '{"parameters": {"a": [1]}, "dependencies": ["b"]}': "*'dependencies' is for add_matrix*",
    '{"parameters": {"a": load_results("exp_a.py")}}': "*'a' is results: write results_of(...)*",
    '{"parameters": {"a": results_of(load_results("exp_a.py").where(x=1)[1:])}}': (
        "*results_of was given no results*"
    ),
    '{"parameters": {"a,b": [(results_of("exp_a.py"), 1)]}}': (
        "*parameter 'a,b', value 0: results_of('exp_a.py') stands for several values: write it in the list of a"
        " parameter's values, not inside one of them*"
    ),
    '{"parameters": {"a": [1, [{"b": results_of("exp_a.py")}]]}}': (
        "*parameter 'a', value 1: results_of('exp_a.py') stands for several values: write it in the list of a"
        " parameter's values, not inside one of them*"
    ),
    '{"parameters": {"a": [1]}, "settings": {"s": {"b": results_of("exp_a.py")}}}': (
        "*setting 's': results_of('exp_a.py') stands for several values: write it in the list of a"
        " parameter's values, not inside one of them*"
    ),
    '{"parameters": {"a": [1]}, "include": [{"a": {results_of("exp_a.py")}}]}': (
        "*include?0???a??: results_of('exp_a.py') stands for several values: write it in the list of a"
        " parameter's values, not inside one of them*"
    ),
    '{"parameters": {"a": results_of("exp_a.py", where={"x": results_of("exp_a.py")})}}': (
        "*where*: results_of('exp_a.py') stands for several values: write it in the list of a"
        " parameter's values, not inside one of them*"
    ),
    '{"parameters": {"a": results_of("exp_a.py")}, "exclude": [lambda c: c.a.z]}': (
        "*the result of exp_a.py::experiment is not there yet: what is known of it is its"
        " configuration (x), and .config.settings*"
    ),
}


@pytest.mark.parametrize("matrix", WRONG)
def test_wrong_matrices(pytester: pytest.Pytester, matrix: str) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2]}, "settings": {"s": 1}}
        def experiment(x): pass
        """,
        exp_b=f"""
        import pytest
        from pytest_memento import load_results, results_of
        @pytest.fixture
        def matrix():
            return {matrix}
        def experiment(config): pass
        """,
    )
    pytester.runpytest("exp_a.py")
    result = pytester.runpytest("exp_b.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([WRONG[matrix]])


def test_a_file_that_is_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a='import pytest\npytest.importorskip("no_such_module")\nmatrix = {}\n'
        "def experiment(config): pass",
        exp_b="""
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py::experiment")}}
        def experiment(a): pass
        """,
    )
    result = pytester.runpytest("exp_b.py", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*could not import 'no_such_module'*"])


def test_results_are_of_two_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = [{"parameters": {"x": [1]}, "settings": {"s": s}} for s in (10, 20)]
        def experiment(config):
            return config.x * config.settings.s
        """,
        exp_b="""
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py")}}
        def experiment(a):
            return a
        """,
    )
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"passed": 4}
    result.stdout.fnmatch_lines(
        [
            "x  settings.s  status  result*",
            "1  10          passed  10 *",
            "1  20          passed  20 *",
            "a.x  a.settings.s  status  result*",
            "1    10            passed  10 *",
            "1    20            passed  20 *",
        ]
    )
    assert sorted(r.value for r in load_results("exp_b.py")) == [10, 20]
    assert len(load_results("exp_b.py").where(**{"a.settings.s": 10})) == 1


def test_results_of_two_experiments_for_one_parameter(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        from pytest_memento import results_of

        @pytest.mark.memento(matrix={"parameters": {"lr": [1, 2]}})
        def experiment_ridge(lr):
            return "ridge", lr

        @pytest.mark.memento(matrix={"parameters": {"lr": [1]}})
        def experiment_lasso(lr):
            return "lasso", lr

        both = [results_of("::experiment_ridge"), results_of("::experiment_lasso"), "none"]

        @pytest.mark.memento(matrix={"parameters": {"model": both}})
        def experiment_score(model):
            return model
        """
    )
    result = pytester.runpytest("-v", "-k", "score")
    result.stdout.fnmatch_lines(
        [
            "*experiment_score?model=(experiment_ridge lr=1)? PASSED*",
            "*experiment_score?model=(experiment_lasso lr=1)? PASSED*",
            "model.experiment  model.lr  model  status  *",
            "experiment_ridge  1                passed  *",
            "experiment_ridge  2                passed  *",
            "experiment_lasso  1                passed  *",
            "                            none   passed  *",
        ]
    )
    name = "exp_a.py::experiment_score[model=(experiment_lasso lr=1)]"
    assert pytester.runpytest(name).parseoutcomes() == {"cached": 1}
    scores = load_results("exp_a.py").where("experiment == 'exp_a.py::experiment_score'")
    assert [*scores.group_by("model")] == [
        "(experiment_ridge lr=1)",
        "(experiment_ridge lr=2)",
        "(experiment_lasso lr=1)",
        "none",
    ]
    (lasso,) = scores.where("model.experiment == 'experiment_lasso'")
    assert lasso.value == ("lasso", 1)


TWINS = """
    import pytest
    from pytest_memento import results_of

    CHOSEN = slice(None)
    matrix = [{"parameters": {"x": [0]}, "settings": {"n": n}} for n in (1, 2)][CHOSEN]

    @pytest.mark.memento(matrix=matrix)
    def experiment_a(n):
        return n

    def of(n):
        return results_of("::experiment_a", where=lambda config: config.settings.n == n)

    @pytest.mark.memento(matrix=MATRIX)
    def experiment_b(a):
        return a
"""


def of_twins(pytester: pytest.Pytester, matrix: str, chosen: str = "slice(None)") -> None:
    source = TWINS.replace("matrix=MATRIX", f"matrix={matrix}")
    pytester.makepyfile(exp_a=source.replace("slice(None)", chosen))


def test_what_is_told_apart_does_not_depend_on_what_else_is_there(
    pytester: pytest.Pytester,
) -> None:
    every = '{"parameters": {"a": results_of("::experiment_a")}}'
    of_twins(pytester, every, "slice(1)")
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    of_twins(pytester, every)
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 2}
    for some in ("of(1)", "of(2)", "[of(2), of(1)]"):
        of_twins(pytester, f'{{"parameters": {{"a": {some}}}}}')
        outcomes = pytester.runpytest().parseoutcomes()
        assert outcomes == {"cached": 3 if some[0] == "o" else 4}
    results = load_results("exp_a.py").where("experiment == 'exp_a.py::experiment_b'")
    assert [result.value for result in results] == [2, 1]


def test_several_results_of_for_one_parameter(pytester: pytest.Pytester) -> None:
    of_twins(pytester, '[{"parameters": {"a": of(2)}}, {"parameters": {"a": [of(1)]}}]')
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 4}
    of_twins(pytester, '[{"parameters": {"a": of(1)}}, {"parameters": {"a": [of(2), of(1)]}}]')
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["*the configuration a=(*) is there twice (in matrix*0* and *"])


def test_several_stored_results_for_one_parameter(pytester: pytest.Pytester) -> None:
    of_twins(pytester, '{"parameters": {"a": of(2)}}')
    pytester.runpytest()
    pytester.makepyfile(
        exp_c="""
        from pytest_memento import load_results, results_of
        stored = load_results("exp_a.py").where("experiment == 'exp_a.py::experiment_a'")
        matrix = [{"parameters": {"a": [*map(results_of, stored)]}}]

        def experiment(a):
            return a
        """
    )
    result = pytester.runpytest("exp_c.py", "-W", "error")
    assert result.parseoutcomes() == {"passed": 2}
    result.stdout.fnmatch_lines(["a.x  a.settings.n *", "0    1 *", "0    2 *"])


def test_results_of_another_project_that_have_read_files(pytester: pytest.Pytester) -> None:
    pytester.mkdir("theirs")
    pytester.mkdir("ours")
    for name in ("theirs", "ours"):
        (pytester.path / name / "pytest.ini").write_text("[pytest]\n")
    (pytester.path / "theirs/data.txt").write_text("5")
    (pytester.path / "theirs/exp_t.py").write_text(
        "matrix = {'parameters': {'x': [1]}}\n"
        "def experiment(context, x): return x + int(context.depends_on('data.txt').read_text())\n"
    )
    (pytester.path / "ours/exp_e.py").write_text(
        "from pathlib import Path\n"
        "from pytest_memento import load_results, results_of\n"
        "theirs = load_results(Path(__file__).parents[1] / 'theirs/exp_t.py')\n"
        "matrix = {'parameters': {'t': results_of(theirs)}}\n"
        "def experiment(t): return t\n"
    )
    assert pytester.runpytest("--rootdir=theirs", "theirs").parseoutcomes() == {"passed": 1}
    assert pytester.runpytest("--rootdir=ours", "ours").parseoutcomes() == {"passed": 1}
    assert pytester.runpytest("--rootdir=ours", "ours").parseoutcomes() == {"cached": 1}
    (result,) = load_results("ours/exp_e.py")
    assert (result.value, result.files) == (6, {})


def test_stored_results_are_told_apart(pytester: pytest.Pytester) -> None:
    source = """
        matrix = {{"parameters": {{"x": [1, 2]}}, "settings": {{"s": {s}}}}}
        def experiment(x, s):
            return {code}
    """
    for s, code in ((10, "x * s"), (20, "x * s"), (20, "x + s")):
        pytester.makepyfile(exp_a=source.format(s=s, code=code))
        assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    pytester.makepyfile(
        exp_b="""
        from pytest_memento import load_results, results_of
        several = load_results("exp_a.py", history=True)
        chosen = [result for result in several if result.value in WHICH]
        matrix = {"parameters": {"a": results_of(chosen)}}
        def experiment(a):
            return a
        """
    )
    path = pytester.path / "exp_b.py"
    source = path.read_text()
    path.write_text(source.replace("WHICH", "(10, 20, 40, 22)"))
    result = pytester.runpytest("exp_b.py")
    result.stdout.fnmatch_lines(
        [
            "*results_of was given two results of exp_a.py::experiment?x=2?, computed by different"
            " code: leave one out, as load_results without history=True does"
        ]
    )
    path.write_text(source.replace("WHICH", "(10, 20, 40)"))
    result = pytester.runpytest("exp_b.py")
    assert result.parseoutcomes() == {"passed": 4}
    result.stdout.fnmatch_lines(
        ["a.x  a.settings.s *", "1    10 *", "2    10 *", "1    20 *", "2    20 *"]
    )


def test_a_fixture_of_wider_scope_may_ask_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            return [x]
        """,
        exp_b="""
        import pytest
        from pytest_memento import results_of
        matrix = {"parameters": {"a": results_of("exp_a.py"), "y": [1, 2]}}

        @pytest.fixture(scope="module")
        def loaded(a):
            return [*a, "loaded"]

        def experiment(loaded, y):
            return loaded
        """,
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 6}
    assert [r.value for r in load_results("exp_b.py")] == [
        [1, "loaded"],
        [1, "loaded"],
        [2, "loaded"],
        [2, "loaded"],
    ]


@pytest.mark.parametrize("scope", ["module", "session"])
def test_a_fixture_of_wider_scope_is_not_given_the_result_of_other_settings(
    pytester: pytest.Pytester, scope: str
) -> None:
    pytester.makepyfile(
        exp_a=f"""
        import pytest
        from pytest_memento import results_of

        SEVERAL = [{{"parameters": {{"x": [0]}}, "settings": {{"n": n}}}} for n in (1, 2)]

        @pytest.mark.memento(matrix=SEVERAL)
        def experiment_make(x, n):
            return n

        def made_with(n):
            made = results_of("::experiment_make", where=lambda config: config.settings.n == n)
            return pytest.mark.memento(matrix={{"parameters": {{"made": made}}}})

        @pytest.fixture(scope="{scope}")
        def loaded(made):
            return made

        @made_with(1)
        def experiment_one(loaded):
            return loaded

        @made_with(2)
        def experiment_two(loaded):
            return loaded
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 4}
    values = {r.experiment: r.value for r in load_results("exp_a.py") if "make" not in r.experiment}
    assert values == {"exp_a.py::experiment_one": 1, "exp_a.py::experiment_two": 2}


@pytest.mark.parametrize("scope", ["module", "session"])
def test_a_fixture_of_wider_scope_is_set_up_once_per_result(
    pytester: pytest.Pytester, notes: Notes, scope: str
) -> None:
    pytester.makepyfile(
        exp_a=f"""
        import gc, pytest
        from notes import note
        from pytest_memento import results_of

        class Model:
            def __init__(self, x):
                self.x = x

        @pytest.mark.memento(matrix={{"parameters": {{"x": [1, 2, 3]}}}})
        def experiment_make(x):
            return Model(x)

        matrix = {{"parameters": {{"made": results_of("::experiment_make"), "y": [1, 2]}}}}

        @pytest.fixture(scope="{scope}")
        def loaded(made):
            note(f"load {{made.x}}")
            yield made.x
            note(f"drop {{made.x}}")

        @pytest.mark.memento(matrix=matrix)
        def experiment_use(loaded, y):
            gc.collect()
            return loaded, sum(isinstance(each, Model) for each in gc.get_objects())
        """
    )
    assert pytester.runpytest_subprocess("-p", "no:randomly").parseoutcomes() == {"passed": 9}
    assert notes() == [f"{verb} {x}" for x in (1, 2, 3) for verb in ("load", "drop")]
    values = [r.value for r in load_results("exp_a.py::experiment_use")]
    assert values == [(x, 1) for x in (1, 2, 3) for _ in range(2)]


def test_the_files_are_unharmed_by_a_report(pipeline: pytest.Pytester, tmp_path: Path) -> None:
    pipeline.runpytest(f"--memento-report={tmp_path / 'all.csv'}")
    head, first = (tmp_path / "all.csv").read_text().splitlines()[:2]
    assert "dataset" in head
    assert "digits" in first
