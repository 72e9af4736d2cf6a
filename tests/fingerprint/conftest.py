"""What the tests of code share: modules that are written to be imported."""

from __future__ import annotations

import importlib.util
import itertools
import pathlib
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

numbers = itertools.count()


@pytest.fixture
def load(tmp_path: pathlib.Path) -> Callable[[str], Any]:
    """Return a function that writes a module of the given source and imports it."""

    def load_source(source: str) -> ModuleType:
        path = tmp_path / f"written_{next(numbers)}.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_source
