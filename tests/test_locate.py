"""The store of a project is found where the plugin puts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_memento import StoreError
from pytest_memento.locate import locate, place_for


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMENTO_CACHE_PATH", raising=False)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("pytest.ini", "[pytest]\nmemento_dir = results\n"),
        (".pytest.ini", "[pytest]\nmemento_dir = results\n"),
        ("pytest.toml", "[pytest]\nmemento_dir = 'results'\n"),
        ("tox.ini", "[pytest]\nmemento_dir = results\n"),
        ("setup.cfg", "[tool:pytest]\nmemento_dir = results\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nmemento_dir = 'results'\n"),
        ("pyproject.toml", "[tool.pytest]\nmemento_dir = 'results'\n"),
    ],
)
def test_ini_files(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    (tmp_path / "results").mkdir()
    (tmp_path / "deep/down").mkdir(parents=True)
    place = locate(tmp_path / "deep/down")
    assert place.store == tmp_path / "results"
    assert place.project == tmp_path


def test_cache_dir(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ncache_dir = .cache\n")
    (tmp_path / ".cache/memento").mkdir(parents=True)
    assert locate(tmp_path).store == tmp_path / ".cache/memento"


def test_the_default_is_beside_the_cache(tmp_path: Path) -> None:
    (tmp_path / ".pytest_cache/memento").mkdir(parents=True)
    assert locate(tmp_path / "experiments").store == tmp_path / ".pytest_cache/memento"


def test_the_variable_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".pytest_cache/memento").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMENTO_CACHE_PATH", "elsewhere")
    assert locate(tmp_path).store == tmp_path / "elsewhere"


@pytest.mark.parametrize("text", ["not ini at all", "[pytest\n", "\xff"])
def test_a_broken_ini_file_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "pytest.ini").write_text(text, encoding="latin-1")
    (tmp_path / "pyproject.toml").write_text(text, encoding="latin-1")
    (tmp_path / ".pytest_cache/memento").mkdir(parents=True)
    assert locate(tmp_path).store == tmp_path / ".pytest_cache/memento"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store found in .*: run pytest there first"):
        locate(tmp_path / "nowhere")


def test_a_new_store_is_where_pytest_would_have_it(tmp_path: Path) -> None:
    (tmp_path / ".pytest_cache/memento").mkdir(parents=True)
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\nmemento_dir = kept\n")
    assert place_for(project / "scripts").store == project / "kept"
    assert place_for(tmp_path / "other").store == tmp_path / ".pytest_cache/memento"
    (project / "scripts/.pytest_cache/memento").mkdir(parents=True)
    assert place_for(project / "scripts").store == project / "scripts/.pytest_cache/memento"


def test_a_directory_that_anybody_may_write_to_is_passed_over(tmp_path: Path) -> None:
    store = tmp_path / ".pytest_cache/memento"
    store.mkdir(parents=True)
    tmp_path.chmod(0o1777)
    with pytest.raises(StoreError, match="no store found"):
        locate(tmp_path / "mine")
    assert place_for(tmp_path / "mine").store == tmp_path / "mine/.pytest_cache/memento"
    assert locate(tmp_path).store == place_for(tmp_path).store == store
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert locate(tmp_path / "mine").store == place_for(tmp_path / "mine").store == store


def test_a_new_store_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "setup.py").touch()
    assert place_for(tmp_path / "a/b").store == tmp_path / ".pytest_cache/memento"
    monkeypatch.setenv("MEMENTO_CACHE_PATH", str(tmp_path / "elsewhere"))
    assert place_for(tmp_path / "a/b").store == tmp_path / "elsewhere"
