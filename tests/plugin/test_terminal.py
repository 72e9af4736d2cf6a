"""What the terminal shows of a session: header, outcomes, table of results, last line."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from pytest_memento.table import cells_of

MINUTES = """
    matrix = {"parameters": {"model": ["tree", "net"], "minutes": [1, 2]}}

    def experiment(model, minutes, take):
        take(60 * minutes)
        return len(model) / minutes
"""
ESCAPE = "\x1b["
GREEN, YELLOW, RED, BOLD, RESET = (f"{ESCAPE}{number}m" for number in (32, 33, 31, 1, 0))


@pytest.fixture(autouse=True)
def _a_plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("PY_COLORS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def minutes(pytester: pytest.Pytester, clock: None) -> None:
    """Four experiments that take one or two minutes each, by the clock."""
    pytester.makepyfile(exp_a=MINUTES)


def header(result: pytest.RunResult) -> list[str]:
    """Return the lines above the first outcome that speak of experiments."""
    return [line for line in result.outlines if line.startswith("memento: ")]


def last_line(result: pytest.RunResult) -> str:
    """Return pytest's last line without its frame and without the time it took."""
    return re.sub(r" in [\d.]+s.*", "", result.outlines[-1].strip("= "))


def summary(result: pytest.RunResult) -> list[str]:
    """Return what stands under ``memento summary``, with sizes as ``N MB``."""
    lines = [re.sub(r"\x1b\[\d+m", "", line) for line in result.outlines]
    titles = [line.strip("= ") if line.startswith("==") else "" for line in lines]
    start = titles.index("memento summary") + 1
    stop = next(i for i in range(start, len(titles)) if titles[i])
    return [re.sub(r"\d[\d.]* MB", "N MB", line) for line in result.outlines[start:stop]]


def column(lines: Sequence[str], name: str) -> list[str]:
    """Return a column of a table whose cells hold no blanks."""
    number = lines[0].split().index(name)
    return [line.split()[number] for line in lines[1:]]


# -- header ----------------------------------------------------------------------------------------


def test_the_header_counts_by_status(pytester: pytest.Pytester) -> None:
    source = """
        import pytest
        matrix = {{
            "parameters": {{"x": {values}}}, "settings": {{"n": 1}}, "exclude": [{{"x": [8, 9]}}],
        }}
        def experiment(x): assert x != 2
        def experiment_b(x): return {code}
    """
    pytester.makepyfile(exp_a=source.format(values=[1, 2, 8, 9], code="x"))
    first = pytester.runpytest()
    assert header(first) == [
        "memento: 4 experiments (4 excluded): 4 new; store .pytest_cache/memento (0 results, 0 B)"
    ]
    pytester.makepyfile(exp_a=source.format(values=[1, 2, 3, 8, 9], code="-x"))
    (line,) = header(pytester.runpytest())
    assert re.fullmatch(
        r"memento: 6 experiments \(4 excluded\): 1 cached, 2 stale, 1 failed before, 2 new;"
        r" store \.pytest_cache/memento \(3 results, \d\.\d kB\)",
        line,
    )


def test_the_header_of_one_experiment_in_a_store_elsewhere(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    pytester.makepyfile(exp_a="matrix = {'parameters': {'x': [1]}}\ndef experiment(x): pass")
    (line,) = header(pytester.runpytest(f"--memento-dir={elsewhere}"))
    assert line == f"memento: 1 experiment: 1 new; store {elsewhere} (0 results, 0 B)"
    (line,) = header(pytester.runpytest("--memento-dir=results/here"))
    assert line == "memento: 1 experiment: 1 new; store results/here (0 results, 0 B)"


def test_the_header_says_how_long_it_will_take(pytester: pytest.Pytester, minutes: None) -> None:
    assert len(header(pytester.runpytest("-k", "1 or tree"))) == 1  # nothing is known yet
    assert header(pytester.runpytest())[1:] == [
        "memento: about 2 min"
    ]  # like the others of its values
    assert len(header(pytester.runpytest())) == 1  # nothing is to be run
    refreshed = pytester.runpytest("--memento-cache=refresh")
    assert header(refreshed)[1:] == ["memento: about 6 min"]


def test_the_header_counts_on_all_workers(
    pytester: pytest.Pytester, minutes: None, xdist: None
) -> None:
    pytester.runpytest()
    refreshed = pytester.runpytest_subprocess("-n2", "--memento-cache=refresh")
    lines = header(refreshed)
    assert lines[0].startswith("memento: 4 experiments: 4 cached (--memento-cache=refresh: all run")
    assert lines[1:] == ["memento: about 3 min on 2 workers"]


# -- outcomes --------------------------------------------------------------------------------------


def test_a_hit_is_a_letter_and_with_v_a_word_with_its_history(
    pytester: pytest.Pytester, minutes: None
) -> None:
    pytester.runpytest("-k", "tree")
    pytester.makepyfile(test_b="def test_b(): pass")
    result = pytester.runpytest("-k", "1 or test_b")
    result.stdout.re_match_lines([r"exp_a\.py c\.? +\[", r"(exp_a\.py \.|test_b\.py \.) +\["])
    verbose = pytester.runpytest("-v", "-k", "tree or test_b")
    verbose.stdout.fnmatch_lines(
        [
            "exp_a.py::experiment?model=tree-minutes=1? CACHED (1m00s, just now) *[[] 33%]",
            "exp_a.py::experiment?model=tree-minutes=2? CACHED (2m00s, just now) *[[] 66%]",
            "test_b.py::test_b PASSED *[[]100%]",
        ]
    )


def test_a_hit_with_v_in_workers(pytester: pytest.Pytester, minutes: None, xdist: None) -> None:
    pytester.runpytest()
    result = pytester.runpytest_subprocess("-n2", "-v")
    hits = [line for line in result.outlines if "CACHED" in line]
    assert len(hits) == 4
    words = [line.partition("] CACHED (2m00s, just now)") for line in hits]
    assert (
        sum(before.startswith("exp_a.py::experiment[model=") for before, by, _ in words if by) == 2
    )


# -- the table -------------------------------------------------------------------------------------


def test_the_table_of_results(pytester: pytest.Pytester, minutes: None) -> None:
    for outcome in ("passed", "cached"):
        assert summary(pytester.runpytest()) == [
            "model  minutes  status  result  runtime  memory",
            f"tree   1        {outcome}  4       1m00s    N MB",
            f"tree   2        {outcome}  2       2m00s    N MB",
            f"net    1        {outcome}  3       1m00s    N MB",
            f"net    2        {outcome}  1.5     2m00s    N MB",
        ]


def test_the_table_is_in_the_order_of_the_matrix_in_workers_too(
    pytester: pytest.Pytester, minutes: None, xdist: None
) -> None:
    pytester.runpytest("-k", "net")
    lines = summary(pytester.runpytest_subprocess("-n2"))
    assert column(lines, "model") == ["tree", "tree", "net", "net"]
    assert column(lines, "minutes") == ["1", "2", "1", "2"]
    assert column(lines, "status") == ["passed", "passed", "cached", "cached"]


def test_a_dict_as_result_has_its_own_columns(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}
            def experiment(x):
                return {"loss": x / 4, "name": "a"} if x == 1 else {"loss": x / 4, "more": None}
        """
    )
    lines = summary(pytester.runpytest())
    assert lines[0].split() == ["x", "status", "loss", "name", "more", "runtime", "memory"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["1", "passed", "0.25", "a"],
        ["2", "passed", "0.5", "None"],
    ]
    starts = [lines[0].index(name) for name in ("name", "more")]
    assert [[line[start : start + 4].strip() for start in starts] for line in lines[1:]] == [
        ["a", ""],
        ["", "None"],
    ]


def test_failures_come_first_and_hits_last(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from pathlib import Path
            matrix = {"parameters": {"x": ["c", "s", "x", "p", "f", "F", "C"]}}

            def experiment(x):
                if x == "s": pytest.skip("not here")
                if x == "x": pytest.xfail("known")
                assert x not in "fF"
        """
    )
    pytester.runpytest("--memento-select=x in ['c', 'C']")
    *lines, cause = summary(pytester.runpytest())
    assert cause.startswith("failures: 2 x AssertionError: ")
    assert cause.endswith(" (2 of 2 with x in (f, F))")
    found = list(zip(column(lines, "x"), column(lines, "status"), strict=True))
    assert found == [
        ("f", "failed"), ("F", "failed"), ("p", "passed"), ("x", "xfailed"), ("s", "skipped"),
        ("c", "cached"), ("C", "cached"),
    ]  # fmt: skip


def test_each_function_has_its_own_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.mark.memento(matrix={"parameters": {"x": [1]}})
            def experiment(x): pass

            @pytest.mark.memento(matrix={"parameters": {"lr": [0.1]}})
            def experiment_b(lr): pass
        """
    )
    assert summary(pytester.runpytest()) == [
        "exp_a.py::experiment:",
        "x  status  result  runtime  memory",
        "1  passed  None    0.00s    N MB",
        "exp_a.py::experiment_b:",
        "lr   status  result  runtime  memory",
        "0.1  passed  None    0.00s    N MB",
    ]


def test_a_long_table_is_cut_behind_its_failures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": list(range(30))}}
            def experiment(x): assert x != 29
        """
    )
    result = pytester.runpytest("--tb=no")
    *rows, more, cause = summary(result)
    assert cause == "failures: 1 x assert 29 != 29 (1 of 1 with x=29)"
    assert more == "... and 6 more; all with -vv, or by load_results()"
    assert column(rows, "x") == ["29", *map(str, range(23))]
    assert column(rows, "status")[:2] == ["failed", "passed"]
    everything = summary(pytester.runpytest("--tb=no", "-vv"))[:-1]
    assert column(everything, "x") == ["29", *map(str, range(29))]


def test_a_table_of_24_rows_is_whole(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="matrix = {'parameters': {'x': list(range(24))}}\ndef experiment(x): pass"
    )
    assert column(summary(pytester.runpytest()), "x") == [*map(str, range(24))]


@pytest.mark.parametrize(("width", "last"), [(80, "memory"), (50, "runtime")])
def test_wide_values_are_cut_to_the_width_of_the_terminal(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, width: int, last: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"name": ["short", "long " * 30, "数据" * 60], "x": [1]}}
            def experiment(name, x): return {"text": "two\\nlines " * 20, "n": 12345}
        """
    )
    heading, *rows = summary(pytester.runpytest())[:4]
    every = ["name", "x", "status", "text", "n", "runtime", "memory"]
    assert heading.split() == every[: every.index(last) + 1]
    for line in (heading, *rows):
        assert cells_of(line) <= width
    assert width - 6 < max(map(cells_of, rows))
    assert "…" in rows[1]
    assert "12345" in rows[2]
    assert rows[0].startswith("short  ")
    assert rows[2].startswith("数据")


# -- the last line ---------------------------------------------------------------------------------


def test_the_last_line_counts_hits_and_the_time_they_save(
    pytester: pytest.Pytester, minutes: None
) -> None:
    assert last_line(pytester.runpytest("-k", "tree")) == "2 passed, 2 deselected"
    pytester.makepyfile(test_b="def test_b(): assert 0")
    mixed = pytester.runpytest("-k", "1 or test_b")
    assert last_line(mixed) == "1 cached (saved 1m00s), 1 failed, 1 passed, 2 deselected"
    assert last_line(pytester.runpytest("exp_a.py")) == "3 cached (saved 4m00s), 1 passed"
    assert last_line(pytester.runpytest("exp_a.py")) == "4 cached (saved 6m00s)"


def test_less_than_a_second_is_not_worth_a_word(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="matrix = {'parameters': {'x': [1]}}\ndef experiment(x): pass")
    pytester.runpytest()
    assert last_line(pytester.runpytest()) == "1 cached"


def test_the_last_line_in_workers(pytester: pytest.Pytester, minutes: None, xdist: None) -> None:
    pytester.runpytest()
    result = pytester.runpytest_subprocess("-n2")
    assert last_line(result) == "4 cached (saved 6m00s)"


# -- colours and -q --------------------------------------------------------------------------------


def test_colours_are_where_pytest_colours(pytester: pytest.Pytester, minutes: None) -> None:
    pytester.runpytest()
    result = pytester.runpytest("--color=yes")
    result.stdout.fnmatch_lines([f"exp_a.py {GREEN}c{RESET}{GREEN}c{RESET}*".replace("[", "[[]")])
    assert result.outlines[-1].startswith(f"{GREEN}=")
    assert f" {GREEN}{BOLD}4 cached (saved 6m00s){RESET}{GREEN} in " in result.outlines[-1]
    assert ESCAPE not in "\n".join([*header(result), *summary(result)])
    verbose = pytester.runpytest("--color=yes", "-v")
    assert str(verbose.stdout).count(f"{GREEN}CACHED (") == 4


def test_hits_do_not_hide_the_colour_of_a_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import warnings
            matrix = {"parameters": {"x": [1, 2, 3]}}
            def experiment(x):
                if x == 2: warnings.warn("no convergence")
                assert x != 3
        """
    )
    pytester.runpytest("-k", "1")
    warned = pytester.runpytest("--color=yes", "-k", "1 or 2").outlines[-1]
    assert warned.startswith(f"{YELLOW}=")
    assert f"{GREEN}1 cached{RESET}" in warned
    failed = pytester.runpytest("--color=yes").outlines[-1]
    assert failed.startswith(f"{RED}=")
    assert f"{GREEN}2 cached{RESET}" in failed


def test_no_colours_without_a_terminal_or_on_request(
    pytester: pytest.Pytester, minutes: None
) -> None:
    for arguments in ((), ("--color=no",), ("--color=no", "-v")):
        result = pytester.runpytest(*arguments)
        assert "memento summary" in str(result.stdout)
        assert ESCAPE not in str(result.stdout)


@pytest.mark.parametrize("option", ["-q", "-qq"])
def test_quiet_is_as_quiet_as_pytest(pytester: pytest.Pytester, minutes: None, option: str) -> None:
    pytester.runpytest("-k", "tree")
    result = pytester.runpytest(option)
    counts = ["2 cached (saved 3m00s), 2 passed"] if option == "-q" else []
    lines = [re.sub(r" in [\d.]+s.*| +\[.*", "", line) for line in result.outlines if line]
    assert lines == ["cc..", *counts]


def test_quiet_in_workers(pytester: pytest.Pytester, minutes: None, xdist: None) -> None:
    pytester.runpytest("-k", "tree")
    result = pytester.runpytest_subprocess("-n2", "-q")
    assert "memento" not in str(result.stdout)
    assert last_line(result) == "2 cached (saved 3m00s), 2 passed"
