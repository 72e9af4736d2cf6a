"""--collect-only is the dry run: what would run, why, for how long; and it leaves no trace."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

MINUTES = """
    from notes import note

    note("import")
    matrix = {{"parameters": {{"minutes": {values}}}, "exclude": [{{"minutes": 99}}]}}

    def experiment(minutes, take):
        note(f"minutes={{minutes}}")
        take(60 * minutes)
        assert minutes != 3, "too long"

    def experiment_b(minutes):
        note(f"b minutes={{minutes}}")
        return {code}
"""
NEW = "new: no result yet"


@pytest.fixture
def write(pytester: pytest.Pytester, notes: Notes, clock: None) -> Callable[..., None]:
    """Write a project in which experiments take minutes, and those of 3 minutes fail."""

    def write(*values: int, code: str = "minutes") -> None:
        pytester.makepyfile(exp_a=MINUTES.format(values=[*values, 99], code=code))

    return write


def plan(result: pytest.RunResult) -> list[str]:
    """Return what stands under ``memento plan``."""
    titles = [line.strip("= ") if line.startswith("==") else "" for line in result.outlines]
    start = titles.index("memento plan") + 1
    return result.outlines[start : len(titles) - 1]


def files(pytester: pytest.Pytester) -> dict[str, tuple[int, int]]:
    """Return every file and directory of the store with its time and size."""
    found = (pytester.path / ".pytest_cache" / "memento").rglob("*")
    stats = {str(path): path.stat() for path in found}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}


# -- the plan --------------------------------------------------------------------------------------


def test_everything_is_new(pytester: pytest.Pytester, write: Callable[..., None]) -> None:
    write(1, 2)
    result = pytester.runpytest("--collect-only")
    result.stdout.fnmatch_lines(
        ["memento: 4 experiments (2 excluded): 4 new; store .pytest_cache/memento (0 results, 0 B)"]
    )
    assert plan(result) == [
        f"exp_a.py::experiment[minutes=1]  {NEW}",
        f"exp_a.py::experiment[minutes=2]  {NEW}",
        f"exp_a.py::experiment_b[minutes=1]  {NEW}",
        f"exp_a.py::experiment_b[minutes=2]  {NEW}",
        "would run 4 of 4",
    ]


def test_each_status_with_its_reason_and_time(
    pytester: pytest.Pytester, write: Callable[..., None]
) -> None:
    """A stale or failed one takes what it took before, a new one the median of the others."""
    write(1, 3, 5)
    pytester.runpytest()
    write(1, 2, 3, 5, code="-minutes")
    result = pytester.runpytest("--collect-only")
    result.stdout.fnmatch_lines(
        ["memento: 8 experiments (2 excluded): 2 cached, 3 stale, 1 failed before, 2 new; *",
         "memento: about 6 min"]
    )  # fmt: skip
    changed = "stale: code: exp_a.experiment_b changed"
    assert plan(result) == [
        "exp_a.py::experiment[minutes=1]  cached: 1m00s, just now",
        f"exp_a.py::experiment[minutes=2]  {NEW}, about 3 min",
        "exp_a.py::experiment[minutes=3]  failed before: AssertionError: too long (just now),"
        " about 3 min",
        "exp_a.py::experiment[minutes=5]  cached: 5m00s, just now",
        f"exp_a.py::experiment_b[minutes=1]  {changed}",
        f"exp_a.py::experiment_b[minutes=2]  {NEW}",
        f"exp_a.py::experiment_b[minutes=3]  {changed}",
        f"exp_a.py::experiment_b[minutes=5]  {changed}",
        "would run 6 of 8, about 6 min",
    ]


def test_a_stale_one_takes_what_it_took(
    pytester: pytest.Pytester, write: Callable[..., None]
) -> None:
    write(2)
    pytester.runpytest()
    path = pytester.path / "exp_a.py"
    path.write_text(path.read_text().replace("60 * minutes", "1 * minutes"))
    lines = plan(pytester.runpytest("--collect-only", "-k", "not experiment_b"))
    assert lines == [
        "exp_a.py::experiment[minutes=2]  stale: code: exp_a.experiment changed, about 2 min",
        "would run 1 of 1, about 2 min",
    ]


def test_nothing_is_left_to_run(pytester: pytest.Pytester, write: Callable[..., None]) -> None:
    write(1, 2)
    pytester.runpytest()
    result = pytester.runpytest("--collect-only")
    assert plan(result)[-1] == "would run 0 of 4"
    assert "about" not in str(result.stdout)


@pytest.mark.parametrize(
    ("mode", "last"),
    [
        ("refresh", "would run 4 of 4, about 3 min"),
        ("off", "would run 4 of 4"),
        ("only", "would run 0 of 4"),
    ],
)
def test_the_other_cache_modes(
    pytester: pytest.Pytester, write: Callable[..., None], mode: str, last: str
) -> None:
    write(1, 2)
    pytester.runpytest()
    before = files(pytester)
    result = pytester.runpytest("--collect-only", f"--memento-cache={mode}")
    assert plan(result)[-1] == last
    assert files(pytester) == before


def test_ordinary_tests_are_listed_by_pytest_alone(
    pytester: pytest.Pytester, write: Callable[..., None]
) -> None:
    write(1)
    pytester.makepyfile(test_b="def test_b(): pass")
    result = pytester.runpytest("--collect-only")
    result.stdout.fnmatch_lines(["collected 3 items", "*<Function test_b>", "*3 tests collected*"])
    assert [line.partition("[")[0] for line in plan(result)] == [
        "exp_a.py::experiment", "exp_a.py::experiment_b", "would run 2 of 2"]  # fmt: skip
    alone = pytester.runpytest("--collect-only", "test_b.py")
    assert "memento:" not in str(alone.stdout)
    assert "would run" not in str(alone.stdout)


# -- less words, more workers ----------------------------------------------------------------------


def test_quiet_is_node_ids_and_nothing_else(
    pytester: pytest.Pytester, write: Callable[..., None]
) -> None:
    write(1, 2)
    for _ in ("new", "cached"):
        lines = pytester.runpytest("--collect-only", "-q").outlines
        assert [line for line in lines if line][:-1] == [
            "exp_a.py::experiment[minutes=1]",
            "exp_a.py::experiment[minutes=2]",
            "exp_a.py::experiment_b[minutes=1]",
            "exp_a.py::experiment_b[minutes=2]",
        ]
        assert lines[-1].startswith("4 tests collected in ")
        files_only = pytester.runpytest("--collect-only", "-qq").outlines
        assert [line for line in files_only if line] == ["exp_a.py: 4"]
        pytester.runpytest()


def test_with_workers_it_is_the_same_but_for_the_time(
    pytester: pytest.Pytester, write: Callable[..., None], xdist: None
) -> None:
    write(1, 2)
    pytester.runpytest("-k", "1")
    write(1, 2, 5)
    pytester.runpytest("-k", "experiment and 5")
    serial = plan(pytester.runpytest("--collect-only", "--memento-cache=refresh"))
    workers = pytester.runpytest_subprocess("--collect-only", "--memento-cache=refresh", "-n2")
    assert plan(workers)[:-1] == serial[:-1]
    assert serial[-1] == "would run 6 of 6, about 9 min"
    # No less than the longest one takes.
    assert plan(workers)[-1] == "would run 6 of 6, about 5 min on 2 workers"
    workers.stdout.fnmatch_lines(["memento: 6 experiments (2 excluded): *"])


def test_quiet_with_workers(
    pytester: pytest.Pytester, write: Callable[..., None], xdist: None
) -> None:
    write(1)
    lines = pytester.runpytest_subprocess("--collect-only", "-q", "-n2").outlines
    assert [line for line in lines if line][:-1] == [
        "exp_a.py::experiment[minutes=1]",
        "exp_a.py::experiment_b[minutes=1]",
    ]


# -- no trace --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["serial", "workers"])
def test_nothing_is_written_and_nothing_runs(
    pytester: pytest.Pytester,
    request: pytest.FixtureRequest,
    write: Callable[..., None],
    notes: Notes,
    workers: tuple[str, ...],
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    write(1, 2)
    assert run("--collect-only", *workers).ret == 0
    assert not (pytester.path / ".pytest_cache" / "memento").exists()
    pytester.runpytest()
    before = files(pytester)
    assert before
    notes()
    write(2, 3, code="-minutes")
    assert run("--collect-only", *workers).ret == 0
    assert files(pytester) == before
    assert {*notes()} == {"import"}


def test_the_last_results_are_still_those_of_the_last_run(
    pytester: pytest.Pytester, write: Callable[..., None]
) -> None:
    write(1, 2)
    pytester.runpytest()
    write(2, code="-minutes")
    pytester.runpytest("--collect-only")
    results = load_results("exp_a.py::experiment_b")
    assert [result.value for result in results] == [1, 2]


def test_fixtures_other_than_the_matrix_are_not_evaluated(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            @pytest.fixture
            def values():
                note("values")
                return [1, 2]

            @pytest.fixture
            def matrix(values): return {"parameters": {"x": values}}

            @pytest.fixture(scope="session", autouse=True)
            def data(): note("data")

            def experiment(x, data): note("run")
        """
    )
    assert plan(pytester.runpytest("--collect-only"))[-1] == "would run 2 of 2"
    assert notes() == ["values"]
