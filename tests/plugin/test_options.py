"""Where the store is, and the rest of command line and ini file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_memento import load_results


def store_of(path: Path) -> int:
    """Return how many results a store holds."""
    return len(list(path.rglob("*.result")))


def test_the_default_is_beside_pytests_own_cache(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest()
    assert store_of(pytester.path / ".pytest_cache" / "memento" / "results") == 3


def test_cache_dir(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makeini("[pytest]\ncache_dir = elsewhere/cache")
    pytester.runpytest()
    assert store_of(pytester.path / "elsewhere" / "cache" / "memento") == 3
    assert len(load_results(squares)) == 3


def test_the_order_is_option_environment_ini(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmemento_dir = by_ini")
    pytester.runpytest()
    assert store_of(pytester.path / "by_ini") == 3
    monkeypatch.setenv("MEMENTO_CACHE_PATH", "by_environment")
    assert pytester.runpytest().parseoutcomes() == {"passed": 3}
    assert store_of(pytester.path / "by_environment") == 3
    assert pytester.runpytest("--memento-dir=by_option").parseoutcomes() == {"passed": 3}
    assert store_of(pytester.path / "by_option") == 3
    assert not (pytester.path / ".pytest_cache" / "memento").exists()


def test_paths_are_expanded(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", str(pytester.path / "here"))
    monkeypatch.setenv("HOME", str(pytester.path / "home"))
    pytester.runpytest("--memento-dir=$PLACE/store")
    assert store_of(pytester.path / "here" / "store") == 3
    pytester.runpytest("--memento-dir", "~/store")
    assert store_of(pytester.path / "home" / "store") == 3


def test_what_relative_paths_start_from(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmemento_dir = by_ini")
    inner = pytester.mkdir("inner")
    monkeypatch.chdir(inner)
    pytester.runpytest("..")
    assert store_of(pytester.path / "by_ini") == 3
    pytester.runpytest("..", "--memento-dir=by_option")
    assert store_of(inner / "by_option") == 3


def test_workers_use_the_same_store(
    pytester: pytest.Pytester, squares: Path, xdist: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.runpytest_subprocess("-n2", "--memento-dir=by_option")
    assert store_of(pytester.path / "by_option") == 3
    monkeypatch.chdir(pytester.mkdir("inner"))
    result = pytester.runpytest_subprocess("-n2", "--memento-dir=../by_option", "..")
    assert result.parseoutcomes() == {"cached": 3}


def test_the_store_is_private_and_not_for_git(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest("--memento-dir=store")
    store = pytester.path / "store"
    assert store.stat().st_mode & 0o077 == 0
    assert "*" in (store / ".gitignore").read_text().splitlines()


def test_two_stores(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest("--memento-dir=one")
    assert pytester.runpytest("--memento-dir=two").parseoutcomes() == {"passed": 3}
    assert pytester.runpytest("--memento-dir=one").parseoutcomes() == {"cached": 3}


def test_help_lists_everything(pytester: pytest.Pytester) -> None:
    text = str(pytester.runpytest("--help").stdout)
    for word in (
        "--memento-cache",
        "--memento-clear",
        "--memento-dir",
        "--memento-prune",
        "--memento-select",
        "--memento-yes",
        "memento_dir",
        "memento_files",
        "memento_shared",
    ):
        assert word in text
    pytester.runpytest("--markers").stdout.fnmatch_lines(["@pytest.mark.memento(matrix=*: run *"])
    fixtures = pytester.runpytest("--fixtures")
    fixtures.stdout.fnmatch_lines(["config*", "context*"])


def test_strict_options(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config\nmemento_dir = store")
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 3}


def test_pyproject_toml(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        memento_dir = "store"
        memento_files = ["exp_*.py", "trial.py"]
        """
    )
    pytester.makepyfile(trial="matrix = {'parameters': {'x': [1]}}\ndef experiment(x): return x")
    assert pytester.runpytest().parseoutcomes() == {"passed": 4}
    assert store_of(pytester.path / "store") == 4


def test_the_fingerprint_hook(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import threading

        def pytest_memento_fingerprint(value):
            if isinstance(value, type(threading.Lock())):
                return "a lock"
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest, threading
            matrix = {"parameters": {"x": [threading.Lock()]}, "settings": {"y": threading.Lock()}}

            @pytest.mark.parametrize("z", [threading.Lock()])
            def experiment(x, y, z): return 1
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 1}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 1}


def test_a_fingerprint_hook_that_fails(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_memento_fingerprint(value): raise ValueError('no idea')")
    pytester.makepyfile(
        exp_a="""
            class Model: pass
            matrix = {"parameters": {"x": [Model()]}}
            def experiment(x): return 1
        """
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*no idea*"])
    assert "INTERNALERROR" not in str(result.stdout)
