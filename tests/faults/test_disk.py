"""Disks that are full, read-only, closed to us; too many open files."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

Notes = Callable[[], list[str]]
Shell = Callable[[str], list[str]]

PYTEST = f"{shlex.quote(sys.executable)} -m pytest -p no:cacheprovider --memento-dir=store"
SIZES = """
from notes import note

matrix = {"parameters": {"x": [1, 2, 3, 4]}}

def experiment(context, x):
    note(f"x={x}")
    CHECKPOINT
    return bytes(5_000_000 if x == 2 else 10)
"""


@functools.cache
def can_mount() -> bool:
    """Whether file systems can be mounted here, in a namespace of our own."""
    try:
        done = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
            check=False,
            capture_output=True,
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture
def shell(pytester: pytest.Pytester) -> Shell:
    """Run commands where ``store`` can be mounted; return what each pytest among them said."""
    if not can_mount():
        pytest.skip("needs unprivileged user namespaces (unshare -rm)")

    def run(script: str) -> list[str]:
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", f"mkdir -p store; {script}"],
            cwd=pytester.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        sessions = done.stdout.split("= test session starts =")[1:]
        assert sessions, done.stderr
        for output in sessions:
            assert "INTERNALERROR" not in output
            assert "Traceback" not in output
        return sessions

    return run


def counts_of(output: str) -> dict[str, int]:
    return pytest.RunResult.parse_summary_nouns(output.splitlines())


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_full_disk(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    shell: Shell,
    workers: str,
) -> None:
    if workers != "-n0":
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=SIZES.replace("CHECKPOINT", ""))
    first, second = shell(
        f"mount -t tmpfs -o size=1m tmpfs store; {PYTEST} {workers};"
        f" mount -o remount,size=64m store; {PYTEST} {workers}; umount store"
    )
    assert counts_of(first) == {"passed": 3, "failed": 1}
    assert "experiment[x=2]: the result cannot be stored: cannot write " in first
    assert "No space left on device" in first
    assert counts_of(second) == {"cached": 3, "passed": 1}
    assert sorted(notes()) == ["x=1", "x=2", "x=2", "x=3", "x=4"]


def test_a_checkpoint_that_finds_the_disk_full(
    pytester: pytest.Pytester, notes: Notes, shell: Shell
) -> None:
    checkpoint = "context.checkpoint(bytes(5_000_000 if x == 3 else 10))"
    text = SIZES.replace("5_000_000", "9").replace("CHECKPOINT", checkpoint)
    pytester.makepyfile(exp_a=text)
    select = "--memento-select 'x in [1, 3]'"
    (output,) = shell(f"mount -t tmpfs -o size=1m tmpfs store; {PYTEST} {select}")
    assert counts_of(output) == {"passed": 1, "failed": 1, "deselected": 2}
    assert "cannot write " in output
    assert "No space left on device" in output


def test_no_inodes_left(pytester: pytest.Pytester, notes: Notes, shell: Shell) -> None:
    pytester.makepyfile(exp_a=SIZES.replace("CHECKPOINT", "").replace("5_000_000", "9"))
    first, second = shell(
        f"mount -t tmpfs -o size=1m,nr_inodes=12 tmpfs store; {PYTEST};"
        f" mount -o remount,nr_inodes=1000 store; {PYTEST}"
    )
    counts = counts_of(first)
    assert counts.get("passed", 0) + counts.get("failed", 0) == 4
    assert counts.get("failed", 0) > 0
    assert "No space left on device" in first
    again = counts_of(second)
    assert again.get("cached", 0) == counts.get("passed", 0)
    assert again.get("passed", 0) == counts.get("failed", 0)


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_read_only_store(
    pytester: pytest.Pytester,
    notes: Notes,
    request: pytest.FixtureRequest,
    shell: Shell,
    workers: str,
) -> None:
    """What is stored can be used; nothing is computed only to be lost."""
    if workers != "-n0":
        request.getfixturevalue("xdist")
    pytester.makepyfile(exp_a=SIZES.replace("CHECKPOINT", "").replace("5_000_000", "9"))
    _, second, third = shell(
        f"mount -t tmpfs tmpfs store; {PYTEST} --memento-select 'x < 3'; mount -o remount,ro store;"
        f" {PYTEST} {workers}; {PYTEST} {workers} --memento-cache=only --memento-select 'x == 1'"
    )
    assert counts_of(second) == {"cached": 2, "failed": 2}
    assert "not run, since its result could not be stored: " in second
    assert "Read-only file system" in second
    assert counts_of(third)["cached"] == 1
    assert sorted(notes()) == ["x=1", "x=2"]


def without_rights() -> list[str]:
    """Return what to put before a command so that modes of files count, as they do not for root."""
    command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    try:
        done = subprocess.run([*command, "true"], check=False, capture_output=True)
    except OSError:
        return []
    return command if done.returncode == 0 else []


@pytest.mark.parametrize("part", ["results", "claims", "."])
def test_a_store_that_may_not_be_written(
    pytester: pytest.Pytester, squares: Path, notes: Notes, part: str
) -> None:
    prefix = [] if os.geteuid() else without_rights()
    if os.geteuid() == 0 and not prefix:
        pytest.skip("needs setpriv where root runs the tests")
    pytester.runpytest("--memento-select=x == 1")
    directory = pytester.path / ".pytest_cache/memento" / part
    places = [directory, *(path for path in directory.rglob("*") if path.is_dir())]
    modes = {place: place.stat().st_mode for place in places}
    for place in reversed(places):
        place.chmod(0o500)
    try:
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "pytest"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        for place, mode in modes.items():
            place.chmod(mode)
    counts = counts_of(done.stdout)
    assert counts.pop("cached") == 1
    assert counts in ({"failed": 2}, {"failed": 2, "warnings": 1}), done.stdout
    assert "Permission denied" in done.stdout
    assert "INTERNALERROR" not in done.stdout
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "passed": 2}


def test_too_many_open_files(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
        import resource
        from notes import note

        matrix = {"parameters": {"x": [1, 2, 3]}}
        HOARD = []

        def experiment(x):
            note(f"x={x}")
            if x == 2:
                resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
                try:
                    while True:
                        HOARD.append(open("notes.py"))
                except OSError:
                    pass
            return x
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--memento-dir=store")
    counts = result.parseoutcomes()
    assert (counts["passed"], counts["failed"]) == (1, 2)
    result.stdout.fnmatch_lines(["*experiment?x=2?: the result cannot be stored: *open files*"])
    result.stdout.fnmatch_lines(["*experiment?x=3?*", "*open files*"])
    assert "INTERNALERROR" not in str(result.stdout)
