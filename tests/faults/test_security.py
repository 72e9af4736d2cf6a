"""What others may have put into a store, or into values, harms nobody."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import ResultNotLoadedError, load_results

pytestmark = pytest.mark.faults

Notes = Callable[[], list[str]]

USES_ALL = """
import os
from notes import note

class Model:
    pass

matrix = {"parameters": {"x": [1, 2], "model": [Model]}}

def experiment(context, x, model):
    note(f"x={x}")
    (context.dir / "artifact").write_text("text")
    context.checkpoint([1, 2])
    assert x == 1 or os.path.exists("well")
    return x
"""
PARTS = ("results", "artifacts", "checkpoints", "claims", "running", "documents", "values", "plans")
LINKED = [*PARTS, *(f"{part}/*" for part in ("results", "artifacts", "checkpoints", "claims"))]
NAMES = [
    *("../../escaped", "/etc/passwd", "a" * 300, "line\nbreak", "nul\0byte", "naïve ∀", "\udcff"),
    *("\x1b[31mred", "CON", "a/b\\c", ".", "..", "", " ", "-rf", "$(touch escaped)"),
]


def contents(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.fixture
def store(pytester: pytest.Pytester, notes: Notes) -> Path:
    pytester.makepyfile(exp_a=USES_ALL)
    assert pytester.runpytest().parseoutcomes() == {"passed": 1, "failed": 1}
    notes()
    return pytester.path / ".pytest_cache/memento"


@pytest.mark.parametrize("linked", LINKED)
def test_a_link_is_not_followed_out_of_the_store(
    pytester: pytest.Pytester, store: Path, notes: Notes, tmp_path: Path, linked: str
) -> None:
    outside = tmp_path / "outside"
    (directory,) = list(store.glob(linked)) or [store / linked]
    if linked == "running":  # no process has left anything there
        outside.mkdir()
        directory.rmdir()
    else:
        directory.rename(outside)
    directory.symlink_to(outside)
    before = contents(outside)
    (pytester.path / "well").touch()
    result = pytester.runpytest()
    assert contents(outside) == before
    assert "INTERNALERROR" not in str(result.stdout)
    # A plan that cannot be kept does not keep anything from running.
    assert (result.ret == pytest.ExitCode.OK) == (linked == "plans")
    result.stdout.fnmatch_lines(["*is a symbolic link, which is not followed*"])
    for arguments in (("--memento-clear=True",), ("--memento-prune",)):
        pytester.runpytest(*arguments, "--memento-yes")
        assert contents(outside) == before


def test_the_store_itself_may_be_a_link(
    pytester: pytest.Pytester, squares: Path, tmp_path: Path
) -> None:
    (tmp_path / "scratch").mkdir()
    (pytester.path / "store").symlink_to(tmp_path / "scratch")
    for word in ("passed", "cached"):
        assert pytester.runpytest("--memento-dir=store").parseoutcomes() == {word: 3}


def test_a_result_that_is_a_link_is_no_result(
    pytester: pytest.Pytester, squares: Path, notes: Notes, tmp_path: Path
) -> None:
    pytester.runpytest()
    (path, *_) = sorted((pytester.path / ".pytest_cache/memento/results").rglob("*.result"))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    counts = pytester.runpytest().parseoutcomes()
    counts.pop("warnings", None)
    assert counts == {"passed": 1, "cached": 2}
    assert (tmp_path / "elsewhere").read_bytes() == before
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}


def test_everything_is_private(pytester: pytest.Pytester, store: Path) -> None:
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    for path in store.rglob("*"):
        # What an experiment writes itself is in a directory that is private.
        if path.is_file() and path.name not in (".gitignore", "artifact"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in filter(Path.is_dir, [*store.glob("*"), *store.glob("*/*")]):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_shared_store_is_what_the_umask_lets(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makeini("[pytest]\nmemento_shared = true\n")
    pytester.makepyfile(exp_a=USES_ALL)
    before = os.umask(0o007)
    try:
        pytester.runpytest("--memento-dir=store")
    finally:
        os.umask(before)
    for path in (pytester.path / "store").rglob("*"):
        wanted = 0o770 if path.is_dir() else 0o660
        if path.name != ".gitignore":
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.parametrize("name", NAMES)
def test_no_value_leads_out_of_the_store(
    pytester: pytest.Pytester, notes: Notes, name: str
) -> None:
    pytester.makepyfile(
        exp_a=f"""
        matrix = {{"parameters": {{"x": [{name!r}, {name.upper()!r} + "2"]}}}}
        def experiment(context, x):
            (context.dir / "artifact").touch()
            context.checkpoint(1)
            context.record({{"loss": 1}})
            return x
        """
    )
    before = {path for path in contents(pytester.path) if not path.startswith(".pytest_cache")}
    result = pytester.runpytest("-v")
    assert result.parseoutcomes() == {"passed": 2}
    assert "\x1b[31mred" not in str(result.stdout)
    after = {path for path in contents(pytester.path) if not path.startswith(".pytest_cache")}
    assert {path for path in after - before if "__pycache__" not in path} == set()
    assert pytester.runpytest().parseoutcomes() == {"cached": 2}
    assert [each.value for each in load_results("exp_a.py")] == [name, name.upper() + "2"]


def test_secrets_of_the_environment_are_not_stored(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-hunter2"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    pytester.runpytest_subprocess("-o", "addopts=", "--override-ini=console_output_style=classic")
    store = pytester.path / ".pytest_cache/memento"
    for path in store.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_what_another_user_wrote_is_not_loaded(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.runpytest()
    results = load_results("exp_squares.py")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert pytester.runpytest().parseoutcomes() == {"cached": 3}
    with pytest.raises(ResultNotLoadedError, match=r"belongs to user \d+: .* memento_shared"):
        print(results[0].value)
