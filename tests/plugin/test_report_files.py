"""``--memento-report``: what a session, or a store, leaves in files."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ENDS = """
import pytest
from notes import note

matrix = {"parameters": {"x": [1, 2, 3, 4]}, "settings": {"n_fold": 5}}

def experiment(context, x):
    note(f"x={x}")
    context.record({"loss": 1.0 / x})
    if x == 2:
        print("said before")
        raise ValueError("two | is wrong")
    if x == 3:
        pytest.skip("three is skipped")
    return {"square": x * x}

def test_ordinary():
    pass
"""


@pytest.fixture
def ends(pytester: pytest.Pytester, notes: Callable[[], list[str]]) -> Path:
    """A file of four experiments, of which one fails and one is skipped."""
    return pytester.makepyfile(exp_ends=ENDS)


def read(path: Path | str = "report.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(), parse_constant=pytest.fail)
    return found


def statuses(path: Path | str = "report.json") -> dict[Any, str]:
    return {each["parameters"].get("x"): each["status"] for each in read(path)["experiments"]}


# -- a session -------------------------------------------------------------------------------------


def test_a_session_tells_how_each_experiment_ended(pytester: pytest.Pytester, ends: Path) -> None:
    result = pytester.runpytest("--memento-report=report.json", "--memento-report", "out/report.md")
    result.assert_outcomes(passed=3, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["memento: report report.json (4 experiments)", "memento: report out/report.md (4 *)"]
    )
    assert statuses() == {1: "passed", 2: "failed", 3: "skipped", 4: "passed"}
    first, failed, skipped, _ = read()["experiments"]
    assert first["result"] == {"square": 1}
    assert first["metrics"] == {"loss": [[0, 1.0]]}
    assert failed["error"] == "ValueError: two | is wrong"
    assert "raise ValueError" in failed["traceback"]
    assert "said before" in failed["output"]
    assert skipped["error"] == "Skipped: three is skipped"
    assert skipped["settings"] == {"n_fold": 5}
    session = read()["session"]
    assert session["command"][:4] == ["pytest", "--memento-report=report.json", "--memento-report",
                                  "out/report.md"]  # fmt: skip
    assert not session["is_dry"]
    assert session["saved"] == 0


@pytest.mark.usefixtures("clock")
def test_a_second_session_tells_what_the_cache_saved(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x, take):
            take(3600)
        """
    )
    pytester.runpytest()
    result = pytester.runpytest("--memento-report=report.json", "--memento-report=report.html")
    assert result.ret == 0
    assert statuses() == {1: "cached", 2: "cached"}
    assert read()["session"]["saved"] == pytest.approx(7200, abs=10)
    page = Path("report.html").read_text()
    assert "stored results saved 2h00m of computing" in page
    assert "2 cached" in page


@pytest.mark.usefixtures("xdist")
@pytest.mark.parametrize("select", ["", "x != 4"])
def test_the_controller_writes_it(pytester: pytest.Pytester, ends: Path, select: str) -> None:
    pytester.makeini("[pytest]\naddopts = --memento-report report.json")
    result = pytester.runpytest_subprocess(
        "-n2", *([f"--memento-select={select}"] if select else [])
    )
    number = 3 if select else 4
    result.stdout.fnmatch_lines([f"memento: report report.json ({number} experiments)"])
    assert str(result.stdout).count("memento: report") == 1
    expected = {1: "passed", 2: "failed", 3: "skipped", 4: "passed"}
    assert statuses() == {x: expected[x] for x in range(1, number + 1)}
    first, failed, skipped, *_ = read()["experiments"]
    assert first["result"] == {"square": 1}
    assert "raise ValueError" in failed["traceback"]
    assert skipped["error"] == "Skipped: three is skipped"
    again = pytester.runpytest_subprocess("-n2", "--memento-select=x in (1, 4)")
    again.stdout.fnmatch_lines(["memento: report report.json (2 experiments)"])
    assert statuses()[1] == "cached"


@pytest.mark.parametrize("arguments", [["-x"], ["--maxfail=1"], ["--memento-limit=2"]])
def test_what_was_not_run_has_a_row(
    pytester: pytest.Pytester, ends: Path, arguments: list[str]
) -> None:
    result = pytester.runpytest("--memento-report=report.json", *arguments)
    assert result.ret != pytest.ExitCode.INTERNAL_ERROR
    assert statuses() == {1: "passed", 2: "failed", 3: "not run", 4: "not run"}
    assert read()["session"]["stopped"]


@pytest.mark.usefixtures("xdist")
def test_what_no_worker_ran_has_a_row(pytester: pytest.Pytester, ends: Path) -> None:
    pytester.runpytest_subprocess("-n1", "--memento-limit=2", "--memento-report=report.json")
    assert sorted(statuses().values()) == ["failed", "not run", "not run", "passed"]
    assert set(statuses()) == {1, 2, 3, 4}


def test_ctrl_c(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        matrix = {"parameters": {"x": [1, 2, 3]}}
        def experiment(x):
            if x == 2:
                raise KeyboardInterrupt
        """
    )
    result = pytester.runpytest_subprocess("--memento-report=report.json")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["memento: report report.json (3 experiments)"])
    assert statuses() == {1: "passed", 2: "not run", 3: "not run"}


def test_a_collection_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="matrix = no\ndef experiment(x): pass")
    result = pytester.runpytest("--memento-report=report.json")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert read()["experiments"] == []


def test_without_a_store(pytester: pytest.Pytester, ends: Path) -> None:
    pytester.runpytest("--memento-cache=off", "--memento-report=report.json")
    assert statuses() == {1: "passed", 2: "failed", 3: "skipped", 4: "passed"}
    first, failed, *_ = read()["experiments"]
    assert first["result"] == {"square": 1}
    assert first["runtime"] >= 0
    assert failed["error"] == "ValueError: two | is wrong"
    assert "raise ValueError" in failed["traceback"]
    assert "said before" in failed["output"]


@pytest.mark.usefixtures("xdist")
def test_without_a_store_but_with_workers(pytester: pytest.Pytester, ends: Path) -> None:
    pytester.runpytest_subprocess("-n2", "--memento-cache=off", "--memento-report=report.json")
    assert statuses() == {1: "passed", 2: "failed", 3: "skipped", 4: "passed"}
    assert read()["experiments"][3]["result"] == {"square": 16}


def test_a_failure_of_old_does_not_stand_for_one_of_now(
    pytester: pytest.Pytester, ends: Path
) -> None:
    pytester.runpytest()
    pytester.runpytest("--memento-cache=only", "--memento-report=report.json")
    _, failed, missing, _ = read()["experiments"]
    assert statuses() == {1: "cached", 2: "failed", 3: "failed", 4: "cached"}
    assert failed["error"].startswith("no stored result (failed before")
    assert missing["error"].startswith("no stored result (new")


def test_several_experiments_in_one_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import pytest
        matrix = {"parameters": {"x": [1, "é|"]}}
        class ExperimentA:
            def test_one(self, x): return x
            @pytest.mark.parametrize("z", [5, 6])
            def test_two(self, x, z): return x
        """
    )
    for arguments in ([], ["--memento-cache=off"], []):
        pytester.runpytest("--memento-report=report.csv", *arguments)
        with Path("report.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert [row["experiment"].rpartition("::")[2] for row in rows] == [
            *["test_one"] * 2, *["test_two"] * 4
        ]  # fmt: skip
        assert [row["x"] for row in rows[:2]] == ["1", "é|"]
        assert {row["z"] for row in rows[2:]} == {"5", "6"}
        assert all(row["runtime"] for row in rows)


def test_awkward_values(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        class Rude:
            def __str__(self): raise RuntimeError("no")
            __repr__ = __str__
            def __memento_key__(self): return 1

        matrix = {"parameters": {"x": [float("nan"), float("inf"), 10**30, "</script>", "\\udc80",
                                       "a\\nb", Rude(), None]}}

        def experiment(context, x):
            context.record({"</script>": float("nan"), "\\udc80": 1})
            context.record({"</script>": 1e308, "\\udc80": -1e308})
            return {"</script>": x, "y": 10**30, "z": Rude()} if x else Rude()
        """
    )
    files = [f"--memento-report=report.{suffix}" for suffix in ("html", "md", "csv", "json")]
    for mode in ("use", "use", "off"):
        result = pytester.runpytest(*files, f"--memento-cache={mode}")
        assert result.ret == 0
        assert str(result.stdout).count("(8 experiments)") == 4
        assert len(read()["experiments"]) == 8


def test_secrets_of_the_command_line_are_masked(pytester: pytest.Pytester, ends: Path) -> None:
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--api-token')")
    files = [f"--memento-report=report.{suffix}" for suffix in ("html", "md", "csv", "json")]
    pytester.runpytest("--api-token=hunter2", *files)
    for path in Path().glob("report.*"):
        assert "hunter2" not in path.read_text()


# -- without a session -----------------------------------------------------------------------------


def test_a_dry_run_reports_what_is_stored(
    pytester: pytest.Pytester, ends: Path, notes: Callable[[], list[str]]
) -> None:
    pytester.runpytest("--memento-select=x <= 2")
    notes()
    result = pytester.runpytest("--collect-only", "--memento-report=report.json")
    result.stdout.fnmatch_lines(["memento: report report.json (4 experiments)"])
    assert notes() == []
    assert statuses() == {1: "passed", 2: "failed", 3: "new", 4: "new"}
    assert read()["session"]["is_dry"]


def test_the_status_reports_from_files_alone(pytester: pytest.Pytester, ends: Path) -> None:
    pytester.makepyfile(exp_b="matrix = {'parameters': {'x': [7]}}\ndef experiment(x): return x")
    pytester.runpytest()
    ends.write_text("raise SystemExit('imported')")
    result = pytester.runpytest("--memento-status", "--memento-report=report.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["nothing runs", "memento: report report.json (4 experiments)"])
    assert statuses() == {1: "passed", 2: "failed", 4: "passed", 7: "passed"}
    assert read()["session"] is None
    assert read()["missing"] == 1
    result = pytester.runpytest(
        "--memento-status", "--memento-report=report.json", "exp_b.py", "exp_b.py::experiment"
    )
    assert statuses() == {7: "passed"}
    result = pytester.runpytest("--memento-status", "--memento-report=report.json", "exp_c.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --memento-report: there is no file or directory *exp_c.py"]
    )


def test_the_status_without_a_store(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--memento-status", "--memento-report=report.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --memento-report: there is no store to report of"])
    assert not Path("report.json").exists()


# -- what goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "report.txt",
            "a report is called *.html, *.md, *.csv, *.json or *.parquet, not 'report.t",
        ),
        ("notes.py/report.md", "notes.py: it is no directory"),
        ("here.html", "here.html: it is a directory"),
    ],
)
def test_what_cannot_be_written_is_told_at_the_start(
    pytester: pytest.Pytester,
    ends: Path,
    notes: Callable[[], list[str]],
    name: str,
    message: str,
) -> None:
    pytester.mkdir("here.html")
    for more in ([], ["--memento-status"]):
        result = pytester.runpytest(f"--memento-report={name}", *more)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert message in str(result.stderr)
        assert len(result.stderr.lines) <= 2
    assert notes() == []


def test_a_missing_extra_is_told_at_the_start(pytester: pytest.Pytester, ends: Path) -> None:
    # As where it is not installed.
    pytester.makepyfile(
        hide="""
        import sys
        class Hidden:
            def find_spec(self, name, *_):
                if name.partition(".")[0] == "pyarrow":
                    raise ModuleNotFoundError(name)
        import importlib.util
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *a: None if name == "pyarrow" else found(name, *a)
        """
    )
    result = pytester.runpytest_subprocess("-p", "hide", "--memento-report=report.parquet")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs pyarrow: pip install 'pytest-memento?parquet?'*"])


@pytest.mark.parametrize("more", [[], ["-W", "error"], ["-q"]])
def test_a_file_that_cannot_be_written_after_all(
    pytester: pytest.Pytester, more: list[str]
) -> None:
    pytester.makepyfile(
        exp_a="""
        from pathlib import Path
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            Path("out").write_text("in the way")
        """
    )
    result = pytester.runpytest(
        "--memento-report=out/report.md", "--memento-report=report.csv", *more
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "memento: report out/report.md cannot be written: *exists*",
            "memento: report report.csv (1 experiment)",
        ]
    )


def test_nothing_is_loaded_where_no_report_is_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import sys
        matrix = {"parameters": {"x": [1]}}
        def experiment(x):
            assert "pytest_memento.report.model" not in sys.modules
        """
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == 0


def test_without_a_terminal(pytester: pytest.Pytester, ends: Path) -> None:
    import subprocess

    command = [sys.executable, "-m", "pytest", "-p", "no:terminal", "--memento-report=report.json"]
    subprocess.run(command, check=False, timeout=60)
    assert statuses()[1] == "passed"
