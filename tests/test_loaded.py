"""The source of modules as it was when they were loaded."""

from __future__ import annotations

import importlib
import os
import sys
import time
import types
from pathlib import Path

import pytest

from pytest_memento import MementoError
from pytest_memento.loaded import Loaded

BEFORE = "def f(x):\n    return x + 1\n\ndef g(x):\n    return x\n"
AFTER = "# more\n\ndef f(x):\n    return x + 2\n\ndef g(x):\n    return x\n"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    path = tmp_path / "of_loaded.py"
    path.write_text(BEFORE)
    os.utime(path, (time.time() - 100, time.time() - 100))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_loaded", raising=False)
    return importlib.import_module("of_loaded")


def patch(module: types.ModuleType, source: str) -> None:
    """Give a module the functions of a source, as IPython's autoreload does."""
    space: dict[str, types.FunctionType] = {}
    exec(compile(source, str(module.__file__), "exec"), space)
    module.f.__code__ = space["f"].__code__


def test_what_was_read_stays(module: types.ModuleType) -> None:
    loaded, path = Loaded(), Path(str(module.__file__))
    assert loaded.read(path) == BEFORE.encode()
    path.write_text(AFTER)
    assert loaded.read(path) == BEFORE.encode()
    with pytest.raises(MementoError, match="was changed after it was imported"):
        loaded.refuse_changes()
    importlib.reload(module)
    assert loaded.read(path) == AFTER.encode()
    loaded.refuse_changes()


def test_what_was_patched_is_read_again(module: types.ModuleType) -> None:
    loaded, path = Loaded(), Path(str(module.__file__))
    loaded.read(path)
    path.write_text(AFTER)
    patch(module, AFTER)
    assert loaded.read(path) == AFTER.encode()
    loaded.refuse_changes()


def test_an_edit_before_it_was_read_is_refused(module: types.ModuleType) -> None:
    path = Path(str(module.__file__))
    path.write_text(AFTER)
    with pytest.raises(MementoError, match=r"of_loaded.py was changed .*importlib.reload\(of_l"):
        Loaded().read(path)


def test_a_patch_before_it_was_read(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(str(module.__file__))
    path.write_text(AFTER)
    patch(module, AFTER)
    monkeypatch.setitem(sys.modules, "IPython.extensions.autoreload", types.ModuleType("a"))
    assert Loaded().read(path) == AFTER.encode()


def test_comments_and_places_do_not_matter(
    module: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["of_loaded"], "__spec__", None)  # as without a bytecode file
    path = Path(str(module.__file__))
    path.write_text("# a comment\n\n" + BEFORE)
    assert Loaded().read(path).startswith(b"# a comment")
