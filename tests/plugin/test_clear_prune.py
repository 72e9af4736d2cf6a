"""``--memento-clear`` and ``--memento-prune``: list, ask, remove; never without showing it first."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results
from pytest_memento.claims import claimed_if_free

Notes = Callable[[], list[str]]
HEAD = "id * status * why * size * age"

# The terminal becomes that of the process, so that Ctrl-C reaches it; a shell has those that it
# starts in the background ignore it, and their children after them.
AT_TERMINAL = """
import fcntl, signal, sys, termios
import pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.exit(pytest.console_main())
"""


@pytest.fixture
def stored(pytester: pytest.Pytester, squares: Path, notes: Notes) -> Path:
    """Three results."""
    pytester.runpytest()
    notes()
    return squares


def store_of(pytester: pytest.Pytester) -> Path:
    return pytester.path / ".pytest_cache" / "memento"


def count(pytester: pytest.Pytester) -> int:
    return len(list(store_of(pytester).rglob("*.result")))


def grow_old(pytester: pytest.Pytester) -> None:
    """Let all files of the store be older than what might be in use."""
    before = time.time() - 2 * 3600
    for path in store_of(pytester).rglob("*"):
        os.utime(path, (before, before))


# -- clear -----------------------------------------------------------------------------------------


def test_off_a_terminal_it_lists_and_says_what_to_add(
    pytester: pytest.Pytester, stored: Path, notes: Notes
) -> None:
    result = pytester.runpytest("--memento-clear", "x <= 2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(
        [
            "memento: store .pytest_cache/memento",
            "exp_squares.py::experiment:",
            HEAD,
            "x=1 *passed  matches * just now",
            "x=2 *passed  matches * just now",
            "memento: nothing removed: there is no terminal to ask at; to remove 2 results (*),"
            " add --memento-yes",
        ]
    )
    assert count(pytester) == 3
    assert notes() == []


def test_with_yes_it_removes(pytester: pytest.Pytester, stored: Path, notes: Notes) -> None:
    result = pytester.runpytest("--memento-clear", "x <= 2", "--memento-yes")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([HEAD, "*x=1*", "*x=2*", "memento: removed 2 results (*)"])
    assert count(pytester) == 1
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "passed": 2}
    assert notes() == ["x=1", "x=2"]


def test_a_dry_run_only_lists(pytester: pytest.Pytester, stored: Path) -> None:
    result = pytester.runpytest("--memento-clear=True", "--memento-yes", "--collect-only")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines([HEAD, "memento: would remove 3 results (*)"])
    assert count(pytester) == 3


def test_no_code_of_the_user_runs(pytester: pytest.Pytester, stored: Path) -> None:
    stored.write_text("raise SystemExit('imported')")
    result = pytester.runpytest("--memento-clear", "x == 1", "--memento-yes", "exp_squares.py")
    assert result.ret == pytest.ExitCode.OK
    assert "imported" not in str(result.stdout)
    assert count(pytester) == 2


def test_nothing_matches(pytester: pytest.Pytester, stored: Path) -> None:
    result = pytester.runpytest("--memento-clear", "x > 5")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["memento: nothing to remove in .pytest_cache/memento"])
    result = pytester.runpytest("--memento-clear", "status == 'stale'")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["memento: nothing to remove in *'passed' or 'failed')"])


def test_some_files(pytester: pytest.Pytester, stored: Path) -> None:
    pytester.mkdir("sub")
    (pytester.path / "sub/exp_other.py").write_text(stored.read_text())
    pytester.runpytest()
    yes = ("--memento-clear=True", "--memento-yes")
    pytester.runpytest("exp_squares.py::experiment[x=1]", *yes).stdout.fnmatch_lines(
        ["memento: removed 1 result (*)"]
    )
    pytester.runpytest("sub", *yes).stdout.fnmatch_lines(["memento: removed 3 results (*)"])
    (pytester.path / "exp_squares.py").unlink()
    pytester.runpytest("exp_squares.py", *yes).stdout.fnmatch_lines(
        ["memento: removed 2 results (*)"]
    )
    assert count(pytester) == 0


def test_testpaths_do_not_limit_it(pytester: pytest.Pytester, stored: Path) -> None:
    pytester.makeini("[pytest]\ntestpaths = sub")
    pytester.mkdir("sub")
    result = pytester.runpytest("--memento-clear=True", "--collect-only")
    result.stdout.fnmatch_lines(["memento: would remove 3 results (*)"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memento-clear", "y == 1"], "*: --memento-clear: expression \"y == 1\": *'y'*"),
        (["--memento-clear", "x = 1"], '*: --memento-clear: expression "x = 1": *'),
        (["--memento-clear", "exp_squares.py/"], "*: --memento-clear: expression *"),
        (["--memento-yes"], "*: --memento-yes is for --memento-clear and --memento-prune"),
        (
            ["--memento-prune", "--memento-cache=off"],
            "*: --memento-prune needs the store, not with --memento-cache=off",
        ),
        (
            ["--memento-prune", "-k", "x"],
            "*: --memento-prune does not look at -k: choose with files and --memento-clear EXPR",
        ),
        (["--memento-clear=True", "--memento-select=x == 1"], "*does not look at --memento-sel*"),
        (["--memento-clear=True", "--memento-verify=1"], "*does not look at --memento-verify*"),
        (["--memento-clear=True", "-m", "slow"], "*does not look at -m: *"),
        (
            ["--memento-clear=True", "exp_gone.py"],
            "*: there is no *exp_gone.py, nor *",
        ),
    ],
)
def test_mistakes(
    pytester: pytest.Pytester, stored: Path, arguments: list[str], message: str
) -> None:
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert len([line for line in result.errlines if line]) == 1
    assert count(pytester) == 3


def test_without_an_expression(pytester: pytest.Pytester, stored: Path) -> None:
    result = pytester.runpytest("--memento-clear")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--memento-clear: expected one argument*"])


def test_markers_in_addopts_are_no_choice(pytester: pytest.Pytester, stored: Path) -> None:
    pytester.makeini("[pytest]\naddopts = -m 'not slow'\nmarkers = slow")
    result = pytester.runpytest("--memento-clear=True", "--collect-only")
    result.stdout.fnmatch_lines(["memento: would remove 3 results (*)"])


def test_help_wins(pytester: pytest.Pytester, stored: Path) -> None:
    result = pytester.runpytest("--memento-clear=True", "--memento-yes", "--help")
    result.stdout.fnmatch_lines(["*--memento-clear*EXPR*", "*--memento-prune*", "*--memento-yes*"])
    assert count(pytester) == 3


def test_a_store_that_is_not_there(pytester: pytest.Pytester, squares: Path) -> None:
    for option in ("--memento-clear=x == 1", "--memento-prune"):
        result = pytester.runpytest(option, "--memento-yes", "--memento-dir=nowhere")
        assert result.ret == pytest.ExitCode.OK
        result.stdout.fnmatch_lines(["memento: nothing to remove in nowhere"])
    assert not (pytester.path / "nowhere").exists()


def test_a_store_of_a_newer_version(pytester: pytest.Pytester, stored: Path) -> None:
    (plan,) = (store_of(pytester) / "plans").iterdir()
    plan.write_bytes(plan.read_bytes().replace(b'"format":1', b'"format":9', 1))
    result = pytester.runpytest("--memento-prune")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*: the store cannot be used: *upgrade pytest-memento*"])


def test_no_worker_is_started(pytester: pytest.Pytester, stored: Path, xdist: None) -> None:
    result = pytester.runpytest_subprocess("-n2", "--memento-clear=x == 1", "--memento-yes")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["memento: removed 1 result (*)"])
    assert "worker" not in str(result.stdout)
    assert count(pytester) == 2


def test_what_runs_now_stays(pytester: pytest.Pytester, stored: Path) -> None:
    (path, *_) = sorted(store_of(pytester).rglob("*.result"))
    claim = store_of(pytester) / "claims" / path.parent.name / f"{path.stem}.lock"
    with claimed_if_free(claim):
        result = pytester.runpytest("--memento-clear=True", "--memento-yes")
    result.stdout.fnmatch_lines(
        [
            "memento: exp_squares.py::experiment[[]x=?[]] runs now and stays",
            "memento: removed 2 results (*)",
        ]
    )
    assert path.exists()


def test_what_cannot_be_removed_is_said(pytester: pytest.Pytester, stored: Path) -> None:
    artifacts = store_of(pytester) / "artifacts"
    elsewhere = pytester.mkdir("elsewhere")
    artifacts.symlink_to(elsewhere)
    (path, *_) = sorted(store_of(pytester).rglob("*.result"))
    (elsewhere / path.parent.name / path.stem).mkdir(parents=True)
    result = pytester.runpytest("--memento-clear=True", "--memento-yes")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "memento: exp_squares.py::experiment[[]x=?[]] stays: * is behind a link out of the store",
            "memento: removed 2 results (*)",
        ]
    )
    assert (elsewhere / path.parent.name / path.stem).exists()


# -- prune -----------------------------------------------------------------------------------------


def test_prune(pytester: pytest.Pytester, stored: Path, notes: Notes) -> None:
    pytester.runpytest("--memento-prune").stdout.fnmatch_lines(["memento: nothing to remove in *"])
    stored.write_text(stored.read_text().replace("x * x", "x ** 2").replace("[1, 2, 3]", "[1, 2]"))
    pytester.runpytest("-k", "1")  # the plan holds all of the matrix
    result = pytester.runpytest("--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(
        [
            HEAD,
            "x=1  passed  superseded: other code *",
            "x=3  passed  orphaned: not in the matrix *",
            "memento: removed 2 results (*)",
        ]
    )
    outcome = pytester.runpytest("--memento-accept").parseoutcomes()
    assert outcome == {"cached": 2}  # x=2 was stale, and is accepted now
    result = pytester.runpytest("--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(["x=2 * superseded: other code *", "*removed 1 result (*)"])
    assert [result.value for result in load_results(stored)] == [1, 4]
    notes()
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}


@pytest.mark.parametrize(
    "selection", ["-k1", "--memento-select=x == 1", "exp_squares.py::experiment[x=1]", "--lf"]
)
def test_a_session_of_a_part_orphans_nothing(
    pytester: pytest.Pytester, stored: Path, selection: str
) -> None:
    pytester.runpytest(selection)
    pytester.runpytest("--collect-only")
    pytester.runpytest("--memento-prune").stdout.fnmatch_lines(["memento: nothing to remove in *"])


def test_documents_of_what_is_gone(pytester: pytest.Pytester, stored: Path) -> None:
    grow_old(pytester)
    stored.unlink()
    result = pytester.runpytest("--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(
        [
            "exp_squares.py::experiment:",
            "x=1 * orphaned: exp_squares.py is gone *",
            "* plan: its file is gone *",
            "documents:",
            "* no result refers to it *2 hours ago",
            "memento: removed 3 results and 3 leftovers (*)",
        ]
    )
    left = [path for path in store_of(pytester).rglob("*") if path.is_file()]
    # How a session ended is known for longer.
    assert {path.parent.name for path in left} == {"memento", "sessions"}
    assert [path.name for path in left if path.parent.name == "memento"] == [".gitignore"]


def test_an_experiment_that_was_killed_goes_on(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
        import os
        from notes import note
        matrix = {"parameters": {"x": [1]}}
        def experiment(context, x):
            (context.dir / "log").touch()
            step = context.restore(0)
            note(f"from {step}")
            context.checkpoint(step + 1)
            if not step:
                os.kill(os.getpid(), 9)
        """
    )
    pytester.runpytest_subprocess()
    grow_old(pytester)
    result = pytester.runpytest("--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(
        [
            "* claim of a dead session *",
            "* sign of a dead session *",
            "memento: removed 2 leftovers (*)",
        ]
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 1}
    assert notes() == ["from 0", "from 1"]


def test_clear_and_prune_together(pytester: pytest.Pytester, stored: Path) -> None:
    pytester.makepyfile(exp_other=stored.read_text().replace("[1, 2, 3]", "[7]"))
    pytester.runpytest()
    stored.write_text(stored.read_text().replace("x * x", "x ** 2"))
    pytester.runpytest()
    grow_old(pytester)
    result = pytester.runpytest("--memento-clear=x == 7", "--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(
        [
            "exp_other.py::experiment:",
            "x=7 * matches *",
            "exp_squares.py::experiment:",
            "x=1 * superseded: other code *",
            "memento: removed 4 results and 2 leftovers (*)",  # two manifests
        ]
    )
    assert pytester.runpytest().parseoutcomes() == {"cached": 3, "passed": 1}


def test_a_store_elsewhere(pytester: pytest.Pytester, squares: Path, tmp_path: Path) -> None:
    option = f"--memento-dir={tmp_path / 'shared'}"
    pytester.runpytest(option)
    squares.rename(pytester.path / "exp_cubes.py")
    result = pytester.runpytest(option, "--memento-prune", "--memento-yes")
    result.stdout.fnmatch_lines(["memento: 3 of exp_squares.py stay: *", "*nothing to remove in *"])
    result = pytester.runpytest(option, "exp_squares.py", "--memento-clear=True", "--memento-yes")
    result.stdout.fnmatch_lines(["memento: removed 3 results (*)"])


# -- at a terminal ---------------------------------------------------------------------------------


def answer(text: str, *arguments: str) -> tuple[int, str]:
    """Run pytest at a terminal, type when it asks, and return its exit code and all it shows."""
    pty = pytest.importorskip("pty", reason="needs terminals of Unix")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", AT_TERMINAL, *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        while (data := _read(ours)) and (shown := shown + data):
            if text and shown.endswith(b"[y/N] "):
                os.write(ours, text.encode())
                text = ""
    os.close(ours)
    return process.returncode, shown.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.parametrize("text", ["y\n", "YES\n"])
def test_yes(pytester: pytest.Pytester, stored: Path, text: str) -> None:
    code, shown = answer(text, "--memento-clear", "x != 2")
    pytest.LineMatcher(shown.splitlines()).fnmatch_lines(
        [
            HEAD,
            "*x=1*",
            "*x=3*",
            "memento: remove 2 results (*)? [[]y/N[]] *",
            "memento: removed 2 results (*)",
        ]
    )
    assert code == pytest.ExitCode.OK
    assert count(pytester) == 1


@pytest.mark.parametrize("text", ["\n", "n\n", "what\n", "\x04", "\x03"])
def test_no(pytester: pytest.Pytester, stored: Path, text: str) -> None:
    code, shown = answer(text, "--memento-prune", "--memento-clear=True")
    assert shown.splitlines()[-1] == "memento: nothing removed"
    assert "Traceback" not in shown
    assert code == pytest.ExitCode.INTERRUPTED
    assert count(pytester) == 3


@pytest.mark.parametrize("option", ["-s", "--capture=sys", "-pno:capture"])
def test_capture_does_not_stand_in_the_way(
    pytester: pytest.Pytester, stored: Path, option: str
) -> None:
    code, _ = answer("y\n", option, "--memento-clear=x == 1")
    assert code == pytest.ExitCode.OK
    assert count(pytester) == 2
